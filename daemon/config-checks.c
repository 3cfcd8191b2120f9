/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-checks.h"

#include <string.h>

#include "config-parse.h"

/* The keys of [Check NAME]. Every section of that kind is a check of its own, whose keys may come from several files. Knows what may be written,
 * not what is done with it. */

#define TYPE(t) (1u << CHECK_TYPE_##t)

static void read_type(ConfigReader *r, const char *value, void *field) {
        for (CheckType t = 0; t < N_CHECK_TYPES; t++)
                if (g_str_equal(value, check_type_to_string(t))) {
                        *(CheckType *) field = t;
                        return;
                }
        config_refuse(r, "unit, link, command, http or tcp");
}

static void read_between(ConfigReader *r, const char *value, uint64_t minimum_usec, const char *allowed, uint64_t *field) {
        uint64_t usec;

        if (config_parse_usec(value, &usec) < 0 || usec < minimum_usec || usec > UINT64_C(3600000000))
                config_refuse(r, allowed);
        else
                *field = usec;
}

static void read_period(ConfigReader *r, const char *value, void *field) {
        read_between(r, value, 100000, "a time from 100ms to 1h, such as 2s", field);
}

static void read_timeout(ConfigReader *r, const char *value, void *field) {
        read_between(r, value, 10000, "a time from 10ms to 1h, such as 1s", field);
}

static void read_times(ConfigReader *r, const char *value, void *field) {
        config_read_number(r, value, 1, 100, field);
}

static void read_weight(ConfigReader *r, const char *value, void *field) {
        config_read_number(r, value, 1, 254, field);
}

static void read_effect(ConfigReader *r, const char *value, void *field) {
        if (g_str_equal(value, "demote"))
                *(bool *) field = false;
        else if (g_str_equal(value, "release"))
                *(bool *) field = true;
        else
                config_refuse(r, "demote or release");
}

/* systemd's rule for the names of units, without what only templates have. */
static void read_unit(ConfigReader *r, const char *value, void *field) {
        const char *dot = strrchr(value, '.');

        if (!dot || dot == value || dot[1] == '\0' || strlen(value) > 255 ||
            strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@") != strlen(value))
                config_refuse(r, "the full name of a unit, such as haproxy.service");
        else
                config_read_parameter(r, value, field);
}

static void read_command(ConfigReader *r, const char *value, void *field) {
        g_auto(GStrv) argv = NULL;

        /* quotes and backslashes as a shell reads them, and nothing else of it */
        if (!g_shell_parse_argv(value, NULL, &argv, NULL) || !g_path_is_absolute(argv[0])) {
                config_refuse(r, "an absolute path and arguments, with quotes in pairs; no shell reads it");
                return;
        }
        g_strfreev(*(char ***) field);
        *(char ***) field = g_steal_pointer(&argv);
}

static bool is_printable_word(const char *value) {
        for (const char *p = value; *p; p++)
                if (*p <= ' ' || *p > '~')
                        return false;
        return true;
}

static void read_url(ConfigReader *r, const char *value, void *field) {
        const char *host = g_str_has_prefix(value, "http://") ? value + strlen("http://")
                           : g_str_has_prefix(value, "https://") ? value + strlen("https://")
                                                                 : "";

        if (*host == '\0' || strchr("/?#:", *host) || !is_printable_word(value))
                config_refuse(r, "http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH, without spaces");
        else
                config_read_parameter(r, value, field);
}

static void read_method(ConfigReader *r, const char *value, void *field) {
        if (*value == '\0' || strlen(value) > 16 || strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(value))
                config_refuse(r, "a method of HTTP in capitals: GET, HEAD, OPTIONS, ...");
        else
                config_read_text(r, value, field);
}

static bool is_status(const char *word) {
        g_auto(GStrv) ends = g_strsplit(word, "-", 2);
        uint32_t first, last;

        if (!ends[0] || config_parse_uint(ends[0], 100, 599, &first) < 0)
                return false;
        return !ends[1] || (config_parse_uint(ends[1], 100, 599, &last) >= 0 && last >= first);
}

static void read_status(ConfigReader *r, const char *value, void *field) {
        g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);
        bool any = false;

        for (char **w = words; *w; w++) {
                if (**w != '\0' && !is_status(*w)) {
                        config_refuse(r, "a list of statuses and ranges from 100 to 599, such as \"200-299 304\"");
                        return;
                }
                any = any || **w != '\0';
        }
        if (any)
                config_read_text(r, value, field);
        else
                config_refuse(r, "a list of statuses and ranges from 100 to 599, such as \"200-299 304\"");
}

static void read_expression(ConfigReader *r, const char *value, void *field) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GRegex) expression = g_regex_new(value, G_REGEX_RAW, 0, &error);
        g_autofree char *allowed = NULL;

        if (expression) {
                config_read_parameter(r, value, field);
                return;
        }
        allowed = g_strdup_printf("a regular expression (Perl's): %s", error->message);
        config_refuse(r, allowed);
}

static void read_path(ConfigReader *r, const char *value, void *field) {
        if (*value && !g_path_is_absolute(value))
                config_refuse(r, "an absolute path");
        else
                config_read_parameter(r, value, field);
}

static void read_host_port(ConfigReader *r, const char *value, void *field) {
        const char *colon = strrchr(value, ':');
        bool bracketed = value[0] == '[' && colon && colon > value + 2 && colon[-1] == ']';
        uint32_t port;

        if (!colon || colon == value || config_parse_uint(colon + 1, 1, 65535, &port) < 0 || !is_printable_word(value) ||
            (!bracketed && (memchr(value, ':', (size_t) (colon - value)) || strpbrk(value, "[]/@"))))
                config_refuse(r, "HOST:PORT, and [ADDRESS]:PORT for IPv6");
        else
                config_read_parameter(r, value, field);
}

#define FIELD(member) offsetof(CheckConfig, member)
static const ConfigKey keys[] = {
        { "Check", "Type", read_type, FIELD(type), 0 },
        { "Check", "Unit", read_unit, FIELD(unit), TYPE(UNIT) },
        { "Check", "Interface", config_read_interface, FIELD(interface), TYPE(LINK) },
        { "Check", "Command", read_command, FIELD(command), TYPE(COMMAND) },
        { "Check", "URL", read_url, FIELD(url), TYPE(HTTP) },
        { "Check", "Method", read_method, FIELD(method), TYPE(HTTP) },
        { "Check", "ExpectStatus", read_status, FIELD(expect_status), TYPE(HTTP) },
        { "Check", "Expect", read_expression, FIELD(expect), TYPE(HTTP) },
        { "Check", "VerifyTLS", config_read_bool, FIELD(verify_tls), TYPE(HTTP) },
        { "Check", "CAFile", read_path, FIELD(ca_file), TYPE(HTTP) },
        { "Check", "UnixSocket", read_path, FIELD(unix_socket), TYPE(HTTP) },
        { "Check", "FollowRedirects", config_read_bool, FIELD(follow_redirects), TYPE(HTTP) },
        { "Check", "Address", read_host_port, FIELD(address), TYPE(TCP) },
        { "Check", "Interval", read_period, FIELD(interval_usec), 0 },
        { "Check", "Timeout", read_timeout, FIELD(timeout_usec), 0 },
        { "Check", "Rise", read_times, FIELD(rise), 0 },
        { "Check", "Fall", read_times, FIELD(fall), 0 },
        { "Check", "OnFailure", read_effect, FIELD(release), 0 },
        { "Check", "Weight", read_weight, FIELD(weight), 0 },
};
#undef FIELD

bool config_is_check(const char *section) {
        return g_str_equal(section, "Check") || g_str_has_prefix(section, "Check ");
}

const ConfigKey *config_check_key(size_t k) {
        return k < G_N_ELEMENTS(keys) ? &keys[k] : NULL;
}

/* The name in the section's header, or NULL: it is none. */
static const char *name_of(const char *section) {
        const char *name = section + strlen("Check");
        size_t n;

        name += strspn(name, " \t");
        n = strlen(name);
        return n > 0 && n <= CONFIG_NAME_BYTES_MAX &&
                               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-") == n
                       ? name
                       : NULL;
}

static CheckConfig *find(const ConfigReader *r, const char *name) {
        for (guint k = 0; k < r->config->checks->len; k++) {
                CheckConfig *c = g_ptr_array_index(r->config->checks, k);

                if (g_str_equal(c->name, name))
                        return c;
        }
        return NULL;
}

void *config_check_open(ConfigReader *r, const ConfigAssignment *at) {
        const char *name = name_of(at->section);
        CheckConfig *c = name ? find(r, name) : NULL;

        if (c)
                return c;
        if (!name) {
                if (!at->key)
                        config_error_at(r, at, "a check needs a name: [Check NAME], of 1 to 64 letters, digits and _ . : -");
                return NULL;
        }
        if (r->config->checks->len == CONFIG_CHECKS_MAX) {
                if (!at->key)
                        config_error_at(r, at, "this is one check more than the 16 that an instance may have");
                return NULL;
        }
        c = check_config_new_default(name);
        c->type = N_CHECK_TYPES;
        g_ptr_array_add(r->config->checks, c);
        return c;
}

/* What a check of its type cannot do without, and has not; NULL: nothing. */
static const char *missing(const CheckConfig *c) {
        switch (c->type) {
        case CHECK_TYPE_UNIT:
                return c->unit ? NULL : "Unit";
        case CHECK_TYPE_LINK:
                return *c->interface != '\0' ? NULL : "Interface";
        case CHECK_TYPE_COMMAND:
                return c->command ? NULL : "Command";
        case CHECK_TYPE_HTTP:
                return c->url ? NULL : "URL";
        case CHECK_TYPE_TCP:
                return c->address ? NULL : "Address";
        }
        return "Type";
}

static bool is_useless(const CheckConfig *c, const char *key) {
        for (size_t k = 0; (unsigned) c->type < N_CHECK_TYPES && k < G_N_ELEMENTS(keys); k++)
                if (g_str_equal(keys[k].name, key) && keys[k].types != 0 && (keys[k].types & 1u << c->type) == 0)
                        return true;
        return false;
}

/* The last assignment of this key, or the section's first line. */
static const ConfigAssignment *find_assignment(const CheckConfig *c, const GPtrArray *assignments, const char *key) {
        const ConfigAssignment *found = NULL;

        for (guint k = 0; k < assignments->len; k++) {
                const ConfigAssignment *a = g_ptr_array_index(assignments, k);

                if (config_is_check(a->section) && g_strcmp0(name_of(a->section), c->name) == 0 && (!found || (a->key && g_str_equal(a->key, key))))
                        found = a;
        }
        return found;
}

/* No probe begins before the last one has ended, so what Interval= and Fall= promise is not kept for a server that hangs. */
static void warn_slow(const ConfigReader *r, const CheckConfig *c, const GPtrArray *assignments) {
        const ConfigAssignment *at = find_assignment(c, assignments, "Timeout");

        if (c->timeout_usec <= c->interval_usec || c->type == CHECK_TYPE_UNIT || c->type == CHECK_TYPE_LINK)
                return;
        config_diagnose(r->set, false, r->name, at->file, at->line,
                        "[Check %s]: Timeout= is longer than Interval=, so what hangs is found out only after Fall= times Timeout=", c->name);
}

/* Once for an instance. With DemotionByte=, and with AdvBase=0, where who is demoted is too slow, others take over in any case. */
static void warn_without_preempt(const ConfigReader *r, const GPtrArray *assignments) {
        const CarpConfig *carp = &r->config->carp;

        for (guint k = 0; !carp->preempt && !carp->demotion_byte && carp->advbase > 0 && k < r->config->checks->len; k++) {
                const CheckConfig *c = g_ptr_array_index(r->config->checks, k);
                const ConfigAssignment *at = find_assignment(c, assignments, "OnFailure");

                if (c->release)
                        continue;
                config_diagnose(r->set, false, r->name, at->file, at->line,
                                "[Check %s]: OnFailure=demote moves the address only to hosts with Preempt=yes, which this one has not: it would not take over "
                                "from a peer whose check fails; set Preempt=yes in [CARP] on every host, or OnFailure=release", c->name);
                return;
        }
}

/* What is missing is said where the check is first named; what was given and wrong has been said. */
static void finish_check(ConfigReader *r, const CheckConfig *c, const GPtrArray *assignments) {
        const ConfigAssignment *first = NULL;
        const char *wanted = missing(c);
        g_autofree char *sentence = NULL, *shown = config_reader_show(r, c->name);

        for (guint k = 0; k < assignments->len; k++) {
                const ConfigAssignment *a = g_ptr_array_index(assignments, k);

                if (!config_is_check(a->section) || g_strcmp0(name_of(a->section), c->name) != 0)
                        continue;
                first = first ?: a;
                if (a->key && g_strcmp0(a->key, wanted) == 0)
                        wanted = NULL;
                if (a->key && is_useless(c, a->key))
                        config_diagnose(r->set, false, r->name, a->file, a->line, "%s= says nothing to a check with Type=%s, ignored", a->key,
                                        check_type_to_string(c->type));
        }
        if (!wanted)
                return;
        sentence = g_strdup_printf("[Check %s]: %s= is missing", shown, wanted);
        config_error_at(r, first, sentence);
}

void config_checks_finish(ConfigReader *r, const GPtrArray *assignments) {
        for (guint k = 0; k < r->config->checks->len; k++)
                finish_check(r, g_ptr_array_index(r->config->checks, k), assignments);
        /* what is wrong comes first; it may be these very keys */
        if (r->failed)
                return;
        for (guint k = 0; k < r->config->checks->len; k++)
                warn_slow(r, g_ptr_array_index(r->config->checks, k), assignments);
        warn_without_preempt(r, assignments);
}
