/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "latency.h"

#include <assert.h>

/* Counts what an instance has measured. Knows neither the clock nor what took so long; adding to it is a walk over a small table, so that it
 * may be done behind a takeover. */

/* From what the system calls alone take to what units may (UnitsBeforeAddress=). A bound that moves breaks every record of the past. */
static const uint64_t bounds[N_LATENCY_BOUNDS] = {
        100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 5000000, 30000000,
};

uint64_t latency_bound_usec(size_t bound) {
        assert(bound < N_LATENCY_BOUNDS);
        return bounds[bound];
}

/**
 * latency_add() - one more
 */
void latency_add(Latency *l, uint64_t usec) {
        size_t k = 0;

        while (k < N_LATENCY_BOUNDS && usec > bounds[k])
                k++;
        if (k < N_LATENCY_BOUNDS)
                l->n_between[k]++;
        l->n++;
        l->sum_usec += usec;
}

/**
 * latency_n_up_to() - how many took as long as this bound or less
 */
uint64_t latency_n_up_to(const Latency *l, size_t bound) {
        uint64_t n = 0;

        assert(bound < N_LATENCY_BOUNDS);
        for (size_t k = 0; k <= bound; k++)
                n += l->n_between[k];
        return n;
}
