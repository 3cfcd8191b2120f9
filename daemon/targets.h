/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Role changes become systemd targets: vipd-master@NAME.target, vipd-backup@NAME.target, or neither. The last wish wins. */
#include <glib.h>
#include <systemd/sd-event.h>

#include "manager.h"
#include "unit-ops.h"

typedef struct Targets Targets;

/* ops, its userdata and manager are borrowed. */
int targets_new(Targets **ret, sd_event *event, Manager *manager, const UnitOps *ops, void *ops_userdata);
Targets *targets_free(Targets *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Targets, targets_free)

/* For the UnitOps to call; userdata: the Targets. */
extern const UnitObserver targets_unit_observer;

/* Feed for the manager's observer. */
void targets_instance_changed(Targets *t, Instance *i);
void targets_removed(Targets *t, const char *name); /* no such instance (any more): stop its units */

/* What a restart carries over: the role systemd was told last, false if that is not certain. */
bool targets_told(const Targets *t, const char *name, UnitsRole *ret);
void targets_resume(Targets *t, const char *name, UnitsRole told);

/* At exit: calls done() when systemd has accepted every wish, or after timeout_usec. A second call changes nothing. */
void targets_drain(Targets *t, uint64_t timeout_usec, void (*done)(void *userdata), void *userdata);
