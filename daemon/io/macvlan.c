/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/macvlan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "io/netlink.h"
#include "io/take-down.h"
#include "util/cleanup.h"
#include "util/log.h"

/* The device that bears a virtual MAC. It is made beforehand, and down: so it is neither heard nor hears, its MAC is unknown to the interface below,
 * and containers on the same interface, whose frames the kernel would deliver to it, reach the host that owns the MAC. To own it is one message,
 * made when the device is: up (some 70 us), and its settings with it, lest somebody changed them meanwhile.
 *
 * Bridge mode, as in private mode the kernel gives a frame that comes from our own MAC to nobody but the macvlan: two owners would not hear each
 * other. What it must not do, and is set for IPv4 by the same netlink as everything else:
 * - answer for addresses of other interfaces (arp_ignore=1), or ask with them (arp_announce=2);
 * - drop what it receives because answers leave by the interface below (rp_filter=2, which also overrides all.rp_filter=1);
 * - lose its other addresses with the first of a subnet (promote_secondaries=1).
 * IPv6 answers by interface of its own accord. But the device must not make a link-local address (addr_gen_mode none), nor listen to routers
 * (accept_ra=0): it would get an address of its MAC, the same on every host, and a default route.
 *
 * And what the kernel tells multicast routers (MLD), from the virtual MAC, must not leave a moment after that has become another host's. When the
 * device loses an IPv6 address, that would be that nobody hears the address's solicited-node group any more: so we hear those groups as long as the
 * device is there. And each renewal of a lease is told as if the group were new, at once and again within a second, or ten, which is made at once: we
 * give an address up a few milliseconds after a renewal less often than within a second of one.
 *
 * accept_ra and these two are settings that netlink does not know, and files below /proc/sys. */

/* systemd keeps /proc/sys from us, but for these files, which our unit asks for at the latter place. */
static const char *const ipv6_directories[] = { "/proc/sys/net/ipv6/conf", "/run/vipd-ipv6-conf" };

static const struct {
        const char *file, *value;
} ipv6_settings[] = {
        { "accept_ra", "0\n" }, /* whether it helped, macvlan_accepts_routers() tells */
        { "mldv1_unsolicited_report_interval", "1\n" },
        { "mldv2_unsolicited_report_interval", "1\n" },
};

#define MARK "vipd: "
#define REPLY_BYTES 16384
#define ADDR_GEN_MODE_NONE 1
#define GROUP_FIRST (1 << 24) /* beyond what people give groups as numbers */

typedef struct Setting {
        int number;
        uint32_t value;
} Setting;

static const Setting settings[] = {
        { IPV4_DEVCONF_ARP_IGNORE, 1 },
        { IPV4_DEVCONF_ARP_ANNOUNCE, 2 },
        { IPV4_DEVCONF_RP_FILTER, 2 },
        { IPV4_DEVCONF_PROMOTE_SECONDARIES, 1 },
};

struct MacvlanControl {
        sd_event *event;
        struct nl_sock *socket; /* NULL: not needed yet */
        TakeDown *take_down;    /* likewise */
        AutoFd groups;          /* likewise; a socket that hears the solicited-node groups */
        unsigned n_open;
        GArray *doomed; /* Doomed; NULL: who is deleted goes at once */
};

struct Macvlan {
        MacvlanControl *control; /* borrowed */
        int ifindex;
        uint8_t mac[MAC_BYTES];
        struct nl_msg *own;
        GArray *groups; /* struct in6_addr */
        bool owned, seen; /* seen: the kernel has told of it since */
};

/* Who is to be deleted with others. */
typedef struct Doomed {
        int ifindex;
        Macvlan *device; /* to be closed then; or NULL */
} Doomed;

int macvlan_control_new(MacvlanControl **ret, sd_event *event) {
        MacvlanControl *c = g_new0(MacvlanControl, 1);

        c->event = sd_event_ref(event);
        c->groups = -1;
        *ret = c;
        return 0;
}

MacvlanControl *macvlan_control_free(MacvlanControl *c) {
        if (!c)
                return NULL;
        take_down_free(c->take_down);
        auto_fd_clear(&c->groups);
        if (c->socket)
                nl_socket_free(c->socket);
        sd_event_unref(c->event);
        g_free(c);
        return NULL;
}

static int prepare(MacvlanControl *c) {
        int r = c->take_down ? 0 : take_down_new(&c->take_down, c->event);

        if (r >= 0 && !c->socket)
                r = netlink_open(&c->socket);
        /* a host without IPv6 has none, and needs none */
        if (r >= 0 && c->groups < 0)
                c->groups = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return r;
}

static int message(struct nl_msg **ret, int type, int flags, const struct ifinfomsg *info) {
        g_autoptr(nl_msg) m = nlmsg_alloc_simple(type, flags);
        int r;

        if (!m)
                return -ENOMEM;
        r = nlmsg_append(m, (void *) info, sizeof(*info), NLMSG_ALIGNTO);
        if (r < 0)
                return netlink_errno(r);
        *ret = g_steal_pointer(&m);
        return 0;
}

static int request(MacvlanControl *c, struct nl_msg *m) {
        return netlink_request(c->socket, m, NULL, 0);
}

static int create(MacvlanControl *c, const MacvlanSpec *spec) {
        g_autoptr(nl_msg) m = NULL;
        struct nlattr *info, *data;
        int r = message(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &(struct ifinfomsg) { .ifi_family = AF_UNSPEC });

        if (r < 0)
                return r;
        if (nla_put_string(m, IFLA_IFNAME, spec->name) < 0 || nla_put_u32(m, IFLA_LINK, (uint32_t) spec->lower_ifindex) < 0 ||
            nla_put(m, IFLA_ADDRESS, MAC_BYTES, spec->mac) < 0 || !(info = nla_nest_start(m, IFLA_LINKINFO)) ||
            nla_put_string(m, IFLA_INFO_KIND, "macvlan") < 0 || !(data = nla_nest_start(m, IFLA_INFO_DATA)) ||
            nla_put_u32(m, IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE) < 0)
                return -ENOMEM;
        nla_nest_end(m, data);
        nla_nest_end(m, info);
        return request(c, m);
}

static int put_settings(struct nl_msg *m) {
        struct nlattr *families, *family, *conf;

        if (!(families = nla_nest_start(m, IFLA_AF_SPEC)) || !(family = nla_nest_start(m, AF_INET)) ||
            !(conf = nla_nest_start(m, IFLA_INET_CONF)))
                return -ENOMEM;
        for (size_t k = 0; k < G_N_ELEMENTS(settings); k++)
                if (nla_put_u32(m, settings[k].number, settings[k].value) < 0)
                        return -ENOMEM;
        nla_nest_end(m, conf);
        nla_nest_end(m, family);
        nla_nest_end(m, families);
        return 0;
}

static int mark(MacvlanControl *c, int ifindex, const char *owner) {
        g_autofree char *alias = g_strconcat(MARK, owner, NULL);
        g_autoptr(nl_msg) m = NULL;
        int r = message(&m, RTM_NEWLINK, 0, &(struct ifinfomsg) { .ifi_family = AF_UNSPEC, .ifi_index = ifindex });

        if (r < 0)
                return r;
        return nla_put_string(m, IFLA_IFALIAS, alias) < 0 ? -ENOMEM : request(c, m);
}

/* A host without IPv6 has nothing to be kept from. */
static int no_link_local(MacvlanControl *c, int ifindex) {
        g_autoptr(nl_msg) m = NULL;
        struct nlattr *families, *family;
        int r = message(&m, RTM_NEWLINK, 0, &(struct ifinfomsg) { .ifi_family = AF_UNSPEC, .ifi_index = ifindex });

        if (r < 0)
                return r;
        if (!(families = nla_nest_start(m, IFLA_AF_SPEC)) || !(family = nla_nest_start(m, AF_INET6)) ||
            nla_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_MODE_NONE) < 0)
                return -ENOMEM;
        nla_nest_end(m, family);
        nla_nest_end(m, families);
        r = request(c, m);
        return r == -EAFNOSUPPORT ? 0 : r;
}

static void set_ipv6(const char *name) {
        for (size_t k = 0; k < G_N_ELEMENTS(ipv6_settings); k++) {
                ssize_t length = (ssize_t) strlen(ipv6_settings[k].value);
                bool set = false;

                for (size_t d = 0; !set && d < G_N_ELEMENTS(ipv6_directories); d++) {
                        g_autofree char *path = g_strdup_printf("%s/%s/%s", ipv6_directories[d], name, ipv6_settings[k].file);
                        g_auto(AutoFd) fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

                        set = fd >= 0 && write(fd, ipv6_settings[k].value, (size_t) length) == length;
                }
        }
}

typedef union Reply {
        struct nlmsghdr header;
        uint8_t bytes[REPLY_BYTES];
} Reply;

/* What the kernel has at this moment; attributes point into the reply. */
static bool ask(const Macvlan *m, Reply *reply, struct nlattr *attributes[static IFLA_MAX + 1]) {
        g_autoptr(nl_msg) question = NULL;

        return message(&question, RTM_GETLINK, 0, &(struct ifinfomsg) { .ifi_family = AF_UNSPEC, .ifi_index = m->ifindex }) >= 0 &&
               netlink_request(m->control->socket, question, &reply->header, sizeof(*reply)) >= 0 &&
               nlmsg_parse(&reply->header, sizeof(struct ifinfomsg), attributes, IFLA_MAX, NULL) >= 0;
}

bool macvlan_accepts_routers(const Macvlan *m) {
        struct nlattr *attributes[IFLA_MAX + 1], *of_ipv6[IFLA_INET6_MAX + 1], *family;
        const int32_t *conf;
        Reply reply;

        if (!ask(m, &reply, attributes) || !attributes[IFLA_AF_SPEC])
                return false;
        family = nla_find(nla_data(attributes[IFLA_AF_SPEC]), nla_len(attributes[IFLA_AF_SPEC]), AF_INET6);
        if (!family || nla_parse_nested(of_ipv6, IFLA_INET6_MAX, family, NULL) < 0 || !of_ipv6[IFLA_INET6_CONF] ||
            nla_len(of_ipv6[IFLA_INET6_CONF]) <= DEVCONF_ACCEPT_RA * (int) sizeof(*conf))
                return false;
        conf = nla_data(of_ipv6[IFLA_INET6_CONF]);
        /* whoever routes listens to routers only if that is meant: 2 */
        return conf[DEVCONF_ACCEPT_RA] > (conf[DEVCONF_FORWARDING] ? 1 : 0);
}

static int build_own(struct nl_msg **ret, int ifindex, const uint8_t mac[MAC_BYTES]) {
        struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
        g_autoptr(nl_msg) m = NULL;
        int r = message(&m, RTM_NEWLINK, 0, &info);

        if (r >= 0 && nla_put(m, IFLA_ADDRESS, MAC_BYTES, mac) < 0)
                r = -ENOMEM;
        if (r >= 0)
                r = put_settings(m);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&m);
        return 0;
}

static int delete_one(MacvlanControl *c, int ifindex) {
        g_autoptr(nl_msg) m = NULL;
        int r = message(&m, RTM_DELLINK, 0, &(struct ifinfomsg) { .ifi_family = AF_UNSPEC, .ifi_index = ifindex });

        if (r >= 0)
                r = request(c, m);
        return r == -ENODEV ? 0 : r;
}

int macvlan_delete(MacvlanControl *c, int ifindex) {
        int r = prepare(c);

        if (r < 0)
                return r;
        take_down_cancel(c->take_down, ifindex);
        if (!c->doomed)
                return delete_one(c, ifindex);
        g_array_append_val(c->doomed, ((Doomed) { .ifindex = ifindex }));
        return 0;
}

/* It hears its groups until the device is gone; see the top. */
int macvlan_remove(Macvlan *m) {
        MacvlanControl *c = m->control;
        int r = macvlan_delete(c, m->ifindex);

        if (r >= 0 && c->doomed)
                g_array_index(c->doomed, Doomed, c->doomed->len - 1).device = m;
        else
                macvlan_close(m);
        return r;
}

void macvlan_gather(MacvlanControl *c) {
        c->doomed = g_array_new(false, false, sizeof(Doomed));
}

static int join_group(MacvlanControl *c, int ifindex, uint32_t group) {
        g_autoptr(nl_msg) m = NULL;
        int r = message(&m, RTM_NEWLINK, 0, &(struct ifinfomsg) { .ifi_family = AF_UNSPEC, .ifi_index = ifindex });

        if (r < 0)
                return r;
        return nla_put_u32(m, IFLA_GROUP, group) < 0 ? -ENOMEM : request(c, m);
}

static int delete_group(MacvlanControl *c, uint32_t group) {
        g_autoptr(nl_msg) m = NULL;
        int r = message(&m, RTM_DELLINK, 0, &(struct ifinfomsg) { .ifi_family = AF_UNSPEC });

        if (r < 0)
                return r;
        return nla_put_u32(m, IFLA_GROUP, group) < 0 ? -ENOMEM : request(c, m);
}

/* To delete a link the kernel waits for all processors, some 20 ms, and for all links of a group it waits once. So those that go are made a group
 * for this moment, by a number that nobody else has; one that does not join goes alone. */
static bool delete_together(MacvlanControl *c, const GArray *doomed) {
        uint32_t group = (uint32_t) g_random_int_range(GROUP_FIRST, G_MAXINT32);

        if (doomed->len < 2)
                return false;
        for (guint k = 0; k < doomed->len; k++)
                (void) join_group(c, g_array_index(doomed, Doomed, k).ifindex, group);
        return delete_group(c, group) >= 0;
}

void macvlan_flush(MacvlanControl *c) {
        g_autoptr(GArray) doomed = g_steal_pointer(&c->doomed);
        bool together = delete_together(c, doomed);

        for (guint k = 0; k < doomed->len; k++) {
                const Doomed *d = &g_array_index(doomed, Doomed, k);
                char name[IF_NAMESIZE];
                int r = together && !if_indextoname((unsigned) d->ifindex, name) ? 0 : delete_one(c, d->ifindex);

                if (r < 0)
                        log_warning_errno(r, "Device %i, of a virtual MAC, could not be removed: %m", d->ifindex);
                macvlan_close(d->device);
        }
}

bool macvlan_is_marked(const Link *device, const char *owner) {
        return device->macvlan && g_str_has_prefix(device->alias, MARK) && g_str_equal(device->alias + strlen(MARK), owner);
}

/* Or made by a process that was killed before it could mark it. */
static bool is_ours(const Link *device, const MacvlanSpec *spec) {
        return macvlan_is_marked(device, spec->owner) ||
               (device->macvlan && *device->alias == '\0' && !device->up && memcmp(device->mac, spec->mac, MAC_BYTES) == 0);
}

static int make(Macvlan *m, const MacvlanSpec *spec) {
        int r = create(m->control, spec);

        if (r < 0)
                return r;
        m->ifindex = (int) if_nametoindex(spec->name);
        if (m->ifindex == 0)
                return -errno;
        r = mark(m->control, m->ifindex, spec->owner);
        if (r >= 0)
                r = no_link_local(m->control, m->ifindex);
        if (r < 0)
                (void) macvlan_delete(m->control, m->ifindex);
        return r;
}

int macvlan_open(Macvlan **ret, MacvlanControl *c, const MacvlanSpec *spec, const Link *existing, bool adopt) {
        g_autoptr(Macvlan) m = g_new0(Macvlan, 1);
        int r = prepare(c);

        if (r < 0)
                return r;
        m->control = c;
        c->n_open++;
        memcpy(m->mac, spec->mac, MAC_BYTES);
        if (existing && !is_ours(existing, spec))
                return -EEXIST;
        if (existing && adopt && existing->lower_ifindex == spec->lower_ifindex && memcmp(existing->mac, spec->mac, MAC_BYTES) == 0) {
                m->ifindex = existing->ifindex;
                m->owned = m->seen = existing->up;
        } else {
                r = existing ? macvlan_delete(c, existing->ifindex) : 0;
                if (r >= 0)
                        r = make(m, spec);
                if (r < 0)
                        return r;
        }
        set_ipv6(spec->name);
        r = build_own(&m->own, m->ifindex, m->mac);
        if (r < 0)
                return r;
        take_down_reserve(c->take_down, c->n_open);
        *ret = g_steal_pointer(&m);
        return 0;
}

static void hear(const Macvlan *m, const struct in6_addr *group, bool join) {
        struct ipv6_mreq request = { .ipv6mr_multiaddr = *group, .ipv6mr_ifindex = m->ifindex };

        /* if it cannot, a switch may be wrong until the next advert */
        (void) setsockopt(m->control->groups, IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &request, sizeof(request));
}

void macvlan_expect(Macvlan *m, const IpPrefix *addresses, size_t n) {
        GArray *before = g_steal_pointer(&m->groups);

        m->groups = g_array_new(false, false, sizeof(struct in6_addr));
        for (size_t k = 0; k < n; k++) {
                struct in6_addr group = { .s6_addr = { 0xff, 0x02, [11] = 1, [12] = 0xff } };

                if (addresses[k].address.family != AF_INET6)
                        continue;
                memcpy(group.s6_addr + 13, addresses[k].address.bytes + 13, 3);
                g_array_append_val(m->groups, group);
        }
        for (guint k = 0; before && k < before->len; k++)
                hear(m, &g_array_index(before, struct in6_addr, k), false);
        for (guint k = 0; k < m->groups->len; k++)
                hear(m, &g_array_index(m->groups, struct in6_addr, k), true);
        if (before)
                g_array_unref(before);
}

Macvlan *macvlan_close(Macvlan *m) {
        if (!m)
                return NULL;
        if (m->control) {
                m->control->n_open--;
                macvlan_expect(m, NULL, 0);
                g_array_unref(m->groups);
        }
        nlmsg_free(m->own);
        g_free(m);
        return NULL;
}

bool macvlan_exists(const Macvlan *m) {
        char name[IF_NAMESIZE];

        return if_indextoname((unsigned) m->ifindex, name) != NULL;
}

int macvlan_ifindex(const Macvlan *m) {
        return m->ifindex;
}

const uint8_t *macvlan_mac(const Macvlan *m) {
        return m->mac;
}

bool macvlan_is_owned(const Macvlan *m) {
        return m->owned;
}

int macvlan_own(Macvlan *m) {
        int r;

        if (m->owned)
                return 0;
        take_down_cancel(m->control->take_down, m->ifindex);
        r = request(m->control, m->own);
        m->owned = r >= 0;
        m->seen = false;
        return r;
}

void macvlan_leave(Macvlan *m) {
        if (m->owned)
                take_down_add(m->control->take_down, m->ifindex);
        m->owned = m->seen = false;
}

/* What is told may be older than macvlan_own(). Who cannot be told better takes it again, which is nothing if it is so. */
static bool is_up_now(const Macvlan *m) {
        struct nlattr *attributes[IFLA_MAX + 1];
        Reply reply;

        return ask(m, &reply, attributes) && (((const struct ifinfomsg *) nlmsg_data(&reply.header))->ifi_flags & IFF_UP) != 0 &&
               attributes[IFLA_ADDRESS] && nla_len(attributes[IFLA_ADDRESS]) == MAC_BYTES &&
               memcmp(nla_data(attributes[IFLA_ADDRESS]), m->mac, MAC_BYTES) == 0;
}

/* That it is up is not told if it was: it was about to be taken down, or is just being, which is what comes next then. */
bool macvlan_observe(Macvlan *m, const Link *device) {
        bool is = device->up && memcmp(device->mac, m->mac, MAC_BYTES) == 0, lost = m->owned && !is && (m->seen || !is_up_now(m));

        if (m->owned)
                m->seen = is;
        if (lost)
                m->owned = false;
        /* somebody else wants it up, who is not us */
        if (device->up && !m->owned)
                take_down_add(m->control->take_down, m->ifindex);
        return lost;
}
