/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/when.h"

#include <glib.h>
#include <inttypes.h>
#include <time.h>

/* Clocks as people read them; days have systemd's names, whatever the locale. */

#define USEC_PER_SEC UINT64_C(1000000)

static uint64_t now_usec(clockid_t clock) {
        struct timespec t = { 0 };

        (void) clock_gettime(clock, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

uint64_t when_realtime_usec(void) {
        return now_usec(CLOCK_REALTIME);
}

uint64_t when_boottime_usec(void) {
        return now_usec(CLOCK_BOOTTIME);
}

static char *format(uint64_t realtime_usec, const char *how) {
        g_autoptr(GDateTime) t = g_date_time_new_from_unix_local((gint64) (realtime_usec / USEC_PER_SEC));

        return (t ? g_date_time_format(t, how) : NULL) ?: g_strdup("?");
}

char *when_absolute(uint64_t realtime_usec) {
        return format(realtime_usec, "%a %F %T %Z");
}

char *when_log(uint64_t realtime_usec) {
        return format(realtime_usec, "%b %d %T");
}

char *when_span(uint64_t usec) {
        static const struct {
                const char *name;
                uint64_t seconds;
        } units[] = { { "d", 86400 }, { "h", 3600 }, { "min", 60 }, { "s", 1 } };
        uint64_t seconds = usec / USEC_PER_SEC;

        if (seconds == 0)
                return g_strdup_printf("%" PRIu64 "ms", usec / 1000);
        for (size_t k = 0; k + 1 < G_N_ELEMENTS(units); k++) {
                uint64_t next = units[k + 1].seconds;

                if (seconds < units[k].seconds)
                        continue;
                if (seconds % units[k].seconds < next)
                        return g_strdup_printf("%" PRIu64 "%s", seconds / units[k].seconds, units[k].name);
                return g_strdup_printf("%" PRIu64 "%s %" PRIu64 "%s", seconds / units[k].seconds, units[k].name,
                                       seconds % units[k].seconds / next, units[k + 1].name);
        }
        return g_strdup_printf("%" PRIu64 "s", seconds);
}

char *when_ago(uint64_t realtime_usec) {
        uint64_t now = when_realtime_usec();
        g_autofree char *span = when_span(now > realtime_usec ? now - realtime_usec : realtime_usec - now);

        return now >= realtime_usec ? g_strconcat(span, " ago", NULL) : g_strconcat("in ", span, NULL);
}
