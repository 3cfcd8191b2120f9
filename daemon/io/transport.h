/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Adverts on the wire: one packet socket per interface and family, shared by all instances on it, with a filter in the kernel. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "proto/carp.h"
#include "proto/ip-address.h"
#include "proto/ip-frame.h"
#include "util/alarms.h"

typedef struct Transport Transport;         /* one per daemon */
typedef struct TransportPort TransportPort; /* one interface and family; reference counted by its users */

int transport_new(Transport **ret, sd_event *event, Alarms *alarms); /* alarms: of that loop, borrowed */
Transport *transport_free(Transport *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Transport, transport_free)

/* An advert whose checks up to the checksum passed, for the vhid registered, and the head of its frame. now_usec is the pass's sd_event_now(). The return value (ok,
 * hmac, loop, replay) is what the receiver made of it. */
typedef CarpVerdict (*TransportReceive)(void *userdata, const IpFrame *frame, const CarpAdvert *advert, uint64_t now_usec);

/* A frame that was refused, by the receiver or before, and whose VHID (or virtual router ID, of VRRP) is the receiver's: time for a closer look.
 * Called for the first few in a second only. frame: borrowed, cut off behind 256 bytes. */
typedef void (*TransportExamine)(void *userdata, const uint8_t *frame, size_t n_bytes, CarpVerdict verdict, uint64_t now_usec);
#define TRANSPORT_EXAMINED_PER_SEC 4

/* The port for (ifindex, family); opened when the first user comes, closed when the last one leaves. */
int transport_port_acquire(Transport *t, int ifindex, int family, TransportPort **ret);
TransportPort *transport_port_release(TransportPort *p); /* returns NULL */

/* One receiver per vhid: -EEXIST. examine: NULL: nobody looks. A port drops adverts for a vhid without receiver (verdict vhid). */
int transport_port_listen(TransportPort *p, uint8_t vhid, TransportReceive receive, TransportExamine examine, void *userdata);
void transport_port_unlisten(TransportPort *p, uint8_t vhid);
/* Joins the group on this interface; counted per group, so every join needs its leave. */
int transport_port_join(TransportPort *p, const IpAddress *group);
void transport_port_leave(TransportPort *p, const IpAddress *group);
void transport_port_rejoin(TransportPort *p); /* after link-up: a switch that forgot us hears a fresh report */

/* Sends a whole Ethernet frame (advert, ARP or NA) on the port's interface. 0 or -errno; never waits. */
int transport_port_send_frame(TransportPort *p, const uint8_t *frame, size_t n_bytes);
/* The same, but between transport_gather() and transport_flush() it waits for others, and leaves with them in one system call; behind what waits
 * already, and before anything that the port sends at once. -EINPROGRESS: it waits, and `sent` will be told, 0 or -errno; -ETIME: it was not sent, as
 * by then it was later than until_usec, and who slept must not speak before he knows. */
typedef void (*TransportSent)(void *userdata, int error);
int transport_port_send_soon(TransportPort *p, const uint8_t *frame, size_t n_bytes, uint64_t until_usec, TransportSent sent, void *userdata);
void transport_gather(Transport *t);
void transport_flush(Transport *t); /* ends it */
void transport_push(Transport *t);  /* what waits leaves now, before somebody waits for the kernel */
void transport_forget(Transport *t, const void *userdata); /* who is told goes away */
/* Sends an advert to a unicast peer by the kernel's own routing and neighbour table, TTL 255. 0 or -errno; never waits. */
int transport_port_send_unicast(TransportPort *p, const IpAddress *source, const IpAddress *peer,
                                const uint8_t payload[CARP_PAYLOAD_BYTES]);

/* Frames refused before any instance saw them, by verdict. */
const uint64_t *transport_port_rejected(const TransportPort *p); /* [N_CARP_VERDICTS] */
