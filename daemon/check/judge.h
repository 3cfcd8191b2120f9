/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* From samples to a verdict: rise, fall, and how long silence is borne. Pure: no clock, no loop. */
#include <stdbool.h>
#include <stdint.h>

#include "check/check-state.h"

#define JUDGE_NEVER UINT64_MAX

typedef struct Judge {
        uint32_t rise, fall;
        uint64_t patience_usec; /* silence for so long counts as failed */
        CheckState state;       /* as shown */
        bool failed;            /* the verdict in force: what counts */
        bool decided;           /* there is a verdict that samples must rise or fall from; else the first one decides */
        uint32_t n_against;     /* samples in a row that contradict the verdict */
        uint64_t silent_usec;   /* unknown: since when */
} Judge;

/* decided: `failed` is a verdict that goes on from before; else nothing is known, counts as failed, and the first sample decides. */
void judge_init(Judge *j, bool decided, bool failed, uint64_t now_usec);
void judge_configure(Judge *j, uint32_t rise, uint32_t fall, uint64_t patience_usec);
bool judge_sample(Judge *j, bool good);                /* true: state or verdict changed */
bool judge_silence(Judge *j, uint64_t now_usec);       /* nobody answers; likewise */
bool judge_expire(Judge *j, uint64_t now_usec);        /* the deadline has come, if it has; likewise */
uint64_t judge_deadline_usec(const Judge *j);          /* when silence will count as failed; JUDGE_NEVER */
bool judge_is_settled(const Judge *j, bool good);      /* would such samples for ever change nothing? */
