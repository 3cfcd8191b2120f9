/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The one line that a report has room for. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "checker/checker-protocol.h"

/* a line of a report, and its NUL */
typedef struct Line {
        char text[CHECKER_TEXT_BYTES_MAX + 1];
} Line;

size_t line_set(Line *l, const char *bytes, size_t n_bytes); /* how long it became */
void line_format(Line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
void line_format_va(Line *l, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
void line_duration(Line *l, uint64_t usec); /* "2s", "500ms" */
void line_error(Line *l, int error);        /* "connection refused"; error: positive errno */
