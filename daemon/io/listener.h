/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Packet sockets that anybody may fill, and that may fail: all of them, or one, are left alone for a moment, and read again. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "util/ratelimit.h"

typedef struct Listeners { /* all zero: there are none */
        sd_event *event;
        sd_event_source *rest; /* its end */
        GPtrArray *all;
        int priority;
} Listeners;

typedef struct Listener { /* all zero: it is closed */
        Listeners *among;
        sd_event_source *source;
        const char *what;
        int fd, ifindex;
        uint64_t failed_usec; /* the last time */
        bool told;
        RateLimit limit; /* lines */
} Listener;

int listeners_init(Listeners *l, sd_event *event, int priority);
void listeners_done(Listeners *l);
/* Nobody is called for so long: others have their turn. */
void listeners_rest(Listeners *l, uint64_t usec);

/* fd: borrowed. what: it has, as a log line says it, in the plural; borrowed. frames: called when it has any, and to read them by listener_read(). */
int listener_open(Listener *l, Listeners *among, int fd, int ifindex, const char *what, sd_event_io_handler_t frames, void *userdata);
void listener_close(Listener *l);
/* As recvmmsg(2), without waiting; 0: nothing. What fails is told in the log and tried again a little later. */
unsigned listener_read(Listener *l, struct mmsghdr *messages, unsigned n);
