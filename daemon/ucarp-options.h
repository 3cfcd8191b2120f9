/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* ucarp's command line, read into one InstanceConfig. */
#include <stdbool.h>

#include "config.h"

typedef struct UcarpOptions {
        InstanceConfig *config; /* complete but for its name; the interface is "" if none was named. Owned */
        bool run_down_script;   /* -z: run the down script at exit */
        bool daemonize, debug;
        bool syslog;
        int facility;
} UcarpOptions;

typedef enum UcarpOutcome {
        UCARP_OUTCOME_RUN,
        UCARP_OUTCOME_HELP,
        UCARP_OUTCOME_WRONG_OPTION, /* a value that can be judged by itself; said so in the log */
        UCARP_OUTCOME_CANNOT_START, /* well-formed, but nothing to run an election with; said so in the log */
} UcarpOutcome;

/* Wipes the passphrase in argv and, as getopt_long() does, sorts argv. ret is written only with UCARP_OUTCOME_RUN. */
UcarpOutcome ucarp_options_parse(int argc, char **argv, UcarpOptions *ret);
void ucarp_options_clear(UcarpOptions *o);
extern const char ucarp_options_help[];
