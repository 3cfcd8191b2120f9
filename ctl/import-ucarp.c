/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/import-ucarp.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config-address.h"
#include "ctl/client.h"
#include "ucarp-options.h"
#include "util/log.h"

/* A command line of ucarp as an instance. vipd-ucarp's own parser reads it, so that numbers in C notation, modulo 256 and all else mean here what
 * they mean there; what it says of odd values goes to standard error. */

#define SCRIPT_BYTES_MAX (64 << 10)

/* The interface that has this address, or NULL; the caller frees it. */
static char *interface_with(const IpAddress *address) {
        struct ifaddrs *all = NULL;
        char wanted[IP_ADDRESS_TEXT_BYTES], *found = NULL;

        (void) ip_address_format(address, wanted);
        if (getifaddrs(&all) < 0)
                return NULL;
        for (const struct ifaddrs *a = all; a && !found; a = a->ifa_next) {
                IpAddress here = { .family = AF_INET };
                char text[IP_ADDRESS_TEXT_BYTES];

                if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET)
                        continue;
                memcpy(here.bytes, &((const struct sockaddr_in *) (const void *) a->ifa_addr)->sin_addr, 4);
                if (g_str_equal(ip_address_format(&here, text), wanted))
                        found = g_strdup(a->ifa_name);
        }
        freeifaddrs(all);
        return found;
}

/* Whether this line of a script does nothing but set or announce an address. */
static bool is_about_address(const char *line) {
        static const char *const commands[] = { "ip addr ", "ip address ", "ip a ",   "ip -4 addr ", "ifconfig ", "ifup ",
                                                "ifdown ",  "arping ",     "exec 2>", "set -e",      "exit 0",    "#" };

        if (g_str_has_prefix(line, "exec ") && !g_str_has_prefix(line, "exec 2>"))
                line += strlen("exec ");
        for (size_t k = 0; *line == '/' && k < 3; k++) { /* the directory of the command */
                const char *slash = line + 1 + strcspn(line + 1, "/ ");

                line = *slash == '/' ? slash : line + 1;
        }
        if (strpbrk(line, ";&|`("))
                return *line == '#';
        for (size_t k = 0; k < G_N_ELEMENTS(commands); k++)
                if (g_str_has_prefix(line, commands[k]))
                        return true;
        return *line == '\0';
}

/* A script that only sets the address is not needed: vipd does that itself. */
static bool only_sets_address(const char *path) {
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;
        gsize n_bytes;

        if (!g_file_get_contents(path, &text, &n_bytes, NULL) || n_bytes > SCRIPT_BYTES_MAX)
                return g_str_equal(path, "/usr/share/ucarp/vip-up") || g_str_equal(path, "/usr/share/ucarp/vip-down");
        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++)
                if (!is_about_address(g_strstrip(*line)))
                        return false;
        return true;
}

static bool keep_script(Import *i, ImportAt at, ImportInstance *v, const char *key, const char *path) {
        if (!path)
                return false;
        if (only_sets_address(path)) {
                import_comment(v->takeover, "%s only set the address, which vipd does itself.", path);
                return false;
        }
        if (import_set(i, v->takeover, at, key, path))
                import_note(i, at, IMPORT_CHANGED,
                            "%s is kept as %s=, but vipd sets the address itself and runs scripts as its own user, without privileges; what needs root is "
                            "better a unit of vipd-master@%s.target",
                            path, key, v->name);
        return true;
}

static void convert_scripts(Import *i, ImportAt at, ImportInstance *v, const TakeoverConfig *t) {
        bool up = keep_script(i, at, v, "UpScript", t->up_script), down = keep_script(i, at, v, "DownScript", t->down_script);

        if ((up || down) && t->script_parameter)
                (void) import_set(i, v->takeover, at, "ScriptParameter", t->script_parameter);
        if (down && t->neutral)
                import_note(i, at, IMPORT_CHANGED, "--neutral: the down script also runs once after the start");
}

static void convert_election(Import *i, ImportAt at, ImportInstance *v, const CarpConfig *c) {
        char text[IP_ADDRESS_TEXT_BYTES];

        import_set_number(v->carp, "VHID", c->vhid);
        if (c->advbase == 255)
                import_note(i, at, IMPORT_NOTE, "--advbase: 255 is 254 here");
        if (c->advbase != 1)
                import_set_number(v->carp, "AdvBase", MIN(c->advbase, 254u));
        if (c->advskew == 255)
                import_note(i, at, IMPORT_NOTE, "--advskew: 255 is 254 here");
        import_set_number(v->carp, "AdvSkew", MIN(c->advskew, 254u));
        if (c->dead_ratio > 255)
                import_note(i, at, IMPORT_CHANGED, "--deadratio: DeadRatio= is at most 255");
        if (c->dead_ratio != 3)
                import_set_number(v->carp, "DeadRatio", MIN(c->dead_ratio, 255u));
        if (c->preempt)
                g_string_append(v->carp, "Preempt=yes\n");
        g_string_append_printf(v->carp, "SourceAddress=%s\n", ip_address_format(&c->source_ipv4, text));
        if (!c->multicast)
                g_string_append(v->carp, "Multicast=no\n");
        if (c->group_ipv4.family != AF_UNSPEC && !g_str_equal(ip_address_format(&c->group_ipv4, text), "224.0.0.18"))
                import_note(i, at, IMPORT_LOST, "--mcastip: the group is 224.0.0.18, always");
}

static void convert(Import *i, ImportAt at, const InstanceConfig *config, const char *interface, const char *address) {
        g_autofree char *name = g_strdup_printf("%s-%u", interface, config->carp.vhid);
        ImportInstance *v = import_add(i, name);
        char text[IP_ADDRESS_TEXT_BYTES];

        g_string_append_printf(v->vip, "Address=%s\nInterface=%s\n", address ?: ip_address_format(&config->addresses[0].address, text), interface);
        convert_election(i, at, v, &config->carp);
        convert_scripts(i, at, v, &config->takeover);
        v->passphrase = g_strndup((const char *) config->carp.key, config->carp.n_key_bytes);
        if (config->ignore_carrier)
                import_note(i, at, IMPORT_LOST, "--ignoreifstate: without carrier vipd leaves the election, always");
}

void import_ucarp(Import *i, ImportAt at, char *const *argv, const char *address) {
        GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
        UcarpOptions o = { 0 };
        g_autofree char *interface = NULL;
        char text[IP_ADDRESS_TEXT_BYTES];

        g_ptr_array_add(words, g_strdup("ucarp"));
        for (; *argv; argv++)
                g_ptr_array_add(words, g_strdup(*argv));
        g_ptr_array_add(words, NULL);
        log_open("vipctl", LOG_TARGET_STDERR, LOG_USER);
        /* the parser sorts the words and wipes the passphrase among them, in place */
        if (ucarp_options_parse((int) words->len - 1, (char **) words->pdata, &o) != UCARP_OUTCOME_RUN) {
                import_note(i, at, IMPORT_LOST, "with these options ucarp does not run, and there is nothing to convert");
                g_ptr_array_unref(words);
                return;
        }
        g_ptr_array_unref(words);
        interface = *o.config->interface ? g_strdup(o.config->interface) : interface_with(&o.config->carp.source_ipv4);
        if (!interface)
                import_note(i, at, IMPORT_LOST, "--interface is missing, and no interface here has the address %s of --srcip",
                            ip_address_format(&o.config->carp.source_ipv4, text));
        else if (!import_is_interface(interface))
                import_note(i, at, IMPORT_LOST, "--interface: \"%s\" is no interface of its own", interface);
        else if (config_address_problem(&o.config->addresses[0].address))
                import_note(i, at, IMPORT_LOST, "--addr: %s %s", ip_address_format(&o.config->addresses[0].address, text),
                            config_address_problem(&o.config->addresses[0].address));
        else
                convert(i, at, o.config, interface, address);
        ucarp_options_clear(&o);
}

bool import_ucarp_process(const char *pid, GStrv *ret_argv) {
        g_autofree char *path = g_strdup_printf("/proc/%s/cmdline", pid), *cwd = g_strdup_printf("/proc/%s/cwd", pid), *text = NULL;
        g_autoptr(GError) error = NULL;
        GPtrArray *words;
        gsize n_bytes;

        if (*pid == '\0' || strspn(pid, "0123456789") != strlen(pid)) {
                client_complain("--pid=%s: this is no number of a process", pid);
                return false;
        }
        if (!g_file_get_contents(path, &text, &n_bytes, &error)) {
                client_complain("The process %s cannot be looked at: %s", pid, error->message);
                return false;
        }
        words = g_ptr_array_new();
        for (const char *word = text, *end = text + n_bytes; word < end; word += strlen(word) + 1)
                g_ptr_array_add(words, g_strdup(word));
        g_ptr_array_add(words, NULL);
        *ret_argv = (GStrv) g_ptr_array_free(words, FALSE);
        explicit_bzero(text, n_bytes);
        if (!(*ret_argv)[0] || (!g_str_has_suffix((*ret_argv)[0], "ucarp"))) {
                client_complain("The process %s is %s and not ucarp", pid, (*ret_argv)[0] ?: "of the kernel, or gone,");
                g_clear_pointer(ret_argv, g_strfreev);
                return false;
        }
        if (g_str_has_suffix((*ret_argv)[0], "vipd-ucarp"))
                client_complain("vipd-ucarp hides its passphrase in the process list; if it was given by --pass, use the command line of its start script");
        /* its relative paths; where that may not be entered, they are left as they are */
        if (chdir(cwd) < 0)
                client_complain("The working directory of the process %s may not be entered; relative paths are taken from here", pid);
        return true;
}
