/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/ctl.h"
#include "ctl/kernel.h"
#include "ctl/output.h"
#include "ctl/table.h"
#include "ctl/view.h"
#include "ctl/when.h"
#include "ctl/words.h"

/* vipctl list: one row per instance. */

static const TableColumn columns[] = {
        { .header = "NAME" },
        { .header = "STATE" },
        { .header = "REASON", .width_min = 8, .expendable = 2 },
        { .header = "SINCE", .expendable = 3 },
        { .header = "INTERFACE", .width_min = 9, .expendable = 5 },
        { .header = "ADDRESSES", .width_min = 14, .expendable = 1 },
        { .header = "MASTER", .width_min = 11, .expendable = 4 },
        { .header = "NOTE", .width_min = 12 },
};

static void add_row(Table *t, const View *v, const GPtrArray *kernel) {
        g_autofree char *since = v->since_realtime_usec > 0 ? when_ago(v->since_realtime_usec) : NULL, *note = words_note(v, kernel);
        g_autofree char *addresses = NULL;

        g_ptr_array_add(v->addresses, NULL);
        addresses = g_strjoinv(" ", (char **) v->addresses->pdata);
        g_ptr_array_set_size(v->addresses, (int) v->addresses->len - 1);
        table_cell(t, v->name, COLOR_NONE);
        table_cell(t, v->state, words_color(v));
        table_cell(t, v->reason, COLOR_NONE);
        table_cell(t, since ?: "-", COLOR_NONE);
        table_cell(t, v->interface, COLOR_NONE);
        table_cell(t, addresses, COLOR_NONE);
        table_cell(t, *v->master ? v->master : "-", COLOR_NONE);
        table_cell(t, note ?: "", COLOR_WARNING);
}

static CtlExit list_json(const Ctl *c, const GPtrArray *views) {
        g_autofree char *text = NULL;
        Json j;

        json_init(&j, c->json == JSON_PRETTY);
        json_begin(&j, NULL, '[');
        for (guint k = 0; k < views->len; k++) {
                json_begin(&j, NULL, '{');
                view_json(g_ptr_array_index(views, k), &j);
                json_end(&j, '}');
        }
        json_end(&j, ']');
        text = json_steal(&j);
        return output_page(c, text);
}

CtlExit verb_list(Ctl *c) {
        g_autoptr(GString) out = g_string_new(NULL);
        g_autoptr(GPtrArray) views = NULL, kernel = client_is_local(c) ? kernel_addresses() : NULL;
        g_autoptr(Table) t = table_new(columns, G_N_ELEMENTS(columns));
        CtlExit code = view_load(c, &views);

        if (code != CTL_DONE)
                return code;
        if (c->json != JSON_OFF)
                return list_json(c, views);
        for (guint k = 0; k < views->len; k++)
                add_row(t, g_ptr_array_index(views, k), kernel);
        if (views->len > 0)
                table_format(t, out, terminal_columns(), c->legend);
        if (c->legend)
                g_string_append_printf(out, "%s%u instance%s.\n", views->len > 0 ? "\n" : "", views->len, views->len == 1 ? "" : "s");
        return output_page(c, out->str);
}
