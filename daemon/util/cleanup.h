/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Scope-bound ownership for what GLib does not know: file descriptors and sd-event objects. */
#include <glib.h>
#include <systemd/sd-event.h>
#include <unistd.h>

typedef int AutoFd; /* g_auto(AutoFd) fd = -1; closes itself when the scope ends */

static inline void auto_fd_clear(AutoFd *fd) {
        if (*fd >= 0)
                (void) close(*fd);
        *fd = -1;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AutoFd, auto_fd_clear)

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_event, sd_event_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_event_source, sd_event_source_unref)
