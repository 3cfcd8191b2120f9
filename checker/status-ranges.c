/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Status codes and ranges of them, as text and as numbers. */
#include "checker/status-ranges.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>

/* Three digits, RFC 9110 section 15. Return: the code, and *text behind it; or 0. */
static uint16_t take_status(const char **text) {
        const char *p = *text;
        for (int k = 0; k < 3; k++)
                if (!g_ascii_isdigit(p[k])) /* a NUL is none: nothing behind it is looked at */
                        return 0;
        if (p[0] == '0' || g_ascii_isdigit(p[3]))
                return 0;
        *text = p + 3;
        return (uint16_t) ((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
}

static bool separates(char c) {
        return c == ' ' || c == '\t' || c == ',';
}

/**
 * status_ranges_parse() - "200-299 301,404": codes and ranges, separated by blanks or commas
 *
 * Return: 0; -EINVAL: not such a list, or an empty one; -E2BIG: more than STATUS_RANGES_MAX of them.
 */
int status_ranges_parse(const char *text, StatusRanges *ret) {
        StatusRanges s = { .n = 0 };

        for (const char *p = text;;) {
                while (separates(*p))
                        p++;
                if (*p == '\0')
                        break;
                if (s.n == STATUS_RANGES_MAX)
                        return -E2BIG;

                uint16_t first = take_status(&p), last = first;
                if (first > 0 && *p == '-') {
                        p++;
                        last = take_status(&p);
                }
                if (first == 0 || last < first || (*p != '\0' && !separates(*p)))
                        return -EINVAL;
                s.ranges[s.n].first = first;
                s.ranges[s.n++].last = last;
        }
        if (s.n == 0)
                return -EINVAL;
        *ret = s;
        return 0;
}

bool status_ranges_have(const StatusRanges *s, long status) {
        for (unsigned k = 0; k < s->n; k++)
                if (status >= s->ranges[k].first && status <= s->ranges[k].last)
                        return true;
        return false;
}

/* As it would be written; what is parsed from it is the same. */
const char *status_ranges_format(const StatusRanges *s, char text[STATUS_RANGES_TEXT_BYTES]) {
        size_t n = 0;
        text[0] = '\0';
        for (unsigned k = 0; k < s->n; k++) {
                const char *blank = k > 0 ? " " : "";
                if (s->ranges[k].first == s->ranges[k].last)
                        n += (size_t) snprintf(text + n, STATUS_RANGES_TEXT_BYTES - n, "%s%i", blank, s->ranges[k].first);
                else
                        n += (size_t) snprintf(text + n, STATUS_RANGES_TEXT_BYTES - n, "%s%i-%i", blank, s->ranges[k].first, s->ranges[k].last);
        }
        return text;
}
