/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The kernel makes process 1 the parent of every orphan, and gives it no signal that it does not ask for. So it does these two things and no
 * others, and the program need not know that it runs in a container. */

/* SIGCHLD, and what is passed on. */
static const int signals[] = { SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 };

static void fill(sigset_t *set) {
        (void) sigemptyset(set);
        for (size_t k = 0; k < sizeof(signals) / sizeof(*signals); k++)
                (void) sigaddset(set, signals[k]);
}

/* What is left to do needs no power, the program being of the same user. */
static void drop_capabilities(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

        (void) syscall(SYS_capset, &header, none);
}

/* Fetches all that have ended; true if the program was among them. */
static bool fetch(pid_t program, int *ret_status) {
        siginfo_t info = { 0 };
        bool found = false;

        while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0) {
                if (info.si_pid == program) {
                        *ret_status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
                        found = true;
                }
                info.si_pid = 0;
        }
        return found;
}

int init_run(const char *path, char *const *argv) {
        sigset_t set;
        pid_t pid;
        int status = 0;

        fill(&set);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                /* the others wait, blocked, until the program asks for them: none of them ends it before it knows what they mean */
                sigset_t unblock;

                (void) sigemptyset(&unblock);
                (void) sigaddset(&unblock, SIGCHLD);
                (void) sigaddset(&unblock, SIGQUIT);
                (void) sigprocmask(SIG_UNBLOCK, &unblock, NULL);
                (void) execv(path, argv);
                _exit(errno == ENOENT ? 127 : 126);
        }
        drop_capabilities();
        while (!fetch(pid, &status)) {
                int signal = sigwaitinfo(&set, NULL);

                if (signal > 0 && signal != SIGCHLD)
                        (void) kill(pid, signal);
        }
        return status;
}
