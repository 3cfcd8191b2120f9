/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A fixed window: `burst` passes in each `interval_usec`. What a peer can trigger is logged through one of these, so
 * that a flood costs a bounded number of lines. Knows no clock and no log; the caller passes the time and prints. */
#include "util/ratelimit.h"

/**
 * ratelimit_pass() - may one more line be written now?
 * @limit: interval_usec and burst set by the caller, the rest zero at first
 * @now_usec: the time of the dispatch
 * @ret_suppressed: how many were refused since the last time one passed; written only when true
 *
 * Return: true to go ahead, false when the line is only counted.
 */
bool ratelimit_pass(RateLimit *limit, uint64_t now_usec, uint64_t *ret_suppressed) {
        if (now_usec < limit->begin_usec || now_usec - limit->begin_usec >= limit->interval_usec) {
                limit->begin_usec = now_usec;
                limit->n_in_interval = 0;
        }
        if (limit->n_in_interval >= limit->burst) {
                limit->n_suppressed++;
                return false;
        }

        limit->n_in_interval++;
        *ret_suppressed = limit->n_suppressed;
        limit->n_suppressed = 0;
        return true;
}
