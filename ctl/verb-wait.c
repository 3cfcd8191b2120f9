/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/output.h"
#include "ctl/when.h"
#include "dbus/names.h"

/* vipctl is-master and wait: an instance's state as an exit code, now or once it comes. */

typedef struct Wait {
        const Ctl *ctl;
        const char *name, *wanted;
        char *path, *state; /* state: NULL while vipd is away */
        bool look_again;    /* what is known may be old: vipd has come back, or the set of instances has changed */
        bool reached;
} Wait;

static void wait_clear(Wait *w) {
        g_free(w->path);
        g_free(w->state);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Wait, wait_clear)

CtlExit verb_is_master(Ctl *c) {
        g_autofree char *path = NULL, *state = NULL, *text = NULL;
        CtlExit code = client_find(c, c->arguments[0], &path, &state);

        if (code != CTL_DONE)
                return code;
        text = g_strconcat(state, "\n", NULL);
        if (!c->quiet && output_write(text) != CTL_DONE)
                return CTL_FAILED;
        return g_str_equal(state, "master") ? CTL_DONE : CTL_NOT_IN_STATE;
}

static void note_state(Wait *w, const char *state) {
        char *copy = g_strdup(state);

        g_free(w->state);
        w->state = copy;
        w->reached = w->reached || g_strcmp0(state, w->wanted) == 0;
}

/* A state that came and went while we looked away has been reached all the same. */
static int on_state_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Wait *w = userdata;
        const char *old_state, *state;

        if (g_strcmp0(sd_bus_message_get_path(m), w->path) == 0 && sd_bus_message_read(m, "ss", &old_state, &state) >= 0)
                note_state(w, state);
        return 0;
}

static int on_objects_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Wait *w = userdata;

        w->look_again = true;
        return 0;
}

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Wait *w = userdata;
        const char *name, *from, *to;

        if (sd_bus_message_read(m, "sss", &name, &from, &to) < 0)
                return 0;
        note_state(w, NULL);
        w->look_again = *to != '\0';
        return 0;
}

static int watch(Wait *w) {
        sd_bus *bus = w->ctl->bus;
        int r = sd_bus_match_signal(bus, NULL, VIPD_BUS_NAME, NULL, VIPD_INSTANCE_INTERFACE, "StateChanged", on_state_changed, w);

        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, VIPD_BUS_NAME, VIPD_PATH, "org.freedesktop.DBus.ObjectManager", NULL, on_objects_changed, w);
        if (r >= 0)
                r = sd_bus_add_match(bus, NULL,
                                     "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                                     "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" VIPD_BUS_NAME "'",
                                     on_owner_changed, w);
        return r;
}

static CtlExit look(Wait *w) {
        g_autofree char *state = NULL;
        CtlExit code;

        w->look_again = false;
        g_free(g_steal_pointer(&w->path));
        code = client_find(w->ctl, w->name, &w->path, &state);
        if (code == CTL_DONE)
                note_state(w, state);
        return code;
}

static CtlExit complain_late(const Wait *w) {
        if (!w->ctl->quiet)
                client_complain("%s is not %s: %s", w->name, w->wanted, w->state ? w->state : "vipd does not run");
        return CTL_NOT_IN_STATE;
}

static CtlExit wait_until(Wait *w, uint64_t deadline_usec) {
        while (!w->reached) {
                uint64_t now = when_boottime_usec();
                int r = sd_bus_process(w->ctl->bus, NULL);

                if (r == 0 && w->look_again) {
                        CtlExit code = look(w);

                        if (code != CTL_DONE)
                                return code;
                        continue;
                }
                if (r == 0 && now >= deadline_usec)
                        return complain_late(w);
                if (r == 0)
                        r = sd_bus_wait(w->ctl->bus, deadline_usec == CTL_USEC_UNSET ? UINT64_MAX : deadline_usec - now);
                if (r < 0 && r != -EINTR) {
                        client_complain("The connection to the bus is lost: %s", g_strerror(-r));
                        return CTL_FAILED;
                }
        }
        return CTL_DONE;
}

CtlExit verb_wait(Ctl *c) {
        g_auto(Wait) w = { .ctl = c, .name = c->arguments[0], .wanted = c->arguments[1] };
        uint64_t begun = when_boottime_usec();
        CtlExit code;
        int r;

        if (!g_str_equal(w.wanted, "init") && !g_str_equal(w.wanted, "backup") && !g_str_equal(w.wanted, "master")) {
                client_complain("\"%s\" is no state; there are init, backup and master", w.wanted);
                return CTL_USAGE;
        }
        r = watch(&w);
        if (r < 0)
                return client_explain(c, NULL, r, NULL);
        code = look(&w);
        if (code == CTL_DONE)
                code = wait_until(&w, c->timeout_usec == CTL_USEC_UNSET ? CTL_USEC_UNSET : begun + c->timeout_usec);
        /* what is left of the watches must not outlive what they point to */
        c->bus = sd_bus_flush_close_unref(c->bus);
        return code;
}
