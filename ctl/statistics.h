/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The counters of an instance. */
#include <glib.h>
#include <stdint.h>

#include "ctl/client.h"

typedef struct Statistic {
        char *name;
        uint64_t value;
} Statistic;

/* Statistic, in the daemon's order; what went wrong is said. */
CtlExit statistics_load(const Ctl *c, const char *path, const char *name, GPtrArray **ret);
