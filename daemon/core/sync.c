/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/sync.h"

/* The rule of a sync group. Knows the members' elections and nothing of what they are made of; who carries a verdict out is above. That the group
 * takes over only when all want to is what keeps two hosts, each of which could be master of one half, from fighting for the other. */

/**
 * sync_judge() - what the members of one group must do
 * @now_usec: not before any member's last step
 */
SyncVerdict sync_judge(const Election *const members[], size_t n, uint64_t now_usec) {
        size_t n_masters = 0, n_willing = 0;

        for (size_t k = 0; k < n; k++) {
                n_masters += members[k]->state == ELECTION_STATE_MASTER;
                n_willing += election_wants(members[k], now_usec);
        }
        if (n_masters == n)
                return SYNC_VERDICT_NONE;
        if (n_masters > 0)
                return SYNC_VERDICT_LEAVE;
        return n_willing == n ? SYNC_VERDICT_TAKE_OVER : SYNC_VERDICT_NONE;
}
