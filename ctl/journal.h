/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the journal last said of an instance. */
#include <glib.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct JournalLine {
        uint64_t realtime_usec;
        int priority; /* as syslog has it */
        char *message;
} JournalLine;

/* The last n lines about the instance that the user `uid` wrote, oldest first; the caller frees them.
 * 0; -EACCES: the caller may not read the journal; -ENOENT: there is none; another negative errno. */
int journal_tail(const char *instance, uid_t uid, unsigned n, GPtrArray **ret);
