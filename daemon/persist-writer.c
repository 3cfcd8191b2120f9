/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "persist-writer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/child.h"
#include "util/drain.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/time-util.h"

/* A disk may be full, or answer tomorrow. So each file is written by a child of its own that may hang as it likes: one at a time, watched, killed
 * when it takes too long, dead with us. Beside and renamed, so that the file is always the old one or the new one as a whole, and synced, so that
 * it is there after a power cut. What is to be written meanwhile is kept in memory, the latest per file. A file system may be mounted over the
 * directory, and what we began with was not what we had kept: so the child looks first whether the file is still as we left it. Knows no content. */

#define OVERDUE_USEC (10 * USEC_PER_SEC)
/* One of those that could not be written is tried again so often, and when it can, the next one at once. */
#define AGAIN_USEC USEC_PER_SEC

typedef struct Waiter {
        void (*done)(void *userdata, int error);
        void *userdata;
} Waiter;

typedef struct File {
        char *name, *path, *beside;
        char *text;      /* what it is to hold; NULL: it is to be gone */
        char *written;   /* what it held when we wrote it last; NULL: we never did */
        bool waits;      /* for its turn */
        bool failed;     /* it may hold something else */
        uint64_t tried;  /* when, in the order of all */
        GArray *waiters; /* Waiter: of what waits */
} File;

/* Memory of the child and ours: what it found instead of what we wrote. */
typedef struct Found {
        char text[PERSIST_FOUND_BYTES_MAX + 1]; /* empty: nothing */
} Found;

struct PersistWriter {
        sd_event *event;
        char *directory;
        PersistMerge merge;
        PersistMerged merged;
        void *userdata;
        GHashTable *files; /* name → File */
        GQueue queue;      /* File *, those that wait */

        File *writing; /* NULL: no child */
        char *writing_text;
        Found *found;
        GArray *writing_waiters;
        pid_t pid;
        bool killed, failing;
        unsigned n_failed;
        uint64_t n_tried;
        sd_event_source *child, *overdue, *again;

        Drain drain;
};

static void file_free(void *data) {
        File *f = data;

        g_array_unref(f->waiters);
        g_free(f->name);
        g_free(f->path);
        g_free(f->beside);
        g_free(f->text);
        g_free(f->written);
        g_free(f);
}

int persist_writer_new(PersistWriter **ret, sd_event *event, const char *directory, PersistMerge merge, PersistMerged merged, void *userdata) {
        Found *found = mmap(NULL, sizeof(Found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        PersistWriter *w;

        if (found == MAP_FAILED)
                return -errno;
        w = g_new0(PersistWriter, 1);
        w->found = found;
        w->merge = merge;
        w->merged = merged;
        w->userdata = userdata;
        w->event = sd_event_ref(event);
        w->directory = g_strdup(directory);
        w->files = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, file_free);
        g_queue_init(&w->queue);
        *ret = w;
        return 0;
}

static void tell(GArray *waiters, int error) {
        for (guint k = 0; k < waiters->len; k++) {
                const Waiter *x = &g_array_index(waiters, Waiter, k);

                x->done(x->userdata, error);
        }
        g_array_set_size(waiters, 0);
}

static void tell_all(PersistWriter *w, int error) {
        GHashTableIter iter;
        gpointer file;

        if (w->writing_waiters)
                tell(w->writing_waiters, error);
        g_hash_table_iter_init(&iter, w->files);
        while (g_hash_table_iter_next(&iter, NULL, &file))
                tell(((File *) file)->waiters, error);
}

PersistWriter *persist_writer_free(PersistWriter *w) {
        if (!w)
                return NULL;
        tell_all(w, -ECANCELED);
        sd_event_source_disable_unref(w->child);
        sd_event_source_disable_unref(w->overdue);
        sd_event_source_disable_unref(w->again);
        drain_clear(&w->drain);
        if (w->writing_waiters)
                g_array_unref(w->writing_waiters);
        g_queue_clear(&w->queue);
        g_hash_table_unref(w->files);
        g_free(w->writing_text);
        (void) munmap(w->found, sizeof(Found));
        g_free(w->directory);
        sd_event_unref(w->event);
        g_free(w);
        return NULL;
}

static bool write_all(int fd, const char *text) {
        size_t n = strlen(text);

        while (n > 0) {
                ssize_t r = write(fd, text, n);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return false;
                text += r;
                n -= (size_t) r;
        }
        return true;
}

/* What is there, if it is a file, and not as we left it. */
static void child_look(const File *f, Found *ret) {
        int fd = open(f->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
        struct stat st;
        ssize_t n;

        if (fd < 0)
                return;
        n = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ? 0 : read(fd, ret->text, sizeof(ret->text));
        (void) close(fd);
        if (n <= 0 || (size_t) n == sizeof(ret->text)) {
                ret->text[0] = '\0';
                return;
        }
        ret->text[n] = '\0';
        if (f->written && strcmp(ret->text, f->written) == 0)
                ret->text[0] = '\0';
}

/* Never into what is there: it may be a fifo, or a link to somewhere else. */
static int child_write(const File *f, const char *text) {
        int fd, error;

        (void) unlink(f->beside);
        fd = open(f->beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return errno;
        if (write_all(fd, text) && fsync(fd) == 0 && rename(f->beside, f->path) == 0)
                return 0;
        error = errno;
        (void) unlink(f->beside);
        return error;
}

/* Between fork and exit. Holds nothing of ours: a hung child that kept our sockets would keep our name on the bus. */
static void __attribute__((noreturn)) child_run(const PersistWriter *w, const File *f, pid_t parent) {
        int error = 0, fd;

        /* whoever comes after us must not find its file replaced by ours */
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(ECANCELED);
        (void) close_range(0, ~0U, 0);
        if (f->text) {
                char *merged;

                child_look(f, w->found);
                merged = *w->found->text ? w->merge(f->text, w->found->text) : NULL;
                error = child_write(f, merged ?: f->text);
        } else if (unlink(f->path) < 0 && errno != ENOENT)
                error = errno;
        fd = error == 0 ? open(w->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        if (fd >= 0)
                (void) fsync(fd);
        _exit(error);
}

static void check_drained(PersistWriter *w) {
        if (!w->writing)
                drain_end(&w->drain);
}

/* What is to be in the file next must not know less than what was found there. */
static void keep_found(const PersistWriter *w, File *f) {
        char *text = f->text ? w->merge(f->text, w->found->text) : NULL;

        if (!text)
                return;
        g_free(f->text);
        f->text = text;
}

/* After the child has written: what is in the file. */
static void note_written(PersistWriter *w, File *f, const char *text) {
        g_autofree char *merged = *w->found->text ? w->merge(text, w->found->text) : NULL;
        bool more = merged && !g_str_equal(merged, text);

        g_free(f->written);
        f->written = g_strdup(more ? merged : text);
        if (!more)
                return;
        keep_found(w, f);
        w->merged(w->userdata, f->name, w->found->text);
}

static void next(PersistWriter *w);

/* In turns: one that can never be written keeps no other from it. */
static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        PersistWriter *w = userdata;
        GHashTableIter iter;
        File *longest = NULL;
        void *value;

        g_hash_table_iter_init(&iter, w->files);
        while (g_queue_is_empty(&w->queue) && !w->writing && g_hash_table_iter_next(&iter, NULL, &value)) {
                File *f = value;

                if (f->failed && (!longest || f->tried < longest->tried))
                        longest = f;
        }
        if (longest) {
                longest->waits = true;
                g_queue_push_tail(&w->queue, longest);
        }
        next(w);
        return 0;
}

/* A disk that stays full is told once, and once that it is not any more. */
static void finish(PersistWriter *w, File *f, int error) {
        g_autoptr(GArray) waiters = g_steal_pointer(&w->writing_waiters);
        g_autofree char *text = g_steal_pointer(&w->writing_text);

        if (error < 0 && !w->failing)
                log_warning_errno(error, "%s cannot be written, and is forgotten at the next start if it stays so: %m", f->path);
        else if (error == 0 && w->failing)
                log_info("%s is written again", f->path);
        w->failing = error < 0;
        w->writing = NULL;
        w->pid = 0;
        f->tried = ++w->n_tried;
        w->n_failed -= f->failed;
        f->failed = error < 0;
        w->n_failed += f->failed;
        w->again = sd_event_source_disable_unref(w->again);
        if (w->n_failed > 0)
                (void) sd_event_add_time_relative(w->event, &w->again, CLOCK_BOOTTIME, error < 0 ? AGAIN_USEC : 0, 1, on_again, w);
        /* who is told may put the next text, which is written at once */
        if (error == 0)
                note_written(w, f, text);
        tell(waiters, error);
}

static int on_child(sd_event_source *source, const siginfo_t *si, void *userdata) {
        PersistWriter *w = userdata;
        int error = si->si_code == CLD_EXITED ? -si->si_status : w->killed ? -ETIMEDOUT : -EIO;

        w->child = sd_event_source_disable_unref(w->child);
        w->overdue = sd_event_source_disable_unref(w->overdue);
        finish(w, w->writing, error);
        next(w);
        check_drained(w);
        return 0;
}

/* A child in the middle of a disk that does not answer may not even die. Until it does, nothing else is written, and nobody shall wait. */
static int on_overdue(sd_event_source *source, uint64_t usec, void *userdata) {
        PersistWriter *w = userdata;

        w->overdue = sd_event_source_disable_unref(w->overdue);
        w->killed = true;
        (void) kill(w->pid, SIGKILL);
        tell_all(w, -ETIMEDOUT);
        return 0;
}

static int start(PersistWriter *w, File *f) {
        pid_t parent = getpid();
        int r;

        w->killed = false;
        w->writing_text = g_strdup(f->text);
        *w->found->text = '\0';
        w->pid = child_fork(w->event, &w->child, on_child, w);
        if (w->pid < 0)
                return w->pid;
        if (w->pid == 0)
                child_run(w, f, parent);
        (void) sd_event_source_set_priority(w->child, EVENT_PRIORITY_IDLE);
        r = sd_event_add_time_relative(w->event, &w->overdue, CLOCK_BOOTTIME, OVERDUE_USEC, 0, on_overdue, w);
        if (r < 0)
                log_warning_errno(r, "No timer for the writer of %s: %m", f->path);
        return 0;
}

static void next(PersistWriter *w) {
        while (!w->writing && !g_queue_is_empty(&w->queue)) {
                File *f = g_queue_pop_head(&w->queue);
                int r;

                f->waits = false;
                w->writing = f;
                w->writing_waiters = g_steal_pointer(&f->waiters);
                f->waiters = g_array_new(false, false, sizeof(Waiter));
                r = start(w, f);
                if (r < 0)
                        finish(w, f, r);
        }
}

static File *find_or_add(PersistWriter *w, const char *name) {
        File *f = g_hash_table_lookup(w->files, name);

        if (f)
                return f;
        f = g_new0(File, 1);
        f->name = g_strdup(name);
        f->path = g_strdup_printf("%s/%s", w->directory, name);
        f->beside = g_strdup_printf("%s.new", f->path);
        f->waiters = g_array_new(false, false, sizeof(Waiter));
        g_hash_table_insert(w->files, f->name, f);
        return f;
}

void persist_writer_put(PersistWriter *w, const char *name, const char *text, void (*done)(void *userdata, int error), void *userdata) {
        bool known = g_hash_table_contains(w->files, name);
        File *f = find_or_add(w, name);

        if (known && !f->failed && !done && g_strcmp0(f->text, text) == 0)
                return;
        g_free(f->text);
        f->text = g_strdup(text);
        if (done)
                g_array_append_val(f->waiters, ((Waiter) { .done = done, .userdata = userdata }));
        if (!f->waits)
                g_queue_push_tail(&w->queue, f);
        f->waits = true;
        next(w);
}

bool persist_writer_get(const PersistWriter *w, const char *name, const char **ret) {
        const File *f = g_hash_table_lookup(w->files, name);

        *ret = f ? f->text : NULL;
        return f != NULL;
}

void persist_writer_drain(PersistWriter *w, uint64_t timeout_usec, void (*done)(void *userdata), void *userdata) {
        if (drain_begin(&w->drain, w->event, timeout_usec, "the disk", done, userdata))
                check_drained(w);
}
