/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Which addresses a host can share, or speak from and to. */
#include "proto/ip-address.h"

/* Why no host can be reached at this address by others, as the end of a sentence that starts with the address; NULL: it can. */
const char *config_address_problem(const IpAddress *a);
/* The same of an address with the subnet it is to be held in. */
const char *config_prefix_problem(const IpPrefix *p);
