/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Files in the runtime directory by which whoever comes after a dead process knows what it held. One that cannot be written, as the directory is
 * read-only, full, or not there yet, is tried again every second until it can. */
#include <glib.h>
#include <systemd/sd-event.h>

typedef struct Notes Notes;

/* directory: NULL: nothing is noted */
int notes_new(Notes **ret, sd_event *event, const char *directory);
Notes *notes_free(Notes *n); /* the files stay */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Notes, notes_free)

/* Makes the files ours as long as n lives; where that cannot be done yet, it is later, and before anything is written. 0; -EWOULDBLOCK: they are
 * those of another process that lives, and not to be touched. Waits a second for whoever cleans up. */
int notes_lock(Notes *n);
/* The same for whoever cleans up: does not wait, makes no lock, goes on where there is none, and tells nobody of what it cannot write. */
int notes_lock_for_cleanup(Notes *n);

void notes_set(Notes *n, const char *file, const char *text); /* text: NULL: there is to be no such file */
typedef void (*NotesEach)(void *userdata, const char *file, const char *text);
/* Those with one of these suffixes (NULL: the last) that can be read; each may set them anew. Other files there are others' business. */
void notes_each(const Notes *n, const char *const *suffixes, NotesEach each, void *userdata);
