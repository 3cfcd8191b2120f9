/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-diagnose.h"

#include <string.h>

/* The list of mistakes. What it holds comes from files and goes to the journal, to terminals and to every user of the bus: so no sentence holds
 * a control character or is longer than a line should be, and a file full of mistakes does not fill a disk with them. Knows no key; that a
 * sentence holds no secret is the business of who writes it. */

#define SENTENCE_BYTES_MAX 900 /* leaves room for a long path in a log line */

/* Controls, and what reorders or breaks a line: U+202E turns a terminal's text around without being a control character. */
static bool is_printable(gunichar c) {
        switch (g_unichar_type(c)) {
        case G_UNICODE_CONTROL:
        case G_UNICODE_FORMAT:
        case G_UNICODE_LINE_SEPARATOR:
        case G_UNICODE_PARAGRAPH_SEPARATOR:
        case G_UNICODE_PRIVATE_USE:
        case G_UNICODE_SURROGATE:
        case G_UNICODE_UNASSIGNED:
                return false;
        default:
                return true;
        }
}

/**
 * config_escape() - foreign text made fit for one line
 *
 * A backslash stays one, so that escaping twice changes nothing: values are bounded where they are quoted, sentences once more as a whole.
 */
char *config_escape(const char *text, size_t n_bytes_max) {
        GString *s = g_string_new(NULL);

        while (*text) {
                gunichar c = g_utf8_get_char_validated(text, -1);
                gsize n_before = s->len;

                if (c == (gunichar) -1 || c == (gunichar) -2)
                        g_string_append_printf(s, "\\x%02x", (unsigned char) *text++);
                else {
                        if (is_printable(c))
                                g_string_append_unichar(s, c);
                        else
                                g_string_append_printf(s, c < 0x80 ? "\\x%02x" : "\\u%04x", c);
                        text = g_utf8_next_char(text);
                }
                if (s->len > n_bytes_max - (*text ? strlen("...") : 0)) {
                        g_string_truncate(s, n_before);
                        g_string_append(s, "...");
                        break;
                }
        }
        return g_string_free(s, FALSE);
}

void config_diagnostic_free(void *diagnostic) {
        ConfigDiagnostic *d = diagnostic;

        g_free(d->instance);
        g_free(d->file);
        g_free(d->sentence);
        g_free(d);
}

/* How many of this kind the file has already; the same once more is not worth a line. */
static guint count(const ConfigSet *set, const ConfigDiagnostic *new, bool *ret_told) {
        guint n = 0;

        for (guint k = 0; k < set->diagnostics->len; k++) {
                const ConfigDiagnostic *d = g_ptr_array_index(set->diagnostics, k);

                if (d->error != new->error || !g_str_equal(d->file, new->file))
                        continue;
                n++;
                *ret_told = *ret_told || (d->line == new->line && g_str_equal(d->sentence, new->sentence));
        }
        return n;
}

void config_diagnose(ConfigSet *set, bool error, const char *instance, const char *file, unsigned line, const char *format, ...) {
        ConfigDiagnostic *d = g_new0(ConfigDiagnostic, 1);
        g_autofree char *sentence = NULL;
        bool told = false;
        va_list arguments;
        guint n;

        va_start(arguments, format);
        sentence = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        d->error = error;
        d->instance = g_strdup(instance);
        d->file = g_strdup(file);
        d->line = line;
        d->sentence = config_escape(sentence, SENTENCE_BYTES_MAX);
        n = count(set, d, &told);
        if (told || n >= CONFIG_DIAGNOSTICS_PER_FILE_MAX) {
                set->n_untold_errors += error ? 1 : 0;
                config_diagnostic_free(d);
                return;
        }
        if (n == CONFIG_DIAGNOSTICS_PER_FILE_MAX - 1) {
                g_free(d->sentence);
                d->sentence = g_strdup("too many mistakes; the rest of them is not told");
        }
        g_ptr_array_add(set->diagnostics, d);
}

char *config_diagnostic_format(const ConfigDiagnostic *d) {
        const char *kind = d->error ? "error" : "warning";
        g_autofree char *file = config_escape(d->file, SIZE_MAX); /* a name in a directory is any bytes */

        if (d->line > 0)
                return g_strdup_printf("%s:%u: %s: %s", file, d->line, kind, d->sentence);
        return g_strdup_printf("%s: %s: %s", file, kind, d->sentence);
}

unsigned config_set_n_errors(const ConfigSet *set) {
        unsigned n = set->n_untold_errors;

        for (guint k = 0; k < set->diagnostics->len; k++)
                n += ((const ConfigDiagnostic *) g_ptr_array_index(set->diagnostics, k))->error ? 1 : 0;
        return n;
}

char *config_set_problem(const ConfigSet *set, const char *name) {
        for (guint k = 0; k < set->diagnostics->len; k++) {
                const ConfigDiagnostic *d = g_ptr_array_index(set->diagnostics, k);

                if (d->error && g_strcmp0(d->instance, name) == 0)
                        return config_diagnostic_format(d);
        }
        return NULL;
}
