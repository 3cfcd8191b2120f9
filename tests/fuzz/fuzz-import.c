/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "config-file.h"
#include "config-keys.h"
#include "ctl/import-keepalived.h"
#include "ctl/import-ucarp.h"
#include "ctl/interfaces-syntax.h"
#include "fuzz.h"
#include "words.h"

/* Any bytes as keepalived.conf and as interfaces(5), with ucarp's options in it: what comes out are .vip files that the daemon takes without an
 * error, no name twice, and notes that point at lines of the input. Nothing is included, and of interfaces(5) no path is left, so that the input
 * chooses no file of this machine. */

#define FILE_NAME "fuzz.conf"

static const uint8_t *input;
static size_t n_input_bytes;
static bool defused;

static void require(bool truth) {
        if (!truth)
                abort();
}

static char *read_input(const char *path, gsize *ret_n_bytes, GError **ret_error) {
        char *text = g_malloc(n_input_bytes + 1);

        require(g_str_equal(path, FILE_NAME));
        memcpy(text, input, n_input_bytes);
        text[n_input_bytes] = '\0';
        *ret_n_bytes = n_input_bytes;
        if (defused)
                defuse_paths(text, n_input_bytes);
        return text;
}

/* The passphrase stands in a file that is not there. */
static void replace_passphrase(GPtrArray *assignments) {
        for (guint k = 0; k < assignments->len; k++) {
                ConfigAssignment *a = g_ptr_array_index(assignments, k);

                if (!a->key || !g_str_equal(a->key, "PassphraseFile"))
                        continue;
                g_free(a->key);
                g_free(a->value);
                a->key = g_strdup("Passphrase");
                a->value = g_strdup("x");
        }
}

/* The daemon's reader has no error to tell. */
static void require_accepted(const char *name, const char *text) {
        static const char *const no_directories[] = { NULL };
        g_autoptr(ConfigSet) set = config_load(no_directories, NULL);
        g_autoptr(GPtrArray) assignments = g_ptr_array_new_with_free_func(config_assignment_free);
        ConfigEntry *e = config_entry_new(name);

        if (strlen(text) > CONFIG_FILE_BYTES_MAX) {
                config_entry_free(e);
                return;
        }
        config_file_scan(assignments, set, name, "fuzz.vip", text, strlen(text));
        replace_passphrase(assignments);
        config_keys_apply(set, e, "fuzz.vip", assignments, NULL);
        g_ptr_array_add(set->entries, e);
        require(config_set_n_errors(set) == 0);
}

static unsigned n_lines(void) {
        unsigned n = 1;

        for (size_t k = 0; k < n_input_bytes; k++)
                n += input[k] == '\n' ? 1 : 0;
        return n;
}

static void require_notes(const Import *i) {
        for (guint k = 0; k < i->notes->len; k++) {
                const ImportNote *n = g_ptr_array_index(i->notes, k);

                require(!n->file || g_str_equal(n->file, FILE_NAME));
                require(n->line <= n_lines());
        }
}

static void require_instances(const Import *i) {
        for (guint k = 0; k < i->instances->len; k++) {
                const ImportInstance *v = g_ptr_array_index(i->instances, k);
                g_autofree char *text = import_render(i, v, "/etc/vipd");

                require(import_find(i, v->name) == v);
                require_accepted(v->name, text);
        }
}

static void try_keepalived(void) {
        const KeepalivedReader reader = { .read = read_input, .config_id = "a" };
        g_autoptr(Import) i = import_new("Head.");
        g_autoptr(KeepalivedNode) root = keepalived_parse(i, &reader, FILE_NAME);

        import_keepalived(i, root);
        require_notes(i);
        require_instances(i);
}

static void try_interfaces(void) {
        const InterfacesReader reader = { .read = read_input };
        g_autoptr(Import) i = import_new("Head.");
        g_autoptr(GPtrArray) stanzas = interfaces_parse(i, &reader, FILE_NAME);

        require_notes(i);
        for (guint k = 0; k < stanzas->len; k++) {
                const InterfacesStanza *s = g_ptr_array_index(stanzas, k);

                require(s->line >= 1 && s->line <= n_lines());
                require(s->options->len == 0 || g_str_equal(s->kind, "iface"));
        }
        import_ifupdown(i, stanzas);
        require_notes(i);
        require_instances(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        if (n_bytes > CONFIG_FILE_BYTES_MAX)
                return 0;
        input = data;
        n_input_bytes = n_bytes;
        silence();
        defused = false;
        try_keepalived();
        defused = true;
        try_interfaces();
        return 0;
}
