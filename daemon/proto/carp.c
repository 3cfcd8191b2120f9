/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/carp.h"

#include <string.h>

#include "proto/checksum.h"

/* The 36 bytes of an advertisement (OpenBSD src/sys/netinet/ip_carp.h, struct carp_header). Knows offsets and what a stranger may check
 * without a key; the digest is carp-hmac.c's, the meaning of the fields the election's. */

enum {
        OFFSET_VERSION_TYPE = 0, /* high nibble version, low nibble type */
        OFFSET_VHID = 1,
        OFFSET_ADVSKEW = 2,
        OFFSET_AUTHLEN = 3, /* counter and digest in 32-bit words */
        OFFSET_DEMOTION = 4,
        OFFSET_ADVBASE = 5,
        OFFSET_CHECKSUM = 6,
        OFFSET_COUNTER = 8,
        OFFSET_DIGEST = 16,
};

#define CARP_VERSION 2
#define CARP_TYPE_ADVERTISEMENT 1
#define CARP_AUTHLEN 7

static const char *const verdict_names[N_CARP_VERDICTS] = {
        [CARP_VERDICT_OK] = "ok",
        [CARP_VERDICT_IP_HEADER] = "ip-header",
        [CARP_VERDICT_IP_CHECKSUM] = "ip-checksum",
        [CARP_VERDICT_TTL] = "ttl",
        [CARP_VERDICT_LENGTH] = "length",
        [CARP_VERDICT_VERSION] = "version",
        [CARP_VERDICT_TYPE] = "type",
        [CARP_VERDICT_CHECKSUM] = "checksum",
        [CARP_VERDICT_VHID] = "vhid",
        [CARP_VERDICT_HMAC] = "hmac",
        [CARP_VERDICT_LOOP] = "loop",
        [CARP_VERDICT_REPLAY] = "replay",
};

/**
 * carp_verdict_to_string() - a verdict as the word that statistics and logs use; static
 */
const char *carp_verdict_to_string(CarpVerdict verdict) {
        return verdict_names[verdict];
}

/**
 * carp_encode() - the payload of an advert, checksum included
 */
void carp_encode(const CarpAdvert *advert, uint8_t ret_payload[CARP_PAYLOAD_BYTES]) {
        uint16_t sum;

        ret_payload[OFFSET_VERSION_TYPE] = CARP_VERSION << 4 | CARP_TYPE_ADVERTISEMENT;
        ret_payload[OFFSET_VHID] = advert->vhid;
        ret_payload[OFFSET_ADVSKEW] = advert->advskew;
        ret_payload[OFFSET_AUTHLEN] = CARP_AUTHLEN;
        ret_payload[OFFSET_DEMOTION] = advert->demotion;
        ret_payload[OFFSET_ADVBASE] = advert->advbase;
        ret_payload[OFFSET_CHECKSUM] = ret_payload[OFFSET_CHECKSUM + 1] = 0;
        for (int k = 0; k < 8; k++)
                ret_payload[OFFSET_COUNTER + k] = (uint8_t) (advert->counter >> (56 - 8 * k));
        memcpy(ret_payload + OFFSET_DIGEST, advert->digest, CARP_DIGEST_BYTES);
        /* over these 36 bytes only: no pseudo-header for either family */
        sum = internet_checksum(ret_payload, CARP_PAYLOAD_BYTES);
        ret_payload[OFFSET_CHECKSUM] = (uint8_t) (sum >> 8);
        ret_payload[OFFSET_CHECKSUM + 1] = (uint8_t) sum;
}

/**
 * carp_decode() - take a payload apart
 *
 * Returns the first check that failed. Stricter than every kernel about type and authlen, which tell an advert from a VRRPv2 packet that
 * starts with the same byte.
 */
CarpVerdict carp_decode(const uint8_t *payload, size_t n_bytes, CarpAdvert *ret) {
        if (n_bytes != CARP_PAYLOAD_BYTES)
                return CARP_VERDICT_LENGTH;
        if (payload[OFFSET_VERSION_TYPE] >> 4 != CARP_VERSION)
                return CARP_VERDICT_VERSION;
        if ((payload[OFFSET_VERSION_TYPE] & 0x0f) != CARP_TYPE_ADVERTISEMENT || payload[OFFSET_AUTHLEN] != CARP_AUTHLEN)
                return CARP_VERDICT_TYPE;
        if (internet_checksum(payload, CARP_PAYLOAD_BYTES) != 0)
                return CARP_VERDICT_CHECKSUM;
        *ret = (CarpAdvert) {
                .vhid = payload[OFFSET_VHID],
                .advbase = payload[OFFSET_ADVBASE],
                .advskew = payload[OFFSET_ADVSKEW],
                .demotion = payload[OFFSET_DEMOTION],
        };
        for (int k = 0; k < 8; k++)
                ret->counter = ret->counter << 8 | payload[OFFSET_COUNTER + k];
        memcpy(ret->digest, payload + OFFSET_DIGEST, CARP_DIGEST_BYTES);
        return CARP_VERDICT_OK;
}
