/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What those harnesses share whose parsers open files that their input names, and tell people what they think of it. */
#include <getopt.h>
#include <glib.h>

#include "util/log.h"

/* A slash stays between digits, as in 192.0.2.1/24, and is a dash elsewhere: an input must not choose which file of this machine is opened. */
static inline void defuse_paths(char *text, size_t n) {
        for (size_t k = 0; k < n; k++)
                if (text[k] == '/' && !(k > 0 && k + 1 < n && g_ascii_isdigit(text[k - 1]) && g_ascii_isdigit(text[k + 1])))
                        text[k] = '-';
}

/* Standard error is the fuzzer's. */
static inline void silence(void) {
        opterr = 0;
        log_set_max_level(LOG_EMERG);
}
