/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* ucarp's command line, and Debian's ifupdown options that become one, to instances. */
#include "ctl/import.h"

/* argv without the program's name. address: the shared address with its length, where somebody else says one; or NULL. */
void import_ucarp(Import *i, ImportAt at, char *const *argv, const char *address);
/* The command line of a process, and a working directory in which its relative paths are right; false: said on standard error. */
bool import_ucarp_process(const char *pid, GStrv *ret_argv);
/* stanzas: of interfaces_parse(). */
void import_ifupdown(Import *i, const GPtrArray *stanzas);
