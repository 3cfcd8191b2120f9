/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance-fixture.h"

#include <string.h>

#define ADVSKEW_BYTE 2 /* of an advert's payload */

static int op_send(void *userdata, const uint8_t ipv4[CARP_PAYLOAD_BYTES], const uint8_t ipv6[CARP_PAYLOAD_BYTES], uint64_t until_usec, bool at_once) {
        Fixture *f = userdata;

        f->advskew = ipv4[ADVSKEW_BYTE];
        g_string_append_c(f->effects, f->advskew == 255 ? 'b' : 'a');
        return f->send_error;
}

static int op_hold(void *userdata) {
        Fixture *f = userdata;

        g_string_append_c(f->effects, 'h');
        return f->hold_error;
}

static int op_renew(void *userdata, uint64_t until_usec) {
        return op_hold(userdata);
}

static void op_release(void *userdata) {
        g_string_append_c(((Fixture *) userdata)->effects, 'r');
}

static void op_announce(void *userdata, uint64_t until_usec) {
        g_string_append_c(((Fixture *) userdata)->effects, 'n');
}

static void op_arm(void *userdata, uint64_t deadline_usec, uint64_t early_usec) {
        Fixture *f = userdata;

        f->deadline_usec = deadline_usec;
        f->early_usec = early_usec;
}

static uint64_t op_now(void *userdata) {
        const Fixture *f = userdata;

        return f->now_usec + f->effort_usec * f->effects->len;
}

static const InstanceOps ops = {
        .send = op_send,
        .hold = op_hold,
        .renew = op_renew,
        .release = op_release,
        .announce = op_announce,
        .arm = op_arm,
        .now = op_now,
};

static void on_changed(void *userdata, Instance *i, unsigned changes, const InstanceTransition *transition) {
        Fixture *f = userdata;

        f->changes |= changes;
        if (transition)
                g_string_append_printf(f->states, "%s ", election_state_to_string(transition->to));
}

InstanceConfig *fixture_config(bool units_before_address) {
        InstanceConfig *c = instance_config_new_default("web");

        c->addresses = g_new0(IpPrefix, 1);
        g_assert_cmpint(ip_prefix_parse("192.0.2.50", &c->addresses[0]), ==, 0);
        c->n_addresses = 1;
        g_strlcpy(c->interface, "eth0", sizeof(c->interface));
        c->enabled = true;
        c->announce.count = 1;
        c->carp.vhid = 1;
        memcpy(c->carp.key, "secret", 6);
        c->carp.n_key_bytes = 6;
        c->takeover.units_before_address = units_before_address;
        return c;
}

void fixture_set_up(Fixture *f) {
        f->now_usec = 1000 * SEC;
        f->effects = g_string_new(NULL);
        f->states = g_string_new(NULL);
}

void fixture_tear_down(Fixture *f, gconstpointer data) {
        instance_free(f->instance);
        g_string_free(f->effects, true);
        g_string_free(f->states, true);
}

void make_instance(Fixture *f, InstanceConfig *config) {
        f->instance = instance_new(config, &ops, f, &(InstanceObserver) { .changed = on_changed, .userdata = f }, 7);
}

void link_up(Fixture *f) {
        IpAddress source, none = { 0 };

        g_assert_cmpint(ip_address_parse("192.0.2.1", &source), ==, 0);
        instance_set_link(f->instance, ELECTION_REASON_LINK_UP, &source, &none, f->now_usec);
}

void timer(Fixture *f) {
        g_assert_cmpuint(f->deadline_usec, !=, UINT64_MAX);
        f->now_usec = MAX(f->now_usec, f->deadline_usec);
        instance_on_timer(f->instance, f->now_usec);
}

void assert_effects(Fixture *f, const char *expected) {
        g_assert_cmpstr(f->effects->str, ==, expected);
        g_string_truncate(f->effects, 0);
}
