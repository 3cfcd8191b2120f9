/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/arp-frame.h"
#include "proto/checksum.h"
#include "proto/nd-frame.h"

/* What others claim, read from their frames; and what we ask. Frames by hand, as Linux sends them, each then spoilt in one place. */

#define FRAME_BYTES_MAX 128

static const uint8_t mac[MAC_BYTES] = { 2, 0, 0, 0, 0, 9 };

typedef struct Frame {
        uint8_t bytes[FRAME_BYTES_MAX];
        size_t n;
} Frame;

/* As arping -U sends it (request to all), as a kernel replies (to one), and as arping -D looks. */
static Frame arp(uint8_t operation, const char *sender, const char *target) {
        static const uint8_t head[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0 };
        Frame f = { .n = ARP_FRAME_BYTES };
        IpAddress a;

        memcpy(f.bytes, head, sizeof(head));
        f.bytes[21] = operation;
        memcpy(f.bytes + 22, mac, MAC_BYTES);
        if (ip_address_parse(sender, &a) >= 0)
                memcpy(f.bytes + 28, a.bytes, 4);
        g_assert_cmpint(ip_address_parse(target, &a), ==, 0);
        memcpy(f.bytes + 38, a.bytes, 4);
        return f;
}

static void seal(Frame *f) {
        uint8_t *ip = f->bytes + 14, *m = ip + 40;
        size_t n = (size_t) ip[4] << 8 | ip[5];
        uint16_t sum;

        m[2] = m[3] = 0;
        sum = internet_fold(internet_sum(internet_sum((uint32_t) n + 58, ip + 8, 32), m, n));
        m[2] = (uint8_t) (sum >> 8);
        m[3] = (uint8_t) sum;
}

/* type 136: advertisement, 135: solicitation. option: type of the link-layer option, 0: none */
static Frame nd(uint8_t type, const char *source, const char *target, uint8_t option) {
        static const uint8_t head[] = { 0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0x0e, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255 };
        Frame f = { .n = 78 };
        IpAddress a;

        memcpy(f.bytes, head, sizeof(head));
        g_assert_cmpint(ip_address_parse(source, &a), ==, 0);
        memcpy(f.bytes + 22, a.bytes, 16);
        g_assert_cmpint(ip_address_parse("ff02::1", &a), ==, 0);
        memcpy(f.bytes + 38, a.bytes, 16);
        f.bytes[54] = type;
        g_assert_cmpint(ip_address_parse(target, &a), ==, 0);
        memcpy(f.bytes + 62, a.bytes, 16);
        if (option != 0) {
                f.bytes[78] = option;
                f.bytes[79] = 1;
                memcpy(f.bytes + 80, mac, MAC_BYTES);
                f.bytes[19] = 32;
                f.n = 86;
        }
        seal(&f);
        return f;
}

static void assert_claim(const NeighbourClaim *c, const char *address, const uint8_t *expected_mac, bool probe) {
        char text[IP_ADDRESS_TEXT_BYTES];

        g_assert_cmpstr(ip_address_format(&c->address, text), ==, address);
        g_assert_cmpmem(c->mac, MAC_BYTES, expected_mac, MAC_BYTES);
        g_assert_cmpint(c->probe, ==, probe);
}

static void test_arp_claims(void) {
        static const struct {
                uint8_t operation;
                const char *sender, *target, *claimed; /* claimed NULL: nothing */
                bool probe;
        } cases[] = {
                { 1, "192.0.2.10", "192.0.2.10", "192.0.2.10", false },  /* gratuitous */
                { 2, "192.0.2.10", "192.0.2.7", "192.0.2.10", false },   /* an answer */
                { 1, "192.0.2.10", "192.0.2.7", "192.0.2.10", false },   /* a question from the address */
                { 1, "192.0.2.7", "192.0.2.10", "192.0.2.7", false },    /* a question for it claims only its own */
                { 1, "none", "192.0.2.10", "192.0.2.10", true },
                { 2, "none", "192.0.2.10", NULL, false },
                { 1, "none", "0.0.0.0", NULL, false },
                { 3, "192.0.2.10", "192.0.2.10", NULL, false },          /* reverse ARP */
                { 0, "192.0.2.10", "192.0.2.10", NULL, false },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                Frame f = arp(cases[k].operation, cases[k].sender, cases[k].target);
                NeighbourClaim c;

                g_assert_cmpint(arp_frame_parse(f.bytes, f.n, &c), ==, cases[k].claimed != NULL);
                if (!cases[k].claimed)
                        continue;
                assert_claim(&c, cases[k].claimed, mac, cases[k].probe);
                /* as the smallest Ethernet frame is longer */
                g_assert_true(arp_frame_parse(f.bytes, 60, &c));
                g_assert_false(arp_frame_parse(f.bytes, f.n - 1, &c));
        }
}

static void test_arp_of_something_else(void) {
        static const size_t fixed[] = { 12, 13, 14, 15, 16, 17, 18, 19, 20 };

        for (size_t k = 0; k < G_N_ELEMENTS(fixed); k++) {
                Frame f = arp(1, "192.0.2.10", "192.0.2.10");
                NeighbourClaim c;

                f.bytes[fixed[k]] ^= 1;
                g_assert_false(arp_frame_parse(f.bytes, f.n, &c));
        }
}

static void test_advertisements(void) {
        static const uint8_t ethernet_source[MAC_BYTES] = { 2, 0, 0, 0, 0, 0x0e };
        Frame f = nd(136, "2001:db8::10", "2001:db8::10", 2);
        NeighbourClaim c;

        g_assert_true(nd_frame_parse(f.bytes, f.n, &c));
        assert_claim(&c, "2001:db8::10", mac, false);
        /* an answer from another address of the host, without the option */
        f = nd(136, "fe80::9", "2001:db8::10", 0);
        g_assert_true(nd_frame_parse(f.bytes, f.n, &c));
        assert_claim(&c, "2001:db8::10", ethernet_source, false);
        g_assert_true(nd_frame_parse(f.bytes, f.n + 6, &c));
        for (size_t n = 0; n < f.n; n++)
                g_assert_false(nd_frame_parse(f.bytes, n, &c));
}

static void test_duplicate_address_detection(void) {
        static const uint8_t ethernet_source[MAC_BYTES] = { 2, 0, 0, 0, 0, 0x0e };
        Frame f = nd(135, "::", "2001:db8::10", 0);
        NeighbourClaim c;

        g_assert_true(nd_frame_parse(f.bytes, f.n, &c));
        assert_claim(&c, "2001:db8::10", ethernet_source, true);
        /* the nonce of RFC 7527, which Linux sends */
        f = nd(135, "::", "2001:db8::10", 14);
        g_assert_true(nd_frame_parse(f.bytes, f.n, &c));
        assert_claim(&c, "2001:db8::10", ethernet_source, true);
        /* who has an address, asks only where the target is */
        f = nd(135, "2001:db8::9", "2001:db8::10", 1);
        g_assert_false(nd_frame_parse(f.bytes, f.n, &c));
}

/* Behind the target stands less than the head of an option; and options that say nothing of a MAC are passed over. */
static void test_odd_options(void) {
        static const uint8_t ethernet_source[MAC_BYTES] = { 2, 0, 0, 0, 0, 0x0e };
        Frame f = nd(136, "2001:db8::10", "2001:db8::10", 2);
        NeighbourClaim c;

        f.bytes[19] = 25;
        seal(&f);
        g_assert_false(nd_frame_parse(f.bytes, f.n, &c));
        f = nd(136, "2001:db8::10", "2001:db8::10", 14);
        g_assert_true(nd_frame_parse(f.bytes, f.n, &c));
        assert_claim(&c, "2001:db8::10", ethernet_source, false);
        f = nd(136, "2001:db8::10", "2001:db8::10", 2);
        f.bytes[12] = 0x08;
        g_assert_false(nd_frame_parse(f.bytes, f.n, &c));
}

static void test_spoilt_advertisements(void) {
        static const struct {
                size_t offset;
                uint8_t value;
                bool sealed; /* with a checksum that is right again */
        } cases[] = {
                { 13, 0xde, true },  { 14, 0x40, true }, { 20, 6, true },   { 21, 254, true },  { 19, 23, true },
                { 54, 137, true },   { 55, 1, true },    { 62, 0xff, true }, { 79, 0, true },   { 79, 2, true },
                { 56, 0, false },    { 70, 1, false },   { 85, 1, false },   { 18, 1, false },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                Frame f = nd(136, "2001:db8::10", "2001:db8::10", 2);
                NeighbourClaim c;

                g_assert_cmpuint(f.bytes[cases[k].offset], !=, cases[k].value);
                f.bytes[cases[k].offset] = cases[k].value;
                if (cases[k].sealed)
                        seal(&f);
                g_assert_false(nd_frame_parse(f.bytes, f.n, &c));
        }
}

/* What we announce would be a conflict for another holder, and what we ask would be none. */
static void test_our_own_frames(void) {
        uint8_t frame[ND_FRAME_BYTES];
        IpAddress address, source, nobody = { 0 };
        NeighbourClaim c;

        g_assert_cmpint(ip_address_parse("192.0.2.10", &address), ==, 0);
        g_assert_cmpint(ip_address_parse("192.0.2.1", &source), ==, 0);
        for (ArpForm form = ARP_FORM_REQUEST; form <= ARP_FORM_REPLY; form++) {
                arp_frame_build(form, mac, &address, frame);
                g_assert_true(arp_frame_parse(frame, ARP_FRAME_BYTES, &c));
                assert_claim(&c, "192.0.2.10", mac, false);
        }
        arp_frame_build_question(mac, &source, &address, frame);
        g_assert_true(arp_frame_parse(frame, ARP_FRAME_BYTES, &c));
        assert_claim(&c, "192.0.2.1", mac, false);
        arp_frame_build_question(mac, &nobody, &address, frame);
        g_assert_true(arp_frame_parse(frame, ARP_FRAME_BYTES, &c));
        assert_claim(&c, "192.0.2.10", mac, true);

        g_assert_cmpint(ip_address_parse("2001:db8::12:3456", &address), ==, 0);
        g_assert_cmpint(ip_address_parse("fe80::1", &source), ==, 0);
        nd_frame_build(mac, &address, frame);
        g_assert_true(nd_frame_parse(frame, ND_FRAME_BYTES, &c));
        assert_claim(&c, "2001:db8::12:3456", mac, false);
        nd_frame_build_question(mac, &source, &address, frame);
        g_assert_false(nd_frame_parse(frame, ND_FRAME_BYTES, &c));
}

static void test_question_for_an_ipv6_address(void) {
        static const uint8_t to[16] = { 0xff, 0x02, [11] = 1, 0xff, 0x12, 0x34, 0x56 };
        static const uint8_t to_mac[MAC_BYTES] = { 0x33, 0x33, 0xff, 0x12, 0x34, 0x56 }, option[] = { 1, 1, 2, 0, 0, 0, 0, 9 };
        uint8_t frame[ND_FRAME_BYTES];
        IpAddress address, source;

        g_assert_cmpint(ip_address_parse("2001:db8::12:3456", &address), ==, 0);
        g_assert_cmpint(ip_address_parse("fe80::1", &source), ==, 0);
        nd_frame_build_question(mac, &source, &address, frame);
        g_assert_cmpmem(frame, MAC_BYTES, to_mac, MAC_BYTES);
        g_assert_cmpmem(frame + 22, 16, source.bytes, 16);
        g_assert_cmpmem(frame + 38, 16, to, 16);
        g_assert_cmpuint(frame[54], ==, 135);
        g_assert_cmpuint(frame[58], ==, 0); /* the flags are an advertisement's */
        g_assert_cmpmem(frame + 62, 16, address.bytes, 16);
        g_assert_cmpmem(frame + 78, 8, option, 8);
        g_assert_cmpuint(internet_fold(internet_sum(internet_sum(32 + 58, frame + 22, 32), frame + 54, 32)), ==, 0);
}

#define ADD(name) g_test_add_func("/neighbour-frames/" #name, test_##name)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        ADD(arp_claims);
        ADD(arp_of_something_else);
        ADD(advertisements);
        ADD(duplicate_address_detection);
        ADD(odd_options);
        ADD(spoilt_advertisements);
        ADD(our_own_frames);
        ADD(question_for_an_ipv6_address);
        return g_test_run();
}
