/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check/judge.h"

#include <assert.h>

/* The judge hears samples, good or bad, and says what counts. A verdict stands until as many samples in a row contradict it as Rise= or Fall= ask
 * for. Who falls silent keeps his verdict for a while: a helper that is started again must not move an address. */

static const char *const state_names[N_CHECK_STATES] = {
        [CHECK_STATE_UNKNOWN] = "unknown",
        [CHECK_STATE_PASSING] = "passing",
        [CHECK_STATE_FAILING] = "failing",
};

const char *check_state_to_string(CheckState state) {
        return state_names[state];
}

void judge_init(Judge *j, bool decided, bool failed, uint64_t now_usec) {
        *j = (Judge) {
                .rise = 1,
                .fall = 1,
                .state = CHECK_STATE_UNKNOWN,
                .failed = !decided || failed,
                .decided = decided,
                .silent_usec = now_usec,
        };
}

void judge_configure(Judge *j, uint32_t rise, uint32_t fall, uint64_t patience_usec) {
        assert(rise > 0 && fall > 0);
        j->rise = rise;
        j->fall = fall;
        j->patience_usec = patience_usec;
}

bool judge_sample(Judge *j, bool good) {
        CheckState before = j->state;
        bool was_failed = j->failed, against = good == j->failed;

        j->n_against = against ? j->n_against + 1 : 0;
        if (against && (!j->decided || j->n_against >= (good ? j->rise : j->fall))) {
                j->failed = !good;
                j->n_against = 0;
        }
        j->decided = true;
        j->state = j->failed ? CHECK_STATE_FAILING : CHECK_STATE_PASSING;
        return j->state != before || j->failed != was_failed;
}

bool judge_silence(Judge *j, uint64_t now_usec) {
        if (j->state == CHECK_STATE_UNKNOWN)
                return false;
        j->state = CHECK_STATE_UNKNOWN;
        j->n_against = 0;
        j->silent_usec = now_usec;
        return true;
}

uint64_t judge_deadline_usec(const Judge *j) {
        if (j->state != CHECK_STATE_UNKNOWN || j->failed || j->silent_usec > JUDGE_NEVER - j->patience_usec)
                return JUDGE_NEVER;
        return j->silent_usec + j->patience_usec;
}

bool judge_expire(Judge *j, uint64_t now_usec) {
        if (now_usec < judge_deadline_usec(j))
                return false;
        j->failed = true;
        return true;
}

bool judge_is_settled(const Judge *j, bool good) {
        return j->state != CHECK_STATE_UNKNOWN && good != j->failed;
}
