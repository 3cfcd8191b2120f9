/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "proto/arp-frame.h"
#include "proto/nd-frame.h"

/* Any bytes as a neighbour's frame: nothing is read outside of them, and what is claimed stands in them. */

static void require(bool truth) {
        if (!truth)
                abort();
}

static void require_within(const uint8_t *data, size_t n_bytes, const uint8_t *part, size_t n) {
        require(memmem(data, n_bytes, part, n) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        NeighbourClaim claim = { 0 };

        if (arp_frame_parse(data, n_bytes, &claim))
                require(claim.address.family == AF_INET && n_bytes >= ARP_FRAME_BYTES);
        else if (nd_frame_parse(data, n_bytes, &claim))
                require(claim.address.family == AF_INET6 && !ip_address_is_multicast(&claim.address));
        else
                return 0;
        require_within(data, n_bytes, claim.address.bytes, ip_address_n_bytes(&claim.address));
        require_within(data, n_bytes, claim.mac, MAC_BYTES);
        return 0;
}
