/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Counters of adverts: our own next one, the guard against our own echo, and strict acceptance per peer. */
#include <stdbool.h>
#include <stdint.h>

#include "core/election.h"

#define REPLAY_N_OWN 64
#define REPLAY_N_PEERS 32
#define REPLAY_SEQUENCE_MAX ((UINT64_C(1) << 40) - 1)

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
        uint64_t highest; /* sequence: nothing up to it is believed */
        uint64_t heard_usec;
} ReplayPeer;

/* What strict mode must know again after a restart. */
typedef struct ReplayState {
        uint64_t next; /* the lowest sequence of ours that was never used */
        ReplayPeer peers[REPLAY_N_PEERS];
        unsigned n_peers;
} ReplayState;

/* Lenient counters: each follows from the one before. */
typedef struct ReplayChain {
        uint64_t random;
        uint64_t counter; /* the last one */
} ReplayChain;

typedef struct Replay {
        ReplayState *strict; /* borrowed; NULL: lenient */
        ReplayChain used;    /* lenient: up to the counter used last */
        ReplayChain before;  /* the same, n_own counters ago: those between are known as ours */
        unsigned n_own;      /* REPLAY_N_OWN at most */
} Replay;

/* strict: what strict mode knows, all zero at first; it is the caller's, and kept up to date here. NULL: lenient. */
void replay_init(Replay *r, ReplayState *strict, uint64_t seed);
void replay_set_strict(Replay *r, ReplayState *strict);
/* Adds what an earlier life knew, or a part of it: nothing is lowered or forgotten by it. */
void replay_import(ReplayState *s, const ReplayState *earlier);
/* The counter of the next advert, noted as ours. */
uint64_t replay_next(Replay *r, ReplayHeader header);
/* Call after the digest was verified, which must cover the source address if strict. own: does that equal ours? */
ReplayVerdict replay_accept(Replay *r, const ElectionAddress *source, bool own, uint64_t counter, ReplayHeader header,
                            uint64_t now_usec);
