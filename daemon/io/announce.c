/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/announce.h"

#include <sys/socket.h>

#include "proto/arp-frame.h"
#include "proto/nd-frame.h"

/* Tells the neighbours where an address is now. One round; how many and how far apart is the instance's business. */

int announce_address(TransportPort *port, const uint8_t mac[MAC_BYTES], const IpAddress *address) {
        uint8_t frame[ND_FRAME_BYTES];
        int r, q;

        if (address->family == AF_INET6) {
                nd_frame_build(mac, address, frame);
                return transport_port_send_frame(port, frame, ND_FRAME_BYTES);
        }
        arp_frame_build(ARP_FORM_REQUEST, mac, address, frame);
        r = transport_port_send_frame(port, frame, ARP_FRAME_BYTES);
        arp_frame_build(ARP_FORM_REPLY, mac, address, frame);
        q = transport_port_send_frame(port, frame, ARP_FRAME_BYTES);
        return r < 0 ? r : q;
}
