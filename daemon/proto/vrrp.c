/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/vrrp.h"

#include <string.h>
#include <sys/socket.h>

#include "proto/checksum.h"

/* VRRP's bytes, as far as they tell it from CARP and from noise: version and type, a list as long as it says, and a checksum in one of the forms in
 * use: over the message alone (version 2, and RFC 9568's reading of 3), or with a pseudo-header, whose destination old implementations take for the
 * group even when they send to one host. What newer keepalived appends to prove itself may be counted in or not. */

#define TYPE_ADVERTISEMENT 1
#define OFFSET_N_ADDRESSES 3
#define HEADER_BYTES 8
#define V2_AUTH_BYTES 8 /* always there */

static uint32_t pseudo_header(const IpGlimpse *g, const IpAddress *destination, size_t n) {
        size_t length = ip_address_n_bytes(&g->source);

        return internet_sum(internet_sum((uint32_t) n + CARP_PROTOCOL, g->source.bytes, length), destination->bytes, length);
}

static bool checksum_fits(const IpGlimpse *g, size_t n) {
        const IpAddress *group = g->source.family == AF_INET ? &carp_group_ipv4 : &carp_group_ipv6;

        return internet_checksum(g->payload, n) == 0 ||
               internet_fold(internet_sum(pseudo_header(g, &g->destination, n), g->payload, n)) == 0 ||
               internet_fold(internet_sum(pseudo_header(g, group, n), g->payload, n)) == 0;
}

unsigned vrrp_recognise(const IpGlimpse *g) {
        unsigned version = g->n_present >= HEADER_BYTES ? g->payload[0] >> 4 : 0;
        size_t n;

        if ((version != 2 && version != 3) || (g->payload[0] & 0x0f) != TYPE_ADVERTISEMENT || g->payload[OFFSET_N_ADDRESSES] == 0 ||
            (version == 2 && g->source.family != AF_INET))
                return 0;
        n = HEADER_BYTES + g->payload[OFFSET_N_ADDRESSES] * ip_address_n_bytes(&g->source) + (version == 2 ? V2_AUTH_BYTES : 0);
        if (n > g->n_payload)
                return 0;
        /* of a list longer than what was kept of the frame the length must do */
        return g->n_present < g->n_payload || checksum_fits(g, n) || checksum_fits(g, g->n_payload) ? version : 0;
}
