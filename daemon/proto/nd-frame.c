/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/nd-frame.h"

#include <string.h>
#include <sys/socket.h>

#include "proto/checksum.h"

/* Neighbour discovery's bytes: solicitation (RFC 4861 4.3) and advertisement (4.4, unsolicited as in 7.2.6), with one link-layer option when we
 * build them; checksum over the pseudo-header of RFC 8200 8.1. */

#define ICMPV6 58
#define HOP_LIMIT 255 /* RFC 4861 7.1: anything less is discarded */
#define IPV6_HEADER_BYTES 40
#define MESSAGE_BYTES 32 /* 24, and one link-layer option of 8 */
#define MESSAGE_BYTES_MIN 24
#define NS_TYPE 135
#define NA_TYPE 136
#define NA_OVERRIDE 0x20
#define OFFSET_TARGET 8
#define OPTION_SOURCE_LINK_LAYER 1
#define OPTION_TARGET_LINK_LAYER 2

/* to: the IPv6 destination, a group */
static void build(uint8_t type, const uint8_t mac[MAC_BYTES], const IpAddress *source, const uint8_t to[16], const IpAddress *target,
                  uint8_t *frame) {
        uint8_t *ip = frame + ETHERNET_HEADER_BYTES, *m = ip + IPV6_HEADER_BYTES;
        IpAddress group = { .family = AF_INET6 };
        uint16_t sum;

        memset(frame, 0, ND_FRAME_BYTES);
        memcpy(group.bytes, to, 16);
        ip_frame_multicast_mac(&group, frame);
        memcpy(frame + MAC_BYTES, mac, MAC_BYTES);
        frame[12] = 0x86;
        frame[13] = 0xdd;
        ip[0] = 0x60;
        ip[5] = MESSAGE_BYTES;
        ip[6] = ICMPV6;
        ip[7] = HOP_LIMIT;
        memcpy(ip + 8, source->bytes, 16);
        memcpy(ip + 24, to, 16);
        m[0] = type;
        if (type == NA_TYPE)
                m[4] = NA_OVERRIDE;
        memcpy(m + OFFSET_TARGET, target->bytes, 16);
        m[24] = type == NA_TYPE ? OPTION_TARGET_LINK_LAYER : OPTION_SOURCE_LINK_LAYER;
        m[25] = 1; /* in units of 8 bytes */
        memcpy(m + 26, mac, MAC_BYTES);
        sum = internet_fold(internet_sum(internet_sum(MESSAGE_BYTES + ICMPV6, ip + 8, 32), m, MESSAGE_BYTES));
        m[2] = (uint8_t) (sum >> 8);
        m[3] = (uint8_t) sum;
}

void nd_frame_build(const uint8_t mac[MAC_BYTES], const IpAddress *address, uint8_t ret_frame[ND_FRAME_BYTES]) {
        static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 };

        build(NA_TYPE, mac, address, all_nodes, address, ret_frame);
}

void nd_frame_build_question(const uint8_t mac[MAC_BYTES], const IpAddress *source, const IpAddress *address,
                             uint8_t ret_frame[ND_FRAME_BYTES]) {
        /* RFC 4291 2.7.1: ff02::1:ff00:0/104, and the last 24 bits */
        uint8_t solicited_node[16] = { 0xff, 0x02, [11] = 1, [12] = 0xff };

        memcpy(solicited_node + 13, address->bytes + 13, 3);
        build(NS_TYPE, mac, source, solicited_node, address, ret_frame);
}

/* The options must be whole, whatever they are; the one wanted, if any, gives the MAC. */
static bool read_options(const uint8_t *p, size_t n, uint8_t wanted, uint8_t mac[MAC_BYTES]) {
        while (n > 0) {
                size_t length = n >= 2 ? (size_t) p[1] * 8 : 0;

                if (length == 0 || length > n)
                        return false;
                if (wanted != 0 && p[0] == wanted)
                        memcpy(mac, p + 2, MAC_BYTES);
                p += length;
                n -= length;
        }
        return true;
}

bool nd_frame_parse(const uint8_t *frame, size_t n_bytes, NeighbourClaim *ret) {
        static const uint8_t none[16];
        const uint8_t *ip = frame + ETHERNET_HEADER_BYTES, *m = ip + IPV6_HEADER_BYTES;
        size_t n;

        if (n_bytes < ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + MESSAGE_BYTES_MIN || frame[12] != 0x86 || frame[13] != 0xdd)
                return false;
        n = (size_t) ip[4] << 8 | ip[5];
        if (ip[0] >> 4 != 6 || ip[6] != ICMPV6 || ip[7] != HOP_LIMIT || n < MESSAGE_BYTES_MIN ||
            n > n_bytes - ETHERNET_HEADER_BYTES - IPV6_HEADER_BYTES || m[1] != 0)
                return false;
        /* the sum contains the checksum itself, so a right one folds to zero */
        if (internet_fold(internet_sum(internet_sum((uint32_t) n + ICMPV6, ip + 8, 32), m, n)) != 0)
                return false;
        *ret = (NeighbourClaim) { .address.family = AF_INET6, .probe = m[0] == NS_TYPE };
        memcpy(ret->address.bytes, m + OFFSET_TARGET, 16);
        memcpy(ret->mac, frame + MAC_BYTES, MAC_BYTES);
        if (ip_address_is_multicast(&ret->address))
                return false;
        /* who asks with an address of his own only wants to reach the target */
        if (m[0] == NS_TYPE && memcmp(ip + 8, none, sizeof(none)) != 0)
                return false;
        if (m[0] != NS_TYPE && m[0] != NA_TYPE)
                return false;
        return read_options(m + MESSAGE_BYTES_MIN, n - MESSAGE_BYTES_MIN, m[0] == NA_TYPE ? OPTION_TARGET_LINK_LAYER : 0, ret->mac);
}
