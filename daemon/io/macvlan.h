/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A second MAC on an interface, as a macvlan that is up while it is owned. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "io/link.h"
#include "proto/ip-frame.h"

/* Of the routes that its addresses make: whatever else leads there is better. */
#define MACVLAN_METRIC 0x40000000

typedef struct MacvlanControl MacvlanControl; /* one per daemon; costs nothing until it is used */
int macvlan_control_new(MacvlanControl **ret, sd_event *event);
MacvlanControl *macvlan_control_free(MacvlanControl *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MacvlanControl, macvlan_control_free)

typedef struct MacvlanSpec {
        const char *name, *owner; /* owner: marks it, in its alias */
        int lower_ifindex;
        uint8_t mac[MAC_BYTES];
} MacvlanSpec;

typedef struct Macvlan Macvlan;
/* existing: a device of this name, NULL: there is none, as far as is known. One that bears our mark is taken over if it fits, with the role it is in,
 * provided that adopt; else replaced. -EEXIST: it is somebody else's. Blocks for as long as the kernel takes; not on the way of elections. */
int macvlan_open(Macvlan **ret, MacvlanControl *c, const MacvlanSpec *spec, const Link *existing, bool adopt);
Macvlan *macvlan_close(Macvlan *m); /* leaves the device as it is; returns NULL */
int macvlan_remove(Macvlan *m);                     /* closes it, and deletes its device */
int macvlan_delete(MacvlanControl *c, int ifindex); /* 0 also when it was not there */
/* In between, a device that is deleted is only noted, and at the end all go together: they take the kernel no longer than one. None may be opened. */
void macvlan_gather(MacvlanControl *c);
void macvlan_flush(MacvlanControl *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Macvlan, macvlan_close)

bool macvlan_exists(const Macvlan *m); /* now, whatever has been told of it */
int macvlan_ifindex(const Macvlan *m);
const uint8_t *macvlan_mac(const Macvlan *m);
/* Which addresses it will have. */
void macvlan_expect(Macvlan *m, const IpPrefix *addresses, size_t n);
bool macvlan_is_owned(const Macvlan *m);
int macvlan_own(Macvlan *m);   /* up, and as we need it; nothing if it is. 0 or -errno; never waits */
void macvlan_leave(Macvlan *m); /* down, when it is convenient */
/* What the kernel says of it now. True: somebody took from us what we own. */
bool macvlan_observe(Macvlan *m, const Link *device);
/* Does an IPv6 router's advertisement make addresses and routes on it? No macvlan of ours shall have them. */
bool macvlan_accepts_routers(const Macvlan *m);

bool macvlan_is_marked(const Link *device, const char *owner); /* is it ours, for this owner? */
