/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "check/checks.h"
#include "instance-log.h"
#include "instance-ops.h"
#include "persist.h"
#include "record.h"
#include "sync-group.h"
#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/message-ids.h"
#include "util/time-util.h"

/* The set of instances. Builds them from what config-load read, applies a new reading as a difference, passes link facts down and changes up.
 * Says nothing to a bus, a unit or a script: they observe. The top of every chain below it, so it is the one that logs. */

typedef struct Slot {
        Manager *manager;
        Instance *instance;
        InstanceIo *io;
        InstanceLog log;
} Slot;

/* How old what strict mode knows may be at a crash: what was recorded later than that is believed once more. */
#define SAVE_INTERVAL_USEC (10 * USEC_PER_SEC)

struct Manager {
        InstanceIoShared io; /* ours, but for the alarms */
        Notes *notes;
        Persist *persist;
        sd_event_source *save;
        ManagerLoad load;
        void *load_userdata;
        GArray *observers; /* ManagerObserver */
        LinkTable *links;
        Checks *checks;
        GPtrArray *units; /* char *: those that checks ask for */
        void (*watch_units)(void *userdata, const GPtrArray *units);
        void *watch_units_userdata;
        GPtrArray *slots; /* Slot *, sorted by name */
        SyncGroups *groups;
        GPtrArray *handover; /* borrowed; NULL but at the start */
        bool stopping;
};

static uint64_t now(const Manager *m) {
        uint64_t t = 0;

        (void) sd_event_now(m->io.event, CLOCK_BOOTTIME, &t);
        return t;
}

static uint64_t random_u64(void) {
        uint64_t value = 0;

        /* the seed of counters and of tie-break jitter: any unlikely number will do if the kernel has none to give */
        if (getrandom(&value, sizeof(value), GRND_NONBLOCK) != (ssize_t) sizeof(value))
                value = (uint64_t) g_get_monotonic_time() * UINT64_C(0x9e3779b97f4a7c15);
        return value;
}

static Slot *slot_free(Slot *s) {
        if (!s)
                return NULL;
        instance_io_free(s->io);
        instance_free(s->instance);
        instance_log_done(&s->log);
        g_free(s);
        return NULL;
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Slot, slot_free)

static void slot_destroy(void *data) {
        slot_free(data);
}

static void on_replay_found(void *userdata, const char *name, const ReplayState *state);
static void on_check(void *userdata, const char *instance, const char *check, CheckState state, bool failed, const char *output);

int manager_new(Manager **ret, sd_event *event, Alarms *alarms, const char *runtime_dir, const char *state_dir, ManagerLoad load,
                void *load_userdata) {
        g_autoptr(Manager) m = g_new0(Manager, 1);
        int r = persist_new(&m->persist, event, state_dir, on_replay_found, m);

        if (r >= 0)
                r = notes_new(&m->notes, event, runtime_dir);
        if (r >= 0)
                r = checks_new(&m->checks, event, g_getenv("VIPD_CHECKER") ?: VIPD_CHECKER, on_check, m);
        if (r < 0)
                return r;
        m->io.event = sd_event_ref(event);
        m->io.alarms = alarms;
        m->load = load;
        m->load_userdata = load_userdata;
        m->observers = g_array_new(false, false, sizeof(ManagerObserver));
        m->slots = g_ptr_array_new_with_free_func(slot_destroy);
        m->units = g_ptr_array_new_with_free_func(g_free);
        m->groups = sync_groups_new();
        *ret = g_steal_pointer(&m);
        return 0;
}

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;
        checks_free(m->checks);
        g_ptr_array_unref(m->units);
        sync_groups_free(m->groups);
        if (m->io.macvlans)
                macvlan_gather(m->io.macvlans);
        g_ptr_array_unref(m->slots);
        if (m->io.macvlans)
                macvlan_flush(m->io.macvlans);
        neighbours_free(m->io.neighbours);
        macvlan_control_free(m->io.macvlans);
        arp_scope_free(m->io.arp_scope);
        link_table_free(m->links);
        transport_free(m->io.transport);
        address_socket_free(m->io.addresses);
        g_array_unref(m->observers);
        notes_free(m->notes);
        sd_event_source_disable_unref(m->save);
        persist_free(m->persist);
        sd_event_unref(m->io.event);
        g_free(m);
        return NULL;
}

void manager_observe(Manager *m, const ManagerObserver *observer) {
        g_array_append_val(m->observers, *observer);
}

static void on_instance_changed(void *userdata, Instance *i, unsigned changes, const InstanceTransition *transition) {
        Slot *s = userdata;
        Manager *m = s->manager;

        if (transition)
                instance_log_transition(&s->log, i, transition, now(m));
        for (guint k = 0; k < m->observers->len; k++) {
                ManagerObserver *o = &g_array_index(m->observers, ManagerObserver, k);

                if (o->instance_changed)
                        o->instance_changed(o->userdata, i, changes, transition);
        }
}

static void on_instance_noticed(void *userdata, Instance *i, InstanceNotice notice, int error) {
        Slot *s = userdata;

        instance_log_notice(&s->log, i, notice, error, now(s->manager));
}

static void on_diagnosed(void *userdata, const Diagnosis *d) {
        Slot *s = userdata;

        instance_log_diagnosis(&s->log, s->instance, d, now(s->manager));
}

static void tell_added(Manager *m, Instance *i) {
        for (guint k = 0; k < m->observers->len; k++) {
                ManagerObserver *o = &g_array_index(m->observers, ManagerObserver, k);

                if (o->instance_added)
                        o->instance_added(o->userdata, i);
        }
}

static void tell_removed(Manager *m, Instance *i) {
        for (guint k = 0; k < m->observers->len; k++) {
                ManagerObserver *o = &g_array_index(m->observers, ManagerObserver, k);

                if (o->instance_removed)
                        o->instance_removed(o->userdata, i);
        }
}

/* Where the instance of this name is among the slots, or would be. */
static guint slot_position(const Manager *m, const char *name, Slot **ret) {
        guint low = 0, high = m->slots->len;

        *ret = NULL;
        while (low < high) {
                guint middle = low + (high - low) / 2;
                Slot *s = g_ptr_array_index(m->slots, middle);
                int order = strcmp(instance_config(s->instance)->name, name);

                if (order == 0)
                        *ret = s;
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static Slot *find_slot(const Manager *m, const char *name) {
        Slot *s;

        (void) slot_position(m, name, &s);
        return s;
}

static void on_check(void *userdata, const char *instance, const char *check, CheckState state, bool failed, const char *output) {
        Manager *m = userdata;
        Slot *s = find_slot(m, instance);
        InstanceCheck before = { 0 };

        for (guint k = 0; k < instance_checks(s->instance)->len; k++) {
                const InstanceCheck *known = g_ptr_array_index(instance_checks(s->instance), k);

                if (g_str_equal(known->name, check))
                        before = (InstanceCheck) { .name = known->name, .state = known->state, .failed = known->failed };
        }
        instance_set_check(s->instance, check, state, failed, output, now(m));
        instance_log_check(&s->log, s->instance, check, &before, now(m));
}

/* What probes, and what tells of units, hears what there is to probe now. */
static void commit_checks(Manager *m) {
        g_autoptr(GPtrArray) units = checks_units(m->checks);
        bool same = units->len == m->units->len;

        checks_commit(m->checks);
        for (guint k = 0; same && k < units->len; k++)
                same = g_str_equal(g_ptr_array_index(units, k), g_ptr_array_index(m->units, k));
        if (same)
                return;
        g_ptr_array_unref(m->units);
        m->units = g_steal_pointer(&units);
        if (m->watch_units)
                m->watch_units(m->watch_units_userdata, m->units);
}

/* failing: names, when another process knew; NULL. */
static void set_checks(Manager *m, Slot *s, bool trusted, const char *const *failing) {
        GPtrArray *configs = instance_config(s->instance)->checks;

        checks_set(m->checks, instance_config(s->instance)->name, configs, trusted, failing);
        for (guint k = 0; failing && failing[k]; k++)
                instance_log_check_known(&s->log, failing[k]);
        for (guint k = 0; k < configs->len; k++) {
                const CheckConfig *c = g_ptr_array_index(configs, k);
                const Link *link = link_table_find(m->links, c->interface);

                if (c->type == CHECK_TYPE_LINK)
                        checks_on_link(m->checks, c->interface, link && link->up && link->carrier);
        }
}

void manager_watch_units(Manager *m, void (*watch)(void *userdata, const GPtrArray *units), void *userdata) {
        m->watch_units = watch;
        m->watch_units_userdata = userdata;
        watch(userdata, m->units);
}

void manager_on_unit_state(Manager *m, const char *unit, const char *active_state) {
        checks_on_unit(m->checks, unit, active_state);
}

static const Link *find_device(const Manager *m, const InstanceConfig *c) {
        char device[IF_NAMESIZE];

        return c->virtual_mac ? link_table_find(m->links, instance_config_device(c, device)) : NULL;
}

static void on_link(void *userdata, const Link *link, unsigned changes) {
        Manager *m = userdata;

        checks_on_link(m->checks, link->name, link->up && link->carrier && !(changes & LINK_CHANGE_GONE));
        for (guint k = 0; k < m->slots->len; k++) {
                Slot *s = g_ptr_array_index(m->slots, k);
                const InstanceConfig *c = instance_config(s->instance);
                char device[IF_NAMESIZE];

                if (g_str_equal(c->interface, link->name))
                        instance_io_update(s->io, c, link, find_device(m, c), changes, now(m));
                else if (c->virtual_mac && g_str_equal(instance_config_device(c, device), link->name) &&
                         !instance_io_update_device(s->io, link, changes, now(m)) && (changes & LINK_CHANGE_GONE))
                        /* what was in the way is gone */
                        instance_io_update(s->io, c, link_table_find(m->links, c->interface), NULL, LINK_CHANGE_NEW, now(m));
        }
}

static void on_again(void *userdata) {
        Slot *s = userdata;
        const InstanceConfig *c = instance_config(s->instance);

        Manager *m = s->manager;

        instance_io_update(s->io, c, link_table_find(m->links, c->interface), find_device(m, c), LINK_CHANGE_NEW, now(m));
}

static void load_replay(Manager *m, Instance *i, const InstanceConfig *config) {
        ReplayState state;

        if (!config->carp.strict_replay)
                return;
        persist_load_replay(m->persist, config->name, &state);
        instance_replay_import(i, &state);
}

static void save_replay(Manager *m, const Instance *i, bool clean) {
        ReplayState state;

        if (!instance_config(i)->carp.strict_replay)
                return;
        instance_replay_export(i, &state);
        persist_save_replay(m->persist, instance_config(i)->name, &state, clean);
}

/* At once, as numbers of ours that are higher now are not reserved yet. */
static void on_replay_found(void *userdata, const char *name, const ReplayState *state) {
        Manager *m = userdata;
        Slot *s = find_slot(m, name);

        if (!s || !instance_config(s->instance)->carp.strict_replay)
                return;
        instance_replay_import(s->instance, state);
        save_replay(m, s->instance, false);
}

static void save_all(Manager *m, bool clean) {
        for (guint k = 0; k < m->slots->len; k++)
                save_replay(m, ((Slot *) g_ptr_array_index(m->slots, k))->instance, clean);
}

static int on_save(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        save_all(m, false);
        (void) sd_event_source_set_time_relative(m->save, SAVE_INTERVAL_USEC);
        (void) sd_event_source_set_enabled(m->save, SD_EVENT_ONESHOT);
        return 0;
}

static void on_arp_noted(void *userdata, int ifindex, const ArpSettings *before) {
        record_note_arp(((Manager *) userdata)->notes, ifindex, before);
}

/* What the process before us had for this very election. */
static const HandoverEntry *find_handover(const Manager *m, const InstanceConfig *c) {
        for (guint k = 0; m->handover && k < m->handover->len; k++) {
                const HandoverEntry *e = g_ptr_array_index(m->handover, k);

                if (g_str_equal(e->name, c->name) && g_str_equal(e->interface, c->interface) && e->vhid == c->carp.vhid &&
                    e->memory.election.state != ELECTION_STATE_INIT)
                        return e;
        }
        return NULL;
}

static void resume(Manager *m, Slot *s, const HandoverEntry *e) {
        const LogField fields[] = {
                { "VIPD_INSTANCE", e->name },
                { "VIPD_STATE", election_state_to_string(e->memory.election.state) },
                { NULL, NULL },
        };

        instance_resume(s->instance, &e->memory, now(m));
        if (e->memory.holds)
                instance_io_adopt(s->io);
        log_write(LOG_INFO, MESSAGE_ID_RESUMED_STR, fields, 0, __FILE__, __LINE__, __func__, "%s: still %s after a restart", e->name,
                  election_state_to_string(e->memory.election.state));
}

/* config: taken */
static void add_instance(Manager *m, InstanceConfig *config) {
        g_autoptr(InstanceConfig) c = config;
        g_autoptr(Slot) s = g_new0(Slot, 1);
        InstanceObserver observer = { .changed = on_instance_changed, .noticed = on_instance_noticed, .userdata = s };
        const HandoverEntry *handover = find_handover(m, c);
        bool enabled;
        Instance *i;
        Slot *other;

        s->manager = m;
        s->io = instance_io_new(&m->io);
        if (persist_is_disabled(m->persist, c->name)) {
                log_info("%s: disabled, as an administrator wished; enable it when it should take part again", c->name);
                c->enabled = false;
        }
        record_write(m->notes, c);
        enabled = c->enabled;
        i = s->instance = instance_new(c, &instance_io_ops, s->io, &observer, random_u64());
        config = g_steal_pointer(&c);
        load_replay(m, i, config);
        save_replay(m, i, false);
        instance_io_attach(s->io, i);
        instance_io_observe(s->io, on_diagnosed, s);
        instance_io_on_again(s->io, on_again, s);
        g_ptr_array_insert(m->slots, (gint) slot_position(m, config->name, &other), s);
        if (handover)
                resume(m, s, handover);
        set_checks(m, s, handover != NULL, handover ? (const char *const *) handover->failing : NULL);
        if (!link_table_find(m->links, config->interface))
                log_notice("%s: there is no interface %s yet; it is waited for", config->name, config->interface);
        instance_io_update(s->io, config, link_table_find(m->links, config->interface), find_device(m, config), LINK_CHANGE_NEW, now(m));
        if (handover && !enabled)
                instance_set_enabled(i, false, now(m));
        (void) g_steal_pointer(&s);
        tell_added(m, i);
}

static void remove_slot(Manager *m, Slot *s, ElectionReason reason) {
        checks_set(m->checks, instance_config(s->instance)->name, NULL, false, NULL);
        sync_groups_forget(m->groups, s->instance, now(m));
        instance_stop(s->instance, reason, false, now(m));
        save_replay(m, s->instance, true);
        record_remove(m->notes, instance_config(s->instance)->name);
        tell_removed(m, s->instance);
        g_ptr_array_remove(m->slots, s);
}

static const ConfigEntry *find_entry(const ConfigSet *set, const char *name) {
        for (guint k = 0; k < set->entries->len; k++) {
                const ConfigEntry *e = g_ptr_array_index(set->entries, k);

                if (g_str_equal(e->name, name))
                        return e;
        }
        return NULL;
}

static void log_diagnostics(const ConfigSet *set) {
        for (guint k = 0; k < set->diagnostics->len; k++) {
                const ConfigDiagnostic *d = g_ptr_array_index(set->diagnostics, k);
                g_autofree char *text = config_diagnostic_format(d);
                LogField fields[] = { { "VIPD_INSTANCE", d->instance }, { NULL, NULL } };

                log_write(d->error ? LOG_ERR : LOG_WARNING,
                          d->error ? MESSAGE_ID_CONFIG_PROBLEM_STR : NULL,
                          fields,
                          0,
                          __FILE__,
                          __LINE__,
                          __func__,
                          "%s",
                          text);
        }
}

/* Same election on the wire: everything else can change in place. */
static bool same_election(const InstanceConfig *a, const InstanceConfig *b) {
        return g_str_equal(a->interface, b->interface) && a->carp.vhid == b->carp.vhid;
}

/* Nothing of what is in force changes. */
static void keep_slot(Slot *s, const ConfigSet *set) {
        g_autofree char *problem = config_set_problem(set, instance_config(s->instance)->name);

        instance_set_problem(s->instance, problem);
}

/* An instance that keeps running by its old configuration, because its new one is broken, may be in the way. Returns why, or NULL; caller frees. */
static char *find_obstacle(const Manager *m, const InstanceConfig *config) {
        for (guint k = 0; k < m->slots->len; k++) {
                const Instance *i = ((Slot *) g_ptr_array_index(m->slots, k))->instance;
                const InstanceConfig *c = instance_config(i);

                if (*instance_problem(i) != '\0' && !g_str_equal(c->name, config->name) && instance_config_collides(c, config))
                        return g_strdup_printf("%s: not in force, as %s still runs with its VHID or an address of it; mend that one and reload",
                                               config->path, c->name);
        }
        return NULL;
}

static void update_slot(Manager *m, Slot *s, ConfigEntry *entry) {
        const InstanceConfig *old = instance_config(s->instance);

        instance_set_problem(s->instance, NULL);
        /* what the administrator disabled by a verb stays so whatever the file says */
        if (persist_is_disabled(m->persist, entry->name))
                entry->config->enabled = false;
        if (instance_config_equal(old, entry->config))
                return;
        if (same_election(old, entry->config)) {
                InstanceConfig *config = g_steal_pointer(&entry->config);

                record_write(m->notes, config);
                if (!old->carp.strict_replay)
                        load_replay(m, s->instance, config);
                instance_io_update(s->io, config, link_table_find(m->links, config->interface), find_device(m, config), 0, now(m));
                instance_reconfigure(s->instance, config, now(m));
                set_checks(m, s, instance_state(s->instance) == ELECTION_STATE_MASTER, NULL);
                save_replay(m, s->instance, false);
                return;
        }
        remove_slot(m, s, ELECTION_REASON_RELOAD);
}

/* A file that is right by itself. */
static int apply_entry(Manager *m, ConfigEntry *entry) {
        g_autofree char *obstacle = find_obstacle(m, entry->config);
        Slot *s = find_slot(m, entry->name);

        if (obstacle) {
                log_error("%s", obstacle);
                if (s)
                        instance_set_problem(s->instance, obstacle);
                return -EADDRINUSE;
        }
        if (s)
                update_slot(m, s, entry);
        if (!entry->config || find_slot(m, entry->name))
                return 0;
        add_instance(m, g_steal_pointer(&entry->config));
        return 0;
}

static void update_groups(Manager *m) {
        g_autoptr(GPtrArray) instances = manager_list(m);

        sync_groups_update(m->groups, (Instance **) instances->pdata, instances->len, now(m));
}

static int apply(Manager *m, ConfigSet *set) {
        int result = config_set_n_errors(set) > 0 ? -EINVAL : 0;

        log_diagnostics(set);
        macvlan_gather(m->io.macvlans);
        for (guint k = m->slots->len; k > 0; k--) {
                Slot *s = g_ptr_array_index(m->slots, k - 1);

                if (!set->incomplete && !find_entry(set, instance_config(s->instance)->name))
                        remove_slot(m, s, ELECTION_REASON_RELOAD);
        }
        macvlan_flush(m->io.macvlans);
        /* those that stay first, as the others may meet them */
        for (guint k = 0; k < set->entries->len; k++) {
                const ConfigEntry *entry = g_ptr_array_index(set->entries, k);
                Slot *s = entry->config ? NULL : find_slot(m, entry->name);

                if (s)
                        keep_slot(s, set);
        }
        for (guint k = 0; k < set->entries->len; k++) {
                ConfigEntry *entry = g_ptr_array_index(set->entries, k);
                int r = entry->config ? apply_entry(m, entry) : 0;

                if (r < 0)
                        result = r;
        }
        commit_checks(m);
        update_groups(m);
        return result;
}

typedef struct Claims {
        const Manager *manager;
        const ConfigSet *set;
} Claims;

/* An address that a master held until the restart, and that the configuration still gives it. */
static bool is_claimed(void *userdata, const char *name, const char *interface, const IpPrefix *prefix) {
        const Claims *claims = userdata;
        const ConfigEntry *entry = find_entry(claims->set, name);
        const InstanceConfig *c = entry ? entry->config : NULL;
        const HandoverEntry *e = c ? find_handover(claims->manager, c) : NULL;

        char device[IF_NAMESIZE];

        for (size_t k = 0; e && e->memory.holds && g_str_equal(instance_config_device(c, device), interface) && k < c->n_addresses; k++)
                if (c->addresses[k].prefix_length == prefix->prefix_length &&
                    ip_address_equal(&c->addresses[k].address, &prefix->address))
                        return true;
        return false;
}

static void on_pass_begins(void *userdata) {
        transport_gather(((Manager *) userdata)->io.transport);
}

/* Adverts first, for which others wait; then the leases. */
static void on_pass_ends(void *userdata) {
        Manager *m = userdata;

        transport_flush(m->io.transport);
        address_socket_flush(m->io.addresses);
}

static void on_quiet_pass_ends(void *userdata) {
        neighbours_commit(((Manager *) userdata)->io.neighbours);
}

int manager_start(Manager *m, GPtrArray *handover) {
        g_autoptr(ConfigSet) set = NULL;
        RecordTools tools;
        int r;

        r = notes_lock(m->notes);
        if (r < 0)
                return r;
        r = address_socket_new(&m->io.addresses);
        if (r >= 0)
                r = address_socket_watch(m->io.addresses, m->io.event);
        if (r >= 0)
                r = macvlan_control_new(&m->io.macvlans, m->io.event);
        if (r >= 0)
                r = arp_scope_new(&m->io.arp_scope, on_arp_noted, m);
        if (r >= 0)
                r = transport_new(&m->io.transport, m->io.event, m->io.alarms);
        if (r >= 0)
                r = link_table_new(&m->links, m->io.event, on_link, m);
        if (r >= 0)
                r = neighbours_new(&m->io.neighbours, m->io.event, m->links);
        if (r >= 0)
                r = sd_event_add_time_relative(m->io.event, &m->save, CLOCK_BOOTTIME, SAVE_INTERVAL_USEC, 0, on_save, m);
        if (r < 0) {
                log_error_errno(r, "The kernel's network interface cannot be opened: %m");
                return r;
        }
        (void) sd_event_source_set_priority(m->save, EVENT_PRIORITY_IDLE);
        alarms_observe(m->io.alarms, ALARM_LANE_TIMER, on_pass_begins, on_pass_ends, m);
        alarms_observe(m->io.alarms, ALARM_LANE_NEIGHBOUR, NULL, on_quiet_pass_ends, m);
        tools = (RecordTools) { .links = m->links, .addresses = m->io.addresses, .macvlans = m->io.macvlans, .arp_scope = m->io.arp_scope };
        set = m->load(m->load_userdata);
        log_set_max_level(set->daemon.log_level);
        m->handover = handover;
        (void) record_sweep(m->notes, &tools, is_claimed, &(Claims) { .manager = m, .set = set });
        (void) apply(m, set);
        arp_scope_settle(m->io.arp_scope);
        m->handover = NULL;
        return 0;
}

int manager_reload(Manager *m) {
        g_autoptr(ConfigSet) set = NULL;

        /* an instance that starts now would be told by nobody to leave */
        if (m->stopping)
                return -ESHUTDOWN;
        set = m->load(m->load_userdata);
        log_set_max_level(set->daemon.log_level);
        for (guint k = 0; k < m->slots->len; k++)
                instance_log_reloaded(&((Slot *) g_ptr_array_index(m->slots, k))->log);
        return apply(m, set);
}

/* Caller frees; NULL: none. */
static char **failing_checks(const Instance *i) {
        g_autoptr(GPtrArray) names = g_ptr_array_new();

        for (guint k = 0; k < instance_checks(i)->len; k++) {
                const InstanceCheck *check = g_ptr_array_index(instance_checks(i), k);

                if (check->failed)
                        g_ptr_array_add(names, g_strdup(check->name));
        }
        if (names->len == 0)
                return NULL;
        g_ptr_array_add(names, NULL);
        return (char **) g_ptr_array_steal(names, NULL);
}

GPtrArray *manager_hand_over(Manager *m) {
        GPtrArray *entries = g_ptr_array_new_with_free_func(handover_entry_free);

        /* all first: what one does then may end the mastership of its group */
        for (guint k = 0; k < m->slots->len; k++)
                instance_prepare_handover(((Slot *) g_ptr_array_index(m->slots, k))->instance, now(m));
        for (guint k = 0; k < m->slots->len; k++) {
                const Instance *i = ((Slot *) g_ptr_array_index(m->slots, k))->instance;
                const InstanceConfig *c = instance_config(i);
                HandoverEntry *e = g_new0(HandoverEntry, 1);

                e->name = g_strdup(c->name);
                g_strlcpy(e->interface, c->interface, sizeof(e->interface));
                e->vhid = c->carp.vhid;
                e->failing = failing_checks(i);
                instance_io_keep(((Slot *) g_ptr_array_index(m->slots, k))->io, true);
                instance_remember(i, &e->memory);
                g_ptr_array_add(entries, e);
        }
        return entries;
}

void manager_stop(Manager *m, bool wait_for_units) {
        m->stopping = true;
        for (guint k = 0; k < m->slots->len; k++) {
                Slot *s = g_ptr_array_index(m->slots, k);

                instance_io_keep(s->io, false);
                instance_stop(s->instance, ELECTION_REASON_SHUTDOWN, wait_for_units, now(m));
        }
}

void manager_drain(Manager *m, bool last, uint64_t timeout_usec, void (*done)(void *userdata), void *userdata) {
        if (last)
                (void) sd_event_source_set_enabled(m->save, SD_EVENT_OFF);
        save_all(m, last);
        persist_drain(m->persist, timeout_usec, done, userdata);
}

bool manager_is_stopped(const Manager *m) {
        for (guint k = 0; k < m->slots->len; k++)
                if (instance_state(((Slot *) g_ptr_array_index(m->slots, k))->instance) != ELECTION_STATE_INIT)
                        return false;
        return true;
}

uint64_t manager_stop_usec(const Manager *m) {
        uint64_t longest_usec = 0;

        for (guint k = 0; k < m->slots->len; k++) {
                const Instance *i = ((Slot *) g_ptr_array_index(m->slots, k))->instance;
                const TakeoverConfig *t = &instance_config(i)->takeover;

                if (instance_state(i) == ELECTION_STATE_MASTER && t->units_before_address)
                        longest_usec = MAX(longest_usec, t->unit_timeout_usec);
        }
        return longest_usec;
}

void manager_on_units_settled(Manager *m, const char *name, bool up) {
        Slot *s = find_slot(m, name);

        if (s)
                instance_on_units_settled(s->instance, up, now(m));
}

void manager_on_unit_result(Manager *m, const char *name, const char *unit, const char *result) {
        Slot *s = find_slot(m, name);

        if (s)
                instance_on_unit_result(s->instance, unit, result, now(m));
}

GPtrArray *manager_list(Manager *m) {
        GPtrArray *list = g_ptr_array_sized_new(m->slots->len);

        for (guint k = 0; k < m->slots->len; k++)
                g_ptr_array_add(list, ((Slot *) g_ptr_array_index(m->slots, k))->instance);
        return list;
}

Instance *manager_find(Manager *m, const char *name) {
        Slot *s = find_slot(m, name);

        return s ? s->instance : NULL;
}

InstanceVerbResult manager_demote(Manager *m, Instance *i, uint64_t hold_usec) {
        return instance_demote(i, hold_usec, now(m));
}

InstanceVerbResult manager_promote(Manager *m, Instance *i) {
        return sync_groups_promote(m->groups, i, now(m));
}

void manager_set_enabled(Manager *m, Instance *i, bool enabled, void (*done)(void *userdata, int error), void *userdata) {
        instance_set_enabled(i, enabled, now(m));
        persist_set_disabled(m->persist, instance_config(i)->name, !enabled, done, userdata);
}

void manager_demote_all(Manager *m) {
        for (guint k = 0; k < m->slots->len; k++)
                (void) instance_demote(((Slot *) g_ptr_array_index(m->slots, k))->instance, CONFIG_USEC_UNSET, now(m));
}

void manager_log_state(Manager *m) {
        for (guint k = 0; k < m->slots->len; k++) {
                const Instance *i = ((Slot *) g_ptr_array_index(m->slots, k))->instance;
                const InstanceConfig *c = instance_config(i);
                const InstanceStatistics *s = instance_statistics(i);
                char master[IP_ADDRESS_TEXT_BYTES];

                log_info("%s: %s on %s vhid %u (%s), master %s, %" G_GUINT64_FORMAT " adverts sent, %" G_GUINT64_FORMAT
                         " received, %" G_GUINT64_FORMAT " transitions, demotion %u",
                         c->name,
                         election_state_to_string(instance_state(i)),
                         c->interface,
                         c->carp.vhid,
                         election_reason_to_string(instance_reason(i)),
                         instance_master(i)->family == 0 ? "unknown" : ip_address_format(instance_master(i), master),
                         s->adverts_sent,
                         s->adverts_received,
                         s->transitions,
                         instance_demotion(i));
        }
}

/* As Prometheus has histograms: each bucket holds those below it, too. */
static void add_takeovers(const Latency *l, void (*add)(void *userdata, const char *name, uint64_t value), void *userdata) {
        for (size_t k = 0; k < N_LATENCY_BOUNDS; k++) {
                g_autofree char *name = g_strdup_printf("takeover-le-%" G_GUINT64_FORMAT "-usec", latency_bound_usec(k));

                add(userdata, name, latency_n_up_to(l, k));
        }
        add(userdata, "takeover-count", l->n);
        add(userdata, "takeover-sum-usec", l->sum_usec);
}

void manager_statistics(Manager *m, Instance *i, void (*add)(void *userdata, const char *name, uint64_t value), void *userdata) {
        const InstanceStatistics *s = instance_statistics(i);
        Slot *slot = find_slot(m, instance_config(i)->name);
        uint64_t rejected[N_CARP_VERDICTS] = { 0 };
        ChecksStatistics checks;
        const struct {
                const char *name;
                uint64_t value;
        } values[] = {
                { "adverts-sent", s->adverts_sent },
                { "adverts-received", s->adverts_received },
                { "send-errors", s->send_errors },
                { "bow-outs-sent", s->bow_outs_sent },
                { "bow-outs-received", s->bow_outs_received },
                { "announcements", s->announcements },
                { "lease-renewals", s->lease_renewals },
                { "addresses-restored", s->addresses_restored },
                { "hold-errors", s->hold_errors },
                { "transitions", s->transitions },
                { "stalls", s->stalls },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(values); k++)
                add(userdata, values[k].name, values[k].value);
        add_takeovers(&s->takeovers, add, userdata);
        for (ElectionReason r = 0; r < N_ELECTION_REASONS; r++) {
                g_autofree char *name = g_strdup_printf("transitions-%s", election_reason_to_string(r));

                add(userdata, name, s->transitions_by[r]);
        }
        checks_statistics(m->checks, instance_config(i)->name, &checks);
        add(userdata, "check-samples-good", checks.good);
        add(userdata, "check-samples-bad", checks.bad);
        add(userdata, "check-transitions", checks.changes);
        add(userdata, "checker-starts", checks_n_checker_starts(m->checks));
        if (slot) {
                instance_io_rejected(slot->io, rejected);
                add(userdata, "conflicts", instance_io_conflict(slot->io)->n_claims);
                add(userdata, "conflicts-defended", instance_io_conflict(slot->io)->n_defences);
                for (DiagnosisCause c = 0; c < N_DIAGNOSIS_CAUSES; c++) {
                        g_autofree char *name = g_strdup_printf("diagnosed-%s", diagnosis_cause_to_string(c));

                        add(userdata, name, instance_io_diagnosed(slot->io)[c]);
                }
        }
        for (size_t v = CARP_VERDICT_OK + 1; v < N_CARP_VERDICTS; v++) {
                g_autofree char *name = g_strdup_printf("rejected-%s", carp_verdict_to_string((CarpVerdict) v));

                add(userdata, name, rejected[v] + s->rejected[v]);
        }
}
