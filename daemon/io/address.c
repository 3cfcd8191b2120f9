/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/address.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "io/netlink.h"
#include "util/event-priority.h"
#include "util/time-util.h"

/* Adds, renews and drops addresses. Both messages of an address are made when it is: to hold or drop it is one sendmsg() of bytes that are
 * there. rtnetlink does the work inside that call, so its answer can be read at once and nothing is awaited.
 *
 * Renewals of many addresses leave together, on a socket of their own, and the kernel answers only those that it refuses: their messages bear the
 * number of the address. */

#define RENEWALS_BYTES 16384

struct AddressSocket {
        struct nl_sock *socket;
        uint32_t sequence;
        struct nl_sock *renewer; /* NULL: nobody watches it, and every renewal is a request of its own */
        sd_event_source *source;
        GPtrArray *addresses; /* Address *, by number - 1; NULL: free */
        GPtrArray *renewals;  /* Address *, or NULL where one was dropped meanwhile */
        uint8_t buffer[RENEWALS_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
};

struct Address {
        AddressSocket *socket; /* borrowed */
        IpPrefix prefix;
        struct nlmsghdr *add, *drop;
        uint32_t number;      /* 0: none */
        guint renewal;        /* its place among the renewals + 1; 0: none */
        uint64_t until_usec;  /* of that renewal */
        AddressRefused refused;
        void *userdata;
};

int address_socket_new(AddressSocket **ret) {
        g_autoptr(AddressSocket) s = g_new0(AddressSocket, 1);
        int r = netlink_open(&s->socket);

        if (r < 0)
                return r;
        s->addresses = g_ptr_array_new();
        s->renewals = g_ptr_array_new();
        *ret = g_steal_pointer(&s);
        return 0;
}

AddressSocket *address_socket_free(AddressSocket *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->source);
        nl_socket_free(s->renewer);
        nl_socket_free(s->socket);
        if (s->addresses)
                g_ptr_array_unref(s->addresses);
        if (s->renewals)
                g_ptr_array_unref(s->renewals);
        g_free(s);
        return NULL;
}

/* Common to both messages: who and where. */
static int describe(struct rtnl_addr *a, int ifindex, const IpPrefix *prefix) {
        g_autoptr(nl_addr) local =
                nl_addr_build(prefix->address.family, prefix->address.bytes, ip_address_n_bytes(&prefix->address));

        if (!local)
                return -ENOMEM;
        nl_addr_set_prefixlen(local, prefix->prefix_length);
        rtnl_addr_set_ifindex(a, ifindex);
        rtnl_addr_set_family(a, prefix->address.family);
        rtnl_addr_set_prefixlen(a, prefix->prefix_length);
        return netlink_errno(rtnl_addr_set_local(a, local));
}

/* As long as it is: libnl's own take a page each. */
static struct nlmsghdr *copy(struct nl_msg *m) {
        return g_memdup2(nlmsg_hdr(m), nlmsg_hdr(m)->nlmsg_len);
}

/* A lease is a finite valid lifetime. Preferred lifetime 0 and no DAD keep an IPv6 address from being chosen as a source and from being
 * unusable for its first second; IPv4 knows neither. The route that the kernel adds to the subnet of an IPv6 address outlives one that had a
 * lifetime, by tens of seconds; where the subnet is the address alone, nobody needs it. */
static int build_add(struct nlmsghdr **ret, int ifindex, const IpPrefix *prefix, uint32_t lease_sec, uint32_t metric) {
        g_autoptr(rtnl_addr) a = rtnl_addr_alloc();
        g_autoptr(nl_msg) m = NULL;
        bool ipv6 = prefix->address.family == AF_INET6;
        int r;

        if (!a)
                return -ENOMEM;
        r = describe(a, ifindex, prefix);
        if (r < 0)
                return r;
        if (lease_sec > 0 || ipv6) {
                rtnl_addr_set_valid_lifetime(a, lease_sec > 0 ? lease_sec : UINT32_MAX);
                rtnl_addr_set_preferred_lifetime(a, ipv6 ? 0 : lease_sec);
        }
        if (ipv6)
                rtnl_addr_set_flags(a, prefix->prefix_length == 128 ? IFA_F_NODAD | IFA_F_NOPREFIXROUTE : IFA_F_NODAD);
        r = rtnl_addr_build_add_request(a, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, &m);
        if (r < 0)
                return netlink_errno(r);
        r = nla_put_u8(m, IFA_PROTO, ADDRESS_PROTOCOL);
        if (r >= 0 && metric > 0)
                r = nla_put_u32(m, IFA_RT_PRIORITY, metric);
        if (r < 0)
                return netlink_errno(r);
        *ret = copy(m);
        return 0;
}

static int build_drop(struct nlmsghdr **ret, int ifindex, const IpPrefix *prefix) {
        g_autoptr(rtnl_addr) a = rtnl_addr_alloc();
        g_autoptr(nl_msg) m = NULL;
        int r;

        if (!a)
                return -ENOMEM;
        r = describe(a, ifindex, prefix);
        if (r < 0)
                return r;
        r = rtnl_addr_build_delete_request(a, NLM_F_ACK, &m);
        if (r < 0)
                return netlink_errno(r);
        *ret = copy(m);
        return 0;
}

/* The first one that is free. */
static uint32_t obtain_number(Address *a) {
        GPtrArray *addresses = a->socket->addresses;
        guint k = 0;

        while (k < addresses->len && g_ptr_array_index(addresses, k))
                k++;
        if (k == addresses->len) {
                guint n_waiting = a->socket->renewals->len;

                g_ptr_array_add(addresses, a);
                /* all of them may wait, and none shall ask the heap for room then */
                g_ptr_array_set_size(a->socket->renewals, (gint) MAX(n_waiting, addresses->len));
                g_ptr_array_set_size(a->socket->renewals, (gint) n_waiting);
        } else
                g_ptr_array_index(addresses, k) = a;
        return k + 1;
}

/**
 * address_new() - an address to be held on an interface; nothing is done yet
 * @socket: borrowed, must outlive it
 */
int address_new(Address **ret, AddressSocket *socket, int ifindex, const IpPrefix *prefix, uint32_t lease_sec, uint32_t metric) {
        g_autoptr(Address) a = g_new0(Address, 1);
        int r;

        a->socket = socket;
        a->prefix = *prefix;
        r = build_add(&a->add, ifindex, prefix, lease_sec, metric);
        if (r >= 0)
                r = build_drop(&a->drop, ifindex, prefix);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&a);
        return 0;
}

static void forget_renewal(Address *a) {
        if (a->renewal > 0)
                g_ptr_array_index(a->socket->renewals, a->renewal - 1) = NULL;
        a->renewal = 0;
}

Address *address_free(Address *a) {
        if (!a)
                return NULL;
        forget_renewal(a);
        if (a->number > 0)
                g_ptr_array_index(a->socket->addresses, a->number - 1) = NULL;
        g_free(a->add);
        g_free(a->drop);
        g_free(a);
        return NULL;
}

void address_on_refusal(Address *a, AddressRefused refused, void *userdata) {
        a->refused = refused;
        a->userdata = userdata;
        if (a->number == 0)
                a->number = obtain_number(a);
}

const IpPrefix *address_prefix(const Address *a) {
        return &a->prefix;
}

/* The answer to our request; answers to earlier ones, which nobody waited for, are passed over. */
static int read_answer(int fd, uint32_t sequence) {
        union {
                struct nlmsghdr header;
                uint8_t bytes[1024];
        } buffer;

        for (;;) {
                ssize_t n = recv(fd, &buffer, sizeof(buffer), MSG_DONTWAIT | MSG_TRUNC);
                const struct nlmsgerr *e = NLMSG_DATA(&buffer.header);

                if (n < 0)
                        /* the kernel was too short of memory to answer, not to act: the watch on addresses will tell */
                        return errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
                if ((size_t) n < NLMSG_LENGTH(sizeof(*e)) || buffer.header.nlmsg_type != NLMSG_ERROR ||
                    buffer.header.nlmsg_seq != sequence)
                        continue;
                return e->error;
        }
}

static int request(const Address *a, struct nlmsghdr *h) {
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        int fd = nl_socket_get_fd(a->socket->socket);

        h->nlmsg_seq = ++a->socket->sequence;
        h->nlmsg_pid = 0;
        h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
        if (sendto(fd, h, h->nlmsg_len, 0, (struct sockaddr *) &kernel, sizeof(kernel)) < 0)
                return -errno;
        return read_answer(fd, h->nlmsg_seq);
}

/**
 * address_hold() - add the address, or renew its lease if it is there
 */
int address_hold(Address *a) {
        return request(a, a->add);
}

/**
 * address_drop() - remove the address; that it, or its interface, was not there is no error
 */
int address_drop(Address *a) {
        int r;

        /* one that has not left yet would put it back */
        forget_renewal(a);
        r = request(a, a->drop);
        return r == -EADDRNOTAVAIL || r == -ENODEV ? 0 : r;
}

/* What the kernel refused; what it did not, it says nothing of. */
static int on_refusals(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        AddressSocket *s = userdata;
        union {
                struct nlmsghdr header;
                uint8_t bytes[1024];
        } buffer;
        ssize_t n;

        while ((n = recv(fd, &buffer, sizeof(buffer), MSG_DONTWAIT | MSG_TRUNC)) >= 0 || errno == ENOBUFS) {
                const struct nlmsgerr *e = NLMSG_DATA(&buffer.header);
                uint32_t number = buffer.header.nlmsg_seq;
                Address *a;

                if (n < (ssize_t) NLMSG_LENGTH(sizeof(*e)) || buffer.header.nlmsg_type != NLMSG_ERROR || e->error == 0 || number == 0 ||
                    number > s->addresses->len)
                        continue;
                a = g_ptr_array_index(s->addresses, number - 1);
                if (a)
                        a->refused(a->userdata, e->error);
        }
        /* who may not read would be called for ever, without a pause: it is tried again with the next flush */
        if (errno != EAGAIN)
                (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

int address_socket_watch(AddressSocket *s, sd_event *event) {
        int r = netlink_open(&s->renewer);

        if (r >= 0)
                r = sd_event_add_io(event, &s->source, nl_socket_get_fd(s->renewer), EPOLLIN, on_refusals, s);
        return r < 0 ? r : sd_event_source_set_priority(s->source, EVENT_PRIORITY_NETLINK);
}

int address_renew(Address *a, uint64_t until_usec) {
        if (!a->socket->renewer || a->number == 0)
                return address_hold(a);
        a->until_usec = until_usec;
        if (a->renewal > 0)
                return 0;
        g_ptr_array_add(a->socket->renewals, a);
        a->renewal = a->socket->renewals->len;
        return 0;
}

static void send_renewals(AddressSocket *s, size_t n_bytes) {
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        int error = 0;

        if (n_bytes == 0)
                return;
        if (sendto(nl_socket_get_fd(s->renewer), s->buffer, n_bytes, 0, (struct sockaddr *) &kernel, sizeof(kernel)) < 0)
                error = -errno;
        /* none was even looked at */
        for (size_t k = 0; error < 0 && k < n_bytes;) {
                const struct nlmsghdr *h = (const struct nlmsghdr *) (const void *) (s->buffer + k);
                Address *a = g_ptr_array_index(s->addresses, h->nlmsg_seq - 1);

                if (a)
                        a->refused(a->userdata, error);
                k += NLMSG_ALIGN(h->nlmsg_len);
        }
}

/**
 * address_socket_flush() - the renewals that wait, in as few system calls as can be
 */
void address_socket_flush(AddressSocket *s) {
        uint64_t now_usec = s->renewals->len > 0 ? clock_usec() : 0;
        size_t n_bytes = 0;

        if (s->source)
                (void) sd_event_source_set_enabled(s->source, SD_EVENT_ON);
        for (guint k = 0; k < s->renewals->len; k++) {
                Address *a = g_ptr_array_index(s->renewals, k);
                struct nlmsghdr *h;

                if (!a)
                        continue;
                a->renewal = 0;
                if (now_usec > a->until_usec)
                        continue;
                if (n_bytes + NLMSG_ALIGN(a->add->nlmsg_len) > sizeof(s->buffer)) {
                        send_renewals(s, n_bytes);
                        n_bytes = 0;
                }
                h = memcpy(s->buffer + n_bytes, a->add, a->add->nlmsg_len);
                h->nlmsg_seq = a->number;
                h->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
                n_bytes += NLMSG_ALIGN(h->nlmsg_len);
        }
        g_ptr_array_set_size(s->renewals, 0);
        send_renewals(s, n_bytes);
}
