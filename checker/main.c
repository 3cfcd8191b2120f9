/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vipd-checker: builds the probes, runs the loop, sends the reports. Ends when vipd does. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checker/confine.h"
#include "checker/probe.h"
#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/time-util.h"

/* The first runs are spread over this time. */
#define START_SPREAD_USEC (100 * USEC_PER_MSEC)

/* Lost when vipd does not read: what is true then, it hears next time. */
static void send_report(uint32_t number, CheckerOutcome outcome, const Line *line, void *userdata) {
        CheckerReport report = { .probe = number, .outcome = outcome };
        size_t n = strlen(line->text);
        memcpy(report.text, line->text, n);
        (void) !send(CHECKER_FD_REPORTS, &report, CHECKER_REPORT_BYTES_MIN + n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int on_reader_gone(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static GPtrArray *read_configs(void) {
        struct stat st;
        if (fstat(CHECKER_FD_PROBES, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > CHECKER_PROBES_BYTES_MAX) {
                log_error("There is no list of probes; vipd-checker is started by vipd, see vipd-checker(8)");
                return NULL;
        }
        g_autofree char *text = g_malloc((gsize) st.st_size + 1);
        ssize_t n = pread(CHECKER_FD_PROBES, text, (size_t) st.st_size, 0);
        (void) close(CHECKER_FD_PROBES);
        return probe_configs_parse(text, n < 0 ? 0 : (size_t) n);
}

static bool reports_are_read(void) {
        int type = 0;
        socklen_t n = sizeof(type);
        if (getsockopt(CHECKER_FD_REPORTS, SOL_SOCKET, SO_TYPE, &type, &n) >= 0 && type == SOCK_SEQPACKET &&
            fcntl(CHECKER_FD_REPORTS, F_SETFD, FD_CLOEXEC) >= 0)
                return true;
        log_error("There is nobody to report to; vipd-checker is started by vipd, see vipd-checker(8)");
        return false;
}

/* Whatever our starter ignores or blocks: from here on, it is this. */
static int set_up_signals(sd_event *event) {
        sigset_t blocked;
        (void) sigemptyset(&blocked);
        (void) sigaddset(&blocked, SIGCHLD);
        (void) sigaddset(&blocked, SIGTERM);
        (void) sigaddset(&blocked, SIGINT);
        if (sigprocmask(SIG_SETMASK, &blocked, NULL) < 0)
                return -errno;
        (void) signal(SIGCHLD, SIG_DFL);
        (void) signal(SIGPIPE, SIG_IGN);

        int r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        return r < 0 ? r : sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
}

static int watch_reader(sd_event *event) {
        sd_event_source *source = NULL;
        int r = sd_event_add_io(event, &source, CHECKER_FD_REPORTS, EPOLLRDHUP, on_reader_gone, NULL);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(source, EVENT_PRIORITY_RECEIVE);
        if (r >= 0)
                r = sd_event_source_set_floating(source, true);
        sd_event_source_unref(source);
        return r;
}

static void free_probe(gpointer data) {
        (void) probe_free(data);
}

static int run(GPtrArray *configs, const ProbeShared *shared) {
        g_autoptr(GPtrArray) probes = g_ptr_array_new_with_free_func(free_probe);
        for (guint k = 0; k < configs->len; k++) {
                Probe *p = probe_new(g_ptr_array_index(configs, k), shared);
                g_ptr_array_add(probes, p);
                int r = probe_schedule(p, START_SPREAD_USEC * k / configs->len);
                if (r < 0)
                        return r;
        }
        return sd_event_loop(shared->event);
}

static int start(GPtrArray *configs) {
        g_autoptr(sd_event) event = NULL;
        g_autoptr(Children) children = NULL;
        g_autoptr(Transfers) transfers = NULL;
        int r = sd_event_new(&event);
        if (r >= 0)
                r = set_up_signals(event);
        if (r >= 0)
                r = watch_reader(event);
        if (r >= 0)
                r = children_new(&children, event);
        if (r >= 0)
                r = transfers_new(&transfers, event);
        if (r >= 0)
                r = run(configs, &(const ProbeShared){ .event = event, .children = children, .transfers = transfers, .report = send_report });
        if (r < 0)
                log_error_errno(r, "Probes cannot be run: %m");
        return r;
}

int main(int argc, char **argv) {
        if (argc > 1) {
                bool version = argc == 2 && strcmp(argv[1], "--version") == 0;
                if (version)
                        (void) puts("vipd-checker " VIPD_VERSION);
                else
                        (void) fputs("vipd-checker is started by vipd, see vipd-checker(8)\n", stderr);
                return version ? EXIT_SUCCESS : 2;
        }

        log_open("vipd-checker", LOG_TARGET_AUTO, LOG_DAEMON);
        if (confine(argv) < 0)
                return EXIT_FAILURE;
        g_autoptr(GPtrArray) configs = NULL;
        if (!reports_are_read() || !(configs = read_configs()))
                return 2;
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
                log_error("libcurl cannot be used");
                return EXIT_FAILURE;
        }
        int r = start(configs);
        curl_global_cleanup();
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
