/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Time is microseconds of CLOCK_BOOTTIME in a uint64_t; these are its constants and saturating sums. */
#include <stdint.h>
#include <time.h>

#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_INFINITY UINT64_MAX

static inline uint64_t usec_add(uint64_t a, uint64_t b) {
        return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

static inline uint64_t usec_min(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

static inline uint64_t usec_max(uint64_t a, uint64_t b) {
        return a > b ? a : b;
}

/* CLOCK_BOOTTIME now. What happens in one pass of the loop has its time from the loop; this tells how long the pass has taken. */
static inline uint64_t clock_usec(void) {
        struct timespec now = { 0 };

        (void) clock_gettime(CLOCK_BOOTTIME, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}
