/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "sim.h"

/* A machine that runs vipd: the shipped instance on a simulated kernel. It has its own boot clock, holds the address under the lease, queues packets
 * while the process is frozen, and afterwards hands everything over in the order of the daemon's loop: packets, timer, netlink, bus. Every call into
 * the instance is put between check_call_begin() and check_call_end(). */

#define NETLINK_LATENCY_MAX UINT64_C(2000)
/* The kernel removes an address up to this much after its lease has ended (net/ipv4/devinet.c, check_lifetime()). */
#define LEASE_LATENESS_MAX SIM_SEC
/* Of 32 numbers of its own that a host remembers. Some are made anew before they are used. */
#define OWN_REMEMBERED 16

static uint64_t clock_of(const Host *h) {
        return h->sim->now + h->clock_offset_usec;
}

static int op_send(void *userdata, const uint8_t ipv4[CARP_PAYLOAD_BYTES], const uint8_t ipv6[CARP_PAYLOAD_BYTES], uint64_t until_usec, bool at_once) {
        Host *h = userdata;
        CarpAdvert advert = { 0 };
        bool leaving;
        int r;

        if (carp_decode(ipv4, CARP_PAYLOAD_BYTES, &advert) != CARP_VERDICT_OK)
                sim_fail(h->sim, h, "made an advert that cannot be decoded");
        leaving = advert.advbase == 255 && advert.advskew == 255;
        check_advert(h, &advert);
        h->attempted_usec = h->sim->now;
        r = network_send(h, ipv4, ipv6);
        h->n_sends = (r < 0) != h->send_demoted ? h->n_sends + 1 : 0;
        h->call.n_effects++;
        sim_trace(h->sim, h, leaving ? "  bows out%s" : "  sends %2$u/%3$u%1$s", r < 0 ? ": cannot" : "", advert.advbase,
                  advert.advskew);
        if (r < 0)
                return r;
        h->call.n_sent++;
        h->sent_usec = h->sim->now;
        h->unsaid = false;
        if (leaving)
                h->n_bow_outs++;
        else
                h->n_sent++;
        return 0;
}

static int op_hold(void *userdata) {
        Host *h = userdata;
        unsigned lease_sec = instance_config_lease_sec(instance_config(h->instance));

        h->call.n_effects++;
        if (h->hold_fails || (!h->link_up && h->link_reason == ELECTION_REASON_INTERFACE_MISSING)) {
                h->call.n_holds_failed++;
                sim_trace(h->sim, h, "  cannot hold the address");
                return h->hold_fails ? -ENOBUFS : -ENODEV;
        }
        sim_trace(h->sim, h, h->held ? "  renews the lease" : "  holds the address");
        h->held = true;
        h->lease_end = SIM_NEVER;
        h->lease_sec = lease_sec;
        if (lease_sec > 0)
                h->lease_end = h->sim->now + lease_sec * SIM_SEC +
                               (sim_chance(h->sim, 50) ? 0 : sim_between(h->sim, 0, LEASE_LATENESS_MAX));
        return 0;
}

static void drop(Host *h, const char *why) {
        if (h->held)
                sim_trace(h->sim, h, "  address is gone: %s", why);
        h->held = false;
        h->lease_end = SIM_NEVER;
}

static int op_renew(void *userdata, uint64_t until_usec) {
        return op_hold(userdata);
}

static void op_release(void *userdata) {
        Host *h = userdata;

        if (h->call.n_sent > 0 && h->call.n_holds_failed == 0)
                sim_fail(h->sim, h, "released its address after it had sent");
        if (h->call.n_effects++ == 0)
                h->call.first_is_release = true;
        h->call.n_releases++;
        drop(h, "released");
}

static void op_announce(void *userdata, uint64_t until_usec) {
        Host *h = userdata;

        h->call.n_effects++;
        h->call.n_announces++;
        if (h->link_up && !h->send_fails) {
                h->sim->believed = h;
                h->sim->believed_usec = h->sim->now;
        } else
                h->contested_usec = 0; /* tried, at least */
        if (!h->held && !h->resuming && !h->loss_untold)
                sim_fail(h->sim, h, "announces an address that it does not hold");
}

static void op_arm(void *userdata, uint64_t deadline_usec, uint64_t early_usec) {
        Host *h = userdata;
        uint64_t usec;

        h->deadline = SIM_NEVER;
        if (deadline_usec == SIM_NEVER)
                return;
        usec = deadline_usec > clock_of(h) ? deadline_usec - h->clock_offset_usec : h->sim->now;
        h->deadline = usec + sim_between(h->sim, 1, h->sim->latency_max);
        /* in the company of another instance that is due before */
        if (early_usec < deadline_usec && sim_chance(h->sim, 30))
                h->deadline = MAX(h->sim->now + 1, usec - sim_between(h->sim, 0, MIN(deadline_usec - early_usec, usec)));
}

static uint64_t op_now(void *userdata) {
        return clock_of(userdata);
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
        Host *h = userdata;

        if (!transition)
                return;
        if (transition->from != h->state)
                sim_fail(h->sim, h, "says that it leaves %s, where it is not", election_state_to_string(transition->from));
        check_state(h, transition->to, transition->reason);
}

static InstanceConfig *make_config(Host *h) {
        InstanceConfig *c = instance_config_new_default("sim");

        c->addresses = g_new0(IpPrefix, 1);
        c->addresses[0] = h->sim->vip;
        c->n_addresses = 1;
        g_strlcpy(c->interface, "sim0", sizeof(c->interface));
        c->enabled = h->enabled;
        c->lease = h->lease;
        c->start_delay_usec = h->start_delay_usec;
        c->takeover.demote_hold_usec = h->demote_hold_usec;
        c->carp.vhid = h->sim->vhid;
        c->carp.advbase = h->advbase;
        c->carp.advskew = h->advskew;
        c->carp.dead_ratio = h->dead_ratio;
        c->carp.preempt = h->preempt;
        c->carp.preempt_delay_usec = h->preempt_delay_usec;
        memcpy(c->carp.key, "simulated", 9);
        c->carp.n_key_bytes = 9;
        c->carp.strict_replay = h->sim->strict;
        c->carp.demotion_byte = h->sim->demotion_byte;
        h->check = check_config_new_default("load");
        h->check->weight = h->demotion;
        g_ptr_array_add(c->checks, h->check);
        g_ptr_array_add(c->checks, check_config_new_default("health"));
        ((CheckConfig *) g_ptr_array_index(c->checks, 1))->release = true;
        return c;
}

static void tell(Host *h, ElectionReason reason) {
        IpAddress none = { .family = AF_UNSPEC };
        bool usable = reason == ELECTION_REASON_LINK_UP;

        h->link_told = usable;
        check_call_begin(h);
        instance_set_link(h->instance, reason, usable && h->sim->families[0] ? &h->sources[0] : &none,
                          usable && h->sim->families[1] ? &h->sources[1] : &none, clock_of(h));
        check_call_end(h);
}

/* What netlink has queued is read in order: a link that is back already was down all the same. */
static void tell_link(Host *h) {
        bool lost = h->loss_untold;

        h->link_news = h->loss_untold = false;
        if (lost)
                tell(h, h->link_reason);
        if (h->link_up)
                tell(h, ELECTION_REASON_LINK_UP);
}

static void tell_check(Host *h, const char *name, bool failed) {
        check_call_begin(h);
        instance_set_check(h->instance, name, failed ? CHECK_STATE_FAILING : CHECK_STATE_PASSING, failed, "", clock_of(h));
        check_call_end(h);
}

static void tell_checks(Host *h) {
        if (h->demotion < h->demotion_told || (h->healthy && !h->healthy_told))
                h->preempt_usec = h->sim->now + h->preempt_delay_usec;
        h->demotion_told = h->demotion;
        h->check->weight = h->demotion;
        tell_check(h, "load", h->demotion > 0);
        h->healthy_told = h->healthy;
        tell_check(h, "health", !h->healthy);
}

static void tell_verbs(Host *h) {
        tell_checks(h);
        if (!h->healthy && h->state == ELECTION_STATE_MASTER)
                sim_fail(h->sim, h, "is master though its health forbids it");
        h->enabled_told = h->enabled;
        check_call_begin(h);
        instance_set_enabled(h->instance, h->enabled, clock_of(h));
        check_call_end(h);
}

static void make_instance(Host *h) {
        InstanceObserver observer = { .changed = on_changed, .userdata = h };

        h->n_sent = h->n_bow_outs = 0;
        h->demotion_told = 0;
        h->n_sends = 0;
        h->send_demoted = h->unsaid = false;
        h->enabled_told = h->enabled;
        h->healthy_told = true;
        h->started_usec = h->sim->now;
        h->instance = instance_new(make_config(h), &ops, h, &observer, sim_random(h->sim));
        instance_replay_import(h->instance, &h->saved);
}

/**
 * host_start() - the machine has booted, or the daemon was started again
 *
 * What a dead predecessor left is cleared by its unit (ExecStopPost=) before.
 */
void host_start(Host *h) {
        if (h->running || h->gone)
                return;
        drop(h, "restart");
        sim_trace(h->sim, h, "starts: %u/%u, ratio %u%s%s", h->advbase, h->advskew, h->dead_ratio,
                  h->preempt ? ", preempt" : "", h->enabled ? "" : ", disabled");
        h->running = true;
        h->state = ELECTION_STATE_INIT;
        h->loss_untold = !h->link_up;
        h->promoted_usec = 0;
        make_instance(h);
        tell_link(h);
        tell_verbs(h);
}

/* What a crash leaves was saved some time before, with numbers reserved for what is sent until the next time. */
static void save(Host *h, bool clean) {
        /* who restarts has saved before */
        if (!h->sim->strict || !h->instance)
                return;
        if (clean || sim_chance(h->sim, 50))
                instance_replay_export(h->instance, &h->saved);
        h->saved.next += clean ? 0 : 1 << 20;
}

static void free_instance(Host *h) {
        const InstanceStatistics *n = h->instance ? instance_statistics(h->instance) : NULL;

        if (n && (n->adverts_sent != h->n_sent || n->bow_outs_sent != h->n_bow_outs))
                sim_fail(h->sim, h, "counted its adverts wrongly");
        h->instance = instance_free(h->instance);
}

static void forget(Host *h) {
        free_instance(h);
        h->running = h->stalled = h->deaf = h->link_news = false;
        h->deadline = SIM_NEVER;
        h->state = ELECTION_STATE_INIT;
        g_array_set_size(h->queue, 0);
}

void host_stop(Host *h) {
        if (!h->running || h->stalled)
                return;
        sim_trace(h->sim, h, "is stopped");
        check_call_begin(h);
        instance_stop(h->instance, ELECTION_REASON_SHUTDOWN, false, clock_of(h));
        check_call_end(h);
        if (h->state == ELECTION_STATE_MASTER)
                sim_fail(h->sim, h, "is master after it was stopped");
        save(h, true);
        forget(h);
}

/* Killed, with nothing to clean up behind it: the kernel holds the address until the lease ends. */
void host_crash(Host *h) {
        if (!h->running)
                return;
        sim_trace(h->sim, h, "crashes");
        h->left_usec = h->sim->now;
        save(h, false);
        forget(h);
}

void host_stall(Host *h, bool deaf) {
        if (!h->running || h->stalled)
                return;
        sim_trace(h->sim, h, deaf ? "is suspended" : "is frozen");
        h->stalled = true;
        h->deaf = deaf;
        h->left_usec = h->sim->now;
}

/**
 * host_hand_over() - the daemon ends, and leaves its role to the next one, which host_resume() starts
 */
void host_hand_over(Host *h) {
        if (!h->running || h->stalled)
                return;
        sim_trace(h->sim, h, "restarts");
        check_call_begin(h);
        instance_prepare_handover(h->instance, clock_of(h));
        check_call_end(h);
        instance_remember(h->instance, &h->memory);
        check_hand_over(h);
        save(h, true);
        free_instance(h);
        g_array_set_size(h->queue, 0);
        h->deadline = SIM_NEVER;
        h->stalled = h->deaf = h->link_news = true;
        h->left_usec = h->sim->now;
}

/* The new process reads how the link is, not what became of it meanwhile; before that it is told what failed. */
static void take_over(Host *h) {
        make_instance(h);
        if (h->memory.election.state != ELECTION_STATE_INIT) {
                instance_resume(h->instance, &h->memory, clock_of(h));
                tell_checks(h);
        }
        h->loss_untold = !h->link_up;
}

/* One pass of the loop after a stall. */
static void catch_up(Host *h) {
        Sim *s = h->sim;

        for (guint k = 0; k < h->queue->len; k++) {
                Packet packet = g_array_index(s->packets, Packet, g_array_index(h->queue, uint32_t, k));

                host_receive(h, &packet);
        }
        g_array_set_size(h->queue, 0);
        if (h->deadline <= s->now)
                host_timer(h);
        if (h->link_news)
                tell_link(h);
        if (h->state == ELECTION_STATE_MASTER && !h->held) {
                check_call_begin(h);
                instance_on_address_missing(h->instance, clock_of(h));
                check_call_end(h);
        }
        tell_verbs(h);
}

void host_resume(Host *h) {
        uint64_t slept = h->sim->now - h->left_usec;
        bool stays = false;

        if (!h->running || !h->stalled)
                return;
        sim_trace(h->sim, h, "goes on after %.6f s", (double) slept / SIM_SEC);
        /* the kernel's lease does not run while the machine sleeps */
        if (h->deaf && h->instance && h->lease_end != SIM_NEVER)
                h->lease_end += slept;
        h->stalled = h->deaf = false;
        h->resuming = true;
        h->overslept = h->state == ELECTION_STATE_MASTER && h->sim->now - h->attempted_usec >= host_dead_usec(h);
        if (!h->instance) {
                stays = check_stays_master(h);
                if (h->state == ELECTION_STATE_BACKUP)
                        check_restarted_backup(h);
                take_over(h);
        }
        catch_up(h);
        if (stays && h->state != ELECTION_STATE_MASTER)
                sim_fail(h->sim, h, "lost its role over a restart");
        if (h->overslept)
                sim_fail(h->sim, h, "woke after its dead interval and did not let go");
        h->resuming = h->overslept = false;
        check_call_begin(h);
        check_call_end(h);
}

void host_set_link(Host *h, bool up, ElectionReason reason) {
        if (h->link_up == up || h->gone)
                return;
        sim_trace(h->sim, h, "link is %s", up ? "up" : election_reason_to_string(reason));
        h->link_up = up;
        if (!up) {
                h->link_reason = reason;
                h->loss_untold = true;
        }
        if (!up && reason == ELECTION_REASON_INTERFACE_MISSING)
                drop(h, "no interface");
        sim_push(h->sim, h->sim->now + sim_between(h->sim, 1, NETLINK_LATENCY_MAX), EVENT_LINK_NEWS, h->number, 0);
}

void host_link_news(Host *h) {
        if (!h->running)
                return;
        check_disturbed(h->sim);
        if (h->stalled)
                h->link_news = true;
        else
                tell_link(h);
        check_disturbed(h->sim);
}

void host_receive(Host *h, const Packet *packet) {
        bool own = packet->from == h->number;
        /* a restarted daemon cannot know what its predecessor said, nor anybody all that it ever said; without a link it has no address to know
         * itself by, and takes no part */
        bool fresh = h->link_told && packet->usec >= h->started_usec && h->n_tried - packet->number < OWN_REMEMBERED;
        uint64_t timeout = h->timeout_usec;
        uint8_t heard_advbase = h->heard_advbase, heard_advskew = h->heard_advskew, heard_demotion = h->heard_demotion;
        CarpVerdict verdict;

        check_call_begin(h);
        if (!own || !fresh)
                check_heard(h, &packet->advert);
        verdict = instance_on_advert(h->instance, &packet->source, &packet->advert, clock_of(h));
        check_call_end(h);
        if (verdict != CARP_VERDICT_OK) {
                h->timeout_usec = timeout;
                h->heard_advbase = heard_advbase;
                h->heard_demotion = heard_demotion;
                h->heard_advskew = heard_advskew;
        } else if (h->call.before == ELECTION_STATE_MASTER && h->state == ELECTION_STATE_MASTER)
                h->contested_usec = h->sim->now;
        sim_trace(h->sim, h, "    heard %u/%u of host %u%s%s", packet->advert.advbase, packet->advert.advskew, packet->from,
                  verdict == CARP_VERDICT_OK ? "" : ": ",
                  verdict == CARP_VERDICT_OK ? "" : carp_verdict_to_string(verdict));
        if (own ? fresh && verdict != CARP_VERDICT_LOOP
                : verdict != CARP_VERDICT_OK && !(h->sim->strict && verdict == CARP_VERDICT_REPLAY))
                sim_fail(h->sim, h, "judged an advert of host %u wrongly: %s", packet->from, carp_verdict_to_string(verdict));
}

void host_set_enabled(Host *h, bool enabled) {
        h->enabled = enabled;
        sim_trace(h->sim, h, enabled ? "is enabled" : "is disabled");
        if (h->running && !h->stalled)
                tell_verbs(h);
        if (h->running && !h->stalled && !enabled && h->state != ELECTION_STATE_INIT)
                sim_fail(h->sim, h, "is %s though it was disabled", election_state_to_string(h->state));
}

void host_set_healthy(Host *h, bool healthy) {
        h->healthy = healthy;
        sim_trace(h->sim, h, healthy ? "is healthy" : "is not healthy");
        if (h->running && !h->stalled)
                tell_verbs(h);
}

void host_set_demotion(Host *h, uint32_t demotion) {
        sim_trace(h->sim, h, "has its demotion set to %u", demotion);
        h->demotion = demotion;
        if (h->running && !h->stalled)
                tell_verbs(h);
}

void host_demote(Host *h, uint64_t hold_usec) {
        bool was_master = h->state == ELECTION_STATE_MASTER;
        InstanceVerbResult r;

        if (!h->running || h->stalled)
                return;
        sim_trace(h->sim, h, "is told to give up for %.3f s", (double) hold_usec / SIM_SEC);
        check_call_begin(h);
        r = instance_demote(h->instance, hold_usec, clock_of(h));
        check_call_end(h);
        if (r == INSTANCE_VERB_OK && !was_master)
                sim_fail(h->sim, h, "gave up what it was not");
        if (r == INSTANCE_VERB_OK && h->state == ELECTION_STATE_MASTER)
                sim_fail(h->sim, h, "is master though it was told to give up");
        if (was_master && h->enabled && r != INSTANCE_VERB_OK)
                sim_fail(h->sim, h, "refused to give up");
        if (r == INSTANCE_VERB_OK)
                h->eligible_usec = MAX(h->eligible_usec, h->sim->now + hold_usec);
}

void host_promote(Host *h) {
        bool was_master = h->state == ELECTION_STATE_MASTER, able = h->enabled && h->link_told && h->healthy_told;
        InstanceVerbResult r;

        if (!h->running || h->stalled)
                return;
        sim_trace(h->sim, h, "is told to take over");
        if (!was_master)
                h->promoted_usec = h->sim->now + MAX(host_dead_usec(h), SIM_SEC);
        check_call_begin(h);
        r = instance_promote(h->instance, clock_of(h));
        check_call_end(h);
        if (able != (r == INSTANCE_VERB_OK))
                sim_fail(h->sim, h, able ? "refused to take over" : "would take over though it cannot");
        if (r == INSTANCE_VERB_OK && !h->hold_fails && !h->send_fails && h->link_up && h->state != ELECTION_STATE_MASTER &&
            !was_master)
                sim_fail(h->sim, h, "is not master though it was told to take over");
        if (r != INSTANCE_VERB_OK)
                h->promoted_usec = 0;
}

void host_lose_address(Host *h) {
        if (!h->running || h->stalled || !h->held)
                return;
        drop(h, "somebody removed it");
        h->resuming = true; /* what is due is done first, and the address is back before the call ends */
        check_call_begin(h);
        instance_on_address_missing(h->instance, clock_of(h));
        h->resuming = false;
        check_call_end(h);
}

void host_reconfigure(Host *h, uint8_t advskew, bool preempt) {
        bool was_master = h->state == ELECTION_STATE_MASTER &&
                          h->sim->now - h->sent_usec < host_interval_usec(h) * 5 / 4;

        if (!h->running || h->stalled)
                return;
        h->advskew = advskew;
        h->preempt = preempt;
        sim_trace(h->sim, h, "is configured anew: %u/%u, ratio %u%s", h->advbase, h->advskew, h->dead_ratio,
                  h->preempt ? ", preempt" : "");
        h->timeout_usec = 0;
        check_call_begin(h);
        instance_reconfigure(h->instance, make_config(h), clock_of(h));
        check_call_end(h);
        if (was_master && h->state != ELECTION_STATE_MASTER && !h->hold_fails && h->link_up && !h->send_fails)
                sim_fail(h->sim, h, "lost mastership by a reload");
}

void host_carrier(Host *h) {
        if (!h->running || h->stalled)
                return;
        check_call_begin(h);
        instance_on_carrier_back(h->instance, clock_of(h));
        if (h->state == ELECTION_STATE_MASTER && h->call.n_announces == 0)
                sim_fail(h->sim, h, "did not announce when the carrier came back");
        check_call_end(h);
}

/* Not due: nothing may come of it. */
void host_early_timer(Host *h) {
        if (!h->running || h->stalled)
                return;
        check_call_begin(h);
        instance_on_timer(h->instance, clock_of(h));
        check_call_end(h);
}

static void end_lease(Host *h) {
        if (h->running && !h->stalled && h->state == ELECTION_STATE_MASTER)
                sim_fail(h->sim, h, "let its lease end though it is master and alive");
        drop(h, "lease ended");
}

/**
 * host_timer() - what was due first: the kernel's lease or the daemon's timer
 */
void host_timer(Host *h) {
        if (h->lease_end <= h->sim->now && !(h->deaf && h->instance)) {
                end_lease(h);
                return;
        }
        h->deadline = SIM_NEVER;
        check_call_begin(h);
        instance_on_timer(h->instance, clock_of(h));
        check_call_end(h);
        check_sends(h);
}

uint64_t host_next_usec(const Host *h) {
        uint64_t lease = h->deaf && h->instance ? SIM_NEVER : h->lease_end;

        return h->stalled || !h->running ? lease : MIN(lease, h->deadline);
}
