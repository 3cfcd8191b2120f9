/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/client.h"

/* pkttyagent(1), as systemctl starts it: it registers for its parent process, which is us, says so by closing a
 * descriptor, and is ended when the call is over. With --fallback it leaves an agent of the desktop its right of way.
 * Root is not asked, and over -H and -M nobody could be. Without pkttyagent the call goes its way and is refused with a
 * sentence. */

#define PROGRAM "pkttyagent"
#define READY_MSEC 10000

struct Agent {
        pid_t pid;
};

static void run(int ready_fd, pid_t parent) {
        g_autofree char *notify = g_strdup_printf("%d", ready_fd);
        char *const arguments[] = { (char *) PROGRAM, (char *) "--notify-fd", notify, (char *) "--fallback", NULL };
        int tty;

        /* it does not outlive us */
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
                return;
        if (!isatty(STDOUT_FILENO) || !isatty(STDERR_FILENO)) {
                tty = open("/dev/tty", O_WRONLY);
                if (tty < 0)
                        return;
                (void) dup2(tty, STDOUT_FILENO);
                (void) dup2(tty, STDERR_FILENO);
        }
        (void) execvp(PROGRAM, arguments);
}

Agent *agent_open(const Ctl *c) {
        struct pollfd ready;
        pid_t pid, parent = getpid();
        int ends[2];
        Agent *a;

        if (!c->ask_password || !client_is_local(c) || geteuid() == 0 || isatty(STDIN_FILENO) <= 0 || pipe(ends) < 0)
                return NULL;
        pid = fork();
        if (pid == 0) {
                (void) close(ends[0]);
                run(ends[1], parent);
                _exit(EXIT_FAILURE);
        }
        (void) close(ends[1]);
        ready = (struct pollfd) { .fd = ends[0], .events = POLLHUP };
        if (pid > 0)
                (void) poll(&ready, 1, READY_MSEC);
        (void) close(ends[0]);
        if (pid < 0)
                return NULL;
        a = g_new0(Agent, 1);
        a->pid = pid;
        return a;
}

void agent_close(Agent *a) {
        if (!a)
                return;
        (void) kill(a->pid, SIGTERM);
        (void) kill(a->pid, SIGCONT);
        while (waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        g_free(a);
}
