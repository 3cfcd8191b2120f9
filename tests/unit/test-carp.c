/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/carp-hmac.h"
#include "proto/ip-frame.h"

#include "carp-vectors.h"

/* Bytes: every captured and computed advert is understood, and made again, byte for byte; every bad one is refused for its own reason. */

static size_t unhex(const char *hex, uint8_t *ret) {
        size_t n = strlen(hex) / 2;

        for (size_t k = 0; k < n; k++)
                ret[k] = (uint8_t) (g_ascii_xdigit_value(hex[2 * k]) << 4 | g_ascii_xdigit_value(hex[2 * k + 1]));
        return n;
}

static CarpHmac *hmac_for(const Vector *v) {
        g_auto(GStrv) words = g_strsplit(v->vips, " ", -1);
        IpAddress addresses[16];
        const uint8_t lladdr[6] = { 0x02, 0xde, 0xad, 0xbe, 0xef, 0x01 };
        uint8_t key[CARP_KEY_BYTES_MAX];
        CarpHmacInput input = { .key = key, .vhid = (uint8_t) v->vhid, .addresses = addresses };

        input.n_key_bytes = unhex(v->key_hex, key);
        for (char **w = words; *w; w++)
                g_assert_cmpint(ip_address_parse(*w, &addresses[input.n_addresses++]), ==, 0);
        input.with_link_local = g_str_equal(v->name, "ipv6-linklocal-included");
        if (g_str_equal(v->name, "openbsd-custom-lladdr"))
                input.hash_mac = lladdr;
        return carp_hmac_new(&input);
}

static void test_vectors_are_understood(void) {
        for (size_t k = 0; k < G_N_ELEMENTS(vectors); k++) {
                const Vector *v = &vectors[k];
                g_autoptr(CarpHmac) hmac = hmac_for(v);
                uint8_t frame[256];
                char source[IP_ADDRESS_TEXT_BYTES];
                CarpAdvert a;
                IpFrame f;

                g_test_message("%s", v->name);
                g_assert_cmpint(ip_frame_parse(frame, unhex(v->frame_hex, frame), &f, &a), ==, CARP_VERDICT_OK);
                g_assert_cmpuint(a.vhid, ==, v->vhid);
                g_assert_cmpuint(a.advbase, ==, v->advbase);
                g_assert_cmpuint(a.advskew, ==, v->advskew);
                g_assert_cmpuint(a.counter, ==, g_ascii_strtoull(v->counter_hex, NULL, 16));
                g_assert_cmpstr(ip_address_format(&f.source, source), ==, v->source);
                g_assert_true(carp_hmac_verify(hmac, a.counter, a.digest));
                a.digest[19] ^= 1;
                g_assert_false(carp_hmac_verify(hmac, a.counter, a.digest));
        }
}

static void test_vectors_are_made_again(void) {
        for (size_t k = 0; k < G_N_ELEMENTS(vectors); k++) {
                const Vector *v = &vectors[k];
                g_autoptr(CarpHmac) hmac = hmac_for(v);
                uint8_t frame[256], digest[CARP_DIGEST_BYTES], payload[CARP_PAYLOAD_BYTES], built[IP_FRAME_BYTES_MAX];
                size_t n = unhex(v->frame_hex, frame), header = n - CARP_PAYLOAD_BYTES, m;
                CarpAdvert a = { .vhid = (uint8_t) v->vhid,
                                 .advbase = (uint8_t) v->advbase,
                                 .advskew = (uint8_t) v->advskew,
                                 .demotion = frame[header + 4],
                                 .counter = g_ascii_strtoull(v->counter_hex, NULL, 16) };
                IpFrame f;
                CarpAdvert ignored;

                g_test_message("%s", v->name);
                carp_hmac_digest(hmac, a.counter, a.digest);
                (void) unhex(v->digest_hex, digest);
                g_assert_cmpmem(a.digest, CARP_DIGEST_BYTES, digest, CARP_DIGEST_BYTES);
                carp_encode(&a, payload);
                g_assert_cmpmem(payload, CARP_PAYLOAD_BYTES, frame + header, CARP_PAYLOAD_BYTES);

                (void) ip_frame_parse(frame, n, &f, &ignored);
                m = ip_frame_build(&f, payload, built);
                g_assert_cmpuint(m, ==, n);
                /* senders differ in TOS and id, and so in the IPv4 checksum; all else is the same */
                if (f.source.family == AF_INET) {
                        memcpy(built + 15, frame + 15, 1);
                        memcpy(built + 18, frame + 18, 2);
                        memcpy(built + 24, frame + 24, 2);
                } else
                        memcpy(built + 14, frame + 14, 2);
                g_assert_cmpmem(built, m, frame, n);
        }
}

static void test_each_bad_one_is_refused_for_its_own_reason(void) {
        for (size_t k = 0; k < G_N_ELEMENTS(reject_vectors); k++) {
                const Vector *v = &reject_vectors[k];
                g_autoptr(CarpHmac) hmac = hmac_for(v);
                uint8_t frame[256];
                CarpAdvert a;
                IpFrame f;
                CarpVerdict verdict = ip_frame_parse(frame, unhex(v->frame_hex, frame), &f, &a);

                if (verdict == CARP_VERDICT_OK && a.vhid != v->vhid)
                        verdict = CARP_VERDICT_VHID;
                if (verdict == CARP_VERDICT_OK && !carp_hmac_verify(hmac, a.counter, a.digest))
                        verdict = CARP_VERDICT_HMAC;
                g_test_message("%s: %s (%s)", v->name, carp_verdict_to_string(verdict), v->reject);
                if (g_str_equal(v->reject, "ip checksum"))
                        g_assert_cmpint(verdict, ==, CARP_VERDICT_IP_CHECKSUM);
                else if (g_str_has_prefix(v->reject, "checksum (ucarp"))
                        g_assert_cmpint(verdict, ==, CARP_VERDICT_IP_CHECKSUM);
                else if (g_str_has_prefix(v->reject, "hmac/length"))
                        g_assert_cmpint(verdict, ==, CARP_VERDICT_LENGTH);
                else
                        g_assert_true(g_str_has_prefix(v->reject, carp_verdict_to_string(verdict)));
        }
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/carp/vectors-are-understood", test_vectors_are_understood);
        g_test_add_func("/carp/vectors-are-made-again", test_vectors_are_made_again);
        g_test_add_func("/carp/each-bad-one-is-refused-for-its-own-reason", test_each_bad_one_is_refused_for_its_own_reason);
        return g_test_run();
}
