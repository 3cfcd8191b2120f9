/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>

#include "core/replay.h"

/* Counters: what we send, and what we know as our own. Strict mode: what is believed once is not believed again, not under another header, and not
 * in the next life. */

static const ReplayHeader header = { .advbase = 1, .advskew = 100 };

static ElectionAddress host(uint8_t last) {
        return (ElectionAddress) { .n_bytes = 4, .bytes = { 192, 0, 2, last } };
}

static uint64_t counter(uint64_t sequence) {
        return sequence << 24 | 1 << 16 | 100 << 8;
}

static ReplayVerdict hear_at(Replay *r, uint8_t from, uint64_t sequence, uint64_t now_usec) {
        ElectionAddress source = host(from);

        return replay_accept(r, &source, false, counter(sequence), header, now_usec);
}

static ReplayVerdict hear(Replay *r, uint8_t from, uint64_t sequence) {
        return hear_at(r, from, sequence, 1);
}

static void test_ours_rise_one_by_one_and_carry_the_header(void) {
        ReplayState strict = { 0 };
        Replay r;

        replay_init(&r, &strict, 7);
        for (uint64_t k = 0; k < 3; k++)
                g_assert_cmphex(replay_next(&r, header), ==, counter(k));
        g_assert_cmphex(replay_next(&r, (ReplayHeader) { .advbase = 255, .advskew = 255, .demotion = 3 }), ==, 3 << 24 | 0xffff03);
}

static void test_nothing_is_believed_twice_or_late(void) {
        ReplayState strict = { 0 };
        Replay r;

        replay_init(&r, &strict, 7);
        g_assert_cmpint(hear(&r, 1, 0), ==, REPLAY_VERDICT_OK);
        g_assert_cmpint(hear(&r, 1, 0), ==, REPLAY_VERDICT_REPLAY);
        g_assert_cmpint(hear(&r, 1, 10), ==, REPLAY_VERDICT_OK);
        g_assert_cmpint(hear(&r, 1, 9), ==, REPLAY_VERDICT_REPLAY);
        g_assert_cmpint(hear(&r, 2, 3), ==, REPLAY_VERDICT_OK); /* each counts for itself */
        g_assert_cmpint(hear(&r, 1, 11), ==, REPLAY_VERDICT_OK);
}

static void test_another_header_is_another_advert(void) {
        ElectionAddress source = host(1);
        ReplayState strict = { 0 };
        Replay r;

        replay_init(&r, &strict, 7);
        for (unsigned k = 0; k < 3; k++) {
                ReplayHeader forged = header;

                *(uint8_t *[]) { &forged.advbase, &forged.advskew, &forged.demotion }[k] ^= 1;
                g_assert_cmpint(replay_accept(&r, &source, false, counter(5), forged, 1), ==, REPLAY_VERDICT_REPLAY);
        }
        g_assert_cmpint(hear(&r, 1, 5), ==, REPLAY_VERDICT_OK);
}

static void test_the_next_life_believes_nothing_that_the_last_one_heard(void) {
        ReplayState first = { 0 }, second = { 0 };
        Replay before, after;

        replay_init(&before, &first, 7);
        (void) replay_next(&before, header);
        (void) hear(&before, 1, 1000);
        (void) hear(&before, 2, 0);
        replay_init(&after, &second, 8);
        replay_import(&second, &first);
        g_assert_cmpint(hear(&after, 1, 1000), ==, REPLAY_VERDICT_REPLAY);
        g_assert_cmpint(hear(&after, 2, 0), ==, REPLAY_VERDICT_REPLAY);
        g_assert_cmpint(hear(&after, 1, 1001), ==, REPLAY_VERDICT_OK);
        g_assert_cmphex(replay_next(&after, header), ==, counter(1));
}

static void test_an_old_state_lowers_and_forgets_nothing(void) {
        ReplayState old = { .next = 5, .peers = { { .source = host(1), .highest = 10 }, { .source = host(3), .highest = 7 } }, .n_peers = 2 };
        ReplayState strict = { 0 };
        Replay r;

        replay_init(&r, &strict, 7);
        replay_import(&strict, &(ReplayState) { .next = 100 });
        (void) hear(&r, 1, 20);
        (void) hear(&r, 2, 20);
        replay_import(&strict, &old);
        g_assert_cmpint(hear(&r, 1, 15), ==, REPLAY_VERDICT_REPLAY);
        g_assert_cmpint(hear(&r, 2, 20), ==, REPLAY_VERDICT_REPLAY);
        g_assert_cmpint(hear(&r, 3, 7), ==, REPLAY_VERDICT_REPLAY);
        g_assert_cmphex(replay_next(&r, header), ==, counter(100));
}

static void test_becoming_strict_and_lenient_forgets_nothing(void) {
        ReplayState strict = { 0 };
        Replay r;

        replay_init(&r, &strict, 7);
        (void) replay_next(&r, header);
        (void) hear(&r, 1, 20);
        replay_set_strict(&r, NULL);
        g_assert_cmpint(hear(&r, 1, 20), ==, REPLAY_VERDICT_OK);
        (void) replay_next(&r, header);
        replay_set_strict(&r, &strict);
        g_assert_cmpint(hear(&r, 1, 20), ==, REPLAY_VERDICT_REPLAY);
        g_assert_cmphex(replay_next(&r, header), ==, counter(1));
}

/* What we said ourselves, and longer ago than we would know as an echo. */
static void test_our_own_words_are_not_anothers(void) {
        ElectionAddress self = host(9);
        ReplayState strict = { 0 };
        Replay r;

        replay_init(&r, &strict, 7);
        for (unsigned k = 0; k < 2 * REPLAY_N_OWN; k++)
                (void) replay_next(&r, header);
        g_assert_cmpint(replay_accept(&r, &self, true, counter(2 * REPLAY_N_OWN - 1), header, 1), ==, REPLAY_VERDICT_LOOP);
        g_assert_cmpint(replay_accept(&r, &self, true, counter(0), header, 1), ==, REPLAY_VERDICT_REPLAY);
}

static void test_a_group_larger_than_the_table_forgets_who_was_silent_longest(void) {
        ReplayState strict = { 0 };
        Replay r;

        replay_init(&r, &strict, 7);
        for (uint8_t k = 0; k < REPLAY_N_PEERS; k++)
                g_assert_cmpint(hear_at(&r, k, 10, 100 + k), ==, REPLAY_VERDICT_OK);
        g_assert_cmpint(hear_at(&r, 0, 11, 1000), ==, REPLAY_VERDICT_OK);
        g_assert_cmpint(hear_at(&r, 200, 10, 1001), ==, REPLAY_VERDICT_OK);
        g_assert_cmpuint(strict.n_peers, ==, REPLAY_N_PEERS);
        g_assert_cmpint(hear_at(&r, 0, 11, 1002), ==, REPLAY_VERDICT_REPLAY);
        g_assert_cmpint(hear_at(&r, 2, 10, 1002), ==, REPLAY_VERDICT_REPLAY);
        g_assert_cmpint(hear_at(&r, 1, 10, 1002), ==, REPLAY_VERDICT_OK);
}

/* Nor does a state that somebody wrote by hand. */
static void test_the_end_of_the_numbers_is_not_a_new_beginning(void) {
        ElectionAddress self = host(9);
        ReplayState strict = { 0 };
        Replay r;

        replay_init(&r, &strict, 7);
        replay_import(&strict, &(ReplayState) { .next = UINT64_MAX });
        g_assert_cmphex(replay_next(&r, header), ==, counter(REPLAY_SEQUENCE_MAX));
        g_assert_cmphex(replay_next(&r, header), ==, counter(REPLAY_SEQUENCE_MAX));
        g_assert_cmpint(replay_accept(&r, &self, true, counter(REPLAY_SEQUENCE_MAX), header, 1), ==, REPLAY_VERDICT_LOOP);
}

static void test_a_lenient_host_refuses_its_echo_alone(void) {
        ElectionAddress self = host(9), other = host(1);
        uint64_t ours;
        Replay r;

        replay_init(&r, NULL, 7);
        ours = replay_next(&r, header);
        g_assert_cmpint(replay_accept(&r, &self, true, ours, header, 1), ==, REPLAY_VERDICT_LOOP);
        g_assert_cmpint(replay_accept(&r, &other, false, ours, header, 1), ==, REPLAY_VERDICT_OK);
        g_assert_cmpint(replay_accept(&r, &other, false, ours, header, 1), ==, REPLAY_VERDICT_OK);
        g_assert_cmphex(replay_next(&r, header), !=, ours + 1);
}

static void test_what_does_not_fit_is_not_brought_over(void) {
        ReplayState state = { .n_peers = REPLAY_N_PEERS }, strict = { 0 };
        Replay r;

        for (unsigned k = 0; k < REPLAY_N_PEERS; k++)
                state.peers[k] = (ReplayPeer) { .source = host((uint8_t) k), .highest = 100 };
        replay_init(&r, &strict, 7);
        g_assert_cmpint(hear(&r, 200, 10), ==, REPLAY_VERDICT_OK);
        replay_import(&strict, &state);
        g_assert_cmpint(hear(&r, 200, 10), ==, REPLAY_VERDICT_REPLAY); /* who was heard in this life keeps the place */
        g_assert_cmpint(hear(&r, REPLAY_N_PEERS - 2, 100), ==, REPLAY_VERDICT_REPLAY);
        g_assert_cmpint(hear(&r, REPLAY_N_PEERS - 1, 100), ==, REPLAY_VERDICT_OK);
}

/* Of one that is made while this life goes on, as a file system was mounted late. */
static void test_who_is_known_rises_also_behind_what_does_not_fit(void) {
        ReplayState state = { .peers = { { .source = host(200), .highest = 100 }, { .source = host(1), .highest = 100 } }, .n_peers = 2 }, strict = { 0 };
        Replay r;

        replay_init(&r, &strict, 7);
        for (unsigned k = 0; k < REPLAY_N_PEERS; k++)
                g_assert_cmpint(hear(&r, (uint8_t) k, 10), ==, REPLAY_VERDICT_OK);
        replay_import(&strict, &state);
        g_assert_cmpint(hear(&r, 1, 100), ==, REPLAY_VERDICT_REPLAY);
        g_assert_cmpint(hear(&r, 2, 10), ==, REPLAY_VERDICT_REPLAY);
}

static void test_an_address_of_another_family_is_another_host(void) {
        ElectionAddress ipv6 = { .n_bytes = 16, .bytes = { 192, 0, 2, 1 } };
        ReplayState strict = { 0 };
        Replay r;

        replay_init(&r, &strict, 7);
        g_assert_cmpint(hear(&r, 1, 10), ==, REPLAY_VERDICT_OK);
        g_assert_cmpint(replay_accept(&r, &ipv6, false, counter(10), header, 1), ==, REPLAY_VERDICT_OK);
}

static void test_our_address_with_a_number_that_is_yet_to_come_is_another_host(void) {
        ElectionAddress self = host(9);
        ReplayState strict = { 0 };
        Replay r;

        replay_init(&r, &strict, 7);
        (void) replay_next(&r, header);
        g_assert_cmpint(replay_accept(&r, &self, true, counter(5), header, 1), ==, REPLAY_VERDICT_OK);
}

static void test_an_echo_is_known_among_the_last_64(void) {
        ElectionAddress self = host(9);
        uint64_t ours[3 * REPLAY_N_OWN];
        Replay r;

        replay_init(&r, NULL, 1);
        for (unsigned k = 0; k < G_N_ELEMENTS(ours); k++) {
                ours[k] = replay_next(&r, header);
                for (unsigned o = 0; o <= k; o++)
                        g_assert_cmpint(replay_accept(&r, &self, true, ours[o], header, 1), ==,
                                        k - o < REPLAY_N_OWN ? REPLAY_VERDICT_LOOP : REPLAY_VERDICT_OK);
        }
}

static void test_lenient_counters_rise_by_unforeseen_steps(void) {
        const uint64_t seeds[] = { 0, 1, UINT64_MAX };

        for (size_t k = 0; k < G_N_ELEMENTS(seeds); k++) {
                uint64_t before, step_before = 0;
                unsigned n_equal = 0;
                Replay r;

                replay_init(&r, NULL, seeds[k]);
                before = replay_next(&r, header);
                for (unsigned n = 0; n < 1000; n++) {
                        uint64_t now = replay_next(&r, header), step = now - before;

                        g_assert_cmpuint(step, >=, 1);
                        g_assert_cmpuint(step, <=, 1 << 24);
                        n_equal += step == step_before;
                        before = now;
                        step_before = step;
                }
                g_assert_cmpuint(n_equal, <, 10);
        }
}

#define ADD(name) g_test_add_func("/replay/" #name, test_##name)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        ADD(ours_rise_one_by_one_and_carry_the_header);
        ADD(nothing_is_believed_twice_or_late);
        ADD(another_header_is_another_advert);
        ADD(the_next_life_believes_nothing_that_the_last_one_heard);
        ADD(an_old_state_lowers_and_forgets_nothing);
        ADD(becoming_strict_and_lenient_forgets_nothing);
        ADD(our_own_words_are_not_anothers);
        ADD(a_group_larger_than_the_table_forgets_who_was_silent_longest);
        ADD(the_end_of_the_numbers_is_not_a_new_beginning);
        ADD(a_lenient_host_refuses_its_echo_alone);
        ADD(what_does_not_fit_is_not_brought_over);
        ADD(who_is_known_rises_also_behind_what_does_not_fit);
        ADD(an_address_of_another_family_is_another_host);
        ADD(our_address_with_a_number_that_is_yet_to_come_is_another_host);
        ADD(an_echo_is_known_among_the_last_64);
        ADD(lenient_counters_rise_by_unforeseen_steps);
        return g_test_run();
}
