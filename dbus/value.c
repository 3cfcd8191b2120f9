/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbus/value.h"

#include <stdbool.h>
#include <string.h>

/* sd-bus shows what is in a message one value at a time and compares nothing. Knows D-Bus types, and no property of ours. */

/* FNV-1a (draft-eastlake-fnv-17, 64 bits). Two values that look alike by chance cost somebody one signal: 1 in 2^64. */
#define DIGEST_BASIS UINT64_C(0xcbf29ce484222325)
#define DIGEST_PRIME UINT64_C(0x100000001b3)

static void put(uint64_t *digest, const void *bytes, size_t n) {
        for (size_t k = 0; k < n; k++)
                *digest = (*digest ^ ((const uint8_t *) bytes)[k]) * DIGEST_PRIME;
}

static int put_basic(sd_bus_message *m, char type, uint64_t *digest) {
        union {
                const char *text;
                uint64_t number;
        } value = { .number = 0 };
        int r = sd_bus_message_read_basic(m, type, &value);

        if (r < 0)
                return r;
        if (strchr("sog", type))
                put(digest, value.text, strlen(value.text) + 1);
        else
                put(digest, &value.number, sizeof(value.number));
        return 0;
}

/* Type and content of each value, and a zero, which is no type, at the end of what contains them: what differs is never the same bytes. */
static int put_values(sd_bus_message *m, uint64_t *digest) {
        const char *contents;
        char type;
        int r;

        while ((r = sd_bus_message_peek_type(m, &type, &contents)) > 0) {
                put(digest, &type, 1);
                if (contents) {
                        r = sd_bus_message_enter_container(m, type, contents);
                        if (r >= 0)
                                r = put_values(m, digest);
                        if (r >= 0)
                                r = sd_bus_message_exit_container(m);
                } else
                        r = put_basic(m, type, digest);
                if (r < 0)
                        return r;
        }
        put(digest, "", 1);
        return r;
}

/**
 * value_digest() - the body of a message as a number that is another one when the values are others
 * @m: complete; sealed here
 *
 * Returns 0 when sd-bus fails.
 */
uint64_t value_digest(sd_bus_message *m) {
        uint64_t digest = DIGEST_BASIS;
        int r;

        r = sd_bus_message_seal(m, 1, 0);
        if (r >= 0)
                r = sd_bus_message_rewind(m, true);
        if (r >= 0)
                r = put_values(m, &digest);
        return r < 0 ? 0 : digest;
}
