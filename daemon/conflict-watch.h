/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Watches over the addresses that one instance holds: binds conflict.c to an interface's neighbours and to a timer. */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "conflict.h"
#include "io/neighbours.h"
#include "util/alarms.h"

typedef struct ConflictWatch ConflictWatch;

/* All called from the loop, later than the fact that was their cause. */
typedef struct ConflictWatchOps {
        void (*announce)(void *userdata, size_t k); /* address k, once, to all */
        void (*ask)(void *userdata, size_t k);      /* who has address k? */
        /* text: who claims which address; "" nobody. mac: the first of them, as text. */
        void (*changed)(void *userdata, const char *text, const char *mac);
} ConflictWatchOps;

ConflictWatch *conflict_watch_new(Alarms *alarms, Neighbours *neighbours, const ConflictWatchOps *ops, void *userdata);
ConflictWatch *conflict_watch_free(ConflictWatch *w);

/* Another interface or configuration, borrowed until unbound. Not bound it does nothing. */
int conflict_watch_bind(ConflictWatch *w, int ifindex, const InstanceConfig *config);
void conflict_watch_unbind(ConflictWatch *w); /* NULL: nothing */

/* These three are on the way of elections: they note the fact and return. */
void conflict_watch_on_hold(ConflictWatch *w, uint64_t now_usec);
void conflict_watch_on_release(ConflictWatch *w);
void conflict_watch_on_advert(ConflictWatch *w, const uint8_t mac[MAC_BYTES], uint64_t now_usec);

const Conflict *conflict_watch_state(const ConflictWatch *w);
