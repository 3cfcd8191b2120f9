/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persist-writer.h"
#include "persist.h"
#include "replay-state.h"
#include "util/cleanup.h"
#include "util/log.h"

/* What outlives the process: in a real directory, by real children. */

typedef struct Fixture {
        sd_event *event;
        char *directory, *file;
        Persist *persist;
        bool done;
        ReplayState found;
        unsigned n_found;
        bool save_found; /* as a daemon does */
} Fixture;

static void on_found(void *userdata, const char *name, const ReplayState *state) {
        Fixture *f = userdata;

        g_assert_cmpstr(name, ==, "web");
        f->found = *state;
        f->n_found++;
        if (f->save_found)
                persist_save_replay(f->persist, "web", state, false);
}

static void set_up(Fixture *f, gconstpointer data) {
        f->directory = g_dir_make_tmp("vipd-persist-XXXXXX", NULL);
        f->file = g_build_filename(f->directory, "web.replay", NULL);
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(persist_new(&f->persist, f->event, f->directory, on_found, f), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data) {
        g_autoptr(GDir) dir = NULL;
        const char *name;

        persist_free(f->persist);
        (void) chmod(f->directory, 0700);
        dir = g_dir_open(f->directory, 0, NULL);
        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(f->directory, name, NULL);

                g_assert_cmpint(g_remove(path), ==, 0);
        }
        g_assert_cmpint(g_rmdir(f->directory), ==, 0);
        sd_event_unref(f->event);
        g_free(f->directory);
        g_free(f->file);
}

static void on_done(void *userdata) {
        *(bool *) userdata = true;
}

static void drain(Fixture *f) {
        f->done = false;
        persist_drain(f->persist, 20 * UINT64_C(1000000), on_done, &f->done);
        while (!f->done)
                g_assert_cmpint(sd_event_run(f->event, UINT64_MAX), >=, 0);
}

static void on_error(void *userdata, int error) {
        *(int *) userdata = error;
}

static int await(Fixture *f, int *error) {
        while (*error > 0)
                g_assert_cmpint(sd_event_run(f->event, UINT64_MAX), >=, 0);
        return *error;
}

static ReplayState state_of(uint64_t next, uint64_t highest) {
        return (ReplayState) {
                .next = next,
                .peers = { { .source = { .n_bytes = 4, .bytes = { 192, 0, 2, 2 } }, .highest = highest },
                           { .source = { .n_bytes = 16, .bytes = { 0x20, 1, 0xd, 0xb8, [15] = 2 } }, .highest = highest + 1 } },
                .n_peers = 2,
        };
}

static void assert_holds(const Fixture *f, const char *text) {
        g_autofree char *found = NULL;
        struct stat st;

        g_assert_true(g_file_get_contents(f->file, &found, NULL, NULL));
        g_assert_cmpstr(found, ==, text);
        g_assert_cmpint(lstat(f->file, &st), ==, 0);
        g_assert_cmpuint(st.st_mode, ==, S_IFREG | 0600);
}

/* The next life of the daemon. */
static ReplayState load_anew(const Fixture *f) {
        Persist *p = NULL;
        ReplayState s;

        g_assert_cmpint(persist_new(&p, f->event, f->directory, NULL, NULL), ==, 0);
        persist_load_replay(p, "web", &s);
        persist_free(p);
        return s;
}

/* What no clock would give. */
#define NEXT (UINT64_C(1) << 39)

static void test_numbers_are_reserved_until_nothing_more_is_sent(Fixture *f, gconstpointer data) {
        ReplayState s = state_of(NEXT, 7);

        persist_save_replay(f->persist, "web", &s, false);
        drain(f);
        assert_holds(f, "vipd-replay 1\nnext 549756862464\npeer 192.0.2.2 7\npeer 2001:db8::2 8\nend\n");
        g_assert_cmpuint(load_anew(f).next, ==, NEXT + PERSIST_SEQUENCE_STEP);
        /* a run of any length: what is reserved is always ahead of it */
        s.next += PERSIST_SEQUENCE_STEP / 2;
        persist_save_replay(f->persist, "web", &s, false);
        drain(f);
        g_assert_cmpuint(load_anew(f).next, ==, s.next + PERSIST_SEQUENCE_STEP);
        persist_save_replay(f->persist, "web", &s, true);
        drain(f);
        g_assert_cmpuint(load_anew(f).next, ==, s.next);
}

static void test_what_was_heard_is_known_in_the_next_life(Fixture *f, gconstpointer data) {
        ReplayState s = state_of(1, 500), loaded;

        persist_save_replay(f->persist, "web", &s, true);
        drain(f);
        loaded = load_anew(f);
        g_assert_cmpuint(loaded.n_peers, ==, 2);
        g_assert_cmpmem(&loaded.peers[1].source, sizeof(ElectionAddress), &s.peers[1].source, sizeof(ElectionAddress));
        g_assert_cmpuint(loaded.peers[0].highest, ==, 500);
        g_assert_cmpuint(loaded.peers[1].highest, ==, 501);
}

/* Lost, or put back from an old copy: by the clock above what was used before. */
static void test_without_a_file_or_with_an_old_one_the_numbers_go_on_above(Fixture *f, gconstpointer data) {
        uint64_t before = (uint64_t) g_get_real_time() / 1000000;
        ReplayState s = load_anew(f), old = state_of(1000, 7);

        g_assert_cmpuint(s.n_peers, ==, 0);
        g_assert_cmpuint(s.next, >=, before << 8);
        g_assert_cmpuint(s.next, <=, REPLAY_SEQUENCE_MAX);
        persist_save_replay(f->persist, "web", &old, true);
        drain(f);
        g_assert_cmpuint(load_anew(f).next, >=, before << 8);
}

static void test_an_instance_made_again_knows_what_is_not_written_yet(Fixture *f, gconstpointer data) {
        ReplayState s = state_of(1, 500), loaded;
        int error = 1;

        persist_save_replay(f->persist, "web", &s, true);
        persist_load_replay(f->persist, "web", &loaded);
        g_assert_cmpuint(loaded.peers[0].highest, ==, 500);
        persist_set_disabled(f->persist, "web", true, on_error, &error);
        g_assert_true(persist_is_disabled(f->persist, "web"));
        g_assert_cmpint(await(f, &error), ==, 0);
}

static void put_file(const Fixture *f, const ReplayState *s) {
        g_autofree char *text = replay_state_format(s);

        g_assert_true(g_file_set_contents(f->file, text, -1, NULL));
}

/* Saved, then another file is put in its place, then saved again. */
static void save_around_a_file(Fixture *f, ReplayState ours, const ReplayState *theirs) {
        persist_save_replay(f->persist, "web", &ours, false);
        drain(f);
        put_file(f, theirs);
        ours.next++;
        persist_save_replay(f->persist, "web", &ours, false);
        drain(f);
}

/* The directory that we began with was not the one that is there now: whatever was kept in this one is true as well. */
static void test_a_file_that_came_later_only_rises(Fixture *f, gconstpointer data) {
        ReplayState ours = state_of(NEXT, 500), theirs = state_of(2 * NEXT - 1, 400), s;

        /* one of them known to both, one to each */
        theirs.peers[1].source.bytes[15] = 3;
        save_around_a_file(f, ours, &theirs);
        s = load_anew(f);
        g_assert_cmpuint(s.next, ==, 2 * NEXT - 1);
        g_assert_cmpuint(s.n_peers, ==, 3);
        g_assert_cmpuint(s.peers[0].highest, ==, 500);
        g_assert_cmpuint(s.peers[1].highest, ==, 501);
        g_assert_cmpuint(s.peers[2].highest, ==, 401);
        g_assert_cmpuint(f->n_found, ==, 1);
        g_assert_cmpuint(f->found.next, ==, 2 * NEXT - 1);
        /* once */
        persist_load_replay(f->persist, "web", &s);
        g_assert_cmpuint(s.n_peers, ==, 3);
        s.next = 2 * NEXT - 1;
        persist_save_replay(f->persist, "web", &s, true);
        drain(f);
        g_assert_cmpuint(f->n_found, ==, 1);
}

/* What is learnt is saved while it is being told, and is no news then, though a clean end takes numbers back. */
static void test_what_came_later_is_found_once(Fixture *f, gconstpointer data) {
        ReplayState ours = state_of(NEXT, 500), theirs = state_of(NEXT + NEXT / 2, 500);

        f->save_found = true;
        save_around_a_file(f, ours, &theirs);
        persist_save_replay(f->persist, "web", &theirs, true);
        drain(f);
        g_assert_cmpuint(f->n_found, ==, 1);
        g_assert_cmpuint(load_anew(f).next, ==, theirs.next);
}

/* Also by what was saved before that was known, as by an instance that has gone since. */
static void test_what_is_found_is_kept_by_what_waits(Fixture *f, gconstpointer data) {
        ReplayState ours = state_of(NEXT, 500), theirs = state_of(NEXT + NEXT / 2, 600);

        put_file(f, &theirs);
        for (unsigned k = 0; k < 2; k++) {
                ours.next++;
                persist_save_replay(f->persist, "web", &ours, true);
        }
        drain(f);
        g_assert_cmpuint(f->n_found, ==, 1);
        g_assert_cmpuint(load_anew(f).next, ==, theirs.next);
        g_assert_cmpuint(load_anew(f).peers[0].highest, ==, 600);
}

/* Nothing is learnt from one that knows less, nor from what is none. */
static void test_a_file_that_knows_less_is_replaced(Fixture *f, gconstpointer data) {
        ReplayState ours = state_of(NEXT, 500), theirs = state_of(NEXT - 1, 499);

        for (unsigned k = 0; k < 3; k++) {
                if (k == 0)
                        put_file(f, &theirs);
                else if (k == 1)
                        g_assert_true(g_file_set_contents(f->file, "vipd-replay 1\nnext 1099511627775\n", -1, NULL));
                else {
                        g_autofree char *text = g_strnfill(5000, '\n');

                        g_assert_true(g_file_set_contents(f->file, text, -1, NULL));
                }
                ours.next++;
                persist_save_replay(f->persist, "web", &ours, true);
                drain(f);
                g_assert_cmpuint(load_anew(f).next, ==, ours.next);
                g_assert_cmpuint(load_anew(f).peers[0].highest, ==, 500);
        }
        g_assert_cmpuint(f->n_found, ==, 0);
}

static void test_disabled_and_enabled_are_files_that_come_and_go(Fixture *f, gconstpointer data) {
        g_autofree char *path = g_build_filename(f->directory, "web.disabled", NULL);

        for (int k = 0; k < 2; k++)
                for (int disabled = 1; disabled >= 0; disabled--) {
                        int error = 1;

                        persist_set_disabled(f->persist, "web", disabled, on_error, &error);
                        g_assert_cmpint(await(f, &error), ==, 0);
                        g_assert_cmpint(access(path, F_OK) == 0, ==, disabled);
                        g_assert_cmpint(persist_is_disabled(f->persist, "web"), ==, disabled);
                }
}

/* What stands in the way is replaced, neither followed nor filled nor waited for. */
static void test_a_fifo_and_a_link_in_place_of_the_file_hold_nothing_up(Fixture *f, gconstpointer data) {
        g_autofree char *beside = g_strconcat(f->file, ".new", NULL), *target = g_build_filename(f->directory, "target", NULL);
        ReplayState s = state_of(1, 500);

        g_assert_true(g_file_set_contents(target, "precious", -1, NULL));
        for (int k = 0; k < 2; k++) {
                g_autofree char *text = NULL;

                (void) g_remove(f->file);
                g_assert_cmpint(k == 0 ? mkfifo(f->file, 0600) : symlink(target, f->file), ==, 0);
                g_assert_cmpint(k == 0 ? mkfifo(beside, 0600) : symlink(target, beside), ==, 0);
                g_assert_cmpuint(load_anew(f).n_peers, ==, 0);
                persist_save_replay(f->persist, "web", &s, true);
                drain(f);
                s.next++;
                g_assert_cmpuint(load_anew(f).n_peers, ==, 2);
                g_assert_true(g_file_get_contents(target, &text, NULL, NULL));
                g_assert_cmpstr(text, ==, "precious");
        }
}

/* Two files, in a directory that is not there yet. */
static Persist *fail_at_first(Fixture *f, const char *missing) {
        ReplayState s = state_of(1, 500);
        Persist *p = NULL;
        int error = 1;

        g_assert_cmpint(persist_new(&p, f->event, missing, NULL, NULL), ==, 0);
        persist_save_replay(p, "web", &s, true);
        persist_set_disabled(p, "web", true, on_error, &error);
        g_assert_cmpint(await(f, &error), ==, -ENOENT);
        return p;
}

/* Whichever of them is the first to be tried. */
static void test_one_that_can_never_be_written_keeps_no_other_from_it(Fixture *f, gconstpointer data) {
        static const char *const names[] = { "web.replay", "web.disabled" };
        g_autofree char *missing = g_build_filename(f->directory, "missing", NULL);

        for (int blocked = 0; blocked < 2; blocked++) {
                g_autofree char *taken = g_build_filename(missing, names[blocked], NULL), *free = g_build_filename(missing, names[!blocked], NULL);
                gint64 end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
                Persist *p = fail_at_first(f, missing);
                g_assert_cmpint(g_mkdir_with_parents(taken, 0700), ==, 0);
                while (!g_file_test(free, G_FILE_TEST_EXISTS)) {
                        g_assert_cmpint(sd_event_run(f->event, 100000), >=, 0);
                        g_assert_cmpint(g_get_monotonic_time(), <, end);
                }
                persist_free(p);
                g_assert_cmpint(g_rmdir(taken), ==, 0);
                g_assert_cmpint(g_remove(free), ==, 0);
                g_assert_cmpint(g_rmdir(missing), ==, 0);
        }
}

/* A directory that is not there fails like a disk that is full: without being asked again, all are written when they can be. */
static void test_a_failure_is_told_and_tried_again(Fixture *f, gconstpointer data) {
        g_autofree char *missing = g_build_filename(f->directory, "missing", NULL), *file = g_build_filename(missing, "web.replay", NULL),
                        *disabled = g_build_filename(missing, "web.disabled", NULL);
        gint64 end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
        Persist *p = fail_at_first(f, missing);

        g_assert_cmpint(g_mkdir(missing, 0700), ==, 0);
        while (!g_file_test(file, G_FILE_TEST_EXISTS) || !g_file_test(disabled, G_FILE_TEST_EXISTS)) {
                g_assert_cmpint(sd_event_run(f->event, 100000), >=, 0);
                g_assert_cmpint(g_get_monotonic_time(), <, end);
        }
        persist_drain(p, 20 * UINT64_C(1000000), on_done, &f->done);
        while (!f->done)
                g_assert_cmpint(sd_event_run(f->event, UINT64_MAX), >=, 0);
        persist_free(p);
        g_assert_cmpint(g_remove(file), ==, 0);
        g_assert_cmpint(g_remove(disabled), ==, 0);
        g_assert_cmpint(g_rmdir(missing), ==, 0);
}

/* However often it is asked for: what waits is replaced, what is there already is not written again, and one child runs at a time. */
static void test_many_saves_are_few_writes(Fixture *f, gconstpointer data) {
        g_auto(AutoFd) watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        char buffer[4096] __attribute__((aligned(8)));
        ReplayState s = state_of(1, 0);
        unsigned n = 0;
        ssize_t r;

        g_assert_cmpint(inotify_add_watch(watch, f->directory, IN_CREATE | IN_MOVED_TO), >=, 0);
        for (uint64_t k = 0; k < 1000; k++) {
                s.peers[0].highest = k;
                persist_save_replay(f->persist, "web", &s, true);
        }
        drain(f);
        persist_save_replay(f->persist, "web", &s, true);
        drain(f);
        g_assert_cmpuint(load_anew(f).peers[0].highest, ==, 999);
        while ((r = read(watch, buffer, sizeof(buffer))) > 0)
                for (const struct inotify_event *e = (void *) buffer; (char *) e < buffer + r; e = (void *) (e->name + e->len))
                        n += e->mask & IN_CREATE ? 1 : 0;
        g_assert_cmpuint(n, ==, 2);
}

static void test_texts_that_no_daemon_wrote(void) {
        static const char *const wrong[] = {
                "",
                "\n",
                "1048576\n",
                "vipd-replay 1",
                "vipd-replay 1\nend\n",
                "vipd-replay 2\nnext 1\nend\n",
                "vipd-replay 1\nnext 1\n",
                "vipd-replay 1\nnext 1\npeer 192.0.2.1 1\n",
                "vipd-replay 1\nnext 1\nend",
                "vipd-replay 1\nnext 1\nend\n\n",
                "vipd-replay 1\nnext 1\nend\nend\n",
                "vipd-replay 1\nnext 1\nnext 1\nend\n",
                "vipd-replay 1\nnext \nend\n",
                "vipd-replay 1\nnext -1\nend\n",
                "vipd-replay 1\nnext +1\nend\n",
                "vipd-replay 1\nnext 01\nend\n",
                "vipd-replay 1\nnext 1 \nend\n",
                "vipd-replay 1\nnext 1099511627776\nend\n",
                "vipd-replay 1\nnext 18446744073709551617\nend\n",
                "vipd-replay 1\r\nnext 1\r\nend\r\n",
                "vipd-replay 1\nnext 1\npeer 192.0.2.1\nend\n",
                "vipd-replay 1\nnext 1\npeer 192.0.2.1 x\nend\n",
                "vipd-replay 1\nnext 1\npeer 192.0.2.300 1\nend\n",
                "vipd-replay 1\nnext 1\npeer  1\nend\n",
                "vipd-replay 1\nnext 1\npeer 192.0.2.1 1 1\nend\n",
                "vipd-replay 1\nnext 1\npeer 192.0.2.1 1\npeer 192.0.2.1 2\nend\n",
                "vipd-replay 1\nnext 1\npeer 192.0.2.1000000000000000000000000000000000000000000000 1\nend\n",
        };
        const char *right = "vipd-replay 1\nnext 1099511627775\nend\n";
        g_autoptr(GString) many = g_string_new("vipd-replay 1\nnext 1\n");
        ReplayState s;

        for (size_t k = 0; k < G_N_ELEMENTS(wrong); k++)
                if (replay_state_parse(wrong[k], strlen(wrong[k]), &s) != -EINVAL)
                        g_error("taken for a state: %s", wrong[k]);
        g_assert_cmpint(replay_state_parse("vipd-replay 1\nnext 1\nend\n\0", 26, &s), ==, -EINVAL);
        g_assert_cmpint(replay_state_parse(right, strlen(right), &s), ==, 0);
        g_assert_cmpuint(s.next, ==, REPLAY_SEQUENCE_MAX);
        for (int k = 0; k <= REPLAY_N_PEERS; k++) {
                g_autofree char *text = g_strdup_printf("%send\n", many->str);

                g_assert_cmpint(replay_state_parse(text, strlen(text), &s), ==, 0);
                g_string_append_printf(many, "peer 192.0.2.%i 1\n", k);
        }
        g_string_append(many, "end\n");
        g_assert_cmpint(replay_state_parse(many->str, many->len, &s), ==, -EINVAL);
}

static void test_a_full_table_fits_into_its_file(void) {
        ReplayState s = { .next = REPLAY_SEQUENCE_MAX, .n_peers = REPLAY_N_PEERS }, again;
        g_autofree char *text = NULL;

        for (unsigned k = 0; k < REPLAY_N_PEERS; k++) {
                s.peers[k] = (ReplayPeer) { .source = { .n_bytes = 16 }, .highest = REPLAY_SEQUENCE_MAX };
                memset(s.peers[k].source.bytes, 0xab, 16);
                s.peers[k].source.bytes[15] = (uint8_t) k;
        }
        text = replay_state_format(&s);
        g_assert_cmpuint(strlen(text), <=, REPLAY_STATE_BYTES_MAX);
        g_assert_cmpint(replay_state_parse(text, strlen(text), &again), ==, 0);
        g_assert_cmpmem(&again, sizeof(again), &s, sizeof(s));
}

#define ADD(name) g_test_add("/persist/" #name, Fixture, NULL, set_up, test_##name, tear_down)

int main(int argc, char **argv) {
        sigset_t mask;

        g_test_init(&argc, &argv, NULL);
        log_open("test", LOG_TARGET_NONE, 0);
        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        g_assert_cmpint(sigprocmask(SIG_BLOCK, &mask, NULL), ==, 0);
        ADD(numbers_are_reserved_until_nothing_more_is_sent);
        ADD(what_was_heard_is_known_in_the_next_life);
        ADD(without_a_file_or_with_an_old_one_the_numbers_go_on_above);
        ADD(an_instance_made_again_knows_what_is_not_written_yet);
        ADD(a_file_that_came_later_only_rises);
        ADD(what_came_later_is_found_once);
        ADD(what_is_found_is_kept_by_what_waits);
        ADD(a_file_that_knows_less_is_replaced);
        ADD(disabled_and_enabled_are_files_that_come_and_go);
        ADD(a_fifo_and_a_link_in_place_of_the_file_hold_nothing_up);
        ADD(a_failure_is_told_and_tried_again);
        ADD(one_that_can_never_be_written_keeps_no_other_from_it);
        ADD(many_saves_are_few_writes);
        g_test_add_func("/persist/texts-that-no-daemon-wrote", test_texts_that_no_daemon_wrote);
        g_test_add_func("/persist/a-full-table-fits-into-its-file", test_a_full_table_fits_into_its_file);
        return g_test_run();
}
