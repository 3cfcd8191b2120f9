/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes one presentable line of whatever bytes: what a server or a command said, which goes to logs, to the bus and to terminals. Knows nothing
 * of probes. */
#include "checker/line.h"

#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "util/time-util.h"

/* for what has no place in a line: it takes one byte, as the shortest that it stands for */
#define REPLACEMENT '?'

static bool ends_line(char c) {
        return c == '\n' || c == '\r';
}

/* What it is written as. */
static gunichar presentable(gunichar c) {
        switch (g_unichar_type(c)) {
        case G_UNICODE_LINE_SEPARATOR:
        case G_UNICODE_PARAGRAPH_SEPARATOR:
        case G_UNICODE_SPACE_SEPARATOR:
                return ' ';
        default:
                break;
        }
        if (c == '\t' || c == '\v' || c == '\f')
                return ' ';
        /* neither control characters nor what turns the direction of writing */
        return g_unichar_isprint(c) ? c : REPLACEMENT;
}

/**
 * line_set() - the first line of these bytes that is not blank
 * @bytes: anything, also NULs; borrowed
 *
 * Valid UTF-8 without control characters, cut between characters where it is too long, and without blanks around it. A line that went
 * through once is not changed by a second time. Return: its length in bytes.
 */
size_t line_set(Line *l, const char *bytes, size_t n_bytes) {
        size_t n = 0;

        for (size_t k = 0; k < n_bytes && n < CHECKER_TEXT_BYTES_MAX;) {
                if (ends_line(bytes[k])) {
                        if (n > 0)
                                break;
                        k++;
                        continue;
                }

                gunichar c = g_utf8_get_char_validated(bytes + k, (gssize) (n_bytes - k));
                bool valid = c != (gunichar) -1 && c != (gunichar) -2;
                if (valid && c == 0) /* GLib reads a NUL within the length as the end, or as a character */
                        valid = false;
                k += valid ? (size_t) g_unichar_to_utf8(c, NULL) : 1;
                c = valid ? presentable(c) : REPLACEMENT;
                if (c == ' ' && n == 0)
                        continue;

                size_t n_more = (size_t) g_unichar_to_utf8(c, NULL);
                if (n + n_more > CHECKER_TEXT_BYTES_MAX)
                        break;
                (void) g_unichar_to_utf8(c, l->text + n);
                n += n_more;
        }
        while (n > 0 && l->text[n - 1] == ' ')
                n--;
        l->text[n] = '\0';
        return n;
}

void line_format_va(Line *l, const char *format, va_list ap) {
        char raw[2 * sizeof(l->text)]; /* what does not fit is cut by the one who knows where characters end */
        int n = vsnprintf(raw, sizeof(raw), format, ap);
        (void) line_set(l, raw, n < 0 ? 0 : MIN((size_t) n, sizeof(raw) - 1));
}

void line_format(Line *l, const char *format, ...) {
        va_list ap;
        va_start(ap, format);
        line_format_va(l, format, ap);
        va_end(ap);
}

void line_duration(Line *l, uint64_t usec) {
        if (usec % USEC_PER_SEC == 0)
                line_format(l, "%" PRIu64 "s", usec / USEC_PER_SEC);
        else
                line_format(l, "%" PRIu64 "ms", (usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

/* The C library's words, as part of a sentence. */
void line_error(Line *l, int error) {
        line_format(l, "%s", g_strerror(error));
        if (!g_ascii_isupper(l->text[1])) /* but not those that begin with an acronym */
                l->text[0] = g_ascii_tolower(l->text[0]);
}
