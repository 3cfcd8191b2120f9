/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-keys.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "config-address.h"
#include "config-parse.h"

/* The keys of a .vip file. One table says which there are; one function per kind of value says what is allowed. A wrong value is an error that
 * names file, line, value and what would be right; an unknown key is a warning. Every mistake of a file is told, not the first alone. What is
 * told can be read by more people than the file: a passphrase is not repeated, whatever key, section or line of its own it was given to. */

typedef struct Reader {
        ConfigSet *set;
        InstanceConfig *config;
        const char *name, *path;
        const ConfigAssignment *at;
        GArray *addresses;       /* IpPrefix */
        GPtrArray *addresses_at; /* const ConfigAssignment *, one per address */
        GArray *peers;           /* IpAddress */
        GPtrArray *secrets;      /* what the file or a file it names gives as passphrase, right or wrong; wiped when freed */
        const ConfigAssignment *vhid_at, *lease_at, *peers_at, *list_at;
        char *passphrase, *passphrase_file;
        const ConfigAssignment *passphrase_at;
        bool failed;
        bool passphrase_refused; /* told already */
        bool unclaimed;          /* there is no passphrase anywhere: it may stand behind any wrong key */
} Reader;

typedef struct Key {
        const char *section, *name;
        void (*read)(Reader *r, const char *value, void *field);
        size_t offset; /* in InstanceConfig, for the readers of plain values */
} Key;

static void secret_free(void *secret) {
        explicit_bzero(secret, strlen(secret));
        g_free(secret);
}

/* Could this be a passphrase that was given to the wrong key? What is short, or a number or address, is told as the mistake it is. */
static bool may_be_secret(const Reader *r, const char *value) {
        for (guint k = 0; k < r->secrets->len; k++) {
                const char *secret = g_ptr_array_index(r->secrets, k);

                if (strlen(secret) < 4 ? g_str_equal(value, secret) : strstr(value, secret) != NULL)
                        return true;
        }
        return r->unclaimed && strlen(value) > 4 && strspn(value, "0123456789.:/+-") != strlen(value);
}

/* A value for a diagnostic. Caller frees. */
static char *show(const Reader *r, const char *value) {
        return may_be_secret(r, value) ? g_strdup("(not shown)") : config_escape(value, CONFIG_VALUE_BYTES_MAX);
}

static void error_at(Reader *r, const ConfigAssignment *at, const char *sentence) {
        config_diagnose(r->set, true, r->name, at ? at->file : r->path, at ? at->line : 0, "%s", sentence);
        r->failed = true;
}

static void refuse_word(Reader *r, const char *word, const char *sentence) {
        g_autofree char *shown = show(r, word);

        config_diagnose(r->set, true, r->name, r->at->file, r->at->line, "%s=%s: %s", r->at->key, shown, sentence);
        r->failed = true;
}

static void refuse(Reader *r, const char *allowed) {
        g_autofree char *sentence = g_strdup_printf("allowed is %s", allowed);

        refuse_word(r, r->at->value, sentence);
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
        r->vhid_at = r->at;
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

        r->lease_at = r->at;
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

static void read_address(Reader *r, const char *word) {
        const char *problem;
        IpPrefix p;

        if (ip_prefix_parse(word, &p) < 0) {
                refuse_word(r, word, "is no address; allowed are IPv4 and IPv6 addresses, with or without /LENGTH");
                return;
        }
        problem = config_prefix_problem(&p);
        if (problem) {
                refuse_word(r, word, problem);
                return;
        }
        if (p.address.family == AF_INET && ip_address_is_link_local(&p.address))
                config_diagnose(r->set, false, r->name, r->at->file, r->at->line,
                                "Address=%s: is in 169.254.0.0/16, from which hosts without a configuration choose their own, and which no router forwards",
                                word);
        g_array_append_val(r->addresses, p);
        g_ptr_array_add(r->addresses_at, (void *) r->at);
}

static void read_addresses(Reader *r, const char *value, void *field) {
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
static bool read_host(Reader *r, const char *word, const char *allowed, IpAddress *ret) {
        g_autofree char *sentence = NULL;

        if (ip_address_parse(word, ret) < 0) {
                sentence = g_strdup_printf("is no address; allowed is %s", allowed);
                refuse_word(r, word, sentence);
                return false;
        }
        if (!config_address_problem(ret))
                return true;
        refuse_word(r, word, config_address_problem(ret));
        return false;
}

static void read_peers(Reader *r, const char *value, void *field) {
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

static void read_sources(Reader *r, const char *value, void *field) {
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
                        refuse_word(r, *w, "is the second of its family; allowed is at most one IPv4 and one IPv6 address");
                *slot = a;
        }
}

static void read_passphrase(Reader *r, const char *value, void *field) {
        struct stat st;

        g_clear_pointer(&r->passphrase, secret_free);
        r->passphrase = g_strdup(value);
        r->passphrase_at = r->at;
        if (stat(r->at->file, &st) == 0 && (st.st_mode & S_IRWXO) != 0)
                error_at(r, r->at, "this file holds a passphrase and others can read it; chmod 0600 it, or use PassphraseFile=");
}

static void read_passphrase_file(Reader *r, const char *value, void *field) {
        g_free(r->passphrase_file);
        r->passphrase_file = *value ? g_strdup(value) : NULL;
        r->passphrase_at = r->at;
        if (*value && !g_path_is_absolute(value)) {
                /* the value is not repeated: it may well be the passphrase itself */
                error_at(r, r->at, "PassphraseFile= is no absolute path; the passphrase itself belongs behind Passphrase=");
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
        refuse_word(r, value, s);
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

/* Is it so near that it must have been meant? Only then is the wrong word repeated: a passphrase on a line of its own can look like a key. */
static bool is_near(const char *word, const char *name) {
        return config_word_distance(word, name) <= strlen(name) / 2;
}

static bool is_check(const char *section) {
        return g_str_equal(section, "Check") || g_str_has_prefix(section, "Check ");
}

static bool known_section(const char *section) {
        for (size_t k = 0; k < G_N_ELEMENTS(keys); k++)
                if (g_str_equal(keys[k].section, section))
                        return true;
        return false;
}

static void tell_section(Reader *r, const ConfigAssignment *a) {
        const char *nearest = keys[0].section;
        g_autofree char *shown = NULL;

        for (size_t k = 0; k < G_N_ELEMENTS(keys); k++)
                if (config_word_distance(a->section, keys[k].section) < config_word_distance(a->section, nearest))
                        nearest = keys[k].section;
        if (is_check(a->section)) {
                g_autofree char *sentence = NULL;

                shown = show(r, a->section);
                sentence = g_strdup_printf("[%s]: health checks are not supported by this version", shown);
                error_at(r, a, sentence);
        } else {
                shown = is_near(a->section, nearest) ? g_strdup_printf(" [%s]", a->section) : g_strdup("");
                config_diagnose(r->set, false, r->name, a->file, a->line,
                                "unknown section%s, ignored with all its keys; did you mean [%s]?", shown, nearest);
        }
}

static const Key *find_key(Reader *r, const ConfigAssignment *a) {
        const Key *nearest = &keys[0];
        g_autofree char *shown = NULL;

        for (size_t k = 0; k < G_N_ELEMENTS(keys); k++) {
                if (g_str_equal(keys[k].section, a->section) && g_str_equal(keys[k].name, a->key))
                        return &keys[k];
                if (config_word_distance(a->key, keys[k].name) < config_word_distance(a->key, nearest->name))
                        nearest = &keys[k];
        }
        shown = is_near(a->key, nearest->name) ? g_strdup_printf(" %s=", a->key) : g_strdup("");
        config_diagnose(r->set, false, r->name, a->file, a->line, "unknown key%s in [%s], ignored; did you mean %s= in [%s]?",
                        shown, a->section, nearest->name, nearest->section);
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
        error_at(r, NULL, sentence);
}

static void set_key(Reader *r, const char *text) {
        size_t n = strlen(text);

        if (n == 0)
                error_at(r, r->passphrase_at, "the passphrase is empty");
        else if (n > CARP_PASSPHRASE_BYTES_MAX)
                error_at(r, r->passphrase_at,
                         "the passphrase is longer than 19 bytes, which ucarp refuses and BSD cuts off in silence; use at most 19");
        else {
                memcpy(r->config->carp.key, text, n);
                r->config->carp.n_key_bytes = n;
        }
}

static void set_key_from_file(Reader *r, const char *path) {
        CarpConfig *c = &r->config->carp;
        g_autofree char *sentence = NULL;
        int error = config_read_passphrase_file(path, true, c->key, &c->n_key_bytes, &sentence);

        /* what names no file may be the passphrase, if it starts with a slash */
        if (r->passphrase_file && (error == -ENOENT || error == -ENOTDIR || error == -ENAMETOOLONG))
                error_at(r, r->passphrase_at, "PassphraseFile= names no file that exists");
        else if (error < 0)
                error_at(r, r->passphrase_at, sentence);
}

static void finish_key(Reader *r, const char *credential) {
        if (r->passphrase && r->passphrase_file)
                error_at(r, r->passphrase_at, "both Passphrase= and PassphraseFile= are set; keep one");
        else if (r->passphrase)
                set_key(r, r->passphrase);
        else if (r->passphrase_file)
                set_key_from_file(r, r->passphrase_file);
        else if (credential)
                set_key_from_file(r, credential);
        else if (!r->passphrase_refused)
                missing(r, "there is no passphrase: set PassphraseFile= or Passphrase= in [CARP], or the systemd credential \"vipd.NAME\"");
}

static void finish_addresses(Reader *r) {
        InstanceConfig *c = r->config;

        if (r->addresses->len > CONFIG_ADDRESSES_MAX) {
                error_at(r, r->list_at, "Address= lists more than 64 addresses");
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

                                error_at(r, g_ptr_array_index(r->addresses_at, k), s);
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

static void finish_peer(Reader *r, const IpAddress *peer) {
        const InstanceConfig *c = r->config;

        if (c->n_addresses > 0 && !has_family(c, peer->family))
                error_at(r, r->peers_at,
                         peer->family == AF_INET ? "Peers= names an IPv4 address, but Address= has none: adverts are sent per family"
                                                 : "Peers= names an IPv6 address, but Address= has none: adverts are sent per family");
        for (size_t k = 0; k < c->n_addresses; k++)
                if (ip_address_equal(peer, &c->addresses[k].address))
                        error_at(r, r->peers_at, "Peers= names an address of Address=, which is whoever is master; name the hosts' own");
}

static void finish_peers(Reader *r) {
        CarpConfig *c = &r->config->carp;

        if (r->peers->len > CONFIG_PEERS_MAX) {
                error_at(r, r->peers_at, "Peers= lists more than 32 addresses");
                return;
        }
        c->n_peers = r->peers->len;
        c->peers = g_memdup2(r->peers->data, c->n_peers * sizeof(IpAddress));
        for (size_t k = 0; k < c->n_peers; k++)
                finish_peer(r, &c->peers[k]);
}

static void finish(Reader *r, const char *credential) {
        InstanceConfig *c = r->config;
        uint64_t dead_sec = (uint64_t) c->carp.dead_ratio * c->carp.advbase;

        finish_addresses(r);
        finish_peers(r);
        finish_key(r, credential);
        if (*c->interface == '\0')
                missing(r, "Interface= in [VIP] is missing");
        if (!r->vhid_at)
                missing(r, "VHID= in [CARP] is missing");
        if (r->lease_at && c->lease == CONFIG_LEASE_FIXED && c->lease_sec > MAX(dead_sec, 1))
                config_diagnose(r->set, false, r->name, r->lease_at->file, r->lease_at->line,
                                "Lease=%us is longer than the dead interval: the address of a frozen master can outlive its mastership",
                                c->lease_sec);
}

/* Before anything is told: what must not be. */
static void collect_secrets(Reader *r, const GPtrArray *assignments, const char *credential) {
        const char *path = credential;
        uint8_t key[CARP_KEY_BYTES_MAX];
        g_autofree char *ignored = NULL;
        size_t n;

        r->unclaimed = !credential;
        for (guint k = 0; k < assignments->len; k++) {
                const ConfigAssignment *a = g_ptr_array_index(assignments, k);

                if (!a->key || *a->value == '\0' || !is_near(a->key, "Passphrase"))
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

static void read_keys(Reader *r, const GPtrArray *assignments) {
        for (guint k = 0; k < assignments->len; k++) {
                const ConfigAssignment *a = g_ptr_array_index(assignments, k);
                const Key *key;

                if (!known_section(a->section)) {
                        if (!a->key)
                                tell_section(r, a);
                        continue;
                }
                key = a->key ? find_key(r, a) : NULL;
                if (!key)
                        continue;
                if (!is_list(key))
                        warn_repeated(r, assignments, k);
                r->at = a;
                key->read(r, a->value, (char *) r->config + key->offset);
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
        g_array_unref(e->addresses);
        instance_config_free(e->config);
        g_free(e);
}

void config_keys_apply(ConfigSet *set, ConfigEntry *entry, const char *path, const GPtrArray *assignments, const char *credentials) {
        g_autoptr(InstanceConfig) config = instance_config_new_default(entry->name);
        g_autoptr(GArray) addresses = g_array_new(false, false, sizeof(IpPrefix));
        g_autoptr(GArray) peers = g_array_new(false, false, sizeof(IpAddress));
        g_autoptr(GPtrArray) addresses_at = g_ptr_array_new(), secrets = g_ptr_array_new_with_free_func(secret_free);
        g_autofree char *credential = credentials ? g_strdup_printf("%s/vipd.%s", credentials, entry->name) : NULL;
        unsigned n_errors = config_set_n_errors(set);
        Reader r = {
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
        g_clear_pointer(&r.passphrase, secret_free);
        g_free(r.passphrase_file);
        if (r.failed || config_set_n_errors(set) > n_errors)
                return;
        set_place(&entry->vhid, r.vhid_at);
        for (guint k = 0; k < addresses_at->len; k++) {
                ConfigPlace place;

                set_place(&place, g_ptr_array_index(addresses_at, k));
                g_array_append_val(entry->addresses, place);
        }
        entry->config = g_steal_pointer(&config);
}
