/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Elections of one host that are master together or not at all: what is to be done about them, as a pure function. */
#include <stddef.h>

#include "core/election.h"

typedef enum SyncVerdict {
        SYNC_VERDICT_NONE,      /* all are master, or one does not want to be yet */
        SYNC_VERDICT_TAKE_OVER, /* ELECTION_SYNC_TAKE_OVER to all */
        SYNC_VERDICT_LEAVE,     /* ELECTION_SYNC_LEAVE or _YIELD to all: some are master, others are not */
} SyncVerdict;

SyncVerdict sync_judge(const Election *const members[], size_t n, uint64_t now_usec);
