/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the grammars of foreign configuration share: files that include files, and lines of which some are joined by backslashes. */
#include <glib.h>

#include "ctl/import.h"

typedef struct Source {
        Import *notes;
        char *(*read)(const char *path, gsize *ret_n_bytes, GError **ret_error); /* the text of a file; NULL with an error */
        void (*on_line)(void *userdata, char *text);                             /* without its end; may be changed */
        void *userdata;
        ImportAt at; /* where it is now: the first of lines that were joined; borrowed */
        unsigned n_files, depth;
} Source;

/* Each line of the file, and of those that on_line() includes. One that cannot be read is noted. */
void source_read(Source *s, const char *file);
/* From within on_line(): the files that the pattern gives, beside the one that is read unless it is absolute. expand: paths, sorted, which are
 * freed here; NULL: nothing is included. Returns how many there are, or -1: none is read, as they are nested too deeply. */
int source_include(Source *s, char **(*expand)(const char *pattern), const char *pattern);
