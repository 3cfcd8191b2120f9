/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A segment that behaves as badly as it is told: faults-segment TABLE PORT...
 *
 * Carries frames between the ports as a hub does, and loses, doubles, delays and spoils them, or not, for each pair of ports and each direction as
 * the shared file TABLE says at that moment. A frame that is delayed is overtaken by those behind it. A port may vanish and come back. */
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "told.h"

#define N_PORTS 8
#define N_DELAYED 4096
#define FRAME_BYTES 2048
#define LOOK_MSEC 50 /* for ports that came back */
#define PACKET_IGNORE_OUTGOING 23
/* Addresses and type stay, so that what was spoiled is still read. */
#define HEADER_BYTES 14

/* world.py knows it too: from port row to port column, of a thousand frames. */
typedef struct Way {
        uint32_t lost, doubled, spoiled, delayed;
        uint32_t delay_usec; /* at most */
} Way;

typedef struct Delayed {
        uint64_t due_usec; /* 0: free */
        int port;
        size_t n_bytes;
        uint8_t bytes[FRAME_BYTES];
} Delayed;

static const Way (*ways)[N_PORTS];
static struct {
        const char *name;
        unsigned ifindex;
        int fd;
} ports[N_PORTS];
static int n_ports;
static Delayed delayed[N_DELAYED];

static uint64_t clock_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_BOOTTIME, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static void find_port(int k) {
        struct sockaddr_ll here = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
        unsigned ifindex = if_nametoindex(ports[k].name);
        int one = 1;

        if (ifindex == ports[k].ifindex)
                return;
        if (ports[k].fd >= 0)
                (void) close(ports[k].fd);
        ports[k].fd = -1;
        ports[k].ifindex = ifindex;
        if (ifindex == 0)
                return;
        here.sll_ifindex = (int) ifindex;
        ports[k].fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (ports[k].fd < 0 || setsockopt(ports[k].fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0)
                die("packet socket");
        /* gone again already: the next look will tell */
        if (bind(ports[k].fd, (struct sockaddr *) &here, sizeof(here)) < 0)
                ports[k].ifindex = 0;
}

static void put(int port, const uint8_t *frame, size_t n) {
        /* a port that is down loses it, as a cable that is not there */
        if (ports[port].fd >= 0)
                (void) send(ports[port].fd, frame, n, MSG_DONTWAIT);
}

static void delay(int port, const uint8_t *frame, size_t n, uint64_t due_usec) {
        for (size_t k = 0; k < N_DELAYED; k++)
                if (delayed[k].due_usec == 0) {
                        delayed[k].due_usec = due_usec;
                        delayed[k].port = port;
                        delayed[k].n_bytes = n;
                        memcpy(delayed[k].bytes, frame, n);
                        return;
                }
}

static void carry(int from, int to, const uint8_t *frame, size_t n) {
        const Way *w = &ways[from][to];
        uint8_t copy[FRAME_BYTES];

        if (happens(w->lost))
                return;
        memcpy(copy, frame, n);
        if (n > HEADER_BYTES && happens(w->spoiled))
                copy[HEADER_BYTES + draw() % (n - HEADER_BYTES)] ^= (uint8_t) (1 + draw() % 255);
        for (int times = happens(w->doubled) ? 2 : 1; times > 0; times--)
                if (w->delay_usec > 0 && happens(w->delayed))
                        delay(to, copy, n, clock_usec() + 1 + draw() % w->delay_usec);
                else
                        put(to, copy, n);
}

/* Returns when the next one is due, in ms; -1: none. */
static int release_due(void) {
        uint64_t now = clock_usec(), next = UINT64_MAX;

        for (size_t k = 0; k < N_DELAYED; k++) {
                if (delayed[k].due_usec == 0)
                        continue;
                if (delayed[k].due_usec <= now) {
                        put(delayed[k].port, delayed[k].bytes, delayed[k].n_bytes);
                        delayed[k].due_usec = 0;
                } else if (delayed[k].due_usec < next)
                        next = delayed[k].due_usec;
        }
        return next == UINT64_MAX ? -1 : (int) ((next - now) / 1000 + 1);
}

static void receive(int from) {
        uint8_t frame[FRAME_BYTES];

        for (;;) {
                ssize_t n = recv(ports[from].fd, frame, sizeof(frame), MSG_DONTWAIT);

                if (n <= 0)
                        return;
                for (int to = 0; to < n_ports; to++)
                        if (to != from)
                                carry(from, to, frame, (size_t) n);
        }
}

int main(int argc, char **argv) {
        uint64_t looked_usec = 0;

        if (argc < 3 || argc - 2 > N_PORTS) {
                fprintf(stderr, "usage: faults-segment TABLE PORT... (at most %d)\n", N_PORTS);
                return EXIT_FAILURE;
        }
        ways = map_table(argv[1], sizeof(*ways) * N_PORTS);
        n_ports = argc - 2;
        for (int k = 0; k < n_ports; k++) {
                ports[k].name = argv[k + 2];
                ports[k].fd = -1;
        }
        for (;;) {
                struct pollfd fds[N_PORTS];
                int wait_msec = release_due();

                if (clock_usec() - looked_usec > LOOK_MSEC * 1000) {
                        for (int k = 0; k < n_ports; k++)
                                find_port(k);
                        looked_usec = clock_usec();
                }
                for (int k = 0; k < n_ports; k++)
                        fds[k] = (struct pollfd) { .fd = ports[k].fd, .events = POLLIN };
                if (poll(fds, (nfds_t) n_ports, wait_msec < 0 || wait_msec > LOOK_MSEC ? LOOK_MSEC : wait_msec) < 0)
                        continue;
                for (int k = 0; k < n_ports; k++)
                        if (fds[k].revents != 0)
                                receive(k);
        }
}
