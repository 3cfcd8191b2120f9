/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/socket.h>

#include "sim.h"

/* The two foreign programs of a mixed group, as far as their peers can tell. What matters is where they differ from vipd:
 *   ucarp    handles what it hears up to a second late (the delay is the host's reaction_usec, put on every packet by the network); looks at its
 *            timer only when its poll() returns; yields with one more advert of its own; breaks ties by address, last octet first.
 *   FreeBSD  yields to an equal advert, silently, whatever the addresses.
 * Neither bows out, both continue the counter they heard last, and both give up their own timing to "guaranteed to time out". */

static bool is_ucarp(const Host *h) {
        return h->kind == HOST_KIND_UCARP;
}

static unsigned rank(uint8_t advbase, uint8_t advskew) {
        return (unsigned) advbase << 8 | advskew;
}

static void send_advert(Host *h) {
        CarpAdvert advert = {
                .vhid = h->sim->vhid,
                .advbase = h->advbase,
                .advskew = h->advskew,
                .counter = h->counter++,
        };
        uint8_t payload[CARP_PAYLOAD_BYTES];

        carp_hmac_digest(h->sim->hmac, advert.counter, advert.digest);
        carp_encode(&advert, payload);
        sim_trace(h->sim, h, "  sends %u/%u", advert.advbase, advert.advskew);
        (void) network_send(h, payload, payload);
}

static void start_listening(Host *h) {
        h->down_usec = h->sim->now + (uint64_t) h->dead_ratio * h->advbase * SIM_SEC + h->advskew * SIM_SEC / 256;
        h->poll_usec = is_ucarp(h) ? h->sim->now + host_interval_usec(h) : h->down_usec;
}

static void become(Host *h, ElectionState state, ElectionReason reason) {
        check_state(h, state, reason);
        h->held = state == ELECTION_STATE_MASTER;
        if (state == ELECTION_STATE_MASTER) {
                send_advert(h);
                h->advert_usec = h->sim->now + host_interval_usec(h);
        } else
                start_listening(h);
}

void peer_start(Host *h) {
        if (h->running || h->gone)
                return;
        sim_trace(h->sim, h, "starts as %s: %u/%u%s", is_ucarp(h) ? "ucarp" : "FreeBSD", h->advbase, h->advskew,
                  h->preempt ? ", preempt" : "");
        h->running = true;
        h->link_up = h->link_told = true;
        h->counter = sim_random(h->sim);
        h->state = ELECTION_STATE_INIT;
        become(h, ELECTION_STATE_BACKUP, ELECTION_REASON_STARTUP);
}

/* The whole machine is gone, and the address with it: nothing of theirs gives a dead program's address back. */
void peer_crash(Host *h) {
        if (!h->running)
                return;
        sim_trace(h->sim, h, "crashes");
        h->running = h->stalled = h->held = false;
        h->state = ELECTION_STATE_INIT;
        g_array_set_size(h->queue, 0);
}

void peer_stall(Host *h) {
        if (!h->running || h->stalled)
                return;
        sim_trace(h->sim, h, "is frozen");
        h->stalled = true;
}

void peer_resume(Host *h) {
        if (!h->running || !h->stalled)
                return;
        sim_trace(h->sim, h, "goes on");
        h->stalled = false;
        for (guint k = 0; k < h->queue->len; k++) {
                Packet packet = g_array_index(h->sim->packets, Packet, g_array_index(h->queue, uint32_t, k));

                peer_receive(h, &packet);
        }
        g_array_set_size(h->queue, 0);
}

/* ucarp compares host integers as they lie in memory: on a little-endian machine the last octet decides first. */
static bool peer_is_lower(const Host *h, const IpAddress *peer) {
        for (int k = 3; k >= 0; k--)
                if (peer->bytes[k] != h->sources[0].bytes[k])
                        return peer->bytes[k] < h->sources[0].bytes[k];
        return false;
}

static void master_hears(Host *h, const Packet *packet) {
        unsigned own = rank(h->advbase, h->advskew), heard = rank(packet->advert.advbase, packet->advert.advskew);

        if (heard > own || (heard == own && is_ucarp(h) && !peer_is_lower(h, &packet->source)))
                return;
        if (is_ucarp(h))
                send_advert(h);
        become(h, ELECTION_STATE_BACKUP, ELECTION_REASON_PREEMPTED);
}

static void backup_hears(Host *h, const Packet *packet) {
        unsigned own = rank(h->advbase, h->advskew), heard = rank(packet->advert.advbase, packet->advert.advskew);
        uint64_t patience = (uint64_t) h->dead_ratio * h->advbase * SIM_SEC + h->advskew * SIM_SEC / 256;

        if ((h->preempt && own < heard) ||
            patience < wire_interval_usec(packet->advert.advbase, packet->advert.advskew))
                become(h, ELECTION_STATE_MASTER, ELECTION_REASON_PREEMPTING);
        else
                start_listening(h);
}

void peer_receive(Host *h, const Packet *packet) {
        if (!carp_hmac_verify(h->sim->hmac, packet->advert.counter, packet->advert.digest)) {
                sim_fail(h->sim, h, "cannot verify the digest of host %u", packet->from);
                return;
        }
        h->counter = packet->advert.counter + 1;
        sim_trace(h->sim, h, "    heard %u/%u of host %u", packet->advert.advbase, packet->advert.advskew, packet->from);
        if (h->state == ELECTION_STATE_MASTER)
                master_hears(h, packet);
        else
                backup_hears(h, packet);
}

void peer_timer(Host *h) {
        if (h->state == ELECTION_STATE_MASTER) {
                send_advert(h);
                h->advert_usec = h->sim->now + host_interval_usec(h);
        } else if (h->sim->now >= h->down_usec)
                become(h, ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
        else
                h->poll_usec = h->sim->now + host_interval_usec(h);
}

uint64_t peer_next_usec(const Host *h) {
        if (!h->running || h->stalled)
                return SIM_NEVER;
        return h->state == ELECTION_STATE_MASTER ? h->advert_usec : h->poll_usec;
}
