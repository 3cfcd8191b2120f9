/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads the key file into structs. vipd has validated everything; so what is wrong here all the same is no reason to say much, but one broken
 * probe is none to leave the others out either: it reports what is wrong with it. Never says what a value was, as URLs contain passwords. */
#include "checker/probe-config.h"

#include <errno.h>
#include <string.h>

#include "checker/checker-protocol.h"
#include "util/log.h"
#include "util/time-util.h"

#define INTERVAL_DEFAULT_USEC (2 * USEC_PER_SEC)

void probe_config_free(ProbeConfig *c) {
        if (!c)
                return;
        g_strfreev(c->argv);
        g_free(c->problem);
        g_free(c->url);
        g_free(c->method);
        g_free(c->ca_file);
        g_free(c->unix_socket);
        g_free(c->address);
        if (c->expect)
                g_regex_unref(c->expect);
        g_free(c);
}

static void probe_config_destroy(gpointer data) {
        probe_config_free(data);
}

typedef struct Group {
        GKeyFile *file;
        const char *name;
        ProbeConfig *config;
} Group;

static void group_problem(Group *g, const char *key, const char *what) {
        if (!g->config->problem)
                g->config->problem = g_strdup_printf("%s= %s", key, what);
}

/* Where the key is not there, nothing changes. */
static void group_time(Group *g, const char *key, uint64_t min_usec, uint64_t *usec) {
        g_autoptr(GError) error = NULL;
        uint64_t value = g_key_file_get_uint64(g->file, g->name, key, &error);
        if (error || value < min_usec || value > CHECKER_TIME_USEC_MAX)
                group_problem(g, key, "is missing or no such time");
        else
                *usec = value;
}

static bool group_boolean(Group *g, const char *key, bool value) {
        g_autoptr(GError) error = NULL;
        bool b = g_key_file_get_boolean(g->file, g->name, key, &error);
        if (!error)
                return b;
        if (error->code != G_KEY_FILE_ERROR_KEY_NOT_FOUND)
                group_problem(g, key, "is neither true nor false");
        return value;
}

/* NULL: not given, or empty. */
static char *group_text(Group *g, const char *key) {
        char *text = g_key_file_get_string(g->file, g->name, key, NULL);
        if (text && *text == '\0')
                g_clear_pointer(&text, g_free);
        return text;
}

static void read_command(Group *g) {
        ProbeConfig *c = g->config;
        c->argv = g_key_file_get_string_list(g->file, g->name, CHECKER_KEY_ARGV, NULL, NULL);
        if (!c->argv || !c->argv[0] || c->argv[0][0] != '/')
                group_problem(g, CHECKER_KEY_ARGV, "does not begin with an absolute path");
}

/* A method is written into the request as it is. */
static bool method_is_valid(const char *method) {
        size_t n = strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
        return n > 0 && n < 32 && method[n] == '\0';
}

static void read_http(Group *g) {
        ProbeConfig *c = g->config;
        c->url = group_text(g, CHECKER_KEY_URL);
        if (!c->url || (g_ascii_strncasecmp(c->url, "http://", 7) != 0 && g_ascii_strncasecmp(c->url, "https://", 8) != 0))
                group_problem(g, CHECKER_KEY_URL, "is neither http:// nor https://");

        c->method = group_text(g, CHECKER_KEY_METHOD);
        if (!c->method)
                c->method = g_strdup("GET");
        if (!method_is_valid(c->method))
                group_problem(g, CHECKER_KEY_METHOD, "is no method");

        g_autofree char *status = group_text(g, CHECKER_KEY_EXPECT_STATUS), *expect = group_text(g, CHECKER_KEY_EXPECT);
        if (status_ranges_parse(status ? status : CHECKER_EXPECT_STATUS_DEFAULT, &c->expect_status) < 0)
                group_problem(g, CHECKER_KEY_EXPECT_STATUS, "is no list of status codes");
        if (expect) {
                c->expect = g_regex_new(expect, CHECKER_EXPECT_FLAGS, 0, NULL);
                if (!c->expect)
                        group_problem(g, CHECKER_KEY_EXPECT, "is no regular expression");
        }

        c->verify_tls = group_boolean(g, CHECKER_KEY_VERIFY_TLS, true);
        c->follow_redirects = group_boolean(g, CHECKER_KEY_FOLLOW_REDIRECTS, false);
        c->ca_file = group_text(g, CHECKER_KEY_CA_FILE);
        c->unix_socket = group_text(g, CHECKER_KEY_UNIX_SOCKET);
}

/* HOST:PORT or [ADDRESS]:PORT. It becomes part of a URL, in which it must not be able to say anything else. */
static bool address_is_valid(const char *address) {
        size_t n = strspn(address, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:[]%");
        const char *colon = strrchr(address, ':');
        if (address[n] != '\0' || n > 300 || !colon || colon == address)
                return false;
        if (address[0] == '[' ? colon[-1] != ']' : strchr(address, ':') != colon)
                return false;

        size_t n_digits = strspn(colon + 1, "0123456789");
        if (n_digits < 1 || n_digits > 5 || colon[1 + n_digits] != '\0')
                return false;
        uint64_t port = g_ascii_strtoull(colon + 1, NULL, 10);
        return port >= 1 && port <= UINT16_MAX;
}

static void read_tcp(Group *g) {
        ProbeConfig *c = g->config;
        c->address = group_text(g, CHECKER_KEY_ADDRESS);
        if (!c->address || !address_is_valid(c->address))
                group_problem(g, CHECKER_KEY_ADDRESS, "is not HOST:PORT");
}

static void group_read(Group *g) {
        ProbeConfig *c = g->config;
        c->interval_usec = c->timeout_usec = INTERVAL_DEFAULT_USEC;
        group_time(g, CHECKER_KEY_INTERVAL, CHECKER_INTERVAL_USEC_MIN, &c->interval_usec);
        group_time(g, CHECKER_KEY_TIMEOUT, CHECKER_TIMEOUT_USEC_MIN, &c->timeout_usec);

        g_autofree char *type = group_text(g, CHECKER_KEY_TYPE);
        if (g_strcmp0(type, CHECKER_TYPE_COMMAND) == 0) {
                c->type = PROBE_TYPE_COMMAND;
                read_command(g);
        } else if (g_strcmp0(type, CHECKER_TYPE_HTTP) == 0) {
                c->type = PROBE_TYPE_HTTP;
                read_http(g);
        } else if (g_strcmp0(type, CHECKER_TYPE_TCP) == 0) {
                c->type = PROBE_TYPE_TCP;
                read_tcp(g);
        } else {
                group_problem(g, CHECKER_KEY_TYPE, "is not known");
        }
}

static bool group_number(const char *name, uint32_t *ret) {
        guint64 number;
        if (!g_ascii_string_to_unsigned(name, 10, 0, UINT32_MAX, &number, NULL))
                return false;
        *ret = (uint32_t) number;
        return true;
}

/**
 * probe_configs_parse() - the whole key file
 * @text: borrowed
 *
 * Return: ProbeConfig, each with its `problem` if it has one; NULL if this is no such file, which has been logged.
 */
GPtrArray *probe_configs_parse(const char *text, size_t n_bytes) {
        g_autoptr(GKeyFile) file = g_key_file_new();
        g_autoptr(GPtrArray) configs = g_ptr_array_new_with_free_func(probe_config_destroy);
        gsize n = 0;

        /* GLib's own words about it would quote what it read */
        if (n_bytes == 0 || !g_key_file_load_from_data(file, text, n_bytes, G_KEY_FILE_NONE, NULL)) {
                log_error("The list of probes is no key file");
                return NULL;
        }
        g_auto(GStrv) groups = g_key_file_get_groups(file, &n);
        if (n == 0 || n > CHECKER_PROBES_MAX) {
                log_error("The list has %zu probes, which is not between 1 and %i", (size_t) n, CHECKER_PROBES_MAX);
                return NULL;
        }
        for (gsize k = 0; k < n; k++) {
                ProbeConfig *c = g_new0(ProbeConfig, 1);
                Group g = { .file = file, .name = groups[k], .config = c };
                g_ptr_array_add(configs, c);
                if (!group_number(groups[k], &c->number)) {
                        log_error("A probe has no number");
                        return NULL;
                }
                group_read(&g);
        }
        return g_steal_pointer(&configs);
}
