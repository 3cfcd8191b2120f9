/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Writes and removes small files without the loop waiting for a disk. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct PersistWriter PersistWriter;

/* What to write over a file that holds something else than we wrote last, or that was there before us: text, with what is still true of found. NULL:
 * nothing of it is. Caller frees. Called in the child that writes, and again, when it has, in the process itself. */
typedef char *(*PersistMerge)(const char *text, const char *found);
/* That is written now, and more than text. */
typedef void (*PersistMerged)(void *userdata, const char *name, const char *found);
#define PERSIST_FOUND_BYTES_MAX 4096 /* nothing is true of a longer one */

/* SIGCHLD must be blocked in the whole process. */
int persist_writer_new(PersistWriter **ret, sd_event *event, const char *directory, PersistMerge merge, PersistMerged merged, void *userdata);
PersistWriter *persist_writer_free(PersistWriter *w); /* what was not written is forgotten; see persist_writer_drain() */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PersistWriter, persist_writer_free)

/* Makes the file hold text, or removes it if text is NULL. What waits for its turn is replaced by what comes later, and what the file holds already
 * is not written again. done: NULL, or called once from the loop (or from persist_writer_free()) with 0 or -errno. */
void persist_writer_put(PersistWriter *w, const char *name, const char *text, void (*done)(void *userdata, int error), void *userdata);
/* Was the file put in this life? *ret: what it holds, or will; NULL: it is removed. Borrowed until the next put. */
bool persist_writer_get(const PersistWriter *w, const char *name, const char **ret);
/* Calls done once when nothing waits any more, or after the timeout; at once if nothing does. A second call changes nothing. */
void persist_writer_drain(PersistWriter *w, uint64_t timeout_usec, void (*done)(void *userdata), void *userdata);
