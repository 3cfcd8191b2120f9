/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The attacker of the network tests: reads frames as lines of hexadecimal digits, and sends them by turns out of every interface named, at
 * --rate=FRAMES a second each, for --seconds=TIME. Prints one JSON object: how many left, and in which time. What it was kept from sending, on a
 * machine that is busy, it does not make up for in one burst. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FRAMES_MAX 1024
#define FRAME_BYTES_MAX 256
#define PORTS_MAX 8
#define BATCH 64
#define TICK_NSEC 500000
#define BURST_USEC 5000

static uint8_t frames[FRAMES_MAX][FRAME_BYTES_MAX];
static struct iovec vectors[FRAMES_MAX];
static struct mmsghdr messages[FRAMES_MAX + BATCH]; /* the first again behind the last, so that every batch is in one piece */
static size_t n_frames;

static void die(const char *what) {
        fprintf(stderr, "flood: %s: %m\n", what);
        exit(EXIT_FAILURE);
}

static int64_t now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_BOOTTIME, &t);
        return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void read_frames(void) {
        char line[2 * FRAME_BYTES_MAX + 2];

        while (n_frames < FRAMES_MAX && fgets(line, sizeof(line), stdin)) {
                size_t n = strcspn(line, "\n") / 2;

                for (size_t k = 0; k < n; k++) {
                        unsigned byte;

                        if (sscanf(line + 2 * k, "%2x", &byte) != 1)
                                die("not hexadecimal");
                        frames[n_frames][k] = (uint8_t) byte;
                }
                vectors[n_frames] = (struct iovec) { .iov_base = frames[n_frames], .iov_len = n };
                n_frames++;
        }
        if (n_frames == 0)
                die("no frames");
        for (size_t k = 0; k < n_frames + BATCH; k++)
                messages[k].msg_hdr = (struct msghdr) { .msg_iov = &vectors[k % n_frames], .msg_iovlen = 1 };
}

static int open_port(const char *name) {
        struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_ifindex = (int) if_nametoindex(name) };
        int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1;

        if (fd < 0 || address.sll_ifindex == 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                die(name);
        (void) setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
        return fd;
}

/* Returns how many left: a full queue loses the rest, as a cable would. */
static unsigned send_batch(int fd, size_t first, unsigned n) {
        int r = sendmmsg(fd, messages + first, n, 0);

        if (r < 0 && errno != ENOBUFS && errno != EAGAIN && errno != ENETDOWN)
                die("send");
        return r < 0 ? 0 : (unsigned) r;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "rate", required_argument, NULL, 'r' },
                { "seconds", required_argument, NULL, 's' },
                { NULL },
        };
        int64_t rate = 100000, began, ends, due = 0, told = 0;
        int fds[PORTS_MAX], n_ports, letter;
        double seconds = 1;
        uint64_t n_sent = 0;
        size_t next = 0;

        while ((letter = getopt_long(argc, argv, "", options, NULL)) >= 0)
                if (letter == 'r')
                        rate = atoll(optarg);
                else if (letter == 's')
                        seconds = atof(optarg);
                else
                        return 2;
        n_ports = argc - optind;
        if (n_ports < 1 || n_ports > PORTS_MAX || rate < 1)
                return 2;
        read_frames();
        for (int k = 0; k < n_ports; k++)
                fds[k] = open_port(argv[optind + k]);
        began = now_usec();
        ends = began + (int64_t) (seconds * 1000000);
        for (int64_t now = began; now < ends; now = now_usec()) {
                int64_t wanted = (now - began) * rate / 1000000 - told;

                if (wanted > rate * BURST_USEC / 1000000)
                        wanted = rate * BURST_USEC / 1000000 + 1;
                told = (now - began) * rate / 1000000;
                for (due = wanted; due > 0; due -= BATCH) {
                        unsigned n = due < BATCH ? (unsigned) due : BATCH;

                        for (int k = 0; k < n_ports; k++)
                                n_sent += send_batch(fds[k], next, n);
                        next = (next + n) % n_frames;
                }
                (void) nanosleep(&(struct timespec) { .tv_nsec = TICK_NSEC }, NULL);
        }
        printf("{\"sent\": %" PRIu64 ", \"usec\": %" PRId64 "}\n", n_sent, now_usec() - began);
        return EXIT_SUCCESS;
}
