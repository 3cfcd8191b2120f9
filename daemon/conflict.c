/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conflict.h"

#include <string.h>

/* Address conflict detection as RFC 5227 2.4 (c) has it for a host that will not give its address up: the conflict is told, and answered by one
 * announcement per DEFEND_INTERVAL at most, so that two such hosts never flood a network over it. Floating addresses have a second lawful
 * holder, the peer: who proved by an advert that he belongs to the group is never a conflict, nor is anybody while roles change. His adverts
 * and his ARP need not have one MAC: the BSDs serve the address at 00:00:5e:00:01:VHID, ucarp advertises from 00:00:5e:00:00:VHID and
 * answers from its own, which only the change of roles explains; a ucarp that died and left its address behind is a conflict indeed. */

static uint64_t min(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

void conflict_reset(Conflict *c, uint8_t vhid, ConflictAddress *addresses, size_t n_addresses, bool asks) {
        *c = (Conflict) {
                .vhid = vhid,
                .asks = asks,
                .n_addresses = min(n_addresses, CONFLICT_ADDRESSES_MAX),
                .n_claims = c->n_claims,
                .n_defences = c->n_defences,
                .addresses = addresses,
        };
        for (size_t k = 0; k < c->n_addresses; k++)
                addresses[k] = (ConflictAddress) { 0 };
}

static void forget_claims(Conflict *c) {
        for (size_t k = 0; k < c->n_addresses; k++)
                c->addresses[k].suspected = c->addresses[k].claimed = false;
}

void conflict_on_hold(Conflict *c, uint64_t now_usec) {
        if (c->holding)
                return;
        forget_claims(c);
        c->holding = true;
        c->quiet_until_usec = c->ask_usec = now_usec + CONFLICT_QUIET_USEC;
}

void conflict_on_release(Conflict *c) {
        forget_claims(c);
        c->holding = c->listening = false;
}

static bool is_learned(const Conflict *c, const uint8_t mac[MAC_BYTES]) {
        for (unsigned k = 0; k < min(c->n_peers, CONFLICT_PEERS_MAX); k++)
                if (memcmp(c->peers[k], mac, MAC_BYTES) == 0)
                        return true;
        return false;
}

static bool is_peer(const Conflict *c, const uint8_t mac[MAC_BYTES]) {
        const uint8_t served[MAC_BYTES] = { 0x00, 0x00, 0x5e, 0x00, 0x01, c->vhid };

        return is_learned(c, mac) || (c->n_peers > 0 && memcmp(mac, served, MAC_BYTES) == 0);
}

void conflict_on_advert(Conflict *c, const uint8_t mac[MAC_BYTES], uint64_t now_usec) {
        if (!is_learned(c, mac))
                memcpy(c->peers[c->n_peers++ % CONFLICT_PEERS_MAX], mac, MAC_BYTES);
        if (!c->holding)
                return;
        c->quiet_until_usec = now_usec + CONFLICT_QUIET_USEC;
        for (size_t k = 0; k < c->n_addresses; k++)
                c->addresses[k].suspected = false;
}

bool conflict_listens(const Conflict *c) {
        return c->listening;
}

void conflict_on_claim(Conflict *c, size_t k, const uint8_t mac[MAC_BYTES], bool probe, uint64_t now_usec) {
        ConflictAddress *a = &c->addresses[k];

        if (k >= c->n_addresses || !c->holding || now_usec < c->quiet_until_usec || is_peer(c, mac))
                return;
        if (!a->suspected) {
                memcpy(a->suspect, mac, MAC_BYTES);
                a->suspected = a->only_probed = true;
                a->suspected_usec = now_usec;
                a->n_suspected = 0;
        }
        a->n_suspected++;
        a->only_probed = a->only_probed && probe;
}

/* The claim was not explained. True: what is published changes. */
static bool convict(Conflict *c, ConflictAddress *a, uint64_t now_usec) {
        bool same = a->claimed && memcmp(a->mac, a->suspect, MAC_BYTES) == 0;

        a->suspected = false;
        c->n_claims += a->n_suspected;
        /* of several who claim it, one is named at a time */
        if (!same && a->claimed && now_usec - a->heard_usec < CONFLICT_DEFEND_USEC)
                return false;
        a->heard_usec = now_usec;
        if (same)
                return false;
        a->claimed = true;
        memcpy(a->mac, a->suspect, MAC_BYTES);
        return true;
}

void conflict_step(Conflict *c, uint64_t now_usec, ConflictUpdate *ret) {
        *ret = (ConflictUpdate) { 0 };
        if (!c->holding)
                return;
        c->listening = c->listening || now_usec >= c->quiet_until_usec;
        for (size_t k = 0; k < c->n_addresses; k++) {
                ConflictAddress *a = &c->addresses[k];

                if (a->suspected && now_usec - a->suspected_usec >= CONFLICT_GRACE_USEC) {
                        ret->changed = convict(c, a, now_usec) || ret->changed;
                        /* who only probes has been answered by the kernel */
                        if (!a->only_probed && (!a->defended || now_usec - a->defended_usec >= CONFLICT_DEFEND_USEC)) {
                                a->defended = true;
                                a->defended_usec = now_usec;
                                c->n_defences++;
                                ret->defend |= UINT64_C(1) << k;
                        }
                }
                if (a->claimed && now_usec - a->heard_usec >= CONFLICT_FORGET_USEC) {
                        a->claimed = false;
                        ret->changed = true;
                }
        }
        if (c->asks && now_usec >= c->ask_usec) {
                c->ask_usec = now_usec + CONFLICT_ASK_USEC;
                ret->ask = now_usec >= c->quiet_until_usec;
        }
}

uint64_t conflict_deadline_usec(const Conflict *c) {
        uint64_t t = c->holding && c->asks ? c->ask_usec : CONFLICT_NEVER;

        if (c->holding && !c->listening)
                t = min(t, c->quiet_until_usec);
        for (size_t k = 0; c->holding && k < c->n_addresses; k++) {
                const ConflictAddress *a = &c->addresses[k];

                if (a->suspected)
                        t = min(t, a->suspected_usec + CONFLICT_GRACE_USEC);
                if (a->claimed)
                        t = min(t, a->heard_usec + CONFLICT_FORGET_USEC);
        }
        return t;
}
