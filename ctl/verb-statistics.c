/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "ctl/ctl.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "ctl/statistics.h"
#include "ctl/table.h"

/* vipctl statistics: the counters of one instance. */

static const TableColumn columns[] = {
        { .header = "COUNTER", .width_min = 12 },
        { .header = "VALUE", .right = true },
};

static CtlExit statistics_json(const Ctl *c, const GPtrArray *statistics) {
        g_autofree char *text = NULL;
        Json j;

        json_init(&j, c->json == JSON_PRETTY);
        json_begin(&j, NULL, '{');
        for (guint k = 0; k < statistics->len; k++) {
                const Statistic *s = g_ptr_array_index(statistics, k);

                json_number(&j, s->name, s->value);
        }
        json_end(&j, '}');
        text = json_steal(&j);
        return output_page(c, text);
}

CtlExit verb_statistics(Ctl *c) {
        g_autoptr(Table) t = table_new(columns, G_N_ELEMENTS(columns));
        g_autoptr(GString) out = g_string_new(NULL);
        g_autoptr(GPtrArray) statistics = NULL;
        g_autofree char *path = NULL;
        CtlExit code = client_find(c, c->arguments[0], &path, NULL);

        if (code == CTL_DONE)
                code = statistics_load(c, path, c->arguments[0], &statistics);
        if (code != CTL_DONE)
                return code;
        if (c->json != JSON_OFF)
                return statistics_json(c, statistics);
        for (guint k = 0; k < statistics->len; k++) {
                const Statistic *s = g_ptr_array_index(statistics, k);
                g_autofree char *value = g_strdup_printf("%" PRIu64, s->value);

                table_cell(t, s->name, COLOR_NONE);
                table_cell(t, value, COLOR_NONE);
        }
        table_format(t, out, terminal_columns(), c->legend);
        return output_page(c, out->str);
}
