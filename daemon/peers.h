/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The other hosts of one election, as their adverts show them. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/ip-address.h"

#define PEERS_MAX 16 /* who was silent for longest makes room */

typedef enum PeerRole {
        PEER_ROLE_MASTER,
        PEER_ROLE_BACKUP, /* advertised once, and has since been outdone */
        PEER_ROLE_BOWED_OUT, /* its last word was a farewell */
} PeerRole;
#define N_PEER_ROLES 3
const char *peer_role_to_string(PeerRole role);

typedef struct Peer {
        uint64_t heard_usec; /* CLOCK_BOOTTIME */
        IpAddress source;
        uint8_t advbase, advskew; /* of its last advert that was no farewell; 255 both: there was none */
        PeerRole role : 8;
} Peer;

typedef struct Peers {
        Peer list[PEERS_MAX];
        size_t n;
} Peers;

/* An advert of this source was believed, or its farewell. reigns: it speaks as master, and nobody else of its family does then. True: somebody came,
 * went, or changed its role or values; that another advert came is no change. */
bool peers_note(Peers *p, const IpAddress *source, uint8_t advbase, uint8_t advskew, bool reigns, uint64_t now_usec);
const Peer *peers_find(const Peers *p, const IpAddress *source); /* borrowed until the next note; NULL */
