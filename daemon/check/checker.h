/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The process that runs the probes, vipd-checker: started when there are any, started again when it ends or is killed. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "checker/checker-protocol.h"

typedef struct Checker Checker;

/* Called from the loop. */
typedef struct CheckerObserver {
        void (*started)(void *userdata);
        void (*report)(void *userdata, uint32_t probe, bool good, const char *text); /* text: one line of UTF-8, short */
        void (*gone)(void *userdata);                                                /* nobody probes at the moment */
        void *userdata;
} CheckerObserver;

/* program: path, copied. */
int checker_new(Checker **ret, sd_event *event, const char *program, const CheckerObserver *observer);
Checker *checker_free(Checker *c);
/* The key file of checker-protocol.h with n_probes groups, copied; NULL: nothing is to be probed. What runs by another one is ended. */
void checker_set_probes(Checker *c, const char *key_file, uint32_t n_probes);
/* It does not answer: killed, and started again. */
void checker_replace(Checker *c);
bool checker_runs(const Checker *c);
uint64_t checker_n_starts(const Checker *c);

/* One datagram to its parts; false: it is none of ours. ret_text: CHECKER_TEXT_BYTES_MAX + 1 bytes, made one line of printable UTF-8. */
bool checker_parse_report(const void *datagram, size_t n_bytes, uint32_t n_probes, uint32_t *ret_probe, bool *ret_good, char *ret_text);
