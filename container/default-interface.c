/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "default-interface.h"

#include <glib.h>
#include <ifaddrs.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Read once, before vipd starts: subnets by getifaddrs(), routes from the kernel's own tables in /proc. */

#define ROUTE_UP 1

static const uint8_t *bytes_of(const struct sockaddr *sa) {
        if (sa->sa_family == AF_INET)
                return (const uint8_t *) &((const struct sockaddr_in *) (const void *) sa)->sin_addr;
        return (const uint8_t *) &((const struct sockaddr_in6 *) (const void *) sa)->sin6_addr;
}

/* Whether the address is in the subnet; how many bits they have in common by it. An address alone on its host, as a floating one that was left
 * behind is, makes no subnet. */
static unsigned common_bits(const IpAddress *address, const struct sockaddr *own, const struct sockaddr *netmask) {
        size_t n = ip_address_n_bytes(address);
        unsigned bits = 0;

        for (size_t k = 0; k < n; k++) {
                uint8_t mask = bytes_of(netmask)[k];

                if ((bytes_of(own)[k] ^ address->bytes[k]) & mask)
                        return 0;
                bits += (unsigned) __builtin_popcount(mask);
        }
        return bits < 8 * n ? bits : 0;
}

static bool is_ethernet(const struct ifaddrs *all, const char *name) {
        for (const struct ifaddrs *i = all; i; i = i->ifa_next)
                if (i->ifa_addr && i->ifa_addr->sa_family == AF_PACKET && g_str_equal(i->ifa_name, name))
                        return ((const struct sockaddr_ll *) (const void *) i->ifa_addr)->sll_hatype == ARPHRD_ETHER;
        return false;
}

/* The smallest subnet wins, as in routing. */
static bool find_subnet(const struct ifaddrs *all, const IpAddress *address, char ret[IF_NAMESIZE]) {
        unsigned best = 0;

        for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
                unsigned bits;

                if (!i->ifa_addr || !i->ifa_netmask || i->ifa_addr->sa_family != address->family || !is_ethernet(all, i->ifa_name))
                        continue;
                bits = common_bits(address, i->ifa_addr, i->ifa_netmask);
                if (bits <= best)
                        continue;
                best = bits;
                (void) g_strlcpy(ret, i->ifa_name, IF_NAMESIZE);
        }
        return best > 0;
}

/* Where the words of a line stand in the two tables, each of which has at least ten. */
enum { IPV4_NAME, IPV4_DESTINATION, IPV4_FLAGS = 3, IPV4_METRIC = 6, IPV4_MASK = 7 };
enum { IPV6_DESTINATION, IPV6_LENGTH, IPV6_METRIC = 5, IPV6_FLAGS = 8, IPV6_NAME = 9, N_WORDS };

static bool split(char *line, char *words[N_WORDS]) {
        char *rest = NULL;
        size_t n = 0;

        for (char *word = strtok_r(line, " \t", &rest); word && n < N_WORDS; word = strtok_r(NULL, " \t", &rest))
                words[n++] = word;
        return n == N_WORDS;
}

static bool is_zero(const char *number) {
        return strspn(number, "0") == strlen(number);
}

/* Is this a default route, and what of it matters? IPv6 always has an unreachable one, on lo. */
static bool read_route(int family, char *line, const char **ret_name, uint64_t *ret_metric) {
        char *words[N_WORDS];
        bool ipv4 = family == AF_INET;

        if (!split(line, words))
                return false;
        *ret_name = words[ipv4 ? IPV4_NAME : IPV6_NAME];
        *ret_metric = g_ascii_strtoull(words[ipv4 ? IPV4_METRIC : IPV6_METRIC], NULL, ipv4 ? 10 : 16);
        return is_zero(words[ipv4 ? IPV4_DESTINATION : IPV6_DESTINATION]) && is_zero(words[ipv4 ? IPV4_MASK : IPV6_LENGTH]) &&
               (g_ascii_strtoull(words[ipv4 ? IPV4_FLAGS : IPV6_FLAGS], NULL, 16) & ROUTE_UP) && !g_str_equal(*ret_name, "lo");
}

/**
 * default_interface_from_routes() - the best default route in a table of the kernel's
 */
bool default_interface_from_routes(int family, const char *text, char ret[IF_NAMESIZE]) {
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        uint64_t best = 0, metric;
        const char *name;
        bool found = false;

        for (char **line = lines; *line; line++) {
                if (!read_route(family, *line, &name, &metric) || (found && metric >= best))
                        continue;
                best = metric;
                found = true;
                (void) g_strlcpy(ret, name, IF_NAMESIZE);
        }
        return found;
}

/**
 * default_interface_find() - where an address belongs
 */
bool default_interface_find(const IpAddress *address, char ret[IF_NAMESIZE]) {
        const char *table = address->family == AF_INET ? "/proc/net/route" : "/proc/net/ipv6_route";
        g_autofree char *text = NULL;
        struct ifaddrs *all = NULL;
        bool found = false;

        if (getifaddrs(&all) == 0) {
                found = find_subnet(all, address, ret);
                freeifaddrs(all);
        }
        if (!found && g_file_get_contents(table, &text, NULL, NULL))
                found = default_interface_from_routes(address->family, text, ret);
        return found;
}
