/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbus/unit-watch.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Follows the ActiveState of some units. Each is asked for once when the connection stands, and then systemd's PropertiesChanged tells; what is asked
 * after its signal is ordered cannot miss a change. Knows no instance and judges nothing. */

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_UNIT SYSTEMD ".Unit"
#define PROPERTIES "org.freedesktop.DBus.Properties"
#define ANSWER_USEC UINT64_C(5000000)
/* A bus lets one connection wait for 128 answers, and others of ours wait too. */
#define ASKING_MAX 16

typedef struct Unit {
        UnitWatch *watch;
        char *name, *path;
        sd_bus_slot *match, *question;
} Unit;

struct UnitWatch {
        sd_bus *bus; /* NULL: not connected */
        UnitWatchCallback callback;
        void *userdata;
        GPtrArray *units; /* Unit * */
        GQueue line;      /* Unit *, borrowed: to be asked for */
        unsigned n_asking;
        sd_bus_slot *owner;
};

static void unit_free(void *data) {
        Unit *u = data;

        sd_bus_slot_unref(u->match);
        sd_bus_slot_unref(u->question);
        g_free(u->name);
        free(u->path);
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
        g_queue_clear(&w->line);
        g_ptr_array_unref(w->units);
        g_free(w);
        return NULL;
}

static void ask_next(UnitWatch *w);

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Unit *u = userdata;
        UnitWatch *w = u->watch;
        const char *state = NULL;

        u->question = sd_bus_slot_unref(u->question);
        w->n_asking--;
        if (!sd_bus_message_is_method_error(m, NULL))
                (void) sd_bus_message_read(m, "v", "s", &state);
        else if (sd_bus_message_is_method_error(m, SD_BUS_ERROR_NO_REPLY) || sd_bus_message_is_method_error(m, SD_BUS_ERROR_TIMEOUT))
                /* it is busy; the question itself took long enough to be asked again */
                g_queue_push_tail(&w->line, u);
        w->callback(w->userdata, u->name, state);
        ask_next(w);
        return 0;
}

static void ask_next(UnitWatch *w) {
        while (w->bus && w->n_asking < ASKING_MAX && !g_queue_is_empty(&w->line)) {
                Unit *u = g_queue_pop_head(&w->line);
                sd_bus_message *m = NULL;
                int r;

                if (u->question)
                        continue;
                r = sd_bus_message_new_method_call(w->bus, &m, SYSTEMD, u->path, PROPERTIES, "Get");
                if (r >= 0)
                        r = sd_bus_message_set_auto_start(m, false);
                if (r >= 0)
                        r = sd_bus_message_append(m, "ss", SYSTEMD_UNIT, "ActiveState");
                if (r >= 0)
                        r = sd_bus_call_async(w->bus, &u->question, m, on_answer, u, ANSWER_USEC);
                sd_bus_message_unref(m);
                if (r >= 0)
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

static int on_ignored(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return 0;
}

static void follow(Unit *u) {
        UnitWatch *w = u->watch;

        (void) sd_bus_match_signal_async(w->bus, &u->match, SYSTEMD, u->path, PROPERTIES, "PropertiesChanged", on_changed, on_ignored, u);
        g_queue_push_tail(&w->line, u);
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
        for (guint k = 0; k < w->units->len; k++)
                follow(g_ptr_array_index(w->units, k));
        ask_next(w);
}

void unit_watch_disconnected(UnitWatch *w) {
        if (!w)
                return;
        w->bus = NULL;
        w->owner = sd_bus_slot_unref(w->owner);
        w->n_asking = 0;
        g_queue_clear(&w->line);
        for (guint k = 0; k < w->units->len; k++) {
                Unit *u = g_ptr_array_index(w->units, k);

                u->match = sd_bus_slot_unref(u->match);
                u->question = sd_bus_slot_unref(u->question);
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
                if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", name, &u->path) >= 0 && w->bus)
                        follow(u);
        }
        ask_next(w);
}
