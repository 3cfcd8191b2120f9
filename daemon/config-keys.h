/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Assignments to one InstanceConfig: what each key means and allows, and what is missing. */
#include "config-file.h"

/* NULL when anything was wrong, all of which is in the set's diagnostics. path: the main file. */
InstanceConfig *config_keys_apply(ConfigSet *set, const char *name, const char *path, const GPtrArray *assignments,
                                  const char *credentials);
