/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Takes links down, a little later and without waiting for it; what could not be done is tried again. */
#include <glib.h>
#include <systemd/sd-event.h>

typedef struct TakeDown TakeDown; /* one per daemon */
int take_down_new(TakeDown **ret, sd_event *event);
TakeDown *take_down_free(TakeDown *t); /* what is not down yet stays up */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TakeDown, take_down_free)
/* For so many links that may be added, as whoever gives an address up shall not ask for memory. */
void take_down_reserve(TakeDown *t, unsigned n);
void take_down_add(TakeDown *t, int ifindex);
void take_down_cancel(TakeDown *t, int ifindex); /* unless it is being done */
