/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Gives what a verb has to say to whoever reads it: a pager on a terminal, or standard output. */
#include "ctl/ctl.h"

/* The whole text. It is an error that it could not be written, unless a pager was left early. */
CtlExit output_page(const Ctl *c, const char *text);
CtlExit output_write(const char *text);
