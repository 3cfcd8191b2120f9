/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* May the caller do this? Root may; others are asked of polkit, without waiting. */
#include <systemd/sd-bus.h>

typedef struct Polkit Polkit;

/* Called when the caller is authorised: looks everything up again, acts, replies. Returns negative errno or sets error for an error reply. */
typedef int (*PolkitAct)(sd_bus_message *call, void *userdata, sd_bus_error *error);

Polkit *polkit_new(sd_bus *bus);
Polkit *polkit_free(Polkit *p); /* open questions are dropped, their callers get no reply: their connection is gone */

int polkit_authorize(Polkit *p, sd_bus_message *call, const char *action, const char *instance, PolkitAct act, void *userdata,
                     sd_bus_error *error);
