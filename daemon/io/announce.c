/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/announce.h"

#include <errno.h>
#include <sys/socket.h>

#include "proto/arp-frame.h"
#include "proto/nd-frame.h"

/* Tells the neighbours where an address is now, or asks them. One round; how many and how far apart is the instance's business. */

int announce_once(TransportPort *port, const uint8_t mac[MAC_BYTES], const IpAddress *address) {
        uint8_t frame[ND_FRAME_BYTES];

        if (address->family == AF_INET6) {
                nd_frame_build(mac, address, frame);
                return transport_port_send_frame(port, frame, ND_FRAME_BYTES);
        }
        arp_frame_build(ARP_FORM_REQUEST, mac, address, frame);
        return transport_port_send_frame(port, frame, ARP_FRAME_BYTES);
}

static int send_soon(TransportPort *port, const uint8_t *frame, size_t n_bytes, uint64_t until_usec) {
        int r = transport_port_send_soon(port, frame, n_bytes, until_usec, NULL, NULL);

        return r == -EINPROGRESS ? 0 : r;
}

int announce_address(TransportPort *port, const uint8_t mac[MAC_BYTES], const IpAddress *address, uint64_t until_usec) {
        uint8_t frame[ND_FRAME_BYTES];
        int r, q;

        if (address->family == AF_INET6) {
                nd_frame_build(mac, address, frame);
                return send_soon(port, frame, ND_FRAME_BYTES, until_usec);
        }
        arp_frame_build(ARP_FORM_REQUEST, mac, address, frame);
        r = send_soon(port, frame, ARP_FRAME_BYTES, until_usec);
        arp_frame_build(ARP_FORM_REPLY, mac, address, frame);
        q = send_soon(port, frame, ARP_FRAME_BYTES, until_usec);
        return r < 0 ? r : q;
}

int announce_question(TransportPort *port, const uint8_t mac[MAC_BYTES], const IpAddress *source, const IpAddress *address) {
        uint8_t frame[ND_FRAME_BYTES];

        if (address->family == AF_INET) {
                arp_frame_build_question(mac, source, address, frame);
                return transport_port_send_frame(port, frame, ARP_FRAME_BYTES);
        }
        if (source->family != AF_INET6)
                return -EADDRNOTAVAIL;
        nd_frame_build_question(mac, source, address, frame);
        return transport_port_send_frame(port, frame, ND_FRAME_BYTES);
}
