/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "notes.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/file.h>

#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/time-util.h"

/* Whose these files are says a lock, which dies with its process: a second vipd, which does not start, and an untimely cleanup take nothing from the
 * first. So nothing is written without it. Two in one directory would most likely be two of the same elections, which do not hear each other on one
 * host: both masters, and each takes away the addresses of the other when it leaves. */

#define LOCK "lock"
#define LOCK_USEC USEC_PER_SEC
#define LOCK_AGAIN_MSEC 10
#define AGAIN_USEC USEC_PER_SEC
#define FILES_PER_PASS 16 /* of those that had to wait: adverts do not wait for a thousand */

struct Notes {
        char *directory;
        AutoFd lock; /* or -errno: why there is none */
        bool for_cleanup;
        int told; /* the error that the last warning was about */
        GHashTable *missing; /* file -> text, as it is to be */
        sd_event_source *again;
};

/* The file is the owner's alone: whoever can open it can keep others from locking it. It is not written: where nothing can be, it locks all the same.
 * But NFS wants it open for writing (flock(2)). */
static int lock(Notes *n, int flags) {
        g_autofree char *path = g_build_filename(n->directory, LOCK, NULL);
        g_auto(AutoFd) fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);

        if (fd < 0 && errno == EROFS && (fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
                errno = EROFS;
        n->lock = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : g_steal_fd(&fd);
        return MIN(n->lock, 0);
}

/* GLib's word for it is lost on those who look up an errno. */
static int errno_of(const GError *error) {
        static const struct {
                int code, number;
        } codes[] = {
                { G_FILE_ERROR_ACCES, EACCES }, { G_FILE_ERROR_PERM, EPERM }, { G_FILE_ERROR_NOENT, ENOENT }, { G_FILE_ERROR_NOTDIR, ENOTDIR },
                { G_FILE_ERROR_ISDIR, EISDIR }, { G_FILE_ERROR_ROFS, EROFS }, { G_FILE_ERROR_NOSPC, ENOSPC }, { G_FILE_ERROR_LOOP, ELOOP },
                { G_FILE_ERROR_NAMETOOLONG, ENAMETOOLONG }, { G_FILE_ERROR_MFILE, EMFILE }, { G_FILE_ERROR_NFILE, ENFILE },
        };

        for (size_t k = 0; error->domain == G_FILE_ERROR && k < G_N_ELEMENTS(codes); k++)
                if (codes[k].code == error->code)
                        return codes[k].number;
        return EIO;
}

static int put(const Notes *n, const char *file, const char *text) {
        g_autofree char *path = g_build_filename(n->directory, file, NULL);
        g_autoptr(GError) error = NULL;

        if (!text)
                return g_unlink(path) < 0 && errno != ENOENT ? -errno : 0;
        return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error) ? 0 : -errno_of(error);
}

static void tell_missing(Notes *n, int error) {
        n->told = error;
        if (error == -ENOENT)
                log_warning("%s does not exist: what is held is not noted there, and who cleans up after a crash will not find it; create it for this "
                            "user, or name another by --runtime-dir=",
                            n->directory);
        else
                log_warning_errno(error,
                                  "What is held could not be noted in %s, and who cleans up after a crash will not find it; it is tried again every "
                                  "second: %m",
                                  n->directory);
}

static void rest(Notes *n, uint64_t usec) {
        (void) sd_event_source_set_time_relative(n->again, usec);
        (void) sd_event_source_set_enabled(n->again, SD_EVENT_ONESHOT);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Notes *n = userdata;
        GHashTableIter iter;
        void *file, *text;
        int r = n->lock < 0 ? lock(n, O_CREAT) : 0;
        bool locked = r >= 0;

        g_hash_table_iter_init(&iter, n->missing);
        for (int left = FILES_PER_PASS; locked && left > 0 && g_hash_table_iter_next(&iter, &file, &text); left--) {
                int error = put(n, file, text);

                if (error >= 0)
                        g_hash_table_iter_remove(&iter);
                else
                        r = error;
        }
        if (g_hash_table_size(n->missing) == 0) {
                log_notice("What is held is noted in %s now", n->directory);
                return 0;
        }
        if (r < 0 && r != n->told)
                tell_missing(n, r);
        rest(n, r < 0 ? AGAIN_USEC : 0);
        return 0;
}

int notes_new(Notes **ret, sd_event *event, const char *directory) {
        g_autoptr(Notes) n = g_new0(Notes, 1);
        int r = 0;

        n->lock = -ENOLCK;
        n->directory = g_strdup(directory);
        n->missing = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        if (directory)
                r = sd_event_add_time_relative(event, &n->again, CLOCK_BOOTTIME, 0, 1, on_again, n);
        if (r >= 0 && directory)
                r = sd_event_source_set_priority(n->again, EVENT_PRIORITY_IDLE);
        if (r >= 0 && directory)
                r = sd_event_source_set_enabled(n->again, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&n);
        return 0;
}

Notes *notes_free(Notes *n) {
        if (!n)
                return NULL;
        sd_event_source_disable_unref(n->again);
        g_hash_table_unref(n->missing);
        auto_fd_clear(&n->lock);
        g_free(n->directory);
        g_free(n);
        return NULL;
}

int notes_lock(Notes *n) {
        uint64_t end_usec = clock_usec() + LOCK_USEC;
        int r = 0;

        if (!n->directory)
                return 0;
        while ((r = lock(n, O_CREAT)) == -EWOULDBLOCK && clock_usec() < end_usec)
                (void) poll(NULL, 0, LOCK_AGAIN_MSEC);
        if (r == -EWOULDBLOCK)
                log_error("Another vipd runs, and %s is its directory. A second one beside it needs others, by --config-dir=, --runtime-dir= and "
                          "--state-dir=, and no VHID that the first one has on the same interface",
                          n->directory);
        return r == -EWOULDBLOCK ? r : 0;
}

int notes_lock_for_cleanup(Notes *n) {
        n->for_cleanup = true;
        return lock(n, 0) == -EWOULDBLOCK ? -EWOULDBLOCK : 0;
}

void notes_set(Notes *n, const char *file, const char *text) {
        int r;

        if (!n->directory)
                return;
        r = n->lock < 0 && !n->for_cleanup ? n->lock : put(n, file, text);
        if (r >= 0)
                g_hash_table_remove(n->missing, file);
        if (r >= 0 || n->for_cleanup)
                return;
        if (g_hash_table_size(n->missing) == 0) {
                tell_missing(n, r);
                rest(n, AGAIN_USEC);
        }
        g_hash_table_replace(n->missing, g_strdup(file), g_strdup(text));
}

static bool has_suffix(const char *file, const char *const *suffixes) {
        for (; *suffixes; suffixes++)
                if (g_str_has_suffix(file, *suffixes))
                        return true;
        return false;
}

void notes_each(const Notes *n, const char *const *suffixes, NotesEach each, void *userdata) {
        g_autoptr(GDir) dir = n->directory ? g_dir_open(n->directory, 0, NULL) : NULL;
        const char *file;

        while (dir && (file = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(n->directory, file, NULL), *text = NULL;

                if (has_suffix(file, suffixes) && g_file_get_contents(path, &text, NULL, NULL))
                        each(userdata, file, text);
        }
}
