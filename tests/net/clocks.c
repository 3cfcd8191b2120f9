/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks of a machine that is not ours to set, or to put to sleep, as a test's neighbours have the same: preloaded into vipd, adds the seconds in the
 * file $WALL_CLOCK to CLOCK_REALTIME, as if somebody had set it, and those in $SLEPT to CLOCK_BOOTTIME, as a suspend does; to nothing else. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t shift(const char *variable) {
        const char *path = getenv(variable);
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        char text[32] = "";

        if (fd >= 0) {
                (void) !read(fd, text, sizeof(text) - 1);
                (void) close(fd);
        }
        return (time_t) atoll(text);
}

int clock_gettime(clockid_t clock, struct timespec *t) {
        int r = (int) syscall(SYS_clock_gettime, clock, t);

        if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
                t->tv_sec += shift("WALL_CLOCK");
        if (r == 0 && clock == CLOCK_BOOTTIME)
                t->tv_sec += shift("SLEPT");
        return r;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
        struct timespec now;

        (void) zone;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        *t = (struct timeval) { .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
        return 0;
}

time_t time(time_t *ret) {
        struct timespec now;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        if (ret)
                *ret = now.tv_sec;
        return now.tv_sec;
}
