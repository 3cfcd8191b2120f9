/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* keepalived.conf to instances: what has an equivalent is converted, each line that has none is noted. */
#include "ctl/keepalived-syntax.h"

void import_keepalived(Import *i, const KeepalivedNode *root);
/* The tracking of scripts, interfaces and processes in `node` (an instance or a group) as checks of v. prefer: how much better than
 * its priority the instance is while all is well. */
void import_keepalived_checks(Import *i, const KeepalivedNode *root, const KeepalivedNode *node, ImportInstance *v, const char *interface,
                              unsigned *n_checks, unsigned *prefer);
