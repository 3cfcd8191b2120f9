/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <unistd.h>

#include "ctl/agent.h"
#include "ctl/client.h"
#include "ctl/ctl.h"
#include "dbus/names.h"

/* The verbs that change something: demote, promote, enable, disable, and reload. polkit decides about each call; on a
 * terminal its agent asks. */

/* vipd waits five minutes for somebody to authenticate, and ten seconds for polkit. */
#define ASK_USEC UINT64_C(330000000)
#define CHANGE_USEC UINT64_C(30000000)

/* subject: the instance, for messages; NULL: vipd itself. */
static CtlExit change(const Ctl *c, const char *path, const char *interface, const char *method, const char *subject) {
        g_autoptr(sd_bus_message) call = NULL;
        int r = client_new_call(c, path, interface, method, &call);

        if (r >= 0)
                r = sd_bus_message_set_allow_interactive_authorization(call, c->ask_password);
        if (r >= 0 && g_str_equal(method, "DemoteFor"))
                r = sd_bus_message_append(call, "t", c->hold_usec);
        if (r < 0)
                return client_explain(c, NULL, r, subject);
        return client_call(c, call, c->ask_password ? ASK_USEC : CHANGE_USEC, subject, NULL);
}

static const char *method_of(const Ctl *c) {
        static const struct {
                const char *verb, *method;
        } methods[] = { { "promote", "Promote" }, { "enable", "Enable" }, { "disable", "Disable" } };

        for (size_t k = 0; k < G_N_ELEMENTS(methods); k++)
                if (g_str_equal(methods[k].verb, c->verb))
                        return methods[k].method;
        return c->hold_usec == CTL_USEC_UNSET ? "Demote" : "DemoteFor";
}

/* All are looked up before the first is changed: a name that is mistyped leaves the others as they are. */
static CtlExit find_all(const Ctl *c, GPtrArray *paths) {
        CtlExit code = CTL_DONE;

        for (char **name = c->arguments; *name; name++) {
                char *path = NULL;
                CtlExit found = client_find(c, *name, &path, NULL);

                if (found == CTL_FAILED)
                        return found;
                if (found != CTL_DONE)
                        code = found;
                else
                        g_ptr_array_add(paths, path);
        }
        return code;
}

CtlExit verb_change(Ctl *c) {
        g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
        CtlExit code = find_all(c, paths);
        Agent *agent;

        if (code != CTL_DONE)
                return code;
        agent = agent_open(c);
        for (guint k = 0; k < paths->len; k++) {
                CtlExit changed = change(c, g_ptr_array_index(paths, k), VIPD_INSTANCE_INTERFACE, method_of(c), c->arguments[k]);

                if (code == CTL_DONE)
                        code = changed;
        }
        agent_close(agent);
        return code;
}

CtlExit verb_reload(Ctl *c) {
        Agent *agent = agent_open(c);
        CtlExit code = change(c, NULL, VIPD_MANAGER_INTERFACE, "Reload", NULL);

        agent_close(agent);
        return code;
}
