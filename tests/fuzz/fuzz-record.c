/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "record.h"

/* Any bytes as what a dead process noted. Of what it may have held: every address that would be dropped for it stands in it on a line of its own,
 * behind an interface, and means the same when it is written once more. Of an interface's ARP: what would be put back stands in it, too, as a number
 * that the kernel takes. */

static const char *input;

static void require(bool truth) {
        if (!truth)
                abort();
}

static void on_address(void *userdata, const char *interface, const char *text, const IpPrefix *prefix) {
        char written[IP_PREFIX_TEXT_BYTES];
        IpPrefix again;

        require(!strchr(interface, '\n') && g_str_has_prefix(input, interface) && strstr(input + strlen(interface), text));
        require(ip_prefix_parse(ip_prefix_format(prefix, written), &again) >= 0);
        require(ip_address_equal(&prefix->address, &again.address) && prefix->prefix_length == again.prefix_length);
}

static void read_arp(const char *text) {
        ArpSettings settings;
        g_autofree char *ignore = NULL, *announce = NULL;

        if (!record_parse_arp(text, &settings))
                return;
        ignore = g_strdup_printf("%u\n", settings.ignore);
        announce = g_strdup_printf("%u", settings.announce);
        require(settings.ignore <= INT_MAX && settings.announce <= INT_MAX);
        require(g_str_has_prefix(text, "arp_ignore ") && strstr(text, ignore) && strstr(strstr(text, "\narp_announce "), announce));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        g_autofree char *text = g_strndup((const char *) data, n_bytes);

        input = text;
        record_parse(text, on_address, NULL);
        read_arp(text);
        return 0;
}
