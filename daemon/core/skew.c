/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/skew.h"

/* The arithmetic of CARP's intervals. Everything fits: the longest dead interval, 2^32-1 times 255 s, is 1.1e18 µs. */

#define USEC_PER_SEC UINT64_C(1000000)

/**
 * skew_effective() - advskew as it goes on the wire
 * @advskew: configured, 0..254
 * @demotion: the demotion counter
 *
 * Demotion adds to advskew, but never lifts it above 240 (carp(4); ip_carp.c, CARP_MAXSKEW), so that a demoted host still
 * stands before one that was configured to be last. A skew configured above 240 stays what it is.
 */
uint8_t skew_effective(uint8_t advskew, uint32_t demotion) {
        if (advskew >= CARP_DEMOTED_SKEW_MAX || demotion == 0)
                return advskew;
        if (demotion >= (uint32_t) (CARP_DEMOTED_SKEW_MAX - advskew))
                return CARP_DEMOTED_SKEW_MAX;
        return (uint8_t) (advskew + demotion);
}

/* advbase 0 with advskew 0 would be no interval at all; it counts as advskew 1. */
static uint64_t skew_usec(uint8_t advbase, uint8_t advskew) {
        if (advbase == 0 && advskew == 0)
                advskew = 1;
        return (uint64_t) advskew * USEC_PER_SEC / 256;
}

/**
 * skew_interval_usec() - time between two adverts: advbase + advskew/256 s (ip_carp.c, carp_setrun())
 */
uint64_t skew_interval_usec(uint8_t advbase, uint8_t advskew) {
        return (uint64_t) advbase * USEC_PER_SEC + skew_usec(advbase, advskew);
}

/**
 * skew_dead_usec() - silence after which a backup takes over: dead_ratio * advbase + advskew/256 s
 *
 * The skew counts once, so that backups of one group expire in the order of their skew. With advbase 0 it is the only
 * time there is, and the ratio multiplies it, as OpenBSD does (ip_carp.c, carp_setrun()); ucarp lets the ratio multiply
 * zero, which leaves one interval, and flaps.
 */
uint64_t skew_dead_usec(uint8_t advbase, uint8_t advskew, uint32_t dead_ratio) {
        if (advbase == 0)
                return dead_ratio * skew_usec(advbase, advskew);
        return (uint64_t) dead_ratio * advbase * USEC_PER_SEC + skew_usec(advbase, advskew);
}
