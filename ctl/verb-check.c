/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>

#include "config-load.h"
#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/json.h"
#include "ctl/output.h"

/* vipctl check: what vipd --check says, of the files here; the daemon plays no part in it. */

static void add_json(Json *j, const ConfigDiagnostic *d) {
        json_begin(j, NULL, '{');
        json_string(j, "severity", d->error ? "error" : "warning");
        json_string(j, "instance", d->instance);
        json_string(j, "file", d->file);
        if (d->line > 0)
                json_number(j, "line", d->line);
        else
                json_null(j, "line");
        json_string(j, "message", d->sentence);
        json_end(j, '}');
}

static char *diagnostics_json(const Ctl *c, const ConfigSet *set) {
        Json j;

        json_init(&j, c->json == JSON_PRETTY);
        json_begin(&j, NULL, '[');
        for (guint k = 0; k < set->diagnostics->len; k++)
                add_json(&j, g_ptr_array_index(set->diagnostics, k));
        json_end(&j, ']');
        return json_steal(&j);
}

static char *diagnostics_text(const ConfigSet *set) {
        GString *out = g_string_new(NULL);

        for (guint k = 0; k < set->diagnostics->len; k++) {
                g_autofree char *text = config_diagnostic_format(g_ptr_array_index(set->diagnostics, k));

                g_string_append_printf(out, "%s\n", text);
        }
        return g_string_free(out, FALSE);
}

CtlExit verb_check(Ctl *c) {
        const char *only[] = { c->arguments[0], NULL };
        g_autoptr(ConfigSet) set = NULL;
        g_autofree char *text = NULL;
        CtlExit code;

        /* of the system's directories each may be missing; one that was named was meant */
        if (only[0] && !g_file_test(only[0], G_FILE_TEST_IS_DIR)) {
                client_complain("\"%s\" is no directory; check takes the one with the *.vip files", only[0]);
                return CTL_FAILED;
        }
        set = config_load_for(config_daemon_user(only[0]), only[0] ? only : NULL, g_getenv("CREDENTIALS_DIRECTORY"));
        text = c->json != JSON_OFF ? diagnostics_json(c, set) : diagnostics_text(set);
        code = output_page(c, text);
        return config_set_n_errors(set) > 0 ? CTL_FAILED : code;
}
