/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/take-down.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "util/child.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/ratelimit.h"
#include "util/time-util.h"

/* To take a link down, the kernel waits until nobody on any processor looks at it any more: 5 to 15 ms on a small virtual machine, which is longer
 * than the fastest dead interval. So a child does it, for all links that are due. The kernel's lock for such changes is taken all the while, by
 * whoever waits: not at once, therefore, when the successor may need it, but when the change of roles is over. */

#define DELAY_USEC (200 * USEC_PER_MSEC)

struct TakeDown {
        sd_event *event;
        sd_event_source *timer, *child;
        GArray *due;   /* ifindex */
        GArray *doing; /* likewise: what the child does */
        RateLimit limit;
};

static const RateRule lines = { .interval_usec = 10 * USEC_PER_SEC, .burst = 1 };

/* Between fork and exit; nothing of ours is kept. That a link is gone is as good. */
static void __attribute__((noreturn)) child_run(const int *ifindexes, guint n) {
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        bool sent;
        int fd;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) close_range(0, ~0U, 0);
        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        sent = fd >= 0;
        for (guint k = 0; sent && k < n; k++) {
                struct {
                        struct nlmsghdr header;
                        struct ifinfomsg info;
                } m = {
                        .header = { .nlmsg_len = sizeof(m), .nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST },
                        .info = { .ifi_family = AF_UNSPEC, .ifi_index = ifindexes[k], .ifi_change = IFF_UP },
                };

                sent = sendto(fd, &m, sizeof(m), 0, (struct sockaddr *) &kernel, sizeof(kernel)) == (ssize_t) sizeof(m);
        }
        _exit(sent ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void arm(TakeDown *t) {
        bool wanted = t->due->len > 0 && !t->child;

        if (wanted)
                (void) sd_event_source_set_time_relative(t->timer, DELAY_USEC);
        (void) sd_event_source_set_enabled(t->timer, wanted ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int on_child(sd_event_source *s, const siginfo_t *si, void *userdata) {
        TakeDown *t = userdata;

        t->child = sd_event_source_disable_unref(t->child);
        /* for want of memory or descriptors: no news of the link may ever come */
        if (si->si_code != CLD_EXITED || si->si_status != EXIT_SUCCESS)
                g_array_append_vals(t->due, t->doing->data, t->doing->len);
        g_array_set_size(t->doing, 0);
        arm(t);
        return 0;
}

static int on_due(sd_event_source *s, uint64_t usec, void *userdata) {
        TakeDown *t = userdata;
        pid_t pid = child_fork(t->event, &t->child, on_child, t);
        uint64_t n_suppressed;
        char more[RATELIMIT_TEXT_BYTES];

        if (pid == 0)
                child_run((const int *) (const void *) t->due->data, t->due->len);
        if (pid > 0) {
                (void) sd_event_source_set_priority(t->child, EVENT_PRIORITY_IDLE);
                g_array_append_vals(t->doing, t->due->data, t->due->len);
                g_array_set_size(t->due, 0);
        } else if (ratelimit_pass(&t->limit, &lines, usec, &n_suppressed))
                log_warning_errno(pid, "No process to take links down: %m%s", ratelimit_format(n_suppressed, more));
        arm(t);
        return 0;
}

int take_down_new(TakeDown **ret, sd_event *event) {
        g_autoptr(TakeDown) t = g_new0(TakeDown, 1);
        int r;

        t->event = sd_event_ref(event);
        t->due = g_array_new(false, false, sizeof(int));
        t->doing = g_array_new(false, false, sizeof(int));
        r = sd_event_add_time(event, &t->timer, CLOCK_BOOTTIME, 0, EVENT_ACCURACY_USEC, on_due, t);
        if (r >= 0)
                r = sd_event_source_set_priority(t->timer, EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&t);
        return 0;
}

TakeDown *take_down_free(TakeDown *t) {
        if (!t)
                return NULL;
        sd_event_source_disable_unref(t->timer);
        sd_event_source_disable_unref(t->child);
        g_array_unref(t->due);
        g_array_unref(t->doing);
        sd_event_unref(t->event);
        g_free(t);
        return NULL;
}

static void forget(GArray *ifindexes, int ifindex) {
        for (guint k = ifindexes->len; k > 0; k--)
                if (g_array_index(ifindexes, int, k - 1) == ifindex)
                        g_array_remove_index_fast(ifindexes, k - 1);
}

void take_down_cancel(TakeDown *t, int ifindex) {
        forget(t->due, ifindex);
        forget(t->doing, ifindex);
}

void take_down_reserve(TakeDown *t, unsigned n) {
        guint n_due = t->due->len;

        g_array_set_size(t->due, n_due + n);
        g_array_set_size(t->due, n_due);
}

void take_down_add(TakeDown *t, int ifindex) {
        take_down_cancel(t, ifindex);
        g_array_append_val(t->due, ifindex);
        arm(t);
}
