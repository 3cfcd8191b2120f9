/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/link.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "io/address.h"
#include "io/netlink.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/ratelimit.h"
#include "util/time-util.h"

/* The kernel's interfaces and addresses as a table, kept by watching rtnetlink. Reports what changed, message by message, and judges
 * nothing. When the kernel had to drop messages (ENOBUFS) everything is asked again, without waiting, and what differs is reported. */

#define RECEIVE_BUFFER_BYTES (4 << 20)
#define DUMP_TIMEOUT_MSEC 5000
#define MESSAGES_PER_DISPATCH 64

typedef struct Entry {
        Link link;
        bool stale;    /* not seen yet in the dump under way */
        GArray *fresh; /* addresses seen in the dump under way, or NULL */
} Entry;

struct LinkTable {
        struct nl_sock *socket;
        sd_event_source *source;
        GHashTable *entries; /* ifindex -> Entry */
        LinkCallback callback;
        void *userdata;
        bool dumping; /* marks and sweeps */
        bool silent;  /* the first dump reports nothing */
        bool links_dumped; /* the resync's first half is over */
        bool done;         /* the dump asked for last has ended */
        RateLimit lost_limit;
        uint8_t buffer[64 << 10] __attribute__((aligned(NLMSG_ALIGNTO)));
};

static void entry_free(void *data) {
        Entry *e = data;

        g_array_unref(e->link.addresses);
        if (e->fresh)
                g_array_unref(e->fresh);
        g_free(e);
}

static Entry *find_entry(const LinkTable *t, int ifindex) {
        return g_hash_table_lookup(t->entries, GINT_TO_POINTER(ifindex));
}

static void report(LinkTable *t, const Link *link, unsigned changes) {
        if (changes != 0 && !t->silent)
                t->callback(t->userdata, link, changes);
}

static void remove_entry(LinkTable *t, int ifindex) {
        Entry *e = find_entry(t, ifindex);

        if (!e)
                return;
        /* out of the table first: who looks it up by name from the callback must not find it */
        (void) g_hash_table_steal(t->entries, GINT_TO_POINTER(ifindex));
        report(t, &e->link, LINK_CHANGE_GONE);
        entry_free(e);
}

/* An interface that was deleted and created again while messages were lost: the old one is gone before the new one is there. */
static void forget_namesake(LinkTable *t, const char *name, int ifindex) {
        const Link *other = link_table_find(t, name);

        if (other && other->ifindex != ifindex)
                remove_entry(t, other->ifindex);
}

static bool carrier_of(const struct ifinfomsg *info, struct nlattr **attributes) {
        uint8_t operstate = attributes[IFLA_OPERSTATE] ? nla_get_u8(attributes[IFLA_OPERSTATE]) : IF_OPER_UNKNOWN;

        return (info->ifi_flags & IFF_LOWER_UP) != 0 && operstate != IF_OPER_DOWN &&
               operstate != IF_OPER_LOWERLAYERDOWN && operstate != IF_OPER_NOTPRESENT;
}

static void on_new_link(LinkTable *t, struct nlmsghdr *h) {
        const struct ifinfomsg *info = nlmsg_data(h);
        struct nlattr *attributes[IFLA_MAX + 1];
        unsigned changes = 0;
        Link now;
        Entry *e;

        /* a bridge tells about its ports in its own family; the port's own message says the same and more */
        if (info->ifi_family == AF_BRIDGE || nlmsg_parse(h, sizeof(*info), attributes, IFLA_MAX, NULL) < 0 ||
            !attributes[IFLA_IFNAME])
                return;
        forget_namesake(t, nla_get_string(attributes[IFLA_IFNAME]), info->ifi_index);
        e = find_entry(t, info->ifi_index);
        if (!e) {
                e = g_new0(Entry, 1);
                e->link.addresses = g_array_new(false, false, sizeof(LinkAddress));
                g_hash_table_insert(t->entries, GINT_TO_POINTER(info->ifi_index), e);
                changes = LINK_CHANGE_NEW;
                if (t->dumping)
                        e->fresh = g_array_new(false, false, sizeof(LinkAddress));
        }
        e->stale = false;
        now = e->link;
        now.ifindex = info->ifi_index;
        g_strlcpy(now.name, nla_get_string(attributes[IFLA_IFNAME]), sizeof(now.name));
        now.ethernet = info->ifi_type == ARPHRD_ETHER;
        if (attributes[IFLA_ADDRESS] && nla_len(attributes[IFLA_ADDRESS]) == MAC_BYTES)
                memcpy(now.mac, nla_data(attributes[IFLA_ADDRESS]), MAC_BYTES);
        else
                now.ethernet = false;
        now.up = (info->ifi_flags & IFF_UP) != 0;
        now.carrier = carrier_of(info, attributes);

        if (!(changes & LINK_CHANGE_NEW)) {
                if (!g_str_equal(now.name, e->link.name)) {
                        Link old = e->link;

                        e->link = now;
                        report(t, &old, LINK_CHANGE_GONE);
                        changes = LINK_CHANGE_NEW;
                }
                if (now.up != e->link.up || now.carrier != e->link.carrier)
                        changes |= LINK_CHANGE_STATE;
                if (memcmp(now.mac, e->link.mac, MAC_BYTES) != 0)
                        changes |= LINK_CHANGE_MAC;
        }
        e->link = now;
        report(t, &e->link, changes);
}

static void on_del_link(LinkTable *t, struct nlmsghdr *h) {
        const struct ifinfomsg *info = nlmsg_data(h);

        if (info->ifi_family != AF_BRIDGE)
                remove_entry(t, info->ifi_index);
}

static bool same_prefix(const IpPrefix *a, const IpPrefix *b) {
        return a->prefix_length == b->prefix_length && ip_address_equal(&a->address, &b->address);
}

static guint find_index(const GArray *addresses, const IpPrefix *prefix) {
        guint k = 0;

        while (k < addresses->len && !same_prefix(&g_array_index(addresses, LinkAddress, k).prefix, prefix))
                k++;
        return k;
}

static bool parse_address(struct nlmsghdr *h, LinkAddress *ret) {
        const struct ifaddrmsg *info = nlmsg_data(h);
        struct nlattr *attributes[IFA_MAX + 1];
        struct nlattr *address;
        uint32_t flags;

        if ((info->ifa_family != AF_INET && info->ifa_family != AF_INET6) ||
            nlmsg_parse(h, sizeof(*info), attributes, IFA_MAX, NULL) < 0)
                return false;
        address = attributes[IFA_LOCAL] ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS];
        flags = attributes[IFA_FLAGS] ? nla_get_u32(attributes[IFA_FLAGS]) : info->ifa_flags;
        *ret = (LinkAddress) {
                .prefix = { .address.family = info->ifa_family, .prefix_length = info->ifa_prefixlen },
                .permanent = (flags & IFA_F_PERMANENT) != 0,
                .tentative = (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) != 0,
                .deprecated = (flags & IFA_F_DEPRECATED) != 0,
                .secondary = (flags & IFA_F_SECONDARY) != 0,
                .scope = info->ifa_scope,
                .protocol = attributes[IFA_PROTO] ? nla_get_u8(attributes[IFA_PROTO]) : 0,
        };
        if (!address || nla_len(address) != (int) ip_address_n_bytes(&ret->prefix.address))
                return false;
        memcpy(ret->prefix.address.bytes, nla_data(address), (size_t) nla_len(address));
        return true;
}

/* Returns whether the array differs afterwards; a renewed lease does not. */
static bool put_address(GArray *addresses, const LinkAddress *a) {
        guint k = find_index(addresses, &a->prefix);
        LinkAddress *old;

        if (k == addresses->len) {
                g_array_append_val(addresses, *a);
                return true;
        }
        old = &g_array_index(addresses, LinkAddress, k);
        if (old->permanent == a->permanent && old->tentative == a->tentative && old->deprecated == a->deprecated &&
            old->secondary == a->secondary && old->scope == a->scope && old->protocol == a->protocol)
                return false;
        *old = *a;
        return true;
}

static bool drop_address(GArray *addresses, const IpPrefix *prefix) {
        guint k = find_index(addresses, prefix);

        if (k == addresses->len)
                return false;
        g_array_remove_index(addresses, k);
        return true;
}

static void on_address(LinkTable *t, struct nlmsghdr *h) {
        const struct ifaddrmsg *info = nlmsg_data(h);
        Entry *e = find_entry(t, (int) info->ifa_index);
        bool changed;
        LinkAddress a;

        if (!e || !parse_address(h, &a))
                return;
        if (h->nlmsg_type == RTM_NEWADDR) {
                changed = put_address(e->link.addresses, &a);
                if (e->fresh)
                        (void) put_address(e->fresh, &a);
        } else {
                changed = drop_address(e->link.addresses, &a.prefix);
                if (e->fresh)
                        (void) drop_address(e->fresh, &a.prefix);
        }
        report(t, &e->link, changed ? LINK_CHANGE_ADDRESSES : 0);
}

static void on_message(LinkTable *t, struct nlmsghdr *h) {
        switch (h->nlmsg_type) {
        case RTM_NEWLINK:
                on_new_link(t, h);
                break;
        case RTM_DELLINK:
                on_del_link(t, h);
                break;
        case RTM_NEWADDR:
        case RTM_DELADDR:
                on_address(t, h);
                break;
        case NLMSG_DONE:
                t->done = true;
                break;
        default:
                break;
        }
}

/* One datagram. 1, 0 when there is none, or -errno. */
static int receive(LinkTable *t) {
        ssize_t n = recv(nl_socket_get_fd(t->socket), t->buffer, sizeof(t->buffer), MSG_DONTWAIT);
        struct nlmsghdr *h = (struct nlmsghdr *) (void *) t->buffer;
        int rest = (int) n;

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        while (nlmsg_ok(h, rest)) {
                on_message(t, h);
                h = nlmsg_next(h, &rest);
        }
        return 1;
}

static int ask(LinkTable *t, int type) {
        t->done = false;
        return netlink_errno(nl_send_simple(t->socket, type, NLM_F_DUMP, &(struct rtgenmsg) { .rtgen_family = AF_UNSPEC },
                                            sizeof(struct rtgenmsg)));
}

static void begin_resync(LinkTable *t) {
        GHashTableIter iter;
        void *value;

        g_hash_table_iter_init(&iter, t->entries);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                Entry *e = value;

                e->stale = true;
                if (e->fresh)
                        g_array_unref(e->fresh);
                e->fresh = g_array_new(false, false, sizeof(LinkAddress));
        }
        t->dumping = true;
        t->links_dumped = false;
        (void) ask(t, RTM_GETLINK);
}

static void sweep_addresses(LinkTable *t, Entry *e) {
        bool changed = false;

        if (!e->fresh)
                return;
        for (guint k = e->link.addresses->len; k > 0; k--)
                if (find_index(e->fresh, &g_array_index(e->link.addresses, LinkAddress, k - 1).prefix) == e->fresh->len) {
                        g_array_remove_index(e->link.addresses, k - 1);
                        changed = true;
                }
        g_array_unref(g_steal_pointer(&e->fresh));
        report(t, &e->link, changed ? LINK_CHANGE_ADDRESSES : 0);
}

/* Links first, so that addresses find them; then what neither dump showed is gone. */
static void continue_resync(LinkTable *t) {
        g_autoptr(GList) keys = NULL;

        if (!t->dumping || !t->done)
                return;
        if (!t->links_dumped) {
                t->links_dumped = true;
                (void) ask(t, RTM_GETADDR);
                return;
        }
        t->dumping = false;
        keys = g_hash_table_get_keys(t->entries);
        for (GList *k = keys; k; k = k->next) {
                Entry *e = find_entry(t, GPOINTER_TO_INT(k->data));

                if (e && e->stale)
                        remove_entry(t, GPOINTER_TO_INT(k->data));
                else if (e)
                        sweep_addresses(t, e);
        }
}

/* Somebody who configures faster than we read can cause this without end. */
static void log_lost(LinkTable *t, int error, uint64_t now_usec) {
        char more[RATELIMIT_TEXT_BYTES];
        uint64_t n_suppressed;

        if (ratelimit_pass(&t->lost_limit, now_usec, &n_suppressed))
                log_warning_errno(error, "Netlink messages were lost, asking the kernel again: %m%s",
                                  ratelimit_format(n_suppressed, more));
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        LinkTable *t = userdata;
        uint64_t now_usec = 0;

        (void) sd_event_now(sd_event_source_get_event(s), CLOCK_BOOTTIME, &now_usec);
        for (int k = 0; k < MESSAGES_PER_DISPATCH; k++) {
                int r = receive(t);

                if (r == 0)
                        break;
                if (r < 0) {
                        log_lost(t, r, now_usec);
                        begin_resync(t);
                        break;
                }
                continue_resync(t);
        }
        return 0;
}

static int dump_and_wait(LinkTable *t, int type) {
        int r = ask(t, type);

        while (r >= 0 && !t->done) {
                struct pollfd p = { .fd = nl_socket_get_fd(t->socket), .events = POLLIN };

                if (poll(&p, 1, DUMP_TIMEOUT_MSEC) <= 0)
                        return -ETIMEDOUT;
                r = receive(t);
        }
        return r;
}

/**
 * link_table_new() - open, subscribe, and know everything before returning
 * @callback: from the loop, for every later change; never from inside this call
 */
int link_table_new(LinkTable **ret, sd_event *event, LinkCallback callback, void *userdata) {
        g_autoptr(LinkTable) t = g_new0(LinkTable, 1);
        int r;

        t->entries = g_hash_table_new_full(NULL, NULL, NULL, entry_free);
        t->callback = callback;
        t->userdata = userdata;
        t->lost_limit = (RateLimit) { .interval_usec = 10 * USEC_PER_SEC, .burst = 1 };
        r = netlink_open(&t->socket);
        if (r < 0)
                return r;
        (void) nl_socket_set_buffer_size(t->socket, RECEIVE_BUFFER_BYTES, 0);
        r = netlink_errno(nl_socket_add_memberships(t->socket, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, 0));
        if (r < 0)
                return r;
        t->silent = true;
        r = dump_and_wait(t, RTM_GETLINK);
        if (r >= 0)
                r = dump_and_wait(t, RTM_GETADDR);
        t->silent = false;
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &t->source, nl_socket_get_fd(t->socket), EPOLLIN, on_readable, t);
        if (r >= 0)
                r = sd_event_source_set_priority(t->source, EVENT_PRIORITY_NETLINK);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&t);
        return 0;
}

LinkTable *link_table_free(LinkTable *t) {
        if (!t)
                return NULL;
        sd_event_source_disable_unref(t->source);
        nl_socket_free(t->socket);
        g_hash_table_unref(t->entries);
        g_free(t);
        return NULL;
}

const Link *link_table_find(const LinkTable *t, const char *name) {
        GHashTableIter iter;
        void *value;

        g_hash_table_iter_init(&iter, t->entries);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                if (g_str_equal(((Entry *) value)->link.name, name))
                        return &((Entry *) value)->link;
        return NULL;
}

const LinkAddress *link_find_address(const Link *link, const IpPrefix *prefix) {
        guint k = find_index(link->addresses, prefix);

        return k < link->addresses->len ? &g_array_index(link->addresses, LinkAddress, k) : NULL;
}

/* Higher is better; 0: not to be used. */
static unsigned source_score(const LinkAddress *a) {
        bool link_local = ip_address_is_link_local(&a->prefix.address);
        unsigned score = 1;

        if (a->tentative || a->protocol == ADDRESS_PROTOCOL)
                return 0;
        if (!a->deprecated)
                score += 4;
        /* CARP's IPv6 adverts go to a link-scope group, and come from a link-scope address; IPv4's from the host's address */
        if (a->prefix.address.family == AF_INET6 ? link_local : !link_local)
                score += 2;
        if (!a->secondary || a->prefix.address.family == AF_INET6)
                score += 1;
        return score;
}

bool link_choose_source(const Link *link, int family, const IpPrefix *exclude, size_t n_exclude, IpAddress *ret) {
        const LinkAddress *best = NULL;

        for (guint k = 0; k < link->addresses->len; k++) {
                const LinkAddress *a = &g_array_index(link->addresses, LinkAddress, k);
                bool usable = a->prefix.address.family == family && source_score(a) > 0;

                for (size_t x = 0; x < n_exclude; x++)
                        usable = usable && !ip_address_equal(&exclude[x].address, &a->prefix.address);
                if (usable && (!best || source_score(a) > source_score(best)))
                        best = a;
        }
        if (!best)
                return false;
        *ret = best->prefix.address;
        return true;
}
