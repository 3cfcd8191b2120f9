/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "diagnosis.h"

#include <string.h>
#include <sys/socket.h>

#include "proto/carp-hmac.h"
#include "proto/checksum.h"
#include "proto/vrrp.h"

#include "carp-vectors.h"
#include "vrrp-vectors.h"

/* Which mistake is named: the packets that each mistake makes, some captured, some built by another host's configuration. */

#define FRAME_BYTES_MAX 2048
#define SEC UINT64_C(1000000)

static const uint8_t mac_here[MAC_BYTES] = { 2, 0, 0, 0, 0, 1 }, mac_there[MAC_BYTES] = { 2, 0, 0, 0, 0, 3 };

static size_t unhex(const char *hex, uint8_t *ret) {
        size_t n = strlen(hex) / 2;

        for (size_t k = 0; k < n; k++)
                ret[k] = (uint8_t) (g_ascii_xdigit_value(hex[2 * k]) << 4 | g_ascii_xdigit_value(hex[2 * k + 1]));
        return n;
}

static IpAddress address(const char *text) {
        IpAddress a;

        g_assert_cmpint(ip_address_parse(text, &a), ==, 0);
        return a;
}

static InstanceConfig *make_config(const char *addresses, const char *passphrase) {
        InstanceConfig *c = instance_config_new_default("web");
        g_auto(GStrv) words = g_strsplit(addresses, " ", -1);

        c->n_addresses = g_strv_length(words);
        c->addresses = g_new0(IpPrefix, c->n_addresses);
        for (size_t k = 0; k < c->n_addresses; k++)
                g_assert_cmpint(ip_prefix_parse(words[k], &c->addresses[k]), ==, 0);
        c->carp.vhid = 7;
        c->carp.advbase = 1;
        c->carp.n_key_bytes = strlen(passphrase);
        memcpy(c->carp.key, passphrase, c->carp.n_key_bytes);
        return c;
}

static DiagnosisSelf self_of(const InstanceConfig *c) {
        DiagnosisSelf self = { .config = c, .ipv4 = address("192.0.2.1"), .ipv6 = address("fe80::1") };

        memcpy(self.mac, mac_here, MAC_BYTES);
        return self;
}

/* What a host with this configuration sends. */
static size_t advert_of(const InstanceConfig *c, const char *source, const uint8_t mac[MAC_BYTES], const uint8_t *hash_mac, bool link_local,
                        uint8_t frame[IP_FRAME_BYTES_MAX]) {
        g_autofree IpAddress *addresses = g_new0(IpAddress, c->n_addresses);
        CarpAdvert a = { .vhid = c->carp.vhid, .advbase = c->carp.advbase, .advskew = c->carp.advskew, .counter = 0x1122334455667788 };
        IpFrame ip = { .source = address(source) };
        uint8_t payload[CARP_PAYLOAD_BYTES];
        CarpHmac *hmac;

        for (size_t k = 0; k < c->n_addresses; k++)
                addresses[k] = c->addresses[k].address;
        hmac = carp_hmac_new(&(CarpHmacInput) { .key = c->carp.key, .n_key_bytes = c->carp.n_key_bytes, .vhid = c->carp.vhid,
                                                .addresses = addresses, .n_addresses = c->n_addresses, .hash_mac = hash_mac,
                                                .with_link_local = link_local });
        carp_hmac_digest_from(hmac, a.counter, c->carp.strict_replay ? &ip.source : NULL, a.digest);
        carp_hmac_free(hmac);
        ip.destination = ip.source.family == AF_INET ? carp_group_ipv4 : carp_group_ipv6;
        memcpy(ip.source_mac, mac, MAC_BYTES);
        carp_encode(&a, payload);
        return ip_frame_build(&ip, payload, frame);
}

typedef struct Case {
        const char *ours, *theirs, *their_passphrase, *source;
        bool strict_here, strict_there, first_here, hashes_mac, hashes_link_local;
        DiagnosisCause cause;
        const char *says;
} Case;

static void test_digests(void) {
        static const Case cases[] = {
                { .ours = "192.0.2.10", .theirs = "192.0.2.10", .their_passphrase = "wrong", .cause = DIAGNOSIS_PASSPHRASE,
                  .says = "192.0.2.3 (02:00:00:00:00:03) speaks for our VHID 7 with another passphrase, or for another list of addresses; or "
                          "another group on this network has that VHID" },
                { .ours = "192.0.2.10", .theirs = "192.0.2.10 192.0.2.11", .cause = DIAGNOSIS_PASSPHRASE },
                { .ours = "192.0.2.10 192.0.2.11", .theirs = "192.0.2.10", .cause = DIAGNOSIS_ADDRESSES,
                  .says = "192.0.2.3 (02:00:00:00:00:03) has our passphrase, but speaks for 192.0.2.10 alone, while we speak for 2 addresses; "
                          "Address= must be the same on all hosts, or DigestAddresses=first here too if that is a ucarp" },
                { .ours = "192.0.2.10 192.0.2.11", .theirs = "192.0.2.10 192.0.2.11", .first_here = true, .cause = DIAGNOSIS_ADDRESSES,
                  .says = "192.0.2.3 (02:00:00:00:00:03) has our passphrase, but not DigestAddresses=first, and this host has it; it must be the "
                          "same on all hosts" },
                { .ours = "192.0.2.10 192.0.2.11", .theirs = "192.0.2.11", .first_here = true, .cause = DIAGNOSIS_ADDRESSES,
                  .says = "192.0.2.3 (02:00:00:00:00:03) has our passphrase, but speaks for 192.0.2.11 and we for 192.0.2.10; the first of "
                          "Address= must be the same on all hosts" },
                { .ours = "192.0.2.10 192.0.2.11", .theirs = "192.0.2.10", .first_here = true, .strict_here = true,
                  .cause = DIAGNOSIS_REPLAY_PROTECTION },
                { .ours = "192.0.2.10 192.0.2.11", .theirs = "192.0.2.10", .their_passphrase = "wrong", .cause = DIAGNOSIS_PASSPHRASE },
                { .ours = "192.0.2.10 192.0.2.11 2001:db8::10", .theirs = "192.0.2.11 192.0.2.10", .cause = DIAGNOSIS_ADDRESSES,
                  .says = "192.0.2.3 (02:00:00:00:00:03) has our passphrase, but speaks for our IPv4 addresses alone; "
                          "Address= must be the same on all hosts" },
                { .ours = "192.0.2.10 2001:db8::11 2001:db8::10", .theirs = "2001:db8::10 2001:db8::11", .source = "fe80::3",
                  .cause = DIAGNOSIS_ADDRESSES,
                  .says = "fe80::3 (02:00:00:00:00:03) has our passphrase, but speaks for our IPv6 addresses alone; "
                          "Address= must be the same on all hosts" },
                { .ours = "192.0.2.10 192.0.2.11 192.0.2.12", .theirs = "192.0.2.10 192.0.2.12", .cause = DIAGNOSIS_ADDRESSES,
                  .says = "192.0.2.3 (02:00:00:00:00:03) has our passphrase, but does not speak for 192.0.2.11; "
                          "Address= must be the same on all hosts" },
                { .ours = "192.0.2.10 fe80::10 2001:db8::10", .theirs = "fe80::10 2001:db8::10", .hashes_link_local = true,
                  .cause = DIAGNOSIS_ADDRESSES },
                { .ours = "192.0.2.10", .theirs = "192.0.2.10", .strict_there = true, .cause = DIAGNOSIS_REPLAY_PROTECTION,
                  .says = "192.0.2.3 (02:00:00:00:00:03) has ReplayProtection=strict, and this host has not; it must be the same on all hosts" },
                { .ours = "192.0.2.10", .theirs = "192.0.2.10", .strict_here = true, .cause = DIAGNOSIS_REPLAY_PROTECTION,
                  .says = "192.0.2.3 (02:00:00:00:00:03) has not ReplayProtection=strict, or is not vipd, and this host has it; it must be the "
                          "same on all hosts" },
                { .ours = "192.0.2.10 192.0.2.11", .theirs = "192.0.2.11", .strict_here = true, .strict_there = true,
                  .cause = DIAGNOSIS_ADDRESSES },
                { .ours = "192.0.2.10", .theirs = "192.0.2.10", .hashes_mac = true, .cause = DIAGNOSIS_HASHED_MAC },
                { .ours = "192.0.2.10", .theirs = "192.0.2.10", .source = "192.0.2.1", .their_passphrase = "wrong",
                  .cause = DIAGNOSIS_SAME_SOURCE,
                  .says = "192.0.2.1 (02:00:00:00:00:03) is another host with our own source address: it was cloned from this one, or "
                          "SourceAddress= is the same on both" },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                const Case *c = &cases[k];
                g_autoptr(InstanceConfig) ours = make_config(c->ours, "secret");
                g_autoptr(InstanceConfig) theirs = make_config(c->theirs, c->their_passphrase ?: "secret");
                DiagnosisSelf self = self_of(ours);
                uint8_t frame[IP_FRAME_BYTES_MAX];
                Diagnosis d;
                size_t n;

                ours->carp.strict_replay = c->strict_here;
                ours->carp.digest_first = c->first_here;
                theirs->carp.strict_replay = c->strict_there;
                n = advert_of(theirs, c->source ?: "192.0.2.3", mac_there, c->hashes_mac ? mac_there : NULL, c->hashes_link_local, frame);
                g_assert_true(diagnosis_of_refused(&self, frame, n, CARP_VERDICT_HMAC, &d));
                g_assert_cmpstr(diagnosis_cause_to_string(d.cause), ==, diagnosis_cause_to_string(c->cause));
                if (c->says)
                        g_assert_cmpstr(d.text, ==, c->says);
                g_assert_cmpstr(d.mac, ==, "02:00:00:00:00:03");
        }
}

static void test_the_most_that_can_be_configured_is_said_whole(void) {
        g_autoptr(GString) list = g_string_new("2001:db8:1111:2222:3333:4444:5555:6666");
        g_autoptr(InstanceConfig) ours = NULL, theirs = make_config("2001:db8:1111:2222:3333:4444:5555:6666", "secret");
        uint8_t frame[IP_FRAME_BYTES_MAX];
        DiagnosisSelf self;
        Diagnosis d;
        size_t n;

        for (unsigned k = 1; k < CONFIG_ADDRESSES_MAX; k++)
                g_string_append_printf(list, " 2001:db8::%x", k);
        ours = make_config(list->str, "secret");
        self = self_of(ours);
        n = advert_of(theirs, "2001:db8:1111:2222:3333:4444:5555:7777", mac_there, NULL, false, frame);
        g_assert_true(diagnosis_of_refused(&self, frame, n, CARP_VERDICT_HMAC, &d));
        g_assert_true(g_str_has_suffix(d.text, "Address= must be the same on all hosts"));
}

/* Our own adverts, that a loop brings back after their counter was forgotten or the passphrase changed. */
static void test_our_own_echo_is_no_clone(void) {
        g_autoptr(InstanceConfig) ours = make_config("192.0.2.10", "secret"), before = make_config("192.0.2.10", "former");
        DiagnosisSelf self = self_of(ours);
        uint8_t frame[IP_FRAME_BYTES_MAX];
        CarpAdvert advert;
        IpFrame f;
        Diagnosis d;
        size_t n = advert_of(before, "192.0.2.1", mac_here, NULL, false, frame);

        g_assert_false(diagnosis_of_refused(&self, frame, n, CARP_VERDICT_HMAC, &d));
        n = advert_of(ours, "192.0.2.1", mac_here, NULL, false, frame);
        g_assert_false(diagnosis_of_refused(&self, frame, n, CARP_VERDICT_REPLAY, &d));
        g_assert_cmpint(ip_frame_parse(frame, n, &f, &advert), ==, CARP_VERDICT_OK);
        g_assert_false(diagnosis_of_believed(&self, &f, &advert, &d));
}

static void test_a_believed_clone(void) {
        g_autoptr(InstanceConfig) ours = make_config("192.0.2.10", "secret");
        DiagnosisSelf self = self_of(ours);
        uint8_t frame[IP_FRAME_BYTES_MAX];
        CarpAdvert advert;
        IpFrame f;
        Diagnosis d;
        size_t n = advert_of(ours, "192.0.2.1", mac_there, NULL, false, frame);

        g_assert_cmpint(ip_frame_parse(frame, n, &f, &advert), ==, CARP_VERDICT_OK);
        g_assert_true(diagnosis_of_believed(&self, &f, &advert, &d));
        g_assert_cmpint(d.cause, ==, DIAGNOSIS_SAME_SOURCE);
        n = advert_of(ours, "fe80::1", mac_there, NULL, false, frame);
        g_assert_cmpint(ip_frame_parse(frame, n, &f, &advert), ==, CARP_VERDICT_OK);
        g_assert_true(diagnosis_of_believed(&self, &f, &advert, &d));
}

static void test_intervals(void) {
        static const struct {
                uint8_t advbase, advskew, their_advbase, their_advskew;
                uint32_t dead_ratio;
                const char *says; /* NULL: they fit */
        } cases[] = {
                { 1, 0, 1, 100, 3, NULL },
                { 1, 0, 2, 0, 3, NULL },
                { 1, 100, 3, 100, 3, "advertises every 3.4 s, and this host waits 3.4 s for an advert, so it takes over whenever that one is master" },
                { 1, 0, 10, 0, 3, "advertises every 10.0 s, and this host waits 3.0 s for an advert" },
                { 10, 0, 1, 0, 3, "waits 3.0 s for an advert, and this host advertises every 10.0 s" },
                { 10, 0, 1, 0, 20, NULL }, /* so patient must they be as well */
                { 1, 0, 0, 10, 3, "waits 0.1 s for an advert, and this host advertises every 1.0 s" },
                { 0, 10, 1, 0, 3, "advertises every 1.0 s, and this host waits 0.1 s for an advert" },
                { 1, 0, 1, 254, 3, NULL },
                { 1, 0, 255, 255, 3, NULL }, /* a farewell */
                { 1, 0, 0, 0, 3, NULL },     /* a promotion */
                { 1, 0, 1, 240, 3, NULL },   /* a demotion */
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                g_autoptr(InstanceConfig) ours = make_config("192.0.2.10", "secret");
                DiagnosisSelf self = self_of(ours);
                CarpAdvert a = { .vhid = 7, .advbase = cases[k].their_advbase, .advskew = cases[k].their_advskew };
                IpFrame f = { .source = address("192.0.2.3") };
                Diagnosis d;

                ours->carp.advbase = cases[k].advbase;
                ours->carp.advskew = cases[k].advskew;
                ours->carp.dead_ratio = cases[k].dead_ratio;
                g_assert_cmpint(diagnosis_of_believed(&self, &f, &a, &d), ==, cases[k].says != NULL);
                if (!cases[k].says)
                        continue;
                g_assert_cmpint(d.cause, ==, DIAGNOSIS_INTERVALS);
                g_assert_nonnull(strstr(d.text, cases[k].says));
        }
}

static void test_ttl(void) {
        g_autoptr(InstanceConfig) ours = make_config("192.0.2.10", "secret");
        DiagnosisSelf self = self_of(ours);
        uint8_t frame[IP_FRAME_BYTES_MAX];
        Diagnosis d;
        size_t n = advert_of(ours, "192.0.2.3", mac_there, NULL, false, frame);

        /* with the checksum of the header corrected, as a router does it */
        frame[22] = 254;
        frame[24]++;
        g_assert_true(diagnosis_of_refused(&self, frame, n, CARP_VERDICT_TTL, &d));
        g_assert_cmpstr(d.text, ==, "192.0.2.3 (02:00:00:00:00:03) sends adverts with TTL 254 instead of 255: a router passed them on, or the "
                                    "sender sets it so");
        frame[40] ^= 1;
        g_assert_false(diagnosis_of_refused(&self, frame, n, CARP_VERDICT_TTL, &d));
}

static void test_captured_vrrp_is_recognised(void) {
        g_autoptr(InstanceConfig) ours = make_config("192.0.2.10", "secret");
        DiagnosisSelf self = self_of(ours);
        unsigned n_recognised = 0;

        for (size_t k = 0; k < G_N_ELEMENTS(vrrp_vectors); k++) {
                const VrrpVector *v = &vrrp_vectors[k];
                bool authenticated_header = g_str_has_prefix(v->name, "v2-ah-");
                uint8_t frame[FRAME_BYTES_MAX];
                size_t n = unhex(v->frame_hex, frame);
                g_autofree char *says = g_strdup_printf("speaks VRRP version %u with the virtual router ID 7, which is our VHID", v->version);
                CarpAdvert advert;
                IpFrame f;
                IpGlimpse g;
                Diagnosis d;

                /* another IP protocol */
                g_assert_cmpint(ip_frame_peek(frame, n, &g), ==, !authenticated_header);
                if (authenticated_header)
                        continue;
                g_assert_cmpuint(vrrp_recognise(&g), ==, v->version);
                g_assert_cmpuint(g.payload[1], ==, v->vrid);
                n_recognised++;
                /* unicast over IPv6 may have another TTL; that is said first */
                if (g.ttl != 255)
                        continue;
                g_assert_true(diagnosis_of_refused(&self, frame, n, ip_frame_parse(frame, n, &f, &advert), &d));
                g_assert_cmpint(d.cause, ==, DIAGNOSIS_VRRP);
                g_assert_nonnull(strstr(d.text, says));
                g_assert_true(g_str_has_prefix(d.text, v->source));
        }
        g_assert_cmpuint(n_recognised, >=, 54);
}

static void test_spoilt_vrrp_is_noise(void) {
        for (size_t k = 0; k < G_N_ELEMENTS(vrrp_vectors); k++) {
                uint8_t frame[FRAME_BYTES_MAX];
                size_t n = unhex(vrrp_vectors[k].frame_hex, frame);
                IpGlimpse g;

                if (!ip_frame_peek(frame, n, &g))
                        continue;
                frame[n - g.n_payload + 2] ^= 1; /* the priority */
                g_assert_cmpuint(vrrp_recognise(&g), ==, 0);
                frame[n - g.n_payload + 2] ^= 1;
                /* shorter than its own list, and that is what the IP header says; a proof at the end is none of the list */
                if (strstr(vrrp_vectors[k].name, "-hmac-"))
                        continue;
                g.n_payload--;
                g.n_present--;
                g_assert_cmpuint(vrrp_recognise(&g), ==, 0);
        }
}

static void test_what_is_no_vrrp(void) {
        static const uint8_t good[] = { 0x31, 7, 100, 1, 0, 100, 0, 0, 192, 0, 2, 10 };
        static const struct {
                size_t offset;
                uint8_t value;
        } cases[] = { { 0, 0x41 }, { 0, 0x11 }, { 0, 0x32 }, { 0, 0x21 }, { 3, 0 }, { 3, 2 } };

        for (size_t k = 0; k < G_N_ELEMENTS(cases) + 4; k++) {
                uint8_t bytes[sizeof(good)];
                IpGlimpse g = { .source = address("192.0.2.3"), .payload = bytes, .n_payload = sizeof(bytes), .n_present = sizeof(bytes) };
                unsigned expected = 0;
                uint16_t sum;

                memcpy(bytes, good, sizeof(bytes));
                if (k < G_N_ELEMENTS(cases))
                        bytes[cases[k].offset] = cases[k].value;
                sum = internet_checksum(bytes, sizeof(bytes));
                bytes[6] = (uint8_t) (sum >> 8);
                bytes[7] = (uint8_t) sum;
                switch (k - G_N_ELEMENTS(cases)) {
                case 0:
                        expected = 3;
                        break;
                case 1: /* nothing but a piece of the header */
                        g.n_present = 7;
                        break;
                case 2: /* of a list that we did not keep whole, the length must do */
                        bytes[6] ^= 1;
                        g.n_present = 11;
                        expected = 3;
                        break;
                case 3: /* version 2 has no IPv6 */
                        bytes[0] = 0x21;
                        g.source = address("fe80::3");
                        break;
                default:
                        break;
                }
                g_assert_cmpuint(vrrp_recognise(&g), ==, expected);
        }
}

/* The checksum may count in what stands behind the list, as some keepalived do with their proof, or not, as others do. */
static void test_a_proof_is_counted_in_or_not(void) {
        for (unsigned counted = 0; counted < 3; counted++) {
                uint8_t bytes[] = { 0x31, 7, 100, 1, 0, 100, 0, 0, 192, 0, 2, 10, 0xde, 0xad, 0xbe, 0xef };
                IpGlimpse g = { .source = address("192.0.2.3"), .destination = address("224.0.0.18"), .payload = bytes,
                                .n_payload = sizeof(bytes), .n_present = sizeof(bytes) };
                uint16_t sum = internet_checksum(bytes, counted == 0 ? 12 : counted == 1 ? sizeof(bytes) : 14);

                bytes[6] = (uint8_t) (sum >> 8);
                bytes[7] = (uint8_t) sum;
                g_assert_cmpuint(vrrp_recognise(&g), ==, counted < 2 ? 3 : 0);
        }
}

static void test_carp_is_no_vrrp(void) {
        for (size_t k = 0; k < G_N_ELEMENTS(vectors); k++) {
                uint8_t frame[FRAME_BYTES_MAX];
                size_t n = unhex(vectors[k].frame_hex, frame);
                IpGlimpse g;

                g_assert_true(ip_frame_peek(frame, n, &g));
                g_assert_cmpuint(g.payload[1], ==, vectors[k].vhid);
                g_assert_cmpuint(vrrp_recognise(&g), ==, 0);
        }
}

static Diagnosis found(DiagnosisCause cause, const char *source) {
        return (Diagnosis) { .cause = cause, .source = address(source) };
}

static void test_it_is_said_when_it_is_sure_and_then_rarely(void) {
        DiagnosisHistory h = { 0 };
        Diagnosis d = found(DIAGNOSIS_PASSPHRASE, "192.0.2.3");
        uint64_t now_usec = 1000 * SEC;
        unsigned n_told = 0;

        g_assert_false(diagnosis_history_note(&h, &d, now_usec));
        g_assert_false(diagnosis_history_note(&h, &d, now_usec + SEC));
        g_assert_true(diagnosis_history_note(&h, &d, now_usec + 2 * SEC));
        for (unsigned k = 0; k < 7200; k++)
                n_told += diagnosis_history_note(&h, &d, now_usec + (3 + k) * SEC);
        g_assert_cmpuint(n_told, ==, 2);
        g_assert_cmpuint(h.n_found[DIAGNOSIS_PASSPHRASE], ==, 7203);
        diagnosis_history_forget(&h);
        g_assert_false(diagnosis_history_note(&h, &d, now_usec));
        g_assert_cmpuint(h.n_found[DIAGNOSIS_PASSPHRASE], ==, 7204);
}

static void test_noise_now_and_then_is_never_said(void) {
        DiagnosisHistory h = { 0 };
        Diagnosis d = found(DIAGNOSIS_PASSPHRASE, "192.0.2.3");

        for (unsigned k = 0; k < 100; k++)
                g_assert_false(diagnosis_history_note(&h, &d, (1 + k) * (DIAGNOSIS_WINDOW_USEC + 1)));
}

static void test_two_senders_and_two_causes_do_not_hide_each_other(void) {
        DiagnosisHistory h = { 0 };
        Diagnosis all[] = { found(DIAGNOSIS_PASSPHRASE, "192.0.2.3"), found(DIAGNOSIS_PASSPHRASE, "192.0.2.4"),
                            found(DIAGNOSIS_VRRP, "192.0.2.3") };
        unsigned n_told = 0;

        for (unsigned k = 0; k < 10; k++)
                for (size_t o = 0; o < G_N_ELEMENTS(all); o++)
                        n_told += diagnosis_history_note(&h, &all[o], (1000 + k) * SEC);
        g_assert_cmpuint(n_told, ==, 3);
}

#define ADD(name) g_test_add_func("/diagnosis/" #name, test_##name)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        ADD(digests);
        ADD(the_most_that_can_be_configured_is_said_whole);
        ADD(our_own_echo_is_no_clone);
        ADD(a_believed_clone);
        ADD(intervals);
        ADD(ttl);
        ADD(captured_vrrp_is_recognised);
        ADD(spoilt_vrrp_is_noise);
        ADD(what_is_no_vrrp);
        ADD(a_proof_is_counted_in_or_not);
        ADD(carp_is_no_vrrp);
        ADD(it_is_said_when_it_is_sure_and_then_rarely);
        ADD(noise_now_and_then_is_never_said);
        ADD(two_senders_and_two_causes_do_not_hide_each_other);
        return g_test_run();
}
