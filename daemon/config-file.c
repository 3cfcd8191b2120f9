/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config-access.h"

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

/* What stands on a line is not repeated to whoever reads the log: it may be a passphrase that lost its key. */
static void scan_error(Scan *s, const char *sentence) {
        config_diagnose(s->set, true, s->instance, s->file, s->line, "%s", sentence);
}

static void scan_section(Scan *s, const char *line) {
        const char *end = strchr(line, ']'), *rest;

        g_clear_pointer(&s->section, g_free);
        if (!end) {
                scan_error(s, "the section header has no closing ]");
                return;
        }
        /* every key below carries a copy */
        if (end - line - 1 > CONFIG_SECTION_BYTES_MAX) {
                scan_error(s, "the name of the section is longer than 128 bytes");
                return;
        }
        s->section = g_strndup(line + 1, (gsize) (end - line - 1));
        rest = end + 1 + strspn(end + 1, " \t");
        if (*rest != '\0' && (rest == end + 1 || (*rest != '#' && *rest != ';')))
                scan_error(s, "there is text behind the section header; a key belongs on a line of its own, a comment behind a space and #");
        add(s, NULL, NULL);
}

static void scan_key(Scan *s, char *line) {
        char *equals = strchr(line, '=');

        if (!equals || equals == line) {
                scan_error(s, "this line is neither Key=Value, [Section], nor a comment (# or ;)");
                return;
        }
        if (!s->section) {
                scan_error(s, "this key is in no section; a [Section] line that is right has to stand above it");
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

/* U+0080 to U+009F too, which some terminals obey; they begin with byte 0xc2. */
static bool has_control_character(const char *line) {
        for (; *line; line = g_utf8_next_char(line))
                if (g_unichar_iscntrl(g_utf8_get_char(line)) && *line != '\t')
                        return true;
        return false;
}

static void scan_line(Scan *s, char *line) {
        if (g_str_has_suffix(line, "\r"))
                line[strlen(line) - 1] = '\0';
        g_strchug(line);
        if (*line == '\0' || *line == '#' || *line == ';')
                return;
        if (has_control_character(line))
                scan_error(s, "this line has a control character; allowed is text");
        else if (*line == '[')
                scan_section(s, line);
        else
                scan_key(s, line);
}

void config_file_scan(GPtrArray *assignments, ConfigSet *set, const char *instance, const char *file, const char *text, gsize n_bytes) {
        Scan s = { .assignments = assignments, .set = set, .instance = instance, .file = file };
        const char *end = text + n_bytes;

        if (n_bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* the byte order mark of other systems' editors */
                text += 3;
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

/* Up to one byte more than is allowed, by a descriptor that was looked at: no fifo, device or endless file holds us up. */
static ssize_t read_regular(const char *file, char buffer[CONFIG_FILE_BYTES_MAX + 1]) {
        int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error = 0;
        struct stat st;
        ssize_t n = 0, r;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                error = errno;
        else if (!S_ISREG(st.st_mode))
                error = ENOTSUP;
        while (error == 0 && n <= CONFIG_FILE_BYTES_MAX) {
                r = read(fd, buffer + n, (size_t) (CONFIG_FILE_BYTES_MAX + 1 - n));
                if (r == 0)
                        break;
                if (r > 0)
                        n += r;
                else if (errno != EINTR)
                        error = errno;
        }
        (void) close(fd);
        return error != 0 ? -error : n;
}

static int try_to_open(const char *file, char **ret_sentence) {
        int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0) {
                int error = errno;

                *ret_sentence = g_strdup(g_strerror(error));
                return -error;
        }
        (void) close(fd);
        return 0;
}

bool config_file_read(GPtrArray *assignments, ConfigSet *set, const char *instance, const char *file) {
        g_autofree char *text = g_malloc(CONFIG_FILE_BYTES_MAX + 1);
        ssize_t n = read_regular(file, text);
        g_autofree char *sentence = NULL;

        if (n >= 0 && config_ask_as(set->user, try_to_open, file, &sentence) < 0)
                config_diagnose(set, true, instance, file, 0,
                                "cannot be read: %s (tried as user %s, as which the daemon runs; chgrp the file to %s and chmod it 0640)", sentence,
                                set->user, set->user);
        if (n == -ENOTSUP || n > CONFIG_FILE_BYTES_MAX)
                config_diagnose(set, true, instance, file, 0, "not a regular file of at most 64 KiB");
        else if (n < 0)
                config_diagnose(set, true, instance, file, 0, "cannot be read: %s", g_strerror((int) -n));
        else
                config_file_scan(assignments, set, instance, file, text, (gsize) n);
        explicit_bzero(text, CONFIG_FILE_BYTES_MAX + 1);
        return n >= 0 && n <= CONFIG_FILE_BYTES_MAX;
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

/* Whether NAME in a directory is a file of ours; a directory is told, as it hides the files of its name in the later directories. */
static bool is_file(ConfigSet *set, const char *instance, const char *file) {
        if (is_masked(file))
                return false;
        if (!g_file_test(file, G_FILE_TEST_IS_DIR))
                return true;
        config_diagnose(set, false, instance, file, 0, "is a directory, and not read as a file");
        return false;
}

GPtrArray *config_file_list(ConfigSet *set, const char *instance, const char *const *directories, const char *subdirectory,
                            const char *suffix) {
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);

        for (; *directories; directories++) {
                g_autofree char *path = g_build_filename(*directories, subdirectory, NULL);
                g_autoptr(GError) error = NULL;
                g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
                const char *name;

                if (!dir && !g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
                        config_diagnose(set, true, instance, path, 0, "cannot be read: %s", error->message);
                        set->incomplete = true;
                }

                while (dir && (name = g_dir_read_name(dir))) {
                        g_autofree char *file = g_build_filename(path, name, NULL);

                        if (!g_str_has_suffix(name, suffix) || name[0] == '.' || !g_hash_table_add(seen, g_strdup(name)))
                                continue;
                        if (is_file(set, instance, file))
                                g_ptr_array_add(paths, g_steal_pointer(&file));
                }
        }
        g_ptr_array_sort(paths, compare_names);
        return paths;
}
