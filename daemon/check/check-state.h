/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What is known of the thing that is checked. */

typedef enum CheckState {
        CHECK_STATE_UNKNOWN, /* not answered yet, or not any more */
        CHECK_STATE_PASSING,
        CHECK_STATE_FAILING,
} CheckState;
#define N_CHECK_STATES 3

const char *check_state_to_string(CheckState state); /* "unknown", ... */
