/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The client of the network tests: sends an ICMP or ICMPv6 echo request to one address at a fixed pace until SIGTERM, SIGINT or
 * --seconds, then prints one JSON object: what was lost, and every time without an answer.
 *
 * An outage runs from the first request that was not answered to the next one that was. It is made of requests that left, so a
 * moment in which this process itself did not run is no outage; max_stall_us says how long such moments were. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAGIC UINT32_C(0x76697064)
#define LATE_USEC 50000 /* an answer after this long is none: it waited in a neighbour queue */
#define OUTAGES_MAX 64

typedef struct Request {
        int64_t sent_usec;
        int64_t answered_usec; /* 0: not yet */
} Request;

typedef struct Payload {
        uint32_t magic, process;
        uint64_t number;
} Payload;

static volatile sig_atomic_t stop;

static void on_signal(int number) {
        stop = number;
}

static int64_t now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_BOOTTIME, &t);
        return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint16_t checksum(const uint8_t *bytes, size_t n) {
        uint32_t sum = 0;

        for (size_t k = 0; k + 1 < n; k += 2)
                sum += (uint32_t) bytes[k] << 8 | bytes[k + 1];
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return htons((uint16_t) ~sum);
}

static int open_socket(int family, const char *address) {
        int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, family == AF_INET ? (int) IPPROTO_ICMP : (int) IPPROTO_ICMPV6);
        int bytes = 4 << 20;
        struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
        struct sockaddr_in four = { .sin_family = AF_INET };
        const struct sockaddr *to = family == AF_INET ? (struct sockaddr *) &four : (struct sockaddr *) &six;

        (void) inet_pton(AF_INET, address, &four.sin_addr);
        (void) inet_pton(AF_INET6, address, &six.sin6_addr);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) < 0 ||
            connect(fd, to, family == AF_INET ? sizeof four : sizeof six) < 0) {
                fprintf(stderr, "probe: %s: %m\n", address);
                exit(EXIT_FAILURE);
        }
        return fd;
}

static void send_request(int fd, int family, uint64_t number) {
        struct {
                uint8_t type, code;
                uint16_t checksum, id, sequence;
                Payload payload;
        } packet = {
                .type = family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST,
                .id = htons((uint16_t) getpid()),
                .sequence = htons((uint16_t) number),
                .payload = { .magic = MAGIC, .process = (uint32_t) getpid(), .number = number },
        };

        if (family == AF_INET)
                packet.checksum = checksum((const uint8_t *) &packet, sizeof packet);
        /* no route, no neighbour, full queue: a request that did not arrive, like any other */
        (void) send(fd, &packet, sizeof packet, 0);
}

static void read_answers(int fd, int family, Request *requests, uint64_t n_requests) {
        uint8_t buffer[2048];
        ssize_t n;

        while ((n = recv(fd, buffer, sizeof buffer, 0)) != 0) {
                size_t header = family == AF_INET ? (size_t) (buffer[0] & 0x0f) * 4 : 0;
                Payload payload;

                if (n < 0) {
                        if (errno == EAGAIN)
                                return;
                        continue; /* an ICMP error told on this socket */
                }
                if ((size_t) n < header + 8 + sizeof payload ||
                    buffer[header] != (family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY))
                        continue;
                memcpy(&payload, buffer + header + 8, sizeof payload);
                if (payload.magic == MAGIC && payload.process == (uint32_t) getpid() && payload.number < n_requests &&
                    requests[payload.number].answered_usec == 0)
                        requests[payload.number].answered_usec = now_usec();
        }
}

static bool answered(const Request *r) {
        return r->answered_usec && r->answered_usec - r->sent_usec < LATE_USEC;
}

static void report(const Request *requests, uint64_t n, int64_t max_stall_usec) {
        int64_t longest = 0, longest_start = 0, since = 0, max_rtt = 0;
        uint64_t lost = 0, n_outages = 0;

        printf("{\"outages\":[");
        for (uint64_t k = 0; k <= n; k++) {
                bool good = k == n || answered(requests + k);

                if (!good) {
                        lost++;
                        since = since ? since : requests[k].sent_usec;
                        continue;
                }
                if (k < n && requests[k].answered_usec - requests[k].sent_usec > max_rtt)
                        max_rtt = requests[k].answered_usec - requests[k].sent_usec;
                if (since) {
                        int64_t end = k < n ? requests[k].sent_usec : requests[n - 1].sent_usec;

                        if (n_outages++ < OUTAGES_MAX)
                                printf("%s{\"start\":%" PRId64 ",\"us\":%" PRId64 "}", n_outages > 1 ? "," : "", since, end - since);
                        if (end - since >= longest) {
                                longest = end - since;
                                longest_start = since;
                        }
                }
                since = 0;
        }
        printf("],\"sent\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"longest_us\":%" PRId64 ",\"longest_start\":%" PRId64
               ",\"max_rtt_us\":%" PRId64 ",\"max_stall_us\":%" PRId64 "}\n",
               n, lost, longest, longest_start, max_rtt, max_stall_usec);
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "interval-us", required_argument, NULL, 'i' },
                { "seconds", required_argument, NULL, 's' },
                { 0 },
        };
        int64_t interval = 200, seconds = 120, start, next, last, max_stall = 0;
        const struct sigaction action = { .sa_handler = on_signal };
        const struct sched_param parameter = { .sched_priority = 5 };
        uint64_t n = 0, n_max;
        Request *requests;
        int c, fd, family;

        while ((c = getopt_long(argc, argv, "i:s:", options, NULL)) >= 0)
                if (c == 'i')
                        interval = atoll(optarg);
                else if (c == 's')
                        seconds = atoll(optarg);
                else
                        return 2;
        if (optind + 1 != argc || interval < 1 || interval >= 1000000 || seconds < 1) {
                fprintf(stderr, "usage: probe [--interval-us=N] [--seconds=N] ADDRESS\n");
                return 2;
        }
        family = strchr(argv[optind], ':') ? AF_INET6 : AF_INET;
        fd = open_socket(family, argv[optind]);
        n_max = (uint64_t) (seconds * 1000000 / interval);
        requests = calloc(n_max, sizeof *requests);
        if (!requests)
                return EXIT_FAILURE;
        (void) sigaction(SIGTERM, &action, NULL);
        (void) sigaction(SIGINT, &action, NULL);
        (void) sched_setscheduler(0, SCHED_FIFO, &parameter);

        start = next = last = now_usec();
        while (!stop && n < n_max && last < start + seconds * 1000000) {
                struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
                int64_t now = now_usec(), wait = next - now;

                if (wait > 0) {
                        const struct timespec timeout = { .tv_nsec = wait * 1000 };

                        (void) ppoll(&poll_fd, 1, &timeout, NULL);
                        read_answers(fd, family, requests, n);
                        continue;
                }
                max_stall = now - last - interval > max_stall ? now - last - interval : max_stall;
                last = requests[n].sent_usec = now;
                send_request(fd, family, n++);
                next = next + interval > now ? next + interval : now + interval;
                read_answers(fd, family, requests, n);
        }
        /* what is still on its way */
        for (int64_t end = now_usec() + 20000; now_usec() < end;) {
                struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

                (void) poll(&poll_fd, 1, 5);
                read_answers(fd, family, requests, n);
        }
        report(requests, n, max_stall);
        free(requests);
        (void) close(fd);
        return EXIT_SUCCESS;
}
