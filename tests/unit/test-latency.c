/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "latency.h"

#include <glib.h>

/* A histogram that adds up as Prometheus expects. */

static void test_bounds_rise(void) {
        for (size_t k = 1; k < N_LATENCY_BOUNDS; k++)
                g_assert_cmpuint(latency_bound_usec(k), >, latency_bound_usec(k - 1));
}

static void test_a_bound_belongs_to_its_bucket(void) {
        for (size_t k = 0; k < N_LATENCY_BOUNDS; k++) {
                Latency l = { 0 };

                latency_add(&l, latency_bound_usec(k));
                g_assert_cmpuint(latency_n_up_to(&l, k), ==, 1);
                if (k > 0)
                        g_assert_cmpuint(latency_n_up_to(&l, k - 1), ==, 0);
                latency_add(&l, latency_bound_usec(k) + 1);
                g_assert_cmpuint(latency_n_up_to(&l, k), ==, 1);
        }
}

static void test_each_bucket_holds_those_below_it(void) {
        Latency l = { 0 };

        for (size_t k = 0; k < N_LATENCY_BOUNDS; k++)
                latency_add(&l, latency_bound_usec(k));
        for (size_t k = 0; k < N_LATENCY_BOUNDS; k++)
                g_assert_cmpuint(latency_n_up_to(&l, k), ==, k + 1);
}

static void test_what_is_above_every_bound_is_in_the_sum_and_the_count(void) {
        Latency l = { 0 };
        uint64_t last = latency_bound_usec(N_LATENCY_BOUNDS - 1);

        latency_add(&l, 0);
        latency_add(&l, last + 1);
        g_assert_cmpuint(l.n, ==, 2);
        g_assert_cmpuint(l.sum_usec, ==, last + 1);
        g_assert_cmpuint(latency_n_up_to(&l, 0), ==, 1);
        g_assert_cmpuint(latency_n_up_to(&l, N_LATENCY_BOUNDS - 1), ==, 1);
}

#define ADD(name) g_test_add_func("/latency/" #name, test_##name)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        ADD(bounds_rise);
        ADD(a_bound_belongs_to_its_bucket);
        ADD(each_bucket_holds_those_below_it);
        ADD(what_is_above_every_bound_is_in_the_sum_and_the_count);
        return g_test_run();
}
