/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs the up and down scripts on role changes, with ucarp's arguments: SCRIPT INTERFACE VIP [PARAMETER]. Hears of
 * role changes as an observer and tells nobody anything back: whatever a script does, or fails to do, the election
 * goes on. So a script is forked and watched, never awaited; what it needs is copied, because the instance may be
 * gone when its turn comes. Knows neither the manager nor the bus. */
#include "takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/child.h"
#include "util/cleanup.h"
#include "util/drain.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/message-ids.h"
#include "util/ratelimit.h"
#include "util/time-util.h"

/* A script that runs longer than this while the role has changed again is in the way of the truth. */
#define SCRIPT_OVERDUE_USEC (30 * USEC_PER_SEC)

/* For want of descriptors or processes a script cannot be started, and then is tried again so much later. */
#define AGAIN_USEC (250 * USEC_PER_MSEC)

/* Peers that fight over the role start scripts as often as these end. */
#define LOG_BURST 20
#define LOG_INTERVAL_USEC (10 * USEC_PER_SEC)

/* A script to be run: argv[0] is its path. */
typedef struct Wish {
        bool up;
        bool refused; /* it could not be started, and that was told */
        char **argv;
} Wish;

typedef struct Job {
        Takeover *takeover; /* borrowed parent */
        char *name;
        bool removed; /* the instance is gone: forget this job when it has nothing left to do */
        Wish *running, *waiting;
        pid_t pid; /* also its process group */
        bool killed;
        AutoFd exec_error_fd; /* the child writes errno here if it cannot execute the script */
        sd_event_source *child, *overdue, *again;
        RateLimit start_limit, failure_limit; /* lines */
} Job;

struct Takeover {
        sd_event *event;
        GHashTable *jobs; /* name → Job */
        Drain drain;
};

static Wish *wish_free(Wish *w) {
        if (!w)
                return NULL;
        g_strfreev(w->argv);
        g_free(w);
        return NULL;
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Wish, wish_free)

static Wish *wish_new(const InstanceConfig *config, bool up) {
        const char *script = up ? config->takeover.up_script : config->takeover.down_script;
        if (!script)
                return NULL;

        char address[IP_ADDRESS_TEXT_BYTES] = "";
        if (config->n_addresses > 0)
                (void) ip_address_format(&config->addresses[0].address, address);

        Wish *w = g_new0(Wish, 1);
        w->up = up;
        w->argv = g_new0(char *, 5);
        w->argv[0] = g_strdup(script);
        w->argv[1] = g_strdup(config->interface);
        w->argv[2] = g_strdup(address);
        w->argv[3] = g_strdup(config->takeover.script_parameter); /* NULL stays NULL */
        return w;
}

static const char *wish_word(const Wish *w) {
        return w->up ? "up" : "down";
}

static void job_set_waiting(Job *j, Wish *w) {
        (void) wish_free(j->waiting);
        j->waiting = w;
}

static Job *job_free(Job *j) {
        if (!j)
                return NULL;
        sd_event_source_disable_unref(j->child);
        sd_event_source_disable_unref(j->overdue);
        sd_event_source_disable_unref(j->again);
        auto_fd_clear(&j->exec_error_fd);
        (void) wish_free(j->running);
        (void) wish_free(j->waiting);
        g_free(j->name);
        g_free(j);
        return NULL;
}

static void job_destroy(gpointer data) {
        (void) job_free(data);
}

static bool job_may_log(const Job *j, RateLimit *limit, char more[RATELIMIT_TEXT_BYTES]) {
        static const RateRule rule = { .interval_usec = LOG_INTERVAL_USEC, .burst = LOG_BURST };
        uint64_t now_usec = 0, n_suppressed;
        (void) sd_event_now(j->takeover->event, CLOCK_BOOTTIME, &now_usec);
        if (!ratelimit_pass(limit, &rule, now_usec, &n_suppressed))
                return false;
        (void) ratelimit_format(n_suppressed, more);
        return true;
}

static void G_GNUC_PRINTF(3, 4) job_log_failure(Job *j, int error, const char *format, ...) {
        char reason[256], more[RATELIMIT_TEXT_BYTES];
        if (!job_may_log(j, &j->failure_limit, more))
                return;
        va_list ap;
        va_start(ap, format);
        errno = -error;
        (void) g_vsnprintf(reason, sizeof(reason), format, ap);
        va_end(ap);

        const LogField fields[] = {
                { "VIPD_INSTANCE", j->name },
                { "VIPD_SCRIPT", j->running->argv[0] },
                { NULL, NULL },
        };
        log_write(LOG_WARNING, MESSAGE_ID_SCRIPT_FAILED_STR, fields, -error, __FILE__, __LINE__, __func__,
                  "%s: %s script '%s' %s%s", j->name, wish_word(j->running), j->running->argv[0], reason, more);
}

/* Between fork and exec. */
static void __attribute__((noreturn)) child_execute(char **argv, int error_fd) {
        child_settle(NULL, 0);
        (void) execve(argv[0], argv, environ);
        int error = errno;
        (void) !write(error_fd, &error, sizeof(error));
        _exit(127);
}

static void job_next(Job *j);

static void takeover_check_drained(Takeover *t) {
        GHashTableIter iter;
        gpointer value;
        g_hash_table_iter_init(&iter, t->jobs);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                if (((Job *) value)->running || ((Job *) value)->waiting)
                        return;

        drain_end(&t->drain);
}

static void job_log_exit(Job *j, const siginfo_t *si) {
        int error = 0;
        if (read(j->exec_error_fd, &error, sizeof(error)) == (ssize_t) sizeof(error))
                job_log_failure(j, -error, "cannot be executed: %m");
        else if (j->killed)
                job_log_failure(j, 0, "was killed: it still ran %u s after the role had changed again",
                                (unsigned) (SCRIPT_OVERDUE_USEC / USEC_PER_SEC));
        else if (si->si_code != CLD_EXITED)
                job_log_failure(j, 0, "died by signal %i (%s)", si->si_status, strsignal(si->si_status));
        else if (si->si_status != 0)
                job_log_failure(j, 0, "failed with exit status %i", si->si_status);
        else
                log_debug("%s: %s script is done", j->name, wish_word(j->running));
}

static int on_child(sd_event_source *source, const siginfo_t *si, void *userdata) {
        Job *j = userdata;
        Takeover *t = j->takeover;

        job_log_exit(j, si);
        j->child = sd_event_source_disable_unref(j->child);
        j->overdue = sd_event_source_disable_unref(j->overdue);
        auto_fd_clear(&j->exec_error_fd);
        j->running = wish_free(j->running);
        j->pid = 0;

        job_next(j);
        takeover_check_drained(t); /* j may be gone */
        return 0;
}

static int on_overdue(sd_event_source *source, uint64_t usec, void *userdata) {
        Job *j = userdata;
        j->overdue = sd_event_source_disable_unref(j->overdue);
        j->killed = true;
        if (kill(-j->pid, SIGKILL) < 0)
                log_warning_errno(-errno, "%s: %s script cannot be killed: %m", j->name, wish_word(j->running));
        return 0;
}

/* Takes the wish. */
static int job_run(Job *j, Wish *wish) {
        j->running = wish;

        int fds[2];
        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        j->exec_error_fd = fds[0];
        g_auto(AutoFd) error_fd = fds[1];

        char more[RATELIMIT_TEXT_BYTES];
        if (!wish->refused && job_may_log(j, &j->start_limit, more))
                log_info("%s: running %s script '%s'%s", j->name, wish_word(wish), wish->argv[0], more);
        j->killed = false;
        j->pid = child_fork(j->takeover->event, &j->child, on_child, j);
        if (j->pid < 0)
                return j->pid;
        if (j->pid == 0)
                child_execute(wish->argv, error_fd);
        (void) setpgid(j->pid, j->pid); /* the child does it too: whoever comes first, it is done before a kill */
        (void) sd_event_source_set_description(j->child, "takeover-script");
        return sd_event_source_set_priority(j->child, EVENT_PRIORITY_SIGNAL);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Job *j = userdata;
        Takeover *t = j->takeover;

        job_next(j);
        takeover_check_drained(t); /* j may be gone */
        return 0;
}

/* What could not be started waits, unless a newer wish takes its place. */
static void job_put_back(Job *j, int error) {
        if (!j->running->refused)
                job_log_failure(j, error, "cannot be started, and is tried again: %m");
        j->running->refused = true;
        j->waiting = g_steal_pointer(&j->running);
        auto_fd_clear(&j->exec_error_fd);
        j->pid = 0;

        int r = sd_event_add_time_relative(j->takeover->event, &j->again, CLOCK_BOOTTIME, AGAIN_USEC, EVENT_ACCURACY_USEC, on_again, j);
        if (r < 0)
                log_warning_errno(r, "%s: no timer for the script: %m", j->name);
}

/* Runs what waits, if nothing runs; forgets the job when its instance is gone and all is done. */
static void job_next(Job *j) {
        j->again = sd_event_source_disable_unref(j->again);
        if (!j->running && j->waiting) {
                int r = job_run(j, g_steal_pointer(&j->waiting));
                if (r < 0 && !j->child)
                        job_put_back(j, r);
        }
        if (!j->running && !j->waiting && j->removed)
                g_hash_table_remove(j->takeover->jobs, j->name);
}

static void job_arm_overdue(Job *j) {
        if (j->overdue)
                return;
        int r = sd_event_add_time_relative(j->takeover->event, &j->overdue, CLOCK_BOOTTIME, SCRIPT_OVERDUE_USEC,
                                           EVENT_ACCURACY_USEC, on_overdue, j);
        if (r < 0)
                log_warning_errno(r, "%s: no timer for the script: %m", j->name);
}

/* Takes the wish, which is NULL if the role has no script: then what waited for its turn is outdated all the same. */
static void job_wish(Job *j, Wish *wish) {
        g_autoptr(Wish) w = wish;

        if (w && j->running && !j->killed &&
            g_strv_equal((const char *const *) w->argv, (const char *const *) j->running->argv))
                w = wish_free(w);
        job_set_waiting(j, g_steal_pointer(&w));

        if (j->running && j->waiting)
                job_arm_overdue(j);
        else
                j->overdue = sd_event_source_disable_unref(j->overdue);
        job_next(j);
}

static Job *takeover_job(Takeover *t, const char *name) {
        Job *j = g_hash_table_lookup(t->jobs, name);
        if (j)
                return j;
        j = g_new0(Job, 1);
        j->takeover = t;
        j->name = g_strdup(name);
        j->exec_error_fd = -1;
        g_hash_table_insert(t->jobs, j->name, j);
        return j;
}

/**
 * takeover_new() - an observer that runs scripts on this loop
 * @ret: freed by takeover_free()
 * @event: referenced
 *
 * SIGCHLD must be blocked in the whole process. Return: 0.
 */
int takeover_new(Takeover **ret, sd_event *event) {
        Takeover *t = g_new0(Takeover, 1);
        t->event = sd_event_ref(event);
        t->jobs = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, job_destroy);
        *ret = t;
        return 0;
}

/**
 * takeover_free() - scripts that run are left to finish on their own, those that wait are forgotten
 * @t: may be NULL
 */
Takeover *takeover_free(Takeover *t) {
        if (!t)
                return NULL;
        g_hash_table_unref(t->jobs);
        drain_clear(&t->drain);
        sd_event_unref(t->event);
        g_free(t);
        return NULL;
}

/**
 * takeover_instance_changed() - wish for the script of the new role
 * @i: only read, nothing of it is kept
 * @transition: the role change; NULL is ignored
 *
 * Becoming master wishes for the up script. The down script goes with leaving master, and with the first step to
 * backup after the start, which cleans up behind a predecessor that was killed; unless the instance is neutral.
 */
void takeover_instance_changed(Takeover *t, Instance *i, const InstanceTransition *transition) {
        if (!transition)
                return;

        const InstanceConfig *config = instance_config(i);
        /* the first one after a restart is another */
        bool first = transition->from == ELECTION_STATE_INIT && transition->reason == ELECTION_REASON_STARTUP;
        bool up = transition->to == ELECTION_STATE_MASTER;
        if (!up && transition->from != ELECTION_STATE_MASTER && (!first || config->takeover.neutral))
                return;

        g_autoptr(Wish) wish = wish_new(config, up);
        Job *j = wish ? takeover_job(t, config->name) : g_hash_table_lookup(t->jobs, config->name);
        if (!j)
                return;
        j->removed = false;
        job_wish(j, g_steal_pointer(&wish));
}

/**
 * takeover_instance_removed() - forget the instance once the script it still wishes for has run
 */
void takeover_instance_removed(Takeover *t, Instance *i) {
        Job *j = g_hash_table_lookup(t->jobs, instance_config(i)->name);
        if (!j)
                return;
        j->removed = true;
        job_next(j);
}

bool takeover_is_pending(const Takeover *t, const char *name, bool *ret_up) {
        const Job *j = g_hash_table_lookup(t->jobs, name);

        if (!j || (!j->running && !j->waiting))
                return false;
        *ret_up = (j->waiting ?: j->running)->up;
        return true;
}

/**
 * takeover_resume() - wish for a script that a restart has ended, or kept from its turn
 *
 * From its beginning: with the process that started it, systemd has ended what was left of it.
 */
void takeover_resume(Takeover *t, Instance *i, bool up) {
        g_autoptr(Wish) wish = wish_new(instance_config(i), up);

        if (wish)
                job_wish(takeover_job(t, instance_config(i)->name), g_steal_pointer(&wish));
}

/**
 * takeover_drain() - at exit, wait for the scripts that run and those that wait behind them
 * @timeout_usec: at most that long
 * @done: called exactly once; before this function returns if there is nothing to wait for
 *
 * A second call while the first still waits changes nothing, and its @done is not called: a user may well send
 * SIGTERM twice.
 */
void takeover_drain(Takeover *t, uint64_t timeout_usec, void (*done)(void *userdata), void *userdata) {
        if (drain_begin(&t->drain, t->event, timeout_usec, "scripts to finish", done, userdata))
                takeover_check_drained(t);
}
