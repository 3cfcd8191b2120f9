/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Neighbour discovery (RFC 4861): the unsolicited advertisement, a question, and what others claim. Bytes only. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/ip-frame.h"
#include "proto/neighbour-claim.h"

#define ND_FRAME_BYTES 86 /* 14 + 40 + 24 + 8 */

/* To ff02::1, hop limit 255, override set, solicited and router clear, target link-layer option = mac. The IPv6 source is the
 * announced address itself (RFC 4861 4.4: an address assigned to the sending interface). */
void nd_frame_build(const uint8_t mac[MAC_BYTES], const IpAddress *address, uint8_t ret_frame[ND_FRAME_BYTES]);
/* To the solicited-node group: who has address? source: ours, to whom the answer goes, never none: that would be duplicate address detection,
 * which a holder answers to all, and all would believe him. */
void nd_frame_build_question(const uint8_t mac[MAC_BYTES], const IpAddress *source, const IpAddress *address,
                             uint8_t ret_frame[ND_FRAME_BYTES]);
/* A received Ethernet frame, padding allowed. True: an advertisement, or a solicitation of duplicate address detection, that passes the checks of
 * RFC 4861 7.1. */
bool nd_frame_parse(const uint8_t *frame, size_t n_bytes, NeighbourClaim *ret);
