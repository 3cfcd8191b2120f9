/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "groups.h"

/* A machine with one daemon and one instance per segment: the shipped instances and their group. Every call into them is one pass of the loop, put
 * between check_pass_begin() and check_pass_end(). Leases are left to the other simulator. */

static int op_send(void *userdata, const uint8_t ipv4[CARP_PAYLOAD_BYTES], const uint8_t ipv6[CARP_PAYLOAD_BYTES], uint64_t until_usec, bool at_once) {
        Side *s = userdata;
        World *w = s->host->world;
        Packet packet = { .source = s->source, .side = s->number, .from = s->host->number };
        guint index = w->packets->len;
        bool leaving;

        if (carp_decode(ipv4, CARP_PAYLOAD_BYTES, &packet.advert) != CARP_VERDICT_OK)
                world_fail(w, s, "sent what cannot be decoded");
        leaving = packet.advert.advbase == 255 && packet.advert.advskew == 255;
        world_trace(w, s, leaving ? "  bows out" : "  sends %u/%u", packet.advert.advbase, packet.advert.advskew);
        if (leaving && s->held)
                world_fail(w, s, "bows out while it holds the address");
        if (!s->link_up || s->send_fails)
                return -ENETDOWN;
        w->totals[1]++;
        g_array_append_val(w->packets, packet);
        for (unsigned k = 0; k < w->n_hosts; k++)
                if (k != s->host->number && !world_cut(w, s->number, s->host->number, k)) {
                        /* no packet overtakes another */
                        uint64_t usec = w->now + between(w, 20, w->delay_max);

                        s->arrival_usec[k] = MAX(s->arrival_usec[k] + 1, usec);
                        world_push(w, s->arrival_usec[k], EVENT_DELIVER, k, index);
                }
        return 0;
}

static int op_hold(void *userdata) {
        Side *s = userdata;

        if (s->hold_fails) {
                /* found out before it is master: it stays out as if it had been */
                s->return_usec = s->host->world->now + s->host->demote_hold_usec;
                return -ENOBUFS;
        }
        s->held = true;
        return 0;
}

static int op_renew(void *userdata, uint64_t until_usec) {
        return op_hold(userdata);
}

static void op_release(void *userdata) {
        ((Side *) userdata)->held = false;
}

static void op_announce(void *userdata, uint64_t until_usec) {
}

static void op_arm(void *userdata, uint64_t deadline_usec, uint64_t early_usec) {
        Side *s = userdata;
        World *w = s->host->world;

        s->deadline = deadline_usec == NEVER ? NEVER : MAX(deadline_usec, w->now) + between(w, 1, w->latency_max);
}

static uint64_t op_now(void *userdata) {
        return ((Side *) userdata)->host->world->now;
}

static const InstanceOps ops = {
        .send = op_send,
        .hold = op_hold,
        .renew = op_renew,
        .release = op_release,
        .announce = op_announce,
        .arm = op_arm,
        .now = op_now,
};

static void on_changed(void *userdata, Instance *i, unsigned changes, const InstanceTransition *transition) {
        if (transition)
                check_state(userdata, transition->to, transition->reason);
}

static InstanceConfig *make_config(Side *s) {
        const Host *h = s->host;
        InstanceConfig *c = instance_config_new_default("sim");

        c->addresses = g_new0(IpPrefix, 1);
        (void) ip_prefix_parse("192.0.2.1/32", &c->addresses[0]);
        c->addresses[0].address.bytes[2] = (uint8_t) (10 + s->number);
        c->n_addresses = 1;
        (void) g_snprintf(c->interface, sizeof(c->interface), "sim%u", s->number);
        c->enabled = s->enabled;
        if (s->grouped) {
                g_free(c->sync_group);
                c->sync_group = g_strdup("all");
        }
        c->lease = CONFIG_LEASE_NO;
        s->check = check_config_new_default("load");
        s->check->weight = s->demotion;
        g_ptr_array_add(c->checks, s->check);
        c->takeover.demote_hold_usec = h->demote_hold_usec;
        c->carp.vhid = (uint8_t) (1 + s->number);
        c->carp.advbase = h->world->advbase;
        c->carp.advskew = s->advskew;
        c->carp.dead_ratio = h->world->dead_ratio;
        c->carp.preempt = h->preempt;
        c->carp.preempt_delay_usec = h->preempt_delay_usec;
        memcpy(c->carp.key, "simulated", 9);
        c->carp.n_key_bytes = 9;
        return c;
}

static void update_groups(Host *h) {
        Instance *instances[N_SIDES_MAX];

        for (unsigned k = 0; k < h->world->n_sides; k++)
                instances[k] = h->sides[k].instance;
        sync_groups_update(h->groups, instances, h->world->n_sides, h->world->now);
}

static void set_link(Side *s, ElectionReason reason) {
        IpAddress none = { .family = AF_UNSPEC };
        bool usable = reason == ELECTION_REASON_LINK_UP;

        s->link_told = usable;
        instance_set_link(s->instance, reason, usable ? &s->source : &none, &none, s->host->world->now);
}

/* The side that comes back to its group may have to listen first, and for up to a second longer if it is demoted meanwhile. */
static uint64_t joined_usec(const Host *h) {
        return h->world->now + world_dead_max_usec(h->world) + SEC + h->demote_hold_usec;
}

static void make_instances(Host *h, bool resume) {
        World *w = h->world;

        if (resume && !h->parted && !h->sides[w->n_sides - 1].grouped)
                h->joining_usec = joined_usec(h);
        h->sides[w->n_sides - 1].grouped = !h->parted;
        h->groups = sync_groups_new();
        for (unsigned k = 0; k < w->n_sides; k++) {
                Side *s = &h->sides[k];
                InstanceObserver observer = { .changed = on_changed, .userdata = s };

                s->enabled_told = s->enabled;
                s->demotion_told = 0;
                s->instance = instance_new(make_config(s), &ops, s, &observer, world_random(w));
                if (resume && s->memory.election.state != ELECTION_STATE_INIT)
                        instance_resume(s->instance, &s->memory, w->now);
                set_link(s, s->link_up ? ELECTION_REASON_LINK_UP : ELECTION_REASON_LINK_DOWN);
                if (!s->enabled)
                        instance_set_enabled(s->instance, false, w->now);
        }
        update_groups(h);
}

static void free_instances(Host *h) {
        h->groups = sync_groups_free(h->groups);
        for (unsigned k = 0; k < h->world->n_sides; k++) {
                h->sides[k].instance = instance_free(h->sides[k].instance);
                h->sides[k].deadline = NEVER;
        }
}

static void forget(Host *h) {
        free_instances(h);
        h->running = h->stalled = h->deaf = false;
        for (unsigned k = 0; k < h->world->n_sides; k++) {
                h->sides[k].state = ELECTION_STATE_INIT;
                h->sides[k].held = false;
        }
        g_array_set_size(h->queue, 0);
}

void host_start(Host *h) {
        if (h->running || h->gone)
                return;
        world_trace(h->world, &h->sides[0], "starts: %u/%u.%u.%u%s", h->world->advbase, h->sides[0].advskew, h->sides[1].advskew,
                    h->sides[2].advskew, h->preempt ? ", preempt" : "");
        h->running = true;
        h->promoted_usec = h->bow_out_usec = 0;
        check_pass_begin(h);
        make_instances(h, false);
        check_pass_end(h);
        host_tell(h);
}

void host_stop(Host *h) {
        if (!h->running || h->stalled)
                return;
        check_planned_leave(h, false);
        check_pass_begin(h);
        for (unsigned k = 0; k < h->world->n_sides; k++)
                instance_stop(h->sides[k].instance, ELECTION_REASON_SHUTDOWN, false, h->world->now);
        check_pass_end(h);
        forget(h);
}

void host_crash(Host *h) {
        if (h->running)
                forget(h);
}

void host_stall(Host *h, bool deaf) {
        if (!h->running)
                return;
        h->stalled = true;
        h->deaf = deaf;
        h->left_usec = h->world->now;
}

void host_hand_over(Host *h) {
        if (!h->running || h->stalled)
                return;
        check_pass_begin(h);
        for (unsigned k = 0; k < h->world->n_sides; k++)
                instance_prepare_handover(h->sides[k].instance, h->world->now);
        for (unsigned k = 0; k < h->world->n_sides; k++)
                instance_remember(h->sides[k].instance, &h->sides[k].memory);
        check_pass_end(h);
        free_instances(h);
        h->stalled = h->deaf = true;
        h->left_usec = h->world->now;
}

/* What was silent while nobody listened was not silence. */
static void note_sleep(Side *s) {
        uint64_t now = s->host->world->now, late = 2 * MAX(side_interval_usec(s), SEC / 10);
        uint64_t since = MAX(s->listened_usec, s->judged_usec);
        uint64_t due = MAX(since + side_dead_usec(s), MAX(s->eligible_usec, s->return_usec));

        if (s->state == ELECTION_STATE_BACKUP && now > s->host->left_usec + late && now > due + late)
                s->listened_usec = now;
}

/* One pass of the loop after a stall; or the next daemon. */
void host_resume(Host *h) {
        if (!h->running || !h->stalled)
                return;
        h->stalled = h->deaf = false;
        h->resuming = true;
        for (unsigned k = 0; k < h->world->n_sides; k++)
                note_sleep(&h->sides[k]);
        if (h->joining_usec > h->left_usec)
                h->joining_usec = joined_usec(h);
        if (!h->groups) {
                check_pass_begin(h);
                make_instances(h, true);
                check_pass_end(h);
        }
        for (guint k = 0; k < h->queue->len; k++)
                host_receive(h, g_array_index(h->queue, guint, k));
        g_array_set_size(h->queue, 0);
        for (unsigned k = 0; k < h->world->n_sides; k++) {
                if (h->sides[k].deadline <= h->world->now)
                        host_timer(&h->sides[k]);
                if (h->sides[k].link_told != h->sides[k].link_up)
                        host_link_news(&h->sides[k]);
        }
        host_tell(h);
        if (h->parted == h->sides[h->world->n_sides - 1].grouped)
                host_regroup(h, !h->parted);
        h->resuming = false;
}

void host_receive(Host *h, guint index) {
        World *w = h->world;
        Packet packet = g_array_index(w->packets, Packet, index);
        Side *s = &h->sides[packet.side];
        bool leaving = packet.advert.advbase == 255 && packet.advert.advskew == 255;

        if (!h->running || !s->link_up || h->deaf)
                return;
        if (h->stalled) {
                g_array_append_val(h->queue, index);
                return;
        }
        world_trace(w, s, "    hears %u/%u of host %u", packet.advert.advbase, packet.advert.advskew, packet.from);
        check_pass_begin(h);
        if (leaving) {
                h->bow_out_usec = s->bow_out_usec = w->now;
                s->heard_usec = 0;
        } else {
                s->heard_usec = s->listened_usec = w->now;
                s->heard_interval_usec = packet.advert.advbase * SEC + packet.advert.advskew * SEC / 256;
                s->heard_rank = (unsigned) packet.advert.advbase << 8 | packet.advert.advskew;
        }
        (void) instance_on_advert(s->instance, &packet.source, &packet.advert, w->now);
        check_pass_end(h);
}

void host_timer(Side *s) {
        s->deadline = NEVER;
        check_pass_begin(s->host);
        instance_on_timer(s->instance, s->host->world->now);
        check_pass_end(s->host);
}

void host_set_link(Side *s, bool up) {
        World *w = s->host->world;

        s->link_up = up;
        world_push(w, w->now + between(w, 1, 2000), EVENT_LINK_NEWS, s->host->number, s->number);
}

void host_link_news(Side *s) {
        if (!s->host->running || s->host->stalled || s->link_told == s->link_up)
                return;
        if (!s->link_up)
                check_planned_leave(s->host, true);
        check_pass_begin(s->host);
        set_link(s, s->link_up ? ELECTION_REASON_LINK_UP : ELECTION_REASON_LINK_DOWN);
        check_pass_end(s->host);
}

void host_tell(Host *h) {
        if (!h->running || h->stalled)
                return;
        for (unsigned k = 0; k < h->world->n_sides; k++) {
                Side *s = &h->sides[k];

                if (s->enabled_told != s->enabled) {
                        if (!s->enabled)
                                check_planned_leave(h, false);
                        s->enabled_told = s->enabled;
                        check_pass_begin(h);
                        instance_set_enabled(s->instance, s->enabled, h->world->now);
                        check_pass_end(h);
                }
                s->demotion_told = s->demotion;
                check_pass_begin(h);
                s->check->weight = s->demotion;
                instance_set_check(s->instance, "load", s->demotion > 0 ? CHECK_STATE_FAILING : CHECK_STATE_PASSING, s->demotion > 0, "",
                                   h->world->now);
                check_pass_end(h);
        }
}

void host_demote(Side *s, uint64_t hold_usec) {
        Host *h = s->host;

        if (!h->running || h->stalled || s->state != ELECTION_STATE_MASTER)
                return;
        check_planned_leave(h, false);
        check_pass_begin(h);
        if (instance_demote(s->instance, hold_usec, h->world->now) != INSTANCE_VERB_OK)
                world_fail(h->world, s, "refused to give up");
        check_pass_end(h);
        s->eligible_usec = h->world->now + hold_usec;
        if (s->state == ELECTION_STATE_MASTER)
                world_fail(h->world, s, "is master though it was told to give up");
}

void host_promote(Side *s) {
        Host *h = s->host;
        bool able = true, was_master = s->state == ELECTION_STATE_MASTER;

        if (!h->running || h->stalled)
                return;
        for (unsigned k = 0; k < h->world->n_sides; k++)
                able = able && (!h->sides[k].grouped || (h->sides[k].enabled && h->sides[k].link_told));
        h->promoted_usec = h->world->now + MAX(world_dead_max_usec(h->world), SEC);
        check_pass_begin(h);
        if ((sync_groups_promote(h->groups, s->instance, h->world->now) == INSTANCE_VERB_OK) != able && s->grouped)
                world_fail(h->world, s, able ? "refused to take over" : "would take over though one of its group cannot");
        check_pass_end(h);
        /* nothing but the machine itself may be in the way; and a master may find that it is none any more */
        for (unsigned k = 0; k < h->world->n_sides; k++)
                able = able && !was_master && !h->sides[k].hold_fails && !h->sides[k].send_fails && h->sides[k].link_up;
        for (unsigned k = 0; able && s->grouped && k < h->world->n_sides; k++)
                if (h->sides[k].grouped && h->sides[k].state != ELECTION_STATE_MASTER)
                        world_fail(h->world, &h->sides[k], "is not master though its group was told to take over");
}

void host_lose_address(Side *s) {
        if (!s->host->running || s->host->stalled || !s->held)
                return;
        s->held = false;
        check_pass_begin(s->host);
        instance_on_address_missing(s->instance, s->host->world->now);
        check_pass_end(s->host);
}

void host_regroup(Host *h, bool whole) {
        Side *s = &h->sides[h->world->n_sides - 1];

        h->parted = !whole;
        if (h->running && h->stalled)
                return;
        s->grouped = whole;
        if (!h->running)
                return;
        if (whole)
                h->joining_usec = joined_usec(h);
        check_pass_begin(h);
        s->listened_usec = h->world->now;
        for (unsigned k = 0; k < h->world->n_sides; k++)
                h->sides[k].judged_usec = h->world->now;
        instance_reconfigure(s->instance, make_config(s), h->world->now);
        update_groups(h);
        check_pass_end(h);
}
