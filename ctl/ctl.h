/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the command line asked for, and the verbs that do it. */
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

/* The program's exit codes, an interface: man/vipctl.1. */
typedef enum CtlExit {
        CTL_DONE = 0,
        CTL_FAILED = 1,
        CTL_USAGE = 2,
        CTL_NOT_IN_STATE = 3,
        CTL_NO_SUCH_INSTANCE = 4,
} CtlExit;

typedef enum JsonMode {
        JSON_OFF,
        JSON_SHORT,
        JSON_PRETTY,
} JsonMode;

typedef enum MetricsFormat {
        METRICS_OPENMETRICS,
        METRICS_PROMETHEUS,
} MetricsFormat;

#define CTL_USEC_UNSET UINT64_MAX

typedef struct Ctl {
        JsonMode json;
        MetricsFormat format;
        bool legend, pager, ask_password, quiet;
        const char *host, *machine; /* NULL: this one */
        uint64_t hold_usec;         /* --for=, or CTL_USEC_UNSET */
        uint64_t timeout_usec;      /* --timeout=, or CTL_USEC_UNSET */
        const char *verb;
        char **arguments; /* behind the verb; NULL-terminated */
        sd_bus *bus;      /* see client_open() */
} Ctl;

CtlExit verb_change(Ctl *c); /* demote, promote, enable, disable */
CtlExit verb_check(Ctl *c);
CtlExit verb_import(Ctl *c);
CtlExit verb_is_master(Ctl *c);
CtlExit verb_list(Ctl *c);
CtlExit verb_metrics(Ctl *c);
CtlExit verb_monitor(Ctl *c);
CtlExit verb_reload(Ctl *c);
CtlExit verb_statistics(Ctl *c);
CtlExit verb_status(Ctl *c);
CtlExit verb_wait(Ctl *c);

/* vipctl import, whole: argv[0] is the verb; returns the exit code. */
int import_main(int argc, char **argv);
