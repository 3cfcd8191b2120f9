/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What an instance's condition means, and what to do about it, in words for people. */
#include <glib.h>

#include "ctl/terminal.h"
#include "ctl/view.h"

const char *words_reason(const char *reason); /* NULL: a word that this vipctl does not know */
char *words_why(const View *v); /* reason and sentence, as status shows them; the caller frees it */
/* One sentence, or NULL when nothing is wrong; the caller frees it. kernel: the KernelAddress of the instance's host, NULL: not known. */
char *words_advice(const View *v, const GPtrArray *kernel);
/* For a table, a few words of each piece of advice, and more; or NULL; the caller frees it. */
char *words_note(const View *v, const GPtrArray *kernel);
Color words_color(const View *v); /* of its state */
