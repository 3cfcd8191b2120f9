/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sync-group.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* What a sync group does to its members, in which order. The kernel below is a list of what was asked of it; who is who is told by case: of the
 * first instance small letters, of the second capitals. */

#define SEC UINT64_C(1000000)
#define N 2

typedef struct Fixture Fixture;

typedef struct Side {
        Fixture *fixture;
        unsigned number;
        Instance *instance;
        uint64_t deadline_usec;
        bool hold_fails;
} Side;

struct Fixture {
        Side sides[N];
        SyncGroups *groups;
        uint64_t now_usec;
        GString *effects; /* a(dvert) b(ow-out) h(old) r(elease) n(announce) */
};

static void note(const Side *s, char letter) {
        g_string_append_c(s->fixture->effects, s->number == 0 ? letter : g_ascii_toupper(letter));
}

static int op_send(void *userdata, const uint8_t ipv4[CARP_PAYLOAD_BYTES], const uint8_t ipv6[CARP_PAYLOAD_BYTES], uint64_t until_usec, bool at_once) {
        note(userdata, ipv4[2] == 255 ? 'b' : 'a');
        return 0;
}

static int op_hold(void *userdata) {
        const Side *s = userdata;

        note(s, 'h');
        return s->hold_fails ? -ENOBUFS : 0;
}

static int op_renew(void *userdata, uint64_t until_usec) {
        return op_hold(userdata);
}

static void op_release(void *userdata) {
        note(userdata, 'r');
}

static void op_announce(void *userdata, uint64_t until_usec) {
        note(userdata, 'n');
}

static void op_arm(void *userdata, uint64_t deadline_usec, uint64_t early_usec) {
        ((Side *) userdata)->deadline_usec = deadline_usec;
}

static uint64_t op_now(void *userdata) {
        return ((Side *) userdata)->fixture->now_usec;
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

static InstanceConfig *make_config(unsigned number, const char *group, bool units_before_address) {
        InstanceConfig *c = instance_config_new_default(number == 0 ? "inside" : "outside");

        c->addresses = g_new0(IpPrefix, 1);
        g_assert_cmpint(ip_prefix_parse(number == 0 ? "192.0.2.50" : "198.51.100.50", &c->addresses[0]), ==, 0);
        c->n_addresses = 1;
        (void) g_snprintf(c->interface, sizeof(c->interface), "eth%u", number);
        g_free(c->sync_group);
        c->sync_group = g_strdup(group);
        g_ptr_array_add(c->checks, check_config_new_default("load"));
        c->lease = CONFIG_LEASE_NO;
        c->announce.count = 1;
        c->carp.vhid = (uint8_t) (1 + number);
        memcpy(c->carp.key, "secret", 6);
        c->carp.n_key_bytes = 6;
        c->takeover.units_before_address = units_before_address;
        return c;
}

static void link_up(Fixture *f, unsigned number) {
        IpAddress source, none = { 0 };

        g_assert_cmpint(ip_address_parse(number == 0 ? "192.0.2.1" : "198.51.100.1", &source), ==, 0);
        instance_set_link(f->sides[number].instance, ELECTION_REASON_LINK_UP, &source, &none, f->now_usec);
}

static void link_down(Fixture *f, unsigned number) {
        IpAddress none = { 0 };

        instance_set_link(f->sides[number].instance, ELECTION_REASON_LINK_DOWN, &none, &none, f->now_usec);
}

static void update(Fixture *f) {
        Instance *instances[N];

        for (unsigned k = 0; k < N; k++)
                instances[k] = f->sides[k].instance;
        sync_groups_update(f->groups, instances, N, f->now_usec);
}

static void make(Fixture *f, unsigned number, const char *group, bool units) {
        Side *s = &f->sides[number];

        *s = (Side) { .fixture = f, .number = number, .deadline_usec = UINT64_MAX };
        s->instance = instance_new(make_config(number, group, units), &ops, s, NULL, 7 + number);
        link_up(f, number);
}

/* data: the second has UnitsBeforeAddress=. */
static void set_up(Fixture *f, gconstpointer units) {
        f->now_usec = 1000 * SEC;
        f->effects = g_string_new(NULL);
        f->groups = sync_groups_new();
        make(f, 0, "router", false);
        make(f, 1, "router", units != NULL);
        update(f);
}

static void tear_down(Fixture *f, gconstpointer data) {
        sync_groups_free(f->groups);
        for (unsigned k = 0; k < N; k++)
                instance_free(f->sides[k].instance);
        g_string_free(f->effects, true);
}

static void assert_effects(Fixture *f, const char *expected) {
        g_assert_cmpstr(f->effects->str, ==, expected);
        g_string_truncate(f->effects, 0);
}

static void assert_states(Fixture *f, ElectionState first, ElectionState second) {
        g_assert_cmpint(instance_state(f->sides[0].instance), ==, first);
        g_assert_cmpint(instance_state(f->sides[1].instance), ==, second);
}

/* Until then, everybody is woken when they asked for it. */
static void run_until(Fixture *f, uint64_t end_usec) {
        for (;;) {
                Side *first = f->sides[0].deadline_usec <= f->sides[1].deadline_usec ? &f->sides[0] : &f->sides[1];

                if (first->deadline_usec > end_usec)
                        break;
                f->now_usec = MAX(f->now_usec, first->deadline_usec);
                first->deadline_usec = UINT64_MAX;
                instance_on_timer(first->instance, f->now_usec);
        }
        f->now_usec = end_usec;
}

static void win(Fixture *f) {
        run_until(f, f->now_usec + 4 * SEC);
        assert_states(f, ELECTION_STATE_MASTER, ELECTION_STATE_MASTER);
        g_string_truncate(f->effects, 0);
}

static void test_addresses_are_held_before_anybody_is_told(Fixture *f, gconstpointer data) {
        run_until(f, f->now_usec + 3 * SEC);
        assert_states(f, ELECTION_STATE_MASTER, ELECTION_STATE_MASTER);
        assert_effects(f, "hHanAN");
        g_assert_cmpuint(instance_state_change_usec(f->sides[0].instance), ==, instance_state_change_usec(f->sides[1].instance));
}

static void test_what_one_cannot_hold_nobody_is_told_of(Fixture *f, gconstpointer data) {
        f->sides[1].hold_fails = true;
        run_until(f, f->now_usec + 3 * SEC);
        assert_states(f, ELECTION_STATE_BACKUP, ELECTION_STATE_BACKUP);
        assert_effects(f, "hHRr");
        /* not again before the hold is over */
        run_until(f, f->now_usec + 2 * SEC);
        assert_effects(f, "");
        f->sides[1].hold_fails = false;
        run_until(f, f->now_usec + 2 * SEC);
        assert_states(f, ELECTION_STATE_MASTER, ELECTION_STATE_MASTER);
}

static void test_a_lost_link_ends_all_in_one_pass(Fixture *f, gconstpointer data) {
        ElectionReason cause;

        win(f);
        link_down(f, 0);
        assert_states(f, ELECTION_STATE_INIT, ELECTION_STATE_BACKUP);
        assert_effects(f, "rRB");
        g_assert_cmpint(instance_reason(f->sides[1].instance), ==, ELECTION_REASON_SYNC);
        g_assert_cmpstr(instance_sync_cause(f->sides[1].instance, &cause), ==, "inside");
        g_assert_cmpint(cause, ==, ELECTION_REASON_LINK_DOWN);
        run_until(f, f->now_usec + 20 * SEC);
        assert_effects(f, "");
        link_up(f, 0);
        win(f);
}

/* By a check of that weight. */
static void demote_by(Fixture *f, unsigned side, uint32_t demotion) {
        Instance *i = f->sides[side].instance;

        ((CheckConfig *) g_ptr_array_index(instance_config(i)->checks, 0))->weight = demotion;
        instance_set_check(i, "load", demotion > 0 ? CHECK_STATE_FAILING : CHECK_STATE_PASSING, demotion > 0, "", f->now_usec);
}

static void test_all_are_as_demoted_as_the_most_demoted(Fixture *f, gconstpointer data) {
        win(f);
        demote_by(f, 0, 50);
        g_assert_cmpuint(instance_demotion(f->sides[1].instance), ==, 50);
        assert_effects(f, "aA");
        demote_by(f, 1, 20);
        assert_effects(f, "");
        demote_by(f, 0, 0);
        g_assert_cmpuint(instance_demotion(f->sides[0].instance), ==, 20);
        g_assert_cmpuint(instance_demotion(f->sides[1].instance), ==, 20);
        g_assert_cmpuint(instance_own_demotion(f->sides[0].instance), ==, 0);
}

static void test_who_leaves_the_group_is_as_demoted_as_itself(Fixture *f, gconstpointer data) {
        win(f);
        demote_by(f, 0, 50);
        instance_reconfigure(f->sides[1].instance, make_config(1, "", false), f->now_usec);
        update(f);
        g_assert_cmpuint(instance_demotion(f->sides[1].instance), ==, 0);
        g_assert_cmpuint(instance_demotion(f->sides[0].instance), ==, 50);
        assert_states(f, ELECTION_STATE_MASTER, ELECTION_STATE_MASTER);
}

static void test_promotion_is_of_all_or_none(Fixture *f, gconstpointer data) {
        g_assert_cmpint(sync_groups_promote(f->groups, f->sides[0].instance, f->now_usec), ==, INSTANCE_VERB_OK);
        assert_states(f, ELECTION_STATE_MASTER, ELECTION_STATE_MASTER);
        assert_effects(f, "hHanAN");
        g_assert_cmpint(instance_demote(f->sides[1].instance, SEC, f->now_usec), ==, INSTANCE_VERB_OK);
        assert_states(f, ELECTION_STATE_BACKUP, ELECTION_STATE_BACKUP);
        assert_effects(f, "RBrb");
        link_down(f, 1);
        g_assert_cmpint(sync_groups_promote(f->groups, f->sides[0].instance, f->now_usec), ==, INSTANCE_VERB_BUSY);
        assert_effects(f, "");
}

static void test_a_new_member_follows_and_one_that_goes_takes_nobody_along(Fixture *f, gconstpointer data) {
        instance_reconfigure(f->sides[1].instance, make_config(1, "", false), f->now_usec);
        update(f);
        win(f);
        sync_groups_forget(f->groups, f->sides[1].instance, f->now_usec);
        instance_free(f->sides[1].instance);
        make(f, 1, "router", false);
        update(f);
        assert_states(f, ELECTION_STATE_MASTER, ELECTION_STATE_BACKUP);
        run_until(f, f->now_usec + 2 * SEC);
        assert_states(f, ELECTION_STATE_MASTER, ELECTION_STATE_BACKUP);
        win(f);
        sync_groups_forget(f->groups, f->sides[1].instance, f->now_usec);
        instance_stop(f->sides[1].instance, ELECTION_REASON_RELOAD, false, f->now_usec);
        assert_states(f, ELECTION_STATE_MASTER, ELECTION_STATE_INIT);
        assert_effects(f, "RB");
}

static void test_a_new_member_that_cannot_be_master_ends_all(Fixture *f, gconstpointer data) {
        instance_reconfigure(f->sides[1].instance, make_config(1, "", false), f->now_usec);
        update(f);
        win(f);
        link_down(f, 1);
        assert_effects(f, "R");
        instance_reconfigure(f->sides[1].instance, make_config(1, "router", false), f->now_usec);
        update(f);
        assert_states(f, ELECTION_STATE_BACKUP, ELECTION_STATE_INIT);
        assert_effects(f, "rb");
}

static void test_a_planned_leave_waits_for_the_units_of_all(Fixture *f, gconstpointer data) {
        win(f);
        instance_on_units_settled(f->sides[1].instance, true, f->now_usec);
        g_string_truncate(f->effects, 0);
        /* the one without such units is told */
        g_assert_cmpint(instance_demote(f->sides[0].instance, SEC, f->now_usec), ==, INSTANCE_VERB_OK);
        g_assert_true(instance_is_leaving(f->sides[0].instance));
        g_assert_true(instance_is_leaving(f->sides[1].instance));
        instance_on_units_settled(f->sides[0].instance, false, f->now_usec);
        assert_states(f, ELECTION_STATE_MASTER, ELECTION_STATE_MASTER);
        assert_effects(f, "");
        instance_on_units_settled(f->sides[1].instance, false, f->now_usec);
        assert_states(f, ELECTION_STATE_BACKUP, ELECTION_STATE_BACKUP);
        assert_effects(f, "rbRB");
        g_assert_cmpint(instance_reason(f->sides[0].instance), ==, ELECTION_REASON_DEMOTED);
        g_assert_cmpint(instance_reason(f->sides[1].instance), ==, ELECTION_REASON_SYNC);
}

static void test_who_thinks_better_of_it_keeps_all(Fixture *f, gconstpointer data) {
        win(f);
        instance_on_units_settled(f->sides[1].instance, true, f->now_usec);
        g_string_truncate(f->effects, 0);
        instance_set_enabled(f->sides[0].instance, false, f->now_usec);
        g_assert_true(instance_is_leaving(f->sides[1].instance));
        instance_set_enabled(f->sides[0].instance, true, f->now_usec);
        g_assert_false(instance_is_leaving(f->sides[0].instance));
        g_assert_false(instance_is_leaving(f->sides[1].instance));
        instance_on_units_settled(f->sides[1].instance, false, f->now_usec);
        assert_states(f, ELECTION_STATE_MASTER, ELECTION_STATE_MASTER);
        assert_effects(f, "");
}

static void test_a_lost_link_waits_for_no_units(Fixture *f, gconstpointer data) {
        win(f);
        instance_on_units_settled(f->sides[1].instance, true, f->now_usec);
        g_string_truncate(f->effects, 0);
        link_down(f, 0);
        assert_effects(f, "rRB");
}

static void test_a_restart_does_not_wait_for_units(Fixture *f, gconstpointer data) {
        win(f);
        instance_on_units_settled(f->sides[1].instance, true, f->now_usec);
        g_assert_cmpint(instance_demote(f->sides[0].instance, SEC, f->now_usec), ==, INSTANCE_VERB_OK);
        instance_prepare_handover(f->sides[0].instance, f->now_usec);
        instance_prepare_handover(f->sides[1].instance, f->now_usec);
        assert_states(f, ELECTION_STATE_BACKUP, ELECTION_STATE_BACKUP);
}

static void test_a_restart_keeps_a_group_of_masters(Fixture *f, gconstpointer data) {
        InstanceMemory memory[N];

        win(f);
        for (unsigned k = 0; k < N; k++)
                instance_prepare_handover(f->sides[k].instance, f->now_usec);
        for (unsigned k = 0; k < N; k++)
                instance_remember(f->sides[k].instance, &memory[k]);
        sync_groups_free(f->groups);
        f->groups = sync_groups_new();
        f->now_usec += SEC;
        g_string_truncate(f->effects, 0);
        for (unsigned k = 0; k < N; k++) {
                Side *s = &f->sides[k];

                instance_free(s->instance);
                s->instance = instance_new(make_config(k, "router", false), &ops, s, NULL, 9);
                instance_resume(s->instance, &memory[k], f->now_usec);
                link_up(f, k);
        }
        update(f);
        run_until(f, f->now_usec + 10 * SEC);
        assert_states(f, ELECTION_STATE_MASTER, ELECTION_STATE_MASTER);
        g_assert_null(strpbrk(f->effects->str, "rRbB"));
}

static void test_a_group_of_one_is_none(Fixture *f, gconstpointer data) {
        instance_reconfigure(f->sides[1].instance, make_config(1, "another", false), f->now_usec);
        update(f);
        link_down(f, 1);
        run_until(f, f->now_usec + 4 * SEC);
        assert_states(f, ELECTION_STATE_MASTER, ELECTION_STATE_INIT);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add("/sync-group/" #name, Fixture, NULL, set_up, test_##name, tear_down)
#define UNITS(name) g_test_add("/sync-group/units/" #name, Fixture, "", set_up, test_##name, tear_down)
        ADD(addresses_are_held_before_anybody_is_told);
        ADD(what_one_cannot_hold_nobody_is_told_of);
        ADD(a_lost_link_ends_all_in_one_pass);
        ADD(all_are_as_demoted_as_the_most_demoted);
        ADD(who_leaves_the_group_is_as_demoted_as_itself);
        ADD(promotion_is_of_all_or_none);
        ADD(a_new_member_follows_and_one_that_goes_takes_nobody_along);
        ADD(a_new_member_that_cannot_be_master_ends_all);
        ADD(a_restart_keeps_a_group_of_masters);
        ADD(a_group_of_one_is_none);
        UNITS(a_planned_leave_waits_for_the_units_of_all);
        UNITS(who_thinks_better_of_it_keeps_all);
        UNITS(a_lost_link_waits_for_no_units);
        UNITS(a_restart_does_not_wait_for_units);
        return g_test_run();
}
