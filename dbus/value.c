/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbus/value.h"

#include <stdbool.h>
#include <string.h>

/* sd-bus shows what is in a message one value at a time and compares nothing. Knows D-Bus types, and no property of ours. */

static int put_basic(sd_bus_message *m, char type, GByteArray *bytes) {
        union {
                const char *text;
                uint64_t number;
        } value = { .number = 0 };
        int r = sd_bus_message_read_basic(m, type, &value);

        if (r < 0)
                return r;
        if (strchr("sog", type))
                g_byte_array_append(bytes, (const uint8_t *) value.text, (guint) strlen(value.text) + 1);
        else
                g_byte_array_append(bytes, (const uint8_t *) &value.number, sizeof(value.number));
        return 0;
}

/* Type and content of each value, and a zero, which is no type, at the end of what contains them: no two values look alike. */
static int put_values(sd_bus_message *m, GByteArray *bytes) {
        const char *contents;
        char type;
        int r;

        while ((r = sd_bus_message_peek_type(m, &type, &contents)) > 0) {
                g_byte_array_append(bytes, (const uint8_t *) &type, 1);
                if (contents) {
                        r = sd_bus_message_enter_container(m, type, contents);
                        if (r >= 0)
                                r = put_values(m, bytes);
                        if (r >= 0)
                                r = sd_bus_message_exit_container(m);
                } else
                        r = put_basic(m, type, bytes);
                if (r < 0)
                        return r;
        }
        g_byte_array_append(bytes, (const uint8_t *) "", 1);
        return r;
}

/**
 * value_bytes() - the body of a message as bytes that are equal if, and only if, the values are
 * @m: complete; sealed here
 *
 * Returns NULL when sd-bus fails.
 */
GBytes *value_bytes(sd_bus_message *m) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        int r;

        r = sd_bus_message_seal(m, 1, 0);
        if (r >= 0)
                r = sd_bus_message_rewind(m, true);
        if (r >= 0)
                r = put_values(m, bytes);
        return r < 0 ? NULL : g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
}
