/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The digest of a CARP advertisement: HMAC-SHA1 over version, type, VHID, the sorted addresses and the counter. */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/carp.h"
#include "proto/ip-address.h"

typedef struct CarpHmac CarpHmac;

typedef struct CarpHmacInput {
        const uint8_t *key;
        size_t n_key_bytes; /* 1..CARP_KEY_BYTES_MAX */
        uint8_t vhid;
        const IpAddress *addresses; /* any order; duplicates count once */
        size_t n_addresses;
        bool with_link_local;     /* hash fe80::/10 addresses too (FreeBSD does when they belong to the VHID) */
        const uint8_t *hash_mac;  /* OpenBSD with a hand-set lladdr: 6 bytes; else NULL */
} CarpHmacInput;

/* Copies what it needs of the input. Wipes the key material when freed. */
CarpHmac *carp_hmac_new(const CarpHmacInput *input);
CarpHmac *carp_hmac_free(CarpHmac *h);
void carp_hmac_digest(const CarpHmac *h, uint64_t counter, uint8_t ret_digest[CARP_DIGEST_BYTES]);
bool carp_hmac_verify(const CarpHmac *h, uint64_t counter, const uint8_t digest[CARP_DIGEST_BYTES]); /* constant time */
/* The same with the source address behind the counter, for ReplayProtection=strict: not CARP's, and no other software's. source: NULL or none
 * is CARP's own. */
void carp_hmac_digest_from(const CarpHmac *h, uint64_t counter, const IpAddress *source, uint8_t ret_digest[CARP_DIGEST_BYTES]);
bool carp_hmac_verify_from(const CarpHmac *h, uint64_t counter, const IpAddress *source, const uint8_t digest[CARP_DIGEST_BYTES]);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CarpHmac, carp_hmac_free)
