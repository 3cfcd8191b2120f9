/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The set of instances: builds them from a ConfigSet, reloads as a diff, routes facts to them, carries the verbs. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "config-load.h"
#include "handover.h"
#include "instance.h"
#include "util/alarms.h"

typedef struct Manager Manager;

/* Those above (bus, service, takeover) watch; the manager knows none of them. All called from the loop, after the effects. */
typedef struct ManagerObserver {
        void (*instance_added)(void *userdata, Instance *i);
        void (*instance_removed)(void *userdata, Instance *i); /* still readable, stopped */
        void (*instance_changed)(void *userdata, Instance *i, unsigned changes, const InstanceTransition *transition);
        void *userdata;
} ManagerObserver;

/* Re-reads the configuration for manager_reload(); returns a set the manager takes. */
typedef ConfigSet *(*ManagerLoad)(void *userdata);

/* runtime_dir, state_dir: NULL: nothing is noted there. */
int manager_new(Manager **ret, sd_event *event, Alarms *alarms, const char *runtime_dir, const char *state_dir, ManagerLoad load,
                void *load_userdata);
/* Who tells of the units that checks ask for: called with their names (char *) now and whenever they change. */
void manager_watch_units(Manager *m, void (*watch)(void *userdata, const GPtrArray *units), void *userdata);
Manager *manager_free(Manager *m);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Manager, manager_free)

void manager_observe(Manager *m, const ManagerObserver *observer); /* copied; call before manager_start() */
/* Opens netlink, loads the configuration, starts what is valid. handover: HandoverEntry *, borrowed: what the process before us hands over;
 * NULL: nothing. */
int manager_start(Manager *m, GPtrArray *handover);
/* Before this process ends and another goes on: every instance's role, its leases renewed and its peers' patience begun anew. HandoverEntry *,
 * without units; caller unrefs. The instances must not be touched any more. */
GPtrArray *manager_hand_over(Manager *m);
/* Applies the configuration as a diff; logs every diagnostic. 0, or -EINVAL when at least one file had an error (the valid rest is
 * in force all the same), or -ESHUTDOWN after manager_stop(). */
int manager_reload(Manager *m);
/* Every master: addresses dropped, then bow-out. wait_for_units: where UnitsBeforeAddress= is set, when its units are down. */
void manager_stop(Manager *m, bool wait_for_units);
bool manager_is_stopped(const Manager *m);         /* has every instance left? */
uint64_t manager_stop_usec(const Manager *m);      /* how long that may take at most */
/* Writes what must outlive us, and calls done once when that is on the disk, or after the timeout. last: every instance is stopped, nothing will be
 * sent any more. */
void manager_drain(Manager *m, bool last, uint64_t timeout_usec, void (*done)(void *userdata), void *userdata);

GPtrArray *manager_list(Manager *m); /* Instance *, sorted by name; container to be unreffed, elements borrowed */
Instance *manager_find(Manager *m, const char *name);

InstanceVerbResult manager_demote(Manager *m, Instance *i, uint64_t hold_usec);
InstanceVerbResult manager_promote(Manager *m, Instance *i);
/* In force at once. Persists in the state directory, so that it outlives a reboot: done is called once with 0, or -errno if it could not be
 * written, from the loop, from here, or from manager_free(). */
void manager_set_enabled(Manager *m, Instance *i, bool enabled, void (*done)(void *userdata, int error), void *userdata);
void manager_demote_all(Manager *m); /* SIGUSR2 */
void manager_log_state(Manager *m);  /* SIGUSR1 */

/* From targets.c; what they mean: instance_on_units_settled(), instance_on_unit_result(). */
void manager_on_units_settled(Manager *m, const char *name, bool up);
void manager_on_unit_result(Manager *m, const char *name, const char *unit, const char *result);

/* The service manager's ActiveState of a watched unit; NULL: it does not say. */
void manager_on_unit_state(Manager *m, const char *unit, const char *active_state);

/* Statistics as (name, value) pairs: the instance's own and those of its interface's sockets. Calls add for each. */
void manager_statistics(Manager *m, Instance *i, void (*add)(void *userdata, const char *name, uint64_t value), void *userdata);
