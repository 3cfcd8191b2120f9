/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The log: what a line looks like at each destination, and that nobody who does not read can hold us up. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/log.h"
#include "util/ratelimit.h"

/* stderr replaced by a pipe for the length of a scope. */
typedef struct Capture {
        int saved, read_end;
} Capture;

static void capture_begin(Capture *c, LogTarget target) {
        int fds[2];
        g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
        c->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        c->read_end = fds[0];
        g_assert_cmpint(fcntl(c->read_end, F_SETFL, O_NONBLOCK), ==, 0);
        g_assert_cmpint(dup2(fds[1], STDERR_FILENO), ==, STDERR_FILENO);
        (void) close(fds[1]);
        log_open("test", target, LOG_DAEMON);
}

static char *capture_read(Capture *c) {
        g_autoptr(GString) text = g_string_new(NULL);
        char buffer[4096];
        ssize_t n;
        while ((n = read(c->read_end, buffer, sizeof(buffer))) > 0)
                g_string_append_len(text, buffer, n);
        return g_string_free(g_steal_pointer(&text), FALSE);
}

static void capture_end(Capture *c) {
        log_close();
        (void) dup2(c->saved, STDERR_FILENO);
        (void) close(c->saved);
        (void) close(c->read_end);
}

static void test_line_on_stderr(void) {
        Capture c;
        capture_begin(&c, LOG_TARGET_STDERR);
        errno = EBUSY;
        log_info("all is %s", "well");
        log_warning_errno(-ENOENT, "no file: %m");
        g_assert_cmpint(errno, ==, EBUSY);
        log_error("one\ntwo\033[1m");
        log_debug("not wanted");

        g_autofree char *text = capture_read(&c);
        capture_end(&c);
        g_assert_cmpstr(text, ==,
                        "test: all is well\n"
                        "test: warning: no file: No such file or directory\n"
                        "test: error: one two?[1m\n");
}

static void test_long_line_is_cut_visibly(void) {
        g_autofree char *large = g_strnfill(5000, 'x');
        Capture c;
        capture_begin(&c, LOG_TARGET_STDERR);
        log_info("%s", large);
        g_autofree char *text = capture_read(&c);
        capture_end(&c);
        g_assert_true(g_str_has_suffix(text, "xxx...\n"));
        g_assert_cmpuint(strlen(text), <=, 4096);
}

static void test_glib_messages_are_lines(void) {
        Capture c;
        capture_begin(&c, LOG_TARGET_STDERR);
        g_log_set_always_fatal(G_LOG_FATAL_MASK);
        g_log("Somebody", G_LOG_LEVEL_WARNING, "did %s", "something");
        g_autofree char *text = capture_read(&c);
        capture_end(&c);
        g_assert_cmpstr(text, ==, "test: warning: Somebody: did something\n");
}

static void test_full_pipe_never_blocks_and_losses_are_told(void) {
        Capture c;
        capture_begin(&c, LOG_TARGET_STDERR);
        uint64_t before = log_n_dropped();
        g_autofree char *large = g_strnfill(1000, 'x');
        for (int i = 0; i < 200; i++)
                log_info("%s", large);
        uint64_t lost = log_n_dropped() - before;
        g_assert_cmpuint(lost, >, 0);
        g_assert_cmpuint(lost, <, 200);

        g_free(capture_read(&c));
        log_info("back");
        log_info("again");
        g_autofree char *text = capture_read(&c);
        g_autofree char *expected = g_strdup_printf(
                "test: warning: %" G_GUINT64_FORMAT " log lines were lost, because nobody took them in time\n"
                "test: back\ntest: again\n",
                lost);
        capture_end(&c);
        g_assert_cmpstr(text, ==, expected);
}

static void test_nobody_reads_the_pipe(void) {
        Capture c;
        capture_begin(&c, LOG_TARGET_STDERR);
        uint64_t before = log_n_dropped();
        (void) close(c.read_end);
        c.read_end = -1;
        log_info("no SIGPIPE");
        g_assert_cmpuint(log_n_dropped(), ==, before + 1);
        capture_end(&c);

        /* so that the later cases do not begin with a line about this one */
        capture_begin(&c, LOG_TARGET_STDERR);
        log_info("flush");
        capture_end(&c);
}

static void test_nothing_is_written_after_close_or_to_none(void) {
        Capture c;
        capture_begin(&c, LOG_TARGET_NONE);
        uint64_t before = log_n_dropped();
        log_error("nowhere");
        g_autofree char *text = capture_read(&c);
        capture_end(&c);
        g_assert_cmpstr(text, ==, "");
        g_assert_cmpuint(log_n_dropped(), ==, before);
}

static void test_level_names(void) {
        g_assert_cmpint(log_level_from_string("emerg"), ==, LOG_EMERG);
        g_assert_cmpint(log_level_from_string("warning"), ==, LOG_WARNING);
        g_assert_cmpint(log_level_from_string("debug"), ==, LOG_DEBUG);
        g_assert_cmpint(log_level_from_string("0"), ==, LOG_EMERG);
        g_assert_cmpint(log_level_from_string("7"), ==, LOG_DEBUG);
        static const char *const wrong[] = { "8", "-1", "", "Debug", "warn ", "77" };
        for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
                g_assert_cmpint(log_level_from_string(wrong[i]), ==, -EINVAL);
}

static void test_ratelimit_bounds_and_counts(void) {
        const RateRule rule = { .interval_usec = 1000, .burst = 2 };
        RateLimit limit = { 0 };
        uint64_t n = 99;
        g_assert_true(ratelimit_pass(&limit, &rule, 5000, &n));
        g_assert_cmpuint(n, ==, 0);
        g_assert_true(ratelimit_pass(&limit, &rule, 5999, &n));
        for (int i = 0; i < 7; i++)
                g_assert_false(ratelimit_pass(&limit, &rule, 5999, &n));
        g_assert_true(ratelimit_pass(&limit, &rule, 6000, &n));
        g_assert_cmpuint(n, ==, 7);
        g_assert_true(ratelimit_pass(&limit, &rule, 6001, &n));
        g_assert_cmpuint(n, ==, 0);
}

static void test_what_was_not_told_is_told_with_the_next_line(void) {
        char text[RATELIMIT_TEXT_BYTES];
        g_assert_cmpstr(ratelimit_format(0, text), ==, "");
        g_assert_cmpstr(ratelimit_format(12, text), ==, " (12 more not told)");
        g_assert_cmpstr(ratelimit_format(UINT64_MAX, text), ==, " (18446744073709551615 more not told)");
}

/* A /run and a /dev of our own, with the sockets of journald and syslogd in them. */
static int bind_socket(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(fd, >=, 0);
        (void) g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
        g_assert_cmpint(bind(fd, (struct sockaddr *) &address, sizeof(address)), ==, 0);
        return fd;
}

static bool enter_namespace(void) {
        if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
                return false;
        return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) >= 0 && mount("none", "/run", "tmpfs", 0, NULL) >= 0;
}

static void pretend_stderr_is_journal(void) {
        struct stat st;
        g_assert_cmpint(fstat(STDERR_FILENO, &st), ==, 0);
        g_autofree char *stream = g_strdup_printf("%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
        g_setenv("JOURNAL_STREAM", stream, TRUE);
}

static void test_journal_gets_fields_and_never_blocks(void) {
        if (!enter_namespace()) {
                g_test_skip("no mount namespace for a journal of our own");
                return;
        }
        g_assert_cmpint(g_mkdir_with_parents("/run/systemd/journal", 0755), ==, 0);
        g_auto(AutoFd) journal = bind_socket("/run/systemd/journal/socket");
        pretend_stderr_is_journal();
        log_open("test", LOG_TARGET_AUTO, LOG_DAEMON);
        g_unsetenv("JOURNAL_STREAM");

        const LogField fields[] = {
                { "VIPD_INSTANCE", "web" },
                { "VIPD_PEER", NULL },
                { "VIPD_OTHER", "a\nb" },
                { NULL, NULL },
        };
        log_write(LOG_NOTICE, "00112233445566778899aabbccddeeff", fields, ENOENT, "file.c", 7, "function", "it: %m");

        char buffer[8192];
        ssize_t n = recv(journal, buffer, sizeof(buffer), 0);
        const char expected[] = "MESSAGE=it: No such file or directory\n"
                                "PRIORITY=5\n"
                                "SYSLOG_IDENTIFIER=test\n"
                                "SYSLOG_FACILITY=3\n"
                                "MESSAGE_ID=00112233445566778899aabbccddeeff\n"
                                "ERRNO=2\n"
                                "VIPD_INSTANCE=web\n"
                                "VIPD_OTHER\n\3\0\0\0\0\0\0\0a\nb\n"
                                "CODE_FILE=file.c\n"
                                "CODE_LINE=7\n"
                                "CODE_FUNC=function\n";
        g_assert_cmpmem(buffer, (size_t) n, expected, sizeof(expected) - 1);

        uint64_t before = log_n_dropped();
        for (int i = 0; i < 2000; i++)
                log_info("nobody reads this");
        g_assert_cmpuint(log_n_dropped(), >, before);

        while (recv(journal, buffer, sizeof(buffer), 0) > 0)
                ;
        log_info("flush");
        log_close();
}

static void test_syslog_gets_facility_and_level(void) {
        if (g_access("/run/systemd/journal/socket", F_OK) < 0) {
                g_test_skip("no mount namespace of our own");
                return;
        }
        g_assert_cmpint(mount("none", "/dev", "tmpfs", 0, NULL), ==, 0);
        g_auto(AutoFd) syslogd = bind_socket("/dev/log");
        Capture c;
        capture_begin(&c, LOG_TARGET_SYSLOG);
        log_open("test", LOG_TARGET_SYSLOG, LOG_LOCAL3);
        log_warning("a\nb");
        g_autofree char *text = capture_read(&c);
        capture_end(&c);

        char buffer[8192];
        ssize_t n = recv(syslogd, buffer, sizeof(buffer), 0);
        g_autofree char *expected = g_strdup_printf("<156>test[%i]: a b", (int) getpid());
        g_assert_cmpmem(buffer, (size_t) n, expected, strlen(expected));
        g_assert_cmpstr(text, ==, "test: warning: a b\n");
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_unsetenv("JOURNAL_STREAM");
        g_test_add_func("/log/line-on-stderr", test_line_on_stderr);
        g_test_add_func("/log/long-line-is-cut-visibly", test_long_line_is_cut_visibly);
        g_test_add_func("/log/glib-messages-are-lines", test_glib_messages_are_lines);
        g_test_add_func("/log/full-pipe-never-blocks-and-losses-are-told", test_full_pipe_never_blocks_and_losses_are_told);
        g_test_add_func("/log/nobody-reads-the-pipe", test_nobody_reads_the_pipe);
        g_test_add_func("/log/nothing-after-close-or-to-none", test_nothing_is_written_after_close_or_to_none);
        g_test_add_func("/log/level-names", test_level_names);
        g_test_add_func("/ratelimit/bounds-and-counts", test_ratelimit_bounds_and_counts);
        g_test_add_func("/ratelimit/what-was-not-told-is-told-with-the-next-line", test_what_was_not_told_is_told_with_the_next_line);
        /* these two leave the mount namespace, so they are last */
        g_test_add_func("/log/journal-gets-fields-and-never-blocks", test_journal_gets_fields_and_never_blocks);
        g_test_add_func("/log/syslog-gets-facility-and-level", test_syslog_gets_facility_and_level);
        return g_test_run();
}
