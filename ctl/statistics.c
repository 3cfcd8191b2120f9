/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/statistics.h"

#include "dbus/names.h"

/* GetStatistics(), read. Names may come with a newer daemon, so none is known here. */

static void statistic_free(void *data) {
        Statistic *s = data;

        g_free(s->name);
        g_free(s);
}

static int read_statistics(sd_bus_message *m, GPtrArray **ret) {
        g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(statistic_free);
        const char *name;
        uint64_t value;
        int r = sd_bus_message_enter_container(m, 'a', "{st}");

        while (r >= 0 && (r = sd_bus_message_read(m, "{st}", &name, &value)) > 0) {
                Statistic *s = g_new0(Statistic, 1);

                *s = (Statistic) { g_strdup(name), value };
                g_ptr_array_add(found, s);
        }
        if (r >= 0)
                *ret = g_steal_pointer(&found);
        return r;
}

CtlExit statistics_load(const Ctl *c, const char *path, const char *name, GPtrArray **ret) {
        g_autoptr(sd_bus_message) call = NULL, reply = NULL;
        CtlExit code;
        int r = client_new_call(c, path, VIPD_INSTANCE_INTERFACE, "GetStatistics", &call);

        if (r < 0)
                return client_explain(c, NULL, r, name);
        code = client_call(c, call, CLIENT_READ_USEC, name, &reply);
        if (code != CTL_DONE)
                return code;
        r = read_statistics(reply, ret);
        return r < 0 ? client_explain(c, NULL, r, name) : CTL_DONE;
}
