/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/view.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "dbus/names.h"

/* Properties to a struct and on to JSON, by one table. Knows the contract, org.vipd1.Instance.xml, and nothing of
 * screens. A property that the table does not know, of a newer vipd, is passed over; one that an older vipd does not
 * have stays empty. */

static void peer_free(void *data) {
        ViewPeer *p = data;

        g_free(p->address);
        g_free(p->role);
        g_free(p);
}

static void check_free(void *data) {
        ViewCheck *c = data;

        g_free(c->name);
        g_free(c->result);
        g_free(c->output);
        g_free(c);
}

static void unit_free(void *data) {
        ViewUnit *u = data;

        g_free(u->name);
        g_free(u->result);
        g_free(u);
}

static int read_addresses(View *v, sd_bus_message *m) {
        const char *text;
        int r = sd_bus_message_enter_container(m, 'a', "s");

        g_ptr_array_set_size(v->addresses, 0);
        while (r >= 0 && (r = sd_bus_message_read(m, "s", &text)) > 0)
                g_ptr_array_add(v->addresses, g_strdup(text));
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_peers(View *v, sd_bus_message *m) {
        const char *address, *role;
        uint64_t heard_usec;
        uint8_t advskew;
        int r = sd_bus_message_enter_container(m, 'a', "(ssyt)");

        g_ptr_array_set_size(v->peers, 0);
        while (r >= 0 && (r = sd_bus_message_read(m, "(ssyt)", &address, &role, &advskew, &heard_usec)) > 0) {
                ViewPeer *p = g_new0(ViewPeer, 1);

                *p = (ViewPeer) { g_strdup(address), g_strdup(role), advskew, heard_usec };
                g_ptr_array_add(v->peers, p);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_checks(View *v, sd_bus_message *m) {
        const char *name, *result, *output;
        int r = sd_bus_message_enter_container(m, 'a', "(sss)");

        g_ptr_array_set_size(v->checks, 0);
        while (r >= 0 && (r = sd_bus_message_read(m, "(sss)", &name, &result, &output)) > 0) {
                ViewCheck *c = g_new0(ViewCheck, 1);

                *c = (ViewCheck) { g_strdup(name), g_strdup(result), g_strdup(output) };
                g_ptr_array_add(v->checks, c);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_units(View *v, sd_bus_message *m) {
        const char *name, *result;
        int r = sd_bus_message_enter_container(m, 'a', "(ss)");

        g_ptr_array_set_size(v->failed_units, 0);
        while (r >= 0 && (r = sd_bus_message_read(m, "(ss)", &name, &result)) > 0) {
                ViewUnit *u = g_new0(ViewUnit, 1);

                *u = (ViewUnit) { g_strdup(name), g_strdup(result) };
                g_ptr_array_add(v->failed_units, u);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static void json_addresses(const View *v, Json *j) {
        for (guint k = 0; k < v->addresses->len; k++)
                json_string(j, NULL, g_ptr_array_index(v->addresses, k));
}

static void json_peers(const View *v, Json *j) {
        for (guint k = 0; k < v->peers->len; k++) {
                const ViewPeer *p = g_ptr_array_index(v->peers, k);

                json_begin(j, NULL, '{');
                json_string(j, "address", p->address);
                json_string(j, "role", p->role);
                json_number(j, "advskew", p->advskew);
                json_number(j, "heard_boottime_usec", p->heard_usec);
                json_end(j, '}');
        }
}

static void json_checks(const View *v, Json *j) {
        for (guint k = 0; k < v->checks->len; k++) {
                const ViewCheck *c = g_ptr_array_index(v->checks, k);

                json_begin(j, NULL, '{');
                json_string(j, "name", c->name);
                json_string(j, "result", c->result);
                json_string(j, "output", c->output);
                json_end(j, '}');
        }
}

static void json_units(const View *v, Json *j) {
        for (guint k = 0; k < v->failed_units->len; k++) {
                const ViewUnit *u = g_ptr_array_index(v->failed_units, k);

                json_begin(j, NULL, '{');
                json_string(j, "unit", u->name);
                json_string(j, "result", u->result);
                json_end(j, '}');
        }
}

typedef struct Field {
        const char *property, *json;
        const char *signature; /* of a basic type, which is at the offset; or of an array, which has functions */
        size_t offset;
        bool nullable; /* "" says that there is none */
        int (*read)(View *v, sd_bus_message *m);
        void (*write)(const View *v, Json *j);
} Field;

#define AT(member) .offset = offsetof(View, member)

/* In the order in which --json writes them. */
static const Field fields[] = {
        { "Name", "name", "s", AT(name) },
        { "Description", "description", "s", AT(description) },
        { "State", "state", "s", AT(state) },
        { "Reason", "reason", "s", AT(reason) },
        { "StateChangeTimestamp", "since_realtime_usec", "t", AT(since_realtime_usec) },
        { "StateChangeTimestampMonotonic", "since_boottime_usec", "t", AT(since_boottime_usec) },
        { "Transitions", "transitions", "t", AT(transitions) },
        { "Enabled", "enabled", "b", AT(enabled) },
        { "Master", "master", "s", AT(master), .nullable = true },
        { "VIP", "addresses", "as", .read = read_addresses, .write = json_addresses },
        { "Interface", "interface", "s", AT(interface) },
        { "Device", "device", "s", AT(device) },
        { "Protocol", "protocol", "s", AT(protocol) },
        { "VHID", "vhid", "y", AT(vhid) },
        { "AdvBase", "advbase", "y", AT(advbase) },
        { "AdvSkew", "advskew", "y", AT(advskew) },
        { "Demotion", "demotion", "u", AT(demotion) },
        { "Preempt", "preempt", "b", AT(preempt) },
        { "SyncGroup", "sync_group", "s", AT(sync_group), .nullable = true },
        { "Peers", "peers", "a(ssyt)", .read = read_peers, .write = json_peers },
        { "Checks", "checks", "a(sss)", .read = read_checks, .write = json_checks },
        { "FailedUnits", "failed_units", "a(ss)", .read = read_units, .write = json_units },
        { "DigestMismatchTimestamp", "digest_mismatch_realtime_usec", "t", AT(digest_mismatch_realtime_usec) },
        { "Conflict", "conflict", "s", AT(conflict), .nullable = true },
        { "Problem", "problem", "s", AT(problem), .nullable = true },
};

static const Field *find_field(const char *property) {
        for (size_t k = 0; k < G_N_ELEMENTS(fields); k++)
                if (g_str_equal(fields[k].property, property))
                        return &fields[k];
        return NULL;
}

static char **text_at(View *v, const Field *f) {
        return (char **) (void *) ((char *) v + f->offset);
}

View *view_new(const char *path) {
        View *v = g_new0(View, 1);

        v->path = g_strdup(path);
        v->addresses = g_ptr_array_new_with_free_func(g_free);
        v->peers = g_ptr_array_new_with_free_func(peer_free);
        v->checks = g_ptr_array_new_with_free_func(check_free);
        v->failed_units = g_ptr_array_new_with_free_func(unit_free);
        for (size_t k = 0; k < G_N_ELEMENTS(fields); k++)
                if (*fields[k].signature == 's')
                        *text_at(v, &fields[k]) = g_strdup("");
        return v;
}

View *view_free(View *v) {
        if (!v)
                return NULL;
        for (size_t k = 0; k < G_N_ELEMENTS(fields); k++)
                if (*fields[k].signature == 's')
                        g_free(*text_at(v, &fields[k]));
        g_ptr_array_unref(v->addresses);
        g_ptr_array_unref(v->peers);
        g_ptr_array_unref(v->checks);
        g_ptr_array_unref(v->failed_units);
        g_free(v->path);
        g_free(v);
        return NULL;
}

static int read_basic(const Field *f, View *v, sd_bus_message *m) {
        void *member = (char *) v + f->offset;
        const char *text;
        int truth, r;

        if (*f->signature == 's') {
                r = sd_bus_message_read_basic(m, 's', &text);
                if (r < 0)
                        return r;
                g_free(*text_at(v, f));
                *text_at(v, f) = g_strdup(text);
                return r;
        }
        if (*f->signature != 'b')
                return sd_bus_message_read_basic(m, *f->signature, member);
        r = sd_bus_message_read_basic(m, 'b', &truth);
        if (r >= 0)
                *(bool *) member = truth;
        return r;
}

/* The value of a property, a variant; one of another type than promised is passed over. */
static int read_value(View *v, sd_bus_message *m, const Field *f) {
        const char *contents;
        int r = sd_bus_message_peek_type(m, NULL, &contents);

        if (r < 0)
                return r;
        if (!f || !contents || !g_str_equal(f->signature, contents))
                return sd_bus_message_skip(m, "v");
        r = sd_bus_message_enter_container(m, 'v', f->signature);
        if (r >= 0)
                r = f->read ? f->read(v, m) : read_basic(f, v, m);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int view_read(View *v, sd_bus_message *m, GPtrArray *changed) {
        const char *property;
        int r = sd_bus_message_enter_container(m, 'a', "{sv}");

        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &property);
                if (r >= 0)
                        r = read_value(v, m, find_field(property));
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r >= 0 && changed)
                        g_ptr_array_add(changed, (char *) property);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int by_name(const void *a, const void *b) {
        const View *const *va = a, *const *vb = b;

        return strcmp((*va)->name, (*vb)->name);
}

int view_read_interfaces(const char *path, sd_bus_message *m, GPtrArray *views) {
        const char *interface;
        int r = sd_bus_message_enter_container(m, 'a', "{sa{sv}}");

        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sa{sv}")) > 0) {
                r = sd_bus_message_read(m, "s", &interface);
                if (r >= 0 && g_str_equal(interface, VIPD_INSTANCE_INTERFACE)) {
                        View *v = view_new(path);

                        g_ptr_array_add(views, v);
                        r = view_read(v, m, NULL);
                } else if (r >= 0)
                        r = sd_bus_message_skip(m, "a{sv}");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static void free_view(void *data) {
        (void) view_free(data);
}

int view_read_all(sd_bus_message *reply, GPtrArray **ret) {
        g_autoptr(GPtrArray) views = g_ptr_array_new_with_free_func(free_view);
        const char *path;
        int r = sd_bus_message_enter_container(reply, 'a', "{oa{sa{sv}}}");

        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "oa{sa{sv}}")) > 0) {
                r = sd_bus_message_read(reply, "o", &path);
                if (r >= 0)
                        r = view_read_interfaces(path, reply, views);
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        if (r < 0)
                return r;
        g_ptr_array_sort(views, by_name);
        *ret = g_steal_pointer(&views);
        return 0;
}

CtlExit view_load(const Ctl *c, GPtrArray **ret) {
        g_autoptr(sd_bus_message) call = NULL, reply = NULL;
        CtlExit code;
        int r = client_new_call(c, NULL, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", &call);

        if (r < 0)
                return client_explain(c, NULL, r, NULL);
        code = client_call(c, call, CLIENT_READ_USEC, NULL, &reply);
        if (code != CTL_DONE)
                return code;
        r = view_read_all(reply, ret);
        return r < 0 ? client_explain(c, NULL, r, NULL) : CTL_DONE;
}

View *view_find(const GPtrArray *views, const char *name) {
        for (guint k = 0; k < views->len; k++) {
                View *v = g_ptr_array_index(views, k);

                if (g_str_equal(v->name, name))
                        return v;
        }
        return NULL;
}

CtlExit view_choose(const GPtrArray *views, char **names, GPtrArray **ret) {
        g_autoptr(GPtrArray) chosen = g_ptr_array_new(), known = g_ptr_array_new();
        CtlExit code = CTL_DONE;

        for (guint k = 0; k < views->len; k++) {
                View *v = g_ptr_array_index(views, k);

                g_ptr_array_add(*names ? known : chosen, *names ? (void *) v->name : v);
        }
        for (; *names; names++) {
                View *v = view_find(views, *names);

                if (v)
                        g_ptr_array_add(chosen, v);
                else {
                        client_suggest(*names, known);
                        code = CTL_NO_SUCH_INSTANCE;
                }
        }
        *ret = g_steal_pointer(&chosen);
        return code;
}

const char *view_json_name(const char *property) {
        const Field *f = find_field(property);

        return f ? f->json : NULL;
}

const char *view_string(const View *v, const char *property) {
        const Field *f = find_field(property);

        return f && *f->signature == 's' ? *(const char *const *) (const void *) ((const char *) v + f->offset) : NULL;
}

static void json_basic(const View *v, Json *j, const char *key, const Field *f) {
        const void *member = (const char *) v + f->offset;

        switch (*f->signature) {
        case 's': {
                const char *text = *(const char *const *) member;

                json_string(j, key, f->nullable && !*text ? NULL : text);
                break;
        }
        case 'b':
                json_bool(j, key, *(const bool *) member);
                break;
        case 'y':
                json_number(j, key, *(const uint8_t *) member);
                break;
        case 'u':
                json_number(j, key, *(const uint32_t *) member);
                break;
        case 't':
                json_number(j, key, *(const uint64_t *) member);
                break;
        }
}

void view_json_property(const View *v, Json *j, const char *key, const char *property) {
        const Field *f = find_field(property);

        if (!f)
                return;
        if (!f->write) {
                json_basic(v, j, key, f);
                return;
        }
        json_begin(j, key, '[');
        f->write(v, j);
        json_end(j, ']');
}

void view_json(const View *v, Json *j) {
        for (size_t k = 0; k < G_N_ELEMENTS(fields); k++)
                view_json_property(v, j, fields[k].json, fields[k].property);
}
