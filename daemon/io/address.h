/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Addresses that we hold on an interface: add with a lease, renew, drop. The messages are built beforehand; to hold or drop
 * is one sendmsg() and a look at the kernel's answer, which rtnetlink gives before sendmsg() returns. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "proto/ip-address.h"

/* IFA_PROTO of the addresses we add, so that we and others can tell whose they are (kernel 5.18 and later; else ignored). */
#define ADDRESS_PROTOCOL 112

typedef struct AddressSocket AddressSocket; /* one per daemon */
int address_socket_new(AddressSocket **ret);
AddressSocket *address_socket_free(AddressSocket *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AddressSocket, address_socket_free)
int address_socket_watch(AddressSocket *s, sd_event *event); /* for address_renew() */
void address_socket_flush(AddressSocket *s);

typedef struct Address Address; /* one VIP on one interface index */
/* lease_sec 0: for ever. metric: of the route to its subnet; 0: the kernel's choice. IPv6: nodad, preferred lifetime 0; so that it is usable at once and never chosen as a source. */
int address_new(Address **ret, AddressSocket *socket, int ifindex, const IpPrefix *prefix, uint32_t lease_sec, uint32_t metric);
Address *address_free(Address *a); /* does not drop it */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Address, address_free)
int address_hold(Address *a); /* adds, or renews the lease; 0 or -errno. Never waits. */
int address_drop(Address *a); /* 0 also when it was not there */

/* A renewal that is no hurry: leaves with others at the next flush, unless the address is dropped before, or it is later than until_usec then, as
 * who slept must not put back what is another's. Negative errno: it was refused at once. Later refusals are told from the loop or the
 * flush. */
typedef void (*AddressRefused)(void *userdata, int error);
void address_on_refusal(Address *a, AddressRefused refused, void *userdata);
int address_renew(Address *a, uint64_t until_usec);
const IpPrefix *address_prefix(const Address *a);
