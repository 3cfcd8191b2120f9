/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vipd-ucarp: one election with ucarp's command line, signals and scripts, over the same rooms as vipd, but without
 * files and bus. Reads the options, checks the host, goes to the background if told to, builds, runs, unwinds.
 *
 * ucarp leaves the address to its scripts. Here the address is held by us as well, with a lease: so it is there when
 * a script is missing or slow, gone when a master is killed or frozen, and given up before the farewell is sent. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <ifaddrs.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "manager.h"
#include "takeover.h"
#include "ucarp-options.h"
#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/time-util.h"

#define IDENTIFIER "vipd-ucarp"

/* As ucarp: wrong options 1, everything else that keeps us from starting 2. */
#define EXIT_CANNOT_START 2

/* How long the down script may take at exit before it is left alone. */
#define DRAIN_USEC (30 * USEC_PER_SEC)

/* How often a daemon without a usable link looks whether its interface was taken down. */
#define INTERFACE_CHECK_USEC USEC_PER_SEC

#define WANTED_CAPABILITIES ((UINT32_C(1) << CAP_NET_ADMIN) | (UINT32_C(1) << CAP_NET_RAW))

typedef struct ifaddrs Interfaces;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Interfaces, freeifaddrs)

typedef struct Program {
        UcarpOptions options; /* its config goes to the manager */
        char *name;
        char interface[IF_NAMESIZE];
        uint8_t vhid;
        bool stopping;
        sd_event *event;
        Alarms *alarms;
        Manager *manager;
        Takeover *takeover;
        sd_event_source *interface_check;
} Program;

static void program_clear(Program *p) {
        p->interface_check = sd_event_source_disable_unref(p->interface_check);
        p->takeover = takeover_free(p->takeover);
        p->manager = manager_free(p->manager);
        p->alarms = alarms_free(p->alarms);
        p->event = sd_event_unref(p->event);
        ucarp_options_clear(&p->options);
        g_clear_pointer(&p->name, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Program, program_clear)

/* Whose is this address? NULL: nobody's here. */
static const char *find_owner(const Interfaces *all, const IpAddress *address) {
        for (const Interfaces *i = all; i; i = i->ifa_next) {
                if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET)
                        continue;
                struct sockaddr_in sin;
                memcpy(&sin, i->ifa_addr, sizeof(sin));
                if (memcmp(&sin.sin_addr, address->bytes, sizeof(sin.sin_addr)) == 0)
                        return i->ifa_name;
        }
        return NULL;
}

static const char *find_first_usable(const Interfaces *all) {
        const char *name = NULL;
        int lowest = 0;
        for (const Interfaces *i = all; i; i = i->ifa_next) {
                if (!i->ifa_addr || i->ifa_addr->sa_family != AF_PACKET || !(i->ifa_flags & IFF_UP))
                        continue;
                struct sockaddr_ll sll;
                memcpy(&sll, i->ifa_addr, sizeof(sll));
                if (sll.sll_hatype == ARPHRD_ETHER && (!name || sll.sll_ifindex < lowest)) {
                        name = i->ifa_name;
                        lowest = sll.sll_ifindex;
                }
        }
        return name;
}

/* The interface must exist; and the source address, unless it only has to fill broadcasts. */
static int check_interface(InstanceConfig *config) {
        g_autoptr(Interfaces) all = NULL;
        char source[IP_ADDRESS_TEXT_BYTES];
        (void) ip_address_format(&config->carp.source_ipv4, source);

        if (getifaddrs(&all) < 0) {
                int r = -errno;
                log_error_errno(r, "The network interfaces cannot be listed: %m");
                return r;
        }
        const char *owner = find_owner(all, &config->carp.source_ipv4);
        if (!owner && config->carp.multicast) {
                log_error("--srcip: no interface of this host has the address %s", source);
                return -EADDRNOTAVAIL;
        }
        if (config->interface[0] == '\0') {
                const char *name = owner ?: find_first_usable(all);
                if (!name) {
                        log_error("There is no Ethernet interface that is up; name one by --interface");
                        return -ENODEV;
                }
                (void) g_strlcpy(config->interface, name, sizeof(config->interface));
                log_info("Using the interface %s", name);
        }
        if (if_nametoindex(config->interface) == 0) {
                log_error("--interface: there is no interface \"%s\"", config->interface);
                return -ENODEV;
        }
        return 0;
}

/* Scripts of root may need whatever root may do, so with scripts root stays what it is. In all other cases nothing
 * but our two capabilities is kept. */
static int limit_privileges(const TakeoverConfig *takeover) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
        bool scripts = takeover->up_script || takeover->down_script;

        /* no core file, and no debugger of the same user, shall see the passphrase */
        (void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);

        int r = syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
        if (r >= 0 && (data[0].permitted & WANTED_CAPABILITIES) != WANTED_CAPABILITIES)
                r = -EPERM;
        if (r >= 0 && (!scripts || geteuid() != 0)) {
                const struct __user_cap_data_struct wanted[_LINUX_CAPABILITY_U32S_3] = {
                        { .effective = WANTED_CAPABILITIES, .permitted = WANTED_CAPABILITIES },
                };
                if (!scripts) /* they may use sudo */
                        (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                r = syscall(SYS_capset, &header, wanted) < 0 ? -errno : 0;
        }
        if (r < 0)
                log_error_errno(r, "CAP_NET_ADMIN and CAP_NET_RAW are needed; start as root, or in a container with "
                                   "--cap-add=NET_ADMIN --cap-add=NET_RAW: %m");
        return r;
}

/* In the child, *ret_ready_fd is where to say that all went well; in the parent this does not return. */
static int daemonize(int *ret_ready_fd) {
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;

        pid_t pid = fork();
        if (pid < 0) {
                int r = -errno;
                (void) close(fds[0]);
                (void) close(fds[1]);
                return r;
        }
        if (pid > 0) {
                (void) close(fds[1]);
                char ready;
                ssize_t n = TEMP_FAILURE_RETRY(read(fds[0], &ready, 1));
                _exit(n == 1 ? EXIT_SUCCESS : EXIT_CANNOT_START);
        }
        (void) close(fds[0]);
        (void) setsid();
        *ret_ready_fd = fds[1];
        return 0;
}

/* Until here mistakes were told to whoever started us. */
static void leave_terminal(const UcarpOptions *o, int ready_fd) {
        g_auto(AutoFd) fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd >= 0)
                for (int k = STDIN_FILENO; k <= STDERR_FILENO; k++)
                        (void) dup2(fd, k);
        (void) !chdir("/");
        log_open(IDENTIFIER, o->syslog ? LOG_TARGET_SYSLOG : LOG_TARGET_NONE, o->facility);
        (void) !write(ready_fd, "", 1);
}

static void entry_free(void *data) {
        ConfigEntry *entry = data;
        g_free(entry->name);
        (void) instance_config_free(entry->config);
        g_free(entry);
}

/* Called once: there is no reload. */
static ConfigSet *load(void *userdata) {
        Program *p = userdata;
        ConfigEntry *entry = g_new0(ConfigEntry, 1);
        entry->name = g_strdup(p->name);
        entry->config = g_steal_pointer(&p->options.config);

        ConfigSet *set = g_new0(ConfigSet, 1);
        set->entries = g_ptr_array_new_with_free_func(entry_free);
        set->diagnostics = g_ptr_array_new();
        set->daemon.log_level = p->options.debug ? LOG_DEBUG : LOG_INFO;
        g_ptr_array_add(set->entries, entry);
        return set;
}

static void on_drained(void *userdata) {
        Program *p = userdata;
        (void) sd_event_exit(p->event, 0);
}

static void stop(Program *p) {
        if (p->stopping) { /* told twice: no more waiting for scripts */
                (void) sd_event_exit(p->event, 0);
                return;
        }
        p->stopping = true;
        manager_stop(p->manager, false);
        takeover_drain(p->takeover, DRAIN_USEC, on_drained, p);
}

static bool interface_is_up(const char *name) {
        g_auto(AutoFd) fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq ifr = { 0 };
        (void) g_strlcpy(ifr.ifr_name, name, sizeof(ifr.ifr_name));
        if (fd < 0)
                return true; /* cannot tell */
        return ioctl(fd, SIOCGIFFLAGS, &ifr) >= 0 && (ifr.ifr_flags & IFF_UP);
}

/* ucarp ends when its interface is taken down or deleted, and ifupdown's hook, which starts one at each ifup and has
 * nothing for ifdown, counts on it: else there would be two after the next ifup. So we end too, but only in the
 * background; a supervised process in the foreground waits for the interface. Carrier loss is no reason to end. */
static int on_interface_check(sd_event_source *source, uint64_t usec, void *userdata) {
        Program *p = userdata;
        const Instance *i = manager_find(p->manager, p->name);

        if (!interface_is_up(p->interface)) {
                p->interface_check = sd_event_source_disable_unref(p->interface_check);
                log_notice("%s was taken down; leaving", p->interface);
                stop(p);
        } else if (i && instance_state(i) == ELECTION_STATE_INIT &&
                   sd_event_source_set_time_relative(source, INTERFACE_CHECK_USEC) >= 0)
                (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static void start_interface_check(Program *p) {
        p->interface_check = sd_event_source_disable_unref(p->interface_check);
        int r = sd_event_add_time_relative(p->event, &p->interface_check, CLOCK_BOOTTIME, 0, EVENT_ACCURACY_USEC,
                                           on_interface_check, p);
        if (r < 0)
                log_warning_errno(r, "No timer to watch %s: %m", p->interface);
}

static void on_changed(void *userdata, Instance *i, unsigned changes, const InstanceTransition *transition) {
        Program *p = userdata;
        if (!transition)
                return;
        if (!p->stopping || p->options.run_down_script)
                takeover_instance_changed(p->takeover, i, transition);
        if (p->options.daemonize && !p->stopping && transition->to == ELECTION_STATE_INIT)
                start_interface_check(p);
}

/* The line that scripts of ucarp's users look for: in the log, and on stdout where that is another place. */
static void tell_state(const Program *p) {
        static const char *const words[N_ELECTION_STATES] = { "INIT", "BACKUP", "MASTER" };
        const Instance *i = manager_find(p->manager, p->name);
        if (!i)
                return;

        g_autofree char *text =
                g_strdup_printf("%s on %s id %u", words[instance_state(i)], p->interface, p->vhid);
        log_info("%s", text);

        struct stat out, err;
        struct pollfd poll_out = { .fd = STDOUT_FILENO, .events = POLLOUT };
        if (fstat(STDOUT_FILENO, &out) < 0 ||
            (fstat(STDERR_FILENO, &err) >= 0 && out.st_dev == err.st_dev && out.st_ino == err.st_ino) ||
            poll(&poll_out, 1, 0) <= 0 || poll_out.revents != POLLOUT)
                return;
        g_autofree char *line = g_strdup_printf("[INFO] %s\n", text);
        (void) !write(STDOUT_FILENO, line, strlen(line));
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Program *p = userdata;
        switch (info->ssi_signo) {
        case SIGUSR1:
                tell_state(p);
                break;
        case SIGUSR2:
                manager_demote_all(p->manager);
                break;
        default:
                log_info("Leaving because of SIG%s", sigabbrev_np((int) info->ssi_signo));
                stop(p);
        }
        return 0;
}

static int watch_signals(Program *p) {
        static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 };
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        for (size_t k = 0; k < G_N_ELEMENTS(signals); k++)
                sigaddset(&mask, signals[k]);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        (void) signal(SIGPIPE, SIG_IGN);

        for (size_t k = 0; k < G_N_ELEMENTS(signals); k++) {
                g_autoptr(sd_event_source) source = NULL;
                int r = sd_event_add_signal(p->event, &source, signals[k], on_signal, p);
                if (r >= 0)
                        r = sd_event_source_set_priority(source, EVENT_PRIORITY_SIGNAL);
                if (r >= 0)
                        r = sd_event_source_set_floating(source, true);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void on_removed(void *userdata, Instance *i) {
        Program *p = userdata;
        takeover_instance_removed(p->takeover, i);
}

static int build(Program *p) {
        const ManagerObserver observer = {
                .instance_removed = on_removed,
                .instance_changed = on_changed,
                .userdata = p,
        };
        int r = sd_event_new(&p->event);
        if (r >= 0)
                r = alarms_new(&p->alarms, p->event);
        if (r >= 0)
                r = watch_signals(p);
        if (r >= 0)
                r = manager_new(&p->manager, p->event, p->alarms, NULL, NULL, load, p);
        if (r >= 0)
                r = takeover_new(&p->takeover, p->event);
        if (r >= 0) {
                manager_observe(p->manager, &observer);
                r = manager_start(p->manager, NULL);
        }
        if (r >= 0 && !manager_find(p->manager, p->name))
                r = -ENODEV;
        if (r < 0)
                log_error_errno(r, "Cannot start: %m");
        return r;
}

static int run(Program *p) {
        g_auto(AutoFd) ready_fd = -1;
        InstanceConfig *config = p->options.config;

        int r = check_interface(config);
        if (r >= 0)
                r = limit_privileges(&config->takeover);
        if (r < 0)
                return EXIT_CANNOT_START;

        (void) g_strlcpy(p->interface, config->interface, sizeof(p->interface));
        p->vhid = config->carp.vhid;
        p->name = g_strdup_printf("%s-%u", p->interface, p->vhid);
        g_free(config->name);
        config->name = g_strdup(p->name);

        if (p->options.daemonize) {
                r = daemonize(&ready_fd);
                if (r < 0) {
                        log_error_errno(r, "Cannot go to the background: %m");
                        return EXIT_CANNOT_START;
                }
        }
        r = build(p);
        if (r < 0)
                return EXIT_CANNOT_START;
        if (ready_fd >= 0) {
                leave_terminal(&p->options, ready_fd);
                auto_fd_clear(&ready_fd);
        }

        r = alarms_loop(p->alarms);
        if (r < 0)
                log_error_errno(r, "The event loop failed: %m");
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        g_auto(Program) program = { 0 };
        UcarpOptions *o = &program.options;

        log_open(IDENTIFIER, LOG_TARGET_STDERR, LOG_DAEMON);
        switch (ucarp_options_parse(argc, argv, o)) {
        case UCARP_OUTCOME_RUN:
                break;
        case UCARP_OUTCOME_HELP:
                (void) fputs(ucarp_options_help, stdout);
                return EXIT_SUCCESS;
        case UCARP_OUTCOME_WRONG_OPTION:
                return EXIT_FAILURE;
        case UCARP_OUTCOME_CANNOT_START:
                return EXIT_CANNOT_START;
        }
        log_open(IDENTIFIER, o->syslog ? LOG_TARGET_SYSLOG : LOG_TARGET_AUTO, o->facility);
        log_set_max_level(o->debug ? LOG_DEBUG : LOG_INFO);
        return run(&program);
}
