/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "config-parse.h"
#include "ctl/import-keepalived.h"

/* keepalived's vrrp_script, vrrp_track_process and track_... to [Check NAME]. What looks whether a process is there becomes a check of the unit:
 * checks of vipd.service see no other user's processes. Knows nothing of elections but the weights. */

#define CHECKS_MAX 16
#define UNIT_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"
#define SHELL_CHARACTERS "|&;<>()$`*?[~"

typedef struct Track {
        Import *i;
        const KeepalivedNode *root;
        ImportInstance *v;
        unsigned *n_checks, *prefer;
} Track;

static const KeepalivedNode *child(const KeepalivedNode *n, const char *word) {
        const KeepalivedNode *found = NULL;

        for (guint k = 0; n->children && k < n->children->len; k++)
                if (g_str_equal(keepalived_word(g_ptr_array_index(n->children, k), 0), word))
                        found = g_ptr_array_index(n->children, k);
        return found;
}

static const KeepalivedNode *definition(const Track *t, const char *word, const char *name) {
        for (guint k = 0; k < t->root->children->len; k++) {
                const KeepalivedNode *n = g_ptr_array_index(t->root->children, k);

                if (n->children && g_str_equal(keepalived_word(n, 0), word) && g_str_equal(keepalived_word(n, 1), name))
                        return n;
        }
        return NULL;
}

/* As keepalived takes it: what is no number is 0. Within what a weight and a count may be. */
static int number(const char *text) {
        return (int) CLAMP(g_ascii_strtoll(text, NULL, 10), -254, 254);
}

/* The weight in "NAME weight N" or in a statement of the definition. */
static int weight_of(const KeepalivedNode *entry, const KeepalivedNode *definition) {
        const KeepalivedNode *own = definition ? child(definition, "weight") : NULL;

        for (guint k = 1; k + 1 < entry->words->len; k++)
                if (g_str_equal(keepalived_word(entry, k), "weight"))
                        return number(keepalived_word(entry, k + 1));
        return own ? number(keepalived_word(own, 1)) : 0;
}

/* The header and what a failure does. False: there is no room for it. */
static bool begin_check(Track *t, const KeepalivedNode *entry, const char *name, const char *type, int weight) {
        g_autofree char *clean = import_name(name), *header = g_strdup_printf("\n[Check %s]\n", clean);
        GString *out = t->v->checks;
        unsigned size = (unsigned) abs(weight);

        if (strstr(out->str, header))
                return false; /* tracked twice */
        if (++*t->n_checks > CHECKS_MAX) {
                import_note(t->i, keepalived_at(entry), IMPORT_LOST, "%s: an instance has at most %i checks", name, CHECKS_MAX);
                return false;
        }
        g_string_append_printf(out, "%sType=%s\n", header, type);
        if (weight == 0)
                g_string_append(out, "OnFailure=release\n");
        else
                g_string_append_printf(out, "OnFailure=demote\nWeight=%u\n", size);
        if (weight > 0)
                *t->prefer += size;
        return true;
}

static bool is_unit(const char *name) {
        return *name != '\0' && strlen(name) < 200 && strspn(name, UNIT_CHARACTERS) == strlen(name) && *name != '-' && *name != '.';
}

static void set_unit(Track *t, const KeepalivedNode *at, const char *name, bool guessed) {
        const char *dot = strrchr(name, '.');
        bool full = dot && (g_str_equal(dot, ".service") || g_str_equal(dot, ".target") || g_str_equal(dot, ".socket"));

        g_string_append_printf(t->v->checks, "Unit=%s%s\n", name, full ? "" : ".service");
        if (guessed)
                import_note(t->i, keepalived_at(at), IMPORT_NOTE,
                            "looks for a process \"%s\", which a check of vipd cannot see; the unit %s%s is watched instead: make sure that it is the one",
                            name, name, full ? "" : ".service");
}

static bool is_program(const char *path, const char *name) {
        const char *base = strrchr(path, '/');

        return g_str_equal(base ? base + 1 : path, name);
}

/* The unit that a command asks for: systemctl is-active UNIT, service UNIT status; or the process: killall -0, pkill -0, pidof, pgrep. */
static const char *unit_of(char **argv, bool *ret_guessed) {
        const char *word = NULL;
        bool asks_systemd = is_program(argv[0], "systemctl"), probes = is_program(argv[0], "pidof") || is_program(argv[0], "pgrep");
        guint n = g_strv_length(argv);

        *ret_guessed = !asks_systemd && !is_program(argv[0], "service");
        if (is_program(argv[0], "service"))
                return n == 3 && g_str_equal(argv[2], "status") && is_unit(argv[1]) ? argv[1] : NULL;
        if (asks_systemd && (n < 3 || (!g_str_equal(argv[1], "is-active") && !g_str_equal(argv[1], "status"))))
                return NULL;
        if (is_program(argv[0], "killall") || is_program(argv[0], "pkill"))
                for (guint k = 1; k < n; k++)
                        probes = probes || g_str_equal(argv[k], "-0") || g_str_equal(argv[k], "-CONT");
        if (!asks_systemd && !probes)
                return NULL;
        for (guint k = asks_systemd ? 2 : 1; k < n; k++) {
                if (*argv[k] == '-')
                        continue;
                if (word)
                        return NULL;
                word = argv[k];
        }
        return word && is_unit(word) ? word : NULL;
}

/* HOST:PORT of </dev/tcp/HOST/PORT. The caller frees it. */
static char *tcp_of(const char *text) {
        g_auto(GStrv) parts = NULL;
        const char *path = text + strspn(text, " <");
        uint32_t port;

        if (*text != '<' || !g_str_has_prefix(path, "/dev/tcp/"))
                return NULL;
        parts = g_strsplit(path + strlen("/dev/tcp/"), "/", 3);
        if (g_strv_length(parts) != 2 || *parts[0] == '\0' || config_parse_uint(g_strstrip(parts[1]), 1, 65535, &port) < 0)
                return NULL;
        if (strspn(parts[0], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:") != strlen(parts[0]))
                return NULL;
        return strchr(parts[0], ':') ? g_strdup_printf("[%s]:%u", parts[0], port) : g_strdup_printf("%s:%u", parts[0], port);
}

static char *command_line(char **argv) {
        GString *out = g_string_new(g_path_is_absolute(argv[0]) ? NULL : "/usr/bin/env ");

        for (char **word = argv; *word; word++) {
                g_autofree char *quoted = import_quote(*word);

                g_string_append_printf(out, "%s%s", word > argv ? " " : "", quoted);
        }
        return g_string_free(out, FALSE);
}

/* What is behind `script`, as one line, as it stands in quotes more often than not. */
static char *script_text(const KeepalivedNode *script) {
        GString *out = g_string_new(NULL);

        for (guint k = 1; k < script->words->len; k++) {
                g_autofree char *quoted = script->words->len > 2 ? import_quote(keepalived_word(script, k)) : g_strdup(keepalived_word(script, k));

                g_string_append_printf(out, "%s%s", k > 1 ? " " : "", quoted);
        }
        return g_string_free(out, FALSE);
}

static void set_time(Track *t, const KeepalivedNode *definition, const char *word, const char *key, uint64_t minimum_usec, uint64_t otherwise_usec,
                     uint64_t *ret_usec) {
        const KeepalivedNode *n = child(definition, word);
        uint64_t usec = otherwise_usec;

        if (n && config_parse_usec(keepalived_word(n, 1), &usec) < 0)
                import_note(t->i, keepalived_at(n), IMPORT_LOST, "%s: this is no number of seconds", word);
        usec = CLAMP(usec, minimum_usec, UINT64_C(3600000000));
        import_set_time(t->v->checks, key, usec);
        *ret_usec = usec;
}

static void set_times(Track *t, const KeepalivedNode *definition, const char *word, const char *key) {
        const KeepalivedNode *n = child(definition, word);

        import_set_number(t->v->checks, key, (unsigned) CLAMP(n ? number(keepalived_word(n, 1)) : 1, 1, 100));
}

static void judge_script(Track *t, const KeepalivedNode *definition) {
        static const char *const known[] = { "script", "interval", "timeout", "weight", "rise", "fall", "init_fail" };

        for (guint k = 0; k < definition->children->len; k++) {
                const KeepalivedNode *n = g_ptr_array_index(definition->children, k);
                bool found = false;

                for (size_t m = 0; m < G_N_ELEMENTS(known); m++)
                        found = found || g_str_equal(known[m], keepalived_word(n, 0));
                if (g_str_equal(keepalived_word(n, 0), "user"))
                        import_note(t->i, keepalived_at(n), IMPORT_NOTE, "user: checks run as the user of vipd, without privileges");
                else if (!found)
                        import_note(t->i, keepalived_at(n), IMPORT_LOST, "%s: a check has nothing like it", keepalived_word(n, 0));
        }
}

/* A script by what it asks: a unit, a port, or else a command. */
static void convert_script(Track *t, const KeepalivedNode *entry, const KeepalivedNode *definition, int weight) {
        const KeepalivedNode *script = child(definition, "script");
        const char *name = keepalived_word(definition, 1), *unit = NULL;
        g_autofree char *text = script ? script_text(script) : NULL, *tcp = text ? tcp_of(text) : NULL, *command = NULL;
        g_auto(GStrv) argv = NULL;
        uint64_t interval_usec, timeout_usec;
        bool guessed = false;

        if (!text || (!tcp && !g_shell_parse_argv(text, NULL, &argv, NULL))) {
                import_note(t->i, keepalived_at(script ?: definition), IMPORT_LOST, "%s: there is no command in it", name);
                return;
        }
        if (!tcp && strpbrk(text, SHELL_CHARACTERS)) {
                g_autofree char *quoted = g_shell_quote(text);

                command = g_strdup_printf("/bin/sh -c %s", quoted);
        } else if (!tcp) {
                unit = unit_of(argv, &guessed);
                command = unit ? NULL : command_line(argv);
        }
        if (command && !import_is_value(command)) {
                import_note(t->i, keepalived_at(script), IMPORT_LOST, "%s: the command cannot be written behind Command=, which has no place for \" #\"", name);
                return;
        }
        if (!begin_check(t, entry, name, tcp ? "tcp" : unit ? "unit" : "command", weight))
                return;
        if (tcp)
                g_string_append_printf(t->v->checks, "Address=%s\n", tcp);
        else if (unit)
                set_unit(t, script, unit, guessed);
        else
                g_string_append_printf(t->v->checks, "Command=%s\n", command);
        if (command)
                import_note(t->i, keepalived_at(script), IMPORT_NOTE,
                            "%s: runs as the user of vipd, without privileges; it should tell by its exit code and do nothing else", name);
        set_time(t, definition, "interval", "Interval", 100000, 1000000, &interval_usec);
        set_time(t, definition, "timeout", "Timeout", 10000, interval_usec, &timeout_usec);
        set_times(t, definition, "rise", "Rise");
        set_times(t, definition, "fall", "Fall");
        judge_script(t, definition);
}

static bool is_reversed(Track *t, const KeepalivedNode *entry) {
        for (guint k = 1; k < entry->words->len; k++)
                if (g_str_equal(keepalived_word(entry, k), "reverse")) {
                        import_note(t->i, keepalived_at(entry), IMPORT_LOST, "%s: a check whose failure is good does not exist", keepalived_word(entry, 0));
                        return true;
                }
        return false;
}

static void track_script(Track *t, const KeepalivedNode *entry) {
        const KeepalivedNode *d = definition(t, "vrrp_script", keepalived_word(entry, 0));

        if (!d)
                import_note(t->i, keepalived_at(entry), IMPORT_LOST, "there is no vrrp_script %s", keepalived_word(entry, 0));
        else if (!is_reversed(t, entry))
                convert_script(t, entry, d, weight_of(entry, d));
}

static void track_process(Track *t, const KeepalivedNode *entry) {
        const KeepalivedNode *d = definition(t, "vrrp_track_process", keepalived_word(entry, 0)), *process = d ? child(d, "process") : NULL;

        if (!process || !is_unit(keepalived_word(process, 1))) {
                import_note(t->i, keepalived_at(entry), IMPORT_LOST, "there is no vrrp_track_process %s with a plain name", keepalived_word(entry, 0));
                return;
        }
        if (is_reversed(t, entry) || !begin_check(t, entry, keepalived_word(entry, 0), "unit", weight_of(entry, d)))
                return;
        set_unit(t, process, keepalived_word(process, 1), true);
        for (guint k = 0; k < d->children->len; k++) {
                const KeepalivedNode *n = g_ptr_array_index(d->children, k);

                if (!g_str_equal(keepalived_word(n, 0), "process") && !g_str_equal(keepalived_word(n, 0), "weight"))
                        import_note(t->i, keepalived_at(n), IMPORT_LOST, "%s: units are not counted", keepalived_word(n, 0));
        }
}

static void track_interface(Track *t, const KeepalivedNode *entry, const char *interface) {
        const char *name = keepalived_word(entry, 0);

        if (g_str_equal(name, interface)) /* no link, no part in the election: always so */
                return;
        if (!import_is_interface(name)) {
                import_note(t->i, keepalived_at(entry), IMPORT_LOST, "\"%s\" is no name of an interface", name);
                return;
        }
        if (!is_reversed(t, entry) && begin_check(t, entry, name, "link", weight_of(entry, NULL)))
                g_string_append_printf(t->v->checks, "Interface=%s\n", name);
}

void import_keepalived_checks(Import *i, const KeepalivedNode *root, const KeepalivedNode *node, ImportInstance *v, const char *interface,
                              unsigned *n_checks, unsigned *prefer) {
        Track t = { .i = i, .root = root, .v = v, .n_checks = n_checks, .prefer = prefer };

        for (guint k = 0; k < node->children->len; k++) {
                const KeepalivedNode *block = g_ptr_array_index(node->children, k);

                for (guint m = 0; block->children && m < block->children->len; m++) {
                        const KeepalivedNode *entry = g_ptr_array_index(block->children, m);

                        if (entry->words->len == 0)
                                continue;
                        if (g_str_equal(keepalived_word(block, 0), "track_script"))
                                track_script(&t, entry);
                        else if (g_str_equal(keepalived_word(block, 0), "track_process"))
                                track_process(&t, entry);
                        else if (g_str_equal(keepalived_word(block, 0), "track_interface"))
                                track_interface(&t, entry, interface);
                }
        }
}
