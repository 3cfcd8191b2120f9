/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "targets.h"

#include <errno.h>

#include "util/cleanup.h"
#include "util/log.h"
#include "util/message-ids.h"

/* Units that hang on a role, without a systemd: what is said when they fail, and how often. What systemd does with them is tested where one
 * runs. */

static unsigned n_lines, n_followed, n_results, n_requests, n_up, n_down;
static int connection;      /* what a request returns */
static bool leaving;
static const char *hanging; /* the unit whose job is not over */
static void (*on_result)(void);

void log_write(int level, const char *message_id, const LogField *fields, int errno_value, const char *file, int line,
               const char *function, const char *format, ...) {
        n_lines += g_strcmp0(message_id, MESSAGE_ID_UNIT_FAILED_STR) == 0;
}

struct Instance {
        InstanceConfig config;
};

const InstanceConfig *instance_config(const Instance *i) {
        return &i->config;
}

ElectionState instance_state(const Instance *i) {
        return ELECTION_STATE_MASTER;
}

bool instance_is_leaving(const Instance *i) {
        return leaving;
}

void manager_on_unit_result(Manager *m, const char *name, const char *unit, const char *result) {
        n_results++;
        if (on_result)
                on_result();
}

void manager_on_units_settled(Manager *m, const char *name, bool up) {
        n_up += up;
        n_down += !up;
}

static int request(void *userdata, const char *name, UnitsRole role) {
        n_requests += connection >= 0;
        return connection;
}

static GPtrArray *pending(void *userdata, const char *name) {
        GPtrArray *units = g_ptr_array_new_with_free_func(g_free);

        if (hanging)
                g_ptr_array_add(units, g_strdup(hanging));
        return units;
}

static void forget(void *userdata, const char *name) {
}

static void follow(void *userdata, const char *name, UnitsRole role) {
        n_followed++;
}

static const UnitOps ops = { .request = request, .follow = follow, .pending = pending, .forget = forget };

static void test_a_unit_that_fails_without_end_costs_few_lines(void) {
        Instance i = { .config = { .name = (char *) "web", .takeover.unit_timeout_usec = 1000000 } };
        g_autoptr(sd_event) event = NULL;
        g_autoptr(Targets) t = NULL;

        g_assert_cmpint(sd_event_new(&event), >=, 0);
        g_assert_cmpint(targets_new(&t, event, NULL, &ops, NULL), >=, 0);
        targets_instance_changed(t, &i);
        for (unsigned k = 0; k < 1000; k++)
                targets_unit_observer.job(t, "web", "hook.service", "failed");
        /* the instance hears of each, the log of some */
        g_assert_cmpuint(n_results, ==, 1000);
        g_assert_cmpuint(n_lines, >=, 1);
        g_assert_cmpuint(n_lines, <=, 20);
}

static void answer(Targets *t, int error, unsigned n_expected) {
        targets_unit_observer.accepted(t, "web", error);
        g_assert_cmpuint(n_requests, ==, n_expected);
}

static void test_who_comes_to_the_bus_after_us_is_asked_then(void) {
        Instance i = { .config = { .name = (char *) "web", .takeover.unit_timeout_usec = 1000000 } };
        g_autoptr(sd_event) event = NULL;
        g_autoptr(Targets) t = NULL;
        UnitsRole told;

        n_requests = 0;
        g_assert_cmpint(sd_event_new(&event), >=, 0);
        g_assert_cmpint(targets_new(&t, event, NULL, &ops, NULL), >=, 0);
        targets_instance_changed(t, &i);
        answer(t, -EHOSTUNREACH, 1);
        /* not there is not asked again and again, and is not waited for */
        targets_instance_changed(t, &i);
        g_assert_cmpuint(n_requests, ==, 1);
        targets_unit_observer.connected(t);
        g_assert_cmpuint(n_requests, ==, 2);
        answer(t, 0, 2);
        targets_unit_observer.settled(t, "web");
        g_assert_true(targets_told(t, "web", &told));
        g_assert_cmpint(told, ==, UNITS_ROLE_MASTER);
        /* who was told is not told again */
        targets_unit_observer.connected(t);
        g_assert_cmpuint(n_requests, ==, 2);
}

typedef struct Fixture {
        Instance instance;
        sd_event *event;
        Targets *targets;
} Fixture;

/* A master, which systemd was told. */
static void set_up(Fixture *f, gconstpointer timeout_usec) {
        f->instance = (Instance) { .config = { .name = (char *) "web",
                                               .takeover.unit_timeout_usec = *(const uint64_t *) timeout_usec } };
        n_requests = n_results = n_up = n_down = 0;
        leaving = false;
        connection = 0;
        hanging = NULL;
        on_result = NULL;
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(targets_new(&f->targets, f->event, NULL, &ops, NULL), >=, 0);
        targets_instance_changed(f->targets, &f->instance);
        answer(f->targets, 0, 1);
}

static void tear_down(Fixture *f, gconstpointer timeout_usec) {
        targets_free(f->targets);
        sd_event_unref(f->event);
}

static void leave(Fixture *f, bool yes) {
        leaving = yes;
        targets_instance_changed(f->targets, &f->instance);
}

static void run_until(Fixture *f, const unsigned *counter) {
        while (*counter == 0)
                g_assert_cmpint(sd_event_run(f->event, 10000000), >, 0);
}

/* A request that waits for its turn leaves the jobs of the one before to their end. */
static void test_the_end_of_former_jobs_settles_no_later_wish(Fixture *f, gconstpointer timeout_usec) {
        leave(f, true);
        g_assert_cmpuint(n_requests, ==, 2);
        targets_unit_observer.settled(f->targets, "web");
        g_assert_cmpuint(n_up + n_down, ==, 0);
        answer(f->targets, 0, 2);
        targets_unit_observer.settled(f->targets, "web");
        g_assert_cmpuint(n_up, ==, 0);
        g_assert_cmpuint(n_down, ==, 1);
}

static void test_a_wish_that_is_fulfilled_already_is_not_waited_for(Fixture *f, gconstpointer timeout_usec) {
        targets_unit_observer.settled(f->targets, "web");
        g_assert_cmpuint(n_up, ==, 1);
        n_up = 0;
        connection = -ENOTCONN;
        leave(f, true);
        leave(f, false);
        g_assert_cmpuint(n_requests, ==, 1);
        run_until(f, &n_up);
        g_assert_cmpuint(n_down, ==, 0);
}

static void test_jobs_that_ended_while_the_bus_was_gone_are_not_waited_for(Fixture *f, gconstpointer timeout_usec) {
        targets_unit_observer.connected(f->targets);
        answer(f->targets, 0, 2);
        targets_unit_observer.settled(f->targets, "web");
        g_assert_cmpuint(n_up, ==, 1);
}

/* By our own bus library, which has no memory: nobody tells when that is over. */
static void test_what_could_not_be_asked_is_asked_again(Fixture *f, gconstpointer timeout_usec) {
        targets_unit_observer.settled(f->targets, "web");
        connection = -ENOMEM;
        leave(f, true);
        g_assert_cmpuint(n_requests, ==, 1);
        connection = 0;
        n_requests = 0;
        run_until(f, &n_requests);
        answer(f->targets, 0, 1);
        targets_unit_observer.settled(f->targets, "web");
        g_assert_cmpuint(n_down, ==, 1);
}

static Fixture *fixture;

static void on_hanging_unit(void) {
        on_result = NULL;
        leave(fixture, true);
}

/* As OnUnitFailure=demote does. */
static void test_who_leaves_as_units_hang_waits_for_their_end_anew(Fixture *f, gconstpointer timeout_usec) {
        fixture = f;
        hanging = "hook.service";
        on_result = on_hanging_unit;
        run_until(f, &n_results);
        g_assert_cmpuint(n_requests, ==, 2);
        g_assert_cmpuint(n_up + n_down, ==, 0);
        answer(f->targets, 0, 2);
        run_until(f, &n_down);
        g_assert_cmpuint(n_up, ==, 0);
}

static void test_what_a_restart_carries_over_is_followed_and_not_asked_for(void) {
        Instance i = { .config = { .name = (char *) "web", .takeover.unit_timeout_usec = 1000000 } };
        g_autoptr(sd_event) event = NULL;
        g_autoptr(Targets) t = NULL;

        n_requests = n_followed = 0;
        g_assert_cmpint(sd_event_new(&event), >=, 0);
        g_assert_cmpint(targets_new(&t, event, NULL, &ops, NULL), >=, 0);
        targets_resume(t, "web", UNITS_ROLE_MASTER);
        targets_instance_changed(t, &i);
        targets_unit_observer.connected(t);
        g_assert_cmpuint(n_requests, ==, 0);
        g_assert_cmpuint(n_followed, ==, 1);
}

/* The administrator mends the rule, and restarts us. */
static void test_who_was_refused_asks_again_after_a_restart(Fixture *f, gconstpointer timeout_usec) {
        UnitsRole told;

        targets_unit_observer.connected(f->targets);
        answer(f->targets, -EACCES, 2);
        g_assert_false(targets_told(f->targets, "web", &told));
        /* nor has systemd been told that was not there */
        targets_free(f->targets);
        g_assert_cmpint(targets_new(&f->targets, f->event, NULL, &ops, NULL), >=, 0);
        targets_instance_changed(f->targets, &f->instance);
        answer(f->targets, -EHOSTUNREACH, 3);
        g_assert_false(targets_told(f->targets, "web", &told));
}

int main(int argc, char **argv) {
        static const uint64_t a_moment_usec = 1000, a_minute_usec = 60000000;

        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/targets/a-unit-that-fails-without-end-costs-few-lines", test_a_unit_that_fails_without_end_costs_few_lines);
        g_test_add_func("/targets/who-comes-to-the-bus-after-us-is-asked-then", test_who_comes_to_the_bus_after_us_is_asked_then);
        g_test_add_func("/targets/what-a-restart-carries-over-is-followed", test_what_a_restart_carries_over_is_followed_and_not_asked_for);
#define ADD(name, timeout_usec, function) g_test_add("/targets/" name, Fixture, &timeout_usec, set_up, function, tear_down)
        ADD("the-end-of-former-jobs-settles-no-later-wish", a_minute_usec, test_the_end_of_former_jobs_settles_no_later_wish);
        ADD("what-could-not-be-asked-is-asked-again", a_minute_usec, test_what_could_not_be_asked_is_asked_again);
        ADD("a-wish-that-is-fulfilled-already", a_minute_usec, test_a_wish_that_is_fulfilled_already_is_not_waited_for);
        ADD("jobs-that-ended-unheard", a_minute_usec, test_jobs_that_ended_while_the_bus_was_gone_are_not_waited_for);
        ADD("who-leaves-as-units-hang", a_moment_usec, test_who_leaves_as_units_hang_waits_for_their_end_anew);
        ADD("who-was-refused-asks-again-after-a-restart", a_minute_usec, test_who_was_refused_asks_again_after_a_restart);
        return g_test_run();
}
