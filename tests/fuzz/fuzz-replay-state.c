/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "replay-state.h"

/* Any bytes as the saved state of strict mode: refused, or exactly what we would write, which makes the same state again. */

static void require(bool truth) {
        if (!truth)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        ReplayState s = { .next = 42 }, again, strict = { 0 };
        g_autofree char *text = NULL;
        Replay r;

        if (replay_state_parse((const char *) data, n_bytes, &s) < 0) {
                require(s.next == 42 && s.n_peers == 0);
                return 0;
        }
        require(s.n_peers <= REPLAY_N_PEERS && s.next <= REPLAY_SEQUENCE_MAX);
        text = replay_state_format(&s);
        require(strlen(text) <= REPLAY_STATE_BYTES_MAX);
        require(replay_state_parse(text, strlen(text), &again) == 0 && memcmp(&s, &again, sizeof(s)) == 0);
        replay_init(&r, &strict, 1);
        replay_import(&strict, &s);
        for (unsigned k = 0; k < s.n_peers; k++)
                require(replay_accept(&r, &s.peers[k].source, false, s.peers[k].highest << 24, (ReplayHeader) { 0 }, 1) ==
                        REPLAY_VERDICT_REPLAY);
        return 0;
}
