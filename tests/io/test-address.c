/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Holding an address: it is there at once and whole, renewed without a ripple, and gone when dropped; and nobody else's is touched. */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/address.h"
#include "lab.h"

#define N_RENEWALS 500
#define LEASE_SEC 3
#define PORT 7777

typedef struct Case {
        const char *own, *there;    /* of eth0, and of the other end of the cable */
        const char *vip, *wide_vip; /* alone, and with the subnet's prefix length */
        const char *unconfigured;   /* in a subnet beyond the router */
} Case;

static const Case ipv4 = { "192.0.2.1/24", "192.0.2.100/24", "192.0.2.50/32", "192.0.2.50/24", "203.0.113.1" };
static const Case ipv6 = { "2001:db8::1/64", "2001:db8::100/64", "2001:db8::50/128", "2001:db8::50/64", "2001:db8:1::1" };

typedef struct Fixture {
        AutoFd there;
        sd_event *event;
        AddressSocket *socket;
        Address *address;
        unsigned n_refused;
        int refusal;
        AddressWatch watch;
        int ifindex;
} Fixture;

static void set_up(Fixture *f, gconstpointer data) {
        const Case *c = data;
        IpAddress vip = lab_address(c->vip);
        bool is_ipv6 = vip.family == AF_INET6;
        int home;

        f->there = lab_enter_with_peer();
        ip("addr add %s dev eth0%s", c->own, is_ipv6 ? " nodad" : "");
        home = lab_move(f->there);
        ip("addr add %s dev peer0%s", c->there, is_ipv6 ? " nodad" : "");
        lab_move_back(home);
        f->ifindex = lab_ifindex("eth0");
        g_assert_cmpint(address_socket_new(&f->socket), ==, 0);
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        address_watch_open(&f->watch, &vip);
}

static void tear_down(Fixture *f, gconstpointer data) {
        auto_fd_clear(&f->watch.fd);
        address_free(f->address);
        address_socket_free(f->socket);
        sd_event_unref(f->event);
        auto_fd_clear(&f->there);
}

static void make(Fixture *f, const char *text, uint32_t lease_sec) {
        IpPrefix prefix = lab_prefix(text);

        f->address = address_free(f->address);
        g_assert_cmpint(address_new(&f->address, f->socket, f->ifindex, &prefix, lease_sec, 0), ==, 0);
}

static socklen_t socket_address(const IpAddress *a, uint16_t port, struct sockaddr_storage *ret) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *) ret;
        struct sockaddr_in *four = (struct sockaddr_in *) ret;

        memset(ret, 0, sizeof(*ret));
        ret->ss_family = (sa_family_t) a->family;
        if (a->family == AF_INET) {
                four->sin_port = htons(port);
                memcpy(&four->sin_addr, a->bytes, 4);
                return sizeof(*four);
        }
        six->sin6_port = htons(port);
        memcpy(&six->sin6_addr, a->bytes, 16);
        return sizeof(*six);
}

/* Can a service be opened on it? Not on one that is absent, nor on one that is tentative. */
static bool is_usable(const char *text) {
        IpAddress a = lab_address(text);
        struct sockaddr_storage name;
        socklen_t length = socket_address(&a, 0, &name);
        g_auto(AutoFd) fd = socket(a.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        g_assert_cmpint(fd, >=, 0);
        return bind(fd, (struct sockaddr *) &name, length) == 0;
}

static void test_held_renewed_and_dropped(Fixture *f, gconstpointer data) {
        const Case *c = data;

        make(f, c->vip, 100);
        g_assert_false(is_usable(c->vip)); /* made is not held */
        g_assert_cmpint(address_hold(f->address), ==, 0);
        g_assert_true(is_usable(c->vip));
        address_watch_await(&f->watch, &f->watch.n_new, 1);
        g_assert_cmpuint(f->watch.last.protocol, ==, ADDRESS_PROTOCOL);
        g_assert_cmpuint(f->watch.last.valid_sec, ==, 100);
        g_assert_cmpuint(f->watch.last.preferred_sec, ==, c == &ipv4 ? 100 : 0);
        g_assert_false(f->watch.last.flags & IFA_F_PERMANENT);

        make(f, c->vip, 200);
        g_assert_cmpint(address_hold(f->address), ==, 0);
        g_assert_cmpint(address_hold(f->address), ==, 0);
        address_watch_await(&f->watch, &f->watch.n_new, 3);
        g_assert_cmpuint(f->watch.n_gone, ==, 0);
        g_assert_cmpuint(f->watch.last.valid_sec, ==, 200);
        g_assert_cmpuint(f->watch.last.protocol, ==, ADDRESS_PROTOCOL);

        g_assert_cmpint(address_drop(f->address), ==, 0);
        g_assert_false(is_usable(c->vip));
        address_watch_await(&f->watch, &f->watch.n_gone, 1);
        g_assert_cmpint(address_hold(f->address), ==, 0);
        g_assert_true(is_usable(c->vip));
        f->address = address_free(f->address);
        g_assert_true(is_usable(c->vip)); /* forgotten is not dropped */
        g_assert_true(is_usable(c->own));
}

/* How many routes of this namespace, of any table, name the address. */
static unsigned n_routes(const char *text) {
        IpAddress a = lab_address(text);
        g_autofree char *all = NULL;
        g_autoptr(GString) hex = g_string_new(NULL);
        unsigned n = 0;

        g_assert_true(g_file_get_contents("/proc/thread-self/net/ipv6_route", &all, NULL, NULL));
        for (size_t k = 0; k < ip_address_n_bytes(&a); k++)
                g_string_append_printf(hex, "%02x", a.bytes[k]);
        for (const char *p = all; (p = strstr(p, hex->str)); p++)
                n++;
        return n;
}

static void test_no_route_is_left(Fixture *f, gconstpointer data) {
        const Case *c = data;

        make(f, c->vip, 100);
        g_assert_cmpint(address_hold(f->address), ==, 0);
        address_watch_await(&f->watch, &f->watch.n_new, 1);
        g_assert_cmpuint(n_routes(c->vip), ==, 1); /* to the host itself */
        g_assert_cmpint(address_drop(f->address), ==, 0);
        address_watch_await(&f->watch, &f->watch.n_gone, 1);
        g_assert_cmpuint(n_routes(c->vip), ==, 0);
}

static void test_drop_of_what_is_not_there(Fixture *f, gconstpointer data) {
        const Case *c = data;

        make(f, c->vip, 100);
        g_assert_cmpint(address_drop(f->address), ==, 0);
        g_assert_cmpint(address_hold(f->address), ==, 0);
        ip("addr del %s dev eth0", c->vip);
        g_assert_cmpint(address_drop(f->address), ==, 0);
        ip("link del eth0");
        g_assert_cmpint(address_drop(f->address), ==, 0);
        g_assert_cmpint(address_hold(f->address), ==, -ENODEV);
}

static void test_without_lease_for_ever(Fixture *f, gconstpointer data) {
        const Case *c = data;

        make(f, c->vip, 0);
        g_assert_cmpint(address_hold(f->address), ==, 0);
        address_watch_await(&f->watch, &f->watch.n_new, 1);
        g_assert_cmpuint(f->watch.last.valid_sec, ==, UINT32_MAX);
        g_assert_true(f->watch.last.flags & IFA_F_PERMANENT);
        /* a lease that a configuration gives it later, and takes again */
        make(f, c->vip, 100);
        g_assert_cmpint(address_hold(f->address), ==, 0);
        address_watch_await(&f->watch, &f->watch.n_new, 2);
        g_assert_cmpuint(f->watch.last.valid_sec, ==, 100);
        make(f, c->vip, 0);
        g_assert_cmpint(address_hold(f->address), ==, 0);
        address_watch_await(&f->watch, &f->watch.n_new, 3);
        g_assert_true(f->watch.last.flags & IFA_F_PERMANENT);
        g_assert_cmpuint(f->watch.n_gone, ==, 0);
        g_assert_cmpint(address_drop(f->address), ==, 0);
}

/* An address of our own beside it is tentative for as long as a busy machine takes, so this can be seen. */
static void test_no_duplicate_address_detection(Fixture *f, gconstpointer data) {
        const Case *c = data;

        lab_sysctl("net/ipv6/conf/eth0/dad_transmits", "100");
        ip("addr add 2001:db8::77/64 dev eth0");
        g_assert_false(is_usable("2001:db8::77"));
        make(f, c->vip, 100);
        for (unsigned k = 0; k < 3; k++) {
                g_assert_cmpint(address_hold(f->address), ==, 0);
                g_assert_true(is_usable(c->vip));
        }
        address_watch_await(&f->watch, &f->watch.n_new, 3);
        g_assert_false(f->watch.flags_ever & (IFA_F_TENTATIVE | IFA_F_OPTIMISTIC | IFA_F_DADFAILED));
        g_assert_cmpuint(f->watch.last.preferred_sec, ==, 0);
}

static bool comes_from(const char *destination, const char *source) {
        IpAddress to = lab_address(destination), from = lab_address(source), chosen = { .family = to.family };
        struct sockaddr_storage name;
        socklen_t length = socket_address(&to, 9, &name);
        g_auto(AutoFd) fd = socket(to.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        g_assert_cmpint(connect(fd, (struct sockaddr *) &name, length), ==, 0);
        g_assert_cmpint(getsockname(fd, (struct sockaddr *) &name, &length), ==, 0);
        memcpy(chosen.bytes,
               to.family == AF_INET ? (const void *) &((const struct sockaddr_in *) &name)->sin_addr
                                    : (const void *) &((const struct sockaddr_in6 *) &name)->sin6_addr,
               ip_address_n_bytes(&to));
        return ip_address_equal(&chosen, &from);
}

/* Nearer than the host's own address to where one goes, alone or as wide as the subnet, leased or not. */
static void test_never_chosen_as_source(Fixture *f, gconstpointer data) {
        const Case *c = data;
        bool is_ipv4 = c == &ipv4;
        const char *vips[] = { c->vip, c->wide_vip };

        ip("route add default via %s", is_ipv4 ? "192.0.2.254" : "2001:db8::fe");
        for (size_t k = 0; k < 2 * G_N_ELEMENTS(vips); k++) {
                make(f, vips[k / 2], k % 2 ? 100 : 0);
                g_assert_cmpint(address_hold(f->address), ==, 0);
                g_assert_true(comes_from(c->there, c->own));
                g_assert_true(comes_from(is_ipv4 ? "192.0.2.51" : "2001:db8::51", c->own));
                g_assert_true(comes_from(c->unconfigured, c->own));
                g_assert_cmpint(address_drop(f->address), ==, 0);
                g_assert_true(is_usable(c->own));
        }
}

/* An answer that nobody read, to something earlier. */
static void test_answer_is_to_this_request(Fixture *f, gconstpointer data) {
        const Case *c = data;
        struct {
                struct nlmsghdr header;
                struct ifaddrmsg info;
        } request = {
                .header = { .nlmsg_len = sizeof(request),
                            .nlmsg_type = RTM_DELADDR,
                            .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
                            .nlmsg_seq = UINT32_MAX },
                .info = { .ifa_family = AF_INET, .ifa_index = 12345 },
        };
        int fd = lab_find_socket(AF_NETLINK, f->watch.fd);

        make(f, c->vip, 100);
        for (unsigned k = 0; k < 3; k++)
                g_assert_cmpint(send(fd, &request, sizeof(request), 0), ==, sizeof(request));
        g_assert_cmpint(address_hold(f->address), ==, 0);
        g_assert_true(is_usable(c->vip));
}

/* A refusal is told as the kernel gave it. */
static void test_refusal_is_told(Fixture *f, gconstpointer data) {
        const Case *c = data;

        make(f, c->vip, 100);
        lab_sysctl("net/ipv6/conf/eth0/disable_ipv6", "1");
        g_assert_cmpint(address_hold(f->address), ==, -EACCES);
}

static void on_refused(void *userdata, int error) {
        Fixture *f = userdata;

        f->n_refused++;
        f->refusal = error;
}

/* The address of the case, held, and renewed with others from now on. */
static void hold_and_renew(Fixture *f, const char *vip) {
        g_assert_cmpint(address_socket_watch(f->socket, f->event), >=, 0);
        make(f, vip, 100);
        address_on_refusal(f->address, on_refused, f);
        g_assert_cmpint(address_hold(f->address), ==, 0);
        address_watch_await(&f->watch, &f->watch.n_new, 1);
        g_assert_cmpint(address_renew(f->address, UINT64_MAX), ==, 0);
}

/* All that the kernel has said by now. Its answers come before the call that asked is over. */
static void run_what_is_ready(Fixture *f) {
        while (sd_event_run(f->event, 0) > 0)
                ;
        address_watch_read(&f->watch);
}

static void test_renewals_leave_with_the_flush(Fixture *f, gconstpointer data) {
        const Case *c = data;

        hold_and_renew(f, c->vip);
        g_assert_cmpint(address_renew(f->address, UINT64_MAX), ==, 0);
        run_what_is_ready(f);
        g_assert_cmpuint(f->watch.n_new, ==, 1);
        address_socket_flush(f->socket);
        address_watch_await(&f->watch, &f->watch.n_new, 2);
        address_socket_flush(f->socket);
        run_what_is_ready(f);
        g_assert_cmpuint(f->watch.n_new, ==, 2); /* asked for twice, and once is enough */
        g_assert_cmpuint(f->n_refused, ==, 0);
}

/* By the kernel, when nobody waits for its answer; and whoever is renewed with it is. */
static void test_a_renewal_is_refused_later(Fixture *f, gconstpointer data) {
        const Case *c = data;
        IpPrefix other = lab_prefix("198.51.100.1");
        g_autoptr(Address) well = NULL;
        Fixture of_other = { 0 };

        hold_and_renew(f, c->vip);
        ip("link add second0 type veth peer name second1");
        g_assert_cmpint(address_new(&well, f->socket, lab_ifindex("second0"), &other, 100, 0), ==, 0);
        address_on_refusal(well, on_refused, &of_other);
        address_watch_open(&of_other.watch, &other.address);
        g_assert_cmpint(address_renew(well, UINT64_MAX), ==, 0);
        ip("link del eth0");
        address_socket_flush(f->socket);
        g_assert_cmpuint(f->n_refused, ==, 0);
        lab_run_until(f->event, &f->n_refused, 1);
        g_assert_cmpint(f->refusal, ==, -ENODEV);
        address_watch_await(&of_other.watch, &of_other.watch.n_new, 1);
        run_what_is_ready(f);
        g_assert_cmpuint(f->n_refused, ==, 1);
        g_assert_cmpuint(of_other.n_refused, ==, 0);
        auto_fd_clear(&of_other.watch.fd);
}

/* Who is no holder any more must not become one by what he said before, nor by what he should have said long ago. */
static void test_no_renewal_outlives_its_address(Fixture *f, gconstpointer data) {
        const Case *c = data;

        hold_and_renew(f, c->vip);
        g_assert_cmpint(address_drop(f->address), ==, 0);
        address_watch_await(&f->watch, &f->watch.n_gone, 1);
        address_socket_flush(f->socket);
        run_what_is_ready(f);
        g_assert_cmpuint(f->watch.n_new, ==, 1);
        g_assert_false(is_usable(c->vip));
        /* too late */
        g_assert_cmpint(address_renew(f->address, lab_now_usec() - 1), ==, 0);
        address_socket_flush(f->socket);
        run_what_is_ready(f);
        g_assert_cmpuint(f->watch.n_new, ==, 1);
        g_assert_false(is_usable(c->vip));
        /* gone altogether, before it leaves and before its answer comes */
        g_assert_cmpint(address_renew(f->address, UINT64_MAX), ==, 0);
        f->address = address_free(f->address);
        address_socket_flush(f->socket);
        run_what_is_ready(f);
        g_assert_false(is_usable(c->vip));
        make(f, c->vip, 100);
        address_on_refusal(f->address, on_refused, f);
        ip("link del eth0");
        g_assert_cmpint(address_renew(f->address, UINT64_MAX), ==, 0);
        address_socket_flush(f->socket);
        f->address = address_free(f->address);
        run_what_is_ready(f);
        g_assert_cmpuint(f->n_refused, ==, 0);
}

typedef struct Connection {
        AutoFd server, client;
} Connection;

/* From the other end of the cable to the held address. */
static void connect_to(Fixture *f, const char *vip, Connection *ret) {
        IpAddress a = lab_address(vip);
        struct sockaddr_storage name;
        socklen_t length = socket_address(&a, PORT, &name);
        g_auto(AutoFd) listener = socket(a.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int home;

        g_assert_cmpint(bind(listener, (struct sockaddr *) &name, length), ==, 0);
        g_assert_cmpint(listen(listener, 1), ==, 0);
        home = lab_move(f->there);
        ret->client = socket(a.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        lab_move_back(home);
        g_assert_cmpint(connect(ret->client, (struct sockaddr *) &name, length), ==, 0);
        ret->server = accept(listener, NULL, NULL);
        g_assert_cmpint(ret->server, >=, 0);
}

/* `between` happens while the data are under way. */
static void pass_data(int from, int to, Address *between) {
        uint8_t sent[512], received[512];
        size_t n = 0;

        for (size_t k = 0; k < sizeof(sent); k++)
                sent[k] = (uint8_t) g_test_rand_int();
        g_assert_cmpint(send(from, sent, sizeof(sent), MSG_NOSIGNAL), ==, sizeof(sent));
        g_assert_cmpint(address_hold(between), ==, 0);
        while (n < sizeof(received)) {
                struct pollfd p = { .fd = to, .events = POLLIN };
                ssize_t r;

                g_assert_cmpint(poll(&p, 1, (int) (DEADLINE_USEC / 1000)), ==, 1);
                r = recv(to, received + n, sizeof(received) - n, 0);
                g_assert_cmpint(r, >, 0);
                n += (size_t) r;
        }
        g_assert_cmpmem(sent, sizeof(sent), received, sizeof(received));
}

/* A short lease, renewed far more often than it needs and for longer than it lasts, with data passing both ways the whole time. */
static void test_connection_survives_renewals(Fixture *f, gconstpointer data) {
        const Case *c = data;
        Connection connection;
        uint64_t end_usec;
        unsigned n = 0;

        make(f, c->vip, 100);
        g_assert_cmpint(address_hold(f->address), ==, 0);
        /* only then has IPv6 joined the group in which it is asked for */
        address_watch_await(&f->watch, &f->watch.n_new, 1);
        connect_to(f, c->vip, &connection);
        make(f, c->vip, LEASE_SEC);
        end_usec = lab_now_usec() + (LEASE_SEC + 1) * 1000000; /* the kernel is up to one late */
        while (n < N_RENEWALS || lab_now_usec() < end_usec) {
                pass_data(connection.client, connection.server, f->address);
                pass_data(connection.server, connection.client, f->address);
                n += 2;
                if (n > N_RENEWALS)
                        g_usleep(10000); /* the lease must have time to end */
        }
        address_watch_await(&f->watch, &f->watch.n_new, n + 1);
        g_assert_cmpuint(f->watch.n_gone, ==, 0);
        auto_fd_clear(&connection.client);
        auto_fd_clear(&connection.server);
        g_assert_cmpuint(f->watch.last.valid_sec, ==, LEASE_SEC);
        g_assert_false(f->watch.last.flags & IFA_F_PERMANENT);
}

int main(int argc, char **argv) {
        if (!lab_init(argc, argv))
                return lab_skip();
#define CASE(name, data, function) g_test_add("/address/" name, Fixture, &data, set_up, function, tear_down)
        CASE("held-renewed-and-dropped-ipv4", ipv4, test_held_renewed_and_dropped);
        CASE("held-renewed-and-dropped-ipv6", ipv6, test_held_renewed_and_dropped);
        CASE("drop-of-what-is-not-there-ipv4", ipv4, test_drop_of_what_is_not_there);
        CASE("drop-of-what-is-not-there-ipv6", ipv6, test_drop_of_what_is_not_there);
        CASE("no-route-is-left-ipv6", ipv6, test_no_route_is_left);
        CASE("without-lease-for-ever-ipv4", ipv4, test_without_lease_for_ever);
        CASE("without-lease-for-ever-ipv6", ipv6, test_without_lease_for_ever);
        CASE("no-duplicate-address-detection", ipv6, test_no_duplicate_address_detection);
        CASE("never-chosen-as-source-ipv4", ipv4, test_never_chosen_as_source);
        CASE("never-chosen-as-source-ipv6", ipv6, test_never_chosen_as_source);
        CASE("answer-is-to-this-request", ipv4, test_answer_is_to_this_request);
        CASE("refusal-is-told", ipv6, test_refusal_is_told);
        CASE("renewals-leave-with-the-flush-ipv4", ipv4, test_renewals_leave_with_the_flush);
        CASE("renewals-leave-with-the-flush-ipv6", ipv6, test_renewals_leave_with_the_flush);
        CASE("a-renewal-is-refused-later-ipv4", ipv4, test_a_renewal_is_refused_later);
        CASE("a-renewal-is-refused-later-ipv6", ipv6, test_a_renewal_is_refused_later);
        CASE("no-renewal-outlives-its-address-ipv4", ipv4, test_no_renewal_outlives_its_address);
        CASE("no-renewal-outlives-its-address-ipv6", ipv6, test_no_renewal_outlives_its_address);
        CASE("connection-survives-renewals-ipv4", ipv4, test_connection_survives_renewals);
        CASE("connection-survives-renewals-ipv6", ipv6, test_connection_survives_renewals);
        return g_test_run();
}
