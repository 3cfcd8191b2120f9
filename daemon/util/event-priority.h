/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The order in which ready sources are dispatched in one pass of the loop (lower is earlier). After a stall the
 * socket and the master-down timer are ready together: what was heard must be known before a timer judges silence. */
enum {
        EVENT_PRIORITY_RECEIVE = -30,
        EVENT_PRIORITY_TIMER = -20,
        EVENT_PRIORITY_NETLINK = -10,
        EVENT_PRIORITY_NEIGHBOUR = -5,
        EVENT_PRIORITY_BUS = 0,
        EVENT_PRIORITY_SIGNAL = 10,
        EVENT_PRIORITY_IDLE = 100,
};

/* sd-event reads accuracy 0 as "250 ms is fine"; 1 µs is the finest it knows. */
#define EVENT_ACCURACY_USEC 1
