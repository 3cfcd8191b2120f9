/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/election.h"

#include <glib.h>
#include <string.h>

#include "core/skew.h"

/* The election, promise by promise. Time is invented; no clock is read. */

#define SEC UINT64_C(1000000)
#define MSEC UINT64_C(1000)

static const ElectionConfig plain = {
        .advbase = 1,
        .advskew = 100,
        .dead_ratio = 3,
        .start_delay_usec = ELECTION_NEVER,
};

static ElectionAddress ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
        return (ElectionAddress) { .n_bytes = 4, .bytes = { a, b, c, d } };
}

static ElectionUpdate step(Election *e, ElectionEvent event, uint64_t now_usec) {
        ElectionUpdate u;

        election_step(e, &event, now_usec, &u);
        if (u.send != ELECTION_SEND_NONE) {
                ElectionUpdate ignored;

                election_step(e, &(ElectionEvent) { .type = ELECTION_EVENT_SENT, .u.sent = true }, now_usec, &ignored);
        }
        return u;
}

static ElectionUpdate timer(Election *e, uint64_t now_usec) {
        return step(e, (ElectionEvent) { .type = ELECTION_EVENT_TIMER }, now_usec);
}

static ElectionUpdate hear_from(Election *e, uint8_t advbase, uint8_t advskew, ElectionAddress source, uint64_t now_usec) {
        return step(e,
                    (ElectionEvent) { .type = ELECTION_EVENT_ADVERT,
                                      .u.advert = { .advbase = advbase, .advskew = advskew, .source = source } },
                    now_usec);
}

static ElectionUpdate hear(Election *e, uint8_t advbase, uint8_t advskew, uint64_t now_usec) {
        return hear_from(e, advbase, advskew, ipv4(192, 0, 2, 9), now_usec);
}

static ElectionUpdate bar(Election *e, ElectionEventType type, ElectionReason reason, uint64_t now_usec) {
        return step(e, (ElectionEvent) { .type = type, .u.bar.reason = reason }, now_usec);
}

static Election backup(ElectionConfig config, uint64_t now_usec) {
        Election e;
        ElectionUpdate u;

        election_init(&e, &config, 1);
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_SOURCE, .u.source.ipv4 = ipv4(192, 0, 2, 5) }, now_usec);
        u = bar(&e, ELECTION_EVENT_UNBAR, ELECTION_REASON_INTERFACE_MISSING, now_usec);
        g_assert_true(u.changed);
        g_assert_cmpint(u.to, ==, ELECTION_STATE_BACKUP);
        g_assert_cmpint(u.reason, ==, ELECTION_REASON_STARTUP);
        return e;
}

/* A master since *now_usec, which is advanced to then. */
static Election master(ElectionConfig config, uint64_t *now_usec) {
        Election e = backup(config, *now_usec);
        ElectionUpdate u;

        *now_usec = election_deadline_usec(&e);
        u = timer(&e, *now_usec);
        g_assert_cmpint(u.to, ==, ELECTION_STATE_MASTER);
        return e;
}

static void assert_becomes(ElectionUpdate u, ElectionState to, ElectionReason reason) {
        g_assert_true(u.changed);
        g_assert_cmpstr(election_state_to_string(u.to), ==, election_state_to_string(to));
        g_assert_cmpstr(election_reason_to_string(u.reason), ==, election_reason_to_string(reason));
}

static void test_intervals(void) {
        g_assert_cmpuint(skew_interval_usec(1, 0), ==, SEC);
        g_assert_cmpuint(skew_interval_usec(1, 100), ==, SEC + 390625);
        g_assert_cmpuint(skew_interval_usec(0, 1), ==, 3906);
        g_assert_cmpuint(skew_interval_usec(0, 0), ==, 3906);
        g_assert_cmpuint(skew_dead_usec(1, 100, 3), ==, 3390625);
        g_assert_cmpuint(skew_dead_usec(0, 1, 3), ==, 11718);
        g_assert_cmpuint(skew_dead_usec(255, 255, UINT32_MAX), >, UINT64_C(1) << 59);
}

static void test_demotion_is_capped(void) {
        g_assert_cmpuint(skew_effective(0, 0), ==, 0);
        g_assert_cmpuint(skew_effective(10, 100), ==, 110);
        g_assert_cmpuint(skew_effective(200, 100), ==, 240);
        g_assert_cmpuint(skew_effective(254, 1), ==, 254);
        g_assert_cmpuint(skew_effective(3, UINT32_MAX), ==, 240);
}

static void test_takes_over_after_the_dead_interval_and_not_before(void) {
        Election e = backup(plain, 10 * SEC);
        ElectionUpdate u;

        g_assert_cmpuint(election_deadline_usec(&e), ==, 10 * SEC + 3390625);
        u = timer(&e, 10 * SEC + 3390624);
        g_assert_false(u.changed);
        u = timer(&e, 10 * SEC + 3390625);
        assert_becomes(u, ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_ADVERT);
        g_assert_cmpuint(u.advbase, ==, 1);
        g_assert_cmpuint(u.advskew, ==, 100);
        g_assert_true(u.announce);
}

static void test_an_advert_restarts_the_silence(void) {
        Election e = backup(plain, 0);

        g_assert_false(hear(&e, 1, 0, 2 * SEC).changed);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 2 * SEC + 3390625);
}

static void test_master_keeps_its_beat(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        uint64_t due = election_deadline_usec(&e);

        g_assert_cmpuint(due, ==, now + SEC + 390625);
        g_assert_cmpint(timer(&e, due + 5 * MSEC).send, ==, ELECTION_SEND_ADVERT);
        g_assert_cmpuint(election_deadline_usec(&e), ==, due + SEC + 390625);
}

static void test_better_advert_makes_backup_with_a_last_word(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u = hear(&e, 1, 99, now + SEC);

        assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_PREEMPTED);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_ADVERT);
        g_assert_cmpuint(u.advskew, ==, 100);
}

static void test_worse_advert_is_answered_at_once_but_not_in_a_flood(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u = hear(&e, 1, 101, now + 300 * MSEC);

        g_assert_false(u.changed);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_ADVERT);
        g_assert_true(u.announce);
        u = hear(&e, 1, 101, now + 310 * MSEC);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_NONE);
        g_assert_false(u.announce);
}

static void test_tie_is_won_by_the_lower_last_octet(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u;

        /* 192.0.3.1 is numerically higher than 192.0.2.5, but lower as a little-endian ucarp compares */
        u = hear_from(&e, 1, 100, ipv4(192, 0, 2, 6), now + 300 * MSEC);
        g_assert_false(u.changed);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_ADVERT);
        u = hear_from(&e, 1, 100, ipv4(192, 0, 3, 1), now + 400 * MSEC);
        assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_PREEMPTED);
        g_assert_cmpuint(u.advskew, ==, 101);
        g_assert_cmpuint(election_deadline_usec(&e), >, now + 400 * MSEC + 3390625);
}

static void test_a_peer_that_never_yields_a_tie_wins_it(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);

        for (unsigned k = 1; k <= 3; k++)
                g_assert_false(hear_from(&e, 1, 100, ipv4(192, 0, 2, 6), now + k * 300 * MSEC).changed);
        assert_becomes(hear_from(&e, 1, 100, ipv4(192, 0, 2, 6), now + 1200 * MSEC),
                       ELECTION_STATE_BACKUP,
                       ELECTION_REASON_PREEMPTED);
}

static void test_bow_out_is_followed_at_once(void) {
        ElectionConfig best = plain;
        Election e;

        best.advskew = 0;
        e = backup(best, 0);
        hear(&e, 1, 0, 4 * SEC);
        assert_becomes(hear(&e, 255, 255, 5 * SEC), ELECTION_STATE_MASTER, ELECTION_REASON_BOW_OUT);

        e = backup(plain, 0);
        hear(&e, 1, 0, 4 * SEC);
        g_assert_false(hear(&e, 255, 255, 5 * SEC).changed);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 5 * SEC + 400);
        assert_becomes(timer(&e, 5 * SEC + 400), ELECTION_STATE_MASTER, ELECTION_REASON_BOW_OUT);
}

static void test_preempts_only_if_told_to(void) {
        ElectionConfig eager = plain;
        Election e = backup(plain, 0);

        g_assert_false(hear(&e, 1, 200, 4 * SEC).changed);
        eager.preempt = true;
        e = backup(eager, 0);
        /* not while it still listens after the start */
        g_assert_false(hear(&e, 1, 200, 1 * SEC).changed);
        g_assert_false(hear(&e, 1, 100, 4 * SEC).changed);
        /* right after a better or equal one, a worse advert is a yielding host's last word */
        g_assert_false(hear(&e, 1, 200, 4 * SEC + MSEC).changed);
        assert_becomes(hear(&e, 1, 200, 5 * SEC), ELECTION_STATE_MASTER, ELECTION_REASON_PREEMPTING);
}

static void test_preempt_delay_waits(void) {
        ElectionConfig patient = plain;
        Election e;

        patient.preempt = true;
        patient.preempt_delay_usec = 30 * SEC;
        e = backup(patient, 0);
        for (uint64_t t = 1; t < 30; t++)
                g_assert_false(hear(&e, 1, 200, t * SEC).changed);
        assert_becomes(hear(&e, 1, 200, 30 * SEC), ELECTION_STATE_MASTER, ELECTION_REASON_PREEMPTING);
}

static void test_a_master_slower_than_our_patience_is_replaced(void) {
        ElectionConfig quick = plain;
        Election e;

        quick.advskew = 0;
        e = backup(quick, 0);
        g_assert_false(hear(&e, 3, 0, 4 * SEC).changed);
        e = backup(quick, 0);
        assert_becomes(hear(&e, 3, 1, 4 * SEC), ELECTION_STATE_MASTER, ELECTION_REASON_PREEMPTING);
}

static void test_demote_bows_out_and_stays_out(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u;

        u = step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTE, .u.hold_usec = 10 * SEC }, now);
        assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_DEMOTED);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_BOW_OUT);
        g_assert_cmpuint(election_deadline_usec(&e), ==, now + 10 * SEC);
        /* not even another's bow-out calls it back */
        g_assert_false(hear(&e, 255, 255, now + SEC).changed);
        g_assert_false(timer(&e, now + 10 * SEC - 1).changed);
        assert_becomes(timer(&e, now + 10 * SEC), ELECTION_STATE_MASTER, ELECTION_REASON_BOW_OUT);
}

static void test_promote_takes_over_and_survives_last_words(void) {
        Election e = backup(plain, 0);
        ElectionUpdate u;

        hear(&e, 1, 0, 4 * SEC);
        u = step(&e, (ElectionEvent) { .type = ELECTION_EVENT_PROMOTE }, 4 * SEC);
        assert_becomes(u, ELECTION_STATE_MASTER, ELECTION_REASON_PROMOTED);
        g_assert_cmpuint(u.advbase, ==, 0);
        g_assert_cmpuint(u.advskew, ==, 0);
        u = hear(&e, 1, 0, 4 * SEC + MSEC);
        g_assert_false(u.changed);
        /* and later it is a master like any other */
        assert_becomes(hear(&e, 1, 0, 9 * SEC), ELECTION_STATE_BACKUP, ELECTION_REASON_STALLED);
}

static void test_a_promoted_peer_is_obeyed_in_silence(void) {
        ElectionConfig fastest = plain;
        uint64_t now = 0;
        Election e;
        ElectionUpdate u;

        fastest.advbase = 0;
        fastest.advskew = 0;
        e = master(fastest, &now);
        u = hear(&e, 0, 0, now + MSEC);
        assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_PREEMPTED);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_NONE);
}

static void test_disable_bows_out_and_enable_listens(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u = bar(&e, ELECTION_EVENT_BAR, ELECTION_REASON_DISABLED, now);

        assert_becomes(u, ELECTION_STATE_INIT, ELECTION_REASON_DISABLED);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_BOW_OUT);
        g_assert_cmpuint(election_deadline_usec(&e), ==, ELECTION_NEVER);
        g_assert_false(hear(&e, 255, 255, now).changed);
        assert_becomes(bar(&e, ELECTION_EVENT_UNBAR, ELECTION_REASON_DISABLED, now + SEC),
                       ELECTION_STATE_BACKUP,
                       ELECTION_REASON_ENABLED);
}

static void test_link_loss_is_silent_and_coming_back_listens(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u = bar(&e, ELECTION_EVENT_BAR, ELECTION_REASON_LINK_DOWN, now);

        assert_becomes(u, ELECTION_STATE_INIT, ELECTION_REASON_LINK_DOWN);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_NONE);
        u = bar(&e, ELECTION_EVENT_UNBAR, ELECTION_REASON_LINK_DOWN, now + SEC);
        assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_LINK_UP);
        g_assert_cmpuint(election_deadline_usec(&e), ==, now + SEC + 3390625);
}

static void test_health_and_sync_bars_keep_listening(void) {
        static const ElectionReason reasons[] = { ELECTION_REASON_HEALTH, ELECTION_REASON_SYNC };

        for (size_t k = 0; k < G_N_ELEMENTS(reasons); k++) {
                uint64_t now = 0;
                Election e = master(plain, &now);
                ElectionUpdate u = bar(&e, ELECTION_EVENT_BAR, reasons[k], now);

                assert_becomes(u, ELECTION_STATE_BACKUP, reasons[k]);
                g_assert_cmpint(u.send, ==, ELECTION_SEND_BOW_OUT);
                g_assert_cmpuint(election_deadline_usec(&e), ==, ELECTION_NEVER);
                g_assert_false(timer(&e, now + 60 * SEC).changed);
                bar(&e, ELECTION_EVENT_UNBAR, reasons[k], now + 60 * SEC);
                assert_becomes(timer(&e, now + 60 * SEC), ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
        }
}

static void test_a_master_that_slept_stands_as_backup_whatever_wakes_it(void) {
        const ElectionEvent wakers[] = {
                { .type = ELECTION_EVENT_TIMER },
                { .type = ELECTION_EVENT_ADVERT, .u.advert = { .advbase = 1, .advskew = 200 } },
                { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 1 },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(wakers); k++) {
                uint64_t now = 0;
                Election e = master(plain, &now);
                ElectionUpdate u = step(&e, wakers[k], now + 3 * SEC);

                assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_STALLED);
                g_assert_cmpint(u.send, ==, ELECTION_SEND_NONE);
        }
}

static void test_a_backup_that_slept_listens_again(void) {
        Election e = backup(plain, 0);

        hear(&e, 1, 0, 4 * SEC);
        g_assert_false(timer(&e, 3600 * SEC).changed);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 3600 * SEC + 3390625);
}

static void test_a_master_that_cannot_send_gives_up(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u = { 0 };

        for (int k = 0; k < 4 && e.state == ELECTION_STATE_MASTER; k++) {
                ElectionUpdate ignored;

                now = election_deadline_usec(&e);
                election_step(&e, &(ElectionEvent) { .type = ELECTION_EVENT_TIMER }, now, &u);
                election_step(&e, &(ElectionEvent) { .type = ELECTION_EVENT_SENT, .u.sent = false }, now, &ignored);
        }
        assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_SEND_FAILED);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_NONE);
}

static void test_demotion_is_told_at_once(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u = step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 100 }, now + MSEC);

        g_assert_false(u.changed);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_ADVERT);
        g_assert_cmpuint(u.advskew, ==, 200);
}

static void test_address_lost_and_shutdown_bow_out(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u =
                step(&e, (ElectionEvent) { .type = ELECTION_EVENT_ADDRESS_LOST, .u.hold_usec = 3 * SEC }, now);

        assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_ADDRESS_LOST);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_BOW_OUT);
        now = 0;
        e = master(plain, &now);
        u = step(&e, (ElectionEvent) { .type = ELECTION_EVENT_SHUTDOWN, .u.stop_reason = ELECTION_REASON_SHUTDOWN }, now);
        assert_becomes(u, ELECTION_STATE_INIT, ELECTION_REASON_SHUTDOWN);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_BOW_OUT);
}

static void test_time_that_steps_back_is_no_step(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);

        g_assert_false(timer(&e, 0).changed);
        g_assert_cmpuint(e.now_usec, ==, now);
}

static void test_every_name_is_the_designs(void) {
        g_assert_cmpstr(election_state_to_string(ELECTION_STATE_INIT), ==, "init");
        for (ElectionReason r = 0; r < N_ELECTION_REASONS; r++)
                g_assert_nonnull(election_reason_to_string(r));
        g_assert_cmpstr(election_reason_to_string(ELECTION_REASON_NO_SOURCE_ADDRESS), ==, "no-source-address");
}

#define ADD(name) g_test_add_func("/election/" #name, test_##name)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        ADD(intervals);
        ADD(demotion_is_capped);
        ADD(takes_over_after_the_dead_interval_and_not_before);
        ADD(an_advert_restarts_the_silence);
        ADD(master_keeps_its_beat);
        ADD(better_advert_makes_backup_with_a_last_word);
        ADD(worse_advert_is_answered_at_once_but_not_in_a_flood);
        ADD(tie_is_won_by_the_lower_last_octet);
        ADD(a_peer_that_never_yields_a_tie_wins_it);
        ADD(bow_out_is_followed_at_once);
        ADD(preempts_only_if_told_to);
        ADD(preempt_delay_waits);
        ADD(a_master_slower_than_our_patience_is_replaced);
        ADD(demote_bows_out_and_stays_out);
        ADD(promote_takes_over_and_survives_last_words);
        ADD(a_promoted_peer_is_obeyed_in_silence);
        ADD(disable_bows_out_and_enable_listens);
        ADD(link_loss_is_silent_and_coming_back_listens);
        ADD(health_and_sync_bars_keep_listening);
        ADD(a_master_that_slept_stands_as_backup_whatever_wakes_it);
        ADD(a_backup_that_slept_listens_again);
        ADD(a_master_that_cannot_send_gives_up);
        ADD(demotion_is_told_at_once);
        ADD(address_lost_and_shutdown_bow_out);
        ADD(time_that_steps_back_is_no_step);
        ADD(every_name_is_the_designs);
        return g_test_run();
}
