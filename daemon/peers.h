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
        PEER_ROLE_BACKUP, /* advertised once, and has since been outdone or bowed out */
} PeerRole;
const char *peer_role_to_string(PeerRole role);

typedef struct Peer {
        IpAddress source;
        PeerRole role;
        uint8_t advbase, advskew;
        uint64_t heard_usec; /* CLOCK_BOOTTIME */
} Peer;

typedef struct Peers {
        Peer list[PEERS_MAX];
        size_t n;
} Peers;

/* An advert of this source was believed. reigns: it speaks as master, and nobody else of its family does then. True: somebody came, went, or changed
 * its role or values; that another advert came is no change. */
bool peers_note(Peers *p, const IpAddress *source, uint8_t advbase, uint8_t advskew, bool reigns, uint64_t now_usec);
const Peer *peers_find(const Peers *p, const IpAddress *source); /* borrowed until the next note; NULL */
