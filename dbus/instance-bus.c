/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>

#include "dbus/bus-private.h"
#include "dbus/names.h"
#include "dbus/value.h"

/* org.vipd1.Instance: translates properties, verbs and statistics. The contract is org.vipd1.Instance.xml. */

#define HOLD_USEC_MAX (UINT64_C(86400) * 1000000)

typedef struct Property {
        const char *name;
        const char *signature;
        int (*append)(const Instance *i, sd_bus_message *reply);
        unsigned change; /* the InstanceChanges that may alter it; 0: constant */
} Property;

static const CarpConfig *carp(const Instance *i) {
        return &instance_config(i)->carp;
}

static int append_text(sd_bus_message *m, const char *text) {
        return sd_bus_message_append(m, "s", text);
}

static int append_name(const Instance *i, sd_bus_message *m) {
        return append_text(m, instance_config(i)->name);
}

static int append_description(const Instance *i, sd_bus_message *m) {
        return append_text(m, instance_config(i)->description);
}

static int append_state(const Instance *i, sd_bus_message *m) {
        return append_text(m, election_state_to_string(instance_state(i)));
}

static int append_reason(const Instance *i, sd_bus_message *m) {
        return append_text(m, election_reason_to_string(instance_reason(i)));
}

static int append_vip(const Instance *i, sd_bus_message *m) {
        const InstanceConfig *c = instance_config(i);
        int r = sd_bus_message_open_container(m, 'a', "s");

        for (size_t k = 0; r >= 0 && k < c->n_addresses; k++) {
                char text[IP_PREFIX_TEXT_BYTES];

                r = append_text(m, ip_prefix_format(&c->addresses[k], text));
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_interface(const Instance *i, sd_bus_message *m) {
        return append_text(m, instance_config(i)->interface);
}

static int append_device(const Instance *i, sd_bus_message *m) {
        char device[IF_NAMESIZE];

        return append_text(m, instance_config_device(instance_config(i), device));
}

static int append_protocol(const Instance *i, sd_bus_message *m) {
        return append_text(m, "carp");
}

static int append_vhid(const Instance *i, sd_bus_message *m) {
        return sd_bus_message_append(m, "y", carp(i)->vhid);
}

static int append_advbase(const Instance *i, sd_bus_message *m) {
        return sd_bus_message_append(m, "y", carp(i)->advbase);
}

static int append_advskew(const Instance *i, sd_bus_message *m) {
        return sd_bus_message_append(m, "y", carp(i)->advskew);
}

static int append_demotion(const Instance *i, sd_bus_message *m) {
        return sd_bus_message_append(m, "u", instance_demotion(i));
}

static int append_preempt(const Instance *i, sd_bus_message *m) {
        return sd_bus_message_append(m, "b", carp(i)->preempt);
}

static int append_enabled(const Instance *i, sd_bus_message *m) {
        return sd_bus_message_append(m, "b", instance_enabled(i));
}

static int append_master(const Instance *i, sd_bus_message *m) {
        char text[IP_ADDRESS_TEXT_BYTES];

        return append_text(m, ip_address_format(instance_master(i), text));
}

static int append_peers(const Instance *i, sd_bus_message *m) {
        const Peers *peers = instance_peers(i);
        int r = sd_bus_message_open_container(m, 'a', "(ssyt)");

        for (size_t k = 0; r >= 0 && k < peers->n; k++) {
                char text[IP_ADDRESS_TEXT_BYTES];

                r = sd_bus_message_append(m, "(ssyt)", ip_address_format(&peers->list[k].source, text),
                                          peer_role_to_string(peers->list[k].role), peers->list[k].advskew,
                                          peers->list[k].heard_usec);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_sync_group(const Instance *i, sd_bus_message *m) {
        return append_text(m, instance_config(i)->sync_group);
}

static int append_checks(const Instance *i, sd_bus_message *m) {
        const GPtrArray *checks = instance_checks(i);
        int r = sd_bus_message_open_container(m, 'a', "(sss)");

        for (guint k = 0; r >= 0 && k < checks->len; k++) {
                const InstanceCheck *c = g_ptr_array_index(checks, k);

                r = sd_bus_message_append(m, "(sss)", c->name, check_state_to_string(c->state), c->output);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_problem(const Instance *i, sd_bus_message *m) {
        return append_text(m, instance_problem(i));
}

static int append_conflict(const Instance *i, sd_bus_message *m) {
        return append_text(m, instance_conflict(i));
}

static int append_failed_units(const Instance *i, sd_bus_message *m) {
        const GPtrArray *failures = instance_unit_failures(i);
        int r = sd_bus_message_open_container(m, 'a', "(ss)");

        for (guint k = 0; r >= 0 && k < failures->len; k++) {
                const InstanceUnitFailure *f = g_ptr_array_index(failures, k);

                r = sd_bus_message_append(m, "(ss)", f->unit, f->result);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_timestamp(const Instance *i, sd_bus_message *m) {
        return sd_bus_message_append(m, "t", instance_state_change_realtime_usec(i));
}

static int append_timestamp_monotonic(const Instance *i, sd_bus_message *m) {
        return sd_bus_message_append(m, "t", instance_state_change_usec(i));
}

static int append_transitions(const Instance *i, sd_bus_message *m) {
        return sd_bus_message_append(m, "t", instance_statistics(i)->transitions);
}

static int append_digest_mismatch(const Instance *i, sd_bus_message *m) {
        return sd_bus_message_append(m, "t", instance_digest_mismatch_realtime_usec(i));
}

static const Property properties[] = {
        { "Name", "s", append_name, 0 },
        { "Description", "s", append_description, INSTANCE_CHANGE_CONFIG },
        { "State", "s", append_state, INSTANCE_CHANGE_STATE },
        { "Reason", "s", append_reason, INSTANCE_CHANGE_STATE },
        { "VIP", "as", append_vip, INSTANCE_CHANGE_CONFIG },
        { "Interface", "s", append_interface, INSTANCE_CHANGE_CONFIG },
        { "Device", "s", append_device, INSTANCE_CHANGE_CONFIG },
        { "Protocol", "s", append_protocol, 0 },
        { "VHID", "y", append_vhid, INSTANCE_CHANGE_CONFIG },
        { "AdvBase", "y", append_advbase, INSTANCE_CHANGE_CONFIG },
        { "AdvSkew", "y", append_advskew, INSTANCE_CHANGE_CONFIG },
        { "Demotion", "u", append_demotion, INSTANCE_CHANGE_DEMOTION },
        { "Preempt", "b", append_preempt, INSTANCE_CHANGE_CONFIG },
        { "Enabled", "b", append_enabled, INSTANCE_CHANGE_ENABLED },
        { "Master", "s", append_master, INSTANCE_CHANGE_MASTER },
        { "Peers", "a(ssyt)", append_peers, INSTANCE_CHANGE_PEERS },
        { "SyncGroup", "s", append_sync_group, INSTANCE_CHANGE_CONFIG },
        { "Checks", "a(sss)", append_checks, INSTANCE_CHANGE_CHECKS },
        { "Problem", "s", append_problem, INSTANCE_CHANGE_PROBLEM },
        { "Conflict", "s", append_conflict, INSTANCE_CHANGE_CONFLICT | INSTANCE_CHANGE_STATE },
        { "FailedUnits", "a(ss)", append_failed_units, INSTANCE_CHANGE_UNITS },
        { "StateChangeTimestamp", "t", append_timestamp, INSTANCE_CHANGE_STATE },
        { "StateChangeTimestampMonotonic", "t", append_timestamp_monotonic, INSTANCE_CHANGE_STATE },
        { "Transitions", "t", append_transitions, INSTANCE_CHANGE_STATE },
        { "DigestMismatchTimestamp", "t", append_digest_mismatch, 0 },
};

static int property_get(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                        void *userdata, sd_bus_error *error) {
        const BusObject *o = userdata;

        for (size_t k = 0; k < G_N_ELEMENTS(properties); k++)
                if (g_str_equal(properties[k].name, property))
                        return properties[k].append(o->instance, reply);
        return sd_bus_error_set(error, SD_BUS_ERROR_UNKNOWN_PROPERTY, property);
}

/* Its digest; 0: not known. */
static uint64_t value_now(const BusObject *o, const Property *p) {
        sd_bus_message *m = NULL;
        uint64_t digest = 0;

        if (sd_bus_message_new_signal(o->bus->bus, &m, o->path, VIPD_INSTANCE_INTERFACE, p->name) >= 0 &&
            p->append(o->instance, m) >= 0)
                digest = value_digest(m);
        sd_bus_message_unref(m);
        return digest;
}

/**
 * instance_bus_remember() - from here on others may know the object: changes are told against what it is now
 */
void instance_bus_remember(BusObject *o) {
        if (!o->told)
                o->told = g_new(uint64_t, G_N_ELEMENTS(properties));
        o->changes = 0;
        for (size_t k = 0; k < G_N_ELEMENTS(properties); k++)
                o->told[k] = value_now(o, &properties[k]);
}

/**
 * instance_bus_forget() - whoever knew the object has lost it with the connection, and reads it anew
 */
void instance_bus_forget(BusObject *o) {
        g_clear_pointer(&o->told, g_free);
}

/**
 * instance_bus_emit() - tell each property whose value is not the one told last, in one signal
 */
void instance_bus_emit(BusObject *o) {
        const char *names[G_N_ELEMENTS(properties) + 1];
        size_t n = 0;

        for (size_t k = 0; o->told && k < G_N_ELEMENTS(properties); k++) {
                uint64_t now;

                if (!(properties[k].change & o->changes))
                        continue;
                now = value_now(o, &properties[k]);
                if (now == 0 || now != o->told[k])
                        names[n++] = properties[k].name;
                o->told[k] = now;
        }
        names[n] = NULL;
        o->changes = 0;
        if (n > 0)
                (void) sd_bus_emit_properties_changed_strv(o->bus->bus, o->path, VIPD_INSTANCE_INTERFACE, (char **) names);
}

/* What a verb did is told before its reply: a caller that returns finds its cache right. */
static int reply_verb(sd_bus_message *m, const BusObject *o, InstanceVerbResult result, sd_bus_error *error) {
        const char *name = instance_config(o->instance)->name;

        bus_flush(o->bus);
        switch (result) {
        case INSTANCE_VERB_OK:
                return sd_bus_reply_method_return(m, NULL);
        case INSTANCE_VERB_NOT_MASTER:
                return sd_bus_error_setf(error, VIPD_ERROR_NOT_MASTER, "\"%s\" is not master here", name);
        case INSTANCE_VERB_NOT_ENABLED:
                return sd_bus_error_setf(error, VIPD_ERROR_NOT_ENABLED, "\"%s\" is disabled", name);
        case INSTANCE_VERB_BUSY:
                return sd_bus_error_setf(error, VIPD_ERROR_BUSY, "\"%s\" cannot be master now: its interface is not usable, or a check keeps it out", name);
        }
        return 0;
}

/* The object once more, after the answer: it may be gone by then. */
static BusObject *look_up(sd_bus_message *m, Bus *b, sd_bus_error *error) {
        BusObject *o = bus_find_object(b, sd_bus_message_get_path(m));

        if (!o)
                (void) sd_bus_error_set(error, VIPD_ERROR_NO_SUCH_INSTANCE, "The instance is gone");
        return o;
}

static int read_hold(sd_bus_message *m, uint64_t *ret, sd_bus_error *error) {
        int r;

        *ret = CONFIG_USEC_UNSET;
        if (!g_str_equal(sd_bus_message_get_member(m), "DemoteFor"))
                return 0;
        (void) sd_bus_message_rewind(m, true);
        r = sd_bus_message_read(m, "t", ret);
        if (r < 0)
                return r;
        if (*ret == 0 || *ret > HOLD_USEC_MAX)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "hold_usec must be from 1 to 86400000000, a day");
        return 0;
}

static int act_demote(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        BusObject *o = look_up(m, b, error);
        uint64_t hold_usec;

        if (!o || read_hold(m, &hold_usec, error) < 0)
                return -EINVAL;
        return reply_verb(m, o, manager_demote(b->manager, o->instance, hold_usec), error);
}

static int act_promote(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        BusObject *o = look_up(m, b, error);

        if (!o)
                return -EINVAL;
        return reply_verb(m, o, manager_promote(b->manager, o->instance), error);
}

static void on_enabled_saved(void *userdata, int error) {
        sd_bus_message *m = userdata;

        if (error < 0)
                (void) sd_bus_reply_method_errorf(m, SD_BUS_ERROR_FAILED, "Done, but it could not be saved and will not outlive a restart");
        else
                (void) sd_bus_reply_method_return(m, NULL);
        sd_bus_message_unref(m);
}

static int act_enable(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        BusObject *o = look_up(m, b, error);

        if (!o)
                return -EINVAL;
        manager_set_enabled(b->manager, o->instance, g_str_equal(sd_bus_message_get_member(m), "Enable"), on_enabled_saved,
                            sd_bus_message_ref(m));
        return 1;
}

static int authorize(sd_bus_message *m, void *userdata, const char *action, PolkitAct act, sd_bus_error *error) {
        const BusObject *o = userdata;

        return polkit_authorize(o->bus->polkit, m, action, instance_config(o->instance)->name, act, o->bus, error);
}

static int method_demote(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        uint64_t hold_usec;
        int r = read_hold(m, &hold_usec, error);

        return r < 0 ? r : authorize(m, userdata, VIPD_ACTION_DEMOTE, act_demote, error);
}

static int method_promote(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return authorize(m, userdata, VIPD_ACTION_PROMOTE, act_promote, error);
}

static int method_enable(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return authorize(m, userdata, VIPD_ACTION_ENABLE, act_enable, error);
}

static void add_statistic(void *userdata, const char *name, uint64_t value) {
        (void) sd_bus_message_append(userdata, "{st}", name, value);
}

static int method_get_statistics(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const BusObject *o = userdata;
        sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{st}");
        if (r >= 0) {
                manager_statistics(o->bus->manager, o->instance, add_statistic, reply);
                r = sd_bus_message_close_container(reply);
        }
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

#define CONSTANT(name, signature) SD_BUS_PROPERTY(name, signature, property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST)
#define CHANGING(name, signature) SD_BUS_PROPERTY(name, signature, property_get, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)
#define UNTOLD(name, signature) SD_BUS_PROPERTY(name, signature, property_get, 0, 0)
#define VERB(name, handler) SD_BUS_METHOD_WITH_ARGS(name, SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, handler, SD_BUS_VTABLE_UNPRIVILEGED)

const sd_bus_vtable instance_vtable[] = {
        SD_BUS_VTABLE_START(0),
        CONSTANT("Name", "s"),
        CHANGING("Description", "s"),
        CHANGING("State", "s"),
        CHANGING("Reason", "s"),
        CHANGING("VIP", "as"),
        CHANGING("Interface", "s"),
        CHANGING("Device", "s"),
        CONSTANT("Protocol", "s"),
        CHANGING("VHID", "y"),
        CHANGING("AdvBase", "y"),
        CHANGING("AdvSkew", "y"),
        CHANGING("Demotion", "u"),
        CHANGING("Preempt", "b"),
        CHANGING("Enabled", "b"),
        CHANGING("Master", "s"),
        CHANGING("Peers", "a(ssyt)"),
        CHANGING("SyncGroup", "s"),
        CHANGING("Checks", "a(sss)"),
        CHANGING("Problem", "s"),
        CHANGING("Conflict", "s"),
        CHANGING("FailedUnits", "a(ss)"),
        CHANGING("StateChangeTimestamp", "t"),
        CHANGING("StateChangeTimestampMonotonic", "t"),
        CHANGING("Transitions", "t"),
        UNTOLD("DigestMismatchTimestamp", "t"),
        VERB("Demote", method_demote),
        SD_BUS_METHOD_WITH_ARGS("DemoteFor", SD_BUS_ARGS("t", hold_usec), SD_BUS_NO_RESULT, method_demote, SD_BUS_VTABLE_UNPRIVILEGED),
        VERB("Promote", method_promote),
        VERB("Disable", method_enable),
        VERB("Enable", method_enable),
        SD_BUS_METHOD_WITH_ARGS("GetStatistics", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{st}", statistics), method_get_statistics,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("StateChanged", SD_BUS_ARGS("s", old_state, "s", new_state, "s", reason), 0),
        SD_BUS_VTABLE_END,
};
