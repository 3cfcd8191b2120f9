/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "targets.h"

#include <errno.h>

#include "util/cleanup.h"
#include "util/log.h"
#include "util/message-ids.h"

/* Units that hang on a role, without a systemd: what is said when they fail, and how often. What systemd does with them is tested where one
 * runs. */

static unsigned n_lines, n_results, n_requests;

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
        return false;
}

void manager_on_unit_result(Manager *m, const char *name, const char *unit, const char *result) {
        n_results++;
}

void manager_on_units_settled(Manager *m, const char *name, bool up) {
}

static int request(void *userdata, const char *name, UnitsRole role) {
        n_requests++;
        return 0;
}

static GPtrArray *pending(void *userdata, const char *name) {
        return g_ptr_array_new();
}

static void forget(void *userdata, const char *name) {
}

static const UnitOps ops = { .request = request, .pending = pending, .forget = forget };

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

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/targets/a-unit-that-fails-without-end-costs-few-lines", test_a_unit_that_fails_without_end_costs_few_lines);
        g_test_add_func("/targets/who-comes-to-the-bus-after-us-is-asked-then", test_who_comes_to_the_bus_after_us_is_asked_then);
        return g_test_run();
}
