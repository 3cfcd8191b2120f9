/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A machine that slept: preloaded into vipd, adds the seconds in the file $SLEPT to CLOCK_BOOTTIME and to nothing else, as a suspend does. A real one
 * would take the machine, and the test with it. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static time_t slept(void) {
        const char *path = getenv("SLEPT");
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

        if (r == 0 && clock == CLOCK_BOOTTIME)
                t->tv_sec += slept();
        return r;
}
