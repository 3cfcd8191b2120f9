/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config-parse.h"
#include "ctl/client.h"
#include "ctl/ctl.h"

/* vipctl: reads the command line, opens the bus where the verb needs it, and does the verb. Speaks to vipd over D-Bus alone. */

#define FOR_USEC_MAX (UINT64_C(86400) * 1000000) /* a day: org.vipd1.Instance.xml, DemoteFor */

enum {
        TAKES_JSON = 1 << 0,
        TAKES_FOR = 1 << 1,
        TAKES_TIMEOUT = 1 << 2,
        TAKES_FORMAT = 1 << 3,
        LOCAL = 1 << 4, /* reads files of this host, not the bus */
};

typedef struct Verb {
        const char *name, *arguments, *help;
        unsigned n_min, n_max, flags;
        CtlExit (*run)(Ctl *c);
} Verb;

static const Verb verbs[] = {
        { "list", "", "One line per instance (the default)", 0, 0, TAKES_JSON, verb_list },
        { "status", "[NAME...]", "All about instances, and what to do", 0, UINT_MAX, TAKES_JSON, verb_status },
        { "monitor", "", "Tell what happens, a line per event", 0, 0, TAKES_JSON, verb_monitor },
        { "demote", "NAME...", "Give the addresses up, stay out a while", 1, UINT_MAX, TAKES_FOR, verb_change },
        { "promote", "NAME...", "Take the addresses over now", 1, UINT_MAX, 0, verb_change },
        { "enable", "NAME...", "Take part in the election again", 1, UINT_MAX, 0, verb_change },
        { "disable", "NAME...", "Leave the election until enabled", 1, UINT_MAX, 0, verb_change },
        { "reload", "", "Read the configuration again", 0, 0, 0, verb_reload },
        { "is-master", "NAME", "Whether this host is master: exit code", 1, 1, 0, verb_is_master },
        { "wait", "NAME STATE", "Wait for init, backup or master", 2, 2, TAKES_TIMEOUT, verb_wait },
        { "statistics", "NAME", "Counters of an instance", 1, 1, TAKES_JSON, verb_statistics },
        { "metrics", "", "All numbers, as OpenMetrics text", 0, 0, TAKES_FORMAT, verb_metrics },
        { "import", "KIND ...", "Convert ucarp, ifupdown, keepalived", 1, UINT_MAX, LOCAL, verb_import },
        { "check", "[DIR]", "Check the configuration on disk", 0, 1, TAKES_JSON | LOCAL, verb_check },
};

typedef struct Options {
        char *json, *hold, *timeout, *format, *host, *machine;
        char **rest;
        gboolean no_pager, no_legend, no_ask_password, quiet, version;
} Options;

static void options_clear(Options *o) {
        g_free(o->json);
        g_free(o->hold);
        g_free(o->timeout);
        g_free(o->format);
        g_free(o->host);
        g_free(o->machine);
        g_strfreev(o->rest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static char *verbs_help(void) {
        GString *text = g_string_new("Verbs:\n");

        for (size_t k = 0; k < G_N_ELEMENTS(verbs); k++) {
                g_autofree char *usage = g_strconcat(verbs[k].name, *verbs[k].arguments ? " " : "", verbs[k].arguments, NULL);

                g_string_append_printf(text, "  %-22s %s\n", usage, verbs[k].help);
        }
        g_string_append(text, "\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 not in that state, 4 no such instance.\nSee vipctl(1).");
        return g_string_free(text, FALSE);
}

static int parse(int argc, char **argv, Options *o) {
        const GOptionEntry entries[] = {
                { "host", 'H', 0, G_OPTION_ARG_STRING, &o->host, "Act on another host, by ssh", "[USER@]HOST" },
                { "machine", 'M', 0, G_OPTION_ARG_STRING, &o->machine, "Act on a local container", "CONTAINER" },
                { "json", 0, 0, G_OPTION_ARG_STRING, &o->json, "Write JSON: pretty, short, or off (the default)", "MODE" },
                { "for", 0, 0, G_OPTION_ARG_STRING, &o->hold, "demote: how long to stay out", "TIME" },
                { "timeout", 0, 0, G_OPTION_ARG_STRING, &o->timeout, "wait: how long at most", "TIME" },
                { "format", 0, 0, G_OPTION_ARG_STRING, &o->format, "metrics: openmetrics (the default) or prometheus", "FORMAT" },
                { "quiet", 'q', 0, G_OPTION_ARG_NONE, &o->quiet, "is-master, wait: by exit code alone", NULL },
                { "no-pager", 0, 0, G_OPTION_ARG_NONE, &o->no_pager, "Do not pipe output into a pager", NULL },
                { "no-legend", 0, 0, G_OPTION_ARG_NONE, &o->no_legend, "No headers and no counts", NULL },
                { "no-ask-password", 0, 0, G_OPTION_ARG_NONE, &o->no_ask_password, "Do not ask for passwords", NULL },
                { "version", 0, 0, G_OPTION_ARG_NONE, &o->version, "Print the version and exit", NULL },
                { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &o->rest, NULL, "[VERB [ARGUMENT...]]" },
                { NULL },
        };
        g_autoptr(GOptionContext) context = g_option_context_new("- ask and tell vipd");
        g_autofree char *help = verbs_help();
        g_autoptr(GError) error = NULL;

        g_option_context_set_description(context, help);
        g_option_context_add_main_entries(context, entries, NULL);
        if (!g_option_context_parse(context, &argc, &argv, &error)) {
                client_complain("%s", error->message);
                return -1;
        }
        return 0;
}

static const Verb *find_verb(const char *name) {
        const char *nearest = verbs[0].name;

        for (size_t k = 0; k < G_N_ELEMENTS(verbs); k++) {
                if (g_str_equal(verbs[k].name, name))
                        return &verbs[k];
                if (config_word_distance(name, verbs[k].name) < config_word_distance(name, nearest))
                        nearest = verbs[k].name;
        }
        if (config_word_distance(name, nearest) <= 2)
                client_complain("There is no verb \"%s\". Did you mean \"%s\"?", name, nearest);
        else
                client_complain("There is no verb \"%s\"; \"vipctl --help\" lists them", name);
        return NULL;
}

static int parse_json(const char *text, JsonMode *ret) {
        static const char *const modes[] = { [JSON_OFF] = "off", [JSON_SHORT] = "short", [JSON_PRETTY] = "pretty" };

        for (size_t k = 0; k < G_N_ELEMENTS(modes); k++)
                if (g_str_equal(modes[k], text)) {
                        *ret = (JsonMode) k;
                        return 0;
                }
        client_complain("\"%s\" is no mode of --json=; there are pretty, short and off", text);
        return -1;
}

static int parse_format(const char *text, MetricsFormat *ret) {
        if (g_str_equal(text, "openmetrics"))
                *ret = METRICS_OPENMETRICS;
        else if (g_str_equal(text, "prometheus"))
                *ret = METRICS_PROMETHEUS;
        else {
                client_complain("\"%s\" is no format of --format=; there are openmetrics and prometheus", text);
                return -1;
        }
        return 0;
}

static int parse_time(const char *option, const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret) {
        uint64_t usec;

        if (config_parse_usec(text, &usec) < 0) {
                client_complain("%s=%s is no time; write 90s, 5min or 1h 30min", option, text);
                return -1;
        }
        if (usec < minimum || usec > maximum) {
                client_complain("%s=%s is out of range; allowed is from 1us to a day", option, text);
                return -1;
        }
        *ret = usec;
        return 0;
}

/* Options that the verb would ignore are a mistake: somebody expects something of them. */
static int check_options(const Verb *v, const Options *o, const Ctl *c) {
        const struct {
                const char *name, *value;
                bool allowed;
        } rules[] = {
                { "--json", c->json != JSON_OFF ? o->json : NULL, v->flags & TAKES_JSON },
                { "--for", o->hold, v->flags & TAKES_FOR },
                { "--timeout", o->timeout, v->flags & TAKES_TIMEOUT },
                { "--format", o->format, v->flags & TAKES_FORMAT },
                { "--host", o->host, !(v->flags & LOCAL) },
                { "--machine", o->machine, !(v->flags & LOCAL) },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(rules); k++) {
                if (!rules[k].value || (rules[k].allowed && *rules[k].value))
                        continue;
                if (rules[k].allowed)
                        client_complain("%s= is empty", rules[k].name);
                else
                        client_complain("%s says nothing to the verb %s", rules[k].name, v->name);
                return -1;
        }
        if (o->host && o->machine) {
                client_complain("--host and --machine exclude each other");
                return -1;
        }
        return 0;
}

static int check_arguments(const Verb *v, char **arguments) {
        unsigned n = g_strv_length(arguments);

        if (n >= v->n_min && n <= v->n_max)
                return 0;
        client_complain("Usage: vipctl %s%s%s", v->name, *v->arguments ? " " : "", v->arguments);
        return -1;
}

static const Verb *understand(const Options *o, Ctl *c) {
        static char *nothing[] = { NULL };
        const Verb *v;

        c->legend = !o->no_legend;
        c->pager = !o->no_pager;
        c->ask_password = !o->no_ask_password;
        c->quiet = o->quiet;
        c->host = o->host;
        c->machine = o->machine;
        v = o->rest ? find_verb(o->rest[0]) : &verbs[0];
        if (!v || (o->json && parse_json(o->json, &c->json) < 0) || check_options(v, o, c) < 0)
                return NULL;
        if (o->format && parse_format(o->format, &c->format) < 0)
                return NULL;
        if (o->hold && parse_time("--for", o->hold, 1, FOR_USEC_MAX, &c->hold_usec) < 0)
                return NULL;
        if (o->timeout && parse_time("--timeout", o->timeout, 0, UINT64_MAX, &c->timeout_usec) < 0)
                return NULL;
        c->verb = v->name;
        c->arguments = o->rest ? o->rest + 1 : nothing;
        return check_arguments(v, c->arguments) < 0 ? NULL : v;
}

int main(int argc, char **argv) {
        Ctl c = { .hold_usec = CTL_USEC_UNSET, .timeout_usec = CTL_USEC_UNSET };
        g_auto(Options) options = { 0 };
        CtlExit code = CTL_DONE;
        const Verb *v;

        /* characters as the terminal has them; words and days stay as the manual shows them */
        (void) setlocale(LC_CTYPE, "");
        /* has options of its own, and takes another program's words */
        if (argc > 1 && g_str_equal(argv[1], "import"))
                return import_main(argc - 1, argv + 1);
        if (parse(argc, argv, &options) < 0)
                return CTL_USAGE;
        if (options.version) {
                puts("vipctl " VIPD_VERSION);
                return CTL_DONE;
        }
        v = understand(&options, &c);
        if (!v)
                return CTL_USAGE;
        if (!(v->flags & LOCAL))
                code = client_open(&c);
        if (code == CTL_DONE)
                code = v->run(&c);
        sd_bus_flush_close_unref(c.bus);
        return (int) code;
}
