/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/output.h"
#include "ctl/statistics.h"
#include "ctl/view.h"

/* vipctl metrics: everything that is a number, as OpenMetrics text. Gauges and counters alone, so that what reads only
 * Prometheus' older format, as node_exporter's textfile collector does, takes it too. A vipd that does not run is a
 * number: vipd_up 0. */

typedef struct Metrics {
        GString *out;
        const GPtrArray *views;
        GPtrArray *statistics; /* of each view: GPtrArray of Statistic */
} Metrics;

static void append_label(GString *out, const char *value) {
        for (const char *p = value; *p; p++)
                if (*p == '\n')
                        g_string_append(out, "\\n");
                else {
                        if (*p == '"' || *p == '\\')
                                g_string_append_c(out, '\\');
                        g_string_append_c(out, *p);
                }
}

static void family(Metrics *m, const char *name, const char *type, const char *help) {
        g_string_append_printf(m->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A sample with its labels, the instance first; label NULL: no further one. */
static void sample(Metrics *m, const char *name, const View *v, const char *label, const char *value, uint64_t number) {
        g_string_append_printf(m->out, "%s{instance=\"", name);
        append_label(m->out, v->name);
        if (label) {
                g_string_append_printf(m->out, "\",%s=\"", label);
                append_label(m->out, value);
        }
        g_string_append_printf(m->out, "\"} %" PRIu64 "\n", number);
}

static void add_states(Metrics *m) {
        static const char *const states[] = { "init", "backup", "master" };

        family(m, "vipd_state", "gauge", "1 for the state the instance is in.");
        for (guint k = 0; k < m->views->len; k++) {
                const View *v = g_ptr_array_index(m->views, k);

                for (size_t n = 0; n < G_N_ELEMENTS(states); n++)
                        sample(m, "vipd_state", v, "state", states[n], g_str_equal(v->state, states[n]));
        }
}

static void add_timestamps(Metrics *m) {
        family(m, "vipd_state_change_timestamp_seconds", "gauge", "When the state changed last; 0: not since the start.");
        for (guint k = 0; k < m->views->len; k++) {
                const View *v = g_ptr_array_index(m->views, k);

                g_string_append(m->out, "vipd_state_change_timestamp_seconds{instance=\"");
                append_label(m->out, v->name);
                g_string_append_printf(m->out, "\"} %" PRIu64 ".%06" PRIu64 "\n", v->since_realtime_usec / 1000000,
                                       v->since_realtime_usec % 1000000);
        }
}

static uint64_t is_enabled(const View *v) {
        return v->enabled;
}

static uint64_t demotion(const View *v) {
        return v->demotion;
}

static uint64_t advskew(const View *v) {
        return v->advskew;
}

static uint64_t knows_master(const View *v) {
        return *v->master != '\0';
}

static uint64_t n_peers(const View *v) {
        return v->peers->len;
}

static uint64_t n_failed_units(const View *v) {
        return v->failed_units->len;
}

static uint64_t has_conflict(const View *v) {
        return *v->conflict != '\0';
}

static uint64_t has_problem(const View *v) {
        return *v->problem != '\0';
}

static void add_gauges(Metrics *m) {
        static const struct {
                const char *name, *help;
                uint64_t (*value)(const View *v);
        } gauges[] = {
                { "vipd_enabled", "Whether the instance takes part.", is_enabled },
                { "vipd_advskew", "AdvSkew= as configured.", advskew },
                { "vipd_demotion", "The demotion counter, 0 when all is well.", demotion },
                { "vipd_master_known", "Whether a master is heard, or this host is it.", knows_master },
                { "vipd_peers", "Other hosts whose adverts were heard.", n_peers },
                { "vipd_failed_units", "Units of the role that are not as they should be.", n_failed_units },
                { "vipd_conflict", "Whether somebody else answers for an address.", has_conflict },
                { "vipd_configuration_problem", "Whether a newer configuration is not in force.", has_problem },
        };

        for (size_t n = 0; n < G_N_ELEMENTS(gauges); n++) {
                family(m, gauges[n].name, "gauge", gauges[n].help);
                for (guint k = 0; k < m->views->len; k++) {
                        const View *v = g_ptr_array_index(m->views, k);

                        sample(m, gauges[n].name, v, NULL, NULL, gauges[n].value(v));
                }
        }
}

static void add_checks(Metrics *m) {
        static const char *const results[] = { "passing", "failing", "unknown" };

        family(m, "vipd_check", "gauge", "1 for the result of the check.");
        for (guint k = 0; k < m->views->len; k++) {
                const View *v = g_ptr_array_index(m->views, k);

                for (guint n = 0; n < v->checks->len; n++) {
                        const ViewCheck *c = g_ptr_array_index(v->checks, n);

                        for (size_t r = 0; r < G_N_ELEMENTS(results); r++) {
                                g_string_append(m->out, "vipd_check{instance=\"");
                                append_label(m->out, v->name);
                                g_string_append(m->out, "\",check=\"");
                                append_label(m->out, c->name);
                                g_string_append_printf(m->out, "\",result=\"%s\"} %d\n", results[r], g_str_equal(c->result, results[r]));
                        }
                }
        }
}

static const Statistic *find_statistic(const GPtrArray *statistics, const char *name) {
        for (guint k = 0; k < statistics->len; k++) {
                const Statistic *s = g_ptr_array_index(statistics, k);

                if (g_str_equal(s->name, name))
                        return s;
        }
        return NULL;
}

static void add_rejected(Metrics *m) {
        family(m, "vipd_adverts_rejected", "counter", "Packets that were not believed, by cause.");
        for (guint k = 0; k < m->views->len; k++) {
                const GPtrArray *statistics = g_ptr_array_index(m->statistics, k);

                for (guint n = 0; n < statistics->len; n++) {
                        const Statistic *s = g_ptr_array_index(statistics, n);

                        if (g_str_has_prefix(s->name, "rejected-"))
                                sample(m, "vipd_adverts_rejected_total", g_ptr_array_index(m->views, k), "cause",
                                       s->name + strlen("rejected-"), s->value);
                }
        }
}

/* Every other counter by its own name, those of a newer daemon, too. All instances have the same. */
static void add_counters(Metrics *m) {
        const GPtrArray *first = m->statistics->len > 0 ? g_ptr_array_index(m->statistics, 0) : NULL;

        for (guint n = 0; first && n < first->len; n++) {
                const Statistic *s = g_ptr_array_index(first, n);
                g_autofree char *name = NULL, *total = NULL, *help = NULL;

                if (g_str_has_prefix(s->name, "rejected-"))
                        continue;
                name = g_strdelimit(g_strconcat("vipd_", s->name, NULL), "-", '_');
                total = g_strconcat(name, "_total", NULL);
                help = g_strdup_printf("The statistic %s of vipd.", s->name);
                family(m, name, "counter", help);
                for (guint k = 0; k < m->views->len; k++) {
                        const Statistic *own = find_statistic(g_ptr_array_index(m->statistics, k), s->name);

                        if (own)
                                sample(m, total, g_ptr_array_index(m->views, k), NULL, NULL, own->value);
                }
        }
}

static void add_up(Metrics *m, bool up) {
        family(m, "vipd_up", "gauge", "Whether vipd runs and answers.");
        g_string_append_printf(m->out, "vipd_up %d\n", up);
}

static void free_statistics(void *data) {
        g_ptr_array_unref(data);
}

static CtlExit collect(const Ctl *c, Metrics *m) {
        for (guint k = 0; k < m->views->len; k++) {
                const View *v = g_ptr_array_index(m->views, k);
                GPtrArray *statistics = NULL;
                CtlExit code = statistics_load(c, v->path, v->name, &statistics);

                if (code != CTL_DONE)
                        return code;
                g_ptr_array_add(m->statistics, statistics);
        }
        return CTL_DONE;
}

/* Whether vipd is there: who asks for numbers wants that one, too. A bus that cannot be asked is an error. */
static CtlExit ask_up(const Ctl *c, bool *ret) {
        g_autoptr(sd_bus_message) call = NULL;
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        int r = client_new_call(c, NULL, "org.freedesktop.DBus.Peer", "Ping", &call);

        if (r >= 0)
                r = sd_bus_call(c->bus, call, CLIENT_READ_USEC, &error, NULL);
        *ret = r >= 0;
        return r >= 0 || client_means_no_daemon(&error) ? CTL_DONE : client_explain(c, &error, r, NULL);
}

CtlExit verb_metrics(Ctl *c) {
        g_autoptr(GPtrArray) views = NULL, statistics = g_ptr_array_new_with_free_func(free_statistics);
        g_autoptr(GString) out = g_string_new(NULL);
        Metrics m = { .out = out, .statistics = statistics };
        CtlExit code;
        bool up;

        code = ask_up(c, &up);
        if (code == CTL_DONE && up)
                code = view_load(c, &views);
        m.views = views;
        if (code == CTL_DONE && up)
                code = collect(c, &m);
        if (code != CTL_DONE)
                return code;
        add_up(&m, up);
        if (up) {
                add_states(&m);
                add_timestamps(&m);
                add_gauges(&m);
                add_checks(&m);
                add_rejected(&m);
                add_counters(&m);
        }
        g_string_append(out, "# EOF\n");
        return output_write(out->str);
}
