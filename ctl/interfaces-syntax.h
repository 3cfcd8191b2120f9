/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* /etc/network/interfaces as a list of stanzas. */
#include <glib.h>

#include "ctl/import.h"

typedef struct InterfacesOption {
        char *name, *value;
        char *file;
        unsigned line;
} InterfacesOption;

/* "iface NAME ..." with its options; "auto" and "allow-..." are stanzas with neither. */
typedef struct InterfacesStanza {
        char *kind; /* iface, auto, allow-hotplug */
        char *name; /* of iface: eth0; of the others: the rest of the line */
        char *inherits; /* of iface: the name of the one whose options come first; NULL: of none */
        GPtrArray *options;
        char *file;
        unsigned line;
} InterfacesStanza;

typedef struct InterfacesReader {
        char *(*read)(const char *path, gsize *ret_n_bytes, GError **ret_error);
        char **(*expand)(const char *pattern);    /* of source; NULL: nothing is included */
        char **(*directory)(const char *pattern); /* of source-directory: the files in it that count */
} InterfacesReader;

/* Stanzas in order; never fails, what was not understood is noted. The caller unrefs the array. */
GPtrArray *interfaces_parse(Import *notes, const InterfacesReader *reader, const char *file);
/* The first option of this name, or NULL. */
const InterfacesOption *interfaces_option(const InterfacesStanza *s, const char *name);
