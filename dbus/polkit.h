/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* May this caller do that? Asked of polkit over the bus, answered later, and never waited for. */
#include <glib.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

typedef struct Polkit Polkit;

/* Carries out a call that was allowed, and replies to it. The message stands at its first argument, and the world may have changed
 * since the call came: look everything up again. Negative, or error set: that is replied instead. */
typedef int (*PolkitThen)(sd_bus_message *call, uint32_t uid, void *userdata, sd_bus_error *error);

/* One per connection; bus is borrowed. */
Polkit *polkit_new(sd_bus *bus);
Polkit *polkit_free(Polkit *p); /* checks under way end without a reply */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Polkit, polkit_free)

/* 1: `then` or a refusal will follow, the handler returns this. Negative: refused at once, error is set.
 * action must be a literal. instance: the detail "instance", or NULL for none; copied. */
int polkit_authorize(Polkit *p, sd_bus_message *call, const char *action, const char *instance, PolkitThen then, void *userdata,
                     sd_bus_error *error);
