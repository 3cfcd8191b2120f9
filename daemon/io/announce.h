/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One round of "this address is here now": gratuitous ARP in both forms, or an unsolicited NA. Pacing is the instance's. */
#include "io/transport.h"

/* port: any family's port on the interface. 0 or the first -errno; every address is tried. Never waits. */
int announce_address(TransportPort *port, const uint8_t mac[MAC_BYTES], const IpAddress *address);
