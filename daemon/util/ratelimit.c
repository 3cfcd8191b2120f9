/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A fixed window: `burst` passes in each `interval_usec`. What a peer can trigger is logged through one of these, so
 * that a flood costs a bounded number of lines. Knows no clock and no log; the caller passes the time and prints. */
#include "util/ratelimit.h"

#include <inttypes.h>
#include <stdio.h>

/**
 * ratelimit_pass() - may one more line be written now?
 * @limit: zero at first; always passed by the same rule
 * @now_usec: the time of the dispatch
 * @ret_suppressed: how many were refused since the last time one passed; written only when true
 *
 * Return: true to go ahead, false when the line is only counted.
 */
bool ratelimit_pass(RateLimit *limit, const RateRule *rule, uint64_t now_usec, uint64_t *ret_suppressed) {
        if (now_usec < limit->begin_usec || now_usec - limit->begin_usec >= rule->interval_usec) {
                limit->begin_usec = now_usec;
                limit->n_in_interval = 0;
        }
        if (limit->n_in_interval >= rule->burst) {
                limit->n_suppressed += limit->n_suppressed < UINT32_MAX;
                return false;
        }

        limit->n_in_interval++;
        *ret_suppressed = limit->n_suppressed;
        limit->n_suppressed = 0;
        return true;
}

/**
 * ratelimit_format() - how a line tells of those before it that were not written
 * @n_suppressed: as ratelimit_pass() gave it; 0 makes it empty
 */
const char *ratelimit_format(uint64_t n_suppressed, char buffer[RATELIMIT_TEXT_BYTES]) {
        buffer[0] = '\0';
        if (n_suppressed > 0)
                (void) snprintf(buffer, RATELIMIT_TEXT_BYTES, " (%" PRIu64 " more not told)", n_suppressed);
        return buffer;
}
