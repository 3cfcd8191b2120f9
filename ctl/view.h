/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* An instance as the bus shows it, and as --json writes it. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/client.h"
#include "ctl/json.h"

typedef struct ViewPeer {
        char *address, *role;
        uint8_t advskew;
        uint64_t heard_usec; /* CLOCK_BOOTTIME of that host */
} ViewPeer;

typedef struct ViewCheck {
        char *name, *result, *output;
} ViewCheck;

typedef struct ViewUnit {
        char *name, *result;
} ViewUnit;

/* The properties of org.vipd1.Instance; strings are "" where there is nothing. */
typedef struct View {
        char *path;
        char *name, *description, *state, *reason, *interface, *device, *protocol, *master, *sync_group, *problem, *conflict;
        uint8_t vhid, advbase, advskew;
        uint32_t demotion;
        bool preempt, enabled;
        uint64_t since_realtime_usec, since_boottime_usec, transitions, digest_mismatch_realtime_usec;
        GPtrArray *addresses;                   /* char *, with a prefix length */
        GPtrArray *peers, *checks, *failed_units; /* of the structs above */
} View;

View *view_new(const char *path);
View *view_free(View *v);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(View, view_free)

/* All instances, sorted by name; what went wrong is said. */
CtlExit view_load(const Ctl *c, GPtrArray **ret);
/* The same of a reply that is here, to GetManagedObjects(). 0 or negative errno. */
int view_read_all(sd_bus_message *reply, GPtrArray **ret);
/* Reads an a{sv} of properties into what is known. changed: their names are added, borrowed; or NULL. */
int view_read(View *v, sd_bus_message *m, GPtrArray *changed);
/* Reads an a{sa{sv}}: adds a view if one of the interfaces is an instance's. */
int view_read_interfaces(const char *path, sd_bus_message *m, GPtrArray *views);
View *view_find(const GPtrArray *views, const char *name);
/* Those named, or all; unknown names are said, and are the result. *ret borrows from views. */
CtlExit view_choose(const GPtrArray *views, char **names, GPtrArray **ret);

/* One property by its name on the bus; what --json has no field for is left out. */
void view_json_property(const View *v, Json *j, const char *key, const char *property);
const char *view_string(const View *v, const char *property); /* NULL: it is no string */
const char *view_json_name(const char *property); /* NULL: it has none */
/* All of them, in the object that is open. */
void view_json(const View *v, Json *j);
