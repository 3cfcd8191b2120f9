/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "sim.h"

/* The segment: what becomes of an advert on its way to every other host. It is lost, cut, held up (and so overtaken by later ones), doubled or
 * echoed to its sender, as the faults in force say; on a healthy segment it arrives within the delay drawn for the schedule. */

static bool cut(const Sim *s, unsigned from, unsigned to, unsigned family) {
        for (unsigned k = s->first_fault; k < s->n_faults; k++) {
                const Fault *f = &s->faults[k];
                bool forth = (f->from >> from & 1) && (f->to >> to & 1);
                bool back = (f->from >> to & 1) && (f->to >> from & 1);

                if (!f->active)
                        continue;
                if ((f->type == FAULT_ONE_WAY && forth) || (f->type == FAULT_PARTITION && (forth || back)) ||
                    (f->type == FAULT_FAMILY && f->value == family && forth))
                        return true;
        }
        return false;
}

static bool lost(Sim *s) {
        for (unsigned k = s->first_fault; k < s->n_faults; k++)
                if (s->faults[k].active && s->faults[k].type == FAULT_LOSS &&
                    sim_random(s) % 256 < s->faults[k].value)
                        return true;
        return false;
}

static uint64_t fault_delay(Sim *s, FaultType type) {
        uint64_t delay = 0;

        for (unsigned k = s->first_fault; k < s->n_faults; k++)
                if (s->faults[k].active && s->faults[k].type == type)
                        delay += 1 + sim_between(s, 0, s->faults[k].value);
        return delay;
}

static void carry(Host *from, Host *to, unsigned family, uint32_t index) {
        Sim *s = from->sim;
        uint64_t usec = s->now + sim_between(s, s->delay_min, s->delay_max), extra;

        /* no packet overtakes another, but for a fault */
        usec = MAX(usec, to->arrival_usec[from->number]);
        to->arrival_usec[from->number] = usec;
        if (s->n_active > 0) {
                if (cut(s, from->number, to->number, family) || lost(s)) {
                        sim_trace(s, to, "    does not get it");
                        return;
                }
                extra = fault_delay(s, FAULT_DUPLICATE);
                if (extra > 0) {
                        sim_push(s, usec + extra, EVENT_DELIVER, to->number, index);
                        s->last_delivery = MAX(s->last_delivery, usec + extra);
                }
                usec += fault_delay(s, FAULT_DELAY);
                s->last_delivery = MAX(s->last_delivery, usec);
        }
        sim_push(s, usec + to->reaction_usec, EVENT_DELIVER, to->number, index);
}

/**
 * network_send() - one advert to everybody, in every family the host speaks
 *
 * Returns 0, or what a socket would say.
 */
int network_send(Host *from, const uint8_t ipv4[CARP_PAYLOAD_BYTES], const uint8_t ipv6[CARP_PAYLOAD_BYTES]) {
        const uint8_t *const payloads[SIM_N_FAMILIES] = { ipv4, ipv6 };
        Sim *s = from->sim;

        if (!from->link_up)
                return -ENETDOWN;
        if (from->send_fails)
                return -ENOBUFS;
        s->total_adverts++;
        from->n_tried++;
        for (unsigned family = 0; family < SIM_N_FAMILIES; family++) {
                Packet packet = { .source = from->sources[family], .from = from->number, .usec = s->now, .number = from->n_tried };
                uint32_t index = s->packets->len;

                if (!s->families[family])
                        continue;
                if (carp_decode(payloads[family], CARP_PAYLOAD_BYTES, &packet.advert) != CARP_VERDICT_OK)
                        sim_fail(s, from, "sent an advert that cannot be decoded");
                g_array_append_val(s->packets, packet);
                for (unsigned k = 0; k < s->n_hosts; k++)
                        if (k != from->number || (s->echo && from->kind == HOST_KIND_VIPD))
                                carry(from, &s->hosts[k], family, index);
        }
        return 0;
}

/**
 * network_deliver() - a packet has arrived
 */
void network_deliver(Host *to, uint32_t index) {
        Sim *s = to->sim;
        Packet packet;

        if (!to->running || !to->link_up || to->deaf)
                return;
        if (to->stalled) {
                g_array_append_val(to->queue, index);
                return;
        }
        packet = g_array_index(s->packets, Packet, index);
        if (to->kind == HOST_KIND_VIPD)
                host_receive(to, &packet);
        else
                peer_receive(to, &packet);
}
