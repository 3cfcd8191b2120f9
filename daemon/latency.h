/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* How long something took, each time: a histogram of fixed buckets, as Prometheus has them. A value; all zero at first. */
#include <stddef.h>
#include <stdint.h>

#define N_LATENCY_BOUNDS 14

typedef struct Latency {
        uint64_t n_between[N_LATENCY_BOUNDS]; /* above the bound before, and up to this one */
        uint64_t n, sum_usec;
} Latency;

uint64_t latency_bound_usec(size_t bound); /* < N_LATENCY_BOUNDS; rising */
void latency_add(Latency *l, uint64_t usec);
uint64_t latency_n_up_to(const Latency *l, size_t bound); /* how many took no longer */
