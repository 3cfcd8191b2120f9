/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Links of a namespace, taken down without anybody waiting for it, and without memory at the moment when they are given up; and deleted together. */
#include <malloc.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "io/macvlan.h"
#include "io/take-down.h"
#include "lab.h"

#define N_LINKS 100 /* of which no array has room from the start */

typedef struct Fixture {
        AutoFd there;
        sd_event *event;
        TakeDown *take_down;
        int ifindexes[N_LINKS];
} Fixture;

static void set_up(Fixture *f, gconstpointer data) {
        f->there = lab_enter_with_peer();
        ip_many("link add d@ link eth0 up type macvlan", 0, N_LINKS - 1);
        for (unsigned k = 0; k < N_LINKS; k++) {
                g_autofree char *name = g_strdup_printf("d%u.%u", k >> 8, k & 0xff);

                f->ifindexes[k] = lab_ifindex(name);
        }
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(take_down_new(&f->take_down, f->event), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data) {
        take_down_free(f->take_down);
        sd_event_unref(f->event);
        auto_fd_clear(&f->there);
}

static bool is_up(int ifindex) {
        g_auto(AutoFd) fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq r = { 0 };

        g_assert_nonnull(if_indextoname((unsigned) ifindex, r.ifr_name));
        g_assert_cmpint(ioctl(fd, SIOCGIFFLAGS, &r), ==, 0);
        return r.ifr_flags & IFF_UP;
}

static unsigned n_up(const Fixture *f) {
        unsigned n = 0;

        for (unsigned k = 0; k < N_LINKS; k++)
                n += is_up(f->ifindexes[k]);
        return n;
}

static void run_until_up(const Fixture *f, unsigned n) {
        uint64_t end_usec = lab_now_usec() + DEADLINE_USEC;

        while (n_up(f) > n) {
                g_assert_cmpuint(lab_now_usec(), <, end_usec);
                g_assert_cmpint(sd_event_run(f->event, 50000), >=, 0);
        }
}

static void test_who_is_added_goes_down_unless_cancelled(Fixture *f, gconstpointer data) {
        for (unsigned k = 0; k < 3; k++)
                take_down_add(f->take_down, f->ifindexes[k]);
        take_down_cancel(f->take_down, f->ifindexes[1]);
        g_assert_cmpuint(n_up(f), ==, N_LINKS);
        run_until_up(f, N_LINKS - 2);
        g_assert_true(is_up(f->ifindexes[1]));
        /* while those go down, another; and what is gone already is no harm */
        ip("link del d0.0");
        f->ifindexes[0] = f->ifindexes[1];
        take_down_add(f->take_down, f->ifindexes[2]);
        take_down_add(f->take_down, f->ifindexes[1]);
        run_until_up(f, N_LINKS - 3);
}

/* Whoever gives an address up must succeed. */
static void test_who_leaves_asks_for_no_memory(Fixture *f, gconstpointer data) {
        g_autoptr(MacvlanControl) control = NULL;
        Macvlan *devices[N_LINKS];
        size_t before;

        g_assert_cmpint(macvlan_control_new(&control, f->event), ==, 0);
        for (unsigned k = 0; k < N_LINKS; k++) {
                g_autofree char *name = g_strdup_printf("m%u", k);
                MacvlanSpec spec = { .name = name, .owner = name, .lower_ifindex = lab_ifindex("eth0"), .mac = { 0, 0, 0x5e, 0, 1, (uint8_t) k } };

                g_assert_cmpint(macvlan_open(&devices[k], control, &spec, NULL, false), ==, 0);
                f->ifindexes[k] = macvlan_ifindex(devices[k]);
                macvlan_expect(devices[k], NULL, 0);
                g_assert_cmpint(macvlan_own(devices[k]), ==, 0);
        }
        g_assert_cmpuint(n_up(f), ==, N_LINKS);
        before = mallinfo2().uordblks;
        for (unsigned k = 0; k < N_LINKS; k++)
                macvlan_leave(devices[k]);
        g_assert_cmpuint(mallinfo2().uordblks, ==, before);
        run_until_up(f, 0);
        for (unsigned k = 0; k < N_LINKS; k++)
                macvlan_close(devices[k]);
}

static unsigned n_present(const Fixture *f) {
        char name[IF_NAMESIZE];
        unsigned n = 0;

        for (unsigned k = 0; k < N_LINKS; k++)
                n += if_indextoname((unsigned) f->ifindexes[k], name) != NULL;
        return n;
}

/* How often the kernel has made us wait: what takes long here, however long each time takes on a busy machine. */
static long n_waits(void) {
        struct rusage usage;

        g_assert_cmpint(getrusage(RUSAGE_THREAD, &usage), ==, 0);
        return usage.ru_nvcsw;
}

/* Those that go, whatever became of one of them meanwhile; and nobody else. */
static void test_those_that_go_together_go_fast(Fixture *f, gconstpointer data) {
        g_autoptr(MacvlanControl) control = NULL;
        long before, n_alone;

        g_assert_cmpint(macvlan_control_new(&control, f->event), ==, 0);
        before = n_waits();
        for (unsigned k = 0; k < 20; k++)
                g_assert_cmpint(macvlan_delete(control, f->ifindexes[k]), ==, 0);
        n_alone = n_waits() - before;
        g_assert_cmpuint(n_present(f), ==, N_LINKS - 20);
        macvlan_gather(control);
        for (unsigned k = 20; k < 60; k++)
                g_assert_cmpint(macvlan_delete(control, f->ifindexes[k]), ==, 0);
        ip("link del d0.30");
        g_assert_cmpuint(n_present(f), ==, N_LINKS - 21);
        before = n_waits();
        macvlan_flush(control);
        g_assert_cmpint(n_waits() - before, <, n_alone);
        g_assert_cmpuint(n_present(f), ==, N_LINKS - 60);
        /* one alone, and none */
        macvlan_gather(control);
        g_assert_cmpint(macvlan_delete(control, f->ifindexes[60]), ==, 0);
        macvlan_flush(control);
        macvlan_gather(control);
        macvlan_flush(control);
        g_assert_cmpuint(n_present(f), ==, N_LINKS - 61);
        g_assert_cmpint(macvlan_delete(control, f->ifindexes[61]), ==, 0);
        g_assert_cmpuint(n_present(f), ==, N_LINKS - 62);
}

#define CASE(name) g_test_add("/take-down/" #name, Fixture, NULL, set_up, test_##name, tear_down)

int main(int argc, char **argv) {
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        g_assert_cmpint(sigprocmask(SIG_BLOCK, &mask, NULL), ==, 0);
        if (!lab_init(argc, argv))
                return lab_skip();
        CASE(who_is_added_goes_down_unless_cancelled);
        CASE(those_that_go_together_go_fast);
        CASE(who_leaves_asks_for_no_memory);
        return g_test_run();
}
