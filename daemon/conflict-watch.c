/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conflict-watch.h"

#include <string.h>

#include "util/alarms.h"
#include "util/time-util.h"

/* Carries facts into conflict.c and its wishes out. Everything that costs something, from the filter in the kernel to the text, waits for the timer,
 * which has a lower priority than elections. Knows no CARP. */

struct ConflictWatch {
        Neighbours *neighbours;
        const ConflictWatchOps *ops;
        void *userdata;
        Alarm timer;
        NeighbourWatch *watch; /* NULL: not bound */
        const InstanceConfig *config;
        Conflict conflict;
        ConflictAddress *addresses; /* its */
        bool published; /* somebody is named */
        bool listening;
        bool asks; /* in the next pass */
};

static void arm(ConflictWatch *w) {
        uint64_t usec = conflict_deadline_usec(&w->conflict);

        /* there is something to ask, or to take back */
        if (w->asks || (!w->conflict.holding && (w->published || w->listening)))
                usec = 0;
        alarm_set(&w->timer, usec == CONFLICT_NEVER ? USEC_INFINITY : usec, usec);
}

static const char *format_mac(const uint8_t mac[MAC_BYTES], char text[static 18]) {
        (void) g_snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
        return text;
}

static void publish(ConflictWatch *w) {
        g_autoptr(GString) text = g_string_new(NULL);
        char first[18] = "";

        for (size_t k = 0; w->watch && k < w->conflict.n_addresses; k++) {
                const ConflictAddress *a = &w->conflict.addresses[k];
                char address[IP_ADDRESS_TEXT_BYTES], mac[18];

                if (!a->claimed)
                        continue;
                g_string_append_printf(text, "%s%s is also claimed by %s on %s", text->len > 0 ? "; " : "",
                                       ip_address_format(&w->config->addresses[k].address, address), format_mac(a->mac, mac),
                                       w->config->interface);
                if (*first == '\0')
                        memcpy(first, mac, sizeof(first));
        }
        w->published = text->len > 0;
        w->ops->changed(w->userdata, text->str, first);
}

static bool nobody_is_named(const Conflict *c) {
        for (size_t k = 0; k < c->n_addresses; k++)
                if (c->addresses[k].claimed)
                        return false;
        return true;
}

static void on_timer(void *userdata, uint64_t now_usec) {
        ConflictWatch *w = userdata;
        ConflictUpdate update;
        bool listened = w->listening, ask;

        conflict_step(&w->conflict, now_usec, &update);
        w->listening = w->watch && conflict_listens(&w->conflict);
        if (w->watch)
                neighbour_watch_enable(w->watch, w->listening);
        /* who has just begun to listen hears from the end of this pass on, and the answer may come sooner */
        ask = (update.ask || w->asks) && listened;
        w->asks = (update.ask || w->asks) && w->listening && !listened;
        for (size_t k = 0; w->watch && k < w->conflict.n_addresses; k++) {
                if ((update.defend >> k) & 1)
                        w->ops->announce(w->userdata, k);
                if (ask)
                        w->ops->ask(w->userdata, k);
        }
        if (update.changed || (w->published && nobody_is_named(&w->conflict)))
                publish(w);
        arm(w);
}

static void on_claim(void *userdata, size_t k, const NeighbourClaim *claim, uint64_t now_usec) {
        ConflictWatch *w = userdata;

        conflict_on_claim(&w->conflict, k, claim->mac, claim->probe, now_usec);
        arm(w);
}

ConflictWatch *conflict_watch_new(Alarms *alarms, Neighbours *neighbours, const ConflictWatchOps *ops, void *userdata) {
        ConflictWatch *w = g_new0(ConflictWatch, 1);

        *w = (ConflictWatch) { .neighbours = neighbours, .ops = ops, .userdata = userdata };
        alarm_init(&w->timer, alarms, ALARM_LANE_NEIGHBOUR, on_timer, w);
        return w;
}

ConflictWatch *conflict_watch_free(ConflictWatch *w) {
        if (!w)
                return NULL;
        neighbour_watch_free(w->watch);
        alarm_clear(&w->timer);
        g_free(w->addresses);
        g_free(w);
        return NULL;
}

int conflict_watch_bind(ConflictWatch *w, int ifindex, const InstanceConfig *config) {
        /* where adverts need unicast, as in a cloud, something that is no host may answer every question */
        w->addresses = g_renew(ConflictAddress, w->addresses, config->n_addresses);
        conflict_reset(&w->conflict, config->carp.vhid, w->addresses, config->n_addresses, config->carp.n_peers == 0);
        w->config = config;
        return neighbour_watch_new(&w->watch, w->neighbours, ifindex, config->addresses, config->n_addresses, on_claim, w);
}

void conflict_watch_unbind(ConflictWatch *w) {
        if (!w)
                return;
        w->watch = neighbour_watch_free(w->watch);
        w->config = NULL;
        conflict_on_release(&w->conflict);
        arm(w);
}

void conflict_watch_on_hold(ConflictWatch *w, uint64_t now_usec) {
        if (w->conflict.holding || !w->watch)
                return;
        conflict_on_hold(&w->conflict, now_usec);
        arm(w);
}

void conflict_watch_on_release(ConflictWatch *w) {
        conflict_on_release(&w->conflict);
        arm(w);
}

void conflict_watch_on_advert(ConflictWatch *w, const uint8_t mac[MAC_BYTES], uint64_t now_usec) {
        conflict_on_advert(&w->conflict, mac, now_usec);
        arm(w);
}

const Conflict *conflict_watch_state(const ConflictWatch *w) {
        return &w->conflict;
}
