/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "config-file.h"
#include "config-keys.h"
#include "config-parse.h"

/* Directories to a set of instances: which files count (systemd's precedence, drop-ins, masks), what each says (config-keys.c), and what they
 * may not say together. A broken file breaks its own instance alone. */

static const char *const default_directories[] = { "/etc/vipd", "/run/vipd", "/usr/lib/vipd", NULL };

static const char *const level_names[] = { "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug" };

/* May this group read our secrets? Root's and our own may. Root itself, who runs --check, cannot tell whose file it will be. */
static bool is_our_group(gid_t group) {
        gid_t groups[64];
        int n = getgroups(G_N_ELEMENTS(groups), groups);

        if (group == 0 || group == getegid() || geteuid() == 0)
                return true;
        for (int k = 0; k < n; k++)
                if (groups[k] == group)
                        return true;
        return false;
}

/* Read by a descriptor that was looked at, so that what was checked is what is read. */
int config_read_passphrase_file(const char *path, bool check_mode, uint8_t ret_key[CARP_KEY_BYTES_MAX], size_t *ret_n_bytes,
                                char **ret_sentence) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        char buffer[512];
        struct stat st;
        ssize_t n;
        char *end;

        if (fd < 0) {
                int error = errno;

                *ret_sentence = g_strdup_printf("the passphrase file %s cannot be read: %s", path, g_strerror(error));
                return -error;
        }
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                (void) close(fd);
                *ret_sentence = g_strdup_printf("the passphrase file %s is not a regular file", path);
                return -EINVAL;
        }
        n = read(fd, buffer, sizeof(buffer) - 1);
        if (n < 0) {
                int error = errno;

                (void) close(fd);
                *ret_sentence = g_strdup_printf("the passphrase file %s cannot be read: %s", path, g_strerror(error));
                return -error;
        }
        (void) close(fd);
        if (check_mode && ((st.st_mode & S_IRWXO) != 0 || ((st.st_mode & S_IRWXG) != 0 && !is_our_group(st.st_gid)))) {
                explicit_bzero(buffer, sizeof(buffer));
                *ret_sentence = g_strdup_printf("others can read the passphrase file %s (mode %04o); chgrp it to vipd and chmod 0640, or chown it to vipd and chmod 0600",
                                                path, (unsigned) st.st_mode & 07777);
                return -EPERM;
        }
        end = memchr(buffer, '\n', (size_t) n);
        if (end)
                n = end - buffer;
        if (n == 0 || n > CARP_PASSPHRASE_BYTES_MAX || memchr(buffer, '\0', (size_t) n)) {
                explicit_bzero(buffer, sizeof(buffer));
                *ret_sentence = n == 0 ? g_strdup_printf("the first line of the passphrase file %s is empty", path)
                                : n > CARP_PASSPHRASE_BYTES_MAX
                                        ? g_strdup_printf("the passphrase in %s is longer than 19 bytes, which ucarp refuses and BSD cuts off in silence; use at most 19", path)
                                        : g_strdup_printf("the passphrase in %s contains a NUL byte", path);
                return -EINVAL;
        }
        memcpy(ret_key, buffer, (size_t) n);
        *ret_n_bytes = (size_t) n;
        explicit_bzero(buffer, sizeof(buffer));
        return 0;
}

static void load_entry(ConfigSet *set, const char *const *directories, const char *path, const char *credentials) {
        g_autoptr(GPtrArray) assignments = g_ptr_array_new_with_free_func(config_assignment_free);
        g_autoptr(GPtrArray) drop_ins = NULL;
        g_autofree char *base = g_path_get_basename(path), *directory = g_strdup_printf("%s.d", base);
        g_autofree char *name = g_strndup(base, strlen(base) - strlen(".vip"));
        ConfigEntry *e = config_entry_new(name);
        unsigned n_errors = config_set_n_errors(set);

        g_ptr_array_add(set->entries, e);
        if (!config_valid_name(name)) {
                config_diagnose(set, true, name, path, 0,
                                "\"%s\" cannot name an instance; allowed are 1 to 64 letters, digits and _ . : -, not - first", name);
                return;
        }
        if (!config_file_read(assignments, set, name, path))
                return;
        drop_ins = config_file_list(set, name, directories, directory, ".conf");
        for (guint k = 0; k < drop_ins->len; k++)
                (void) config_file_read(assignments, set, name, g_ptr_array_index(drop_ins, k));
        config_keys_apply(set, e, path, assignments, credentials);
        /* a line that could not be scanned is a mistake like any other */
        if (config_set_n_errors(set) > n_errors)
                e->config = instance_config_free(e->config);
}

static void apply_daemon(ConfigSet *set, const ConfigAssignment *a) {
        g_autofree char *shown = NULL;

        if (!g_str_equal(a->section, "Daemon")) {
                if (!a->key)
                        config_diagnose(set, false, NULL, a->file, a->line, "unknown section, ignored; did you mean [Daemon]?");
                return;
        }
        if (!a->key)
                return;
        if (!g_str_equal(a->key, "LogLevel")) {
                config_diagnose(set, false, NULL, a->file, a->line, "unknown key in [Daemon], ignored; did you mean LogLevel=?");
                return;
        }
        for (size_t l = 0; l < G_N_ELEMENTS(level_names); l++)
                if (g_str_equal(a->value, level_names[l])) {
                        set->daemon.log_level = (int) l;
                        return;
                }
        shown = config_escape(a->value, CONFIG_VALUE_BYTES_MAX);
        config_diagnose(set, true, NULL, a->file, a->line,
                        "LogLevel=%s: allowed is emerg, alert, crit, err, warning, notice, info or debug", shown);
}

static void load_daemon(ConfigSet *set, const char *const *directories) {
        g_autoptr(GPtrArray) assignments = g_ptr_array_new_with_free_func(config_assignment_free);
        g_autoptr(GPtrArray) drop_ins = config_file_list(set, NULL, directories, "vipd.conf.d", ".conf");
        g_autoptr(GPtrArray) files = config_file_list(set, NULL, directories, NULL, "vipd.conf");

        for (guint k = 0; k < files->len; k++)
                if (g_str_has_suffix(g_ptr_array_index(files, k), "/vipd.conf"))
                        (void) config_file_read(assignments, set, NULL, g_ptr_array_index(files, k));
        for (guint k = 0; k < drop_ins->len; k++)
                (void) config_file_read(assignments, set, NULL, g_ptr_array_index(drop_ins, k));
        for (guint k = 0; k < assignments->len; k++)
                apply_daemon(set, g_ptr_array_index(assignments, k));
}

/* Told where the later one says it, with the place where the earlier one does. */
static void refuse_address(ConfigSet *set, ConfigEntry *later, size_t at, const ConfigPlace *earlier) {
        const ConfigPlace *place = &g_array_index(later->addresses, ConfigPlace, at);
        char text[IP_ADDRESS_TEXT_BYTES];

        config_diagnose(set, true, later->name, place->file, place->line, "Address=%s is taken by %s:%u; no two instances can hold the same address",
                        ip_address_format(&later->config->addresses[at].address, text), earlier->file, earlier->line);
}

static void tell_conflict(ConfigSet *set, ConfigEntry *later, const ConfigEntry *earlier) {
        const InstanceConfig *l = later->config, *e = earlier->config;

        if (g_str_equal(l->interface, e->interface) && l->carp.vhid == e->carp.vhid)
                config_diagnose(set, true, later->name, later->vhid.file, later->vhid.line,
                                "VHID=%u on %s is taken by %s:%u; every instance on an interface needs its own, 1 to 255",
                                l->carp.vhid, l->interface, earlier->vhid.file, earlier->vhid.line);
        for (size_t k = 0; k < l->n_addresses; k++)
                for (size_t o = 0; o < e->n_addresses; o++)
                        if (instance_config_address_collides(l, k, e, o))
                                refuse_address(set, later, k, &g_array_index(earlier->addresses, ConfigPlace, o));
}

/* The later of two by name gives way, so that which one runs does not depend on the order of a directory. */
static void find_conflicts(ConfigSet *set) {
        for (guint k = 1; k < set->entries->len; k++) {
                ConfigEntry *later = g_ptr_array_index(set->entries, k);

                for (guint o = 0; o < k && later->config; o++) {
                        const ConfigEntry *earlier = g_ptr_array_index(set->entries, o);

                        if (!earlier->config || !instance_config_collides(later->config, earlier->config))
                                continue;
                        tell_conflict(set, later, earlier);
                        later->config = instance_config_free(later->config);
                }
        }
}

/* Allowed, but the hosts may then never agree on who is better: one is on one segment, another on the other. Told where the later one joins. */
static void compare_group_members(ConfigSet *set, const ConfigEntry *later, const ConfigEntry *earlier) {
        const CarpConfig *l = &later->config->carp, *e = &earlier->config->carp;
        const struct {
                const char *key;
                bool differs;
        } keys[] = {
                { "AdvBase", l->advbase != e->advbase },
                { "AdvSkew", l->advskew != e->advskew },
                { "Preempt", l->preempt != e->preempt },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(keys); k++)
                if (keys[k].differs)
                        config_diagnose(set, false, later->name, later->sync_group.file, later->sync_group.line,
                                        "%s= differs from that of %s, which is in the same sync group", keys[k].key, earlier->name);
}

/* Each with the first of its group. */
static void compare_groups(ConfigSet *set) {
        for (guint k = 1; k < set->entries->len; k++) {
                const ConfigEntry *later = g_ptr_array_index(set->entries, k);

                for (guint o = 0; o < k && later->config && *later->config->sync_group != '\0'; o++) {
                        const ConfigEntry *earlier = g_ptr_array_index(set->entries, o);

                        if (!earlier->config || !g_str_equal(earlier->config->sync_group, later->config->sync_group))
                                continue;
                        compare_group_members(set, later, earlier);
                        break;
                }
        }
}

/* A daemon waits for its first instance and says nothing; who checks has written one, perhaps elsewhere or under another name. */
static void warn_if_empty(ConfigSet *set, const char *const *directories) {
        g_autofree char *others = g_strjoinv(" or ", (char **) (directories + 1));

        if (set->entries->len > 0 || set->incomplete)
                return;
        config_diagnose(set, false, NULL, *directories, 0, "there is no instance; each is a file NAME.vip in this directory%s%s, see name.vip(5)",
                        *others ? " or " : "", others);
}

const char *config_daemon_user(const char *directory) {
        g_autofree char *path = directory ? g_canonicalize_filename(directory, NULL) : NULL;

        /* another directory may be meant for another daemon, as that of a container */
        return !path || g_strv_contains(default_directories, path) ? "vipd" : NULL;
}

static ConfigSet *load(const char *user, const char *const *directories, const char *credentials) {
        ConfigSet *set = g_new0(ConfigSet, 1);
        g_autoptr(GPtrArray) files = NULL;

        set->user = user;
        set->entries = g_ptr_array_new_with_free_func(config_entry_free);
        set->diagnostics = g_ptr_array_new_with_free_func(config_diagnostic_free);
        set->daemon.log_level = LOG_INFO;
        load_daemon(set, directories);
        files = config_file_list(set, NULL, directories, NULL, ".vip");
        for (guint k = 0; k < files->len; k++)
                load_entry(set, directories, g_ptr_array_index(files, k), credentials);
        find_conflicts(set);
        compare_groups(set);
        return set;
}

ConfigSet *config_load(const char *const *directories, const char *credentials) {
        return load(NULL, directories ?: default_directories, credentials);
}

ConfigSet *config_load_for(const char *user, const char *const *directories, const char *credentials) {
        ConfigSet *set = load(user, directories ?: default_directories, credentials);

        warn_if_empty(set, directories ?: default_directories);
        return set;
}

ConfigSet *config_set_free(ConfigSet *set) {
        if (!set)
                return NULL;
        g_ptr_array_unref(set->entries);
        g_ptr_array_unref(set->diagnostics);
        g_free(set);
        return NULL;
}
