/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scripts: what they are called with, in which order, and that none of them can hold the loop. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "takeover.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/time-util.h"

#define DEADLINE_USEC (10 * USEC_PER_SEC)

/* The observer only ever asks an instance for its configuration, and whether this is its first step. */
struct Instance {
        InstanceConfig config;
};

const InstanceConfig *instance_config(const Instance *i) {
        return &i->config;
}

typedef struct Fixture {
        char *directory, *script, *output;
        sd_event *event;
        Takeover *takeover;
        IpPrefix address;
        Instance instance;
        bool drained, started;
} Fixture;

static void write_script(Fixture *f, const char *body) {
        g_autofree char *text = g_strdup_printf("#!/bin/sh\nout=%s\n%s\n", f->output, body);
        g_assert_true(g_file_set_contents(f->script, text, -1, NULL));
        g_assert_cmpint(g_chmod(f->script, 0755), ==, 0);
}

static void set_up(Fixture *f, gconstpointer data) {
        f->directory = g_dir_make_tmp("test-takeover-XXXXXX", NULL);
        f->script = g_build_filename(f->directory, "script", NULL);
        f->output = g_build_filename(f->directory, "output", NULL);
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        /* as the daemon's has, whose first timer takes a descriptor at the start */
        g_assert_cmpint(sd_event_add_time(f->event, NULL, CLOCK_BOOTTIME, USEC_INFINITY, 0, NULL, NULL), >=, 0);
        g_assert_cmpint(takeover_new(&f->takeover, f->event), >=, 0);
        f->address = (IpPrefix){ .address = { .family = AF_INET, .bytes = { 192, 0, 2, 10 } }, .prefix_length = 24 };
        f->instance.config = (InstanceConfig){
                .name = (char *) "web",
                .interface = "eth0",
                .addresses = &f->address,
                .n_addresses = 1,
                .takeover = { .up_script = f->script, .down_script = f->script },
        };
        write_script(f, "echo \"$# $1 $2 $3\" >> $out");
}

static void remove_file(const Fixture *f, const char *name) {
        g_autofree char *path = g_build_filename(f->directory, name, NULL);
        (void) g_unlink(path);
}

static void tear_down(Fixture *f, gconstpointer data) {
        g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1); /* ECHILD: none runs, none is a zombie */
        (void) takeover_free(f->takeover);
        sd_event_unref(f->event);
        static const char *const names[] = { "script", "output", "up", "down", "go" };
        for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
                remove_file(f, names[i]);
        g_assert_cmpint(g_rmdir(f->directory), ==, 0);
        g_free(f->directory);
        g_free(f->script);
        g_free(f->output);
}

static void step_for(Fixture *f, ElectionState from, ElectionState to, ElectionReason reason) {
        const InstanceTransition t = { .from = from, .to = to, .reason = reason };
        takeover_instance_changed(f->takeover, &f->instance, &t);
}

static void step(Fixture *f, ElectionState from, ElectionState to) {
        step_for(f, from, to, f->started ? ELECTION_REASON_LINK_UP : ELECTION_REASON_STARTUP);
        f->started = true;
}

static void on_drained(void *userdata) {
        Fixture *f = userdata;
        g_assert_false(f->drained);
        f->drained = true;
}

/* Until no script runs and none waits. */
static void finish(Fixture *f) {
        f->drained = false;
        takeover_drain(f->takeover, DEADLINE_USEC, on_drained, f);
        while (!f->drained)
                g_assert_cmpint(sd_event_run(f->event, DEADLINE_USEC), >, 0);
}

static char *output(const Fixture *f) {
        char *text = NULL;
        return g_file_get_contents(f->output, &text, NULL, NULL) ? text : g_strdup("");
}

#define assert_output(f, expected)                            \
        do {                                                  \
                g_autofree char *text_ = output(f);           \
                g_assert_cmpstr(text_, ==, (expected));       \
        } while (0)

/* Runs the loop until the script has written that. */
static void wait_for_output(Fixture *f, const char *expected) {
        gint64 end = g_get_monotonic_time() + (gint64) DEADLINE_USEC;
        for (;;) {
                g_autofree char *text = output(f);
                if (g_str_equal(text, expected))
                        return;
                g_assert_cmpint(g_get_monotonic_time(), <, end);
                g_assert_cmpint(sd_event_run(f->event, USEC_PER_MSEC), >=, 0);
        }
}

/* Two scripts that write their name; up then waits for the file "go". */
static void separate_scripts(Fixture *f, char **ret_up, char **ret_down) {
        const char *body = "echo \"${0##*/}\" >> $out\n"
                           "case $0 in */up) until [ -e ${0%/*}/go ]; do sleep 0.01; done;; esac";
        char *up = g_build_filename(f->directory, "up", NULL), *down = g_build_filename(f->directory, "down", NULL);
        write_script(f, body);
        g_assert_cmpint(link(f->script, up), ==, 0);
        g_assert_cmpint(link(f->script, down), ==, 0);
        f->instance.config.takeover.up_script = *ret_up = up;
        f->instance.config.takeover.down_script = *ret_down = down;
}

static void let_go(const Fixture *f) {
        g_autofree char *go = g_build_filename(f->directory, "go", NULL);
        g_assert_true(g_file_set_contents(go, "", 0, NULL));
}

static void test_arguments_as_ucarp(Fixture *f, gconstpointer data) {
        step(f, ELECTION_STATE_BACKUP, ELECTION_STATE_MASTER);
        finish(f);
        assert_output(f, "2 eth0 192.0.2.10 \n");

        f->instance.config.takeover.script_parameter = (char *) "two words";
        step(f, ELECTION_STATE_MASTER, ELECTION_STATE_BACKUP);
        finish(f);
        assert_output(f, "2 eth0 192.0.2.10 \n3 eth0 192.0.2.10 two words\n");
}

static void test_which_steps_have_a_script(Fixture *f, gconstpointer data) {
        g_autofree char *up = NULL, *down = NULL;
        separate_scripts(f, &up, &down);
        let_go(f);
        const struct {
                ElectionState from, to;
                const char *expected;
        } steps[] = {
                { ELECTION_STATE_INIT, ELECTION_STATE_BACKUP, "down\n" },
                { ELECTION_STATE_BACKUP, ELECTION_STATE_INIT, "" },
                { ELECTION_STATE_INIT, ELECTION_STATE_BACKUP, "" },
                { ELECTION_STATE_BACKUP, ELECTION_STATE_MASTER, "up\n" },
                { ELECTION_STATE_MASTER, ELECTION_STATE_INIT, "down\n" },
                { ELECTION_STATE_INIT, ELECTION_STATE_MASTER, "up\n" },
                { ELECTION_STATE_MASTER, ELECTION_STATE_BACKUP, "down\n" },
        };
        for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
                (void) g_unlink(f->output);
                step(f, steps[i].from, steps[i].to);
                finish(f);
                assert_output(f, steps[i].expected);
        }
}

static void test_a_restarted_backup_has_no_script(Fixture *f, gconstpointer data) {
        step_for(f, ELECTION_STATE_BACKUP, ELECTION_STATE_INIT, ELECTION_REASON_LINK_DOWN);
        step_for(f, ELECTION_STATE_INIT, ELECTION_STATE_BACKUP, ELECTION_REASON_LINK_UP);
        finish(f);
        assert_output(f, "");
}

static void test_neutral_start_has_no_script(Fixture *f, gconstpointer data) {
        f->instance.config.takeover.neutral = true;
        step(f, ELECTION_STATE_INIT, ELECTION_STATE_BACKUP);
        finish(f);
        assert_output(f, "");
}

static void test_only_the_latest_wish_is_kept(Fixture *f, gconstpointer data) {
        g_autofree char *up = NULL, *down = NULL;
        separate_scripts(f, &up, &down);
        step(f, ELECTION_STATE_INIT, ELECTION_STATE_MASTER);
        wait_for_output(f, "up\n");
        for (int i = 0; i < 5; i++) {
                step(f, ELECTION_STATE_MASTER, ELECTION_STATE_BACKUP);
                step(f, ELECTION_STATE_BACKUP, ELECTION_STATE_MASTER);
        }
        step(f, ELECTION_STATE_MASTER, ELECTION_STATE_BACKUP);
        let_go(f);
        finish(f);
        assert_output(f, "up\ndown\n");
}

static void test_what_a_restart_cuts_off_is_begun_anew(Fixture *f, gconstpointer data) {
        g_autofree char *up = NULL, *down = NULL;
        bool is_up;

        separate_scripts(f, &up, &down);
        g_assert_false(takeover_is_pending(f->takeover, "web", &is_up));
        step(f, ELECTION_STATE_INIT, ELECTION_STATE_MASTER);
        wait_for_output(f, "up\n");
        g_assert_true(takeover_is_pending(f->takeover, "web", &is_up));
        g_assert_true(is_up);
        step(f, ELECTION_STATE_MASTER, ELECTION_STATE_BACKUP);
        g_assert_true(takeover_is_pending(f->takeover, "web", &is_up));
        g_assert_false(is_up);
        let_go(f);
        finish(f);
        g_assert_false(takeover_is_pending(f->takeover, "web", &is_up));
        takeover_resume(f->takeover, &f->instance, false);
        finish(f);
        assert_output(f, "up\ndown\ndown\n");
        f->instance.config.takeover.down_script = NULL;
        takeover_resume(f->takeover, &f->instance, false);
        g_assert_false(takeover_is_pending(f->takeover, "web", &is_up));
}

static void test_a_wish_that_is_being_fulfilled_is_dropped(Fixture *f, gconstpointer data) {
        g_autofree char *up = NULL, *down = NULL;
        separate_scripts(f, &up, &down);
        step(f, ELECTION_STATE_INIT, ELECTION_STATE_MASTER);
        step(f, ELECTION_STATE_MASTER, ELECTION_STATE_BACKUP);
        step(f, ELECTION_STATE_BACKUP, ELECTION_STATE_MASTER);
        let_go(f);
        finish(f);
        assert_output(f, "up\n");
}

static void test_last_wish_outlives_its_instance(Fixture *f, gconstpointer data) {
        g_autofree char *up = NULL, *down = NULL;
        separate_scripts(f, &up, &down);
        step(f, ELECTION_STATE_INIT, ELECTION_STATE_MASTER);
        wait_for_output(f, "up\n");
        step(f, ELECTION_STATE_MASTER, ELECTION_STATE_INIT);
        takeover_instance_removed(f->takeover, &f->instance);
        f->instance = (Instance) { .config = f->instance.config };
        f->started = false;
        f->instance.config.interface[0] = '\0';
        let_go(f);
        finish(f);
        assert_output(f, "up\ndown\n");

        /* and the next one of that name starts anew */
        step(f, ELECTION_STATE_INIT, ELECTION_STATE_BACKUP);
        finish(f);
        assert_output(f, "up\ndown\ndown\n");
}

/* What the log says when this script is the up script and runs. */
static char *log_of_script(Fixture *f, const char *script) {
        g_autofree char *path = g_build_filename(f->directory, "go", NULL);
        int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        g_auto(AutoFd) fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
        char *text = NULL;

        g_assert_cmpint(dup2(fd, STDERR_FILENO), ==, STDERR_FILENO);
        log_open("test", LOG_TARGET_STDERR, LOG_DAEMON);
        log_set_max_level(LOG_WARNING);
        f->instance.config.takeover.up_script = (char *) script;
        step(f, ELECTION_STATE_BACKUP, ELECTION_STATE_MASTER);
        finish(f);
        (void) dup2(saved, STDERR_FILENO);
        (void) close(saved);
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        return text;
}

static void test_failures_are_told(Fixture *f, gconstpointer data) {
        const struct {
                const char *body, *sentence;
        } cases[] = {
                { "exit 0", "" },
                { "exit 3", "failed with exit status 3" },
                { "exit 127", "failed with exit status 127" },
                { "kill -9 $$", "died by signal 9 (Killed)" },
        };
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                write_script(f, cases[i].body);
                g_autofree char *text = log_of_script(f, f->script);
                g_autofree char *expected =
                        cases[i].sentence[0] == '\0'
                                ? g_strdup("")
                                : g_strdup_printf("test: warning: web: up script '%s' %s\n", f->script, cases[i].sentence);
                g_assert_cmpstr(text, ==, expected);
        }

        g_autofree char *missing = log_of_script(f, "/nonexistent/script");
        g_assert_cmpstr(missing, ==,
                        "test: warning: web: up script '/nonexistent/script' cannot be executed: "
                        "No such file or directory\n");
}

static void test_failures_in_a_row_are_bounded_and_counted(Fixture *f, gconstpointer data) {
        unsigned n_lines = 0;
        write_script(f, "exit 3");
        for (unsigned i = 0; i < 30; i++) {
                g_autofree char *text = log_of_script(f, f->script);
                n_lines += text[0] != '\0';
        }
        g_assert_cmpuint(n_lines, ==, 20);
}

/* Enough for all but what tells us of its end: then it must not begin, or it would run twice, unwatched; tear_down() would find it. But it is not
 * forgotten, which whoever waits for scripts waits for. */
static void test_a_script_whose_end_would_not_be_told_waits(Fixture *f, gconstpointer data) {
        struct rlimit limit, few;
        int first = dup(STDIN_FILENO);

        g_assert_cmpint(first, >=, 0);
        (void) close(first);
        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        few = (struct rlimit) { .rlim_cur = (rlim_t) first + 2, .rlim_max = limit.rlim_max };
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
        step(f, ELECTION_STATE_BACKUP, ELECTION_STATE_MASTER);
        g_assert_cmpint(sd_event_run(f->event, USEC_PER_SEC), >, 0); /* tried again, in vain */
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        assert_output(f, "");
        finish(f);
        assert_output(f, "2 eth0 192.0.2.10 \n");
}

/* What could not be started is not what is wished for any more. */
static void test_a_newer_wish_replaces_one_that_could_not_begin(Fixture *f, gconstpointer data) {
        g_autofree char *up = NULL, *down = NULL;
        struct rlimit limit, none;

        separate_scripts(f, &up, &down);
        let_go(f);
        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        none = (struct rlimit) { .rlim_cur = STDERR_FILENO + 1, .rlim_max = limit.rlim_max };
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
        step(f, ELECTION_STATE_BACKUP, ELECTION_STATE_MASTER);
        takeover_instance_removed(f->takeover, &f->instance);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        step(f, ELECTION_STATE_MASTER, ELECTION_STATE_BACKUP);
        finish(f);
        assert_output(f, "down\n");
}

/* By sd-event, which does not watch while SIGCHLD is not blocked. tear_down() would find who was killed for it and is still a zombie. */
static void test_who_cannot_be_watched_leaves_nothing(Fixture *f, gconstpointer data) {
        sigset_t child;

        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        write_script(f, "sleep 60");
        g_assert_cmpint(sigprocmask(SIG_UNBLOCK, &child, NULL), ==, 0);
        step(f, ELECTION_STATE_BACKUP, ELECTION_STATE_MASTER);
        g_assert_cmpint(sigprocmask(SIG_BLOCK, &child, NULL), ==, 0);
        /* it has ended, and is the next one's to reap */
        g_assert_cmpint(waitid(P_ALL, 0, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), ==, 0);
        write_script(f, "true");
        step(f, ELECTION_STATE_MASTER, ELECTION_STATE_BACKUP);
        finish(f);
}

static void test_nothing_of_ours_is_inherited(Fixture *f, gconstpointer data) {
        /* not close-on-exec, as if whoever started us had left it open; out of the way of the shell's own */
        g_auto(AutoFd) leak = fcntl(STDERR_FILENO, F_DUPFD, 30);
        g_assert_cmpint(leak, >=, 30);
        (void) signal(SIGPIPE, SIG_IGN);
        /* Signals 32 and 33 are the C library's own: its posix_spawn(), by which make starts programs, leaves them ignored, and its signal()
         * does not know them. */
        g_autofree char *body =
                g_strdup_printf("[ -e /proc/$$/fd/%i ] && echo leak >> $out\n"
                                "readlink /proc/$$/fd/0 >> $out\n"
                                "grep -E '^Sig(Blk|Ign)' /proc/$$/status | cut -f2 | sed 's/^0000000[01][08]0000000$/0000000000000000/' >> $out\n"
                                "[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && echo leader >> $out",
                                leak);
        write_script(f, body);
        step(f, ELECTION_STATE_BACKUP, ELECTION_STATE_MASTER);
        finish(f);
        assert_output(f, "/dev/null\n0000000000000000\n0000000000000000\nleader\n");
}

static void test_what_the_service_manager_told_us_is_ours(Fixture *f, gconstpointer data) {
        static const char *const names[] = { "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY", "OTHER" };
        for (size_t k = 0; k < G_N_ELEMENTS(names); k++)
                g_assert_true(g_setenv(names[k], names[k], true));
        write_script(f, "echo $NOTIFY_SOCKET $WATCHDOG_PID $WATCHDOG_USEC $CREDENTIALS_DIRECTORY $OTHER > $out");
        step(f, ELECTION_STATE_BACKUP, ELECTION_STATE_MASTER);
        finish(f);
        assert_output(f, "OTHER\n");
        g_assert_cmpstr(g_getenv("NOTIFY_SOCKET"), ==, "NOTIFY_SOCKET");
        for (size_t k = 0; k < G_N_ELEMENTS(names); k++)
                g_unsetenv(names[k]);
}

static void test_drain_does_not_wait_for_ever(Fixture *f, gconstpointer data) {
        g_autofree char *up = NULL, *down = NULL;
        separate_scripts(f, &up, &down);
        step(f, ELECTION_STATE_INIT, ELECTION_STATE_MASTER);
        wait_for_output(f, "up\n");
        takeover_drain(f->takeover, 20 * USEC_PER_MSEC, on_drained, f);
        takeover_drain(f->takeover, USEC_INFINITY, on_drained, f);
        g_assert_false(f->drained);
        while (!f->drained)
                g_assert_cmpint(sd_event_run(f->event, DEADLINE_USEC), >, 0);

        let_go(f);
        finish(f);
        assert_output(f, "up\n");
}

static void test_overdue_script_is_killed_for_a_newer_wish(Fixture *f, gconstpointer data) {
        g_autofree char *up = NULL, *down = NULL;
        separate_scripts(f, &up, &down);
        step(f, ELECTION_STATE_INIT, ELECTION_STATE_MASTER);
        wait_for_output(f, "up\n");
        step(f, ELECTION_STATE_MASTER, ELECTION_STATE_BACKUP);
        takeover_drain(f->takeover, 40 * USEC_PER_SEC, on_drained, f);
        while (!f->drained)
                g_assert_cmpint(sd_event_run(f->event, 40 * USEC_PER_SEC), >, 0);
        assert_output(f, "up\ndown\n");
}

int main(int argc, char **argv) {
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        log_open("test-takeover", LOG_TARGET_STDERR, LOG_DAEMON);
        log_set_max_level(LOG_WARNING);

        g_test_init(&argc, &argv, NULL);
#define add(path, function) g_test_add("/takeover/" path, Fixture, NULL, set_up, function, tear_down)
        add("arguments-as-ucarp", test_arguments_as_ucarp);
        add("end-that-would-not-be-told", test_a_script_whose_end_would_not_be_told_waits);
        add("newer-wish-than-one-that-could-not-begin", test_a_newer_wish_replaces_one_that_could_not_begin);
        add("who-cannot-be-watched", test_who_cannot_be_watched_leaves_nothing);
        add("which-steps-have-a-script", test_which_steps_have_a_script);
        add("what-a-restart-cuts-off-is-begun-anew", test_what_a_restart_cuts_off_is_begun_anew);
        add("restarted-backup-has-no-script", test_a_restarted_backup_has_no_script);
        add("neutral-start-has-no-script", test_neutral_start_has_no_script);
        add("only-the-latest-wish-is-kept", test_only_the_latest_wish_is_kept);
        add("a-wish-that-is-being-fulfilled-is-dropped", test_a_wish_that_is_being_fulfilled_is_dropped);
        add("last-wish-outlives-its-instance", test_last_wish_outlives_its_instance);
        add("failures-are-told", test_failures_are_told);
        add("failures-in-a-row-are-bounded-and-counted", test_failures_in_a_row_are_bounded_and_counted);
        add("nothing-of-ours-is-inherited", test_nothing_of_ours_is_inherited);
        add("what-the-service-manager-told-us-is-ours", test_what_the_service_manager_told_us_is_ours);
        add("drain-does-not-wait-for-ever", test_drain_does_not_wait_for_ever);
        if (g_test_slow()) /* half a minute: with -m slow */
                add("overdue-script-is-killed-for-a-newer-wish", test_overdue_script_is_killed_for_a_newer_wish);
#undef add
        return g_test_run();
}
