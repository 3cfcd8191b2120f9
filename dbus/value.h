/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A D-Bus value as bytes, to compare it with another. */
#include <glib.h>
#include <systemd/sd-bus.h>

GBytes *value_bytes(sd_bus_message *m);
