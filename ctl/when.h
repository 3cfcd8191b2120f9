/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Times in words. */
#include <stdint.h>

char *when_absolute(uint64_t realtime_usec); /* "Tue 2026-11-24 17:16:12 UTC" */
char *when_log(uint64_t realtime_usec);      /* "Nov 24 17:16:12", as journalctl has it */
char *when_span(uint64_t usec);              /* "1h 5min": two units, rounded down */
uint64_t when_realtime_usec(void);           /* now, CLOCK_REALTIME */
uint64_t when_boottime_usec(void);           /* now, CLOCK_BOOTTIME */
/* How long ago an instant of CLOCK_REALTIME was: "5min 3s ago", or "in 3s" by a clock that was set back. */
char *when_ago(uint64_t realtime_usec);
