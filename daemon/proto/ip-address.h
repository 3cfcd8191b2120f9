/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* IPv4 and IPv6 addresses and prefixes as values: parse, print, compare. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IP_ADDRESS_TEXT_BYTES 46 /* INET6_ADDRSTRLEN */
#define IP_PREFIX_TEXT_BYTES 50

typedef struct IpAddress {
        int family;        /* AF_INET, AF_INET6, or AF_UNSPEC for "none" */
        uint8_t bytes[16]; /* network order; IPv4 uses the first four, the rest is zero */
} IpAddress;

typedef struct IpPrefix {
        IpAddress address;
        uint8_t prefix_length;
} IpPrefix;

static inline size_t ip_address_n_bytes(const IpAddress *a) {
        return a->family == 2 /* AF_INET */ ? 4 : 16;
}

int ip_address_parse(const char *text, IpAddress *ret);                     /* 0, -EINVAL */
/* "ADDRESS" or "ADDRESS/LENGTH"; without a length /32 and /128. 0, -EINVAL. */
int ip_prefix_parse(const char *text, IpPrefix *ret);
const char *ip_address_format(const IpAddress *a, char buffer[IP_ADDRESS_TEXT_BYTES]); /* returns buffer; "" for none */
const char *ip_prefix_format(const IpPrefix *p, char buffer[IP_PREFIX_TEXT_BYTES]);
bool ip_address_equal(const IpAddress *a, const IpAddress *b);
/* Numeric order of the bytes, all IPv4 before all IPv6: the order in which CARP hashes addresses. */
int ip_address_compare(const IpAddress *a, const IpAddress *b);
bool ip_address_is_link_local(const IpAddress *a); /* 169.254/16, fe80::/10 */
bool ip_address_is_multicast(const IpAddress *a);
bool ip_address_is_unusable(const IpAddress *a); /* as a VIP or peer: unspecified, broadcast, multicast, loopback */
