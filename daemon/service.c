/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/time-util.h"

/* Our side of sd_notify(3)'s protocol. Not by libsystemd's own function, which waits when the service manager does not read, as one that is
 * frozen or busy reloading: the election would wait with it. A status line or sign of life that cannot be sent at once is dropped, as the next
 * comes soon; what has no next (ready, reloading, stopping) is sent again a moment later. Knows the manager's list of instances, and nothing of buses and elections. */

#define RETRY_USEC (100 * USEC_PER_MSEC)

struct Service {
        Manager *manager; /* borrowed */
        AutoFd fd;        /* -1: no service manager */
        struct sockaddr_un address;
        socklen_t n_address_bytes;
        sd_event_source *status, *watchdog, *retry;
        uint64_t watchdog_usec; /* between two signs of life */
        char *told;             /* the last status line */
        char *owed;             /* could not be sent yet */
};

static int notify(const Service *s, const char *text, int attached_fd) {
        union {
                struct cmsghdr header;
                uint8_t bytes[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        struct iovec data = { .iov_base = (char *) text, .iov_len = strlen(text) };
        struct msghdr message = {
                .msg_name = (void *) &s->address,
                .msg_namelen = s->n_address_bytes,
                .msg_iov = &data,
                .msg_iovlen = 1,
        };

        if (s->fd < 0)
                return -ENOTCONN;
        if (attached_fd >= 0) {
                control.header = (struct cmsghdr) { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
                memcpy(CMSG_DATA(&control.header), &attached_fd, sizeof(int));
                message.msg_control = &control;
                message.msg_controllen = sizeof(control);
        }
        return sendmsg(s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int open_socket(Service *s) {
        const char *path = g_getenv("NOTIFY_SOCKET");
        size_t n = path ? strlen(path) : 0;

        s->fd = -1;
        if (n == 0)
                return 0;
        if (n >= sizeof(s->address.sun_path) || (path[0] != '/' && path[0] != '@'))
                return -EINVAL;
        s->address.sun_family = AF_UNIX;
        memcpy(s->address.sun_path, path, n);
        if (path[0] == '@')
                s->address.sun_path[0] = '\0';
        s->n_address_bytes = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/'));
        s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return s->fd < 0 ? -errno : 0;
}

static char *describe(const Service *s) {
        g_autoptr(GPtrArray) list = manager_list(s->manager);
        unsigned n[N_ELECTION_STATES] = { 0 };
        GString *text = g_string_new(NULL);

        for (guint k = 0; k < list->len; k++)
                n[instance_state(g_ptr_array_index(list, k))]++;
        g_string_printf(text, "%u instance%s", list->len, list->len == 1 ? "" : "s");
        for (int state = ELECTION_STATE_MASTER; state >= ELECTION_STATE_INIT; state--)
                if (n[state] > 0)
                        g_string_append_printf(text, "%s %u %s", strchr(text->str, ':') ? "," : ":", n[state],
                                               election_state_to_string((ElectionState) state));
        return g_string_free(text, false);
}

static int on_status(sd_event_source *source, void *userdata) {
        Service *s = userdata;
        g_autofree char *text = describe(s), *message = g_strdup_printf("STATUS=%s", text);

        if (g_strcmp0(text, s->told) != 0 && notify(s, message, -1) >= 0) {
                g_free(s->told);
                s->told = g_steal_pointer(&text);
        }
        return 0;
}

/* From the same loop, after everything that had to be done: who hangs in it gives no sign of life. */
static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata) {
        Service *s = userdata;
        uint64_t now_usec = usec;

        (void) notify(s, "WATCHDOG=1", -1);
        (void) on_status(NULL, s); /* in case the last line was dropped */
        (void) sd_event_now(sd_event_source_get_event(source), CLOCK_BOOTTIME, &now_usec);
        (void) sd_event_source_set_time(source, now_usec + s->watchdog_usec);
        (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

/* message: taken. A newer one replaces one that still waits. */
static void tell(Service *s, char *message) {
        int r = notify(s, message, -1);

        g_free(s->owed);
        /* its queue is full, or the kernel is short of memory; anything else does not pass by itself */
        s->owed = r == -EAGAIN || r == -ENOBUFS || r == -ENOMEM ? message : NULL;
        if (!s->owed) {
                g_free(message);
                return;
        }
        (void) sd_event_source_set_time_relative(s->retry, RETRY_USEC);
        (void) sd_event_source_set_enabled(s->retry, SD_EVENT_ONESHOT);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Service *s = userdata;

        tell(s, g_steal_pointer(&s->owed));
        return 0;
}

static int start_watchdog(Service *s, sd_event *event) {
        uint64_t timeout_usec = 0;
        int r = sd_watchdog_enabled(false, &timeout_usec);

        if (r <= 0 || s->fd < 0)
                return r;
        s->watchdog_usec = timeout_usec / 3;
        r = sd_event_add_time_relative(event, &s->watchdog, CLOCK_BOOTTIME, s->watchdog_usec, EVENT_ACCURACY_USEC, on_watchdog, s);
        return r < 0 ? r : sd_event_source_set_priority(s->watchdog, EVENT_PRIORITY_IDLE);
}

int service_new(Service **ret, sd_event *event, Manager *manager) {
        g_autoptr(Service) s = g_new0(Service, 1);
        int r;

        s->manager = manager;
        r = open_socket(s);
        if (r < 0)
                log_warning_errno(r, "The service manager's socket cannot be used, ignoring it: %m");
        r = sd_event_add_defer(event, &s->status, on_status, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->status, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(s->status, EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_add_time(event, &s->retry, CLOCK_BOOTTIME, 0, EVENT_ACCURACY_USEC, on_retry, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->retry, SD_EVENT_OFF);
        if (r >= 0)
                r = start_watchdog(s, event);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&s);
        return 0;
}

Service *service_free(Service *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->status);
        sd_event_source_disable_unref(s->watchdog);
        sd_event_source_disable_unref(s->retry);
        auto_fd_clear(&s->fd);
        g_free(s->told);
        g_free(s->owed);
        g_free(s);
        return NULL;
}

bool service_is_managed(const Service *s) {
        return s->fd >= 0;
}

void service_ready(Service *s) {
        tell(s, g_strdup("READY=1"));
        (void) on_status(NULL, s);
}

void service_reloading(Service *s) {
        struct timespec now;

        /* CLOCK_MONOTONIC is what the protocol asks for here (sd_notify(3), Type=notify-reload) */
        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        tell(s, g_strdup_printf("RELOADING=1\nMONOTONIC_USEC=%" G_GUINT64_FORMAT,
                                (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000));
}

void service_stopping(Service *s, uint64_t timeout_usec) {
        tell(s, g_strdup_printf("STOPPING=1\nEXTEND_TIMEOUT_USEC=%" G_GUINT64_FORMAT, timeout_usec));
}

void service_changed(Service *s) {
        (void) sd_event_source_set_enabled(s->status, SD_EVENT_ONESHOT);
}

void service_forget(Service *s, const char *name) {
        g_autofree char *message = g_strdup_printf("FDSTOREREMOVE=1\nFDNAME=%s", name);

        (void) notify(s, message, -1);
}

int service_store(Service *s, const char *name, int fd) {
        g_autofree char *message = g_strdup_printf("FDSTORE=1\nFDNAME=%s", name);

        /* The store has one place, and is silent when that is taken: as it is if what was to remove the last one did not get there. */
        service_forget(s, name);
        return notify(s, message, fd);
}
