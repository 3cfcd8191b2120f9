/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/arp-scope.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "io/netlink.h"

/* Linux has its IPv4 addresses on the host, not on an interface: asked for one of a macvlan, the interface below answers as well, with its own
 * MAC (arp_ignore=0); and when it asks for a neighbour on behalf of that address, it tells it with its own MAC (arp_announce=0). Either is enough for
 * a neighbour to forget the virtual one. Both are settings of the interface, set by netlink and not above what is needed: who is stricter stays so.
 * They are put back as they were, unless somebody else changed them meanwhile. IPv6 needs none of it. */

#define REPLY_BYTES 16384

typedef struct Scope {
        unsigned n_users;
        ArpSettings before, ours;
} Scope;

struct ArpScope {
        struct nl_sock *socket; /* NULL: not needed yet */
        GHashTable *scopes;     /* ifindex -> Scope */
        void (*noted)(void *userdata, int ifindex, const ArpSettings *before);
        void *userdata;
};

int arp_scope_new(ArpScope **ret, void (*noted)(void *userdata, int ifindex, const ArpSettings *before), void *userdata) {
        ArpScope *s = g_new0(ArpScope, 1);

        s->scopes = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        s->noted = noted;
        s->userdata = userdata;
        *ret = s;
        return 0;
}

ArpScope *arp_scope_free(ArpScope *s) {
        if (!s)
                return NULL;
        if (s->socket)
                nl_socket_free(s->socket);
        g_hash_table_unref(s->scopes);
        g_free(s);
        return NULL;
}

static int message(struct nl_msg **ret, int type, int ifindex) {
        struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
        g_autoptr(nl_msg) m = nlmsg_alloc_simple(type, 0);

        if (!m || nlmsg_append(m, &info, sizeof(info), NLMSG_ALIGNTO) < 0)
                return -ENOMEM;
        *ret = g_steal_pointer(&m);
        return 0;
}

static int read_settings(ArpScope *s, int ifindex, ArpSettings *ret) {
        g_autoptr(nl_msg) m = NULL;
        union {
                struct nlmsghdr header;
                uint8_t bytes[REPLY_BYTES];
        } reply;
        struct nlattr *attributes[IFLA_MAX + 1], *of_ipv4[IFLA_INET_MAX + 1], *family;
        const uint32_t *conf;
        int r = message(&m, RTM_GETLINK, ifindex);

        if (r >= 0)
                r = netlink_request(s->socket, m, &reply.header, sizeof(reply));
        if (r < 0)
                return r;
        if (nlmsg_parse(&reply.header, sizeof(struct ifinfomsg), attributes, IFLA_MAX, NULL) < 0 || !attributes[IFLA_AF_SPEC])
                return -EBADMSG;
        family = nla_find(nla_data(attributes[IFLA_AF_SPEC]), nla_len(attributes[IFLA_AF_SPEC]), AF_INET);
        if (!family || nla_parse_nested(of_ipv4, IFLA_INET_MAX, family, NULL) < 0 || !of_ipv4[IFLA_INET_CONF] ||
            nla_len(of_ipv4[IFLA_INET_CONF]) < IPV4_DEVCONF_ARP_IGNORE * (int) sizeof(*conf))
                return -EBADMSG;
        conf = nla_data(of_ipv4[IFLA_INET_CONF]);
        *ret = (ArpSettings) { .ignore = conf[IPV4_DEVCONF_ARP_IGNORE - 1], .announce = conf[IPV4_DEVCONF_ARP_ANNOUNCE - 1] };
        return 0;
}

static int write_settings(ArpScope *s, int ifindex, const ArpSettings *settings) {
        g_autoptr(nl_msg) m = NULL;
        struct nlattr *families, *family, *conf;
        int r = message(&m, RTM_NEWLINK, ifindex);

        if (r < 0)
                return r;
        if (!(families = nla_nest_start(m, IFLA_AF_SPEC)) || !(family = nla_nest_start(m, AF_INET)) ||
            !(conf = nla_nest_start(m, IFLA_INET_CONF)) || nla_put_u32(m, IPV4_DEVCONF_ARP_IGNORE, settings->ignore) < 0 ||
            nla_put_u32(m, IPV4_DEVCONF_ARP_ANNOUNCE, settings->announce) < 0)
                return -ENOMEM;
        nla_nest_end(m, conf);
        nla_nest_end(m, family);
        nla_nest_end(m, families);
        return netlink_request(s->socket, m, NULL, 0);
}

/* 3 goes by the scope of an address, not by its interface; 1, 2 and 8 do what we need, or more. */
static ArpSettings wanted(const ArpSettings *before) {
        bool enough = before->ignore == 1 || before->ignore == 2 || before->ignore == 8;

        return (ArpSettings) { .ignore = enough ? before->ignore : 1, .announce = 2 };
}

static void put_back(ArpScope *s, int ifindex, const Scope *scope) {
        ArpSettings now, back;

        if (read_settings(s, ifindex, &now) >= 0) {
                back = (ArpSettings) {
                        .ignore = now.ignore == scope->ours.ignore ? scope->before.ignore : now.ignore,
                        .announce = now.announce == scope->ours.announce ? scope->before.announce : now.announce,
                };
                if (memcmp(&back, &now, sizeof(now)) != 0)
                        (void) write_settings(s, ifindex, &back);
        }
        s->noted(s->userdata, ifindex, NULL);
}

int arp_scope_acquire(ArpScope *s, int ifindex) {
        Scope *scope = g_hash_table_lookup(s->scopes, GINT_TO_POINTER(ifindex));
        ArpSettings before;
        int r = s->socket ? 0 : netlink_open(&s->socket);

        if (r >= 0 && !scope)
                r = read_settings(s, ifindex, &before);
        if (r < 0)
                return r;
        if (!scope) {
                scope = g_new0(Scope, 1);
                scope->before = before;
                scope->ours = wanted(&before);
                g_hash_table_insert(s->scopes, GINT_TO_POINTER(ifindex), scope);
        }
        if (scope->n_users++ > 0)
                return 0;
        /* first what is to be done about it, should we not live */
        s->noted(s->userdata, ifindex, &scope->before);
        r = write_settings(s, ifindex, &scope->ours);
        if (r < 0)
                arp_scope_release(s, ifindex);
        return r;
}

void arp_scope_release(ArpScope *s, int ifindex) {
        Scope *scope = g_hash_table_lookup(s->scopes, GINT_TO_POINTER(ifindex));

        if (!scope || --scope->n_users > 0)
                return;
        put_back(s, ifindex, scope);
        g_hash_table_remove(s->scopes, GINT_TO_POINTER(ifindex));
}

void arp_scope_inherit(ArpScope *s, int ifindex, const ArpSettings *before) {
        Scope *scope;

        if (g_hash_table_contains(s->scopes, GINT_TO_POINTER(ifindex)))
                return;
        scope = g_new0(Scope, 1);
        scope->before = *before;
        scope->ours = wanted(before);
        g_hash_table_insert(s->scopes, GINT_TO_POINTER(ifindex), scope);
}

void arp_scope_settle(ArpScope *s) {
        GHashTableIter iter;
        void *key, *value;

        if (g_hash_table_size(s->scopes) == 0 || (!s->socket && netlink_open(&s->socket) < 0))
                return;
        g_hash_table_iter_init(&iter, s->scopes);
        while (g_hash_table_iter_next(&iter, &key, &value)) {
                if (((Scope *) value)->n_users > 0)
                        continue;
                put_back(s, GPOINTER_TO_INT(key), value);
                g_hash_table_iter_remove(&iter);
        }
}
