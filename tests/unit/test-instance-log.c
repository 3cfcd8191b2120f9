/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance-log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "util/log.h"
#include "util/message-ids.h"
#include "util/time-util.h"

/* What is said of a real instance when things happen to it: which event, how often, with which fields. The kernel below it and the log
 * above it are this test's. */

#define SEC UINT64_C(1000000)

typedef struct Line {
        int level, error;
        char *id, *text, *state, *previous, *reason, *instance, *peer, *mac, *cause;
} Line;

typedef struct Fixture {
        Instance *instance;
        InstanceLog log;
        uint64_t now_usec, deadline_usec;
        int send_error, hold_error;
        GPtrArray *lines;
} Fixture;

static Fixture *current; /* log_write() has no user data */

static const char *field(const LogField *fields, const char *name) {
        for (const LogField *f = fields; f->name; f++)
                if (g_str_equal(f->name, name))
                        return f->value;
        return NULL;
}

void log_write(int level, const char *message_id, const LogField *fields, int errno_value, const char *file, int line,
               const char *function, const char *format, ...) {
        Line *l = g_new0(Line, 1);
        va_list ap;

        va_start(ap, format);
        errno = errno_value;
        l->text = g_strdup_vprintf(format, ap);
        va_end(ap);
        l->level = level;
        l->error = errno_value;
        l->id = g_strdup(message_id);
        l->state = g_strdup(field(fields, "VIPD_STATE"));
        l->previous = g_strdup(field(fields, "VIPD_PREVIOUS_STATE"));
        l->reason = g_strdup(field(fields, "VIPD_REASON"));
        l->instance = g_strdup(field(fields, "VIPD_INSTANCE"));
        l->peer = g_strdup(field(fields, "VIPD_PEER"));
        l->mac = g_strdup(field(fields, "VIPD_MAC"));
        l->cause = g_strdup(field(fields, "VIPD_CAUSE"));
        g_ptr_array_add(current->lines, l);
}

static void line_free(void *data) {
        Line *l = data;

        g_free(l->id);
        g_free(l->text);
        g_free(l->state);
        g_free(l->previous);
        g_free(l->reason);
        g_free(l->instance);
        g_free(l->peer);
        g_free(l->mac);
        g_free(l->cause);
        g_free(l);
}

static int op_send(void *userdata, const uint8_t ipv4[CARP_PAYLOAD_BYTES], const uint8_t ipv6[CARP_PAYLOAD_BYTES], uint64_t until_usec, bool at_once) {
        return ((Fixture *) userdata)->send_error;
}

static int op_hold(void *userdata) {
        return ((Fixture *) userdata)->hold_error;
}

static int op_renew(void *userdata, uint64_t until_usec) {
        return op_hold(userdata);
}

static void op_release(void *userdata) {
}

static void op_announce(void *userdata, uint64_t until_usec) {
}

static void op_arm(void *userdata, uint64_t deadline_usec, uint64_t early_usec) {
        ((Fixture *) userdata)->deadline_usec = deadline_usec;
}

static uint64_t op_now(void *userdata) {
        return ((Fixture *) userdata)->now_usec;
}

static const InstanceOps ops = {
        .send = op_send,
        .hold = op_hold,
        .renew = op_renew,
        .release = op_release,
        .announce = op_announce,
        .arm = op_arm,
        .now = op_now,
};

static void on_changed(void *userdata, Instance *i, unsigned changes, const InstanceTransition *transition) {
        Fixture *f = userdata;

        if (transition)
                instance_log_transition(&f->log, i, transition, f->now_usec);
}

static void on_noticed(void *userdata, Instance *i, InstanceNotice notice, int error) {
        Fixture *f = userdata;

        instance_log_notice(&f->log, i, notice, error, f->now_usec);
}

static void set_up(Fixture *f, gconstpointer data) {
        const IpAddress source = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } }, none = { .family = AF_UNSPEC };
        const InstanceObserver observer = { .changed = on_changed, .noticed = on_noticed, .userdata = f };
        InstanceConfig *c = instance_config_new_default("web");

        current = f;
        f->lines = g_ptr_array_new_with_free_func(line_free);
        f->now_usec = 100 * SEC;
        c->addresses = g_new0(IpPrefix, 1);
        c->n_addresses = 1;
        g_assert_cmpint(ip_prefix_parse("192.0.2.10", c->addresses), ==, 0);
        (void) g_strlcpy(c->interface, "eth0", sizeof(c->interface));
        c->carp.vhid = 7;
        c->carp.key[0] = 'k';
        c->carp.n_key_bytes = 1;
        f->instance = instance_new(c, &ops, f, &observer, 1);
        instance_set_link(f->instance, ELECTION_REASON_LINK_UP, &source, &none, f->now_usec);
}

static void tear_down(Fixture *f, gconstpointer data) {
        instance_free(f->instance);
        instance_log_done(&f->log);
        g_ptr_array_unref(f->lines);
}

static void timer(Fixture *f) {
        f->now_usec = f->deadline_usec;
        instance_on_timer(f->instance, f->now_usec);
}

static void become_master(Fixture *f) {
        timer(f);
        g_assert_cmpint(instance_state(f->instance), ==, ELECTION_STATE_MASTER);
        g_ptr_array_set_size(f->lines, 0);
}

static const Line *line(const Fixture *f, guint k) {
        g_assert_cmpuint(k, <, f->lines->len);
        return g_ptr_array_index(f->lines, k);
}

static guint n_lines(const Fixture *f, const char *id) {
        guint n = 0;

        for (guint k = 0; k < f->lines->len; k++)
                n += g_strcmp0(line(f, k)->id, id) == 0;
        return n;
}

static void test_a_role_change_is_one_line_with_its_fields(Fixture *f, gconstpointer data) {
        g_ptr_array_set_size(f->lines, 0);
        timer(f);
        g_assert_cmpuint(f->lines->len, ==, 1);
        g_assert_cmpint(line(f, 0)->level, ==, LOG_NOTICE);
        g_assert_cmpstr(line(f, 0)->id, ==, MESSAGE_ID_STATE_CHANGE_STR);
        g_assert_cmpstr(line(f, 0)->text, ==, "web: backup -> master (master-timeout)");
        g_assert_cmpstr(line(f, 0)->instance, ==, "web");
        g_assert_cmpstr(line(f, 0)->previous, ==, "backup");
        g_assert_cmpstr(line(f, 0)->state, ==, "master");
        g_assert_cmpstr(line(f, 0)->reason, ==, "master-timeout");
}

static void test_a_stall_is_explained(Fixture *f, gconstpointer data) {
        become_master(f);
        f->now_usec += 60 * SEC;
        instance_on_timer(f->instance, f->now_usec);
        g_assert_cmpuint(f->lines->len, ==, 2);
        g_assert_cmpstr(line(f, 0)->id, ==, MESSAGE_ID_STATE_CHANGE_STR);
        g_assert_cmpstr(line(f, 1)->id, ==, MESSAGE_ID_STALLED_STR);
        g_assert_cmpint(line(f, 1)->level, ==, LOG_WARNING);
        g_assert_cmpstr(line(f, 1)->reason, ==, "stalled");
}

static void test_a_removed_address_is_told_once_until_a_reload(Fixture *f, gconstpointer data) {
        become_master(f);
        for (unsigned k = 0; k < 5; k++)
                instance_on_address_missing(f->instance, f->now_usec);
        g_assert_cmpuint(f->lines->len, ==, 1);
        g_assert_cmpstr(line(f, 0)->id, ==, MESSAGE_ID_ADDRESS_RESTORED_STR);
        g_assert_cmpint(line(f, 0)->level, ==, LOG_WARNING);
        instance_log_reloaded(&f->log);
        for (unsigned k = 0; k < 5; k++)
                instance_on_address_missing(f->instance, f->now_usec);
        g_assert_cmpuint(f->lines->len, ==, 2);
        g_assert_cmpuint(instance_statistics(f->instance)->addresses_restored, ==, 10);
}

static void test_a_refused_address_is_told_with_the_error(Fixture *f, gconstpointer data) {
        f->hold_error = -EPERM;
        g_ptr_array_set_size(f->lines, 0);
        timer(f);
        g_assert_cmpuint(n_lines(f, MESSAGE_ID_ADDRESS_NOT_HELD_STR), ==, 1);
        g_assert_cmpstr(line(f, 0)->id, ==, MESSAGE_ID_ADDRESS_NOT_HELD_STR);
        g_assert_cmpint(line(f, 0)->level, ==, LOG_ERR);
        g_assert_cmpint(line(f, 0)->error, ==, EPERM);
        g_assert_nonnull(strstr(line(f, 0)->text, g_strerror(EPERM)));
}

static void test_a_lease_that_cannot_be_renewed_is_told(Fixture *f, gconstpointer data) {
        become_master(f);
        f->hold_error = -ENOBUFS;
        while (instance_state(f->instance) == ELECTION_STATE_MASTER)
                timer(f);
        g_assert_cmpuint(n_lines(f, MESSAGE_ID_ADDRESS_NOT_HELD_STR), ==, 1);
}

static void test_adverts_that_cannot_be_sent_are_told(Fixture *f, gconstpointer data) {
        become_master(f);
        f->send_error = -ENOBUFS;
        while (f->lines->len == 0)
                timer(f);
        g_assert_cmpuint(f->lines->len, ==, 1);
        g_assert_cmpstr(line(f, 0)->id, ==, MESSAGE_ID_SEND_FAILED_STR);
        g_assert_cmpint(line(f, 0)->level, ==, LOG_WARNING);
        g_assert_cmpint(line(f, 0)->error, ==, ENOBUFS);
        while (instance_state(f->instance) == ELECTION_STATE_MASTER)
                timer(f);
        g_assert_cmpstr(line(f, f->lines->len - 1)->reason, ==, "send-failed");
}

/* Not by the name of an error, which is no error of the kernel's, but by what happened. */
static void test_an_advert_that_was_too_late_is_told(Fixture *f, gconstpointer data) {
        unsigned long long msec = 0;

        g_ptr_array_set_size(f->lines, 0);
        instance_log_notice(&f->log, f->instance, INSTANCE_NOTICE_SEND_FAILED, -ETIME, clock_usec() - 3 * SEC / 2);
        g_assert_cmpstr(line(f, 0)->id, ==, MESSAGE_ID_SEND_FAILED_STR);
        g_assert_null(strstr(line(f, 0)->text, g_strerror(ETIME)));
        g_assert_cmpint(sscanf(line(f, 0)->text, "web: an advert was not sent on eth0, as it was too late for it: stood still for %llu ms, suspended", &msec),
                        ==, 1);
        g_assert_cmpuint(msec, >=, 1500);
        g_assert_cmpuint(msec, <, 30000);
}

static void test_a_flood_of_one_kind_is_bounded_and_counted(Fixture *f, gconstpointer data) {
        for (unsigned k = 0; k < 1000; k++)
                instance_log_notice(&f->log, f->instance, INSTANCE_NOTICE_SEND_FAILED, -EIO, f->now_usec + k);
        g_assert_cmpuint(n_lines(f, MESSAGE_ID_SEND_FAILED_STR), ==, 3);
        /* another kind has its own limit */
        instance_log_notice(&f->log, f->instance, INSTANCE_NOTICE_ADDRESS_NOT_HELD, -EIO, f->now_usec);
        g_assert_cmpuint(n_lines(f, MESSAGE_ID_ADDRESS_NOT_HELD_STR), ==, 1);
        instance_log_notice(&f->log, f->instance, INSTANCE_NOTICE_SEND_FAILED, -EIO, f->now_usec + 61 * SEC);
        g_assert_true(g_str_has_suffix(line(f, f->lines->len - 1)->text, " (997 more not told)"));
}

static void test_a_fight_over_the_role_is_bounded_and_counted(Fixture *f, gconstpointer data) {
        const InstanceTransition t = { .from = ELECTION_STATE_MASTER, .to = ELECTION_STATE_BACKUP, .reason = ELECTION_REASON_PREEMPTED };

        g_ptr_array_set_size(f->lines, 0);
        for (unsigned k = 0; k < 1000; k++)
                instance_log_transition(&f->log, f->instance, &t, f->now_usec + k);
        g_assert_cmpuint(f->lines->len, >=, 50);
        g_assert_cmpuint(f->lines->len, <=, 100);
        instance_log_transition(&f->log, f->instance, &t, f->now_usec + 11 * SEC);
        g_assert_true(g_str_has_suffix(line(f, f->lines->len - 1)->text, " more not told)"));
}

static void test_a_conflict_is_told_with_the_mac_and_so_is_its_end(Fixture *f, gconstpointer data) {
        become_master(f);
        instance_set_conflict(f->instance, "192.0.2.10 is also claimed by 02:00:00:00:00:09 on eth0", "02:00:00:00:00:09");
        g_assert_cmpuint(f->lines->len, ==, 1);
        g_assert_cmpstr(line(f, 0)->id, ==, MESSAGE_ID_CONFLICT_STR);
        g_assert_cmpint(line(f, 0)->level, ==, LOG_WARNING);
        g_assert_cmpstr(line(f, 0)->mac, ==, "02:00:00:00:00:09");
        g_assert_true(g_str_has_prefix(line(f, 0)->text, "web: 192.0.2.10 is also claimed by 02:00:00:00:00:09 on eth0, who is no peer"));
        instance_set_conflict(f->instance, "192.0.2.10 is also claimed by 02:00:00:00:00:09 on eth0", "02:00:00:00:00:09");
        g_assert_cmpuint(f->lines->len, ==, 1);
        instance_set_conflict(f->instance, "", "");
        g_assert_cmpuint(f->lines->len, ==, 2);
        g_assert_cmpint(line(f, 1)->level, ==, LOG_INFO);
        g_assert_cmpstr(line(f, 1)->mac, ==, NULL);
}

static void test_conflicts_that_come_and_go_are_bounded(Fixture *f, gconstpointer data) {
        become_master(f);
        for (unsigned k = 0; k < 1000; k++)
                instance_set_conflict(f->instance, k % 2 == 0 ? "192.0.2.10 is also claimed" : "", "");
        g_assert_cmpuint(f->lines->len, ==, 6);
}

static void test_a_host_that_does_not_fit_is_told_with_its_fields(Fixture *f, gconstpointer data) {
        Diagnosis d = { .cause = DIAGNOSIS_VRRP, .mac = "02:00:00:00:00:03", .text = "192.0.2.3 (02:00:00:00:00:03) speaks VRRP" };

        g_assert_cmpint(ip_address_parse("192.0.2.3", &d.source), ==, 0);
        g_ptr_array_set_size(f->lines, 0);
        for (unsigned k = 0; k < 1000; k++)
                instance_log_diagnosis(&f->log, f->instance, &d, f->now_usec + k);
        g_assert_cmpuint(f->lines->len, ==, 4);
        g_assert_cmpint(line(f, 0)->level, ==, LOG_WARNING);
        g_assert_cmpstr(line(f, 0)->id, ==, MESSAGE_ID_MISFIT_STR);
        g_assert_cmpstr(line(f, 0)->text, ==, "web: 192.0.2.3 (02:00:00:00:00:03) speaks VRRP");
        g_assert_cmpstr(line(f, 0)->peer, ==, "192.0.2.3");
        g_assert_cmpstr(line(f, 0)->mac, ==, "02:00:00:00:00:03");
        g_assert_cmpstr(line(f, 0)->cause, ==, "vrrp");
        /* another cause has its own limit */
        d.cause = DIAGNOSIS_TTL;
        instance_log_diagnosis(&f->log, f->instance, &d, f->now_usec);
        g_assert_cmpuint(f->lines->len, ==, 5);
}

/* The instance has one more check from now on. */
static void configure_check(const Fixture *f, const char *name, bool release) {
        CheckConfig *c = check_config_new_default(name);

        c->release = release;
        g_ptr_array_add(instance_config(f->instance)->checks, c);
}

/* As the manager does it. */
static void hear(Fixture *f, const char *name, CheckState state, bool failed, const char *output) {
        InstanceCheck before = { 0 };

        for (guint k = 0; k < instance_checks(f->instance)->len; k++) {
                const InstanceCheck *known = g_ptr_array_index(instance_checks(f->instance), k);

                if (g_str_equal(known->name, name))
                        before = (InstanceCheck) { .name = known->name, .state = known->state, .failed = known->failed };
        }
        instance_set_check(f->instance, name, state, failed, output, f->now_usec);
        instance_log_check(&f->log, f->instance, name, &before, f->now_usec);
}

static void test_a_check_that_fails_is_told_with_what_it_adds_up_to(Fixture *f, gconstpointer data) {
        configure_check(f, "page", false);
        become_master(f);
        hear(f, "page", CHECK_STATE_UNKNOWN, false, "");
        hear(f, "page", CHECK_STATE_PASSING, false, "200 OK");
        g_assert_cmpuint(f->lines->len, ==, 0);
        hear(f, "page", CHECK_STATE_FAILING, true, "status 503");
        g_assert_cmpstr(line(f, 0)->text, ==, "web: check page fails: status 503; demotion is 100");
        g_assert_cmpstr(line(f, 0)->id, ==, MESSAGE_ID_CHECK_FAILED_STR);
        hear(f, "page", CHECK_STATE_PASSING, false, "200 OK");
        g_assert_cmpstr(line(f, 1)->text, ==, "web: check page passes: 200 OK; demotion is 0");
        g_assert_cmpuint(f->lines->len, ==, 2);
}

static void test_a_check_that_releases_says_nothing_of_demotion(Fixture *f, gconstpointer data) {
        configure_check(f, "port", true);
        become_master(f);
        hear(f, "port", CHECK_STATE_UNKNOWN, false, "");
        hear(f, "port", CHECK_STATE_FAILING, true, "connection refused");
        g_assert_cmpuint(f->lines->len, ==, 2);
        g_assert_cmpstr(line(f, 0)->text, ==, "web: master -> backup (health), as check port fails");
        g_assert_cmpstr(line(f, 1)->text, ==, "web: check port fails: connection refused");
}

static void test_a_verdict_that_was_told_is_told_again_only_when_it_changes(Fixture *f, gconstpointer data) {
        configure_check(f, "page", false);
        become_master(f);
        /* the first answer of a process that knows nothing */
        hear(f, "page", CHECK_STATE_UNKNOWN, true, "");
        hear(f, "page", CHECK_STATE_FAILING, true, "status 503");
        g_assert_cmpuint(n_lines(f, MESSAGE_ID_CHECK_FAILED_STR), ==, 1);
        /* its prober was started again */
        hear(f, "page", CHECK_STATE_UNKNOWN, true, "");
        hear(f, "page", CHECK_STATE_FAILING, true, "status 503");
        g_assert_cmpuint(n_lines(f, MESSAGE_ID_CHECK_FAILED_STR), ==, 1);
        hear(f, "page", CHECK_STATE_PASSING, false, "200 OK");
        hear(f, "page", CHECK_STATE_FAILING, true, "status 503");
        g_assert_cmpuint(n_lines(f, MESSAGE_ID_CHECK_FAILED_STR), ==, 2);
}

static void test_a_verdict_that_was_handed_over_is_no_news(Fixture *f, gconstpointer data) {
        configure_check(f, "page", false);
        become_master(f);
        hear(f, "page", CHECK_STATE_UNKNOWN, true, "");
        instance_log_check_known(&f->log, "page");
        hear(f, "page", CHECK_STATE_FAILING, true, "status 503");
        g_assert_cmpuint(f->lines->len, ==, 0);
        hear(f, "page", CHECK_STATE_PASSING, false, "200 OK");
        g_assert_cmpuint(n_lines(f, MESSAGE_ID_CHECK_PASSED_STR), ==, 1);
}

static void test_a_role_that_went_to_a_better_host_names_the_check_that_fails(Fixture *f, gconstpointer data) {
        const InstanceTransition t = { .from = ELECTION_STATE_MASTER, .to = ELECTION_STATE_BACKUP, .reason = ELECTION_REASON_PREEMPTED };

        configure_check(f, "page", false);
        become_master(f);
        instance_log_transition(&f->log, f->instance, &t, f->now_usec);
        hear(f, "page", CHECK_STATE_FAILING, true, "status 503");
        instance_log_transition(&f->log, f->instance, &t, f->now_usec);
        g_assert_cmpuint(f->lines->len, ==, 3);
        g_assert_cmpstr(line(f, 0)->text, ==, "web: master -> backup (preempted)");
        g_assert_cmpstr(line(f, 2)->text, ==, "web: master -> backup (preempted), while check page fails");
}

#define ADD(name) g_test_add("/instance-log/" #name, Fixture, NULL, set_up, test_##name, tear_down)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        ADD(a_role_change_is_one_line_with_its_fields);
        ADD(a_stall_is_explained);
        ADD(a_removed_address_is_told_once_until_a_reload);
        ADD(a_refused_address_is_told_with_the_error);
        ADD(a_lease_that_cannot_be_renewed_is_told);
        ADD(adverts_that_cannot_be_sent_are_told);
        ADD(an_advert_that_was_too_late_is_told);
        ADD(a_flood_of_one_kind_is_bounded_and_counted);
        ADD(a_fight_over_the_role_is_bounded_and_counted);
        ADD(a_conflict_is_told_with_the_mac_and_so_is_its_end);
        ADD(conflicts_that_come_and_go_are_bounded);
        ADD(a_host_that_does_not_fit_is_told_with_its_fields);
        ADD(a_check_that_fails_is_told_with_what_it_adds_up_to);
        ADD(a_check_that_releases_says_nothing_of_demotion);
        ADD(a_verdict_that_was_told_is_told_again_only_when_it_changes);
        ADD(a_verdict_that_was_handed_over_is_no_news);
        ADD(a_role_that_went_to_a_better_host_names_the_check_that_fails);
        return g_test_run();
}
