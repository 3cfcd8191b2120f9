/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>

#include "proto/arp-frame.h"
#include "proto/checksum.h"
#include "proto/ip-address.h"
#include "proto/nd-frame.h"

/* What tells the neighbours who holds an address: every byte of it. */

static const uint8_t mac[MAC_BYTES] = { 2, 0, 0, 0, 0, 1 };

static void test_gratuitous_arp_in_both_forms(void) {
        static const uint8_t request[ARP_FRAME_BYTES] = {
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06,     /* broadcast, from us, ARP */
                0, 1, 0x08, 0x00, 6, 4, 0, 1,                                         /* Ethernet, IPv4, lengths, request */
                2, 0, 0, 0, 0, 1, 192, 0, 2, 10, 2, 0, 0, 0, 0, 1, 192, 0, 2, 10,     /* sender and target alike */
        };
        uint8_t frame[ARP_FRAME_BYTES], reply[ARP_FRAME_BYTES];
        IpAddress address;

        g_assert_cmpint(ip_address_parse("192.0.2.10", &address), ==, 0);
        arp_frame_build(ARP_FORM_REQUEST, mac, &address, frame);
        g_assert_cmpmem(frame, sizeof(frame), request, sizeof(request));
        memcpy(reply, request, sizeof(reply));
        reply[21] = 2;
        arp_frame_build(ARP_FORM_REPLY, mac, &address, frame);
        g_assert_cmpmem(frame, sizeof(frame), reply, sizeof(reply));
}

static void test_unsolicited_neighbour_advertisement(void) {
        static const uint8_t before_checksum[56] = {
                0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd,                 /* all nodes, from us, IPv6 */
                0x60, 0, 0, 0, 0, 32, 58, 255,                                        /* 32 bytes of ICMPv6, hop limit 255 */
                0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,        /* from the announced address */
                0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,                 /* to ff02::1 */
                136, 0,                                                               /* neighbour advertisement */
        };
        static const uint8_t after_checksum[28] = {
                0x20, 0, 0, 0,                                                        /* override, neither router nor solicited */
                0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,        /* target */
                2, 1, 2, 0, 0, 0, 0, 1,                                               /* target link-layer address */
        };
        uint8_t frame[ND_FRAME_BYTES];
        IpAddress address;

        g_assert_cmpint(ip_address_parse("2001:db8::10", &address), ==, 0);
        nd_frame_build(mac, &address, frame);
        g_assert_cmpmem(frame, 56, before_checksum, sizeof(before_checksum));
        g_assert_cmpmem(frame + 58, 28, after_checksum, sizeof(after_checksum));
        /* addresses, length, next header and message sum to zero (RFC 8200 8.1) */
        g_assert_cmpuint(internet_fold(internet_sum(internet_sum(32 + 58, frame + 22, 32), frame + 54, 32)), ==, 0);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/announce-frames/gratuitous-arp-in-both-forms", test_gratuitous_arp_in_both_forms);
        g_test_add_func("/announce-frames/unsolicited-neighbour-advertisement", test_unsolicited_neighbour_advertisement);
        return g_test_run();
}
