/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the neighbours on a real cable say: what passes the kernel's filter, who hears it, and what a flood costs. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "io/neighbours.h"
#include "lab.h"
#include "proto/arp-frame.h"
#include "proto/nd-frame.h"
#include "util/event-priority.h"
#include "util/log.h"

static bool no_filter; /* the kernel has no memory for one */

int setsockopt(int fd, int level, int name, const void *value, socklen_t n_bytes) {
        if (!no_filter || name != SO_ATTACH_FILTER)
                return (int) syscall(SYS_setsockopt, fd, level, name, value, n_bytes);
        errno = ENOMEM;
        return -1;
}

static const uint8_t mac_there[MAC_BYTES] = { 2, 0, 0, 0, 0, 9 };

typedef struct Fixture {
        AutoFd there, outside; /* the other end of the cable, and a packet socket there */
        sd_event *event;
        LinkTable *links;
        Neighbours *neighbours;
        NeighbourWatch *watch, *marks;
        int ifindex;
        unsigned n_heard, n_marks;
        size_t k;
        uint8_t mac[MAC_BYTES];
        bool probe;
        uint64_t cost_usec;
        unsigned n_timers;
} Fixture;

static void on_link(void *userdata, const Link *link, unsigned changes) {
}

static void on_heard(void *userdata, size_t k, const NeighbourClaim *claim, uint64_t now_usec) {
        Fixture *f = userdata;

        f->n_heard++;
        f->k = k;
        memcpy(f->mac, claim->mac, MAC_BYTES);
        f->probe = claim->probe;
        for (uint64_t end_usec = lab_now_usec() + f->cost_usec; lab_now_usec() < end_usec;)
                ;
}

static void on_mark(void *userdata, size_t k, const NeighbourClaim *claim, uint64_t now_usec) {
        ((Fixture *) userdata)->n_marks++;
}

static void set_up(Fixture *f, gconstpointer data) {
        struct sockaddr_ll address = { .sll_family = AF_PACKET };
        int home;

        f->there = lab_enter_with_peer();
        f->ifindex = lab_ifindex("eth0");
        home = lab_move(f->there);
        address.sll_ifindex = lab_ifindex("peer0");
        f->outside = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
        g_assert_cmpint(bind(f->outside, (struct sockaddr *) &address, sizeof(address)), ==, 0);
        lab_move_back(home);
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(link_table_new(&f->links, f->event, on_link, f), ==, 0);
        g_assert_cmpint(neighbours_new(&f->neighbours, f->event, f->links), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data) {
        f->watch = neighbour_watch_free(f->watch);
        f->marks = neighbour_watch_free(f->marks);
        neighbours_free(f->neighbours);
        link_table_free(f->links);
        sd_event_unref(f->event);
        auto_fd_clear(&f->outside);
        auto_fd_clear(&f->there);
}

static void watch(Fixture *f, const char *const *addresses, size_t n) {
        g_autofree IpPrefix *prefixes = g_new0(IpPrefix, n);

        for (size_t k = 0; k < n; k++)
                prefixes[k] = lab_prefix(addresses[k]);
        g_assert_cmpint(neighbour_watch_new(&f->watch, f->neighbours, f->ifindex, prefixes, n, on_heard, f), ==, 0);
        neighbour_watch_enable(f->watch, true);
        neighbours_commit(f->neighbours);
}

static const char *const both[] = { "192.0.2.10", "2001:db8::10", "192.0.2.11" }, *const marks[] = { "192.0.2.99", "2001:db8::99" };

static void announce(Fixture *f, const char *text, const uint8_t mac[MAC_BYTES]) {
        IpAddress address = lab_address(text);
        uint8_t frame[ND_FRAME_BYTES];
        size_t n = address.family == AF_INET ? ARP_FRAME_BYTES : ND_FRAME_BYTES;

        if (address.family == AF_INET)
                arp_frame_build(ARP_FORM_REQUEST, mac, &address, frame);
        else
                nd_frame_build(mac, &address, frame);
        g_assert_cmpint(send(f->outside, frame, n, 0), ==, (ssize_t) n);
}

/* Everything that was sent before has been handled: frames of each family come in order, and nobody else is told of the last one. */
static void settle(Fixture *f) {
        f->n_marks = 0;
        announce(f, marks[0], mac_there);
        announce(f, marks[1], mac_there);
        lab_run_until(f->event, &f->n_marks, 2);
}

static void watch_marks(Fixture *f) {
        const IpPrefix prefixes[] = { lab_prefix(marks[0]), lab_prefix(marks[1]) };

        g_assert_cmpint(neighbour_watch_new(&f->marks, f->neighbours, f->ifindex, prefixes, 2, on_mark, f), ==, 0);
        neighbour_watch_enable(f->marks, true);
        neighbours_commit(f->neighbours);
}

static void test_a_claim_is_heard_with_its_number(Fixture *f, gconstpointer data) {
        watch(f, both, G_N_ELEMENTS(both));
        for (size_t k = 0; k < G_N_ELEMENTS(both); k++) {
                announce(f, both[k], mac_there);
                lab_run_until(f->event, &f->n_heard, (unsigned) k + 1);
                g_assert_cmpuint(f->k, ==, k);
                g_assert_false(f->probe);
                g_assert_cmpmem(f->mac, MAC_BYTES, mac_there, MAC_BYTES);
        }
}

static void test_a_probe_is_heard(Fixture *f, gconstpointer data) {
        const IpAddress nobody = { 0 }, address = lab_address("192.0.2.11");
        uint8_t frame[ARP_FRAME_BYTES];
        int home;

        watch(f, both, G_N_ELEMENTS(both));
        arp_frame_build_question(mac_there, &nobody, &address, frame);
        g_assert_cmpint(send(f->outside, frame, sizeof(frame), 0), ==, sizeof(frame));
        lab_run_until(f->event, &f->n_heard, 1);
        g_assert_true(f->probe);
        g_assert_cmpuint(f->k, ==, 2);
        /* the kernel's own duplicate address detection */
        home = lab_move(f->there);
        ip("addr add 2001:db8::10/64 dev peer0");
        lab_move_back(home);
        lab_run_until(f->event, &f->n_heard, 2);
        g_assert_true(f->probe);
        g_assert_cmpuint(f->k, ==, 1);
}

/* From the socket itself: the program need not wake up for it. */
static void test_what_concerns_nobody_stays_in_the_kernel(Fixture *f, gconstpointer data) {
        const IpAddress source = lab_address("192.0.2.2"), address = lab_address("192.0.2.10");
        struct tpacket_stats statistics;
        socklen_t length = sizeof(statistics);
        static const char *const ipv4[] = { "192.0.2.10" };
        uint8_t frame[ARP_FRAME_BYTES];
        int fd;

        watch(f, ipv4, 1);
        fd = lab_find_socket(AF_PACKET, f->outside);
        for (unsigned k = 0; k < 100; k++) {
                arp_frame_build_question(mac_there, &source, &address, frame);
                g_assert_cmpint(send(f->outside, frame, sizeof(frame), 0), ==, sizeof(frame));
                announce(f, "192.0.2.12", mac_there);
                announce(f, "2001:db8::10", mac_there);
        }
        announce(f, "192.0.2.10", mac_there);
        lab_run_until(f->event, &f->n_heard, 1);
        g_assert_cmpint(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length), ==, 0);
        g_assert_cmpuint(statistics.tp_packets, ==, 1);
}

static void test_ipv6_that_concerns_nobody(Fixture *f, gconstpointer data) {
        const IpAddress source = lab_address("fe80::9"), address = lab_address("2001:db8::10");
        struct tpacket_stats statistics;
        socklen_t length = sizeof(statistics);
        static const char *const ipv6[] = { "2001:db8::10" };
        uint8_t frame[ND_FRAME_BYTES];
        int fd;

        watch(f, ipv6, 1);
        fd = lab_find_socket(AF_PACKET, f->outside);
        for (unsigned k = 0; k < 100; k++) {
                /* who only looks for us */
                nd_frame_build_question(mac_there, &source, &address, frame);
                g_assert_cmpint(send(f->outside, frame, sizeof(frame), 0), ==, sizeof(frame));
                announce(f, "2001:db8::11", mac_there);
        }
        announce(f, "2001:db8::10", mac_there);
        lab_run_until(f->event, &f->n_heard, 1);
        g_assert_cmpint(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length), ==, 0);
        g_assert_cmpuint(statistics.tp_packets, ==, 1);
}

static void test_a_disabled_watch_is_deaf_and_stays_so_for_the_past(Fixture *f, gconstpointer data) {
        watch_marks(f);
        watch(f, both, G_N_ELEMENTS(both));
        for (unsigned k = 0; k < 10; k++)
                announce(f, both[0], mac_there);
        neighbour_watch_enable(f->watch, false);
        neighbours_commit(f->neighbours);
        for (unsigned k = 0; k < 10; k++)
                announce(f, both[0], mac_there);
        neighbour_watch_enable(f->watch, true);
        neighbours_commit(f->neighbours);
        settle(f);
        g_assert_cmpuint(f->n_heard, ==, 0);
        announce(f, both[0], mac_there);
        lab_run_until(f->event, &f->n_heard, 1);
}

static void test_a_filter_that_was_refused_comes_with_the_next_commit(Fixture *f, gconstpointer data) {
        watch(f, both, G_N_ELEMENTS(both));
        neighbour_watch_enable(f->watch, false);
        neighbours_commit(f->neighbours);
        no_filter = true;
        neighbour_watch_enable(f->watch, true);
        neighbours_commit(f->neighbours);
        no_filter = false;
        neighbours_commit(f->neighbours);
        announce(f, both[0], mac_there);
        lab_run_until(f->event, &f->n_heard, 1);
}

static void test_our_own_interfaces_are_no_neighbours(Fixture *f, gconstpointer data) {
        static const uint8_t mac_second[MAC_BYTES] = { 2, 0, 0, 0, 0, 0x22 };

        ip("link add second0 address 02:00:00:00:00:22 type veth peer name second1");
        while (!link_table_find(f->links, "second0"))
                g_assert_cmpint(sd_event_run(f->event, DEADLINE_USEC), >, 0);
        watch_marks(f);
        watch(f, both, G_N_ELEMENTS(both));
        announce(f, both[0], mac_second);
        announce(f, both[1], mac_second);
        announce(f, both[0], link_table_find(f->links, "eth0")->mac);
        settle(f);
        g_assert_cmpuint(f->n_heard, ==, 0);
}

/* More than the filter has room for: then it lets all pass, and nothing is lost. */
static void test_any_number_of_addresses(Fixture *f, gconstpointer data) {
        NeighbourWatch *watches[8];

        for (unsigned w = 0; w < G_N_ELEMENTS(watches); w++) {
                IpPrefix prefixes[64];

                for (unsigned k = 0; k < G_N_ELEMENTS(prefixes); k++) {
                        g_autofree char *text = g_strdup_printf("198.51.%u.%u", 100 + w, k);

                        prefixes[k] = lab_prefix(text);
                }
                g_assert_cmpint(neighbour_watch_new(&watches[w], f->neighbours, f->ifindex, prefixes, G_N_ELEMENTS(prefixes), on_heard, f),
                                ==, 0);
                neighbour_watch_enable(watches[w], true);
                neighbours_commit(f->neighbours);
        }
        announce(f, "198.51.100.0", mac_there);
        lab_run_until(f->event, &f->n_heard, 1);
        announce(f, "198.51.107.63", mac_there);
        lab_run_until(f->event, &f->n_heard, 2);
        g_assert_cmpuint(f->k, ==, 63);
        for (unsigned w = 0; w < G_N_ELEMENTS(watches); w++)
                neighbour_watch_free(watches[w]);
}

/* A full batch is followed by a rest. */
static void test_who_rested_is_heard_again_whatever_the_kernel_refuses(Fixture *f, gconstpointer data) {
        unsigned before;
        int fd, kept;

        watch(f, both, 1);
        fd = lab_find_socket(AF_PACKET, f->outside);
        for (unsigned k = 0; k < 64; k++)
                announce(f, both[0], mac_there);
        lab_run_until(f->event, &f->n_heard, 1);
        before = f->n_heard;
        g_assert_false(lab_is_awaited(f->event, fd));
        kept = lab_spoil(fd);
        /* its rest ends, and is tried once more */
        for (unsigned k = 0; k < 2; k++)
                g_assert_cmpint(sd_event_run(f->event, DEADLINE_USEC), >, 0);
        g_assert_cmpuint(f->n_heard, ==, before);
        lab_mend(fd, kept);
        lab_run_until(f->event, &f->n_heard, 64);
}

static void run_for(Fixture *f, uint64_t usec) {
        uint64_t end_usec = lab_now_usec() + usec;

        for (uint64_t now_usec; (now_usec = lab_now_usec()) < end_usec;)
                g_assert_cmpint(sd_event_run(f->event, end_usec - now_usec), >=, 0);
}

/* Nobody claims anything meanwhile, as there is nobody, or as we do not listen. */
static void test_a_link_that_goes_now_and_then_is_no_failure(Fixture *f, gconstpointer data) {
        g_auto(AutoFd) lines = memfd_create("lines", MFD_CLOEXEC), saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);

        watch(f, both, 1);
        g_assert_cmpint(dup2(lines, STDERR_FILENO), ==, STDERR_FILENO);
        log_open("test", LOG_TARGET_STDERR, LOG_DAEMON);
        for (unsigned k = 0; k < 3; k++) {
                ip("link set eth0 down");
                run_for(f, 200000);
                ip("link set eth0 up");
                run_for(f, 200000);
        }
        lab_await_running("eth0");
        announce(f, both[0], mac_there);
        lab_run_until(f->event, &f->n_heard, 1);
        log_close();
        g_assert_cmpint(dup2(saved, STDERR_FILENO), ==, STDERR_FILENO);
        g_assert_cmpint(lseek(lines, 0, SEEK_END), ==, 0);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Fixture *f = userdata;

        f->n_timers++;
        (void) sd_event_source_set_time_relative(s, 50000);
        (void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

/* A flood, handled slowly, leaves most of the time to others; even to those that come last. */
static void test_a_flood_takes_a_bounded_share(Fixture *f, gconstpointer data) {
        sd_event_source *timer = NULL;
        uint64_t began_usec, took_usec = 0;
        pid_t pid;

        f->cost_usec = 50;
        watch(f, both, 1);
        g_assert_cmpint(sd_event_add_time_relative(f->event, &timer, CLOCK_BOOTTIME, 50000, EVENT_ACCURACY_USEC, on_timer, f), >=, 0);
        (void) sd_event_source_set_priority(timer, EVENT_PRIORITY_IDLE);
        pid = fork();
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        announce(f, both[0], mac_there);
        }
        began_usec = lab_now_usec();
        while (took_usec < 2000000 || f->n_timers <= 10 || f->n_heard <= 100) {
                g_assert_cmpint(sd_event_run(f->event, 100000), >=, 0);
                took_usec = lab_now_usec() - began_usec;
                g_assert_cmpuint(took_usec, <, DEADLINE_USEC);
        }
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
        sd_event_source_disable_unref(timer);
        g_test_message("%u claims heard, %u turns for others", f->n_heard, f->n_timers);
        g_assert_cmpuint(f->n_heard, <, took_usec * 3300 / 1000000);
}

#define CASE(name) g_test_add("/neighbours/" #name, Fixture, NULL, set_up, test_##name, tear_down)

int main(int argc, char **argv) {
        if (!lab_init(argc, argv))
                return lab_skip();
        CASE(a_claim_is_heard_with_its_number);
        CASE(a_probe_is_heard);
        CASE(what_concerns_nobody_stays_in_the_kernel);
        CASE(ipv6_that_concerns_nobody);
        CASE(a_disabled_watch_is_deaf_and_stays_so_for_the_past);
        CASE(a_filter_that_was_refused_comes_with_the_next_commit);
        CASE(our_own_interfaces_are_no_neighbours);
        CASE(any_number_of_addresses);
        CASE(who_rested_is_heard_again_whatever_the_kernel_refuses);
        CASE(a_link_that_goes_now_and_then_is_no_failure);
        CASE(a_flood_takes_a_bounded_share);
        return g_test_run();
}
