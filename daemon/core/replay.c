/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/replay.h"

#include <string.h>

/* Advert counters. By default as lenient as the BSDs must be (ucarp and FreeBSD send random counters while they are alone,
 * OpenBSD the same one for ever), with one guard: an advert from our own address with one of our last counters is our own
 * echo, as teamed virtual switches make it. In strict mode, for groups of vipd alone, the counter is
 *
 *     sequence (40 bits) | advbase (8) | advskew (8) | byte 4 (8)
 *
 * so that the digest, which covers the counter but not those three header fields, covers them after all, and the sequence
 * must rise from advert to advert of one source. Which source that is must be covered too, or what one host said could be
 * played as the word of another: strict mode's digest has the source address in it (proto/carp-hmac.c). Pure: no clock, no
 * memory, no file; whoever calls keeps the state.
 *
 * Our last counters are not kept: they are counted anew from where they began, for the rare advert that comes from our own address. */

static uint64_t chain_random(ReplayChain *c) {
        /* xorshift64*: unpredictable enough, as the counter needs to be unlike a peer's, not secret */
        c->random ^= c->random >> 12;
        c->random ^= c->random << 25;
        c->random ^= c->random >> 27;
        return c->random * UINT64_C(2685821657736338717);
}

static uint64_t chain_next(ReplayChain *c) {
        /* a random step, so that it is never the "received + 1" with which ucarp and FreeBSD go on */
        c->counter += 1 + (chain_random(c) & UINT64_C(0xffffff));
        return c->counter;
}

static uint64_t replay_bind(uint64_t sequence, ReplayHeader header) {
        return (sequence << 24) | ((uint64_t) header.advbase << 16) | ((uint64_t) header.advskew << 8) |
               header.demotion;
}

/**
 * replay_init() - start the counters of one instance
 */
void replay_init(Replay *r, ReplayState *strict, uint64_t seed) {
        *r = (Replay) { .strict = strict, .used = { .random = seed != 0 ? seed : 1 } };
        r->used.counter = chain_random(&r->used);
        r->before = r->used;
}

void replay_set_strict(Replay *r, ReplayState *strict) {
        r->strict = strict;
}

/* At the end of the numbers, a century away at the fastest, we are refused; a new beginning would let replays in. */
static uint64_t next_sequence(ReplayState *s) {
        return s->next < REPLAY_SEQUENCE_MAX ? s->next++ : s->next;
}

/**
 * replay_next() - the counter of the next advert, known as ours from now on
 * @header: the fields it will travel with; strict mode binds them
 */
uint64_t replay_next(Replay *r, ReplayHeader header) {
        if (r->strict)
                return replay_bind(next_sequence(r->strict), header);
        if (r->n_own < REPLAY_N_OWN)
                r->n_own++;
        else
                (void) chain_next(&r->before);
        return chain_next(&r->used);
}

static bool is_own(const Replay *r, uint64_t counter) {
        ReplayChain c = r->before;

        for (unsigned k = 0; k < r->n_own; k++)
                if (chain_next(&c) == counter)
                        return true;
        return false;
}

static bool address_equal(const ElectionAddress *a, const ElectionAddress *b) {
        return a->n_bytes == b->n_bytes && memcmp(a->bytes, b->bytes, a->n_bytes) == 0;
}

static ReplayPeer *find_peer(ReplayState *s, const ElectionAddress *source) {
        for (unsigned k = 0; k < s->n_peers; k++)
                if (address_equal(&s->peers[k].source, source))
                        return &s->peers[k];
        return NULL;
}

/* A new peer's place, or that of the one not heard for longest: a group larger than the table forgets, never refuses. */
static ReplayPeer *add_peer(ReplayState *s, const ElectionAddress *source) {
        ReplayPeer *oldest = &s->peers[0];

        for (unsigned k = 0; k < s->n_peers; k++)
                if (s->peers[k].heard_usec < oldest->heard_usec)
                        oldest = &s->peers[k];
        if (s->n_peers < REPLAY_N_PEERS)
                oldest = &s->peers[s->n_peers++];
        *oldest = (ReplayPeer) { .source = *source };
        return oldest;
}

/**
 * replay_import() - go on where an earlier life of this host was
 */
void replay_import(ReplayState *s, const ReplayState *earlier) {
        if (s->next < earlier->next)
                s->next = earlier->next < REPLAY_SEQUENCE_MAX ? earlier->next : REPLAY_SEQUENCE_MAX;
        for (unsigned k = 0; k < earlier->n_peers; k++) {
                const ReplayPeer *theirs = &earlier->peers[k];
                ReplayPeer *ours = find_peer(s, &theirs->source);

                if (!ours && s->n_peers == REPLAY_N_PEERS)
                        continue;
                if (!ours)
                        ours = add_peer(s, &theirs->source);
                if (ours->highest < theirs->highest)
                        ours->highest = theirs->highest;
        }
}

static ReplayVerdict accept_strictly(ReplayState *s, const ElectionAddress *source, bool own, uint64_t counter, ReplayHeader header,
                                     uint64_t now_usec) {
        uint64_t sequence = counter >> 24;
        ReplayPeer *peer;

        if (counter != replay_bind(sequence, header))
                return REPLAY_VERDICT_REPLAY;
        /* said by ourselves; at the end of the numbers the last one again and again */
        if (own && (sequence < s->next || s->next == REPLAY_SEQUENCE_MAX))
                return s->next - sequence <= REPLAY_N_OWN ? REPLAY_VERDICT_LOOP : REPLAY_VERDICT_REPLAY;
        peer = find_peer(s, source);
        if (peer && sequence <= peer->highest)
                return REPLAY_VERDICT_REPLAY;
        if (!peer)
                peer = add_peer(s, source);
        peer->highest = sequence;
        peer->heard_usec = now_usec;
        return REPLAY_VERDICT_OK;
}

/**
 * replay_accept() - judge the counter of an advert whose digest was right
 * @own: its source address is ours
 * @header: the header fields it came with
 */
ReplayVerdict replay_accept(Replay *r, const ElectionAddress *source, bool own, uint64_t counter, ReplayHeader header,
                            uint64_t now_usec) {
        if (r->strict)
                return accept_strictly(r->strict, source, own, counter, header, now_usec);
        /* The counter alone proves nothing: a ucarp backup goes on with its master's numbers. */
        return own && is_own(r, counter) ? REPLAY_VERDICT_LOOP : REPLAY_VERDICT_OK;
}
