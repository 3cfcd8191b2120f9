/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/interfaces-syntax.h"

#include <string.h>

#include "ctl/source-syntax.h"

/* interfaces(5): lines with comments at their start, stanzas that end where the next one begins, source and source-directory. Knows the grammar,
 * not what an option is for. */

typedef struct Parser {
        Source source;
        const InterfacesReader *reader;
        GPtrArray *stanzas;
        InterfacesStanza *open; /* options go here; NULL: before the first stanza of a file. Borrowed */
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
        s->file = g_strdup(p->source.at.file);
        s->line = p->source.at.line;
        g_ptr_array_add(p->stanzas, s);
        p->open = s;
}

static void add_option(Parser *p, const char *name, const char *value) {
        InterfacesOption *o;

        if (!p->open || !g_str_equal(p->open->kind, "iface")) {
                import_note(p->source.notes, p->source.at, IMPORT_NOTE, "%s: belongs to no iface", name);
                return;
        }
        o = g_new0(InterfacesOption, 1);
        o->name = g_strdup(name);
        o->value = g_strdup(value);
        o->file = g_strdup(p->source.at.file);
        o->line = p->source.at.line;
        g_ptr_array_add(p->open->options, o);
}

static void include(Parser *p, char **(*expand)(const char *), const char *pattern) {
        (void) source_include(&p->source, expand, pattern);
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

static void parse_line(void *userdata, char *text) {
        Parser *p = userdata;
        char *rest;

        if (p->source.at.line == 1)
                p->open = NULL;
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

GPtrArray *interfaces_parse(Import *notes, const InterfacesReader *reader, const char *file) {
        Parser p = { .reader = reader, .stanzas = g_ptr_array_new_with_free_func(stanza_free) };

        p.source = (Source) { .notes = notes, .read = reader->read, .on_line = parse_line, .userdata = &p };
        source_read(&p.source, file);
        return p.stanzas;
}
