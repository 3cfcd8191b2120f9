/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Who else claims the addresses that we hold: what is a conflict, when it is answered, and when it is over. Pure: facts and the time in,
 * what to do and the next deadline out. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/ip-frame.h"

#define CONFLICT_ADDRESSES_MAX 64 /* a bit each */
#define CONFLICT_PEERS_MAX 16     /* who was learned first makes room */
#define CONFLICT_NEVER UINT64_MAX

/* RFC 5227 1.1, DEFEND_INTERVAL: so far apart are two answers for one address at least */
#define CONFLICT_DEFEND_USEC UINT64_C(10000000)
/* So long after a takeover, or an advert of a peer, the change of roles explains what is heard: a frozen master's kernel answers to the end of its
 * lease, two that meet both hold until one yields. */
#define CONFLICT_QUIET_USEC UINT64_C(3000000)
/* So long a claim waits for the advert that explains it: ucarp announces the address before it advertises. */
#define CONFLICT_GRACE_USEC UINT64_C(250000)
/* How often we ask who else has them: a host that only answers its own clients would never be heard. */
#define CONFLICT_ASK_USEC UINT64_C(20000000)
/* Three questions without an answer */
#define CONFLICT_FORGET_USEC (3 * CONFLICT_ASK_USEC)

typedef struct ConflictAddress {
        bool suspected, only_probed; /* a claim waits for its explanation */
        uint8_t suspect[MAC_BYTES];
        uint64_t suspected_usec, n_suspected;
        bool claimed; /* the conflict, as it is published */
        uint8_t mac[MAC_BYTES];
        uint64_t heard_usec;
        bool defended;
        uint64_t defended_usec;
} ConflictAddress;

typedef struct Conflict {
        uint8_t vhid;
        bool asks;
        bool holding, listening;
        uint64_t quiet_until_usec, ask_usec;
        uint8_t peers[CONFLICT_PEERS_MAX][MAC_BYTES];
        unsigned n_peers; /* ever learned */
        ConflictAddress *addresses; /* borrowed */
        size_t n_addresses;
        uint64_t n_claims, n_defences; /* for ever */
} Conflict;

/* What is to be done now. */
typedef struct ConflictUpdate {
        uint64_t defend; /* announce these addresses, once: bit k is address k */
        bool ask;        /* who else has them, all */
        bool changed;    /* `claimed` or `mac` of an address */
} ConflictUpdate;

/* Another set of addresses, at another place: what is known of the neighbours is forgotten, the counters go on. asks: may questions be sent?
 * addresses: room for what is known of each of them; the caller's, who keeps it until the next reset. */
void conflict_reset(Conflict *c, uint8_t vhid, ConflictAddress *addresses, size_t n_addresses, bool asks);
void conflict_on_hold(Conflict *c, uint64_t now_usec);    /* we have the addresses from now on */
void conflict_on_release(Conflict *c);                    /* and from now on not; whoever claims them may */
void conflict_on_advert(Conflict *c, const uint8_t mac[MAC_BYTES], uint64_t now_usec); /* of another host, and believed */
/* A host that is not ours claims address k; probe: it only looks whether it may. */
void conflict_on_claim(Conflict *c, size_t k, const uint8_t mac[MAC_BYTES], bool probe, uint64_t now_usec);
/* The deadline has come, or any of the above has happened; harmless when early. */
void conflict_step(Conflict *c, uint64_t now_usec, ConflictUpdate *ret);
uint64_t conflict_deadline_usec(const Conflict *c); /* CONFLICT_NEVER: not before another fact */
bool conflict_listens(const Conflict *c); /* may a claim count? As of the last step. */
