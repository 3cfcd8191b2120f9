/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "polkit.h"

#include <string.h>
#include <time.h>

#include "bus-error.h"
#include "sd-bus-cleanup.h"
#include "util/log.h"
#include "util/ratelimit.h"
#include "util/time-util.h"

/* The gate before every verb. A check has two steps, both asynchronous: whose connection is the caller's (root passes, so that an
 * administrator needs no polkit, be it absent or hung), and for everybody else what polkit says. Nothing is decided from memory: the
 * answer starts a continuation that looks everything up again.
 *
 * libsystemd has helpers for the caller's identity and for watching that it stays (sd_bus_query_sender_creds, sd_bus_track); both ask
 * the bus driver and wait for the answer, so they are not used. Knows no instance and no manager. */

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
#define POLKIT_FLAG_ALLOW_USER_INTERACTION UINT32_C(1)

/* What strangers can make us hold: checks that wait for the bus driver (it answers in no time), those that wait for polkit, and of
 * these so many for one user that nobody takes all places with password prompts left open. The bus allows us 128 open calls. */
#define LOOKUPS_MAX 64U
#define CHECKS_MAX 64U
#define CHECKS_PER_USER_MAX 16U

typedef struct Check {
        Polkit *polkit;
        sd_bus_message *call;
        const char *action;
        char *instance;
        PolkitThen then;
        void *userdata;
        uint32_t uid;
        char *cancellation_id; /* set once polkit has been asked */
        sd_bus_slot *pending;  /* the call we wait for */
        sd_bus_slot *watch;    /* tells when the caller leaves */
} Check;

struct Polkit {
        sd_bus *bus;
        GPtrArray *checks; /* Check * */
        uint64_t n_asked;
        RateLimit complaints;
};

static void check_destroy(void *data) {
        Check *c = data;

        sd_bus_slot_unref(c->pending);
        sd_bus_slot_unref(c->watch);
        sd_bus_message_unref(c->call);
        g_free(c->instance);
        g_free(c->cancellation_id);
        g_free(c);
}

Polkit *polkit_new(sd_bus *bus) {
        Polkit *p = g_new0(Polkit, 1);

        p->bus = bus;
        p->checks = g_ptr_array_new_with_free_func(check_destroy);
        p->complaints = (RateLimit) { .interval_usec = 60 * USEC_PER_SEC, .burst = 1 };
        return p;
}

Polkit *polkit_free(Polkit *p) {
        if (!p)
                return NULL;
        g_ptr_array_unref(p->checks);
        g_free(p);
        return NULL;
}

static void check_drop(Check *c) {
        (void) g_ptr_array_remove_fast(c->polkit->checks, c);
}

static void check_deny(Check *c, const char *sentence) {
        (void) sd_bus_reply_method_errorf(c->call, SD_BUS_ERROR_ACCESS_DENIED, "%s", sentence);
        check_drop(c);
}

static void check_pass(Check *c) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_message_rewind(c->call, true);
        if (r >= 0)
                r = c->then(c->call, c->uid, c->userdata, &error);
        if (r < 0 || sd_bus_error_is_set(&error))
                (void) sd_bus_reply_method_errno(c->call, r, &error);
        check_drop(c);
}

/* Tells polkit to close the prompt. Not started for that: a polkit that is gone has no prompt open. */
static void cancel(Check *c) {
        g_autoptr(sd_bus_message) m = NULL;

        if (!c->cancellation_id)
                return;
        if (sd_bus_message_new_method_call(
                    c->polkit->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CancelCheckAuthorization") < 0 ||
            sd_bus_message_append(m, "s", c->cancellation_id) < 0 || sd_bus_message_set_auto_start(m, false) < 0 ||
            sd_bus_message_set_expect_reply(m, false) < 0)
                return;
        (void) sd_bus_send(c->polkit->bus, m, NULL);
}

static int on_name_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Check *c = userdata;
        const char *name, *old_owner, *new_owner;

        if (sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner) < 0 || new_owner[0] != '\0')
                return 0;
        log_debug("%s left the bus before it was known whether it may %s; dropped", name, c->action);
        cancel(c);
        check_drop(c);
        return 0;
}

/* Without an own handler sd-bus would close the connection when the bus refuses a match. Then a caller that leaves is noticed only
 * when the answer comes, which is no harm. */
static int on_watch_installed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        if (sd_bus_message_is_method_error(m, NULL))
                log_debug("The bus does not tell when a caller leaves: %s", sd_bus_message_get_error(m)->message);
        return 0;
}

/* Why polkit could not say. Absence is normal on a small host; anything else is worth a line, but callers can provoke it. */
static void complain(Polkit *p, const sd_bus_error *e) {
        static const char *const absent[] = {
                SD_BUS_ERROR_SERVICE_UNKNOWN,
                SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                "org.freedesktop.systemd1.UnitMasked",
                "org.freedesktop.systemd1.NoSuchUnit",
                NULL,
        };
        struct timespec ts = { 0 };
        uint64_t n_suppressed = 0;
        int level = g_strv_contains(absent, e->name) ? LOG_DEBUG : LOG_WARNING;

        (void) clock_gettime(CLOCK_BOOTTIME, &ts);
        if (!ratelimit_pass(&p->complaints,
                            (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000,
                            &n_suppressed))
                return;
        log_full(level, 0, "polkit gives no answer, only root may give commands: %s (%s)", e->message, e->name);
}

static int on_authorization(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Check *c = userdata;
        int authorized, challenge;

        if (sd_bus_message_is_method_error(m, NULL)) {
                complain(c->polkit, sd_bus_message_get_error(m));
                check_deny(c, "polkit gives no answer, so only root may do this");
                return 0;
        }
        if (sd_bus_message_enter_container(m, SD_BUS_TYPE_STRUCT, "bba{ss}") < 0 ||
            sd_bus_message_read(m, "bb", &authorized, &challenge) < 0) {
                check_deny(c, "polkit gives an answer that is not understood");
                return 0;
        }
        if (authorized)
                check_pass(c);
        else if (challenge && sd_bus_message_get_allow_interactive_authorization(c->call) <= 0) {
                (void) sd_bus_reply_method_errorf(c->call,
                                                  SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                                  "Interactive authentication required");
                check_drop(c);
        } else
                check_deny(c, "Access denied by polkit");
        return 0;
}

static int append_request(sd_bus_message *m, const Check *c, bool interactive) {
        int r;

        r = sd_bus_message_append(
                m, "(sa{sv})s", "system-bus-name", 1, "name", "s", sd_bus_message_get_sender(c->call), c->action);
        if (r < 0)
                return r;
        r = c->instance ? sd_bus_message_append(m, "a{ss}", 1, "instance", c->instance) :
                          sd_bus_message_append(m, "a{ss}", 0);
        if (r < 0)
                return r;
        return sd_bus_message_append(
                m, "us", interactive ? POLKIT_FLAG_ALLOW_USER_INTERACTION : UINT32_C(0), c->cancellation_id);
}

static int ask_polkit(Check *c) {
        Polkit *p = c->polkit;
        bool interactive = sd_bus_message_get_allow_interactive_authorization(c->call) > 0;
        g_autoptr(sd_bus_message) m = NULL;
        int r;

        c->cancellation_id = g_strdup_printf("%" G_GUINT64_FORMAT, ++p->n_asked);
        r = sd_bus_message_new_method_call(p->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CheckAuthorization");
        if (r < 0)
                return r;
        r = append_request(m, c, interactive);
        if (r < 0)
                return r;
        c->pending = sd_bus_slot_unref(c->pending);
        /* a person may take any time to type a password; a machine gets sd-bus's 25 s */
        return sd_bus_call_async(p->bus, &c->pending, m, on_authorization, c, interactive ? UINT64_MAX : 0);
}

static bool has_place(const Polkit *p, uint32_t uid) {
        unsigned n = 0, n_user = 0;

        for (guint k = 0; k < p->checks->len; k++) {
                const Check *c = g_ptr_array_index(p->checks, k);

                if (!c->cancellation_id)
                        continue;
                n++;
                if (c->uid == uid)
                        n_user++;
        }
        return n < CHECKS_MAX && n_user < CHECKS_PER_USER_MAX;
}

static int on_uid(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Check *c = userdata;
        uint32_t uid;

        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "u", &uid) < 0) {
                /* mostly because the caller has left; then nobody reads this */
                check_deny(c, "The bus does not say who is calling");
                return 0;
        }
        c->uid = uid;
        if (uid == 0)
                check_pass(c);
        else if (!has_place(c->polkit, uid)) {
                (void) sd_bus_reply_method_errorf(
                        c->call, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many calls wait for authorization");
                check_drop(c);
        } else if (ask_polkit(c) < 0)
                check_deny(c, "polkit cannot be asked");
        return 0;
}

/* The watch goes first: the bus serves us in order, so a caller that leaves before it is in force has no user for the second call. */
static int start(Check *c, const char *sender) {
        g_autofree char *match = g_strdup_printf("type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                                                 "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='%s'",
                                                 sender);
        int r;

        r = sd_bus_add_match_async(c->polkit->bus, &c->watch, match, on_name_owner_changed, on_watch_installed, c);
        if (r < 0)
                return r;
        return sd_bus_call_method_async(c->polkit->bus,
                                        &c->pending,
                                        "org.freedesktop.DBus",
                                        "/org/freedesktop/DBus",
                                        "org.freedesktop.DBus",
                                        "GetConnectionUnixUser",
                                        on_uid,
                                        c,
                                        "s",
                                        sender);
}

/**
 * polkit_authorize() - asks whether the sender of a call may do what it wants
 * @call: a reference is kept until it is answered
 * @action: a polkit action, a literal
 * @userdata: for @then; must live as long as @p
 *
 * Called from method handlers, after they have checked the arguments. @then is never called from inside.
 */
int polkit_authorize(Polkit *p, sd_bus_message *call, const char *action, const char *instance, PolkitThen then, void *userdata,
                     sd_bus_error *error) {
        const char *sender = sd_bus_message_get_sender(call);
        unsigned n_lookups = 0;
        Check *c;
        int r;

        if (!sender)
                return bus_error_access_denied(error, "This call has no sender");
        for (guint k = 0; k < p->checks->len; k++)
                n_lookups += !((Check *) g_ptr_array_index(p->checks, k))->cancellation_id;
        if (n_lookups >= LOOKUPS_MAX)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many calls wait for authorization");

        c = g_new0(Check, 1);
        c->polkit = p;
        c->call = sd_bus_message_ref(call);
        c->action = action;
        c->instance = g_strdup(instance);
        c->then = then;
        c->userdata = userdata;
        g_ptr_array_add(p->checks, c);
        r = start(c, sender);
        if (r < 0) {
                check_drop(c);
                return r;
        }
        return 1;
}
