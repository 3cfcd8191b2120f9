/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "persist.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persist-writer.h"
#include "replay-state.h"
#include "util/cleanup.h"
#include "util/log.h"

/* Small files in the state directory, NAME.disabled and NAME.replay. Read when an instance is made, written by persist-writer.c whenever the
 * manager says so; what was written in this life is not read again, unless it is not what was written. */

struct Persist {
        char *state_dir;
        PersistWriter *writer; /* NULL: nothing is remembered */
        PersistFound found;
        void *userdata;
};

#define REPLAY_SUFFIX ".replay"

/* All numbers only rise: of two memories of one host, the higher of each is true. */
static char *merge(const char *text, const char *found) {
        ReplayState ours, theirs;

        if (replay_state_parse(text, strlen(text), &ours) < 0 || replay_state_parse(found, strlen(found), &theirs) < 0)
                return NULL;
        replay_import(&ours, &theirs);
        return replay_state_format(&ours);
}

static void on_merged(void *userdata, const char *file, const char *text) {
        g_autofree char *name = g_strndup(file, strlen(file) - strlen(REPLAY_SUFFIX));
        const Persist *p = userdata;
        ReplayState state;

        if (replay_state_parse(text, strlen(text), &state) < 0)
                return;
        log_warning("%s: %s/%s was not there when it was read, and is known from now on", name, p->state_dir, file);
        p->found(p->userdata, name, &state);
}

int persist_new(Persist **ret, sd_event *event, const char *state_dir, PersistFound found, void *userdata) {
        Persist *p = g_new0(Persist, 1);

        p->state_dir = g_strdup(state_dir);
        p->found = found;
        p->userdata = userdata;
        *ret = p;
        return state_dir ? persist_writer_new(&p->writer, event, state_dir, merge, on_merged, p) : 0;
}

Persist *persist_free(Persist *p) {
        if (!p)
                return NULL;
        persist_writer_free(p->writer);
        g_free(p->state_dir);
        g_free(p);
        return NULL;
}

bool persist_is_disabled(const Persist *p, const char *name) {
        g_autofree char *file = g_strdup_printf("%s.disabled", name), *path = NULL;
        const char *text;

        if (!p->writer)
                return false;
        if (persist_writer_get(p->writer, file, &text))
                return text != NULL;
        path = g_build_filename(p->state_dir, file, NULL);
        return access(path, F_OK) == 0;
}

void persist_set_disabled(Persist *p, const char *name, bool disabled, void (*done)(void *userdata, int error), void *userdata) {
        g_autofree char *file = g_strdup_printf("%s.disabled", name);

        if (p->writer)
                persist_writer_put(p->writer, file, disabled ? "" : NULL, done, userdata);
        else
                done(userdata, 0);
}

/* Without following a link or waiting for a fifo. */
static int read_state(const char *path, ReplayState *ret) {
        g_auto(AutoFd) fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
        char text[REPLAY_STATE_BYTES_MAX + 1];
        struct stat st;
        ssize_t n;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        n = read(fd, text, sizeof(text));
        return n < 0 ? -errno : replay_state_parse(text, (size_t) n, ret);
}

/* Numbers that we have most likely never used, should the file be lost, or put back from an old copy: a new one every 1/256 s since 1970, which is
 * the fastest that adverts can be. Nothing is timed by it. */
static uint64_t first_sequence(void) {
        return ((uint64_t) g_get_real_time() / 1000000 << 8) & REPLAY_SEQUENCE_MAX;
}

void persist_load_replay(const Persist *p, const char *name, ReplayState *ret) {
        g_autofree char *file = g_strdup_printf("%s" REPLAY_SUFFIX, name), *path = NULL;
        const char *text = NULL;
        int r;

        *ret = (ReplayState) { .next = first_sequence() };
        if (!p->writer)
                return;
        path = g_build_filename(p->state_dir, file, NULL);
        if (persist_writer_get(p->writer, file, &text) && text)
                r = replay_state_parse(text, strlen(text), ret);
        else
                r = read_state(path, ret);
        ret->next = MAX(ret->next, first_sequence());
        if (r == -ENOENT)
                log_info("%s: nothing is known yet about the adverts of others, so that old ones may be believed until new ones are heard", name);
        else if (r < 0)
                log_warning_errno(r, "%s: %s cannot be used, so that old adverts may be believed until new ones are heard: %m", name, path);
}

void persist_save_replay(Persist *p, const char *name, const ReplayState *state, bool clean) {
        g_autofree char *file = g_strdup_printf("%s" REPLAY_SUFFIX, name), *text = NULL;
        ReplayState s = *state;

        if (!p->writer)
                return;
        if (!clean)
                s.next = MIN(s.next + PERSIST_SEQUENCE_STEP, REPLAY_SEQUENCE_MAX);
        text = replay_state_format(&s);
        persist_writer_put(p->writer, file, text, NULL, NULL);
}

void persist_drain(Persist *p, uint64_t timeout_usec, void (*done)(void *userdata), void *userdata) {
        if (p->writer)
                persist_writer_drain(p->writer, timeout_usec, done, userdata);
        else
                done(userdata);
}
