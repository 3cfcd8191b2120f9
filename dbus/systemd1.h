/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Our client of systemd: starts and stops the targets of roles, follows jobs, and asks why we are being stopped. */
#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "unit-ops.h"

typedef struct Systemd1 Systemd1;

Systemd1 *systemd1_new(sd_event *event);
Systemd1 *systemd1_free(Systemd1 *s);

void systemd1_observe(Systemd1 *s, const UnitObserver *observer, void *userdata); /* copied */
void systemd1_connected(Systemd1 *s, sd_bus *bus); /* bus: borrowed until systemd1_disconnected() */
void systemd1_disconnected(Systemd1 *s);

extern const UnitOps systemd1_unit_ops; /* userdata: the Systemd1 */

/* Is the job that stops us part of a restart? done() is called once, from the loop, within a second; false also if nobody can tell. Without
 * a bus it is asked when that comes, as it may be starting anew. -errno: cannot ask, done() is not called. */
int systemd1_ask_restart(Systemd1 *s, void (*done)(void *userdata, bool restart), void *userdata);
