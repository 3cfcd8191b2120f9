/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "groups.h"

/* What must hold of groups:
 *   always    after every pass of the loop a host is master of its whole group or of nothing of it, holds exactly what it is master of, is as demoted on
 *             every segment, and took over only where every member had a reason to;
 *   in calm   two masters that hear each other on any segment become one within one advert; a planned end of mastership has an heir at once, a lost
 *             link within one advert; and after a while nothing changes any more, however the segments are parted, and nobody who could be master of
 *             everything hears no master at all, or only worse ones where he preempts. */

#define HANDOVER_USEC UINT64_C(3000)
#define ABSENT_USEC UINT64_C(100000)
#define SPREAD_USEC (SEC / 4)
/* Hosts that are better on different segments yield to each other until chance parts them. */
#define N_CROSSED_ROUNDS 10
#define ADVSKEW_DEMOTED_MAX 240

/* vipd says that adverts which cannot be sent, three in a row, demote by this much more. */
#define SEND_DEMOTION 240

static uint32_t demotion_of(const Side *s) {
        bool cannot_send = s->instance && instance_own_demotion(s->instance) == s->demotion_told + SEND_DEMOTION;

        return s->demotion_told + (cannot_send ? SEND_DEMOTION : 0);
}

static uint8_t advskew_of(const Side *s) {
        uint32_t advskew = s->advskew, demotion = 0;

        for (unsigned k = 0; k < s->host->world->n_sides; k++)
                if (&s->host->sides[k] == s || (s->grouped && s->host->sides[k].grouped))
                        demotion = MAX(demotion, demotion_of(&s->host->sides[k]));
        if (advskew < ADVSKEW_DEMOTED_MAX)
                advskew = MIN(advskew + MIN(demotion, 255), ADVSKEW_DEMOTED_MAX);
        return (uint8_t) advskew;
}

unsigned side_rank(const Side *s) {
        return (unsigned) s->host->world->advbase << 8 | advskew_of(s);
}

uint64_t side_interval_usec(const Side *s) {
        return s->host->world->advbase * SEC + advskew_of(s) * SEC / 256;
}

static uint64_t dead_usec(const World *w, uint8_t advskew) {
        uint64_t skew = advskew * SEC / 256;

        return w->advbase == 0 ? w->dead_ratio * skew : w->dead_ratio * w->advbase * SEC + skew;
}

uint64_t side_dead_usec(const Side *s) {
        return dead_usec(s->host->world, advskew_of(s));
}

uint64_t world_dead_max_usec(const World *w) {
        uint64_t longest = 0;

        for (unsigned k = 0; k < w->n_hosts; k++)
                for (unsigned o = 0; o < w->n_sides; o++)
                        longest = MAX(longest, side_dead_usec(&w->hosts[k].sides[o]));
        return longest;
}

uint64_t world_interval_max_usec(const World *w) {
        uint64_t longest = 0;

        for (unsigned k = 0; k < w->n_hosts; k++)
                for (unsigned o = 0; o < w->n_sides; o++)
                        longest = MAX(longest, side_interval_usec(&w->hosts[k].sides[o]));
        return longest;
}

static bool able(const Host *h) {
        bool able = h->running && !h->stalled;

        for (unsigned k = 0; able && k < h->world->n_sides; k++) {
                const Side *s = &h->sides[k];

                able = s->link_up && s->link_told && s->enabled && !s->send_fails && !s->hold_fails && s->grouped;
        }
        return able;
}

bool host_is_master(const Host *h) {
        bool master = h->running;

        for (unsigned k = 0; k < h->world->n_sides; k++)
                master = master && h->sides[k].state == ELECTION_STATE_MASTER;
        return master;
}

static bool connected(const Host *a, const Host *b, unsigned side) {
        World *w = a->world;

        return a->running && b->running && !a->stalled && !b->stalled && a->sides[side].link_up && b->sides[side].link_up &&
               !world_cut(w, side, a->number, b->number);
}

static bool parted(const World *w) {
        for (unsigned k = 0; k < w->n_faults; k++)
                if (w->faults[k].active && w->faults[k].type == FAULT_PARTITION)
                        return true;
        return false;
}

static uint64_t jitter(const World *w) {
        return w->delay_max + w->latency_max + 200;
}

static uint64_t settle_usec(const World *w) {
        uint64_t from = w->now, round = world_dead_max_usec(w) + 2 * world_interval_max_usec(w) + SPREAD_USEC + jitter(w);

        if (w->n_active > 0)
                return NEVER;
        for (unsigned k = 0; k < w->n_hosts; k++) {
                const Host *h = &w->hosts[k];

                from = MAX(from, MAX(h->promoted_usec, h->joining_usec));
                for (unsigned o = 0; o < w->n_sides; o++)
                        from = MAX(from, MAX(MAX(h->sides[o].eligible_usec, h->sides[o].return_usec), h->sides[o].preempt_usec + h->preempt_delay_usec));
        }
        return from + (w->crossed ? N_CROSSED_ROUNDS : 2) * round;
}

void check_disturbed(World *w) {
        if (w->calm_since != w->now)
                w->peace = w->n_active == 0 && w->now >= w->settle_usec;
        w->calm_since = w->now;
        w->settle_usec = settle_usec(w);
        w->handover_until = w->overlap_since = NEVER;
}

/* Is there somebody to take everything, who would hear of it on every segment? */
void check_planned_leave(const Host *h, bool silent) {
        World *w = h->world;
        unsigned n_heirs = 0;

        if (!w->peace || !host_is_master(h) || parted(w) || w->n_active > 1)
                return;
        for (unsigned k = 0; k < w->n_hosts; k++)
                n_heirs += &w->hosts[k] != h && able(&w->hosts[k]);
        if (n_heirs == 0)
                return;
        w->totals[3]++;
        w->handover_until = w->now + HANDOVER_USEC;
        if (silent)
                w->handover_until += world_interval_max_usec(w) + MIN(ABSENT_USEC, world_interval_max_usec(w) / 2);
}

static void check_takeover(Side *s, ElectionReason reason) {
        const Host *h = s->host;
        World *w = h->world;
        uint64_t now = w->now;

        if (s->state == ELECTION_STATE_INIT || !s->link_told || !s->enabled_told)
                world_fail(w, s, "became master though it takes no part");
        if (reason != ELECTION_REASON_PROMOTED && now < s->eligible_usec)
                world_fail(w, s, "became master before it may");
        if (reason == ELECTION_REASON_PROMOTED && now >= h->promoted_usec)
                world_fail(w, s, "became master as promoted, which it was not");
        if (reason == ELECTION_REASON_MASTER_TIMEOUT && now - s->listened_usec < dead_usec(w, s->advskew))
                world_fail(w, s, "took over before the silence was long enough");
        if (reason == ELECTION_REASON_BOW_OUT && (h->bow_out_usec == 0 || s->heard_usec > h->bow_out_usec))
                world_fail(w, s, "took over for a bow-out that it did not hear, or after which a master spoke");
        if (reason == ELECTION_REASON_BOW_OUT && s->grouped && s->bow_out_usec < h->bow_out_usec && s->heard_usec > 0 &&
            s->heard_usec >= s->bow_out_usec && now < s->heard_usec + s->heard_interval_usec)
                world_fail(w, s, "took over for a bow-out on another segment before its master could speak again");
        if (reason == ELECTION_REASON_PREEMPTING && s->heard_interval_usec <= side_dead_usec(s) &&
            (!h->preempt || side_rank(s) >= s->heard_rank || now < s->preempt_usec + h->preempt_delay_usec))
                world_fail(w, s, "preempted though it may not");
}

void check_state(Side *s, ElectionState state, ElectionReason reason) {
        World *w = s->host->world;

        world_trace(w, s, "%s -> %s (%s)", election_state_to_string(s->state), election_state_to_string(state),
                    election_reason_to_string(reason));
        w->totals[2]++;
        if (w->now >= w->settle_usec)
                world_fail(w, s, "became %s (%s) though nothing had happened for %.6f s", election_state_to_string(state),
                           election_reason_to_string(reason), (double) (w->now - w->calm_since) / SEC);
        switch (state) {
        case ELECTION_STATE_INIT:
                s->eligible_usec = 0;
                break;
        case ELECTION_STATE_BACKUP:
                if (s->state == ELECTION_STATE_INIT) {
                        s->eligible_usec = w->now + dead_usec(w, s->advskew);
                        s->preempt_usec = w->now;
                } else if (reason == ELECTION_REASON_ADDRESS_LOST)
                        s->eligible_usec = w->now + s->host->demote_hold_usec;
                else if (reason == ELECTION_REASON_SEND_FAILED)
                        s->return_usec = w->now + 2 * side_dead_usec(s);
                s->listened_usec = w->now;
                break;
        case ELECTION_STATE_MASTER:
                check_takeover(s, reason);
                s->eligible_usec = MIN(s->eligible_usec, w->now);
                s->became_master = true;
                break;
        }
        s->state = state;
}

void check_pass_begin(Host *h) {
        for (unsigned k = 0; k < h->world->n_sides; k++) {
                h->sides[k].became_master = false;
                h->sides[k].demotion_before = h->sides[k].instance ? instance_demotion(h->sides[k].instance) : 0;
        }
}

void check_pass_end(Host *h) {
        World *w = h->world;
        unsigned n_masters = 0, n_grouped = 0, n_passing = 0;
        const Side *first = NULL;
        bool unheard = false;

        for (unsigned k = 0; k < w->n_sides; k++) {
                Side *s = &h->sides[k];
                bool master = s->state == ELECTION_STATE_MASTER;

                if (master != (instance_state(s->instance) == ELECTION_STATE_MASTER))
                        world_fail(w, s, "changed its state and did not tell");
                if (master != s->held && !(h->resuming && s->hold_fails))
                        world_fail(w, s, s->held ? "holds the address though it is not master" : "is master and does not hold the address");
                if (instance_demotion(s->instance) != s->demotion_before)
                        s->judged_usec = w->now;
                /* health regained: from here on PreemptDelay= counts */
                if (instance_demotion(s->instance) < s->demotion_before)
                        s->preempt_usec = w->now;
                if (!s->grouped)
                        continue;
                n_grouped++;
                unheard = unheard || s->send_fails || !s->link_up;
                n_passing += s->became_master && !master;
                n_masters += master;
                if (first && instance_demotion(first->instance) != instance_demotion(s->instance))
                        world_fail(w, s, "is not as demoted as its group");
                first = s;
        }
        /* its peers have yielded for nothing; who cannot tell those of one segment finds out when those of another have heard */
        if (n_passing > 0 && n_grouped > 1 && !unheard)
                world_fail(w, first, "or one of its group was master and gave up in the same pass");
        if (n_masters > 0 && n_masters < n_grouped && w->now >= h->joining_usec)
                world_fail(w, first, "and its group: %u of %u are master", n_masters, n_grouped);
}

static void check_overlap(World *w) {
        bool overlapping = false;

        for (unsigned a = 0; a < w->n_hosts; a++)
                for (unsigned b = 0; b < a; b++)
                        for (unsigned k = 0; k < w->n_sides; k++)
                                overlapping = overlapping ||
                                              (connected(&w->hosts[a], &w->hosts[b], k) && host_is_master(&w->hosts[a]) && host_is_master(&w->hosts[b]));
        if (!overlapping)
                w->overlap_since = NEVER;
        else if (w->overlap_since == NEVER)
                w->overlap_since = w->now;
        else if (w->now - w->overlap_since > world_interval_max_usec(w) + 2 * jitter(w))
                world_fail(w, NULL, "two masters hear each other for %.6f s", (double) (w->now - w->overlap_since) / SEC);
}

/* Does somebody who is master keep this host from being it? */
static bool is_kept(const Host *h) {
        for (unsigned k = 0; k < h->world->n_hosts; k++) {
                const Host *m = &h->world->hosts[k];

                for (unsigned o = 0; m != h && host_is_master(m) && o < h->world->n_sides; o++)
                        if (connected(h, m, o) && !(h->preempt && side_rank(&h->sides[o]) < side_rank(&m->sides[o])))
                                return true;
        }
        return false;
}

static void check_rest(World *w) {
        for (unsigned k = 0; k < w->n_hosts; k++) {
                const Host *h = &w->hosts[k];

                if (able(h) && !host_is_master(h) && !is_kept(h))
                        world_fail(w, &h->sides[0], "should be master of everything, and is not");
        }
}

void check_world(World *w) {
        if (w->n_active > 0)
                return;
        check_overlap(w);
        if (w->now > w->handover_until)
                world_fail(w, NULL, "nobody has taken everything over");
        for (unsigned k = 0; k < w->n_hosts; k++)
                if (host_is_master(&w->hosts[k]))
                        w->handover_until = NEVER;
        if (w->now >= w->settle_usec) {
                w->totals[4] += w->calm_since != 0;
                check_rest(w);
        }
}
