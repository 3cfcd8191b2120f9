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
#include "handover.h"
#include "manager.h"
#include "privileges.h"
#include "real-time.h"
#include "record.h"
#include "service.h"
#include "takeover.h"
#include "targets.h"
#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/log.h"

/* vipd: reads its options, builds every room and wires them, runs the loop, and takes them down in order. */

/* At exit, down scripts get this long before we leave them to finish alone; and systemd, to hear that the units shall stop. */
#define DRAIN_USEC UINT64_C(5000000)
/* And a disk that does not answer this long more. */
#define SAVE_USEC UINT64_C(2000000)

typedef struct Options {
        char *config_dir, *runtime_dir, *state_dir, *bus, *log_level;
        char **rest; /* the directory of --check */
        gboolean check, cleanup, version;
} Options;

typedef struct Daemon {
        const char *directories[4];
        int log_level; /* from the command line, or -1 */
        sd_event *event;
        Alarms *alarms;
        Manager *manager;
        Service *service;
        Takeover *takeover;
        Bus *bus;         /* NULL: --bus=none */
        Targets *targets; /* NULL without a bus */
        bool stopping;
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
        targets_free(d->targets);
        service_free(d->service);
        takeover_free(d->takeover);
        manager_free(d->manager);
        alarms_free(d->alarms);
        sd_event_unref(d->event);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Daemon, daemon_clear)

/* What --bus=none cannot do. */
static void leave_out_systemd(InstanceConfig *c) {
        if (c->takeover.units_before_address) {
                log_warning("%s: UnitsBeforeAddress= needs systemd's bus, which --bus=none leaves out; ignoring it", c->name);
                c->takeover.units_before_address = false;
        }
        for (guint k = 0; k < c->checks->len; k++) {
                const CheckConfig *check = g_ptr_array_index(c->checks, k);

                if (check->type == CHECK_TYPE_UNIT)
                        log_warning("%s: check %s asks for a unit, for which it needs systemd's bus, which --bus=none leaves out; it counts as failed",
                                    c->name, check->name);
        }
}

static ConfigSet *load(void *userdata) {
        const Daemon *d = userdata;
        ConfigSet *set = config_load(d->directories, g_getenv("CREDENTIALS_DIRECTORY"));

        if (d->log_level >= 0)
                set->daemon.log_level = d->log_level;
        for (guint k = 0; !d->targets && k < set->entries->len; k++) {
                const ConfigEntry *e = g_ptr_array_index(set->entries, k);

                if (e->config)
                        leave_out_systemd(e->config);
        }
        return set;
}

static void on_saved(void *userdata) {
        const Daemon *d = userdata;

        (void) sd_event_exit(d->event, 0);
}

static void on_drained(void *userdata) {
        Daemon *d = userdata;

        manager_drain(d->manager, true, SAVE_USEC, on_saved, d);
}

static void on_scripts_drained(void *userdata) {
        Daemon *d = userdata;

        if (d->targets)
                targets_drain(d->targets, DRAIN_USEC, on_drained, d);
        else
                on_drained(d);
}

static void leave_if_stopped(Daemon *d) {
        if (d->stopping && manager_is_stopped(d->manager))
                takeover_drain(d->takeover, DRAIN_USEC, on_scripts_drained, d);
}

static void stop(Daemon *d) {
        service_stopping(d->service, manager_stop_usec(d->manager) + 3 * DRAIN_USEC);
        /* who asks twice does not wait for units */
        manager_stop(d->manager, !d->stopping);
        d->stopping = true;
        leave_if_stopped(d);
}

/* Everything a new process needs goes to the service manager; nobody else notices. */
static int hand_over(Daemon *d) {
        g_autoptr(GPtrArray) entries = manager_hand_over(d->manager);
        g_autofree char *text = NULL;
        g_auto(AutoFd) fd = -1;

        for (guint k = 0; k < entries->len; k++) {
                HandoverEntry *e = g_ptr_array_index(entries, k);

                e->units_certain = targets_told(d->targets, e->name, &e->units);
                e->script_pending = takeover_is_pending(d->takeover, e->name, &e->script_up);
        }
        text = handover_format(entries);
        fd = handover_write(text);
        return fd < 0 ? fd : service_store(d->service, HANDOVER_FD_NAME, fd);
}

static void on_confirmed(void *userdata, bool restart) {
        Daemon *d = userdata;
        int r;

        if (d->stopping)
                return;
        r = restart ? hand_over(d) : 0;
        if (restart && r >= 0) {
                (void) sd_event_exit(d->event, 0);
                return;
        }
        if (r < 0)
                log_warning_errno(r, "The restart cannot take over our roles; others will: %m");
        stop(d);
}

/* Who meant a restart when it began may have thought better of it while scripts and the disk were awaited. */
static void on_restart_saved(void *userdata) {
        Daemon *d = userdata;

        if (d->stopping)
                leave_if_stopped(d);
        else if (systemd1_ask_restart(bus_systemd1(d->bus), on_confirmed, d) < 0)
                stop(d);
}

static void on_restart_drained(void *userdata) {
        Daemon *d = userdata;

        if (d->stopping)
                leave_if_stopped(d);
        else
                manager_drain(d->manager, false, SAVE_USEC, on_restart_saved, d);
}

static void on_stop_reason(void *userdata, bool restart) {
        Daemon *d = userdata;

        if (d->stopping)
                return;
        if (restart)
                takeover_drain(d->takeover, DRAIN_USEC, on_restart_drained, d);
        else
                stop(d);
}

/* A stop bows out, a restart hands over. Only the service manager knows which it is; while it is asked, elections go on. */
static void on_stop_request(Daemon *d) {
        if (d->stopping || !service_is_managed(d->service) || !d->bus ||
            systemd1_ask_restart(bus_systemd1(d->bus), on_stop_reason, d) < 0)
                stop(d);
}

static void on_added(void *userdata, Instance *i) {
        const Daemon *d = userdata;

        service_changed(d->service);
        if (d->targets)
                targets_instance_changed(d->targets, i);
        if (d->bus)
                bus_instance_added(d->bus, i);
}

static void on_removed(void *userdata, Instance *i) {
        const Daemon *d = userdata;

        service_changed(d->service);
        takeover_instance_removed(d->takeover, i);
        if (d->targets)
                targets_removed(d->targets, instance_config(i)->name);
        if (d->bus)
                bus_instance_removed(d->bus, i);
}

static void on_changed(void *userdata, Instance *i, unsigned changes, const InstanceTransition *transition) {
        Daemon *d = userdata;

        if (changes & INSTANCE_CHANGE_STATE)
                service_changed(d->service);
        if (transition)
                takeover_instance_changed(d->takeover, i, transition);
        if (d->targets && (changes & (INSTANCE_CHANGE_STATE | INSTANCE_CHANGE_UNITS | INSTANCE_CHANGE_CONFIG)))
                targets_instance_changed(d->targets, i);
        if (d->bus)
                bus_instance_changed(d->bus, i, changes, transition);
        if (transition)
                leave_if_stopped(d);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *userdata) {
        Daemon *d = userdata;

        switch (info->ssi_signo) {
        case SIGHUP:
                if (d->stopping)
                        break;
                log_info("Reloading");
                service_reloading(d->service);
                (void) manager_reload(d->manager);
                service_ready(d->service);
                break;
        case SIGUSR1:
                manager_log_state(d->manager);
                break;
        case SIGUSR2:
                manager_demote_all(d->manager);
                break;
        default:
                on_stop_request(d);
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

static const char *runtime_dir(const Options *o) {
        return o->runtime_dir ?: g_getenv("RUNTIME_DIRECTORY") ?: "/run/vipd";
}

static int build_bus(Daemon *d, const char *address) {
        int r;

        if (g_str_equal(address, "none"))
                return 0;
        r = bus_new(&d->bus, d->event, d->manager, address);
        if (r >= 0)
                r = targets_new(&d->targets, d->event, d->manager, &systemd1_unit_ops, bus_systemd1(d->bus));
        if (r >= 0)
                systemd1_observe(bus_systemd1(d->bus), &targets_unit_observer, d->targets);
        return r;
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

        /* not the default one, which asks for its thread in every pass */
        r = sd_event_new(&d->event);
        if (r >= 0)
                r = alarms_new(&d->alarms, d->event);
        if (r >= 0)
                r = watch_signals(d);
        if (r >= 0)
                r = manager_new(&d->manager, d->event, d->alarms, runtime_dir(o), state_dir, load, d);
        if (r >= 0)
                r = service_new(&d->service, d->event, d->manager);
        if (r >= 0)
                r = takeover_new(&d->takeover, d->event);
        if (r >= 0)
                r = build_bus(d, o->bus ?: "system");
        if (r < 0) {
                log_error_errno(r, "Cannot start: %m");
                return r;
        }
        manager_observe(d->manager, &observer);
        return 0;
}

/* Everything that is valid runs when this returns; what the process before us left, goes on. */
static int start(Daemon *d) {
        g_autoptr(GPtrArray) handover = handover_take();
        int r;

        if (handover)
                service_forget(d->service, HANDOVER_FD_NAME);
        for (guint k = 0; handover && d->targets && k < handover->len; k++) {
                const HandoverEntry *e = g_ptr_array_index(handover, k);

                if (e->units_certain)
                        targets_resume(d->targets, e->name, e->units);
        }
        r = manager_start(d->manager, handover);
        for (guint k = 0; r >= 0 && handover && k < handover->len; k++) {
                const HandoverEntry *e = g_ptr_array_index(handover, k);
                Instance *i = manager_find(d->manager, e->name);

                if (!i && d->targets)
                        targets_removed(d->targets, e->name);
                if (i && e->script_pending && e->script_up == (instance_state(i) == ELECTION_STATE_MASTER))
                        takeover_resume(d->takeover, i, e->script_up);
        }
        return r;
}

static int run(Daemon *d, const Options *o) {
        int r;

        r = privileges_reduce("vipd");
        if (r >= 0)
                real_time_lock_memory();
        if (r >= 0)
                r = build(d, o);
        /* of the system's directories each may be missing; one that was named was meant, and may yet come */
        if (r >= 0 && o->config_dir && !g_file_test(o->config_dir, G_FILE_TEST_IS_DIR))
                log_warning("--config-dir=%s: there is no such directory, and so no instance in it", o->config_dir);
        if (r >= 0)
                r = start(d);
        if (r < 0)
                return EXIT_FAILURE;
        service_ready(d->service);
        r = alarms_loop(d->alarms);
        if (r < 0)
                log_error_errno(r, "The event loop failed: %m");
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* vipd --cleanup, after a daemon that ended: one that ended by itself has left nothing, or has left it to its successor. */
static int clean_up(const Options *o) {
        int r;

        if (g_strcmp0(g_getenv("SERVICE_RESULT"), "success") == 0 && g_strcmp0(g_getenv("EXIT_CODE"), "exited") == 0)
                return EXIT_SUCCESS;
        r = privileges_reduce("vipd");
        if (r < 0)
                return EXIT_FAILURE;
        r = record_clean_up(runtime_dir(o));
        if (r == -EWOULDBLOCK) {
                log_notice("A vipd runs; nothing has to be cleaned up");
                return EXIT_SUCCESS;
        }
        if (r < 0)
                log_error_errno(r, "Cannot clean up: %m");
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* vipd --check [DIR]: every mistake on stdout; 0 if there is no error */
static int check(const Daemon *d, const Options *o) {
        const char *only[] = { o->rest ? o->rest[0] : NULL, NULL };
        const char *asked = only[0] ?: o->config_dir;
        g_autoptr(ConfigSet) set = NULL;

        /* of the system's directories each may be missing; one that was named was meant */
        if (asked && !g_file_test(asked, G_FILE_TEST_IS_DIR)) {
                (void) fprintf(stderr, "vipd: \"%s\" is no directory; --check takes the one with the *.vip files\n", asked);
                return EXIT_FAILURE;
        }
        set = config_load_for(config_daemon_user(asked), only[0] ? only : d->directories, g_getenv("CREDENTIALS_DIRECTORY"));
        for (guint k = 0; k < set->diagnostics->len; k++) {
                g_autofree char *text = config_diagnostic_format(g_ptr_array_index(set->diagnostics, k));

                puts(text);
        }
        /* who could not be told does not take it for the truth that all is well */
        if (fflush(stdout) != 0) {
                (void) fprintf(stderr, "vipd: standard output: %s\n", g_strerror(errno));
                return EXIT_FAILURE;
        }
        return config_set_n_errors(set) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A variable of a script that is not set, most likely: nothing would be read, or written, where it was meant. */
static bool complain_of_empty(const Options *o) {
        const struct {
                const char *name, *value;
        } options[] = {
                { "config-dir", o->config_dir }, { "runtime-dir", o->runtime_dir }, { "state-dir", o->state_dir },
                { "bus", o->bus },               { "log-level", o->log_level },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(options); k++)
                if (options[k].value && !*options[k].value) {
                        (void) fprintf(stderr, "vipd: --%s= is empty\n", options[k].name);
                        return true;
                }
        return false;
}

static int parse(int argc, char **argv, Options *o) {
        const GOptionEntry entries[] = {
                { "config-dir", 0, 0, G_OPTION_ARG_FILENAME, &o->config_dir, "Read *.vip and vipd.conf from DIR instead of /etc/vipd", "DIR" },
                { "runtime-dir", 0, 0, G_OPTION_ARG_FILENAME, &o->runtime_dir, "Instead of /run/vipd", "DIR" },
                { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &o->state_dir, "Instead of /var/lib/vipd", "DIR" },
                { "bus", 0, 0, G_OPTION_ARG_STRING, &o->bus, "system (the default), none, or a D-Bus address", "BUS" },
                { "log-level", 0, 0, G_OPTION_ARG_STRING, &o->log_level, "emerg ... info (the default), debug", "LEVEL" },
                { "check", 0, 0, G_OPTION_ARG_NONE, &o->check, "Check the configuration (in DIR, if given) and exit", NULL },
                { "cleanup", 0, 0, G_OPTION_ARG_NONE, &o->cleanup, "Drop the addresses that a vipd that was killed has left, and exit", NULL },
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
        if (complain_of_empty(o))
                return -EINVAL;
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
        daemon.directories[n++] = runtime_dir(&options);
        if (!options.config_dir)
                daemon.directories[n++] = "/usr/lib/vipd";
        if (options.cleanup)
                return clean_up(&options);
        return options.check ? check(&daemon, &options) : run(&daemon, &options);
}
