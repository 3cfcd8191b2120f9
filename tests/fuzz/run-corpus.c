/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

/* run-corpus DIRECTORY: every file of it once through a fuzz target, as TAP. Knows no target; one that is not satisfied aborts. */

static int compare_names(const void *a, const void *b) {
        return g_strcmp0(*(char *const *) a, *(char *const *) b);
}

static GPtrArray *list(const char *directory) {
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir)))
                g_ptr_array_add(names, g_strdup(name));
        g_ptr_array_sort(names, compare_names);
        return names;
}

static bool run(const char *directory, const char *name) {
        g_autofree char *path = g_build_filename(directory, name, NULL), *text = NULL;
        g_autofree uint8_t *exact = NULL;
        gsize n;

        if (!g_file_get_contents(path, &text, &n, NULL))
                return false;
        /* without the NUL that GLib appends, so that a sanitizer sees a read behind the end */
        exact = g_memdup2(text, n);
        return LLVMFuzzerTestOneInput(exact, n) == 0;
}

int main(int argc, char **argv) {
        g_autoptr(GPtrArray) names = NULL;
        int r = EXIT_SUCCESS;

        if (argc != 2) {
                (void) fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
                return 2;
        }
        names = list(argv[1]);
        if (names->len == 0) {
                printf("Bail out! there is no file in %s\n", argv[1]);
                return EXIT_FAILURE;
        }
        printf("TAP version 13\n1..%u\n", names->len);
        for (guint k = 0; k < names->len; k++) {
                const char *name = g_ptr_array_index(names, k);
                bool ok;

                (void) fflush(stdout);
                ok = run(argv[1], name);
                printf("%s %u - %s\n", ok ? "ok" : "not ok", k + 1, name);
                if (!ok)
                        r = EXIT_FAILURE;
        }
        return r;
}
