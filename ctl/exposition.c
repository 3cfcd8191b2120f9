/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/exposition.h"

#include <inttypes.h>
#include <string.h>

/* Text that Prometheus and others read. Knows the formats, and nothing of what is counted. OpenMetrics (1.0) names the family of a counter
 * without _total, and knows units and an end; Prometheus's older text format (0.0.4), the only one of node_exporter's textfile collector, takes
 * such a counter for one without a type, so there the family has the sample's name. Neither has a time here: the reader knows when it reads. */

static void append_escaped(GString *out, const char *text, bool quotes) {
        for (const char *p = text; *p; p++)
                if (*p == '\n')
                        g_string_append(out, "\\n");
                else {
                        if (*p == '\\' || (quotes && *p == '"'))
                                g_string_append_c(out, '\\');
                        g_string_append_c(out, *p);
                }
}

void exposition_family(Exposition *e, const char *name, ExpositionType type, const char *unit, const char *help) {
        static const char *const types[] = {
                [EXPOSITION_GAUGE] = "gauge",
                [EXPOSITION_COUNTER] = "counter",
                [EXPOSITION_HISTOGRAM] = "histogram",
        };
        const char *suffix = type == EXPOSITION_COUNTER && e->format == METRICS_PROMETHEUS ? "_total" : "";

        g_string_append_printf(e->out, "# HELP %s%s ", name, suffix);
        append_escaped(e->out, help, e->format == METRICS_OPENMETRICS);
        g_string_append_printf(e->out, "\n# TYPE %s%s %s\n", name, suffix, types[type]);
        if (unit && e->format == METRICS_OPENMETRICS)
                g_string_append_printf(e->out, "# UNIT %s %s\n", name, unit);
}

static void append_name(Exposition *e, const char *name, const char *suffix, const ExpositionLabel *labels) {
        g_string_append_printf(e->out, "%s%s", name, suffix);
        for (const ExpositionLabel *l = labels; l->name; l++) {
                g_string_append_printf(e->out, "%c%s=\"", l == labels ? '{' : ',', l->name);
                append_escaped(e->out, l->value, true);
                g_string_append_c(e->out, '"');
        }
        if (labels->name)
                g_string_append_c(e->out, '}');
}

void exposition_sample(Exposition *e, const char *name, const char *suffix, const ExpositionLabel *labels, uint64_t value) {
        append_name(e, name, suffix, labels);
        g_string_append_printf(e->out, " %" PRIu64 "\n", value);
}

void exposition_sample_usec(Exposition *e, const char *name, const char *suffix, const ExpositionLabel *labels, uint64_t usec) {
        g_autofree char *seconds = exposition_format_usec(usec);

        append_name(e, name, suffix, labels);
        g_string_append_printf(e->out, " %s\n", seconds);
}

void exposition_end(Exposition *e) {
        if (e->format == METRICS_OPENMETRICS)
                g_string_append(e->out, "# EOF\n");
}

char *exposition_format_usec(uint64_t usec) {
        char *text = g_strdup_printf("%" PRIu64 ".%06" PRIu64, usec / 1000000, usec % 1000000);

        for (char *p = text + strlen(text) - 1; *p == '0' && p[-1] != '.'; p--)
                *p = '\0';
        return text;
}
