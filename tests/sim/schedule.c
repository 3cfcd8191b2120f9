/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/socket.h>

#include "sim.h"

/* What a seed means: which hosts with which configuration share a segment, and what is done to them. A schedule has one to three rounds; a round is a
 * handful of faults that overlap as they like, then calm, in the last round long enough for every promise. All lengths are drawn in units of the
 * longest dead interval, so that a group of 12 ms and one of 20 s are tried equally hard. */

#define N_FAULTS_PER_ROUND_MAX 8
#define RESTART_MAX (SIM_SEC / 2) /* a machine that is not overloaded */

typedef enum FaultClass {
        FAULT_CLASS_NETWORK,
        FAULT_CLASS_HOST,  /* lasts, and ends with the host as it was */
        FAULT_CLASS_EVENT, /* happens at once */
} FaultClass;

/* Lasting faults of one slot exclude each other on a host within a round. */
static const struct {
        const char *name;
        FaultClass class;
        unsigned slot;
        unsigned weight;
        bool unsettles; /* no promise while it lasts; else its host is left out, and the others are held to theirs */
} faults[N_FAULT_TYPES] = {
        [FAULT_LOSS] = { "loss", FAULT_CLASS_NETWORK, 0, 4, true },
        [FAULT_ONE_WAY] = { "one-way", FAULT_CLASS_NETWORK, 0, 4, true },
        [FAULT_PARTITION] = { "partition", FAULT_CLASS_NETWORK, 0, 4, true },
        [FAULT_DELAY] = { "delay", FAULT_CLASS_NETWORK, 0, 3, true },
        [FAULT_DUPLICATE] = { "duplicates", FAULT_CLASS_NETWORK, 0, 2, true },
        [FAULT_FAMILY] = { "one family lost", FAULT_CLASS_NETWORK, 0, 1, true },
        [FAULT_STALL] = { "stall", FAULT_CLASS_HOST, 1, 4, false },
        [FAULT_SUSPEND] = { "suspend", FAULT_CLASS_HOST, 1, 2, false },
        [FAULT_RESTART] = { "restart", FAULT_CLASS_HOST, 1, 3, false },
        [FAULT_CRASH] = { "crash", FAULT_CLASS_HOST, 1, 4, false },
        [FAULT_STOP] = { "stop", FAULT_CLASS_HOST, 1, 3, false },
        [FAULT_LINK] = { "link", FAULT_CLASS_HOST, 2, 3, false },
        [FAULT_SEND] = { "send errors", FAULT_CLASS_HOST, 3, 2, false },
        [FAULT_HOLD] = { "hold errors", FAULT_CLASS_HOST, 4, 1, true },
        [FAULT_DISABLE] = { "disable", FAULT_CLASS_HOST, 5, 2, false },
        [FAULT_DEMOTION] = { "demotion", FAULT_CLASS_HOST, 6, 4, false },
        [FAULT_HEALTH] = { "health", FAULT_CLASS_HOST, 7, 3, false },
        [FAULT_DEMOTE] = { "demote", FAULT_CLASS_EVENT, 0, 3, false },
        [FAULT_PROMOTE] = { "promote", FAULT_CLASS_EVENT, 0, 3, false },
        [FAULT_ADDRESS] = { "address removed", FAULT_CLASS_EVENT, 0, 1, false },
        [FAULT_RECONFIGURE] = { "reload", FAULT_CLASS_EVENT, 0, 2, false },
        [FAULT_CARRIER] = { "carrier back", FAULT_CLASS_EVENT, 0, 1, false },
        [FAULT_EARLY_TIMER] = { "early timer", FAULT_CLASS_EVENT, 0, 1, false },
};

static unsigned random_mask(Sim *s) {
        return (unsigned) sim_between(s, 1, (1u << s->n_hosts) - 2);
}

static uint8_t draw_advskew(Sim *s, unsigned style, unsigned number) {
        switch (style) {
        case 0: /* ties everywhere */
                return 50;
        case 1:
                return (uint8_t) (100 * sim_between(s, 0, 1));
        case 2:
                return (uint8_t) (number * 20);
        case 3:
                return (uint8_t) (10 + number);
        default:
                return (uint8_t) sim_between(s, 0, 254);
        }
}

/* Two foreign programs quarrel about what is not ours to heal: equal ones that break ties in different ways, and preempting ucarps, each of which takes
 * the other's last word for a reign. So they differ, and one of them preempts at most. */
static void part_foreigners(Sim *s) {
        bool preempts = false;

        for (unsigned k = 0; k < s->n_hosts; k++)
                if (s->hosts[k].kind != HOST_KIND_VIPD) {
                        s->hosts[k].preempt = s->hosts[k].preempt && !preempts;
                        preempts = preempts || s->hosts[k].preempt;
                }
        for (unsigned a = 0; a < s->n_hosts; a++)
                for (unsigned b = 0; b < a; b++)
                        if (s->hosts[a].kind != HOST_KIND_VIPD && s->hosts[b].kind != HOST_KIND_VIPD) {
                                s->hosts[a].advskew = (uint8_t) (10 + 30 * a);
                                s->hosts[b].advskew = (uint8_t) (10 + 30 * b);
                        }
}

/* In one order by the first octet, in another by the last, so that who compares from the wrong end is found out. */
static void draw_sources(Sim *s) {
        unsigned order[SIM_N_HOSTS_MAX];

        for (unsigned k = 0; k < s->n_hosts; k++) {
                unsigned other = (unsigned) sim_between(s, 0, k);

                order[k] = order[other];
                order[other] = k;
        }
        for (unsigned k = 0; k < s->n_hosts; k++) {
                Host *h = &s->hosts[k];
                const uint8_t near[4] = { 192, 0, 2, (uint8_t) (10 + order[k] / 2) };
                const uint8_t far[4] = { 198, 51, 100, (uint8_t) (10 + order[k] / 2) };
                const uint8_t ipv6[4] = { 0x20, 0x01, 0x0d, 0xb8 };

                h->sources[0] = h->sources[1] = (IpAddress) { .family = AF_UNSPEC };
                if (s->families[0]) {
                        h->sources[0].family = AF_INET;
                        memcpy(h->sources[0].bytes, order[k] & 1 ? far : near, 4);
                }
                if (s->families[1]) {
                        h->sources[1].family = AF_INET6;
                        memcpy(h->sources[1].bytes, ipv6, 4);
                        h->sources[1].bytes[8] = (uint8_t) sim_random(s);
                        h->sources[1].bytes[15] = (uint8_t) k;
                }
        }
}

static void draw_segment(Sim *s) {
        unsigned family = (unsigned) sim_between(s, 0, 99), flavour = (unsigned) sim_between(s, 0, 99);

        s->n_hosts = (unsigned) sim_between(s, 2, sim_chance(s, 70) ? 4 : SIM_N_HOSTS_MAX);
        s->n_rounds = (unsigned) sim_between(s, 1, 3);
        s->delay_min = 20;
        s->delay_max = sim_between(s, 50, 300);
        s->latency_max = sim_between(s, 10, 100);
        s->vhid = (uint8_t) sim_between(s, 1, 255);
        s->strict = flavour >= 62 && flavour < 70;
        s->foreign = flavour >= 70;
        s->demotion_byte = !s->foreign && flavour % 5 == 0;
        s->echo = sim_chance(s, 5);
        s->families[0] = s->foreign || family < 85;
        s->families[1] = !s->foreign && family >= 70;
        for (unsigned k = 0; k < s->n_hosts; k++)
                s->hosts[k].kind = HOST_KIND_VIPD;
        for (unsigned k = 1; s->foreign && k < s->n_hosts; k++)
                if (k == 1 || sim_chance(s, 30))
                        s->hosts[k].kind = flavour < 85 ? HOST_KIND_UCARP : HOST_KIND_FREEBSD;
        if (s->foreign && s->n_hosts > 2 && sim_chance(s, 20))
                s->hosts[s->n_hosts - 1].kind = flavour < 85 ? HOST_KIND_FREEBSD : HOST_KIND_UCARP;
        (void) ip_prefix_parse("192.0.2.1/32", &s->vip);
        s->hmac = carp_hmac_new(&(CarpHmacInput) {
                .key = (const uint8_t *) "simulated",
                .n_key_bytes = 9,
                .vhid = s->vhid,
                .addresses = &s->vip.address,
                .n_addresses = 1,
        });
}

/* advbase and the ratio are the group's, or differ between hosts; with advbase 0 the advskews stay within a factor of four, as any pair further apart
 * is quicker to lose patience than the other is to speak. */
static void draw_timing(Sim *s) {
        static const uint32_t ratios[] = { 2, 3, 3, 3, 3, 3, 4, 6 };
        static const uint8_t fast_skews[] = { 1, 2, 5, 12, 50 };
        bool fast = !s->foreign && sim_chance(s, 20), mixed = !s->foreign && !fast && sim_chance(s, 15);
        uint8_t advbase = fast ? 0 : sim_chance(s, 80) ? 1 : (uint8_t) sim_between(s, 2, 5);
        uint8_t fast_skew = fast_skews[sim_between(s, 0, G_N_ELEMENTS(fast_skews) - 1)];
        uint32_t ratio = s->foreign ? 3 : ratios[sim_between(s, 0, G_N_ELEMENTS(ratios) - 1)];
        unsigned style = (unsigned) sim_between(s, 0, 6);

        /* one whose adverts come too slowly for others is no better for being less demoted: such groups have no answer */
        s->demotion_byte = s->demotion_byte && !mixed && !fast;
        for (unsigned k = 0; k < s->n_hosts; k++) {
                Host *h = &s->hosts[k];

                h->advbase = mixed ? (uint8_t) sim_between(s, 1, 3) : advbase;
                h->advskew = draw_advskew(s, style, k);
                if (fast)
                        h->advskew = (uint8_t) (style == 0 ? fast_skew : sim_between(s, fast_skew, 4u * fast_skew));
                if (fast && fast_skew == 1 && h->advskew == 1 && sim_chance(s, 50))
                        h->advskew = 0;
                h->dead_ratio = mixed ? ratios[sim_between(s, 0, G_N_ELEMENTS(ratios) - 1)] : ratio;
        }
}

static void draw_policy(Sim *s) {
        unsigned preempt = (unsigned) sim_between(s, 0, 2);
        uint64_t dead = sim_dead_max_usec(s);

        for (unsigned k = 0; k < s->n_hosts; k++) {
                Host *h = &s->hosts[k];

                h->preempt = preempt == 0 || (preempt == 1 && sim_chance(s, 50));
                h->preempt_delay_usec = sim_chance(s, 85) ? 0 : sim_between(s, 0, 2 * dead);
                h->start_delay_usec = sim_chance(s, 70) ? CONFIG_USEC_UNSET : sim_between(s, 0, dead);
                h->demote_hold_usec = sim_between(s, 0, 2 * dead);
                h->lease = sim_chance(s, 90) ? CONFIG_LEASE_AUTO : CONFIG_LEASE_NO;
                h->clock_offset_usec = sim_between(s, 1, 1000000) * SIM_SEC;
                h->saved.next = sim_between(s, 1, 1 << 20);
                h->reaction_usec = h->kind == HOST_KIND_UCARP ? sim_between(s, 0, SIM_SEC) : 0;
                h->enabled = true;
                h->healthy = true;
                h->link_up = true;
        }
}

void schedule_draw_hosts(Sim *s) {
        draw_segment(s);
        draw_timing(s);
        draw_sources(s);
        draw_policy(s);
        part_foreigners(s);
        sim_trace(s, NULL, "%u hosts%s%s%s%s%s, delay up to %u us, %u rounds", s->n_hosts, s->families[0] ? ", IPv4" : "",
                  s->families[1] ? ", IPv6" : "", s->strict ? ", strict" : "", s->echo ? ", echo" : "",
                  s->foreign ? ", mixed programs" : "", (unsigned) s->delay_max, s->n_rounds);
}

static FaultType draw_type(Sim *s) {
        unsigned sum = 0, pick;

        for (unsigned k = 0; k < N_FAULT_TYPES; k++)
                sum += faults[k].weight;
        pick = (unsigned) sim_between(s, 0, sum - 1);
        for (unsigned k = 0; k < N_FAULT_TYPES; k++) {
                if (pick < faults[k].weight)
                        return (FaultType) k;
                pick -= faults[k].weight;
        }
        return FAULT_LOSS;
}

static void draw_details(Sim *s, Fault *f) {
        static const ElectionReason link_reasons[] = { ELECTION_REASON_LINK_DOWN, ELECTION_REASON_INTERFACE_MISSING,
                                                       ELECTION_REASON_NO_SOURCE_ADDRESS };
        static const uint32_t demotions[] = { 1, 10, 100, 240, 100000 };
        uint64_t interval = sim_interval_max_usec(s);

        switch (f->type) {
        case FAULT_LOSS:
                f->value = sim_between(s, 20, 250);
                break;
        case FAULT_FAMILY:
                f->value = sim_between(s, 0, 1);
                f->from = random_mask(s);
                f->to = ~f->from;
                break;
        case FAULT_ONE_WAY:
        case FAULT_PARTITION:
                f->from = random_mask(s);
                f->to = ~f->from;
                break;
        case FAULT_DELAY:
        case FAULT_DUPLICATE:
                f->value = sim_chance(s, 50) ? sim_between(s, 1, interval) : sim_between(s, 1, interval / 20);
                break;
        case FAULT_LINK:
                f->value = link_reasons[sim_between(s, 0, 2)];
                break;
        case FAULT_DEMOTION:
                f->value = demotions[sim_between(s, 0, G_N_ELEMENTS(demotions) - 1)];
                f->lasting = sim_chance(s, 30);
                break;
        case FAULT_CRASH:
        case FAULT_STOP:
                f->lasting = sim_chance(s, 20);
                break;
        case FAULT_DEMOTE:
                f->value = sim_between(s, 0, 2 * sim_dead_max_usec(s));
                break;
        case FAULT_RECONFIGURE:
                f->value = sim_random(s);
                break;
        case FAULT_STALL:
        case FAULT_SUSPEND:
        case FAULT_RESTART:
        case FAULT_SEND:
        case FAULT_HOLD:
        case FAULT_DISABLE:
        case FAULT_HEALTH:
        case FAULT_PROMOTE:
        case FAULT_ADDRESS:
        case FAULT_CARRIER:
        case FAULT_EARLY_TIMER:
                break;
        }
}

/* Of the foreign programs only the machine is our business: it dies, or it sleeps. */
static FaultType for_foreigner(FaultType type) {
        if (faults[type].class == FAULT_CLASS_NETWORK || type == FAULT_STALL)
                return type;
        return type == FAULT_SUSPEND || type == FAULT_RESTART || faults[type].class == FAULT_CLASS_EVENT ? FAULT_STALL : FAULT_CRASH;
}

/**
 * schedule_draw_round() - the faults of the next round, and the calm after them
 */
void schedule_draw_round(Sim *s) {
        unsigned n = (unsigned) sim_between(s, 1, sim_chance(s, 50) ? 2 : N_FAULTS_PER_ROUND_MAX);
        unsigned taken[SIM_N_HOSTS_MAX] = { 0 };
        uint64_t dead = sim_dead_max_usec(s), end = s->now + 1;

        s->first_fault = s->n_faults;
        for (unsigned k = 0; k < n; k++) {
                Fault *f = &s->faults[s->n_faults];
                FaultType type = draw_type(s);
                unsigned host = (unsigned) sim_between(s, 0, s->n_hosts - 1);

                /* what is done to the master tells more */
                for (unsigned m = 0; m < s->n_hosts && sim_chance(s, 30); m++)
                        if (s->hosts[m].state == ELECTION_STATE_MASTER)
                                host = m;
                if (s->hosts[host].kind != HOST_KIND_VIPD)
                        type = for_foreigner(type);
                if (faults[type].class == FAULT_CLASS_HOST) {
                        if (taken[host] >> faults[type].slot & 1)
                                continue;
                        taken[host] |= 1u << faults[type].slot;
                }
                *f = (Fault) { .type = type, .host = host };
                draw_details(s, f);
                f->begin = s->now + sim_between(s, 0, n > 1 ? 2 * dead : dead / 4);
                f->end = f->begin;
                if (type == FAULT_RESTART)
                        f->end += sim_between(s, 1, sim_chance(s, 70) ? RESTART_MAX : 2 * dead);
                else if (faults[type].class != FAULT_CLASS_EVENT)
                        f->end += sim_chance(s, 30) ? sim_between(s, 1, dead / 4) : sim_between(s, 1, 2 * dead);
                end = MAX(end, f->end);
                sim_push(s, f->begin, EVENT_FAULT_BEGIN, host, s->n_faults);
                if (faults[type].class != FAULT_CLASS_EVENT)
                        sim_push(s, f->end, EVENT_FAULT_END, host, s->n_faults);
                s->n_faults++;
        }
        s->long_calm = s->round + 1 == s->n_rounds || sim_chance(s, 60);
        sim_push(s, end + 2 + sim_between(s, 0, dead), EVENT_CALM_END, 0, 0);
}

static void begin_host_fault(Host *h, const Fault *f) {
        bool vipd = h->kind == HOST_KIND_VIPD;

        switch (f->type) {
        case FAULT_STALL:
        case FAULT_SUSPEND:
                if (vipd)
                        host_stall(h, f->type == FAULT_SUSPEND);
                else
                        peer_stall(h);
                return;
        case FAULT_RESTART:
                host_hand_over(h);
                return;
        case FAULT_CRASH:
                if (vipd)
                        host_crash(h);
                else
                        peer_crash(h);
                h->gone = f->lasting;
                return;
        case FAULT_STOP:
                host_stop(h);
                h->gone = f->lasting && !h->running;
                return;
        case FAULT_LINK:
                host_set_link(h, false, (ElectionReason) f->value);
                return;
        case FAULT_SEND:
                h->send_fails = true;
                return;
        case FAULT_HOLD:
                h->hold_fails = true;
                return;
        case FAULT_DISABLE:
                host_set_enabled(h, false);
                return;
        case FAULT_HEALTH:
                host_set_healthy(h, false);
                return;
        case FAULT_DEMOTION:
                host_set_demotion(h, (uint32_t) f->value);
                return;
        case FAULT_DEMOTE:
                host_demote(h, f->value);
                return;
        case FAULT_PROMOTE:
                host_promote(h);
                return;
        case FAULT_ADDRESS:
                host_lose_address(h);
                return;
        case FAULT_RECONFIGURE:
                host_reconfigure(h, h->advbase == 0 ? h->advskew : (uint8_t) (f->value % 255), f->value >> 8 & 1);
                return;
        case FAULT_CARRIER:
                host_carrier(h);
                return;
        case FAULT_EARLY_TIMER:
                host_early_timer(h);
                return;
        case FAULT_LOSS:
        case FAULT_ONE_WAY:
        case FAULT_PARTITION:
        case FAULT_DELAY:
        case FAULT_DUPLICATE:
        case FAULT_FAMILY:
                return;
        }
}

static void end_host_fault(Host *h, const Fault *f) {
        bool vipd = h->kind == HOST_KIND_VIPD;

        switch (f->type) {
        case FAULT_STALL:
        case FAULT_SUSPEND:
        case FAULT_RESTART:
                if (vipd)
                        host_resume(h);
                else
                        peer_resume(h);
                return;
        case FAULT_CRASH:
        case FAULT_STOP:
                if (vipd)
                        host_start(h);
                else
                        peer_start(h);
                return;
        case FAULT_LINK:
                host_set_link(h, true, ELECTION_REASON_LINK_UP);
                return;
        case FAULT_SEND:
                h->send_fails = false;
                return;
        case FAULT_HOLD:
                h->hold_fails = false;
                return;
        case FAULT_DISABLE:
                host_set_enabled(h, true);
                return;
        case FAULT_HEALTH:
                host_set_healthy(h, true);
                return;
        case FAULT_DEMOTION:
                if (!f->lasting)
                        host_set_demotion(h, 0);
                return;
        case FAULT_DEMOTE:
        case FAULT_PROMOTE:
        case FAULT_ADDRESS:
        case FAULT_RECONFIGURE:
        case FAULT_CARRIER:
        case FAULT_EARLY_TIMER:
        case FAULT_LOSS:
        case FAULT_ONE_WAY:
        case FAULT_PARTITION:
        case FAULT_DELAY:
        case FAULT_DUPLICATE:
        case FAULT_FAMILY:
                return;
        }
}

void schedule_fault_begin(Sim *s, Fault *f) {
        if (faults[f->type].class == FAULT_CLASS_NETWORK)
                sim_trace(s, NULL, "%s begins (hosts 0x%x, %u)", faults[f->type].name, f->from, (unsigned) f->value);
        else
                sim_trace(s, &s->hosts[f->host], "fault: %s", faults[f->type].name);
        check_disturbed(s);
        s->n_active += faults[f->type].unsettles;
        f->active = true;
        begin_host_fault(&s->hosts[f->host], f);
        check_disturbed(s);
}

void schedule_fault_end(Sim *s, Fault *f) {
        sim_trace(s, faults[f->type].class == FAULT_CLASS_NETWORK ? NULL : &s->hosts[f->host], "%s ends",
                  faults[f->type].name);
        check_disturbed(s);
        end_host_fault(&s->hosts[f->host], f);
        f->active = false;
        s->n_active -= faults[f->type].unsettles;
        check_disturbed(s);
}
