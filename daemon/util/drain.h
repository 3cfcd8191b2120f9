/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* At exit: to be told once, when what is under way has ended, or when that has taken too long. */
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct Drain { /* all zero: nobody waits */
        const char *what;
        sd_event_source *timeout;
        void (*done)(void *userdata);
        void *userdata;
} Drain;

/* what: for whose end we wait, as a log line says it; borrowed. False: somebody waits already, and done will not be called. */
bool drain_begin(Drain *d, sd_event *event, uint64_t timeout_usec, const char *what, void (*done)(void *userdata), void *userdata);
void drain_end(Drain *d);   /* it has ended: calls done, if anybody waits */
void drain_clear(Drain *d); /* for a destructor: done is not called */
