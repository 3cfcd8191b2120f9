/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The checks of all instances: what is probed, by whom, and what came of it. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "check/check-state.h"
#include "config.h"

typedef struct Checks Checks;

/* From the loop, and from checks_set() for checks that are new. failed: does it count as failed? output: one line. */
typedef void (*ChecksReport)(void *userdata, const char *instance, const char *check, CheckState state, bool failed, const char *output);

typedef struct ChecksStatistics {
        uint64_t good, bad, changes; /* samples; verdicts that changed */
} ChecksStatistics;

int checks_new(Checks **ret, sd_event *event, const char *checker, ChecksReport report, void *userdata); /* checker: path of vipd-checker */
Checks *checks_free(Checks *c);
/* Makes the checks of an instance these; those of the same name keep their verdict. configs: CheckConfig *, referenced; NULL: it has
 * none any more. trusted: what is new counts as passing until it is known, as the instance is a master or was one before a
 * restart; but for those in failing (names, or NULL). Else it counts as failed. */
void checks_set(Checks *c, const char *instance, GPtrArray *configs, bool trusted, const char *const *failing);
void checks_commit(Checks *c); /* after a round of checks_set(): what probes them is told */
/* Facts, for whoever checks them. */
void checks_on_link(Checks *c, const char *interface, bool up);
void checks_on_unit(Checks *c, const char *unit, const char *active_state); /* NULL: the service manager does not say */
GPtrArray *checks_units(const Checks *c);                                   /* char *, each once, sorted; caller unrefs */
void checks_statistics(const Checks *c, const char *instance, ChecksStatistics *ret);
uint64_t checks_n_checker_starts(const Checks *c);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Checks, checks_free)
