/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Which addresses this host really has. */
#include <glib.h>

typedef struct KernelAddress {
        char *address; /* with its prefix length */
        char *interface;
} KernelAddress;

/* KernelAddress, of all interfaces of this network namespace; the caller frees it. NULL: cannot be known, and errno
 * says why. */
GPtrArray *kernel_addresses(void);
/* The same address with whatever prefix length; borrowed, or NULL. address: with or without one. */
const KernelAddress *kernel_find(const GPtrArray *addresses, const char *address);
