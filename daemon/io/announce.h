/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One round of "this address is here now": gratuitous ARP in both forms, or an unsolicited NA. Pacing is the instance's. */
#include "io/transport.h"

/* port: any family's port on the interface. 0 or the first -errno; every frame is tried, and may wait as transport_port_send_soon() has it: then
 * nobody hears of an error. */
int announce_address(TransportPort *port, const uint8_t mac[MAC_BYTES], const IpAddress *address, uint64_t until_usec);
/* One single frame: the announcement by request (RFC 5227 1.1), or the NA. */
int announce_once(TransportPort *port, const uint8_t mac[MAC_BYTES], const IpAddress *address);
/* To all: who has the address? source: ours, of its family; an IPv6 address is not asked for without one. */
int announce_question(TransportPort *port, const uint8_t mac[MAC_BYTES], const IpAddress *source, const IpAddress *address);
