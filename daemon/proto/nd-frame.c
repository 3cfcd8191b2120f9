/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/nd-frame.h"

#include <string.h>

#include "proto/checksum.h"

/* The unsolicited Neighbour Advertisement of RFC 4861 7.2.6, format of 4.4; checksum over the pseudo-header of RFC 8200 8.1. */

#define ICMPV6 58
#define NA_BYTES 32 /* 24, and one target link-layer option of 8 */
#define NA_TYPE 136
#define NA_OVERRIDE 0x20
#define OPTION_TARGET_LINK_LAYER 2

void nd_frame_build(const uint8_t mac[MAC_BYTES], const IpAddress *address, uint8_t ret_frame[ND_FRAME_BYTES]) {
        static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 };
        static const uint8_t all_nodes_mac[MAC_BYTES] = { 0x33, 0x33, 0, 0, 0, 1 };
        uint8_t *ip = ret_frame + ETHERNET_HEADER_BYTES, *na = ip + 40;
        uint16_t sum;

        memset(ret_frame, 0, ND_FRAME_BYTES);
        memcpy(ret_frame, all_nodes_mac, MAC_BYTES);
        memcpy(ret_frame + 6, mac, MAC_BYTES);
        ret_frame[12] = 0x86;
        ret_frame[13] = 0xdd;
        ip[0] = 0x60;
        ip[5] = NA_BYTES;
        ip[6] = ICMPV6;
        ip[7] = 255; /* RFC 4861 7.1.2: anything less is discarded */
        memcpy(ip + 8, address->bytes, 16);
        memcpy(ip + 24, all_nodes, 16);
        na[0] = NA_TYPE;
        na[4] = NA_OVERRIDE;
        memcpy(na + 8, address->bytes, 16);
        na[24] = OPTION_TARGET_LINK_LAYER;
        na[25] = 1; /* in units of 8 bytes */
        memcpy(na + 26, mac, MAC_BYTES);
        sum = internet_fold(internet_sum(internet_sum(NA_BYTES + ICMPV6, ip + 8, 32), na, NA_BYTES));
        na[2] = (uint8_t) (sum >> 8);
        na[3] = (uint8_t) sum;
}
