/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/child.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* How a process begins that is not ours to wait for, and what it must not find of us. Knows nothing of what is started, or why. */

/* What the service manager told us alone: a program that we start would take it for meant for itself, and report its own readiness as ours.
 * And where the secrets are. */
static const char *const our_variables[] = { "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY" };

/* Of those that were killed, and may not have ended yet. */
static void reap(GArray *killed) {
        for (guint k = killed->len; k > 0; k--) {
                siginfo_t si = { 0 };

                if (waitid(P_PID, (id_t) g_array_index(killed, pid_t, k - 1), &si, WEXITED | WNOHANG) < 0 || si.si_pid != 0)
                        g_array_remove_index_fast(killed, k - 1);
        }
}

pid_t child_fork(sd_event *event, sd_event_source **ret, sd_event_child_handler_t ended, void *userdata) {
        static GArray *killed; /* pid_t: whose end nobody is told, and who are looked after when the next one begins */
        int place, r;
        pid_t pid;

        if (killed)
                reap(killed);
        /* the child's end is told by a descriptor, which cannot be had before the child is there: its place is kept free */
        place = fcntl(sd_event_get_fd(event), F_DUPFD_CLOEXEC, 0);
        if (place < 0)
                return -errno;
        pid = fork();
        if (pid == 0)
                return 0;
        r = pid < 0 ? -errno : 0;
        (void) close(place);
        if (r >= 0)
                r = sd_event_add_child(event, ret, pid, WEXITED, ended, userdata);
        if (r < 0 && pid > 0) {
                (void) kill(pid, SIGKILL);
                if (!killed)
                        killed = g_array_new(false, false, sizeof(pid_t));
                g_array_append_val(killed, pid);
        }
        return r < 0 ? r : pid;
}

void child_settle(const int *fds, size_t n_fds) {
        int first = STDERR_FILENO + 1, fd;
        sigset_t none;

        sigemptyset(&none);
        for (int i = 1; i < NSIG; i++)
                (void) signal(i, SIG_DFL);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) setpgid(0, 0);

        for (size_t k = 0; k < n_fds; k++)
                (void) dup2(fds[k], first + (int) k);
        /* Ours are close-on-exec anyway; but who started us may have left something open. */
        (void) close_range((unsigned) (first + (int) n_fds), ~0U, CLOSE_RANGE_CLOEXEC);
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
                (void) dup2(fd, STDIN_FILENO);
                if (fd != STDIN_FILENO)
                        (void) close(fd);
        }

        /* The capabilities of an unprivileged daemon are for its sockets and addresses. Root's programs stay root's. */
        if (geteuid() != 0)
                (void) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);

        for (size_t k = 0; k < G_N_ELEMENTS(our_variables); k++)
                (void) unsetenv(our_variables[k]);
}
