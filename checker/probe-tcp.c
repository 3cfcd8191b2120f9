/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connects, and that is all: nothing is sent. */
#include <errno.h>

#include "checker/probe.h"

typedef struct TcpRun {
        Probe *probe; /* borrowed */
        Transfer *transfer;
} TcpRun;

static void tcp_free(void *userdata) {
        TcpRun *run = userdata;
        (void) transfer_free(run->transfer);
        g_free(run);
}

static void on_connected(CURLcode code, void *userdata) {
        TcpRun *run = userdata;
        if (code == CURLE_OK) {
                probe_done(run->probe, CHECKER_OUTCOME_GOOD, "connected");
                return;
        }
        Line line;
        transfer_explain(run->transfer, code, &line);
        probe_done(run->probe, CHECKER_OUTCOME_BAD, "%s", line.text);
}

static void tcp_overtime(void *userdata, Line *line) {
        const TcpRun *run = userdata;
        transfer_explain(run->transfer, CURLE_OPERATION_TIMEDOUT, line);
}

static int tcp_start(Probe *p, void **ret_run) {
        const ProbeConfig *c = probe_config(p);
        TcpRun *run = g_new0(TcpRun, 1);
        *ret_run = run; /* whatever fails, the probe frees it */
        run->probe = p;

        /* a scheme that has no handshake of its own before we could let go */
        g_autofree char *url = g_strdup_printf("http://%s/", c->address);
        int r = transfer_new(probe_shared(p)->transfers, &run->transfer, url, c->timeout_usec, on_connected, run);
        if (r < 0)
                return r;
        if (curl_easy_setopt(transfer_handle(run->transfer), CURLOPT_CONNECT_ONLY, 1L) != CURLE_OK)
                return -EINVAL;
        return transfer_start(run->transfer);
}

const ProbeKind probe_tcp = {
        .start = tcp_start,
        .overtime = tcp_overtime,
        .free_run = tcp_free,
};
