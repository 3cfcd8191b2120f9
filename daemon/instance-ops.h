/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The real InstanceOps: one instance's sockets, addresses and timer on a real interface. */
#include <glib.h>
#include <systemd/sd-event.h>

#include "conflict.h"
#include "diagnosis.h"
#include "instance.h"
#include "io/address.h"
#include "io/arp-scope.h"
#include "io/link.h"
#include "io/macvlan.h"
#include "io/neighbours.h"
#include "io/transport.h"
#include "util/alarms.h"

typedef struct InstanceIo InstanceIo;

extern const InstanceOps instance_io_ops; /* userdata: the InstanceIo */

/* What all instances share; borrowed with all that is in it, and must outlive them. */
typedef struct InstanceIoShared {
        sd_event *event;
        Alarms *alarms;
        Transport *transport;
        AddressSocket *addresses;
        Neighbours *neighbours;
        MacvlanControl *macvlans;
        ArpScope *arp_scope;
} InstanceIoShared;

InstanceIo *instance_io_new(const InstanceIoShared *shared);
InstanceIo *instance_io_free(InstanceIo *io);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(InstanceIo, instance_io_free)

void instance_io_attach(InstanceIo *io, Instance *i); /* borrowed; whom timers and adverts reach */
/* Asks for an instance_io_update() with the link as it is now: the kernel refused something, which another moment may grant. Required. */
void instance_io_on_again(InstanceIo *io, void (*again)(void *userdata), void *userdata);
/* Told of each host that does not fit, when it is sure and as rarely as a person wants to hear it. */
void instance_io_observe(InstanceIo *io, void (*diagnosed)(void *userdata, const Diagnosis *d), void *userdata);
void instance_io_adopt(InstanceIo *io); /* before the first update: the addresses are there, and ours */
void instance_io_keep(InstanceIo *io, bool keep); /* at its end the device of a virtual MAC stays: it is another process's then */
/* The link (NULL: there is none) or the configuration is new or has changed: opens, joins, tells the instance. device: the one that bears the addresses, as
 * far as the kernel has told of it; NULL: not yet. */
void instance_io_update(InstanceIo *io, const InstanceConfig *config, const Link *link, const Link *device, unsigned changes, uint64_t now_usec);
/* The device of a virtual MAC has changed. False: it was another of its name, which may have been in the way. */
bool instance_io_update_device(InstanceIo *io, const Link *device, unsigned changes, uint64_t now_usec);
/* Frames refused on this instance's sockets before any instance saw them, summed over the families, by verdict. */
void instance_io_rejected(const InstanceIo *io, uint64_t ret[N_CARP_VERDICTS]);
const Conflict *instance_io_conflict(const InstanceIo *io); /* who else claims our addresses; its counters */
const uint64_t *instance_io_diagnosed(const InstanceIo *io); /* [N_DIAGNOSIS_CAUSES]: how often each was found */
