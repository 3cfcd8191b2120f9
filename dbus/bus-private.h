/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the files of this room share, and nobody else sees. */
#include <systemd/sd-bus.h>

#include "dbus/bus.h"
#include "dbus/polkit.h"
#include "dbus/systemd1.h"
#include "dbus/unit-watch.h"
#include "util/ratelimit.h"

struct Bus {
        sd_event *event;
        Manager *manager; /* borrowed */
        char *address;
        sd_bus *bus; /* NULL between a loss and the next try */
        Polkit *polkit;
        Systemd1 *systemd;
        UnitWatch *units;
        sd_event_source *retry, *flush;
        uint64_t retry_usec;
        GPtrArray *objects; /* BusObject */
        GArray *transitions; /* BusTransition, in order: StateChanged not told yet */
        char *instances; /* as told last, see join_paths(); NULL: nobody has read us on this connection */
        RateLimit lost_limit, refused_limit; /* lines */
};

/* One instance's face. */
typedef struct BusObject {
        Bus *bus;
        Instance *instance;
        char *path;
        unsigned changes; /* not told yet */
        uint64_t *told;   /* digest of each property as told last; NULL: nobody has read us on this connection */
} BusObject;

typedef struct BusTransition {
        const BusObject *object; /* which tells before it goes */
        InstanceTransition transition;
} BusTransition;

extern const sd_bus_vtable manager_vtable[];  /* userdata: Bus */
extern const sd_bus_vtable instance_vtable[]; /* userdata: BusObject */

BusObject *bus_find_object(const Bus *b, const char *path_or_name); /* NULL */
int bus_append_paths(const Bus *b, sd_bus_message *reply);          /* ao */
void bus_flush(Bus *b);                                             /* tells now what the end of the pass would */

void instance_bus_remember(BusObject *o); /* what it is now is known */
void instance_bus_forget(BusObject *o);
void instance_bus_emit(BusObject *o); /* one PropertiesChanged for what differs from what was told last */
