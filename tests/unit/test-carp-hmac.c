/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/carp-hmac.h"

/* The digest: which inputs change it, which do not, and that only the right one is believed. The expected bytes were computed apart from
 * this program, by Python's hmac module over the message that OpenBSD's carp_hmac_prepare_ctx() describes. */

#define COUNTER UINT64_C(0x0123456789abcdef)

static const uint8_t plain_digest[CARP_DIGEST_BYTES] = {
        0x42, 0x0d, 0x07, 0x64, 0xc5, 0x23, 0xbb, 0xef, 0x26, 0xe8, 0x30, 0x63, 0x2b, 0x1f, 0x5c, 0xdd, 0xd8, 0x17, 0x7d, 0xfa,
};
static const uint8_t mac_digest[CARP_DIGEST_BYTES] = {
        0xdf, 0x49, 0x2b, 0x91, 0xca, 0x11, 0xd1, 0x90, 0xf6, 0xd9, 0x63, 0x56, 0x15, 0x57, 0xb9, 0x07, 0x7c, 0xba, 0x2a, 0x4f,
};
static const uint8_t link_local_digest[CARP_DIGEST_BYTES] = {
        0xa6, 0xc3, 0xe1, 0x88, 0x67, 0xc1, 0xcd, 0x30, 0xf4, 0x42, 0xaa, 0xb5, 0x52, 0x06, 0x62, 0xa0, 0x72, 0x49, 0x73, 0xe0,
};

/* The fixed group of this test, key "secret" and VHID 21, with these addresses in this order. */
static CarpHmac *hmac_over(const char *addresses, bool with_link_local, const uint8_t *mac) {
        g_auto(GStrv) words = g_strsplit(addresses, " ", -1);
        IpAddress list[8];
        CarpHmacInput input = {
                .key = (const uint8_t *) "secret",
                .n_key_bytes = 6,
                .vhid = 21,
                .addresses = list,
                .with_link_local = with_link_local,
                .hash_mac = mac,
        };

        for (char **w = words; *w; w++)
                g_assert_cmpint(ip_address_parse(*w, &list[input.n_addresses++]), ==, 0);
        return carp_hmac_new(&input);
}

static void assert_digest(const CarpHmac *h, const uint8_t *expected) {
        uint8_t digest[CARP_DIGEST_BYTES];

        carp_hmac_digest(h, COUNTER, digest);
        g_assert_cmpmem(digest, CARP_DIGEST_BYTES, expected, CARP_DIGEST_BYTES);
}

static void test_order_duplicates_and_impossible_addresses_do_not_matter(void) {
        static const char *const lists[] = {
                "192.0.2.3 192.0.2.20 2001:db8::10",
                "2001:db8::10 192.0.2.20 192.0.2.3",
                "192.0.2.20 192.0.2.3 192.0.2.20 2001:db8::10 2001:db8::10",
                "0.0.0.0 :: 192.0.2.3 192.0.2.20 2001:db8::10",
                "192.0.2.3 192.0.2.20 2001:db8::10 255.255.255.255 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "fe80::1 192.0.2.3 192.0.2.20 2001:db8::10",
        };

        for (size_t k = 0; k < G_N_ELEMENTS(lists); k++) {
                g_autoptr(CarpHmac) h = hmac_over(lists[k], false, NULL);

                g_test_message("%s", lists[k]);
                assert_digest(h, plain_digest);
        }
}

static void test_link_local_counts_when_asked(void) {
        g_autoptr(CarpHmac) h = hmac_over("fe80::1 192.0.2.3 192.0.2.20 2001:db8::10", true, NULL);

        assert_digest(h, link_local_digest);
}

static void test_hand_set_mac_stands_before_the_vhid(void) {
        const uint8_t mac[6] = { 0x02, 0xde, 0xad, 0xbe, 0xef, 0x01 };
        g_autoptr(CarpHmac) h = hmac_over("192.0.2.3 192.0.2.20 2001:db8::10", false, mac);

        assert_digest(h, mac_digest);
}

static void test_what_differs_in_any_input_differs(void) {
        IpAddress list[2];
        CarpHmacInput base = { .key = (const uint8_t *) "secret", .n_key_bytes = 6, .vhid = 21, .addresses = list, .n_addresses = 2 }, other;
        uint8_t digest[CARP_DIGEST_BYTES];
        g_autoptr(CarpHmac) h = NULL, by_key = NULL, by_vhid = NULL, by_set = NULL;

        g_assert_cmpint(ip_address_parse("192.0.2.3", &list[0]), ==, 0);
        g_assert_cmpint(ip_address_parse("192.0.2.20", &list[1]), ==, 0);
        h = carp_hmac_new(&base);
        carp_hmac_digest(h, COUNTER, digest);
        other = base;
        other.key = (const uint8_t *) "Secret";
        by_key = carp_hmac_new(&other);
        other = base;
        other.vhid = 22;
        by_vhid = carp_hmac_new(&other);
        other = base;
        other.n_addresses = 1;
        by_set = carp_hmac_new(&other);
        g_assert_true(carp_hmac_verify(h, COUNTER, digest));
        g_assert_false(carp_hmac_verify(h, COUNTER + 1, digest));
        g_assert_false(carp_hmac_verify(h, COUNTER ^ UINT64_C(1) << 63, digest));
        g_assert_false(carp_hmac_verify(by_key, COUNTER, digest));
        g_assert_false(carp_hmac_verify(by_vhid, COUNTER, digest));
        g_assert_false(carp_hmac_verify(by_set, COUNTER, digest));
}

/* Strict mode: what one host said is not the word of another, and not CARP's. */
static void test_a_bound_digest_is_good_for_one_source_alone(void) {
        g_autoptr(CarpHmac) h = hmac_over("192.0.2.3 192.0.2.20 2001:db8::10", false, NULL);
        uint8_t digest[CARP_DIGEST_BYTES];
        IpAddress source, other, ipv6, none = { .family = AF_UNSPEC };

        g_assert_cmpint(ip_address_parse("192.0.2.1", &source), ==, 0);
        g_assert_cmpint(ip_address_parse("192.0.2.2", &other), ==, 0);
        g_assert_cmpint(ip_address_parse("c000:201::", &ipv6), ==, 0);
        carp_hmac_digest_from(h, COUNTER, &source, digest);
        g_assert_true(carp_hmac_verify_from(h, COUNTER, &source, digest));
        g_assert_false(carp_hmac_verify_from(h, COUNTER, &other, digest));
        g_assert_false(carp_hmac_verify_from(h, COUNTER, &ipv6, digest));
        g_assert_false(carp_hmac_verify_from(h, COUNTER + 1, &source, digest));
        g_assert_false(carp_hmac_verify(h, COUNTER, digest));
        g_assert_false(carp_hmac_verify_from(h, COUNTER, &source, plain_digest));
        g_assert_true(carp_hmac_verify_from(h, COUNTER, &none, plain_digest));
}

static void test_zeros_behind_a_key_do_not_matter(void) {
        uint8_t padded[CARP_KEY_BYTES_MAX] = "secret";
        IpAddress a;
        CarpHmacInput input = { .key = padded, .vhid = 21, .addresses = &a, .n_addresses = 1 };
        uint8_t digest[CARP_DIGEST_BYTES];
        g_autoptr(CarpHmac) shorter = NULL, longer = NULL;

        g_assert_cmpint(ip_address_parse("192.0.2.3", &a), ==, 0);
        input.n_key_bytes = 6;
        shorter = carp_hmac_new(&input);
        input.n_key_bytes = sizeof(padded);
        longer = carp_hmac_new(&input);
        carp_hmac_digest(shorter, COUNTER, digest);
        g_assert_true(carp_hmac_verify(longer, COUNTER, digest));
}

static void test_the_input_may_go_once_the_context_stands(void) {
        IpAddress list[1];
        uint8_t key[] = "secret", before[CARP_DIGEST_BYTES], after[CARP_DIGEST_BYTES];
        CarpHmacInput input = { .key = key, .n_key_bytes = 6, .vhid = 21, .addresses = list, .n_addresses = 1 };
        g_autoptr(CarpHmac) h = NULL;

        g_assert_cmpint(ip_address_parse("192.0.2.3", &list[0]), ==, 0);
        h = carp_hmac_new(&input);
        carp_hmac_digest(h, COUNTER, before);
        memset(list, 0xff, sizeof(list));
        memset(key, 0xff, sizeof(key));
        memset(&input, 0xff, sizeof(input));
        carp_hmac_digest(h, COUNTER, after);
        g_assert_cmpmem(before, sizeof(before), after, sizeof(after));
}

static void test_one_wrong_bit_anywhere_is_refused(void) {
        g_autoptr(CarpHmac) h = hmac_over("192.0.2.3 192.0.2.20 2001:db8::10", false, NULL);

        for (size_t bit = 0; bit < CARP_DIGEST_BYTES * 8; bit++) {
                uint8_t digest[CARP_DIGEST_BYTES];

                memcpy(digest, plain_digest, sizeof(digest));
                digest[bit / 8] = (uint8_t) (digest[bit / 8] ^ 1u << bit % 8);
                g_assert_false(carp_hmac_verify(h, COUNTER, digest));
        }
        /* a refusal leaves the context as it was */
        g_assert_true(carp_hmac_verify(h, COUNTER, plain_digest));
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/carp-hmac/order-duplicates-and-impossible-addresses-do-not-matter",
                        test_order_duplicates_and_impossible_addresses_do_not_matter);
        g_test_add_func("/carp-hmac/link-local-counts-when-asked", test_link_local_counts_when_asked);
        g_test_add_func("/carp-hmac/hand-set-mac-stands-before-the-vhid", test_hand_set_mac_stands_before_the_vhid);
        g_test_add_func("/carp-hmac/what-differs-in-any-input-differs", test_what_differs_in_any_input_differs);
        g_test_add_func("/carp-hmac/a-bound-digest-is-good-for-one-source-alone", test_a_bound_digest_is_good_for_one_source_alone);
        g_test_add_func("/carp-hmac/zeros-behind-a-key-do-not-matter", test_zeros_behind_a_key_do_not_matter);
        g_test_add_func("/carp-hmac/the-input-may-go-once-the-context-stands", test_the_input_may_go_once_the_context_stands);
        g_test_add_func("/carp-hmac/one-wrong-bit-anywhere-is-refused", test_one_wrong_bit_anywhere_is_refused);
        return g_test_run();
}
