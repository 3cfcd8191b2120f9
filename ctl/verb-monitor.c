/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/output.h"
#include "ctl/terminal.h"
#include "ctl/text.h"
#include "ctl/view.h"
#include "ctl/when.h"
#include "ctl/words.h"
#include "dbus/names.h"

/* vipctl monitor: one line per event, for as long as anybody listens. Begins with what is, so that a reader needs no
 * second look, and does so again after vipd or the bus was away. The first question is asked after the watches are set
 * and answered in order: nothing falls between, and what is signalled before the answer is in it. */

#define RETRY_MSEC 500

typedef struct Monitor {
        Ctl *ctl;
        GPtrArray *views; /* NULL: vipd is away, or has not answered yet */
        CtlExit code;     /* why it ends, once `done` */
        bool done;
} Monitor;

/* --- an event, as a line
 * -------------------------------------------------------------------------------------------------------- */

typedef struct Event {
        Json json;
        GString *line;
        bool as_json;
} Event;

static void event_begin(const Monitor *m, Event *e, const char *kind, const View *v) {
        uint64_t now = when_realtime_usec();
        g_autofree char *when = when_log(now);

        *e = (Event) { .line = g_string_new(NULL), .as_json = m->ctl->json != JSON_OFF };
        json_init(&e->json, m->ctl->json == JSON_PRETTY);
        json_begin(&e->json, NULL, '{');
        json_string(&e->json, "event", kind);
        json_number(&e->json, "realtime_usec", now);
        if (v)
                json_string(&e->json, "name", v->name);
        g_string_append_printf(e->line, "%s.%03" PRIu64 " %s%s", when, now / 1000 % 1000, v ? v->name : "", v ? ": " : "");
}

/* Whoever reads it gets it now. */
static void event_end(Monitor *m, Event *e) {
        g_autofree char *json = NULL;
        CtlExit code;

        json_end(&e->json, '}');
        json = json_steal(&e->json);
        g_string_append_c(e->line, '\n');
        code = output_write(e->as_json ? json : e->line->str);
        (void) g_string_free(e->line, TRUE);
        if (code != CTL_DONE) {
                m->done = true;
                m->code = code;
        }
}

static void tell(Monitor *m, const char *kind, const char *sentence) {
        Event e;

        event_begin(m, &e, kind, NULL);
        g_string_append(e.line, sentence);
        event_end(m, &e);
}

static void append_colored(GString *line, Color color, const char *text) {
        g_string_append_printf(line, "%s%s%s", terminal_color(color), text, terminal_color_end(color));
}

static void append_reason(GString *line, const char *reason) {
        const char *words = words_reason(reason);

        g_string_append_printf(line, " (%s%s%s)", reason, words ? ": " : "", words ?: "");
}

static void tell_instance(Monitor *m, const char *kind, const View *v) {
        Event e;

        event_begin(m, &e, kind, v);
        json_string(&e.json, "state", v->state);
        json_string(&e.json, "reason", v->reason);
        g_string_append(e.line, g_str_equal(kind, "added") ? "added, " : "is ");
        append_colored(e.line, words_color(v), v->state);
        append_reason(e.line, v->reason);
        event_end(m, &e);
}

static void append_peers(GString *line, const View *v) {
        for (guint k = 0; k < v->peers->len; k++) {
                const ViewPeer *p = g_ptr_array_index(v->peers, k);

                g_string_append_printf(line, "%s%s %s", k > 0 ? ", " : "", p->address, p->role);
        }
        if (v->peers->len == 0)
                g_string_append(line, "none");
}

static void append_property(GString *line, const View *v, const char *property) {
        const char *text = view_string(v, property);
        g_autofree char *json = NULL, *clean = NULL;
        Json j;

        if (g_str_equal(property, "Peers")) {
                append_peers(line, v);
                return;
        }
        json_init(&j, false);
        view_json_property(v, &j, NULL, property);
        json = json_steal(&j);
        clean = text_clean(text ?: g_strchomp(json));
        g_string_append(line, *clean ? clean : "none");
}

/* What goes with a change of the state is in its line. */
static bool is_told_by_state(const char *property) {
        static const char *const names[] = { "State", "StateChangeTimestamp", "StateChangeTimestampMonotonic", "Transitions" };

        for (size_t k = 0; k < G_N_ELEMENTS(names); k++)
                if (g_str_equal(names[k], property))
                        return true;
        return false;
}

static void tell_property(Monitor *m, const View *v, const char *property) {
        const char *name = view_json_name(property);
        Event e;

        if (!name || is_told_by_state(property))
                return;
        event_begin(m, &e, "property", v);
        json_string(&e.json, "property", name);
        view_json_property(v, &e.json, "value", property);
        g_string_append_printf(e.line, "%s is now ", name);
        append_property(e.line, v, property);
        event_end(m, &e);
}

/* --- what the bus says
 * ---------------------------------------------------------------------------------------------------------- */

static View *find_by_path(const Monitor *m, const char *path, guint *ret_index) {
        for (guint k = 0; m->views && k < m->views->len; k++) {
                View *v = g_ptr_array_index(m->views, k);

                if (!g_str_equal(v->path, path))
                        continue;
                if (ret_index)
                        *ret_index = k;
                return v;
        }
        return NULL;
}

static int on_state_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Monitor *m = userdata;
        const View *v = find_by_path(m, sd_bus_message_get_path(message), NULL);
        const char *old_state, *state, *reason;
        View now;
        Event e;

        if (!v || sd_bus_message_read(message, "sss", &old_state, &state, &reason) < 0)
                return 0;
        now = *v;
        now.state = (char *) state;
        event_begin(m, &e, "state", v);
        json_string(&e.json, "old_state", old_state);
        json_string(&e.json, "state", state);
        json_string(&e.json, "reason", reason);
        g_string_append_printf(e.line, "%s -> ", old_state);
        append_colored(e.line, words_color(&now), state);
        append_reason(e.line, reason);
        event_end(m, &e);
        return 0;
}

static bool has_name(const GPtrArray *names, const char *name) {
        for (guint k = 0; k < names->len; k++)
                if (g_str_equal(g_ptr_array_index(names, k), name))
                        return true;
        return false;
}

static int on_properties_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Monitor *m = userdata;
        View *v = find_by_path(m, sd_bus_message_get_path(message), NULL);
        g_autoptr(GPtrArray) changed = g_ptr_array_new();
        const char *interface;

        if (!v || sd_bus_message_read(message, "s", &interface) < 0 || !g_str_equal(interface, VIPD_INSTANCE_INTERFACE) ||
            view_read(v, message, changed) < 0)
                return 0;
        for (guint k = 0; k < changed->len; k++) {
                const char *property = g_ptr_array_index(changed, k);

                if (!g_str_equal(property, "Reason") || !has_name(changed, "Transitions"))
                        tell_property(m, v, property);
        }
        return 0;
}

static int on_added(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Monitor *m = userdata;
        const char *path;
        guint before;

        if (!m->views || sd_bus_message_read(message, "o", &path) < 0 || find_by_path(m, path, NULL))
                return 0;
        before = m->views->len;
        if (view_read_interfaces(path, message, m->views) >= 0 && m->views->len > before)
                tell_instance(m, "added", g_ptr_array_index(m->views, before));
        return 0;
}

static int on_removed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Monitor *m = userdata;
        const char *path;
        const View *v;
        guint index;
        Event e;

        if (sd_bus_message_read(message, "o", &path) < 0)
                return 0;
        v = find_by_path(m, path, &index);
        if (!v)
                return 0;
        event_begin(m, &e, "removed", v);
        g_string_append(e.line, "removed");
        event_end(m, &e);
        g_ptr_array_remove_index(m->views, index);
        return 0;
}

static void forget(Monitor *m) {
        if (m->views)
                g_ptr_array_unref(m->views);
        m->views = NULL;
}

static int on_all(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Monitor *m = userdata;

        forget(m);
        if (client_means_no_daemon(sd_bus_message_get_error(reply))) {
                tell(m, "vipd-stopped", "vipd does not run; waiting for it");
                return 0;
        }
        if (sd_bus_message_is_method_error(reply, NULL) || view_read_all(reply, &m->views) < 0) {
                m->code = client_explain(m->ctl, sd_bus_message_get_error(reply), -EPROTO, NULL);
                m->done = true;
                return 0;
        }
        for (guint k = 0; k < m->views->len; k++)
                tell_instance(m, "present", g_ptr_array_index(m->views, k));
        return 0;
}

static int ask_all(Monitor *m) {
        g_autoptr(sd_bus_message) call = NULL;
        int r = client_new_call(m->ctl, NULL, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", &call);

        return r < 0 ? r : sd_bus_call_async(m->ctl->bus, NULL, call, on_all, m, CLIENT_READ_USEC);
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Monitor *m = userdata;
        const char *name, *from, *to;

        if (sd_bus_message_read(message, "sss", &name, &from, &to) < 0)
                return 0;
        forget(m);
        if (*from)
                tell(m, "vipd-stopped", "vipd has ended");
        if (*to) {
                tell(m, "vipd-started", "vipd runs");
                (void) ask_all(m);
        }
        return 0;
}

static int watch(Monitor *m) {
        static const char manager[] = "org.freedesktop.DBus.ObjectManager", properties[] = "org.freedesktop.DBus.Properties";
        sd_bus *bus = m->ctl->bus;
        int r = sd_bus_match_signal(bus, NULL, VIPD_BUS_NAME, NULL, VIPD_INSTANCE_INTERFACE, "StateChanged", on_state_changed, m);

        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, VIPD_BUS_NAME, NULL, properties, "PropertiesChanged", on_properties_changed, m);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, VIPD_BUS_NAME, VIPD_PATH, manager, "InterfacesAdded", on_added, m);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, VIPD_BUS_NAME, VIPD_PATH, manager, "InterfacesRemoved", on_removed, m);
        if (r >= 0)
                r = sd_bus_add_match(bus, NULL,
                                     "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                                     "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" VIPD_BUS_NAME "'",
                                     on_owner_changed, m);
        return r < 0 ? r : ask_all(m);
}

/* Until it is done, or the bus is gone: negative errno. */
static int listen_to_bus(Monitor *m) {
        while (!m->done) {
                int r = sd_bus_process(m->ctl->bus, NULL);

                if (r == 0)
                        r = sd_bus_wait(m->ctl->bus, UINT64_MAX);
                if (r < 0 && r != -EINTR)
                        return r;
        }
        return 0;
}

/* A bus of this host comes back by itself. */
static void reconnect(Monitor *m) {
        int r;

        do {
                m->ctl->bus = sd_bus_close_unref(m->ctl->bus);
                (void) poll(NULL, 0, RETRY_MSEC);
                r = sd_bus_open_system(&m->ctl->bus);
                if (r >= 0)
                        r = watch(m);
        } while (r < 0);
}

CtlExit verb_monitor(Ctl *c) {
        Monitor m = { .ctl = c };
        int r = watch(&m);

        if (r < 0)
                return client_explain(c, NULL, r, NULL);
        while (!m.done) {
                r = listen_to_bus(&m);
                if (m.done)
                        break;
                forget(&m);
                tell(&m, "bus-lost", "the connection to the bus is lost");
                if (!client_is_local(c)) {
                        m.code = client_explain(c, NULL, r, NULL);
                        break;
                }
                reconnect(&m);
                tell(&m, "bus-back", "the bus is back");
        }
        forget(&m);
        c->bus = sd_bus_close_unref(c->bus);
        return m.code;
}
