/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the service manager must hear, it hears, though not at once. */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "service.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/time-util.h"

GPtrArray *manager_list(Manager *m) {
        return g_ptr_array_new();
}

ElectionState instance_state(const Instance *i) {
        g_assert_not_reached();
}

static int refusal; /* of the kernel; 0: none */
static unsigned n_refused;

ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
        if (refusal == 0)
                return syscall(SYS_sendmsg, fd, m, flags);
        n_refused++;
        errno = refusal;
        return -1;
}

typedef struct Fixture {
        char *directory, *path;
        AutoFd manager; /* the service manager's end */
        sd_event *event;
        Service *service;
} Fixture;

static void set_up(Fixture *f, gconstpointer data) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        f->directory = g_dir_make_tmp("test-service-XXXXXX", NULL);
        f->path = g_build_filename(f->directory, "notify", NULL);
        g_strlcpy(address.sun_path, f->path, sizeof(address.sun_path));
        f->manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(bind(f->manager, (struct sockaddr *) &address, sizeof(address)), ==, 0);
        g_setenv("NOTIFY_SOCKET", f->path, true);
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(service_new(&f->service, f->event, NULL), >=, 0);
        refusal = 0;
        n_refused = 0;
}

static void tear_down(Fixture *f, gconstpointer data) {
        service_free(f->service);
        sd_event_unref(f->event);
        auto_fd_clear(&f->manager);
        g_assert_cmpint(g_unlink(f->path), ==, 0);
        g_assert_cmpint(g_rmdir(f->directory), ==, 0);
        g_free(f->path);
        g_free(f->directory);
}

/* The next message that is no status line, or "". */
static char *hear(const Fixture *f) {
        char text[256];
        ssize_t n;

        while ((n = recv(f->manager, text, sizeof(text) - 1, 0)) >= 0) {
                text[n] = '\0';
                if (!g_str_has_prefix(text, "STATUS="))
                        return g_strdup(text);
        }
        return g_strdup("");
}

static void run(const Fixture *f, uint64_t usec) {
        uint64_t end_usec = clock_usec() + usec;

        for (uint64_t t; (t = clock_usec()) < end_usec;)
                g_assert_cmpint(sd_event_run(f->event, end_usec - t), >=, 0);
}

#define assert_hears(f, expected)                         \
        do {                                              \
                g_autofree char *heard_ = hear(f);        \
                g_assert_cmpstr(heard_, ==, expected);    \
        } while (false)

static void test_ready_is_said_once(Fixture *f, gconstpointer data) {
        service_ready(f->service);
        run(f, 250 * USEC_PER_MSEC);
        assert_hears(f, "READY=1");
        assert_hears(f, "");
}

static void test_what_is_refused_for_a_moment_is_said_again(Fixture *f, gconstpointer data) {
        static const int errors[] = { EAGAIN, ENOBUFS, ENOMEM };

        for (size_t k = 0; k < G_N_ELEMENTS(errors); k++) {
                refusal = errors[k];
                service_ready(f->service);
                run(f, 250 * USEC_PER_MSEC);
                assert_hears(f, "");
                refusal = 0;
                run(f, 250 * USEC_PER_MSEC);
                assert_hears(f, "READY=1");
                assert_hears(f, "");
        }
}

/* Its socket is gone: nobody will hear. */
static void test_what_is_refused_for_good_is_not(Fixture *f, gconstpointer data) {
        unsigned n;

        refusal = ECONNREFUSED;
        service_ready(f->service);
        n = n_refused;
        run(f, 250 * USEC_PER_MSEC);
        g_assert_cmpuint(n_refused, ==, n);
}

static void test_the_newest_replaces_what_waits(Fixture *f, gconstpointer data) {
        refusal = ENOBUFS;
        service_ready(f->service);
        service_stopping(f->service, 7);
        refusal = 0;
        run(f, 250 * USEC_PER_MSEC);
        assert_hears(f, "STOPPING=1\nEXTEND_TIMEOUT_USEC=7");
        assert_hears(f, "");
}

/* What a restart hands over takes the place of what was handed over before, and could not be removed at the start. */
static void test_what_is_stored_has_the_place_alone(Fixture *f, gconstpointer data) {
        refusal = ENOBUFS;
        service_forget(f->service, "handover");
        g_assert_cmpint(service_store(f->service, "handover", f->manager), ==, -ENOBUFS);
        refusal = 0;
        g_assert_cmpint(service_store(f->service, "handover", f->manager), ==, 0);
        assert_hears(f, "FDSTOREREMOVE=1\nFDNAME=handover");
        assert_hears(f, "FDSTORE=1\nFDNAME=handover");
        assert_hears(f, "");
}

int main(int argc, char **argv) {
        log_open("test-service", LOG_TARGET_STDERR, LOG_DAEMON);
        g_test_init(&argc, &argv, NULL);
#define add(path, function) g_test_add("/service/" path, Fixture, NULL, set_up, function, tear_down)
        add("ready-is-said-once", test_ready_is_said_once);
        add("refused-for-a-moment", test_what_is_refused_for_a_moment_is_said_again);
        add("refused-for-good", test_what_is_refused_for_good_is_not);
        add("newest-replaces-what-waits", test_the_newest_replaces_what_waits);
        add("what-is-stored-has-the-place-alone", test_what_is_stored_has_the_place_alone);
        return g_test_run();
}
