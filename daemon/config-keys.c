/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-keys.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "config-parse.h"

/* The keys of a .vip file. One table says which there are; one function per kind of value says what is allowed. A wrong value is an error that
 * names file, line, value and what would be right; an unknown key is a warning. Every mistake of a file is told, not the first alone. */

typedef struct Reader {
        ConfigSet *set;
        InstanceConfig *config;
        const char *name, *path;
        const ConfigAssignment *at;
        GArray *addresses; /* IpPrefix */
        GArray *peers;     /* IpAddress */
        char *passphrase, *passphrase_file;
        const ConfigAssignment *passphrase_at;
        bool vhid, failed;
        bool passphrase_refused; /* told already */
        bool repeated; /* an address; told once */
} Reader;

typedef struct Key {
        const char *section, *name;
        void (*read)(Reader *r, const char *value, void *field);
        size_t offset; /* in InstanceConfig, for the readers of plain values */
} Key;

static void refuse(Reader *r, const char *allowed) {
        config_diagnose(r->set, true, r->name, r->at->file, r->at->line, "%s=%s: allowed is %s", r->at->key, r->at->value, allowed);
        r->failed = true;
}

static void refuse_sentence(Reader *r, const char *sentence) {
        config_diagnose(r->set, true, r->name, r->at->file, r->at->line, "%s=%s: %s", r->at->key, r->at->value, sentence);
        r->failed = true;
}

static void read_bool(Reader *r, const char *value, void *field) {
        if (config_parse_bool(value, field) < 0)
                refuse(r, "yes or no");
}

static void read_number(Reader *r, const char *value, uint32_t minimum, uint32_t maximum, uint32_t *ret) {
        g_autofree char *allowed = g_strdup_printf("a whole number from %u to %u", minimum, maximum);

        if (config_parse_uint(value, minimum, maximum, ret) < 0)
                refuse(r, allowed);
}

static void read_byte(Reader *r, const char *value, uint32_t minimum, uint32_t maximum, uint8_t *field) {
        uint32_t number = *field;

        read_number(r, value, minimum, maximum, &number);
        *field = (uint8_t) number;
}

static void read_vhid(Reader *r, const char *value, void *field) {
        r->vhid = true;
        read_byte(r, value, 1, 255, field);
}

static void read_advertisement(Reader *r, const char *value, void *field) {
        read_byte(r, value, 0, 254, field);
}

static void read_dead_ratio(Reader *r, const char *value, void *field) {
        read_number(r, value, 1, 255, field);
}

static void read_count(Reader *r, const char *value, void *field) {
        read_number(r, value, 1, 100, field);
}

static void read_usec(Reader *r, const char *value, void *field) {
        if (config_parse_usec(value, field) < 0)
                refuse(r, "a time such as 500ms, 3s or \"1min 30s\"");
}

static void read_interval(Reader *r, const char *value, void *field) {
        uint64_t usec;

        if (config_parse_usec(value, &usec) < 0 || usec < 1000)
                refuse(r, "a time of at least 1ms, such as 200ms");
        else
                *(uint64_t *) field = usec;
}

/* A bound, so that a unit that hangs is not waited for as if it were asleep. */
static void read_unit_timeout(Reader *r, const char *value, void *field) {
        uint64_t usec;

        if (config_parse_usec(value, &usec) < 0 || usec == 0 || usec > UINT64_C(3600000000))
                refuse(r, "a time above 0 and up to 1h, such as 30s");
        else
                *(uint64_t *) field = usec;
}

static void read_unit_failure(Reader *r, const char *value, void *field) {
        if (g_str_equal(value, "ignore"))
                r->config->takeover.demote_on_unit_failure = false;
        else if (g_str_equal(value, "demote"))
                r->config->takeover.demote_on_unit_failure = true;
        else
                refuse(r, "ignore or demote");
}

/* Empty: the default, which is not a time. */
static void read_optional_usec(Reader *r, const char *value, void *field) {
        if (*value == '\0')
                *(uint64_t *) field = CONFIG_USEC_UNSET;
        else
                read_interval(r, value, field);
}

static void read_text(Reader *r, const char *value, void *field) {
        g_free(*(char **) field);
        *(char **) field = g_strdup(value);
}

static void read_parameter(Reader *r, const char *value, void *field) {
        g_free(*(char **) field);
        *(char **) field = *value ? g_strdup(value) : NULL;
}

static void read_script(Reader *r, const char *value, void *field) {
        if (*value && !g_path_is_absolute(value))
                refuse(r, "an absolute path");
        else
                read_parameter(r, value, field);
}

static void read_interface(Reader *r, const char *value, void *field) {
        if (*value == '\0' || strlen(value) >= IF_NAMESIZE || strpbrk(value, "/ \t:") || g_str_equal(value, ".") ||
            g_str_equal(value, ".."))
                refuse(r, "an interface name of 1 to 15 characters without /, : and spaces");
        else
                g_strlcpy(field, value, IF_NAMESIZE);
}

static void read_lease(Reader *r, const char *value, void *field) {
        uint64_t usec;
        bool flag;

        if (g_str_equal(value, "auto"))
                r->config->lease = CONFIG_LEASE_AUTO;
        else if (config_parse_usec(value, &usec) >= 0 && usec >= 1000000 && usec % 1000000 == 0 && usec < UINT64_C(86400000000)) {
                r->config->lease = CONFIG_LEASE_FIXED;
                r->config->lease_sec = (uint32_t) (usec / 1000000);
        } else if (config_parse_bool(value, &flag) >= 0 && !flag)
                r->config->lease = CONFIG_LEASE_NO;
        else
                refuse(r, "auto, no, or a time in whole seconds from 1s to a day (the kernel counts addresses in seconds)");
}

static void read_replay(Reader *r, const char *value, void *field) {
        bool flag = true;

        if (g_str_equal(value, "strict"))
                r->config->carp.strict_replay = true;
        else if (config_parse_bool(value, &flag) >= 0 && !flag)
                r->config->carp.strict_replay = false;
        else
                refuse(r, "no or strict");
}

static void read_addresses(Reader *r, const char *value, void *field) {
        g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);

        if (*value == '\0')
                g_array_set_size(r->addresses, 0);
        for (char **w = words; *w; w++) {
                IpPrefix p;

                if (**w == '\0')
                        continue;
                if (ip_prefix_parse(*w, &p) < 0 || p.prefix_length == 0) {
                        g_autofree char *s = g_strdup_printf("\"%s\" is no address; allowed are IPv4 and IPv6 addresses, with or without /LENGTH", *w);

                        refuse_sentence(r, s);
                } else if (ip_address_is_unusable(&p.address)) {
                        g_autofree char *s = g_strdup_printf("\"%s\" is an unspecified, loopback, multicast or broadcast address; no host can hold it for others", *w);

                        refuse_sentence(r, s);
                } else
                        g_array_append_val(r->addresses, p);
        }
}

static void read_peers(Reader *r, const char *value, void *field) {
        g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);

        if (*value == '\0')
                g_array_set_size(r->peers, 0);
        for (char **w = words; *w; w++) {
                IpAddress a;

                if (**w == '\0')
                        continue;
                if (ip_address_parse(*w, &a) < 0 || ip_address_is_unusable(&a))
                        refuse(r, "a list of unicast IPv4 and IPv6 addresses");
                else
                        g_array_append_val(r->peers, a);
        }
}

static void read_sources(Reader *r, const char *value, void *field) {
        g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);
        CarpConfig *c = &r->config->carp;

        if (*value == '\0')
                c->source_ipv4 = c->source_ipv6 = (IpAddress) { 0 };
        for (char **w = words; *w; w++) {
                IpAddress a;

                if (**w == '\0')
                        continue;
                if (ip_address_parse(*w, &a) < 0 || ip_address_is_unusable(&a))
                        refuse(r, "at most one IPv4 and one IPv6 address");
                else {
                        IpAddress *slot = a.family == AF_INET ? &c->source_ipv4 : &c->source_ipv6;

                        if (slot->family != AF_UNSPEC && !ip_address_equal(slot, &a))
                                refuse(r, "at most one IPv4 and one IPv6 address");
                        *slot = a;
                }
        }
}

static void read_passphrase(Reader *r, const char *value, void *field) {
        struct stat st;

        g_free(r->passphrase);
        r->passphrase = g_strdup(value);
        r->passphrase_at = r->at;
        if (stat(r->at->file, &st) == 0 && (st.st_mode & S_IRWXO) != 0) {
                config_diagnose(r->set, true, r->name, r->at->file, r->at->line,
                                "this file holds a passphrase and others can read it; chmod 0600 it, or use PassphraseFile=");
                r->failed = true;
        }
}

static void read_passphrase_file(Reader *r, const char *value, void *field) {
        g_free(r->passphrase_file);
        r->passphrase_file = *value ? g_strdup(value) : NULL;
        r->passphrase_at = r->at;
        if (*value && !g_path_is_absolute(value)) {
                /* the value is not repeated: it may well be the passphrase itself */
                config_diagnose(r->set, true, r->name, r->at->file, r->at->line,
                                "PassphraseFile= is no absolute path; the passphrase itself belongs behind Passphrase=");
                r->failed = true;
                g_clear_pointer(&r->passphrase_file, g_free);
                r->passphrase_refused = true;
        }
}

/* Keys of the design that a later version builds: only what changes nothing is accepted. */
static void unsupported(Reader *r, const char *value, const char *harmless) {
        g_autofree char *s = NULL;

        if (*value == '\0' || g_ascii_strcasecmp(value, harmless) == 0)
                return;
        s = *harmless ? g_strdup_printf("not supported by this version, which knows only \"%s\"", harmless)
                      : g_strdup("not supported by this version");
        refuse_sentence(r, s);
}

static void read_sync_group(Reader *r, const char *value, void *field) {
        unsupported(r, value, "");
}

static void read_mac_address(Reader *r, const char *value, void *field) {
        unsupported(r, value, "interface");
}

#define FIELD(member) offsetof(InstanceConfig, member)
static const Key keys[] = {
        { "VIP", "Description", read_text, FIELD(description) },
        { "VIP", "Address", read_addresses, 0 },
        { "VIP", "Interface", read_interface, FIELD(interface) },
        { "VIP", "Enabled", read_bool, FIELD(enabled) },
        { "VIP", "SyncGroup", read_sync_group, 0 },
        { "VIP", "MACAddress", read_mac_address, 0 },
        { "VIP", "Lease", read_lease, 0 },
        { "VIP", "StartDelay", read_optional_usec, FIELD(start_delay_usec) },
        { "CARP", "VHID", read_vhid, FIELD(carp.vhid) },
        { "CARP", "Passphrase", read_passphrase, 0 },
        { "CARP", "PassphraseFile", read_passphrase_file, 0 },
        { "CARP", "AdvBase", read_advertisement, FIELD(carp.advbase) },
        { "CARP", "AdvSkew", read_advertisement, FIELD(carp.advskew) },
        { "CARP", "DeadRatio", read_dead_ratio, FIELD(carp.dead_ratio) },
        { "CARP", "Preempt", read_bool, FIELD(carp.preempt) },
        { "CARP", "PreemptDelay", read_usec, FIELD(carp.preempt_delay_usec) },
        { "CARP", "SourceAddress", read_sources, 0 },
        { "CARP", "Multicast", read_bool, FIELD(carp.multicast) },
        { "CARP", "Peers", read_peers, 0 },
        { "CARP", "ReplayProtection", read_replay, 0 },
        { "Announce", "Count", read_count, FIELD(announce.count) },
        { "Announce", "Interval", read_interval, FIELD(announce.interval_usec) },
        { "Announce", "Refresh", read_optional_usec, FIELD(announce.refresh_usec) },
        { "Takeover", "UnitsBeforeAddress", read_bool, FIELD(takeover.units_before_address) },
        { "Takeover", "UnitTimeout", read_unit_timeout, FIELD(takeover.unit_timeout_usec) },
        { "Takeover", "OnUnitFailure", read_unit_failure, 0 },
        { "Takeover", "UpScript", read_script, FIELD(takeover.up_script) },
        { "Takeover", "DownScript", read_script, FIELD(takeover.down_script) },
        { "Takeover", "ScriptParameter", read_parameter, FIELD(takeover.script_parameter) },
        { "Takeover", "DemoteHold", read_interval, FIELD(takeover.demote_hold_usec) },
};
#undef FIELD

/* Whether there is such a section; if not, the warning or error. */
static bool known_section(Reader *r, const ConfigAssignment *a, bool say) {
        const char *nearest = keys[0].section;

        for (size_t k = 0; k < G_N_ELEMENTS(keys); k++) {
                if (g_str_equal(keys[k].section, a->section))
                        return true;
                if (config_word_distance(a->section, keys[k].section) < config_word_distance(a->section, nearest))
                        nearest = keys[k].section;
        }
        if (!say)
                return false;
        if (g_str_equal(a->section, "Check") || g_str_has_prefix(a->section, "Check ")) {
                config_diagnose(r->set, true, r->name, a->file, a->line, "[%s]: health checks are not supported by this version", a->section);
                r->failed = true;
        } else
                config_diagnose(r->set, false, r->name, a->file, a->line,
                                "unknown section [%s], ignored; did you mean [%s]?", a->section, nearest);
        return false;
}

static const Key *find_key(Reader *r, const ConfigAssignment *a) {
        const Key *nearest = &keys[0];

        for (size_t k = 0; k < G_N_ELEMENTS(keys); k++) {
                if (g_str_equal(keys[k].section, a->section) && g_str_equal(keys[k].name, a->key))
                        return &keys[k];
                if (config_word_distance(a->key, keys[k].name) < config_word_distance(a->key, nearest->name))
                        nearest = &keys[k];
        }
        config_diagnose(r->set, false, r->name, a->file, a->line, "unknown key %s= in [%s], ignored; did you mean %s= in [%s]?",
                        a->key, a->section, nearest->name, nearest->section);
        return NULL;
}

static bool is_list(const Key *k) {
        return k->read == read_addresses || k->read == read_peers || k->read == read_sources;
}

static void warn_repeated(Reader *r, const GPtrArray *assignments, guint at) {
        const ConfigAssignment *a = g_ptr_array_index(assignments, at);

        for (guint k = 0; k < at; k++) {
                const ConfigAssignment *b = g_ptr_array_index(assignments, k);

                if (b->key && g_str_equal(b->key, a->key) && g_str_equal(b->section, a->section) && g_str_equal(b->file, a->file)) {
                        config_diagnose(r->set, false, r->name, a->file, a->line,
                                        "%s= was set in line %u already; this one counts", a->key, b->line);
                        return;
                }
        }
}

static void missing(Reader *r, const char *sentence) {
        config_diagnose(r->set, true, r->name, r->path, 0, "%s", sentence);
        r->failed = true;
}

static void set_key(Reader *r, const char *text, size_t n, const char *file, unsigned line) {
        const char *problem = NULL;

        if (n == 0)
                problem = "the passphrase is empty";
        else if (n > CARP_PASSPHRASE_BYTES_MAX)
                problem = "the passphrase is longer than 19 bytes, which ucarp refuses and BSD cuts off in silence; use at most 19";
        if (problem) {
                config_diagnose(r->set, true, r->name, file, line, "%s", problem);
                r->failed = true;
                return;
        }
        memcpy(r->config->carp.key, text, n);
        r->config->carp.n_key_bytes = n;
}

static void finish_key(Reader *r, const char *credentials) {
        CarpConfig *c = &r->config->carp;
        g_autofree char *sentence = NULL, *credential = NULL;
        const char *path = r->passphrase_file;

        if (credentials)
                credential = g_strdup_printf("%s/vipd.%s", credentials, r->name);
        if (r->passphrase && r->passphrase_file) {
                config_diagnose(r->set, true, r->name, r->passphrase_at->file, r->passphrase_at->line,
                                "both Passphrase= and PassphraseFile= are set; keep one");
                r->failed = true;
                return;
        }
        if (r->passphrase) {
                set_key(r, r->passphrase, strlen(r->passphrase), r->passphrase_at->file, r->passphrase_at->line);
                return;
        }
        if (!path && credential && g_file_test(credential, G_FILE_TEST_EXISTS))
                path = credential;
        if (!path && r->passphrase_refused)
                return;
        if (!path)
                missing(r, "there is no passphrase: set PassphraseFile= or Passphrase= in [CARP], or the systemd credential \"vipd.NAME\"");
        else if (config_read_passphrase_file(path, true, c->key, &c->n_key_bytes, &sentence) < 0) {
                config_diagnose(r->set, true, r->name, r->passphrase_at ? r->passphrase_at->file : r->path,
                                r->passphrase_at ? r->passphrase_at->line : 0, "%s", sentence);
                r->failed = true;
        }
}

static void finish_addresses(Reader *r) {
        InstanceConfig *c = r->config;

        if (r->addresses->len > CONFIG_ADDRESSES_MAX) {
                missing(r, "Address= lists more than 64 addresses");
                return;
        }
        c->n_addresses = r->addresses->len;
        c->addresses = g_memdup2(r->addresses->data, c->n_addresses * sizeof(IpPrefix));
        for (size_t k = 0; k < c->n_addresses; k++)
                for (size_t o = 0; o < k; o++)
                        if (ip_address_equal(&c->addresses[k].address, &c->addresses[o].address) && !r->repeated) {
                                r->repeated = true;
                                char text[IP_ADDRESS_TEXT_BYTES];
                                g_autofree char *s = g_strdup_printf("%s stands twice in Address=",
                                                                     ip_address_format(&c->addresses[k].address, text));

                                missing(r, s);
                        }
        if (c->n_addresses == 0)
                missing(r, "Address= in [VIP] is missing");
}

static bool has_family(const InstanceConfig *c, int family) {
        for (size_t k = 0; k < c->n_addresses; k++)
                if (c->addresses[k].address.family == family)
                        return true;
        return false;
}

static void finish_peers(Reader *r) {
        CarpConfig *c = &r->config->carp;

        c->n_peers = r->peers->len;
        c->peers = g_memdup2(r->peers->data, c->n_peers * sizeof(IpAddress));
        if (c->n_peers > CONFIG_PEERS_MAX)
                missing(r, "Peers= lists more than 32 addresses");
        for (size_t k = 0; k < c->n_peers; k++)
                if (r->config->n_addresses > 0 && !has_family(r->config, c->peers[k].family))
                        missing(r, c->peers[k].family == AF_INET
                                           ? "Peers= names an IPv4 address, but Address= has none: adverts are sent per family"
                                           : "Peers= names an IPv6 address, but Address= has none: adverts are sent per family");
}

static void finish(Reader *r, const char *credentials) {
        InstanceConfig *c = r->config;
        uint64_t dead_sec = (uint64_t) c->carp.dead_ratio * c->carp.advbase;

        finish_addresses(r);
        finish_peers(r);
        finish_key(r, credentials);
        if (*c->interface == '\0')
                missing(r, "Interface= in [VIP] is missing");
        if (!r->vhid)
                missing(r, "VHID= in [CARP] is missing");
        if (c->lease == CONFIG_LEASE_FIXED && c->lease_sec > MAX(dead_sec, 1))
                config_diagnose(r->set, false, r->name, r->path, 0,
                                "Lease=%us is longer than the dead interval: the address of a frozen master can outlive its mastership",
                                c->lease_sec);
}

InstanceConfig *config_keys_apply(ConfigSet *set, const char *name, const char *path, const GPtrArray *assignments,
                                  const char *credentials) {
        g_autoptr(InstanceConfig) config = instance_config_new_default(name);
        g_autoptr(GArray) addresses = g_array_new(false, false, sizeof(IpPrefix));
        g_autoptr(GArray) peers = g_array_new(false, false, sizeof(IpAddress));
        Reader r = { .set = set, .config = config, .name = name, .path = path, .addresses = addresses, .peers = peers };
        unsigned n_errors = config_set_n_errors(set);

        config->path = g_strdup(path);
        for (guint k = 0; k < assignments->len; k++) {
                const ConfigAssignment *a = g_ptr_array_index(assignments, k);
                const Key *key;

                if (!known_section(&r, a, !a->key) || !a->key)
                        continue;
                key = find_key(&r, a);
                if (!key)
                        continue;
                if (!is_list(key))
                        warn_repeated(&r, assignments, k);
                r.at = a;
                key->read(&r, a->value, (char *) config + key->offset);
        }
        finish(&r, credentials);
        if (r.passphrase)
                explicit_bzero(r.passphrase, strlen(r.passphrase));
        g_free(r.passphrase);
        g_free(r.passphrase_file);
        return r.failed || config_set_n_errors(set) > n_errors ? NULL : g_steal_pointer(&config);
}
