/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deadlines: each rings when it has come, in order, once; all that are due in one pass; and who may ring early does so in company only. */
#include <dlfcn.h>
#include <glib.h>
#include <sys/eventfd.h>

#include "util/alarms.h"
#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/time-util.h"

#define N_ALARMS 200
#define SOON_USEC (5 * USEC_PER_MSEC)
#define NEVER_USEC (3600 * USEC_PER_SEC)

typedef struct Fixture {
        sd_event *event;
        Alarms *alarms;
        GString *trace;
        unsigned n_passes;
        Alarm end;
} Fixture;

typedef struct Bell {
        Fixture *fixture;
        Alarm alarm;
        uint64_t rung_usec;
        unsigned n_rung;
        char letter;
        Alarm *other; /* cleared, and rung later again, when this one rings */
} Bell;

static void on_end(void *userdata, uint64_t now_usec) {
        (void) sd_event_exit(((Fixture *) userdata)->event, 0);
}

static void on_pass(void *userdata) {
        ((Fixture *) userdata)->n_passes++;
}

static void set_up(Fixture *f, gconstpointer data) {
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(alarms_new(&f->alarms, f->event), ==, 0);
        alarms_observe(f->alarms, ALARM_LANE_TIMER, on_pass, NULL, f);
        alarm_init(&f->end, f->alarms, ALARM_LANE_NEIGHBOUR, on_end, f);
        f->trace = g_string_new(NULL);
}

static void tear_down(Fixture *f, gconstpointer data) {
        alarms_free(f->alarms);
        sd_event_unref(f->event);
        g_string_free(f->trace, true);
}

static void on_bell(void *userdata, uint64_t now_usec) {
        Bell *b = userdata;

        b->rung_usec = now_usec;
        b->n_rung++;
        g_string_append_c(b->fixture->trace, b->letter);
        if (b->other) {
                alarm_clear(b->other);
                b->other = NULL;
        }
}

static void init(Fixture *f, Bell *b, char letter) {
        *b = (Bell) { .fixture = f, .letter = letter };
        alarm_init(&b->alarm, f->alarms, ALARM_LANE_TIMER, on_bell, b);
}

static void run(Fixture *f, uint64_t end_usec) {
        alarm_set(&f->end, end_usec, end_usec);
        g_assert_cmpint(alarms_loop(f->alarms), ==, 0);
}

static void test_each_rings_when_it_has_come(Fixture *f, gconstpointer data) {
        g_autofree Bell *bells = g_new0(Bell, N_ALARMS);
        uint64_t begin_usec = clock_usec(), due_usec[N_ALARMS];
        bool rings[N_ALARMS];

        for (int k = 0; k < N_ALARMS; k++) {
                init(f, &bells[k], 'x');
                due_usec[k] = begin_usec + (uint64_t) g_test_rand_int_range(0, 20000);
                alarm_set(&bells[k].alarm, due_usec[k], due_usec[k]);
        }
        /* moved both ways, and taken back */
        for (int k = 0; k < N_ALARMS; k++) {
                rings[k] = g_test_rand_int_range(0, 4) > 0;
                if (g_test_rand_bit()) {
                        due_usec[k] = begin_usec + (uint64_t) g_test_rand_int_range(0, 20000);
                        alarm_set(&bells[k].alarm, due_usec[k], due_usec[k]);
                }
                if (!rings[k])
                        alarm_clear(&bells[k].alarm);
                g_assert_true(alarm_is_set(&bells[k].alarm) == rings[k]);
        }
        run(f, begin_usec + 20001);
        for (int k = 0; k < N_ALARMS; k++) {
                g_assert_cmpuint(bells[k].n_rung, ==, rings[k]);
                g_assert_false(alarm_is_set(&bells[k].alarm));
                if (rings[k])
                        g_assert_cmpuint(bells[k].rung_usec, >=, due_usec[k]);
                /* and not after one that was due later */
                for (int o = 0; rings[k] && o < N_ALARMS; o++)
                        if (rings[o] && due_usec[o] > due_usec[k])
                                g_assert_cmpuint(bells[o].rung_usec, >=, bells[k].rung_usec);
        }
}

static void test_what_is_due_together_rings_in_one_pass(Fixture *f, gconstpointer data) {
        uint64_t usec = clock_usec() + SOON_USEC;
        Bell bells[3];

        for (int k = 0; k < 3; k++) {
                init(f, &bells[k], (char) ('a' + k));
                alarm_set(&bells[k].alarm, usec, usec);
        }
        run(f, usec + 1);
        g_assert_cmpuint(f->trace->len, ==, 3);
        g_assert_cmpuint(f->n_passes, ==, 1);
        g_assert_cmpuint(bells[0].rung_usec, ==, bells[2].rung_usec);
}

static void test_early_in_company_only(Fixture *f, gconstpointer data) {
        uint64_t usec = clock_usec() + SOON_USEC;
        Bell due, early, patient, far;

        init(f, &due, 'd');
        init(f, &early, 'e');
        init(f, &patient, 'p');
        init(f, &far, 'f');
        alarm_set(&due.alarm, usec, usec);
        alarm_set(&early.alarm, usec + 15 * USEC_PER_MSEC, usec);
        alarm_set(&patient.alarm, usec + NEVER_USEC, usec + NEVER_USEC);
        alarm_set(&far.alarm, usec + NEVER_USEC, usec); /* asks for more than anybody gets */
        run(f, usec + 1);
        g_assert_cmpstr(f->trace->str, ==, "de");
        g_assert_cmpuint(f->n_passes, ==, 1);
        g_assert_true(alarm_is_set(&patient.alarm) && alarm_is_set(&far.alarm));

        /* alone, he waits */
        sd_event_unref(f->event);
        alarm_clear(&patient.alarm);
        alarm_clear(&far.alarm);
        alarms_free(f->alarms);
        g_string_truncate(f->trace, 0);
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(alarms_new(&f->alarms, f->event), ==, 0);
        alarm_init(&f->end, f->alarms, ALARM_LANE_NEIGHBOUR, on_end, f);
        init(f, &early, 'e');
        usec = clock_usec() + SOON_USEC;
        alarm_set(&early.alarm, usec, usec - SOON_USEC);
        run(f, usec + 1);
        g_assert_cmpuint(early.rung_usec, >=, usec);
}

static void test_cleared_by_another_of_the_same_pass(Fixture *f, gconstpointer data) {
        uint64_t usec = clock_usec();
        Bell first, second;

        init(f, &first, '1');
        init(f, &second, '2');
        first.other = &second.alarm;
        alarm_set(&first.alarm, usec - 2, usec - 2);
        alarm_set(&second.alarm, usec - 1, usec - 1);
        run(f, usec + SOON_USEC);
        g_assert_cmpstr(f->trace->str, ==, "1");
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        g_string_append_c(((Fixture *) userdata)->trace, 'r');
        (void) sd_event_source_set_enabled(s, SD_EVENT_OFF);
        return 0;
}

/* Something to read, which stays so. Return: what the caller closes. */
static int add_readable(const Fixture *f, sd_event_source **source, sd_event_io_handler_t callback, void *userdata) {
        int fd = eventfd(1, EFD_CLOEXEC);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(sd_event_add_io(f->event, source, fd, EPOLLIN, callback, userdata), >=, 0);
        g_assert_cmpint(sd_event_source_set_priority(*source, EVENT_PRIORITY_RECEIVE), >=, 0);
        return fd;
}

static int on_later(sd_event_source *s, void *userdata) {
        g_string_append_c(((Fixture *) userdata)->trace, 'l');
        return 0;
}

static void test_rings_in_its_place_among_what_is_ready(Fixture *f, gconstpointer data) {
        g_autoptr(sd_event_source) source = NULL, later = NULL;
        g_auto(AutoFd) fd = -1;
        uint64_t usec = clock_usec();
        Bell bell;

        fd = add_readable(f, &source, on_readable, f);
        g_assert_cmpint(sd_event_add_defer(f->event, &later, on_later, f), >=, 0);
        g_assert_cmpint(sd_event_source_set_priority(later, EVENT_PRIORITY_NETLINK), >=, 0);
        init(f, &bell, 't');
        alarm_set(&bell.alarm, usec - 1, usec - 1);
        run(f, usec);
        g_assert_cmpstr(f->trace->str, ==, "rtl");
}

typedef struct Reader {
        Fixture *fixture;
        uint64_t read_usec; /* when it was first called */
} Reader;

static int on_letter(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Reader *r = userdata;

        (void) sd_event_now(r->fixture->event, CLOCK_BOOTTIME, &r->read_usec);
        return sd_event_source_set_enabled(s, SD_EVENT_OFF);
}

/* What is ready meanwhile is dispatched afterwards; and an alarm cuts it short. */
static void test_lingers_until_an_alarm_is_due(Fixture *f, gconstpointer data) {
        g_autoptr(sd_event_source) source = NULL;
        g_auto(AutoFd) fd = -1;
        Reader reader = { .fixture = f };
        uint64_t begin_usec;
        Bell bell;

        fd = add_readable(f, &source, on_letter, &reader);
        begin_usec = clock_usec();
        alarms_linger(f->alarms, SOON_USEC);
        run(f, begin_usec + 2 * SOON_USEC);
        g_assert_cmpuint(reader.read_usec, >=, begin_usec + SOON_USEC);

        tear_down(f, NULL);
        set_up(f, NULL);
        init(f, &bell, 'b');
        begin_usec = clock_usec();
        alarm_set(&bell.alarm, begin_usec + SOON_USEC, begin_usec + SOON_USEC);
        alarms_linger(f->alarms, NEVER_USEC);
        run(f, begin_usec + SOON_USEC);
        g_assert_cmpuint(bell.rung_usec, >=, begin_usec + SOON_USEC);
}

/* Instead of the library's, for those who are linked here: how long the loop would wait, which nobody has to. */
static uint64_t *waited_usec;

int sd_event_wait(sd_event *e, uint64_t usec) {
        static int (*library)(sd_event *e, uint64_t usec);

        if (!library)
                *(void **) &library = dlsym(RTLD_NEXT, "sd_event_wait");
        if (!waited_usec)
                return library(e, usec);
        *waited_usec = usec;
        (void) sd_event_exit(e, 0);
        return library(e, 0);
}

static uint64_t wait_for(Fixture *f, uint64_t usec, uint64_t early_usec) {
        uint64_t waited = 0, now_usec = clock_usec();
        Bell bell;

        init(f, &bell, 'b');
        alarm_set(&bell.alarm, now_usec + usec, now_usec + usec - early_usec);
        waited_usec = &waited;
        g_assert_cmpint(alarms_loop(f->alarms), ==, 0);
        waited_usec = NULL;
        alarm_clear(&bell.alarm);
        tear_down(f, NULL);
        set_up(f, NULL);
        return waited;
}

/* The kernel would let it be late: a thousandth of a long wait, and as of a process that is nice a two hundredth. */
static void test_who_must_not_be_late_is_waited_for_twice(Fixture *f, gconstpointer data) {
        uint64_t usec = 3 * USEC_PER_SEC, exact = wait_for(f, usec, 0), tolerant = wait_for(f, usec, USEC_PER_MSEC);

        g_assert_cmpuint(exact + exact / 200, <, usec);
        g_assert_cmpuint(exact, >, usec * 9 / 10);
        /* woken but once */
        g_assert_cmpuint(tolerant, >, usec - usec / 1000);
        /* nor is a short one rounded up to milliseconds, or woken for long before */
        usec = 12 * USEC_PER_MSEC + 500;
        exact = wait_for(f, usec, 0);
        g_assert_cmpuint((exact + USEC_PER_MSEC - 1) / USEC_PER_MSEC * USEC_PER_MSEC, <, usec);
        g_assert_cmpuint(exact, >, usec - 2 * USEC_PER_MSEC);
}

/* How late, the best of many, as the machine may be busy. */
static uint64_t late_usec(Fixture *f, uint64_t usec, uint64_t early_usec) {
        uint64_t best_usec = UINT64_MAX;

        for (int k = 0; k < 100; k++) {
                uint64_t due_usec = clock_usec() + usec;
                Bell bell;

                init(f, &bell, 'b');
                alarm_set(&bell.alarm, due_usec, due_usec - early_usec);
                run(f, due_usec + early_usec);
                g_assert_cmpuint(bell.rung_usec, >=, due_usec);
                best_usec = MIN(best_usec, bell.rung_usec - due_usec);
                tear_down(f, NULL);
                set_up(f, NULL);
        }
        return best_usec;
}

/* Rounded up to a millisecond, each would be late by three quarters of it. */
static void test_the_last_of_a_wait_is_exact(Fixture *f, gconstpointer data) {
        g_assert_cmpuint(late_usec(f, 250, 0), <, 500);
        g_assert_cmpuint(late_usec(f, 3 * USEC_PER_MSEC + 250, 50), <, 500);
}

/* What comes meanwhile is not kept waiting for it. */
static void test_the_last_of_a_wait_ends_when_something_is_ready(Fixture *f, gconstpointer data) {
        uint64_t best_usec = UINT64_MAX;

        for (int k = 0; k < 100; k++) {
                g_autoptr(sd_event_source) source = NULL;
                g_auto(AutoFd) fd = -1;
                Reader reader = { .fixture = f };
                uint64_t begin_usec = clock_usec();

                fd = add_readable(f, &source, on_letter, &reader);
                run(f, begin_usec + 1900);
                best_usec = MIN(best_usec, reader.read_usec - begin_usec);
                sd_event_source_disable_unref(g_steal_pointer(&source));
                tear_down(f, NULL);
                set_up(f, NULL);
        }
        g_assert_cmpuint(best_usec, <, 1000);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add("/alarms/" name, Fixture, NULL, set_up, function, tear_down)
        ADD("each-rings-when-it-has-come", test_each_rings_when_it_has_come);
        ADD("what-is-due-together-rings-in-one-pass", test_what_is_due_together_rings_in_one_pass);
        ADD("early-in-company-only", test_early_in_company_only);
        ADD("cleared-by-another-of-the-same-pass", test_cleared_by_another_of_the_same_pass);
        ADD("rings-in-its-place-among-what-is-ready", test_rings_in_its_place_among_what_is_ready);
        ADD("lingers-until-an-alarm-is-due", test_lingers_until_an_alarm_is_due);
        ADD("who-must-not-be-late-is-waited-for-twice", test_who_must_not_be_late_is_waited_for_twice);
        ADD("the-last-of-a-wait-is-exact", test_the_last_of_a_wait_is_exact);
        ADD("the-last-of-a-wait-ends-when-something-is-ready", test_the_last_of_a_wait_ends_when_something_is_ready);
        return g_test_run();
}
