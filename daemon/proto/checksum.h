/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The Internet checksum (RFC 1071): bytes only. */
#include <stddef.h>
#include <stdint.h>

/* The sum so far of n bytes in network order, unfolded; an odd last byte is padded with zero. */
static inline uint32_t internet_sum(uint32_t sum, const uint8_t *bytes, size_t n) {
        for (size_t k = 0; k + 1 < n; k += 2)
                sum += (uint32_t) bytes[k] << 8 | bytes[k + 1];
        if (n % 2 != 0)
                sum += (uint32_t) bytes[n - 1] << 8;
        return sum;
}

static inline uint16_t internet_fold(uint32_t sum) {
        while (sum >> 16 != 0)
                sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t) ~sum;
}

/* 0 over data that carries a right checksum. */
static inline uint16_t internet_checksum(const uint8_t *bytes, size_t n) {
        return internet_fold(internet_sum(0, bytes, n));
}
