/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ctl/import-ucarp.h"
#include "fuzz.h"
#include "ucarp-options.h"
#include "words.h"

/* Any lines as the words of ucarp's command line: refused, or an election within its limits; and its passphrase does not stay in the list of
 * processes. `vipctl import` makes of the same words an instance, or says why not. */

static void require(bool truth) {
        if (!truth)
                abort();
}

/* One word per line; relative paths lead nowhere. */
static GPtrArray *split(const uint8_t *data, size_t n_bytes) {
        GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *text = g_strndup((const char *) data, n_bytes);
        g_auto(GStrv) lines = NULL;

        defuse_paths(text, strlen(text));
        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++)
                g_ptr_array_add(words, g_strdup(*line));
        return words;
}

static void require_limits(const InstanceConfig *c) {
        require(c->carp.vhid >= 1 && c->n_addresses == 1 && c->addresses[0].address.family == AF_INET && c->addresses[0].prefix_length == 32);
        require(c->carp.source_ipv4.family == AF_INET && !ip_address_is_unusable(&c->carp.source_ipv4));
        require(!ip_address_is_unusable(&c->addresses[0].address));
        require(c->carp.n_key_bytes >= 1 && c->carp.n_key_bytes <= CARP_PASSPHRASE_BYTES_MAX && c->carp.dead_ratio >= 1);
        require((c->carp.advbase > 0 || c->carp.advskew > 0) && !(c->carp.advbase == 255 && c->carp.advskew == 255));
        require(memchr(c->interface, '\0', sizeof(c->interface)));
        require(!c->takeover.up_script || g_path_is_absolute(c->takeover.up_script));
        require(!c->takeover.down_script || g_path_is_absolute(c->takeover.down_script));
}

static void try_daemon(GPtrArray *words) {
        g_autoptr(GPtrArray) argv = g_ptr_array_copy(words, (GCopyFunc) (void (*)(void)) g_strdup, NULL);
        UcarpOptions o = { 0 };

        g_ptr_array_set_free_func(argv, g_free);
        g_ptr_array_insert(argv, 0, g_strdup("ucarp"));
        g_ptr_array_add(argv, NULL);
        if (ucarp_options_parse((int) argv->len - 1, (char **) argv->pdata, &o) != UCARP_OUTCOME_RUN) {
                require(!o.config);
                return;
        }
        require_limits(o.config);
        ucarp_options_clear(&o);
}

static void try_import(GPtrArray *words) {
        g_autoptr(Import) i = import_new("Head.");

        g_ptr_array_add(words, NULL);
        import_ucarp(i, (ImportAt) { 0 }, (char *const *) words->pdata, NULL);
        require(i->instances->len == 1 || (i->instances->len == 0 && import_n_lost(i) > 0));
        if (i->instances->len == 1) {
                g_autofree char *text = import_render(i, g_ptr_array_index(i->instances, 0), "/etc/vipd");

                require(strstr(text, "\nVHID="));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        g_autoptr(GPtrArray) words = split(data, n_bytes);

        silence();
        try_daemon(words);
        try_import(words);
        return 0;
}
