/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/import.h"

#include <string.h>

#include "config.h"

/* Collects what an import finds, and writes it as text: .vip files and their scripts. Knows how such a file is written, not where it came
 * from and not where it goes. */

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-"
#define COMMENT_COLUMNS 100

static void note_free(void *note) {
        ImportNote *n = note;

        g_free(n->file);
        g_free(n->sentence);
        g_free(n);
}

static void drop_text(GString *text) {
        if (text)
                g_string_free(text, TRUE);
}

static void instance_free(void *instance) {
        ImportInstance *v = instance;

        drop_text(v->vip);
        drop_text(v->carp);
        drop_text(v->announce);
        drop_text(v->takeover);
        drop_text(v->checks);
        drop_text(v->up);
        drop_text(v->down);
        if (v->passphrase)
                explicit_bzero(v->passphrase, strlen(v->passphrase));
        g_free(v->passphrase);
        g_free(v->passphrase_file);
        g_free(v->name);
        g_free(v);
}

Import *import_new(const char *head) {
        Import *i = g_new0(Import, 1);

        i->head = g_strdup(head);
        i->instances = g_ptr_array_new_with_free_func(instance_free);
        i->notes = g_ptr_array_new_with_free_func(note_free);
        return i;
}

Import *import_free(Import *i) {
        if (!i)
                return NULL;
        g_free(i->head);
        g_ptr_array_unref(i->instances);
        g_ptr_array_unref(i->notes);
        g_free(i);
        return NULL;
}

static bool same_note(const ImportNote *a, const ImportNote *b) {
        return a->line == b->line && g_strcmp0(a->file, b->file) == 0 && g_str_equal(a->sentence, b->sentence);
}

void import_note(Import *i, ImportAt at, ImportKind kind, const char *format, ...) {
        ImportNote *n = g_new0(ImportNote, 1);
        va_list arguments;

        va_start(arguments, format);
        n->sentence = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        n->file = g_strdup(at.file);
        n->line = at.line;
        n->kind = kind;
        for (guint k = 0; k < i->notes->len; k++)
                if (same_note(n, g_ptr_array_index(i->notes, k))) {
                        note_free(n);
                        return;
                }
        g_ptr_array_add(i->notes, n);
}

static int compare_notes(const void *a, const void *b) {
        const ImportNote *m = *(ImportNote *const *) a, *n = *(ImportNote *const *) b;
        int r = g_strcmp0(m->file, n->file);

        return r != 0 ? r : m->line < n->line ? -1 : m->line > n->line;
}

void import_sort_notes(Import *i) {
        g_ptr_array_sort(i->notes, compare_notes);
}

unsigned import_n_lost(const Import *i) {
        unsigned n = 0;

        for (guint k = 0; k < i->notes->len; k++)
                n += ((const ImportNote *) g_ptr_array_index(i->notes, k))->kind != IMPORT_NOTE ? 1 : 0;
        return n;
}

char *import_name(const char *word) {
        /* room for the number that import_add() may append */
        char *name = g_strndup(word, CONFIG_NAME_BYTES_MAX - 6);

        for (char *p = name; *p; p++)
                if (!strchr(NAME_CHARACTERS, *p) || (p == name && (*p == '-' || *p == '.')))
                        *p = '_';
        if (*name == '\0') {
                g_free(name);
                name = g_strdup("vip");
        }
        return name;
}

ImportInstance *import_find(const Import *i, const char *name) {
        for (guint k = 0; k < i->instances->len; k++) {
                ImportInstance *v = g_ptr_array_index(i->instances, k);

                if (g_str_equal(v->name, name))
                        return v;
        }
        return NULL;
}

ImportInstance *import_add(Import *i, const char *name) {
        ImportInstance *v = g_new0(ImportInstance, 1);
        g_autofree char *stem = import_name(name);

        v->name = g_strdup(stem);
        for (unsigned n = 2; import_find(i, v->name); n++) {
                g_free(v->name);
                v->name = g_strdup_printf("%s-%u", stem, n);
        }
        v->vip = g_string_new(NULL);
        v->carp = g_string_new(NULL);
        v->announce = g_string_new(NULL);
        v->takeover = g_string_new(NULL);
        v->checks = g_string_new(NULL);
        g_ptr_array_add(i->instances, v);
        return v;
}

void import_drop(Import *i, ImportInstance *v) {
        g_ptr_array_remove(i->instances, v);
}

bool import_is_value(const char *text) {
        if (!g_utf8_validate(text, -1, NULL) || g_ascii_isspace(*text))
                return false;
        for (const char *p = text; *p; p = g_utf8_next_char(p))
                if (g_unichar_iscntrl(g_utf8_get_char(p)) || (p > text && *p == '#' && g_ascii_isspace(p[-1])))
                        return false;
        return *text == '\0' || (*text != '#' && !g_ascii_isspace(text[strlen(text) - 1]));
}

bool import_is_interface(const char *name) {
        return *name != '\0' && *name != '.' && strlen(name) < IF_NAMESIZE && !strpbrk(name, "/: \t") && import_is_value(name);
}

bool import_set(Import *i, GString *section, ImportAt at, const char *key, const char *value) {
        if (!import_is_value(value)) {
                import_note(i, at, IMPORT_LOST, "what it says cannot be written behind %s=, which is one line of text without \" #\"", key);
                return false;
        }
        g_string_append_printf(section, "%s=%s\n", key, value);
        return true;
}

void import_set_number(GString *section, const char *key, unsigned value) {
        g_string_append_printf(section, "%s=%u\n", key, value);
}

void import_set_time(GString *section, const char *key, uint64_t usec) {
        if (usec % 1000000 == 0)
                g_string_append_printf(section, "%s=%" G_GUINT64_FORMAT "s\n", key, usec / 1000000);
        else
                g_string_append_printf(section, "%s=%" G_GUINT64_FORMAT "ms\n", key, usec / 1000);
}

/* One line of what may be anything. */
static void append_line(GString *out, const char *text) {
        g_autofree char *valid = g_utf8_make_valid(text, -1);

        for (const char *p = valid; *p; p = g_utf8_next_char(p))
                if (g_unichar_iscntrl(g_utf8_get_char(p)))
                        g_string_append_c(out, '?');
                else
                        g_string_append_len(out, p, g_utf8_next_char(p) - p);
}

/* Each line of the text as comments, broken at spaces. */
static void append_comment(GString *out, const char *text) {
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

        for (char **line = lines; *line; line++) {
                g_auto(GStrv) words = g_strsplit(*line, " ", -1);
                glong column = 0;

                for (char **w = words; *w; w++) {
                        glong width = g_utf8_validate(*w, -1, NULL) ? g_utf8_strlen(*w, -1) : (glong) strlen(*w);

                        if (column == 0 || column + 1 + width > COMMENT_COLUMNS) {
                                g_string_append(out, column == 0 ? "# " : "\n# ");
                                column = 2;
                        } else {
                                g_string_append_c(out, ' ');
                                column++;
                        }
                        append_line(out, *w);
                        column += width;
                }
                g_string_append_c(out, '\n');
        }
}

void import_comment(GString *section, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        text = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        append_comment(section, text);
}

char *import_quote(const char *word) {
        static const char plain[] = NAME_CHARACTERS "/=,+@%";

        return *word != '\0' && strspn(word, plain) == strlen(word) ? g_strdup(word) : g_shell_quote(word);
}

static void append_section(GString *out, const char *name, const char *text) {
        if (*text != '\0')
                g_string_append_printf(out, "\n[%s]\n%s", name, text);
}

static void append_script(GString *out, const ImportInstance *v, const char *directory, const char *key, const char *suffix, const GString *body) {
        if (body)
                g_string_append_printf(out, "%s=%s/%s.%s\n", key, directory, v->name, suffix);
}

char *import_render(const Import *i, const ImportInstance *v, const char *directory) {
        GString *out = g_string_new(NULL);
        g_autofree char *key = v->passphrase_file ? g_strdup(v->passphrase_file) : g_strdup_printf("%s/%s.key", directory, v->name);

        append_comment(out, i->head);
        append_section(out, "VIP", v->vip->str);
        append_section(out, "CARP", v->carp->str);
        g_string_append_printf(out, "PassphraseFile=%s\n", key);
        append_section(out, "Announce", v->announce->str);
        if (v->takeover->len > 0 || v->up || v->down)
                g_string_append_printf(out, "\n[Takeover]\n%s", v->takeover->str);
        append_script(out, v, directory, "UpScript", "up", v->up);
        append_script(out, v, directory, "DownScript", "down", v->down);
        g_string_append(out, v->checks->str);
        return g_string_free(out, FALSE);
}

char *import_render_script(const ImportInstance *v, const GString *body) {
        return g_strdup_printf("#!/bin/sh\n# Called as SCRIPT INTERFACE ADDRESS; see SCRIPTS in vipd(8). Of instance %s.\n%s", v->name, body->str);
}
