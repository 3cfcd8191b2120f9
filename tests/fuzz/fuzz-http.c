/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <curl/curl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "checker/probe.h"
#include "fuzz.h"

/* Any bytes as what a web server answers to a probe of vipd-checker's, by the real libcurl over a real socket, and again wherever a redirect leads:
 * one report, of one line of valid text; and good is only what began as an answer of HTTP. The first byte says what the probe is like. */

#define ANSWER_BYTES_MAX (128 << 10) /* fits into the socket */
#define TIMEOUT_USEC UINT64_C(2000000)

static const uint8_t *answer;
static size_t n_answer_bytes;
static unsigned n_reports;
static bool good;

static void require(bool truth) {
        if (!truth)
                abort();
}

static void on_report(uint32_t number, CheckerOutcome outcome, const Line *line, void *userdata) {
        require(number == 7 && (outcome == CHECKER_OUTCOME_GOOD || outcome == CHECKER_OUTCOME_BAD));
        require(strlen(line->text) > 0 && strlen(line->text) <= CHECKER_TEXT_BYTES_MAX && g_utf8_validate(line->text, -1, NULL));
        for (const char *p = line->text; *p; p = g_utf8_next_char(p))
                require(g_unichar_isprint(g_utf8_get_char(p)));
        n_reports++;
        good = outcome == CHECKER_OUTCOME_GOOD;
}

/* The request is read, or the answer would be lost with it. */
static int on_request(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        char request[4096];

        if (recv(fd, request, sizeof(request), 0) > 0)
                (void) send(fd, answer, n_answer_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        (void) shutdown(fd, SHUT_RDWR);
        sd_event_source_unref(source);
        return 0;
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        sd_event_source *io = NULL;

        require(connection >= 0 && sd_event_add_io(sd_event_source_get_event(source), &io, connection, EPOLLIN, on_request, NULL) >= 0);
        require(sd_event_source_set_io_fd_own(io, true) >= 0);
        return 0;
}

static char *directory, *socket_path;

static void remove_socket(void) {
        (void) g_unlink(socket_path);
        (void) g_rmdir(directory);
}

static void listen_at_socket(sd_event *event) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        directory = g_dir_make_tmp("fuzz-http-XXXXXX", NULL);
        require(directory != NULL);
        socket_path = g_build_filename(directory, "s", NULL);
        require(strlen(socket_path) < sizeof(address.sun_path));
        memcpy(address.sun_path, socket_path, strlen(socket_path));
        require(fd >= 0 && bind(fd, (const struct sockaddr *) &address, sizeof(address)) == 0 && listen(fd, 16) == 0);
        require(atexit(remove_socket) == 0);
        require(sd_event_add_io(event, NULL, fd, EPOLLIN, on_connection, NULL) >= 0);
}

/* Before the fuzzer makes threads of its own, each of which could be the one that hears of the child and minds it not. */
static void __attribute__((constructor)) set_up_signals(void) {
        sigset_t blocked;

        (void) sigemptyset(&blocked);
        (void) sigaddset(&blocked, SIGCHLD);
        require(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0 && signal(SIGPIPE, SIG_IGN) != SIG_ERR);
}

static ProbeShared *set_up(void) {
        static ProbeShared shared;

        require(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
        require(sd_event_new(&shared.event) >= 0 && children_new(&shared.children, shared.event) >= 0);
        require(transfers_new(&shared.transfers, shared.event) >= 0);
        shared.report = on_report;
        listen_at_socket(shared.event);
        return &shared;
}

/* An expression costs a process for every input, so it is asked for by one byte alone. */
static ProbeConfig *make_config(uint8_t how) {
        ProbeConfig *c = g_new0(ProbeConfig, 1);

        c->number = 7;
        c->type = PROBE_TYPE_HTTP;
        c->interval_usec = UINT64_C(3600000000);
        c->timeout_usec = TIMEOUT_USEC;
        c->url = g_strdup("http://192.0.2.1/health");
        c->method = g_strdup(how & 1 ? "HEAD" : how & 2 ? "POST" : "GET");
        c->unix_socket = g_strdup(socket_path);
        /* where a redirect leads to TLS, the answer is none, whoever signed it; and the list of who may takes long to read */
        c->verify_tls = false;
        c->follow_redirects = how & 4;
        c->expect = how == '?' ? g_regex_new("fine|[0-9]{3} of", G_REGEX_RAW, 0, NULL) : NULL;
        require(status_ranges_parse("200-399", &c->expect_status) == 0);
        return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        static ProbeShared *shared;
        g_autoptr(ProbeConfig) config = NULL;
        g_autoptr(Probe) probe = NULL;

        if (n_bytes == 0 || n_bytes > ANSWER_BYTES_MAX)
                return 0;
        if (!shared)
                shared = set_up();
        answer = data + 1;
        n_answer_bytes = n_bytes - 1;
        n_reports = 0;
        config = make_config(data[0]);
        probe = probe_new(config, shared);
        require(probe_schedule(probe, 0) >= 0);
        while (n_reports == 0)
                require(sd_event_run(shared->event, UINT64_MAX) >= 0);
        require(n_reports == 1);
        require(!good || (n_answer_bytes >= 5 && g_ascii_strncasecmp((const char *) answer, "HTTP/", 5) == 0));
        return 0;
}
