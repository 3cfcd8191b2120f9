/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check/checker.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "util/child.h"
#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/time-util.h"

/* Keeps one vipd-checker running. It reads what foreign hosts send, so it is a process of its own, without capabilities, and nothing it says is
 * believed before it was looked at. Knows what a probe is no more than the number it has. Never waits for the process: reports are taken when
 * they come, and an end of it is news like any other. */

/* A process that dies at once, over and over, costs a fork each time. Yet one that does its work between must not be away for longer than checks
 * with ordinary times are patient, however often it dies. */
#define RESTART_FIRST_USEC (20 * USEC_PER_MSEC)
#define RESTART_LAST_USEC USEC_PER_SEC
/* What has run so long has not died at once. */
#define RUN_LONG_USEC (60 * USEC_PER_SEC)
/* So long after the end of its socket a process has ended, or never will by itself. */
#define END_USEC (2 * USEC_PER_SEC)
/* Reports taken in one pass of the loop; the rest waits for the next, behind adverts and timers. */
#define REPORTS_PER_PASS 16
#define FDS_ABOVE 10

struct Checker {
        sd_event *event;
        char *program;
        CheckerObserver observer;
        char *key_file; /* NULL: nothing to probe */
        uint32_t n_probes;
        pid_t pid; /* 0: none */
        AutoFd reports_fd;
        sd_event_source *reports, *child, *restart;
        uint64_t started_usec, backoff_usec, n_starts;
        bool told; /* of a failure, and none has been rare since */
};

static uint64_t now(const Checker *c) {
        uint64_t t = 0;

        (void) sd_event_now(c->event, CLOCK_BOOTTIME, &t);
        return t;
}

int checker_new(Checker **ret, sd_event *event, const char *program, const CheckerObserver *observer) {
        Checker *c = g_new0(Checker, 1);

        c->event = sd_event_ref(event);
        c->program = g_strdup(program);
        c->observer = *observer;
        c->reports_fd = -1;
        *ret = c;
        return 0;
}

static void forget_process(Checker *c) {
        c->reports = sd_event_source_disable_unref(c->reports);
        auto_fd_clear(&c->reports_fd);
        c->child = sd_event_source_disable_unref(c->child);
        c->pid = 0;
}

/* The two belong to the loop, which nobody else may outlive, until the process has ended. */
static int on_reaped(sd_event_source *source, const siginfo_t *si, void *userdata) {
        sd_event_source *timer = userdata;

        if (timer)
                (void) sd_event_source_set_floating(timer, false);
        (void) sd_event_source_set_floating(source, false);
        return 0;
}

static int on_overstayed(sd_event_source *source, uint64_t usec, void *userdata) {
        sd_event_source *child = userdata;

        (void) sd_event_source_send_child_signal(child, SIGKILL, NULL, 0);
        (void) sd_event_source_set_time_relative(source, END_USEC);
        (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static void reap_later(const Checker *c, pid_t pid) {
        sd_event_source *child = NULL, *timer = NULL;

        if (sd_event_add_child(c->event, &child, pid, WEXITED, on_reaped, NULL) < 0)
                return;
        (void) sd_event_source_set_floating(child, true);
        if (sd_event_add_time_relative(c->event, &timer, CLOCK_BOOTTIME, END_USEC, EVENT_ACCURACY_USEC, on_overstayed, child) >= 0)
                (void) sd_event_source_set_floating(timer, true);
        (void) sd_event_source_set_userdata(child, timer);
        sd_event_source_unref(timer);
        sd_event_source_unref(child);
}

/* The end of the socket alone does for one that is well; it ends those it started. One that is not is killed. */
static void end_process(Checker *c, bool kill_it) {
        pid_t pid = c->pid;

        forget_process(c);
        if (pid > 0 && kill_it)
                (void) kill(pid, SIGKILL);
        if (pid > 0)
                reap_later(c, pid);
}

Checker *checker_free(Checker *c) {
        if (!c)
                return NULL;
        forget_process(c);
        c->restart = sd_event_source_disable_unref(c->restart);
        g_free(c->key_file);
        g_free(c->program);
        sd_event_unref(c->event);
        g_free(c);
        return NULL;
}

bool checker_parse_report(const void *datagram, size_t n_bytes, uint32_t n_probes, uint32_t *ret_probe, bool *ret_good, char *ret_text) {
        CheckerReport report;
        g_autofree char *valid = NULL;

        if (n_bytes < CHECKER_REPORT_BYTES_MIN || n_bytes > CHECKER_REPORT_BYTES_MAX)
                return false;
        memcpy(&report, datagram, n_bytes);
        if (report.probe >= n_probes || report.outcome > CHECKER_OUTCOME_BAD)
                return false;
        valid = g_utf8_make_valid(report.text, (gssize) (n_bytes - CHECKER_REPORT_BYTES_MIN));
        for (char *p = valid; *p; p = g_utf8_next_char(p))
                if (g_unichar_iscntrl(g_utf8_get_char(p))) {
                        char *rest = g_utf8_next_char(p);

                        *p = ' ';
                        memmove(p + 1, rest, strlen(rest) + 1);
                }
        /* what was no UTF-8 has grown */
        if (strlen(valid) > CHECKER_TEXT_BYTES_MAX)
                *g_utf8_find_prev_char(valid, valid + CHECKER_TEXT_BYTES_MAX + 1) = '\0';
        *ret_probe = report.probe;
        *ret_good = report.outcome == CHECKER_OUTCOME_GOOD;
        g_strlcpy(ret_text, valid, CHECKER_TEXT_BYTES_MAX + 1);
        return true;
}

static int on_reports(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Checker *c = userdata;

        for (unsigned k = 0; k < REPORTS_PER_PASS; k++) {
                char text[CHECKER_TEXT_BYTES_MAX + 1], datagram[CHECKER_REPORT_BYTES_MAX];
                ssize_t n = recv(fd, datagram, sizeof(datagram), MSG_DONTWAIT | MSG_TRUNC);
                uint32_t probe;
                bool good;

                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return 0;
                if (n <= 0) {
                        /* it is about to end, or pretends to: on_child() or the probes' own patience see to it */
                        c->reports = sd_event_source_disable_unref(c->reports);
                        return 0;
                }
                if (checker_parse_report(datagram, (size_t) n, c->n_probes, &probe, &good, text))
                        c->observer.report(c->observer.userdata, probe, good, text);
        }
        return 0;
}

static void start(Checker *c);

static int on_restart(sd_event_source *source, uint64_t usec, void *userdata) {
        Checker *c = userdata;

        c->restart = sd_event_source_disable_unref(c->restart);
        start(c);
        return 0;
}

static void start_later(Checker *c) {
        if (!c->key_file || c->restart)
                return;
        if (c->backoff_usec == 0 || now(c) - c->started_usec >= RUN_LONG_USEC)
                c->backoff_usec = RESTART_FIRST_USEC;
        if (sd_event_add_time(c->event, &c->restart, CLOCK_BOOTTIME, now(c) + c->backoff_usec, EVENT_ACCURACY_USEC, on_restart, c) >= 0)
                (void) sd_event_source_set_priority(c->restart, EVENT_PRIORITY_SIGNAL);
        c->backoff_usec = usec_min(2 * c->backoff_usec, RESTART_LAST_USEC);
}

/* Whether this end of the process is worth a line: not if it is one of many. */
static bool may_tell(Checker *c) {
        bool told = c->told;

        c->told = now(c) - c->started_usec < RUN_LONG_USEC;
        return !told || !c->told;
}

static int on_child(sd_event_source *source, const siginfo_t *si, void *userdata) {
        Checker *c = userdata;

        if (may_tell(c))
                log_warning("%s %s %i; it is started again, and what it probed is unknown until it answers", c->program,
                            si->si_code == CLD_EXITED ? "ended with exit status" : "was ended by signal", si->si_status);
        forget_process(c);
        c->observer.gone(c->observer.userdata);
        start_later(c);
        return 0;
}

static int probes_fd(const Checker *c) {
        int fd = memfd_create("vipd-probes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        size_t n = strlen(c->key_file);

        if (fd < 0)
                return -errno;
        for (size_t done = 0; done < n;) {
                ssize_t r = write(fd, c->key_file + done, n - done);

                if (r < 0) {
                        r = -errno;
                        (void) close(fd);
                        return (int) r;
                }
                done += (size_t) r;
        }
        (void) lseek(fd, 0, SEEK_SET);
        (void) fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
        return fd;
}

/* Between fork and exec. */
static void __attribute__((noreturn)) child_execute(const char *program, const int fds[2]) {
        char *const argv[] = { (char *) "vipd-checker", NULL };

        child_settle(fds, 2);
        (void) execv(program, argv);
        _exit(127);
}

static int spawn(Checker *c) {
        g_auto(AutoFd) probes = probes_fd(c), its_end = -1, probes_above = -1;
        int ends[2], fds[2];

        if (probes < 0)
                return probes;
        if (access(c->program, X_OK) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
                return -errno;
        c->reports_fd = ends[0];
        its_end = fcntl(ends[1], F_DUPFD_CLOEXEC, FDS_ABOVE);
        (void) close(ends[1]);
        probes_above = fcntl(probes, F_DUPFD_CLOEXEC, FDS_ABOVE);
        if (its_end < 0 || probes_above < 0)
                return -errno;
        fds[0] = its_end;
        fds[1] = probes_above;
        c->pid = child_fork(c->event, &c->child, on_child, c);
        if (c->pid == 0)
                child_execute(c->program, fds);
        return c->pid < 0 ? c->pid : 0;
}

static void start(Checker *c) {
        int r;

        c->started_usec = now(c);
        r = spawn(c);
        if (r >= 0)
                r = sd_event_add_io(c->event, &c->reports, c->reports_fd, EPOLLIN, on_reports, c);
        if (r >= 0) {
                c->n_starts++;
                (void) sd_event_source_set_priority(c->child, EVENT_PRIORITY_SIGNAL);
                (void) sd_event_source_set_priority(c->reports, EVENT_PRIORITY_SIGNAL);
                c->observer.started(c->observer.userdata);
                return;
        }
        if (!c->told)
                log_error_errno(r, "%s cannot be started, and the checks of type command, http and tcp stay unknown and count as failed: %m", c->program);
        c->told = true;
        if (c->pid < 0)
                c->pid = 0;
        end_process(c, true);
        c->observer.gone(c->observer.userdata);
        start_later(c);
}

void checker_set_probes(Checker *c, const char *key_file, uint32_t n_probes) {
        if (g_strcmp0(c->key_file, key_file) == 0)
                return;
        g_free(c->key_file);
        c->key_file = g_strdup(key_file);
        c->n_probes = n_probes;
        c->restart = sd_event_source_disable_unref(c->restart);
        end_process(c, false);
        if (c->key_file)
                start(c);
}

void checker_replace(Checker *c) {
        if (c->pid == 0)
                return;
        if (may_tell(c))
                log_warning("%s does not answer in time; it is killed and started again", c->program);
        end_process(c, true);
        c->observer.gone(c->observer.userdata);
        start_later(c);
}

bool checker_runs(const Checker *c) {
        return c->pid > 0;
}

uint64_t checker_n_starts(const Checker *c) {
        return c->n_starts;
}
