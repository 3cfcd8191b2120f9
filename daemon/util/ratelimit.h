/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* At most `burst` lines per `interval_usec`; the rest is counted, and the count is told with the next line. */
#include <stdbool.h>
#include <stdint.h>

typedef struct RateRule {
        uint64_t interval_usec;
        uint32_t burst;
} RateRule;

/* All zero at first. There are many, and few rules: whoever passes one names its rule. */
typedef struct RateLimit {
        uint64_t begin_usec;
        uint32_t n_in_interval, n_suppressed;
} RateLimit;

/* True: go ahead; *ret_suppressed is how many were refused since the last time it was true. */
bool ratelimit_pass(RateLimit *limit, const RateRule *rule, uint64_t now_usec, uint64_t *ret_suppressed);

/* What a line ends with: "", or " (12 more not told)"; returns the buffer. */
#define RATELIMIT_TEXT_BYTES 48
const char *ratelimit_format(uint64_t n_suppressed, char buffer[RATELIMIT_TEXT_BYTES]);
