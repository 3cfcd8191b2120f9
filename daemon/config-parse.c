/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-parse.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "config.h"

/* The words and numbers of configuration values, independent of which key they stand behind. Locale plays no part. */

int config_parse_bool(const char *text, bool *ret) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };

        for (size_t k = 0; k < G_N_ELEMENTS(yes); k++) {
                if (g_ascii_strcasecmp(text, yes[k]) == 0) {
                        *ret = true;
                        return 0;
                }
                if (g_ascii_strcasecmp(text, no[k]) == 0) {
                        *ret = false;
                        return 0;
                }
        }
        return -EINVAL;
}

int config_parse_uint(const char *text, uint32_t minimum, uint32_t maximum, uint32_t *ret) {
        uint64_t value = 0;

        if (*text == '\0')
                return -EINVAL;
        for (; *text; text++) {
                if (!g_ascii_isdigit(*text))
                        return -EINVAL;
                value = value * 10 + (uint64_t) (*text - '0');
                if (value > UINT32_MAX)
                        return -ERANGE;
        }
        if (value < minimum || value > maximum)
                return -ERANGE;
        *ret = (uint32_t) value;
        return 0;
}

/* A year: what is longer is a mistake, and sums with the clock stay far from an overflow. */
#define USEC_MAX (UINT64_C(366) * 86400 * 1000000)

static uint64_t unit_usec(const char *unit, size_t n) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                { "", 1000000 },
                { "us", 1 },
                { "usec", 1 },
                { "\xc2\xb5s", 1 }, /* U+00B5, the micro sign */
                { "\xce\xbcs", 1 }, /* U+03BC, the Greek letter */
                { "ms", 1000 },
                { "msec", 1000 },
                { "s", 1000000 },
                { "sec", 1000000 },
                { "second", 1000000 },
                { "seconds", 1000000 },
                { "m", 60 * UINT64_C(1000000) },
                { "min", 60 * UINT64_C(1000000) },
                { "minute", 60 * UINT64_C(1000000) },
                { "minutes", 60 * UINT64_C(1000000) },
                { "h", 3600 * UINT64_C(1000000) },
                { "hr", 3600 * UINT64_C(1000000) },
                { "hour", 3600 * UINT64_C(1000000) },
                { "hours", 3600 * UINT64_C(1000000) },
                { "d", 86400 * UINT64_C(1000000) },
                { "day", 86400 * UINT64_C(1000000) },
                { "days", 86400 * UINT64_C(1000000) },
                { "w", 604800 * UINT64_C(1000000) },
                { "week", 604800 * UINT64_C(1000000) },
                { "weeks", 604800 * UINT64_C(1000000) },
                { "M", 2629800 * UINT64_C(1000000) }, /* a twelfth of 365.25 days, as systemd has it */
                { "month", 2629800 * UINT64_C(1000000) },
                { "months", 2629800 * UINT64_C(1000000) },
                { "y", 31557600 * UINT64_C(1000000) },
                { "year", 31557600 * UINT64_C(1000000) },
                { "years", 31557600 * UINT64_C(1000000) },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(units); k++)
                if (strlen(units[k].name) == n && strncmp(units[k].name, unit, n) == 0)
                        return units[k].usec;
        return 0;
}

/* One "12.5min" of a span. */
static int parse_part(const char **text, uint64_t *total) {
        const char *p = *text, *unit;
        uint64_t whole = 0, fraction = 0, scale = 1, usec;

        if (!g_ascii_isdigit(*p))
                return -EINVAL;
        for (; g_ascii_isdigit(*p); p++) {
                whole = whole * 10 + (uint64_t) (*p - '0');
                if (whole > USEC_MAX)
                        return -ERANGE;
        }
        if (*p == '.' && g_ascii_isdigit(p[1]))
                for (p++; g_ascii_isdigit(*p); p++)
                        if (scale < 1000000) {
                                fraction = fraction * 10 + (uint64_t) (*p - '0');
                                scale *= 10;
                        }
        p += strspn(p, " ");
        unit = p;
        while (g_ascii_isalpha(*p) || (unsigned char) *p >= 0x80)
                p++;
        usec = unit_usec(unit, (size_t) (p - unit));
        if (usec == 0)
                return -EINVAL;
        if (whole > USEC_MAX / usec)
                return -ERANGE;
        *total += whole * usec + fraction * usec / scale;
        if (*total > USEC_MAX)
                return -ERANGE;
        *text = p + strspn(p, " ");
        return 0;
}

int config_parse_usec(const char *text, uint64_t *ret) {
        uint64_t total = 0;

        if (*text == '\0')
                return -EINVAL;
        while (*text) {
                int r = parse_part(&text, &total);

                if (r < 0)
                        return r;
        }
        *ret = total;
        return 0;
}

bool config_valid_name(const char *name) {
        size_t n = strlen(name);

        return n > 0 && n <= CONFIG_NAME_BYTES_MAX && name[0] != '-' &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-") == n;
}

unsigned config_word_distance(const char *a, const char *b) {
        size_t n = MIN(strlen(b), 63);
        unsigned row[64];

        if (strlen(a) > 126) /* no word; near nothing */
                return (unsigned) strlen(a);
        for (size_t k = 0; k <= n; k++)
                row[k] = (unsigned) k;
        for (unsigned i = 1; *a; a++, i++) {
                unsigned diagonal = row[0];

                row[0] = i;
                for (size_t k = 1; k <= n; k++) {
                        unsigned above = row[k];
                        unsigned same = diagonal + (g_ascii_tolower(*a) == g_ascii_tolower(b[k - 1]) ? 0 : 1);

                        row[k] = MIN(MIN(above, row[k - 1]) + 1, same);
                        diagonal = above;
                }
        }
        return row[n];
}
