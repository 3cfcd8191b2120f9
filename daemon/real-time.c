/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "real-time.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "util/log.h"

static bool is_real_time(void) {
        int policy = sched_getscheduler(0);

        return policy >= 0 && ((policy & ~SCHED_RESET_ON_FORK) == SCHED_RR || (policy & ~SCHED_RESET_ON_FORK) == SCHED_FIFO);
}

void real_time_lock_memory(void) {
        struct rlimit limit;

        if (!is_real_time())
                return;
        if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_cur != RLIM_INFINITY)
                log_notice("Scheduled in real time, but memory is not locked: for that LimitMEMLOCK= must be infinity");
        else if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
                log_warning_errno(-errno, "Cannot lock memory: %m");
}
