/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbus/polkit.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>

#include "dbus/names.h"

/* The gate in front of every verb. Everything is asynchronous: a password prompt may take minutes, and an election does not wait for it. Nothing
 * is changed before the answer, and the act looks everything up again after it. Knows actions and callers, not what the verbs do. */

#define CHECKS_MAX 64

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
#define POLKIT_ALLOW_USER_INTERACTION 1u

struct Polkit {
        sd_bus *bus; /* borrowed */
        GPtrArray *checks;
        uint64_t n_asked;
};

typedef struct Check {
        Polkit *polkit;
        sd_bus_message *call;
        sd_bus_slot *question, *departure;
        PolkitAct act;
        void *userdata;
        char *cancellation;
        bool interactive;
} Check;

static void check_free(void *data) {
        Check *c = data;

        sd_bus_slot_unref(c->question);
        sd_bus_slot_unref(c->departure);
        sd_bus_message_unref(c->call);
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

static void finish(Check *c, bool allowed, bool challenge) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = 0;

        if (allowed)
                r = c->act(c->call, c->userdata, &error);
        else if (challenge && !c->interactive)
                r = sd_bus_error_set(&error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                     "Interactive authentication is required");
        else
                r = sd_bus_error_set(&error, SD_BUS_ERROR_ACCESS_DENIED, "Access denied");
        if (sd_bus_error_is_set(&error))
                (void) sd_bus_reply_method_error(c->call, &error);
        else if (r < 0)
                (void) sd_bus_reply_method_errno(c->call, r, NULL);
        sd_bus_error_free(&error);
        g_ptr_array_remove_fast(c->polkit->checks, c);
}

static int on_uid(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        uint32_t uid = UINT32_MAX;

        if (!sd_bus_message_is_method_error(reply, NULL))
                (void) sd_bus_message_read(reply, "u", &uid);
        finish(userdata, uid == 0, false);
        return 0;
}

/* No polkit, or none that answers: only root passes. */
static void ask_uid(Check *c) {
        c->question = sd_bus_slot_unref(c->question);
        if (sd_bus_call_method_async(c->polkit->bus, &c->question, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                     "org.freedesktop.DBus", "GetConnectionUnixUser", on_uid, c, "s",
                                     sd_bus_message_get_sender(c->call)) < 0)
                finish(c, false, false);
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        int authorized = 0, challenge = 0;

        if (sd_bus_message_is_method_error(reply, NULL)) {
                ask_uid(userdata);
                return 0;
        }
        if (sd_bus_message_enter_container(reply, 'r', "bba{ss}") >= 0)
                (void) sd_bus_message_read(reply, "bb", &authorized, &challenge);
        finish(userdata, authorized, challenge);
        return 0;
}

/* The caller left: what it wished for is dropped, and polkit told so that a prompt disappears. */
static int on_departure(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        Check *c = userdata;

        (void) sd_bus_call_method_async(c->polkit->bus, NULL, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                                        "CancelCheckAuthorization", NULL, NULL, "s", c->cancellation);
        g_ptr_array_remove_fast(c->polkit->checks, c);
        return 0;
}

/* Without it a refused match would end the connection; then the caller's departure goes unnoticed, and its check ends by itself. */
static int on_match(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return 0;
}

static int ask(Check *c, const char *action, const char *instance) {
        const char *sender = sd_bus_message_get_sender(c->call);
        g_autofree char *match = g_strdup_printf("type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                                                 "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='%s',arg2=''",
                                                 sender);
        sd_bus_message *m = NULL;
        int r;

        if (!sender)
                return -EPERM;
        r = sd_bus_add_match_async(c->polkit->bus, &c->departure, match, on_departure, on_match, c);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_call(c->polkit->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s", sender, action);
        if (r >= 0)
                r = instance ? sd_bus_message_append(m, "a{ss}", 1, "instance", instance)
                             : sd_bus_message_append(m, "a{ss}", 0);
        if (r >= 0)
                r = sd_bus_message_append(m, "us", c->interactive ? POLKIT_ALLOW_USER_INTERACTION : 0, c->cancellation);
        if (r >= 0)
                /* who types a password may take their time */
                r = sd_bus_call_async(c->polkit->bus, &c->question, m, on_answer, c, c->interactive ? UINT64_MAX : 0);
        sd_bus_message_unref(m);
        return r;
}

int polkit_authorize(Polkit *p, sd_bus_message *call, const char *action, const char *instance, PolkitAct act, void *userdata,
                     sd_bus_error *error) {
        Check *c;
        int r;

        if (p->checks->len >= CHECKS_MAX)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many authorisations are being asked for");
        c = g_new0(Check, 1);
        c->polkit = p;
        c->call = sd_bus_message_ref(call);
        c->act = act;
        c->userdata = userdata;
        c->interactive = sd_bus_message_get_allow_interactive_authorization(call) > 0;
        c->cancellation = g_strdup_printf("vipd-%" G_GUINT64_FORMAT, p->n_asked++);
        g_ptr_array_add(p->checks, c);
        r = ask(c, action, instance);
        if (r < 0) {
                g_ptr_array_remove_fast(p->checks, c);
                return r;
        }
        return 1;
}
