/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <glib.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "config-load.h"
#include "dbus/bus.h"
#include "manager.h"
#include "privileges.h"
#include "takeover.h"
#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/log.h"

/* vipd: reads its options, builds every room and wires them, runs the loop, and takes them down in order. */

/* At exit, down scripts get this long before we leave them to finish alone. */
#define DRAIN_USEC UINT64_C(5000000)

typedef struct Options {
        char *config_dir, *runtime_dir, *state_dir, *bus, *log_level;
        char **rest; /* the directory of --check */
        gboolean check, version;
} Options;

typedef struct Daemon {
        const char *directories[4];
        int log_level; /* from the command line, or -1 */
        sd_event *event;
        Manager *manager;
        Takeover *takeover;
        Bus *bus; /* NULL: --bus=none */
} Daemon;

static void options_clear(Options *o) {
        g_free(o->config_dir);
        g_free(o->runtime_dir);
        g_free(o->state_dir);
        g_free(o->bus);
        g_free(o->log_level);
        g_strfreev(o->rest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static void daemon_clear(Daemon *d) {
        bus_free(d->bus);
        takeover_free(d->takeover);
        manager_free(d->manager);
        sd_event_unref(d->event);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Daemon, daemon_clear)

static ConfigSet *load(void *userdata) {
        const Daemon *d = userdata;
        ConfigSet *set = config_load(d->directories, g_getenv("CREDENTIALS_DIRECTORY"));

        if (d->log_level >= 0)
                set->daemon.log_level = d->log_level;
        return set;
}

static void on_added(void *userdata, Instance *i) {
        const Daemon *d = userdata;

        if (d->bus)
                bus_instance_added(d->bus, i);
}

static void on_removed(void *userdata, Instance *i) {
        const Daemon *d = userdata;

        takeover_instance_removed(d->takeover, i);
        if (d->bus)
                bus_instance_removed(d->bus, i);
}

static void on_changed(void *userdata, Instance *i, unsigned changes, const InstanceTransition *transition) {
        const Daemon *d = userdata;

        if (transition)
                takeover_instance_changed(d->takeover, i, transition);
        if (d->bus)
                bus_instance_changed(d->bus, i, changes, transition);
}

static void on_drained(void *userdata) {
        const Daemon *d = userdata;

        (void) sd_event_exit(d->event, 0);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *userdata) {
        Daemon *d = userdata;

        switch (info->ssi_signo) {
        case SIGHUP:
                log_info("Reloading");
                (void) manager_reload(d->manager);
                break;
        case SIGUSR1:
                manager_log_state(d->manager);
                break;
        case SIGUSR2:
                manager_demote_all(d->manager);
                break;
        default:
                (void) sd_notify(false, "STOPPING=1");
                manager_stop(d->manager);
                takeover_drain(d->takeover, DRAIN_USEC, on_drained, d);
        }
        return 0;
}

static int watch_signals(Daemon *d) {
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        for (size_t k = 0; k < G_N_ELEMENTS(signals); k++)
                sigaddset(&mask, signals[k]);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        (void) signal(SIGPIPE, SIG_IGN);
        for (size_t k = 0; k < G_N_ELEMENTS(signals); k++) {
                sd_event_source *s = NULL;
                int r = sd_event_add_signal(d->event, &s, signals[k], on_signal, d);

                if (r < 0)
                        return r;
                (void) sd_event_source_set_priority(s, EVENT_PRIORITY_SIGNAL);
                (void) sd_event_source_set_floating(s, true);
                sd_event_source_unref(s);
        }
        return 0;
}

static int build(Daemon *d, const Options *o) {
        const char *state_dir = o->state_dir ?: g_getenv("STATE_DIRECTORY") ?: "/var/lib/vipd";
        const ManagerObserver observer = {
                .instance_added = on_added,
                .instance_removed = on_removed,
                .instance_changed = on_changed,
                .userdata = d,
        };
        int r;

        r = sd_event_default(&d->event);
        if (r >= 0)
                r = watch_signals(d);
        if (r >= 0)
                r = manager_new(&d->manager, d->event, state_dir, load, d);
        if (r >= 0)
                r = takeover_new(&d->takeover, d->event);
        if (r >= 0 && !g_str_equal(o->bus ?: "system", "none"))
                r = bus_new(&d->bus, d->event, d->manager, o->bus ?: "system");
        if (r < 0) {
                log_error_errno(r, "Cannot start: %m");
                return r;
        }
        manager_observe(d->manager, &observer);
        return manager_start(d->manager);
}

static int run(Daemon *d, const Options *o) {
        int r;

        r = privileges_reduce("vipd");
        if (r >= 0)
                r = build(d, o);
        if (r < 0)
                return EXIT_FAILURE;
        (void) sd_notify(false, "READY=1");
        r = sd_event_loop(d->event);
        if (r < 0)
                log_error_errno(r, "The event loop failed: %m");
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* vipd --check [DIR]: every mistake on stdout; 0 if there is no error */
static int check(const Daemon *d, const Options *o) {
        const char *only[] = { o->rest ? o->rest[0] : NULL, NULL };
        g_autoptr(ConfigSet) set =
                config_load(only[0] ? only : d->directories, g_getenv("CREDENTIALS_DIRECTORY"));

        for (guint k = 0; k < set->diagnostics->len; k++) {
                g_autofree char *text = config_diagnostic_format(g_ptr_array_index(set->diagnostics, k));

                puts(text);
        }
        return config_set_n_errors(set) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int parse(int argc, char **argv, Options *o) {
        const GOptionEntry entries[] = {
                { "config-dir", 0, 0, G_OPTION_ARG_FILENAME, &o->config_dir, "Read *.vip and vipd.conf from DIR instead of /etc/vipd", "DIR" },
                { "runtime-dir", 0, 0, G_OPTION_ARG_FILENAME, &o->runtime_dir, "Instead of /run/vipd", "DIR" },
                { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &o->state_dir, "Instead of /var/lib/vipd", "DIR" },
                { "bus", 0, 0, G_OPTION_ARG_STRING, &o->bus, "system (the default), none, or a D-Bus address", "BUS" },
                { "log-level", 0, 0, G_OPTION_ARG_STRING, &o->log_level, "emerg ... info (the default), debug", "LEVEL" },
                { "check", 0, 0, G_OPTION_ARG_NONE, &o->check, "Check the configuration (in DIR, if given) and exit", NULL },
                { "version", 0, 0, G_OPTION_ARG_NONE, &o->version, "Print the version and exit", NULL },
                { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &o->rest, NULL, "[DIR]" },
                { NULL },
        };
        g_autoptr(GOptionContext) context = g_option_context_new("- keeps floating IP addresses alive");
        g_autoptr(GError) error = NULL;

        g_option_context_add_main_entries(context, entries, NULL);
        if (!g_option_context_parse(context, &argc, &argv, &error)) {
                (void) fprintf(stderr, "vipd: %s\n", error->message);
                return -EINVAL;
        }
        if (o->rest && (!o->check || o->rest[1])) {
                (void) fprintf(stderr, "vipd: unexpected argument \"%s\"; only --check takes one, a directory\n",
                               o->rest[o->check ? 1 : 0]);
                return -EINVAL;
        }
        return 0;
}

int main(int argc, char **argv) {
        g_auto(Options) options = { 0 };
        g_auto(Daemon) daemon = { .log_level = -1 };
        size_t n = 0;

        (void) setlocale(LC_ALL, "");
        if (parse(argc, argv, &options) < 0)
                return 2;
        if (options.version) {
                puts("vipd " VIPD_VERSION);
                return EXIT_SUCCESS;
        }
        log_open("vipd", LOG_TARGET_AUTO, LOG_DAEMON);
        if (options.log_level) {
                daemon.log_level = log_level_from_string(options.log_level);
                if (daemon.log_level < 0) {
                        (void) fprintf(stderr, "vipd: \"%s\" is no log level; allowed are emerg, alert, crit, err, "
                                               "warning, notice, info, debug, or 0 to 7\n", options.log_level);
                        return 2;
                }
        }
        daemon.directories[n++] = options.config_dir ?: "/etc/vipd";
        daemon.directories[n++] = options.runtime_dir ?: g_getenv("RUNTIME_DIRECTORY") ?: "/run/vipd";
        if (!options.config_dir)
                daemon.directories[n++] = "/usr/lib/vipd";
        return options.check ? check(&daemon, &options) : run(&daemon, &options);
}
