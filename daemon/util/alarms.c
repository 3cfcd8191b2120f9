/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/alarms.h"

#include <errno.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>

#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/time-util.h"

/* sd-event's own timers cost two system calls for each that comes, and one more pass of its loop. Here the wait itself ends at the first deadline,
 * and one pass rings all that are due. Deadlines are on CLOCK_BOOTTIME, the wait is on the monotonic clock, which stands still while the machine
 * sleeps: a timer on the wall clock that is never due, and cancelled when that clock is set or the machine wakes, ends the wait then.
 *
 * The order among what is ready at once is sd-event's: a lane with something due is a source of its own priority. Only when the wait ended with
 * nothing else ready it rings without that detour. */

/* Who may ring early does so this much at most, whatever it said: what is further away is not looked at. */
#define EARLY_USEC (20 * USEC_PER_MSEC)

/* The kernel lets a wait end late by a thousandth of it, of a process that is nice by a two hundredth, and 100 ms at most, whatever the timer slack
 * (select_estimate_accuracy() in its fs/select.c); and sd_event_wait() counts in milliseconds, rounded up. So who must not be late is waited for in
 * stretches, each shorter by more than that; and what is left in the end, and is no longer than this, by ppoll(2), to the microsecond. So is all of a
 * wait for who may be late by less than a millisecond, as the adverts of a master who has one every few of them. */
#define LAST_USEC (2 * USEC_PER_MSEC)
#define LATE_RATIO 128

typedef struct Lane {
        Alarms *alarms;
        GPtrArray *heap; /* Alarm *, each not later than those at 2k + 1 and 2k + 2 */
        GPtrArray *due;  /* Alarm *, or NULL where one was cleared meanwhile: what this pass rings */
        guint n_reserved; /* `due` has room for so many */
        sd_event_source *source;
        void (*begin)(void *userdata);
        void (*end)(void *userdata);
        void *userdata;
} Lane;

struct Alarms {
        sd_event *event;
        Lane lanes[N_ALARM_LANES];
        AutoFd jump_fd;
        sd_event_source *jump;
        uint64_t linger_usec; /* before the next wait */
};

/* Places begin at 1, so that k's children are 2k and 2k + 1. */
static Alarm *at(const Lane *l, guint place) {
        return g_ptr_array_index(l->heap, place - 1);
}

static void put(Lane *l, guint place, Alarm *alarm) {
        g_ptr_array_index(l->heap, place - 1) = alarm;
        alarm->place = place;
}

static void sift_up(Lane *l, Alarm *alarm) {
        guint place = alarm->place;

        for (; place > 1 && at(l, place / 2)->usec > alarm->usec; place /= 2)
                put(l, place, at(l, place / 2));
        put(l, place, alarm);
}

static void sift_down(Lane *l, Alarm *alarm) {
        guint place = alarm->place;

        for (guint child; (child = 2 * place) <= l->heap->len; place = child) {
                if (child < l->heap->len && at(l, child + 1)->usec < at(l, child)->usec)
                        child++;
                if (at(l, child)->usec >= alarm->usec)
                        break;
                put(l, place, at(l, child));
        }
        put(l, place, alarm);
}

static void take_out(Lane *l, Alarm *alarm) {
        Alarm *last = at(l, l->heap->len);
        guint place = alarm->place;

        g_ptr_array_set_size(l->heap, (gint) l->heap->len - 1);
        alarm->place = 0;
        if (last == alarm)
                return;
        put(l, place, last);
        sift_up(l, last);
        sift_down(l, last);
}

static bool is_due(const Lane *l, uint64_t now_usec) {
        return l->heap->len > 0 && at(l, 1)->usec <= now_usec;
}

static void note_early(Lane *l, guint place, uint64_t now_usec) {
        if (place > l->heap->len || at(l, place)->usec > now_usec + EARLY_USEC)
                return;
        if (at(l, place)->early_usec <= now_usec)
                g_ptr_array_add(l->due, at(l, place));
        note_early(l, 2 * place, now_usec);
        note_early(l, 2 * place + 1, now_usec);
}

/* Those that are due, in their order, and behind them those that may join them. */
static void collect(Lane *l, uint64_t now_usec) {
        guint n;

        while (is_due(l, now_usec)) {
                g_ptr_array_add(l->due, at(l, 1));
                take_out(l, at(l, 1));
        }
        n = l->due->len;
        note_early(l, 1, now_usec);
        for (guint k = 0; k < l->due->len; k++) {
                Alarm *alarm = g_ptr_array_index(l->due, k);

                if (k >= n)
                        take_out(l, alarm);
                alarm->due = true;
        }
}

static void ring(Lane *l, uint64_t now_usec) {
        if (!is_due(l, now_usec))
                return;
        collect(l, now_usec);
        if (l->begin)
                l->begin(l->userdata);
        for (guint k = 0; k < l->due->len; k++) {
                Alarm *alarm = g_ptr_array_index(l->due, k);

                if (!alarm)
                        continue;
                alarm->due = false;
                alarm->ring(alarm->userdata, now_usec);
        }
        g_ptr_array_set_size(l->due, 0);
        if (l->end)
                l->end(l->userdata);
}

static uint64_t now(const Alarms *a) {
        uint64_t usec = 0;

        (void) sd_event_now(a->event, CLOCK_BOOTTIME, &usec);
        return usec;
}

static int on_lane(sd_event_source *s, void *userdata) {
        Lane *l = userdata;

        ring(l, now(l->alarms));
        return 0;
}

static int arm_jump(const Alarms *a) {
        const struct itimerspec never = { .it_value.tv_sec = G_MAXINT64 };

        return timerfd_settime(a->jump_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0 ? -errno : 0;
}

/* That the wait is over is all that was wanted. */
static int on_jump(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        uint64_t n;

        (void) !read(fd, &n, sizeof(n));
        (void) arm_jump(userdata);
        return 0;
}

static int open_jump(Alarms *a) {
        int r;

        a->jump_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
        if (a->jump_fd < 0)
                return -errno;
        r = arm_jump(a);
        if (r >= 0)
                r = sd_event_add_io(a->event, &a->jump, a->jump_fd, EPOLLIN, on_jump, a);
        return r < 0 ? r : sd_event_source_set_priority(a->jump, EVENT_PRIORITY_RECEIVE);
}

int alarms_new(Alarms **ret, sd_event *event) {
        static const int priorities[N_ALARM_LANES] = {
                [ALARM_LANE_TIMER] = EVENT_PRIORITY_TIMER,
                [ALARM_LANE_NEIGHBOUR] = EVENT_PRIORITY_NEIGHBOUR,
        };
        g_autoptr(Alarms) a = g_new0(Alarms, 1);
        int r;

        a->jump_fd = -1;
        a->event = sd_event_ref(event);
        for (int k = 0; k < N_ALARM_LANES; k++) {
                a->lanes[k] = (Lane) { .alarms = a, .heap = g_ptr_array_new(), .due = g_ptr_array_new() };
                r = sd_event_add_defer(event, &a->lanes[k].source, on_lane, &a->lanes[k]);
                if (r >= 0)
                        r = sd_event_source_set_priority(a->lanes[k].source, priorities[k]);
                if (r >= 0)
                        r = sd_event_source_set_enabled(a->lanes[k].source, SD_EVENT_OFF);
                if (r < 0)
                        return r;
        }
        r = open_jump(a);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&a);
        return 0;
}

Alarms *alarms_free(Alarms *a) {
        if (!a)
                return NULL;
        for (int k = 0; k < N_ALARM_LANES && a->lanes[k].alarms; k++) {
                sd_event_source_disable_unref(a->lanes[k].source);
                g_ptr_array_unref(a->lanes[k].heap);
                g_ptr_array_unref(a->lanes[k].due);
        }
        sd_event_source_disable_unref(a->jump);
        auto_fd_clear(&a->jump_fd);
        sd_event_unref(a->event);
        g_free(a);
        return NULL;
}

void alarms_observe(Alarms *a, AlarmLane lane, void (*begin)(void *userdata), void (*end)(void *userdata), void *userdata) {
        a->lanes[lane].begin = begin;
        a->lanes[lane].end = end;
        a->lanes[lane].userdata = userdata;
}

static const Alarm *first_of(const Alarms *a) {
        const Alarm *first = NULL;

        for (int k = 0; k < N_ALARM_LANES; k++)
                if (a->lanes[k].heap->len > 0 && (!first || at(&a->lanes[k], 1)->usec < first->usec))
                        first = at(&a->lanes[k], 1);
        return first;
}

static uint64_t left_usec(const Alarm *alarm) {
        uint64_t now_usec;

        if (!alarm)
                return USEC_INFINITY;
        now_usec = clock_usec();
        return alarm->usec > now_usec ? alarm->usec - now_usec : 0;
}

static struct timespec timespec_of(uint64_t usec) {
        return (struct timespec) { .tv_sec = (time_t) (usec / USEC_PER_SEC), .tv_nsec = (long) (usec % USEC_PER_SEC * 1000) };
}

/* What is ready is on sd-event's list by now, and what is due joins it. */
static void join(Alarms *a) {
        for (int k = 0; k < N_ALARM_LANES; k++)
                if (is_due(&a->lanes[k], now(a)))
                        (void) sd_event_source_set_enabled(a->lanes[k].source, SD_EVENT_ONESHOT);
}

/* Asleep: who waits for what is ready is woken by the first of it. */
static void linger(Alarms *a) {
        uint64_t usec = a->linger_usec > 0 ? usec_min(a->linger_usec, left_usec(first_of(a))) : 0;
        struct timespec time = timespec_of(usec);

        a->linger_usec = 0;
        if (usec > 0)
                (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static int wait_for_first(Alarms *a) {
        const Alarm *first = first_of(a);
        uint64_t usec = left_usec(first);
        /* who may be early may be as much late: it is not worth to be woken twice for */
        uint64_t tolerance_usec = first ? first->usec - usec_min(first->early_usec, first->usec) : USEC_INFINITY;

        if (tolerance_usec >= USEC_PER_MSEC)
                return sd_event_wait(a->event, usec);
        if (tolerance_usec == 0 && usec >= LAST_USEC)
                return sd_event_wait(a->event, usec - usec_max(usec / LATE_RATIO, USEC_PER_MSEC));
        if (usec > 0) {
                struct pollfd ready = { .fd = sd_event_get_fd(a->event), .events = POLLIN };
                struct timespec time = timespec_of(usec);

                (void) ppoll(&ready, 1, &time, NULL);
        }
        return sd_event_wait(a->event, 0);
}

static int turn(Alarms *a) {
        int r = sd_event_prepare(a->event);

        if (r == 0) {
                linger(a);
                r = wait_for_first(a);
        }
        if (r < 0)
                return r;
        if (r > 0) {
                join(a);
                return sd_event_dispatch(a->event);
        }
        for (int k = 0; k < N_ALARM_LANES; k++)
                ring(&a->lanes[k], now(a));
        return 0;
}

void alarms_linger(Alarms *a, uint64_t usec) {
        a->linger_usec = usec;
}

/**
 * alarms_loop() - sd_event_loop(3) with alarms
 */
int alarms_loop(Alarms *a) {
        int r = 0, code = 0;

        /* a wait may end 50 us late otherwise, to save power; timers may not */
        (void) prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
        while (r >= 0 && sd_event_get_state(a->event) != SD_EVENT_FINISHED)
                r = turn(a);
        if (r >= 0)
                r = sd_event_get_exit_code(a->event, &code);
        return r < 0 ? r : code;
}

void alarm_init(Alarm *alarm, Alarms *a, AlarmLane lane, void (*f)(void *userdata, uint64_t now_usec), void *userdata) {
        *alarm = (Alarm) { .ring = f, .userdata = userdata, .alarms = a, .lane = lane };
}

void alarm_clear(Alarm *alarm) {
        Lane *l;

        if (!alarm->alarms)
                return;
        l = &alarm->alarms->lanes[alarm->lane];
        for (guint k = 0; alarm->due && k < l->due->len; k++)
                if (g_ptr_array_index(l->due, k) == alarm)
                        g_ptr_array_index(l->due, k) = NULL;
        alarm->due = false;
        if (alarm->place > 0)
                take_out(l, alarm);
}

/* Room for all at once, so that no pass has to ask the heap for it. */
static void reserve(Lane *l) {
        if (l->heap->len <= l->n_reserved || l->due->len > 0)
                return;
        l->n_reserved = 2 * l->heap->len;
        g_ptr_array_set_size(l->due, (gint) l->n_reserved);
        g_ptr_array_set_size(l->due, 0);
}

void alarm_set(Alarm *alarm, uint64_t usec, uint64_t early_usec) {
        Lane *l = &alarm->alarms->lanes[alarm->lane];

        if (usec == USEC_INFINITY) {
                alarm_clear(alarm);
                return;
        }
        if (alarm->place > 0 && alarm->usec == usec && alarm->early_usec == early_usec)
                return;
        if (alarm->due || alarm->place == 0) {
                alarm_clear(alarm);
                g_ptr_array_add(l->heap, alarm);
                alarm->place = l->heap->len;
                reserve(l);
        }
        alarm->usec = usec;
        alarm->early_usec = early_usec;
        sift_up(l, alarm);
        sift_down(l, alarm);
}

bool alarm_is_set(const Alarm *alarm) {
        return alarm->due || alarm->place > 0;
}
