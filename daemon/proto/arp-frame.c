/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/arp-frame.h"

#include <string.h>
#include <sys/socket.h>

/* ARP's bytes. Gratuitous in the two forms that exist in the field: RFC 5227 3 announces by request, some caches only heed replies. */

#define OFFSET_FIXED 12 /* behind the two Ethernet addresses */
#define OFFSET_OPERATION 20
#define OFFSET_SENDER_MAC 22
#define OFFSET_SENDER 28
#define OFFSET_TARGET_MAC 32
#define OFFSET_TARGET 38
#define OPERATION_REQUEST 1
#define OPERATION_REPLY 2

/* Ethernet type ARP; hardware Ethernet, protocol IPv4, lengths 6 and 4 */
static const uint8_t fixed[] = { 0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4 };

static void build(uint16_t operation, const uint8_t mac[MAC_BYTES], uint8_t *p) {
        memset(p, 0, ARP_FRAME_BYTES);
        memcpy(p, mac_broadcast, MAC_BYTES);
        memcpy(p + MAC_BYTES, mac, MAC_BYTES);
        memcpy(p + OFFSET_FIXED, fixed, sizeof(fixed));
        p[OFFSET_OPERATION + 1] = (uint8_t) operation;
        memcpy(p + OFFSET_SENDER_MAC, mac, MAC_BYTES);
}

void arp_frame_build(ArpForm form, const uint8_t mac[MAC_BYTES], const IpAddress *address, uint8_t ret_frame[ARP_FRAME_BYTES]) {
        build(form == ARP_FORM_REQUEST ? OPERATION_REQUEST : OPERATION_REPLY, mac, ret_frame);
        memcpy(ret_frame + OFFSET_SENDER, address->bytes, 4);
        memcpy(ret_frame + OFFSET_TARGET_MAC, mac, MAC_BYTES);
        memcpy(ret_frame + OFFSET_TARGET, address->bytes, 4);
}

void arp_frame_build_question(const uint8_t mac[MAC_BYTES], const IpAddress *source, const IpAddress *address,
                              uint8_t ret_frame[ARP_FRAME_BYTES]) {
        build(OPERATION_REQUEST, mac, ret_frame);
        if (source->family == AF_INET)
                memcpy(ret_frame + OFFSET_SENDER, source->bytes, 4);
        memcpy(ret_frame + OFFSET_TARGET, address->bytes, 4);
}

bool arp_frame_parse(const uint8_t *frame, size_t n_bytes, NeighbourClaim *ret) {
        static const uint8_t none[4];
        uint16_t operation;

        if (n_bytes < ARP_FRAME_BYTES || memcmp(frame + OFFSET_FIXED, fixed, sizeof(fixed)) != 0)
                return false;
        operation = (uint16_t) (frame[OFFSET_OPERATION] << 8 | frame[OFFSET_OPERATION + 1]);
        if (operation != OPERATION_REQUEST && operation != OPERATION_REPLY)
                return false;
        *ret = (NeighbourClaim) { .address.family = AF_INET };
        /* who has no address yet, and asks for one */
        ret->probe = operation == OPERATION_REQUEST && memcmp(frame + OFFSET_SENDER, none, sizeof(none)) == 0;
        memcpy(ret->address.bytes, frame + (ret->probe ? OFFSET_TARGET : OFFSET_SENDER), 4);
        memcpy(ret->mac, frame + OFFSET_SENDER_MAC, MAC_BYTES);
        return memcmp(ret->address.bytes, none, sizeof(none)) != 0;
}
