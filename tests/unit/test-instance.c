/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "handover.h"
#include "instance-fixture.h"
#include "proto/carp-hmac.h"

/* The order of an instance's effects where it depends on units, what a restart carries over, and what is counted. */

static void set_up(Fixture *f, gconstpointer units_before_address) {
        fixture_set_up(f);
        make_instance(f, fixture_config(units_before_address != NULL));
        link_up(f);
}

static void win(Fixture *f) {
        timer(f);
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_MASTER);
}

/* A peer's advert is heard, signed with our key; with another bit in its digest if spoilt. */
static CarpVerdict hear(Fixture *f, uint8_t advbase, uint8_t advskew, bool spoilt) {
        g_autoptr(InstanceConfig) c = fixture_config(false);
        IpAddress source;
        CarpHmac *hmac = carp_hmac_new(&(CarpHmacInput) { .key = c->carp.key, .n_key_bytes = c->carp.n_key_bytes, .vhid = 1,
                                                          .addresses = &c->addresses[0].address, .n_addresses = 1 });
        CarpAdvert a = { .vhid = 1, .advbase = advbase, .advskew = advskew, .counter = 5 };

        carp_hmac_digest(hmac, a.counter, a.digest);
        carp_hmac_free(hmac);
        a.digest[0] ^= spoilt;
        g_assert_cmpint(ip_address_parse("192.0.2.9", &source), ==, 0);
        return instance_on_advert(f->instance, &source, &a, f->now_usec);
}

/* A better master is heard. */
static void hear_better(Fixture *f) {
        g_assert_cmpint(hear(f, 0, 1, false), ==, CARP_VERDICT_OK);
}

static void test_a_forgery_is_counted_and_has_no_effect(Fixture *f, gconstpointer data) {
        const InstanceStatistics *s = instance_statistics(f->instance);

        win(f);
        assert_effects(f, "han");
        g_assert_cmpint(hear(f, 0, 1, true), ==, CARP_VERDICT_HMAC);
        g_assert_cmpuint(s->rejected[CARP_VERDICT_HMAC], ==, 1);
        g_assert_cmpuint(s->adverts_received, ==, 0);
        assert_effects(f, "");
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_MASTER);
}

/* FreeBSD's digest covers a link-local address, OpenBSD's does not. */
static void test_link_local_addresses_are_in_the_digest_or_not(Fixture *f, gconstpointer data) {
        for (int with_link_local = 0; with_link_local < 2; with_link_local++) {
                InstanceConfig *c = fixture_config(false);
                CarpAdvert a = { .vhid = 1, .advbase = 1, .counter = 5 + (unsigned) with_link_local };
                IpAddress source, addresses[2];
                CarpHmac *hmac;

                c->addresses = g_renew(IpPrefix, c->addresses, 2);
                c->n_addresses = 2;
                g_assert_cmpint(ip_prefix_parse("fe80::51", &c->addresses[1]), ==, 0);
                addresses[0] = c->addresses[0].address;
                addresses[1] = c->addresses[1].address;
                hmac = carp_hmac_new(&(CarpHmacInput) { .key = c->carp.key, .n_key_bytes = c->carp.n_key_bytes, .vhid = 1,
                                                        .addresses = addresses, .n_addresses = 2, .with_link_local = with_link_local });
                carp_hmac_digest(hmac, a.counter, a.digest);
                carp_hmac_free(hmac);
                instance_reconfigure(f->instance, c, f->now_usec);
                g_assert_cmpint(ip_address_parse("192.0.2.9", &source), ==, 0);
                g_assert_cmpint(instance_on_advert(f->instance, &source, &a, f->now_usec), ==, CARP_VERDICT_OK);
        }
}

/* The master who hears nothing of it is master still; so no neighbour may learn of it, and nobody hears a bow-out. */
static void test_a_takeover_that_cannot_be_told_is_given_back(Fixture *f, gconstpointer data) {
        const int passing[] = { -EAGAIN, -ETIME };
        InstanceConfig *c = fixture_config(false);

        c->carp.preempt = true;
        instance_reconfigure(f->instance, c, f->now_usec);
        f->now_usec += 10 * SEC;
        f->send_error = -ENOBUFS;
        g_assert_cmpint(hear(f, 1, 200, false), ==, CARP_VERDICT_OK);
        assert_effects(f, "har");
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_BACKUP);
        g_assert_cmpint(instance_reason(f->instance), ==, ELECTION_REASON_SEND_FAILED);
        /* too many at a time, or too late: the next one comes soon */
        for (size_t k = 0; k < G_N_ELEMENTS(passing); k++) {
                f->now_usec += 10 * SEC;
                f->send_error = passing[k];
                g_assert_cmpint(hear(f, 1, 200, false), ==, CARP_VERDICT_OK);
                assert_effects(f, "han");
                g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_MASTER);
                g_assert_cmpint(instance_demote(f->instance, 1, f->now_usec), ==, INSTANCE_VERB_OK);
                assert_effects(f, "rb");
        }
}

/* Somebody wanted it: it goes on, for as long as any master that cannot send. */
static void test_who_was_promoted_keeps_what_he_cannot_tell(Fixture *f, gconstpointer data) {
        g_assert_cmpint(hear(f, 1, 0, false), ==, CARP_VERDICT_OK);
        f->send_error = -ENOBUFS;
        g_assert_cmpint(instance_promote(f->instance, f->now_usec), ==, INSTANCE_VERB_OK);
        assert_effects(f, "han");
}

/* A takeover from nobody is kept, and announced. */
static void test_who_is_alone_keeps_what_he_cannot_tell(Fixture *f, gconstpointer data) {
        f->send_error = -ENOBUFS;
        win(f);
        assert_effects(f, "han");
}

/* An address that is taken away is put back at once, but not for ever: whoever insists wins. */
static void test_a_fight_for_an_address_ends(Fixture *f, gconstpointer data) {
        unsigned n = 0;

        win(f);
        assert_effects(f, "han");
        instance_on_address_missing(f->instance, f->now_usec);
        assert_effects(f, "hn");
        while (instance_state(f->instance) == ELECTION_STATE_MASTER) {
                g_assert_cmpuint(n++, <, 100);
                instance_on_address_missing(f->instance, f->now_usec);
        }
        g_assert_cmpuint(n, >=, 10);
        g_assert_cmpint(instance_reason(f->instance), ==, ELECTION_REASON_ADDRESS_LOST);
        g_assert_true(g_str_has_suffix(f->effects->str, "rb"));
}

/* Once in a while for ever is no fight. */
static void test_an_address_may_be_taken_away_often(Fixture *f, gconstpointer data) {
        win(f);
        for (unsigned k = 0; k < 100; k++) {
                while (f->deadline_usec <= f->now_usec + SEC / 4)
                        timer(f);
                f->now_usec += SEC / 4;
                instance_on_address_missing(f->instance, f->now_usec);
                g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_MASTER);
        }
        g_assert_cmpuint(instance_statistics(f->instance)->addresses_restored, ==, 100);
}

/* By the beat that it keeps, which is quicker than what it will say when its word is over. */
static void test_who_is_promoted_and_demoted_is_hardly_ever_early(Fixture *f, gconstpointer data) {
        instance_set_group_demotion(f->instance, 100, f->now_usec);
        g_assert_cmpint(instance_promote(f->instance, f->now_usec), ==, INSTANCE_VERB_OK);
        g_assert_cmpuint(f->deadline_usec, ==, f->now_usec + SEC);
        g_assert_cmpuint(f->early_usec, ==, f->deadline_usec - SEC / 64);
}

/* A bow-out would call every backup against the master whom we did not replace. */
static void test_who_cannot_hold_leaves_the_master_alone(Fixture *f, gconstpointer data) {
        g_assert_cmpint(hear(f, 1, 100, false), ==, CARP_VERDICT_OK);
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_BACKUP);
        f->hold_error = -EPERM;
        g_assert_cmpint(instance_promote(f->instance, f->now_usec), ==, INSTANCE_VERB_OK);
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_BACKUP);
        assert_effects(f, "hr");
}

/* What a peer that signs one address alone is told, by an instance with two. */
static CarpVerdict verdict_on_a_peer_with_one_address(Fixture *f, bool digest_first) {
        g_autoptr(InstanceConfig) peer = fixture_config(false);
        InstanceConfig *c = fixture_config(false);
        CarpHmac *hmac = carp_hmac_new(&(CarpHmacInput) { .key = peer->carp.key, .n_key_bytes = peer->carp.n_key_bytes, .vhid = 1,
                                                          .addresses = &peer->addresses[0].address, .n_addresses = 1 });
        CarpAdvert a = { .vhid = 1, .advbase = 1, .counter = 5 };
        IpAddress source;

        carp_hmac_digest(hmac, a.counter, a.digest);
        carp_hmac_free(hmac);
        c->addresses = g_renew(IpPrefix, c->addresses, 2);
        c->n_addresses = 2;
        g_assert_cmpint(ip_prefix_parse("2001:db8::51", &c->addresses[1]), ==, 0);
        c->carp.digest_first = digest_first;
        instance_reconfigure(f->instance, c, f->now_usec);
        g_assert_cmpint(ip_address_parse("192.0.2.9", &source), ==, 0);
        return instance_on_advert(f->instance, &source, &a, f->now_usec);
}

static void test_addresses_outside_the_digest(Fixture *f, gconstpointer data) {
        g_assert_cmpint(verdict_on_a_peer_with_one_address(f, true), ==, CARP_VERDICT_OK);
        g_assert_cmpint(verdict_on_a_peer_with_one_address(f, false), ==, CARP_VERDICT_HMAC);
}

static void test_without_units_the_address_comes_first(Fixture *f, gconstpointer data) {
        win(f);
        assert_effects(f, "han");
        g_assert_cmpint(instance_demote(f->instance, SEC, f->now_usec), ==, INSTANCE_VERB_OK);
        assert_effects(f, "rb");
}

static void test_the_address_waits_for_the_units(Fixture *f, gconstpointer data) {
        win(f);
        assert_effects(f, "a");
        timer(f);
        instance_on_carrier_back(f->instance, f->now_usec);
        instance_on_address_missing(f->instance, f->now_usec);
        assert_effects(f, "a");
        instance_on_units_settled(f->instance, false, f->now_usec);
        assert_effects(f, "");
        instance_on_units_settled(f->instance, true, f->now_usec);
        assert_effects(f, "hn");
}

static void test_units_that_start_for_long_hold_nothing_after_a_sleep(Fixture *f, gconstpointer data) {
        win(f);
        assert_effects(f, "a");
        f->now_usec += 60 * SEC;
        instance_on_units_settled(f->instance, true, f->now_usec);
        assert_effects(f, "r");
        g_assert_cmpint(instance_reason(f->instance), ==, ELECTION_REASON_STALLED);
}

/* With an advert, never between two, as the lease would end later than the peers' patience then; and no sooner than it must. */
static void test_a_lease_is_renewed_with_the_last_advert_that_it_outlives(Fixture *f, gconstpointer data) {
        static const struct {
                uint8_t advbase, dead_ratio;
                unsigned n_adverts; /* to one renewal */
        } cases[] = { { 1, 3, 1 }, { 1, 4, 2 }, { 2, 3, 2 }, { 1, 10, 8 }, { 10, 3, 2 } };

        win(f);
        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                InstanceConfig *c = fixture_config(false);

                c->carp.advbase = cases[k].advbase;
                c->carp.dead_ratio = cases[k].dead_ratio;
                instance_reconfigure(f->instance, c, f->now_usec);
                /* the lease that the old configuration gave */
                do {
                        g_string_truncate(f->effects, 0);
                        timer(f);
                } while (!g_str_has_suffix(f->effects->str, "ah"));
                for (unsigned n = 1; n <= 3 * cases[k].n_adverts; n++) {
                        g_string_truncate(f->effects, 0);
                        timer(f);
                        assert_effects(f, n % cases[k].n_adverts == 0 ? "ah" : "a");
                }
        }
}

static void test_the_units_stop_before_the_address_goes(Fixture *f, gconstpointer data) {
        win(f);
        instance_on_units_settled(f->instance, true, f->now_usec);
        assert_effects(f, "ahn");
        g_assert_cmpint(instance_demote(f->instance, SEC, f->now_usec), ==, INSTANCE_VERB_OK);
        g_assert_true(instance_is_leaving(f->instance));
        assert_effects(f, "");
        timer(f);
        assert_effects(f, "ah"); /* master still: it advertises and renews */
        instance_on_units_settled(f->instance, false, f->now_usec);
        assert_effects(f, "rb");
        g_assert_cmpint(instance_reason(f->instance), ==, ELECTION_REASON_DEMOTED);
        g_assert_false(instance_is_leaving(f->instance));
}

static void test_a_better_master_does_not_wait_for_units(Fixture *f, gconstpointer data) {
        win(f);
        instance_on_units_settled(f->instance, true, f->now_usec);
        instance_set_enabled(f->instance, false, f->now_usec);
        g_assert_false(instance_enabled(f->instance));
        assert_effects(f, "ahn");
        hear_better(f);
        assert_effects(f, "ra");
        /* and what was asked for is not forgotten */
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_INIT);
        g_assert_cmpint(instance_reason(f->instance), ==, ELECTION_REASON_DISABLED);
        g_assert_cmpstr(f->states->str, ==, "backup master backup init ");
}

static void test_a_better_master_ends_no_demotion(Fixture *f, gconstpointer data) {
        win(f);
        instance_on_units_settled(f->instance, true, f->now_usec);
        g_assert_cmpint(instance_demote(f->instance, 3600 * SEC, f->now_usec), ==, INSTANCE_VERB_OK);
        hear_better(f);
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_BACKUP);
        g_assert_cmpuint(f->deadline_usec, >=, f->now_usec + 3600 * SEC);
}

static void test_enabled_again_while_the_units_stop(Fixture *f, gconstpointer data) {
        win(f);
        instance_on_units_settled(f->instance, true, f->now_usec);
        instance_set_enabled(f->instance, false, f->now_usec);
        instance_set_enabled(f->instance, true, f->now_usec);
        g_assert_false(instance_is_leaving(f->instance));
        assert_effects(f, "ahn");
        instance_on_units_settled(f->instance, false, f->now_usec);
        assert_effects(f, "");
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_MASTER);
}

static void test_a_stop_is_not_forgotten_for_a_demotion(Fixture *f, gconstpointer data) {
        win(f);
        instance_on_units_settled(f->instance, true, f->now_usec);
        instance_stop(f->instance, ELECTION_REASON_SHUTDOWN, true, f->now_usec);
        (void) instance_demote(f->instance, SEC, f->now_usec);
        instance_on_units_settled(f->instance, false, f->now_usec);
        assert_effects(f, "ahnrb");
        g_assert_cmpint(instance_reason(f->instance), ==, ELECTION_REASON_SHUTDOWN);
}

static void test_who_asks_twice_does_not_wait(Fixture *f, gconstpointer data) {
        win(f);
        instance_on_units_settled(f->instance, true, f->now_usec);
        instance_stop(f->instance, ELECTION_REASON_SHUTDOWN, true, f->now_usec);
        assert_effects(f, "ahn");
        instance_stop(f->instance, ELECTION_REASON_SHUTDOWN, false, f->now_usec);
        assert_effects(f, "rb");
}

static const Latency *takeovers(const Fixture *f) {
        return &instance_statistics(f->instance)->takeovers;
}

/* Address, advert and announcement: three efforts. */
static void test_a_takeover_takes_until_all_is_said(Fixture *f, gconstpointer data) {
        f->effort_usec = 200;
        win(f);
        assert_effects(f, "han");
        g_assert_cmpuint(takeovers(f)->n, ==, 1);
        g_assert_cmpuint(takeovers(f)->sum_usec, ==, 600);
        g_assert_cmpuint(latency_n_up_to(takeovers(f), 2), ==, 0);
        g_assert_cmpuint(latency_n_up_to(takeovers(f), 3), ==, 1);
        /* what a master does later is none */
        timer(f);
        instance_on_carrier_back(f->instance, f->now_usec);
        g_assert_cmpuint(takeovers(f)->n, ==, 1);
        hear_better(f);
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_BACKUP);
        g_assert_cmpuint(takeovers(f)->n, ==, 1);
        g_string_truncate(f->effects, 0);
        win(f);
        g_assert_cmpuint(takeovers(f)->n, ==, 2);
        g_assert_cmpuint(takeovers(f)->sum_usec, ==, 1200);
}

static void test_a_takeover_that_fails_is_not_counted(Fixture *f, gconstpointer data) {
        f->hold_error = -EPERM;
        timer(f);
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_BACKUP);
        g_assert_cmpuint(takeovers(f)->n, ==, 0);
        f->hold_error = 0;
        f->effort_usec = 1;
        g_string_truncate(f->effects, 0);
        win(f);
        g_assert_cmpuint(takeovers(f)->n, ==, 1);
        g_assert_cmpuint(takeovers(f)->sum_usec, ==, 3);
}

static void test_a_takeover_takes_until_the_units_are_up(Fixture *f, gconstpointer data) {
        win(f);
        timer(f);
        g_assert_cmpuint(takeovers(f)->n, ==, 0);
        instance_on_units_settled(f->instance, true, f->now_usec);
        g_assert_cmpuint(takeovers(f)->n, ==, 1);
        g_assert_cmpuint(takeovers(f)->sum_usec, ==, SEC);
        /* and one that never ended does not count with the next */
        hear_better(f);
        win(f);
        hear_better(f);
        win(f);
        instance_on_units_settled(f->instance, true, f->now_usec);
        g_assert_cmpuint(takeovers(f)->n, ==, 2);
        g_assert_cmpuint(takeovers(f)->sum_usec, ==, SEC);
}

/* An advert counts when it has left, or is refused; until then it is neither. */
static void test_an_advert_that_waits_counts_when_it_has_left(Fixture *f, gconstpointer data) {
        const InstanceStatistics *s = instance_statistics(f->instance);

        f->send_error = -EINPROGRESS;
        win(f);
        g_assert_cmpuint(s->adverts_sent + s->send_errors, ==, 0);
        instance_on_sent(f->instance, 0, f->now_usec);
        g_assert_cmpuint(s->adverts_sent, ==, 1);
        timer(f);
        instance_on_sent(f->instance, -ETIME, f->now_usec);
        g_assert_cmpuint(s->adverts_sent, ==, 1);
        g_assert_cmpuint(s->send_errors, ==, 1);
        g_assert_cmpint(instance_demote(f->instance, SEC, f->now_usec), ==, INSTANCE_VERB_OK);
        g_assert_true(g_str_has_suffix(f->effects->str, "rb"));
        g_assert_cmpuint(s->bow_outs_sent, ==, 0);
        instance_on_sent(f->instance, 0, f->now_usec);
        g_assert_cmpuint(s->bow_outs_sent, ==, 1);
        g_assert_cmpuint(s->adverts_sent, ==, 1);
}

/* Whoever hears none of its adverts has taken over. */
static void test_a_master_whose_adverts_all_come_too_late_gives_up(Fixture *f, gconstpointer data) {
        unsigned n = 0;

        f->send_error = -EINPROGRESS;
        win(f);
        instance_on_sent(f->instance, 0, f->now_usec);
        while (instance_state(f->instance) == ELECTION_STATE_MASTER) {
                g_assert_cmpuint(n++, <, 100);
                g_string_truncate(f->effects, 0);
                timer(f);
                if (strchr(f->effects->str, 'a'))
                        instance_on_sent(f->instance, -ETIME, f->now_usec);
        }
        g_assert_cmpint(instance_reason(f->instance), ==, ELECTION_REASON_SEND_FAILED);
        g_assert_nonnull(strchr(f->effects->str, 'r'));
}

static void test_every_transition_counts_for_its_reason(Fixture *f, gconstpointer data) {
        const InstanceStatistics *s = instance_statistics(f->instance);
        uint64_t n = 0;

        win(f);
        hear_better(f);
        win(f);
        g_assert_cmpint(instance_demote(f->instance, SEC, f->now_usec), ==, INSTANCE_VERB_OK);
        g_assert_cmpuint(s->transitions_by[ELECTION_REASON_STARTUP], ==, 1);
        g_assert_cmpuint(s->transitions_by[ELECTION_REASON_MASTER_TIMEOUT], ==, 2);
        g_assert_cmpuint(s->transitions_by[ELECTION_REASON_PREEMPTED], ==, 1);
        g_assert_cmpuint(s->transitions_by[ELECTION_REASON_DEMOTED], ==, 1);
        for (size_t k = 0; k < N_ELECTION_REASONS; k++)
                n += s->transitions_by[k];
        g_assert_cmpuint(n, ==, s->transitions);
        g_assert_cmpuint(n, ==, 5);
}

static void test_units_no_longer_waited_for(Fixture *f, gconstpointer data) {
        win(f);
        assert_effects(f, "a");
        instance_reconfigure(f->instance, fixture_config(false), f->now_usec);
        assert_effects(f, "hn");
}

static void test_a_failed_unit_is_listed_until_it_is_well(Fixture *f, gconstpointer data) {
        const GPtrArray *failures = instance_unit_failures(f->instance);

        win(f);
        instance_on_unit_result(f->instance, "a.service", "failed", f->now_usec);
        instance_on_unit_result(f->instance, "b.service", "hanging", f->now_usec);
        instance_on_unit_result(f->instance, "a.service", "timeout", f->now_usec);
        g_assert_cmpuint(failures->len, ==, 2);
        g_assert_cmpstr(((InstanceUnitFailure *) g_ptr_array_index(failures, 0))->result, ==, "timeout");
        instance_on_unit_result(f->instance, "a.service", NULL, f->now_usec);
        g_assert_cmpuint(failures->len, ==, 1);
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_MASTER);
        (void) instance_demote(f->instance, SEC, f->now_usec);
        g_assert_cmpuint(failures->len, ==, 0);
}

static void test_a_failed_unit_gives_the_address_up_where_so_told(Fixture *f, gconstpointer data) {
        InstanceConfig *c = fixture_config(false);

        c->takeover.demote_on_unit_failure = true;
        instance_reconfigure(f->instance, c, f->now_usec);
        instance_on_unit_result(f->instance, "a.service", "failed", f->now_usec);
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_BACKUP);
        win(f);
        g_string_truncate(f->effects, 0);
        instance_on_unit_result(f->instance, "a.service", "failed", f->now_usec);
        assert_effects(f, "rb");
        g_assert_cmpint(instance_reason(f->instance), ==, ELECTION_REASON_DEMOTED);
}

/* The same election in another process: its memory goes through text, as in a restart. config: taken. */
static void restart_as(Fixture *f, InstanceConfig *config, uint64_t pause_usec) {
        g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(handover_entry_free), read = NULL;
        HandoverEntry *e = g_new0(HandoverEntry, 1);
        g_autofree char *text = NULL;

        instance_prepare_handover(f->instance, f->now_usec);
        e->name = g_strdup("web");
        g_strlcpy(e->interface, "eth0", sizeof(e->interface));
        e->vhid = 1;
        e->units_certain = true;
        e->units = UNITS_ROLE_MASTER;
        e->script_pending = e->script_up = true;
        instance_remember(f->instance, &e->memory);
        g_ptr_array_add(entries, e);
        text = handover_format(entries);
        read = handover_parse(text, strlen(text));
        g_assert_nonnull(read);
        g_assert_cmpuint(read->len, ==, 1);
        instance_free(f->instance);
        g_string_truncate(f->effects, 0);
        g_string_truncate(f->states, 0);
        f->now_usec += pause_usec;
        make_instance(f, config);
        e = g_ptr_array_index(read, 0);
        g_assert_cmpstr(e->name, ==, "web");
        g_assert_cmpint(e->units, ==, UNITS_ROLE_MASTER);
        g_assert_true(e->script_pending && e->script_up);
        instance_resume(f->instance, &e->memory, f->now_usec);
        link_up(f);
}

static void restart(Fixture *f, bool units_before_address, uint64_t pause_usec) {
        restart_as(f, fixture_config(units_before_address), pause_usec);
}

static void test_a_restarted_master_goes_on(Fixture *f, gconstpointer data) {
        uint64_t since_usec, since_realtime_usec;

        win(f);
        since_usec = instance_state_change_usec(f->instance);
        since_realtime_usec = instance_state_change_realtime_usec(f->instance);
        restart(f, false, SEC / 2);
        assert_effects(f, "");
        g_assert_cmpstr(f->states->str, ==, "");
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_MASTER);
        g_assert_cmpint(instance_reason(f->instance), ==, ELECTION_REASON_MASTER_TIMEOUT);
        g_assert_cmpuint(instance_state_change_usec(f->instance), ==, since_usec);
        g_assert_cmpuint(instance_state_change_realtime_usec(f->instance), ==, since_realtime_usec);
        /* the lease first, then the beat goes on */
        instance_on_timer(f->instance, f->now_usec);
        assert_effects(f, "h");
        timer(f);
        assert_effects(f, "a");
        g_assert_cmpuint(f->now_usec, ==, 1004 * SEC);
}

static void test_a_master_that_restarted_for_too_long_is_none(Fixture *f, gconstpointer data) {
        win(f);
        restart(f, false, 30 * SEC);
        assert_effects(f, "r");
        g_assert_cmpint(instance_reason(f->instance), ==, ELECTION_REASON_STALLED);
        g_assert_cmpstr(f->states->str, ==, "backup ");
}

static void test_a_restart_that_peers_would_not_wait_for_is_a_stop(Fixture *f, gconstpointer data) {
        InstanceConfig *c = fixture_config(false);
        InstanceMemory memory;

        win(f);
        c->carp.advbase = 0;
        c->carp.advskew = 64;
        instance_reconfigure(f->instance, c, f->now_usec);
        g_string_truncate(f->effects, 0);
        instance_prepare_handover(f->instance, f->now_usec);
        assert_effects(f, "rb");
        instance_remember(f->instance, &memory);
        g_assert_false(memory.holds);
        g_assert_cmpint(memory.election.state, ==, ELECTION_STATE_INIT);
}

static void test_a_restarted_backup_keeps_its_patience(Fixture *f, gconstpointer data) {
        uint64_t deadline_usec = f->deadline_usec;

        restart(f, false, SEC / 2);
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_BACKUP);
        g_assert_cmpstr(f->states->str, ==, "");
        g_assert_cmpuint(f->deadline_usec, ==, deadline_usec);
}

static void test_a_restarted_master_goes_on_announcing(Fixture *f, gconstpointer data) {
        InstanceConfig *c = fixture_config(false);

        c->announce.count = 2;
        c->announce.interval_usec = SEC / 10;
        instance_reconfigure(f->instance, c, f->now_usec);
        win(f);
        restart(f, false, SEC / 2);
        instance_on_timer(f->instance, f->now_usec);
        assert_effects(f, "hn");
        instance_on_timer(f->instance, f->now_usec + SEC / 10);
        assert_effects(f, "");

        /* what comes round for ever may be new */
        c = fixture_config(false);
        c->announce.refresh_usec = 10 * SEC;
        restart_as(f, c, SEC / 2);
        while (f->now_usec < 1020 * SEC)
                timer(f);
        g_assert_nonnull(strchr(f->effects->str, 'n'));
        g_assert_true(strchr(f->effects->str, 'n') == strrchr(f->effects->str, 'n'));
}

static void test_what_is_too_long_to_be_read_is_not_handed_over(Fixture *f, gconstpointer data) {
        g_autofree char *text = g_strnfill((4 << 20) + 1, '#');

        g_assert_cmpint(handover_write(text), ==, -EFBIG);
}

static void test_a_restart_while_the_units_start(Fixture *f, gconstpointer data) {
        win(f);
        restart(f, true, SEC / 2);
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_MASTER);
        timer(f);
        assert_effects(f, "a");
        instance_on_units_settled(f->instance, true, f->now_usec);
        assert_effects(f, "hn");
}

static void test_peers_and_master_outlive_a_restart(Fixture *f, gconstpointer data) {
        const Peers *peers;
        char text[IP_ADDRESS_TEXT_BYTES];

        hear_better(f);
        restart(f, false, SEC / 2);
        g_assert_cmpstr(ip_address_format(instance_master(f->instance), text), ==, "192.0.2.9");
        peers = instance_peers(f->instance);
        g_assert_cmpuint(peers->n, ==, 1);
        g_assert_cmpstr(ip_address_format(&peers->list[0].source, text), ==, "192.0.2.9");
        g_assert_cmpint(peers->list[0].role, ==, PEER_ROLE_MASTER);
        g_assert_cmpuint(peers->list[0].advskew, ==, 1);
        g_assert_cmpuint(peers->list[0].heard_usec, ==, 1000 * SEC);
}

/* The 255/255 of a farewell are no setting: what it was before stays known, also to the next process. */
static void test_a_peer_that_bows_out_is_told_from_one_that_is_outdone(Fixture *f, gconstpointer data) {
        const Peer *peer;

        hear_better(f);
        g_assert_cmpint(hear(f, 255, 255, false), ==, CARP_VERDICT_OK);
        for (int life = 0; life < 2; life++) {
                peer = &instance_peers(f->instance)->list[0];
                g_assert_cmpint(peer->role, ==, PEER_ROLE_BOWED_OUT);
                g_assert_cmpuint(peer->advbase, ==, 0);
                g_assert_cmpuint(peer->advskew, ==, 1);
                restart(f, false, SEC / 2);
        }
        hear_better(f);
        g_assert_cmpint(instance_peers(f->instance)->list[0].role, ==, PEER_ROLE_MASTER);
}

static void test_what_is_not_understood_is_nothing(void) {
        static const char *const wrong[] = {
                "",
                "garbage",
                "[vipd handover]\nVersion=2\n",
                "[web]\nState=master\n",
        };
        static const char *const without_entries[] = {
                "[vipd handover]\nVersion=1\n",
                "[vipd handover]\nVersion=1\n[web]\nState=master\n",
                "[vipd handover]\nVersion=1\n[web]\nInterface=eth0\nVHID=1\nState=emperor\nReason=startup\nDownReason=startup\n",
                "[vipd handover]\nVersion=1\n[web]\nInterface=eth0\nVHID=256\nState=master\nReason=startup\nDownReason=startup\n",
                "[vipd handover]\nVersion=1\n[web]\nInterface=\nVHID=1\nState=master\nReason=startup\nDownReason=startup\n",
                "[vipd handover]\nVersion=1\n[web]\nInterface=an-endless-interface\nVHID=1\nState=master\nReason=startup\nDownReason=startup\n",
        };

        for (size_t k = 0; k < G_N_ELEMENTS(wrong); k++)
                g_assert_null(handover_parse(wrong[k], strlen(wrong[k])));
        for (size_t k = 0; k < G_N_ELEMENTS(without_entries); k++) {
                g_autoptr(GPtrArray) entries = handover_parse(without_entries[k], strlen(without_entries[k]));

                g_assert_nonnull(entries);
                g_assert_cmpuint(entries->len, ==, 0);
        }
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
#define PLAIN(name, function) g_test_add("/instance/" name, Fixture, NULL, set_up, function, fixture_tear_down)
#define UNITS(name, function) g_test_add("/instance/units/" name, Fixture, "", set_up, function, fixture_tear_down)
        PLAIN("without-units-the-address-comes-first", test_without_units_the_address_comes_first);
        PLAIN("takeover-latency", test_a_takeover_takes_until_all_is_said);
        PLAIN("takeover-failed", test_a_takeover_that_fails_is_not_counted);
        PLAIN("takeover-untold", test_a_takeover_that_cannot_be_told_is_given_back);
        PLAIN("advert-that-waits", test_an_advert_that_waits_counts_when_it_has_left);
        PLAIN("adverts-too-late", test_a_master_whose_adverts_all_come_too_late_gives_up);
        PLAIN("takeover-promoted-untold", test_who_was_promoted_keeps_what_he_cannot_tell);
        PLAIN("promoted-and-demoted", test_who_is_promoted_and_demoted_is_hardly_ever_early);
        PLAIN("takeover-alone-untold", test_who_is_alone_keeps_what_he_cannot_tell);
        PLAIN("transitions-by-reason", test_every_transition_counts_for_its_reason);
        PLAIN("a-lease-is-renewed-with-the-last-advert-that-it-outlives", test_a_lease_is_renewed_with_the_last_advert_that_it_outlives);
        UNITS("takeover-latency", test_a_takeover_takes_until_the_units_are_up);
        UNITS("the-address-waits", test_the_address_waits_for_the_units);
        UNITS("no-hold-after-a-sleep", test_units_that_start_for_long_hold_nothing_after_a_sleep);
        UNITS("stop-before-the-address-goes", test_the_units_stop_before_the_address_goes);
        UNITS("a-better-master-does-not-wait", test_a_better_master_does_not_wait_for_units);
        UNITS("a-better-master-ends-no-demotion", test_a_better_master_ends_no_demotion);
        UNITS("enabled-again", test_enabled_again_while_the_units_stop);
        UNITS("a-stop-is-not-forgotten", test_a_stop_is_not_forgotten_for_a_demotion);
        UNITS("who-asks-twice-does-not-wait", test_who_asks_twice_does_not_wait);
        UNITS("no-longer-waited-for", test_units_no_longer_waited_for);
        PLAIN("failed-unit-is-listed", test_a_failed_unit_is_listed_until_it_is_well);
        PLAIN("failed-unit-demotes", test_a_failed_unit_gives_the_address_up_where_so_told);
        PLAIN("restarted-master", test_a_restarted_master_goes_on);
        PLAIN("restarted-too-late", test_a_master_that_restarted_for_too_long_is_none);
        PLAIN("restart-that-peers-do-not-wait-for", test_a_restart_that_peers_would_not_wait_for_is_a_stop);
        PLAIN("restarted-master-announces", test_a_restarted_master_goes_on_announcing);
        PLAIN("handover-too-long", test_what_is_too_long_to_be_read_is_not_handed_over);
        PLAIN("restarted-backup", test_a_restarted_backup_keeps_its_patience);
        UNITS("restarted-while-units-start", test_a_restart_while_the_units_start);
        PLAIN("forgery", test_a_forgery_is_counted_and_has_no_effect);
        PLAIN("link-local-digests", test_link_local_addresses_are_in_the_digest_or_not);
        PLAIN("a-fight-ends", test_a_fight_for_an_address_ends);
        PLAIN("no-fight", test_an_address_may_be_taken_away_often);
        PLAIN("who-cannot-hold", test_who_cannot_hold_leaves_the_master_alone);
        PLAIN("addresses-outside-the-digest", test_addresses_outside_the_digest);
        PLAIN("peers-outlive-a-restart", test_peers_and_master_outlive_a_restart);
        PLAIN("peer-that-bows-out", test_a_peer_that_bows_out_is_told_from_one_that_is_outdone);
        g_test_add_func("/handover/not-understood", test_what_is_not_understood_is_nothing);
        return g_test_run();
}
