/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/exposition.h"
#include "ctl/output.h"
#include "ctl/statistics.h"
#include "ctl/view.h"

/* vipctl metrics: everything that is a number, in an order that stays. A vipd that does not run, or does not answer, is a number, too: vipd_up 0,
 * and then there is no other. The label is "name", as "instance" is Prometheus's own for where it read something. */

typedef struct Metrics {
        Exposition e;
        const GPtrArray *views;
        GPtrArray *statistics; /* of each view: GPtrArray of Statistic */
} Metrics;

/* A sample of an instance; label NULL: none but its name. */
static void sample(Metrics *m, const char *name, const char *suffix, const View *v, const char *label, const char *value, uint64_t number) {
        exposition_sample(&m->e, name, suffix, (ExpositionLabel[]) { { "name", v->name }, { label, value }, { NULL } }, number);
}

static void add_states(Metrics *m) {
        static const char *const states[] = { "init", "backup", "master" };

        exposition_family(&m->e, "vipd_state", EXPOSITION_GAUGE, NULL, "1 for the state the instance is in.");
        for (guint k = 0; k < m->views->len; k++) {
                const View *v = g_ptr_array_index(m->views, k);

                for (size_t n = 0; n < G_N_ELEMENTS(states); n++)
                        sample(m, "vipd_state", "", v, "state", states[n], g_str_equal(v->state, states[n]));
        }
}

static void add_timestamps(Metrics *m) {
        static const char name[] = "vipd_state_change_timestamp_seconds";

        exposition_family(&m->e, name, EXPOSITION_GAUGE, "seconds", "When the state changed last; 0: not since the start.");
        for (guint k = 0; k < m->views->len; k++) {
                const View *v = g_ptr_array_index(m->views, k);

                exposition_sample_usec(&m->e, name, "", (ExpositionLabel[]) { { "name", v->name }, { NULL } }, v->since_realtime_usec);
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
                exposition_family(&m->e, gauges[n].name, EXPOSITION_GAUGE, NULL, gauges[n].help);
                for (guint k = 0; k < m->views->len; k++) {
                        const View *v = g_ptr_array_index(m->views, k);

                        sample(m, gauges[n].name, "", v, NULL, NULL, gauges[n].value(v));
                }
        }
}

static void add_checks(Metrics *m) {
        static const char *const results[] = { "passing", "failing", "unknown" };

        exposition_family(&m->e, "vipd_check", EXPOSITION_GAUGE, NULL, "1 for the result of the check.");
        for (guint k = 0; k < m->views->len; k++) {
                const View *v = g_ptr_array_index(m->views, k);

                for (guint n = 0; n < v->checks->len; n++) {
                        const ViewCheck *c = g_ptr_array_index(v->checks, n);

                        for (size_t r = 0; r < G_N_ELEMENTS(results); r++) {
                                const ExpositionLabel labels[] = { { "name", v->name }, { "check", c->name }, { "result", results[r] }, { NULL } };

                                exposition_sample(&m->e, "vipd_check", "", labels, g_str_equal(c->result, results[r]));
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

/* Statistics that are one family, told apart by what is behind the prefix. */
static const struct {
        const char *prefix, *name, *label, *help;
} groups[] = {
        { "rejected-", "vipd_adverts_rejected", "cause", "Packets that were not believed, by cause." },
        { "transitions-", "vipd_transitions", "reason", "Changes of the state, by reason." },
        { "diagnosed-", "vipd_diagnosed", "cause", "Packets that do not fit and for which a likely cause was found, by cause." },
};

static void add_groups(Metrics *m) {
        for (size_t g = 0; g < G_N_ELEMENTS(groups); g++) {
                exposition_family(&m->e, groups[g].name, EXPOSITION_COUNTER, NULL, groups[g].help);
                for (guint k = 0; k < m->views->len; k++) {
                        const GPtrArray *statistics = g_ptr_array_index(m->statistics, k);

                        for (guint n = 0; n < statistics->len; n++) {
                                const Statistic *s = g_ptr_array_index(statistics, n);

                                if (g_str_has_prefix(s->name, groups[g].prefix))
                                        sample(m, groups[g].name, "_total", g_ptr_array_index(m->views, k), groups[g].label,
                                               s->name + strlen(groups[g].prefix), s->value);
                        }
                }
        }
}

/* takeover-le-1000-usec: 1000 */
static bool is_bucket(const Statistic *s, uint64_t *ret_usec) {
        static const char prefix[] = "takeover-le-";
        char *end;

        if (!g_str_has_prefix(s->name, prefix))
                return false;
        *ret_usec = g_ascii_strtoull(s->name + strlen(prefix), &end, 10);
        return g_str_equal(end, "-usec");
}

static void add_takeovers(Metrics *m) {
        static const char name[] = "vipd_takeover_seconds";

        exposition_family(&m->e, name, EXPOSITION_HISTOGRAM, "seconds",
                          "From the event that decided a takeover until address, advert and announcement were the kernel's.");
        for (guint k = 0; k < m->views->len; k++) {
                const View *v = g_ptr_array_index(m->views, k);
                const GPtrArray *statistics = g_ptr_array_index(m->statistics, k);
                const Statistic *count = find_statistic(statistics, "takeover-count"), *sum = find_statistic(statistics, "takeover-sum-usec");
                const ExpositionLabel labels[] = { { "name", v->name }, { NULL } };
                uint64_t usec;

                if (!count || !sum)
                        continue;
                for (guint n = 0; n < statistics->len; n++) {
                        const Statistic *s = g_ptr_array_index(statistics, n);
                        g_autofree char *le = is_bucket(s, &usec) ? exposition_format_usec(usec) : NULL;

                        if (le)
                                sample(m, name, "_bucket", v, "le", le, s->value);
                }
                sample(m, name, "_bucket", v, "le", "+Inf", count->value);
                exposition_sample(&m->e, name, "_count", labels, count->value);
                exposition_sample_usec(&m->e, name, "_sum", labels, sum->value);
        }
}

/* Whether it is in one of the families above. */
static bool is_told(const Statistic *s) {
        for (size_t g = 0; g < G_N_ELEMENTS(groups); g++)
                if (g_str_has_prefix(s->name, groups[g].prefix))
                        return true;
        /* the first is the sum over its reasons */
        return g_str_equal(s->name, "transitions") || g_str_has_prefix(s->name, "takeover-");
}

static char *describe(const Statistic *s) {
        static const struct {
                const char *name, *help;
        } known[] = {
                { "adverts-sent", "Adverts sent." },
                { "adverts-received", "Adverts received and believed." },
                { "send-errors", "Adverts that could not be sent." },
                { "bow-outs-sent", "Farewells sent, on which another host takes over at once." },
                { "bow-outs-received", "Farewells of masters that were heard." },
                { "announcements", "Rounds of gratuitous ARP and neighbour advertisements." },
                { "lease-renewals", "Renewals of the addresses' lifetime in the kernel." },
                { "addresses-restored", "Times that somebody else had removed an address and it was put back." },
                { "hold-errors", "Times that the kernel refused an address." },
                { "stalls", "Times that it found it had slept past its dead interval." },
                { "check-samples-good", "Probes of health checks that went well." },
                { "check-samples-bad", "Probes of health checks that failed." },
                { "check-transitions", "Health checks that changed their verdict." },
                { "checker-starts", "Starts of vipd-checker, for all instances together." },
                { "conflicts", "Claims of other hosts to an address of ours." },
                { "conflicts-defended", "Answers to such claims." },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(known); k++)
                if (g_str_equal(known[k].name, s->name))
                        return g_strdup(known[k].help);
        return g_strdup_printf("The statistic %s of vipd.", s->name);
}

/* Every other counter by its own name, those of a newer daemon, too. All instances have the same. */
static void add_counters(Metrics *m) {
        const GPtrArray *first = m->statistics->len > 0 ? g_ptr_array_index(m->statistics, 0) : NULL;

        for (guint n = 0; first && n < first->len; n++) {
                const Statistic *s = g_ptr_array_index(first, n);
                g_autofree char *name = NULL, *help = NULL;

                if (is_told(s))
                        continue;
                name = g_strcanon(g_strconcat("vipd_", s->name, NULL), G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS, '_');
                help = describe(s);
                exposition_family(&m->e, name, EXPOSITION_COUNTER, NULL, help);
                for (guint k = 0; k < m->views->len; k++) {
                        const Statistic *own = find_statistic(g_ptr_array_index(m->statistics, k), s->name);

                        if (own)
                                sample(m, name, "_total", g_ptr_array_index(m->views, k), NULL, NULL, own->value);
                }
        }
}

static void add_up(Metrics *m, bool up) {
        exposition_family(&m->e, "vipd_up", EXPOSITION_GAUGE, NULL, "Whether vipd runs and answers.");
        exposition_sample(&m->e, "vipd_up", "", &(ExpositionLabel) { NULL }, up);
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
        CtlExit code;

        if (r >= 0)
                r = sd_bus_call(c->bus, call, CLIENT_READ_USEC, &error, NULL);
        *ret = r >= 0;
        if (r >= 0 || client_means_no_daemon(&error))
                return CTL_DONE;
        code = client_explain(c, &error, r, NULL);
        return client_means_no_answer(&error, r) ? CTL_DONE : code;
}

CtlExit verb_metrics(Ctl *c) {
        g_autoptr(GPtrArray) views = NULL, statistics = g_ptr_array_new_with_free_func(free_statistics);
        g_autoptr(GString) out = g_string_new(NULL);
        Metrics m = { .e = { out, c->format }, .statistics = statistics };
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
                add_groups(&m);
                add_takeovers(&m);
                add_counters(&m);
        }
        exposition_end(&m.e);
        return output_write(out->str);
}
