/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Counters of adverts: our own next one, the guard against our own echo, and strict acceptance per peer. */
#include <stdbool.h>
#include <stdint.h>

#include "core/election.h"

#define REPLAY_N_OWN 64
#define REPLAY_N_PEERS 32

typedef enum ReplayVerdict {
        REPLAY_VERDICT_OK,
        REPLAY_VERDICT_LOOP,   /* our address and one of our last counters */
        REPLAY_VERDICT_REPLAY, /* strict: not above this peer's last one, or not bound to the header */
} ReplayVerdict;

typedef struct ReplayHeader { /* what the digest leaves open, and strict binds into the counter */
        uint8_t advbase, advskew, demotion;
} ReplayHeader;

typedef struct ReplayPeer {
        ElectionAddress source;
        uint64_t highest;
        uint64_t heard_usec;
} ReplayPeer;

typedef struct Replay {
        bool strict;
        uint64_t random;
        uint64_t sequence; /* strict: 40 bits; else the last counter used */
        uint64_t own[REPLAY_N_OWN];
        unsigned n_own; /* total ever used; the ring holds the last REPLAY_N_OWN */
        ReplayPeer peers[REPLAY_N_PEERS];
        unsigned n_peers;
} Replay;

/* sequence: strict: the first sequence number to use (persisted by the caller so that it only rises); ignored otherwise. */
void replay_init(Replay *r, bool strict, uint64_t seed, uint64_t sequence);
/* The counter of the next advert, noted as ours. */
uint64_t replay_next(Replay *r, ReplayHeader header);
/* Call after the digest was verified. own: does the source address equal ours? */
ReplayVerdict replay_accept(Replay *r, const ElectionAddress *source, bool own, uint64_t counter, ReplayHeader header,
                            uint64_t now_usec);
