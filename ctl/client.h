/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The way to vipd: connects, calls, and says in a sentence why that failed. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "ctl/ctl.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_bus_message, sd_bus_message_unref)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(sd_bus_error, sd_bus_error_free)

#define CLIENT_READ_USEC UINT64_C(10000000)

/* A sentence on standard error, behind "vipctl: ". */
void client_complain(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Connects; what went wrong is said. */
CtlExit client_open(Ctl *c);
bool client_is_local(const Ctl *c);
/* A call to vipd, which is not started by it. path: NULL for the manager. */
int client_new_call(const Ctl *c, const char *path, const char *interface, const char *method, sd_bus_message **ret);
/* Sends it; takes nothing. What went wrong is said, about `subject` ("web", or NULL). */
CtlExit client_call(const Ctl *c, sd_bus_message *call, uint64_t timeout_usec, const char *subject, sd_bus_message **ret_reply);
/* Says why a call failed: error, or errno if it is not set. */
CtlExit client_explain(const Ctl *c, const sd_bus_error *error, int r, const char *subject);
bool client_means_no_daemon(const sd_bus_error *error);
bool client_means_no_answer(const sd_bus_error *error, int r);
/* The object of a name. If there is none, says so with the nearest name. ret_state: a copy, or NULL. */
CtlExit client_find(const Ctl *c, const char *name, char **ret_path, char **ret_state);
/* Says that there is no such instance, and which is like it. names: sorted; elements borrowed. */
void client_suggest(const char *name, const GPtrArray *names);
