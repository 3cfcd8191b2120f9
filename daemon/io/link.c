/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "io/address.h"
#include "io/netlink.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/ratelimit.h"
#include "util/time-util.h"

/* The kernel's interfaces and addresses as a table, kept by watching rtnetlink. Reports what changed, message by message, and judges
 * nothing.
 *
 * When the kernel had to drop messages (ENOBUFS), everything is asked again: a resync is a dump of the links and one of the addresses, and
 * what neither showed is gone. It never waits, and it believes itself only if nothing was lost meanwhile:
 * - The kernel says once that it drops, and goes on dropping in silence until the queue has been read empty. So a resync begins there.
 * - A socket has one dump at a time, and only the one we asked for last counts: its messages bear our port and its sequence number, which
 *   no other program's do.
 * - A loss on the way, a list that changed under the dump's hands (NLM_F_DUMP_INTR: it goes by position, and may have skipped one), news
 *   that crossed it, or a dump that failed spoil the resync. It sweeps nothing, and is begun again after a pause.
 * - The first reading at start is a resync too, of an empty table. */

#define RECEIVE_BUFFER_BYTES (4 << 20)
#define FIRST_READING_USEC (5 * USEC_PER_SEC)
#define MESSAGES_PER_DISPATCH 64 /* and the rest of the datagram that holds the last one */
#define PAUSE_USEC (20 * USEC_PER_MSEC)
/* The kernel may forget to go on with a dump when it was short of memory; asking again reminds it (EBUSY, until it has ended). */
#define DUMP_TIMEOUT_USEC USEC_PER_SEC

typedef enum Resync {
        RESYNC_NONE,
        RESYNC_PAUSED,    /* the last one was spoiled: wanted, but not yet */
        RESYNC_WANTED,    /* as soon as the queue is empty */
        RESYNC_LINKS,     /* from here on a dump is under way */
        RESYNC_ADDRESSES,
} Resync;

typedef struct Entry {
        Link link;
        bool unseen; /* not shown yet by the resync */
        bool addresses_changed; /* since the last report */
        bool address_came;      /* one of these changes */
} Entry;

struct LinkTable {
        struct nl_sock *socket;
        sd_event *event;
        sd_event_source *source;
        sd_event_source *timer; /* the end of a pause or of our patience with a dump, or the next look at the queue */
        GHashTable *entries;    /* ifindex -> Entry */
        LinkCallback callback;
        void *userdata;
        bool addresses_changed; /* of any entry */
        bool silent; /* the first reading reports nothing */
        Resync resync;
        bool spoiled;      /* the dump under way is no evidence of absence */
        uint32_t sequence; /* of the dump that was asked for last */
        RateLimit log_limit;
        uint8_t buffer[64 << 10] __attribute__((aligned(NLMSG_ALIGNTO)));
};

static void entry_free(void *data) {
        Entry *e = data;

        g_array_unref(e->link.addresses);
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

static bool is_macvlan(struct nlattr **attributes) {
        struct nlattr *info[IFLA_INFO_MAX + 1];

        return attributes[IFLA_LINKINFO] && nla_parse_nested(info, IFLA_INFO_MAX, attributes[IFLA_LINKINFO], NULL) >= 0 &&
               info[IFLA_INFO_KIND] && g_str_equal(nla_get_string(info[IFLA_INFO_KIND]), "macvlan");
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
        }
        e->unseen = false;
        now = e->link;
        now.ifindex = info->ifi_index;
        g_strlcpy(now.name, nla_get_string(attributes[IFLA_IFNAME]), sizeof(now.name));
        now.ethernet = info->ifi_type == ARPHRD_ETHER;
        if (attributes[IFLA_ADDRESS] && nla_len(attributes[IFLA_ADDRESS]) == MAC_BYTES)
                memcpy(now.mac, nla_data(attributes[IFLA_ADDRESS]), MAC_BYTES);
        else
                now.ethernet = false;
        now.macvlan = is_macvlan(attributes);
        now.lower_ifindex = attributes[IFLA_LINK] && !attributes[IFLA_LINK_NETNSID] ? (int) nla_get_u32(attributes[IFLA_LINK]) : 0;
        g_strlcpy(now.alias, attributes[IFLA_IFALIAS] ? nla_get_string(attributes[IFLA_IFALIAS]) : "", sizeof(now.alias));
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
        old->unseen = false;
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

/* Many addresses that come or go at once, as those of many instances do, are one change: who hears of it looks at all of them. */
static void report_addresses(LinkTable *t) {
        g_autoptr(GList) keys = NULL;

        if (!t->addresses_changed)
                return;
        t->addresses_changed = false;
        keys = g_hash_table_get_keys(t->entries);
        for (GList *k = keys; k; k = k->next) {
                Entry *e = find_entry(t, GPOINTER_TO_INT(k->data));

                if (!e || !e->addresses_changed)
                        continue;
                e->addresses_changed = e->address_came = false;
                report(t, &e->link, LINK_CHANGE_ADDRESSES);
        }
}

static void on_address(LinkTable *t, struct nlmsghdr *h) {
        const struct ifaddrmsg *info = nlmsg_data(h);
        Entry *e = find_entry(t, (int) info->ifa_index);
        bool changed;
        LinkAddress a;

        if (!e || !parse_address(h, &a))
                return;
        /* one that came and went within a pass was here all the same: who added it must see it before it is missing */
        if (h->nlmsg_type == RTM_DELADDR && e->address_came)
                report_addresses(t);
        changed = h->nlmsg_type == RTM_NEWADDR ? put_address(e->link.addresses, &a) : drop_address(e->link.addresses, &a.prefix);
        if (!changed)
                return;
        t->addresses_changed = e->addresses_changed = true;
        e->address_came = e->address_came || h->nlmsg_type == RTM_NEWADDR;
}

static void set_timer(LinkTable *t, uint64_t usec) {
        (void) sd_event_source_set_time_relative(t->timer, usec);
        (void) sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT);
}

static void pause_resync(LinkTable *t) {
        t->resync = RESYNC_PAUSED;
        set_timer(t, PAUSE_USEC);
}

static void ask(LinkTable *t, Resync what) {
        struct {
                struct nlmsghdr header;
                struct rtgenmsg body;
        } request = {
                .header = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)),
                            .nlmsg_type = what == RESYNC_LINKS ? RTM_GETLINK : RTM_GETADDR,
                            .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                            .nlmsg_seq = ++t->sequence },
                .body = { .rtgen_family = AF_UNSPEC },
        };

        t->resync = what;
        set_timer(t, DUMP_TIMEOUT_USEC);
        if (send(nl_socket_get_fd(t->socket), &request, sizeof(request), MSG_DONTWAIT) < 0)
                pause_resync(t);
}

/* With an empty queue only: what is in it was queued before the dump. */
static void begin_resync(LinkTable *t) {
        GHashTableIter iter;
        void *value;

        g_hash_table_iter_init(&iter, t->entries);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                Entry *e = value;

                e->unseen = true;
                for (guint k = 0; k < e->link.addresses->len; k++)
                        g_array_index(e->link.addresses, LinkAddress, k).unseen = true;
        }
        t->spoiled = false;
        ask(t, RESYNC_LINKS);
}

static void sweep_addresses(LinkTable *t, Entry *e) {
        GArray *addresses = e->link.addresses;
        guint n_kept = 0, n = addresses->len;

        for (guint k = 0; k < n; k++) {
                const LinkAddress *a = &g_array_index(addresses, LinkAddress, k);

                if (!a->unseen)
                        g_array_index(addresses, LinkAddress, n_kept++) = *a;
        }
        g_array_set_size(addresses, n_kept);
        report(t, &e->link, n_kept < n ? LINK_CHANGE_ADDRESSES : 0);
}

static void sweep(LinkTable *t) {
        g_autoptr(GList) keys = g_hash_table_get_keys(t->entries);

        for (GList *k = keys; k; k = k->next) {
                Entry *e = find_entry(t, GPOINTER_TO_INT(k->data));

                if (e->unseen)
                        remove_entry(t, GPOINTER_TO_INT(k->data));
                else
                        sweep_addresses(t, e);
        }
}

/* Links first, so that addresses find them. */
static void on_dump_end(LinkTable *t, const struct nlmsghdr *h) {
        const int *error = nlmsg_data(h); /* both kinds begin with it */

        if (nlmsg_datalen(h) >= (int) sizeof(*error) && *error < 0)
                t->spoiled = true;
        if (t->spoiled)
                pause_resync(t);
        else if (t->resync == RESYNC_LINKS)
                ask(t, RESYNC_ADDRESSES);
        else {
                t->resync = RESYNC_NONE;
                (void) sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
                sweep(t);
        }
}

/* News of what is being dumped: the kernel fills a dump and tells of changes side by side, and may queue the older one last. */
static bool crosses_dump(const LinkTable *t, uint16_t type) {
        return t->resync == RESYNC_LINKS ? type == RTM_NEWLINK || type == RTM_DELLINK
                                         : t->resync == RESYNC_ADDRESSES && (type == RTM_NEWADDR || type == RTM_DELADDR);
}

static void on_message(LinkTable *t, struct nlmsghdr *h) {
        bool ours = h->nlmsg_pid == nl_socket_get_local_port(t->socket);

        /* of a dump that we have given up */
        if (ours && (h->nlmsg_seq != t->sequence || t->resync < RESYNC_LINKS))
                return;
        if (ours ? (h->nlmsg_flags & NLM_F_DUMP_INTR) != 0 : crosses_dump(t, h->nlmsg_type))
                t->spoiled = true;
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
        case NLMSG_ERROR:
                if (ours)
                        on_dump_end(t, h);
                break;
        default:
                break;
        }
}

/* One datagram. How many messages it held, 0 when there is none, or -errno. */
static int receive(LinkTable *t) {
        ssize_t n = recv(nl_socket_get_fd(t->socket), t->buffer, sizeof(t->buffer), MSG_DONTWAIT);
        struct nlmsghdr *h = (struct nlmsghdr *) (void *) t->buffer;
        int rest = (int) n, n_messages = 0;

        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        for (; nlmsg_ok(h, rest); h = nlmsg_next(h, &rest)) {
                on_message(t, h);
                n_messages++;
        }
        return n_messages > 0 ? n_messages : 1;
}

static void on_loss(LinkTable *t, int error) {
        static const RateRule rule = { .interval_usec = 10 * USEC_PER_SEC, .burst = 3 };
        uint64_t now_usec = 0, n_suppressed;
        char more[RATELIMIT_TEXT_BYTES];

        t->spoiled = true;
        if (t->resync == RESYNC_NONE)
                t->resync = RESYNC_WANTED;
        (void) sd_event_now(t->event, CLOCK_BOOTTIME, &now_usec);
        if (ratelimit_pass(&t->log_limit, &rule, now_usec, &n_suppressed))
                log_warning_errno(error, "Netlink messages were lost, asking the kernel again: %m%s",
                                  ratelimit_format(n_suppressed, more));
}

/* What the kernel refuses to give would be offered for ever, without a pause, and nobody behind us would have a turn. */
static void rest(LinkTable *t) {
        pause_resync(t);
        (void) sd_event_source_set_enabled(t->source, SD_EVENT_OFF);
}

static void read_messages(LinkTable *t) {
        for (int n = 0; n < MESSAGES_PER_DISPATCH;) {
                int r = receive(t);

                if (r == 0) {
                        if (t->resync == RESYNC_WANTED)
                                begin_resync(t);
                        return;
                }
                if (r < 0)
                        on_loss(t, r);
                if (r < 0 && r != -ENOBUFS) {
                        rest(t);
                        return;
                }
                n += r > 0 ? r : 1;
        }
        /* that was enough for one pass; should nothing more come, nobody would call again to find the queue empty */
        if (t->resync == RESYNC_WANTED)
                set_timer(t, 0);
}

static void work(LinkTable *t) {
        read_messages(t);
        report_addresses(t);
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        work(userdata);
        return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        LinkTable *t = userdata;

        /* who has rested may be refused a place in the loop, too, for want of memory */
        if (sd_event_source_set_enabled(t->source, SD_EVENT_ON) < 0) {
                pause_resync(t);
                return 0;
        }
        t->resync = RESYNC_WANTED;
        work(t);
        return 0;
}

/* Beyond net.core.rmem_max if we may: a burst of changes is better kept than asked for again. */
static void set_receive_buffer(LinkTable *t) {
        const int n_bytes = RECEIVE_BUFFER_BYTES;
        int fd = nl_socket_get_fd(t->socket);

        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &n_bytes, sizeof(n_bytes)) < 0)
                (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n_bytes, sizeof(n_bytes));
}

#define TAKE 0xffffffff
#define DROP 0
#define IF_NOT(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 1, 0)
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))
/* To where the attribute begins, or 0. */
#define FIND(type)                                                                                   \
        BPF_STMT(BPF_LD | BPF_IMM, NLMSG_LENGTH(sizeof(struct ifaddrmsg))), BPF_STMT(BPF_LDX | BPF_IMM, (type)), \
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t) (SKF_AD_OFF + SKF_AD_NLATTR))
#define IN_ATTRIBUTE(member) (uint32_t) (NLA_HDRLEN + offsetof(struct ifa_cacheinfo, member))

/* The kernel tells everybody of every renewed lease, and ours are renewed with every advert. What it tells of an address with our mark that was
 * not created just now is no news: whoever made anything else of it has taken the mark off. Numbers in a filter are in network order. */
static int leave_out_renewals(const LinkTable *t) {
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
                IF_NOT(htons(RTM_NEWADDR)),
                RETURN(TAKE),
                /* of a dump, whose first message this is, everything counts */
                BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_flags)),
                BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, htons(NLM_F_MULTI), 0, 1),
                RETURN(TAKE),
                FIND(IFA_PROTO),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
                RETURN(TAKE),
                BPF_STMT(BPF_MISC | BPF_TAX, 0),
                BPF_STMT(BPF_LD | BPF_B | BPF_IND, NLA_HDRLEN),
                IF_NOT(ADDRESS_PROTOCOL),
                RETURN(TAKE),
                FIND(IFA_CACHEINFO),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
                RETURN(TAKE),
                BPF_STMT(BPF_MISC | BPF_TAX, 0),
                BPF_STMT(BPF_LD | BPF_W | BPF_IND, IN_ATTRIBUTE(cstamp)),
                BPF_STMT(BPF_ST, 0),
                BPF_STMT(BPF_LD | BPF_W | BPF_IND, IN_ATTRIBUTE(tstamp)),
                BPF_STMT(BPF_LDX | BPF_MEM, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1),
                RETURN(TAKE),
                RETURN(DROP),
        };
        struct sock_fprog program = { .len = G_N_ELEMENTS(code), .filter = code };

        return setsockopt(nl_socket_get_fd(t->socket), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/* Waits, as nothing else runs yet. Who changes addresses without pause cannot keep us from starting: the rest comes in the loop. */
static int read_first(LinkTable *t) {
        uint64_t end_usec = (uint64_t) g_get_monotonic_time() + FIRST_READING_USEC;
        struct pollfd p = { .fd = nl_socket_get_fd(t->socket), .events = POLLIN };

        t->silent = true;
        t->resync = RESYNC_WANTED;
        for (;;) {
                work(t);
                if (t->resync == RESYNC_NONE || (uint64_t) g_get_monotonic_time() >= end_usec)
                        break;
                if (t->resync < RESYNC_LINKS || poll(&p, 1, DUMP_TIMEOUT_USEC / USEC_PER_MSEC) == 0)
                        t->resync = RESYNC_WANTED;
        }
        t->silent = false;
        return g_hash_table_size(t->entries) > 0 ? sd_event_source_set_enabled(t->source, SD_EVENT_ON) : -ETIMEDOUT;
}

static int add_sources(LinkTable *t) {
        int r = sd_event_add_io(t->event, &t->source, nl_socket_get_fd(t->socket), EPOLLIN, on_readable, t);

        if (r >= 0)
                r = sd_event_source_set_priority(t->source, EVENT_PRIORITY_NETLINK);
        if (r >= 0)
                r = sd_event_add_time(t->event, &t->timer, CLOCK_BOOTTIME, 0, EVENT_ACCURACY_USEC, on_timer, t);
        if (r >= 0)
                r = sd_event_source_set_priority(t->timer, EVENT_PRIORITY_NETLINK);
        if (r >= 0)
                r = sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
        return r;
}

/**
 * link_table_new() - open, subscribe, and know everything before returning
 * @callback: from the loop, for every later change; never from inside this call
 */
int link_table_new(LinkTable **ret, sd_event *event, LinkCallback callback, void *userdata) {
        g_autoptr(LinkTable) t = g_new0(LinkTable, 1);
        int r;

        t->event = sd_event_ref(event);
        t->entries = g_hash_table_new_full(NULL, NULL, NULL, entry_free);
        t->callback = callback;
        t->userdata = userdata;
        r = netlink_open(&t->socket);
        if (r < 0)
                return r;
        set_receive_buffer(t);
        r = leave_out_renewals(t);
        if (r < 0)
                return r;
        r = netlink_errno(nl_socket_add_memberships(t->socket, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, 0));
        if (r >= 0)
                r = add_sources(t);
        if (r >= 0)
                r = read_first(t);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&t);
        return 0;
}

LinkTable *link_table_free(LinkTable *t) {
        if (!t)
                return NULL;
        sd_event_source_disable_unref(t->source);
        sd_event_source_disable_unref(t->timer);
        nl_socket_free(t->socket);
        g_hash_table_unref(t->entries);
        sd_event_unref(t->event);
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

bool link_table_has_mac(const LinkTable *t, const uint8_t mac[MAC_BYTES]) {
        GHashTableIter iter;
        void *value;

        g_hash_table_iter_init(&iter, t->entries);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                const Link *link = &((Entry *) value)->link;

                if (link->ethernet && memcmp(link->mac, mac, MAC_BYTES) == 0)
                        return true;
        }
        return false;
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
