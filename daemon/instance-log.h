/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the log says about one instance, with its fields and message IDs, and how often. */
#include "diagnosis.h"
#include "instance.h"
#include "util/ratelimit.h"

typedef struct InstanceLog {
        RateLimit transitions, checks, notices[N_INSTANCE_NOTICES], diagnoses[N_DIAGNOSIS_CAUSES];
        GHashTable *failing; /* names of checks: it has been said that they fail; NULL: of none */
        bool restored_told;
} InstanceLog; /* all zero at first */

void instance_log_done(InstanceLog *l);
void instance_log_transition(InstanceLog *l, const Instance *i, const InstanceTransition *t, uint64_t now_usec);
void instance_log_notice(InstanceLog *l, const Instance *i, InstanceNotice notice, int error, uint64_t now_usec);
/* before: what the check said before; no name: it is new. */
void instance_log_check(InstanceLog *l, const Instance *i, const char *name, const InstanceCheck *before, uint64_t now_usec);
void instance_log_check_known(InstanceLog *l, const char *name); /* it fails, and a process before this one has said so */
void instance_log_diagnosis(InstanceLog *l, const Instance *i, const Diagnosis *d, uint64_t now_usec);
void instance_log_reloaded(InstanceLog *l); /* somebody looked after it: what is said once may be said again */
