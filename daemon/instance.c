/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "core/skew.h"
#include "proto/carp-hmac.h"

/* One election with its addresses. The only place that knows in which order effects happen: on becoming master hold, advert, announce; on
 * leaving release, then the last advert or bow-out. Knows no socket, loop or bus: InstanceOps carries out, an observer is told. Time comes in
 * as an argument and one deadline goes out. The manager calls it in the daemon, the simulator in the tests. */

/* An address that somebody else removes is put back at once; whoever fights us for it more often than this in a second wins. */
#define RESTORES_PER_SEC 20
#define USEC_PER_SEC UINT64_C(1000000)
/* So many adverts in a row that could not be sent demote us, and so many that could, end it (ip_carp.c, CARP_SENDAD_MAX_ERRORS and
 * CARP_SENDAD_MIN_SUCCESS; by FreeBSD's net.inet.carp.senderr_demotion_factor). */
#define SENDS_IN_A_ROW 3
#define SEND_DEMOTION 240
/* Who yields to us may have announced himself after we did. So long after each advert of his, the last of which is his farewell, caches that
 * believed him are corrected. */
#define CONTESTED_USEC UINT64_C(1000)
/* The kernel may end a lease some 20 ms early (net/ipv4/devinet.c, ADDRCONF_TIMER_FUZZ_MINUS), and a timer may be late. */
#define RENEW_MARGIN_USEC UINT64_C(200000)
/* So much of an interval an advert may be early. Peers count from the last one they heard, so that early is never late; and what they compare is what
 * it says. */
#define EARLY_RATIO 64

struct Instance {
        InstanceConfig *config;
        const InstanceOps *ops;
        void *ops_userdata;
        InstanceObserver observer;

        Election election;
        Replay replay;
        ReplayState *replay_state; /* of strict mode; NULL: this life never was. It is kept when the mode goes: nothing is forgotten */
        CarpHmac *hmac;            /* what we send and accept */
        CarpHmac *hmac_link_local; /* also accepted: FreeBSD hashes fe80:: addresses too; NULL if we have none */
        CarpAdvert next;           /* sealed beforehand, so that a takeover computes nothing; the digest is IPv4's */
        uint8_t next_ipv6_digest[CARP_DIGEST_BYTES];

        IpAddress ipv4, ipv6; /* our sources */
        IpAddress master;
        Peers peers;
        char *problem; /* NULL: none */
        char *conflict, *conflict_mac; /* NULL: there was never one */

        bool units_pending;     /* master, but the units must be up before the addresses are held */
        bool leaving;           /* master, but `farewell` is to follow as soon as the units are down */
        bool units_down;        /* leaving: ours are; those of others in the group may not be */
        ElectionEvent farewell;
        GPtrArray *unit_failures; /* InstanceUnitFailure */
        GPtrArray *checks;        /* InstanceCheck */
        unsigned n_sends;         /* in a row that contradict send_demoted */
        bool send_demoted;
        bool bow_out_waits; /* what waits to be sent is one */

        const InstanceGroup *group; /* NULL: of none */
        void *group_userdata;
        bool group_waits;
        bool prepared; /* backup, but the addresses are held for the takeover that is under way */
        uint32_t own_demotion, group_demotion;
        char sync_cause[CONFIG_NAME_BYTES_MAX + 1];
        ElectionReason sync_cause_reason;

        uint64_t takeover_usec; /* when what made us master was heard, as long as we do not act as one; UINT64_MAX: no takeover is under way */
        uint64_t renew_usec; /* master: the lease; UINT64_MAX: none */
        uint32_t n_announce; /* rounds left in this burst */
        uint64_t announce_usec;
        uint64_t restore_begin_usec;
        unsigned n_restored;

        uint64_t changed_usec, changed_realtime_usec;
        uint64_t digest_mismatch_realtime_usec;
        InstanceStatistics statistics;
};

static ElectionAddress election_address(const IpAddress *a) {
        ElectionAddress r = { 0 };

        if (a->family == AF_UNSPEC)
                return r;
        r.n_bytes = (uint8_t) ip_address_n_bytes(a);
        memcpy(r.bytes, a->bytes, r.n_bytes);
        return r;
}

static ElectionConfig election_config(const InstanceConfig *c) {
        return (ElectionConfig) {
                .advbase = c->carp.advbase,
                .advskew = c->carp.advskew,
                .dead_ratio = c->carp.dead_ratio,
                .preempt = c->carp.preempt,
                .preempt_delay_usec = c->carp.preempt_delay_usec,
                .demotion_byte = c->carp.demotion_byte,
                .start_delay_usec = c->start_delay_usec,
        };
}

/* Room for what 32 peers said, of which nobody knows anything who was never strict. */
static ReplayState *replay_state(Instance *i) {
        if (!i->replay_state)
                i->replay_state = g_new0(ReplayState, 1);
        return i->replay_state;
}

/* Computes counter and digests of the advert that will be sent next with this header. Only strict mode ties them to the header, and to the
 * source, by which the two families differ. */
static void seal(Instance *i, uint8_t advbase, uint8_t advskew, uint8_t demotion) {
        bool strict = i->config->carp.strict_replay;

        i->next = (CarpAdvert) { .vhid = i->config->carp.vhid, .advbase = advbase, .advskew = advskew, .demotion = demotion };
        i->next.counter = replay_next(&i->replay, (ReplayHeader) { .advbase = advbase, .advskew = advskew, .demotion = demotion });
        carp_hmac_digest_from(i->hmac, i->next.counter, strict ? &i->ipv4 : NULL, i->next.digest);
        if (strict)
                carp_hmac_digest_from(i->hmac, i->next.counter, &i->ipv6, i->next_ipv6_digest);
        else
                memcpy(i->next_ipv6_digest, i->next.digest, CARP_DIGEST_BYTES);
}

static void make_hmac(Instance *i) {
        const InstanceConfig *c = i->config;
        g_autofree IpAddress *addresses = g_new0(IpAddress, c->n_addresses);
        bool link_local = false;
        CarpHmacInput input = {
                .key = c->carp.key,
                .n_key_bytes = c->carp.n_key_bytes,
                .vhid = c->carp.vhid,
                .addresses = addresses,
                .n_addresses = instance_config_n_signed(c),
        };

        for (size_t k = 0; k < input.n_addresses; k++) {
                addresses[k] = c->addresses[k].address;
                link_local = link_local || (addresses[k].family == AF_INET6 && ip_address_is_link_local(&addresses[k]));
        }
        carp_hmac_free(i->hmac);
        i->hmac = carp_hmac_new(&input);
        i->hmac_link_local = carp_hmac_free(i->hmac_link_local);
        input.with_link_local = true;
        if (link_local)
                i->hmac_link_local = carp_hmac_new(&input);
}

static uint64_t deadline(const Instance *i) {
        uint64_t t = election_deadline_usec(&i->election);

        if (i->election.state != ELECTION_STATE_MASTER)
                return t;
        if (i->renew_usec < t)
                t = i->renew_usec;
        return i->announce_usec < t ? i->announce_usec : t;
}

/* Is it we who have the addresses now? */
bool instance_holds(const Instance *i) {
        return i->election.state == ELECTION_STATE_MASTER && !i->units_pending;
}

/* The next advert may leave a little early, when another instance's does: so those of many find together, and stay together. Nothing else may,
 * and it is never late for it. */
static uint64_t early_usec(const Instance *i) {
        return i->election.state == ELECTION_STATE_MASTER ? election_interval_usec(&i->election) / EARLY_RATIO : 0;
}

static void arm(Instance *i) {
        uint64_t t = deadline(i), advert_usec = election_deadline_usec(&i->election);

        i->ops->arm(i->ops_userdata, t, advert_usec == ELECTION_NEVER ? t : MIN(t, advert_usec - early_usec(i)));
}

static void notice(Instance *i, InstanceNotice what, int error) {
        if (i->observer.noticed)
                i->observer.noticed(i->observer.userdata, i, what, error);
}

/* Adverts renew the lease, see instance_on_timer(); this is for those that come too slowly. As late as is safe: a lease renewed between two adverts
 * ends that much later than the peers' patience, should we freeze now. */
static uint64_t renew_due_usec(const Instance *i, uint64_t now_usec) {
        uint64_t lease_usec = instance_config_lease_sec(i->config) * USEC_PER_SEC;

        return lease_usec > 0 ? now_usec + lease_usec - RENEW_MARGIN_USEC : UINT64_MAX;
}

static int hold(Instance *i, uint64_t now_usec) {
        int r = i->ops->hold(i->ops_userdata);

        i->renew_usec = renew_due_usec(i, now_usec);
        if (r < 0) {
                i->statistics.hold_errors++;
                notice(i, INSTANCE_NOTICE_ADDRESS_NOT_HELD, r);
        }
        return r;
}

static int renew(Instance *i, uint64_t now_usec) {
        i->statistics.lease_renewals++;
        i->renew_usec = renew_due_usec(i, now_usec);
        return i->ops->renew(i->ops_userdata, i->election.next_advert_usec);
}

static void announce_round(Instance *i, uint64_t now_usec) {
        const AnnounceConfig *a = &i->config->announce;

        i->ops->announce(i->ops_userdata, i->election.next_advert_usec);
        i->statistics.announcements++;
        if (i->n_announce > 0)
                i->n_announce--;
        if (i->n_announce > 0)
                i->announce_usec = now_usec + a->interval_usec;
        else
                i->announce_usec = a->refresh_usec == CONFIG_USEC_UNSET ? UINT64_MAX : now_usec + a->refresh_usec;
}

/* Address, advert and announcement are the kernel's: counts how long that took since the pass of the loop began in which the deadline, the
 * advert or the verb came that decided it. */
static void finish_takeover(Instance *i) {
        uint64_t usec;

        if (i->takeover_usec == UINT64_MAX)
                return;
        usec = i->ops->now(i->ops_userdata);
        latency_add(&i->statistics.takeovers, usec > i->takeover_usec ? usec - i->takeover_usec : 0);
        i->takeover_usec = UINT64_MAX;
}

static void announce_burst(Instance *i, uint64_t now_usec) {
        i->n_announce = i->config->announce.count;
        announce_round(i, now_usec);
        /* by which every takeover ends */
        finish_takeover(i);
}

/* Soon, not at once: his announcement follows his advert, and however many adverts call for it, rounds keep that distance. */
static void announce_again(Instance *i, uint64_t now_usec) {
        i->n_announce = i->config->announce.count;
        i->announce_usec = MIN(i->announce_usec, now_usec + CONTESTED_USEC);
}

static void note_sent(Instance *i, bool leaving, int error, uint64_t now_usec) {
        ElectionUpdate ignored;

        i->n_sends = (error < 0) != i->send_demoted ? i->n_sends + 1 : 0;
        if (error < 0) {
                i->statistics.send_errors++;
                notice(i, INSTANCE_NOTICE_SEND_FAILED, error);
        } else if (leaving)
                i->statistics.bow_outs_sent++;
        else
                i->statistics.adverts_sent++;
        election_step(&i->election,
                      &(ElectionEvent) { .type = ELECTION_EVENT_SENT, .u.sent = error >= 0 },
                      now_usec,
                      &ignored);
}

/* Return: 0, -EINPROGRESS or what it failed with. */
static int send_advert(Instance *i, const ElectionUpdate *u, bool at_once, uint64_t now_usec) {
        bool leaving = u->send == ELECTION_SEND_BOW_OUT;
        uint8_t advbase = leaving ? 255 : u->advbase, advskew = leaving ? 255 : u->advskew;
        uint8_t ipv4[CARP_PAYLOAD_BYTES], ipv6[CARP_PAYLOAD_BYTES];
        CarpAdvert by_ipv6;
        int r;

        if (i->config->carp.strict_replay &&
            (i->next.advbase != advbase || i->next.advskew != advskew || i->next.demotion != u->demotion))
                seal(i, advbase, advskew, u->demotion);
        i->next.advbase = advbase;
        i->next.advskew = advskew;
        i->next.demotion = u->demotion;
        carp_encode(&i->next, ipv4);
        by_ipv6 = i->next;
        memcpy(by_ipv6.digest, i->next_ipv6_digest, CARP_DIGEST_BYTES);
        carp_encode(&by_ipv6, ipv6);
        r = i->ops->send(i->ops_userdata, ipv4, ipv6, leaving ? UINT64_MAX : i->election.next_advert_usec, at_once);
        if (r != -EINPROGRESS)
                note_sent(i, leaving, r, now_usec);
        else
                i->bow_out_waits = leaving;
        return r;
}

static const IpAddress *own_source(const Instance *i) {
        return i->ipv4.family != AF_UNSPEC ? &i->ipv4 : &i->ipv6;
}

static unsigned set_master(Instance *i, const IpAddress *master) {
        if (ip_address_equal(&i->master, master))
                return 0;
        i->master = *master;
        return INSTANCE_CHANGE_MASTER;
}

static void notify(Instance *i, unsigned changes, const InstanceTransition *transition) {
        if ((changes != 0 || transition) && i->observer.changed)
                i->observer.changed(i->observer.userdata, i, changes, transition);
}

static void step(Instance *i, const ElectionEvent *event, const IpAddress *master, uint64_t now_usec);

/* A check's own part in the configuration, or NULL. */
static const CheckConfig *find_check_config(const Instance *i, const char *name) {
        for (guint k = 0; k < i->config->checks->len; k++) {
                const CheckConfig *c = g_ptr_array_index(i->config->checks, k);

                if (g_str_equal(c->name, name))
                        return c;
        }
        return NULL;
}

static void apply_demotion(Instance *i, uint64_t now_usec) {
        uint32_t demotion = MAX(i->own_demotion, i->group_demotion);

        if (demotion == i->election.demotion)
                return;
        step(i, &(ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = demotion }, NULL, now_usec);
        notify(i, INSTANCE_CHANGE_DEMOTION, NULL);
}

static void set_own_demotion(Instance *i, uint32_t demotion, uint64_t now_usec) {
        i->own_demotion = demotion;
        /* a group that is as demoted as we were may not be any more */
        if (i->group)
                i->group->stepped(i->group_userdata, i, now_usec);
        apply_demotion(i, now_usec);
}

static void update_health(Instance *i, uint64_t now_usec);

/* What failing checks and failing adverts add up to. */
static void update_demotion(Instance *i, uint64_t now_usec) {
        uint32_t demotion = i->send_demoted ? SEND_DEMOTION : 0;

        for (guint k = 0; k < i->checks->len; k++) {
                const InstanceCheck *check = g_ptr_array_index(i->checks, k);
                const CheckConfig *c = find_check_config(i, check->name);

                if (c && check->failed && !c->release)
                        demotion += c->weight;
        }
        if (demotion != i->own_demotion)
                set_own_demotion(i, demotion, now_usec);
}

/* Carries out an update: the order of effects is the protocol. master: who is known to be master after it if we are not. */
static void carry_out(Instance *i, const ElectionUpdate *u, const IpAddress *master, uint64_t now_usec) {
        InstanceTransition transition = { .from = u->from, .to = u->to, .reason = u->reason };
        bool preempts = u->changed && u->to == ELECTION_STATE_MASTER && u->reason == ELECTION_REASON_PREEMPTING;
        bool lost = false, untold = false, left_early = false;
        unsigned changes = 0;

        if (u->changed && u->from == ELECTION_STATE_MASTER) {
                /* before the last advert: never two holders (invariant 1) */
                i->ops->release(i->ops_userdata);
                i->n_announce = 0;
                i->renew_usec = i->announce_usec = i->takeover_usec = UINT64_MAX;
                left_early = i->leaving;
                i->units_pending = i->leaving = false;
        }
        if (u->changed && u->to == ELECTION_STATE_MASTER) {
                i->takeover_usec = now_usec;
                i->units_pending = i->config->takeover.units_before_address;
                lost = !i->units_pending && !i->prepared && hold(i, now_usec) < 0;
                i->prepared = false;
        }
        if (u->send != ELECTION_SEND_NONE && !lost) {
                int r = send_advert(i, u, preempts, now_usec);

                /* neighbours must not learn of a takeover that its master does not; one that was only too late or too many comes again */
                untold = preempts && r < 0 && r != -ETIME && r != -EAGAIN;
        }
        if (u->announce && !lost && !untold && !i->units_pending)
                announce_burst(i, now_usec);
        if (u->contested)
                announce_again(i, now_usec);
        /* the next advert is made when nobody waits for it */
        if (u->send != ELECTION_SEND_NONE && !lost)
                seal(i, i->config->carp.advbase, election_advskew(&i->election), election_demotion(&i->election));

        if (u->changed) {
                i->statistics.transitions++;
                i->statistics.transitions_by[u->reason]++;
                if (u->reason == ELECTION_REASON_STALLED)
                        i->statistics.stalls++;
                i->changed_usec = now_usec;
                i->changed_realtime_usec = (uint64_t) g_get_real_time();
                changes |= INSTANCE_CHANGE_STATE;
                /* another role, other units */
                if (i->unit_failures->len > 0)
                        changes |= INSTANCE_CHANGE_UNITS;
                g_ptr_array_set_size(i->unit_failures, 0);
        }
        if (i->election.state == ELECTION_STATE_MASTER)
                changes |= set_master(i, own_source(i));
        else if (master)
                changes |= set_master(i, master);
        else if (u->changed)
                changes |= set_master(i, &(IpAddress) { 0 });
        notify(i, changes, u->changed ? &transition : NULL);

        if (lost || untold) {
                ElectionUpdate next;

                election_step(&i->election,
                              &(ElectionEvent) { .type = lost ? ELECTION_EVENT_ADDRESS_LOST : ELECTION_EVENT_UNTOLD,
                                                 .u.hold_usec = i->config->takeover.demote_hold_usec },
                              now_usec,
                              &next);
                /* whom we meant to replace is master still, and a bow-out would call every backup against him */
                if (preempts || u->reason == ELECTION_REASON_PROMOTED)
                        next.send = ELECTION_SEND_NONE;
                carry_out(i, &next, NULL, now_usec);
        }
        /* who was outdone while the units stopped has still been told to leave */
        if (u->changed && u->from == ELECTION_STATE_MASTER) {
                /* a backup sends nothing by which it could show that it can again */
                i->n_sends = 0;
                i->send_demoted = false;
                update_demotion(i, now_usec);
        }
        if (left_early) {
                step(i, &i->farewell, NULL, now_usec);
                update_health(i, now_usec);
        }
}

static void step(Instance *i, const ElectionEvent *event, const IpAddress *master, uint64_t now_usec) {
        ElectionUpdate update;

        election_step(&i->election, event, now_usec, &update);
        carry_out(i, &update, master, now_usec);
        arm(i);
        if (i->group)
                i->group->stepped(i->group_userdata, i, now_usec);
}

static void unit_failure_free(void *data) {
        InstanceUnitFailure *f = data;

        g_free(f->unit);
        g_free(f->result);
        g_free(f);
}

static void check_free(void *data) {
        InstanceCheck *c = data;

        g_free(c->name);
        g_free(c->output);
        g_free(c);
}

/**
 * instance_new() - one instance, in init until instance_set_link() says that its link is usable
 */
Instance *instance_new(InstanceConfig *config, const InstanceOps *ops, void *ops_userdata, const InstanceObserver *observer,
                       uint64_t seed) {
        Instance *i = g_new0(Instance, 1);
        ElectionConfig c = election_config(config);
        ElectionUpdate ignored;

        i->config = config;
        i->ops = ops;
        i->ops_userdata = ops_userdata;
        if (observer)
                i->observer = *observer;
        i->unit_failures = g_ptr_array_new_with_free_func(unit_failure_free);
        i->checks = g_ptr_array_new_with_free_func(check_free);
        i->renew_usec = i->announce_usec = i->takeover_usec = UINT64_MAX;
        make_hmac(i);
        replay_init(&i->replay, config->carp.strict_replay ? replay_state(i) : NULL, seed);
        election_init(&i->election, &c, seed);
        i->election.reason = ELECTION_REASON_INTERFACE_MISSING;
        if (!config->enabled)
                election_step(&i->election,
                              &(ElectionEvent) { .type = ELECTION_EVENT_BAR, .u.bar.reason = ELECTION_REASON_DISABLED },
                              0,
                              &ignored);
        seal(i, config->carp.advbase, config->carp.advskew, 0);
        return i;
}

Instance *instance_free(Instance *i) {
        if (!i)
                return NULL;
        carp_hmac_free(i->hmac);
        carp_hmac_free(i->hmac_link_local);
        instance_config_free(i->config);
        g_ptr_array_unref(i->unit_failures);
        g_ptr_array_unref(i->checks);
        g_free(i->replay_state);
        g_free(i->problem);
        g_free(i->conflict);
        g_free(i->conflict_mac);
        g_free(i);
        return NULL;
}

void instance_prepare_handover(Instance *i, uint64_t now_usec) {
        /* the next process would wait for units that this one has been told to stop */
        if (i->leaving)
                instance_depart(i, now_usec);
        /* a restart takes longer than such peers wait: they would take over while we still hold */
        if (i->config->carp.advbase == 0) {
                instance_stop(i, ELECTION_REASON_SHUTDOWN, false, now_usec);
                return;
        }
        step(i, &(ElectionEvent) { .type = ELECTION_EVENT_READVERTISE }, NULL, now_usec);
        if (instance_holds(i))
                (void) hold(i, now_usec);
}

void instance_remember(const Instance *i, InstanceMemory *ret) {
        *ret = (InstanceMemory) {
                .holds = instance_holds(i),
                .master = i->master,
                .peers = i->peers,
                .changed_usec = i->changed_usec,
                .changed_realtime_usec = i->changed_realtime_usec,
                .announce_usec = i->announce_usec,
                .n_announce = i->n_announce,
        };
        election_remember(&i->election, &ret->election);
}

void instance_resume(Instance *i, const InstanceMemory *memory, uint64_t now_usec) {
        uint64_t refresh_usec = i->config->announce.refresh_usec;

        election_resume(&i->election, &memory->election, now_usec);
        i->units_pending = memory->election.state == ELECTION_STATE_MASTER && !memory->holds &&
                           i->config->takeover.units_before_address;
        i->master = memory->master;
        i->peers = memory->peers;
        i->changed_usec = memory->changed_usec;
        i->changed_realtime_usec = memory->changed_realtime_usec;
        if (!instance_holds(i))
                return;
        i->renew_usec = 0; /* at once */
        /* Refresh= may be new */
        i->announce_usec = MIN(memory->announce_usec,
                               refresh_usec == CONFIG_USEC_UNSET ? UINT64_MAX : memory->election.attempted_usec + refresh_usec);
        i->n_announce = MIN(memory->n_announce, i->config->announce.count);
}

void instance_replay_export(const Instance *i, ReplayState *ret) {
        *ret = i->replay_state ? *i->replay_state : (ReplayState) { 0 };
}

void instance_replay_import(Instance *i, const ReplayState *state) {
        replay_import(replay_state(i), state);
        if (i->config->carp.strict_replay)
                seal(i, i->next.advbase, i->next.advskew, i->next.demotion);
}

/**
 * instance_set_link() - what the interface is good for now
 * @reason: LINK_UP: usable, with at least one source address; else why not
 */
void instance_set_link(Instance *i, ElectionReason reason, const IpAddress *ipv4, const IpAddress *ipv6, uint64_t now_usec) {
        static const ElectionReason bars[] = {
                ELECTION_REASON_LINK_DOWN,
                ELECTION_REASON_INTERFACE_MISSING,
                ELECTION_REASON_NO_SOURCE_ADDRESS,
        };
        ElectionEvent source = { .type = ELECTION_EVENT_SOURCE,
                                 .u.source = { .ipv4 = election_address(ipv4), .ipv6 = election_address(ipv6) } };
        ElectionReason before = i->election.reason;

        /* the new bar first, so that changing from one to another is not a moment of freedom */
        if (reason != ELECTION_REASON_LINK_UP && !election_is_barred(&i->election, reason))
                step(i, &(ElectionEvent) { .type = ELECTION_EVENT_BAR, .u.bar.reason = reason }, NULL, now_usec);
        i->ipv4 = *ipv4;
        i->ipv6 = *ipv6;
        if (i->config->carp.strict_replay)
                seal(i, i->next.advbase, i->next.advskew, i->next.demotion);
        step(i, &source, NULL, now_usec);
        for (size_t k = 0; k < G_N_ELEMENTS(bars); k++)
                if (bars[k] != reason && election_is_barred(&i->election, bars[k]))
                        step(i,
                             &(ElectionEvent) { .type = ELECTION_EVENT_UNBAR, .u.bar.reason = bars[k] },
                             NULL,
                             now_usec);
        if (i->election.state == ELECTION_STATE_INIT && i->election.reason != before)
                notify(i, INSTANCE_CHANGE_STATE, NULL);
        update_health(i, now_usec);
}

/* Was the master we know heard by IPv4 within its last two adverts? */
static bool hears_master_by_ipv4(const Instance *i, uint64_t now_usec) {
        const Peer *p = i->master.family == AF_INET ? peers_find(&i->peers, &i->master) : NULL;

        return p && now_usec - p->heard_usec < 2 * skew_interval_usec(p->advbase, p->advskew);
}

/**
 * instance_on_advert() - an advert that passed every check a stranger could make
 *
 * Returns what became of it: hmac, loop and replay are decided here, and counted.
 */
CarpVerdict instance_on_advert(Instance *i, const IpAddress *source, const CarpAdvert *advert, uint64_t now_usec) {
        static const IpAddress nobody;
        ReplayHeader header = { .advbase = advert->advbase, .advskew = advert->advskew, .demotion = advert->demotion };
        ElectionEvent event = { .type = ELECTION_EVENT_ADVERT,
                                .u.advert = { .advbase = advert->advbase,
                                              .demotion = advert->demotion,
                                              .advskew = advert->advskew,
                                              .source = election_address(source) } };
        bool own = ip_address_equal(source, &i->ipv4) || ip_address_equal(source, &i->ipv6);
        bool leaving = advert->advbase == 255 && advert->advskew == 255, reigns;
        CarpVerdict verdict = CARP_VERDICT_OK;
        const IpAddress *master = NULL, *bound = i->config->carp.strict_replay ? source : NULL;

        if (!carp_hmac_verify_from(i->hmac, advert->counter, bound, advert->digest) &&
            !(i->hmac_link_local && carp_hmac_verify_from(i->hmac_link_local, advert->counter, bound, advert->digest)))
                verdict = CARP_VERDICT_HMAC;
        else
                switch (replay_accept(&i->replay, &event.u.advert.source, own, advert->counter, header, now_usec)) {
                case REPLAY_VERDICT_OK:
                        break;
                case REPLAY_VERDICT_LOOP:
                        verdict = CARP_VERDICT_LOOP;
                        break;
                case REPLAY_VERDICT_REPLAY:
                        verdict = CARP_VERDICT_REPLAY;
                        break;
                }
        if (verdict != CARP_VERDICT_OK) {
                i->statistics.rejected[verdict]++;
                if (verdict == CARP_VERDICT_HMAC)
                        i->digest_mismatch_realtime_usec = (uint64_t) g_get_real_time();
                return verdict;
        }
        i->statistics.adverts_received++;
        if (leaving)
                i->statistics.bow_outs_received++;
        /* a dual-stack master speaks twice; it is known by its IPv4 address, not by each in turn */
        if (leaving)
                master = &nobody;
        else if (source->family == AF_INET || !hears_master_by_ipv4(i, now_usec))
                master = source;
        step(i, &event, master, now_usec);
        if (leaving && i->group)
                i->group->bow_out_heard(i->group_userdata, i, now_usec);
        reigns = !leaving && i->election.state != ELECTION_STATE_MASTER;
        if (peers_note(&i->peers, source, advert->advbase, advert->advskew, reigns, now_usec))
                notify(i, INSTANCE_CHANGE_PEERS, NULL);
        return CARP_VERDICT_OK;
}

static void give_up_address(Instance *i, uint64_t now_usec) {
        step(i,
             &(ElectionEvent) { .type = ELECTION_EVENT_ADDRESS_LOST, .u.hold_usec = i->config->takeover.demote_hold_usec },
             NULL,
             now_usec);
}

/**
 * instance_on_timer() - the armed deadline has come
 *
 * The election goes first: only a host that is still master after it may touch a lease.
 */
void instance_on_timer(Instance *i, uint64_t now_usec) {
        uint64_t due_usec = election_deadline_usec(&i->election);
        bool early = i->election.state == ELECTION_STATE_MASTER && now_usec < due_usec && due_usec - now_usec <= early_usec(i);

        step(i, &(ElectionEvent) { .type = early ? ELECTION_EVENT_READVERTISE : ELECTION_EVENT_TIMER }, NULL, now_usec);
        if (i->n_sends >= SENDS_IN_A_ROW) {
                i->n_sends = 0;
                i->send_demoted = !i->send_demoted;
                update_demotion(i, now_usec);
        }
        if (!instance_holds(i))
                return;
        /* renew now what would be due before the next advert wakes us */
        if (i->renew_usec <= now_usec || (i->renew_usec < election_deadline_usec(&i->election) &&
                                          i->election.attempted_usec == now_usec)) {
                int r = renew(i, now_usec);

                if (r < 0) {
                        instance_on_lease_refused(i, r, now_usec);
                        return;
                }
        }
        if (i->announce_usec <= now_usec)
                announce_round(i, now_usec);
        arm(i);
}

/**
 * instance_on_sent() - an advert that waited has left, or could not
 *
 * From within any op of any instance: it only notes it. What follows comes with the timer.
 */
void instance_on_sent(Instance *i, int error, uint64_t now_usec) {
        note_sent(i, i->bow_out_waits, error, now_usec);
        if (i->n_sends >= SENDS_IN_A_ROW)
                i->ops->arm(i->ops_userdata, now_usec, now_usec);
}

/**
 * instance_on_lease_refused() - a lease could not be renewed, and ends soon
 */
void instance_on_lease_refused(Instance *i, int error, uint64_t now_usec) {
        if (!instance_holds(i))
                return;
        i->statistics.hold_errors++;
        notice(i, INSTANCE_NOTICE_ADDRESS_NOT_HELD, error);
        give_up_address(i, now_usec);
}

/**
 * instance_on_address_missing() - somebody else removed an address of ours
 *
 * Put back at once and announced; whoever insists wins, and we give mastership up.
 */
void instance_on_address_missing(Instance *i, uint64_t now_usec) {
        if (!instance_holds(i))
                return;
        /* a master that slept must not put back what is another's by now */
        step(i, &(ElectionEvent) { .type = ELECTION_EVENT_TIMER }, NULL, now_usec);
        if (!instance_holds(i))
                return;
        if (now_usec - i->restore_begin_usec >= USEC_PER_SEC) {
                i->restore_begin_usec = now_usec;
                i->n_restored = 0;
        }
        if (++i->n_restored > RESTORES_PER_SEC || hold(i, now_usec) < 0) {
                give_up_address(i, now_usec);
                return;
        }
        i->statistics.addresses_restored++;
        announce_burst(i, now_usec);
        notice(i, INSTANCE_NOTICE_ADDRESS_RESTORED, 0);
        arm(i);
}

/**
 * instance_on_carrier_back() - the segment, or our MAC, is another than the one we announced to
 */
void instance_on_carrier_back(Instance *i, uint64_t now_usec) {
        if (!instance_holds(i))
                return;
        announce_burst(i, now_usec);
        arm(i);
}

/* A planned end of mastership: at once, or as soon as the units that need the addresses are down; in a group, those of every member. */
static void leave(Instance *i, const ElectionEvent *farewell, bool wait_for_units, uint64_t now_usec) {
        bool own_units = instance_holds(i) && i->config->takeover.units_before_address;
        bool others = i->election.state == ELECTION_STATE_MASTER && i->group_waits;

        if (!wait_for_units || (!own_units && !others)) {
                i->leaving = false;
                step(i, farewell, NULL, now_usec);
                return;
        }
        if (i->leaving && i->farewell.type == ELECTION_EVENT_SHUTDOWN)
                return;
        i->units_down = i->leaving ? i->units_down : !own_units;
        i->leaving = true;
        i->farewell = *farewell;
        notify(i, INSTANCE_CHANGE_UNITS, NULL);
        if (i->group)
                i->group->stepped(i->group_userdata, i, now_usec);
}

InstanceVerbResult instance_demote(Instance *i, uint64_t hold_usec, uint64_t now_usec) {
        if (!instance_enabled(i))
                return INSTANCE_VERB_NOT_ENABLED;
        if (i->election.state != ELECTION_STATE_MASTER)
                return INSTANCE_VERB_NOT_MASTER;
        if (hold_usec == CONFIG_USEC_UNSET)
                hold_usec = i->config->takeover.demote_hold_usec;
        leave(i, &(ElectionEvent) { .type = ELECTION_EVENT_DEMOTE, .u.hold_usec = hold_usec }, true, now_usec);
        return INSTANCE_VERB_OK;
}

InstanceVerbResult instance_may_promote(const Instance *i) {
        if (!instance_enabled(i))
                return INSTANCE_VERB_NOT_ENABLED;
        if (i->election.state == ELECTION_STATE_INIT || i->election.barred != 0 || i->leaving)
                return INSTANCE_VERB_BUSY;
        return INSTANCE_VERB_OK;
}

InstanceVerbResult instance_promote(Instance *i, uint64_t now_usec) {
        InstanceVerbResult r = instance_may_promote(i);

        if (r == INSTANCE_VERB_OK)
                step(i, &(ElectionEvent) { .type = ELECTION_EVENT_PROMOTE }, NULL, now_usec);
        return r;
}

void instance_set_enabled(Instance *i, bool enabled, uint64_t now_usec) {
        ElectionReason before = i->election.reason;

        if (enabled == instance_enabled(i))
                return;
        if (!enabled)
                leave(i,
                      &(ElectionEvent) { .type = ELECTION_EVENT_BAR, .u.bar.reason = ELECTION_REASON_DISABLED },
                      true,
                      now_usec);
        else if (i->leaving) {
                instance_stay_with(i);
                if (i->group)
                        i->group->stepped(i->group_userdata, i, now_usec);
                update_health(i, now_usec);
        } else
                step(i,
                     &(ElectionEvent) { .type = ELECTION_EVENT_UNBAR, .u.bar.reason = ELECTION_REASON_DISABLED },
                     NULL,
                     now_usec);
        notify(i,
               INSTANCE_CHANGE_ENABLED | (i->election.state == ELECTION_STATE_INIT && i->election.reason != before
                                                          ? INSTANCE_CHANGE_STATE
                                                          : 0),
               NULL);
}

/* The check decides whether we may be master at all; one that does so again while we leave calls that off. */
static void set_health(Instance *i, bool healthy, uint64_t now_usec) {
        bool will_be_barred = i->leaving && i->farewell.type == ELECTION_EVENT_BAR && i->farewell.u.bar.reason == ELECTION_REASON_HEALTH;
        /* who goes on after a restart cannot bow out yet, nor drop what it holds */
        bool resuming = i->election.state == ELECTION_STATE_MASTER && own_source(i)->family == AF_UNSPEC;
        const ElectionEvent bar = { .type = healthy ? ELECTION_EVENT_UNBAR : ELECTION_EVENT_BAR, .u.bar.reason = ELECTION_REASON_HEALTH };

        if (healthy && will_be_barred) {
                instance_stay_with(i);
                if (i->group)
                        i->group->stepped(i->group_userdata, i, now_usec);
        } else if (healthy && election_is_barred(&i->election, ELECTION_REASON_HEALTH))
                step(i, &bar, NULL, now_usec);
        else if (!healthy && !election_is_barred(&i->election, ELECTION_REASON_HEALTH) && !i->leaving && !resuming)
                /* who leaves anyway, as somebody said, does so as that was said, and is judged when he has left */
                leave(i, &bar, true, now_usec);
}

static void update_health(Instance *i, uint64_t now_usec) {
        bool healthy = true;

        for (guint k = 0; k < i->checks->len; k++) {
                const InstanceCheck *check = g_ptr_array_index(i->checks, k);
                const CheckConfig *c = find_check_config(i, check->name);

                if (c && check->failed && c->release)
                        healthy = false;
        }
        update_demotion(i, now_usec);
        set_health(i, healthy, now_usec);
}

/* Where a check stands in the configuration. */
static guint check_position(const Instance *i, const char *name) {
        guint k = 0;

        while (k < i->config->checks->len && !g_str_equal(((CheckConfig *) g_ptr_array_index(i->config->checks, k))->name, name))
                k++;
        return k;
}

static gint compare_checks(gconstpointer a, gconstpointer b, gpointer userdata) {
        const InstanceCheck *const *x = a, *const *y = b;

        return (gint) check_position(userdata, (*x)->name) - (gint) check_position(userdata, (*y)->name);
}

static InstanceCheck *find_check(const Instance *i, const char *name) {
        for (guint k = 0; k < i->checks->len; k++) {
                InstanceCheck *check = g_ptr_array_index(i->checks, k);

                if (g_str_equal(check->name, name))
                        return check;
        }
        return NULL;
}

/**
 * instance_set_check() - what a check of ours says now
 * @failed: does it count as failed? What is unknown may
 * @output: one line, copied
 */
void instance_set_check(Instance *i, const char *name, CheckState state, bool failed, const char *output, uint64_t now_usec) {
        InstanceCheck *check = find_check(i, name);

        if (!check) {
                check = g_new0(InstanceCheck, 1);
                check->name = g_strdup(name);
                g_ptr_array_add(i->checks, check);
                g_ptr_array_sort_with_data(i->checks, compare_checks, i);
        }
        check->state = state;
        check->failed = failed;
        g_free(check->output);
        check->output = g_strdup(output);
        notify(i, INSTANCE_CHANGE_CHECKS, NULL);
        update_health(i, now_usec);
}

/* The configuration has other checks now: those that went are forgotten, and what they did ends. */
static void drop_checks(Instance *i, uint64_t now_usec) {
        guint before = i->checks->len;

        for (guint k = before; k > 0; k--) {
                const InstanceCheck *check = g_ptr_array_index(i->checks, k - 1);

                if (!find_check_config(i, check->name))
                        g_ptr_array_remove_index(i->checks, k - 1);
        }
        g_ptr_array_sort_with_data(i->checks, compare_checks, i);
        /* observers compare, and tell only what is another */
        if (before > 0)
                notify(i, INSTANCE_CHANGE_CHECKS, NULL);
        update_health(i, now_usec);
}

void instance_set_group_demotion(Instance *i, uint32_t demotion, uint64_t now_usec) {
        i->group_demotion = demotion;
        apply_demotion(i, now_usec);
}

void instance_set_group(Instance *i, const InstanceGroup *group, void *userdata, bool waits, uint64_t now_usec) {
        i->group = NULL;
        if (i->election.grouped != (group != NULL))
                step(i, &(ElectionEvent) { .type = ELECTION_EVENT_GROUP, .u.grouped = group != NULL }, NULL, now_usec);
        i->group = group;
        i->group_userdata = userdata;
        i->group_waits = waits;
        if (!group)
                instance_set_group_demotion(i, 0, now_usec);
}

bool instance_prepare_takeover(Instance *i, uint64_t now_usec) {
        if (i->config->takeover.units_before_address || i->election.state == ELECTION_STATE_MASTER)
                return true;
        i->prepared = true;
        if (hold(i, now_usec) >= 0)
                return true;
        instance_cancel_takeover(i);
        give_up_address(i, now_usec);
        return false;
}

void instance_cancel_takeover(Instance *i) {
        if (!i->prepared)
                return;
        i->prepared = false;
        i->ops->release(i->ops_userdata);
        i->renew_usec = UINT64_MAX;
}

static void note_cause(Instance *i, const Instance *cause) {
        g_strlcpy(i->sync_cause, cause->config->name, sizeof(i->sync_cause));
        i->sync_cause_reason = cause->election.reason;
}

void instance_sync(Instance *i, ElectionSync sync, const Instance *cause, uint64_t now_usec) {
        if (cause)
                note_cause(i, cause);
        step(i, &(ElectionEvent) { .type = ELECTION_EVENT_SYNC, .u.sync = sync }, NULL, now_usec);
}

void instance_leave_with(Instance *i, const Instance *cause, uint64_t now_usec) {
        note_cause(i, cause);
        /* why it leaves is its reason only once it has left */
        switch (cause->farewell.type) {
        case ELECTION_EVENT_BAR:
                i->sync_cause_reason = cause->farewell.u.bar.reason;
                break;
        case ELECTION_EVENT_SHUTDOWN:
                i->sync_cause_reason = cause->farewell.u.stop_reason;
                break;
        default:
                i->sync_cause_reason = ELECTION_REASON_DEMOTED;
        }
        leave(i, &(ElectionEvent) { .type = ELECTION_EVENT_SYNC, .u.sync = ELECTION_SYNC_LEAVE }, true, now_usec);
}

bool instance_leaves_with(const Instance *i) {
        return i->leaving && i->farewell.type == ELECTION_EVENT_SYNC;
}

void instance_stay_with(Instance *i) {
        i->leaving = false;
        notify(i, INSTANCE_CHANGE_UNITS, NULL);
}

bool instance_may_depart(const Instance *i) {
        return i->leaving && i->units_down;
}

void instance_depart(Instance *i, uint64_t now_usec) {
        i->leaving = false;
        step(i, &i->farewell, NULL, now_usec);
        update_health(i, now_usec);
}

void instance_stop(Instance *i, ElectionReason reason, bool wait_for_units, uint64_t now_usec) {
        leave(i,
              &(ElectionEvent) { .type = ELECTION_EVENT_SHUTDOWN, .u.stop_reason = reason },
              wait_for_units,
              now_usec);
}

bool instance_is_leaving(const Instance *i) {
        return i->leaving;
}

/**
 * instance_on_units_settled() - what was asked of the units is done, or will not be
 */
void instance_on_units_settled(Instance *i, bool up, uint64_t now_usec) {
        if (up && i->units_pending) {
                /* who slept while the units started is not master any more */
                step(i, &(ElectionEvent) { .type = ELECTION_EVENT_TIMER }, NULL, now_usec);
                if (!i->units_pending)
                        return;
                i->units_pending = false;
                if (hold(i, now_usec) < 0) {
                        give_up_address(i, now_usec);
                        return;
                }
                announce_burst(i, now_usec);
                arm(i);
        } else if (!up && i->leaving) {
                i->units_down = true;
                if (i->group_waits)
                        i->group->stepped(i->group_userdata, i, now_usec);
                else
                        instance_depart(i, now_usec);
        }
}

static InstanceUnitFailure *find_unit_failure(const Instance *i, const char *unit) {
        for (guint k = 0; k < i->unit_failures->len; k++) {
                InstanceUnitFailure *f = g_ptr_array_index(i->unit_failures, k);

                if (g_str_equal(f->unit, unit))
                        return f;
        }
        return NULL;
}

/**
 * instance_on_unit_result() - a unit of ours has failed, or is well again
 */
void instance_on_unit_result(Instance *i, const char *unit, const char *result, uint64_t now_usec) {
        InstanceUnitFailure *f = find_unit_failure(i, unit);

        if (!result && !f)
                return;
        if (!result)
                g_ptr_array_remove(i->unit_failures, f);
        else {
                if (!f) {
                        f = g_new0(InstanceUnitFailure, 1);
                        f->unit = g_strdup(unit);
                        g_ptr_array_add(i->unit_failures, f);
                }
                g_free(f->result);
                f->result = g_strdup(result);
        }
        notify(i, INSTANCE_CHANGE_UNITS, NULL);
        if (result && i->config->takeover.demote_on_unit_failure && !i->leaving)
                (void) instance_demote(i, CONFIG_USEC_UNSET, now_usec);
}

/**
 * instance_reconfigure() - a new configuration for the same VHID on the same interface
 * @config: taken
 */
void instance_reconfigure(Instance *i, InstanceConfig *config, uint64_t now_usec) {
        bool toggled = config->enabled != i->config->enabled;

        replay_set_strict(&i->replay, config->carp.strict_replay ? replay_state(i) : NULL);
        instance_config_free(i->config);
        i->config = config;
        make_hmac(i);
        seal(i, config->carp.advbase, config->carp.advskew, 0);
        step(i,
             &(ElectionEvent) { .type = ELECTION_EVENT_CONFIGURE, .u.config = election_config(config) },
             NULL,
             now_usec);
        if (!config->takeover.units_before_address) {
                i->units_pending = false;
                instance_on_units_settled(i, false, now_usec);
        }
        if (instance_holds(i)) {
                if (hold(i, now_usec) < 0)
                        give_up_address(i, now_usec);
                else
                        announce_burst(i, now_usec);
        }
        if (toggled)
                instance_set_enabled(i, config->enabled, now_usec);
        drop_checks(i, now_usec);
        arm(i);
        notify(i, INSTANCE_CHANGE_CONFIG, NULL);
}

void instance_set_problem(Instance *i, const char *problem) {
        if (g_strcmp0(i->problem, problem) == 0)
                return;
        g_free(i->problem);
        i->problem = g_strdup(problem);
        notify(i, INSTANCE_CHANGE_PROBLEM, NULL);
}

void instance_set_conflict(Instance *i, const char *conflict, const char *mac) {
        if (g_str_equal(i->conflict ?: "", conflict))
                return;
        g_free(i->conflict);
        g_free(i->conflict_mac);
        i->conflict = g_strdup(conflict);
        i->conflict_mac = g_strdup(mac);
        /* who is no longer master has ended it himself */
        if (i->election.state == ELECTION_STATE_MASTER)
                notice(i, *conflict != '\0' ? INSTANCE_NOTICE_CONFLICT : INSTANCE_NOTICE_CONFLICT_OVER, 0);
        notify(i, INSTANCE_CHANGE_CONFLICT, NULL);
}

const InstanceConfig *instance_config(const Instance *i) {
        return i->config;
}

ElectionState instance_state(const Instance *i) {
        return i->election.state;
}

ElectionReason instance_reason(const Instance *i) {
        return i->election.reason;
}

bool instance_enabled(const Instance *i) {
        bool will_be_disabled = i->leaving && i->farewell.type == ELECTION_EVENT_BAR && i->farewell.u.bar.reason == ELECTION_REASON_DISABLED;

        return !will_be_disabled && !election_is_barred(&i->election, ELECTION_REASON_DISABLED);
}

uint32_t instance_demotion(const Instance *i) {
        return i->election.demotion;
}

uint32_t instance_own_demotion(const Instance *i) {
        return i->own_demotion;
}

const Election *instance_election(const Instance *i) {
        return &i->election;
}

const char *instance_sync_cause(const Instance *i, ElectionReason *ret_reason) {
        *ret_reason = i->sync_cause_reason;
        return i->sync_cause;
}

const char *instance_problem(const Instance *i) {
        return i->problem ?: "";
}

const char *instance_conflict(const Instance *i) {
        return i->conflict && i->election.state == ELECTION_STATE_MASTER ? i->conflict : "";
}

const char *instance_conflict_mac(const Instance *i) {
        return i->conflict_mac ?: "";
}

const IpAddress *instance_master(const Instance *i) {
        return &i->master;
}

const Peers *instance_peers(const Instance *i) {
        return &i->peers;
}

const GPtrArray *instance_checks(const Instance *i) {
        return i->checks;
}

const GPtrArray *instance_unit_failures(const Instance *i) {
        return i->unit_failures;
}

uint64_t instance_state_change_usec(const Instance *i) {
        return i->changed_usec;
}

uint64_t instance_state_change_realtime_usec(const Instance *i) {
        return i->changed_realtime_usec;
}

uint64_t instance_digest_mismatch_realtime_usec(const Instance *i) {
        return i->digest_mismatch_realtime_usec;
}

const InstanceStatistics *instance_statistics(const Instance *i) {
        return &i->statistics;
}
