/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/election.h"

#include <glib.h>
#include <string.h>

#include "core/skew.h"
#include "core/sync.h"

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

/* Whoever becomes master just after us does not stay one until the next turn. */
static void test_a_worse_advert_that_comes_too_soon_is_answered_later(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);

        g_assert_cmpint(hear(&e, 1, 101, now + 2 * MSEC).send, ==, ELECTION_SEND_NONE);
        g_assert_cmpuint(election_deadline_usec(&e), ==, now + 250 * MSEC);
        g_assert_cmpint(timer(&e, now + 250 * MSEC).send, ==, ELECTION_SEND_ADVERT);
        g_assert_cmpuint(election_deadline_usec(&e), >, now + SEC);

        /* nor for longer than until then, however often */
        now += SEC;
        g_assert_cmpint(hear(&e, 1, 101, now).send, ==, ELECTION_SEND_ADVERT);
        hear(&e, 1, 101, now + 100 * MSEC);
        hear(&e, 1, 101, now + 200 * MSEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, now + 250 * MSEC);
}

/* As from a master that sends to one peer after the other. */
static void test_a_farewell_behind_its_heirs_advert_calls_nobody(void) {
        Election e = backup(plain, 0);

        hear_from(&e, 1, 0, ipv4(192, 0, 2, 1), 4 * SEC);
        hear_from(&e, 1, 50, ipv4(192, 0, 2, 2), 4 * SEC + MSEC);
        g_assert_false(hear_from(&e, 255, 255, ipv4(192, 0, 2, 1), 4 * SEC + 2 * MSEC).changed);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 4 * SEC + MSEC + 3390625);
        /* the heir's own does, and that of a master who was heard last, or long after the other */
        hear_from(&e, 255, 255, ipv4(192, 0, 2, 2), 4 * SEC + 3 * MSEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 4 * SEC + 3 * MSEC + 800);

        e = backup(plain, 0);
        hear_from(&e, 1, 50, ipv4(192, 0, 2, 2), 4 * SEC);
        hear_from(&e, 255, 255, ipv4(192, 0, 2, 1), 4 * SEC + 60 * MSEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 4 * SEC + 60 * MSEC + 800);

        /* a worse host is no heir */
        e = backup(plain, 0);
        hear_from(&e, 1, 0, ipv4(192, 0, 2, 1), 4 * SEC);
        hear_from(&e, 1, 150, ipv4(192, 0, 2, 2), 4 * SEC + MSEC);
        hear_from(&e, 255, 255, ipv4(192, 0, 2, 1), 4 * SEC + 2 * MSEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 4 * SEC + 2 * MSEC + 800);
}

static void test_every_advert_that_leaves_a_master_in_place_contests_its_announcements(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);

        /* right after its own takeover, too, when it has just spoken and does not answer */
        g_assert_true(hear(&e, 1, 101, now + MSEC).contested);
        g_assert_true(hear(&e, 1, 101, now + 2 * MSEC).contested);
        g_assert_true(hear_from(&e, 1, 100, ipv4(192, 0, 2, 6), now + 3 * MSEC).contested);
        g_assert_false(timer(&e, election_deadline_usec(&e)).contested);
        g_assert_false(hear(&e, 1, 99, now + 2 * SEC).contested);
        g_assert_false(hear(&e, 1, 101, now + 3 * SEC).contested);
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
        g_assert_cmpuint(election_deadline_usec(&e), ==, 5 * SEC + 800);
        assert_becomes(timer(&e, 5 * SEC + 800), ELECTION_STATE_MASTER, ELECTION_REASON_BOW_OUT);
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

static ElectionUpdate hear_demoted(Election *e, uint8_t demotion, uint8_t advskew, uint64_t now_usec) {
        return step(e,
                    (ElectionEvent) { .type = ELECTION_EVENT_ADVERT,
                                      .u.advert = { .advbase = 1, .advskew = advskew, .demotion = demotion, .source = ipv4(192, 0, 2, 9) } },
                    now_usec);
}

static void set_demotion(Election *e, uint32_t demotion, uint64_t now_usec) {
        (void) step(e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = demotion }, now_usec);
}

static void test_byte_4_counts_only_where_it_is_agreed_on(void) {
        ElectionConfig openbsd = plain;
        uint64_t now = 0;
        Election e = backup(plain, 0);

        g_assert_false(hear_demoted(&e, 255, 0, 4 * SEC).changed);
        e = master(plain, &now);
        set_demotion(&e, 7, now);
        g_assert_cmpuint(timer(&e, now + 2 * SEC).demotion, ==, 0);

        openbsd.demotion_byte = true;
        /* a backup takes over from who is more demoted, preempting or not; not from who is less so, however long his interval */
        e = backup(openbsd, 0);
        set_demotion(&e, 1, 4 * SEC);
        g_assert_false(hear_demoted(&e, 1, 0, 4 * SEC).changed);
        g_assert_false(hear_demoted(&e, 0, 254, 4 * SEC).changed);
        assert_becomes(hear_demoted(&e, 2, 0, 5 * SEC), ELECTION_STATE_MASTER, ELECTION_REASON_PREEMPTING);
        /* a master says it in every advert, up to what fits, yields to who is less demoted and to nobody who is more so */
        now = 0;
        e = master(openbsd, &now);
        set_demotion(&e, 300, now);
        g_assert_cmpuint(timer(&e, now + 2 * SEC).demotion, ==, 255);
        set_demotion(&e, 5, now + 2 * SEC);
        g_assert_false(hear_demoted(&e, 6, 0, now + 2 * SEC).changed);
        assert_becomes(hear_demoted(&e, 4, 254, now + 2 * SEC), ELECTION_STATE_BACKUP, ELECTION_REASON_PREEMPTED);
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

/* It says 0/0, so its peers wait for adverts as fast as theirs are, and with advbase 0 those of a demoted host are not. */
static void test_a_promoted_host_is_not_slower_for_its_demotion(void) {
        ElectionConfig fast = { .advbase = 0, .advskew = 10, .dead_ratio = 3 };
        Election e = backup(fast, 0);

        (void) step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 240 }, SEC);
        (void) step(&e, (ElectionEvent) { .type = ELECTION_EVENT_PROMOTE }, 2 * SEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 2 * SEC + skew_interval_usec(0, 10));
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

/* A host that preempts, hears, and is not heard: its first advert was refused. */
static void test_who_cannot_say_that_he_took_over_gives_it_back(void) {
        const ElectionEvent untold = { .type = ELECTION_EVENT_UNTOLD };
        ElectionConfig eager = plain;
        uint64_t now = 4 * SEC;
        ElectionUpdate u;
        Election e;

        eager.preempt = true;
        e = backup(eager, 0);
        assert_becomes(hear(&e, 1, 200, now), ELECTION_STATE_MASTER, ELECTION_REASON_PREEMPTING);
        u = step(&e, untold, now);
        assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_SEND_FAILED);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_NONE);
        /* tries it again, a good while later */
        for (unsigned k = 1; k < 6; k++)
                g_assert_false(hear(&e, 1, 200, now + k * SEC).changed);
        assert_becomes(hear(&e, 1, 200, now + 8 * SEC), ELECTION_STATE_MASTER, ELECTION_REASON_PREEMPTING);
        /* of no concern to others */
        e = backup(eager, 0);
        g_assert_false(step(&e, untold, now).changed);
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

static void test_a_demotion_on_the_way_to_master_keeps_the_call(void) {
        Election e = backup(plain, 0);

        hear(&e, 1, 0, 4 * SEC);
        hear(&e, 255, 255, 5 * SEC);
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 10 }, 5 * SEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 5 * SEC + 800);
}

static void test_a_demotion_of_who_takes_no_part_holds_nobody_back(void) {
        Election e = backup(plain, 0);
        ElectionUpdate u;

        bar(&e, ELECTION_EVENT_BAR, ELECTION_REASON_LINK_DOWN, SEC);
        u = step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTE, .u.hold_usec = 1000 * SEC }, 2 * SEC);
        g_assert_false(u.changed);
        bar(&e, ELECTION_EVENT_UNBAR, ELECTION_REASON_LINK_DOWN, 3 * SEC);
        g_assert_cmpuint(election_deadline_usec(&e), <, 10 * SEC);
}

static void test_health_regained_must_last_before_it_preempts(void) {
        ElectionConfig patient = plain;
        Election e;

        patient.preempt = true;
        patient.preempt_delay_usec = 30 * SEC;
        e = backup(patient, 0);
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 10 }, SEC);
        for (uint64_t t = 2; t < 60; t++)
                hear(&e, 1, 105, t * SEC);
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 0 }, 60 * SEC);
        for (uint64_t t = 61; t < 90; t++)
                g_assert_false(hear(&e, 1, 105, t * SEC).changed);
        assert_becomes(hear(&e, 1, 105, 90 * SEC), ELECTION_STATE_MASTER, ELECTION_REASON_PREEMPTING);
}

static void test_the_same_demotion_is_told_once(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        const ElectionEvent event = { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 100 };

        g_assert_cmpint(step(&e, event, now + MSEC).send, ==, ELECTION_SEND_ADVERT);
        g_assert_cmpint(step(&e, event, now + 2 * MSEC).send, ==, ELECTION_SEND_NONE);
}

static void test_a_fastest_host_does_not_look_promoted(void) {
        ElectionConfig fastest = plain;
        uint64_t now = 0;
        Election e;

        fastest.advbase = 0;
        fastest.advskew = 0;
        e = master(fastest, &now);
        now = election_deadline_usec(&e);
        g_assert_cmpuint(timer(&e, now).advskew, ==, 1);
        fastest.advskew = 2;
        e = master(fastest, &now);
        now = election_deadline_usec(&e);
        g_assert_cmpuint(timer(&e, now).advskew, ==, 2);
}

static void test_a_missed_beat_is_not_made_up_for(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        uint64_t late = now + 2900 * MSEC;

        g_assert_cmpint(timer(&e, late).send, ==, ELECTION_SEND_ADVERT);
        g_assert_cmpuint(election_deadline_usec(&e), ==, late + SEC + 390625);
}

static void test_ties_by_octets_from_the_last_to_the_first(void) {
        static const struct {
                uint8_t peer[4];
                bool wins;
        } cases[] = {
                { { 192, 0, 2, 4 }, true },
                { { 255, 255, 255, 4 }, true },
                { { 0, 0, 0, 6 }, false },
                { { 192, 0, 1, 5 }, true },
                { { 192, 0, 3, 5 }, false },
                { { 191, 0, 2, 5 }, true },
                { { 193, 0, 2, 5 }, false },
                { { 192, 0, 2, 5 }, false }, /* our own address elsewhere: nobody wins, so we stay */
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                const uint8_t *p = cases[k].peer;
                uint64_t now = 0;
                Election e = master(plain, &now);
                ElectionUpdate u = hear_from(&e, 1, 100, ipv4(p[0], p[1], p[2], p[3]), now + 300 * MSEC);

                g_test_message("%u.%u.%u.%u", p[0], p[1], p[2], p[3]);
                g_assert_true(u.changed == cases[k].wins);
        }
}

static void test_ties_of_hosts_that_speak_ipv6_alone(void) {
        const ElectionAddress own = { .n_bytes = 16, .bytes = { 0xfe, 0x80, [15] = 5 } };
        ElectionAddress lower = own, higher = own;

        lower.bytes[8] = 0;
        lower.bytes[15] = 4;
        higher.bytes[8] = 1;
        higher.bytes[15] = 1;
        for (unsigned k = 0; k < 3; k++) {
                /* an IPv4 advert decides nothing between hosts of which one does not speak it */
                ElectionAddress source = k == 0 ? lower : k == 1 ? higher : ipv4(0, 0, 0, 1);
                uint64_t now = 0;
                Election e = master(plain, &now);

                step(&e, (ElectionEvent) { .type = ELECTION_EVENT_SOURCE, .u.source.ipv6 = own }, now);
                g_assert_true(hear_from(&e, 1, 100, source, now + 300 * MSEC).changed == (k == 0));
        }
}

static void test_a_tie_is_answered_but_not_in_a_flood(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);

        g_assert_cmpint(hear_from(&e, 1, 100, ipv4(192, 0, 2, 6), now + 300 * MSEC).send, ==, ELECTION_SEND_ADVERT);
        for (unsigned k = 1; k < 20; k++)
                g_assert_cmpint(hear_from(&e, 1, 100, ipv4(192, 0, 2, 6), now + 300 * MSEC + k).send, ==, ELECTION_SEND_NONE);
}

static void test_the_last_word_of_a_loser_is_worse_than_the_winners(void) {
        static const struct {
                uint8_t advbase, advskew, said_advbase, said_advskew;
        } cases[] = {
                { 1, 253, 1, 254 },
                { 1, 254, 2, 0 },
                { 254, 254, 254, 254 }, /* there is nothing worse that is no bow-out */
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                ElectionConfig c = plain;
                uint64_t now = 0;
                ElectionUpdate u;
                Election e;

                c.advbase = cases[k].advbase;
                c.advskew = cases[k].advskew;
                e = master(c, &now);
                u = hear_from(&e, c.advbase, c.advskew, ipv4(192, 0, 2, 4), now + 300 * MSEC);
                assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_PREEMPTED);
                g_assert_cmpuint(u.advbase, ==, cases[k].said_advbase);
                g_assert_cmpuint(u.advskew, ==, cases[k].said_advskew);
        }
}

static void test_bystanders_of_a_tie_do_not_join_its_next_round_in_step(void) {
        Election e = backup(plain, 0);

        hear_from(&e, 1, 100, ipv4(192, 0, 2, 7), 4 * SEC);
        /* the same host twice, or another one much later, is no tie */
        hear_from(&e, 1, 100, ipv4(192, 0, 2, 7), 4 * SEC + MSEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 4 * SEC + MSEC + 3390625);
        hear_from(&e, 1, 100, ipv4(192, 0, 2, 8), 5 * SEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 5 * SEC + 3390625);
        hear_from(&e, 1, 100, ipv4(192, 0, 2, 7), 5 * SEC + MSEC);
        g_assert_cmpuint(election_deadline_usec(&e), >, 5 * SEC + MSEC + 3390625);
        /* one host by both families is no tie either */
        e = backup(plain, 0);
        hear_from(&e, 1, 100, ipv4(192, 0, 2, 7), 4 * SEC);
        hear_from(&e, 1, 100, (ElectionAddress) { .n_bytes = 16, .bytes = { 0xfe, 0x80 } }, 4 * SEC + MSEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 4 * SEC + MSEC + 3390625);
        /* nor is a master that leaves, with its heir */
        e = backup(plain, 0);
        hear_from(&e, 1, 100, ipv4(192, 0, 2, 7), 4 * SEC);
        hear_from(&e, 255, 255, ipv4(192, 0, 2, 7), 4 * SEC + MSEC);
        hear_from(&e, 1, 100, ipv4(192, 0, 2, 8), 4 * SEC + MSEC + 500);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 4 * SEC + MSEC + 500 + 3390625);
}

static void test_who_bows_out_is_better_than_nobody(void) {
        ElectionConfig careful = plain;
        uint64_t now = 0;
        Election e;

        /* nor is one that is less demoted, where that counts first */
        careful.demotion_byte = true;
        e = backup(careful, 0);
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 10 }, SEC);
        hear_from(&e, 255, 255, ipv4(192, 0, 2, 7), 4 * SEC);
        step(&e,
             (ElectionEvent) { .type = ELECTION_EVENT_ADVERT,
                               .u.advert = { .advbase = 1, .demotion = 10, .advskew = 110, .source = ipv4(192, 0, 2, 8) } },
             4 * SEC + 500);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 4 * SEC + 500 + skew_dead_usec(1, 110, 3));

        e = master(careful, &now);
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 10 }, now);
        hear(&e, 255, 255, now + MSEC);
        g_assert_cmpint(e.state, ==, ELECTION_STATE_MASTER);
}

static void test_half_a_bow_out_is_none(void) {
        Election e = backup(plain, 0);

        hear(&e, 1, 0, 4 * SEC);
        assert_becomes(hear(&e, 255, 0, 5 * SEC), ELECTION_STATE_MASTER, ELECTION_REASON_PREEMPTING);
}

static void test_start_delay_is_taken_as_told(void) {
        ElectionConfig c = plain;
        Election e;

        c.start_delay_usec = 10 * SEC;
        e = backup(c, SEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 11 * SEC);
        /* the end of all time does not come round again as its beginning */
        c.start_delay_usec = UINT64_MAX - 1;
        e = backup(c, SEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, ELECTION_NEVER);
}

static void test_what_keeps_us_out_is_the_latest_reason(void) {
        Election e;

        election_init(&e, &plain, 0);
        g_assert_false(bar(&e, ELECTION_EVENT_BAR, ELECTION_REASON_LINK_DOWN, SEC).changed);
        g_assert_cmpint(e.reason, ==, ELECTION_REASON_LINK_DOWN);
        g_assert_true(election_is_barred(&e, ELECTION_REASON_LINK_DOWN));
        /* one of two is not enough */
        g_assert_false(bar(&e, ELECTION_EVENT_UNBAR, ELECTION_REASON_INTERFACE_MISSING, 2 * SEC).changed);
        g_assert_false(timer(&e, 3 * SEC).changed);
        g_assert_false(hear(&e, 255, 255, 4 * SEC).changed);
        assert_becomes(bar(&e, ELECTION_EVENT_UNBAR, ELECTION_REASON_LINK_DOWN, 5 * SEC), ELECTION_STATE_BACKUP,
                       ELECTION_REASON_STARTUP);
}

static void test_who_has_no_address_to_send_from_leaves_in_silence(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u;

        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_SOURCE }, now);
        u = bar(&e, ELECTION_EVENT_BAR, ELECTION_REASON_DISABLED, now);
        assert_becomes(u, ELECTION_STATE_INIT, ELECTION_REASON_DISABLED);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_NONE);
}

static void test_a_reload_that_removes_a_master_bows_out(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u = step(&e, (ElectionEvent) { .type = ELECTION_EVENT_SHUTDOWN, .u.stop_reason = ELECTION_REASON_RELOAD }, now);

        assert_becomes(u, ELECTION_STATE_INIT, ELECTION_REASON_RELOAD);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_BOW_OUT);
}

static void test_a_sick_backup_stays_backup_whoever_calls(void) {
        Election e = backup(plain, 0);

        g_assert_false(bar(&e, ELECTION_EVENT_BAR, ELECTION_REASON_HEALTH, SEC).changed);
        g_assert_false(hear(&e, 255, 255, 5 * SEC).changed);
        g_assert_false(step(&e, (ElectionEvent) { .type = ELECTION_EVENT_PROMOTE }, 5 * SEC).changed);
        g_assert_cmpuint(election_deadline_usec(&e), ==, ELECTION_NEVER);
        g_assert_false(timer(&e, 60 * SEC).changed);
}

static void test_a_master_is_not_moved_by_what_no_longer_bars_it(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);

        g_assert_false(bar(&e, ELECTION_EVENT_UNBAR, ELECTION_REASON_HEALTH, now).changed);
        g_assert_cmpint(e.state, ==, ELECTION_STATE_MASTER);
}

static void test_who_cannot_be_promoted_is_not(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u = step(&e, (ElectionEvent) { .type = ELECTION_EVENT_PROMOTE }, now + MSEC);

        g_assert_false(u.changed);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_NONE);
        election_init(&e, &plain, 1);
        g_assert_false(step(&e, (ElectionEvent) { .type = ELECTION_EVENT_PROMOTE }, SEC).changed);
}

static void test_verbs_for_a_master_do_nothing_to_others(void) {
        const ElectionEvent events[] = {
                { .type = ELECTION_EVENT_ADDRESS_LOST, .u.hold_usec = 60 * SEC },
                { .type = ELECTION_EVENT_READVERTISE },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(events); k++) {
                Election e = backup(plain, 0);
                uint64_t due = election_deadline_usec(&e);
                ElectionUpdate u = step(&e, events[k], SEC);

                g_assert_false(u.changed);
                g_assert_cmpint(u.send, ==, ELECTION_SEND_NONE);
                g_assert_cmpuint(election_deadline_usec(&e), ==, due);
        }
}

static void test_a_demotion_that_comes_when_another_is_master_already(void) {
        Election e = backup(plain, 0);
        ElectionUpdate u = step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTE, .u.hold_usec = 60 * SEC }, SEC);

        g_assert_false(u.changed);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_NONE);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 61 * SEC);
}

static void test_who_slept_and_is_told_something_does_both(void) {
        uint64_t now = 0;
        Election e = master(plain, &now);
        ElectionUpdate u;

        /* stays out as asked */
        u = step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTE, .u.hold_usec = 60 * SEC }, now + 10 * SEC);
        assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_STALLED);
        g_assert_cmpuint(election_deadline_usec(&e), ==, now + 70 * SEC);
        /* leaves for good: from master, in one step, and says nothing, as another is master by now */
        now = 0;
        e = master(plain, &now);
        u = bar(&e, ELECTION_EVENT_BAR, ELECTION_REASON_LINK_DOWN, now + 10 * SEC);
        assert_becomes(u, ELECTION_STATE_INIT, ELECTION_REASON_LINK_DOWN);
        g_assert_cmpint(u.from, ==, ELECTION_STATE_MASTER);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_NONE);
        /* does not take over in the step in which it lets go */
        now = 0;
        e = master(plain, &now);
        u = step(&e, (ElectionEvent) { .type = ELECTION_EVENT_PROMOTE }, now + 10 * SEC);
        assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_STALLED);
}

static void test_a_new_configuration_counts_from_now(void) {
        ElectionConfig quick = plain, same = plain;
        uint64_t now = 0;
        Election e = backup(plain, 0);

        quick.advskew = 0;
        same.preempt = true;
        hear(&e, 1, 0, 4 * SEC);
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_CONFIGURE, .u.config = quick }, 5 * SEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 8 * SEC);

        e = master(plain, &now);
        /* another priority is told at once, the same one when it is due */
        g_assert_cmpint(step(&e, (ElectionEvent) { .type = ELECTION_EVENT_CONFIGURE, .u.config = same }, now + MSEC).send, ==,
                        ELECTION_SEND_NONE);
        g_assert_cmpuint(election_deadline_usec(&e), ==, now + SEC + 390625);
        g_assert_cmpint(step(&e, (ElectionEvent) { .type = ELECTION_EVENT_CONFIGURE, .u.config = quick }, now + 2 * MSEC).send, ==,
                        ELECTION_SEND_ADVERT);
        g_assert_cmpuint(election_deadline_usec(&e), ==, now + 2 * MSEC + SEC);

        election_init(&e, &plain, 1);
        g_assert_false(step(&e, (ElectionEvent) { .type = ELECTION_EVENT_CONFIGURE, .u.config = quick }, SEC).changed);
        g_assert_cmpuint(election_deadline_usec(&e), ==, ELECTION_NEVER);
}

/* Another process: all that goes over is what was remembered. */
static Election restarted(const Election *before, uint64_t seed) {
        ElectionMemory memory;
        Election e;

        election_remember(before, &memory);
        election_init(&e, &before->config, seed);
        election_resume(&e, &memory, before->now_usec);
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_SOURCE, .u.source.ipv4 = before->ipv4 }, before->now_usec);
        return e;
}

static void test_a_restart_changes_nothing_that_others_see(void) {
        uint64_t now = 0;
        Election e = master(plain, &now), next;
        uint64_t due = election_deadline_usec(&e);

        /* what is said right before it lets the next process take its time */
        g_assert_cmpint(step(&e, (ElectionEvent) { .type = ELECTION_EVENT_READVERTISE }, now + 100 * MSEC).send, ==, ELECTION_SEND_ADVERT);
        g_assert_cmpuint(election_deadline_usec(&e), ==, due + 100 * MSEC);
        next = restarted(&e, 2);
        g_assert_cmpint(next.state, ==, ELECTION_STATE_MASTER);
        g_assert_cmpuint(election_deadline_usec(&next), ==, due + 100 * MSEC);
        g_assert_cmpint(timer(&next, due + 100 * MSEC).send, ==, ELECTION_SEND_ADVERT);

        e = backup(plain, 0);
        hear(&e, 1, 0, 4 * SEC);
        next = restarted(&e, 2);
        g_assert_cmpint(next.state, ==, ELECTION_STATE_BACKUP);
        g_assert_cmpuint(election_deadline_usec(&next), ==, 4 * SEC + 3390625);
        assert_becomes(timer(&next, 4 * SEC + 3390625), ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
}

static void test_a_restart_that_took_too_long_is_a_standstill(void) {
        uint64_t now = 0;
        Election e = master(plain, &now), next = restarted(&e, 2);

        assert_becomes(timer(&next, now + 3 * SEC), ELECTION_STATE_BACKUP, ELECTION_REASON_STALLED);
}

static Election resumed(const Election *before, uint64_t now_usec) {
        ElectionMemory memory;
        Election e;

        election_remember(before, &memory);
        election_init(&e, &before->config, 2);
        election_resume(&e, &memory, now_usec);
        return e;
}

static void test_a_restart_that_nobody_listened_in_is_no_silence(void) {
        Election e = backup(plain, 0), next;
        uint64_t due = 20 * SEC + skew_dead_usec(1, 100, 3);

        hear(&e, 1, 0, 20 * SEC);
        next = resumed(&e, 21 * SEC);
        g_assert_cmpuint(election_deadline_usec(&next), ==, due);
        /* he may have spoken, and may speak once more */
        next = resumed(&e, 23 * SEC);
        g_assert_cmpuint(election_deadline_usec(&next), >, 25 * SEC);
        g_assert_cmpuint(election_deadline_usec(&next), <, 25 * SEC + 200 * MSEC);
        next = resumed(&e, due + 1);
        g_assert_false(timer(&next, due + 1).changed);
        g_assert_cmpuint(election_deadline_usec(&next), ==, due + 1 + skew_dead_usec(1, 100, 3));
        /* who heard a farewell waits for nobody */
        hear(&e, 255, 255, 20 * SEC + MSEC);
        e.grouped = true;
        next = resumed(&e, 20 * SEC + 100 * MSEC);
        g_assert_true(election_wants(&next, 20 * SEC + 100 * MSEC));
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

static ElectionUpdate sync_with(Election *e, ElectionSync sync, uint64_t now_usec) {
        return step(e, (ElectionEvent) { .type = ELECTION_EVENT_SYNC, .u.sync = sync }, now_usec);
}

static Election member(ElectionConfig config, uint64_t now_usec) {
        Election e = backup(config, now_usec);

        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_GROUP, .u.grouped = true }, now_usec);
        return e;
}

static Election master_member(ElectionConfig config, uint64_t *now_usec) {
        Election e = member(config, *now_usec);

        *now_usec = election_deadline_usec(&e);
        timer(&e, *now_usec);
        assert_becomes(sync_with(&e, ELECTION_SYNC_TAKE_OVER, *now_usec), ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
        return e;
}

static void test_one_of_a_group_wants_and_waits(void) {
        Election e = member(plain, 10 * SEC);
        uint64_t due = election_deadline_usec(&e);

        g_assert_false(election_wants(&e, due - 1));
        g_assert_false(timer(&e, due).changed);
        g_assert_true(election_wants(&e, due));
        /* it is woken again, and not at once, to tell whether it sleeps */
        for (unsigned k = 0; k < 5; k++) {
                g_assert_cmpuint(election_deadline_usec(&e), ==, due + skew_interval_usec(1, 100));
                due = election_deadline_usec(&e);
                g_assert_false(timer(&e, due).changed);
        }
        g_assert_true(election_wants(&e, due));
        assert_becomes(sync_with(&e, ELECTION_SYNC_TAKE_OVER, due), ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
        /* who does not want to is not made to */
        e = member(plain, 10 * SEC);
        g_assert_false(sync_with(&e, ELECTION_SYNC_TAKE_OVER, 11 * SEC).changed);
}

static void test_who_wants_does_not_once_it_hears_a_master_it_respects(void) {
        Election e = member(plain, 10 * SEC);
        uint64_t due = election_deadline_usec(&e);

        timer(&e, due);
        hear(&e, 1, 0, due + MSEC);
        g_assert_false(election_wants(&e, due + MSEC));
        g_assert_cmpuint(election_due_usec(&e), ==, due + MSEC + skew_dead_usec(1, 100, 3));
}

static void test_one_of_a_group_does_not_preempt_alone(void) {
        ElectionConfig config = plain;
        Election e;

        config.preempt = true;
        e = member(config, 10 * SEC);
        timer(&e, 14 * SEC);
        g_assert_false(hear(&e, 1, 200, 15 * SEC).changed);
        g_assert_true(election_wants(&e, 15 * SEC));
        /* until it is not better any more */
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 140 }, 15 * SEC);
        g_assert_false(election_wants(&e, 15 * SEC));
        hear(&e, 1, 254, 16 * SEC);
        assert_becomes(sync_with(&e, ELECTION_SYNC_TAKE_OVER, 16 * SEC), ELECTION_STATE_MASTER, ELECTION_REASON_PREEMPTING);
}

static void test_who_is_better_for_having_left_its_group_does_not_preempt_at_once(void) {
        ElectionConfig patient = plain;
        Election e;

        patient.preempt = true;
        patient.preempt_delay_usec = 30 * SEC;
        e = member(patient, 10 * SEC);
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 10 }, 10 * SEC);
        hear(&e, 1, 200, 50 * SEC);
        g_assert_true(election_wants(&e, 50 * SEC));
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_GROUP, .u.grouped = false }, 50 * SEC + MSEC);
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 0 }, 50 * SEC + MSEC);
        g_assert_cmpuint(election_deadline_usec(&e), ==, 50 * SEC + MSEC + skew_dead_usec(1, 100, 3));
}

static void test_a_bow_out_on_another_segment_waits_for_the_next_advert_of_this_one(void) {
        Election e = member(plain, 10 * SEC);

        hear(&e, 1, 0, 20 * SEC);
        sync_with(&e, ELECTION_SYNC_BOW_OUT, 20 * SEC + 300 * MSEC);
        g_assert_cmpuint(election_due_usec(&e), ==, 21 * SEC + 100 * MSEC + 100 * 8);
        g_assert_cmpint(e.down_reason, ==, ELECTION_REASON_BOW_OUT);
        /* the master of this segment is another, and speaks */
        hear(&e, 1, 0, 21 * SEC);
        g_assert_cmpuint(election_due_usec(&e), ==, 21 * SEC + skew_dead_usec(1, 100, 3));
        /* never later than the silence alone would have it */
        sync_with(&e, ELECTION_SYNC_BOW_OUT, 21 * SEC + skew_dead_usec(1, 100, 3) - 1);
        g_assert_cmpint(e.down_reason, ==, ELECTION_REASON_MASTER_TIMEOUT);
}

static void test_who_yields_with_its_group_listens_a_while_longer_by_chance(void) {
        uint64_t now = 10 * SEC, first = 0;
        bool differ = false;

        for (uint64_t seed = 1; seed < 20; seed++) {
                Election e = master_member(plain, &now), f = e;
                ElectionUpdate u;

                e.random = f.random = seed << 40 | seed;
                hear(&e, 1, 0, now);
                g_assert_cmpint(e.reason, ==, ELECTION_REASON_PREEMPTED);
                g_assert_cmpuint(election_due_usec(&e), >, now + skew_dead_usec(1, 100, 3));
                g_assert_cmpuint(election_due_usec(&e), <=, now + skew_dead_usec(1, 100, 3) + 250 * MSEC);
                first = first ?: election_due_usec(&e) - now;
                differ = differ || election_due_usec(&e) - now != first;
                /* the others of the group leave the rest to the winner, in silence */
                u = sync_with(&f, ELECTION_SYNC_YIELD, now);
                assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_SYNC);
                g_assert_cmpint(u.send, ==, ELECTION_SEND_NONE);
        }
        g_assert_true(differ);
}

static void test_who_leaves_with_its_group_bows_out(void) {
        uint64_t now = 10 * SEC;
        Election e = master_member(plain, &now);
        ElectionUpdate u = sync_with(&e, ELECTION_SYNC_LEAVE, now);

        assert_becomes(u, ELECTION_STATE_BACKUP, ELECTION_REASON_SYNC);
        g_assert_cmpint(u.send, ==, ELECTION_SEND_BOW_OUT);
        g_assert_false(sync_with(&e, ELECTION_SYNC_LEAVE, now).changed);
}

static void test_one_of_a_group_that_slept_listens_again(void) {
        Election e = member(plain, 10 * SEC);
        uint64_t due = election_deadline_usec(&e), woken;

        timer(&e, due);
        g_assert_true(election_wants(&e, due));
        woken = election_deadline_usec(&e) + skew_interval_usec(1, 100) + 1;
        g_assert_false(election_wants(&e, woken));
        g_assert_false(sync_with(&e, ELECTION_SYNC_TAKE_OVER, woken).changed);
        g_assert_cmpuint(election_due_usec(&e), ==, woken + skew_dead_usec(1, 100, 3));
}

static void test_a_restarted_member_knows_that_it_heard_a_master(void) {
        Election before = member(plain, 10 * SEC), after;
        ElectionMemory memory;

        hear(&before, 1, 0, 20 * SEC);
        election_remember(&before, &memory);
        election_init(&after, &plain, 1);
        election_resume(&after, &memory, 20 * SEC + 400 * MSEC);
        step(&after, (ElectionEvent) { .type = ELECTION_EVENT_GROUP, .u.grouped = true }, 20 * SEC + 400 * MSEC);
        sync_with(&after, ELECTION_SYNC_BOW_OUT, 20 * SEC + 400 * MSEC);
        g_assert_cmpuint(election_due_usec(&after), >, 21 * SEC);
}

static void test_a_restart_while_a_master_may_have_left_does_not_forget_that_he_may_not(void) {
        Election before = member(plain, 10 * SEC), after;
        ElectionMemory memory;
        uint64_t due_usec;

        hear(&before, 1, 0, 20 * SEC);
        sync_with(&before, ELECTION_SYNC_BOW_OUT, 20 * SEC + 300 * MSEC);
        due_usec = election_due_usec(&before);
        election_remember(&before, &memory);
        election_init(&after, &plain, 1);
        election_resume(&after, &memory, 20 * SEC + 400 * MSEC);
        step(&after, (ElectionEvent) { .type = ELECTION_EVENT_GROUP, .u.grouped = true }, 20 * SEC + 400 * MSEC);
        sync_with(&after, ELECTION_SYNC_BOW_OUT, 20 * SEC + 500 * MSEC);
        g_assert_cmpuint(election_due_usec(&after), ==, due_usec);
}

static void test_a_restarted_backup_is_as_patient_as_it_is_demoted(void) {
        Election before = backup(plain, 10 * SEC), after;

        hear(&before, 1, 0, 20 * SEC);
        step(&before, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 50 }, 20 * SEC + MSEC);
        g_assert_cmpuint(election_due_usec(&before), ==, 20 * SEC + skew_dead_usec(1, 150, 3));
        after = restarted(&before, 1);
        g_assert_cmpuint(election_due_usec(&after), ==, 20 * SEC + skew_dead_usec(1, 100, 3));
        step(&after, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 50 }, 20 * SEC + 2 * MSEC);
        g_assert_cmpuint(election_due_usec(&after), ==, 20 * SEC + skew_dead_usec(1, 150, 3));
}

static Election restarted_member(const Election *before, uint64_t now_usec) {
        ElectionMemory memory;
        Election e;

        election_remember(before, &memory);
        election_init(&e, &before->config, 1);
        election_resume(&e, &memory, now_usec);
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_GROUP, .u.grouped = true }, now_usec);
        return e;
}

static void test_a_restarted_member_wants_what_it_wanted(void) {
        ElectionConfig config = plain;
        Election before, after;

        config.preempt = true;
        before = member(config, 10 * SEC);
        timer(&before, 14 * SEC);
        hear(&before, 1, 200, 20 * SEC);
        after = restarted_member(&before, 20 * SEC + 100 * MSEC);
        g_assert_true(election_wants(&after, 20 * SEC + 100 * MSEC));
        g_assert_cmpuint(after.heard_usec, ==, 20 * SEC);
        /* who heard the farewell itself waits for nobody */
        before = member(plain, 10 * SEC);
        hear(&before, 1, 0, 20 * SEC);
        hear(&before, 255, 255, 20 * SEC + MSEC);
        after = restarted_member(&before, 20 * SEC + 2 * MSEC);
        g_assert_true(election_wants(&after, 20 * SEC + 2 * MSEC));
}

static void test_what_the_others_do_is_nothing_to_who_is_not_concerned(void) {
        uint64_t now = 10 * SEC;
        Election m = master_member(plain, &now), b = member(plain, now);
        uint64_t due = election_due_usec(&b);

        g_assert_false(sync_with(&m, ELECTION_SYNC_BOW_OUT, now).changed);
        g_assert_false(sync_with(&m, ELECTION_SYNC_TAKE_OVER, now).changed);
        g_assert_false(sync_with(&b, ELECTION_SYNC_YIELD, now).changed);
        g_assert_false(sync_with(&b, ELECTION_SYNC_LEAVE, now).changed);
        g_assert_cmpuint(election_due_usec(&b), ==, due);
        /* a master that had preempted is told of its health */
        m.down_reason = ELECTION_REASON_PREEMPTING;
        g_assert_cmpint(step(&m, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 7 }, now).send, ==, ELECTION_SEND_ADVERT);
}

static void test_who_is_told_of_its_demotion_after_a_sleep_listens_again(void) {
        Election e = backup(plain, 10 * SEC);
        uint64_t now = election_due_usec(&e) + 5 * SEC;

        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 50 }, now);
        g_assert_cmpuint(election_due_usec(&e), ==, now + skew_dead_usec(1, 150, 3));
        /* one of a group that waits for the others does not sleep */
        e = member(plain, 10 * SEC);
        for (now = election_deadline_usec(&e); now < 20 * SEC; now = election_deadline_usec(&e))
                timer(&e, now);
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_DEMOTION, .u.demotion = 50 }, now);
        g_assert_true(election_wants(&e, now));
}

static void test_who_joins_a_group_after_a_sleep_listens_again(void) {
        Election e = backup(plain, 10 * SEC);
        uint64_t now = election_due_usec(&e) + 5 * SEC;

        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_GROUP, .u.grouped = true }, now);
        g_assert_cmpuint(election_due_usec(&e), ==, now + skew_dead_usec(1, 100, 3));
        /* one that leaves it goes on alone */
        step(&e, (ElectionEvent) { .type = ELECTION_EVENT_GROUP, .u.grouped = false }, now);
        assert_becomes(timer(&e, election_deadline_usec(&e)), ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
}

static void test_a_group_takes_over_when_all_want_to(void) {
        Election a = member(plain, 10 * SEC), b = member(plain, 11 * SEC);
        const Election *members[] = { &a, &b };
        uint64_t due_a = election_due_usec(&a), due_b = election_due_usec(&b);

        timer(&a, due_a);
        g_assert_cmpint(sync_judge(members, 2, due_a), ==, SYNC_VERDICT_NONE);
        timer(&b, due_b);
        g_assert_cmpint(sync_judge(members, 2, due_b), ==, SYNC_VERDICT_TAKE_OVER);
        bar(&a, ELECTION_EVENT_BAR, ELECTION_REASON_HEALTH, due_b);
        g_assert_cmpint(sync_judge(members, 2, due_b), ==, SYNC_VERDICT_NONE);
        bar(&a, ELECTION_EVENT_UNBAR, ELECTION_REASON_HEALTH, due_b + MSEC);
        g_assert_cmpint(sync_judge(members, 2, due_b + MSEC), ==, SYNC_VERDICT_TAKE_OVER);
        bar(&b, ELECTION_EVENT_BAR, ELECTION_REASON_LINK_DOWN, due_b + MSEC);
        g_assert_cmpint(sync_judge(members, 2, due_b + MSEC), ==, SYNC_VERDICT_NONE);
}

static void test_a_group_leaves_when_one_is_not_master(void) {
        uint64_t now = 10 * SEC;
        Election a = master_member(plain, &now), b = a;
        const Election *members[] = { &a, &b };

        g_assert_cmpint(sync_judge(members, 2, now), ==, SYNC_VERDICT_NONE);
        bar(&b, ELECTION_EVENT_BAR, ELECTION_REASON_LINK_DOWN, now);
        g_assert_cmpint(sync_judge(members, 2, now), ==, SYNC_VERDICT_LEAVE);
        sync_with(&a, ELECTION_SYNC_LEAVE, now);
        g_assert_cmpint(sync_judge(members, 2, now), ==, SYNC_VERDICT_NONE);
}

static void test_health_that_comes_back_must_last_before_it_preempts(void) {
        ElectionConfig config = plain;
        Election e;

        config.preempt = true;
        config.preempt_delay_usec = 5 * SEC;
        e = backup(config, 10 * SEC);
        bar(&e, ELECTION_EVENT_BAR, ELECTION_REASON_HEALTH, 20 * SEC);
        for (uint64_t t = 20; t < 30; t++)
                g_assert_false(hear(&e, 1, 200, t * SEC).changed);
        bar(&e, ELECTION_EVENT_UNBAR, ELECTION_REASON_HEALTH, 30 * SEC);
        for (uint64_t t = 30; t < 35; t++)
                g_assert_false(hear(&e, 1, 200, t * SEC).changed);
        assert_becomes(hear(&e, 1, 200, 35 * SEC), ELECTION_STATE_MASTER, ELECTION_REASON_PREEMPTING);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        ADD(intervals);
        ADD(demotion_is_capped);
        ADD(takes_over_after_the_dead_interval_and_not_before);
        ADD(an_advert_restarts_the_silence);
        ADD(master_keeps_its_beat);
        ADD(better_advert_makes_backup_with_a_last_word);
        ADD(worse_advert_is_answered_at_once_but_not_in_a_flood);
        ADD(every_advert_that_leaves_a_master_in_place_contests_its_announcements);
        ADD(tie_is_won_by_the_lower_last_octet);
        ADD(a_peer_that_never_yields_a_tie_wins_it);
        ADD(a_worse_advert_that_comes_too_soon_is_answered_later);
        ADD(a_farewell_behind_its_heirs_advert_calls_nobody);
        ADD(bow_out_is_followed_at_once);
        ADD(preempts_only_if_told_to);
        ADD(preempt_delay_waits);
        ADD(byte_4_counts_only_where_it_is_agreed_on);
        ADD(a_master_slower_than_our_patience_is_replaced);
        ADD(demote_bows_out_and_stays_out);
        ADD(promote_takes_over_and_survives_last_words);
        ADD(a_promoted_host_is_not_slower_for_its_demotion);
        ADD(a_promoted_peer_is_obeyed_in_silence);
        ADD(disable_bows_out_and_enable_listens);
        ADD(link_loss_is_silent_and_coming_back_listens);
        ADD(health_and_sync_bars_keep_listening);
        ADD(a_master_that_slept_stands_as_backup_whatever_wakes_it);
        ADD(a_backup_that_slept_listens_again);
        ADD(a_master_that_cannot_send_gives_up);
        ADD(who_cannot_say_that_he_took_over_gives_it_back);
        ADD(demotion_is_told_at_once);
        ADD(address_lost_and_shutdown_bow_out);
        ADD(a_demotion_on_the_way_to_master_keeps_the_call);
        ADD(a_demotion_of_who_takes_no_part_holds_nobody_back);
        ADD(health_regained_must_last_before_it_preempts);
        ADD(the_same_demotion_is_told_once);
        ADD(a_fastest_host_does_not_look_promoted);
        ADD(a_missed_beat_is_not_made_up_for);
        ADD(ties_by_octets_from_the_last_to_the_first);
        ADD(ties_of_hosts_that_speak_ipv6_alone);
        ADD(a_tie_is_answered_but_not_in_a_flood);
        ADD(the_last_word_of_a_loser_is_worse_than_the_winners);
        ADD(bystanders_of_a_tie_do_not_join_its_next_round_in_step);
        ADD(who_bows_out_is_better_than_nobody);
        ADD(half_a_bow_out_is_none);
        ADD(start_delay_is_taken_as_told);
        ADD(what_keeps_us_out_is_the_latest_reason);
        ADD(who_has_no_address_to_send_from_leaves_in_silence);
        ADD(a_reload_that_removes_a_master_bows_out);
        ADD(a_sick_backup_stays_backup_whoever_calls);
        ADD(a_master_is_not_moved_by_what_no_longer_bars_it);
        ADD(who_cannot_be_promoted_is_not);
        ADD(verbs_for_a_master_do_nothing_to_others);
        ADD(a_demotion_that_comes_when_another_is_master_already);
        ADD(who_slept_and_is_told_something_does_both);
        ADD(a_new_configuration_counts_from_now);
        ADD(a_restart_changes_nothing_that_others_see);
        ADD(a_restart_that_took_too_long_is_a_standstill);
        ADD(a_restart_that_nobody_listened_in_is_no_silence);
        ADD(time_that_steps_back_is_no_step);
        ADD(one_of_a_group_wants_and_waits);
        ADD(who_wants_does_not_once_it_hears_a_master_it_respects);
        ADD(one_of_a_group_does_not_preempt_alone);
        ADD(who_is_better_for_having_left_its_group_does_not_preempt_at_once);
        ADD(a_bow_out_on_another_segment_waits_for_the_next_advert_of_this_one);
        ADD(who_yields_with_its_group_listens_a_while_longer_by_chance);
        ADD(who_leaves_with_its_group_bows_out);
        ADD(one_of_a_group_that_slept_listens_again);
        ADD(a_restarted_member_knows_that_it_heard_a_master);
        ADD(a_restart_while_a_master_may_have_left_does_not_forget_that_he_may_not);
        ADD(a_restarted_backup_is_as_patient_as_it_is_demoted);
        ADD(a_restarted_member_wants_what_it_wanted);
        ADD(what_the_others_do_is_nothing_to_who_is_not_concerned);
        ADD(who_is_told_of_its_demotion_after_a_sleep_listens_again);
        ADD(who_joins_a_group_after_a_sleep_listens_again);
        ADD(a_group_takes_over_when_all_want_to);
        ADD(a_group_leaves_when_one_is_not_master);
        ADD(health_that_comes_back_must_last_before_it_preempts);
        ADD(every_name_is_the_designs);
        return g_test_run();
}
