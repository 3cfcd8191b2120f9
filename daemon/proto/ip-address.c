/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/ip-address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Addresses as values. Numbers only: no name is ever looked up. */

/**
 * ip_address_parse() - "192.0.2.1" or "2001:db8::1"; no zone, no prefix length. 0 or -EINVAL.
 */
int ip_address_parse(const char *text, IpAddress *ret) {
        IpAddress a = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

        if (inet_pton(a.family, text, a.bytes) != 1)
                return -EINVAL;
        *ret = a;
        return 0;
}

static int parse_length(const char *text, unsigned maximum, uint8_t *ret) {
        unsigned long value;

        /* digits only: strtoul() would take a sign and spaces */
        if (strlen(text) == 0 || strlen(text) > 3 || strspn(text, "0123456789") != strlen(text))
                return -EINVAL;
        value = strtoul(text, NULL, 10);
        if (value > maximum)
                return -EINVAL;
        *ret = (uint8_t) value;
        return 0;
}

int ip_prefix_parse(const char *text, IpPrefix *ret) {
        const char *slash = strchr(text, '/');
        char address[IP_ADDRESS_TEXT_BYTES];
        size_t n = slash ? (size_t) (slash - text) : strlen(text);
        IpPrefix p;
        int r;

        if (n >= sizeof(address))
                return -EINVAL;
        memcpy(address, text, n);
        address[n] = '\0';
        r = ip_address_parse(address, &p.address);
        if (r < 0)
                return r;
        p.prefix_length = p.address.family == AF_INET ? 32 : 128;
        if (slash) {
                r = parse_length(slash + 1, p.prefix_length, &p.prefix_length);
                if (r < 0)
                        return r;
        }
        *ret = p;
        return 0;
}

const char *ip_address_format(const IpAddress *a, char buffer[IP_ADDRESS_TEXT_BYTES]) {
        if (a->family == AF_UNSPEC || !inet_ntop(a->family, a->bytes, buffer, IP_ADDRESS_TEXT_BYTES))
                buffer[0] = '\0';
        return buffer;
}

const char *ip_prefix_format(const IpPrefix *p, char buffer[IP_PREFIX_TEXT_BYTES]) {
        char address[IP_ADDRESS_TEXT_BYTES];

        (void) snprintf(buffer, IP_PREFIX_TEXT_BYTES, "%s/%u", ip_address_format(&p->address, address), p->prefix_length);
        return buffer;
}

bool ip_address_equal(const IpAddress *a, const IpAddress *b) {
        return a->family == b->family && (a->family == AF_UNSPEC || memcmp(a->bytes, b->bytes, ip_address_n_bytes(a)) == 0);
}

int ip_address_compare(const IpAddress *a, const IpAddress *b) {
        if (a->family != b->family)
                return a->family == AF_INET ? -1 : 1;
        return memcmp(a->bytes, b->bytes, ip_address_n_bytes(a));
}

bool ip_address_is_link_local(const IpAddress *a) {
        if (a->family == AF_INET)
                return a->bytes[0] == 169 && a->bytes[1] == 254;
        return a->family == AF_INET6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

bool ip_address_is_multicast(const IpAddress *a) {
        if (a->family == AF_INET)
                return (a->bytes[0] & 0xf0) == 0xe0;
        return a->family == AF_INET6 && a->bytes[0] == 0xff;
}

bool ip_address_is_unusable(const IpAddress *a) {
        static const uint8_t zeros[15];

        if (ip_address_is_multicast(a))
                return true;
        if (a->family == AF_INET) /* 0/8, 127/8, and 240/4 with the broadcast address */
                return a->bytes[0] == 0 || a->bytes[0] == 127 || a->bytes[0] >= 240;
        return memcmp(a->bytes, zeros, sizeof(zeros)) == 0 && a->bytes[15] <= 1;
}
