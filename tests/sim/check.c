/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "sim.h"

/* What must hold. Two kinds of promises:
 *   always    a host holds the address exactly while it is master, lets go before it speaks for the last time, says nothing but its own values, takes
 *             over only after the silence, the hold and the delays it was given, and never sleeps on an address that is another's by now;
 *   in calm   (no fault in force; a host that is frozen, cut off or cannot send is left out) two masters become one within one advert of the slowest
 *             program, the neighbours believe the one that is left, none becomes one within the shortest dead interval, and after a while nothing
 *             changes any more and the right one is master.
 * Times and priorities are computed here from carp(4) and the configuration, never asked of the code under test. */

/* vipd says that adverts which fail three times in a row demote a master by 240, until three in a row leave. */
#define SENDS_IN_A_ROW 3
#define SEND_DEMOTION 240
/* In company an advert may be so much of an interval early. */
#define EARLY_RATIO 64
/* A handover between hosts that are well: network, timers, and the milliseconds by which backups stagger themselves. */
#define HANDOVER_USEC UINT64_C(3000)
/* From another master's last word until the neighbours are told again. */
#define BELIEVED_USEC UINT64_C(1100)
#define SLACK_USEC UINT64_C(200)
#define UCARP_REACTION_MAX SIM_SEC
/* Who sees a tie of its own rank listens up to this much longer, or an interval. */
#define TIE_SPREAD_MAX (SIM_SEC / 4)
#define ADVSKEW_DEMOTED_MAX 240

static unsigned rank(uint8_t advbase, uint8_t advskew) {
        return (unsigned) advbase << 8 | advskew;
}

/* Where all say their demotion in byte 4, that goes before. */
static unsigned wire_rank(const Sim *s, uint8_t demotion, uint8_t advbase, uint8_t advskew) {
        return (s->demotion_byte ? (unsigned) demotion << 16 : 0) | rank(advbase, advskew);
}

uint64_t wire_interval_usec(uint8_t advbase, uint8_t advskew) {
        return advbase * SIM_SEC + advskew * SIM_SEC / 256;
}

static uint32_t own_demotion(const Host *h) {
        return h->demotion_told + (h->send_demoted ? SEND_DEMOTION : 0);
}

/* advbase 0 and advskew 0 would be no interval: vipd says that it counts as advskew 1. */
uint8_t host_advskew(const Host *h) {
        uint32_t advskew = h->advskew;

        if (advskew < ADVSKEW_DEMOTED_MAX)
                advskew = MIN(advskew + MIN(own_demotion(h), 255), ADVSKEW_DEMOTED_MAX);
        return (uint8_t) (h->advbase == 0 ? MAX(advskew, 1) : advskew);
}

static uint8_t host_demotion_byte(const Host *h) {
        return h->sim->demotion_byte ? (uint8_t) MIN(own_demotion(h), 255) : 0;
}

static unsigned host_rank(const Host *h) {
        return wire_rank(h->sim, host_demotion_byte(h), h->advbase, host_advskew(h));
}

/* What a master says: a promoted one 0/0 for a while. */
static unsigned own_rank(const Host *h) {
        return h->sim->now < h->promoted_usec ? 0 : host_rank(h);
}

uint64_t host_interval_usec(const Host *h) {
        return wire_interval_usec(h->advbase, host_advskew(h));
}

static uint64_t dead_usec(const Host *h, uint8_t advskew) {
        uint64_t skew = advskew * SIM_SEC / 256;

        if (h->advbase == 0)
                return h->dead_ratio * skew;
        return h->dead_ratio * h->advbase * SIM_SEC + skew;
}

/* Within this much silence the host takes over. */
uint64_t host_dead_usec(const Host *h) {
        if (h->kind == HOST_KIND_UCARP)
                return (h->dead_ratio + 1) * host_interval_usec(h) + UCARP_REACTION_MAX;
        return dead_usec(h, host_advskew(h));
}

/* Not within this much: whether the demotion counts here is the program's choice. */
static uint64_t patience_usec(const Host *h) {
        return dead_usec(h, (uint8_t) (h->advbase == 0 ? MAX(h->advskew, 1) : h->advskew));
}

uint64_t sim_dead_max_usec(const Sim *s) {
        uint64_t longest = 0;

        for (unsigned k = 0; k < s->n_hosts; k++)
                longest = MAX(longest, host_dead_usec(&s->hosts[k]));
        return longest;
}

uint64_t sim_interval_max_usec(const Sim *s) {
        uint64_t longest = 0;

        for (unsigned k = 0; k < s->n_hosts; k++)
                longest = MAX(longest, host_interval_usec(&s->hosts[k]));
        return longest;
}

/* On the healthy segment, as others see it. */
static bool takes_part(const Host *h) {
        return h->running && !h->stalled && h->link_up && h->link_told && !h->send_fails && !h->hold_fails;
}

static bool eligible(const Host *h) {
        return takes_part(h) && (h->kind != HOST_KIND_VIPD || (h->enabled && h->healthy));
}

static bool calm(const Sim *s) {
        return s->n_active == 0 && s->now >= s->calm_since;
}

static bool past(uint64_t now, uint64_t since, uint64_t bound) {
        return now > since && now - since > bound;
}

static uint64_t jitter(const Sim *s) {
        return s->delay_max + s->latency_max + SLACK_USEC;
}

/* Two configurations are no group when one's patience ends just as the other's next advert is due: whoever is lucky is master. No program can make a
 * promise then, and none is checked. */
static bool ill_matched(const Sim *s) {
        for (unsigned a = 0; a < s->n_hosts; a++)
                for (unsigned b = 0; b < s->n_hosts; b++) {
                        uint64_t dead = host_dead_usec(&s->hosts[a]), interval = host_interval_usec(&s->hosts[b]);

                        if (a != b && dead >= interval && dead < interval + 4 * jitter(s))
                                return true;
                }
        return false;
}

/* Since when, counted from now, nothing may change: everybody may be master, the last dead interval has run out, the better ones have preempted (a
 * promoted host's word is over), and the last exchange is done. */
static uint64_t settle_usec(const Sim *s) {
        uint64_t from = s->calm_since, dead = sim_dead_max_usec(s), interval = sim_interval_max_usec(s);

        if (ill_matched(s))
                return SIM_NEVER;
        for (unsigned k = 0; k < s->n_hosts; k++) {
                const Host *h = &s->hosts[k];

                if (h->kind == HOST_KIND_VIPD && eligible(h))
                        from = MAX(MAX(from, MAX(h->eligible_usec, h->return_usec)), MAX(h->preempt_usec, h->promoted_usec));
        }
        /* who can no longer renew its lease finds out when it is due */
        for (unsigned k = 0; k < s->n_hosts; k++)
                if (s->hosts[k].hold_fails && s->hosts[k].state == ELECTION_STATE_MASTER)
                        from = MAX(from, s->now + s->hosts[k].lease_sec * SIM_SEC);
        /* two hosts that both lost a tie come back a random moment apart; a slow program says and hears everything later */
        return from + dead + 2 * interval + MIN(interval, TIE_SPREAD_MAX) + jitter(s) +
               (s->foreign ? 2 * (dead + interval + UCARP_REACTION_MAX) : 0);
}

/**
 * check_disturbed() - something was done to the hosts or the network
 *
 * To be called before, so that it is known whether it fell into peace, and after, when the new times can be told.
 */
void check_disturbed(Sim *s) {
        if (s->disturbed_usec != s->now) {
                s->settled_before = s->n_active == 0 && s->now >= s->settle_usec;
                s->disturbed_usec = s->now;
                s->handover_until = SIM_NEVER;
                s->handover_of_two = false;
        }
        s->calm_since = MAX(s->now, s->last_delivery) + (s->foreign ? UCARP_REACTION_MAX : 0);
        s->settle_usec = s->n_active == 0 ? settle_usec(s) : SIM_NEVER;
        s->settled = false;
}

static void check_takeover(Host *h, ElectionReason reason) {
        Sim *s = h->sim;
        unsigned heard = wire_rank(s, h->heard_demotion, h->heard_advbase, h->heard_advskew);
        bool demoted = h->heard_demotion > host_demotion_byte(h);
        bool preempts = (h->preempt || demoted) && host_rank(h) < heard && s->now >= h->preempt_usec;
        bool impatient = wire_interval_usec(h->heard_advbase, h->heard_advskew) > patience_usec(h);

        if (h->state == ELECTION_STATE_INIT)
                sim_fail(s, h, "became master without having listened");
        if (!h->enabled_told || !h->link_told)
                sim_fail(s, h, "became master though it takes no part");
        if (!h->healthy_told)
                sim_fail(s, h, "became master though its health forbids it");
        if (reason != ELECTION_REASON_PROMOTED && s->now < h->eligible_usec)
                sim_fail(s, h, "became master %.6f s before it may", (double) (h->eligible_usec - s->now) / SIM_SEC);
        if (reason == ELECTION_REASON_MASTER_TIMEOUT && s->now < h->timeout_usec)
                sim_fail(s, h, "took over %.6f s before the silence was long enough",
                         (double) (h->timeout_usec - s->now) / SIM_SEC);
        if (reason == ELECTION_REASON_PREEMPTING && !preempts && !impatient)
                sim_fail(s, h, "preempted %u/%u though it may not", h->heard_advbase, h->heard_advskew);
        if (reason == ELECTION_REASON_BOW_OUT && rank(h->heard_advbase, h->heard_advskew) != rank(255, 255))
                sim_fail(s, h, "took over for a bow-out that it did not hear");
        if (reason == ELECTION_REASON_PROMOTED && s->now >= h->promoted_usec)
                sim_fail(s, h, "took over as promoted, which it was not");
}

static void check_release(Host *h, ElectionReason reason) {
        Sim *s = h->sim;

        if (reason == ELECTION_REASON_PREEMPTED && wire_rank(s, h->heard_demotion, h->heard_advbase, h->heard_advskew) > own_rank(h))
                sim_fail(s, h, "yielded to %u/%u, which is worse", h->heard_advbase, h->heard_advskew);
        if (reason == ELECTION_REASON_STALLED && !h->resuming)
                sim_fail(s, h, "says that it was stalled, which it was not");
        if (reason == ELECTION_REASON_SEND_FAILED && !h->unsaid && s->now - h->sent_usec < (h->dead_ratio - 1) * h->advbase * SIM_SEC)
                sim_fail(s, h, "gave up over adverts that had left");
}

static void note_backup(Host *h, ElectionReason reason) {
        uint64_t now = h->sim->now, delay = h->start_delay_usec == SIM_NEVER ? host_dead_usec(h) : h->start_delay_usec;

        h->timeout_usec = now + patience_usec(h);
        if (h->state == ELECTION_STATE_INIT) {
                h->timeout_usec = h->eligible_usec = now + delay;
                h->preempt_usec = now + h->preempt_delay_usec;
        } else if (reason == ELECTION_REASON_SEND_FAILED) {
                h->return_usec = now + 2 * dead_usec(h, MAX(host_advskew(h), ADVSKEW_DEMOTED_MAX));
                h->eligible_usec = now + 2 * (h->advbase == 0 ? patience_usec(h) : dead_usec(h, 0));
        } else if (reason == ELECTION_REASON_ADDRESS_LOST)
                h->eligible_usec = now + h->demote_hold_usec;
}

/**
 * check_hand_over() - who restarts as master has peers that wait for it
 */
void check_hand_over(const Host *h) {
        if (h->state == ELECTION_STATE_MASTER && h->advbase == 0)
                sim_fail(h->sim, h, "restarts as master though its peers do not wait for it");
}

/**
 * check_restarted_backup() - it heard nothing meanwhile: a master that lives must have the time to speak once more
 */
void check_restarted_backup(Host *h) {
        uint64_t interval = MIN(wire_interval_usec(h->heard_advbase, h->heard_advskew), wire_interval_usec(h->advbase, 254));


        h->timeout_usec = MAX(h->timeout_usec, h->sim->now + MIN(interval, patience_usec(h)));
}

/**
 * check_stays_master() - nothing has happened to a master that restarted but that it restarted, and not for too long
 */
bool check_stays_master(const Host *h) {
        return h->state == ELECTION_STATE_MASTER && h->sim->now - h->sent_usec < dead_usec(h, 0) &&
               h->link_up && !h->loss_untold && h->enabled && h->healthy && !h->hold_fails && !h->send_fails;
}

/* A planned handover in peace: the address is down, and another one is called. */
static void expect_handover(const Host *h) {
        Sim *s = h->sim;
        unsigned n_heirs = 0, n_others = 0;

        if (!s->settled_before || s->disturbed_usec != s->now || s->n_active > 0 || s->foreign || !h->link_up || h->send_fails)
                return;
        for (unsigned k = 0; k < s->n_hosts; k++) {
                const Host *other = &s->hosts[k];

                if (other == h || !other->running)
                        continue;
                n_others++;
                n_heirs += eligible(other) && other->eligible_usec <= s->now;
        }
        s->handover_of_two = n_others == 1;
        if (n_heirs > 0) {
                s->handover_until = s->now + HANDOVER_USEC;
                s->total_handovers++;
        }
}

/**
 * check_state() - a host goes from h->state to another state
 */
void check_state(Host *h, ElectionState state, ElectionReason reason) {
        Sim *s = h->sim;
        bool vipd = h->kind == HOST_KIND_VIPD;

        sim_trace(s, h, "%s -> %s (%s)", election_state_to_string(h->state), election_state_to_string(state),
                  election_reason_to_string(reason));
        s->total_transitions++;
        if (s->n_active == 0 && s->now >= s->settle_usec && takes_part(h))
                sim_fail(s, h, "became %s (%s) though nothing had happened for %.6f s", election_state_to_string(state),
                         election_reason_to_string(reason), (double) (s->now - s->calm_since) / SIM_SEC);
        if (vipd && state == ELECTION_STATE_MASTER)
                check_takeover(h, reason);
        else if (vipd && h->state == ELECTION_STATE_MASTER) {
                check_release(h, reason);
                if (reason == ELECTION_REASON_DEMOTED || reason == ELECTION_REASON_HEALTH || reason == ELECTION_REASON_DISABLED ||
                    reason == ELECTION_REASON_SHUTDOWN)
                        expect_handover(h);
        }

        for (unsigned k = 0; k < s->n_hosts; k++)
                if (&s->hosts[k] != h && s->hosts[k].state == ELECTION_STATE_MASTER)
                        s->tie_usec = s->now;
        if (reason == ELECTION_REASON_PREEMPTED)
                s->tie_usec = s->now;
        switch (state) {
        case ELECTION_STATE_INIT:
                h->eligible_usec = h->return_usec = h->promoted_usec = 0;
                break;
        case ELECTION_STATE_BACKUP:
                note_backup(h, reason);
                h->promoted_usec = 0;
                break;
        case ELECTION_STATE_MASTER:
                h->eligible_usec = MIN(h->eligible_usec, s->now);
                h->return_usec = MIN(h->return_usec, s->now);
                h->sent_usec = s->now;
                h->unsaid = h->call.n_sent == 0 && reason == ELECTION_REASON_PREEMPTING;
                h->call.became_master = true;
                break;
        }
        h->state = state;
        /* who gave up over what was done to it before stays out for a while longer */
        if (reason == ELECTION_REASON_SEND_FAILED && s->n_active == 0)
                s->settle_usec = settle_usec(s);
}

static void set_send_demotion(Host *h, bool demoted) {
        bool better = h->send_demoted && !demoted;

        h->n_sends = 0;
        h->send_demoted = demoted;
        if (!better)
                return;
        /* what is better again waits for a preempt delay from here */
        h->preempt_usec = h->sim->now + h->preempt_delay_usec;
        if (h->sim->n_active == 0)
                h->sim->settle_usec = settle_usec(h->sim);
}

/**
 * check_advert() - vipd is about to send this
 */
void check_advert(Host *h, const CarpAdvert *advert) {
        Sim *s = h->sim;
        unsigned said = wire_rank(s, advert->demotion, advert->advbase, advert->advskew), own = host_rank(h);
        bool last = h->call.n_releases > 0;

        if (rank(advert->advbase, advert->advskew) == rank(255, 255)) {
                if (h->held)
                        sim_fail(s, h, "bows out while it holds the address");
                if (!last && h->call.n_holds_failed == 0)
                        sim_fail(s, h, "bows out though it was not master");
                return;
        }
        if (!h->held && !last && !h->resuming && !h->loss_untold)
                sim_fail(s, h, "advertises an address that it does not hold");
        /* a promoted host says 0/0 whatever it is */
        if (!last && h->n_sends >= SENDS_IN_A_ROW && instance_demotion(h->instance) != own_demotion(h)) {
                set_send_demotion(h, !h->send_demoted);
                own = host_rank(h);
        }
        if (said == 0 && s->now < h->promoted_usec)
                return;
        if (said != own && !(last && said == own + 1) && !(last && h->advbase < 254 && rank(advert->advbase, advert->advskew) == rank(h->advbase + 1, 0)))
                sim_fail(s, h, "says %u/%u instead of %u/%u", advert->advbase, advert->advskew, h->advbase,
                         host_advskew(h));
}

/**
 * check_sends() - at its next wake-up at the latest a master draws its conclusion from what could not be sent
 */
void check_sends(Host *h) {
        if (h->state == ELECTION_STATE_MASTER && h->n_sends >= SENDS_IN_A_ROW)
                sim_fail(h->sim, h, "%u adverts in a row %s, and its demotion is still %u", h->n_sends,
                         h->send_demoted ? "left" : "failed", instance_demotion(h->instance));
}

/**
 * check_heard() - vipd is about to hear this, and to believe it
 */
void check_heard(Host *h, const CarpAdvert *advert) {
        h->heard_advbase = advert->advbase;
        h->heard_advskew = advert->advskew;
        h->heard_demotion = h->sim->demotion_byte ? advert->demotion : 0;
        if (h->state != ELECTION_STATE_BACKUP || rank(advert->advbase, advert->advskew) == rank(255, 255))
                return;
        h->timeout_usec = h->sim->now + patience_usec(h);
}

void check_call_begin(Host *h) {
        memset(&h->call, 0, sizeof(h->call));
        h->call.before = h->state;
}

/**
 * check_call_end() - the instance has done what it wanted to do about one fact or verb
 */
void check_call_end(Host *h) {
        Sim *s = h->sim;
        ElectionState state = instance_state(h->instance);
        bool interface_gone = h->loss_untold && h->link_reason == ELECTION_REASON_INTERFACE_MISSING;

        if (state != ELECTION_STATE_MASTER)
                set_send_demotion(h, false);
        /* all that it had to say of it could be said before */
        if (h->n_sends >= SENDS_IN_A_ROW && instance_demotion(h->instance) != own_demotion(h))
                set_send_demotion(h, !h->send_demoted);
        if (instance_demotion(h->instance) != own_demotion(h))
                sim_fail(s, h, "is demoted by %u instead of %u", instance_demotion(h->instance), own_demotion(h));
        if (state != h->state)
                sim_fail(s, h, "is %s and did not tell", election_state_to_string(state));
        if (state != ELECTION_STATE_MASTER && h->held)
                sim_fail(s, h, "holds the address though it is not master");
        if (state == ELECTION_STATE_MASTER && !h->held && !h->resuming && !interface_gone)
                sim_fail(s, h, "is master and does not hold the address");
        if (h->call.became_master && state == ELECTION_STATE_MASTER && h->call.n_announces == 0)
                sim_fail(s, h, "became master and did not announce");
        if (h->call.became_master && state == ELECTION_STATE_MASTER && h->call.n_sent == 0 && h->link_up && !h->send_fails)
                sim_fail(s, h, "became master and did not say so");
        if (state == ELECTION_STATE_MASTER && h->unsaid && past(s->now, h->sent_usec, 2 * jitter(s)))
                sim_fail(s, h, "took over from a master that does not hear it, and goes on");
        if (h->call.before == ELECTION_STATE_MASTER && state != ELECTION_STATE_MASTER && h->call.n_releases == 0)
                sim_fail(s, h, "left mastership and did not release");
        /* a packet that it does not believe is no occasion to look at the time */
        if (h->overslept && h->call.n_effects > 0) {
                if (h->held || !h->call.first_is_release)
                        sim_fail(s, h, "woke after its dead interval and did not first let go");
                h->overslept = false;
        }
}

static void check_masters(Sim *s, unsigned n_masters) {
        uint64_t interval = sim_interval_max_usec(s), bound = interval + 2 * jitter(s);

        /* other programs tell a worse master nothing before their next advert: a third who replaces him waits for one more */
        if (s->foreign)
                bound += UCARP_REACTION_MAX + (s->n_hosts > 2 ? interval : 0);

        /* who speaks again may be as quick as before at once; what was waited for was his slow word */
        bound = s->overlap_bound = MAX(s->overlapping ? s->overlap_bound : 0, bound);
        if (s->overlapping && past(s->now, MAX(s->overlap_since, s->calm_since), bound))
                sim_fail(s, NULL, "more than one master for %.6f s",
                         (double) (s->now - MAX(s->overlap_since, s->calm_since)) / SIM_SEC);
        if (n_masters > 1 && s->handover_of_two && s->now <= s->disturbed_usec + HANDOVER_USEC)
                sim_fail(s, NULL, "two masters in a planned handover");
        if (n_masters > 1 && !s->overlapping)
                s->overlap_since = s->now;
        s->overlapping = n_masters > 1;
}

/* The first who has been silent long enough takes over. */
static uint64_t takeover_due(const Sim *s) {
        uint64_t due = SIM_NEVER;

        for (unsigned k = 0; k < s->n_hosts; k++) {
                const Host *h = &s->hosts[k];
                uint64_t since = MAX(s->masterless_since, s->calm_since), dead;

                if (!eligible(h))
                        continue;
                if (h->kind == HOST_KIND_VIPD)
                        since = MAX(since, MAX(h->eligible_usec, h->return_usec));
                dead = host_dead_usec(h);
                if (s->tie_usec + dead >= since)
                        dead += MIN(host_interval_usec(h), TIE_SPREAD_MAX);
                due = MIN(due, since + dead);
        }
        return due == SIM_NEVER ? due : due + 2 * jitter(s);
}

static void check_gap(Sim *s, unsigned n_masters) {
        if (s->masterless && s->now > takeover_due(s))
                sim_fail(s, NULL, "no master for %.6f s",
                         (double) (s->now - MAX(s->masterless_since, s->calm_since)) / SIM_SEC);
        if (n_masters == 0 && s->now > s->handover_until)
                sim_fail(s, NULL, "nobody took over when the master bowed out");
        if (n_masters > 0) {
                s->handover_until = SIM_NEVER;
                s->handover_of_two = false;
        }
        if (n_masters == 0 && !s->masterless)
                s->masterless_since = s->now;
        s->masterless = n_masters == 0;
}

/* A dead or frozen master's address is taken back by the kernel before its heir has it; if the lease, in whole seconds, can be that short and still
 * outlast the pause between two adverts. */
static void check_lease(Sim *s, const Host *master) {
        uint64_t shortest = SIM_NEVER;

        for (unsigned k = 0; k < s->n_hosts; k++)
                if (eligible(&s->hosts[k]))
                        shortest = MIN(shortest, patience_usec(&s->hosts[k]));
        for (unsigned k = 0; k < s->n_hosts; k++) {
                Host *h = &s->hosts[k];

                if (h != master && h->held && !takes_part(h) && !h->deaf && (h->stalled || !h->running) &&
                    h->lease == CONFIG_LEASE_AUTO && h->left_usec == s->disturbed_usec && s->settled_before &&
                    (h->lease_sec + 1) * SIM_SEC <= shortest &&
                    h->lease_sec * SIM_SEC > host_interval_usec(h) + SIM_SEC / 4 &&
                    instance_reason(master->instance) == ELECTION_REASON_MASTER_TIMEOUT)
                        sim_fail(s, h, "is gone, and its kernel holds the address longer than the others wait");
        }
}

/* Nobody who should be master instead is backup. */
static void check_best(Sim *s, const Host *master) {
        for (unsigned k = 0; k < s->n_hosts; k++) {
                Host *h = &s->hosts[k];

                if (h == master || !eligible(h))
                        continue;
                if ((h->preempt || host_demotion_byte(h) < host_demotion_byte(master)) && host_rank(h) < host_rank(master))
                        sim_fail(s, h, "preempts, is better than host %u, and is backup", master->number);
                if (host_dead_usec(h) < host_interval_usec(master))
                        sim_fail(s, h, "is backup to host %u, whose adverts come too slowly", master->number);
        }
}

/* Everybody can say who is master. */
static void check_known(Sim *s, const Host *master) {
        for (unsigned k = 0; k < s->n_hosts; k++) {
                const Host *h = &s->hosts[k];
                const IpAddress *known;

                if (h->kind != HOST_KIND_VIPD || !takes_part(h) || h->state == ELECTION_STATE_INIT)
                        continue;
                known = instance_master(h->instance);
                if (!ip_address_equal(known, &master->sources[0]) && !ip_address_equal(known, &master->sources[1]))
                        sim_fail(s, h, "does not know that host %u is master", master->number);
        }
}

static void check_settled(Sim *s, const Host *master, unsigned n_masters, unsigned n_eligible) {
        if (s->settled)
                return;
        s->settled = true;
        s->total_settled++;
        if (n_eligible > 0 && n_masters != 1)
                sim_fail(s, NULL, "%u masters after everything should have settled", n_masters);
        if (master) {
                check_best(s, master);
                check_known(s, master);
        }
        for (unsigned k = 0; k < s->n_hosts; k++)
                s->hosts[k].n_sent_settled = s->hosts[k].n_sent;
}

/* Who hears that another was master after it tells the neighbours that it is not so. Announcements take no time here and are not lost: their order
 * is that of sending. Those of other programs are not simulated. */
static void check_believed(Sim *s, const Host *master) {
        if (!s->foreign && s->believed && s->believed != master && master->contested_usec >= s->believed_usec &&
            past(s->now, MAX(master->contested_usec, s->calm_since), BELIEVED_USEC + s->latency_max))
                sim_fail(s, master, "knew better, and the neighbours believe host %u", s->believed->number);
}

static void check_cadence(const Host *master) {
        Sim *s = master->sim;
        uint64_t since = MAX(master->sent_usec, s->calm_since);

        if (past(s->now, since, host_interval_usec(master) + s->latency_max))
                sim_fail(s, master, "has not advertised for %.6f s", (double) (s->now - since) / SIM_SEC);
}

/**
 * check_step() - look at the whole after every event
 */
void check_step(Sim *s) {
        unsigned n_masters = 0, n_eligible = 0;
        const Host *master = NULL;

        if (!calm(s) || s->settle_usec == SIM_NEVER) {
                s->overlapping = s->masterless = false;
                return;
        }
        for (unsigned k = 0; k < s->n_hosts; k++) {
                const Host *h = &s->hosts[k];

                if (takes_part(h) && h->state == ELECTION_STATE_MASTER) {
                        n_masters++;
                        master = h;
                }
                n_eligible += eligible(h);
        }
        check_masters(s, n_masters);
        if (n_eligible > 0)
                check_gap(s, n_masters);
        else
                s->masterless = false;
        if (master && master->kind == HOST_KIND_VIPD) {
                check_cadence(master);
                check_lease(s, master);
                check_believed(s, master);
        }
        if (s->now >= s->settle_usec)
                check_settled(s, master, n_masters, n_eligible);
}

/**
 * check_calm_end() - the next faults begin, or the schedule ends
 */
void check_calm_end(Sim *s) {
        check_step(s);
        if (!s->settled || s->now < s->settle_usec)
                return;
        for (unsigned k = 0; k < s->n_hosts; k++) {
                const Host *h = &s->hosts[k];
                uint64_t n = h->n_sent - h->n_sent_settled;

                if (h->kind != HOST_KIND_VIPD || !takes_part(h))
                        continue;
                if (h->state != ELECTION_STATE_MASTER && n > 0)
                        sim_fail(s, h, "advertises though it is not master");
                if (n > (s->now - s->settle_usec) / (host_interval_usec(h) - host_interval_usec(h) / EARLY_RATIO) + 2)
                        sim_fail(s, h, "sent %u adverts in %.6f s of peace", (unsigned) n,
                                 (double) (s->now - s->settle_usec) / SIM_SEC);
        }
}
