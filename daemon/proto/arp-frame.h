/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* ARP (RFC 826): the gratuitous form of RFC 5227, a question, and what others claim. Bytes only. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/ip-frame.h"
#include "proto/neighbour-claim.h"

#define ARP_FRAME_BYTES 42

typedef enum ArpForm {
        ARP_FORM_REQUEST, /* op 1, target = sender: the ARP announcement of RFC 5227 */
        ARP_FORM_REPLY,   /* op 2: caches that ignore requests not meant for them */
} ArpForm;

/* Broadcast, sender and target protocol address = address (IPv4). ethernet_source and the sender MAC are `mac`. */
void arp_frame_build(ArpForm form, const uint8_t mac[MAC_BYTES], const IpAddress *address, uint8_t ret_frame[ARP_FRAME_BYTES]);
/* Broadcast: who has address? source: ours, to whom the answer goes; none: 0.0.0.0, which is RFC 5227's probe. */
void arp_frame_build_question(const uint8_t mac[MAC_BYTES], const IpAddress *source, const IpAddress *address,
                              uint8_t ret_frame[ARP_FRAME_BYTES]);
/* A received Ethernet frame, padding allowed. True: whole, Ethernet and IPv4, a request or a reply, and it claims an address. */
bool arp_frame_parse(const uint8_t *frame, size_t n_bytes, NeighbourClaim *ret);
