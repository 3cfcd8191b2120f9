/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conflict.h"

#include <glib.h>
#include <string.h>

/* Who claims our addresses: what is told, and how often it is answered. */

#define SEC UINT64_C(1000000)
#define VHID 7

static const uint8_t stranger[MAC_BYTES] = { 2, 0, 0, 0, 0, 9 }, other[MAC_BYTES] = { 2, 0, 0, 0, 0, 10 },
                     peer[MAC_BYTES] = { 2, 0, 0, 0, 0, 2 };

typedef struct Fixture {
        Conflict c;
        ConflictAddress addresses[2];
        uint64_t now_usec;
        unsigned n_defended[2], n_asked, n_changed;
} Fixture;

static void set_up(Fixture *f, gconstpointer data) {
        f->now_usec = 1000 * SEC;
        conflict_reset(&f->c, VHID, f->addresses, 2, false);
        conflict_on_hold(&f->c, f->now_usec);
}

static void tear_down(Fixture *f, gconstpointer data) {
}

/* Time passes, with every deadline kept; ends at the instant itself. */
static void run_to(Fixture *f, uint64_t to_usec) {
        while (f->now_usec < to_usec) {
                ConflictUpdate u;

                f->now_usec = MIN(to_usec, conflict_deadline_usec(&f->c));
                conflict_step(&f->c, f->now_usec, &u);
                for (unsigned k = 0; k < 2; k++)
                        f->n_defended[k] += (u.defend >> k) & 1;
                g_assert_cmpuint(u.defend >> 2, ==, 0);
                f->n_asked += u.ask;
                f->n_changed += u.changed;
                g_assert_cmpuint(conflict_deadline_usec(&f->c), >, f->now_usec);
        }
}

static void run_for(Fixture *f, uint64_t usec) {
        run_to(f, f->now_usec + usec);
}

static void settle(Fixture *f) {
        run_for(f, CONFLICT_QUIET_USEC);
}

static void claim(Fixture *f, const uint8_t mac[MAC_BYTES]) {
        conflict_on_claim(&f->c, 0, mac, false, f->now_usec);
}

static void assert_claimed(const Fixture *f, const uint8_t *mac) {
        g_assert_cmpint(f->c.addresses[0].claimed, ==, mac != NULL);
        if (mac)
                g_assert_cmpmem(f->c.addresses[0].mac, MAC_BYTES, mac, MAC_BYTES);
}

static void test_a_stranger_is_told_and_answered_once(Fixture *f, gconstpointer data) {
        settle(f);
        claim(f, stranger);
        run_for(f, SEC);
        assert_claimed(f, stranger);
        g_assert_false(f->c.addresses[1].claimed);
        g_assert_cmpuint(f->n_changed, ==, 1);
        g_assert_cmpuint(f->n_defended[0], ==, 1);
        g_assert_cmpuint(f->n_defended[1], ==, 0);
        g_assert_cmpuint(f->c.n_claims, ==, 1);
        g_assert_cmpuint(f->c.n_defences, ==, 1);
}

static void test_a_fight_is_one_answer_in_ten_seconds(Fixture *f, gconstpointer data) {
        settle(f);
        /* who answers each of our answers, and more */
        for (unsigned k = 0; k < 6000; k++) {
                claim(f, stranger);
                run_for(f, SEC / 100);
        }
        g_assert_cmpuint(f->n_defended[0], >=, 6);
        g_assert_cmpuint(f->n_defended[0], <=, 7);
        g_assert_cmpuint(f->n_changed, ==, 1);
        run_for(f, SEC);
        g_assert_cmpuint(f->c.n_claims, ==, 6000);
}

static void test_each_address_has_its_own_answer(Fixture *f, gconstpointer data) {
        settle(f);
        claim(f, stranger);
        conflict_on_claim(&f->c, 1, stranger, false, f->now_usec);
        run_for(f, SEC);
        g_assert_cmpuint(f->n_defended[0], ==, 1);
        g_assert_cmpuint(f->n_defended[1], ==, 1);
}

static void test_a_flood_of_macs_names_one(Fixture *f, gconstpointer data) {
        settle(f);
        claim(f, stranger);
        run_for(f, SEC);
        for (unsigned k = 0; k < 10000; k++) {
                const uint8_t mac[MAC_BYTES] = { 2, 1, 0, 0, (uint8_t) (k >> 8), (uint8_t) k };

                claim(f, k % 3 == 0 ? stranger : mac);
                run_for(f, SEC / 1000);
        }
        assert_claimed(f, stranger);
        g_assert_cmpuint(f->n_changed, ==, 1);
        g_assert_cmpuint(f->n_defended[0], <=, 2);
}

static void test_another_takes_the_place_of_one_who_fell_silent(Fixture *f, gconstpointer data) {
        settle(f);
        claim(f, stranger);
        run_for(f, 11 * SEC);
        claim(f, other);
        run_for(f, SEC);
        assert_claimed(f, other);
}

static void test_it_is_over_when_nobody_claims_it(Fixture *f, gconstpointer data) {
        settle(f);
        claim(f, stranger);
        run_for(f, CONFLICT_FORGET_USEC);
        assert_claimed(f, stranger);
        run_for(f, SEC);
        assert_claimed(f, NULL);
        g_assert_cmpuint(f->n_changed, ==, 2);
        g_assert_cmpuint(conflict_deadline_usec(&f->c), ==, CONFLICT_NEVER);
}

static void test_it_is_over_when_we_give_the_address_up(Fixture *f, gconstpointer data) {
        settle(f);
        claim(f, stranger);
        run_for(f, SEC);
        conflict_on_release(&f->c);
        assert_claimed(f, NULL);
        claim(f, stranger);
        run_for(f, 100 * SEC);
        assert_claimed(f, NULL);
        g_assert_cmpuint(f->n_defended[0], ==, 1);
}

static void test_a_backup_minds_nobody(Fixture *f, gconstpointer data) {
        conflict_on_release(&f->c);
        for (unsigned k = 0; k < 100; k++) {
                claim(f, stranger);
                run_for(f, SEC);
        }
        assert_claimed(f, NULL);
        g_assert_cmpuint(f->c.n_claims, ==, 0);
}

static void test_a_takeover_explains_what_follows_it(Fixture *f, gconstpointer data) {
        while (f->now_usec < 1000 * SEC + CONFLICT_QUIET_USEC - 1) {
                claim(f, stranger);
                run_for(f, MIN(SEC / 10, 1000 * SEC + CONFLICT_QUIET_USEC - 1 - f->now_usec));
        }
        run_for(f, 5 * SEC);
        assert_claimed(f, NULL);
        /* and what lasts is a conflict all the same */
        claim(f, stranger);
        run_for(f, SEC);
        assert_claimed(f, stranger);
}

/* Frames of ucarp as it preempts: from its own MAC the announcement, and at once the advert, from another. */
static void test_an_advert_explains_what_came_before_it(Fixture *f, gconstpointer data) {
        static const uint8_t ucarp[MAC_BYTES] = { 0, 0, 0x5e, 0, 0, VHID };

        settle(f);
        claim(f, stranger);
        run_for(f, CONFLICT_GRACE_USEC / 2);
        conflict_on_advert(&f->c, ucarp, f->now_usec);
        run_for(f, 2 * SEC);
        claim(f, stranger);
        run_for(f, 20 * SEC);
        assert_claimed(f, NULL);
        g_assert_cmpuint(f->n_defended[0], ==, 0);
        g_assert_cmpuint(f->c.n_claims, ==, 0);
        /* one that left its address behind */
        claim(f, stranger);
        run_for(f, SEC);
        assert_claimed(f, stranger);
}

static void test_a_peer_is_no_conflict(Fixture *f, gconstpointer data) {
        static const uint8_t bsd[MAC_BYTES] = { 0, 0, 0x5e, 0, 1, VHID }, another_group[MAC_BYTES] = { 0, 0, 0x5e, 0, 1, VHID + 1 };

        conflict_on_advert(&f->c, peer, f->now_usec);
        run_for(f, 60 * SEC);
        claim(f, peer);
        run_for(f, SEC);
        claim(f, bsd);
        run_for(f, SEC);
        assert_claimed(f, NULL);
        claim(f, another_group);
        run_for(f, SEC);
        assert_claimed(f, another_group);
}

static void test_the_virtual_mac_is_a_strangers_while_no_peer_was_heard(Fixture *f, gconstpointer data) {
        static const uint8_t router[MAC_BYTES] = { 0, 0, 0x5e, 0, 1, VHID };

        settle(f);
        claim(f, router);
        run_for(f, SEC);
        assert_claimed(f, router);
}

static void test_as_many_peers_as_there_are_places(Fixture *f, gconstpointer data) {
        uint8_t mac[MAC_BYTES] = { 2, 2, 0, 0, 0, 0 };

        for (unsigned k = 0; k < 3 * CONFLICT_PEERS_MAX; k++) {
                mac[5] = (uint8_t) k;
                conflict_on_advert(&f->c, mac, f->now_usec);
        }
        run_for(f, 60 * SEC);
        for (unsigned k = 2 * CONFLICT_PEERS_MAX; k < 3 * CONFLICT_PEERS_MAX; k++) {
                mac[5] = (uint8_t) k;
                claim(f, mac);
                run_for(f, SEC);
        }
        assert_claimed(f, NULL);
}

static void test_a_probe_is_told_and_not_answered(Fixture *f, gconstpointer data) {
        settle(f);
        conflict_on_claim(&f->c, 0, stranger, true, f->now_usec);
        run_for(f, SEC);
        assert_claimed(f, stranger);
        g_assert_cmpuint(f->n_defended[0], ==, 0);
        /* it takes the address in spite of the kernel's answer */
        claim(f, stranger);
        run_for(f, SEC);
        g_assert_cmpuint(f->n_defended[0], ==, 1);
}

static void test_questions(Fixture *f, gconstpointer data) {
        conflict_reset(&f->c, VHID, f->addresses, 2, true);
        run_for(f, 100 * SEC);
        g_assert_cmpuint(f->n_asked, ==, 0);
        conflict_on_hold(&f->c, f->now_usec);
        run_for(f, CONFLICT_QUIET_USEC - 1);
        g_assert_cmpuint(f->n_asked, ==, 0);
        run_for(f, 1);
        g_assert_cmpuint(f->n_asked, ==, 1);
        run_for(f, 3 * CONFLICT_ASK_USEC);
        g_assert_cmpuint(f->n_asked, ==, 4);
        /* not while roles change */
        conflict_on_advert(&f->c, peer, f->now_usec + CONFLICT_ASK_USEC - SEC);
        run_for(f, CONFLICT_ASK_USEC + SEC);
        g_assert_cmpuint(f->n_asked, ==, 4);
}

static void test_holding_on_is_no_takeover(Fixture *f, gconstpointer data) {
        for (unsigned k = 0; k < 10; k++) {
                run_for(f, SEC);
                conflict_on_hold(&f->c, f->now_usec);
        }
        claim(f, stranger);
        run_for(f, SEC);
        assert_claimed(f, stranger);
}

static void test_counters_outlive_another_configuration(Fixture *f, gconstpointer data) {
        settle(f);
        claim(f, stranger);
        run_for(f, SEC);
        conflict_reset(&f->c, VHID, f->addresses, 1, false);
        assert_claimed(f, NULL);
        g_assert_cmpuint(f->c.n_claims, ==, 1);
        g_assert_cmpuint(f->c.n_defences, ==, 1);
}

#define ADD(name) g_test_add("/conflict/" #name, Fixture, NULL, set_up, test_##name, tear_down)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        ADD(a_stranger_is_told_and_answered_once);
        ADD(a_fight_is_one_answer_in_ten_seconds);
        ADD(each_address_has_its_own_answer);
        ADD(a_flood_of_macs_names_one);
        ADD(another_takes_the_place_of_one_who_fell_silent);
        ADD(it_is_over_when_nobody_claims_it);
        ADD(it_is_over_when_we_give_the_address_up);
        ADD(a_backup_minds_nobody);
        ADD(a_takeover_explains_what_follows_it);
        ADD(an_advert_explains_what_came_before_it);
        ADD(a_peer_is_no_conflict);
        ADD(the_virtual_mac_is_a_strangers_while_no_peer_was_heard);
        ADD(as_many_peers_as_there_are_places);
        ADD(a_probe_is_told_and_not_answered);
        ADD(questions);
        ADD(holding_on_is_no_takeover);
        ADD(counters_outlive_another_configuration);
        return g_test_run();
}
