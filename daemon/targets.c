/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "targets.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "util/drain.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/message-ids.h"
#include "util/ratelimit.h"
#include "util/time-util.h"

/* What the units of an instance should be, and what systemd was told: one question at a time, the last wish wins, and nobody waits. Follows the
 * jobs to their end, tells the instance which units failed or hang, and when all is settled. Knows neither the bus (UnitOps asks) nor what a
 * failure means (the instance decides). */

/* Job results of systemd (org.freedesktop.systemd1(5), JobRemoved) that mean that a unit is not as it was asked to be. "canceled" is not among
 * them: a later job took over. */
static const char *const failures[] = { "failed", "timeout", "dependency", "invalid", "assert", "unsupported" };

/* What could not be asked for want of memory is asked again so much later. */
#define AGAIN_USEC (250 * USEC_PER_MSEC)

typedef struct Wish {
        Targets *targets; /* borrowed parent */
        char *name;
        UnitsRole wished, asked, told;
        bool wanted;   /* `wished` is a wish */
        bool certain;  /* systemd knows `told` */
        bool absent;   /* it was not there to be told; nor perhaps is it ever */
        bool refused;  /* it was told and would not; nor would it now, but perhaps when we have been restarted */
        bool asking;   /* a request is under way */
        bool settling; /* it was accepted, its jobs run */
        bool removed;  /* the instance is gone: forget the wish when it is fulfilled */
        uint64_t timeout_usec;
        sd_event_source *overdue;
        RateLimit failure_limit, answer_limit; /* lines */
} Wish;

struct Targets {
        sd_event *event;
        Manager *manager;
        const UnitOps *ops;
        void *ops_userdata;
        GHashTable *wishes; /* name -> Wish */
        sd_event_source *again;
        Drain drain;
};

static void wish_free(void *data) {
        Wish *w = data;

        sd_event_source_disable_unref(w->overdue);
        g_free(w->name);
        g_free(w);
}

static Wish *find(const Targets *t, const char *name) {
        return g_hash_table_lookup(t->wishes, name);
}

static bool fulfilled(const Wish *w) {
        return !w->asking && w->certain && w->told == w->wished;
}

static void check_drained(Targets *t) {
        GHashTableIter iter;
        void *value;

        g_hash_table_iter_init(&iter, t->wishes);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                if (!fulfilled(value))
                        return;
        drain_end(&t->drain);
}

/* A unit that systemd restarts without end fails without end. */
#define LOG_BURST 20
#define LOG_INTERVAL_USEC (10 * USEC_PER_SEC)

static bool may_log(const Wish *w, RateLimit *limit, char more[RATELIMIT_TEXT_BYTES]) {
        static const RateRule rule = { .interval_usec = LOG_INTERVAL_USEC, .burst = LOG_BURST };
        uint64_t now_usec = 0, n_suppressed;

        (void) sd_event_now(w->targets->event, CLOCK_BOOTTIME, &now_usec);
        if (!ratelimit_pass(limit, &rule, now_usec, &n_suppressed))
                return false;
        (void) ratelimit_format(n_suppressed, more);
        return true;
}

static void log_failure(Wish *w, const char *unit, const char *what) {
        const LogField fields[] = { { "VIPD_INSTANCE", w->name }, { "VIPD_UNIT", unit }, { "VIPD_RESULT", what }, { NULL, NULL } };

        char more[RATELIMIT_TEXT_BYTES];

        if (may_log(w, &w->failure_limit, more))
                log_write(LOG_WARNING, MESSAGE_ID_UNIT_FAILED_STR, fields, 0, __FILE__, __LINE__, __func__, "%s: %s: %s%s",
                          w->name, unit, what, more);
}

/* Whatever the instance waits for, it waits no longer. */
static void settle(Wish *w) {
        w->settling = false;
        w->overdue = sd_event_source_disable_unref(w->overdue);
        manager_on_units_settled(w->targets->manager, w->name, w->wished == UNITS_ROLE_MASTER);
}

static int on_overdue(sd_event_source *source, uint64_t usec, void *userdata) {
        Wish *w = userdata;
        Targets *t = w->targets;
        UnitsRole wished = w->wished;
        g_autoptr(GPtrArray) units = t->ops->pending(t->ops_userdata, w->name);
        char more[RATELIMIT_TEXT_BYTES];

        if ((w->asking || !w->certain) && may_log(w, &w->answer_limit, more))
                log_warning("%s: systemd does not answer; the units of this role are as they were%s", w->name, more);
        for (guint k = 0; k < units->len; k++) {
                log_failure(w, g_ptr_array_index(units, k), "hanging");
                manager_on_unit_result(t->manager, w->name, g_ptr_array_index(units, k), "hanging");
        }
        /* it is still followed: a unit that gets there late is well again; and who leaves because of one has another wish now */
        if (w->wished == wished)
                settle(w);
        return 0;
}

static void arm_overdue(Wish *w, uint64_t timeout_usec) {
        int r;

        w->overdue = sd_event_source_disable_unref(w->overdue);
        r = sd_event_add_time_relative(w->targets->event, &w->overdue, CLOCK_BOOTTIME, timeout_usec, EVENT_ACCURACY_USEC,
                                       on_overdue, w);
        if (r < 0)
                log_warning_errno(r, "%s: no timer for the units: %m", w->name);
}

static void pursue(Wish *w) {
        Targets *t = w->targets;
        int r;

        if (w->asking || fulfilled(w))
                return;
        r = t->ops->request(t->ops_userdata, w->name, w->wished);
        if (r < 0 && r != -ENOTCONN) {
                (void) sd_event_source_set_time_relative(t->again, AGAIN_USEC);
                (void) sd_event_source_set_enabled(t->again, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                return;
        w->asking = true;
        w->asked = w->wished;
        /* what ends from here on may be jobs of the request before */
        w->settling = false;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        const Targets *t = userdata;
        GHashTableIter iter;
        void *value;

        g_hash_table_iter_init(&iter, t->wishes);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                pursue(value);
        return 0;
}

static void forget_if_done(Wish *w) {
        Targets *t = w->targets;

        if (w->removed && fulfilled(w)) {
                t->ops->forget(t->ops_userdata, w->name);
                g_hash_table_remove(t->wishes, w->name);
        }
        check_drained(t);
}

static void wish(Wish *w, UnitsRole role) {
        if (!w->wanted || w->wished != role) {
                w->wanted = true;
                w->wished = role;
                /* From the wish on, also when there is no systemd to ask: who waits for it waits no longer than this. What came back to what
                 * systemd was told before it could be told anything else, is there already. */
                arm_overdue(w, fulfilled(w) && !w->settling ? 0 : w->timeout_usec);
        }
        pursue(w);
}

static void on_connected(void *userdata) {
        const Targets *t = userdata;
        g_autoptr(GList) wishes = g_hash_table_get_values(t->wishes);

        for (GList *k = wishes; k; k = k->next) {
                Wish *w = k->data;

                /* jobs may have ended unheard: to ask again says which are left */
                w->certain = w->certain && !w->absent && !w->settling;
                w->absent = false;
                pursue(w);
                /* what systemd was told by the process before us, or before the bus was lost */
                if (fulfilled(w) && w->wanted && !w->removed)
                        t->ops->follow(t->ops_userdata, w->name, w->told);
        }
}

/* A wrong or missing polkit rule, a masked target: what hangs on the role is not there. */
static void refused(Wish *w, int error) {
        g_autofree char *target = units_target(w->asked, w->name);
        char more[RATELIMIT_TEXT_BYTES];

        if (may_log(w, &w->answer_limit, more))
                log_warning_errno(error, "%s: systemd refuses to start %s: %m%s", w->name, target, more);
        manager_on_unit_result(w->targets->manager, w->name, target, "refused");
}

static void on_accepted(void *userdata, const char *name, int error) {
        Wish *w = find(userdata, name);

        if (!w || !w->asking)
                return;
        w->asking = false;
        w->told = w->asked;
        /* who did not answer is asked again, who refused is not: it would refuse again */
        w->certain = error != -ENOTCONN && error != -ETIMEDOUT;
        w->absent = error == -EHOSTUNREACH;
        w->refused = w->certain && error < 0;
        w->settling = error >= 0;
        if (w->certain && error < 0 && w->wished == w->asked) {
                /* a host that shuts down stops all units by itself, and will not be told to; else it is told when it comes */
                if (error != -EHOSTUNREACH && w->asked != UNITS_ROLE_NONE)
                        refused(w, error);
                settle(w);
        }
        pursue(w);
        forget_if_done(w);
}

static void on_settled(void *userdata, const char *name) {
        Wish *w = find(userdata, name);

        if (w && w->settling && w->wished == w->asked)
                settle(w);
}

static void on_job(void *userdata, const char *name, const char *unit, const char *result) {
        const Targets *t = userdata;
        Wish *w = find(t, name);

        if (!w || w->removed)
                return;
        for (size_t k = 0; k < G_N_ELEMENTS(failures); k++)
                if (g_str_equal(result, failures[k])) {
                        log_failure(w, unit, result);
                        manager_on_unit_result(t->manager, name, unit, result);
                        return;
                }
        manager_on_unit_result(t->manager, name, unit, NULL);
}

const UnitObserver targets_unit_observer = {
        .connected = on_connected,
        .accepted = on_accepted,
        .settled = on_settled,
        .job = on_job,
};

/**
 * targets_new() - nothing is asked of systemd before the first instance changes
 */
int targets_new(Targets **ret, sd_event *event, Manager *manager, const UnitOps *ops, void *ops_userdata) {
        g_autoptr(Targets) t = g_new0(Targets, 1);
        int r;

        t->event = sd_event_ref(event);
        t->manager = manager;
        t->ops = ops;
        t->ops_userdata = ops_userdata;
        t->wishes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, wish_free);
        r = sd_event_add_time(event, &t->again, CLOCK_BOOTTIME, 0, EVENT_ACCURACY_USEC, on_again, t);
        if (r >= 0)
                r = sd_event_source_set_enabled(t->again, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&t);
        return 0;
}

Targets *targets_free(Targets *t) {
        if (!t)
                return NULL;
        sd_event_source_disable_unref(t->again);
        g_hash_table_unref(t->wishes);
        drain_clear(&t->drain);
        sd_event_unref(t->event);
        g_free(t);
        return NULL;
}

static Wish *obtain(Targets *t, const char *name) {
        Wish *w = find(t, name);

        if (w)
                return w;
        w = g_new0(Wish, 1);
        w->targets = t;
        w->name = g_strdup(name);
        g_hash_table_insert(t->wishes, w->name, w);
        return w;
}

static UnitsRole role_of(const Instance *i) {
        if (instance_is_leaving(i))
                return UNITS_ROLE_NONE;
        switch (instance_state(i)) {
        case ELECTION_STATE_INIT:
                return UNITS_ROLE_NONE;
        case ELECTION_STATE_BACKUP:
                return UNITS_ROLE_BACKUP;
        case ELECTION_STATE_MASTER:
                return UNITS_ROLE_MASTER;
        }
        return UNITS_ROLE_NONE;
}

/**
 * targets_instance_changed() - wish for the units of the instance's role
 *
 * What systemd was told before this process lived is not known: the first wish is always asked for.
 */
void targets_instance_changed(Targets *t, Instance *i) {
        const InstanceConfig *c = instance_config(i);
        Wish *w = obtain(t, c->name);

        w->removed = false;
        w->timeout_usec = c->takeover.unit_timeout_usec;
        wish(w, role_of(i));
}

void targets_removed(Targets *t, const char *name) {
        Wish *w = obtain(t, name);

        w->removed = true;
        w->wished = UNITS_ROLE_NONE;
        w->overdue = sd_event_source_disable_unref(w->overdue);
        pursue(w);
        forget_if_done(w);
}

bool targets_told(const Targets *t, const char *name, UnitsRole *ret) {
        const Wish *w = find(t, name);

        if (!w || !fulfilled(w) || w->settling || w->refused)
                return false;
        *ret = w->told;
        return true;
}

void targets_resume(Targets *t, const char *name, UnitsRole told) {
        Wish *w = obtain(t, name);

        w->wished = w->told = told;
        w->wanted = w->certain = true;
}

void targets_drain(Targets *t, uint64_t timeout_usec, void (*done)(void *userdata), void *userdata) {
        if (drain_begin(&t->drain, t->event, timeout_usec, "systemd to stop the units of this role", done, userdata))
                check_drained(t);
}
