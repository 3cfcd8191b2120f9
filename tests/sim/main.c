/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim.h"

/* Runs schedules: first those that once found a mistake, then as many new ones as asked, spread over a few processes. The first one that fails is run
 * again with its trace, and the command that repeats it is printed. */

/* Seeds that failed once, each with what was wrong then. */
static const struct {
        uint64_t seed;
        const char *sentence;
} regressions[] = {
        { 108, "a frozen master that heard a worse one on waking was master again in the same step, and kept the address" },
        { 119, "the last word of a master that yielded made every preempting backup take over, again and again" },
        { 153, "equal adverts were counted per packet: of five equals that started at once all gave up" },
        { 1853, "the lease was renewed between two adverts, and outlived the patience of the others" },
        { 7722, "who lost a tie to a BSD that lost it too returned in step with it, for ever" },
        { 140226, "a demote was granted to a master that gave up for another reason in the same step, and its hold forgotten" },
};

static gint64 seed_argument = -1, n_schedules = 100000, first = 1;
static int n_jobs;

static const GOptionEntry options[] = {
        { "seed", 0, 0, G_OPTION_ARG_INT64, &seed_argument, "Run this one schedule and print its trace", "N" },
        { "schedules", 0, 0, G_OPTION_ARG_INT64, &n_schedules, "How many to run (100000)", "N" },
        { "first", 0, 0, G_OPTION_ARG_INT64, &first, "The first seed (1)", "N" },
        { "jobs", 0, 0, G_OPTION_ARG_INT, &n_jobs, "Processes (as many as CPUs)", "N" },
        { 0 },
};

static int show(Sim *s, const char *program, uint64_t seed) {
        bool good = sim_run(s, seed, true);

        if (good)
                printf("seed %" PRIu64 ": good\n", seed);
        else
                printf("seed %" PRIu64 " FAILED: %s\nrepeat it with: %s --seed=%" PRIu64 "\n", seed, s->failure->str, program,
                       seed);
        return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_regressions(Sim *s, const char *program) {
        for (size_t k = 0; k < G_N_ELEMENTS(regressions); k++)
                if (!sim_run(s, regressions[k].seed, false)) {
                        printf("again: %s\n", regressions[k].sentence);
                        return show(s, program, regressions[k].seed);
                }
        return EXIT_SUCCESS;
}

/* Every n_jobs-th schedule, from the job'th on. */
static int run_share(Sim *s, const char *program, int job) {
        for (gint64 k = job; k < n_schedules; k += n_jobs)
                if (!sim_run(s, (uint64_t) (first + k), false))
                        return show(s, program, (uint64_t) (first + k));
        printf("%" G_GINT64_FORMAT " schedules: %" PRIu64 " events, %" PRIu64 " adverts, %" PRIu64 " transitions, %" PRIu64
               " times settled, %" PRIu64 " handovers\n",
               (n_schedules - job + n_jobs - 1) / n_jobs, s->total_events, s->total_adverts, s->total_transitions,
               s->total_settled, s->total_handovers);
        return EXIT_SUCCESS;
}

static int run_jobs(Sim *s, const char *program) {
        int result = EXIT_SUCCESS;

        (void) fflush(stdout);
        for (int job = 1; job < n_jobs; job++) {
                pid_t pid = fork();

                if (pid < 0) {
                        perror("fork");
                        return EXIT_FAILURE;
                }
                if (pid == 0) {
                        result = run_share(s, program, job);
                        (void) fflush(stdout);
                        _exit(result);
                }
        }
        result = run_share(s, program, 0);
        for (int job = 1; job < n_jobs; job++) {
                int status;

                if (wait(&status) < 0 || status != 0)
                        result = EXIT_FAILURE;
        }
        return result;
}

int main(int argc, char *argv[]) {
        g_autoptr(GOptionContext) context = g_option_context_new("- random schedules for the election");
        g_autoptr(GError) error = NULL;
        Sim *s = g_new0(Sim, 1);
        int result;

        g_option_context_add_main_entries(context, options, NULL);
        if (!g_option_context_parse(context, &argc, &argv, &error)) {
                fprintf(stderr, "%s\n", error->message);
                return 2;
        }
        if (n_jobs <= 0)
                n_jobs = (int) sysconf(_SC_NPROCESSORS_ONLN);
        sim_new(s);
        if (seed_argument >= 0)
                result = show(s, argv[0], (uint64_t) seed_argument);
        else {
                result = run_regressions(s, argv[0]);
                if (result == EXIT_SUCCESS)
                        result = run_jobs(s, argv[0]);
        }
        sim_free(s);
        g_free(s);
        return result;
}
