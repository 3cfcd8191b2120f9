/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Notes which addresses an instance may hold, written before it can, so that those of a dead process can be dropped. */
#include <glib.h>
#include <net/if.h>

#include "config.h"
#include "io/address.h"
#include "io/arp-scope.h"
#include "io/link.h"
#include "io/macvlan.h"
#include "notes.h"

void record_write(Notes *notes, const InstanceConfig *config); /* NAME.held */
void record_remove(Notes *notes, const char *name);

/* What a record says: each of its lines that is an address. */
typedef void (*RecordEach)(void *userdata, const char *interface, const char *text, const IpPrefix *prefix);
void record_parse(const char *text, RecordEach each, void *userdata);

/* IFINDEX.arp: how an interface's ARP was before a virtual MAC needed it otherwise; NULL: it is so again. */
void record_note_arp(Notes *notes, int ifindex, const ArpSettings *before);
bool record_parse_arp(const char *text, ArpSettings *ret); /* whether it is one */

/* Does this process go on holding the address? */
typedef bool (*RecordKeep)(void *userdata, const char *name, const char *interface, const IpPrefix *prefix);
typedef struct RecordTools {
        const LinkTable *links;
        AddressSocket *addresses;
        MacvlanControl *macvlans;
        ArpScope *arp_scope;
} RecordTools;

/* Drops every recorded address that is there and is nobody's configuration, but those that keep() claims (NULL: none), removes the devices of virtual
 * MACs on which none was claimed, and forgets the records. The settings of ARP are inherited: arp_scope_settle() puts back what is not needed.
 * Returns how many addresses were dropped. */
unsigned record_sweep(Notes *notes, const RecordTools *tools, RecordKeep keep, void *userdata);
/* vipd --cleanup: all of it without a daemon. 0, or -errno; -EWOULDBLOCK: there is one. */
int record_clean_up(const char *runtime_dir);
