/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/address.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "io/netlink.h"

/* Adds, renews and drops addresses. Both messages of an address are made when it is: to hold or drop it is one sendmsg() of bytes that are
 * there. rtnetlink does the work inside that call, so its answer can be read at once and nothing is awaited. */

struct AddressSocket {
        struct nl_sock *socket;
        uint32_t sequence;
};

struct Address {
        AddressSocket *socket; /* borrowed */
        IpPrefix prefix;
        struct nl_msg *add, *drop;
};

int address_socket_new(AddressSocket **ret) {
        g_autoptr(AddressSocket) s = g_new0(AddressSocket, 1);
        int r = netlink_open(&s->socket);

        if (r < 0)
                return r;
        *ret = g_steal_pointer(&s);
        return 0;
}

AddressSocket *address_socket_free(AddressSocket *s) {
        if (!s)
                return NULL;
        nl_socket_free(s->socket);
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

/* A lease is a finite valid lifetime. Preferred lifetime 0 and no DAD keep an IPv6 address from being chosen as a source and from being
 * unusable for its first second; IPv4 knows neither. The route that the kernel adds to the subnet of an IPv6 address outlives one that had a
 * lifetime, by tens of seconds; where the subnet is the address alone, nobody needs it. */
static int build_add(struct nl_msg **ret, int ifindex, const IpPrefix *prefix, uint32_t lease_sec, uint32_t metric) {
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
        *ret = g_steal_pointer(&m);
        return 0;
}

static int build_drop(struct nl_msg **ret, int ifindex, const IpPrefix *prefix) {
        g_autoptr(rtnl_addr) a = rtnl_addr_alloc();
        int r;

        if (!a)
                return -ENOMEM;
        r = describe(a, ifindex, prefix);
        if (r < 0)
                return r;
        return netlink_errno(rtnl_addr_build_delete_request(a, NLM_F_ACK, ret));
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

Address *address_free(Address *a) {
        if (!a)
                return NULL;
        nlmsg_free(a->add);
        nlmsg_free(a->drop);
        g_free(a);
        return NULL;
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

static int request(Address *a, struct nl_msg *message) {
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        struct nlmsghdr *h = nlmsg_hdr(message);
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
        int r = request(a, a->drop);

        return r == -EADDRNOTAVAIL || r == -ENODEV ? 0 : r;
}
