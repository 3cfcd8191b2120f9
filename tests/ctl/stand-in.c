/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "dbus/names.h"

/* An org.vipd1 for what no test can bring about in the real one at will: an instance with a failing check whose output
 * would clear a terminal, a conflict, a failed unit, a sync group; a property of a later day; and one that is not of
 * the promised type. */

static int get(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata,
               sd_bus_error *error) {
        static const struct {
                const char *name, *value;
        } texts[] = {
                { "Name", "web" },
                { "State", "backup" },
                { "Reason", "of-a-later-day" },
                { "Interface", "eth0" },
                { "Protocol", "carp" },
                { "SyncGroup", "front" },
                { "Master", "192.0.2.2" },
        };

        for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++)
                if (strcmp(texts[k].name, property) == 0)
                        return sd_bus_message_append(reply, "s", texts[k].value);
        if (strcmp(property, "Conflict") == 0)
                return sd_bus_message_append(reply, "s", getenv("CONFLICT") ?: "");
        if (strcmp(property, "VIP") == 0)
                return sd_bus_message_append(reply, "as", 1, "192.0.2.10/32");
        if (strcmp(property, "Checks") == 0)
                return sd_bus_message_append(reply, "a(sss)", 1, getenv("CHECK") ?: "disk", "failing", "\x1b[2Jall gone\xc2\x9b");
        if (strcmp(property, "FailedUnits") == 0)
                return sd_bus_message_append(reply, "a(ss)", 1, "web-hook.service", "failed");
        if (strcmp(property, "Demotion") == 0)
                return sd_bus_message_append(reply, "u", 100);
        if (strcmp(property, "Enabled") == 0)
                return sd_bus_message_append(reply, "b", 1);
        if (strcmp(property, "AdvSkew") == 0)
                return sd_bus_message_append(reply, "s", "no number");
        return sd_bus_message_append(reply, "a{sv}", 1, "LaterDay", "(ii)", 1, 2);
}

static int get_statistics(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(m, "a{st}", 2, "of-a-later-day", (uint64_t) 1, "rejected-hmac", (uint64_t) 7);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get, 0, 0),
        SD_BUS_PROPERTY("State", "s", get, 0, 0),
        SD_BUS_PROPERTY("Reason", "s", get, 0, 0),
        SD_BUS_PROPERTY("Interface", "s", get, 0, 0),
        SD_BUS_PROPERTY("Protocol", "s", get, 0, 0),
        SD_BUS_PROPERTY("SyncGroup", "s", get, 0, 0),
        SD_BUS_PROPERTY("Master", "s", get, 0, 0),
        SD_BUS_PROPERTY("Conflict", "s", get, 0, 0),
        SD_BUS_PROPERTY("VIP", "as", get, 0, 0),
        SD_BUS_PROPERTY("Checks", "a(sss)", get, 0, 0),
        SD_BUS_PROPERTY("FailedUnits", "a(ss)", get, 0, 0),
        SD_BUS_PROPERTY("Demotion", "u", get, 0, 0),
        SD_BUS_PROPERTY("Enabled", "b", get, 0, 0),
        SD_BUS_PROPERTY("AdvSkew", "s", get, 0, 0),
        SD_BUS_PROPERTY("LaterDay", "a{sv}", get, 0, 0),
        SD_BUS_METHOD("GetStatistics", NULL, "a{st}", get_statistics, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int main(void) {
        sd_event *event = NULL;
        sd_bus *bus = NULL;
        int r = sd_event_default(&event);

        if (r >= 0)
                r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_attach_event(bus, event, 0);
        if (r >= 0)
                r = sd_bus_add_object_manager(bus, NULL, VIPD_PATH);
        if (r >= 0)
                r = sd_bus_add_object_vtable(bus, NULL, VIPD_INSTANCE_PREFIX "/web", VIPD_INSTANCE_INTERFACE, vtable, NULL);
        if (r >= 0)
                r = sd_bus_request_name(bus, VIPD_BUS_NAME, 0);
        if (r >= 0)
                r = sd_event_loop(event);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
