/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-keys.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "config-access.h"
#include "config-address.h"
#include "config-checks.h"
#include "config-parse.h"
#include "config-reader.h"

/* The keys of a .vip file. One table says which there are; one function per kind of value says what is allowed. A wrong value is an error that
 * names file, line, value and what would be right; an unknown key is a warning. Every mistake of a file is told, not the first alone. */

static void read_byte(ConfigReader *r, const char *value, uint32_t minimum, uint32_t maximum, uint8_t *field) {
        uint32_t number = *field;

        config_read_number(r, value, minimum, maximum, &number);
        *field = (uint8_t) number;
}

/* Who is less demoted is the better one, and may be the slower one; with AdvBase=0 by more than the others' patience. */
static void read_demotion_byte(ConfigReader *r, const char *value, void *field) {
        r->demotion_byte_at = r->at;
        config_read_bool(r, value, field);
}

static void read_vhid(ConfigReader *r, const char *value, void *field) {
        r->vhid_at = r->at;
        read_byte(r, value, 1, 255, field);
}

static void read_advertisement(ConfigReader *r, const char *value, void *field) {
        read_byte(r, value, 0, 254, field);
}

static void read_dead_ratio(ConfigReader *r, const char *value, void *field) {
        config_read_number(r, value, 1, 255, field);
}

static void read_count(ConfigReader *r, const char *value, void *field) {
        config_read_number(r, value, 1, 100, field);
}

/* A bound, so that a unit that hangs is not waited for as if it were asleep. */
static void read_unit_timeout(ConfigReader *r, const char *value, void *field) {
        uint64_t usec;

        if (config_parse_usec(value, &usec) < 0 || usec == 0 || usec > UINT64_C(3600000000))
                config_refuse(r, "a time above 0 and up to 1h, such as 30s");
        else
                *(uint64_t *) field = usec;
}

static void read_unit_failure(ConfigReader *r, const char *value, void *field) {
        if (g_str_equal(value, "ignore"))
                r->config->takeover.demote_on_unit_failure = false;
        else if (g_str_equal(value, "demote"))
                r->config->takeover.demote_on_unit_failure = true;
        else
                config_refuse(r, "ignore or demote");
}

/* Empty: the default, which is not a time. */
static void read_optional_usec(ConfigReader *r, const char *value, void *field) {
        if (*value == '\0')
                *(uint64_t *) field = CONFIG_USEC_UNSET;
        else
                config_read_interval(r, value, field);
}

static void read_script(ConfigReader *r, const char *value, void *field) {
        if (*value && !g_path_is_absolute(value))
                config_refuse(r, "an absolute path");
        else
                config_read_parameter(r, value, field);
}

static void read_lease(ConfigReader *r, const char *value, void *field) {
        uint64_t usec;
        bool flag;

        r->lease_at = r->at;
        if (g_str_equal(value, "auto"))
                r->config->lease = CONFIG_LEASE_AUTO;
        else if (config_parse_usec(value, &usec) >= 0 && usec >= 1000000 && usec % 1000000 == 0 && usec < UINT64_C(86400000000)) {
                r->config->lease = CONFIG_LEASE_FIXED;
                r->config->lease_sec = (uint32_t) (usec / 1000000);
        } else if (config_parse_bool(value, &flag) >= 0 && !flag)
                r->config->lease = CONFIG_LEASE_NO;
        else
                config_refuse(r, "auto, no, or a time in whole seconds from 1s to a day (the kernel counts addresses in seconds)");
}

static void read_replay(ConfigReader *r, const char *value, void *field) {
        bool flag = true;

        if (g_str_equal(value, "strict"))
                r->config->carp.strict_replay = true;
        else if (config_parse_bool(value, &flag) >= 0 && !flag)
                r->config->carp.strict_replay = false;
        else
                config_refuse(r, "no or strict");
}

static void read_digest_addresses(ConfigReader *r, const char *value, void *field) {
        if (g_str_equal(value, "all"))
                r->config->carp.digest_first = false;
        else if (g_str_equal(value, "first"))
                r->config->carp.digest_first = true;
        else
                config_refuse(r, "all or first");
}

static void read_address(ConfigReader *r, const char *word) {
        const char *problem;
        IpPrefix p;

        if (ip_prefix_parse(word, &p) < 0) {
                config_refuse_word(r, word, "is no address; allowed are IPv4 and IPv6 addresses, with or without /LENGTH");
                return;
        }
        problem = config_prefix_problem(&p);
        if (problem) {
                config_refuse_word(r, word, problem);
                return;
        }
        if (p.address.family == AF_INET && ip_address_is_link_local(&p.address))
                config_diagnose(r->set, false, r->name, r->at->file, r->at->line,
                                "Address=%s: is in 169.254.0.0/16, from which hosts without a configuration choose their own, and which no router forwards",
                                word);
        g_array_append_val(r->addresses, p);
        g_ptr_array_add(r->addresses_at, (void *) r->at);
}

static void read_addresses(ConfigReader *r, const char *value, void *field) {
        g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);

        r->list_at = r->at;
        if (*value == '\0') {
                g_array_set_size(r->addresses, 0);
                g_ptr_array_set_size(r->addresses_at, 0);
        }
        for (char **w = words; *w; w++)
                if (**w != '\0')
                        read_address(r, *w);
}

/* An address of another host, or our own on the wire. */
static bool read_host(ConfigReader *r, const char *word, const char *allowed, IpAddress *ret) {
        g_autofree char *sentence = NULL;

        if (ip_address_parse(word, ret) < 0) {
                sentence = g_strdup_printf("is no address; allowed is %s", allowed);
                config_refuse_word(r, word, sentence);
                return false;
        }
        if (!config_address_problem(ret))
                return true;
        config_refuse_word(r, word, config_address_problem(ret));
        return false;
}

static void read_peers(ConfigReader *r, const char *value, void *field) {
        g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);

        r->peers_at = r->at;
        if (*value == '\0')
                g_array_set_size(r->peers, 0);
        for (char **w = words; *w; w++) {
                IpAddress a;

                if (**w != '\0' && read_host(r, *w, "a list of unicast IPv4 and IPv6 addresses", &a))
                        g_array_append_val(r->peers, a);
        }
}

static void read_sources(ConfigReader *r, const char *value, void *field) {
        g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);
        CarpConfig *c = &r->config->carp;

        if (*value == '\0')
                c->source_ipv4 = c->source_ipv6 = (IpAddress) { 0 };
        for (char **w = words; *w; w++) {
                IpAddress a, *slot;

                if (**w == '\0' || !read_host(r, *w, "at most one IPv4 and one IPv6 address", &a))
                        continue;
                slot = a.family == AF_INET ? &c->source_ipv4 : &c->source_ipv6;
                if (slot->family != AF_UNSPEC && !ip_address_equal(slot, &a))
                        config_refuse_word(r, *w, "is the second of its family; allowed is at most one IPv4 and one IPv6 address");
                *slot = a;
        }
}

static void read_passphrase(ConfigReader *r, const char *value, void *field) {
        struct stat st;

        g_clear_pointer(&r->passphrase, config_secret_free);
        r->passphrase = g_strdup(value);
        r->passphrase_at = r->at;
        if (stat(r->at->file, &st) == 0 && (st.st_mode & S_IRWXO) != 0)
                config_error_at(r, r->at, "this file holds a passphrase and others can read it; chmod 0600 it, or use PassphraseFile=");
}

static void read_passphrase_file(ConfigReader *r, const char *value, void *field) {
        g_free(r->passphrase_file);
        r->passphrase_file = *value ? g_strdup(value) : NULL;
        r->passphrase_at = r->at;
        if (*value && !g_path_is_absolute(value)) {
                /* the value is not repeated: it may well be the passphrase itself */
                config_error_at(r, r->at, "PassphraseFile= is no absolute path; the passphrase itself belongs behind Passphrase=");
                g_clear_pointer(&r->passphrase_file, g_free);
                r->passphrase_refused = true;
        }
}

static void read_sync_group(ConfigReader *r, const char *value, void *field) {
        r->sync_group_at = r->at;
        if (*value != '\0' && !config_valid_name(value))
                config_refuse(r, "a name of 1 to 64 letters, digits and _ . : -, not - first");
        else
                config_read_text(r, value, field);
}

static void read_mac_address(ConfigReader *r, const char *value, void *field) {
        if (*value == '\0' || g_ascii_strcasecmp(value, "interface") == 0)
                r->config->virtual_mac = false;
        else if (g_ascii_strcasecmp(value, "virtual") == 0)
                r->config->virtual_mac = true;
        else
                config_refuse(r, "interface or virtual");
}

#define FIELD(member) offsetof(InstanceConfig, member)
static const ConfigKey keys[] = {
        { "VIP", "Description", config_read_text, FIELD(description) },
        { "VIP", "Address", read_addresses, 0 },
        { "VIP", "Interface", config_read_interface, FIELD(interface) },
        { "VIP", "Enabled", config_read_bool, FIELD(enabled) },
        { "VIP", "SyncGroup", read_sync_group, FIELD(sync_group) },
        { "VIP", "MACAddress", read_mac_address, 0 },
        { "VIP", "Lease", read_lease, 0 },
        { "VIP", "StartDelay", read_optional_usec, FIELD(start_delay_usec) },
        { "CARP", "VHID", read_vhid, FIELD(carp.vhid) },
        { "CARP", "Passphrase", read_passphrase, 0 },
        { "CARP", "PassphraseFile", read_passphrase_file, 0 },
        { "CARP", "AdvBase", read_advertisement, FIELD(carp.advbase) },
        { "CARP", "AdvSkew", read_advertisement, FIELD(carp.advskew) },
        { "CARP", "DeadRatio", read_dead_ratio, FIELD(carp.dead_ratio) },
        { "CARP", "Preempt", config_read_bool, FIELD(carp.preempt) },
        { "CARP", "PreemptDelay", config_read_usec, FIELD(carp.preempt_delay_usec) },
        { "CARP", "SourceAddress", read_sources, 0 },
        { "CARP", "Multicast", config_read_bool, FIELD(carp.multicast) },
        { "CARP", "Peers", read_peers, 0 },
        { "CARP", "ReplayProtection", read_replay, 0 },
        { "CARP", "DemotionByte", read_demotion_byte, FIELD(carp.demotion_byte) },
        { "CARP", "DigestAddresses", read_digest_addresses, 0 },
        { "Announce", "Count", read_count, FIELD(announce.count) },
        { "Announce", "Interval", config_read_interval, FIELD(announce.interval_usec) },
        { "Announce", "Refresh", read_optional_usec, FIELD(announce.refresh_usec) },
        { "Takeover", "UnitsBeforeAddress", config_read_bool, FIELD(takeover.units_before_address) },
        { "Takeover", "UnitTimeout", read_unit_timeout, FIELD(takeover.unit_timeout_usec) },
        { "Takeover", "OnUnitFailure", read_unit_failure, 0 },
        { "Takeover", "UpScript", read_script, FIELD(takeover.up_script) },
        { "Takeover", "DownScript", read_script, FIELD(takeover.down_script) },
        { "Takeover", "ScriptParameter", config_read_parameter, FIELD(takeover.script_parameter) },
        { "Takeover", "DemoteHold", config_read_interval, FIELD(takeover.demote_hold_usec) },
};
#undef FIELD

/* Every key there is, those of [Check NAME] behind the others; NULL: no more. */
static const ConfigKey *key_at(size_t k) {
        return k < G_N_ELEMENTS(keys) ? &keys[k] : config_check_key(k - G_N_ELEMENTS(keys));
}

/* [Check NAME] is one section of many. */
static const char *kind_of(const char *section) {
        return config_is_check(section) ? "Check" : section;
}

static bool known_section(const char *section) {
        for (size_t k = 0; key_at(k); k++)
                if (g_str_equal(key_at(k)->section, kind_of(section)))
                        return true;
        return false;
}

static void tell_section(ConfigReader *r, const ConfigAssignment *a) {
        const char *nearest = keys[0].section;
        g_autofree char *shown = NULL;

        for (size_t k = 0; key_at(k); k++)
                if (config_word_distance(a->section, key_at(k)->section) < config_word_distance(a->section, nearest))
                        nearest = key_at(k)->section;
        shown = config_is_near(a->section, nearest) ? g_strdup_printf(" [%s]", a->section) : g_strdup("");
        config_diagnose(r->set, false, r->name, a->file, a->line, "unknown section%s, ignored with all its keys; did you mean [%s]?", shown,
                        nearest);
}

static const ConfigKey *find_key(ConfigReader *r, const ConfigAssignment *a) {
        const ConfigKey *nearest = &keys[0];
        g_autofree char *shown = NULL;

        for (size_t k = 0; key_at(k); k++) {
                const ConfigKey *key = key_at(k);
                unsigned distance = config_word_distance(a->key, key->name), best = config_word_distance(a->key, nearest->name);
                bool here = g_str_equal(key->section, kind_of(a->section));

                if (here && g_str_equal(key->name, a->key))
                        return key;
                if (distance < best || (distance == best && here))
                        nearest = key;
        }
        shown = config_is_near(a->key, nearest->name) ? g_strdup_printf(" %s=", a->key) : g_strdup("");
        config_diagnose(r->set, false, r->name, a->file, a->line, "unknown key%s in [%s], ignored; did you mean %s= in [%s]?",
                        shown, a->section, nearest->name, nearest->section);
        return NULL;
}

static bool is_list(const ConfigKey *k) {
        return k->read == read_addresses || k->read == read_peers || k->read == read_sources;
}

static void warn_repeated(ConfigReader *r, const GPtrArray *assignments, guint at) {
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

static void missing(ConfigReader *r, const char *sentence) {
        config_error_at(r, NULL, sentence);
}

static void set_key(ConfigReader *r, const char *text) {
        size_t n = strlen(text);

        if (n == 0)
                config_error_at(r, r->passphrase_at, "the passphrase is empty");
        else if (n > CARP_PASSPHRASE_BYTES_MAX)
                config_error_at(r, r->passphrase_at,
                         "the passphrase is longer than 19 bytes, which ucarp refuses and BSD cuts off in silence; use at most 19");
        else {
                memcpy(r->config->carp.key, text, n);
                r->config->carp.n_key_bytes = n;
        }
}

static int try_passphrase_file(const char *path, char **ret_sentence) {
        uint8_t key[CARP_KEY_BYTES_MAX];
        size_t n;
        int r = config_read_passphrase_file(path, true, key, &n, ret_sentence);

        explicit_bzero(key, sizeof(key));
        return r;
}

static void set_key_from_file(ConfigReader *r, const char *path) {
        CarpConfig *c = &r->config->carp;
        g_autofree char *sentence = NULL, *theirs = NULL;
        int error = config_read_passphrase_file(path, true, c->key, &c->n_key_bytes, &sentence);

        if (error >= 0 && r->passphrase_file && config_ask_as(r->set->user, try_passphrase_file, path, &theirs) < 0) {
                sentence = g_strdup_printf("%s (tried as user %s, as which the daemon runs; chgrp the file to %s and chmod it 0640)", theirs, r->set->user,
                                           r->set->user);
                error = -EACCES;
        }
        /* what names no file may be the passphrase, if it starts with a slash */
        if (r->passphrase_file && (error == -ENOENT || error == -ENOTDIR || error == -ENAMETOOLONG))
                config_error_at(r, r->passphrase_at, "PassphraseFile= names no file that exists");
        else if (error < 0)
                config_error_at(r, r->passphrase_at, sentence);
}

static void finish_key(ConfigReader *r, const char *credential) {
        if (r->passphrase && r->passphrase_file)
                config_error_at(r, r->passphrase_at, "both Passphrase= and PassphraseFile= are set; keep one");
        else if (r->passphrase)
                set_key(r, r->passphrase);
        else if (r->passphrase_file)
                set_key_from_file(r, r->passphrase_file);
        else if (credential)
                set_key_from_file(r, credential);
        else if (!r->passphrase_refused)
                missing(r, "there is no passphrase: set PassphraseFile= or Passphrase= in [CARP], or the systemd credential \"vipd.NAME\"");
}

static void finish_addresses(ConfigReader *r) {
        InstanceConfig *c = r->config;

        if (r->addresses->len > CONFIG_ADDRESSES_MAX) {
                config_error_at(r, r->list_at, "Address= lists more than 64 addresses");
                return;
        }
        c->n_addresses = r->addresses->len;
        c->addresses = g_memdup2(r->addresses->data, c->n_addresses * sizeof(IpPrefix));
        for (size_t k = 0; k < c->n_addresses; k++)
                for (size_t o = 0; o < k; o++)
                        if (ip_address_equal(&c->addresses[k].address, &c->addresses[o].address)) {
                                const ConfigAssignment *first = g_ptr_array_index(r->addresses_at, o);
                                char text[IP_ADDRESS_TEXT_BYTES];
                                g_autofree char *s = g_strdup_printf("Address=%s: was listed in %s:%u already; once is enough",
                                                                     ip_address_format(&c->addresses[k].address, text), first->file,
                                                                     first->line);

                                config_error_at(r, g_ptr_array_index(r->addresses_at, k), s);
                                break;
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

static void finish_peer(ConfigReader *r, const IpAddress *peer) {
        const InstanceConfig *c = r->config;

        if (c->n_addresses > 0 && !has_family(c, peer->family))
                config_error_at(r, r->peers_at,
                         peer->family == AF_INET ? "Peers= names an IPv4 address, but Address= has none: adverts are sent per family"
                                                 : "Peers= names an IPv6 address, but Address= has none: adverts are sent per family");
        for (size_t k = 0; k < c->n_addresses; k++)
                if (ip_address_equal(peer, &c->addresses[k].address))
                        config_error_at(r, r->peers_at, "Peers= names an address of Address=, which is whoever is master; name the hosts' own");
}

static void finish_peers(ConfigReader *r) {
        CarpConfig *c = &r->config->carp;

        if (r->peers->len > CONFIG_PEERS_MAX) {
                config_error_at(r, r->peers_at, "Peers= lists more than 32 addresses");
                return;
        }
        c->n_peers = r->peers->len;
        c->peers = g_memdup2(r->peers->data, c->n_peers * sizeof(IpAddress));
        for (size_t k = 0; k < c->n_peers; k++)
                finish_peer(r, &c->peers[k]);
}

static void finish(ConfigReader *r, const char *credential) {
        InstanceConfig *c = r->config;
        uint64_t dead_sec = (uint64_t) c->carp.dead_ratio * c->carp.advbase;

        finish_addresses(r);
        finish_peers(r);
        finish_key(r, credential);
        /* adverts that are routed do not come from the virtual MAC: a switch would forget, after five minutes as a rule, where it is */
        if (c->virtual_mac && c->carp.n_peers > 0 && c->announce.refresh_usec == CONFIG_USEC_UNSET)
                c->announce.refresh_usec = UINT64_C(60000000);
        if (*c->interface == '\0')
                missing(r, "Interface= in [VIP] is missing");
        if (c->carp.demotion_byte && c->carp.advbase == 0)
                config_error_at(r, r->demotion_byte_at,
                                "DemotionByte=yes needs an AdvBase= of at least 1: with 0, a host that is less demoted can be slower than the others wait");
        if (!r->vhid_at)
                missing(r, "VHID= in [CARP] is missing");
        if (r->lease_at && c->lease == CONFIG_LEASE_FIXED && c->lease_sec > MAX(dead_sec, 1))
                config_diagnose(r->set, false, r->name, r->lease_at->file, r->lease_at->line,
                                "Lease=%us is longer than the dead interval: the address of a frozen master can outlive its mastership",
                                c->lease_sec);
}

/* Before anything is told: what must not be. */
static void collect_secrets(ConfigReader *r, const GPtrArray *assignments, const char *credential) {
        const char *path = credential;
        uint8_t key[CARP_KEY_BYTES_MAX];
        g_autofree char *ignored = NULL;
        size_t n;

        r->unclaimed = !credential;
        for (guint k = 0; k < assignments->len; k++) {
                const ConfigAssignment *a = g_ptr_array_index(assignments, k);

                if (!a->key || *a->value == '\0' || !config_is_near(a->key, "Passphrase"))
                        continue;
                r->unclaimed = false;
                if (g_str_equal(a->key, "PassphraseFile") && g_path_is_absolute(a->value))
                        path = a->value;
                else
                        g_ptr_array_add(r->secrets, g_strdup(a->value));
        }
        if (path && config_read_passphrase_file(path, false, key, &n, &ignored) >= 0) {
                g_ptr_array_add(r->secrets, g_strndup((const char *) key, n));
                explicit_bzero(key, sizeof(key));
        }
}

static void set_place(ConfigPlace *place, const ConfigAssignment *at) {
        *place = (ConfigPlace) { .file = g_strdup(at->file), .line = at->line };
}

static void read_keys(ConfigReader *r, const GPtrArray *assignments) {
        for (guint k = 0; k < assignments->len; k++) {
                const ConfigAssignment *a = g_ptr_array_index(assignments, k);
                const ConfigKey *key;
                void *fields = r->config;

                if (!known_section(a->section)) {
                        if (!a->key)
                                tell_section(r, a);
                        continue;
                }
                if (config_is_check(a->section)) {
                        fields = config_check_open(r, a);
                        if (!fields)
                                continue;
                }
                key = a->key ? find_key(r, a) : NULL;
                if (!key)
                        continue;
                if (!is_list(key))
                        warn_repeated(r, assignments, k);
                r->at = a;
                key->read(r, a->value, (char *) fields + key->offset);
        }
}

static void place_clear(void *data) {
        ConfigPlace *p = data;

        g_free(p->file);
}

ConfigEntry *config_entry_new(const char *name) {
        ConfigEntry *e = g_new0(ConfigEntry, 1);

        e->name = g_strdup(name);
        e->addresses = g_array_new(false, false, sizeof(ConfigPlace));
        g_array_set_clear_func(e->addresses, place_clear);
        return e;
}

void config_entry_free(void *entry) {
        ConfigEntry *e = entry;

        g_free(e->name);
        place_clear(&e->vhid);
        place_clear(&e->sync_group);
        g_array_unref(e->addresses);
        instance_config_free(e->config);
        g_free(e);
}

void config_keys_apply(ConfigSet *set, ConfigEntry *entry, const char *path, const GPtrArray *assignments, const char *credentials) {
        g_autoptr(InstanceConfig) config = instance_config_new_default(entry->name);
        g_autoptr(GArray) addresses = g_array_new(false, false, sizeof(IpPrefix));
        g_autoptr(GArray) peers = g_array_new(false, false, sizeof(IpAddress));
        g_autoptr(GPtrArray) addresses_at = g_ptr_array_new(), secrets = g_ptr_array_new_with_free_func(config_secret_free);
        g_autofree char *credential = credentials ? g_strdup_printf("%s/vipd.%s", credentials, entry->name) : NULL;
        unsigned n_errors = config_set_n_errors(set);
        ConfigReader r = {
                .set = set,
                .config = config,
                .name = entry->name,
                .path = path,
                .addresses = addresses,
                .addresses_at = addresses_at,
                .peers = peers,
                .secrets = secrets,
        };

        config->path = g_strdup(path);
        if (credential && !g_file_test(credential, G_FILE_TEST_EXISTS))
                g_clear_pointer(&credential, g_free);
        collect_secrets(&r, assignments, credential);
        read_keys(&r, assignments);
        finish(&r, credential);
        config_checks_finish(&r, assignments);
        g_clear_pointer(&r.passphrase, config_secret_free);
        g_free(r.passphrase_file);
        if (r.failed || config_set_n_errors(set) > n_errors)
                return;
        set_place(&entry->vhid, r.vhid_at);
        if (r.sync_group_at)
                set_place(&entry->sync_group, r.sync_group_at);
        for (guint k = 0; k < addresses_at->len; k++) {
                ConfigPlace place;

                set_place(&place, g_ptr_array_index(addresses_at, k));
                g_array_append_val(entry->addresses, place);
        }
        entry->config = g_steal_pointer(&config);
}
