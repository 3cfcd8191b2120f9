/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Many deadlines on CLOCK_BOOTTIME that cost no system call: the loop waits until the first of them, and all that have come ring in one pass. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct Alarms Alarms; /* one per loop */

/* When they ring among what else is ready: EVENT_PRIORITY_TIMER, EVENT_PRIORITY_NEIGHBOUR. */
typedef enum AlarmLane {
        ALARM_LANE_TIMER,
        ALARM_LANE_NEIGHBOUR,
} AlarmLane;
#define N_ALARM_LANES 2

typedef struct Alarm {
        void (*ring)(void *userdata, uint64_t now_usec); /* once; it may set and clear any */
        void *userdata;
        /* the rest is the queue's */
        Alarms *alarms;
        AlarmLane lane;
        guint place; /* in the heap, from 1 on; 0: not there */
        bool due;    /* of the pass under way, which has not come to it yet */
        uint64_t usec, early_usec;
} Alarm;

int alarms_new(Alarms **ret, sd_event *event);
Alarms *alarms_free(Alarms *a);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Alarms, alarms_free)
/* Around each pass of the lane in which anything rings. */
void alarms_observe(Alarms *a, AlarmLane lane, void (*begin)(void *userdata), void (*end)(void *userdata), void *userdata);
/* sd_event_loop() with alarms. */
int alarms_loop(Alarms *a);
/* The loop's next wait begins so much later, or when an alarm is due: for whom more comes, one by one, than it is worth to be woken for. Returns at
 * once. */
void alarms_linger(Alarms *a, uint64_t usec);

void alarm_init(Alarm *alarm, Alarms *a, AlarmLane lane, void (*ring)(void *userdata, uint64_t now_usec), void *userdata);
/* early_usec <= usec: from here on it may ring already, should another one of its lane be due. UINT64_MAX: not at all. */
void alarm_set(Alarm *alarm, uint64_t usec, uint64_t early_usec);
void alarm_clear(Alarm *alarm); /* also of one that was never initialised */
bool alarm_is_set(const Alarm *alarm);
