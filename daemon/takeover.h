/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What happens on a role change outside the election: the up and down scripts, as ucarp calls them. Never awaited. */
#include <glib.h>
#include <systemd/sd-event.h>

#include "instance.h"

typedef struct Takeover Takeover;

int takeover_new(Takeover **ret, sd_event *event);
Takeover *takeover_free(Takeover *t); /* running scripts are left to finish */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Takeover, takeover_free)

/* Observers for the manager. One script per instance at a time; while one runs, only the latest wish is kept. */
void takeover_instance_changed(Takeover *t, Instance *i, const InstanceTransition *transition);
void takeover_instance_removed(Takeover *t, Instance *i);
/* Whether a script runs or waits that a restart would end, and the last of them. */
bool takeover_is_pending(const Takeover *t, const char *name, bool *ret_up);
void takeover_resume(Takeover *t, Instance *i, bool up); /* the process before us was not done with it */
/* At exit: runs what is still wished and calls done() when no script runs any more, or after timeout_usec. */
void takeover_drain(Takeover *t, uint64_t timeout_usec, void (*done)(void *userdata), void *userdata);
