/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Forks, reaps and kills. As the process is a subreaper, what a child forks away (twice, into a session of its own) comes to us when its parents
 * are gone. Such an orphan is killed as soon as no child runs that may be its parent: one of ours that began before it. Which child it was cannot
 * be told. Knows nothing of probes, and nothing of what its children do. */
#include "checker/children.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/time-util.h"

/* Reaped in one go; the rest has its turn after the other sources. */
#define REAP_MAX 256

/* At the end nobody is waited for longer. Who does not die from SIGKILL hangs in the kernel. */
#define END_USEC (500 * USEC_PER_MSEC)
#define END_ROUND_NSEC (25L * 1000 * 1000)

struct Child {
        Children *children; /* borrowed parent */
        const void *owner;
        pid_t pid; /* also its session and its process group */
        uint64_t started_ticks;
        ChildEnded ended; /* NULL: dropped */
        void *userdata;
};

struct Children {
        sd_event_source *signal;
        GHashTable *table; /* pid → Child, until it is reaped */
};

static uint64_t boottime_usec(void) {
        struct timespec t;
        (void) clock_gettime(CLOCK_BOOTTIME, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

/* The kernel's clock for the age of processes: see proc(5), starttime. */
static uint64_t now_ticks(void) {
        return boottime_usec() / (USEC_PER_SEC / (uint64_t) sysconf(_SC_CLK_TCK));
}

/* When a process began, or 0 if it is gone or hidden from us. */
static uint64_t process_started_ticks(pid_t pid) {
        char path[64], text[1024];
        (void) snprintf(path, sizeof(path), "/proc/%i/stat", pid);
        g_auto(AutoFd) fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (n <= 0)
                return 0;
        text[n] = '\0';

        /* field 22; the name before field 3 is in parentheses, and may be anything */
        char *p = strrchr(text, ')');
        for (int field = 2; p && field < 22; field++)
                p = strchr(p + 1, ' ');
        return p ? strtoull(p + 1, NULL, 10) : 0;
}

/* Calls @found for each living or dead child of the main thread, who is the one that forks, and to whom orphans come. */
static int for_each_process(void (*found)(pid_t pid, void *userdata), void *userdata) {
        char path[64], text[4096];
        (void) snprintf(path, sizeof(path), "/proc/self/task/%i/children", (int) getpid());
        g_auto(AutoFd) fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        pid_t pid = 0;
        ssize_t n;
        while ((n = read(fd, text, sizeof(text))) > 0)
                for (ssize_t k = 0; k < n; k++)
                        if (text[k] >= '0' && text[k] <= '9') {
                                pid = pid * 10 + (text[k] - '0');
                        } else if (pid > 0) {
                                found(pid, userdata);
                                pid = 0;
                        }
        if (pid > 0)
                found(pid, userdata);
        return n < 0 ? -errno : 0;
}

static uint64_t children_oldest_ticks(Children *c) {
        uint64_t oldest = UINT64_MAX;
        GHashTableIter iter;
        gpointer value;
        g_hash_table_iter_init(&iter, c->table);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                oldest = MIN(oldest, ((Child *) value)->started_ticks);
        return oldest;
}

typedef struct Sweep {
        Children *children;
        uint64_t oldest_ticks;
} Sweep;

static void kill_orphan(pid_t pid, void *userdata) {
        const Sweep *s = userdata;
        if (g_hash_table_contains(s->children->table, GINT_TO_POINTER(pid)))
                return;
        if (process_started_ticks(pid) < s->oldest_ticks)
                (void) kill(pid, SIGKILL);
}

/* The children of those who die now come to us in turn, and are found at the SIGCHLD of their parents. */
static void children_sweep(Children *c) {
        Sweep s = { .children = c, .oldest_ticks = children_oldest_ticks(c) };
        static bool told;
        int r = for_each_process(kill_orphan, &s);
        if (r < 0 && !told) {
                log_warning_errno(r, "What checks leave running cannot be found: %m");
                told = true;
        }
}

/* One that has ended, and is not reaped yet: until then nobody else can have its number, and that of its group. */
static void child_reap(Children *c, const siginfo_t *si) {
        Child *child = g_hash_table_lookup(c->table, GINT_TO_POINTER(si->si_pid));
        if (child)
                (void) kill(-si->si_pid, SIGKILL);

        siginfo_t again;
        (void) waitid(P_PID, (id_t) si->si_pid, &again, WEXITED | WNOHANG);
        if (!child)
                return;
        (void) g_hash_table_steal(c->table, GINT_TO_POINTER(si->si_pid));
        if (child->ended)
                child->ended(si, child->userdata);
        g_free(child);
}

/* Return: whether there may be more. */
static bool children_reap(Children *c) {
        for (int n = 0; n < REAP_MAX; n++) {
                siginfo_t si = { .si_pid = 0 };
                if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0)
                        return false;
                child_reap(c, &si);
        }
        return true;
}

static int on_sigchld(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Children *c = userdata;
        if (children_reap(c))
                (void) kill(getpid(), SIGCHLD); /* to be called again */
        children_sweep(c);
        return 0;
}

/**
 * children_new() - no child yet
 * @ret: freed by children_free()
 *
 * SIGCHLD must be blocked in the whole process. Nobody else in it may have children.
 */
int children_new(Children **ret, sd_event *event) {
        g_autoptr(Children) c = g_new0(Children, 1);
        c->table = g_hash_table_new_full(NULL, NULL, NULL, g_free);

        if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
                return -errno;
        int r = sd_event_add_signal(event, &c->signal, SIGCHLD, on_sigchld, c);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(c->signal, "children");
        r = sd_event_source_set_priority(c->signal, EVENT_PRIORITY_RECEIVE);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&c);
        return 0;
}

static void kill_any(pid_t pid, void *userdata) {
        bool *some = userdata;
        (void) kill(-pid, SIGKILL);
        (void) kill(pid, SIGKILL);
        *some = true;
}

/**
 * children_free() - kills every child and every orphan, and those that come to us as these die
 * @c: may be NULL
 *
 * Waits until they are gone, but no longer than END_USEC: this is for the end of the process.
 */
Children *children_free(Children *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->signal);

        sigset_t sigchld;
        (void) sigemptyset(&sigchld);
        (void) sigaddset(&sigchld, SIGCHLD);
        const struct timespec round = { .tv_nsec = END_ROUND_NSEC };
        uint64_t end_usec = boottime_usec() + END_USEC;
        for (bool some = true; some && boottime_usec() < end_usec;) {
                some = false;
                if (for_each_process(kill_any, &some) < 0 || !some)
                        break;
                (void) sigtimedwait(&sigchld, NULL, &round);
                siginfo_t si;
                while (si.si_pid = 0, waitid(P_ALL, 0, &si, WEXITED | WNOHANG) >= 0 && si.si_pid != 0)
                        continue;
        }
        g_hash_table_unref(c->table);
        g_free(c);
        return NULL;
}

/* Between fork and what the child is for. */
static void child_prepare(pid_t parent) {
        sigset_t none;
        (void) sigemptyset(&none);
        for (int k = 1; k < NSIG; k++)
                (void) signal(k, SIG_DFL);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) setsid();

        /* Should we be killed, nobody else would kill it. */
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        (void) close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
}

/**
 * child_start() - forks
 * @ret: borrowed, until @ended is called or it is dropped
 * @owner: what children_has() asks for
 * @child_main: called in the child, with a session and default signals of its own, and close-on-exec for all but standard streams
 * @ended: called from the loop when the child itself has ended, whatever it leaves behind; then its process group is being killed
 *
 * Return: 0, or what fork() failed with.
 */
int child_start(Children *c, Child **ret, const void *owner, ChildMain child_main, ChildEnded ended, void *userdata) {
        pid_t parent = getpid();
        uint64_t started_ticks = now_ticks(); /* before: its own children are younger for sure */
        pid_t pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                child_prepare(parent);
                child_main(userdata);
        }

        Child *child = g_new0(Child, 1);
        child->children = c;
        child->owner = owner;
        child->pid = pid;
        child->started_ticks = started_ticks;
        child->ended = ended;
        child->userdata = userdata;
        g_hash_table_insert(c->table, GINT_TO_POINTER(pid), child);
        *ret = child;
        return 0;
}

/* It stays in the table until it is reaped. */
Child *child_drop(Child *child) {
        if (!child)
                return NULL;
        child->ended = NULL;
        (void) kill(-child->pid, SIGKILL);
        (void) kill(child->pid, SIGKILL); /* it may not have its own group yet */
        return NULL;
}

bool children_has(const Children *c, const void *owner) {
        GHashTableIter iter;
        gpointer value;
        g_hash_table_iter_init(&iter, c->table);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                if (((const Child *) value)->owner == owner)
                        return true;
        return false;
}
