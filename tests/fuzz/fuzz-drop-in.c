/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config-file.h"
#include "config-load.h"
#include "fuzz.h"

/* Any texts as a whole configuration: files, drop-ins of theirs from two directories, and the daemon's own. Each instance is within its limits, or has
 * an error; no two claim the same; the same on every reading. A line of '%' alone begins the next file. */

#define SEPARATOR "\n%\n"

static const char *const files[] = {
        "a/web.vip", "a/web.vip.d/10.conf", "b/web.vip.d/20.conf", "b/web.vip.d/10.conf", "b/other.vip", "a/vipd.conf", "b/vipd.conf.d/50.conf", "b/web.vip",
};

static void require(bool truth) {
        if (!truth)
                abort();
}

static char *root;

static void remove_all(void) {
        static const char *const directories[] = { "a/web.vip.d", "b/web.vip.d", "b/vipd.conf.d", "a", "b", "" };

        for (size_t k = 0; k < G_N_ELEMENTS(files); k++) {
                g_autofree char *path = g_build_filename(root, files[k], NULL);
                (void) g_unlink(path);
        }
        for (size_t k = 0; k < G_N_ELEMENTS(directories); k++) {
                g_autofree char *path = g_build_filename(root, directories[k], NULL);
                (void) g_rmdir(path);
        }
}

static void set_up(void) {
        static const char *const directories[] = { "a/web.vip.d", "b/web.vip.d", "b/vipd.conf.d" };

        root = g_strdup(g_access("/dev/shm", W_OK) == 0 ? "/dev/shm/fuzz-drop-in-XXXXXX" : "/tmp/fuzz-drop-in-XXXXXX");
        require(g_mkdtemp(root) != NULL);
        for (size_t k = 0; k < G_N_ELEMENTS(directories); k++) {
                g_autofree char *path = g_build_filename(root, directories[k], NULL);
                require(g_mkdir_with_parents(path, 0700) == 0);
        }
        require(atexit(remove_all) == 0);
}

/* No file of this machine is opened: the key's name is spoiled, not its length. */
static void defuse(char *text) {
        for (char *p = text; (p = strstr(p, "PassphraseFile")) != NULL; p++)
                *p = 'Q';
}

static void write_file(size_t k, const char *text) {
        g_autofree char *path = g_build_filename(root, files[k], NULL);

        if (text)
                require(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
        else
                (void) g_unlink(path);
}

static void require_sound(const ConfigSet *set) {
        unsigned n_valid = 0;

        for (guint k = 0; k < set->entries->len; k++) {
                const ConfigEntry *e = g_ptr_array_index(set->entries, k);

                if (!e->config)
                        continue;
                n_valid++;
                require(e->config->n_addresses >= 1 && e->config->carp.vhid >= 1 && e->config->carp.n_key_bytes >= 1);
                for (guint o = 0; o < k; o++) {
                        const ConfigEntry *other = g_ptr_array_index(set->entries, o);
                        require(!g_str_equal(other->name, e->name));
                        require(!other->config || !instance_config_collides(e->config, other->config));
                }
        }
        require(n_valid == set->entries->len || config_set_n_errors(set) > 0);
        require(set->daemon.log_level >= 0 && set->daemon.log_level <= 7);
}

static void require_same(const ConfigSet *a, const ConfigSet *b) {
        require(a->entries->len == b->entries->len && a->diagnostics->len == b->diagnostics->len);
        for (guint k = 0; k < a->entries->len; k++) {
                const ConfigEntry *one = g_ptr_array_index(a->entries, k), *two = g_ptr_array_index(b->entries, k);

                require(g_str_equal(one->name, two->name) && !one->config == !two->config);
                require(!one->config || instance_config_equal(one->config, two->config));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        g_autofree char *text = NULL, *a = NULL, *b = NULL;
        g_auto(GStrv) parts = NULL;
        g_autoptr(ConfigSet) set = NULL, again = NULL;
        size_t n;

        if (n_bytes > CONFIG_FILE_BYTES_MAX)
                return 0;
        if (!root)
                set_up();
        text = g_strndup((const char *) data, n_bytes);
        defuse(text);
        parts = g_strsplit(text, SEPARATOR, G_N_ELEMENTS(files));
        n = g_strv_length(parts);
        for (size_t k = 0; k < G_N_ELEMENTS(files); k++)
                write_file(k, k < n ? parts[k] : NULL);
        a = g_build_filename(root, "a", NULL);
        b = g_build_filename(root, "b", NULL);
        set = config_load((const char *const[]) { a, b, NULL }, NULL);
        again = config_load((const char *const[]) { a, b, NULL }, NULL);
        require_sound(set);
        require_same(set, again);
        return 0;
}
