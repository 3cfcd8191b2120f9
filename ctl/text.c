/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/text.h"

#include <string.h>

/* Characters and columns. Everything that others have said, a check's output or a line of the journal, passes through
 * text_clean() before a terminal sees it: an escape sequence there could rewrite the screen. */

#define WRAP_COLUMNS_MIN 20 /* of text on a line; what is narrower is not made more readable by breaking it */

char *text_clean(const char *text) {
        g_autofree char *valid = g_utf8_make_valid(text, -1);
        GString *out = g_string_new(NULL);

        for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                if (c == '\t' || c == '\n')
                        g_string_append_c(out, ' ');
                else if (g_unichar_iscntrl(c) || g_unichar_type(c) == G_UNICODE_FORMAT)
                        g_string_append_c(out, '?');
                else
                        g_string_append_unichar(out, c);
        }
        return g_string_free(out, FALSE);
}

static unsigned char_width(gunichar c) {
        return g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
}

unsigned text_width(const char *text) {
        unsigned width = 0;

        for (; *text; text = g_utf8_next_char(text))
                width += char_width(g_utf8_get_char(text));
        return width;
}

/**
 * text_ellipsize() - the beginning of a text, with an ellipsis where something is missing
 */
char *text_ellipsize(const char *text, unsigned width) {
        const char *ellipsis = g_get_charset(NULL) ? "\xe2\x80\xa6" : ".."; /* U+2026 */
        unsigned room, used = 0;
        const char *p = text;

        if (text_width(text) <= width)
                return g_strdup(text);
        room = width > text_width(ellipsis) ? width - text_width(ellipsis) : 0;
        if (room == 0)
                return g_strndup("..", width);
        while (used + char_width(g_utf8_get_char(p)) <= room) {
                used += char_width(g_utf8_get_char(p));
                p = g_utf8_next_char(p);
        }
        return g_strdup_printf("%.*s%s", (int) (p - text), text, ellipsis);
}

void text_wrap(GString *out, const char *text, unsigned indent, unsigned columns) {
        g_auto(GStrv) words = g_strsplit(text, " ", -1);
        unsigned at = indent;

        if (columns < indent + WRAP_COLUMNS_MIN) {
                g_string_append(out, text);
                return;
        }
        for (size_t k = 0; words[k]; k++) {
                unsigned width = text_width(words[k]);

                if (at > indent && at + 1 + width > columns) {
                        g_string_append_printf(out, "\n%*s", (int) indent, "");
                        at = indent;
                } else if (k > 0) {
                        g_string_append_c(out, ' ');
                        at++;
                }
                g_string_append(out, words[k]);
                at += width;
        }
}
