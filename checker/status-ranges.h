/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Which answers of an HTTP server are good ones: "200-299 401". */
#include <stdbool.h>
#include <stdint.h>

#define STATUS_RANGES_MAX 16
#define STATUS_RANGES_TEXT_BYTES (STATUS_RANGES_MAX * sizeof("100-999"))

typedef struct StatusRanges {
        struct {
                uint16_t first, last;
        } ranges[STATUS_RANGES_MAX];
        unsigned n;
} StatusRanges;

int status_ranges_parse(const char *text, StatusRanges *ret); /* -EINVAL, -E2BIG */
bool status_ranges_have(const StatusRanges *s, long status);
const char *status_ranges_format(const StatusRanges *s, char text[STATUS_RANGES_TEXT_BYTES]);
