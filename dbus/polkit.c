/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbus/polkit.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <time.h>

#include "util/event-priority.h"
#include "util/time-util.h"

/* The gate in front of every verb. Everything is asynchronous: a password prompt may take minutes, and an election does not wait for it. Nothing
 * is changed before the answer, and the act looks everything up again after it. Knows actions and callers, not what the verbs do.
 *
 * The bus says first who calls: root passes, so that a polkit that hangs cannot keep the administrator out. Others are asked of polkit, first
 * without a prompt, which a polkit that is alive answers at once, and once more with one if that would help and the caller allows it. */

/* The bus (max_replies_per_connection) lets us wait for 128 answers, and polkit is not the only one we ask. */
#define ASKED_MAX 64
#define ASKED_PER_USER_MAX 8
/* Until the bus has said who calls, which takes it no time, only their connection is known. dbus-daemon gives a user 256 connections
 * (max_connections_per_user): nobody fills this alone. */
#define UNNAMED_MAX 8192
#define UNNAMED_PER_CONNECTION_MAX 32

/* Below the 25 s after which most callers go: they hear why. */
#define ANSWER_USEC (10 * USEC_PER_SEC)
/* Who types a password may take their time. */
#define PROMPT_USEC (300 * USEC_PER_SEC)

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
#define POLKIT_ALLOW_USER_INTERACTION 1u

#define UID_UNKNOWN UINT32_MAX

struct Polkit {
        sd_bus *bus;       /* borrowed */
        GPtrArray *checks; /* those whose caller the bus has yet to name, and those that polkit has yet to answer */
        uint64_t n_asked;
};

typedef struct Check {
        Polkit *polkit;
        sd_bus_message *call; /* NULL: nobody waits any more; but polkit owes an answer, which counts */
        sd_bus_slot *question, *departure;
        sd_event_source *patience;
        const char *action;
        char *instance, *cancellation;
        PolkitAct act;
        void *userdata;
        uint32_t uid; /* UID_UNKNOWN: the bus has yet to say */
        bool interactive, prompting;
} Check;

/* The caller has its answer or is gone. */
static void release_caller(Check *c) {
        c->call = sd_bus_message_unref(c->call);
        c->departure = sd_bus_slot_unref(c->departure);
        c->patience = sd_event_source_disable_unref(c->patience);
}

static void check_free(void *data) {
        Check *c = data;

        release_caller(c);
        sd_bus_slot_unref(c->question);
        g_free(c->instance);
        g_free(c->cancellation);
        g_free(c);
}

Polkit *polkit_new(sd_bus *bus) {
        Polkit *p = g_new0(Polkit, 1);

        p->bus = bus;
        p->checks = g_ptr_array_new_with_free_func(check_free);
        return p;
}

Polkit *polkit_free(Polkit *p) {
        if (!p)
                return NULL;
        g_ptr_array_unref(p->checks);
        g_free(p);
        return NULL;
}

static void forget(Check *c) {
        g_ptr_array_remove_fast(c->polkit->checks, c);
}

static void allow(Check *c) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = c->act(c->call, c->userdata, &error);

        if (sd_bus_error_is_set(&error))
                (void) sd_bus_reply_method_error(c->call, &error);
        else if (r < 0)
                (void) sd_bus_reply_method_errno(c->call, r, NULL);
        sd_bus_error_free(&error);
        forget(c);
}

static void refuse(Check *c, const char *name, const char *text) {
        (void) sd_bus_reply_method_errorf(c->call, name, "%s", text);
        forget(c);
}

/* Nobody waits for polkit's answer, and a prompt of its disappears. */
static void abandon(Check *c) {
        (void) sd_bus_call_method_async(c->polkit->bus, NULL, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                                        "CancelCheckAuthorization", NULL, NULL, "s", c->cancellation);
        release_caller(c);
}

static int on_departure(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        abandon(userdata);
        return 0;
}

/* Without it a refused match would end the connection; then the caller's departure goes unnoticed, and its check ends by itself. */
static int on_match(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return 0;
}

static int on_impatience(sd_event_source *s, uint64_t usec, void *userdata) {
        Check *c = userdata;

        (void) sd_bus_reply_method_errorf(c->call, SD_BUS_ERROR_TIMEOUT, c->prompting ? "Nobody authenticated in time"
                                                                                      : "polkit does not answer");
        abandon(c);
        return 0;
}

static int wait_for_answer(Check *c) {
        c->patience = sd_event_source_disable_unref(c->patience);
        return sd_event_add_time_relative(sd_bus_get_event(c->polkit->bus), &c->patience, CLOCK_BOOTTIME,
                                          c->prompting ? PROMPT_USEC : ANSWER_USEC, EVENT_ACCURACY_USEC, on_impatience, c);
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error);

static int ask(Check *c) {
        sd_bus_message *m = NULL;
        int r;

        c->question = sd_bus_slot_unref(c->question);
        r = sd_bus_message_new_method_call(c->polkit->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s",
                                          sd_bus_message_get_sender(c->call), c->action);
        if (r >= 0)
                r = c->instance ? sd_bus_message_append(m, "a{ss}", 1, "instance", c->instance)
                                : sd_bus_message_append(m, "a{ss}", 0);
        if (r >= 0)
                r = sd_bus_message_append(m, "us", c->prompting ? POLKIT_ALLOW_USER_INTERACTION : 0, c->cancellation);
        if (r >= 0)
                /* no end of its own: what polkit owes us counts until it answers or dies, however long that takes */
                r = sd_bus_call_async(c->polkit->bus, &c->question, m, on_answer, c, UINT64_MAX);
        sd_bus_message_unref(m);
        return r < 0 ? r : wait_for_answer(c);
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        int authorized = 0, challenge = 0;
        Check *c = userdata;

        if (!sd_bus_message_is_method_error(reply, NULL) && sd_bus_message_enter_container(reply, 'r', "bba{ss}") >= 0)
                (void) sd_bus_message_read(reply, "bb", &authorized, &challenge);
        if (!c->call)
                forget(c);
        else if (authorized)
                allow(c);
        else if (challenge && c->interactive && !c->prompting) {
                c->prompting = true;
                if (ask(c) < 0)
                        refuse(c, SD_BUS_ERROR_ACCESS_DENIED, "Access denied");
        } else if (challenge && !c->interactive)
                refuse(c, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, "Interactive authentication is required");
        else
                refuse(c, SD_BUS_ERROR_ACCESS_DENIED, "Access denied");
        return 0;
}

static int watch_departure(Check *c) {
        g_autofree char *match = g_strdup_printf("type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                                                 "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='%s',arg2=''",
                                                 sd_bus_message_get_sender(c->call));

        return sd_bus_add_match_async(c->polkit->bus, &c->departure, match, on_departure, on_match, c);
}

static bool may_ask(const Polkit *p, uint32_t uid) {
        unsigned n_asked = 0, n_user = 0;

        for (guint k = 0; k < p->checks->len; k++) {
                const Check *c = g_ptr_array_index(p->checks, k);

                n_asked += c->uid != UID_UNKNOWN;
                n_user += c->uid == uid;
        }
        return n_asked < ASKED_MAX && n_user < ASKED_PER_USER_MAX;
}

static int on_uid(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        uint32_t uid = UID_UNKNOWN;
        Check *c = userdata;

        if (!sd_bus_message_is_method_error(reply, NULL))
                (void) sd_bus_message_read(reply, "u", &uid);
        if (uid == 0)
                allow(c);
        else if (uid == UID_UNKNOWN) /* gone */
                refuse(c, SD_BUS_ERROR_ACCESS_DENIED, "Access denied");
        else if (!may_ask(c->polkit, uid))
                refuse(c, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many calls wait for polkit");
        else {
                c->uid = uid;
                if (watch_departure(c) < 0 || ask(c) < 0)
                        refuse(c, SD_BUS_ERROR_ACCESS_DENIED, "Access denied");
        }
        return 0;
}

static bool may_come(const Polkit *p, const char *sender) {
        unsigned n_unnamed = 0, n_connection = 0;

        for (guint k = 0; k < p->checks->len; k++) {
                const Check *c = g_ptr_array_index(p->checks, k);

                if (c->uid != UID_UNKNOWN)
                        continue;
                n_unnamed++;
                n_connection += g_str_equal(sd_bus_message_get_sender(c->call), sender);
        }
        return n_unnamed < UNNAMED_MAX && n_connection < UNNAMED_PER_CONNECTION_MAX;
}

/**
 * polkit_authorize() - call act, now or later, if the caller may
 * @call: a reference is kept
 * @action: borrowed for ever; a literal
 * @instance: copied; the action's detail, or NULL
 *
 * Returns 1 when the answer comes later; else the call is refused by the error set, or by -errno.
 */
int polkit_authorize(Polkit *p, sd_bus_message *call, const char *action, const char *instance, PolkitAct act, void *userdata,
                     sd_bus_error *error) {
        const char *sender = sd_bus_message_get_sender(call);
        Check *c;
        int r;

        if (!sender)
                return -EPERM;
        if (!may_come(p, sender))
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many calls at once");
        c = g_new0(Check, 1);
        c->polkit = p;
        c->call = sd_bus_message_ref(call);
        c->action = action;
        c->instance = g_strdup(instance);
        c->cancellation = g_strdup_printf("vipd-%" G_GUINT64_FORMAT, p->n_asked++);
        c->act = act;
        c->userdata = userdata;
        c->uid = UID_UNKNOWN;
        c->interactive = sd_bus_message_get_allow_interactive_authorization(call) > 0;
        g_ptr_array_add(p->checks, c);
        r = sd_bus_call_method_async(p->bus, &c->question, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                     "GetConnectionUnixUser", on_uid, c, "s", sender);
        if (r < 0) {
                forget(c);
                return r;
        }
        return 1;
}
