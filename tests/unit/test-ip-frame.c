/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/checksum.h"
#include "proto/ip-frame.h"

/* Frames around an advert: each kind of damage gets its own verdict, the verdicts come in their documented order, and nothing is written
 * for what is not believed. */

#define IPV4_BYTES (14 + 20 + CARP_PAYLOAD_BYTES)
#define IPV6_BYTES (14 + 40 + CARP_PAYLOAD_BYTES)
#define FRAME_ROOM 256

static const CarpAdvert advert = { .vhid = 21, .advbase = 1, .advskew = 100, .demotion = 3, .counter = 7, .digest = { 1, 2, 3 } };

static size_t good_frame(int family, uint8_t *ret) {
        IpFrame f = { .source_mac = { 2, 0, 0, 0, 0, 1 } };
        uint8_t payload[CARP_PAYLOAD_BYTES], built[IP_FRAME_BYTES_MAX];
        size_t n;

        g_assert_cmpint(ip_address_parse(family == AF_INET ? "192.0.2.1" : "fe80::1", &f.source), ==, 0);
        f.destination = family == AF_INET ? carp_group_ipv4 : carp_group_ipv6;
        ip_frame_multicast_mac(&f.destination, f.destination_mac);
        carp_encode(&advert, payload);
        n = ip_frame_build(&f, payload, built);
        memset(ret, 0, FRAME_ROOM);
        memcpy(ret, built, n);
        return n;
}

static void fix_ipv4_checksum(uint8_t *frame) {
        uint8_t *ip = frame + ETHERNET_HEADER_BYTES;
        uint16_t sum;

        ip[10] = ip[11] = 0;
        sum = internet_checksum(ip, (size_t) (ip[0] & 0x0f) * 4);
        ip[10] = (uint8_t) (sum >> 8);
        ip[11] = (uint8_t) sum;
}

static void fix_carp_checksum(uint8_t *payload) {
        uint16_t sum;

        payload[6] = payload[7] = 0;
        sum = internet_checksum(payload, CARP_PAYLOAD_BYTES);
        payload[6] = (uint8_t) (sum >> 8);
        payload[7] = (uint8_t) sum;
}

/* From an allocation of exactly n bytes, so that a sanitizer sees a read behind the end. */
static CarpVerdict parse(const uint8_t *frame, size_t n, IpFrame *ret_frame) {
        g_autofree uint8_t *exact = g_memdup2(frame, MAX(n, 1));
        CarpAdvert a, before;
        CarpVerdict verdict;

        memset(&a, 0x5a, sizeof(a));
        memcpy(&before, &a, sizeof(a));
        verdict = ip_frame_parse(exact, n, ret_frame, &a);
        if (verdict != CARP_VERDICT_OK)
                g_assert_cmpmem(&a, sizeof(a), &before, sizeof(before));
        return verdict;
}

static void assert_verdict(const uint8_t *frame, size_t n, CarpVerdict expected) {
        IpFrame f;

        g_assert_cmpstr(carp_verdict_to_string(parse(frame, n, &f)), ==, carp_verdict_to_string(expected));
}

static void test_both_families_go_and_come_back(void) {
        const int families[] = { AF_INET, AF_INET6 };

        for (size_t k = 0; k < G_N_ELEMENTS(families); k++) {
                uint8_t frame[FRAME_ROOM];
                size_t n = good_frame(families[k], frame);
                CarpAdvert a;
                IpFrame f;

                g_assert_cmpuint(n, ==, families[k] == AF_INET ? IPV4_BYTES : IPV6_BYTES);
                g_assert_cmpint(ip_frame_parse(frame, n, &f, &a), ==, CARP_VERDICT_OK);
                g_assert_cmpint(f.source.family, ==, families[k]);
                g_assert_cmpuint(f.source_mac[0], ==, 2);
                g_assert_cmpuint(a.vhid, ==, advert.vhid);
                g_assert_cmpuint(a.advbase, ==, advert.advbase);
                g_assert_cmpuint(a.advskew, ==, advert.advskew);
                g_assert_cmpuint(a.demotion, ==, advert.demotion);
                g_assert_cmpuint(a.counter, ==, advert.counter);
                g_assert_cmpmem(a.digest, CARP_DIGEST_BYTES, advert.digest, CARP_DIGEST_BYTES);
        }
}

static void test_every_truncation_is_refused_and_padding_is_not(void) {
        const int families[] = { AF_INET, AF_INET6 };

        for (size_t k = 0; k < G_N_ELEMENTS(families); k++) {
                uint8_t frame[FRAME_ROOM];
                size_t n = good_frame(families[k], frame), headers = n - CARP_PAYLOAD_BYTES;

                for (size_t m = 0; m < n; m++)
                        assert_verdict(frame, m, m < headers ? CARP_VERDICT_IP_HEADER : CARP_VERDICT_LENGTH);
                memset(frame + n, 0xee, 60);
                for (size_t m = n; m <= n + 60; m++)
                        assert_verdict(frame, m, CARP_VERDICT_OK);
        }
}

static void test_options_are_skipped_and_summed(void) {
        for (uint8_t words = 6; words <= 15; words++) {
                uint8_t frame[FRAME_ROOM], payload[CARP_PAYLOAD_BYTES];
                size_t n = good_frame(AF_INET, frame), extra = (size_t) (words - 5) * 4;

                memcpy(payload, frame + n - CARP_PAYLOAD_BYTES, CARP_PAYLOAD_BYTES);
                frame[14] = (uint8_t) (0x40 | words);
                frame[17] = (uint8_t) (20 + extra + CARP_PAYLOAD_BYTES);
                memset(frame + 34, 1, extra); /* no-operation options */
                memcpy(frame + 34 + extra, payload, CARP_PAYLOAD_BYTES);
                fix_ipv4_checksum(frame);
                assert_verdict(frame, n + extra, CARP_VERDICT_OK);
                frame[34] ^= 2;
                assert_verdict(frame, n + extra, CARP_VERDICT_IP_CHECKSUM);
        }
}

static void test_headers_that_do_not_fit(void) {
        static const struct {
                const char *what;
                size_t offset;
                uint8_t value;
                CarpVerdict verdict;
        } cases[] = {
                { "ethernet type ARP", 13, 0x06, CARP_VERDICT_IP_HEADER },
                { "version 6 in an IPv4 frame", 14, 0x65, CARP_VERDICT_IP_HEADER },
                { "header of 16 bytes", 14, 0x44, CARP_VERDICT_IP_HEADER },
                { "header of 60 bytes in 56", 14, 0x4f, CARP_VERDICT_IP_HEADER },
                { "total length below the header", 17, 19, CARP_VERDICT_IP_HEADER },
                { "no payload", 17, 20, CARP_VERDICT_LENGTH },
                { "payload a byte short", 17, 55, CARP_VERDICT_LENGTH },
                { "total length beyond the capture", 17, 57, CARP_VERDICT_LENGTH },
                { "more fragments", 20, 0x20, CARP_VERDICT_IP_HEADER },
                { "fragment offset, high bits", 20, 0x01, CARP_VERDICT_IP_HEADER },
                { "fragment offset, low bits", 21, 0x01, CARP_VERDICT_IP_HEADER },
                { "may be fragmented, is not", 20, 0x00, CARP_VERDICT_OK },
                { "TTL 254", 22, 254, CARP_VERDICT_TTL },
                { "TTL 0", 22, 0, CARP_VERDICT_TTL },
                { "UDP", 23, 17, CARP_VERDICT_IP_HEADER },
                { "another type of service", 15, 0xe0, CARP_VERDICT_OK },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                uint8_t frame[FRAME_ROOM];
                size_t n = good_frame(AF_INET, frame);

                frame[cases[k].offset] = cases[k].value;
                if ((frame[14] & 0x0f) >= 5)
                        fix_ipv4_checksum(frame);
                g_test_message("%s", cases[k].what);
                assert_verdict(frame, n, cases[k].verdict);
        }
}

static void test_ipv6_headers_that_do_not_fit(void) {
        static const struct {
                const char *what;
                size_t offset;
                uint8_t value;
                CarpVerdict verdict;
        } cases[] = {
                { "version 4 in an IPv6 frame", 14, 0x40, CARP_VERDICT_IP_HEADER },
                { "hop-by-hop options first", 20, 0, CARP_VERDICT_IP_HEADER },
                { "fragment header first", 20, 44, CARP_VERDICT_IP_HEADER },
                { "destination options first", 20, 60, CARP_VERDICT_IP_HEADER },
                { "no payload", 19, 0, CARP_VERDICT_LENGTH },
                { "payload a byte short", 19, 35, CARP_VERDICT_LENGTH },
                { "payload beyond the capture", 19, 37, CARP_VERDICT_LENGTH },
                { "hop limit 254", 21, 254, CARP_VERDICT_TTL },
                { "another traffic class and a flow label", 15, 0x81, CARP_VERDICT_OK },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                uint8_t frame[FRAME_ROOM];
                size_t n = good_frame(AF_INET6, frame);

                frame[cases[k].offset] = cases[k].value;
                g_test_message("%s", cases[k].what);
                assert_verdict(frame, n, cases[k].verdict);
        }
}

static void test_payload_above_36_bytes_is_refused(void) {
        uint8_t frame[FRAME_ROOM];
        size_t n = good_frame(AF_INET, frame);

        frame[17]++;
        fix_ipv4_checksum(frame);
        assert_verdict(frame, n + 1, CARP_VERDICT_LENGTH);
        n = good_frame(AF_INET6, frame);
        frame[19]++;
        assert_verdict(frame, n + 1, CARP_VERDICT_LENGTH);
}

static void test_type_and_authlen_are_demanded(void) {
        uint8_t frame[FRAME_ROOM], *payload = frame + 34;
        size_t n = good_frame(AF_INET, frame);

        payload[0] = 0x20;
        fix_carp_checksum(payload);
        assert_verdict(frame, n, CARP_VERDICT_TYPE);
        payload[0] = 0x2f;
        fix_carp_checksum(payload);
        assert_verdict(frame, n, CARP_VERDICT_TYPE);
        payload[0] = 0x21;
        payload[3] = 0;
        fix_carp_checksum(payload);
        assert_verdict(frame, n, CARP_VERDICT_TYPE);
        payload[3] = 7;
        fix_carp_checksum(payload);
        assert_verdict(frame, n, CARP_VERDICT_OK);
}

/* Everything is wrong at first; each repair shows the next fault. */
static void test_verdicts_come_in_their_order(void) {
        uint8_t frame[FRAME_ROOM], *payload = frame + 34;
        size_t n = good_frame(AF_INET, frame);

        frame[22] = 64;
        frame[17]++;
        payload[0] = 0x30;
        assert_verdict(frame, n, CARP_VERDICT_IP_CHECKSUM);
        fix_ipv4_checksum(frame);
        assert_verdict(frame, n, CARP_VERDICT_TTL);
        frame[22] = 255;
        fix_ipv4_checksum(frame);
        assert_verdict(frame, n, CARP_VERDICT_LENGTH);
        frame[17]--;
        fix_ipv4_checksum(frame);
        assert_verdict(frame, n, CARP_VERDICT_VERSION);
        payload[0] = 0x20;
        assert_verdict(frame, n, CARP_VERDICT_TYPE);
        payload[0] = 0x21;
        payload[5]++;
        assert_verdict(frame, n, CARP_VERDICT_CHECKSUM);
        fix_carp_checksum(payload);
        assert_verdict(frame, n, CARP_VERDICT_OK);
}

static void test_sender_is_known_as_soon_as_its_header_was_read(void) {
        uint8_t frame[FRAME_ROOM];
        size_t n = good_frame(AF_INET, frame);
        char text[IP_ADDRESS_TEXT_BYTES];
        IpFrame f;

        frame[22] = 1;
        fix_ipv4_checksum(frame);
        g_assert_cmpint(parse(frame, n, &f), ==, CARP_VERDICT_TTL);
        g_assert_cmpstr(ip_address_format(&f.source, text), ==, "192.0.2.1");
        g_assert_cmpint(parse(frame, 30, &f), ==, CARP_VERDICT_IP_HEADER);
        g_assert_cmpint(f.source.family, ==, AF_UNSPEC);
        g_assert_cmpuint(f.source_mac[5], ==, 1);
        g_assert_cmpint(parse(frame, 13, &f), ==, CARP_VERDICT_IP_HEADER);
        g_assert_cmpuint(f.source_mac[5], ==, 0);
}

static void test_group_addresses(void) {
        static const struct {
                const char *group;
                uint8_t mac[MAC_BYTES];
        } cases[] = {
                { "224.0.0.18", { 0x01, 0x00, 0x5e, 0x00, 0x00, 0x12 } },
                { "239.192.7.9", { 0x01, 0x00, 0x5e, 0x40, 0x07, 0x09 } }, /* 23 bits: the highest of the second byte is lost */
                { "ff02::12", { 0x33, 0x33, 0x00, 0x00, 0x00, 0x12 } },
                { "ff02::1:ff00:1234", { 0x33, 0x33, 0xff, 0x00, 0x12, 0x34 } },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                uint8_t mac[MAC_BYTES];
                IpAddress group;

                g_assert_cmpint(ip_address_parse(cases[k].group, &group), ==, 0);
                ip_frame_multicast_mac(&group, mac);
                g_assert_cmpmem(mac, MAC_BYTES, cases[k].mac, MAC_BYTES);
        }
}

static void test_checksum_pads_an_odd_byte_with_zero(void) {
        /* the example of RFC 1071 3, and its first seven bytes */
        const uint8_t even[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 }, padded[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0x00 };

        g_assert_cmphex(internet_checksum(even, 8), ==, 0xffff - 0xddf2);
        g_assert_cmphex(internet_checksum(even, 7), ==, internet_checksum(padded, 8));
        g_assert_cmphex(internet_checksum(even, 7), !=, internet_checksum(even, 8));
}

static bool peek(const uint8_t *frame, size_t n, IpGlimpse *ret) {
        g_autofree uint8_t *exact = g_memdup2(frame, MAX(n, 1));
        bool whole = ip_frame_peek(exact, n, ret);

        if (whole)
                g_assert_true(ret->payload + ret->n_present <= exact + n && ret->n_present <= ret->n_payload);
        return whole;
}

static void test_a_glimpse_sees_what_is_there(void) {
        const int families[] = { AF_INET, AF_INET6 };

        for (size_t k = 0; k < G_N_ELEMENTS(families); k++) {
                uint8_t frame[FRAME_ROOM];
                size_t n = good_frame(families[k], frame), headers = n - CARP_PAYLOAD_BYTES;
                IpGlimpse g;
                CarpAdvert a;
                IpFrame f;

                g_assert_cmpint(ip_frame_parse(frame, n, &f, &a), ==, CARP_VERDICT_OK);
                for (size_t cut = 0; cut < FRAME_ROOM; cut++) {
                        g_assert_cmpint(peek(frame, cut, &g), ==, cut >= headers);
                        if (cut < headers)
                                continue;
                        g_assert_true(ip_address_equal(&g.source, &f.source) && ip_address_equal(&g.destination, &f.destination));
                        g_assert_cmpmem(g.source_mac, MAC_BYTES, f.source_mac, MAC_BYTES);
                        g_assert_cmpuint(g.ttl, ==, CARP_TTL);
                        g_assert_cmpuint(g.n_payload, ==, CARP_PAYLOAD_BYTES);
                        g_assert_cmpuint(g.n_present, ==, MIN(cut - headers, CARP_PAYLOAD_BYTES));
                }
        }
}

static void test_a_glimpse_of_something_else(void) {
        static const struct {
                int family;
                size_t offset;
                uint8_t value;
                bool fixed; /* with a header checksum that is right again */
        } cases[] = {
                { AF_INET, 12, 0x86, false }, { AF_INET, 14, 0x55, true },  { AF_INET, 14, 0x44, true }, { AF_INET, 14, 0x4f, false },
                { AF_INET, 17, 19, true },    { AF_INET, 20, 0x20, true },  { AF_INET, 21, 1, true },    { AF_INET, 23, 51, true },
                { AF_INET, 24, 0, false },    { AF_INET6, 14, 0x40, false }, { AF_INET6, 20, 51, false }, { AF_INET6, 12, 0x08, false },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                uint8_t frame[FRAME_ROOM];
                size_t n = good_frame(cases[k].family, frame);
                IpGlimpse g;

                g_assert_cmpuint(frame[cases[k].offset], !=, cases[k].value);
                frame[cases[k].offset] = cases[k].value;
                if (cases[k].fixed)
                        fix_ipv4_checksum(frame);
                g_assert_false(peek(frame, n, &g));
        }
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/ip-frame/both-families-go-and-come-back", test_both_families_go_and_come_back);
        g_test_add_func("/ip-frame/every-truncation-is-refused-and-padding-is-not", test_every_truncation_is_refused_and_padding_is_not);
        g_test_add_func("/ip-frame/options-are-skipped-and-summed", test_options_are_skipped_and_summed);
        g_test_add_func("/ip-frame/checksum-pads-an-odd-byte-with-zero", test_checksum_pads_an_odd_byte_with_zero);
        g_test_add_func("/ip-frame/headers-that-do-not-fit", test_headers_that_do_not_fit);
        g_test_add_func("/ip-frame/ipv6-headers-that-do-not-fit", test_ipv6_headers_that_do_not_fit);
        g_test_add_func("/ip-frame/payload-above-36-bytes-is-refused", test_payload_above_36_bytes_is_refused);
        g_test_add_func("/ip-frame/type-and-authlen-are-demanded", test_type_and_authlen_are_demanded);
        g_test_add_func("/ip-frame/verdicts-come-in-their-order", test_verdicts_come_in_their_order);
        g_test_add_func("/ip-frame/sender-is-known-as-soon-as-its-header-was-read", test_sender_is_known_as_soon_as_its_header_was_read);
        g_test_add_func("/ip-frame/group-addresses", test_group_addresses);
        g_test_add_func("/ip-frame/a-glimpse-sees-what-is-there", test_a_glimpse_sees_what_is_there);
        g_test_add_func("/ip-frame/a-glimpse-of-something-else", test_a_glimpse_of_something_else);
        return g_test_run();
}
