/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The witness of the network tests. Prints, as one JSON object per line, every change of an address or a link in every host of the
 * lab, and every CARP, VRRP, ARP and neighbour advertisement that a host sends, each with its CLOCK_BOOTTIME time in microseconds.
 *
 * It runs in the namespace of the lab's switch. One netlink socket hears all hosts (NETLINK_LISTEN_ALL_NSID), so that the order of
 * two address changes on two hosts is the kernel's own order and needs no clock: that is how "never two holders" is proven. Host N
 * has namespace id N. One packet socket hears what comes in at each port of the switch, before any filter of the bridge. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ADDRESS_TEXT_BYTES 46
#define LINK_LOWER_UP (1U << 16) /* IFF_LOWER_UP of linux/if.h, which net/if.h lacks and cannot stand beside */

static int64_t clock_usec(clockid_t clock) {
        struct timespec t;

        (void) clock_gettime(clock, &t);
        return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The kernel stamps frames in wall-clock time. The two clocks are read as close to each other as a machine lets us that may interrupt us between. */
static int64_t boottime_usec(const struct timespec *wall) {
        int64_t closest = INT64_MAX, offset = 0;

        for (unsigned k = 0; k < 10 && closest > 5; k++) {
                int64_t before = clock_usec(CLOCK_BOOTTIME), real = clock_usec(CLOCK_REALTIME), apart = clock_usec(CLOCK_BOOTTIME) - before;

                if (apart < closest) {
                        closest = apart;
                        offset = before - real;
                }
        }
        return (int64_t) wall->tv_sec * 1000000 + wall->tv_nsec / 1000 + offset;
}

static void die(const char *what) {
        fprintf(stderr, "observe: %s: %m\n", what);
        exit(EXIT_FAILURE);
}

static const char *address_text(int family, const void *bytes, char text[static ADDRESS_TEXT_BYTES]) {
        return inet_ntop(family, bytes, text, ADDRESS_TEXT_BYTES) ? text : "?";
}

static void print_address(const struct nlmsghdr *h, int nsid, int64_t now) {
        const struct ifaddrmsg *m = NLMSG_DATA(h);
        const void *local = NULL, *address = NULL;
        const struct ifa_cacheinfo *cache = NULL;
        uint32_t flags = m->ifa_flags;
        char text[ADDRESS_TEXT_BYTES];
        unsigned protocol = 0;
        int left = (int) IFA_PAYLOAD(h);

        for (const struct rtattr *a = IFA_RTA(m); RTA_OK(a, left); a = RTA_NEXT(a, left))
                switch (a->rta_type) {
                case IFA_LOCAL:
                        local = RTA_DATA(a);
                        break;
                case IFA_ADDRESS:
                        address = RTA_DATA(a);
                        break;
                case IFA_CACHEINFO:
                        cache = RTA_DATA(a);
                        break;
                case IFA_FLAGS:
                        memcpy(&flags, RTA_DATA(a), sizeof flags);
                        break;
                case 11: /* IFA_PROTO, newer than Debian 12's headers */
                        protocol = *(const uint8_t *) RTA_DATA(a);
                        break;
                }

        if (!local)
                local = address;
        if (!local)
                return;
        printf("{\"t\":%" PRId64 ",\"kind\":\"address\",\"nsid\":%d,\"present\":%s,\"address\":\"%s\",\"prefix\":%u,"
               "\"ifindex\":%u,\"flags\":%" PRIu32 ",\"valid\":%" PRId64 ",\"preferred\":%" PRId64 ",\"protocol\":%u}\n",
               now, nsid, h->nlmsg_type == RTM_NEWADDR ? "true" : "false", address_text(m->ifa_family, local, text),
               m->ifa_prefixlen, m->ifa_index, flags,
               cache && cache->ifa_valid != UINT32_MAX ? (int64_t) cache->ifa_valid : -1,
               cache && cache->ifa_prefered != UINT32_MAX ? (int64_t) cache->ifa_prefered : -1, protocol);
}

static void print_link(const struct nlmsghdr *h, int nsid, int64_t now) {
        const struct ifinfomsg *m = NLMSG_DATA(h);
        const char *name = "";
        int left = (int) IFLA_PAYLOAD(h);

        for (const struct rtattr *a = IFLA_RTA(m); RTA_OK(a, left); a = RTA_NEXT(a, left))
                if (a->rta_type == IFLA_IFNAME)
                        name = RTA_DATA(a);
        printf("{\"t\":%" PRId64 ",\"kind\":\"link\",\"nsid\":%d,\"present\":%s,\"name\":\"%s\",\"ifindex\":%d,\"up\":%s,"
               "\"running\":%s}\n",
               now, nsid, h->nlmsg_type == RTM_NEWLINK ? "true" : "false", name, m->ifi_index,
               m->ifi_flags & IFF_UP ? "true" : "false", m->ifi_flags & LINK_LOWER_UP ? "true" : "false");
}

static int netlink_open(void) {
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), one = 1, bytes = 16 << 20;
        struct sockaddr_nl local = {
                .nl_family = AF_NETLINK,
                .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_LINK,
        };

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0 ||
            setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof one) < 0 ||
            bind(fd, (struct sockaddr *) &local, sizeof local) < 0)
                die("netlink socket");
        return fd;
}

static bool netlink_read(int fd) {
        union {
                char bytes[65536];
                struct nlmsghdr align;
        } buffer;
        char control[CMSG_SPACE(sizeof(int))];
        struct iovec iov = { .iov_base = buffer.bytes, .iov_len = sizeof buffer };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
        ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
        int64_t now = clock_usec(CLOCK_BOOTTIME);
        int nsid = -1; /* the switch itself */

        if (n < 0) {
                if (errno == EAGAIN)
                        return false;
                die("netlink receive"); /* ENOBUFS: a witness that missed something is no witness */
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
                if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID)
                        memcpy(&nsid, CMSG_DATA(c), sizeof nsid);
        for (const struct nlmsghdr *h = &buffer.align; NLMSG_OK(h, (size_t) n); h = NLMSG_NEXT(h, n))
                if (h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_DELADDR)
                        print_address(h, nsid, now);
                else if (h->nlmsg_type == RTM_NEWLINK || h->nlmsg_type == RTM_DELLINK)
                        print_link(h, nsid, now);
        return true;
}

/* ARP, IPv4 protocol 112, IPv6 next header 112, IPv6 neighbour advertisement. */
static const struct sock_filter wanted[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_ARP, 9, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IP, 0, 2),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 112, 6, 5),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IPV6, 0, 4),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 112, 3, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 54),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 136, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 256),
};

static int packet_open(void) {
        int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1, bytes = 16 << 20;
        struct sock_fprog program = { .len = sizeof wanted / sizeof *wanted, .filter = (struct sock_filter *) (uintptr_t) wanted };
        struct sockaddr_ll local = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) < 0 ||
            setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) < 0 ||
            bind(fd, (struct sockaddr *) &local, sizeof local) < 0)
                die("packet socket");
        return fd;
}

static void print_mac(const char *key, const uint8_t *mac) {
        printf(",\"%s\":\"%02x:%02x:%02x:%02x:%02x:%02x\"", key, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* IP protocol 112 is CARP's and VRRP's. */
static void print_carp(int family, const uint8_t *frame, size_t n) {
        size_t header = family == AF_INET ? (size_t) (frame[14] & 0x0f) * 4 : 40, offset = 14 + header;
        const uint8_t *ip = frame + 14, *carp = frame + offset;
        char source[ADDRESS_TEXT_BYTES], destination[ADDRESS_TEXT_BYTES];
        uint64_t counter = 0;

        if (n >= offset + 8 && carp[0] == 0x31) {
                printf(",\"kind\":\"vrrp\",\"vrid\":%u,\"priority\":%u", carp[1], carp[2]);
                return;
        }
        if (n < offset + 36) {
                printf(",\"kind\":\"truncated\"");
                return;
        }
        for (size_t k = 0; k < 8; k++)
                counter = counter << 8 | carp[8 + k];
        printf(",\"kind\":\"carp\",\"family\":%d,\"source\":\"%s\",\"destination\":\"%s\",\"ttl\":%u,\"vhid\":%u,\"advskew\":%u,"
               "\"advbase\":%u,\"demotion\":%u,\"counter\":%" PRIu64,
               family == AF_INET ? 4 : 6, address_text(family, family == AF_INET ? ip + 12 : ip + 8, source),
               address_text(family, family == AF_INET ? ip + 16 : ip + 24, destination), (unsigned) (family == AF_INET ? ip[8] : ip[7]),
               carp[1], carp[2], carp[5], carp[4], counter);
}

static void print_frame(const uint8_t *frame, size_t n, const char *port, int64_t now) {
        unsigned type = (unsigned) frame[12] << 8 | frame[13];
        char text[ADDRESS_TEXT_BYTES];

        printf("{\"t\":%" PRId64 ",\"port\":\"%s\"", now, port);
        print_mac("source_mac", frame + 6);
        print_mac("destination_mac", frame);
        if (type == ETHERTYPE_ARP && n >= 42) {
                printf(",\"kind\":\"arp\",\"op\":%u,\"address\":\"%s\"", frame[21], address_text(AF_INET, frame + 28, text));
                printf(",\"target\":\"%s\"", address_text(AF_INET, frame + 38, text));
                print_mac("mac", frame + 22);
        } else if (type == ETHERTYPE_IPV6 && frame[20] == 58 && n >= 78) {
                printf(",\"kind\":\"na\",\"address\":\"%s\",\"flags\":%u,\"ttl\":%u", address_text(AF_INET6, frame + 62, text),
                       frame[58], frame[21]);
                printf(",\"source\":\"%s\"", address_text(AF_INET6, frame + 22, text));
                if (n >= 86)
                        print_mac("mac", frame + 80);
        } else if (type == ETHERTYPE_IP)
                print_carp(AF_INET, frame, n);
        else if (type == ETHERTYPE_IPV6)
                print_carp(AF_INET6, frame, n);
        printf("}\n");
}

static bool packet_read(int fd) {
        uint8_t frame[256];
        char control[CMSG_SPACE(sizeof(struct timespec))], port[IF_NAMESIZE];
        struct sockaddr_ll from;
        struct iovec iov = { .iov_base = frame, .iov_len = sizeof frame };
        struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1,
                                  .msg_control = control, .msg_controllen = sizeof control };
        ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
        int64_t now = clock_usec(CLOCK_BOOTTIME);

        if (n < 0) {
                if (errno == EAGAIN)
                        return false;
                if (errno == ENETDOWN)
                        return true;
                die("packet receive");
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
                        struct timespec t;

                        memcpy(&t, CMSG_DATA(c), sizeof t);
                        now = boottime_usec(&t);
                }
        /* ports are vp-HOST; the bridge itself would show everything a second time */
        if (n >= 42 && if_indextoname((unsigned) from.sll_ifindex, port) && strncmp(port, "vp-", 3) == 0)
                print_frame(frame, (size_t) n, port + 3, now);
        return true;
}

int main(void) {
        struct pollfd fds[] = { { .fd = netlink_open(), .events = POLLIN }, { .fd = packet_open(), .events = POLLIN } };
        const struct sched_param parameter = { .sched_priority = 10 };

        /* read promptly, so that the times are those of the events; without it they are only later, not wrong in order */
        (void) sched_setscheduler(0, SCHED_FIFO, &parameter);
        /* what is told is told with everything that was there before it, or nobody could wait for a mark */
        (void) setvbuf(stdout, NULL, _IOFBF, 1 << 20);
        printf("{\"t\":%" PRId64 ",\"kind\":\"ready\"}\n", clock_usec(CLOCK_BOOTTIME));
        for (;;) {
                fflush(stdout);
                if (ferror(stdout))
                        return EXIT_FAILURE;
                if (poll(fds, 2, -1) < 0 && errno != EINTR)
                        die("poll");
                while (netlink_read(fds[0].fd) || packet_read(fds[1].fd))
                        ;
        }
}
