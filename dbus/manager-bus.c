/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "dbus/bus-private.h"
#include "dbus/names.h"

/* org.vipd1.Manager: translates, and nothing else. The contract is org.vipd1.Manager.xml. */

static int property_get_version(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                                void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", VIPD_VERSION);
}

static int property_get_instances(sd_bus *bus, const char *path, const char *interface, const char *property,
                                  sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return bus_append_paths(userdata, reply);
}

static int method_list_instances(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const Bus *b = userdata;
        sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sos)");
        for (guint k = 0; r >= 0 && k < b->objects->len; k++) {
                const BusObject *o = g_ptr_array_index(b->objects, k);

                r = sd_bus_message_append(reply, "(sos)", instance_config(o->instance)->name, o->path,
                                          election_state_to_string(instance_state(o->instance)));
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

static int method_get_instance(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const BusObject *o;
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        o = bus_find_object(userdata, name);
        if (!o)
                return sd_bus_error_setf(error, VIPD_ERROR_NO_SUCH_INSTANCE, "There is no instance \"%s\"", name);
        return sd_bus_reply_method_return(m, "o", o->path);
}

static int act_reload(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        int r = manager_reload(b->manager);

        bus_flush(b);
        if (r == -ESHUTDOWN)
                return sd_bus_error_set(error, SD_BUS_ERROR_FAILED, "vipd is on its way out");
        if (r < 0)
                return sd_bus_error_set(error, SD_BUS_ERROR_FAILED,
                                        "Not every file is in force: vipd --check, or the log, names the mistakes");
        return sd_bus_reply_method_return(m, NULL);
}

static int method_reload(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const Bus *b = userdata;

        return polkit_authorize(b->polkit, m, VIPD_ACTION_RELOAD, NULL, act_reload, userdata, error);
}

const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", property_get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Instances", "ao", property_get_instances, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_METHOD_WITH_ARGS("ListInstances", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sos)", instances), method_list_instances,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetInstance", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", instance), method_get_instance,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
