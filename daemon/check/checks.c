/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check/checks.h"

#include <errno.h>
#include <string.h>

#include "check/checker.h"
#include "check/judge.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/time-util.h"

/* Where samples come from and go to. Units and links are told as facts, and sampled at once when they change, then every Interval= until the verdict
 * agrees; so an agreed fact costs nothing. Programs and servers are probed by vipd-checker, whose silence is noticed here. Knows no election: what
 * a verdict means is the instance's. */

/* More than its jitter, and what a busy machine may add: so long after a probe should have been over its answer is overdue. */
#define OVERDUE_USEC (2 * USEC_PER_SEC)

typedef enum Fact {
        FACT_UNKNOWN,
        FACT_GOOD,
        FACT_BAD,
} Fact;

typedef struct Check {
        Checks *checks;
        const char *instance;      /* the group's */
        const CheckConfig *config; /* the group's */
        Judge judge;
        char *output;
        Fact fact;            /* unit, link */
        uint64_t heard_usec;  /* last sample, or when its prober was started */
        bool probed;          /* a prober runs that has it */
        sd_event_source *timer;
} Check;

/* The checks of one instance. */
typedef struct Group {
        char *instance;
        GPtrArray *configs; /* CheckConfig *; a reference, as the instance may have others before we do */
        GPtrArray *members; /* Check * */
        ChecksStatistics statistics;
} Group;

struct Checks {
        sd_event *event;
        Checker *checker;
        ChecksReport report;
        void *userdata;
        GPtrArray *groups; /* Group * */
        GPtrArray *probes; /* Check *, borrowed: by the number the checker knows */
        GHashTable *units; /* name -> ActiveState, of those that somebody checks: told once, and not again to the next who asks */
};

static uint64_t now(const Checks *c) {
        uint64_t t = 0;

        (void) sd_event_now(c->event, CLOCK_BOOTTIME, &t);
        return t;
}

static bool is_probe(const Check *k) {
        return k->config->type != CHECK_TYPE_UNIT && k->config->type != CHECK_TYPE_LINK;
}

static void check_free(void *data) {
        Check *k = data;

        sd_event_source_disable_unref(k->timer);
        g_free(k->output);
        g_free(k);
}

static void group_free(void *data) {
        Group *g = data;

        g_ptr_array_unref(g->members);
        g_ptr_array_unref(g->configs);
        g_free(g->instance);
        g_free(g);
}

static Group *find_group(const Checks *c, const char *instance) {
        for (guint k = 0; k < c->groups->len; k++)
                if (g_str_equal(((Group *) g_ptr_array_index(c->groups, k))->instance, instance))
                        return g_ptr_array_index(c->groups, k);
        return NULL;
}

static void tell(const Check *k) {
        const Checks *c = k->checks;

        c->report(c->userdata, k->instance, k->config->name, k->judge.state, k->judge.failed, k->output);
}

static uint64_t overdue_usec(const Check *k) {
        const CheckConfig *config = k->config;

        return k->heard_usec + config->interval_usec + config->interval_usec * CHECKER_JITTER_PERCENT / 100 + config->timeout_usec + OVERDUE_USEC;
}

/* The next instant at which something follows from nothing having happened. */
static uint64_t due_usec(const Check *k) {
        uint64_t due = judge_deadline_usec(&k->judge);

        if (is_probe(k))
                return k->probed ? usec_min(due, overdue_usec(k)) : due;
        if (k->fact != FACT_UNKNOWN && !judge_is_settled(&k->judge, k->fact == FACT_GOOD))
                due = usec_min(due, k->heard_usec + k->config->interval_usec);
        return due;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void arm(Check *k) {
        uint64_t due = due_usec(k);
        int r = 0;

        if (due == USEC_INFINITY) {
                if (k->timer)
                        (void) sd_event_source_set_enabled(k->timer, SD_EVENT_OFF);
                return;
        }
        if (!k->timer) {
                r = sd_event_add_time(k->checks->event, &k->timer, CLOCK_BOOTTIME, due, EVENT_ACCURACY_USEC, on_timer, k);
                if (r >= 0)
                        (void) sd_event_source_set_priority(k->timer, EVENT_PRIORITY_SIGNAL);
        } else {
                r = sd_event_source_set_time(k->timer, due);
                if (r >= 0)
                        r = sd_event_source_set_enabled(k->timer, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_error_errno(r, "%s: no timer for check %s: %m", k->instance, k->config->name);
}

/* Return: whether that is news. */
static bool say(Check *k, const char *output) {
        if (g_str_equal(k->output, output))
                return false;
        g_free(k->output);
        k->output = g_strdup(output);
        return true;
}

static void sample(Check *k, bool good, const char *output) {
        Group *g = find_group(k->checks, k->instance);
        bool was_failed = k->judge.failed, news = say(k, output);
        bool changed = judge_sample(&k->judge, good);

        g->statistics.good += good ? 1 : 0;
        g->statistics.bad += good ? 0 : 1;
        g->statistics.changes += was_failed != k->judge.failed ? 1 : 0;
        k->heard_usec = now(k->checks);
        arm(k);
        if (changed || news)
                tell(k);
}

/* output: why, or NULL: as before. */
static void silence(Check *k, const char *output) {
        bool changed = judge_silence(&k->judge, now(k->checks)), news = output && say(k, output);

        arm(k);
        if (changed || news)
                tell(k);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Check *k = userdata;
        uint64_t t = now(k->checks);

        if (judge_expire(&k->judge, t)) {
                find_group(k->checks, k->instance)->statistics.changes++;
                tell(k);
        }
        if (is_probe(k) && k->probed && t >= overdue_usec(k))
                checker_replace(k->checks->checker); /* every probe of it falls silent */
        else if (!is_probe(k) && k->fact != FACT_UNKNOWN && t >= k->heard_usec + k->config->interval_usec)
                sample(k, k->fact == FACT_GOOD, k->output);
        else
                arm(k);
        return 0;
}

static void set_fact(Check *k, Fact fact, const char *output) {
        bool same = fact == k->fact;

        k->fact = fact;
        if (fact == FACT_UNKNOWN)
                silence(k, output);
        else if (!same)
                sample(k, fact == FACT_GOOD, output);
        else if (say(k, output))
                /* a unit that restarts has several words for being away, and is away once */
                tell(k);
}

/* systemd.unit(5): a unit that reloads is active all the while. */
static bool is_active(const char *active_state) {
        return g_str_equal(active_state, "active") || g_str_equal(active_state, "reloading") || g_str_equal(active_state, "refreshing");
}

/* active_state: NULL: nobody says. */
static void set_unit_fact(Check *k, const char *active_state) {
        if (active_state)
                set_fact(k, is_active(active_state) ? FACT_GOOD : FACT_BAD, active_state);
        else
                set_fact(k, FACT_UNKNOWN, "the service manager does not answer");
}

/* From here on an answer may be overdue. */
static void begin_patience(Check *probe) {
        probe->probed = true;
        probe->heard_usec = now(probe->checks);
        arm(probe);
}

static void on_checker_started(void *userdata) {
        Checks *c = userdata;

        for (guint k = 0; k < c->probes->len; k++)
                begin_patience(g_ptr_array_index(c->probes, k));
}

static void on_checker_report(void *userdata, uint32_t probe, bool good, const char *text) {
        Checks *c = userdata;

        sample(g_ptr_array_index(c->probes, probe), good, text);
}

static void on_checker_gone(void *userdata) {
        Checks *c = userdata;

        for (guint k = 0; k < c->probes->len; k++) {
                Check *probe = g_ptr_array_index(c->probes, k);

                probe->probed = false;
                silence(probe, NULL);
        }
}

int checks_new(Checks **ret, sd_event *event, const char *checker, ChecksReport report, void *userdata) {
        g_autoptr(Checks) c = g_new0(Checks, 1);
        CheckerObserver observer = {
                .started = on_checker_started,
                .report = on_checker_report,
                .gone = on_checker_gone,
                .userdata = c,
        };
        int r;

        c->event = sd_event_ref(event);
        c->report = report;
        c->userdata = userdata;
        c->groups = g_ptr_array_new_with_free_func(group_free);
        c->probes = g_ptr_array_new();
        c->units = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        r = checker_new(&c->checker, event, checker, &observer);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&c);
        return 0;
}

Checks *checks_free(Checks *c) {
        if (!c)
                return NULL;
        checker_free(c->checker);
        g_hash_table_unref(c->units);
        g_ptr_array_unref(c->probes);
        g_ptr_array_unref(c->groups);
        sd_event_unref(c->event);
        g_free(c);
        return NULL;
}

static Check *find_member(const Group *g, const char *name) {
        for (guint k = 0; k < g->members->len; k++) {
                Check *member = g_ptr_array_index(g->members, k);

                if (g_str_equal(member->config->name, name))
                        return member;
        }
        return NULL;
}

static Check *check_new(Checks *c, const Group *g, const CheckConfig *config) {
        Check *k = g_new0(Check, 1);

        k->checks = c;
        k->instance = g->instance;
        k->config = config;
        k->output = g_strdup("");
        return k;
}

/* What is the same thing still has its verdict; how that is reached may be another way now. */
static Check *carry_over(Checks *c, const Group *g, const Check *old, const CheckConfig *config, bool trusted, bool failing) {
        Check *k = check_new(c, g, config);
        bool same = old && old->config->type == config->type;

        k->heard_usec = now(c);
        if (same) {
                k->judge = old->judge;
                k->probed = old->probed;
                k->heard_usec = old->heard_usec;
                g_free(k->output);
                k->output = g_strdup(old->output);
                /* a fact is one about the unit or the interface it was told of */
                if (g_strcmp0(old->config->unit, config->unit) == 0 && g_str_equal(old->config->interface, config->interface))
                        k->fact = old->fact;
                else
                        (void) judge_silence(&k->judge, now(c));
        } else
                judge_init(&k->judge, trusted || failing, failing, now(c));
        judge_configure(&k->judge, config->rise, config->fall, config->fall * config->interval_usec + config->timeout_usec);
        return k;
}

static void group_set(Checks *c, Group *g, GPtrArray *configs, bool trusted, const char *const *failing) {
        g_autoptr(GPtrArray) members = g_ptr_array_new_with_free_func(check_free);

        for (guint k = 0; k < configs->len; k++) {
                const CheckConfig *config = g_ptr_array_index(configs, k);
                bool fails = failing && g_strv_contains(failing, config->name);

                g_ptr_array_add(members, carry_over(c, g, find_member(g, config->name), config, trusted, fails));
        }
        g_ptr_array_unref(g->members);
        g->members = g_steal_pointer(&members);
        g_ptr_array_unref(g->configs);
        g->configs = g_ptr_array_ref(configs);
        for (guint k = 0; k < g->members->len; k++) {
                arm(g_ptr_array_index(g->members, k));
                tell(g_ptr_array_index(g->members, k));
        }
}

void checks_set(Checks *c, const char *instance, GPtrArray *configs, bool trusted, const char *const *failing) {
        Group *g = find_group(c, instance);

        g_ptr_array_set_size(c->probes, 0); /* until checks_commit() */
        if (!configs || configs->len == 0) {
                if (g)
                        g_ptr_array_remove(c->groups, g);
                return;
        }
        if (!g) {
                g = g_new0(Group, 1);
                g->instance = g_strdup(instance);
                g->configs = g_ptr_array_ref(configs);
                g->members = g_ptr_array_new_with_free_func(check_free);
                g_ptr_array_add(c->groups, g);
        }
        group_set(c, g, configs, trusted, failing);
}

static void set_text(GKeyFile *f, const char *group, const char *key, const char *value) {
        if (value)
                g_key_file_set_string(f, group, key, value);
}

static void describe_probe(GKeyFile *f, guint number, const CheckConfig *config) {
        g_autofree char *group = g_strdup_printf("%u", number);

        g_key_file_set_string(f, group, CHECKER_KEY_TYPE, check_type_to_string(config->type));
        g_key_file_set_uint64(f, group, CHECKER_KEY_INTERVAL, config->interval_usec);
        g_key_file_set_uint64(f, group, CHECKER_KEY_TIMEOUT, config->timeout_usec);
        if (config->command)
                g_key_file_set_string_list(f, group, CHECKER_KEY_ARGV, (const char *const *) config->command,
                                           g_strv_length(config->command));
        if (config->type == CHECK_TYPE_HTTP) {
                g_key_file_set_string(f, group, CHECKER_KEY_METHOD, config->method);
                g_key_file_set_string(f, group, CHECKER_KEY_EXPECT_STATUS, config->expect_status);
                g_key_file_set_boolean(f, group, CHECKER_KEY_VERIFY_TLS, config->verify_tls);
                g_key_file_set_boolean(f, group, CHECKER_KEY_FOLLOW_REDIRECTS, config->follow_redirects);
        }
        set_text(f, group, CHECKER_KEY_URL, config->url);
        set_text(f, group, CHECKER_KEY_EXPECT, config->expect);
        set_text(f, group, CHECKER_KEY_CA_FILE, config->ca_file);
        set_text(f, group, CHECKER_KEY_UNIX_SOCKET, config->unix_socket);
        set_text(f, group, CHECKER_KEY_ADDRESS, config->address);
}

static gint compare_text(gconstpointer a, gconstpointer b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

GPtrArray *checks_units(const Checks *c) {
        GPtrArray *units = g_ptr_array_new_with_free_func(g_free);

        for (guint k = 0; k < c->groups->len; k++) {
                const Group *g = g_ptr_array_index(c->groups, k);

                for (guint o = 0; o < g->members->len; o++) {
                        const CheckConfig *config = ((Check *) g_ptr_array_index(g->members, o))->config;

                        if (config->type == CHECK_TYPE_UNIT && !g_ptr_array_find_with_equal_func(units, config->unit, g_str_equal, NULL))
                                g_ptr_array_add(units, g_strdup(config->unit));
                }
        }
        g_ptr_array_sort(units, compare_text);
        return units;
}

/* Who is new hears what others have been told; what nobody asks for any more is not kept up to date. */
static void commit_units(Checks *c) {
        g_autoptr(GPtrArray) units = checks_units(c);
        GHashTableIter iter;
        gpointer name;

        g_hash_table_iter_init(&iter, c->units);
        while (g_hash_table_iter_next(&iter, &name, NULL))
                if (!g_ptr_array_find_with_equal_func(units, name, g_str_equal, NULL))
                        g_hash_table_iter_remove(&iter);
        for (guint k = 0; k < c->groups->len; k++) {
                const Group *g = g_ptr_array_index(c->groups, k);

                for (guint o = 0; o < g->members->len; o++) {
                        Check *member = g_ptr_array_index(g->members, o);
                        const char *state = member->config->type == CHECK_TYPE_UNIT ? g_hash_table_lookup(c->units, member->config->unit) : NULL;

                        if (state)
                                set_unit_fact(member, state);
                }
        }
}

void checks_commit(Checks *c) {
        g_autoptr(GKeyFile) f = g_key_file_new();
        g_autofree char *text = NULL;

        g_ptr_array_set_size(c->probes, 0);
        for (guint k = 0; k < c->groups->len; k++) {
                const Group *g = g_ptr_array_index(c->groups, k);

                for (guint o = 0; o < g->members->len; o++) {
                        Check *member = g_ptr_array_index(g->members, o);

                        if (!is_probe(member))
                                continue;
                        if (c->probes->len == CHECKER_PROBES_MAX) {
                                log_error("%s: check %s is not made: it is one more than the %i that there may be in all", g->instance,
                                          member->config->name, CHECKER_PROBES_MAX);
                                continue;
                        }
                        describe_probe(f, c->probes->len, member->config);
                        g_ptr_array_add(c->probes, member);
                }
        }
        text = c->probes->len > 0 ? g_key_file_to_data(f, NULL, NULL) : NULL;
        checker_set_probes(c->checker, text, c->probes->len);
        /* a process that has the very same probes goes on, though they may be another instance's now */
        for (guint k = 0; checker_runs(c->checker) && k < c->probes->len; k++)
                if (!((Check *) g_ptr_array_index(c->probes, k))->probed)
                        begin_patience(g_ptr_array_index(c->probes, k));
        commit_units(c);
}

void checks_on_link(Checks *c, const char *interface, bool up) {
        for (guint k = 0; k < c->groups->len; k++) {
                const Group *g = g_ptr_array_index(c->groups, k);

                for (guint o = 0; o < g->members->len; o++) {
                        Check *member = g_ptr_array_index(g->members, o);

                        if (member->config->type == CHECK_TYPE_LINK && g_str_equal(member->config->interface, interface))
                                set_fact(member, up ? FACT_GOOD : FACT_BAD, up ? "link up" : "link down");
                }
        }
}

void checks_on_unit(Checks *c, const char *unit, const char *active_state) {
        if (active_state)
                g_hash_table_insert(c->units, g_strdup(unit), g_strdup(active_state));
        else
                g_hash_table_remove(c->units, unit);
        for (guint k = 0; k < c->groups->len; k++) {
                const Group *g = g_ptr_array_index(c->groups, k);

                for (guint o = 0; o < g->members->len; o++) {
                        Check *member = g_ptr_array_index(g->members, o);

                        if (member->config->type == CHECK_TYPE_UNIT && g_str_equal(member->config->unit, unit))
                                set_unit_fact(member, active_state);
                }
        }
}

void checks_statistics(const Checks *c, const char *instance, ChecksStatistics *ret) {
        const Group *g = find_group(c, instance);

        *ret = g ? g->statistics : (ChecksStatistics) { 0 };
}

uint64_t checks_n_checker_starts(const Checks *c) {
        return checker_n_starts(c->checker);
}
