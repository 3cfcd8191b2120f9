/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-reader.h"

#include <string.h>

#include "config-parse.h"

/* How a key is read and a mistake in it told. What is told can be read by more people than the file: a passphrase is not repeated, whatever key,
 * section or line of its own it was given to. Knows no key by name. */

void config_secret_free(void *secret) {
        explicit_bzero(secret, strlen(secret));
        g_free(secret);
}

/* Could this be a passphrase that was given to the wrong key? What is short, or a number or address, is told as the mistake it is. */
static bool may_be_secret(const ConfigReader *r, const char *value) {
        for (guint k = 0; k < r->secrets->len; k++) {
                const char *secret = g_ptr_array_index(r->secrets, k);

                if (strlen(secret) < 4 ? g_str_equal(value, secret) : strstr(value, secret) != NULL)
                        return true;
        }
        return r->unclaimed && strlen(value) > 4 && strspn(value, "0123456789.:/+-") != strlen(value);
}

/* A value for a diagnostic. Caller frees. */
char *config_reader_show(const ConfigReader *r, const char *value) {
        return may_be_secret(r, value) ? g_strdup("(not shown)") : config_escape(value, CONFIG_VALUE_BYTES_MAX);
}

void config_error_at(ConfigReader *r, const ConfigAssignment *at, const char *sentence) {
        config_diagnose(r->set, true, r->name, at ? at->file : r->path, at ? at->line : 0, "%s", sentence);
        r->failed = true;
}

void config_refuse_word(ConfigReader *r, const char *word, const char *sentence) {
        g_autofree char *shown = config_reader_show(r, word);

        config_diagnose(r->set, true, r->name, r->at->file, r->at->line, "%s=%s: %s", r->at->key, shown, sentence);
        r->failed = true;
}

void config_refuse(ConfigReader *r, const char *allowed) {
        g_autofree char *sentence = g_strdup_printf("allowed is %s", allowed);

        config_refuse_word(r, r->at->value, sentence);
}

void config_read_bool(ConfigReader *r, const char *value, void *field) {
        if (config_parse_bool(value, field) < 0)
                config_refuse(r, "yes or no");
}

void config_read_number(ConfigReader *r, const char *value, uint32_t minimum, uint32_t maximum, uint32_t *ret) {
        g_autofree char *allowed = g_strdup_printf("a whole number from %u to %u", minimum, maximum);

        if (config_parse_uint(value, minimum, maximum, ret) < 0)
                config_refuse(r, allowed);
}

void config_read_usec(ConfigReader *r, const char *value, void *field) {
        if (config_parse_usec(value, field) < 0)
                config_refuse(r, "a time such as 500ms, 3s or \"1min 30s\"");
}

void config_read_interval(ConfigReader *r, const char *value, void *field) {
        uint64_t usec;

        if (config_parse_usec(value, &usec) < 0 || usec < 1000)
                config_refuse(r, "a time of at least 1ms, such as 200ms");
        else
                *(uint64_t *) field = usec;
}

void config_read_text(ConfigReader *r, const char *value, void *field) {
        g_free(*(char **) field);
        *(char **) field = g_strdup(value);
}

void config_read_parameter(ConfigReader *r, const char *value, void *field) {
        g_free(*(char **) field);
        *(char **) field = *value ? g_strdup(value) : NULL;
}

void config_read_interface(ConfigReader *r, const char *value, void *field) {
        if (*value == '\0' || strlen(value) >= IF_NAMESIZE || strpbrk(value, "/ \t:") || g_str_equal(value, ".") ||
            g_str_equal(value, ".."))
                config_refuse(r, "an interface name of 1 to 15 characters without /, : and spaces");
        else
                g_strlcpy(field, value, IF_NAMESIZE);
}

/* Is it so near that it must have been meant? Only then is the wrong word repeated: a passphrase on a line of its own can look like a key. */
bool config_is_near(const char *word, const char *name) {
        return config_word_distance(word, name) <= strlen(name) / 2;
}

