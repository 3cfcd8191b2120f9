/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Reads key files line by line. GKeyFile was tried: it knows no line numbers, lets a repeated key win in silence and keeps comments behind
 * values, and all three are what a diagnostic needs. The grammar is the same: sections, Key=Value, # and ; comments. */

void config_assignment_free(void *assignment) {
        ConfigAssignment *a = assignment;

        g_free(a->section);
        g_free(a->key);
        if (a->value)
                explicit_bzero(a->value, strlen(a->value));
        g_free(a->value);
        g_free(a->file);
        g_free(a);
}

void config_diagnose(ConfigSet *set, bool error, const char *instance, const char *file, unsigned line, const char *format, ...) {
        ConfigDiagnostic *d = g_new0(ConfigDiagnostic, 1);
        va_list arguments;

        d->error = error;
        d->instance = g_strdup(instance);
        d->file = g_strdup(file);
        d->line = line;
        va_start(arguments, format);
        d->sentence = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        g_ptr_array_add(set->diagnostics, d);
}

static void strip_comment(char *value) {
        for (char *p = value; *p; p++)
                if (*p == '#' && p > value && g_ascii_isspace(p[-1])) {
                        *p = '\0';
                        break;
                }
        g_strchomp(value);
}

typedef struct Scan {
        GPtrArray *assignments;
        ConfigSet *set;
        const char *instance, *file;
        char *section;
        unsigned line;
} Scan;

static void add(Scan *s, const char *key, const char *value) {
        ConfigAssignment *a = g_new0(ConfigAssignment, 1);

        a->section = g_strdup(s->section);
        a->key = g_strdup(key);
        a->value = g_strdup(value);
        a->file = g_strdup(s->file);
        a->line = s->line;
        g_ptr_array_add(s->assignments, a);
}

static void scan_line(Scan *s, char *line) {
        char *equals;

        if (g_str_has_suffix(line, "\r"))
                line[strlen(line) - 1] = '\0';
        g_strchug(line);
        if (*line == '\0' || *line == '#' || *line == ';')
                return;
        if (*line == '[') {
                char *end = strchr(line, ']');

                if (!end) {
                        config_diagnose(s->set, true, s->instance, s->file, s->line, "the section header \"%s\" has no closing ]", line);
                        return;
                }
                g_free(s->section);
                s->section = g_strndup(line + 1, (gsize) (end - line - 1));
                add(s, NULL, NULL);
                return;
        }
        equals = strchr(line, '=');
        if (!equals || equals == line) {
                config_diagnose(s->set, true, s->instance, s->file, s->line,
                                "this line is neither Key=Value, [Section], nor a comment (# or ;)");
                return;
        }
        if (!s->section) {
                config_diagnose(s->set, true, s->instance, s->file, s->line, "a key stands before the first [Section]");
                return;
        }
        *equals = '\0';
        g_strchomp(line);
        /* a passphrase or a description may hold " #"; blanks around a value never count (PassphraseFile= keeps them) */
        if (!g_str_equal(line, "Passphrase") && !g_str_equal(line, "Description"))
                strip_comment(equals + 1);
        g_strstrip(equals + 1);
        add(s, line, equals + 1);
}

void config_file_scan(GPtrArray *assignments, ConfigSet *set, const char *instance, const char *file, const char *text, gsize n_bytes) {
        Scan s = { .assignments = assignments, .set = set, .instance = instance, .file = file };
        const char *end = text + n_bytes;

        while (text < end) {
                const char *newline = memchr(text, '\n', (size_t) (end - text)), *stop = newline ? newline : end;
                g_autofree char *line = g_strndup(text, (gsize) (stop - text));

                s.line++;
                if (strlen(line) != (size_t) (stop - text) || !g_utf8_validate(line, -1, NULL))
                        config_diagnose(set, true, instance, file, s.line, "this line is not UTF-8 text");
                else
                        scan_line(&s, line);
                explicit_bzero(line, strlen(line));
                text = stop + 1;
        }
        g_free(s.section);
}

bool config_file_read(GPtrArray *assignments, ConfigSet *set, const char *instance, const char *file) {
        g_autofree char *text = NULL;
        g_autoptr(GError) error = NULL;
        struct stat st;
        gsize n;

        if (stat(file, &st) == 0 && (!S_ISREG(st.st_mode) || st.st_size > CONFIG_FILE_BYTES_MAX)) {
                config_diagnose(set, true, instance, file, 0, "not a regular file of at most 64 KiB");
                return false;
        }
        if (!g_file_get_contents(file, &text, &n, &error)) {
                config_diagnose(set, true, instance, file, 0, "cannot be read: %s", error->message);
                return false;
        }
        config_file_scan(assignments, set, instance, file, text, n);
        explicit_bzero(text, n);
        return true;
}

static bool is_masked(const char *path) {
        char *target = realpath(path, NULL);
        bool masked = target && g_str_equal(target, "/dev/null");

        free(target);
        return masked;
}

static int compare_names(const void *a, const void *b) {
        g_autofree char *x = g_path_get_basename(*(char *const *) a), *y = g_path_get_basename(*(char *const *) b);

        return strcmp(x, y);
}

GPtrArray *config_file_list(ConfigSet *set, const char *const *directories, const char *subdirectory, const char *suffix) {
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);

        for (; *directories; directories++) {
                g_autofree char *path = g_build_filename(*directories, subdirectory, NULL);
                g_autoptr(GError) error = NULL;
                g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
                const char *name;

                if (!dir && !g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
                        config_diagnose(set, true, NULL, path, 0, "cannot be read: %s", error->message);
                        set->incomplete = true;
                }

                while (dir && (name = g_dir_read_name(dir))) {
                        g_autofree char *file = g_build_filename(path, name, NULL);

                        if (!g_str_has_suffix(name, suffix) || name[0] == '.' || !g_hash_table_add(seen, g_strdup(name)))
                                continue;
                        if (!is_masked(file) && !g_file_test(file, G_FILE_TEST_IS_DIR))
                                g_ptr_array_add(paths, g_steal_pointer(&file));
                }
        }
        g_ptr_array_sort(paths, compare_names);
        return paths;
}
