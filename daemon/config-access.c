/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-access.h"

#include <errno.h>
#include <glib.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

/* Whether the daemon could read what root reads: its user's groups, the modes of all directories above and access lists decide, and only the kernel
 * knows them all. So a process becomes that user and tries. For programs that check and end; never for the daemon, which is that user, and does not
 * wait. */

#define SENTENCE_BYTES_MAX 1024

static int become(const struct passwd *p) {
        return initgroups(p->pw_name, p->pw_gid) < 0 || setresgid(p->pw_gid, p->pw_gid, p->pw_gid) < 0 ||
                               setresuid(p->pw_uid, p->pw_uid, p->pw_uid) < 0
                       ? -errno
                       : 0;
}

static void ask_and_exit(const struct passwd *p, int (*ask)(const char *, char **), const char *path, int fd) {
        char *sentence = NULL;

        if (become(p) >= 0 && ask(path, &sentence) < 0 && write(fd, sentence, MIN(strlen(sentence), SENTENCE_BYTES_MAX)) < 0)
                _exit(1);
        _exit(0);
}

int config_ask_as(const char *user, int (*ask)(const char *path, char **ret_sentence), const char *path, char **ret_sentence) {
        const struct passwd *p = user ? getpwnam(user) : NULL;
        char sentence[SENTENCE_BYTES_MAX + 1];
        int ends[2];
        ssize_t n;
        pid_t pid;

        if (!p || p->pw_uid == geteuid() || pipe(ends) < 0)
                return 0;
        pid = fork();
        if (pid == 0)
                ask_and_exit(p, ask, path, ends[1]);
        (void) close(ends[1]);
        /* it has ended when nothing more comes; nobody reaps it, as we end soon ourselves */
        n = pid > 0 ? read(ends[0], sentence, SENTENCE_BYTES_MAX) : 0;
        (void) close(ends[0]);
        if (n <= 0)
                return 0;
        sentence[n] = '\0';
        *ret_sentence = g_strdup(sentence);
        return -EACCES;
}
