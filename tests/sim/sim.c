/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The virtual world: a clock, a queue of events, randomness from one seed, and the trace. Knows neither what an event means to a host (host.c,
 * peers.c), nor what the network does to packets (network.c), nor what must hold (check.c). */

/* A schedule has some hundreds of events; this many mean that somebody arms timers in the past for ever. */
#define N_EVENTS_MAX 400000

uint64_t sim_random(Sim *s) {
        uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

uint64_t sim_between(Sim *s, uint64_t low, uint64_t high) {
        return low + sim_random(s) % (high - low + 1);
}

bool sim_chance(Sim *s, unsigned percent) {
        return sim_random(s) % 100 < percent;
}

void sim_trace(Sim *s, const Host *h, const char *format, ...) {
        va_list arguments;

        if (!s->trace)
                return;
        printf("%12.6f  ", (double) s->now / SIM_SEC);
        if (h)
                printf("host %u  ", h->number);
        else
                printf("        ");
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
        putchar('\n');
}

/**
 * sim_fail() - a promise was broken
 *
 * Only the first one counts: what follows is often its consequence. The schedule ends with the event that is being handled.
 */
void sim_fail(Sim *s, const Host *h, const char *format, ...) {
        va_list arguments;

        if (s->failure->len > 0)
                return;
        g_string_append_printf(s->failure, "at %.6f: ", (double) s->now / SIM_SEC);
        if (h)
                g_string_append_printf(s->failure, "host %u ", h->number);
        va_start(arguments, format);
        g_string_append_vprintf(s->failure, format, arguments);
        va_end(arguments);
        sim_trace(s, NULL, "*** %s", s->failure->str);
}

static bool event_before(const Event *a, const Event *b) {
        return a->usec != b->usec ? a->usec < b->usec : a->sequence < b->sequence;
}

void sim_push(Sim *s, uint64_t usec, EventType type, unsigned host, uint32_t index) {
        Event event = {
                .usec = usec,
                .sequence = s->sequence++,
                .type = (uint16_t) type,
                .host = (uint16_t) host,
                .index = index,
        };
        Event *heap;
        guint k = s->events->len;

        g_array_set_size(s->events, k + 1);
        heap = (Event *) (void *) s->events->data;
        for (; k > 0 && event_before(&event, &heap[(k - 1) / 2]); k = (k - 1) / 2)
                heap[k] = heap[(k - 1) / 2];
        heap[k] = event;
}

static Event pop(Sim *s) {
        Event *heap = (Event *) (void *) s->events->data;
        Event first = heap[0], last = heap[s->events->len - 1];
        guint n = s->events->len - 1, k = 0;

        while (2 * k + 1 < n) {
                guint child = 2 * k + 1;

                if (child + 1 < n && event_before(&heap[child + 1], &heap[child]))
                        child++;
                if (!event_before(&heap[child], &last))
                        break;
                heap[k] = heap[child];
                k = child;
        }
        heap[k] = last;
        g_array_set_size(s->events, n);
        return first;
}

static void handle(Sim *s, const Event *event) {
        switch ((EventType) event->type) {
        case EVENT_DELIVER:
                network_deliver(&s->hosts[event->host], event->index);
                return;
        case EVENT_FAULT_BEGIN:
                schedule_fault_begin(s, &s->faults[event->index]);
                return;
        case EVENT_FAULT_END:
                schedule_fault_end(s, &s->faults[event->index]);
                return;
        case EVENT_LINK_NEWS:
                host_link_news(&s->hosts[event->host]);
                return;
        case EVENT_CALM_END:
                if (s->long_calm && s->settle_usec != SIM_NEVER) {
                        uint64_t enough = s->settle_usec + 2 * sim_interval_max_usec(s);

                        if (s->now < enough) {
                                sim_push(s, enough, EVENT_CALM_END, 0, 0);
                                return;
                        }
                }
                check_calm_end(s);
                s->round++;
                if (s->round == s->n_rounds)
                        s->done = true;
                else
                        schedule_draw_round(s);
                return;
        }
}

/* The host whose timer or kernel is next, or NULL when an event of the queue is. On the same microsecond packets come first, as the priorities of
 * the daemon's loop have it. */
static Host *next_host(Sim *s, uint64_t *ret_usec) {
        Host *first = NULL;
        uint64_t usec = s->events->len > 0 ? g_array_index(s->events, Event, 0).usec : SIM_NEVER;

        for (unsigned k = 0; k < s->n_hosts; k++) {
                Host *h = &s->hosts[k];
                uint64_t t = h->kind == HOST_KIND_VIPD ? host_next_usec(h) : peer_next_usec(h);

                if (t < usec) {
                        usec = t;
                        first = h;
                }
        }
        *ret_usec = usec;
        return first;
}

static void run(Sim *s) {
        while (!s->done && s->failure->len == 0) {
                uint64_t usec;
                Host *h = next_host(s, &usec);

                if (++s->n_events > N_EVENTS_MAX) {
                        sim_fail(s, NULL, "the schedule does not end: a timer is armed in the past for ever");
                        break;
                }
                s->now = MAX(s->now, usec);
                if (!h) {
                        Event event = pop(s);

                        handle(s, &event);
                } else if (h->kind == HOST_KIND_VIPD)
                        host_timer(h);
                else
                        peer_timer(h);
                check_step(s);
        }
}

void sim_new(Sim *s) {
        *s = (Sim) { 0 };
        s->failure = g_string_new(NULL);
        s->events = g_array_new(FALSE, FALSE, sizeof(Event));
        s->packets = g_array_new(FALSE, FALSE, sizeof(Packet));
        for (unsigned k = 0; k < SIM_N_HOSTS_MAX; k++)
                s->hosts[k].queue = g_array_new(FALSE, FALSE, sizeof(uint32_t));
}

void sim_free(Sim *s) {
        for (unsigned k = 0; k < SIM_N_HOSTS_MAX; k++)
                g_array_free(s->hosts[k].queue, TRUE);
        g_array_free(s->packets, TRUE);
        g_array_free(s->events, TRUE);
        g_string_free(s->failure, TRUE);
}

/* Everything is new but the buffers and the totals. */
static void reset(Sim *s) {
        Sim old = *s;

        *s = (Sim) {
                .failure = old.failure,
                .events = old.events,
                .packets = old.packets,
                .total_events = old.total_events,
                .total_transitions = old.total_transitions,
                .total_adverts = old.total_adverts,
                .total_settled = old.total_settled,
                .total_handovers = old.total_handovers,
        };
        g_string_truncate(s->failure, 0);
        g_array_set_size(s->events, 0);
        g_array_set_size(s->packets, 0);
        for (unsigned k = 0; k < SIM_N_HOSTS_MAX; k++) {
                g_array_set_size(old.hosts[k].queue, 0);
                s->hosts[k] = (Host) { .sim = s, .number = k, .queue = old.hosts[k].queue, .lease_end = SIM_NEVER,
                                       .deadline = SIM_NEVER };
        }
}

/**
 * sim_run() - one schedule
 * @trace: print what happens
 *
 * Returns whether everything held; if not, s->failure says what did not. Nothing but the seed decides what happens.
 */
bool sim_run(Sim *s, uint64_t seed, bool trace) {
        reset(s);
        s->seed = s->random = seed;
        s->trace = trace;
        s->handover_until = s->settle_usec = SIM_NEVER;
        s->now = SIM_SEC;

        schedule_draw_hosts(s);
        for (unsigned k = 0; k < s->n_hosts; k++)
                if (s->hosts[k].kind == HOST_KIND_VIPD)
                        host_start(&s->hosts[k]);
                else
                        peer_start(&s->hosts[k]);
        check_disturbed(s);
        schedule_draw_round(s);
        run(s);

        for (unsigned k = 0; k < s->n_hosts; k++)
                s->hosts[k].instance = instance_free(s->hosts[k].instance);
        carp_hmac_free(s->hmac);
        s->hmac = NULL;
        s->total_events += s->n_events;
        return s->failure->len == 0;
}
