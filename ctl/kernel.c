/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/kernel.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

/* The kernel's view, beside vipd's: what vipd says it holds and what is there may differ, and whoever is called at
 * night wants to know. */

static void address_free(void *data) {
        KernelAddress *a = data;

        g_free(a->address);
        g_free(a->interface);
        g_free(a);
}

static unsigned count_bits(const void *mask, size_t n_bytes) {
        const uint8_t *bytes = mask;
        unsigned n = 0;

        for (size_t k = 0; k < n_bytes; k++)
                for (unsigned bit = 0; bit < 8; bit++)
                        n += bytes[k] >> bit & 1;
        return n;
}

static char *format(const struct ifaddrs *i) {
        char text[INET6_ADDRSTRLEN];
        const void *address, *mask;
        size_t n_bytes;

        if (i->ifa_addr->sa_family == AF_INET) {
                address = &((const struct sockaddr_in *) (const void *) i->ifa_addr)->sin_addr;
                mask = &((const struct sockaddr_in *) (const void *) i->ifa_netmask)->sin_addr;
                n_bytes = 4;
        } else {
                address = &((const struct sockaddr_in6 *) (const void *) i->ifa_addr)->sin6_addr;
                mask = &((const struct sockaddr_in6 *) (const void *) i->ifa_netmask)->sin6_addr;
                n_bytes = 16;
        }
        if (!inet_ntop(i->ifa_addr->sa_family, address, text, sizeof(text)))
                return NULL;
        return g_strdup_printf("%s/%u", text, count_bits(mask, n_bytes));
}

GPtrArray *kernel_addresses(void) {
        struct ifaddrs *all = NULL;
        GPtrArray *found;

        if (getifaddrs(&all) < 0)
                return NULL;
        found = g_ptr_array_new_with_free_func(address_free);
        for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
                KernelAddress *a;
                char *text;

                if (!i->ifa_addr || !i->ifa_netmask || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
                        continue;
                text = format(i);
                if (!text)
                        continue;
                a = g_new0(KernelAddress, 1);
                *a = (KernelAddress) { text, g_strdup(i->ifa_name) };
                g_ptr_array_add(found, a);
        }
        freeifaddrs(all);
        return found;
}

const KernelAddress *kernel_find(const GPtrArray *addresses, const char *address) {
        size_t n = strcspn(address, "/");

        for (guint k = 0; k < addresses->len; k++) {
                const KernelAddress *a = g_ptr_array_index(addresses, k);

                if (strncmp(a->address, address, n) == 0 && a->address[n] == '/')
                        return a;
        }
        return NULL;
}
