/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/carp-hmac.h"

#include <nettle/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* The digest (OpenBSD src/sys/netinet/ip_carp.c, carp_hmac_prepare_ctx()): HMAC-SHA1 (RFC 2104) over
 *
 *     version | type | [MAC] | VHID | IPv4 addresses, ascending | IPv6 addresses, ascending | counter
 *
 * All but the counter is fixed, so the hash that has eaten it is kept and copied per packet: a struct, on the stack, as the heap has
 * no part in what is done for every packet. */

struct CarpHmac {
        struct sha1_ctx outer, prefix; /* each begins with a block made of the key */
};

static int compare_addresses(const void *a, const void *b) {
        return ip_address_compare(a, b);
}

/* What the BSDs' selection loop, which runs strictly between all-zeros and all-ones, never selects. */
static bool is_hashed(const IpAddress *a, bool with_link_local) {
        static const uint8_t zeros[16], ones[16] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 };
        size_t n = ip_address_n_bytes(a);

        if (memcmp(a->bytes, zeros, n) == 0 || memcmp(a->bytes, ones, n) == 0)
                return false;
        return with_link_local || a->family != AF_INET6 || !ip_address_is_link_local(a);
}

static void hash_addresses(struct sha1_ctx *hash, const CarpHmacInput *input) {
        g_autofree IpAddress *sorted = g_memdup2(input->addresses, input->n_addresses * sizeof(IpAddress));

        if (input->n_addresses > 1)
                qsort(sorted, input->n_addresses, sizeof(IpAddress), compare_addresses);
        for (size_t k = 0; k < input->n_addresses; k++) {
                if (k > 0 && ip_address_equal(&sorted[k], &sorted[k - 1]))
                        continue;
                if (is_hashed(&sorted[k], input->with_link_local))
                        sha1_update(hash, ip_address_n_bytes(&sorted[k]), sorted[k].bytes);
        }
}

/**
 * carp_hmac_new() - a context keyed and fed with all that does not change
 */
CarpHmac *carp_hmac_new(const CarpHmacInput *input) {
        static const uint8_t version_type[] = { 2, 1 };
        CarpHmac *h = g_new0(CarpHmac, 1);
        struct sha1_ctx inner;

        hmac_set_key(&h->outer, &inner, &h->prefix, &nettle_sha1, input->n_key_bytes, input->key);
        explicit_bzero(&inner, sizeof(inner));
        sha1_update(&h->prefix, sizeof(version_type), version_type);
        if (input->hash_mac)
                sha1_update(&h->prefix, 6, input->hash_mac);
        sha1_update(&h->prefix, 1, &input->vhid);
        hash_addresses(&h->prefix, input);
        return h;
}

CarpHmac *carp_hmac_free(CarpHmac *h) {
        if (!h)
                return NULL;
        explicit_bzero(h, sizeof(*h));
        g_free(h);
        return NULL;
}

/**
 * carp_hmac_digest_from() - the digest of the advert with this counter from this source
 * @source: NULL: as CARP has it, where the source is not covered
 */
void carp_hmac_digest_from(const CarpHmac *h, uint64_t counter, const IpAddress *source, uint8_t ret_digest[CARP_DIGEST_BYTES]) {
        struct sha1_ctx hash = h->prefix;
        uint8_t wire[8];

        for (int k = 0; k < 8; k++)
                wire[k] = (uint8_t) (counter >> (56 - 8 * k));
        sha1_update(&hash, sizeof(wire), wire);
        if (source && source->family != AF_UNSPEC)
                sha1_update(&hash, ip_address_n_bytes(source), source->bytes);
        /* the last but one argument of a context that is to be used again would be its beginning; this one is thrown away */
        hmac_digest(&h->outer, &h->outer, &hash, &nettle_sha1, CARP_DIGEST_BYTES, ret_digest);
}

void carp_hmac_digest(const CarpHmac *h, uint64_t counter, uint8_t ret_digest[CARP_DIGEST_BYTES]) {
        carp_hmac_digest_from(h, counter, NULL, ret_digest);
}

/**
 * carp_hmac_verify_from() - is this the digest? In constant time, so that a forger learns nothing from how long we look.
 */
bool carp_hmac_verify_from(const CarpHmac *h, uint64_t counter, const IpAddress *source, const uint8_t digest[CARP_DIGEST_BYTES]) {
        uint8_t right[CARP_DIGEST_BYTES];
        volatile uint8_t difference = 0;

        carp_hmac_digest_from(h, counter, source, right);
        for (size_t k = 0; k < CARP_DIGEST_BYTES; k++)
                difference = (uint8_t) (difference | (right[k] ^ digest[k]));
        return difference == 0;
}

bool carp_hmac_verify(const CarpHmac *h, uint64_t counter, const uint8_t digest[CARP_DIGEST_BYTES]) {
        return carp_hmac_verify_from(h, counter, NULL, digest);
}
