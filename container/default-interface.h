/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Which interface an address belongs on, when nobody said so. */
#include <net/if.h>
#include <stdbool.h>

#include "proto/ip-address.h"

/* The Ethernet interface in whose subnet the address is; else the one of the default route of its family. False: there is neither. */
bool default_interface_find(const IpAddress *address, char ret[IF_NAMESIZE]);
/* The interface of the default route with the lowest metric in the text of /proc/net/route or /proc/net/ipv6_route; false: there is none. */
bool default_interface_from_routes(int family, const char *text, char ret[IF_NAMESIZE]);
