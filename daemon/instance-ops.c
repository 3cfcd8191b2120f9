/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance-ops.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "conflict-watch.h"
#include "io/announce.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/ratelimit.h"
#include "util/time-util.h"

/* Whoever may configure the network may do so in a loop. */
#define LOG_BURST 3
#define LOG_INTERVAL_USEC (60 * USEC_PER_SEC)

/* Binds one instance to the kernel: which sockets it sends on, which addresses it holds, which timer wakes it. Turns facts about a link into
 * the one question the instance asks: can this interface be used, and if not, why. Decides nothing about the election.
 *
 * With a virtual MAC the addresses are on a device of their own (io/macvlan.c), which is up from hold to release. Everything is sent and heard on the
 * interface all the same; what is sent by whoever holds the addresses comes from the virtual MAC, so that switches know where it is, and the farewell,
 * behind the release, does not. */

/* How long the source addresses may be gone before we have none. */
#define BEREFT_USEC UINT64_C(5000000)
/* What the kernel refused for want of memory, buffers or descriptors is tried again so much later: no news of the link may ever come. */
#define AGAIN_USEC (250 * USEC_PER_MSEC)

typedef struct HeldAddress {
        Address *address;
        bool foreign; /* configured for ever by somebody else: never touched */
        bool held;    /* we put it there */
        bool seen;    /* and the kernel has reported it since */
        bool told;    /* the log line about `foreign` */
} HeldAddress;

struct InstanceIo {
        const InstanceIoShared *shared;
        Instance *instance;
        const InstanceConfig *config; /* the instance's, borrowed */
        Alarm timer;
        Alarm bereft; /* runs while the source addresses are those that were */
        Alarm again;  /* runs while something is to be tried again */
        void (*on_again)(void *userdata);
        void *again_userdata;

        int ifindex; /* 0: not bound */
        bool carrier;
        bool adopt; /* the addresses are ours already when they are first built */
        bool keep;  /* and stay when we go */
        uint8_t mac[MAC_BYTES]; /* of the interface */
        Macvlan *device;        /* that bears the addresses; NULL: the interface does */
        int scoped;             /* the interface that speaks ARP for its own addresses alone, for our sake; 0: none */
        TransportPort *ipv4, *ipv6; /* NULL: no VIP of that family */
        IpAddress source_ipv4, source_ipv6;
        uint8_t vhid;
        unsigned n_ways; /* of the last advert, those that still wait */
        bool hurries;    /* it left at once, and so shall what comes behind it */
        bool sent;       /* by any of them */
        int send_error;  /* of the first that failed */
        IpAddress group_ipv4; /* joined; AF_UNSPEC: not */
        bool joined_ipv6;
        HeldAddress *addresses;
        size_t n_addresses;
        int built_on; /* the ifindex of that device when they were made */
        RateLimit link_limit, foreign_limit, drop_limit; /* lines about this interface */
        ConflictWatch *conflict;
        bool unwatched; /* it is to be bound */
        DiagnosisHistory *diagnoses; /* NULL: there was never anything to say */
        void (*diagnosed)(void *userdata, const Diagnosis *d);
        void *diagnosed_userdata;
};

static bool has_family(const InstanceConfig *c, int family) {
        for (size_t k = 0; k < c->n_addresses; k++)
                if (c->addresses[k].address.family == family)
                        return true;
        return false;
}

static const IpAddress *group_of(const InstanceConfig *c, int family) {
        if (family == AF_INET6)
                return &carp_group_ipv6;
        return c->carp.group_ipv4.family == AF_UNSPEC ? &carp_group_ipv4 : &c->carp.group_ipv4;
}

/* Where the addresses are is where we are. */
static const uint8_t *sender_mac(const InstanceIo *io) {
        return io->device && macvlan_is_owned(io->device) ? macvlan_mac(io->device) : io->mac;
}

/* One advert reached the wire: good. Every way failed: the first error. */
static void note_way(InstanceIo *io, int error) {
        io->sent = io->sent || error >= 0;
        io->send_error = io->send_error ?: error;
}

static void on_sent(void *userdata, int error) {
        InstanceIo *io = userdata;
        uint64_t now_usec = 0;

        note_way(io, error);
        if (--io->n_ways > 0)
                return;
        (void) sd_event_now(io->shared->event, CLOCK_BOOTTIME, &now_usec);
        instance_on_sent(io->instance, io->sent ? 0 : io->send_error, now_usec);
}

static int send_group(InstanceIo *io, TransportPort *port, const IpAddress *source, const uint8_t *payload, uint64_t until_usec) {
        IpFrame frame = { .source = *source, .destination = *group_of(io->config, source->family) };
        uint8_t bytes[IP_FRAME_BYTES_MAX];

        memcpy(frame.source_mac, sender_mac(io), MAC_BYTES);
        if (io->config->carp.multicast)
                ip_frame_multicast_mac(&frame.destination, frame.destination_mac);
        else
                memcpy(frame.destination_mac, mac_broadcast, MAC_BYTES);
        return transport_port_send_soon(port, bytes, ip_frame_build(&frame, payload, bytes), until_usec, on_sent, io);
}

static int op_send(void *userdata, const uint8_t ipv4[CARP_PAYLOAD_BYTES], const uint8_t ipv6[CARP_PAYLOAD_BYTES], uint64_t until_usec,
                   bool at_once) {
        InstanceIo *io = userdata;
        const CarpConfig *c = &io->config->carp;
        struct {
                TransportPort *port;
                const IpAddress *source;
                const uint8_t *payload;
        } ways[] = { { io->ipv4, &io->source_ipv4, ipv4 }, { io->ipv6, &io->source_ipv6, ipv6 } };

        /* the last one still waits for its fellows: what becomes of it is told first */
        if (io->n_ways > 0)
                transport_push(io->shared->transport);
        io->sent = false;
        io->send_error = 0;
        /* as long as this counts as one, nobody is told */
        io->n_ways = 1;
        for (size_t w = 0; w < G_N_ELEMENTS(ways); w++) {
                if (!ways[w].port || ways[w].source->family == AF_UNSPEC)
                        continue;
                if (c->n_peers == 0) {
                        int r;

                        io->n_ways++;
                        r = send_group(io, ways[w].port, ways[w].source, ways[w].payload, until_usec);
                        if (r != -EINPROGRESS) {
                                io->n_ways--;
                                note_way(io, r);
                        }
                }
                for (size_t k = 0; k < c->n_peers; k++)
                        if (c->peers[k].family == ways[w].source->family)
                                note_way(io, transport_port_send_unicast(ways[w].port, ways[w].source, &c->peers[k], ways[w].payload));
        }
        io->hurries = at_once;
        if (at_once)
                transport_push(io->shared->transport);
        if (--io->n_ways > 0)
                return -EINPROGRESS;
        return io->sent ? 0 : io->send_error ?: -ENOTCONN;
}

static bool may_log(InstanceIo *io, RateLimit *limit, char more[RATELIMIT_TEXT_BYTES]) {
        static const RateRule rule = { .interval_usec = LOG_INTERVAL_USEC, .burst = LOG_BURST };
        uint64_t now_usec = 0, n_suppressed;

        (void) sd_event_now(io->shared->event, CLOCK_BOOTTIME, &now_usec);
        if (!ratelimit_pass(limit, &rule, now_usec, &n_suppressed))
                return false;
        (void) ratelimit_format(n_suppressed, more);
        return true;
}

static int op_hold(void *userdata) {
        InstanceIo *io = userdata;
        uint64_t now_usec = 0;
        int error = 0;

        /* whoever changes addresses may have to wait for the kernel; what others have to say shall not */
        transport_push(io->shared->transport);
        if (io->device) {
                error = macvlan_own(io->device);
                if (error < 0)
                        return error;
        }
        for (size_t k = 0; k < io->n_addresses; k++) {
                HeldAddress *h = &io->addresses[k];
                int r;

                if (h->foreign)
                        continue;
                r = address_hold(h->address);
                if (r < 0)
                        error = error ?: r;
                else if (!h->held) {
                        h->held = true;
                        h->seen = false;
                }
        }
        (void) sd_event_now(io->shared->event, CLOCK_BOOTTIME, &now_usec);
        conflict_watch_on_hold(io->conflict, now_usec);
        return error;
}

static uint64_t op_now(void *userdata) {
        return clock_usec();
}

static void try_again(InstanceIo *io) {
        uint64_t usec = op_now(io) + AGAIN_USEC;

        alarm_set(&io->again, usec, usec);
}

static void on_again(void *userdata, uint64_t now_usec) {
        InstanceIo *io = userdata;

        io->on_again(io->again_userdata);
}

static int op_renew(void *userdata, uint64_t until_usec) {
        InstanceIo *io = userdata;
        int error = 0;

        for (size_t k = 0; k < io->n_addresses; k++) {
                HeldAddress *h = &io->addresses[k];
                int r = h->foreign ? 0 : h->held ? address_renew(h->address, until_usec) : op_hold(io);

                error = error ?: r;
        }
        return error;
}

static void on_lease_refused(void *userdata, int error) {
        InstanceIo *io = userdata;
        uint64_t now_usec = 0;

        (void) sd_event_now(io->shared->event, CLOCK_BOOTTIME, &now_usec);
        instance_on_lease_refused(io->instance, error, now_usec);
}

static void op_release(void *userdata) {
        InstanceIo *io = userdata;
        char more[RATELIMIT_TEXT_BYTES];

        transport_push(io->shared->transport);
        for (size_t k = 0; k < io->n_addresses; k++) {
                HeldAddress *h = &io->addresses[k];
                int r;

                if (h->foreign)
                        continue;
                r = address_drop(h->address);
                if (r < 0 && may_log(io, &io->drop_limit, more))
                        log_warning_errno(r, "%s: an address could not be dropped: %m%s", io->config->name, more);
                if (r < 0)
                        try_again(io);
                h->held = h->seen = false;
        }
        if (io->device)
                macvlan_leave(io->device);
        conflict_watch_on_release(io->conflict);
}

static void op_announce(void *userdata, uint64_t until_usec) {
        InstanceIo *io = userdata;
        TransportPort *port = io->ipv4 ?: io->ipv6;

        for (size_t k = 0; port && k < io->n_addresses; k++)
                (void) announce_address(port, sender_mac(io), &address_prefix(io->addresses[k].address)->address, until_usec);
        /* behind an advert that waits, or did not, this is a takeover: who waits for it shall not wait for signals and log lines, too */
        if (io->n_ways > 0 || io->hurries)
                transport_push(io->shared->transport);
        io->hurries = false;
}

static void op_arm(void *userdata, uint64_t deadline_usec, uint64_t early_usec) {
        InstanceIo *io = userdata;

        alarm_set(&io->timer, deadline_usec, early_usec);
}

const InstanceOps instance_io_ops = {
        .send = op_send,
        .hold = op_hold,
        .renew = op_renew,
        .release = op_release,
        .announce = op_announce,
        .arm = op_arm,
        .now = op_now,
};

static void on_timer(void *userdata, uint64_t now_usec) {
        instance_on_timer(((InstanceIo *) userdata)->instance, now_usec);
}

static DiagnosisSelf self(const InstanceIo *io) {
        DiagnosisSelf s = { .config = io->config, .ipv4 = io->source_ipv4, .ipv6 = io->source_ipv6 };

        memcpy(s.mac, sender_mac(io), MAC_BYTES);
        return s;
}

static void note_diagnosis(InstanceIo *io, const Diagnosis *d, uint64_t now_usec) {
        if (!io->diagnoses)
                io->diagnoses = g_new0(DiagnosisHistory, 1);
        if (diagnosis_history_note(io->diagnoses, d, now_usec) && io->diagnosed)
                io->diagnosed(io->diagnosed_userdata, d);
}

static bool is_own_source(const InstanceIo *io, const IpAddress *source) {
        return ip_address_equal(source, &io->source_ipv4) || ip_address_equal(source, &io->source_ipv6);
}

static CarpVerdict on_receive(void *userdata, const IpFrame *frame, const CarpAdvert *advert, uint64_t now_usec) {
        InstanceIo *io = userdata;
        CarpVerdict verdict = instance_on_advert(io->instance, &frame->source, advert, now_usec);
        DiagnosisSelf we = self(io);
        Diagnosis d;

        if (verdict != CARP_VERDICT_OK)
                return verdict;
        if (!is_own_source(io, &frame->source))
                conflict_watch_on_advert(io->conflict, frame->source_mac, now_usec);
        if (diagnosis_of_believed(&we, frame, advert, &d))
                note_diagnosis(io, &d, now_usec);
        return verdict;
}

static void on_refused(void *userdata, const uint8_t *frame, size_t n_bytes, CarpVerdict verdict, uint64_t now_usec) {
        InstanceIo *io = userdata;
        DiagnosisSelf we = self(io);
        Diagnosis d;

        if (diagnosis_of_refused(&we, frame, n_bytes, verdict, &d))
                note_diagnosis(io, &d, now_usec);
}

static void on_announce(void *userdata, size_t k) {
        InstanceIo *io = userdata;
        TransportPort *port = io->ipv4 ?: io->ipv6;

        if (port && k < io->n_addresses)
                (void) announce_once(port, sender_mac(io), &address_prefix(io->addresses[k].address)->address);
}

static void on_ask(void *userdata, size_t k) {
        InstanceIo *io = userdata;
        TransportPort *port = io->ipv4 ?: io->ipv6;
        const IpAddress *address;

        if (!port || k >= io->n_addresses)
                return;
        address = &address_prefix(io->addresses[k].address)->address;
        (void) announce_question(port, io->mac, address->family == AF_INET ? &io->source_ipv4 : &io->source_ipv6, address);
}

static void on_conflict(void *userdata, const char *text, const char *mac) {
        instance_set_conflict(((InstanceIo *) userdata)->instance, text, mac);
}

static const ConflictWatchOps conflict_ops = { .announce = on_announce, .ask = on_ask, .changed = on_conflict };

static bool has_source(const InstanceIo *io) {
        return io->source_ipv4.family != AF_UNSPEC || io->source_ipv6.family != AF_UNSPEC;
}

/* The source addresses have not come back. */
static void on_bereft(void *userdata, uint64_t now_usec) {
        InstanceIo *io = userdata;

        io->source_ipv4 = io->source_ipv6 = (IpAddress) { 0 };
        instance_set_link(io->instance, ELECTION_REASON_NO_SOURCE_ADDRESS, &io->source_ipv4, &io->source_ipv6, now_usec);
}

/**
 * instance_io_new() - not bound to any interface yet
 */
InstanceIo *instance_io_new(const InstanceIoShared *shared) {
        InstanceIo *io = g_new0(InstanceIo, 1);

        io->shared = shared;
        alarm_init(&io->timer, shared->alarms, ALARM_LANE_TIMER, on_timer, io);
        alarm_init(&io->bereft, shared->alarms, ALARM_LANE_NEIGHBOUR, on_bereft, io);
        alarm_init(&io->again, shared->alarms, ALARM_LANE_NEIGHBOUR, on_again, io);
        io->conflict = conflict_watch_new(shared->alarms, shared->neighbours, &conflict_ops, io);
        return io;
}

static void free_addresses(HeldAddress *addresses, size_t n) {
        for (size_t k = 0; k < n; k++)
                address_free(addresses[k].address);
        g_free(addresses);
}

static void close_ports(InstanceIo *io) {
        conflict_watch_unbind(io->conflict);
        if (io->ipv4) {
                if (io->group_ipv4.family != AF_UNSPEC)
                        transport_port_leave(io->ipv4, &io->group_ipv4);
                transport_port_unlisten(io->ipv4, io->vhid);
                io->ipv4 = transport_port_release(io->ipv4);
        }
        if (io->ipv6) {
                if (io->joined_ipv6)
                        transport_port_leave(io->ipv6, &carp_group_ipv6);
                transport_port_unlisten(io->ipv6, io->vhid);
                io->ipv6 = transport_port_release(io->ipv6);
        }
        io->group_ipv4 = (IpAddress) { 0 };
        io->joined_ipv6 = false;
}

static void close_device(InstanceIo *io) {
        char more[RATELIMIT_TEXT_BYTES];
        int r;

        if (!io->device)
                return;
        if (io->keep) {
                io->device = macvlan_close(io->device);
                return;
        }
        r = macvlan_remove(g_steal_pointer(&io->device));
        if (r < 0 && may_log(io, &io->link_limit, more))
                log_warning_errno(r, "%s: the device of its virtual MAC could not be removed: %m%s", io->config->name, more);
}

/* ifindex 0: on none */
static int limit_arp(InstanceIo *io, int ifindex) {
        int r = 0;

        if (io->scoped == ifindex)
                return 0;
        if (io->scoped != 0 && !io->keep)
                arp_scope_release(io->shared->arp_scope, io->scoped);
        io->scoped = 0;
        if (ifindex != 0)
                r = arp_scope_acquire(io->shared->arp_scope, ifindex);
        if (r >= 0)
                io->scoped = ifindex;
        return r;
}

static void unbind(InstanceIo *io) {
        alarm_clear(&io->bereft);
        close_ports(io);
        close_device(io);
        (void) limit_arp(io, 0);
        free_addresses(io->addresses, io->n_addresses);
        io->addresses = NULL;
        io->n_addresses = 0;
        io->built_on = 0;
        io->ifindex = 0;
        io->carrier = false;
}

InstanceIo *instance_io_free(InstanceIo *io) {
        if (!io)
                return NULL;
        transport_forget(io->shared->transport, io);
        unbind(io);
        conflict_watch_free(io->conflict);
        g_free(io->diagnoses);
        alarm_clear(&io->again);
        alarm_clear(&io->timer);
        g_free(io);
        return NULL;
}

void instance_io_adopt(InstanceIo *io) {
        io->adopt = true;
}

void instance_io_keep(InstanceIo *io, bool keep) {
        io->keep = keep;
}

void instance_io_attach(InstanceIo *io, Instance *i) {
        io->instance = i;
}

void instance_io_on_again(InstanceIo *io, void (*again)(void *userdata), void *userdata) {
        io->on_again = again;
        io->again_userdata = userdata;
}

void instance_io_observe(InstanceIo *io, void (*diagnosed)(void *userdata, const Diagnosis *d), void *userdata) {
        io->diagnosed = diagnosed;
        io->diagnosed_userdata = userdata;
}

static int open_family(InstanceIo *io, int family, TransportPort **port) {
        const InstanceConfig *c = io->config;
        int r;

        if (!has_family(c, family))
                return 0;
        r = transport_port_acquire(io->shared->transport, io->ifindex, family, port);
        if (r < 0)
                return r;
        r = transport_port_listen(*port, c->carp.vhid, on_receive, on_refused, io);
        if (r < 0) {
                *port = transport_port_release(*port);
                return r;
        }
        io->vhid = c->carp.vhid;
        if (!c->carp.multicast || c->carp.n_peers > 0)
                return 0;
        r = transport_port_join(*port, group_of(c, family));
        if (r < 0)
                return r;
        if (family == AF_INET)
                io->group_ipv4 = *group_of(c, family);
        else
                io->joined_ipv6 = true;
        return 0;
}

/* Makes the set of addresses the configuration's; what stays keeps its state, what goes is dropped if we hold it. */
static int build_addresses(InstanceIo *io) {
        const InstanceConfig *c = io->config;
        HeldAddress *new = g_new0(HeldAddress, c->n_addresses);
        uint32_t lease_sec = instance_config_lease_sec(c);
        int on = io->device ? macvlan_ifindex(io->device) : io->ifindex;
        bool moved = io->built_on != 0 && io->built_on != on;

        for (size_t k = 0; k < c->n_addresses; k++) {
                int r = address_new(&new[k].address, io->shared->addresses, on, &c->addresses[k], lease_sec, io->device ? MACVLAN_METRIC : 0);

                if (r < 0) {
                        free_addresses(new, c->n_addresses);
                        return r;
                }
                address_on_refusal(new[k].address, on_lease_refused, io);
                new[k].held = io->adopt;
        }
        io->adopt = false;
        for (size_t o = 0; o < io->n_addresses; o++) {
                HeldAddress *old = &io->addresses[o];
                const IpPrefix *p = address_prefix(old->address);
                bool stays = false;

                for (size_t k = 0; k < c->n_addresses && !moved; k++)
                        if (p->prefix_length == c->addresses[k].prefix_length &&
                            ip_address_equal(&p->address, &c->addresses[k].address)) {
                                new[k].foreign = old->foreign;
                                new[k].held = old->held;
                                new[k].seen = old->seen;
                                new[k].told = old->told;
                                stays = true;
                        }
                if (!stays && old->held && !old->foreign)
                        (void) address_drop(old->address);
        }
        if (io->device)
                macvlan_expect(io->device, c->addresses, c->n_addresses);
        free_addresses(io->addresses, io->n_addresses);
        io->addresses = new;
        io->n_addresses = c->n_addresses;
        io->built_on = on;
        return 0;
}

/* A macvlan on a macvlan is, to the kernel, one on what that is on. */
static int below(const Link *link) {
        return link->macvlan && link->lower_ifindex != 0 ? link->lower_ifindex : link->ifindex;
}

/* -ENODEV: it could not be, and that has been told if it is worth it. */
static int make_device(InstanceIo *io, const Link *link, const Link *existing, Macvlan **ret) {
        const InstanceConfig *c = io->config;
        char name[IF_NAMESIZE], more[RATELIMIT_TEXT_BYTES];
        MacvlanSpec spec = {
                .name = instance_config_device(c, name),
                .owner = c->name,
                .lower_ifindex = below(link),
                .mac = { 0x00, 0x00, 0x5e, 0x00, 0x01, c->carp.vhid },
        };
        int r = macvlan_open(ret, io->shared->macvlans, &spec, existing, io->adopt);

        /* it goes when the interface does, and is asked for again when that has been told */
        if (r < 0 && r != -ENODEV && may_log(io, &io->link_limit, more)) {
                if (r == -EEXIST)
                        log_error("%s: there is an interface %s that is not ours; it is left as it is, and the virtual MAC has none%s", c->name, name, more);
                else
                        log_error_errno(r, "%s: %s, the device of its virtual MAC, cannot be made on %s: %m%s", c->name, name, link->name, more);
        }
        if (r >= 0 && macvlan_accepts_routers(*ret) && may_log(io, &io->link_limit, more))
                log_warning("%s: the kernel listens to IPv6 routers on %s, and will give it an address and a route of its own: "
                            "/proc/sys/net/ipv6/conf/%s/accept_ra cannot be written; set net.ipv6.conf.default.accept_ra=0%s",
                            c->name, name, name, more);
        return r < 0 ? -ENODEV : 0;
}

/* What bears the addresses, as the configuration has it; what bore them is given back for the time when they have moved. */
static int open_device(InstanceIo *io, const Link *link, const Link *existing, Macvlan **ret_old) {
        bool wanted = io->config->virtual_mac;
        int r;

        r = limit_arp(io, wanted && has_family(io->config, AF_INET) ? link->ifindex : 0);
        if (r < 0 || (wanted && io->device))
                return r;
        *ret_old = g_steal_pointer(&io->device);
        return wanted ? make_device(io, link, existing, &io->device) : 0;
}

/* Without it the election is the same. Who goes on after a restart, or is late to listen, has the addresses already. */
static void watch_neighbours(InstanceIo *io, const Link *link, uint64_t now_usec) {
        int r = conflict_watch_bind(io->conflict, io->ifindex, io->config);
        char more[RATELIMIT_TEXT_BYTES];

        io->unwatched = r < 0;
        if (r >= 0) {
                if (instance_holds(io->instance))
                        conflict_watch_on_hold(io->conflict, now_usec);
                return;
        }
        if (may_log(io, &io->link_limit, more))
                log_warning_errno(r, "%s: nobody will notice another host on %s that has an address of ours: %m%s", io->config->name,
                                  link->name, more);
        try_again(io);
}

static int bind_link(InstanceIo *io, const Link *link, const Link *existing) {
        g_autoptr(Macvlan) old = NULL;
        int r;

        io->ifindex = link->ifindex;
        if (io->diagnoses)
                diagnosis_history_forget(io->diagnoses);
        r = open_family(io, AF_INET, &io->ipv4);
        if (r >= 0)
                r = open_family(io, AF_INET6, &io->ipv6);
        if (r >= 0)
                r = open_device(io, link, existing, &old);
        if (r >= 0)
                r = build_addresses(io);
        if (old)
                (void) macvlan_delete(io->shared->macvlans, macvlan_ifindex(old));
        if (r < 0) {
                unbind(io);
                return r;
        }
        io->unwatched = true;
        return 0;
}

static void choose_source(const InstanceConfig *c, const Link *link, int family, const IpAddress *wish, IpAddress *ret) {
        *ret = (IpAddress) { 0 };
        if (!has_family(c, family))
                return;
        if (wish->family != AF_UNSPEC)
                *ret = *wish;
        else
                (void) link_choose_source(link, family, c->addresses, c->n_addresses, ret);
}

/* Whose are the addresses that the kernel shows? Somebody's permanent ones are left alone, whoever is master. Ours, left by a process that
 * is gone, are dropped while we are not. Ours that vanished are missing, and those that somebody had and gave up. */
static bool look_at_addresses(InstanceIo *io, const Link *link) {
        char more[RATELIMIT_TEXT_BYTES];
        bool missing = false;

        for (size_t k = 0; k < io->n_addresses; k++) {
                HeldAddress *h = &io->addresses[k];
                const LinkAddress *a = link_find_address(link, address_prefix(h->address));
                bool handed_over = h->foreign && !a;

                /* what we hold under a lease is never permanent, unless somebody else made it so */
                h->foreign = a && a->permanent && a->protocol != ADDRESS_PROTOCOL &&
                             (!h->held || instance_config_lease_sec(io->config) > 0);
                if (h->foreign && !h->told && may_log(io, &io->foreign_limit, more)) {
                        char text[IP_PREFIX_TEXT_BYTES];

                        (void) ip_prefix_format(address_prefix(h->address), text);
                        log_warning("%s: %s is configured on %s by somebody else; it is left as it is, also when we are not master. "
                                    "\"ip address del %s dev %s\" hands it over, once nothing configures it any more%s",
                                    io->config->name, text, link->name, text, link->name, more);
                }
                h->told = h->foreign;
                if (h->foreign)
                        continue;
                if (a && !h->held && a->protocol == ADDRESS_PROTOCOL && address_drop(h->address) < 0)
                        try_again(io);
                missing = missing || handed_over || (h->held && h->seen && !a);
                h->seen = h->held && a;
        }
        return missing;
}

static ElectionReason judge(InstanceIo *io, const Link *link, uint64_t now_usec) {
        const InstanceConfig *c = io->config;
        IpAddress ipv4 = io->source_ipv4, ipv6 = io->source_ipv6;
        bool had_source = has_source(io);
        uint64_t bereft_usec = alarm_is_set(&io->bereft) ? io->bereft.usec : now_usec + BEREFT_USEC;

        alarm_clear(&io->bereft);
        io->source_ipv4 = io->source_ipv6 = (IpAddress) { 0 };
        if (!link->up || !(link->carrier || c->ignore_carrier))
                return ELECTION_REASON_LINK_DOWN;
        choose_source(c, link, AF_INET, &c->carp.source_ipv4, &io->source_ipv4);
        choose_source(c, link, AF_INET6, &c->carp.source_ipv6, &io->source_ipv6);
        if (has_source(io))
                return ELECTION_REASON_LINK_UP;
        if (!had_source)
                return ELECTION_REASON_NO_SOURCE_ADDRESS;
        /* A network manager that configures the interface anew takes every address away for a moment. Adverts leave all the same, as they are
         * whole frames, so the peers need not notice. */
        io->source_ipv4 = ipv4;
        io->source_ipv6 = ipv6;
        alarm_set(&io->bereft, bereft_usec, bereft_usec);
        return ELECTION_REASON_LINK_UP;
}

static void gone(InstanceIo *io, uint64_t now_usec) {
        io->source_ipv4 = io->source_ipv6 = (IpAddress) { 0 };
        instance_set_link(io->instance, ELECTION_REASON_INTERFACE_MISSING, &io->source_ipv4, &io->source_ipv6, now_usec);
        unbind(io);
}

/**
 * instance_io_update() - the link or the configuration changed
 * @link: as the kernel has it now; NULL: there is no such interface
 * @device: likewise, that of instance_config_device()
 * @changes: LinkChange mask; 0 when the configuration is what changed
 */
void instance_io_update(InstanceIo *io, const InstanceConfig *config, const Link *link, const Link *device, unsigned changes, uint64_t now_usec) {
        bool reconfigured = io->config && changes == 0, carrier_back, mac_changed;
        char more[RATELIMIT_TEXT_BYTES];
        const Link *bearer;
        ElectionReason reason;
        int r;

        io->config = config;
        if (!link || (changes & LINK_CHANGE_GONE) || !link->ethernet) {
                if (link && !link->ethernet && !(changes & LINK_CHANGE_GONE) && may_log(io, &io->link_limit, more))
                        log_error("%s: %s is not an Ethernet interface; CARP needs one%s", config->name, link->name, more);
                gone(io, now_usec);
                return;
        }
        if (io->ifindex != 0 && io->ifindex != link->ifindex)
                gone(io, now_usec);
        mac_changed = io->ifindex != 0 && memcmp(io->mac, link->mac, MAC_BYTES) != 0;
        memcpy(io->mac, link->mac, MAC_BYTES);
        r = 0;
        if (io->ifindex == 0)
                r = bind_link(io, link, device);
        else if (reconfigured) {
                close_ports(io);
                r = bind_link(io, link, device);
        }
        if (r < 0) {
                if (r != -ENODEV && may_log(io, &io->link_limit, more))
                        log_error_errno(r, "%s: %s cannot be used: %m%s", config->name, link->name, more);
                gone(io, now_usec);
                try_again(io);
                return;
        }
        if (io->unwatched)
                watch_neighbours(io, link, now_usec);
        carrier_back = link->carrier && !io->carrier;
        io->carrier = link->carrier;
        if (carrier_back && io->ipv4)
                transport_port_rejoin(io->ipv4);
        if (carrier_back && io->ipv6)
                transport_port_rejoin(io->ipv6);

        reason = judge(io, link, now_usec);
        instance_set_link(io->instance, reason, &io->source_ipv4, &io->source_ipv6, now_usec);
        bearer = !io->device ? link : device && device->ifindex == macvlan_ifindex(io->device) ? device : NULL;
        if (bearer && look_at_addresses(io, bearer))
                instance_on_address_missing(io->instance, now_usec);
        if (carrier_back || mac_changed)
                instance_on_carrier_back(io->instance, now_usec);
}

/* Somebody removed or renamed it: another is made in its place. */
static void replace_device(InstanceIo *io, uint64_t now_usec) {
        Link link = { .ifindex = io->ifindex };
        int r;

        g_strlcpy(link.name, io->config->interface, sizeof(link.name));
        close_device(io);
        r = make_device(io, &link, NULL, &io->device);
        if (r >= 0)
                r = build_addresses(io);
        if (r < 0) {
                gone(io, now_usec);
                try_again(io);
                return;
        }
        instance_on_address_missing(io->instance, now_usec);
}

bool instance_io_update_device(InstanceIo *io, const Link *device, unsigned changes, uint64_t now_usec) {
        bool lost;

        if (!io->device || device->ifindex != macvlan_ifindex(io->device))
                return false;
        if (changes & LINK_CHANGE_GONE) {
                replace_device(io, now_usec);
                return true;
        }
        lost = macvlan_observe(io->device, device);
        lost = look_at_addresses(io, device) || lost;
        /* of a device that is removed the addresses are told first; its own end follows */
        if (lost && macvlan_exists(io->device))
                instance_on_address_missing(io->instance, now_usec);
        return true;
}

void instance_io_rejected(const InstanceIo *io, uint64_t ret[N_CARP_VERDICTS]) {
        const TransportPort *ports[] = { io->ipv4, io->ipv6 };

        for (size_t v = 0; v < N_CARP_VERDICTS; v++)
                ret[v] = 0;
        for (size_t p = 0; p < G_N_ELEMENTS(ports); p++)
                for (size_t v = 0; ports[p] && v < N_CARP_VERDICTS; v++)
                        ret[v] += transport_port_rejected(ports[p])[v];
}

const Conflict *instance_io_conflict(const InstanceIo *io) {
        return conflict_watch_state(io->conflict);
}

const uint64_t *instance_io_diagnosed(const InstanceIo *io) {
        static const uint64_t none[N_DIAGNOSIS_CAUSES];

        return io->diagnoses ? io->diagnoses->n_found : none;
}
