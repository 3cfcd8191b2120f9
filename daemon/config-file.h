/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Files to assignments: every "Key=Value" with its section, file and line, in the order in which they count. */
#include <glib.h>

#include "config-diagnose.h"

#define CONFIG_FILE_BYTES_MAX (64 << 10)
#define CONFIG_SECTION_BYTES_MAX 128 /* [Check NAME] is the longest */

typedef struct ConfigAssignment {
        char *section;
        char *key;   /* NULL: the section header itself */
        char *value; /* without a trailing comment, except behind Passphrase= and Description= */
        char *file;
        unsigned line;
} ConfigAssignment;

void config_assignment_free(void *assignment);
/* Appends what the text says. instance: for the diagnostics, or NULL. */
void config_file_scan(GPtrArray *assignments, ConfigSet *set, const char *instance, const char *file, const char *text, gsize n_bytes);
/* The same of a file; false if it could not be read (said). */
bool config_file_read(GPtrArray *assignments, ConfigSet *set, const char *instance, const char *file);
/* Paths of the files named *SUFFIX in directories/SUBDIRECTORY, one per name from the first directory that has it, sorted by name; those masked
 * by a link to /dev/null left out. subdirectory: NULL for none. instance: for the diagnostics, or NULL. */
GPtrArray *config_file_list(ConfigSet *set, const char *instance, const char *const *directories, const char *subdirectory, const char *suffix);
