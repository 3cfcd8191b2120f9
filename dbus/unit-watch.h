/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Hears from systemd whether units are active, by its signals. */
#include <glib.h>
#include <systemd/sd-bus.h>

typedef struct UnitWatch UnitWatch;

/* active_state: systemd's word, or NULL: it does not say, at the moment. Called from the loop, and from unit_watch_disconnected(). */
typedef void (*UnitWatchCallback)(void *userdata, const char *unit, const char *active_state);

UnitWatch *unit_watch_new(UnitWatchCallback callback, void *userdata);
UnitWatch *unit_watch_free(UnitWatch *w);
void unit_watch_set(UnitWatch *w, const GPtrArray *units); /* char *, copied: these, and no others */
/* bus: borrowed until unit_watch_disconnected(). Somebody has to have called Subscribe() on it. */
void unit_watch_connected(UnitWatch *w, sd_bus *bus);
void unit_watch_disconnected(UnitWatch *w);
