/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/listener.h"

#include <errno.h>
#include <net/if.h>
#include <time.h>

#include "util/event-priority.h"
#include "util/log.h"
#include "util/time-util.h"

/* The loop calls whoever has something to read until he has read it. Who may not, as the kernel refuses it, would be called for ever and without a
 * pause; who rests is taken off the loop, and the kernel may refuse to take him back, for want of memory. Both is tried again as often as costs
 * nothing, and before the fastest dead interval, 12 ms, is over. */

#define RETRY_USEC (10 * USEC_PER_MSEC)
/* What fails again so soon will fail the next time, too. */
#define SOON_USEC (100 * USEC_PER_MSEC)
#define TOLD_USEC (60 * USEC_PER_SEC)

/* Who rests already rests no longer for it. */
static int arm(Listeners *l, uint64_t usec) {
        uint64_t at_usec = clock_usec() + usec, armed_usec;
        int armed, r;

        r = sd_event_source_get_enabled(l->rest, &armed);
        if (r >= 0)
                r = sd_event_source_get_time(l->rest, &armed_usec);
        if (r < 0 || (armed != SD_EVENT_OFF && armed_usec <= at_usec))
                return r;
        r = sd_event_source_set_time(l->rest, at_usec);
        return r < 0 ? r : sd_event_source_set_enabled(l->rest, SD_EVENT_ONESHOT);
}

static void tell(Listener *l, int error) {
        static const RateRule rule = { .interval_usec = TOLD_USEC, .burst = 1 };
        char more[RATELIMIT_TEXT_BYTES], name[IF_NAMESIZE] = "?";
        uint64_t n_suppressed;

        if (!ratelimit_pass(&l->limit, &rule, clock_usec(), &n_suppressed))
                return;
        (void) if_indextoname((unsigned) l->ifindex, name);
        log_warning_errno(error, "%s: %s are not heard: %m%s", name, l->what, ratelimit_format(n_suppressed, more));
        l->told = true;
}

static void tell_recovery(Listener *l) {
        char name[IF_NAMESIZE] = "?";

        l->told = false;
        (void) if_indextoname((unsigned) l->ifindex, name);
        log_notice("%s: %s are heard again", name, l->what);
}

static int on_rested(sd_event_source *s, uint64_t usec, void *userdata) {
        Listeners *l = userdata;
        int failed = 0;

        for (guint k = 0; k < l->all->len; k++) {
                Listener *one = g_ptr_array_index(l->all, k);
                int r = sd_event_source_set_enabled(one->source, SD_EVENT_ON);

                if (r >= 0)
                        continue;
                failed = r;
                tell(one, r);
        }
        return failed < 0 ? arm(l, RETRY_USEC) : 0;
}

int listeners_init(Listeners *l, sd_event *event, int priority) {
        int r;

        *l = (Listeners) { .event = sd_event_ref(event), .all = g_ptr_array_new(), .priority = priority };
        r = sd_event_add_time(event, &l->rest, CLOCK_BOOTTIME, 0, EVENT_ACCURACY_USEC, on_rested, l);
        if (r >= 0)
                r = sd_event_source_set_priority(l->rest, priority);
        if (r >= 0)
                r = sd_event_source_set_exit_on_failure(l->rest, true);
        return r < 0 ? r : sd_event_source_set_enabled(l->rest, SD_EVENT_OFF);
}

void listeners_done(Listeners *l) {
        sd_event_source_disable_unref(l->rest);
        if (l->all)
                g_ptr_array_unref(l->all);
        sd_event_unref(l->event);
        *l = (Listeners) { 0 };
}

void listeners_rest(Listeners *l, uint64_t usec) {
        if (arm(l, usec) < 0)
                return;
        for (guint k = 0; k < l->all->len; k++)
                (void) sd_event_source_set_enabled(((Listener *) g_ptr_array_index(l->all, k))->source, SD_EVENT_OFF);
}

int listener_open(Listener *l, Listeners *among, int fd, int ifindex, const char *what, sd_event_io_handler_t frames, void *userdata) {
        int r;

        *l = (Listener) { .among = among, .fd = fd, .ifindex = ifindex, .what = what };
        g_ptr_array_add(among->all, l);
        r = sd_event_add_io(among->event, &l->source, fd, EPOLLIN, frames, userdata);
        if (r >= 0)
                r = sd_event_source_set_priority(l->source, among->priority);
        if (r >= 0)
                r = sd_event_source_set_exit_on_failure(l->source, true);
        if (r < 0)
                listener_close(l);
        return r;
}

void listener_close(Listener *l) {
        if (!l->among)
                return;
        g_ptr_array_remove_fast(l->among->all, l);
        sd_event_source_disable_unref(l->source);
        *l = (Listener) { 0 };
}

/* The first time may be the news of a link that went down, which to read is to take away; the link's own news comes by netlink. There may be nothing
 * to hear between one such news and the next. */
static void on_failure(Listener *l, int error) {
        uint64_t now_usec = clock_usec(), before_usec = l->failed_usec;

        l->failed_usec = now_usec;
        if (before_usec == 0 || now_usec - before_usec > SOON_USEC)
                return;
        tell(l, error);
        if (arm(l->among, RETRY_USEC) >= 0)
                (void) sd_event_source_set_enabled(l->source, SD_EVENT_OFF);
}

unsigned listener_read(Listener *l, struct mmsghdr *messages, unsigned n) {
        int r = recvmmsg(l->fd, messages, n, MSG_DONTWAIT, NULL);

        if (r < 0) {
                on_failure(l, -errno);
                return 0;
        }
        l->failed_usec = 0;
        if (l->told)
                tell_recovery(l);
        return (unsigned) r;
}
