/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "check/checker.h"
#include "fuzz.h"

/* Any bytes as a datagram of vipd-checker's, which reads what foreign hosts send: what is believed is about a probe that there is, and one line of
 * valid text within its length. */

#define N_PROBES 3

static void require(bool truth) {
        if (!truth)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        char text[CHECKER_TEXT_BYTES_MAX + 1];
        uint32_t probe;
        bool good;

        memset(text, 'x', sizeof(text));
        if (!checker_parse_report(data, n_bytes, N_PROBES, &probe, &good, text))
                return 0;
        require(n_bytes >= CHECKER_REPORT_BYTES_MIN && n_bytes <= CHECKER_REPORT_BYTES_MAX);
        require(probe < N_PROBES && memchr(text, '\0', sizeof(text)));
        require(g_utf8_validate(text, -1, NULL));
        for (const char *p = text; *p; p = g_utf8_next_char(p))
                require(!g_unichar_iscntrl(g_utf8_get_char(p)));
        return 0;
}
