/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-address.h"

#include <string.h>
#include <sys/socket.h>

/* What is an address but cannot work as one of a host, and why, each in its own words. From the special-purpose registries (RFC 6890) only what
 * no neighbour can answer for or reach; documentation and private addresses are as good as others. Knows no key. */

static const struct {
        int family;
        uint8_t bytes[16];
        uint8_t n_bits;
        const char *sentence;
} refused[] = { /* the first that matches counts */
        { AF_INET, { 255, 255, 255, 255 }, 32, "is the broadcast address, which belongs to every host" },
        { AF_INET, { 0, 0, 0, 0 }, 32, "is the unspecified address, which belongs to no host" },
        { AF_INET, { 0 }, 8, "is in 0.0.0.0/8, which means \"this network\" and belongs to no host" },
        { AF_INET, { 127 }, 8, "is a loopback address, which no other host can reach" },
        { AF_INET, { 169, 254, 0 }, 24, "is in the part of 169.254.0.0/16 that is reserved (RFC 3927), and belongs to no host" },
        { AF_INET, { 169, 254, 255 }, 24, "is in the part of 169.254.0.0/16 that is reserved (RFC 3927), and belongs to no host" },
        { AF_INET, { 224 }, 4, "is a multicast address, which belongs to a group and not to one host" },
        { AF_INET, { 240 }, 4, "is in 240.0.0.0/4, which is reserved and which hosts drop" },
        { AF_INET6, { 0 }, 128, "is the unspecified address, which belongs to no host" },
        { AF_INET6, { [15] = 1 }, 128, "is the loopback address, which no other host can reach" },
        { AF_INET6, { [10] = 0xff, [11] = 0xff }, 96, "is an IPv4 address in IPv6 notation, which never travels as IPv6; write it as IPv4" },
        { AF_INET6, { 0xff }, 8, "is a multicast address, which belongs to a group and not to one host" },
};

static bool starts_with(const uint8_t *bytes, const uint8_t *prefix, unsigned n_bits) {
        unsigned n = n_bits / 8, rest = n_bits % 8;

        return memcmp(bytes, prefix, n) == 0 && (rest == 0 || ((bytes[n] ^ prefix[n]) >> (8 - rest)) == 0);
}

const char *config_address_problem(const IpAddress *a) {
        for (size_t k = 0; k < sizeof(refused) / sizeof(refused[0]); k++)
                if (a->family == refused[k].family && starts_with(a->bytes, refused[k].bytes, refused[k].n_bits))
                        return refused[k].sentence;
        return NULL;
}

/* Are all bits behind the prefix length the same as this one? */
static bool host_bits_are(const IpPrefix *p, bool one) {
        for (unsigned k = p->prefix_length; k < ip_address_n_bytes(&p->address) * 8; k++)
                if (((p->address.bytes[k / 8] >> (7 - k % 8)) & 1) != (one ? 1 : 0))
                        return false;
        return true;
}

/**
 * config_prefix_problem() - why this cannot be held
 *
 * A subnet of two addresses has neither network nor broadcast address (RFC 3021, RFC 6164), and one of one is no subnet.
 */
const char *config_prefix_problem(const IpPrefix *p) {
        const char *problem = config_address_problem(&p->address);

        if (problem)
                return problem;
        if (p->prefix_length == 0)
                return "has the length 0, which makes the whole Internet the local network";
        if (p->prefix_length + 2u > ip_address_n_bytes(&p->address) * 8)
                return NULL;
        if (host_bits_are(p, false))
                return p->address.family == AF_INET
                               ? "is the network address of its own subnet, which belongs to no host; is the length right?"
                               : "is the anycast address of all routers of its own subnet (RFC 4291), not one host's; is the length right?";
        if (p->address.family == AF_INET && host_bits_are(p, true))
                return "is the broadcast address of its own subnet, which belongs to every host; is the length right?";
        return NULL;
}
