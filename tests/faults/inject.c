/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a command whose system calls fail on demand: faults-inject TABLE COMMAND...
 *
 * A filter of the kernel hands each system call of the command, and of its children, to a second process before it is carried out. That one lets
 * it pass or answers it with an error, as the shared file TABLE says at that moment: so nothing of the command is replaced, no library between
 * it and the kernel matters, and a fault begins and ends while it runs. The command keeps this process's id. When it has ended, so does the other.
 * Errors begin when the command opens its first loop, by epoll_create1(). */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "told.h"

#define N_CALLS 512

/* world.py knows it too. */
typedef struct Table {
        uint32_t error[N_CALLS];
        uint32_t permille[N_CALLS]; /* of the calls fail so */
        uint32_t n_seen[N_CALLS], n_failed[N_CALLS];
} Table;

static int filter(void) {
        struct sock_filter code[] = {
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        };
        struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

        return (int) syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* What comes before the command has a loop is its loader and whoever started it, not itself. */
static bool is_begun(int call) {
        static bool begun;

        begun = begun || call == SYS_epoll_create1;
        return begun;
}

static void judge(Table *t, int listener) {
        struct seccomp_notif call = { 0 };
        struct seccomp_notif_resp answer = { 0 };
        uint32_t error = 0;

        /* who was interrupted meanwhile asks again */
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
                return;
        if (call.data.nr >= 0 && call.data.nr < N_CALLS && is_begun(call.data.nr)) {
                t->n_seen[call.data.nr]++;
                if (happens(t->permille[call.data.nr]))
                        error = t->error[call.data.nr];
                t->n_failed[call.data.nr] += error != 0;
        }
        answer.id = call.id;
        answer.error = -(int) error;
        answer.flags = error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        (void) ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

/* The listener lies in the other's table of descriptors. Its number comes by memory: who is filtered can make no call that nobody answers. */
static void supervise(Table *t, pid_t pid, const volatile int *number) {
        int pidfd = (int) syscall(SYS_pidfd_open, pid, 0), listener;

        if (pidfd < 0)
                die("pidfd_open");
        /* a millisecond at a time: no call of its own can tell; that it has ended can be awaited */
        while (*number == 0 && poll(&(struct pollfd) { .fd = pidfd, .events = POLLIN }, 1, 1) == 0)
                continue;
        if (*number <= 0)
                exit(EXIT_FAILURE);
        listener = (int) syscall(SYS_pidfd_getfd, pidfd, *number, 0);
        if (listener < 0)
                die("pidfd_getfd");
        /* nobody shall wait for an end of a pipe that only we hold */
        for (int k = 0; k < 3; k++)
                (void) close(k);
        for (;;) {
                struct pollfd p = { .fd = listener, .events = POLLIN };

                if (poll(&p, 1, -1) < 0)
                        continue;
                if (p.revents & POLLIN)
                        judge(t, listener);
                else if (p.revents & (POLLHUP | POLLERR))
                        exit(EXIT_SUCCESS);
        }
}

int main(int argc, char **argv) {
        volatile int *number;
        pid_t pid = getpid(), child;
        Table *t;

        if (argc < 3) {
                fprintf(stderr, "usage: faults-inject TABLE COMMAND...\n");
                return EXIT_FAILURE;
        }
        t = map_table(argv[1], sizeof(*t));
        number = mmap(NULL, sizeof(*number), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (number == MAP_FAILED)
                die("mmap");
        /* twice, so that the command has no child that it does not know */
        child = fork();
        if (child < 0)
                die("fork");
        if (child == 0) {
                if (fork() == 0)
                        supervise(t, pid, number);
                _exit(EXIT_SUCCESS);
        }
        (void) waitpid(child, NULL, 0);
        *number = filter();
        if (*number < 0)
                die("seccomp");
        (void) execvp(argv[2], argv + 2);
        die(argv[2]);
}
