/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Called once by main(), before anything foreign is read: no capabilities, none to be had again, no file to write to, nothing of our starter's
 * environment, and the first to go when processor or memory are short. */
#include "checker/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/log.h"

#define NICE_STEP 5
#define OOM_SCORE_ADJ_STEP 300
#define OOM_SCORE_ADJ_MAX 1000

/* Left by the process that was us before it executed itself. */
#define AGAIN_VARIABLE "VIPD_CHECKER_AGAIN"

static bool have_capabilities(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
        if (syscall(SYS_capget, &header, data) < 0)
                return true;
        return (data[0].effective | data[0].permitted | data[1].effective | data[1].permitted) != 0;
}

/* vipd.service allows no capset(). There, inheritable ones may stay, which no_new_privs makes worthless; the others are lost by executing ourselves
 * without ambient ones, as we are not root there. */
static int drop_capabilities(char **argv) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        if (syscall(SYS_capset, &header, none) < 0 && have_capabilities() && !getenv(AGAIN_VARIABLE)) {
                (void) setenv(AGAIN_VARIABLE, "1", 1);
                (void) execv("/proc/self/exe", argv);
        }
        return have_capabilities() ? -EPERM : 0;
}

/* vipd's user is ours, and so would be its files: what it held, what it was told by an administrator. A kernel without Landlock leaves that to the
 * service's sandbox, which cannot tell the two of us apart. */
static void forbid_writing(void) {
        static const char *const free_to_all[] = { "/dev", "/tmp", "/var/tmp" };
        const struct landlock_ruleset_attr forbidden = {
                .handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                     LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                                     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                                     LANDLOCK_ACCESS_FS_MAKE_SYM,
        };
        g_auto(AutoFd) rules = (int) syscall(SYS_landlock_create_ruleset, &forbidden, sizeof(forbidden), 0);

        for (size_t k = 0; rules >= 0 && k < G_N_ELEMENTS(free_to_all); k++) {
                g_auto(AutoFd) fd = open(free_to_all[k], O_PATH | O_DIRECTORY | O_CLOEXEC);
                const struct landlock_path_beneath_attr allowed = { .allowed_access = forbidden.handled_access_fs, .parent_fd = fd };

                if (fd >= 0)
                        (void) syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &allowed, 0);
        }
        if (rules >= 0)
                (void) syscall(SYS_landlock_restrict_self, rules, 0);
}

/* All of it as far as it is allowed: the service's filter of system calls forbids some, and takes care of the rest. */
static void be_humble(void) {
        const struct sched_param ordinary = { .sched_priority = 0 };
        (void) sched_setscheduler(0, SCHED_OTHER, &ordinary);
        (void) !nice(NICE_STEP);

        char text[16] = "";
        g_auto(AutoFd) fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
                return;
        long score = strtol(text, NULL, 10) + OOM_SCORE_ADJ_STEP;
        int n = snprintf(text, sizeof(text), "%li", score > OOM_SCORE_ADJ_MAX ? OOM_SCORE_ADJ_MAX : score);
        (void) !pwrite(fd, text, (size_t) n, 0);
}

/**
 * confine() - gives up what is not needed to probe
 * @argv: our own, in case that we must be executed once more
 *
 * Standard streams that are closed lead to /dev/null, so that no other descriptor is taken for one.
 */
int confine(char **argv) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
                        return -errno;

        int r = drop_capabilities(argv);
        if (r < 0) {
                log_error_errno(r, "Capabilities cannot be dropped: %m");
                return r;
        }
        /* We end by the end of our socket; this is for the case that we cannot. */
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        be_humble();
        forbid_writing();
        (void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core file may carry the password of a URL */
        (void) clearenv();                         /* proxies, key logs, credentials, the service manager's socket */
        return 0;
}
