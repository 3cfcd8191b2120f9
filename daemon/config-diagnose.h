/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What is wrong with the configuration, as sentences that are fit for a log, a terminal and the bus. */
#include "config-load.h"

#define CONFIG_DIAGNOSTICS_PER_FILE_MAX 64 /* errors, and as many warnings; the rest is counted */

#define CONFIG_VALUE_BYTES_MAX 80 /* of a value that is quoted */

/* instance: name or NULL. line: 0 is the whole file. The sentence may hold foreign text: it is bounded and escaped. */
void config_diagnose(ConfigSet *set, bool error, const char *instance, const char *file, unsigned line, const char *format, ...)
        __attribute__((format(printf, 6, 7)));
void config_diagnostic_free(void *diagnostic);
/* Any bytes as at most n_bytes_max of printable UTF-8 without control characters; a cut ends in "...". Caller frees. */
char *config_escape(const char *text, size_t n_bytes_max);
