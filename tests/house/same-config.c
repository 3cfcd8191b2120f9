/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "config-load.h"

/* same-config DIR DIR: prints the names of the instances that a reload from one directory to the other would change, and of those that are not valid in
 * both; "vipd.conf" if that differs. For tests that know a default by its word only. */

static bool is_same(const ConfigEntry *a, const ConfigEntry *b) {
        return a->config && b->config && instance_config_equal(a->config, b->config);
}

int main(int argc, char **argv) {
        if (argc != 3)
                return 2;
        g_autoptr(ConfigSet) a = config_load((const char *const[]) { argv[1], NULL }, NULL);
        g_autoptr(ConfigSet) b = config_load((const char *const[]) { argv[2], NULL }, NULL);

        for (guint k = 0; k < MAX(a->entries->len, b->entries->len); k++) {
                const ConfigEntry *e = k < a->entries->len ? g_ptr_array_index(a->entries, k) : NULL;
                const ConfigEntry *f = k < b->entries->len ? g_ptr_array_index(b->entries, k) : NULL;

                if (!e || !f || !g_str_equal(e->name, f->name))
                        return 2;
                if (!is_same(e, f))
                        puts(e->name);
        }
        if (a->daemon.log_level != b->daemon.log_level)
                puts("vipd.conf");
        return EXIT_SUCCESS;
}
