/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/carp-hmac.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* The digest (OpenBSD src/sys/netinet/ip_carp.c, carp_hmac_prepare_ctx()): HMAC-SHA1 (RFC 2104) over
 *
 *     version | type | [MAC] | VHID | IPv4 addresses, ascending | IPv6 addresses, ascending | counter
 *
 * All but the counter is fixed, so a keyed context that has eaten it is kept and copied per packet. */

struct CarpHmac {
        GHmac *prefix;
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

static void hash_addresses(GHmac *hmac, const CarpHmacInput *input) {
        g_autofree IpAddress *sorted = g_memdup2(input->addresses, input->n_addresses * sizeof(IpAddress));

        if (input->n_addresses > 1)
                qsort(sorted, input->n_addresses, sizeof(IpAddress), compare_addresses);
        for (size_t k = 0; k < input->n_addresses; k++) {
                if (k > 0 && ip_address_equal(&sorted[k], &sorted[k - 1]))
                        continue;
                if (is_hashed(&sorted[k], input->with_link_local))
                        g_hmac_update(hmac, sorted[k].bytes, (gssize) ip_address_n_bytes(&sorted[k]));
        }
}

/**
 * carp_hmac_new() - a context keyed and fed with all that does not change
 */
CarpHmac *carp_hmac_new(const CarpHmacInput *input) {
        static const guchar version_type[] = { 2, 1 };
        CarpHmac *h = g_new0(CarpHmac, 1);

        h->prefix = g_hmac_new(G_CHECKSUM_SHA1, input->key, input->n_key_bytes);
        g_hmac_update(h->prefix, version_type, sizeof(version_type));
        if (input->hash_mac)
                g_hmac_update(h->prefix, input->hash_mac, 6);
        g_hmac_update(h->prefix, &input->vhid, 1);
        hash_addresses(h->prefix, input);
        return h;
}

CarpHmac *carp_hmac_free(CarpHmac *h) {
        if (!h)
                return NULL;
        g_hmac_unref(h->prefix);
        g_free(h);
        return NULL;
}

/**
 * carp_hmac_digest_from() - the digest of the advert with this counter from this source
 * @source: NULL: as CARP has it, where the source is not covered
 */
void carp_hmac_digest_from(const CarpHmac *h, uint64_t counter, const IpAddress *source, uint8_t ret_digest[CARP_DIGEST_BYTES]) {
        GHmac *hmac = g_hmac_copy(h->prefix);
        uint8_t wire[8];
        gsize n = CARP_DIGEST_BYTES;

        for (int k = 0; k < 8; k++)
                wire[k] = (uint8_t) (counter >> (56 - 8 * k));
        g_hmac_update(hmac, wire, sizeof(wire));
        if (source && source->family != AF_UNSPEC)
                g_hmac_update(hmac, source->bytes, (gssize) ip_address_n_bytes(source));
        g_hmac_get_digest(hmac, ret_digest, &n);
        g_hmac_unref(hmac);
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
