/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "config-address.h"
#include "config-file.h"
#include "config-keys.h"
#include "fuzz.h"

/* Any bytes as a .vip file: either a configuration within its limits, or at least one error; the same on every reading, and no
 * more diagnostics than it has bytes, each of which can be shown. Knows the limits, not the grammar. */

#define FILE_NAME "fuzz.vip"
#define LINE_BYTES_MAX 1000
#define N_WHOLE_FILE_DIAGNOSTICS_MAX 16 /* what is missing; anything else takes at least a byte */

static void require(bool truth) {
        if (!truth)
                abort();
}

/* The input must not choose which file of this machine is opened. */
static void redirect_files(GPtrArray *assignments) {
        for (guint k = 0; k < assignments->len; k++) {
                ConfigAssignment *a = g_ptr_array_index(assignments, k);

                if (!a->key || !g_str_equal(a->key, "PassphraseFile") || !g_path_is_absolute(a->value))
                        continue;
                g_free(a->value);
                a->value = g_strdup("/dev/null/none");
        }
}

static InstanceConfig *read_text(ConfigSet *set, const uint8_t *data, size_t n_bytes) {
        g_autoptr(GPtrArray) assignments = g_ptr_array_new_with_free_func(config_assignment_free);
        ConfigEntry *e = config_entry_new("fuzz");

        config_file_scan(assignments, set, "fuzz", FILE_NAME, (const char *) data, n_bytes);
        redirect_files(assignments);
        config_keys_apply(set, e, FILE_NAME, assignments, NULL);
        g_ptr_array_add(set->entries, e);
        return e->config;
}

static void require_limits(const InstanceConfig *c) {
        require(c->n_addresses >= 1 && c->n_addresses <= CONFIG_ADDRESSES_MAX);
        for (size_t k = 0; k < c->n_addresses; k++)
                require(!config_prefix_problem(&c->addresses[k]));
        require(c->interface[0] != '\0' && memchr(c->interface, '\0', sizeof(c->interface)));
        require(c->carp.vhid >= 1 && c->carp.advbase <= 254 && c->carp.advskew <= 254);
        require(c->carp.dead_ratio >= 1 && c->carp.dead_ratio <= 255);
        require(c->carp.n_key_bytes >= 1 && c->carp.n_key_bytes <= CARP_PASSPHRASE_BYTES_MAX);
        require(c->carp.n_peers <= CONFIG_PEERS_MAX);
        require(c->announce.count >= 1 && c->announce.count <= 100 && c->announce.interval_usec >= 1000);
        require(c->takeover.demote_hold_usec >= 1000);
        require(c->takeover.unit_timeout_usec > 0 && c->takeover.unit_timeout_usec <= UINT64_C(3600000000));
        /* sums of times and a clock must not wrap */
        require(c->carp.preempt_delay_usec <= UINT64_MAX / 2 && c->announce.interval_usec <= UINT64_MAX / 2);
        require(c->lease != CONFIG_LEASE_FIXED || (c->lease_sec >= 1 && c->lease_sec <= 86400));
}

static void require_showable(const ConfigSet *set) {
        for (guint k = 0; k < set->diagnostics->len; k++) {
                g_autofree char *line = config_diagnostic_format(g_ptr_array_index(set->diagnostics, k));

                require(g_utf8_validate(line, -1, NULL) && strlen(line) <= LINE_BYTES_MAX);
                for (const char *p = line; *p; p = g_utf8_next_char(p))
                        require(!g_unichar_iscntrl(g_utf8_get_char(p)));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        static const char *const no_directories[] = { NULL };
        g_autoptr(ConfigSet) set = config_load(no_directories, NULL);
        g_autoptr(ConfigSet) again_set = config_load(no_directories, NULL);
        const InstanceConfig *c, *again;

        if (n_bytes > CONFIG_FILE_BYTES_MAX)
                return 0;
        c = read_text(set, data, n_bytes);
        again = read_text(again_set, data, n_bytes);
        require(set->diagnostics->len == again_set->diagnostics->len);
        require((c == NULL) == (again == NULL));
        require(c || config_set_n_errors(set) > 0);
        require_showable(set);
        require(set->diagnostics->len <= n_bytes + N_WHOLE_FILE_DIAGNOSTICS_MAX);
        require(set->diagnostics->len <= 2 * CONFIG_DIAGNOSTICS_PER_FILE_MAX);
        if (c) {
                require_limits(c);
                require(instance_config_equal(c, again));
        }
        return 0;
}
