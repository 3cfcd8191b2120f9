/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* libcurl on our loop: connections that never wait, each for one probe only. */
#include <curl/curl.h>
#include <glib.h>
#include <systemd/sd-event.h>

#include "checker/line.h"

typedef struct Transfers Transfers;
typedef struct Transfer Transfer;
typedef void (*TransferEnded)(CURLcode code, void *userdata);

int transfers_new(Transfers **ret, sd_event *event);
Transfers *transfers_free(Transfers *t); /* no transfer may be left */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Transfers, transfers_free)

int transfer_new(Transfers *t, Transfer **ret, const char *url, uint64_t timeout_usec, TransferEnded ended, void *userdata);
CURL *transfer_handle(Transfer *x); /* for further options; borrowed */
int transfer_start(Transfer *x);
Transfer *transfer_free(Transfer *x); /* breaks the connection off; may be NULL */
void transfer_explain(const Transfer *x, CURLcode code, Line *line); /* what went wrong */
