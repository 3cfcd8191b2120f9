/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What ARP and neighbour discovery say alike: a host claims an address, or asks whether it may have it. */
#include <stdbool.h>
#include <stdint.h>

#include "proto/ip-frame.h"

typedef struct NeighbourClaim {
        IpAddress address;
        uint8_t mac[MAC_BYTES]; /* where the address is, as the frame has it: what caches believe */
        bool probe;             /* not used yet: the host looks whether anybody else does (RFC 5227 2.1.1, RFC 4862 5.4) */
} NeighbourClaim;
