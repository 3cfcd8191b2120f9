/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/election.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "core/skew.h"

/* The election. Knows CARP's rules (OpenBSD src/sys/netinet/ip_carp.c: carp_proto_input_c(), carp_setrun(), carp_master_down();
 * ucarp's where they differ) and nothing of sockets, clocks, memory or logs: it is told what happened and when, and says what must be
 * done. instance.c calls it in the daemon, the simulator calls the same instance.c.
 *
 * What the three states mean here:
 *   init    we take no part: an interface, link, or address is missing, or the administrator disabled us.
 *   backup  we listen. When a dead interval passes in silence, or a master bows out or is worse than us and we preempt, we take over.
 *   master  we advertise. A better advert, a lost tie, or a gap in our own adverts as long as the dead interval makes us backup.
 * One of a group (sync.c) does not take over by itself: what would make it master makes it want to be, until it hears a master that it must
 * respect. */

#define USEC_PER_SEC UINT64_C(1000000)

/* Out-of-turn adverts of a master (against a worse or equal one) are at least this far apart, or one interval if that is less. */
#define REASSERT_USEC UINT64_C(250000)
/* After so many answers to equal adverts a peer is not going to yield to us, whatever its rule: then we do. */
#define TIES_MAX 3
/* A bow-out calls every backup at once; each waits this long per step of its advskew, so that the best one speaks first and the others
 * hear it. At most 2 ms. Half of it is too little: a takeover, from the wake-up to the advert read by the others, takes 0.2 to 0.5 ms on
 * an ordinary machine, and hosts whose advskew is 50 apart then both took the address in one handover of fourteen. */
#define BOW_OUT_STEP_USEC 8
/* Who yields says one last, worse word right after the winner's. A third host that preempts must not take it for a reign: for this long
 * (or half an interval) after an advert at least as good as its own, a worse one calls nobody. */
#define DISPUTE_USEC UINT64_C(50000)
/* A backup whose timer is later than this (or than one interval) has slept: it knows nothing of the silence it did not hear. */
#define LATE_USEC UINT64_C(100000)
/* A master that left another segment of a group has left this one, too, if it does not speak when its next advert is due. So much later (or
 * half an interval) it was not merely late. */
#define ABSENT_USEC UINT64_C(100000)

static const char *const state_names[N_ELECTION_STATES] = {
        [ELECTION_STATE_INIT] = "init",
        [ELECTION_STATE_BACKUP] = "backup",
        [ELECTION_STATE_MASTER] = "master",
};

static const char *const reason_names[N_ELECTION_REASONS] = {
        [ELECTION_REASON_STARTUP] = "startup",
        [ELECTION_REASON_MASTER_TIMEOUT] = "master-timeout",
        [ELECTION_REASON_PREEMPTED] = "preempted",
        [ELECTION_REASON_PREEMPTING] = "preempting",
        [ELECTION_REASON_BOW_OUT] = "bow-out",
        [ELECTION_REASON_DEMOTED] = "demoted",
        [ELECTION_REASON_PROMOTED] = "promoted",
        [ELECTION_REASON_HEALTH] = "health",
        [ELECTION_REASON_LINK_DOWN] = "link-down",
        [ELECTION_REASON_LINK_UP] = "link-up",
        [ELECTION_REASON_INTERFACE_MISSING] = "interface-missing",
        [ELECTION_REASON_NO_SOURCE_ADDRESS] = "no-source-address",
        [ELECTION_REASON_ADDRESS_LOST] = "address-lost",
        [ELECTION_REASON_STALLED] = "stalled",
        [ELECTION_REASON_DISABLED] = "disabled",
        [ELECTION_REASON_ENABLED] = "enabled",
        [ELECTION_REASON_SEND_FAILED] = "send-failed",
        [ELECTION_REASON_SYNC] = "sync",
        [ELECTION_REASON_SHUTDOWN] = "shutdown",
        [ELECTION_REASON_RELOAD] = "reload",
};

const char *election_state_to_string(ElectionState state) {
        return state_names[state];
}

const char *election_reason_to_string(ElectionReason reason) {
        return reason_names[reason];
}

/* Bars that mean "take no part" (init); the others mean "not master" (backup). */
#define BARS_INIT                                                                                            \
        (1u << ELECTION_REASON_LINK_DOWN | 1u << ELECTION_REASON_INTERFACE_MISSING |                         \
         1u << ELECTION_REASON_NO_SOURCE_ADDRESS | 1u << ELECTION_REASON_DISABLED |                          \
         1u << ELECTION_REASON_SHUTDOWN | 1u << ELECTION_REASON_RELOAD)

static uint64_t add(uint64_t a, uint64_t b) {
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t min(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b) {
        return a > b ? a : b;
}

static bool promoted(const Election *e) {
        return e->now_usec < e->promoted_until_usec;
}

/* A promoted host says nothing of its demotion, so it is no slower for it: with advbase 0 nobody would wait. */
static uint64_t interval_usec(const Election *e) {
        return skew_interval_usec(e->config.advbase, promoted(e) ? e->config.advskew : election_advskew(e));
}

static uint64_t undemoted_dead_usec(const Election *e) {
        return skew_dead_usec(e->config.advbase, e->config.advskew, e->config.dead_ratio);
}

static uint64_t dead_usec(const Election *e) {
        return skew_dead_usec(e->config.advbase, election_advskew(e), e->config.dead_ratio);
}

/* How long a master may be silent before the quickest of its peers may have replaced it: the dead interval without the skew, as a peer's
 * may be smaller. With advbase 0 the skew is all there is. */
static uint64_t stall_usec(const Election *e) {
        uint64_t limit_usec = e->config.advbase == 0 ? dead_usec(e)
                                                     : skew_dead_usec(e->config.advbase, 0, e->config.dead_ratio);

        /* a DeadRatio= of 1 leaves no room for lateness at all; our own beat needs some */
        return max(limit_usec, interval_usec(e) * 3 / 2);
}

static uint64_t random_below(Election *e, uint64_t bound) {
        e->random ^= e->random >> 12;
        e->random ^= e->random << 25;
        e->random ^= e->random >> 27;
        return (e->random * UINT64_C(2685821657736338717) >> 33) % bound;
}

/* Priority as adverts compare: what OpenBSD says of its demotion, then advbase, then advskew; less is better. The demotion counts only where all are
 * known to mean it (ip_carp.c: carp_proto_input_c(), sc_demote_cnt); nothing protects that byte. */
static unsigned rank(const Election *e, uint8_t demotion, uint8_t advbase, uint8_t advskew) {
        return (e->config.demotion_byte ? (unsigned) demotion << 16 : 0) | (unsigned) advbase << 8 | advskew;
}

static bool is_bow_out(const ElectionEvent *event) {
        return event->u.advert.advbase == 255 && event->u.advert.advskew == 255;
}

/* Who bows out is no better than anybody, however little demoted. */
static unsigned heard_rank(const Election *e, const ElectionEvent *event) {
        return is_bow_out(event) ? UINT_MAX : rank(e, event->u.advert.demotion, event->u.advert.advbase, event->u.advert.advskew);
}

/* advskew as we send it: advbase 0 with advskew 0 is the promotion mark, so such a configuration speaks as 0/1, as it counts. */
static uint8_t wire_advskew(const Election *e) {
        uint8_t advskew = election_advskew(e);

        return e->config.advbase == 0 && advskew == 0 ? 1 : advskew;
}

static unsigned configured_rank(const Election *e) {
        return rank(e, election_demotion(e), e->config.advbase, wire_advskew(e));
}

static unsigned own_rank(const Election *e) {
        return promoted(e) ? 0 : configured_rank(e);
}

static void transition(Election *e, ElectionState to, ElectionReason reason, ElectionUpdate *u) {
        if (!u->changed) {
                u->from = e->state;
                u->changed = true;
        }
        u->to = to;
        u->reason = reason;
        e->state = to;
        e->reason = reason;
}

/* An advert with our own values, now; the next one follows an interval later. */
static void send_advert(Election *e, ElectionUpdate *u) {
        u->send = ELECTION_SEND_ADVERT;
        u->advbase = promoted(e) ? 0 : e->config.advbase;
        u->advskew = promoted(e) ? 0 : wire_advskew(e);
        u->demotion = promoted(e) ? 0 : election_demotion(e);
        e->attempted_usec = e->now_usec;
        e->next_advert_usec = add(e->now_usec, interval_usec(e));
}

static uint64_t dispute_usec(const Election *e) {
        return min(DISPUTE_USEC, interval_usec(e) / 2);
}

static void listen(Election *e, uint64_t silence_usec) {
        e->master_down_usec = add(e->now_usec, silence_usec);
        /* the last words of others who yielded with us must not bring us all back in step */
        if (e->now_usec < e->spread_until_usec)
                e->master_down_usec = add(e->master_down_usec, e->spread_usec);
        e->down_reason = ELECTION_REASON_MASTER_TIMEOUT;
}

/* Hosts as good as each other that fell silent together would come back together. From a tie on, each listens a little longer, by chance. */
static void spread(Election *e) {
        e->spread_usec = (1 + random_below(e, 16)) * min(interval_usec(e), USEC_PER_SEC / 4) / 16;
        e->spread_until_usec = add(e->now_usec, dispute_usec(e));
}

static void become_backup(Election *e, ElectionReason reason, ElectionUpdate *u) {
        transition(e, ELECTION_STATE_BACKUP, reason, u);
        e->promoted_until_usec = 0;
        listen(e, dead_usec(e));
}

static void become_master(Election *e, ElectionReason reason, ElectionUpdate *u) {
        transition(e, ELECTION_STATE_MASTER, reason, u);
        e->sent_usec = e->now_usec;
        e->reasserted_usec = e->now_usec;
        e->n_ties = 0;
        e->eligible_usec = 0;
        send_advert(e, u);
        u->announce = true;
}

/* Leaves init when nothing keeps us there: listen for the start delay, whose default is one dead interval. */
static void start_listening(Election *e, ElectionReason reason, ElectionUpdate *u) {
        uint64_t delay_usec = e->config.start_delay_usec;

        if (delay_usec == ELECTION_NEVER)
                delay_usec = dead_usec(e);
        become_backup(e, e->started ? reason : ELECTION_REASON_STARTUP, u);
        e->started = true;
        e->eligible_usec = max(e->eligible_usec, add(e->now_usec, delay_usec));
        e->preempt_usec = add(e->now_usec, e->config.preempt_delay_usec);
        listen(e, delay_usec);
}

static void bow_out(ElectionUpdate *u) {
        u->send = ELECTION_SEND_BOW_OUT;
        u->announce = false;
}

static void step_bar(Election *e, ElectionReason reason, ElectionUpdate *u) {
        uint32_t bit = 1u << reason;

        e->barred |= bit;
        if (bit & BARS_INIT) {
                if (e->state == ELECTION_STATE_INIT) {
                        e->reason = reason;
                        return;
                }
                /* without a link there is nobody to tell */
                if (e->state == ELECTION_STATE_MASTER && e->ipv4.n_bytes + e->ipv6.n_bytes > 0 &&
                    (reason == ELECTION_REASON_DISABLED || reason == ELECTION_REASON_SHUTDOWN ||
                     reason == ELECTION_REASON_RELOAD))
                        bow_out(u);
                transition(e, ELECTION_STATE_INIT, reason, u);
                e->promoted_until_usec = 0;
                /* a demote hold does not outlive it: who comes back listens anyway */
                e->eligible_usec = 0;
        } else if (e->state == ELECTION_STATE_MASTER) {
                bow_out(u);
                become_backup(e, reason, u);
        }
}

static void step_unbar(Election *e, ElectionReason reason, ElectionUpdate *u) {
        e->barred &= ~(1u << reason);
        if (e->state == ELECTION_STATE_BACKUP) {
                /* silence that ended while we were barred counts from now, not as a timer that came late */
                e->eligible_usec = max(e->eligible_usec, e->now_usec);
                /* health regained, as with a lower demotion counter */
                if (reason == ELECTION_REASON_HEALTH)
                        e->preempt_usec = add(e->now_usec, e->config.preempt_delay_usec);
        } else if (e->state == ELECTION_STATE_INIT && !(e->barred & BARS_INIT))
                start_listening(e, reason == ELECTION_REASON_DISABLED ? ELECTION_REASON_ENABLED : ELECTION_REASON_LINK_UP,
                                u);
}

static void step_out(Election *e, ElectionReason reason, uint64_t hold_usec, ElectionUpdate *u) {
        if (e->state != ELECTION_STATE_MASTER) {
                /* who was master until this very step, or until a moment ago, was asked to stay out all the same; and one of a group finds out
                 * that it cannot hold its addresses before it becomes master */
                if (u->changed || (e->state == ELECTION_STATE_BACKUP && (reason == ELECTION_REASON_DEMOTED || e->grouped)))
                        e->eligible_usec = max(e->eligible_usec, add(e->now_usec, hold_usec));
                return;
        }
        bow_out(u);
        become_backup(e, reason, u);
        e->eligible_usec = add(e->now_usec, hold_usec);
}

static void step_promote(Election *e, ElectionUpdate *u) {
        if (e->state != ELECTION_STATE_BACKUP || e->barred != 0)
                return;
        /* For a dead interval (a second at least, for peers as slow as ucarp) we are 0/0, so that the last words of those who yield do
         * not push us down again. */
        e->promoted_until_usec = add(e->now_usec, max(dead_usec(e), USEC_PER_SEC));
        become_master(e, ELECTION_REASON_PROMOTED, u);
}

static bool may_be_master(const Election *e) {
        return e->barred == 0 && e->now_usec >= e->eligible_usec;
}

/* Ties are decided by one family on both sides, or two hosts could each win one: by IPv4 if we speak it. The order is a little-endian
 * ucarp's: last octet most significant; for IPv6, which only vipd and the BSDs speak, plain byte order. Lower wins. */
static int tie_compare(const Election *e, const ElectionAddress *peer) {
        const ElectionAddress *own = e->ipv4.n_bytes > 0 ? &e->ipv4 : &e->ipv6;

        if (own->n_bytes != peer->n_bytes)
                return 0;
        if (own->n_bytes == 16)
                return memcmp(own->bytes, peer->bytes, 16);
        for (int k = 3; k >= 0; k--)
                if (own->bytes[k] != peer->bytes[k])
                        return own->bytes[k] < peer->bytes[k] ? -1 : 1;
        return 0;
}

/* Out of turn, but not too often: several peers and families may call for it in one moment. */
static uint64_t may_reassert_from_usec(const Election *e) {
        return add(e->reasserted_usec, min(REASSERT_USEC, interval_usec(e)));
}

static bool may_reassert(const Election *e) {
        return e->now_usec >= may_reassert_from_usec(e);
}

/* Someone who should yield to us is heard as master: say so, now, and refresh the neighbours' caches, which may believe him. */
static void reassert(Election *e, ElectionUpdate *u) {
        e->reasserted_usec = e->now_usec;
        send_advert(e, u);
        u->announce = true;
}

/* The last advert of a master that lost a tie is worse than the winner's, or a BSD winner would step down on hearing an equal one. */
static void yield_tie(Election *e, ElectionUpdate *u) {
        uint8_t advbase = e->config.advbase, advskew = wire_advskew(e);

        if (advskew < 254)
                advskew++;
        else if (advbase < 254) {
                advbase++;
                advskew = 0;
        }
        spread(e);
        become_backup(e, ELECTION_REASON_PREEMPTED, u);
        u->send = ELECTION_SEND_ADVERT;
        u->advbase = advbase;
        u->advskew = advskew;
        u->demotion = election_demotion(e);
        u->announce = false;
}

static void master_hears(Election *e, const ElectionEvent *event, ElectionUpdate *u) {
        unsigned own = own_rank(e), heard = heard_rank(e, event);
        int order;

        if (heard > own) {
                if (may_reassert(e))
                        reassert(e, u);
                else
                        /* not now, but he has not heard us: until he does there are two of us */
                        e->next_advert_usec = min(e->next_advert_usec, may_reassert_from_usec(e));
                return;
        }
        if (heard < own) {
                /* Our last words, unchanged, are worse than his: a BSD ignores them, a ucarp announces once more on hearing them. A promoted
                 * host (0/0) would take them for a better master's if they are better than what it says from then on. */
                if (heard != 0) {
                        u->send = ELECTION_SEND_ADVERT;
                        u->advbase = e->config.advbase;
                        u->advskew = wire_advskew(e);
                        u->demotion = election_demotion(e);
                }
                /* He may have yielded to us on another segment, and left this one with it: we must not come back in step, for ever. A group waits
                 * for its last member, so that one which listens longer is enough. */
                if (e->grouped)
                        spread(e);
                become_backup(e, ELECTION_REASON_PREEMPTED, u);
                return;
        }
        order = tie_compare(e, &event->u.advert.source);
        if (order > 0)
                yield_tie(e, u);
        else if (may_reassert(e)) {
                /* counted per answer of ours, not per advert: several equals that start at once are no stubborn peer */
                if (++e->n_ties > TIES_MAX)
                        yield_tie(e, u);
                else
                        reassert(e, u);
        }
}

static bool is_same(const ElectionAddress *a, const ElectionAddress *b) {
        return a->n_bytes == b->n_bytes && memcmp(a->bytes, b->bytes, a->n_bytes) == 0;
}

/* Than the one who speaks. Of one host what comes by IPv4 and by IPv6 has two sources, which says nothing. */
static bool respects_another(const Election *e, const ElectionEvent *event) {
        return e->respected.n_bytes == event->u.advert.source.n_bytes && !is_same(&e->respected, &event->u.advert.source);
}

static void backup_hears(Election *e, const ElectionEvent *event, ElectionUpdate *u) {
        uint8_t advbase = event->u.advert.advbase, advskew = event->u.advert.advskew;
        bool leaving = is_bow_out(event);
        bool disputed = e->now_usec - e->respected_usec < dispute_usec(e);
        /* a master that says of itself that it should not be one is replaced by whoever is less so, preempting or not */
        bool demoted = e->config.demotion_byte && event->u.advert.demotion > election_demotion(e);

        /* adverts to several peers leave one after the other: the heir may have spoken before we hear the farewell that called it */
        if (leaving && disputed && respects_another(e, event))
                return;
        if (leaving) {
                e->master_down_usec = add(e->now_usec, (uint64_t) election_advskew(e) * BOW_OUT_STEP_USEC);
                e->down_reason = ELECTION_REASON_BOW_OUT;
        } else if (disputed) {
                listen(e, dead_usec(e));
                return;
        } else if (skew_interval_usec(advbase, advskew) > dead_usec(e)) {
                /* He is slower than our patience: waiting can only end in a timeout (ip_carp.c: "guaranteed to time out"). */
                e->master_down_usec = e->now_usec;
                e->down_reason = ELECTION_REASON_PREEMPTING;
        } else if ((e->config.preempt || demoted) && own_rank(e) < heard_rank(e, event) && e->now_usec >= e->preempt_usec) {
                e->master_down_usec = e->now_usec;
                e->down_reason = ELECTION_REASON_PREEMPTING;
        } else {
                listen(e, dead_usec(e));
                return;
        }
        if (!may_be_master(e)) {
                /* The wish does not outlive what keeps us from it: judge the next advert, or the silence, afresh. */
                if (!leaving)
                        listen(e, dead_usec(e));
                return;
        }
        if (e->now_usec >= e->master_down_usec && !e->grouped)
                become_master(e, e->down_reason, u);
}

/* Remembers who is at least as good as we are, and notices when two of our own rank are in a tie: if both yield, as a BSD and the loser by
 * address do, the bystanders must not join the next round in step. */
static void note_respected(Election *e, const ElectionEvent *event) {
        const ElectionAddress *source = &event->u.advert.source;
        unsigned own = configured_rank(e), heard = heard_rank(e, event);

        /* who has left is in no tie with its heir */
        if (is_bow_out(event) && is_same(&e->respected, source))
                e->respected = (ElectionAddress) { 0 };
        if (heard > own)
                return;
        if (heard == own && e->now_usec - e->respected_usec < dispute_usec(e) && respects_another(e, event))
                spread(e);
        e->respected = *source;
        e->respected_usec = e->now_usec;
}

static void note_heard(Election *e, const ElectionEvent *event) {
        if (is_bow_out(event))
                return;
        e->heard_usec = e->now_usec;
        e->heard_interval_usec = skew_interval_usec(event->u.advert.advbase, event->u.advert.advskew);
}

static void step_advert(Election *e, const ElectionEvent *event, ElectionUpdate *u) {
        note_respected(e, event);
        switch (e->state) {
        case ELECTION_STATE_INIT:
                return;
        case ELECTION_STATE_BACKUP:
                backup_hears(e, event, u);
                return;
        case ELECTION_STATE_MASTER:
                master_hears(e, event, u);
                u->contested = e->state == ELECTION_STATE_MASTER;
                return;
        }
}

static bool overslept(const Election *e, uint64_t due_usec, uint64_t now_usec) {
        return now_usec > due_usec && now_usec - due_usec > max(interval_usec(e), LATE_USEC);
}

static void step_timer(Election *e, ElectionUpdate *u) {
        uint64_t due_usec;

        switch (e->state) {
        case ELECTION_STATE_INIT:
                return;
        case ELECTION_STATE_BACKUP:
                due_usec = election_due_usec(e);
                if (e->now_usec < due_usec || e->grouped)
                        return;
                if (overslept(e, due_usec, e->now_usec))
                        listen(e, dead_usec(e));
                else
                        become_master(e, e->down_reason, u);
                return;
        case ELECTION_STATE_MASTER:
                due_usec = e->next_advert_usec;
                if (e->now_usec < due_usec)
                        return;
                send_advert(e, u);
                /* keep the beat, unless it was missed by a whole one */
                if (e->now_usec - due_usec < interval_usec(e))
                        e->next_advert_usec = add(due_usec, interval_usec(e));
                return;
        }
}

static void step_configure(Election *e, const ElectionConfig *config, ElectionUpdate *u) {
        unsigned before = own_rank(e);

        e->config = *config;
        if (e->state == ELECTION_STATE_BACKUP)
                listen(e, dead_usec(e));
        if (e->state == ELECTION_STATE_MASTER)
                e->next_advert_usec = min(e->next_advert_usec, add(e->now_usec, interval_usec(e)));
        if (e->state == ELECTION_STATE_MASTER && own_rank(e) != before)
                send_advert(e, u);
}

/* A lower counter is health regained: with PreemptDelay= it must last before we use it. */
static void step_demotion(Election *e, uint32_t demotion, ElectionUpdate *u) {
        bool better = demotion < e->demotion, same = demotion == e->demotion;
        /* this may be told before the timer is */
        bool slept = !e->grouped && overslept(e, election_due_usec(e), e->now_usec);
        uint64_t before_usec = dead_usec(e);

        e->demotion = demotion;
        /* the silence so far counts, but the patience is the new one: with advbase 0 it may be a hundredth of the old */
        if (e->state == ELECTION_STATE_BACKUP && e->down_reason == ELECTION_REASON_MASTER_TIMEOUT) {
                uint64_t since_usec = e->master_down_usec - min(before_usec, e->master_down_usec);

                if (slept)
                        listen(e, dead_usec(e));
                else
                        e->master_down_usec = max(e->now_usec, add(since_usec, dead_usec(e)));
        }
        /* who wants to replace a master that was worse may not be better any more: judge its next advert */
        if (e->state == ELECTION_STATE_BACKUP && e->down_reason == ELECTION_REASON_PREEMPTING)
                listen(e, dead_usec(e));
        if (better)
                e->preempt_usec = add(e->now_usec, e->config.preempt_delay_usec);
        /* who goes on after a restart has no link yet, and says it with his next advert */
        if (e->state == ELECTION_STATE_MASTER && !same && e->ipv4.n_bytes + e->ipv6.n_bytes > 0)
                send_advert(e, u);
}

/* Another of our group heard a bow-out. Its sender may not be the master we hear: who speaks here once more stays. Nobody has to wait for a dead
 * interval otherwise, when the link is gone over which the bow-out of this segment would have come. */
static void hear_of_bow_out(Election *e) {
        uint64_t margin_usec = min(ABSENT_USEC, e->heard_interval_usec / 2);
        uint64_t due_usec = max(e->now_usec, add(e->heard_usec, e->heard_interval_usec + margin_usec));

        due_usec = add(due_usec, (uint64_t) election_advskew(e) * BOW_OUT_STEP_USEC);
        if (due_usec >= e->master_down_usec)
                return;
        e->master_down_usec = due_usec;
        e->down_reason = ELECTION_REASON_BOW_OUT;
}

static void step_sync(Election *e, ElectionSync sync, ElectionUpdate *u) {
        switch (sync) {
        case ELECTION_SYNC_TAKE_OVER:
                if (e->now_usec >= election_due_usec(e))
                        become_master(e, e->down_reason, u);
                return;
        case ELECTION_SYNC_LEAVE:
                if (e->state != ELECTION_STATE_MASTER)
                        return;
                bow_out(u);
                become_backup(e, ELECTION_REASON_SYNC, u);
                return;
        case ELECTION_SYNC_YIELD:
                if (e->state == ELECTION_STATE_MASTER)
                        become_backup(e, ELECTION_REASON_SYNC, u);
                return;
        case ELECTION_SYNC_BOW_OUT:
                if (e->state == ELECTION_STATE_BACKUP)
                        hear_of_bow_out(e);
                return;
        }
}

/* Stay out for a while: to hold an address that nobody is told of half of the time serves nobody. */
static void give_up_unheard(Election *e, ElectionUpdate *u) {
        become_backup(e, ELECTION_REASON_SEND_FAILED, u);
        e->eligible_usec = add(e->now_usec, 2 * dead_usec(e));
}

/* A master whose adverts stopped for a dead interval has been replaced, whether it slept, was starved, or could not send. */
static void check_silence(Election *e, ElectionUpdate *u) {
        uint64_t limit_usec = stall_usec(e);

        if (e->state != ELECTION_STATE_MASTER)
                return;
        if (e->now_usec - e->attempted_usec >= limit_usec)
                become_backup(e, ELECTION_REASON_STALLED, u);
        else if (e->now_usec - e->sent_usec >= limit_usec)
                give_up_unheard(e, u);
}

/* Who preempts a master and cannot tell him has replaced nobody: there would be two until this one has been silent for a dead
 * interval, over and over as long as he hears and is not heard. */
static void step_untold(Election *e, ElectionUpdate *u) {
        if (e->state == ELECTION_STATE_MASTER)
                give_up_unheard(e, u);
}

void election_init(Election *e, const ElectionConfig *config, uint64_t seed) {
        *e = (Election) {
                .config = *config,
                .state = ELECTION_STATE_INIT,
                .reason = ELECTION_REASON_STARTUP,
                .barred = 1u << ELECTION_REASON_INTERFACE_MISSING,
                .random = seed != 0 ? seed : 1,
                .down_reason = ELECTION_REASON_MASTER_TIMEOUT,
        };
}

void election_remember(const Election *e, ElectionMemory *ret) {
        uint64_t master_down_usec = e->master_down_usec;

        /* the silence counts, and who goes on is told of his demotion anew */
        if (e->state == ELECTION_STATE_BACKUP && e->down_reason == ELECTION_REASON_MASTER_TIMEOUT)
                master_down_usec = add(master_down_usec - min(dead_usec(e), master_down_usec), undemoted_dead_usec(e));
        *ret = (ElectionMemory) {
                .state = e->state,
                .reason = e->reason,
                .down_reason = e->down_reason,
                .eligible_usec = e->eligible_usec,
                .preempt_usec = e->preempt_usec,
                .master_down_usec = master_down_usec,
                .attempted_usec = e->attempted_usec,
                .sent_usec = e->sent_usec,
                .promoted_until_usec = e->promoted_until_usec,
        };
}

/* Whom the other process heard is told by how long it would have waited, or not; how slow he is, by the slowest that he may be. Who may have left is
 * given the same time as before to say that he has not. */
static void resume_hearing(Election *e) {
        bool waits = e->down_reason == ELECTION_REASON_MASTER_TIMEOUT, left = e->down_reason == ELECTION_REASON_BOW_OUT;

        e->heard_usec = e->master_down_usec - (waits ? min(e->master_down_usec, dead_usec(e)) : 0);
        e->heard_interval_usec = left ? 0 : skew_interval_usec(e->config.advbase, 254);
}

/* What was said while nobody listened is lost, unlike what waits in the socket of who slept: a master that lives is given the time to speak once more,
 * and if ours ran out meanwhile, all of it. */
static void resume_listening(Election *e) {
        uint64_t once_more_usec = skew_interval_usec(e->config.advbase, 254) + ABSENT_USEC;

        if (e->down_reason != ELECTION_REASON_MASTER_TIMEOUT)
                return;
        if (e->master_down_usec <= e->now_usec)
                listen(e, dead_usec(e));
        else
                e->master_down_usec = max(e->master_down_usec, add(e->now_usec, min(once_more_usec, dead_usec(e))));
}

void election_resume(Election *e, const ElectionMemory *memory, uint64_t now_usec) {
        e->now_usec = now_usec;
        e->state = memory->state;
        e->reason = memory->reason;
        e->down_reason = memory->down_reason;
        e->eligible_usec = memory->eligible_usec;
        e->preempt_usec = memory->preempt_usec;
        e->master_down_usec = memory->master_down_usec;
        e->attempted_usec = memory->attempted_usec;
        e->sent_usec = memory->sent_usec;
        e->promoted_until_usec = memory->promoted_until_usec;
        e->reasserted_usec = memory->sent_usec;
        if (e->state == ELECTION_STATE_BACKUP) {
                resume_hearing(e);
                resume_listening(e);
        }
        /* the beat goes on; what was missed is made up for at once */
        e->next_advert_usec = add(memory->attempted_usec, interval_usec(e));
        e->started = true;
        e->barred = 0;
}

/**
 * election_step() - advance the election by one event
 * @now_usec: CLOCK_BOOTTIME µs of the event; a step back is read as no step
 * @ret: what the caller must do, see the header for the order; always written
 *
 * Whatever the event, a master first asks whether it is one still (stalled). Then the event is judged in the state that leaves.
 */
void election_step(Election *e, const ElectionEvent *event, uint64_t now_usec, ElectionUpdate *ret) {
        uint64_t deadline_usec = election_deadline_usec(e);

        *ret = (ElectionUpdate) { .from = e->state, .to = e->state, .reason = e->reason };
        e->now_usec = max(e->now_usec, now_usec);

        /* what is told about the advert just tried must count before the judgement */
        if (event->type == ELECTION_EVENT_SENT) {
                if (event->u.sent)
                        e->sent_usec = e->now_usec;
                return;
        }
        check_silence(e, ret);
        if (e->grouped && e->state == ELECTION_STATE_BACKUP && overslept(e, deadline_usec, e->now_usec))
                listen(e, dead_usec(e));

        switch (event->type) {
        case ELECTION_EVENT_ADVERT:
                note_heard(e, event);
                /* Who just stopped being master does not become it again in the same step, or the address would never be dropped; and
                 * what waited in the socket while we slept is no reason to preempt. */
                if (!ret->changed)
                        step_advert(e, event, ret);
                break;
        case ELECTION_EVENT_TIMER:
                step_timer(e, ret);
                break;
        case ELECTION_EVENT_READVERTISE:
                if (e->state == ELECTION_STATE_MASTER)
                        send_advert(e, ret);
                break;
        case ELECTION_EVENT_BAR:
                step_bar(e, event->u.bar.reason, ret);
                break;
        case ELECTION_EVENT_UNBAR:
                step_unbar(e, event->u.bar.reason, ret);
                break;
        case ELECTION_EVENT_DEMOTION:
                step_demotion(e, event->u.demotion, ret);
                break;
        case ELECTION_EVENT_DEMOTE:
                step_out(e, ELECTION_REASON_DEMOTED, event->u.hold_usec, ret);
                break;
        case ELECTION_EVENT_PROMOTE:
                if (!ret->changed)
                        step_promote(e, ret);
                break;
        case ELECTION_EVENT_SENT:
                break;
        case ELECTION_EVENT_ADDRESS_LOST:
                step_out(e, ELECTION_REASON_ADDRESS_LOST, event->u.hold_usec, ret);
                break;
        case ELECTION_EVENT_UNTOLD:
                step_untold(e, ret);
                break;
        case ELECTION_EVENT_SHUTDOWN:
                step_bar(e, event->u.stop_reason, ret);
                break;
        case ELECTION_EVENT_CONFIGURE:
                step_configure(e, &event->u.config, ret);
                break;
        case ELECTION_EVENT_SOURCE:
                e->ipv4 = event->u.source.ipv4;
                e->ipv6 = event->u.source.ipv6;
                break;
        case ELECTION_EVENT_GROUP:
                e->grouped = event->u.grouped;
                /* the silence that a restart interrupted, or a bar */
                if (e->grouped && overslept(e, election_due_usec(e), e->now_usec))
                        listen(e, dead_usec(e));
                break;
        case ELECTION_EVENT_SYNC:
                step_sync(e, event->u.sync, ret);
                break;
        }
        ret->changed = ret->changed && ret->from != ret->to;
        assert(ret->send == ELECTION_SEND_NONE || ret->from == ELECTION_STATE_MASTER || ret->to == ELECTION_STATE_MASTER);
}

uint64_t election_interval_usec(const Election *e) {
        return interval_usec(e);
}

uint64_t election_due_usec(const Election *e) {
        return e->state != ELECTION_STATE_BACKUP || e->barred != 0 ? ELECTION_NEVER : max(e->master_down_usec, e->eligible_usec);
}

bool election_wants(const Election *e, uint64_t now_usec) {
        return now_usec >= election_due_usec(e) && !overslept(e, election_deadline_usec(e), now_usec);
}

uint64_t election_deadline_usec(const Election *e) {
        switch (e->state) {
        case ELECTION_STATE_INIT:
                return ELECTION_NEVER;
        case ELECTION_STATE_BACKUP:
                /* who wants to be master with others waits for them; the timer only tells whether it slept meanwhile */
                return e->grouped && election_due_usec(e) <= e->now_usec ? add(e->now_usec, interval_usec(e)) : election_due_usec(e);
        case ELECTION_STATE_MASTER:
                return e->next_advert_usec;
        }
        return ELECTION_NEVER;
}

bool election_is_barred(const Election *e, ElectionReason reason) {
        return (e->barred & 1u << reason) != 0;
}

uint8_t election_advskew(const Election *e) {
        return skew_effective(e->config.advskew, e->demotion);
}

uint8_t election_demotion(const Election *e) {
        return e->config.demotion_byte ? (uint8_t) min(e->demotion, 255) : 0;
}
