/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets on a real cable: what is heard and what the kernel keeps from us, who shares what, and what a flood costs. */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "io/announce.h"
#include "io/transport.h"
#include "lab.h"
#include "util/event-priority.h"
#include "util/log.h"

#define VHID 7
#define N_FLOOD 64
#define N_CHAIN 300

static const uint8_t mac_here[MAC_BYTES] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t mac_there[MAC_BYTES] = { 2, 0, 0, 0, 0, 2 };

typedef struct Fixture {
        AutoFd there;   /* the namespace at the other end of the cable */
        AutoFd outside; /* a packet socket there, that hears and sends everything */
        sd_event *event;
        Transport *transport;
        TransportPort *port;
        int ifindex;
        unsigned n_received;
        IpAddress source;
        CarpAdvert advert;
        unsigned n_examined;
        CarpVerdict examined;
        bool release; /* the receiver gives the port up */
        bool echo; /* one more is sent for each */
        uint64_t cost_usec; /* how long the receiver takes */
        Alarms *alarms;
        uint64_t chain_usec[N_CHAIN]; /* when each was heard; see on_link_of_chain() */
} Fixture;

static int open_outside(const Fixture *f) {
        int home = lab_move(f->there);
        struct sockaddr_ll address = { .sll_family = AF_PACKET,
                                       .sll_protocol = htons(ETH_P_ALL),
                                       .sll_ifindex = lab_ifindex("peer0") };
        int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
        const int one = 1;

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), ==, 0);
        g_assert_cmpint(bind(fd, (struct sockaddr *) &address, sizeof(address)), ==, 0);
        lab_move_back(home);
        return fd;
}

static void set_up(Fixture *f, gconstpointer data) {
        f->there = lab_enter_with_peer();
        ip("addr add 192.0.2.1/24 dev eth0");
        ip("addr add 2001:db8::1/64 dev eth0 nodad");
        f->ifindex = lab_ifindex("eth0");
        f->outside = open_outside(f);
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(alarms_new(&f->alarms, f->event), ==, 0);
        g_assert_cmpint(transport_new(&f->transport, f->event, f->alarms), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data) {
        f->port = transport_port_release(f->port);
        transport_free(f->transport);
        alarms_free(f->alarms);
        sd_event_unref(f->event);
        auto_fd_clear(&f->outside);
        auto_fd_clear(&f->there);
}

static size_t build(int family, uint8_t vhid, uint8_t frame[IP_FRAME_BYTES_MAX]) {
        const CarpAdvert advert = { .vhid = vhid, .advbase = 1, .advskew = 100, .counter = 42 };
        IpFrame ip = { .source = lab_address(family == AF_INET ? "192.0.2.2" : "fe80::2"),
                       .destination = family == AF_INET ? carp_group_ipv4 : carp_group_ipv6 };
        uint8_t payload[CARP_PAYLOAD_BYTES];

        memcpy(ip.source_mac, mac_there, MAC_BYTES);
        ip_frame_multicast_mac(&ip.destination, ip.destination_mac);
        carp_encode(&advert, payload);
        return ip_frame_build(&ip, payload, frame);
}

static void inject(const Fixture *f, const uint8_t *frame, size_t n) {
        g_assert_cmpint(send(f->outside, frame, n, 0), ==, (ssize_t) n);
}

static void inject_advert(const Fixture *f, int family, uint8_t vhid) {
        uint8_t frame[IP_FRAME_BYTES_MAX];

        inject(f, frame, build(family, vhid, frame));
}

static CarpVerdict on_advert(void *userdata, const IpFrame *frame, const CarpAdvert *advert, uint64_t now_usec) {
        Fixture *f = userdata;

        f->n_received++;
        f->source = frame->source;
        f->advert = *advert;
        for (uint64_t end_usec = lab_now_usec() + f->cost_usec; lab_now_usec() < end_usec;)
                ;
        if (f->release)
                f->port = transport_port_release(f->port);
        if (f->echo)
                inject_advert(f, AF_INET, VHID);
        return CARP_VERDICT_OK;
}

static void listen_for(Fixture *f, int family) {
        g_assert_cmpint(transport_port_acquire(f->transport, f->ifindex, family, &f->port), ==, 0);
        g_assert_cmpint(transport_port_listen(f->port, VHID, on_advert, NULL, f), ==, 0);
}

/* How many packets passed the port's filter since this was asked last. */
static unsigned n_passed(const Fixture *f) {
        struct tpacket_stats statistics;
        socklen_t length = sizeof(statistics);
        int fd = lab_find_socket(AF_PACKET, f->outside);

        g_assert_cmpint(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length), ==, 0);
        return statistics.tp_packets;
}

static void test_advert_reaches_its_receiver(Fixture *f, gconstpointer data) {
        int family = GPOINTER_TO_INT(data);
        IpAddress source = lab_address(family == AF_INET ? "192.0.2.2" : "fe80::2");

        listen_for(f, family);
        inject_advert(f, family, VHID);
        lab_run_until(f->event, &f->n_received, 1);
        g_assert_true(ip_address_equal(&f->source, &source));
        g_assert_cmpuint(f->advert.vhid, ==, VHID);
        g_assert_cmpuint(f->advert.advskew, ==, 100);
        g_assert_cmpuint(f->advert.counter, ==, 42);
}

static void test_each_vhid_has_one_receiver(Fixture *f, gconstpointer data) {
        Fixture other = { 0 };

        listen_for(f, AF_INET);
        g_assert_cmpint(transport_port_listen(f->port, VHID, on_advert, NULL, &other), ==, -EEXIST);
        g_assert_cmpint(transport_port_listen(f->port, VHID + 1, on_advert, NULL, &other), ==, 0);
        inject_advert(f, AF_INET, VHID + 2); /* nobody's */
        inject_advert(f, AF_INET, VHID + 1);
        lab_run_until(f->event, &other.n_received, 1);
        g_assert_cmpuint(f->n_received, ==, 0);
        g_assert_cmpuint(transport_port_rejected(f->port)[CARP_VERDICT_VHID], ==, 1);
        transport_port_unlisten(f->port, VHID);
        inject_advert(f, AF_INET, VHID);
        inject_advert(f, AF_INET, VHID + 1);
        lab_run_until(f->event, &other.n_received, 2);
        g_assert_cmpuint(f->n_received, ==, 0);
        g_assert_cmpuint(transport_port_rejected(f->port)[CARP_VERDICT_VHID], ==, 2);
        g_assert_cmpint(transport_port_listen(f->port, VHID, on_advert, NULL, f), ==, 0);
}

/* Frames that the kernel keeps from us: each as an advert with one thing changed. */
static void damage(int family, unsigned kind, uint8_t *frame, size_t *n) {
        switch (kind) {
        case 0: /* another protocol */
                frame[family == AF_INET ? 23 : 20] = IPPROTO_UDP;
                break;
        case 1: /* another host's, heard on the way */
                frame[0] = 0x02;
                frame[5] = 0x77;
                break;
        case 2: /* another kind of packet altogether */
                frame[12] = 0x08;
                frame[13] = 0x06;
                break;
        case 3: /* another VLAN's */
                memmove(frame + 16, frame + 12, *n - 12);
                *n += 4;
                memcpy(frame + 12, (const uint8_t[]) { 0x81, 0x00, 0x00, 0x05 }, 4);
                break;
        case 4: /* a fragment: of IPv4, as in IPv6 it is another header */
                frame[family == AF_INET ? 20 : 18] = 0x20;
                if (family == AF_INET6)
                        frame[20] = IPPROTO_FRAGMENT;
                break;
        default:
                g_assert_not_reached();
        }
}

static void test_kernel_keeps_the_rest_from_us(Fixture *f, gconstpointer data) {
        int family = GPOINTER_TO_INT(data);
        uint8_t frame[IP_FRAME_BYTES_MAX + 4];

        listen_for(f, family);
        for (unsigned kind = 0; kind < 5; kind++) {
                size_t n = build(family, VHID, frame);

                damage(family, kind, frame, &n);
                inject(f, frame, n);
        }
        /* nor what we send ourselves */
        g_assert_cmpint(transport_port_send_frame(f->port, frame, build(family, VHID, frame)), ==, 0);
        inject_advert(f, family, VHID);
        lab_run_until(f->event, &f->n_received, 1);
        g_assert_cmpuint(n_passed(f), ==, 1);
        for (size_t v = 0; v < N_CARP_VERDICTS; v++)
                g_assert_cmpuint(transport_port_rejected(f->port)[v], ==, 0);
}

/* For us, for all, or for a group that we need not even have joined. */
static void test_each_way_of_addressing_is_heard(Fixture *f, gconstpointer data) {
        uint8_t frame[IP_FRAME_BYTES_MAX], mac[MAC_BYTES];
        size_t n;

        ip("link set eth0 address 02:00:00:00:00:01");
        listen_for(f, AF_INET);
        n = build(AF_INET, VHID, frame);
        inject(f, frame, n);
        memcpy(frame, mac_here, MAC_BYTES);
        inject(f, frame, n);
        memcpy(frame, mac_broadcast, MAC_BYTES);
        inject(f, frame, n);
        ip_frame_multicast_mac(&(IpAddress) { .family = AF_INET, .bytes = { 239, 1, 2, 3 } }, mac);
        memcpy(frame, mac, MAC_BYTES);
        inject(f, frame, n);
        lab_run_until(f->event, &f->n_received, 4);
}

static unsigned n_sockets(void) {
        unsigned n = 0;

        for (int fd = 0; fd < 256; fd++) {
                int value;
                socklen_t length = sizeof(value);

                n += getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) == 0 && value == SOCK_RAW;
        }
        return n;
}

static void test_port_is_shared_and_closed_by_its_last_user(Fixture *f, gconstpointer data) {
        unsigned before = n_sockets();
        TransportPort *second, *other;

        listen_for(f, AF_INET);
        g_assert_cmpuint(n_sockets(), ==, before + 2);
        g_assert_cmpint(transport_port_acquire(f->transport, f->ifindex, AF_INET, &second), ==, 0);
        g_assert_true(second == f->port);
        g_assert_cmpuint(n_sockets(), ==, before + 2);
        g_assert_cmpint(transport_port_acquire(f->transport, f->ifindex, AF_INET6, &other), ==, 0);
        g_assert_true(other != f->port);
        g_assert_cmpuint(n_sockets(), ==, before + 4);
        g_assert_null(transport_port_release(other));
        g_assert_null(transport_port_release(second));
        g_assert_cmpuint(n_sockets(), ==, before + 2);
        inject_advert(f, AF_INET, VHID);
        lab_run_until(f->event, &f->n_received, 1);
        f->port = transport_port_release(f->port);
        g_assert_cmpuint(n_sockets(), ==, before);
        g_assert_cmpint(transport_port_acquire(f->transport, 12345, AF_INET, &other), <, 0);
        g_assert_cmpuint(n_sockets(), ==, before);
}

/* An advert can end an instance, and with it the last user of the port that it came by. */
static void on_refused(void *userdata, const uint8_t *frame, size_t n_bytes, CarpVerdict verdict, uint64_t now_usec) {
        Fixture *f = userdata;

        f->n_examined++;
        f->examined = verdict;
}

/* Whatever a closer look costs: it is paid a few times a second, and only for the VHIDs that somebody here has. */
static void test_a_closer_look_at_what_is_refused_is_rare(Fixture *f, gconstpointer data) {
        uint8_t frame[IP_FRAME_BYTES_MAX];
        uint64_t began_usec;
        size_t n;

        g_assert_cmpint(transport_port_acquire(f->transport, f->ifindex, AF_INET, &f->port), ==, 0);
        g_assert_cmpint(transport_port_listen(f->port, VHID, on_advert, on_refused, f), ==, 0);
        n = build(AF_INET, VHID + 1, frame);
        frame[14 + 20] = 0x31;
        for (unsigned k = 0; k < 100; k++)
                inject(f, frame, n);
        began_usec = lab_now_usec();
        n = build(AF_INET, VHID, frame);
        frame[14 + 20] = 0x31;
        for (unsigned k = 0; k < 100; k++)
                inject(f, frame, n);
        inject_advert(f, AF_INET, VHID);
        lab_run_until(f->event, &f->n_received, 1);
        g_assert_cmpuint(transport_port_rejected(f->port)[CARP_VERDICT_VERSION], ==, 200);
        g_assert_cmpuint(f->n_examined, >=, TRANSPORT_EXAMINED_PER_SEC);
        g_assert_cmpuint(f->n_examined, <=, TRANSPORT_EXAMINED_PER_SEC * (1 + (lab_now_usec() - began_usec) / 1000000 + 1));
        g_assert_cmpint(f->examined, ==, CARP_VERDICT_VERSION);
}

static void test_receiver_may_release_the_port(Fixture *f, gconstpointer data) {
        listen_for(f, AF_INET);
        f->release = true;
        inject_advert(f, AF_INET, VHID);
        lab_run_until(f->event, &f->n_received, 1);
        g_assert_null(f->port);
        g_assert_cmpuint(n_sockets(), ==, 1);
}

static bool is_member(int family) {
        g_autofree char *text = NULL;

        g_assert_true(g_file_get_contents(family == AF_INET ? "/proc/thread-self/net/igmp" : "/proc/thread-self/net/igmp6",
                                          &text,
                                          NULL,
                                          NULL));
        return strstr(text, family == AF_INET ? "120000E0" : "ff020000000000000000000000000012") != NULL;
}

static void test_group_is_left_by_its_last_user(Fixture *f, gconstpointer data) {
        int family = GPOINTER_TO_INT(data);
        const IpAddress *group = family == AF_INET ? &carp_group_ipv4 : &carp_group_ipv6;

        listen_for(f, family);
        g_assert_false(is_member(family));
        g_assert_cmpint(transport_port_join(f->port, group), ==, 0);
        g_assert_cmpint(transport_port_join(f->port, group), ==, 0);
        g_assert_true(is_member(family));
        transport_port_leave(f->port, group);
        g_assert_true(is_member(family));
        transport_port_rejoin(f->port);
        g_assert_true(is_member(family));
        transport_port_leave(f->port, group);
        g_assert_false(is_member(family));
        transport_port_rejoin(f->port);
        g_assert_false(is_member(family));
        transport_port_leave(f->port, group); /* once too often is no harm */
        g_assert_cmpint(transport_port_join(f->port, group), ==, 0);
        g_assert_true(is_member(family));
        f->port = transport_port_release(f->port);
        g_assert_false(is_member(family));
}

/* What the other end of the cable hears next that satisfies. */
static size_t hear(const Fixture *f, bool (*satisfies)(const uint8_t *frame, size_t n), uint8_t frame[1500]) {
        struct pollfd p = { .fd = f->outside, .events = POLLIN };

        for (;;) {
                ssize_t n;

                g_assert_cmpint(poll(&p, 1, (int) (DEADLINE_USEC / 1000)), ==, 1);
                n = recv(f->outside, frame, 1500, 0);
                g_assert_cmpint(n, >, 0);
                if (satisfies(frame, (size_t) n))
                        return (size_t) n;
        }
}

static bool is_join(const uint8_t *frame, size_t n) {
        static const uint8_t change_to_exclude_nobody[] = { 4, 0, 0, 0, 224, 0, 0, 18 }; /* RFC 3376 4.2.12 */

        return frame[12] == 0x08 && frame[13] == 0x00 && frame[23] == IPPROTO_IGMP &&
               memmem(frame, n, change_to_exclude_nobody, sizeof(change_to_exclude_nobody));
}

static void test_rejoining_reports_again(Fixture *f, gconstpointer data) {
        uint8_t frame[1500];

        listen_for(f, AF_INET);
        g_assert_cmpint(transport_port_join(f->port, &carp_group_ipv4), ==, 0);
        /* the kernel says it twice of its own accord (net.ipv4.igmp_qrv) */
        (void) hear(f, is_join, frame);
        (void) hear(f, is_join, frame);
        transport_port_rejoin(f->port);
        (void) hear(f, is_join, frame);
}

static bool is_arp(const uint8_t *frame, size_t n) {
        return frame[12] == 0x08 && frame[13] == 0x06;
}

static bool is_na(const uint8_t *frame, size_t n) {
        return frame[12] == 0x86 && frame[13] == 0xdd && frame[20] == IPPROTO_ICMPV6 && frame[54] == 136;
}

static void test_announcement(Fixture *f, gconstpointer data) {
        const IpAddress ipv4 = lab_address("192.0.2.50"), ipv6 = lab_address("2001:db8::50");
        uint8_t frame[1500];
        bool forms[3] = { 0 };

        listen_for(f, AF_INET);
        g_assert_cmpint(announce_address(f->port, mac_here, &ipv4, UINT64_MAX), ==, 0);
        for (unsigned k = 0; k < 2; k++) {
                (void) hear(f, is_arp, frame);
                g_assert_cmpmem(frame, MAC_BYTES, mac_broadcast, MAC_BYTES);
                g_assert_cmpmem(frame + 22, MAC_BYTES, mac_here, MAC_BYTES);
                g_assert_cmpmem(frame + 28, 4, ipv4.bytes, 4);
                g_assert_cmpmem(frame + 38, 4, ipv4.bytes, 4);
                forms[frame[21]] = true;
        }
        g_assert_true(forms[1] && forms[2]); /* a request and a reply */
        g_assert_cmpint(announce_address(f->port, mac_here, &ipv6, UINT64_MAX), ==, 0);
        (void) hear(f, is_na, frame);
        g_assert_cmpmem(frame + 62, 16, ipv6.bytes, 16);
        g_assert_cmpmem(frame + 80, MAC_BYTES, mac_here, MAC_BYTES);
        ip("link set eth0 down");
        g_assert_cmpint(announce_address(f->port, mac_here, &ipv4, UINT64_MAX), ==, -ENETDOWN);
        g_assert_cmpint(announce_address(f->port, mac_here, &ipv6, UINT64_MAX), ==, -ENETDOWN);
}

/* The news that a link was down waits in the socket, and must not be the answer to the first advert after it. */
static void test_first_send_after_a_link_was_down(Fixture *f, gconstpointer data) {
        uint8_t frame[IP_FRAME_BYTES_MAX];
        size_t n = build(AF_INET, VHID, frame);

        listen_for(f, AF_INET);
        g_assert_cmpint(transport_port_send_frame(f->port, frame, n), ==, 0);
        ip("link set eth0 down");
        g_assert_cmpint(transport_port_send_frame(f->port, frame, n), ==, -ENETDOWN);
        ip("link set eth0 up");
        g_assert_cmpint(transport_port_send_frame(f->port, frame, n), ==, 0);
        ip("link set eth0 down");
        ip("link set eth0 up");
        g_assert_cmpint(transport_port_send_frame(f->port, frame, n), ==, 0);
        lab_await_running("eth0");
        inject_advert(f, AF_INET, VHID);
        lab_run_until(f->event, &f->n_received, 1);
}

/* A port whose interface is gone says so, keeps the loop neither busy nor stopped, and can be given back. */
static void test_interface_gone(Fixture *f, gconstpointer data) {
        uint8_t frame[IP_FRAME_BYTES_MAX];
        unsigned n = 0;

        listen_for(f, AF_INET);
        g_assert_cmpint(transport_port_join(f->port, &carp_group_ipv4), ==, 0);
        ip("link del eth0");
        g_assert_cmpint(transport_port_send_frame(f->port, frame, build(AF_INET, VHID, frame)), <, 0);
        while (sd_event_run(f->event, 50000) > 0)
                g_assert_cmpuint(++n, <, 10);
        g_assert_cmpint(sd_event_get_state(f->event), ==, SD_EVENT_INITIAL);
        transport_port_rejoin(f->port);
        transport_port_leave(f->port, &carp_group_ipv4);
}

static bool is_carp(const uint8_t *frame, size_t n) {
        return frame[12] == 0x08 && frame[13] == 0x00 && frame[23] == CARP_PROTOCOL;
}

static bool is_carp6(const uint8_t *frame, size_t n) {
        return frame[12] == 0x86 && frame[13] == 0xdd && frame[20] == CARP_PROTOCOL;
}

/* Who waits in the outbox, and what became of him. */
typedef struct Sender {
        unsigned n_told;
        int error;
} Sender;

static void on_sent(void *userdata, int error) {
        Sender *s = userdata;

        s->n_told++;
        s->error = error;
}

/* Number k, as an advert's advskew says; a short one is refused by the kernel, and by itself. */
static void send_soon(Fixture *f, Sender *s, uint8_t k, uint64_t until_usec, bool is_short) {
        const CarpAdvert advert = { .vhid = VHID, .advskew = k };
        IpFrame ip = { .source = lab_address("192.0.2.1"), .destination = carp_group_ipv4 };
        uint8_t payload[CARP_PAYLOAD_BYTES], frame[IP_FRAME_BYTES_MAX];
        size_t n;

        memcpy(ip.source_mac, mac_here, MAC_BYTES);
        ip_frame_multicast_mac(&ip.destination, ip.destination_mac);
        carp_encode(&advert, payload);
        n = ip_frame_build(&ip, payload, frame);
        g_assert_cmpint(transport_port_send_soon(f->port, frame, is_short ? 10 : n, until_usec, on_sent, s), ==, -EINPROGRESS);
        g_assert_cmpuint(s->n_told, ==, 0);
}

static void assert_hears(const Fixture *f, uint8_t k) {
        uint8_t frame[1500];

        (void) hear(f, is_carp, frame);
        g_assert_cmpuint(frame[14 + 20 + 2], ==, k);
}

static void test_what_waits_leaves_together_and_in_order(Fixture *f, gconstpointer data) {
        struct pollfd p = { .fd = f->outside, .events = POLLIN };
        uint8_t frame[1500];
        Sender senders[100] = { 0 }; /* more than leave together */

        listen_for(f, AF_INET);
        transport_gather(f->transport);
        while (poll(&p, 1, 0) > 0)
                (void) recv(f->outside, frame, sizeof(frame), 0);
        for (uint8_t k = 0; k < 50; k++)
                send_soon(f, &senders[k], k, UINT64_MAX, false);
        while (poll(&p, 1, 0) > 0)
                g_assert_false(is_carp(frame, (size_t) recv(f->outside, frame, sizeof(frame), 0)));
        for (uint8_t k = 50; k < 100; k++)
                send_soon(f, &senders[k], k, UINT64_MAX, false);
        transport_flush(f->transport);
        for (uint8_t k = 0; k < 100; k++) {
                assert_hears(f, k);
                g_assert_cmpuint(senders[k].n_told, ==, 1);
                g_assert_cmpint(senders[k].error, ==, 0);
        }
        /* from here on nobody waits */
        g_assert_cmpint(transport_port_send_soon(f->port, frame, build(AF_INET, VHID, frame), UINT64_MAX, on_sent, &senders[0]), ==, 0);
        g_assert_cmpuint(senders[0].n_told, ==, 1);
}

/* What is said at once is not said before what was said earlier. */
static void test_what_waits_leaves_before_what_does_not(Fixture *f, gconstpointer data) {
        uint8_t frame[IP_FRAME_BYTES_MAX];
        Sender s = { 0 };

        listen_for(f, AF_INET);
        transport_gather(f->transport);
        send_soon(f, &s, 1, UINT64_MAX, false);
        g_assert_cmpint(transport_port_send_frame(f->port, frame, build(AF_INET, VHID, frame)), ==, 0);
        g_assert_cmpuint(s.n_told, ==, 1);
        assert_hears(f, 1);
        assert_hears(f, 100);
        transport_flush(f->transport);
        g_assert_cmpuint(s.n_told, ==, 1);
}

static void test_what_is_too_late_is_not_sent(Fixture *f, gconstpointer data) {
        Sender late = { 0 }, in_time = { 0 };

        listen_for(f, AF_INET);
        transport_gather(f->transport);
        send_soon(f, &late, 1, lab_now_usec() - 1, false);
        send_soon(f, &in_time, 2, lab_now_usec() + DEADLINE_USEC, false);
        transport_flush(f->transport);
        g_assert_cmpint(late.error, ==, -ETIME);
        g_assert_cmpint(in_time.error, ==, 0);
        g_assert_cmpuint(late.n_told + in_time.n_told, ==, 2);
        assert_hears(f, 2);
}

/* By the kernel, for a reason of its own or that of all. */
static void test_who_is_refused_holds_nobody_up(Fixture *f, gconstpointer data) {
        Sender senders[5] = { 0 };

        listen_for(f, AF_INET);
        transport_gather(f->transport);
        for (uint8_t k = 0; k < 5; k++)
                send_soon(f, &senders[k], k, UINT64_MAX, k == 0 || k == 2 || k == 3);
        transport_flush(f->transport);
        for (uint8_t k = 0; k < 5; k++) {
                g_assert_cmpuint(senders[k].n_told, ==, 1);
                g_assert_cmpint(senders[k].error, ==, k == 1 || k == 4 ? 0 : -EINVAL);
        }
        assert_hears(f, 1);
        assert_hears(f, 4);
        memset(senders, 0, sizeof(senders));
        ip("link set eth0 down");
        transport_gather(f->transport);
        for (uint8_t k = 0; k < 5; k++)
                send_soon(f, &senders[k], k, UINT64_MAX, false);
        transport_flush(f->transport);
        for (uint8_t k = 0; k < 5; k++) {
                g_assert_cmpuint(senders[k].n_told, ==, 1);
                g_assert_cmpint(senders[k].error, ==, -ENETDOWN);
        }
}

static void test_who_is_gone_is_not_told(Fixture *f, gconstpointer data) {
        Sender gone = { 0 }, stays = { 0 };

        listen_for(f, AF_INET);
        transport_gather(f->transport);
        send_soon(f, &gone, 1, UINT64_MAX, false);
        send_soon(f, &stays, 2, UINT64_MAX, false);
        transport_forget(f->transport, &gone);
        /* nor does the port's last user take anything with it */
        f->port = transport_port_release(f->port);
        g_assert_cmpuint(gone.n_told, ==, 0);
        g_assert_cmpuint(stays.n_told, ==, 1);
        assert_hears(f, 1);
        assert_hears(f, 2);
        transport_flush(f->transport);
}

/* By the kernel's own routing, from the source we say, and with the TTL that CARP demands. */
static void test_unicast(Fixture *f, gconstpointer data) {
        int family = GPOINTER_TO_INT(data);
        bool ipv4 = family == AF_INET;
        const IpAddress source = lab_address(ipv4 ? "192.0.2.9" : "2001:db8::9"), peer = lab_address(ipv4 ? "192.0.2.2" : "2001:db8::2");
        uint8_t payload[CARP_PAYLOAD_BYTES], frame[1500];
        size_t n;
        int home = lab_move(f->there);

        ip("addr add %s dev peer0", ipv4 ? "192.0.2.2/24" : "2001:db8::2/64 nodad");
        lab_move_back(home);
        ip("addr add %s dev eth0", ipv4 ? "192.0.2.9/24" : "2001:db8::9/64 nodad");
        listen_for(f, family);
        carp_encode(&(CarpAdvert) { .vhid = VHID }, payload);
        g_assert_cmpint(transport_port_send_unicast(f->port, &source, &peer, payload), ==, 0);
        n = hear(f, ipv4 ? is_carp : is_carp6, frame);
        g_assert_cmpuint(frame[ipv4 ? 22 : 21], ==, 255);
        g_assert_cmpmem(frame + (ipv4 ? 26 : 22), ip_address_n_bytes(&source), source.bytes, ip_address_n_bytes(&source));
        g_assert_cmpmem(frame + (ipv4 ? 34 : 54), n - (ipv4 ? 34 : 54), payload, CARP_PAYLOAD_BYTES);
}

/* However much waits, one pass of the loop takes a bounded share. */
static void test_one_pass_takes_a_bounded_share(Fixture *f, gconstpointer data) {
        unsigned n = 0;

        listen_for(f, AF_INET);
        for (unsigned k = 0; k < 100; k++)
                inject_advert(f, AF_INET, VHID);
        while (n < 100)
                n += n_passed(f);
        while (f->n_received < 100) {
                unsigned before = f->n_received;

                g_assert_cmpint(sd_event_run(f->event, DEADLINE_USEC), >, 0);
                g_assert_cmpuint(f->n_received - before, <=, 32);
        }
}

/* Other protocols on the segment are told once or twice, but not instead of what is wrong. */
static void test_chatter_does_not_hide_a_warning(Fixture *f, gconstpointer data) {
        g_auto(AutoFd) log = memfd_create("log", MFD_CLOEXEC), terminal = dup(STDERR_FILENO);
        uint8_t frame[IP_FRAME_BYTES_MAX];
        char text[4096] = "";
        size_t n;

        listen_for(f, AF_INET);
        for (unsigned k = 0; k < 10; k++)
                inject_advert(f, AF_INET, VHID + 1);
        n = build(AF_INET, VHID, frame);
        frame[n - 1] ^= 1;
        inject(f, frame, n);
        inject_advert(f, AF_INET, VHID);
        g_assert_cmpint(dup2(log, STDERR_FILENO), >=, 0);
        log_open("test", LOG_TARGET_STDERR, LOG_DAEMON);
        lab_run_until(f->event, &f->n_received, 1);
        g_assert_cmpint(dup2(terminal, STDERR_FILENO), >=, 0);
        log_open("test", LOG_TARGET_STDERR, LOG_DAEMON);
        g_assert_cmpint(pread(log, text, sizeof(text) - 1, 0), >=, 0);
        g_assert_cmpuint(transport_port_rejected(f->port)[CARP_VERDICT_VHID], ==, 10);
        g_assert_nonnull(strstr(text, "192.0.2.2: checksum"));
}

static int on_tick(sd_event_source *s, uint64_t usec, void *userdata) {
        unsigned *n = userdata;

        (*n)++;
        g_assert_cmpint(sd_event_source_set_time_relative(s, 1000), >=, 0);
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* After we stood still, silence is judged only when all that was heard meanwhile is known, however long that takes. */
static void test_what_waited_is_heard_before_a_timer(Fixture *f, gconstpointer data) {
        g_autoptr(sd_event_source) timer = NULL;
        unsigned n = 0, n_ticks = 0;

        listen_for(f, AF_INET);
        f->cost_usec = 100;
        for (unsigned k = 0; k < 200; k++)
                inject_advert(f, AF_INET, VHID);
        while (n < 200)
                n += n_passed(f);
        g_assert_cmpint(sd_event_add_time(f->event, &timer, CLOCK_BOOTTIME, 0, 1, on_tick, &n_ticks), >=, 0);
        g_assert_cmpint(sd_event_source_set_priority(timer, EVENT_PRIORITY_TIMER), >=, 0);
        lab_run_until(f->event, &n_ticks, 1);
        g_assert_cmpuint(f->n_received, ==, 200);
}

/* Adverts without end, one for each that is received, until the port rests. Returns its socket. */
static int tire(Fixture *f) {
        int fd = lab_find_socket(AF_PACKET, f->outside);
        uint64_t end_usec = lab_now_usec() + DEADLINE_USEC;

        f->echo = true;
        f->cost_usec = 50;
        for (unsigned k = 0; k < 100; k++)
                inject_advert(f, AF_INET, VHID);
        while (lab_is_awaited(f->event, fd)) {
                g_assert_cmpuint(lab_now_usec(), <, end_usec);
                g_assert_cmpint(sd_event_run(f->event, 100000), >=, 0);
        }
        f->echo = false;
        return fd;
}

static void test_who_rested_is_heard_again_whatever_the_kernel_refuses(Fixture *f, gconstpointer data) {
        unsigned before;
        int fd, kept;

        listen_for(f, AF_INET);
        fd = tire(f);
        kept = lab_spoil(fd);
        before = f->n_received;
        /* its rest ends, and is tried once more */
        for (unsigned k = 0; k < 2; k++)
                g_assert_cmpint(sd_event_run(f->event, DEADLINE_USEC), >, 0);
        g_assert_cmpuint(f->n_received, ==, before);
        lab_mend(fd, kept);
        inject_advert(f, AF_INET, VHID);
        lab_run_until(f->event, &f->n_received, before + 1);
}

static pid_t flood(Fixture *f) {
        struct mmsghdr messages[N_FLOOD] = { 0 };
        uint8_t frame[IP_FRAME_BYTES_MAX];
        struct iovec v = { .iov_base = frame, .iov_len = build(AF_INET, VHID, frame) };
        const int one = 1;
        pid_t pid;

        for (size_t k = 0; k < N_FLOOD; k++)
                messages[k].msg_hdr = (struct msghdr) { .msg_iov = &v, .msg_iovlen = 1 };
        (void) setsockopt(f->outside, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        (void) sendmmsg(f->outside, messages, N_FLOOD, 0);
        }
        return pid;
}

/* Adverts that come faster than they can be dealt with must not keep a timer from its turn, nor anything behind it. */
static void test_flood_leaves_others_their_turn(Fixture *f, gconstpointer data) {
        static const int priorities[] = { EVENT_PRIORITY_TIMER, EVENT_PRIORITY_NETLINK, EVENT_PRIORITY_BUS, EVENT_PRIORITY_SIGNAL };
        sd_event_source *sources[G_N_ELEMENTS(priorities)] = { 0 };
        unsigned n_ticks[G_N_ELEMENTS(priorities)] = { 0 };
        pid_t pid;

        listen_for(f, AF_INET);
        for (size_t k = 0; k < G_N_ELEMENTS(priorities); k++) {
                g_assert_cmpint(sd_event_add_time_relative(f->event, &sources[k], CLOCK_BOOTTIME, 1000, 1, on_tick, &n_ticks[k]), >=, 0);
                g_assert_cmpint(sd_event_source_set_priority(sources[k], priorities[k]), >=, 0);
        }
        f->cost_usec = 100; /* more than the flood needs for the next one */
        pid = flood(f);
        lab_run_until(f->event, &f->n_received, 1000);
        for (size_t k = 0; k < G_N_ELEMENTS(priorities); k++)
                lab_run_until(f->event, &n_ticks[k], n_ticks[k] + 5);
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
        for (size_t k = 0; k < G_N_ELEMENTS(priorities); k++)
                sd_event_source_disable_unref(sources[k]);
}

/* Each advert is answered by the next one. */
static CarpVerdict on_link_of_chain(void *userdata, const IpFrame *frame, const CarpAdvert *advert, uint64_t now_usec) {
        Fixture *f = userdata;

        f->chain_usec[f->n_received++] = now_usec;
        if (f->n_received < N_CHAIN)
                inject_advert(f, AF_INET, VHID);
        else
                g_assert_cmpint(sd_event_exit(f->event, 0), >=, 0);
        return CARP_VERDICT_OK;
}

/* Of adverts that come one by one, each soon after the other, every third is followed by a pause in which more could gather; the others by none. */
static void test_a_crowd_is_let_gather(Fixture *f, gconstpointer data) {
        unsigned n_paused = 0;

        g_assert_cmpint(transport_port_acquire(f->transport, f->ifindex, AF_INET, &f->port), ==, 0);
        g_assert_cmpint(transport_port_listen(f->port, VHID, on_link_of_chain, NULL, f), ==, 0);
        inject_advert(f, AF_INET, VHID);
        g_assert_cmpint(alarms_loop(f->alarms), ==, 0);
        for (unsigned k = 1; k < N_CHAIN; k++)
                n_paused += f->chain_usec[k] - f->chain_usec[k - 1] >= 500;
        g_assert_cmpuint(n_paused, >=, N_CHAIN / 4);
        g_assert_cmpuint(n_paused, <, N_CHAIN - 1);
}

int main(int argc, char **argv) {
        if (!lab_init(argc, argv))
                return lab_skip();
#define CASE(name, data, function) g_test_add("/transport/" name, Fixture, GINT_TO_POINTER(data), set_up, function, tear_down)
        CASE("advert-reaches-its-receiver-ipv4", AF_INET, test_advert_reaches_its_receiver);
        CASE("advert-reaches-its-receiver-ipv6", AF_INET6, test_advert_reaches_its_receiver);
        CASE("each-vhid-has-one-receiver", 0, test_each_vhid_has_one_receiver);
        CASE("kernel-keeps-the-rest-from-us-ipv4", AF_INET, test_kernel_keeps_the_rest_from_us);
        CASE("kernel-keeps-the-rest-from-us-ipv6", AF_INET6, test_kernel_keeps_the_rest_from_us);
        CASE("each-way-of-addressing-is-heard", 0, test_each_way_of_addressing_is_heard);
        CASE("port-is-shared-and-closed-by-its-last-user", 0, test_port_is_shared_and_closed_by_its_last_user);
        CASE("a-closer-look-at-what-is-refused-is-rare", 0, test_a_closer_look_at_what_is_refused_is_rare);
        CASE("receiver-may-release-the-port", 0, test_receiver_may_release_the_port);
        CASE("group-is-left-by-its-last-user-ipv4", AF_INET, test_group_is_left_by_its_last_user);
        CASE("group-is-left-by-its-last-user-ipv6", AF_INET6, test_group_is_left_by_its_last_user);
        CASE("rejoining-reports-again", 0, test_rejoining_reports_again);
        CASE("announcement", 0, test_announcement);
        CASE("first-send-after-a-link-was-down", 0, test_first_send_after_a_link_was_down);
        CASE("interface-gone", 0, test_interface_gone);
        CASE("what-waits-leaves-together-and-in-order", 0, test_what_waits_leaves_together_and_in_order);
        CASE("what-waits-leaves-before-what-does-not", 0, test_what_waits_leaves_before_what_does_not);
        CASE("what-is-too-late-is-not-sent", 0, test_what_is_too_late_is_not_sent);
        CASE("who-is-refused-holds-nobody-up", 0, test_who_is_refused_holds_nobody_up);
        CASE("who-is-gone-is-not-told", 0, test_who_is_gone_is_not_told);
        CASE("unicast-ipv4", AF_INET, test_unicast);
        CASE("unicast-ipv6", AF_INET6, test_unicast);
        CASE("chatter-does-not-hide-a-warning", 0, test_chatter_does_not_hide_a_warning);
        CASE("one-pass-takes-a-bounded-share", 0, test_one_pass_takes_a_bounded_share);
        CASE("what-waited-is-heard-before-a-timer", 0, test_what_waited_is_heard_before_a_timer);
        CASE("who-rested-is-heard-again-whatever-the-kernel-refuses", 0, test_who_rested_is_heard_again_whatever_the_kernel_refuses);
        CASE("a-crowd-is-let-gather", 0, test_a_crowd_is_let_gather);
        CASE("flood-leaves-others-their-turn", 0, test_flood_leaves_others_their_turn);
        return g_test_run();
}
