/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What a restart carries over, as text in a memory file that the service manager keeps between two processes. */
#include <glib.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "instance.h"
#include "unit-ops.h"

#define HANDOVER_FD_NAME "vipd-state"

typedef struct HandoverEntry {
        char *name;
        char interface[IF_NAMESIZE];
        uint8_t vhid;
        InstanceMemory memory;
        bool units_certain; /* systemd was told `units`, and all that followed is over */
        UnitsRole units;
        bool script_pending; /* one runs still, or waits: */
        bool script_up;      /* the last one */
        char **failing; /* names of the checks that count as failed; NULL: none */
} HandoverEntry;

void handover_entry_free(void *entry);

char *handover_format(GPtrArray *entries);                   /* HandoverEntry *; caller frees */
GPtrArray *handover_parse(const char *text, size_t n_bytes); /* HandoverEntry *, owned; NULL: not understood, or of another version */
/* A file descriptor of a memory file with this content, or -errno. Caller closes. */
int handover_write(const char *text);
/* What the process before us left with the service manager, and makes sure that it is not taken for news twice. NULL: nothing. */
GPtrArray *handover_take(void);
