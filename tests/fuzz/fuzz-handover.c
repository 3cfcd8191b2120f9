/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "handover.h"

/* Any bytes as what a process before us handed over: what is understood is within its limits, and says the same when it is written and read once more. */

static void require(bool truth) {
        if (!truth)
                abort();
}

static void require_limits(const HandoverEntry *e) {
        require(*e->interface != '\0' && e->vhid > 0);
        require(e->memory.election.state < N_ELECTION_STATES && e->memory.election.reason < N_ELECTION_REASONS &&
                e->memory.election.down_reason < N_ELECTION_REASONS);
        require(e->memory.peers.n <= PEERS_MAX);
        require(e->units <= UNITS_ROLE_MASTER);
}

static void require_same(const HandoverEntry *a, const HandoverEntry *b) {
        require(g_str_equal(a->name, b->name) && g_str_equal(a->interface, b->interface) && a->vhid == b->vhid);
        require(memcmp(&a->memory.election, &b->memory.election, sizeof(a->memory.election)) == 0);
        require(a->memory.holds == b->memory.holds && a->memory.changed_usec == b->memory.changed_usec);
        require(a->memory.announce_usec == b->memory.announce_usec && a->memory.n_announce == b->memory.n_announce);
        require(a->memory.peers.n == b->memory.peers.n);
        require(a->script_pending == b->script_pending && a->script_up == b->script_up);
        require(a->units_certain == b->units_certain && a->units == b->units);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        g_autoptr(GPtrArray) entries = handover_parse((const char *) data, n_bytes), again = NULL;
        g_autofree char *text = NULL;

        if (!entries)
                return 0;
        text = handover_format(entries);
        again = handover_parse(text, strlen(text));
        require(again && again->len == entries->len);
        for (guint k = 0; k < entries->len; k++) {
                require_limits(g_ptr_array_index(entries, k));
                require_same(g_ptr_array_index(entries, k), g_ptr_array_index(again, k));
        }
        return 0;
}
