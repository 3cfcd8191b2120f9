/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Text as a terminal shows it: its width, cut to a width, broken into lines, without what a terminal would obey. */
#include <glib.h>

char *text_clean(const char *text);                     /* one line of valid UTF-8 without control characters; the caller frees it */
unsigned text_width(const char *text);                  /* in columns of a terminal */
char *text_ellipsize(const char *text, unsigned width); /* at most that wide; the caller frees it */
/* Appends the text, from column `indent` on, broken at spaces where it would pass `columns`; 0: never. */
void text_wrap(GString *out, const char *text, unsigned indent, unsigned columns);
