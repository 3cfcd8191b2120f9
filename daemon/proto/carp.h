/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The 36 bytes of a CARP advertisement: encode, and decode to a verdict. */
#include <stddef.h>
#include <stdint.h>

#define CARP_PROTOCOL 112 /* IP protocol number, shared with VRRP */
#define CARP_PAYLOAD_BYTES 36
#define CARP_DIGEST_BYTES 20
#define CARP_KEY_BYTES_MAX 20
#define CARP_PASSPHRASE_BYTES_MAX 19
#define CARP_TTL 255

/* Why a packet was not believed, in the order of the checks. One counter each. */
typedef enum CarpVerdict {
        CARP_VERDICT_OK,
        CARP_VERDICT_IP_HEADER,   /* not IPv4/IPv6, options that do not fit, a fragment, another protocol */
        CARP_VERDICT_IP_CHECKSUM,
        CARP_VERDICT_TTL,
        CARP_VERDICT_LENGTH,      /* payload not exactly 36 bytes: truncated, oversized, or VRRP */
        CARP_VERDICT_VERSION,     /* version not 2 (VRRPv3 is 3) */
        CARP_VERDICT_TYPE,        /* type not 1, or authlen not 7 */
        CARP_VERDICT_CHECKSUM,
        CARP_VERDICT_VHID,        /* nobody here speaks this VHID */
        CARP_VERDICT_HMAC,
        CARP_VERDICT_LOOP,        /* one of our own adverts, echoed */
        CARP_VERDICT_REPLAY,      /* ReplayProtection=strict: counter not above the last one, or not bound to the header */
} CarpVerdict;
#define N_CARP_VERDICTS 12

const char *carp_verdict_to_string(CarpVerdict verdict); /* "ok", "ip-header", ... : also the statistics key suffix */

typedef struct CarpAdvert {
        uint8_t vhid;
        uint8_t advbase;
        uint8_t advskew;
        uint8_t demotion; /* byte 4: OpenBSD's demotion counter, 0 elsewhere; not covered by the digest */
        uint64_t counter;
        uint8_t digest[CARP_DIGEST_BYTES];
} CarpAdvert;

void carp_encode(const CarpAdvert *advert, uint8_t ret_payload[CARP_PAYLOAD_BYTES]);
/* Checks length, version, type, authlen, checksum. *ret is written only with CARP_VERDICT_OK. */
CarpVerdict carp_decode(const uint8_t *payload, size_t n_bytes, CarpAdvert *ret);
