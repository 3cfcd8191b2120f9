/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What to probe, as the key file says it. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "checker/status-ranges.h"

typedef enum ProbeType {
        PROBE_TYPE_COMMAND,
        PROBE_TYPE_HTTP,
        PROBE_TYPE_TCP,
} ProbeType;

typedef struct ProbeConfig {
        uint32_t number;
        ProbeType type;
        uint64_t interval_usec, timeout_usec;
        char *problem; /* why it cannot be run: reported instead; NULL: it can */

        char **argv; /* command */

        char *url, *method, *ca_file, *unix_socket; /* http; NULL if not given */
        StatusRanges expect_status;
        GRegex *expect;
        bool verify_tls, follow_redirects;

        char *address; /* tcp */
} ProbeConfig;

void probe_config_free(ProbeConfig *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ProbeConfig, probe_config_free)

GPtrArray *probe_configs_parse(const char *text, size_t n_bytes); /* of ProbeConfig; NULL, after a log line */
