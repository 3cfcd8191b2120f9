/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Our face on the bus: connect, reconnect, own org.vipd1, batch signals. Losing the bus loses the interface, never an election. */
#include <glib.h>
#include <systemd/sd-event.h>

#include "dbus/systemd1.h"
#include "manager.h"

typedef struct Bus Bus;

/* address: "system" or a D-Bus address. Returns at once: connecting goes on in the loop, for ever, also when there is no bus yet. */
int bus_new(Bus **ret, sd_event *event, Manager *manager, const char *address);
Bus *bus_free(Bus *b);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Bus, bus_free)

Systemd1 *bus_systemd1(Bus *b); /* our client of systemd on this bus; borrowed */

/* Feed for the manager's observer: changes are collected and told once per pass of the loop. */
void bus_instance_added(Bus *b, Instance *i);
void bus_instance_removed(Bus *b, Instance *i);
void bus_instance_changed(Bus *b, Instance *i, unsigned changes, const InstanceTransition *transition);
