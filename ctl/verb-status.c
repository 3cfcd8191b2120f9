/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <syslog.h>
#include <systemd/sd-bus.h>

#include "ctl/ctl.h"
#include "ctl/journal.h"
#include "ctl/kernel.h"
#include "ctl/output.h"
#include "ctl/terminal.h"
#include "ctl/text.h"
#include "ctl/view.h"
#include "ctl/when.h"
#include "ctl/words.h"
#include "dbus/names.h"

/* vipctl status: all about an instance on one screen: the bus' word, the kernel's, the journal's, and what to do. */

#define JOURNAL_LINES 10
#define LABEL_COLUMNS 11 /* "Addresses: " ends there */

typedef struct Status {
        const Ctl *ctl;
        GPtrArray *kernel; /* KernelAddress; NULL: unknown, another host's, or another network namespace's */
        bool has_daemon_uid;
        uid_t daemon_uid;
        unsigned columns;
        GString *out;
} Status;

static void status_clear(Status *s) {
        if (s->kernel)
                g_ptr_array_unref(s->kernel);
        if (s->out)
                (void) g_string_free(s->out, TRUE);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Status, status_clear)

/* One line "Label: text", broken where the terminal ends. */
static void line(Status *s, const char *label, Color color, const char *text) {
        g_autofree char *clean = text_clean(text);

        g_string_append_printf(s->out, "%*s%s%s", LABEL_COLUMNS - 2, label, *label ? ": " : "  ", terminal_color(color));
        text_wrap(s->out, clean, LABEL_COLUMNS, s->columns);
        g_string_append_printf(s->out, "%s\n", terminal_color_end(color));
}

static void add_title(Status *s, const View *v) {
        g_autofree char *description = text_clean(v->description);
        Color color = words_color(v);

        g_string_append_printf(s->out, "%s%s%s %s%s%s\n", terminal_color(color), terminal_dot(), terminal_color_end(color), v->name,
                               *description ? " - " : "", description);
}

static void add_state(Status *s, const View *v) {
        g_autofree char *when = when_absolute(v->since_realtime_usec), *ago = when_ago(v->since_realtime_usec);
        g_autofree char *since = v->since_realtime_usec > 0 ? g_strdup_printf(" since %s; %s", when, ago) : NULL;
        g_autofree char *text = g_strconcat(v->state, v->enabled ? "" : " (disabled)", since, NULL);
        g_autofree char *reason = words_why(v);

        line(s, "State", words_color(v), text);
        line(s, "Reason", COLOR_NONE, reason);
}

static void add_master(Status *s, const View *v) {
        g_autofree char *text = NULL;

        if (g_str_equal(v->state, "master"))
                text = g_strdup_printf("%s (this host)", *v->master ? v->master : "-");
        else
                text = g_strdup(*v->master ? v->master : "unknown");
        line(s, "Master", COLOR_NONE, text);
}

static void add_election(Status *s, const View *v) {
        g_autoptr(GString) text = g_string_new(NULL);

        g_string_append(text, v->interface);
        if (*v->device && !g_str_equal(v->device, v->interface))
                g_string_append_printf(text, ", virtual MAC on %s", v->device);
        g_string_append_printf(text, ", VHID %u, AdvBase %u, AdvSkew %u", v->vhid, v->advbase, v->advskew);
        if (v->demotion > 0)
                g_string_append_printf(text, ", demoted by %" PRIu32, v->demotion);
        if (v->preempt)
                g_string_append(text, ", preempts");
        if (*v->sync_group)
                g_string_append_printf(text, ", sync group %s", v->sync_group);
        line(s, "Interface", COLOR_NONE, text->str);
}

static void add_addresses(Status *s, const View *v) {
        bool master = g_str_equal(v->state, "master");

        for (guint k = 0; k < v->addresses->len; k++) {
                const char *address = g_ptr_array_index(v->addresses, k);
                const KernelAddress *a = s->kernel ? kernel_find(s->kernel, address) : NULL;
                g_autofree char *text = NULL;
                Color color = COLOR_NONE;

                if (!s->kernel)
                        text = g_strdup(address);
                else if (a) {
                        text = g_strdup_printf("%s present on %s%s", a->address, a->interface, master ? "" : ", without being master");
                        color = master ? COLOR_GOOD : COLOR_BAD;
                } else {
                        text = g_strdup_printf("%s missing%s", address, master ? "" : ", as it should be");
                        color = master ? COLOR_BAD : COLOR_NONE;
                }
                line(s, k == 0 ? "Addresses" : "", color, text);
        }
}

static void add_peers(Status *s, const View *v) {
        uint64_t now = when_boottime_usec();

        for (guint k = 0; k < v->peers->len; k++) {
                const ViewPeer *p = g_ptr_array_index(v->peers, k);
                g_autofree char *ago = when_span(now > p->heard_usec ? now - p->heard_usec : 0);
                bool known = client_is_local(s->ctl); /* another host's clock says nothing here */
                bool left = g_str_equal(p->role, "bowed-out");
                g_autofree char *skew = left && p->advskew == UINT8_MAX ? g_strdup("") : g_strdup_printf(", AdvSkew %u", p->advskew);
                g_autofree char *text = g_strconcat(p->address, " ", left ? "bowed out" : p->role, skew, known ? ", heard " : NULL, ago, " ago", NULL);

                line(s, k == 0 ? "Peers" : "", COLOR_NONE, text);
        }
}

static void add_checks(Status *s, const View *v) {
        for (guint k = 0; k < v->checks->len; k++) {
                const ViewCheck *c = g_ptr_array_index(v->checks, k);
                g_autofree char *text = g_strconcat(c->name, " ", c->result, *c->output ? ": " : NULL, c->output, NULL);

                line(s, k == 0 ? "Checks" : "", g_str_equal(c->result, "failing") ? COLOR_BAD : COLOR_NONE, text);
        }
        for (guint k = 0; k < v->failed_units->len; k++) {
                const ViewUnit *u = g_ptr_array_index(v->failed_units, k);
                g_autofree char *text = g_strconcat(u->name, " ", u->result, NULL);

                line(s, k == 0 ? "Hooks" : "", COLOR_BAD, text);
        }
}

/* journal_tail() with its outcome as a sentence: NULL, there are lines. */
static const char *read_journal(const Status *s, const View *v, GPtrArray **ret) {
        int r = s->has_daemon_uid ? journal_tail(v->name, s->daemon_uid, JOURNAL_LINES, ret) : -ENOENT;

        if (r == -EACCES)
                return "You may not read the journal: be root, or in the group systemd-journal or adm.";
        if (r == -ENOENT)
                return "There is no journal to read here.";
        if (r < 0)
                return "The journal cannot be read.";
        return (*ret)->len > 0 ? NULL : "The journal has nothing about this instance.";
}

static void add_journal(Status *s, const View *v) {
        g_autoptr(GPtrArray) lines = NULL;
        const char *nothing = read_journal(s, v, &lines);

        g_string_append_c(s->out, '\n');
        if (nothing) {
                g_string_append(s->out, terminal_color(COLOR_DIM));
                text_wrap(s->out, nothing, 0, s->columns);
                g_string_append_printf(s->out, "%s\n", terminal_color_end(COLOR_DIM));
        }
        for (guint k = 0; !nothing && k < lines->len; k++) {
                const JournalLine *l = g_ptr_array_index(lines, k);
                g_autofree char *when = when_log(l->realtime_usec), *clean = text_clean(l->message);
                g_autofree char *text = g_strdup_printf("%s %s", when, clean);
                g_autofree char *shown = s->columns > 0 ? text_ellipsize(text, s->columns) : g_strdup(text);
                Color color = l->priority <= LOG_ERR ? COLOR_BAD : l->priority == LOG_WARNING ? COLOR_WARNING : COLOR_NONE;

                g_string_append_printf(s->out, "%s%s%s\n", terminal_color(color), shown, terminal_color_end(color));
        }
}

static void add_screen(Status *s, const View *v) {
        g_autofree char *sentence = words_advice(v, s->kernel);

        add_title(s, v);
        add_state(s, v);
        add_master(s, v);
        add_election(s, v);
        add_addresses(s, v);
        add_peers(s, v);
        add_checks(s, v);
        if (*v->conflict)
                line(s, "Conflict", COLOR_BAD, v->conflict);
        if (*v->problem)
                line(s, "Problem", COLOR_BAD, v->problem);
        if (sentence)
                line(s, "Advice", COLOR_WARNING, sentence);
        if (client_is_local(s->ctl))
                add_journal(s, v);
}

static void json_present(const Status *s, const View *v, Json *j) {
        if (!s->kernel) {
                json_null(j, "addresses_present");
                return;
        }
        json_begin(j, "addresses_present", '[');
        for (guint k = 0; k < v->addresses->len; k++) {
                const KernelAddress *a = kernel_find(s->kernel, g_ptr_array_index(v->addresses, k));

                if (!a)
                        continue;
                json_begin(j, NULL, '{');
                json_string(j, "address", a->address);
                json_string(j, "interface", a->interface);
                json_end(j, '}');
        }
        json_end(j, ']');
}

static void json_journal(const Status *s, const View *v, Json *j) {
        g_autoptr(GPtrArray) lines = NULL;

        if (!client_is_local(s->ctl) || (read_journal(s, v, &lines) && !lines)) {
                json_null(j, "journal");
                return;
        }
        json_begin(j, "journal", '[');
        for (guint k = 0; k < lines->len; k++) {
                const JournalLine *l = g_ptr_array_index(lines, k);

                json_begin(j, NULL, '{');
                json_number(j, "realtime_usec", l->realtime_usec);
                json_number(j, "priority", (uint64_t) l->priority);
                json_string(j, "message", l->message);
                json_end(j, '}');
        }
        json_end(j, ']');
}

static void add_object(const Status *s, const View *v, Json *j) {
        g_autofree char *sentence = words_advice(v, s->kernel);

        json_begin(j, NULL, '{');
        view_json(v, j);
        json_present(s, v, j);
        json_string(j, "advice", sentence);
        json_journal(s, v, j);
        json_end(j, '}');
}

/* Whose lines in the journal count. */
static void find_daemon_uid(Status *s) {
        sd_bus_creds *creds = NULL;

        if (sd_bus_get_name_creds(s->ctl->bus, VIPD_BUS_NAME, SD_BUS_CREDS_EUID, &creds) >= 0)
                s->has_daemon_uid = sd_bus_creds_get_euid(creds, &s->daemon_uid) >= 0;
        sd_bus_creds_unref(creds);
}

static void show(Status *s, const GPtrArray *views) {
        g_autofree char *text = NULL;
        Json j;

        if (s->ctl->json == JSON_OFF) {
                for (guint k = 0; k < views->len; k++) {
                        if (k > 0)
                                g_string_append_c(s->out, '\n');
                        add_screen(s, g_ptr_array_index(views, k));
                }
                if (views->len == 0)
                        g_string_append(s->out, "vipd runs, and has no instance: /etc/vipd/NAME.vip makes one, see name.vip(5).\n");
                return;
        }
        json_init(&j, s->ctl->json == JSON_PRETTY);
        json_begin(&j, NULL, '[');
        for (guint k = 0; k < views->len; k++)
                add_object(s, g_ptr_array_index(views, k), &j);
        json_end(&j, ']');
        text = json_steal(&j);
        g_string_append(s->out, text);
}

CtlExit verb_status(Ctl *c) {
        g_auto(Status) s = { .ctl = c, .columns = terminal_columns(), .out = g_string_new(NULL) };
        g_autoptr(GPtrArray) views = NULL, chosen = NULL;
        CtlExit code = view_load(c, &views), written;

        if (code != CTL_DONE)
                return code;
        code = view_choose(views, c->arguments, &chosen);
        if (code != CTL_DONE && chosen->len == 0)
                return code;
        if (client_is_local(c)) {
                s.kernel = kernel_addresses();
                find_daemon_uid(&s);
        }
        show(&s, chosen);
        written = output_page(c, s.out->str);
        return code != CTL_DONE ? code : written;
}
