/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/drain.h"

#include "util/event-priority.h"
#include "util/log.h"

void drain_clear(Drain *d) {
        sd_event_source_disable_unref(d->timeout);
        *d = (Drain) { 0 };
}

void drain_end(Drain *d) {
        const Drain ended = *d;

        drain_clear(d);
        if (ended.done)
                ended.done(ended.userdata);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Drain *d = userdata;

        log_warning("Not waiting any longer for %s", d->what);
        drain_end(d);
        return 0;
}

bool drain_begin(Drain *d, sd_event *event, uint64_t timeout_usec, const char *what, void (*done)(void *userdata), void *userdata) {
        int r;

        if (d->done)
                return false;
        *d = (Drain) { .what = what, .done = done, .userdata = userdata };
        r = sd_event_add_time_relative(event, &d->timeout, CLOCK_BOOTTIME, timeout_usec, EVENT_ACCURACY_USEC, on_timeout, d);
        if (r < 0) {
                log_warning_errno(r, "Not waiting for %s, no timer: %m", what);
                drain_end(d);
        }
        return true;
}
