/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One probe: when it runs, for how long, and what it reports. How it probes is its kind's business. */
#include <glib.h>
#include <systemd/sd-event.h>

#include "checker/checker-protocol.h"
#include "checker/children.h"
#include "checker/line.h"
#include "checker/probe-config.h"
#include "checker/transfer.h"

typedef struct Probe Probe;

/* What all probes share; borrowed. */
typedef struct ProbeShared {
        sd_event *event;
        Children *children;
        Transfers *transfers;
        void (*report)(uint32_t number, CheckerOutcome outcome, const Line *line, void *userdata);
        void *userdata;
} ProbeShared;

/* A run is what one kind keeps while one probe runs; there is never more than one of a probe. */
typedef struct ProbeKind {
        /* 0: probe_done() will be called, but not before this returns, unless the time is up. Or -errno: it could not even start. */
        int (*start)(Probe *p, void **ret_run);
        /* The time is up: what is there to say? */
        void (*overtime)(void *run, Line *line);
        /* Ends the run, however far it is. */
        void (*free_run)(void *run);
} ProbeKind;

extern const ProbeKind probe_command, probe_http, probe_tcp;

Probe *probe_new(ProbeConfig *config, const ProbeShared *shared);
Probe *probe_free(Probe *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Probe, probe_free)
int probe_schedule(Probe *p, uint64_t delay_usec); /* the first run */

/* For the kinds. */
const ProbeConfig *probe_config(const Probe *p);
const ProbeShared *probe_shared(const Probe *p);
void probe_done(Probe *p, CheckerOutcome outcome, const char *format, ...) __attribute__((format(printf, 3, 4)));
