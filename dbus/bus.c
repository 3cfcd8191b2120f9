/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbus/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dbus/bus-private.h"
#include "dbus/names.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/time-util.h"

/* The connection: made without waiting, made again when it is lost, for as long as we live. Collects changes and tells them once per pass of the
 * loop. Knows nothing of what a property means; the two -bus.c files do. */

/* After a loss the bus is usually back at once; a bus that refuses us is asked again ever more rarely. */
#define RETRY_USEC (250 * USEC_PER_MSEC)
#define RETRY_USEC_MAX (30 * USEC_PER_SEC)
#define TRANSITIONS_MAX 1024
/* A bus that reads no more gets no more: what is queued for it is memory of ours. */
#define QUEUED_MAX 1024
/* Far more than the longest path and the longest string that a member of ours takes, which is the name of an interface, a property or an instance. */
#define STRING_MAX 4096
/* D-Bus specification, org.freedesktop.DBus.RequestName: DBUS_REQUEST_NAME_REPLY_IN_QUEUE */
#define NAME_IN_QUEUE 2

BusObject *bus_find_object(const Bus *b, const char *path_or_name) {
        for (guint k = 0; k < b->objects->len; k++) {
                BusObject *o = g_ptr_array_index(b->objects, k);

                if (g_str_equal(o->path, path_or_name) || g_str_equal(instance_config(o->instance)->name, path_or_name))
                        return o;
        }
        return NULL;
}

int bus_append_paths(const Bus *b, sd_bus_message *reply) {
        int r = sd_bus_message_open_container(reply, 'a', "o");

        for (guint k = 0; r >= 0 && k < b->objects->len; k++)
                r = sd_bus_message_append(reply, "o", ((BusObject *) g_ptr_array_index(b->objects, k))->path);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static void object_free(void *data) {
        BusObject *o = data;

        instance_bus_forget(o);
        g_free(o->path);
        g_free(o);
}

static bool connected(const Bus *b) {
        uint64_t n_queued = 0;

        return b->bus && sd_bus_is_ready(b->bus) > 0 && sd_bus_get_n_queued_write(b->bus, &n_queued) >= 0 &&
               n_queued < QUEUED_MAX;
}

/* Instances as one text, to compare: no path has a space. */
static char *join_paths(const Bus *b) {
        GString *text = g_string_new(NULL);

        for (guint k = 0; k < b->objects->len; k++)
                g_string_append_printf(text, "%s ", ((BusObject *) g_ptr_array_index(b->objects, k))->path);
        return g_string_free(text, false);
}

static void emit_instances(Bus *b) {
        g_autofree char *now = join_paths(b);

        if (!b->instances || g_str_equal(b->instances, now))
                return;
        (void) sd_bus_emit_properties_changed(b->bus, VIPD_PATH, VIPD_MANAGER_INTERFACE, "Instances", NULL);
        g_free(b->instances);
        b->instances = g_steal_pointer(&now);
}

/* From here on others may know us: changes are told against what we are now. */
static void remember(Bus *b) {
        for (guint k = 0; k < b->objects->len; k++)
                instance_bus_remember(g_ptr_array_index(b->objects, k));
        g_free(b->instances);
        b->instances = join_paths(b);
}

static void emit_state_changed(const Bus *b, const BusTransition *t) {
        (void) sd_bus_emit_signal(b->bus, t->object->path, VIPD_INSTANCE_INTERFACE, "StateChanged", "sss",
                                  election_state_to_string(t->transition.from), election_state_to_string(t->transition.to),
                                  election_reason_to_string(t->transition.reason));
}

/**
 * bus_flush() - tell what happened since the last time
 *
 * At the end of a pass, and before the reply to a call that did something. What a full queue keeps us from telling of properties is
 * told the next time.
 */
void bus_flush(Bus *b) {
        (void) sd_event_source_set_enabled(b->flush, SD_EVENT_OFF);
        for (guint k = 0; connected(b) && k < b->objects->len; k++)
                instance_bus_emit(g_ptr_array_index(b->objects, k));
        for (guint k = 0; connected(b) && k < b->transitions->len; k++)
                emit_state_changed(b, &g_array_index(b->transitions, BusTransition, k));
        g_array_set_size(b->transitions, 0);
        if (connected(b))
                emit_instances(b);
}

static int on_flush(sd_event_source *s, void *userdata) {
        bus_flush(userdata);
        return 0;
}

static void schedule_flush(Bus *b) {
        (void) sd_event_source_set_enabled(b->flush, SD_EVENT_ONESHOT);
}

static int find_instance(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                         sd_bus_error *error) {
        BusObject *o = bus_find_object(userdata, path);

        if (!o)
                return 0;
        *ret_found = o;
        return 1;
}

static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        const Bus *b = userdata;
        char **nodes = calloc(b->objects->len + 1, sizeof(char *)); /* freed by sd-bus, with free() */

        if (!nodes)
                return -ENOMEM;
        for (guint k = 0; k < b->objects->len; k++)
                nodes[k] = strdup(((BusObject *) g_ptr_array_index(b->objects, k))->path);
        *ret_nodes = nodes;
        return 1;
}

static void retry_later(Bus *b) {
        uint64_t now_usec = 0;

        (void) sd_event_now(b->event, CLOCK_BOOTTIME, &now_usec);
        (void) sd_event_source_set_time(b->retry, now_usec + b->retry_usec);
        (void) sd_event_source_set_enabled(b->retry, SD_EVENT_ONESHOT);
        b->retry_usec = usec_min(2 * b->retry_usec, RETRY_USEC_MAX);
}

/* A bus that comes and goes all the time is told of now and then. */
static bool may_log(Bus *b, RateLimit *limit, char more[RATELIMIT_TEXT_BYTES]) {
        static const RateRule rule = { .interval_usec = 60 * USEC_PER_SEC, .burst = 5 };
        uint64_t now_usec = 0, n_suppressed;

        (void) sd_event_now(b->event, CLOCK_BOOTTIME, &now_usec);
        if (!ratelimit_pass(limit, &rule, now_usec, &n_suppressed))
                return false;
        (void) ratelimit_format(n_suppressed, more);
        return true;
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        char more[RATELIMIT_TEXT_BYTES];
        Bus *b = userdata;

        if (may_log(b, &b->lost_limit, more))
                log_warning("The bus is gone; elections go on, and the interface comes back with it%s", more);
        systemd1_disconnected(b->systemd);
        unit_watch_disconnected(b->units);
        retry_later(b);
        return 0;
}

static int on_connected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;

        (void) sd_event_source_set_enabled(b->retry, SD_EVENT_OFF);
        systemd1_connected(b->systemd, b->bus);
        unit_watch_connected(b->units, b->bus);
        return 0;
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        char more[RATELIMIT_TEXT_BYTES];
        Bus *b = userdata;
        uint32_t answer = 0;

        /* the connection died over the question, and on_disconnected() is next */
        if (sd_bus_is_open(b->bus) <= 0)
                return 0;
        if (!e) {
                if (sd_bus_message_read(m, "u", &answer) >= 0 && answer == NAME_IN_QUEUE)
                        log_error("The bus name " VIPD_BUS_NAME " has another owner; it is ours when he leaves");
                b->retry_usec = RETRY_USEC;
                remember(b);
                log_debug("On the bus as " VIPD_BUS_NAME);
                return 0;
        }
        if (may_log(b, &b->refused_limit, more))
                log_error("The bus refuses the name " VIPD_BUS_NAME ": %s%s", e->message, more);
        retry_later(b);
        return 0;
}

/* Of what a caller says, the strings in front: only these are ever looked at for what they say. */
static bool says_too_much(sd_bus_message *m) {
        const char *text = sd_bus_message_get_path(m);
        char type;

        if (text && strlen(text) > STRING_MAX)
                return true;
        while (sd_bus_message_peek_type(m, &type, NULL) > 0 && type == SD_BUS_TYPE_STRING)
                if (sd_bus_message_read_basic(m, type, &text) < 0 || strlen(text) > STRING_MAX)
                        return true;
        return false;
}

/* The bus passes megabytes on, and whoever answers that there is no such thing repeats its name, several times over: a pass of the loop that takes
 * 25 ms for each megabyte, at the wish of any user. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        bool too_much;

        if (sd_bus_message_is_method_call(m, NULL, NULL) <= 0)
                return 0;
        too_much = says_too_much(m);
        (void) sd_bus_message_rewind(m, true);
        if (!too_much)
                return 0;
        (void) sd_bus_reply_method_errorf(m, SD_BUS_ERROR_LIMITS_EXCEEDED, "A string is longer than %i bytes", STRING_MAX);
        return 1;
}

static int dress(Bus *b) {
        int r;

        r = sd_bus_match_signal_async(b->bus, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                                      "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, b);
        if (r >= 0)
                r = sd_bus_match_signal_async(b->bus, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                                              "org.freedesktop.DBus.Local", "Connected", on_connected, NULL, b);
        if (r >= 0)
                r = sd_bus_add_filter(b->bus, NULL, on_message, NULL);
        if (r >= 0)
                r = sd_bus_add_object_manager(b->bus, NULL, VIPD_PATH);
        if (r >= 0)
                r = sd_bus_add_object_vtable(b->bus, NULL, VIPD_PATH, VIPD_MANAGER_INTERFACE, manager_vtable, b);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(b->bus, NULL, VIPD_INSTANCE_PREFIX, VIPD_INSTANCE_INTERFACE, instance_vtable,
                                               find_instance, b);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(b->bus, NULL, VIPD_INSTANCE_PREFIX, enumerate, b);
        if (r >= 0)
                r = sd_bus_request_name_async(b->bus, NULL, VIPD_BUS_NAME, SD_BUS_NAME_QUEUE, on_name, b);
        if (r >= 0)
                r = sd_bus_attach_event(b->bus, b->event, EVENT_PRIORITY_BUS);
        return r;
}

static void disconnect(Bus *b) {
        systemd1_disconnected(b->systemd);
        unit_watch_disconnected(b->units);
        b->polkit = polkit_free(b->polkit);
        g_array_set_size(b->transitions, 0);
        for (guint k = 0; k < b->objects->len; k++)
                instance_bus_forget(g_ptr_array_index(b->objects, k));
        g_clear_pointer(&b->instances, g_free);
        if (b->bus)
                (void) sd_bus_detach_event(b->bus);
        sd_bus_close(b->bus);
        b->bus = sd_bus_unref(b->bus);
}

static int connect_bus(Bus *b) {
        int r;

        disconnect(b);
        r = sd_bus_new(&b->bus);
        if (r >= 0)
                r = sd_bus_set_address(b->bus, b->address);
        if (r >= 0)
                r = sd_bus_set_bus_client(b->bus, true);
        if (r >= 0)
                /* closing flushes, and flushing waits: an exit with an address to hand over does not */
                r = sd_bus_set_close_on_exit(b->bus, false);
        if (r >= 0)
                /* no socket yet: awaited by inotify */
                r = sd_bus_set_watch_bind(b->bus, true);
        if (r >= 0)
                r = sd_bus_set_connected_signal(b->bus, true);
        if (r >= 0)
                r = sd_bus_start(b->bus);
        if (r >= 0)
                r = dress(b);
        if (r < 0) {
                disconnect(b);
                return r;
        }
        b->polkit = polkit_new(b->bus);
        /* a socket that was there before anybody listened at it refused us, and nobody tells when that changes */
        retry_later(b);
        return 0;
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata) {
        if (connect_bus(userdata) < 0)
                retry_later(userdata);
        return 0;
}

static void on_unit_state(void *userdata, const char *unit, const char *active_state) {
        const Bus *b = userdata;

        manager_on_unit_state(b->manager, unit, active_state);
}

static void on_units_wanted(void *userdata, const GPtrArray *units) {
        const Bus *b = userdata;

        unit_watch_set(b->units, units);
}

int bus_new(Bus **ret, sd_event *event, Manager *manager, const char *address) {
        g_autoptr(Bus) b = g_new0(Bus, 1);
        int r;

        b->event = sd_event_ref(event);
        b->manager = manager;
        b->address = g_strdup(g_str_equal(address, "system") ? g_getenv("DBUS_SYSTEM_BUS_ADDRESS") ?: "unix:path=/run/dbus/system_bus_socket"
                                                             : address);
        b->retry_usec = RETRY_USEC;
        b->systemd = systemd1_new(event);
        b->units = unit_watch_new(on_unit_state, b);
        manager_watch_units(manager, on_units_wanted, b);
        b->objects = g_ptr_array_new_with_free_func(object_free);
        b->transitions = g_array_new(false, false, sizeof(BusTransition));
        r = sd_event_add_time(event, &b->retry, CLOCK_BOOTTIME, 0, EVENT_ACCURACY_USEC, on_retry, b);
        if (r >= 0)
                r = sd_event_source_set_enabled(b->retry, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &b->flush, on_flush, b);
        if (r >= 0)
                r = sd_event_source_set_enabled(b->flush, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = connect_bus(b);
        if (r == -EINVAL) {
                log_error("\"%s\" is no bus; allowed are system, none, and D-Bus addresses", b->address);
                return r;
        }
        if (r < 0)
                retry_later(b);
        *ret = g_steal_pointer(&b);
        return 0;
}

Bus *bus_free(Bus *b) {
        if (!b)
                return NULL;
        /* what was said in the last pass still goes out, as far as the bus takes it without waiting */
        if (b->flush)
                bus_flush(b);
        b->units = unit_watch_free(b->units); /* what is not known for this reason is no news */
        disconnect(b);
        systemd1_free(b->systemd);
        sd_event_source_disable_unref(b->retry);
        sd_event_source_disable_unref(b->flush);
        g_ptr_array_unref(b->objects);
        g_array_unref(b->transitions);
        g_free(b->address);
        sd_event_unref(b->event);
        g_free(b);
        return NULL;
}

Systemd1 *bus_systemd1(Bus *b) {
        return b->systemd;
}

static int compare_objects(const void *a, const void *b) {
        const BusObject *const *x = a, *const *y = b;

        return g_strcmp0(instance_config((*x)->instance)->name, instance_config((*y)->instance)->name);
}

void bus_instance_added(Bus *b, Instance *i) {
        BusObject *o = g_new0(BusObject, 1);
        char *path = NULL;

        o->bus = b;
        o->instance = i;
        if (sd_bus_path_encode(VIPD_INSTANCE_PREFIX, instance_config(i)->name, &path) >= 0)
                o->path = g_strdup(path);
        free(path);
        g_ptr_array_add(b->objects, o);
        g_ptr_array_sort(b->objects, compare_objects);
        if (connected(b))
                (void) sd_bus_emit_object_added(b->bus, o->path);
        if (b->instances)
                instance_bus_remember(o);
        schedule_flush(b);
}

void bus_instance_removed(Bus *b, Instance *i) {
        BusObject *o = bus_find_object(b, instance_config(i)->name);

        if (!o)
                return;
        /* its last change of state goes before it */
        bus_flush(b);
        if (connected(b))
                (void) sd_bus_emit_object_removed(b->bus, o->path);
        g_ptr_array_remove(b->objects, o);
        schedule_flush(b);
}

void bus_instance_changed(Bus *b, Instance *i, unsigned changes, const InstanceTransition *transition) {
        BusObject *o = bus_find_object(b, instance_config(i)->name);

        /* it speaks for itself from bus_instance_added() on */
        if (!o)
                return;
        o->changes |= changes;
        if (transition && connected(b) && b->transitions->len < TRANSITIONS_MAX)
                g_array_append_vals(b->transitions, &(BusTransition) { .object = o, .transition = *transition }, 1);
        schedule_flush(b);
}
