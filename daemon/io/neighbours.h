/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the neighbours of an interface say about addresses that somebody here cares for: a packet socket per interface and family, shared, with
 * a filter in the kernel made of these addresses. */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "io/link.h"
#include "proto/neighbour-claim.h"

typedef struct Neighbours Neighbours; /* one per daemon */
typedef struct NeighbourWatch NeighbourWatch;

/* links: borrowed; a MAC of any interface of this host is no neighbour's */
int neighbours_new(Neighbours **ret, sd_event *event, const LinkTable *links);
Neighbours *neighbours_free(Neighbours *n);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Neighbours, neighbours_free)

/* A neighbour claims address number k of the watch. Called at a lower priority than elections and addresses have. */
typedef void (*NeighbourHeard)(void *userdata, size_t k, const NeighbourClaim *claim, uint64_t now_usec);

/* Opens what is needed, and is deaf until it is enabled. addresses: copied. */
int neighbour_watch_new(NeighbourWatch **ret, Neighbours *n, int ifindex, const IpPrefix *addresses, size_t n_addresses,
                        NeighbourHeard heard, void *userdata);
NeighbourWatch *neighbour_watch_free(NeighbourWatch *w);
/* From the next commit on; what came before is not heard. Many watches have one filter, which is made once for all that changed. */
void neighbour_watch_enable(NeighbourWatch *w, bool enabled);
void neighbours_commit(Neighbours *n);
