/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a command and looks at how it ends. It is given nothing but its arguments, a path and a place to write to, of which the first bytes are kept
 * for the report. What it leaves behind is its children's room's business (children.c); it may be the last one to have heard of us. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checker/probe.h"
#include "util/cleanup.h"
#include "util/event-priority.h"

/* Enough for a line of a report, whatever comes before it. */
#define OUTPUT_KEPT_BYTES 1024

/* The rest is read in such pieces, after everything else, and thrown away; up to a limit. Who writes still more has to wait, and is killed when its
 * time is up. */
#define OUTPUT_PIECE_BYTES (UINT64_C(64) * 1024)
#define OUTPUT_MAX_BYTES (UINT64_C(16) * 1024 * 1024)

/* The whole environment of a command. */
static char *const environment[] = { (char *) "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", (char *) "LANG=C.UTF-8", NULL };

typedef struct CommandRun {
        Probe *probe; /* borrowed */
        Child *child;
        AutoFd output_fd, error_fd; /* the child writes errno to the latter if it cannot execute the command */
        sd_event_source *output;
        char kept[OUTPUT_KEPT_BYTES];
        size_t n_kept;
        uint64_t n_read;
        int child_output_fd, child_error_fd; /* the child's ends; ours are closed when it runs */
} CommandRun;

static void command_free(void *userdata) {
        CommandRun *run = userdata;
        (void) child_drop(run->child);
        sd_event_source_disable_unref(run->output);
        auto_fd_clear(&run->output_fd);
        auto_fd_clear(&run->error_fd);
        g_free(run);
}

/* Between fork and exec. */
static void __attribute__((noreturn)) command_execute(void *userdata) {
        const CommandRun *run = userdata;
        char **argv = probe_config(run->probe)->argv;

        int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null_fd >= 0 && dup2(null_fd, STDIN_FILENO) >= 0 && dup2(run->child_output_fd, STDOUT_FILENO) >= 0 &&
            dup2(run->child_output_fd, STDERR_FILENO) >= 0 && chdir("/") >= 0)
                (void) execve(argv[0], argv, environment);
        int error = errno;
        (void) !write(run->child_error_fd, &error, sizeof(error));
        _exit(127);
}

/* Return: false: there is nothing now. */
static bool command_read(CommandRun *run) {
        static char piece[OUTPUT_PIECE_BYTES];
        ssize_t n = read(run->output_fd, piece, sizeof(piece));
        if (n <= 0) {
                if (n == 0 || (errno != EAGAIN && errno != EINTR)) /* everybody closed it; that says nothing about the exit */
                        run->output = sd_event_source_disable_unref(run->output);
                return false;
        }

        size_t n_keep = MIN((size_t) n, sizeof(run->kept) - run->n_kept);
        memcpy(run->kept + run->n_kept, piece, n_keep);
        run->n_kept += n_keep;
        run->n_read += (uint64_t) n;
        if (run->n_read >= OUTPUT_MAX_BYTES)
                run->output = sd_event_source_disable_unref(run->output);
        return true;
}

static int on_output(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void) command_read(userdata);
        return 0;
}

/* What the command said, to be appended. */
static void command_said(CommandRun *run, Line *line) {
        /* it wrote before it ended; others may go on writing */
        while (run->n_kept < sizeof(run->kept) && command_read(run))
                continue;
        Line said;
        if (line_set(&said, run->kept, run->n_kept) > 0)
                line_format(line, ": %s", said.text);
        else
                (void) line_set(line, "", 0);
}

static void on_ended(const siginfo_t *si, void *userdata) {
        CommandRun *run = userdata;
        run->child = NULL; /* it is gone by itself */

        int error = 0;
        Line line;
        if (read(run->error_fd, &error, sizeof(error)) == (ssize_t) sizeof(error)) {
                line_error(&line, error);
                probe_done(run->probe, CHECKER_OUTCOME_BAD, "cannot be executed: %s", line.text);
                return;
        }
        command_said(run, &line);
        if (si->si_code == CLD_EXITED)
                probe_done(run->probe, si->si_status == 0 ? CHECKER_OUTCOME_GOOD : CHECKER_OUTCOME_BAD, "exit status %i%s", si->si_status,
                           line.text);
        else
                probe_done(run->probe, CHECKER_OUTCOME_BAD, "died by signal %i (%s)%s", si->si_status, strsignal(si->si_status), line.text);
}

static void command_overtime(void *userdata, Line *line) {
        CommandRun *run = userdata;
        Line time, said;
        line_duration(&time, probe_config(run->probe)->timeout_usec);
        command_said(run, &said);
        line_format(line, "killed after %s%s", time.text, said.text);
}

static int open_output(CommandRun *run, int fd) {
        run->output_fd = fd;
        int r = sd_event_add_io(probe_shared(run->probe)->event, &run->output, fd, EPOLLIN, on_output, run);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(run->output, "command-output");
        return sd_event_source_set_priority(run->output, EVENT_PRIORITY_IDLE);
}

static int command_start(Probe *p, void **ret_run) {
        if (children_has(probe_shared(p)->children, p))
                return -EBUSY;

        CommandRun *run = g_new0(CommandRun, 1);
        *ret_run = run; /* whatever fails, the probe frees it */
        run->probe = p;
        run->output_fd = run->error_fd = -1;

        int output[2], error[2];
        if (pipe2(output, O_CLOEXEC) < 0)
                return -errno;
        g_auto(AutoFd) child_output_fd = output[1];
        int r = open_output(run, output[0]);
        if (r < 0)
                return r;
        /* Not before: the command shall find an ordinary pipe. */
        if (fcntl(output[0], F_SETFL, O_NONBLOCK) < 0 || pipe2(error, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        run->error_fd = error[0];
        g_auto(AutoFd) child_error_fd = error[1];

        run->child_output_fd = child_output_fd;
        run->child_error_fd = child_error_fd;
        return child_start(probe_shared(p)->children, &run->child, p, command_execute, on_ended, run);
}

const ProbeKind probe_command = {
        .start = command_start,
        .overtime = command_overtime,
        .free_run = command_free,
};
