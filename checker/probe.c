/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a probe runs: at first soon, then every interval with some jitter, never twice at once; and no longer than its timeout. Each run ends in
 * one report. Knows neither HTTP nor processes, and not who reads the reports. */
#include "checker/probe.h"

#include <errno.h>

#include "util/event-priority.h"
#include "util/time-util.h"

struct Probe {
        ProbeConfig *config;
        const ProbeShared *shared;
        const ProbeKind *kind;
        sd_event_source *due, *deadline;
        uint64_t started_usec;
        void *run;
};

static const ProbeKind *const kinds[] = {
        [PROBE_TYPE_COMMAND] = &probe_command,
        [PROBE_TYPE_HTTP] = &probe_http,
        [PROBE_TYPE_TCP] = &probe_tcp,
};

static uint64_t probe_now(const Probe *p) {
        uint64_t now_usec = 0;
        (void) sd_event_now(p->shared->event, CLOCK_BOOTTIME, &now_usec);
        return now_usec;
}

/* From start to start. */
static uint64_t interval_with_jitter(const ProbeConfig *c) {
        double part = CHECKER_JITTER_PERCENT / 100.0;
        return (uint64_t) ((double) c->interval_usec * g_random_double_range(1 - part, 1 + part));
}

static void probe_end_run(Probe *p) {
        p->deadline = sd_event_source_disable_unref(p->deadline);
        if (p->run)
                p->kind->free_run(p->run);
        p->run = NULL;
}

/* Ends the run; what the line says may belong to it until then. */
static void probe_finish(Probe *p, CheckerOutcome outcome, const Line *line) {
        probe_end_run(p);
        /* late when it ran for longer than its interval: then at once */
        int r = sd_event_source_set_time(p->due, usec_add(p->started_usec, interval_with_jitter(p->config)));
        if (r >= 0)
                r = sd_event_source_set_enabled(p->due, SD_EVENT_ONESHOT);
        if (r < 0) /* a probe that never runs again is overdue soon; better that we are started anew at once */
                (void) sd_event_exit(p->shared->event, r);
        p->shared->report(p->config->number, outcome, line, p->shared->userdata);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Probe *p = userdata;
        Line line;
        p->kind->overtime(p->run, &line);
        probe_finish(p, CHECKER_OUTCOME_BAD, &line);
        return 0;
}

static int probe_start(Probe *p) {
        int r = sd_event_add_time_relative(p->shared->event, &p->deadline, CLOCK_BOOTTIME, p->config->timeout_usec, EVENT_ACCURACY_USEC,
                                           on_deadline, p);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(p->deadline, "probe-deadline");
        r = sd_event_source_set_priority(p->deadline, EVENT_PRIORITY_TIMER);
        if (r < 0)
                return r;
        return p->kind->start(p, &p->run);
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata) {
        Probe *p = userdata;
        p->started_usec = probe_now(p);
        if (p->config->problem) {
                probe_done(p, CHECKER_OUTCOME_BAD, "%s", p->config->problem);
                return 0;
        }
        int r = probe_start(p);
        if (r == -EBUSY)
                probe_done(p, CHECKER_OUTCOME_BAD, "the last run was killed, and is still there");
        else if (r < 0)
                probe_done(p, CHECKER_OUTCOME_BAD, "cannot be started: %s", g_strerror(-r));
        return 0;
}

/**
 * probe_new() - a probe that does not run yet
 * @config: borrowed
 * @shared: borrowed
 */
Probe *probe_new(ProbeConfig *config, const ProbeShared *shared) {
        Probe *p = g_new0(Probe, 1);
        p->config = config;
        p->shared = shared;
        p->kind = kinds[config->type];
        return p;
}

/**
 * probe_free() - also while it runs
 */
Probe *probe_free(Probe *p) {
        if (!p)
                return NULL;
        probe_end_run(p);
        sd_event_source_disable_unref(p->due);
        g_free(p);
        return NULL;
}

int probe_schedule(Probe *p, uint64_t delay_usec) {
        int r = sd_event_add_time_relative(p->shared->event, &p->due, CLOCK_BOOTTIME, delay_usec, EVENT_ACCURACY_USEC, on_due, p);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(p->due, "probe-due");
        return sd_event_source_set_priority(p->due, EVENT_PRIORITY_TIMER);
}

const ProbeConfig *probe_config(const Probe *p) {
        return p->config;
}

const ProbeShared *probe_shared(const Probe *p) {
        return p->shared;
}

/**
 * probe_done() - the run has its result
 *
 * Ends the run, so it must be the last thing that a kind does with it. Not from within start().
 */
void probe_done(Probe *p, CheckerOutcome outcome, const char *format, ...) {
        Line line;
        va_list ap;
        va_start(ap, format);
        line_format_va(&line, format, ap);
        va_end(ap);
        probe_finish(p, outcome, &line);
}
