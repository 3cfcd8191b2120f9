/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/output.h"

#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "config-parse.h"
#include "ctl/client.h"
#include "ctl/terminal.h"

/* The pager, by systemd's rules, and without a shell: $SYSTEMD_PAGER, $PAGER, "pager", "less", "more". Whoever is not
 * the user of the login session, as under sudo, gets less alone and in its secure mode, so that reading a status is no
 * way to a root shell; $SYSTEMD_PAGERSECURE decides otherwise. */

typedef struct Secure {
        bool on;
        bool asked; /* by the variable: then $PAGER is trusted, too */
} Secure;

static Secure find_secure(void) {
        const char *asked = g_getenv("SYSTEMD_PAGERSECURE");
        bool yes;
        uid_t uid;

        if (asked)
                return (Secure) { config_parse_bool(asked, &yes) < 0 || yes, true };
        return (Secure) { sd_pid_get_owner_uid(0, &uid) < 0 || uid != geteuid(), false };
}

static const char *asked_pager(void) {
        return g_getenv("SYSTEMD_PAGER") ?: g_getenv("PAGER");
}

static bool wants_pager(const Ctl *c) {
        const char *term = g_getenv("TERM"), *pager = asked_pager();

        return c->pager && terminal_is_output() && g_strcmp0(term, "dumb") != 0 && (!pager || (*pager && !g_str_equal(pager, "cat")));
}

/* When there is no pager at all, the terminal scrolls. */
static void copy(void) {
        char buffer[4096];
        ssize_t n;

        while ((n = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0)
                for (ssize_t done = 0; done < n;) {
                        ssize_t written = write(STDOUT_FILENO, buffer + done, (size_t) (n - done));

                        if (written < 0)
                                return;
                        done += written;
                }
}

static void run_pager(void) {
        static const char *const pagers[] = { "pager", "less", "more" };
        const Secure secure = find_secure();
        g_auto(GStrv) asked = NULL;

        (void) g_setenv("LESS", g_getenv("SYSTEMD_LESS") ?: "FRSXMK", TRUE);
        (void) g_setenv("LESSCHARSET", g_getenv("SYSTEMD_LESSCHARSET") ?: (g_get_charset(NULL) ? "utf-8" : "iso8859"), TRUE);
        if (secure.on)
                (void) g_setenv("LESSSECURE", "1", TRUE);
        else
                g_unsetenv("LESSSECURE");
        if ((secure.asked || !secure.on) && asked_pager() && g_shell_parse_argv(asked_pager(), NULL, &asked, NULL))
                (void) execvp(asked[0], asked);
        for (size_t k = 0; k < G_N_ELEMENTS(pagers); k++) {
                char *const arguments[] = { (char *) pagers[k], NULL };

                /* the others do not know the secure mode */
                if (!secure.on || g_str_equal(pagers[k], "less"))
                        (void) execvp(pagers[k], arguments);
        }
        copy();
}

static pid_t start_pager(void) {
        int ends[2];
        pid_t pid;

        if (pipe(ends) < 0)
                return -1;
        pid = fork();
        if (pid == 0) {
                (void) dup2(ends[0], STDIN_FILENO);
                (void) close(ends[0]);
                (void) close(ends[1]);
                run_pager();
                _exit(0);
        }
        if (pid > 0)
                (void) dup2(ends[1], STDOUT_FILENO);
        (void) close(ends[0]);
        (void) close(ends[1]);
        return pid;
}

CtlExit output_write(const char *text) {
        if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
                return CTL_DONE;
        client_complain("Standard output: %s", g_strerror(errno));
        return CTL_FAILED;
}

CtlExit output_page(const Ctl *c, const char *text) {
        pid_t pid = *text && wants_pager(c) ? start_pager() : -1;

        if (pid < 0)
                return output_write(text);
        /* leaving the pager before the end is no mistake; ^C is for the pager */
        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGINT, SIG_IGN);
        (void) fputs(text, stdout);
        (void) fflush(stdout);
        (void) close(STDOUT_FILENO);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return CTL_DONE;
}
