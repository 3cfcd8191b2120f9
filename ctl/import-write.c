/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/import-write.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/client.h"

/* Files of an import. Nothing is overwritten unless asked for; each file appears whole, under its name at last. A passphrase file belongs to the
 * user of the daemon, who has to read it, where there is one; nobody else may. */

#define PASSPHRASE_LETTERS "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
#define PASSPHRASE_LENGTH 18 /* of 19 bytes that CARP's key has */

typedef struct File {
        char *path, *text;
        mode_t mode;
        bool secret;
} File;

static void file_free(void *file) {
        File *f = file;

        if (f->secret)
                explicit_bzero(f->text, strlen(f->text));
        g_free(f->text);
        g_free(f->path);
        g_free(f);
}

static void add_file(GPtrArray *files, const char *directory, const char *name, const char *suffix, char *text, mode_t mode) {
        File *f = g_new0(File, 1);

        f->path = g_strdup_printf("%s/%s.%s", directory, name, suffix);
        f->text = text;
        f->mode = mode;
        f->secret = mode == 0600;
        g_ptr_array_add(files, f);
}

/* A line for a passphrase file; made up where there is none. NULL: no random numbers, said. */
static char *passphrase_line(const ImportInstance *v) {
        uint8_t bytes[PASSPHRASE_LENGTH];
        char *line;

        if (v->passphrase)
                return g_strdup_printf("%s\n", v->passphrase);
        if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
                client_complain("There are no random numbers for a passphrase: %s", g_strerror(errno));
                return NULL;
        }
        line = g_malloc0(PASSPHRASE_LENGTH + 2);
        for (size_t k = 0; k < PASSPHRASE_LENGTH; k++)
                line[k] = PASSPHRASE_LETTERS[bytes[k] % strlen(PASSPHRASE_LETTERS)];
        line[PASSPHRASE_LENGTH] = '\n';
        return line;
}

/* All files of an import, the .vip files last: vipd must not find one whose passphrase is not there yet. NULL: said. */
static GPtrArray *make_files(const Import *i, const char *directory) {
        g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(file_free);

        for (guint k = 0; k < i->instances->len; k++) {
                const ImportInstance *v = g_ptr_array_index(i->instances, k);
                char *line = passphrase_line(v);

                if (!line)
                        return NULL;
                add_file(files, directory, v->name, "key", line, 0600);
                if (v->up)
                        add_file(files, directory, v->name, "up", import_render_script(v, v->up), 0755);
                if (v->down)
                        add_file(files, directory, v->name, "down", import_render_script(v, v->down), 0755);
        }
        for (guint k = 0; k < i->instances->len; k++) {
                const ImportInstance *v = g_ptr_array_index(i->instances, k);

                add_file(files, directory, v->name, "vip", import_render(i, v, directory), 0644);
        }
        return g_steal_pointer(&files);
}

static int write_all(int fd, const char *text) {
        for (size_t n = strlen(text); n > 0;) {
                ssize_t written = write(fd, text, n);

                if (written < 0)
                        return -errno;
                text += written;
                n -= (size_t) written;
        }
        return 0;
}

/* Root's files are of no use to the daemon if it may not read them. */
static int own_secret(int fd) {
        const struct passwd *daemon = geteuid() == 0 ? getpwnam("vipd") : NULL;

        return daemon && fchown(fd, daemon->pw_uid, daemon->pw_gid) < 0 ? -errno : 0;
}

static int write_file(const File *f, bool force) {
        g_autofree char *temporary = g_strdup_printf("%s.new", f->path);
        int fd, r;

        /* what is left of an earlier attempt is ours to remove */
        (void) unlink(temporary);
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = f->secret ? own_secret(fd) : 0;
        if (r >= 0)
                r = write_all(fd, f->text);
        if (r >= 0 && (fchmod(fd, f->mode) < 0 || fsync(fd) < 0))
                r = -errno;
        if (close(fd) < 0 && r >= 0)
                r = -errno;
        if (r >= 0 && (force ? rename(temporary, f->path) : link(temporary, f->path)) < 0)
                r = -errno;
        (void) unlink(temporary);
        return r;
}

static bool is_free(const GPtrArray *files) {
        bool free = true;

        for (guint k = 0; k < files->len; k++) {
                const File *f = g_ptr_array_index(files, k);
                struct stat st;

                if (lstat(f->path, &st) < 0)
                        continue;
                client_complain("%s exists; --force overwrites it", f->path);
                free = false;
        }
        return free;
}

CtlExit import_write(const Import *i, const char *directory, bool force) {
        g_autoptr(GPtrArray) files = NULL;

        if (g_mkdir_with_parents(directory, 0755) < 0) {
                client_complain("The directory %s cannot be made: %s", directory, g_strerror(errno));
                return CTL_FAILED;
        }
        files = make_files(i, directory);
        if (!files || (!force && !is_free(files)))
                return CTL_FAILED;
        for (guint k = 0; k < files->len; k++) {
                const File *f = g_ptr_array_index(files, k);
                int r = write_file(f, force);

                if (r < 0) {
                        client_complain("%s cannot be written: %s", f->path, g_strerror(-r));
                        return CTL_FAILED;
                }
                printf("%s\n", f->path);
        }
        return CTL_DONE;
}

static void print_file(GString *out, const char *directory, const char *name, const char *suffix, const char *text) {
        g_string_append_printf(out, "%s# ==== %s/%s.%s\n%s", out->len > 0 ? "\n" : "", directory, name, suffix, text);
}

char *import_print(const Import *i, const char *directory) {
        GString *out = g_string_new(NULL);

        for (guint k = 0; k < i->instances->len; k++) {
                const ImportInstance *v = g_ptr_array_index(i->instances, k);
                g_autofree char *vip = import_render(i, v, directory), *up = v->up ? import_render_script(v, v->up) : NULL;
                g_autofree char *down = v->down ? import_render_script(v, v->down) : NULL;

                print_file(out, directory, v->name, "vip", vip);
                print_file(out, directory, v->name, "key", v->passphrase ? "# the passphrase; not shown\n" : "# a passphrase, made up; not shown\n");
                if (up)
                        print_file(out, directory, v->name, "up", up);
                if (down)
                        print_file(out, directory, v->name, "down", down);
        }
        return g_string_free(out, FALSE);
}
