/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Outcomes of the daemon as errors on the bus. Each returns the negative errno that sd-bus keeps for that error. */
#include <systemd/sd-bus.h>

#include "instance.h"

int bus_error_no_such_instance(sd_bus_error *error, const char *name);
int bus_error_from_verb(sd_bus_error *error, InstanceVerbResult result, const char *name); /* 0 for INSTANCE_VERB_OK */
int bus_error_access_denied(sd_bus_error *error, const char *sentence);
