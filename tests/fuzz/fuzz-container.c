/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "config-file.h"
#include "config-keys.h"
#include "container/settings.h"
#include "fuzz.h"

/* Any lines as what a container was told, those before the first empty one as arguments, the others as variables: a sentence that can be shown, or a
 * .vip file that the daemon takes without an error, for the very addresses. */

static void require(bool truth) {
        if (!truth)
                abort();
}

static void require_showable(const char *sentence) {
        require(sentence && *sentence != '\0' && g_utf8_validate(sentence, -1, NULL));
        for (const char *p = sentence; *p; p = g_utf8_next_char(p))
                require(!g_unichar_iscntrl(g_utf8_get_char(p)));
}

/* The passphrase is in a file that is not there. */
static void replace_passphrase(GPtrArray *assignments) {
        unsigned n = 0;

        for (guint k = 0; k < assignments->len; k++) {
                ConfigAssignment *a = g_ptr_array_index(assignments, k);

                if (!a->key || !g_str_equal(a->key, "PassphraseFile"))
                        continue;
                require(g_str_equal(a->value, "/run/vipd/vip.key"));
                g_free(a->key);
                g_free(a->value);
                a->key = g_strdup("Passphrase");
                a->value = g_strdup("x");
                n++;
        }
        require(n == 1);
}

static void require_accepted(const Settings *s, const char *text) {
        static const char *const no_directories[] = { NULL };
        g_autoptr(ConfigSet) set = config_load(no_directories, NULL);
        g_autoptr(GPtrArray) assignments = g_ptr_array_new_with_free_func(config_assignment_free);
        ConfigEntry *e = config_entry_new(SETTINGS_INSTANCE);

        g_ptr_array_add(set->entries, e);
        config_file_scan(assignments, set, SETTINGS_INSTANCE, "vip.vip", text, strlen(text));
        replace_passphrase(assignments);
        config_keys_apply(set, e, "vip.vip", assignments, NULL);
        require(config_set_n_errors(set) == 0 && e->config);
        require(g_str_equal(e->config->interface, *s->interface ? s->interface : "eth0") && e->config->carp.vhid == s->vhid);
        require(e->config->n_addresses == s->n_addresses &&
                ip_address_equal(&e->config->addresses[0].address, &s->addresses[0].address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        g_autofree char *text = g_strndup((const char *) data, MIN(n_bytes, CONFIG_FILE_BYTES_MAX / 4)), *sentence = NULL;
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        g_autoptr(GPtrArray) argv = g_ptr_array_new(), environment = g_ptr_array_new();
        g_auto(Settings) settings = { 0 };
        char **line = lines;

        g_ptr_array_add(argv, (void *) "vipd-container");
        for (; *line && **line != '\0'; line++)
                g_ptr_array_add(argv, *line);
        for (; *line; line++)
                if (!g_str_has_prefix(*line, "PASSWORD_FILE=")) /* an input does not choose what is opened */
                        g_ptr_array_add(environment, *line);
        g_ptr_array_add(argv, NULL);
        g_ptr_array_add(environment, NULL);
        if (settings_read((int) argv->len - 1, (char *const *) argv->pdata, (char *const *) environment->pdata, &settings, &sentence) < 0) {
                require_showable(sentence);
        } else {
                g_autofree char *file = settings_format(&settings, *settings.interface ? settings.interface : "eth0", "/run/vipd/vip.key");

                require(!sentence && settings.vhid >= 1 && settings.n_key_bytes >= 1 && settings.n_key_bytes <= CARP_PASSPHRASE_BYTES_MAX);
                require_accepted(&settings, file);
        }
        return 0;
}
