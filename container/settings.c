/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "settings.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "config-address.h"
#include "config-load.h"
#include "config-parse.h"

/* The arguments VIP PASSWORD [MORE-IPS...] and the variables, as one table says which there are. Everything is checked here, where it can be
 * named by the word that whoever started the container wrote; vipd reads the file that comes of it as any other. Knows no interface, no
 * process and no place for files. An argument may be the passphrase in the wrong place, so only what looks like an address is repeated. */

/* The container runtime puts secrets here, for all in the container to read; everywhere else the mode of the file decides. */
#define SECRETS_DIR "/run/secrets/"

typedef struct Reader {
        Settings *settings;
        const char *name, *value; /* the variable */
        char *sentence;           /* the first mistake */
} Reader;

static G_GNUC_PRINTF(2, 3) void fail(Reader *r, const char *format, ...) {
        va_list args;

        if (r->sentence)
                return;
        va_start(args, format);
        r->sentence = g_strdup_vprintf(format, args);
        va_end(args);
}

static void refuse(Reader *r, const char *allowed) {
        g_autofree char *shown = g_strescape(r->value, NULL);

        fail(r, "%s=%.100s: allowed is %s", r->name, shown, allowed);
}

/* As a line of a file can hold it. */
static bool is_line(const char *text) {
        if (!g_utf8_validate(text, -1, NULL) || g_ascii_isspace(*text) || (*text && g_ascii_isspace(text[strlen(text) - 1])))
                return false;
        for (const char *c = text; *c; c = g_utf8_next_char(c))
                if (g_unichar_iscntrl(g_utf8_get_char(c)))
                        return false;
        return !strstr(text, " #") && !strstr(text, " ;");
}

static void read_interface(Reader *r, const char *key) {
        if (strlen(r->value) >= IF_NAMESIZE || !is_line(r->value) || strpbrk(r->value, "/ \t:#;") || *r->value == '.')
                refuse(r, "the name of an interface, such as eth0");
        else
                (void) g_strlcpy(r->settings->interface, r->value, IF_NAMESIZE);
}

static void read_vhid(Reader *r, const char *key) {
        uint32_t number;

        if (config_parse_uint(r->value, 1, 255, &number) < 0)
                refuse(r, "a whole number from 1 to 255");
        else
                r->settings->vhid = (uint8_t) number;
}

static void read_advertisement(Reader *r, const char *key) {
        uint32_t number;

        if (config_parse_uint(r->value, 0, 254, &number) < 0)
                refuse(r, "a whole number from 0 to 254");
        else
                g_string_append_printf(r->settings->carp, "%s=%u\n", key, number);
}

static void read_preempt(Reader *r, const char *key) {
        bool flag;

        if (config_parse_bool(r->value, &flag) < 0)
                refuse(r, "yes or no");
        else
                g_string_append_printf(r->settings->carp, "%s=%s\n", key, flag ? "yes" : "no");
}

static bool is_printable_word(const char *text) {
        for (const char *c = text; *c; c++)
                if (*c <= ' ' || *c > '~')
                        return false;
        return true;
}

static void read_http(Reader *r, const char *key) {
        const char *host = g_str_has_prefix(r->value, "http://") ? r->value + strlen("http://")
                           : g_str_has_prefix(r->value, "https://") ? r->value + strlen("https://")
                                                                    : "";

        if (*host == '\0' || strchr("/?#:", *host) || !is_printable_word(r->value))
                refuse(r, "http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH, without spaces");
        else
                r->settings->http = g_strdup(r->value);
}

static void read_tcp(Reader *r, const char *key) {
        const char *value = r->value, *colon = strrchr(value, ':');
        bool bracketed = value[0] == '[' && colon && colon > value + 2 && colon[-1] == ']';
        uint32_t port;

        if (!colon || colon == value || config_parse_uint(colon + 1, 1, 65535, &port) < 0 || !is_printable_word(value) ||
            (!bracketed && (memchr(value, ':', (size_t) (colon - value)) || strpbrk(value, "[]/@#;"))))
                refuse(r, "HOST:PORT, and [ADDRESS]:PORT for IPv6");
        else
                r->settings->tcp = g_strdup(value);
}

static void read_expect(Reader *r, const char *key) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GRegex) expression = NULL;

        if (!is_line(r->value)) {
                refuse(r, "a regular expression of one line without spaces at its ends; write \"[ ]#\" for \" #\", which begins a comment");
                return;
        }
        expression = g_regex_new(r->value, G_REGEX_RAW, 0, &error);
        if (!expression)
                fail(r, "CHECK_EXPECT: is no regular expression (Perl's): %s", error->message);
        else
                r->settings->expect = g_strdup(r->value);
}

static void read_between(Reader *r, const char *key, uint64_t minimum_usec, const char *allowed) {
        uint64_t usec;

        if (config_parse_usec(r->value, &usec) < 0 || usec < minimum_usec || usec > UINT64_C(3600000000))
                refuse(r, allowed);
        else
                g_string_append_printf(r->settings->check, "%s=%" G_GUINT64_FORMAT "us\n", key, usec);
}

static void read_period(Reader *r, const char *key) {
        read_between(r, key, 100000, "a time from 100ms to 1h, such as 2s");
}

static void read_timeout(Reader *r, const char *key) {
        read_between(r, key, 10000, "a time from 10ms to 1h, such as 1s");
}

static void read_count(Reader *r, const char *key) {
        uint32_t number;

        if (config_parse_uint(r->value, 1, 100, &number) < 0)
                refuse(r, "a whole number from 1 to 100");
        else
                g_string_append_printf(r->settings->check, "%s=%u\n", key, number);
}

static void read_effect(Reader *r, const char *key) {
        if (!g_str_equal(r->value, "release") && !g_str_equal(r->value, "demote"))
                refuse(r, "release or demote");
        else
                g_string_append_printf(r->settings->check, "%s=%s\n", key, r->value);
}

static const struct {
        const char *name, *key;
        void (*read)(Reader *r, const char *key);
} variables[] = {
        { "DEV", "Interface", read_interface },
        { "VHID", "VHID", read_vhid },
        { "ADVBASE", "AdvBase", read_advertisement },
        { "ADVSKEW", "AdvSkew", read_advertisement },
        { "PREEMPT", "Preempt", read_preempt },
        { "CHECK_HTTP", "URL", read_http },
        { "CHECK_TCP", "Address", read_tcp },
        { "CHECK_EXPECT", "Expect", read_expect },
        { "CHECK_INTERVAL", "Interval", read_period },
        { "CHECK_TIMEOUT", "Timeout", read_timeout },
        { "CHECK_RISE", "Rise", read_count },
        { "CHECK_FALL", "Fall", read_count },
        { "CHECK_ON_FAILURE", "OnFailure", read_effect },
};

/* An empty variable is one that is not there: compose files and unit files cannot unset one. */
static const char *get(char *const *environment, const char *name) {
        const char *value = g_environ_getenv((char **) environment, name);

        return value && *value ? value : NULL;
}

static void read_variables(Reader *r, char *const *environment) {
        for (size_t k = 0; k < G_N_ELEMENTS(variables); k++) {
                r->name = variables[k].name;
                r->value = get(environment, r->name);
                if (r->value)
                        variables[k].read(r, variables[k].key);
        }
        if (r->settings->expect && !r->settings->http)
                fail(r, "CHECK_EXPECT: is about the answer to CHECK_HTTP, which is not set");
        if (r->settings->check->len > 0 && !r->settings->http && !r->settings->tcp)
                fail(r, "CHECK_...: there is nothing to check; set CHECK_HTTP or CHECK_TCP too");
}

/* For a sentence; or nothing, if it may be the passphrase that was given to another argument. Caller frees. */
static char *show(const char *argument) {
        bool address = *argument && strspn(argument, "0123456789.:/") == strlen(argument);

        return address ? g_strdup_printf(" \"%.60s\"", argument) : g_strdup("");
}

static void read_address(Reader *r, const char *name, const char *argument, GArray *addresses) {
        g_autofree char *shown = show(argument);
        const char *problem;
        IpPrefix p;

        if (ip_prefix_parse(argument, &p) < 0) {
                fail(r, "%s%s: is no address; allowed is an IPv4 or IPv6 address such as 192.0.2.10, no name", name, shown);
                return;
        }
        problem = config_prefix_problem(&p);
        if (problem)
                fail(r, "%s%s: %s", name, shown, problem);
        for (guint k = 0; k < addresses->len; k++)
                if (ip_address_equal(&g_array_index(addresses, IpPrefix, k).address, &p.address))
                        fail(r, "%s%s: was listed already; once is enough", name, shown);
        g_array_append_val(addresses, p);
}

static void read_passphrase(Reader *r, const char *argument) {
        Settings *s = r->settings;
        size_t n = strlen(argument);

        if (n == 0)
                fail(r, "PASSWORD: is empty; allowed are 1 to 19 bytes");
        else if (n > CARP_PASSPHRASE_BYTES_MAX)
                fail(r, "PASSWORD: is longer than 19 bytes, which ucarp refuses and BSD cuts off in silence; allowed are 1 to 19 bytes");
        else if (strchr(argument, '\n'))
                fail(r, "PASSWORD: is more than one line");
        else {
                memcpy(s->key, argument, n);
                s->n_key_bytes = n;
        }
}

static void read_passphrase_file(Reader *r, const char *path) {
        g_autofree char *sentence = NULL;
        bool secret = g_str_has_prefix(path, SECRETS_DIR);

        if (config_read_passphrase_file(path, !secret, r->settings->key, &r->settings->n_key_bytes, &sentence) < 0)
                fail(r, "PASSWORD_FILE: %s", sentence);
}

/* As the image that ran ucarp chose it: the first byte of the MD5 of the address as text. There a 0, which is no VHID, was the end; here the next
 * byte counts. */
static uint8_t derive_vhid(const IpAddress *address) {
        char text[IP_ADDRESS_TEXT_BYTES];
        g_autoptr(GChecksum) md5 = g_checksum_new(G_CHECKSUM_MD5);
        uint8_t digest[16];
        gsize n = sizeof(digest);

        g_checksum_update(md5, (const guchar *) ip_address_format(address, text), -1);
        g_checksum_get_digest(md5, digest, &n);
        for (gsize k = 0; k < n; k++)
                if (digest[k] != 0)
                        return digest[k];
        return 1;
}

static void read_arguments(Reader *r, int argc, char *const *argv, const char *passphrase_file) {
        g_autoptr(GArray) addresses = g_array_new(false, false, sizeof(IpPrefix));
        int first_more = passphrase_file ? 2 : 3;

        if (argc < first_more) {
                fail(r, passphrase_file ? "usage: VIP [MORE-IPS...], as PASSWORD_FILE is set"
                                        : "usage: VIP PASSWORD [MORE-IPS...], or VIP [MORE-IPS...] with PASSWORD_FILE=/path/to/file");
                return;
        }
        read_address(r, "VIP", argv[1], addresses);
        for (int k = first_more; k < argc; k++) {
                g_autofree char *name = g_strdup_printf("MORE-IPS (argument %d)", k);

                read_address(r, name, argv[k], addresses);
        }
        if (passphrase_file)
                read_passphrase_file(r, passphrase_file);
        else
                read_passphrase(r, argv[2]);
        r->settings->n_addresses = addresses->len;
        r->settings->addresses = g_memdup2(addresses->data, addresses->len * sizeof(IpPrefix));
}

/**
 * settings_read() - arguments and variables, or the first mistake in them
 */
int settings_read(int argc, char *const *argv, char *const *environment, Settings *ret, char **ret_sentence) {
        Reader r = { .settings = ret };

        *ret = (Settings) { .carp = g_string_new(NULL), .check = g_string_new(NULL) };
        read_arguments(&r, argc, argv, get(environment, "PASSWORD_FILE"));
        read_variables(&r, environment);
        if (r.sentence) {
                *ret_sentence = r.sentence;
                return -EINVAL;
        }
        if (ret->vhid == 0)
                ret->vhid = derive_vhid(&ret->addresses[0].address);
        return 0;
}

void settings_clear(Settings *s) {
        explicit_bzero(s->key, sizeof(s->key));
        g_free(s->addresses);
        g_free(s->http);
        g_free(s->tcp);
        g_free(s->expect);
        if (s->carp)
                g_string_free(s->carp, true);
        if (s->check)
                g_string_free(s->check, true);
        *s = (Settings) { 0 };
}

/* A failed check takes us out of the election, unless CHECK_ON_FAILURE= says otherwise further down: a master that is merely demoted stays master
 * among peers that do not preempt, as a ucarp of the old image does not. */
static void format_check(GString *text, const Settings *s, const char *name, const char *type, const char *key, const char *target) {
        g_string_append_printf(text, "\n[Check %s]\nType=%s\n%s=%s\n", name, type, key, target);
        if (!strstr(s->check->str, "OnFailure="))
                g_string_append(text, "OnFailure=release\n");
        g_string_append(text, s->check->str);
}

/**
 * settings_format() - the text of the .vip file
 */
char *settings_format(const Settings *s, const char *interface, const char *passphrase_file) {
        GString *text = g_string_new("[VIP]\nAddress=");
        char address[IP_PREFIX_TEXT_BYTES];

        for (size_t k = 0; k < s->n_addresses; k++)
                g_string_append_printf(text, "%s%s", k > 0 ? " " : "", ip_prefix_format(&s->addresses[k], address));
        g_string_append_printf(text, "\nInterface=%s\n\n[CARP]\nVHID=%u\nPassphraseFile=%s\n", interface, s->vhid, passphrase_file);
        /* ucarp in the old image signs the first address, and its script adds the others */
        g_string_append_printf(text, "DigestAddresses=first\n%s", s->carp->str);
        if (s->http) {
                format_check(text, s, "http", "http", "URL", s->http);
                if (s->expect)
                        g_string_append_printf(text, "Expect=%s\n", s->expect);
        }
        if (s->tcp)
                format_check(text, s, "tcp", "tcp", "Address", s->tcp);
        return g_string_free(text, false);
}
