/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* VRRP shares CARP's IP protocol number: just enough of it to recognise it (RFC 3768, RFC 9568). */
#include "proto/ip-frame.h"

/* The version, 2 or 3, of a whole and plausible advertisement; 0: it is none. Its virtual router ID is where CARP has the VHID. */
unsigned vrrp_recognise(const IpGlimpse *g);
