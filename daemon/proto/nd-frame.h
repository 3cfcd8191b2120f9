/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Unsolicited Neighbour Advertisement (RFC 4861 sections 4.4 and 7.2.6): bytes only. */
#include <stddef.h>
#include <stdint.h>

#include "proto/ip-frame.h"

#define ND_FRAME_BYTES 86 /* 14 + 40 + 24 + 8 */

/* To ff02::1, hop limit 255, override set, solicited and router clear, target link-layer option = mac. The IPv6 source is the
 * announced address itself (RFC 4861 4.4: an address assigned to the sending interface). */
void nd_frame_build(const uint8_t mac[MAC_BYTES], const IpAddress *address, uint8_t ret_frame[ND_FRAME_BYTES]);
