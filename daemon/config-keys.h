/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Assignments to one InstanceConfig: what each key means and allows, and what is missing. */
#include "config-file.h"

ConfigEntry *config_entry_new(const char *name);
void config_entry_free(void *entry);
/* Sets entry->config and the places, for a new entry; config stays NULL when anything was wrong, all of which is in
 * the set's diagnostics. path: the main file. */
void config_keys_apply(ConfigSet *set, ConfigEntry *entry, const char *path, const GPtrArray *assignments, const char *credentials);
