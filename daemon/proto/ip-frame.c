/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/ip-frame.h"

#include <string.h>
#include <sys/socket.h>

#include "proto/checksum.h"

/* Ethernet and IP around an advert. Knows the headers' bytes (RFC 791, RFC 8200, and 1112 and 2464 for group addresses) and which of their
 * fields CARP demands; opens no socket. */

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define IPV4_HEADER_BYTES 20
#define IPV6_HEADER_BYTES 40
#define IPV4_TOS_LOWDELAY 0x10 /* as ucarp and OpenBSD send it */
#define IPV4_DONT_FRAGMENT 0x4000
#define IPV4_FRAGMENT_MASK 0x3fff /* more fragments, or an offset */

const IpAddress carp_group_ipv4 = { .family = AF_INET, .bytes = { 224, 0, 0, 18 } };
const IpAddress carp_group_ipv6 = { .family = AF_INET6, .bytes = { 0xff, 0x02, [15] = 0x12 } };
const uint8_t mac_broadcast[MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static void put_be16(uint8_t *p, uint16_t value) {
        p[0] = (uint8_t) (value >> 8);
        p[1] = (uint8_t) value;
}

static uint16_t get_be16(const uint8_t *p) {
        return (uint16_t) (p[0] << 8 | p[1]);
}

/**
 * ip_frame_multicast_mac() - the Ethernet address of a group: 01:00:5e and 23 bits (RFC 1112 6.4), or 33:33 and 32 bits (RFC 2464 7)
 */
void ip_frame_multicast_mac(const IpAddress *group, uint8_t ret_mac[MAC_BYTES]) {
        if (group->family == AF_INET) {
                const uint8_t mac[MAC_BYTES] = { 0x01, 0x00, 0x5e, group->bytes[1] & 0x7f, group->bytes[2], group->bytes[3] };

                memcpy(ret_mac, mac, MAC_BYTES);
        } else {
                ret_mac[0] = ret_mac[1] = 0x33;
                memcpy(ret_mac + 2, group->bytes + 12, 4);
        }
}

static size_t build_ipv4(const IpFrame *f, uint8_t *ip) {
        memset(ip, 0, IPV4_HEADER_BYTES);
        ip[0] = 0x45;
        ip[1] = IPV4_TOS_LOWDELAY;
        put_be16(ip + 2, IPV4_HEADER_BYTES + CARP_PAYLOAD_BYTES);
        put_be16(ip + 6, IPV4_DONT_FRAGMENT);
        ip[8] = CARP_TTL;
        ip[9] = CARP_PROTOCOL;
        memcpy(ip + 12, f->source.bytes, 4);
        memcpy(ip + 16, f->destination.bytes, 4);
        put_be16(ip + 10, internet_checksum(ip, IPV4_HEADER_BYTES));
        return IPV4_HEADER_BYTES;
}

static size_t build_ipv6(const IpFrame *f, uint8_t *ip) {
        memset(ip, 0, IPV6_HEADER_BYTES);
        ip[0] = 0x60;
        put_be16(ip + 4, CARP_PAYLOAD_BYTES);
        ip[6] = CARP_PROTOCOL;
        ip[7] = CARP_TTL;
        memcpy(ip + 8, f->source.bytes, 16);
        memcpy(ip + 24, f->destination.bytes, 16);
        return IPV6_HEADER_BYTES;
}

size_t ip_frame_build(const IpFrame *f, const uint8_t payload[CARP_PAYLOAD_BYTES], uint8_t ret_frame[IP_FRAME_BYTES_MAX]) {
        bool ipv4 = f->source.family == AF_INET;
        uint8_t *ip = ret_frame + ETHERNET_HEADER_BYTES;
        size_t n;

        memcpy(ret_frame, f->destination_mac, MAC_BYTES);
        memcpy(ret_frame + MAC_BYTES, f->source_mac, MAC_BYTES);
        put_be16(ret_frame + ETHERTYPE_OFFSET, ipv4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
        n = ipv4 ? build_ipv4(f, ip) : build_ipv6(f, ip);
        memcpy(ip + n, payload, CARP_PAYLOAD_BYTES);
        return ETHERNET_HEADER_BYTES + n + CARP_PAYLOAD_BYTES;
}

static CarpVerdict parse_ipv4(const uint8_t *ip, size_t n, IpFrame *f, CarpAdvert *ret_advert) {
        size_t header, total;

        if (n < IPV4_HEADER_BYTES || ip[0] >> 4 != 4)
                return CARP_VERDICT_IP_HEADER;
        header = (size_t) (ip[0] & 0x0f) * 4;
        total = get_be16(ip + 2);
        if (header < IPV4_HEADER_BYTES || header > n || total < header)
                return CARP_VERDICT_IP_HEADER;
        f->source = (IpAddress) { .family = AF_INET };
        f->destination = f->source;
        memcpy(f->source.bytes, ip + 12, 4);
        memcpy(f->destination.bytes, ip + 16, 4);
        if (internet_checksum(ip, header) != 0)
                return CARP_VERDICT_IP_CHECKSUM;
        if (ip[9] != CARP_PROTOCOL || (get_be16(ip + 6) & IPV4_FRAGMENT_MASK) != 0)
                return CARP_VERDICT_IP_HEADER;
        if (ip[8] != CARP_TTL)
                return CARP_VERDICT_TTL;
        if (total > n)
                return CARP_VERDICT_LENGTH;
        return carp_decode(ip + header, total - header, ret_advert);
}

static CarpVerdict parse_ipv6(const uint8_t *ip, size_t n, IpFrame *f, CarpAdvert *ret_advert) {
        size_t payload;

        if (n < IPV6_HEADER_BYTES || ip[0] >> 4 != 6)
                return CARP_VERDICT_IP_HEADER;
        payload = get_be16(ip + 4);
        f->source = (IpAddress) { .family = AF_INET6 };
        f->destination = f->source;
        memcpy(f->source.bytes, ip + 8, 16);
        memcpy(f->destination.bytes, ip + 24, 16);
        if (ip[6] != CARP_PROTOCOL)
                return CARP_VERDICT_IP_HEADER;
        if (ip[7] != CARP_TTL)
                return CARP_VERDICT_TTL;
        if (payload > n - IPV6_HEADER_BYTES)
                return CARP_VERDICT_LENGTH;
        return carp_decode(ip + IPV6_HEADER_BYTES, payload, ret_advert);
}

CarpVerdict ip_frame_parse(const uint8_t *frame, size_t n_bytes, IpFrame *ret_frame, CarpAdvert *ret_advert) {
        const uint8_t *ip = frame + ETHERNET_HEADER_BYTES;

        *ret_frame = (IpFrame) { 0 };
        if (n_bytes < ETHERNET_HEADER_BYTES)
                return CARP_VERDICT_IP_HEADER;
        memcpy(ret_frame->destination_mac, frame, MAC_BYTES);
        memcpy(ret_frame->source_mac, frame + MAC_BYTES, MAC_BYTES);
        switch (get_be16(frame + ETHERTYPE_OFFSET)) {
        case ETHERTYPE_IPV4:
                return parse_ipv4(ip, n_bytes - ETHERNET_HEADER_BYTES, ret_frame, ret_advert);
        case ETHERTYPE_IPV6:
                return parse_ipv6(ip, n_bytes - ETHERNET_HEADER_BYTES, ret_frame, ret_advert);
        default:
                return CARP_VERDICT_IP_HEADER;
        }
}

static bool peek_ipv4(const uint8_t *ip, size_t n, IpGlimpse *g) {
        size_t header = n >= IPV4_HEADER_BYTES && ip[0] >> 4 == 4 ? (size_t) (ip[0] & 0x0f) * 4 : 0, total;

        if (header < IPV4_HEADER_BYTES || header > n || internet_checksum(ip, header) != 0)
                return false;
        total = get_be16(ip + 2);
        if (total < header || ip[9] != CARP_PROTOCOL || (get_be16(ip + 6) & IPV4_FRAGMENT_MASK) != 0)
                return false;
        g->source.family = g->destination.family = AF_INET;
        memcpy(g->source.bytes, ip + 12, 4);
        memcpy(g->destination.bytes, ip + 16, 4);
        g->ttl = ip[8];
        g->payload = ip + header;
        g->n_payload = total - header;
        g->n_present = g->n_payload < n - header ? g->n_payload : n - header;
        return true;
}

static bool peek_ipv6(const uint8_t *ip, size_t n, IpGlimpse *g) {
        if (n < IPV6_HEADER_BYTES || ip[0] >> 4 != 6 || ip[6] != CARP_PROTOCOL)
                return false;
        g->source.family = g->destination.family = AF_INET6;
        memcpy(g->source.bytes, ip + 8, 16);
        memcpy(g->destination.bytes, ip + 24, 16);
        g->ttl = ip[7];
        g->payload = ip + IPV6_HEADER_BYTES;
        g->n_payload = get_be16(ip + 4);
        g->n_present = g->n_payload < n - IPV6_HEADER_BYTES ? g->n_payload : n - IPV6_HEADER_BYTES;
        return true;
}

bool ip_frame_peek(const uint8_t *frame, size_t n_bytes, IpGlimpse *ret) {
        const uint8_t *ip = frame + ETHERNET_HEADER_BYTES;

        *ret = (IpGlimpse) { 0 };
        if (n_bytes < ETHERNET_HEADER_BYTES)
                return false;
        memcpy(ret->source_mac, frame + MAC_BYTES, MAC_BYTES);
        switch (get_be16(frame + ETHERTYPE_OFFSET)) {
        case ETHERTYPE_IPV4:
                return peek_ipv4(ip, n_bytes - ETHERNET_HEADER_BYTES, ret);
        case ETHERTYPE_IPV6:
                return peek_ipv6(ip, n_bytes - ETHERNET_HEADER_BYTES, ret);
        default:
                return false;
        }
}
