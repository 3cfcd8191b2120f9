/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "checker/line.h"
#include "checker/probe-config.h"
#include "checker/status-ranges.h"
#include "fuzz.h"
#include "util/log.h"

/* Any bytes as what a command or server said, as a list of status codes, and as a list of probes. */

static void require(bool truth) {
        if (!truth)
                abort();
}

/* One line of valid text within its length, which a second time does not change. */
static void fuzz_line(const char *bytes, size_t n_bytes) {
        Line line, again;
        size_t n = line_set(&line, bytes, n_bytes);

        require(n <= CHECKER_TEXT_BYTES_MAX && strlen(line.text) == n && g_utf8_validate(line.text, -1, NULL));
        require(n == 0 || (line.text[0] != ' ' && line.text[n - 1] != ' '));
        for (const char *p = line.text; *p; p = g_utf8_next_char(p))
                require(g_unichar_isprint(g_utf8_get_char(p)));
        line_format(&again, "%s", line.text);
        require(g_str_equal(again.text, line.text));
}

/* What is understood is within its limits, and says the same when it is written and read once more. */
static void fuzz_status_ranges(const char *bytes, size_t n_bytes) {
        g_autofree char *text = g_strndup(bytes, n_bytes);
        char written[STATUS_RANGES_TEXT_BYTES];
        StatusRanges a, b;

        if (status_ranges_parse(text, &a) < 0)
                return;
        require(a.n > 0 && a.n <= STATUS_RANGES_MAX);
        require(status_ranges_parse(status_ranges_format(&a, written), &b) == 0 && a.n == b.n);
        for (unsigned k = 0; k < a.n; k++)
                require(a.ranges[k].first == b.ranges[k].first && a.ranges[k].last == b.ranges[k].last);
        for (long status = 0; status < 1100; status++)
                require(status_ranges_have(&a, status) == status_ranges_have(&b, status) && (!status_ranges_have(&a, status) || status >= 100));
}

/* What can be run is complete. */
static void fuzz_probes(const char *bytes, size_t n_bytes) {
        g_autoptr(GPtrArray) configs = probe_configs_parse(bytes, n_bytes);

        for (guint k = 0; configs && k < configs->len; k++) {
                const ProbeConfig *c = g_ptr_array_index(configs, k);
                if (c->problem)
                        continue;
                require(c->interval_usec > 0 && c->timeout_usec > 0);
                switch (c->type) {
                case PROBE_TYPE_COMMAND:
                        require(c->argv && c->argv[0] && c->argv[0][0] == '/');
                        break;
                case PROBE_TYPE_HTTP:
                        require(g_ascii_strncasecmp(c->url, "http", 4) == 0 && *c->method != '\0' && !strpbrk(c->method, " \r\n") &&
                                c->expect_status.n > 0);
                        break;
                case PROBE_TYPE_TCP:
                        require(c->address && !strpbrk(c->address, "/@?# \r\n") && strchr(c->address, ':'));
                        break;
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        log_open("fuzz", LOG_TARGET_NONE, LOG_DAEMON);
        fuzz_line((const char *) data, n_bytes);
        fuzz_status_ranges((const char *) data, n_bytes);
        fuzz_probes((const char *) data, n_bytes);
        return 0;
}
