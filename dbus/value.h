/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A D-Bus value as a number, to compare it with another without keeping either. */
#include <stdint.h>
#include <systemd/sd-bus.h>

uint64_t value_digest(sd_bus_message *m);
