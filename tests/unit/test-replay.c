/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/replay.h"

#include <glib.h>

/* Counters: what we send, what we know as our own, and what strict mode refuses. */

#define SEC UINT64_C(1000000)

static const ReplayHeader header = { .advbase = 1, .advskew = 100 };

static ElectionAddress peer(uint8_t last) {
        return (ElectionAddress) { .n_bytes = 4, .bytes = { 192, 0, 2, last } };
}

static void assert_verdict(Replay *r, ElectionAddress source, bool own, uint64_t counter, ReplayHeader h, uint64_t now_usec,
                           ReplayVerdict expected) {
        g_assert_cmpint(replay_accept(r, &source, own, counter, h, now_usec), ==, expected);
}

/* What a strict peer with this sequence number sends. */
static uint64_t counter_of(uint64_t sequence, ReplayHeader h) {
        Replay sender;

        replay_init(&sender, true, 1, sequence);
        return replay_next(&sender, h);
}

static void test_lenient_counters_rise_by_unforeseen_steps(void) {
        uint64_t seeds[] = { 0, 1, UINT64_MAX };

        for (size_t k = 0; k < G_N_ELEMENTS(seeds); k++) {
                uint64_t before, step_before = 0;
                unsigned n_equal = 0;
                Replay r;

                replay_init(&r, false, seeds[k], 0);
                before = replay_next(&r, header);
                for (unsigned n = 0; n < 1000; n++) {
                        uint64_t counter = replay_next(&r, header), step = counter - before;

                        g_assert_cmpuint(step, >=, 1);
                        g_assert_cmpuint(step, <=, 1 << 24);
                        n_equal += step == step_before;
                        before = counter;
                        step_before = step;
                }
                g_assert_cmpuint(n_equal, <, 10);
        }
}

static void test_lenient_believes_any_counter_but_its_own_echo(void) {
        uint64_t counter;
        Replay r;

        replay_init(&r, false, 1, 0);
        assert_verdict(&r, peer(1), true, 5, header, SEC, REPLAY_VERDICT_OK); /* our address, and somebody else's counter */
        counter = replay_next(&r, header);
        assert_verdict(&r, peer(1), true, counter, header, SEC, REPLAY_VERDICT_LOOP);
        assert_verdict(&r, peer(1), true, counter + 1, header, SEC, REPLAY_VERDICT_OK);
        /* a ucarp backup goes on with its master's numbers */
        assert_verdict(&r, peer(2), false, counter, header, SEC, REPLAY_VERDICT_OK);
        assert_verdict(&r, peer(2), false, counter, header, SEC, REPLAY_VERDICT_OK);
        assert_verdict(&r, peer(2), false, 0, header, SEC, REPLAY_VERDICT_OK);
}

static void test_an_echo_is_known_among_the_last_64(void) {
        uint64_t first;
        Replay r;

        replay_init(&r, false, 1, 0);
        first = replay_next(&r, header);
        for (unsigned k = 1; k < REPLAY_N_OWN; k++)
                replay_next(&r, header);
        assert_verdict(&r, peer(1), true, first, header, SEC, REPLAY_VERDICT_LOOP);
        replay_next(&r, header);
        assert_verdict(&r, peer(1), true, first, header, SEC, REPLAY_VERDICT_OK);
}

static void test_strict_counters_rise_by_one_from_where_they_are_told(void) {
        Replay r;

        replay_init(&r, true, 99, 7000);
        g_assert_cmpuint(replay_next(&r, header) >> 24, ==, 7000);
        g_assert_cmpuint(replay_next(&r, header) >> 24, ==, 7001);
        /* 40 bits, and no more */
        replay_init(&r, true, 99, (UINT64_C(1) << 40) - 1);
        g_assert_cmpuint(replay_next(&r, header) >> 24, ==, (UINT64_C(1) << 40) - 1);
        g_assert_cmpuint(replay_next(&r, header) >> 24, ==, 0);
}

static void test_strict_refuses_what_does_not_rise(void) {
        Replay r;

        replay_init(&r, true, 1, 1);
        assert_verdict(&r, peer(2), false, counter_of(10, header), header, SEC, REPLAY_VERDICT_OK);
        assert_verdict(&r, peer(2), false, counter_of(10, header), header, 2 * SEC, REPLAY_VERDICT_REPLAY);
        assert_verdict(&r, peer(2), false, counter_of(9, header), header, 2 * SEC, REPLAY_VERDICT_REPLAY);
        assert_verdict(&r, peer(2), false, counter_of(11, header), header, 2 * SEC, REPLAY_VERDICT_OK);
        /* each peer counts for itself; so does each family of one */
        assert_verdict(&r, peer(3), false, counter_of(5, header), header, 2 * SEC, REPLAY_VERDICT_OK);
        assert_verdict(&r, (ElectionAddress) { .n_bytes = 16, .bytes = { 192, 0, 2, 2 } }, false, counter_of(5, header), header, 2 * SEC,
                       REPLAY_VERDICT_OK);
        /* and our own echo is one before it is anything else */
        assert_verdict(&r, peer(1), true, replay_next(&r, header), header, 2 * SEC, REPLAY_VERDICT_LOOP);
}

static void test_strict_refuses_a_header_that_the_counter_does_not_know(void) {
        const ReplayHeader forged[] = {
                { .advbase = 0, .advskew = 100 },
                { .advbase = 1, .advskew = 0 },
                { .advbase = 1, .advskew = 100, .demotion = 1 },
        };
        Replay r;

        replay_init(&r, true, 1, 1);
        for (size_t k = 0; k < G_N_ELEMENTS(forged); k++)
                assert_verdict(&r, peer(2), false, counter_of(10, header), forged[k], SEC, REPLAY_VERDICT_REPLAY);
        /* and such a one has not used up the number */
        assert_verdict(&r, peer(2), false, counter_of(10, header), header, SEC, REPLAY_VERDICT_OK);
}

static void test_a_group_larger_than_the_table_forgets_who_is_silent(void) {
        Replay r;

        replay_init(&r, true, 1, 1);
        for (uint8_t k = 0; k < REPLAY_N_PEERS; k++)
                assert_verdict(&r, peer(k), false, counter_of(10, header), header, (k + 1) * SEC, REPLAY_VERDICT_OK);
        /* the first one speaks again, so the second one has been silent for longest */
        assert_verdict(&r, peer(0), false, counter_of(11, header), header, 100 * SEC, REPLAY_VERDICT_OK);
        assert_verdict(&r, peer(200), false, counter_of(10, header), header, 101 * SEC, REPLAY_VERDICT_OK);
        assert_verdict(&r, peer(0), false, counter_of(11, header), header, 102 * SEC, REPLAY_VERDICT_REPLAY);
        assert_verdict(&r, peer(2), false, counter_of(10, header), header, 102 * SEC, REPLAY_VERDICT_REPLAY);
        assert_verdict(&r, peer(200), false, counter_of(10, header), header, 102 * SEC, REPLAY_VERDICT_REPLAY);
        assert_verdict(&r, peer(1), false, counter_of(10, header), header, 102 * SEC, REPLAY_VERDICT_OK);
}

#define ADD(name) g_test_add_func("/replay/" #name, test_##name)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        ADD(lenient_counters_rise_by_unforeseen_steps);
        ADD(lenient_believes_any_counter_but_its_own_echo);
        ADD(an_echo_is_known_among_the_last_64);
        ADD(strict_counters_rise_by_one_from_where_they_are_told);
        ADD(strict_refuses_what_does_not_rise);
        ADD(strict_refuses_a_header_that_the_counter_does_not_know);
        ADD(a_group_larger_than_the_table_forgets_who_is_silent);
        return g_test_run();
}
