/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Where an import goes: files in a directory, or standard output, without passphrases. */
#include "ctl/ctl.h"
#include "ctl/import.h"

/* Writes NAME.vip, NAME.key (0600) and scripts; force: over what is there. What went wrong is said, and then nothing was written
 * unless the disk itself failed. */
CtlExit import_write(const Import *i, const char *directory, bool force);
/* Text for standard output: every file below a line with its name. The caller frees it. */
char *import_print(const Import *i, const char *directory);
