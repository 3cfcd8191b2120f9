/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Gratuitous ARP (RFC 5227 section 3, RFC 826): bytes only. */
#include <stddef.h>
#include <stdint.h>

#include "proto/ip-frame.h"

#define ARP_FRAME_BYTES 42

typedef enum ArpForm {
        ARP_FORM_REQUEST, /* op 1, target = sender: the ARP announcement of RFC 5227 */
        ARP_FORM_REPLY,   /* op 2: caches that ignore requests not meant for them */
} ArpForm;

/* Broadcast, sender and target protocol address = address (IPv4). ethernet_source and the sender MAC are `mac`. */
void arp_frame_build(ArpForm form, const uint8_t mac[MAC_BYTES], const IpAddress *address, uint8_t ret_frame[ARP_FRAME_BYTES]);
