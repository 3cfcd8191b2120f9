/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* SyncGroup=: instances of this host that are master together or not at all. The daemon and the simulator link the same object. */
#include <glib.h>
#include <stdint.h>

#include "instance.h"

typedef struct SyncGroups SyncGroups;

SyncGroups *sync_groups_new(void);
SyncGroups *sync_groups_free(SyncGroups *s); /* before the instances */
/* Instances came, went, or have another SyncGroup=. A master stays one, if those that are new in its group can follow it. */
void sync_groups_update(SyncGroups *s, Instance *const instances[], size_t n, uint64_t now_usec);
/* Its end is no reason for the others to give up. Before it is stopped because it leaves the configuration. */
void sync_groups_forget(SyncGroups *s, Instance *i, uint64_t now_usec);
/* With all of its group, if it has one; BUSY if one of them cannot. */
InstanceVerbResult sync_groups_promote(SyncGroups *s, Instance *i, uint64_t now_usec);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SyncGroups, sync_groups_free)
