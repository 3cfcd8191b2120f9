/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbus/unit-watch.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Follows the ActiveState of some units. Each is asked for once when the connection stands, and then systemd's PropertiesChanged tells; what is asked
 * after its signal is ordered cannot miss a change. The signal comes from the unit's own name alone, whatever aliases it has, so that is asked for
 * first; it may be another one when systemd has read its files again. Knows no instance and judges nothing. */

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER SYSTEMD ".Manager"
#define SYSTEMD_UNIT SYSTEMD ".Unit"
#define PROPERTIES "org.freedesktop.DBus.Properties"
#define ANSWER_USEC UINT64_C(5000000)
/* A bus lets one connection wait for 128 answers, and others of ours wait too. */
#define ASKING_MAX 16

typedef struct Unit {
        UnitWatch *watch;
        char *name, *path; /* as it was told to us */
        char *own_path;    /* what match is about */
        sd_bus_slot *match, *question;
        bool again; /* something happened since it was asked for */
} Unit;

struct UnitWatch {
        sd_bus *bus; /* NULL: not connected */
        UnitWatchCallback callback;
        void *userdata;
        GPtrArray *units; /* Unit * */
        GQueue line;      /* Unit *, borrowed: to be asked for */
        unsigned n_asking;
        sd_bus_slot *owner, *reloading;
};

static void unit_free(void *data) {
        Unit *u = data;

        sd_bus_slot_unref(u->match);
        sd_bus_slot_unref(u->question);
        g_free(u->name);
        free(u->path);
        free(u->own_path);
        g_free(u);
}

UnitWatch *unit_watch_new(UnitWatchCallback callback, void *userdata) {
        UnitWatch *w = g_new0(UnitWatch, 1);

        w->callback = callback;
        w->userdata = userdata;
        w->units = g_ptr_array_new_with_free_func(unit_free);
        return w;
}

UnitWatch *unit_watch_free(UnitWatch *w) {
        if (!w)
                return NULL;
        sd_bus_slot_unref(w->owner);
        sd_bus_slot_unref(w->reloading);
        g_queue_clear(&w->line);
        g_ptr_array_unref(w->units);
        g_free(w);
        return NULL;
}

static void ask_next(UnitWatch *w);

/* The end of all questions about it. m: what was answered to the last one; state: NULL: nothing. */
static void end_question(Unit *u, sd_bus_message *m, const char *state) {
        UnitWatch *w = u->watch;

        w->n_asking--;
        /* it is busy; the question itself took long enough to be asked again */
        if (u->again || sd_bus_message_is_method_error(m, SD_BUS_ERROR_NO_REPLY) || sd_bus_message_is_method_error(m, SD_BUS_ERROR_TIMEOUT))
                g_queue_push_tail(&w->line, u);
        u->again = false;
        w->callback(w->userdata, u->name, state);
        ask_next(w);
}

static int on_state(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Unit *u = userdata;
        const char *state = NULL;

        u->question = sd_bus_slot_unref(u->question);
        if (!sd_bus_message_is_method_error(m, NULL))
                (void) sd_bus_message_read(m, "v", "s", &state);
        end_question(u, m, state);
        return 0;
}

static int ask(Unit *u, const char *path, const char *property, sd_bus_message_handler_t on_answer) {
        sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(u->watch->bus, &m, SYSTEMD, path, PROPERTIES, "Get");
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", SYSTEMD_UNIT, property);
        if (r >= 0)
                r = sd_bus_call_async(u->watch->bus, &u->question, m, on_answer, u, ANSWER_USEC);
        sd_bus_message_unref(m);
        return r;
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error);

static int on_ignored(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return 0;
}

/* Return: whether its changes will be told from here on. */
static bool follow(Unit *u, const char *id) {
        char *path = NULL;

        if (sd_bus_path_encode(SYSTEMD_PATH "/unit", id, &path) < 0)
                return false;
        if (u->match && strcmp(path, u->own_path) == 0) {
                free(path);
                return true;
        }
        u->match = sd_bus_slot_unref(u->match);
        free(u->own_path);
        u->own_path = path;
        return sd_bus_match_signal_async(u->watch->bus, &u->match, SYSTEMD, path, PROPERTIES, "PropertiesChanged", on_changed, on_ignored, u) >= 0;
}

static int on_id(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Unit *u = userdata;
        const char *id = NULL;

        u->question = sd_bus_slot_unref(u->question);
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "v", "s", &id) < 0 || !follow(u, id) ||
            ask(u, u->own_path, "ActiveState", on_state) < 0)
                end_question(u, m, NULL);
        return 0;
}

static void ask_next(UnitWatch *w) {
        while (w->bus && w->n_asking < ASKING_MAX && !g_queue_is_empty(&w->line)) {
                Unit *u = g_queue_pop_head(&w->line);

                if (u->question)
                        u->again = true;
                else if (ask(u, u->path, "Id", on_id) >= 0)
                        w->n_asking++;
        }
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Unit *u = userdata;
        const char *interface, *property, *state = NULL;

        if (sd_bus_message_read(m, "s", &interface) < 0 || !g_str_equal(interface, SYSTEMD_UNIT) ||
            sd_bus_message_enter_container(m, 'a', "{sv}") < 0)
                return 0;
        while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                if (sd_bus_message_read(m, "s", &property) < 0)
                        return 0;
                if (g_str_equal(property, "ActiveState") ? sd_bus_message_read(m, "v", "s", &state) < 0 : sd_bus_message_skip(m, "v") < 0)
                        return 0;
                if (sd_bus_message_exit_container(m) < 0)
                        return 0;
        }
        if (state)
                u->watch->callback(u->watch->userdata, u->name, state);
        return 0;
}

/* It has read its files again: a name may be an alias now, or of another unit. */
static int on_reloading(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        UnitWatch *w = userdata;
        int active = true;

        if (sd_bus_message_read(m, "b", &active) < 0 || active)
                return 0;
        for (guint k = 0; k < w->units->len; k++)
                g_queue_push_tail(&w->line, g_ptr_array_index(w->units, k));
        ask_next(w);
        return 0;
}

/* systemd comes to the bus, perhaps after us, or once more. */
static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        UnitWatch *w = userdata;
        const char *name, *before, *after;

        if (sd_bus_message_read(m, "sss", &name, &before, &after) < 0)
                return 0;
        for (guint k = 0; k < w->units->len; k++) {
                Unit *u = g_ptr_array_index(w->units, k);

                if (after[0] == '\0')
                        w->callback(w->userdata, u->name, NULL);
                else
                        g_queue_push_tail(&w->line, u);
        }
        ask_next(w);
        return 0;
}

void unit_watch_connected(UnitWatch *w, sd_bus *bus) {
        w->bus = bus;
        (void) sd_bus_add_match_async(bus, &w->owner,
                                      "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                                      "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" SYSTEMD "'",
                                      on_owner, on_ignored, w);
        (void) sd_bus_match_signal_async(bus, &w->reloading, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "Reloading", on_reloading, on_ignored, w);
        for (guint k = 0; k < w->units->len; k++)
                g_queue_push_tail(&w->line, g_ptr_array_index(w->units, k));
        ask_next(w);
}

void unit_watch_disconnected(UnitWatch *w) {
        if (!w)
                return;
        w->bus = NULL;
        w->owner = sd_bus_slot_unref(w->owner);
        w->reloading = sd_bus_slot_unref(w->reloading);
        w->n_asking = 0;
        g_queue_clear(&w->line);
        for (guint k = 0; k < w->units->len; k++) {
                Unit *u = g_ptr_array_index(w->units, k);

                u->match = sd_bus_slot_unref(u->match);
                u->question = sd_bus_slot_unref(u->question);
                u->again = false;
                w->callback(w->userdata, u->name, NULL);
        }
}

static Unit *find(const UnitWatch *w, const char *name) {
        for (guint k = 0; k < w->units->len; k++)
                if (g_str_equal(((Unit *) g_ptr_array_index(w->units, k))->name, name))
                        return g_ptr_array_index(w->units, k);
        return NULL;
}

static void drop(UnitWatch *w, guint k) {
        Unit *u = g_ptr_array_index(w->units, k);

        if (u->question)
                w->n_asking--;
        g_queue_remove_all(&w->line, u);
        g_ptr_array_remove_index(w->units, k);
}

void unit_watch_set(UnitWatch *w, const GPtrArray *units) {
        for (guint k = w->units->len; k > 0; k--)
                if (!g_ptr_array_find_with_equal_func((GPtrArray *) units, ((Unit *) g_ptr_array_index(w->units, k - 1))->name, g_str_equal, NULL))
                        drop(w, k - 1);
        for (guint k = 0; k < units->len; k++) {
                const char *name = g_ptr_array_index(units, k);
                Unit *u;

                if (find(w, name))
                        continue;
                u = g_new0(Unit, 1);
                u->watch = w;
                u->name = g_strdup(name);
                g_ptr_array_add(w->units, u);
                if (sd_bus_path_encode(SYSTEMD_PATH "/unit", name, &u->path) >= 0 && w->bus)
                        g_queue_push_tail(&w->line, u);
        }
        ask_next(w);
}
