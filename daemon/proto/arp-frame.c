/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/arp-frame.h"

#include <string.h>

/* Gratuitous ARP in the two forms that exist in the field: RFC 5227 3 announces by request, some caches only heed replies. */

void arp_frame_build(ArpForm form, const uint8_t mac[MAC_BYTES], const IpAddress *address, uint8_t ret_frame[ARP_FRAME_BYTES]) {
        /* Ethernet type ARP; hardware Ethernet, protocol IPv4, lengths 6 and 4, operation */
        const uint8_t fixed[] = { 0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, form == ARP_FORM_REQUEST ? 1 : 2 };
        uint8_t *p = ret_frame;

        memcpy(p, mac_broadcast, MAC_BYTES);
        memcpy(p + 6, mac, MAC_BYTES);
        memcpy(p + 12, fixed, sizeof(fixed));
        memcpy(p + 22, mac, MAC_BYTES);
        memcpy(p + 28, address->bytes, 4);
        memcpy(p + 32, mac, MAC_BYTES);
        memcpy(p + 38, address->bytes, 4);
}
