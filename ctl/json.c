/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/json.h"

#include <inttypes.h>

/* The syntax of JSON (RFC 8259) and nothing of what is said in it. The caller opens and closes in order. */

void json_init(Json *j, bool pretty) {
        *j = (Json) { .text = g_string_new(NULL), .pretty = pretty, .first = true };
}

/**
 * json_steal() - the end
 *
 * Return: the text, with a newline behind it; the caller frees it. The writer is as if it had never been.
 */
char *json_steal(Json *j) {
        char *text;

        g_string_append_c(j->text, '\n');
        text = g_string_free(j->text, FALSE);
        *j = (Json) { 0 };
        return text;
}

static void new_line(Json *j) {
        if (!j->pretty || j->text->len == 0)
                return;
        g_string_append_c(j->text, '\n');
        for (unsigned k = 0; k < j->depth; k++)
                g_string_append(j->text, "  ");
}

/* Beside what JSON wants escaped, what a terminal would obey: DEL and U+0080 to U+009F. */
static void append_quoted(GString *out, const char *text) {
        g_autofree char *valid = g_utf8_make_valid(text, -1);

        g_string_append_c(out, '"');
        for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                if (c == '"' || c == '\\')
                        g_string_append_printf(out, "\\%c", (char) c);
                else if (c == '\n')
                        g_string_append(out, "\\n");
                else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
                        g_string_append_printf(out, "\\u%04x", c);
                else
                        g_string_append_unichar(out, c);
        }
        g_string_append_c(out, '"');
}

static void next(Json *j, const char *key) {
        if (!j->first)
                g_string_append_c(j->text, ',');
        j->first = false;
        new_line(j);
        if (!key)
                return;
        append_quoted(j->text, key);
        g_string_append(j->text, j->pretty ? ": " : ":");
}

void json_begin(Json *j, const char *key, char bracket) {
        next(j, key);
        g_string_append_c(j->text, bracket);
        j->depth++;
        j->first = true;
}

void json_end(Json *j, char bracket) {
        j->depth--;
        if (!j->first)
                new_line(j);
        g_string_append_c(j->text, bracket);
        j->first = false;
}

void json_string(Json *j, const char *key, const char *value) {
        if (!value) {
                json_null(j, key);
                return;
        }
        next(j, key);
        append_quoted(j->text, value);
}

void json_number(Json *j, const char *key, uint64_t value) {
        next(j, key);
        g_string_append_printf(j->text, "%" PRIu64, value);
}

void json_bool(Json *j, const char *key, bool value) {
        next(j, key);
        g_string_append(j->text, value ? "true" : "false");
}

void json_null(Json *j, const char *key) {
        next(j, key);
        g_string_append(j->text, "null");
}
