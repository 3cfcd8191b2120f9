/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One value of a configuration file: text to number, time, or truth. */
#include <stdbool.h>
#include <stdint.h>

int config_parse_bool(const char *text, bool *ret);                                         /* systemd's words; -EINVAL */
int config_parse_uint(const char *text, uint32_t minimum, uint32_t maximum, uint32_t *ret); /* decimal digits; -EINVAL, -ERANGE */
/* systemd's spans: "500ms", "1min 30s", "1.5h"; a plain number is seconds. -EINVAL, -ERANGE */
int config_parse_usec(const char *text, uint64_t *ret);
/* Of an instance or a group. */
bool config_valid_name(const char *name);
/* How many letters must change to make one word the other, for "did you mean". */
unsigned config_word_distance(const char *a, const char *b);
