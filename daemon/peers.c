/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peers.h"

/* A small table of who was heard. Knows what an advert says about its sender, not what follows from it. */

static bool set_role(Peer *p, PeerRole role) {
        bool changed = p->role != role;

        p->role = role;
        return changed;
}

/* The place of the source, or one that is free or the least missed. */
static Peer *obtain(Peers *p, const IpAddress *source, bool *changed) {
        Peer *oldest = &p->list[0];

        for (size_t k = 0; k < p->n; k++) {
                if (ip_address_equal(&p->list[k].source, source))
                        return &p->list[k];
                if (p->list[k].heard_usec < oldest->heard_usec)
                        oldest = &p->list[k];
        }
        if (p->n < PEERS_MAX)
                oldest = &p->list[p->n++];
        *oldest = (Peer) { .source = *source, .role = PEER_ROLE_BACKUP };
        *changed = true;
        return oldest;
}

bool peers_note(Peers *p, const IpAddress *source, uint8_t advbase, uint8_t advskew, bool reigns, uint64_t now_usec) {
        bool changed = false, leaves = advbase == UINT8_MAX && advskew == UINT8_MAX;
        Peer *peer = obtain(p, source, &changed);

        /* what a farewell says in their place is no setting */
        if (changed || !leaves) {
                changed = changed || peer->advbase != advbase || peer->advskew != advskew;
                peer->advbase = advbase;
                peer->advskew = advskew;
        }
        peer->heard_usec = now_usec;
        for (size_t k = 0; k < p->n; k++)
                if (reigns && &p->list[k] != peer && p->list[k].role == PEER_ROLE_MASTER && p->list[k].source.family == source->family)
                        changed = set_role(&p->list[k], PEER_ROLE_BACKUP) || changed;
        return set_role(peer, leaves ? PEER_ROLE_BOWED_OUT : reigns ? PEER_ROLE_MASTER : PEER_ROLE_BACKUP) || changed;
}

const Peer *peers_find(const Peers *p, const IpAddress *source) {
        for (size_t k = 0; k < p->n; k++)
                if (ip_address_equal(&p->list[k].source, source))
                        return &p->list[k];
        return NULL;
}

const char *peer_role_to_string(PeerRole role) {
        switch (role) {
        case PEER_ROLE_MASTER:
                return "master";
        case PEER_ROLE_BACKUP:
                return "backup";
        case PEER_ROLE_BOWED_OUT:
                return "bowed-out";
        }
        return "";
}
