/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Writes JSON: values in order, on one line or indented. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Json {
        GString *text;
        unsigned depth;
        bool pretty;
        bool first; /* in the object or array that is open */
} Json;

void json_init(Json *j, bool pretty);
char *json_steal(Json *j); /* what was written, with a newline; the caller frees it */
/* key: NULL in an array and at the top. Brackets: '{' and '}', '[' and ']'. */
void json_begin(Json *j, const char *key, char bracket);
void json_end(Json *j, char bracket);
void json_string(Json *j, const char *key, const char *value); /* NULL: null */
void json_number(Json *j, const char *key, uint64_t value);
void json_bool(Json *j, const char *key, bool value);
void json_null(Json *j, const char *key);
