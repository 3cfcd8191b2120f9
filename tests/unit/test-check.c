/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "check/checker.h"
#include "check/checks.h"
#include "check/judge.h"
#include "util/log.h"

/* How samples become verdicts, what is believed of a report, and who is sampled when. Where a process is needed, a program of this test's that says
 * nothing stands in for vipd-checker. */

#define SEC UINT64_C(1000000)
#define PATIENCE (7 * SEC)

/* samples: + good, - bad. verdicts: after each, as it counts: p(assed) or f(ailed). */
static void assert_verdicts(Judge *j, const char *samples, const char *verdicts) {
        g_assert_cmpuint(strlen(samples), ==, strlen(verdicts));
        for (size_t k = 0; samples[k]; k++) {
                bool before = j->failed, was_unknown = j->state == CHECK_STATE_UNKNOWN, changed = judge_sample(j, samples[k] == '+');

                g_assert_cmpint(j->failed ? 'f' : 'p', ==, verdicts[k]);
                g_assert_cmpint(j->state, ==, j->failed ? CHECK_STATE_FAILING : CHECK_STATE_PASSING);
                g_assert_cmpint(changed, ==, before != j->failed || was_unknown);
        }
}

static Judge make_judge(bool decided, bool failed) {
        Judge j;

        judge_init(&j, decided, failed, SEC);
        judge_configure(&j, 2, 3, PATIENCE);
        return j;
}

static void test_the_first_sample_decides(void) {
        Judge good = make_judge(false, false), bad = good;

        g_assert_cmpint(good.state, ==, CHECK_STATE_UNKNOWN);
        g_assert_true(good.failed);
        assert_verdicts(&good, "+--", "ppp");
        assert_verdicts(&bad, "-+-+", "ffff");
}

static void test_rise_and_fall_count_in_a_row(void) {
        Judge j = make_judge(false, false);

        assert_verdicts(&j, "+--+--+---+-++", "pppppppppffffp");
        assert_verdicts(&j, "---", "ppf");
}

static void test_a_verdict_from_before_goes_on(void) {
        Judge good = make_judge(true, false), bad = make_judge(true, true);

        g_assert_cmpint(good.state, ==, CHECK_STATE_UNKNOWN);
        g_assert_false(good.failed);
        g_assert_true(bad.failed);
        assert_verdicts(&good, "---", "ppf");
        assert_verdicts(&bad, "++", "fp");
}

static void test_silence_keeps_the_verdict_for_a_while(void) {
        Judge j = make_judge(false, false);

        assert_verdicts(&j, "+", "p");
        g_assert_cmpuint(judge_deadline_usec(&j), ==, JUDGE_NEVER);
        g_assert_true(judge_silence(&j, 10 * SEC));
        g_assert_cmpint(j.state, ==, CHECK_STATE_UNKNOWN);
        g_assert_false(j.failed);
        /* silence that goes on is no new silence */
        g_assert_false(judge_silence(&j, 16 * SEC));
        g_assert_cmpuint(judge_deadline_usec(&j), ==, 10 * SEC + PATIENCE);
        g_assert_false(judge_expire(&j, 10 * SEC + PATIENCE - 1));
        g_assert_true(judge_expire(&j, 10 * SEC + PATIENCE));
        g_assert_true(j.failed);
        g_assert_cmpint(j.state, ==, CHECK_STATE_UNKNOWN);
        g_assert_false(judge_expire(&j, 100 * SEC));
        /* and is a verdict to rise from */
        assert_verdicts(&j, "++", "fp");
}

static void test_an_answer_ends_the_silence(void) {
        Judge j = make_judge(false, false);

        assert_verdicts(&j, "+--", "ppp");
        g_assert_true(judge_silence(&j, 10 * SEC));
        /* what was heard before is not in a row with what is heard now */
        assert_verdicts(&j, "--", "pp");
        g_assert_cmpuint(judge_deadline_usec(&j), ==, JUDGE_NEVER);
        g_assert_true(judge_silence(&j, 30 * SEC));
        g_assert_cmpuint(judge_deadline_usec(&j), ==, 30 * SEC + PATIENCE);
}

static void test_what_was_trusted_and_never_heard_expires(void) {
        Judge good = make_judge(true, false), fresh = make_judge(false, false);

        g_assert_cmpuint(judge_deadline_usec(&good), ==, SEC + PATIENCE);
        g_assert_true(judge_expire(&good, SEC + PATIENCE));
        g_assert_true(good.failed);
        g_assert_cmpuint(judge_deadline_usec(&fresh), ==, JUDGE_NEVER);
}

static void test_what_settles(void) {
        Judge j = make_judge(false, false);

        g_assert_false(judge_is_settled(&j, true));
        g_assert_false(judge_is_settled(&j, false));
        assert_verdicts(&j, "+", "p");
        g_assert_true(judge_is_settled(&j, true));
        g_assert_false(judge_is_settled(&j, false));
        assert_verdicts(&j, "-", "p");
        g_assert_false(judge_is_settled(&j, false));
        (void) judge_silence(&j, 10 * SEC);
        g_assert_false(judge_is_settled(&j, true));
}

static void test_endless_times_do_not_overflow(void) {
        Judge j = make_judge(true, false);

        judge_configure(&j, 2, 3, UINT64_MAX - 1);
        g_assert_cmpuint(judge_deadline_usec(&j), ==, JUDGE_NEVER);
        g_assert_false(judge_expire(&j, UINT64_MAX - 1));
}

static void assert_report(const char *said, size_t n_bytes, const char *expected) {
        CheckerReport r = { .probe = 2, .outcome = CHECKER_OUTCOME_BAD };
        char text[CHECKER_TEXT_BYTES_MAX + 1];
        uint32_t probe = 9;
        bool good = true;

        memcpy(r.text, said, n_bytes);
        g_assert_true(checker_parse_report(&r, CHECKER_REPORT_BYTES_MIN + n_bytes, 3, &probe, &good, text));
        g_assert_cmpuint(probe, ==, 2);
        g_assert_false(good);
        g_assert_cmpstr(text, ==, expected);
}

static void test_a_report_is_one_line_of_text(void) {
        char all[CHECKER_TEXT_BYTES_MAX];
        g_autoptr(GString) expected = g_string_new("x");

        assert_report("", 0, "");
        assert_report("200 OK", 6, "200 OK");
        assert_report("a\nb\tc\x7f" "d\xc2\x85" "e", 10, "a b c d e");
        assert_report("a\0b", 3, "a\xef\xbf\xbd" "b");
        assert_report("\xffx", 2, "\xef\xbf\xbdx");
        assert_report("cut \xe2\x82", 6, "cut \xef\xbf\xbd\xef\xbf\xbd");
        /* what is replaced grows, and the whole stays short, and ends with a whole character */
        memset(all, '\xff', sizeof(all));
        all[0] = 'x';
        while (expected->len + 3 <= CHECKER_TEXT_BYTES_MAX)
                g_string_append(expected, "\xef\xbf\xbd");
        assert_report(all, sizeof(all), expected->str);
}

static void test_what_is_no_report(void) {
        const CheckerReport unknown = { .probe = 3 }, odd = { .outcome = 2 }, right = { .outcome = CHECKER_OUTCOME_GOOD };
        char text[CHECKER_TEXT_BYTES_MAX + 1];
        uint32_t probe;
        bool good = false;

        g_assert_false(checker_parse_report(&unknown, sizeof(unknown), 3, &probe, &good, text));
        g_assert_false(checker_parse_report(&odd, sizeof(odd), 3, &probe, &good, text));
        g_assert_false(checker_parse_report(&right, CHECKER_REPORT_BYTES_MIN - 1, 3, &probe, &good, text));
        g_assert_false(checker_parse_report(&right, sizeof(right) + 1, 3, &probe, &good, text));
        g_assert_false(checker_parse_report(&right, CHECKER_REPORT_BYTES_MIN, 0, &probe, &good, text));
        g_assert_true(checker_parse_report(&right, CHECKER_REPORT_BYTES_MIN, 1, &probe, &good, text));
        g_assert_true(good);
}

/* All checks, and what was last said of the one named "c" of each instance. */
typedef struct Fixture {
        sd_event *event;
        Checks *checks;
        GString *told; /* of every report: instance, state's first letter, F if it counts as failed */
        char *output;
        char *directory, *program;
} Fixture;

static void on_report(void *userdata, const char *instance, const char *check, CheckState state, bool failed, const char *output) {
        Fixture *f = userdata;

        g_string_append_printf(f->told, "%s:%c%s ", instance, check_state_to_string(state)[0], failed ? "F" : "");
        g_free(f->output);
        f->output = g_strdup(output);
}

static void write_program(const Fixture *f, const char *script) {
        g_assert_true(g_file_set_contents(f->program, script, -1, NULL));
        g_assert_cmpint(g_chmod(f->program, 0700), ==, 0);
}

static void set_up(Fixture *f, gconstpointer data) {
        log_open("test-check", LOG_TARGET_NONE, LOG_DAEMON);
        f->told = g_string_new(NULL);
        f->directory = g_dir_make_tmp("vipd-test-check-XXXXXX", NULL);
        f->program = g_build_filename(f->directory, "checker", NULL);
        write_program(f, "#!/bin/sh\nexec tail --pid=$PPID -f /dev/null >/dev/null 2>&1\n");
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(checks_new(&f->checks, f->event, f->program, on_report, f), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data) {
        checks_free(f->checks);
        sd_event_unref(f->event);
        g_string_free(f->told, true);
        g_free(f->output);
        (void) unlink(f->program);
        (void) rmdir(f->directory);
        g_free(f->program);
        g_free(f->directory);
}

/* One check of a unit, or of something to be probed. */
static GPtrArray *configs_of(const char *name, CheckType type, const char *unit, uint64_t interval_usec) {
        g_autoptr(InstanceConfig) of = instance_config_new_default("web");
        CheckConfig *c = check_config_new_default(name);

        c->type = type;
        if (type == CHECK_TYPE_UNIT)
                c->unit = g_strdup(unit);
        else
                c->address = g_strdup("127.0.0.1:9");
        c->interval_usec = interval_usec;
        c->timeout_usec = SEC / 100;
        c->rise = 2;
        c->fall = 3;
        g_ptr_array_add(of->checks, c);
        return g_ptr_array_ref(of->checks);
}

static void set_unit_check(Fixture *f, const char *instance, const char *name, const char *unit, uint64_t interval_usec) {
        g_autoptr(GPtrArray) configs = configs_of(name, CHECK_TYPE_UNIT, unit, interval_usec);

        checks_set(f->checks, instance, configs, false, NULL);
        checks_commit(f->checks);
}

static void assert_told(Fixture *f, const char *expected) {
        g_assert_cmpstr(f->told->str, ==, expected);
        g_string_truncate(f->told, 0);
}

/* Runs the loop until something is said, and the process has been started so often. */
static void await(Fixture *f, size_t n_told, uint64_t n_starts) {
        for (gint64 end = g_get_monotonic_time() + 30 * G_TIME_SPAN_SECOND; f->told->len < n_told || checks_n_checker_starts(f->checks) < n_starts;) {
                g_assert_cmpint(g_get_monotonic_time(), <, end);
                g_assert_cmpint(sd_event_run(f->event, SEC), >=, 0);
        }
}

static void await_word(Fixture *f) {
        await(f, 1, 0);
}

static void await_start(Fixture *f, uint64_t number) {
        await(f, 0, number);
}

static void test_a_unit_that_restarts_quickly_is_away_once(Fixture *f, gconstpointer data) {
        set_unit_check(f, "web", "c", "a.service", 1000 * SEC);
        assert_told(f, "web:uF ");
        checks_on_unit(f->checks, "a.service", "active");
        assert_told(f, "web:p ");
        for (unsigned k = 0; k < 5; k++) {
                checks_on_unit(f->checks, "a.service", "deactivating");
                checks_on_unit(f->checks, "a.service", "inactive");
                checks_on_unit(f->checks, "a.service", "failed");
                checks_on_unit(f->checks, "a.service", "activating");
                g_assert_cmpstr(f->output, ==, "activating");
                checks_on_unit(f->checks, "a.service", "active");
                assert_told(f, "web:p web:p web:p web:p web:p ");
        }
        checks_on_unit(f->checks, "a.service", "reloading");
        assert_told(f, "web:p ");
        checks_on_unit(f->checks, "b.service", "failed");
        assert_told(f, "");
}

static void test_a_unit_that_is_away_is_sampled_until_it_falls(Fixture *f, gconstpointer data) {
        ChecksStatistics s;

        set_unit_check(f, "web", "c", "a.service", SEC / 20);
        checks_on_unit(f->checks, "a.service", "active");
        checks_on_unit(f->checks, "a.service", "failed");
        assert_told(f, "web:uF web:p web:p ");
        await_word(f);
        assert_told(f, "web:fF ");
        checks_statistics(f->checks, "web", &s);
        g_assert_cmpuint(s.good, ==, 1);
        g_assert_cmpuint(s.bad, ==, 3);
        g_assert_cmpuint(s.changes, ==, 2);
        checks_on_unit(f->checks, "a.service", "active");
        assert_told(f, "web:fF ");
        await_word(f);
        assert_told(f, "web:p ");
        /* and then no more: nothing is due */
        g_assert_cmpint(sd_event_run(f->event, SEC / 2), ==, 0);
        checks_statistics(f->checks, "web", &s);
        g_assert_cmpuint(s.good, ==, 3);
}

static void test_nobody_says_what_a_unit_does(Fixture *f, gconstpointer data) {
        set_unit_check(f, "web", "c", "a.service", SEC / 20);
        checks_on_unit(f->checks, "a.service", "active");
        checks_on_unit(f->checks, "a.service", NULL);
        assert_told(f, "web:uF web:p web:u ");
        await_word(f);
        assert_told(f, "web:uF ");
        checks_on_unit(f->checks, "a.service", "active");
        assert_told(f, "web:fF ");
        await_word(f);
        assert_told(f, "web:p ");
}

/* Whoever tells of units does so when they change. Whom a reload brings is not to wait for that. */
static void test_who_is_new_hears_what_others_know(Fixture *f, gconstpointer data) {
        set_unit_check(f, "web", "c", "a.service", 1000 * SEC);
        checks_on_unit(f->checks, "a.service", "active");
        assert_told(f, "web:uF web:p ");
        set_unit_check(f, "mail", "c", "a.service", 1000 * SEC);
        assert_told(f, "mail:uF mail:p ");
        set_unit_check(f, "web", "another-name", "a.service", 1000 * SEC);
        assert_told(f, "web:uF web:p ");
        /* an instance that is made anew */
        checks_set(f->checks, "mail", NULL, false, NULL);
        set_unit_check(f, "mail", "c", "a.service", 1000 * SEC);
        assert_told(f, "mail:uF mail:p ");
        /* but not what nobody followed meanwhile */
        checks_set(f->checks, "mail", NULL, false, NULL);
        checks_set(f->checks, "web", NULL, false, NULL);
        checks_commit(f->checks);
        set_unit_check(f, "web", "c", "a.service", 1000 * SEC);
        assert_told(f, "web:uF ");
}

static void test_a_check_of_another_unit_keeps_its_verdict_for_a_while(Fixture *f, gconstpointer data) {
        set_unit_check(f, "web", "c", "a.service", 1000 * SEC);
        checks_on_unit(f->checks, "a.service", "active");
        set_unit_check(f, "web", "c", "b.service", SEC / 20);
        assert_told(f, "web:uF web:p web:u ");
        checks_on_unit(f->checks, "a.service", "failed");
        assert_told(f, "");
        await_word(f);
        assert_told(f, "web:uF ");
}

static void set_probe(Fixture *f, const char *instance, uint64_t interval_usec) {
        g_autoptr(GPtrArray) configs = interval_usec > 0 ? configs_of("c", CHECK_TYPE_TCP, NULL, interval_usec) : NULL;

        checks_set(f->checks, instance, configs, true, NULL);
}

/* Renamed to the process that probes it means nothing, but it may not fall silent for the new name either. */
static void test_a_mute_checker_is_replaced_whoever_asks_for_its_probes(Fixture *f, gconstpointer data) {
        set_probe(f, "web", SEC);
        checks_commit(f->checks);
        g_assert_cmpuint(checks_n_checker_starts(f->checks), ==, 1);
        set_probe(f, "web", 0);
        set_probe(f, "www", SEC);
        checks_commit(f->checks);
        g_assert_cmpuint(checks_n_checker_starts(f->checks), ==, 1);
        await_start(f, 2);
}

/* One that dies as often as it is started is started again so often that patience does not end over it. */
static void test_a_checker_that_dies_is_not_away_for_long(Fixture *f, gconstpointer data) {
        uint64_t began;

        write_program(f, "#!/bin/sh\nexit 3\n");
        set_probe(f, "web", SEC);
        checks_commit(f->checks);
        await_start(f, 9);
        began = (uint64_t) g_get_monotonic_time();
        await_start(f, 11);
        g_assert_cmpuint((uint64_t) g_get_monotonic_time() - began, <, 8 * SEC);
}

int main(int argc, char **argv) {
        sigset_t mask;

        g_test_init(&argc, &argv, NULL);
        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        g_test_add_func("/judge/first-sample-decides", test_the_first_sample_decides);
        g_test_add_func("/judge/rise-and-fall", test_rise_and_fall_count_in_a_row);
        g_test_add_func("/judge/verdict-from-before", test_a_verdict_from_before_goes_on);
        g_test_add_func("/judge/silence", test_silence_keeps_the_verdict_for_a_while);
        g_test_add_func("/judge/answer", test_an_answer_ends_the_silence);
        g_test_add_func("/judge/trusted", test_what_was_trusted_and_never_heard_expires);
        g_test_add_func("/judge/settled", test_what_settles);
        g_test_add_func("/judge/no-overflow", test_endless_times_do_not_overflow);
        g_test_add_func("/report/one-line", test_a_report_is_one_line_of_text);
        g_test_add_func("/report/none", test_what_is_no_report);
#define CHECKS(name, function) g_test_add("/checks/" name, Fixture, NULL, set_up, function, tear_down)
        CHECKS("restarting-unit", test_a_unit_that_restarts_quickly_is_away_once);
        CHECKS("unit-away", test_a_unit_that_is_away_is_sampled_until_it_falls);
        CHECKS("unit-unknown", test_nobody_says_what_a_unit_does);
        CHECKS("unit-known-to-others", test_who_is_new_hears_what_others_know);
        CHECKS("another-unit", test_a_check_of_another_unit_keeps_its_verdict_for_a_while);
        CHECKS("mute-checker", test_a_mute_checker_is_replaced_whoever_asks_for_its_probes);
        CHECKS("dying-checker", test_a_checker_that_dies_is_not_away_for_long);
        return g_test_run();
}
