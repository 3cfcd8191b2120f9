/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbus/systemd1.h"

#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/event-priority.h"

/* Speaks org.freedesktop.systemd1 for targets.c. A request is one burst of messages: which units belong to the targets, then start or stop; what
 * comes back is in the same order. Then the jobs of the target and of its units are followed to their end by JobRemoved. Everything is
 * asynchronous and bounded in time: systemd that is busy, or a polkitd that hangs, delays units and nothing else. Knows no instance but by
 * name, and judges nothing. */

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER SYSTEMD ".Manager"
#define SYSTEMD_UNIT SYSTEMD ".Unit"
#define SYSTEMD_JOB SYSTEMD ".Job"
/* systemd asks polkit before it answers us, and a polkitd that hangs would hold it for 25 s */
#define ANSWER_USEC UINT64_C(5000000)
/* why we are stopped is worth this long a wait, a bus or a systemd that comes back meanwhile included */
#define REASON_USEC UINT64_C(1000000)

/* What makes a unit belong to a target: it is pulled in by it, or stops with it. */
static const char *const relations[] = { "Wants", "Requires", "ConsistsOf" };
static const UnitsRole targets[] = { UNITS_ROLE_BACKUP, UNITS_ROLE_MASTER };
/* A bus lets one connection wait for 128 answers, those of polkit included. One request waits for up to nine. */
#define BUSY_MAX 6
#define N_SLOTS (G_N_ELEMENTS(relations) * G_N_ELEMENTS(targets) + G_N_ELEMENTS(targets) + 1)

/* One instance's units and the request under way. */
typedef struct Watch {
        Systemd1 *systemd;
        char *name;
        UnitsRole role;
        bool follows; /* asks what is, and for nothing */
        bool busy; /* its questions are under way; else it may be in line */
        sd_bus_slot *slots[N_SLOTS];
        size_t n_slots;
        unsigned n_related; /* questions about what belongs to the targets, not answered yet */
        unsigned n_verbs;  /* StartUnit and StopUnit calls, likewise */
        int error;         /* the first one's that failed */
        GHashTable *units; /* set of names: the targets and what belongs to them */
        GHashTable *jobs;  /* job number -> unit name: awaited; NULL: none since the request began */
} Watch;

struct Systemd1 {
        sd_event *event;
        sd_bus *bus; /* NULL: not connected */
        UnitObserver observer;
        GHashTable *watches; /* name -> Watch */
        GQueue line;         /* Watch, borrowed: requests that wait for others to be answered */
        int n_busy;
        sd_bus_slot *removed, *owner;
        sd_bus_slot *question; /* systemd1_ask_restart() */
        sd_event_source *patience;
        void (*answered)(void *userdata, bool restart);
        void *answered_userdata;
};

/* Every call is made here: asynchronous, with a bound of its own, and never the cause for a bus to start a systemd of its own. */
static int call(const Systemd1 *s, sd_bus_slot **ret, const char *path, const char *interface, const char *member,
                sd_bus_message_handler_t handler, void *userdata, uint64_t timeout_usec, const char *types, ...) {
        sd_bus_message *m = NULL;
        va_list ap;
        int r;

        r = sd_bus_message_new_method_call(s->bus, &m, SYSTEMD, path, interface, member);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        va_start(ap, types);
        if (r >= 0)
                r = sd_bus_message_appendv(m, types, ap);
        va_end(ap);
        if (r >= 0)
                r = sd_bus_call_async(s->bus, ret, m, handler, userdata, timeout_usec);
        sd_bus_message_unref(m);
        return r;
}

static int get(const Systemd1 *s, sd_bus_slot **ret, const char *path, const char *interface, const char *property,
               sd_bus_message_handler_t handler, void *userdata, uint64_t timeout_usec) {
        return call(s, ret, path, "org.freedesktop.DBus.Properties", "Get", handler, userdata, timeout_usec, "ss", interface, property);
}

static void drop_slots(Watch *w) {
        while (w->n_slots > 0)
                sd_bus_slot_unref(w->slots[--w->n_slots]);
}

static void forget_jobs(Watch *w) {
        GHashTable *jobs = g_steal_pointer(&w->jobs);

        if (jobs)
                g_hash_table_unref(jobs);
}

static void watch_free(void *data) {
        Watch *w = data;

        drop_slots(w);
        g_hash_table_unref(w->units);
        forget_jobs(w);
        g_free(w->name);
        g_free(w);
}

Systemd1 *systemd1_new(sd_event *event) {
        Systemd1 *s = g_new0(Systemd1, 1);

        s->event = sd_event_ref(event);
        s->watches = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, watch_free);
        return s;
}

Systemd1 *systemd1_free(Systemd1 *s) {
        if (!s)
                return NULL;
        g_hash_table_unref(s->watches);
        g_queue_clear(&s->line);
        sd_bus_slot_unref(s->removed);
        sd_bus_slot_unref(s->owner);
        sd_bus_slot_unref(s->question);
        sd_event_source_disable_unref(s->patience);
        sd_event_unref(s->event);
        g_free(s);
        return NULL;
}

void systemd1_observe(Systemd1 *s, const UnitObserver *observer, void *userdata) {
        s->observer = *observer;
        s->observer.userdata = userdata;
}

static void finish_if_settled(Watch *w) {
        const UnitObserver *o = &w->systemd->observer;

        if (!w->busy && (!w->jobs || g_hash_table_size(w->jobs) == 0))
                o->settled(o->userdata, w->name);
}

/* Those to whom a unit belongs: several addresses may share one server. Names, as what is told of one may end the watch of another. */
static GPtrArray *owners_of(const Systemd1 *s, const char *unit) {
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        GHashTableIter iter;
        void *value;

        g_hash_table_iter_init(&iter, s->watches);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                if (g_hash_table_contains(((Watch *) value)->units, unit))
                        g_ptr_array_add(names, g_strdup(((Watch *) value)->name));
        return names;
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Systemd1 *s = userdata;
        const char *path, *unit, *result;
        g_autoptr(GPtrArray) owners = NULL;
        uint32_t id;

        if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) < 0)
                return 0;
        owners = owners_of(s, unit);
        for (guint k = 0; k < owners->len; k++) {
                const char *name = g_ptr_array_index(owners, k);
                Watch *w = g_hash_table_lookup(s->watches, name);
                bool awaited = w && w->jobs && g_hash_table_remove(w->jobs, GUINT_TO_POINTER(id));

                if (w)
                        s->observer.job(s->observer.userdata, name, unit, result);
                w = g_hash_table_lookup(s->watches, name);
                if (w && awaited)
                        finish_if_settled(w);
        }
        return 0;
}

static int on_ignored(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return 0;
}

static int ask_own_unit(Systemd1 *s);

static void begin_to_talk(Systemd1 *s) {
        /* else systemd tells us of the jobs that we asked for ourselves, and not of those that follow from them */
        (void) call(s, NULL, SYSTEMD_PATH, SYSTEMD_MANAGER, "Subscribe", on_ignored, NULL, ANSWER_USEC, "");
        if (s->observer.connected)
                s->observer.connected(s->observer.userdata);
        if (s->answered)
                (void) ask_own_unit(s);
}

/* After a restart of the bus, or of itself, systemd comes to the bus when it likes, perhaps after us. */
static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name, *before, *after;

        if (sd_bus_message_read(m, "sss", &name, &before, &after) >= 0 && after[0] != '\0')
                begin_to_talk(userdata);
        return 0;
}

void systemd1_connected(Systemd1 *s, sd_bus *bus) {
        s->bus = bus;
        (void) sd_bus_match_signal_async(bus, &s->removed, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "JobRemoved", on_job_removed,
                                         on_ignored, s);
        (void) sd_bus_add_match_async(bus, &s->owner,
                                      "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                                      "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" SYSTEMD "'",
                                      on_owner, on_ignored, s);
        begin_to_talk(s);
}

static void answer_restart(Systemd1 *s, bool restart) {
        void (*answered)(void *userdata, bool restart) = s->answered;

        s->question = sd_bus_slot_unref(s->question);
        s->patience = sd_event_source_disable_unref(s->patience);
        s->answered = NULL;
        if (answered)
                answered(s->answered_userdata, restart);
}

void systemd1_disconnected(Systemd1 *s) {
        g_autoptr(GList) watches = g_hash_table_get_values(s->watches);

        s->bus = NULL;
        s->n_busy = 0;
        s->removed = sd_bus_slot_unref(s->removed);
        s->owner = sd_bus_slot_unref(s->owner);
        for (GList *k = watches; k; k = k->next) {
                Watch *w = k->data;
                bool asking = w->n_verbs > 0 || g_queue_remove(&s->line, w);

                drop_slots(w);
                w->n_verbs = 0;
                w->busy = false;
                forget_jobs(w);
                if (asking)
                        s->observer.accepted(s->observer.userdata, w->name, -ENOTCONN);
        }
        /* asked again when it is back */
        s->question = sd_bus_slot_unref(s->question);
}

static int begin(Watch *w);

/* The questions of this request are answered: it is another's turn. */
static void yield_turn(Watch *w) {
        Systemd1 *s = w->systemd;

        if (!w->busy)
                return;
        w->busy = false;
        s->n_busy--;
        if (w->n_related == 0 && w->n_verbs == 0)
                drop_slots(w);
        while (s->bus && s->n_busy < BUSY_MAX && !g_queue_is_empty(&s->line)) {
                Watch *next = g_queue_pop_head(&s->line);

                /* who could not be asked; the reason, if it is another, comes with the next request */
                if (begin(next) < 0)
                        s->observer.accepted(s->observer.userdata, next->name, -ENOTCONN);
        }
}

/* Who only follows hears here of what failed before. */
static void tell_failed(const Systemd1 *s, const char *name, GPtrArray *units) {
        for (guint k = 0; k < units->len; k++)
                s->observer.job(s->observer.userdata, name, g_ptr_array_index(units, k), "failed");
}

static void await_job(Watch *w, uint32_t id, const char *unit) {
        if (!w->jobs)
                w->jobs = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        g_hash_table_insert(w->jobs, GUINT_TO_POINTER(id), g_strdup(unit));
}

static int on_jobs(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        g_autoptr(GPtrArray) failed = g_ptr_array_new_with_free_func(g_free);
        Watch *w = userdata;
        const char *unit, *description, *load_state, *active_state;
        uint32_t id;

        if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_enter_container(m, 'a', "(ssssssouso)") >= 0)
                while (sd_bus_message_enter_container(m, 'r', "ssssssouso") > 0) {
                        if (sd_bus_message_read(m, "ssss", &unit, &description, &load_state, &active_state) < 0 ||
                            sd_bus_message_skip(m, "sso") < 0 || sd_bus_message_read(m, "u", &id) < 0 ||
                            sd_bus_message_skip(m, "so") < 0 || sd_bus_message_exit_container(m) < 0)
                                break;
                        if (w->follows && g_str_equal(active_state, "failed"))
                                g_ptr_array_add(failed, g_strdup(unit));
                        if (id != 0)
                                await_job(w, id, unit);
                }
        yield_turn(w);
        if (w->follows)
                tell_failed(w->systemd, w->name, failed);
        else
                finish_if_settled(w);
        return 0;
}

static int list_jobs(Watch *w) {
        g_autofree const char **units = (const char **) g_hash_table_get_keys_as_array(w->units, NULL);
        sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(w->systemd->bus, &m, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "ListUnitsByNames");
        if (r >= 0)
                r = sd_bus_message_append_strv(m, (char **) units);
        if (r >= 0)
                r = sd_bus_call_async(w->systemd->bus, &w->slots[w->n_slots], m, on_jobs, w, ANSWER_USEC);
        sd_bus_message_unref(m);
        if (r >= 0)
                w->n_slots++;
        return r;
}

static int on_related(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Watch *w = userdata;
        const char *unit;

        /* an error: the target is not installed, and nothing belongs to it */
        if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_enter_container(m, 'v', "as") >= 0 &&
            sd_bus_message_enter_container(m, 'a', "s") >= 0)
                while (sd_bus_message_read(m, "s", &unit) > 0)
                        g_hash_table_add(w->units, g_strdup(unit));
        if (--w->n_related == 0 && w->follows && list_jobs(w) < 0)
                yield_turn(w);
        return 0;
}

static int error_of(sd_bus_message *m) {
        const sd_bus_error *e = sd_bus_message_get_error(m);

        if (!e)
                return 0;
        /* there is nothing to stop */
        if (sd_bus_error_has_name(e, SYSTEMD ".NoSuchUnit") || sd_bus_error_has_name(e, SYSTEMD ".UnitNotLoaded"))
                return 0;
        /* there is no systemd on this bus */
        if (sd_bus_error_has_name(e, SD_BUS_ERROR_SERVICE_UNKNOWN) || sd_bus_error_has_name(e, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
                return -EHOSTUNREACH;
        return -sd_bus_error_get_errno(e);
}

static int on_verb(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Watch *w = userdata;
        const UnitObserver *o = &w->systemd->observer;
        int r = error_of(m);

        w->error = w->error ?: r;
        if (--w->n_verbs > 0)
                return 0;
        if (w->error >= 0)
                w->error = list_jobs(w);
        if (w->error < 0)
                yield_turn(w);
        o->accepted(o->userdata, w->name, w->error);
        return 0;
}

static int ask_related(Watch *w, UnitsRole role, const char *relation) {
        g_autofree char *target = units_target(role, w->name);
        char *path = NULL;
        int r;

        g_hash_table_add(w->units, g_strdup(target));
        r = sd_bus_path_encode(SYSTEMD_PATH "/unit", target, &path);
        if (r >= 0)
                r = get(w->systemd, &w->slots[w->n_slots], path, SYSTEMD_UNIT, relation, on_related, w, ANSWER_USEC);
        free(path);
        if (r >= 0) {
                w->n_slots++;
                w->n_related++;
        }
        return r;
}

static int ask_verb(Watch *w, const char *verb, UnitsRole role) {
        g_autofree char *target = units_target(role, w->name);
        int r = call(w->systemd, &w->slots[w->n_slots], SYSTEMD_PATH, SYSTEMD_MANAGER, verb, on_verb, w, ANSWER_USEC, "ss", target,
                     "replace");

        if (r >= 0) {
                w->n_slots++;
                w->n_verbs++;
        }
        return r;
}

static Watch *obtain(Systemd1 *s, const char *name) {
        Watch *w = g_hash_table_lookup(s->watches, name);

        if (w)
                return w;
        w = g_new0(Watch, 1);
        w->systemd = s;
        w->name = g_strdup(name);
        w->units = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_hash_table_insert(s->watches, w->name, w);
        return w;
}

static int begin(Watch *w) {
        int r = 0;

        drop_slots(w);
        w->n_related = w->n_verbs = 0;
        w->error = 0;
        forget_jobs(w);
        g_hash_table_remove_all(w->units);
        /* to enter a role is to leave the other one; to follow is to look at one */
        for (size_t t = 0; t < G_N_ELEMENTS(targets); t++)
                for (size_t k = 0; r >= 0 && k < G_N_ELEMENTS(relations) && (!w->follows || targets[t] == w->role); k++)
                        r = ask_related(w, targets[t], relations[k]);
        if (r >= 0 && !w->follows && w->role != UNITS_ROLE_NONE)
                r = ask_verb(w, "StartUnit", w->role);
        for (size_t t = 0; r >= 0 && !w->follows && w->role == UNITS_ROLE_NONE && t < G_N_ELEMENTS(targets); t++)
                r = ask_verb(w, "StopUnit", targets[t]);
        if (r < 0) {
                drop_slots(w);
                w->n_verbs = 0;
        }
        w->systemd->n_busy += (r >= 0) - w->busy;
        w->busy = r >= 0;
        return r < 0 ? r : 0;
}

/* Now, or when others have been answered. */
static int take_turn(Watch *w) {
        Systemd1 *s = w->systemd;

        if (w->busy || s->n_busy < BUSY_MAX)
                return begin(w);
        if (!g_queue_find(&s->line, w))
                g_queue_push_tail(&s->line, w);
        return 0;
}

static int request(void *userdata, const char *name, UnitsRole role) {
        Systemd1 *s = userdata;
        Watch *w;

        if (!s->bus)
                return -ENOTCONN;
        w = obtain(s, name);
        w->role = role;
        w->follows = false;
        return take_turn(w);
}

static void follow(void *userdata, const char *name, UnitsRole role) {
        Systemd1 *s = userdata;
        Watch *w;

        if (!s->bus || role == UNITS_ROLE_NONE)
                return;
        w = obtain(s, name);
        w->role = role;
        w->follows = true;
        (void) take_turn(w);
}

static GPtrArray *pending(void *userdata, const char *name) {
        GPtrArray *units = g_ptr_array_new_with_free_func(g_free);
        const Systemd1 *s = userdata;
        const Watch *w = g_hash_table_lookup(s->watches, name);
        GHashTableIter iter;
        void *value;

        if (!w || !w->jobs)
                return units;
        g_hash_table_iter_init(&iter, w->jobs);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                g_ptr_array_add(units, g_strdup(value));
        return units;
}

static void forget(void *userdata, const char *name) {
        Systemd1 *s = userdata;
        Watch *w = g_hash_table_lookup(s->watches, name);

        if (!w)
                return;
        yield_turn(w);
        (void) g_queue_remove(&s->line, w);
        g_hash_table_remove(s->watches, name);
}

const UnitOps systemd1_unit_ops = {
        .request = request,
        .follow = follow,
        .pending = pending,
        .forget = forget,
};

/* No answer to a question about ourselves. From a bus that died, or on which systemd is not yet: it is asked again when it comes. */
static void give_up_question(Systemd1 *s, sd_bus_message *m) {
        bool absent = error_of(m) == -EHOSTUNREACH || sd_bus_is_open(sd_bus_message_get_bus(m)) <= 0;

        if (!absent)
                answer_restart(s, false);
}

static int on_job_type(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *type = "";

        if (sd_bus_message_is_method_error(m, NULL)) {
                give_up_question(userdata, m);
                return 0;
        }
        (void) sd_bus_message_read(m, "v", "s", &type);
        answer_restart(userdata, g_str_equal(type, "restart"));
        return 0;
}

/* The next of the three questions. */
static int ask_property(Systemd1 *s, const char *path, const char *interface, const char *property, sd_bus_message_handler_t handler) {
        s->question = sd_bus_slot_unref(s->question);
        return get(s, &s->question, path, interface, property, handler, s, REASON_USEC);
}

static int on_own_job(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *path = NULL;
        uint32_t id = 0;

        /* no job: somebody killed us */
        if (sd_bus_message_is_method_error(m, NULL))
                give_up_question(userdata, m);
        else if (sd_bus_message_read(m, "v", "(uo)", &id, &path) < 0 || id == 0 ||
                 ask_property(userdata, path, SYSTEMD_JOB, "JobType", on_job_type) < 0)
                answer_restart(userdata, false);
        return 0;
}

static int on_own_unit(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *path;

        if (sd_bus_message_is_method_error(m, NULL))
                give_up_question(userdata, m);
        else if (sd_bus_message_read(m, "o", &path) < 0 || ask_property(userdata, path, SYSTEMD_UNIT, "Job", on_own_job) < 0)
                answer_restart(userdata, false);
        return 0;
}

static int ask_own_unit(Systemd1 *s) {
        s->question = sd_bus_slot_unref(s->question);
        /* 0: the caller's unit */
        return call(s, &s->question, SYSTEMD_PATH, SYSTEMD_MANAGER, "GetUnitByPID", on_own_unit, s, REASON_USEC, "u", 0);
}

static int on_impatience(sd_event_source *source, uint64_t usec, void *userdata) {
        answer_restart(userdata, false);
        return 0;
}

int systemd1_ask_restart(Systemd1 *s, void (*done)(void *userdata, bool restart), void *userdata) {
        int r;

        if (s->answered)
                return 0;
        r = sd_event_add_time_relative(s->event, &s->patience, CLOCK_BOOTTIME, REASON_USEC, EVENT_ACCURACY_USEC, on_impatience, s);
        if (r < 0)
                return r;
        if (s->bus)
                (void) ask_own_unit(s);
        s->answered = done;
        s->answered_userdata = userdata;
        return 0;
}
