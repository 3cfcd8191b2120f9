/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Ethernet + IPv4/IPv6 around a CARP payload: build the frame we send, take apart the frame we hear. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/carp.h"
#include "proto/ip-address.h"

#define MAC_BYTES 6
#define ETHERNET_HEADER_BYTES 14
#define ETHERTYPE_OFFSET 12
#define IP_FRAME_BYTES_MAX (ETHERNET_HEADER_BYTES + 40 + CARP_PAYLOAD_BYTES)

typedef struct IpFrame {
        uint8_t destination_mac[MAC_BYTES];
        uint8_t source_mac[MAC_BYTES];
        IpAddress source;      /* decides the family */
        IpAddress destination; /* same family */
} IpFrame;

/* Where an advert goes: 224.0.0.18 / ff02::12 and the Ethernet group address of any multicast IP address. */
extern const IpAddress carp_group_ipv4, carp_group_ipv6;
void ip_frame_multicast_mac(const IpAddress *group, uint8_t ret_mac[MAC_BYTES]);
extern const uint8_t mac_broadcast[MAC_BYTES];

/* Writes the whole frame (70 bytes for IPv4, 90 for IPv6), TTL 255, TOS 0x10 / traffic class 0, DF, id 0. Returns its length. */
size_t ip_frame_build(const IpFrame *f, const uint8_t payload[CARP_PAYLOAD_BYTES], uint8_t ret_frame[IP_FRAME_BYTES_MAX]);

/* Takes a received Ethernet frame (trailing padding allowed) down to the decoded advert: header, IP checksum, TTL, length, then
 * carp_decode(). *ret_frame is filled as far as the header was readable (source.family AF_UNSPEC if not), whatever the verdict,
 * so that a log line can name the sender; *ret_advert only with CARP_VERDICT_OK. */
CarpVerdict ip_frame_parse(const uint8_t *frame, size_t n_bytes, IpFrame *ret_frame, CarpAdvert *ret_advert);

/* What a frame shows that was refused, or whose payload is not CARP's. */
typedef struct IpGlimpse {
        IpAddress source, destination;
        uint8_t source_mac[MAC_BYTES];
        uint8_t ttl;
        const uint8_t *payload; /* within the frame */
        size_t n_payload;       /* as the IP header has it; */
        size_t n_present;       /* so much of it is there */
} IpGlimpse;

/* False: not whole IPv4 or IPv6 with CARP's protocol number, a fragment, or an IPv4 checksum that is wrong. */
bool ip_frame_peek(const uint8_t *frame, size_t n_bytes, IpGlimpse *ret);
