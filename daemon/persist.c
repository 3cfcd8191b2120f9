/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "persist.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "util/cleanup.h"

/* Small files in the state directory, NAME.disabled and NAME.sequence. Written by the manager outside of any takeover; a state directory of
 * NULL (vipd-ucarp) remembers nothing. */

static char *state_path(const char *state_dir, const char *name, const char *suffix) {
        return g_strdup_printf("%s/%s.%s", state_dir, name, suffix);
}

bool persist_is_disabled(const char *state_dir, const char *name) {
        g_autofree char *path = NULL;

        if (!state_dir)
                return false;
        path = state_path(state_dir, name, "disabled");
        return access(path, F_OK) == 0;
}

/* Written beside and renamed, so that a full disk leaves the old content. */
static int write_file(const char *path, const char *text) {
        g_autofree char *beside = g_strdup_printf("%s.new", path);
        g_auto(AutoFd) fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        size_t n = strlen(text);

        if (fd < 0)
                return -errno;
        if (write(fd, text, n) != (ssize_t) n || rename(beside, path) < 0) {
                int error = errno != 0 ? errno : EIO;

                (void) unlink(beside);
                return -error;
        }
        return 0;
}

int persist_set_disabled(const char *state_dir, const char *name, bool disabled) {
        g_autofree char *path = NULL;

        if (!state_dir)
                return 0;
        path = state_path(state_dir, name, "disabled");
        if (disabled)
                return write_file(path, "");
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int persist_reserve_sequence(const char *state_dir, const char *name, uint64_t *ret) {
        g_autofree char *path = NULL, *text = NULL;
        char next[32];

        *ret = 0;
        if (!state_dir)
                return 0;
        path = state_path(state_dir, name, "sequence");
        if (g_file_get_contents(path, &text, NULL, NULL))
                *ret = g_ascii_strtoull(text, NULL, 10);
        (void) snprintf(next, sizeof(next), "%" PRIu64 "\n", *ret + PERSIST_SEQUENCE_STEP);
        return write_file(path, next);
}
