/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Tells the service manager how we are: readiness, status line, reload, watchdog; and gives it what the next process shall have. */
#include <glib.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "manager.h"

typedef struct Service Service;

/* Whether a service manager listens is read from $NOTIFY_SOCKET and $WATCHDOG_USEC; without them every function is a no-op. */
int service_new(Service **ret, sd_event *event, Manager *manager);
Service *service_free(Service *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Service, service_free)

bool service_is_managed(const Service *s); /* is there a service manager? */
void service_ready(Service *s);
void service_reloading(Service *s); /* service_ready() ends it */
void service_stopping(Service *s, uint64_t timeout_usec); /* how long the end may take at most */
void service_changed(Service *s);   /* instances came, went or changed: the status line follows, once per pass of the loop */
/* Keeps a copy of fd until the next process fetches it under this name. 0 or -errno; -ENOTCONN: there is no service manager. */
int service_store(Service *s, const char *name, int fd);
void service_forget(Service *s, const char *name);
