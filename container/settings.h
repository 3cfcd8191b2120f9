/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the container was told, by arguments and variables, as validated values; and as the text of a .vip file. */
#include <glib.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/carp.h"
#include "proto/ip-address.h"

#define SETTINGS_INSTANCE "vip" /* the name of the instance, on the bus and in the log */

typedef struct Settings {
        IpPrefix *addresses; /* the first is the one that peers must agree on */
        size_t n_addresses;
        char interface[IF_NAMESIZE]; /* DEV; "": choose */
        uint8_t vhid;
        uint8_t key[CARP_KEY_BYTES_MAX];
        size_t n_key_bytes;
        GString *carp, *check; /* lines for [CARP] and for each check: plain values, validated */
        char *http, *tcp;      /* CHECK_HTTP, CHECK_TCP; NULL: none */
        char *expect;          /* CHECK_EXPECT; NULL: none */
} Settings;

/* argv as main() gets it. environment: "NAME=value" strings, NULL-terminated. 0, or -EINVAL with one printable sentence that names the argument
 * or variable and what is allowed, without a secret. *ret must be cleared in both cases. Caller frees the sentence. */
int settings_read(int argc, char *const *argv, char *const *environment, Settings *ret, char **ret_sentence);
void settings_clear(Settings *s); /* wipes the passphrase */
/* The .vip file for an interface, with the passphrase in a file of its own. Caller frees. */
char *settings_format(const Settings *s, const char *interface, const char *passphrase_file);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Settings, settings_clear)
