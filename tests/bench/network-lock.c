/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long the kernel's network lock was not to be had. Whoever adds or drops an address waits for it, in whatever network namespace, and some
 * things that others do on the machine, such as removing a namespace, hold it for a second. Every 2 ms until SIGTERM this asks the kernel to
 * drop an address that is not there, for which it must take the lock; then it prints the waits as one JSON object. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_NSEC 2000000
#define WORTH_TELLING_USEC 300
#define WAITS_MAX 4096

typedef struct Wait {
        int64_t start_usec, usec;
} Wait;

static volatile sig_atomic_t stop;

static void on_signal(int number) {
        stop = number;
}

static int64_t now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_BOOTTIME, &t);
        return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void ask(int fd) {
        struct {
                struct nlmsghdr header;
                struct ifaddrmsg address;
                struct rtattr attribute;
                struct in_addr local;
        } request = {
                .header = { .nlmsg_len = sizeof request, .nlmsg_type = RTM_DELADDR, .nlmsg_flags = NLM_F_REQUEST },
                .address = { .ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 1 },
                .attribute = { .rta_len = RTA_LENGTH(sizeof request.local), .rta_type = IFA_LOCAL },
        };
        char answer[512];

        (void) inet_pton(AF_INET, "198.51.100.254", &request.local);
        if (send(fd, &request, sizeof request, 0) < 0) {
                perror("network-lock");
                exit(EXIT_FAILURE);
        }
        while (recv(fd, answer, sizeof answer, MSG_DONTWAIT) > 0)
                ;
}

int main(void) {
        static Wait waits[WAITS_MAX];
        const struct sigaction action = { .sa_handler = on_signal };
        const struct sched_param parameter = { .sched_priority = 4 };
        const struct timespec pause = { .tv_nsec = PAUSE_NSEC };
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        uint64_t asked = 0;
        size_t n = 0;

        if (fd < 0) {
                perror("network-lock");
                return EXIT_FAILURE;
        }
        (void) sigaction(SIGTERM, &action, NULL);
        (void) sigaction(SIGINT, &action, NULL);
        (void) sched_setscheduler(0, SCHED_FIFO, &parameter);
        while (!stop) {
                Wait wait = { .start_usec = now_usec() };

                ask(fd);
                asked++;
                wait.usec = now_usec() - wait.start_usec;
                if (wait.usec >= WORTH_TELLING_USEC && n < WAITS_MAX)
                        waits[n++] = wait;
                (void) nanosleep(&pause, NULL);
        }
        printf("{\"asked\":%" PRIu64 ",\"waits\":[", asked);
        for (size_t k = 0; k < n; k++)
                printf("%s{\"start\":%" PRId64 ",\"us\":%" PRId64 "}", k > 0 ? "," : "", waits[k].start_usec, waits[k].usec);
        printf("]}\n");
        (void) close(fd);
        return EXIT_SUCCESS;
}
