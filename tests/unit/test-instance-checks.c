/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "instance-fixture.h"

/* What checks do to an instance, and what its own failing adverts do. */

/* names: of its checks. A capital one is released by, a small one demotes by 10. */
static InstanceConfig *make_config(const Fixture *f, const char *names) {
        InstanceConfig *c = fixture_config(f->units_before_address);

        c->carp.dead_ratio = 10;
        c->lease = CONFIG_LEASE_NO;
        for (const char *p = names; *p; p++) {
                char name[2] = { *p, '\0' };
                CheckConfig *check = check_config_new_default(name);

                check->release = g_ascii_isupper(*p);
                check->weight = 10;
                g_ptr_array_add(c->checks, check);
        }
        return c;
}

static void says(Fixture *f, const char *name, bool good) {
        instance_set_check(f->instance, name, good ? CHECK_STATE_PASSING : CHECK_STATE_FAILING, !good, good ? "well" : "ill", f->now_usec);
}

static void set_up(Fixture *f, gconstpointer units_before_address) {
        fixture_set_up(f);
        f->units_before_address = units_before_address != NULL;
        make_instance(f, make_config(f, "abRS"));
        for (const char *const *name = (const char *const[]) { "a", "b", "R", "S", NULL }; *name; name++)
                says(f, *name, true);
        link_up(f);
}

static void assert_state(const Fixture *f, ElectionState state, ElectionReason reason) {
        g_assert_cmpint(instance_state(f->instance), ==, state);
        g_assert_cmpint(instance_reason(f->instance), ==, reason);
}

static void win(Fixture *f) {
        timer(f);
        if (f->units_before_address)
                instance_on_units_settled(f->instance, true, f->now_usec);
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_MASTER);
        g_string_truncate(f->effects, 0);
}

static void test_weights_add_up_and_are_said_at_once(Fixture *f, gconstpointer data) {
        win(f);
        says(f, "a", false);
        assert_effects(f, "a");
        g_assert_cmpuint(f->advskew, ==, 10);
        says(f, "b", false);
        assert_effects(f, "a");
        g_assert_cmpuint(f->advskew, ==, 20);
        g_assert_cmpuint(instance_demotion(f->instance), ==, 20);
        /* another word for the same */
        f->changes = 0;
        instance_set_check(f->instance, "a", CHECK_STATE_UNKNOWN, true, "away", f->now_usec);
        assert_effects(f, "");
        g_assert_cmpuint(f->changes, ==, INSTANCE_CHANGE_CHECKS);
        f->changes = 0;
        says(f, "a", true);
        assert_effects(f, "a");
        g_assert_cmpuint(f->advskew, ==, 10);
        g_assert_cmpuint(f->changes, ==, INSTANCE_CHANGE_CHECKS | INSTANCE_CHANGE_DEMOTION);
        says(f, "b", true);
        g_assert_cmpuint(instance_demotion(f->instance), ==, 0);
        assert_state(f, ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
}

static void test_a_backup_is_demoted_without_a_word(Fixture *f, gconstpointer data) {
        says(f, "a", false);
        assert_effects(f, "");
        g_assert_cmpuint(instance_demotion(f->instance), ==, 10);
        win(f);
        g_assert_cmpuint(f->advskew, ==, 10);
}

static void test_checks_stand_as_in_the_configuration(Fixture *f, gconstpointer data) {
        const GPtrArray *checks = instance_checks(f->instance);

        instance_reconfigure(f->instance, make_config(f, "xSab"), f->now_usec);
        says(f, "x", true);
        g_assert_cmpuint(checks->len, ==, 4);
        for (guint k = 0; k < 4; k++)
                g_assert_cmpint(((InstanceCheck *) g_ptr_array_index(checks, k))->name[0], ==, "xSab"[k]);
}

static void test_released_until_the_last_one_passes(Fixture *f, gconstpointer data) {
        win(f);
        says(f, "R", false);
        assert_effects(f, "rb");
        assert_state(f, ELECTION_STATE_BACKUP, ELECTION_REASON_HEALTH);
        g_assert_cmpuint(f->deadline_usec, ==, UINT64_MAX);
        g_assert_cmpint(instance_promote(f->instance, f->now_usec), ==, INSTANCE_VERB_BUSY);
        says(f, "S", false);
        says(f, "R", true);
        g_assert_cmpuint(f->deadline_usec, ==, UINT64_MAX);
        f->now_usec += 100 * SEC;
        says(f, "S", true);
        g_assert_cmpuint(instance_demotion(f->instance), ==, 0);
        win(f);
        assert_state(f, ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
}

static void test_a_reload_ends_what_went(Fixture *f, gconstpointer data) {
        win(f);
        says(f, "a", false);
        says(f, "b", false);
        instance_reconfigure(f->instance, make_config(f, "bRS"), f->now_usec);
        g_assert_cmpuint(instance_demotion(f->instance), ==, 10);
        g_assert_cmpuint(f->advskew, ==, 10);
        assert_state(f, ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
        says(f, "R", false);
        assert_state(f, ELECTION_STATE_BACKUP, ELECTION_REASON_HEALTH);
        instance_reconfigure(f->instance, make_config(f, "S"), f->now_usec);
        g_assert_cmpuint(instance_demotion(f->instance), ==, 0);
        win(f);
}

static void test_a_reload_gives_a_check_another_effect(Fixture *f, gconstpointer data) {
        InstanceConfig *c = make_config(f, "abRS");

        win(f);
        says(f, "a", false);
        ((CheckConfig *) g_ptr_array_index(c->checks, 0))->release = true;
        instance_reconfigure(f->instance, c, f->now_usec);
        assert_state(f, ELECTION_STATE_BACKUP, ELECTION_REASON_HEALTH);
        g_assert_cmpuint(instance_demotion(f->instance), ==, 0);
}

static void test_released_when_the_units_are_down(Fixture *f, gconstpointer data) {
        win(f);
        says(f, "R", false);
        g_assert_true(instance_is_leaving(f->instance));
        assert_effects(f, "");
        instance_on_units_settled(f->instance, false, f->now_usec);
        assert_effects(f, "rb");
        assert_state(f, ELECTION_STATE_BACKUP, ELECTION_REASON_HEALTH);
}

static void test_well_again_while_the_units_stop(Fixture *f, gconstpointer data) {
        win(f);
        says(f, "R", false);
        f->changes = 0;
        says(f, "R", true);
        g_assert_false(instance_is_leaving(f->instance));
        g_assert_cmpuint(f->changes & INSTANCE_CHANGE_UNITS, !=, 0);
        instance_on_units_settled(f->instance, false, f->now_usec);
        assert_effects(f, "");
        assert_state(f, ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
}

/* Who was asked to stay out for an hour stays out for an hour, whatever a check says meanwhile. */
static void test_a_demotion_is_not_forgotten_for_a_check(Fixture *f, gconstpointer data) {
        win(f);
        g_assert_cmpint(instance_demote(f->instance, 3600 * SEC, f->now_usec), ==, INSTANCE_VERB_OK);
        says(f, "R", false);
        says(f, "R", true);
        g_assert_true(instance_is_leaving(f->instance));
        says(f, "R", false);
        instance_on_units_settled(f->instance, false, f->now_usec);
        assert_effects(f, "rb");
        assert_state(f, ELECTION_STATE_BACKUP, ELECTION_REASON_DEMOTED);
        g_assert_cmpuint(f->deadline_usec, ==, UINT64_MAX); /* and the check has its say now */
        says(f, "R", true);
        g_assert_cmpuint(f->deadline_usec, ==, f->now_usec + 3600 * SEC);
}

static void test_a_demotion_while_a_check_releases(Fixture *f, gconstpointer data) {
        win(f);
        says(f, "R", false);
        g_assert_cmpint(instance_demote(f->instance, 3600 * SEC, f->now_usec), ==, INSTANCE_VERB_OK);
        says(f, "R", true);
        g_assert_true(instance_is_leaving(f->instance));
        instance_on_units_settled(f->instance, false, f->now_usec);
        assert_state(f, ELECTION_STATE_BACKUP, ELECTION_REASON_DEMOTED);
        g_assert_cmpuint(f->deadline_usec, ==, f->now_usec + 3600 * SEC);
}

static void test_disabled_and_enabled_while_a_check_releases(Fixture *f, gconstpointer data) {
        win(f);
        instance_set_enabled(f->instance, false, f->now_usec);
        says(f, "R", false);
        instance_set_enabled(f->instance, true, f->now_usec);
        g_assert_true(instance_is_leaving(f->instance)); /* for the check */
        g_assert_true(instance_enabled(f->instance));
        instance_set_enabled(f->instance, false, f->now_usec);
        instance_on_units_settled(f->instance, false, f->now_usec);
        assert_effects(f, "rb");
        assert_state(f, ELECTION_STATE_INIT, ELECTION_REASON_DISABLED);
        instance_set_enabled(f->instance, true, f->now_usec);
        assert_state(f, ELECTION_STATE_BACKUP, ELECTION_REASON_ENABLED);
        g_assert_cmpuint(f->deadline_usec, ==, UINT64_MAX);
        says(f, "R", true);
        win(f);
}

static void test_a_stop_is_not_forgotten_for_a_check(Fixture *f, gconstpointer data) {
        win(f);
        says(f, "R", false);
        instance_stop(f->instance, ELECTION_REASON_SHUTDOWN, true, f->now_usec);
        says(f, "R", true);
        says(f, "S", false);
        g_assert_true(instance_is_leaving(f->instance));
        instance_on_units_settled(f->instance, false, f->now_usec);
        assert_effects(f, "rb");
        assert_state(f, ELECTION_STATE_INIT, ELECTION_REASON_SHUTDOWN);
}

/* It holds nothing yet, so there is nothing to wait for. */
static void test_released_while_the_units_start(Fixture *f, gconstpointer data) {
        timer(f);
        assert_effects(f, "a");
        says(f, "R", false);
        assert_effects(f, "rb");
        instance_on_units_settled(f->instance, true, f->now_usec);
        assert_effects(f, "");
        assert_state(f, ELECTION_STATE_BACKUP, ELECTION_REASON_HEALTH);
}

/* In another process, and in the daemon's order: the role, the checks, the link. */
static void restart(Fixture *f, const char *failing) {
        InstanceMemory memory;

        instance_prepare_handover(f->instance, f->now_usec);
        instance_remember(f->instance, &memory);
        instance_free(f->instance);
        f->now_usec += SEC / 2;
        make_instance(f, make_config(f, "abRS"));
        g_string_truncate(f->effects, 0);
        instance_resume(f->instance, &memory, f->now_usec);
        for (const char *p = "abRS"; *p; p++)
                instance_set_check(f->instance, (char[]) { *p, '\0' }, CHECK_STATE_UNKNOWN, strchr(failing, *p) != NULL, "", f->now_usec);
        assert_effects(f, "");
        link_up(f);
}

static void test_a_restart_forgets_no_demotion(Fixture *f, gconstpointer data) {
        win(f);
        says(f, "a", false);
        says(f, "b", false);
        restart(f, "ab");
        assert_effects(f, "");
        g_assert_cmpuint(instance_demotion(f->instance), ==, 20);
        assert_state(f, ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
        timer(f); /* the addresses are looked after at once */
        timer(f);
        assert_effects(f, "ha");
        g_assert_cmpuint(f->advskew, ==, 20);
        g_assert_cmpuint(f->now_usec, <, 1012 * SEC); /* on the beat */
        g_assert_cmpuint(instance_statistics(f->instance)->send_errors, ==, 0);
}

static void test_a_restart_forgets_no_release(Fixture *f, gconstpointer data) {
        says(f, "R", false);
        f->now_usec += 60 * SEC;
        restart(f, "R");
        assert_effects(f, "");
        assert_state(f, ELECTION_STATE_BACKUP, ELECTION_REASON_STARTUP);
        g_assert_cmpuint(f->deadline_usec, ==, UINT64_MAX);
        says(f, "R", true);
        win(f);
}

/* The check had another effect before. */
static void test_a_restarted_master_leaves_when_it_can_say_so(Fixture *f, gconstpointer data) {
        win(f);
        restart(f, "S");
        assert_effects(f, "rb");
        assert_state(f, ELECTION_STATE_BACKUP, ELECTION_REASON_HEALTH);
}

static void fail_sends(Fixture *f, unsigned n) {
        f->send_error = -ENETDOWN;
        for (unsigned k = 0; k < n; k++)
                timer(f);
}

static void test_three_adverts_in_a_row_that_fail_demote(Fixture *f, gconstpointer data) {
        win(f);
        fail_sends(f, 2);
        f->send_error = 0;
        timer(f);
        fail_sends(f, 2);
        g_assert_cmpuint(instance_demotion(f->instance), ==, 0);
        fail_sends(f, 1);
        g_assert_cmpuint(instance_demotion(f->instance), ==, 240);
        g_assert_cmpuint(f->advskew, ==, 240);
        f->send_error = 0;
        timer(f);
        timer(f);
        fail_sends(f, 1);
        f->send_error = 0;
        timer(f);
        timer(f);
        g_assert_cmpuint(instance_demotion(f->instance), ==, 240);
        f->changes = 0;
        timer(f);
        g_assert_cmpuint(instance_demotion(f->instance), ==, 0);
        g_assert_cmpuint(f->advskew, ==, 0);
        g_assert_cmpuint(f->changes & INSTANCE_CHANGE_DEMOTION, !=, 0);
        assert_state(f, ELECTION_STATE_MASTER, ELECTION_REASON_MASTER_TIMEOUT);
}

static void test_failing_adverts_and_checks_add_up(Fixture *f, gconstpointer data) {
        win(f);
        says(f, "a", false);
        fail_sends(f, 3);
        g_assert_cmpuint(instance_demotion(f->instance), ==, 250);
        g_assert_cmpuint(f->advskew, ==, 240);
        /* a backup sends nothing by which it could show that it can again */
        f->send_error = 0;
        g_assert_cmpint(instance_demote(f->instance, SEC, f->now_usec), ==, INSTANCE_VERB_OK);
        g_assert_cmpuint(instance_demotion(f->instance), ==, 10);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
#define PLAIN(name, function) g_test_add("/instance-checks/" name, Fixture, NULL, set_up, function, fixture_tear_down)
#define UNITS(name, function) g_test_add("/instance-checks/units/" name, Fixture, "", set_up, function, fixture_tear_down)
        PLAIN("weights-add-up", test_weights_add_up_and_are_said_at_once);
        PLAIN("backup-is-demoted", test_a_backup_is_demoted_without_a_word);
        PLAIN("order", test_checks_stand_as_in_the_configuration);
        PLAIN("release", test_released_until_the_last_one_passes);
        PLAIN("reload-removes", test_a_reload_ends_what_went);
        PLAIN("reload-changes", test_a_reload_gives_a_check_another_effect);
        UNITS("release", test_released_when_the_units_are_down);
        UNITS("well-again", test_well_again_while_the_units_stop);
        UNITS("demotion-is-not-forgotten", test_a_demotion_is_not_forgotten_for_a_check);
        UNITS("demotion-meanwhile", test_a_demotion_while_a_check_releases);
        UNITS("disabled-and-enabled", test_disabled_and_enabled_while_a_check_releases);
        UNITS("stop-is-not-forgotten", test_a_stop_is_not_forgotten_for_a_check);
        UNITS("release-while-units-start", test_released_while_the_units_start);
        PLAIN("restart-demoted", test_a_restart_forgets_no_demotion);
        PLAIN("restart-released", test_a_restart_forgets_no_release);
        PLAIN("restart-and-leave", test_a_restarted_master_leaves_when_it_can_say_so);
        PLAIN("three-adverts-fail", test_three_adverts_in_a_row_that_fail_demote);
        PLAIN("everything-adds-up", test_failing_adverts_and_checks_add_up);
        return g_test_run();
}
