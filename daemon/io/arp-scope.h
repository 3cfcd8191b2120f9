/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Keeps an interface from speaking ARP for addresses that are another's on this host, as long as somebody needs that. */
#include <glib.h>
#include <stdint.h>

typedef struct ArpSettings {
        uint32_t ignore, announce; /* the interface's own arp_ignore and arp_announce */
} ArpSettings;

typedef struct ArpScope ArpScope; /* one per daemon; costs nothing until it is used */
/* noted: from now on these are to be put back, if somebody else must do it; NULL: nothing is. */
int arp_scope_new(ArpScope **ret, void (*noted)(void *userdata, int ifindex, const ArpSettings *before), void *userdata);
ArpScope *arp_scope_free(ArpScope *s); /* leaves the interfaces as they are */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ArpScope, arp_scope_free)
int arp_scope_acquire(ArpScope *s, int ifindex); /* counted; 0 or -errno */
void arp_scope_release(ArpScope *s, int ifindex);
/* What another process found, and changed. */
void arp_scope_inherit(ArpScope *s, int ifindex, const ArpSettings *before);
void arp_scope_settle(ArpScope *s); /* puts back what was inherited and nobody needs */
