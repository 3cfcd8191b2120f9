/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What vipd and vipd-checker say to each other: two file descriptors, one key file, one kind of datagram. */
#include <stddef.h>
#include <stdint.h>

/* Where vipd-checker finds what it was given. The socket is SOCK_SEQPACKET and carries reports, one a datagram, to vipd only; its end ends the
 * process. The memory file holds a key file, and is read once: other probes are another process. */
#define CHECKER_FD_REPORTS 3
#define CHECKER_FD_PROBES 4

/* The key file: a group per probe, named by its number: 0, 1, and so on. Times are in microseconds, Argv is a string list, VerifyTLS and
 * FollowRedirects are booleans, all else is text. Type, IntervalUSec and TimeoutUSec are required, and of the others, what the type is about. */
#define CHECKER_KEY_TYPE "Type"
#define CHECKER_KEY_INTERVAL "IntervalUSec"
#define CHECKER_KEY_TIMEOUT "TimeoutUSec"
#define CHECKER_KEY_ARGV "Argv"                        /* command */
#define CHECKER_KEY_URL "URL"                          /* http */
#define CHECKER_KEY_METHOD "Method"                    /* http; GET if absent */
#define CHECKER_KEY_EXPECT_STATUS "ExpectStatus"       /* http; CHECKER_EXPECT_STATUS_DEFAULT if absent */
#define CHECKER_KEY_EXPECT "Expect"                    /* http; any body will do if absent */
#define CHECKER_KEY_VERIFY_TLS "VerifyTLS"             /* http; true if absent */
#define CHECKER_KEY_CA_FILE "CAFile"                   /* http; the system's if absent */
#define CHECKER_KEY_UNIX_SOCKET "UnixSocket"           /* http */
#define CHECKER_KEY_FOLLOW_REDIRECTS "FollowRedirects" /* http; false if absent */
#define CHECKER_KEY_ADDRESS "Address"                  /* tcp */

#define CHECKER_TYPE_COMMAND "command"
#define CHECKER_TYPE_HTTP "http"
#define CHECKER_TYPE_TCP "tcp"

#define CHECKER_EXPECT_STATUS_DEFAULT "200-299"

/* How Expect is compiled, on both sides alike; these are GRegexCompileFlags. A body may be in any encoding, and has lines. */
#define CHECKER_EXPECT_FLAGS (G_REGEX_RAW | G_REGEX_MULTILINE)

#define CHECKER_PROBES_MAX 1024
#define CHECKER_PROBES_BYTES_MAX (INT64_C(1024) * 1024)
#define CHECKER_TEXT_BYTES_MAX 240
#define CHECKER_INTERVAL_USEC_MIN UINT64_C(10000)
#define CHECKER_TIMEOUT_USEC_MIN UINT64_C(1000)
#define CHECKER_TIME_USEC_MAX (UINT64_C(24) * 3600 * 1000000) /* of both */

/* The times between two starts of a probe vary by this much to both sides, so that hosts and probes do not march in step. */
#define CHECKER_JITTER_PERCENT 10

typedef enum CheckerOutcome {
        CHECKER_OUTCOME_GOOD = 0,
        CHECKER_OUTCOME_BAD = 1,
} CheckerOutcome;

/* One datagram: these two numbers in the host's order, then the text, as long as the datagram is, without a NUL: one line of valid UTF-8 without
 * control characters. A reader shall hold it to that, as foreign bytes were read in the process that wrote it. */
typedef struct CheckerReport {
        uint32_t probe;   /* the number of its group */
        uint32_t outcome; /* CheckerOutcome */
        char text[CHECKER_TEXT_BYTES_MAX];
} CheckerReport;

#define CHECKER_REPORT_BYTES_MIN offsetof(CheckerReport, text)
#define CHECKER_REPORT_BYTES_MAX sizeof(CheckerReport)
