/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/interfaces-syntax.h"

#include <string.h>

/* interfaces(5): lines joined by backslashes, comments at their start, stanzas that end where the next one begins, source and source-directory.
 * Knows the grammar, not what an option is for. Bounded in files, depth and size. */

#define INCLUDE_DEPTH_MAX 8
#define FILES_MAX 256
#define TEXT_BYTES_MAX (1 << 20)

typedef struct Parser {
        Import *notes;
        const InterfacesReader *reader;
        GPtrArray *stanzas;
        InterfacesStanza *open; /* options go here; NULL: before the first stanza. Borrowed */
        unsigned n_files, include_depth;
        const char *file;
        unsigned line;
} Parser;

static void option_free(void *option) {
        InterfacesOption *o = option;

        g_free(o->name);
        g_free(o->value);
        g_free(o->file);
        g_free(o);
}

static void stanza_free(void *stanza) {
        InterfacesStanza *s = stanza;

        g_ptr_array_unref(s->options);
        g_free(s->kind);
        g_free(s->name);
        g_free(s->inherits);
        g_free(s->file);
        g_free(s);
}

const InterfacesOption *interfaces_option(const InterfacesStanza *s, const char *name) {
        for (guint k = 0; k < s->options->len; k++) {
                const InterfacesOption *o = g_ptr_array_index(s->options, k);

                if (g_str_equal(o->name, name))
                        return o;
        }
        return NULL;
}

static void open_stanza(Parser *p, const char *kind, const char *name) {
        InterfacesStanza *s = g_new0(InterfacesStanza, 1);

        s->kind = g_strdup(kind);
        s->name = g_strdup(name);
        s->options = g_ptr_array_new_with_free_func(option_free);
        s->file = g_strdup(p->file);
        s->line = p->line;
        g_ptr_array_add(p->stanzas, s);
        p->open = s;
}

static void add_option(Parser *p, const char *name, const char *value) {
        InterfacesOption *o;

        if (!p->open || !g_str_equal(p->open->kind, "iface")) {
                import_note(p->notes, (ImportAt) { p->file, p->line }, IMPORT_NOTE, "%s: belongs to no iface", name);
                return;
        }
        o = g_new0(InterfacesOption, 1);
        o->name = g_strdup(name);
        o->value = g_strdup(value);
        o->file = g_strdup(p->file);
        o->line = p->line;
        g_ptr_array_add(p->open->options, o);
}

static void parse_file(Parser *p, const char *file);

static void include(Parser *p, char **(*expand)(const char *), const char *path) {
        g_autofree char *directory = g_path_get_dirname(p->file);
        g_autofree char *pattern = g_path_is_absolute(path) ? g_strdup(path) : g_build_filename(directory, path, NULL);
        g_auto(GStrv) paths = expand && p->include_depth < INCLUDE_DEPTH_MAX ? expand(pattern) : NULL;
        const char *file = p->file;
        unsigned line = p->line;

        p->include_depth++;
        for (char **f = paths; f && *f; f++)
                parse_file(p, *f);
        p->include_depth--;
        p->file = file;
        p->line = line;
        p->open = NULL;
}

/* Splits off the first word; returns what follows it. */
static char *cut_word(char *text) {
        char *end = text + strcspn(text, " \t");

        if (*end != '\0')
                *end++ = '\0';
        return end + strspn(end, " \t");
}

/* "NAME [FAMILY METHOD] [inherits NAME]" */
static void open_iface(Parser *p, char *text) {
        char *rest = cut_word(text);

        open_stanza(p, "iface", text);
        while (*rest != '\0') {
                char *word = rest;

                rest = cut_word(word);
                if (!g_str_equal(word, "inherits") || *rest == '\0')
                        continue;
                (void) cut_word(rest);
                p->open->inherits = g_strdup(rest);
                return;
        }
}

static void parse_line(Parser *p, char *text) {
        char *rest;

        g_strstrip(text);
        if (*text == '\0' || *text == '#')
                return;
        rest = cut_word(text);
        if (g_str_equal(text, "iface")) {
                open_iface(p, rest);
        } else if (g_str_equal(text, "auto") || g_str_has_prefix(text, "allow-")) {
                open_stanza(p, text, rest);
        } else if (g_str_equal(text, "mapping") || g_str_equal(text, "template") || g_str_equal(text, "rename") || g_str_equal(text, "no-auto-down") ||
                   g_str_equal(text, "no-scripts")) {
                open_stanza(p, text, rest);
        } else if (g_str_equal(text, "source")) {
                include(p, p->reader->expand, rest);
        } else if (g_str_equal(text, "source-directory")) {
                include(p, p->reader->directory, rest);
        } else if (!p->open || g_str_equal(p->open->kind, "iface")) {
                add_option(p, text, rest);
        } /* else: of a mapping, which is not ours */
}

/* The end of the line at text, with lines joined that end in a backslash. */
static char *end_of_line(Parser *p, char *text) {
        char *end = strchr(text, '\n');

        while (end && end > text && end[-1] == '\\') {
                end[-1] = *end = ' ';
                p->line++;
                end = strchr(end, '\n');
        }
        return end;
}

static void parse_file(Parser *p, const char *file) {
        g_autofree char *text = NULL;
        g_autoptr(GError) error = NULL;
        gsize n_bytes = 0;
        char *line, *end;

        p->file = file;
        p->line = 0;
        p->open = NULL;
        text = ++p->n_files > FILES_MAX ? NULL : p->reader->read(file, &n_bytes, &error);
        if (!text || n_bytes > TEXT_BYTES_MAX || memchr(text, '\0', n_bytes)) {
                import_note(p->notes, (ImportAt) { file, 0 }, IMPORT_LOST, "was not read: %s", error ? error->message : "too long, too many files, or no text");
                return;
        }
        for (line = text; line; line = end) {
                unsigned first = ++p->line, last;

                end = end_of_line(p, line);
                if (end)
                        *end++ = '\0';
                last = p->line;
                p->line = first;
                parse_line(p, line);
                p->line = last;
        }
}

GPtrArray *interfaces_parse(Import *notes, const InterfacesReader *reader, const char *file) {
        Parser p = { .notes = notes, .reader = reader, .stanzas = g_ptr_array_new_with_free_func(stanza_free) };

        parse_file(&p, file);
        return p.stanzas;
}
