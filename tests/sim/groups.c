/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "groups.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The world of the sync groups: clock, events, segments, what a seed means, and the program that runs seeds. Knows neither what a host does with an
 * event (groups-host.c) nor what must hold (groups-check.c). */

#define N_EVENTS_MAX 400000
#define N_FAULTS_PER_ROUND_MAX 6

static const struct {
        const char *name;
        unsigned weight;
        bool at_once, may_stand;
} faults[N_FAULT_TYPES] = {
        [FAULT_PARTITION] = { "partition", 6, false, true },
        [FAULT_LOSS] = { "loss", 2, false, false },
        [FAULT_ONE_WAY] = { "one-way", 3, false, false },
        [FAULT_LINK] = { "link", 8, false, true },
        [FAULT_SEND] = { "send errors", 2, false, false },
        [FAULT_HOLD] = { "hold errors", 2, false, false },
        [FAULT_DEMOTION] = { "demotion", 5, false, true },
        [FAULT_REGROUP] = { "regroup", 2, false, false },
        [FAULT_STALL] = { "stall", 2, false, false },
        [FAULT_SUSPEND] = { "suspend", 2, false, false },
        [FAULT_RESTART] = { "restart", 3, false, false },
        [FAULT_CRASH] = { "crash", 3, false, true },
        [FAULT_STOP] = { "stop", 3, false, true },
        [FAULT_DISABLE] = { "disable", 3, false, true },
        [FAULT_DEMOTE] = { "demote", 4, true, false },
        [FAULT_PROMOTE] = { "promote", 3, true, false },
        [FAULT_ADDRESS] = { "address removed", 1, true, false },
};

uint64_t world_random(World *w) {
        uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

uint64_t between(World *w, uint64_t low, uint64_t high) {
        return low + world_random(w) % (high - low + 1);
}

bool chance(World *w, unsigned percent) {
        return world_random(w) % 100 < percent;
}

void world_trace(World *w, const Side *s, const char *format, ...) {
        va_list arguments;

        if (!w->trace)
                return;
        if (s)
                printf("%12.6f  host %u.%c  ", (double) w->now / SEC, s->host->number, (int) ('A' + s->number));
        else
                printf("%12.6f            ", (double) w->now / SEC);
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
        putchar('\n');
}

void world_fail(World *w, const Side *s, const char *format, ...) {
        va_list arguments;

        if (w->failure->len > 0)
                return;
        g_string_append_printf(w->failure, "at %.6f: ", (double) w->now / SEC);
        if (s)
                g_string_append_printf(w->failure, "host %u.%c ", s->host->number, (int) ('A' + s->number));
        va_start(arguments, format);
        g_string_append_vprintf(w->failure, format, arguments);
        va_end(arguments);
        world_trace(w, NULL, "*** %s", w->failure->str);
}

void world_push(World *w, uint64_t usec, EventType type, unsigned host, guint index) {
        Event event = { .usec = usec, .type = type, .host = host, .index = index };

        g_array_append_val(w->events, event);
}

/* Some tens are under way at most. The first of those that are due at the same time is the first that was pushed. */
static guint first_event(const World *w) {
        guint first = 0;

        for (guint k = 1; k < w->events->len; k++)
                if (g_array_index(w->events, Event, k).usec < g_array_index(w->events, Event, first).usec)
                        first = k;
        return first;
}

bool world_cut(World *w, unsigned side, unsigned from, unsigned to) {
        for (unsigned k = 0; k < w->n_faults; k++) {
                const Fault *f = &w->faults[k];
                bool forth = f->value >> from & ~(f->value >> to) & 1, back = f->value >> to & ~(f->value >> from) & 1;

                if (!f->active || f->side != side)
                        continue;
                if ((f->type == FAULT_PARTITION && (forth || back)) || (f->type == FAULT_ONE_WAY && forth))
                        return true;
                if (f->type == FAULT_LOSS && chance(w, 60))
                        return true;
        }
        return false;
}

static void draw_hosts(World *w) {
        static const uint32_t ratios[] = { 2, 3, 3, 3, 4 };
        unsigned style = (unsigned) between(w, 0, 5), preempt = (unsigned) between(w, 0, 2);
        bool fast = chance(w, 10);
        unsigned turned = 0;

        w->n_hosts = (unsigned) between(w, 2, chance(w, 60) ? 2 : N_HOSTS_MAX);
        w->n_sides = (unsigned) between(w, 2, N_SIDES_MAX);
        w->n_rounds = (unsigned) between(w, 1, 3);
        w->advbase = fast ? 0 : chance(w, 85) ? 1 : 3;
        w->dead_ratio = ratios[between(w, 0, G_N_ELEMENTS(ratios) - 1)];
        w->delay_max = between(w, 50, 300);
        w->latency_max = between(w, 10, 100);
        /* on which segments the order of the hosts is the other way round */
        if (style >= 3)
                turned = (unsigned) between(w, 1, (1u << w->n_sides) - 1);
        w->crossed = style >= 3;
        for (unsigned k = 0; k < w->n_hosts; k++) {
                Host *h = &w->hosts[k];

                h->preempt = preempt == 0 || (preempt == 1 && chance(w, 50));
                h->preempt_delay_usec = chance(w, 80) ? 0 : between(w, 0, 6 * SEC);
                h->demote_hold_usec = between(w, 1000, 6 * SEC);
                for (unsigned o = 0; o < w->n_sides; o++) {
                        Side *s = &h->sides[o];
                        unsigned place = turned >> o & 1 ? w->n_hosts - 1 - k : k;

                        s->advskew = (uint8_t) (style == 0 || style == 3 ? 50 : style == 5 ? between(w, 0, 200) : place * 60);
                        if (fast)
                                s->advskew = (uint8_t) (20 + s->advskew / 20);
                        s->source = (IpAddress) { .family = AF_INET, .bytes = { 192, 0, (uint8_t) (10 + o), (uint8_t) (1 + place) } };
                        s->enabled = s->grouped = s->link_up = true;
                }
        }
}

static FaultType draw_type(World *w) {
        unsigned sum = 0, pick;

        for (unsigned k = 0; k < N_FAULT_TYPES; k++)
                sum += faults[k].weight;
        pick = (unsigned) between(w, 0, sum - 1);
        for (unsigned k = 0; k < N_FAULT_TYPES; k++) {
                if (pick < faults[k].weight)
                        return (FaultType) k;
                pick -= faults[k].weight;
        }
        return FAULT_PARTITION;
}

static uint64_t draw_value(World *w, FaultType type) {
        static const uint32_t demotions[] = { 1, 10, 100, 240 };

        switch (type) {
        case FAULT_PARTITION:
        case FAULT_ONE_WAY:
                return between(w, 1, (1u << w->n_hosts) - 2);
        case FAULT_DEMOTION:
                return w->advbase == 0 ? 1 : demotions[between(w, 0, G_N_ELEMENTS(demotions) - 1)];
        case FAULT_DEMOTE:
                return between(w, 0, 6 * SEC);
        case FAULT_LOSS:
        case FAULT_LINK:
        case FAULT_SEND:
        case FAULT_HOLD:
        case FAULT_REGROUP:
        case FAULT_STALL:
        case FAULT_SUSPEND:
        case FAULT_RESTART:
        case FAULT_CRASH:
        case FAULT_STOP:
        case FAULT_DISABLE:
        case FAULT_PROMOTE:
        case FAULT_ADDRESS:
                break;
        }
        return 0;
}

/* Two of one kind at the same place would end each other's. */
static bool is_taken(const World *w, const Fault *f) {
        for (unsigned k = 0; k < w->n_faults; k++) {
                const Fault *o = &w->faults[k];
                bool machine = f->type >= FAULT_STALL && f->type <= FAULT_STOP && o->type >= FAULT_STALL && o->type <= FAULT_STOP;

                if (k < w->first_fault && !o->standing)
                        continue;
                if ((o->type == f->type && o->side == f->side && (o->host == f->host || f->type <= FAULT_ONE_WAY)) ||
                    (machine && o->host == f->host) || (o->type == FAULT_REGROUP && f->type == FAULT_REGROUP && o->host == f->host))
                        return true;
        }
        return false;
}

static void draw_round(World *w) {
        unsigned n = (unsigned) between(w, 1, chance(w, 60) ? 2 : N_FAULTS_PER_ROUND_MAX);
        uint64_t dead = world_dead_max_usec(w), end = w->now + 1;

        w->first_fault = w->n_faults;
        for (unsigned k = 0; k < n; k++) {
                Fault f = { .type = draw_type(w), .side = (unsigned) between(w, 0, w->n_sides - 1) };

                f.host = (unsigned) between(w, 0, w->n_hosts - 1);
                for (unsigned m = 0; m < w->n_hosts && chance(w, 50); m++)
                        if (host_is_master(&w->hosts[m]))
                                f.host = m;
                if (is_taken(w, &f))
                        continue;
                f.value = draw_value(w, f.type);
                f.standing = faults[f.type].may_stand && chance(w, 30);
                f.begin = w->now + between(w, 0, n > 1 ? 2 * dead : dead / 4);
                f.end = faults[f.type].at_once || f.standing ? f.begin : f.begin + between(w, 1, chance(w, 30) ? dead / 4 : 2 * dead);
                if (f.type == FAULT_RESTART)
                        f.end = f.begin + between(w, 1, w->advbase == 0 ? dead : SEC / 2);
                end = MAX(end, f.end);
                world_push(w, f.begin, EVENT_BEGIN, f.host, w->n_faults);
                if (!f.standing && !faults[f.type].at_once)
                        world_push(w, f.end, EVENT_END, f.host, w->n_faults);
                w->faults[w->n_faults++] = f;
        }
        world_push(w, end + 3000, EVENT_CALM_END, 0, 0);
}

static void apply(World *w, const Fault *f, bool on) {
        Host *h = &w->hosts[f->host];
        Side *s = &h->sides[f->side];

        switch (f->type) {
        case FAULT_LINK:
                host_set_link(s, !on);
                return;
        case FAULT_SEND:
                s->send_fails = on;
                return;
        case FAULT_HOLD:
                s->hold_fails = on;
                return;
        case FAULT_DEMOTION:
                s->demotion = on ? (uint32_t) f->value : 0;
                host_tell(h);
                return;
        case FAULT_DISABLE:
                s->enabled = !on;
                host_tell(h);
                return;
        case FAULT_REGROUP:
                host_regroup(h, !on);
                return;
        case FAULT_STALL:
        case FAULT_SUSPEND:
                on ? host_stall(h, f->type == FAULT_SUSPEND) : host_resume(h);
                return;
        case FAULT_RESTART:
                on ? host_hand_over(h) : host_resume(h);
                return;
        case FAULT_CRASH:
                on ? host_crash(h) : host_start(h);
                h->gone = on && f->standing;
                return;
        case FAULT_STOP:
                on ? host_stop(h) : host_start(h);
                h->gone = on && f->standing && !h->running;
                return;
        case FAULT_DEMOTE:
                host_demote(s, f->value);
                return;
        case FAULT_PROMOTE:
                host_promote(s);
                return;
        case FAULT_ADDRESS:
                host_lose_address(s);
                return;
        case FAULT_PARTITION:
        case FAULT_LOSS:
        case FAULT_ONE_WAY:
                return;
        }
}

static void set_fault(World *w, Fault *f, bool on) {
        world_trace(w, &w->hosts[f->host].sides[f->side], "fault: %s %s (0x%x)%s", faults[f->type].name, on ? "begins" : "ends", (unsigned) f->value,
                    f->standing ? ", and stays" : "");
        check_disturbed(w);
        if (!f->standing && !faults[f->type].at_once)
                w->n_active += on ? 1 : -1;
        f->active = on && !faults[f->type].at_once;
        w->settle_usec = NEVER;
        apply(w, f, on);
        w->settle_usec = NEVER;
        if (w->handover_until == NEVER)
                check_disturbed(w);
        else {
                /* what was promised about the handover stays promised */
                uint64_t until = w->handover_until;

                check_disturbed(w);
                w->handover_until = until;
        }
}

static void handle(World *w, const Event *event) {
        uint64_t until;

        switch (event->type) {
        case EVENT_DELIVER:
                host_receive(&w->hosts[event->host], event->index);
                return;
        case EVENT_BEGIN:
        case EVENT_END:
                set_fault(w, &w->faults[event->index], event->type == EVENT_BEGIN);
                return;
        case EVENT_LINK_NEWS:
                w->settle_usec = NEVER;
                host_link_news(&w->hosts[event->host].sides[event->index]);
                until = w->handover_until;
                w->calm_since = w->now;
                check_disturbed(w);
                w->handover_until = until;
                return;
        case EVENT_CALM_END:
                if (w->settle_usec == NEVER || w->now < w->settle_usec + 2 * world_interval_max_usec(w)) {
                        world_push(w, w->settle_usec == NEVER ? w->now + SEC : w->settle_usec + 2 * world_interval_max_usec(w), EVENT_CALM_END, 0,
                                   0);
                        return;
                }
                w->round++;
                if (w->round == w->n_rounds)
                        w->done = true;
                else
                        draw_round(w);
                return;
        }
}

static Side *first_timer(World *w, uint64_t *ret_usec) {
        Side *first = NULL;

        *ret_usec = NEVER;
        for (unsigned k = 0; k < w->n_hosts; k++)
                for (unsigned o = 0; o < w->n_sides; o++) {
                        Side *s = &w->hosts[k].sides[o];

                        if (w->hosts[k].running && !w->hosts[k].stalled && s->deadline < *ret_usec) {
                                *ret_usec = s->deadline;
                                first = s;
                        }
                }
        return first;
}

static void run(World *w) {
        while (!w->done && w->failure->len == 0) {
                guint first = first_event(w);
                uint64_t due;
                Side *s = first_timer(w, &due);
                Event event = g_array_index(w->events, Event, first);

                if (++w->n_events > N_EVENTS_MAX)
                        world_fail(w, NULL, "the schedule does not end");
                if (s && due < event.usec) {
                        w->now = MAX(w->now, due);
                        host_timer(s);
                } else {
                        w->now = MAX(w->now, event.usec);
                        g_array_remove_index(w->events, first);
                        handle(w, &event);
                }
                check_world(w);
        }
}

static bool run_seed(World *w, uint64_t seed, bool trace) {
        World old = *w;

        *w = (World) { .seed = seed, .random = seed, .trace = trace, .failure = old.failure, .events = old.events, .packets = old.packets };
        memcpy(w->totals, old.totals, sizeof(w->totals));
        g_string_truncate(w->failure, 0);
        g_array_set_size(w->events, 0);
        g_array_set_size(w->packets, 0);
        w->now = SEC;
        w->settle_usec = w->handover_until = w->overlap_since = NEVER;
        for (unsigned k = 0; k < N_HOSTS_MAX; k++) {
                Host *h = &w->hosts[k];

                *h = (Host) { .world = w, .number = k, .queue = g_array_new(false, false, sizeof(guint)) };
                for (unsigned o = 0; o < N_SIDES_MAX; o++)
                        h->sides[o] = (Side) { .host = h, .number = o, .deadline = NEVER };
        }
        draw_hosts(w);
        for (unsigned k = 0; k < w->n_hosts; k++)
                host_start(&w->hosts[k]);
        check_disturbed(w);
        draw_round(w);
        run(w);
        for (unsigned k = 0; k < N_HOSTS_MAX; k++) {
                Host *h = &w->hosts[k];

                h->groups = sync_groups_free(h->groups);
                for (unsigned o = 0; o < N_SIDES_MAX; o++)
                        h->sides[o].instance = instance_free(h->sides[o].instance);
                g_array_free(h->queue, true);
        }
        w->totals[0] += w->n_events;
        return w->failure->len == 0;
}

static gint64 seed_argument = -1, n_schedules = 100000, first_seed = 1;
static int n_jobs;

static const GOptionEntry options[] = {
        { "seed", 0, 0, G_OPTION_ARG_INT64, &seed_argument, "Run this one schedule and print its trace", "N" },
        { "schedules", 0, 0, G_OPTION_ARG_INT64, &n_schedules, "How many to run (100000)", "N" },
        { "first", 0, 0, G_OPTION_ARG_INT64, &first_seed, "The first seed (1)", "N" },
        { "jobs", 0, 0, G_OPTION_ARG_INT, &n_jobs, "Processes (as many as CPUs)", "N" },
        { 0 },
};

static int show(World *w, const char *program, uint64_t seed) {
        if (run_seed(w, seed, true)) {
                printf("seed %" PRIu64 ": good\n", seed);
                return EXIT_SUCCESS;
        }
        printf("seed %" PRIu64 " FAILED: %s\nrepeat it with: %s --seed=%" PRIu64 "\n", seed, w->failure->str, program, seed);
        return EXIT_FAILURE;
}

static int run_share(World *w, const char *program, int job) {
        for (gint64 k = job; k < n_schedules; k += n_jobs)
                if (!run_seed(w, (uint64_t) (first_seed + k), false))
                        return show(w, program, (uint64_t) (first_seed + k));
        printf("%" PRIu64 " events, %" PRIu64 " adverts, %" PRIu64 " transitions, %" PRIu64 " handovers, %" PRIu64 " looks at rest\n", w->totals[0],
               w->totals[1], w->totals[2], w->totals[3], w->totals[4]);
        return EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        g_autoptr(GOptionContext) context = g_option_context_new("- random schedules for sync groups");
        g_autoptr(GError) error = NULL;
        g_autofree World *w = g_new0(World, 1);
        int result = EXIT_SUCCESS;

        g_option_context_add_main_entries(context, options, NULL);
        if (!g_option_context_parse(context, &argc, &argv, &error)) {
                fprintf(stderr, "%s\n", error->message);
                return 2;
        }
        n_jobs = n_jobs > 0 ? n_jobs : (int) sysconf(_SC_NPROCESSORS_ONLN);
        w->failure = g_string_new(NULL);
        w->events = g_array_new(false, false, sizeof(Event));
        w->packets = g_array_new(false, false, sizeof(Packet));
        if (seed_argument >= 0)
                return show(w, argv[0], (uint64_t) seed_argument);
        for (int job = 1; job < n_jobs; job++) {
                pid_t pid = fork();

                if (pid == 0) {
                        result = run_share(w, argv[0], job);
                        (void) fflush(stdout);
                        _exit(result);
                }
                result = pid < 0 ? EXIT_FAILURE : result;
        }
        result = run_share(w, argv[0], 0) == EXIT_SUCCESS ? result : EXIT_FAILURE;
        for (int status; wait(&status) >= 0;)
                result = status == 0 ? result : EXIT_FAILURE;
        g_string_free(w->failure, true);
        g_array_free(w->events, true);
        g_array_free(w->packets, true);
        return result;
}
