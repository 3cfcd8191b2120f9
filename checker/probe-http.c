/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks a web server, and holds its answer to a status and to a regular expression. What is kept of an answer is bounded, and so is what is read;
 * an answer must also come to its end. The expression is searched for in a child, as there are bodies on which that takes for ever. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checker/probe.h"

/* Who says more in headers, interim answers and redirects than this does not want to be understood. */
#define HEADER_MAX_BYTES (UINT64_C(64) * 1024)

/* The expression sees the beginning of a body; the rest is read to its end, up to a limit. */
#define BODY_KEPT_BYTES (UINT64_C(64) * 1024)
#define BODY_MAX_BYTES (UINT64_C(16) * 1024 * 1024)

#define REDIRECTS_MAX 5L

#define CA_CACHE_SEC 300L

/* What the child that searches exits with. */
enum {
        SEARCH_FOUND = 0,
        SEARCH_NOT_FOUND = 1,
        SEARCH_FAILED = 2,
};

typedef struct HttpRun {
        Probe *probe; /* borrowed */
        Transfer *transfer;
        Child *search;
        size_t n_header_bytes;
        Line reason; /* phrase of the last status line */
        GByteArray *body;
        uint64_t n_body_bytes;
} HttpRun;

static void http_free(void *userdata) {
        HttpRun *run = userdata;
        (void) child_drop(run->search);
        (void) transfer_free(run->transfer);
        g_byte_array_unref(run->body);
        g_free(run);
}

static long http_status(HttpRun *run) {
        long status = 0;
        (void) curl_easy_getinfo(transfer_handle(run->transfer), CURLINFO_RESPONSE_CODE, &status);
        return status;
}

/* "200 OK" */
static void http_answer(HttpRun *run, Line *line) {
        line_format(line, "%li %s", http_status(run), run->reason.text);
}

static void http_done(HttpRun *run, CheckerOutcome outcome, const char *what) {
        Line answer;
        http_answer(run, &answer);
        probe_done(run->probe, outcome, "%s%s", answer.text, what);
}

static void __attribute__((noreturn)) search_body(void *userdata) {
        const HttpRun *run = userdata;
        GError *error = NULL;
        bool found = g_regex_match_full(probe_config(run->probe)->expect, (const char *) run->body->data, (gssize) run->body->len, 0, 0, NULL,
                                        &error);
        _exit(error ? SEARCH_FAILED : found ? SEARCH_FOUND : SEARCH_NOT_FOUND);
}

static void on_searched(const siginfo_t *si, void *userdata) {
        HttpRun *run = userdata;
        run->search = NULL; /* it is gone by itself */

        if (si->si_code == CLD_EXITED && si->si_status == SEARCH_FOUND)
                http_done(run, CHECKER_OUTCOME_GOOD, "");
        else if (si->si_code == CLD_EXITED && si->si_status == SEARCH_NOT_FOUND)
                http_done(run, CHECKER_OUTCOME_BAD,
                          run->n_body_bytes > BODY_KEPT_BYTES ? ", but the first 64 KiB of the body are not as expected" :
                                                                ", but the body is not as expected");
        else
                http_done(run, CHECKER_OUTCOME_BAD, ", but the body is too much for the expression");
}

static void http_judge(HttpRun *run) {
        const ProbeConfig *c = probe_config(run->probe);
        if (!status_ranges_have(&c->expect_status, http_status(run))) {
                char expected[STATUS_RANGES_TEXT_BYTES];
                probe_done(run->probe, CHECKER_OUTCOME_BAD, "status %li, expected %s", http_status(run),
                           status_ranges_format(&c->expect_status, expected));
                return;
        }
        if (!c->expect) {
                http_done(run, CHECKER_OUTCOME_GOOD, "");
                return;
        }
        /* GLib wants bytes, also where there are none */
        g_byte_array_append(run->body, (const guint8 *) "", 1);
        g_byte_array_set_size(run->body, run->body->len - 1);
        int r = child_start(probe_shared(run->probe)->children, &run->search, run->probe, search_body, on_searched, run);
        if (r < 0)
                probe_done(run->probe, CHECKER_OUTCOME_BAD, "cannot be started: %s", g_strerror(-r));
}

/* Said by whoever notices first, libcurl or the probe. */
static void http_overtime(void *userdata, Line *line) {
        HttpRun *run = userdata;
        Line answer, time;
        if (run->search) {
                line_format(line, "the body is too much for the expression");
        } else if (http_status(run) > 0) {
                http_answer(run, &answer);
                line_duration(&time, probe_config(run->probe)->timeout_usec);
                line_format(line, "%s, but not complete within %s", answer.text, time.text);
        } else {
                transfer_explain(run->transfer, CURLE_OPERATION_TIMEDOUT, line);
        }
}

static void on_transferred(CURLcode code, void *userdata) {
        HttpRun *run = userdata;
        Line line;
        if (code == CURLE_OK) {
                http_judge(run);
                return;
        }
        if (code == CURLE_WRITE_ERROR && run->n_header_bytes > HEADER_MAX_BYTES)
                line_format(&line, "the headers do not end within 64 KiB");
        else if (code == CURLE_WRITE_ERROR && run->n_body_bytes > BODY_MAX_BYTES)
                line_format(&line, "the body does not end within 16 MiB");
        else if (code == CURLE_OPERATION_TIMEDOUT)
                http_overtime(run, &line);
        else
                transfer_explain(run->transfer, code, &line);
        probe_done(run->probe, CHECKER_OUTCOME_BAD, "%s", line.text);
}

/* One line of a header, or of a trailer. Whatever else is returned ends the transfer. */
static size_t on_header(char *bytes, size_t size, size_t n_bytes, void *userdata) {
        HttpRun *run = userdata;
        run->n_header_bytes += n_bytes;
        if (run->n_header_bytes > HEADER_MAX_BYTES)
                return 0;

        if (n_bytes > 5 && memcmp(bytes, "HTTP/", 5) == 0) {
                const char *phrase = memchr(bytes, ' ', n_bytes);
                phrase = phrase ? memchr(phrase + 1, ' ', (size_t) (bytes + n_bytes - (phrase + 1))) : NULL;
                (void) line_set(&run->reason, phrase ? phrase : "", phrase ? (size_t) (bytes + n_bytes - phrase) : 0);
        }
        return n_bytes;
}

static size_t on_body(char *bytes, size_t size, size_t n_bytes, void *userdata) {
        HttpRun *run = userdata;
        run->n_body_bytes += n_bytes;
        if (run->n_body_bytes > BODY_MAX_BYTES)
                return 0;
        if (probe_config(run->probe)->expect)
                g_byte_array_append(run->body, (const guint8 *) bytes, (guint) MIN(n_bytes, BODY_KEPT_BYTES - run->body->len));
        return n_bytes;
}

static int http_set_options(HttpRun *run, const ProbeConfig *c) {
        CURL *easy = transfer_handle(run->transfer);
        CURLcode code = CURLE_OK;
#define SET(option, value) (code = code != CURLE_OK ? code : curl_easy_setopt(easy, (option), (value)))
        SET(CURLOPT_USERAGENT, "vipd-checker/" VIPD_VERSION);
        SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
        SET(CURLOPT_HEADERFUNCTION, on_header);
        SET(CURLOPT_HEADERDATA, run);
        SET(CURLOPT_WRITEFUNCTION, on_body);
        SET(CURLOPT_WRITEDATA, run);
        SET(CURLOPT_FOLLOWLOCATION, c->follow_redirects ? 1L : 0L);
        SET(CURLOPT_MAXREDIRS, REDIRECTS_MAX);
        SET(CURLOPT_SSL_VERIFYPEER, c->verify_tls ? 1L : 0L);
        SET(CURLOPT_SSL_VERIFYHOST, c->verify_tls ? 2L : 0L);
        if (c->ca_file) {
                SET(CURLOPT_CAINFO, c->ca_file);
                SET(CURLOPT_CAPATH, NULL); /* that one alone */
        } else {
                /* The system's many are read from time to time only; this is not known to every libcurl. */
                (void) curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_SEC);
        }
        if (c->unix_socket)
                SET(CURLOPT_UNIX_SOCKET_PATH, c->unix_socket);

        if (strcmp(c->method, "HEAD") == 0) {
                SET(CURLOPT_NOBODY, 1L);
        } else if (strcmp(c->method, "POST") == 0) {
                SET(CURLOPT_POSTFIELDS, "");
        } else if (strcmp(c->method, "GET") != 0) {
                SET(CURLOPT_CUSTOMREQUEST, c->method);
        }
#undef SET
        return code == CURLE_OK ? 0 : code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

static int http_start(Probe *p, void **ret_run) {
        const ProbeConfig *c = probe_config(p);
        if (children_has(probe_shared(p)->children, p)) /* the search of the last run */
                return -EBUSY;

        HttpRun *run = g_new0(HttpRun, 1);
        *ret_run = run; /* whatever fails, the probe frees it */
        run->probe = p;
        run->body = g_byte_array_new();
        (void) line_set(&run->reason, "", 0);

        int r = transfer_new(probe_shared(p)->transfers, &run->transfer, c->url, c->timeout_usec, on_transferred, run);
        if (r < 0)
                return r;
        r = http_set_options(run, c);
        if (r < 0)
                return r;
        return transfer_start(run->transfer);
}

const ProbeKind probe_http = {
        .start = http_start,
        .overtime = http_overtime,
        .free_run = http_free,
};
