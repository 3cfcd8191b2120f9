/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/ip-address.h"

/* Addresses as values: what is read, how it is shown, in which order, and which may be a VIP. */

static IpAddress address(const char *text) {
        IpAddress a;

        g_assert_cmpint(ip_address_parse(text, &a), ==, 0);
        return a;
}

static void test_what_is_read_is_shown_in_its_shortest_form(void) {
        static const char *const cases[][2] = {
                { "192.0.2.1", "192.0.2.1/32" },
                { "192.0.2.1/0", "192.0.2.1/0" },
                { "192.0.2.1/24", "192.0.2.1/24" },
                { "192.0.2.1/32", "192.0.2.1/32" },
                { "2001:DB8:0:0::1", "2001:db8::1/128" },
                { "2001:db8::1/64", "2001:db8::1/64" },
                { "::/0", "::/0" },
                { "2001:0db8:ffff:ffff:ffff:ffff:ffff:ffff/128", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128" },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                char text[IP_PREFIX_TEXT_BYTES];
                IpPrefix p;

                g_test_message("%s", cases[k][0]);
                g_assert_cmpint(ip_prefix_parse(cases[k][0], &p), ==, 0);
                g_assert_cmpstr(ip_prefix_format(&p, text), ==, cases[k][1]);
        }
}

static void test_what_is_no_address_is_refused_and_writes_nothing(void) {
        static const char *const cases[] = {
                "", "/", "/24", "192.0.2", "192.0.2.256", "192.0.2.1.1", "192.0.2.1/", "192.0.2.1/33", "192.0.2.1/+8",
                "192.0.2.1/-1", "192.0.2.1/ 8", "192.0.2.1/8 ", "192.0.2.1/8/8", "192.0.2.1/0x8", "192.0.2.1/1000",
                " 192.0.2.1", "192.0.2.1 ", "localhost", "2001:db8", "2001:db8::1::2", "2001:db8::1/129", "fe80::1%eth0",
                "2001:0db8:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                IpPrefix p, before;

                memset(&p, 0x5a, sizeof(p));
                before = p;
                g_test_message("'%s'", cases[k]);
                g_assert_cmpint(ip_prefix_parse(cases[k], &p), <, 0);
                g_assert_cmpint(p.address.family, ==, before.address.family);
                g_assert_cmpmem(p.address.bytes, 16, before.address.bytes, 16);
                g_assert_cmpuint(p.prefix_length, ==, before.prefix_length);
        }
}

static void test_order_is_by_family_and_then_by_bytes(void) {
        static const char *const ascending[] = {
                "0.0.0.1", "9.255.255.255", "10.9.0.2", "10.9.1.1", "192.0.2.3", "192.0.2.20", "::1", "2001:db8::1", "2001:db8::1:0", "fe80::1",
        };

        for (size_t i = 0; i < G_N_ELEMENTS(ascending); i++)
                for (size_t k = 0; k < G_N_ELEMENTS(ascending); k++) {
                        IpAddress a = address(ascending[i]), b = address(ascending[k]);
                        int order = ip_address_compare(&a, &b);

                        g_assert_cmpint((order > 0) - (order < 0), ==, (i > k) - (i < k));
                        g_assert_true(ip_address_equal(&a, &b) == (i == k));
                }
}

static void test_kinds_of_addresses(void) {
        static const struct {
                const char *text;
                bool link_local, multicast, unusable;
        } cases[] = {
                { "192.0.2.1", false, false, false },
                { "0.0.0.0", false, false, true },
                { "127.0.0.1", false, false, true },
                { "128.0.0.1", false, false, false },
                { "169.254.0.1", true, false, false },
                { "169.253.0.1", false, false, false },
                { "223.255.255.254", false, false, false },
                { "224.0.0.18", false, true, true },
                { "255.255.255.255", false, false, true },
                { "::", false, false, true },
                { "::1", false, false, true },
                { "::2", false, false, false },
                { "2001:db8::1", false, false, false },
                { "fe80::1", true, false, false },
                { "febf::1", true, false, false },
                { "fec0::1", false, false, false },
                { "ff02::12", false, true, true },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                IpAddress a = address(cases[k].text);

                g_test_message("%s", cases[k].text);
                g_assert_true(ip_address_is_link_local(&a) == cases[k].link_local);
                g_assert_true(ip_address_is_multicast(&a) == cases[k].multicast);
                g_assert_true(ip_address_is_unusable(&a) == cases[k].unusable);
        }
}

static void test_none_is_shown_as_nothing_and_cannot_be_used(void) {
        IpAddress none = { .family = AF_UNSPEC }, also_none = { .family = AF_UNSPEC, .bytes = { 1 } }, a = address("192.0.2.1");
        char text[IP_ADDRESS_TEXT_BYTES] = "x";

        g_assert_cmpstr(ip_address_format(&none, text), ==, "");
        g_assert_true(ip_address_equal(&none, &also_none));
        g_assert_false(ip_address_equal(&none, &a));
        g_assert_true(ip_address_is_unusable(&none));
        g_assert_false(ip_address_is_link_local(&none));
        g_assert_false(ip_address_is_multicast(&none));
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/ip-address/what-is-read-is-shown-in-its-shortest-form", test_what_is_read_is_shown_in_its_shortest_form);
        g_test_add_func("/ip-address/what-is-no-address-is-refused-and-writes-nothing", test_what_is_no_address_is_refused_and_writes_nothing);
        g_test_add_func("/ip-address/order-is-by-family-and-then-by-bytes", test_order_is_by_family_and_then_by_bytes);
        g_test_add_func("/ip-address/kinds-of-addresses", test_kinds_of_addresses);
        g_test_add_func("/ip-address/none-is-shown-as-nothing-and-cannot-be-used", test_none_is_shown_as_nothing_and_cannot_be_used);
        return g_test_run();
}
