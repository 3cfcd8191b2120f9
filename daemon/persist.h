/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What outlives the process, in the state directory: that an instance is disabled, and what strict mode knows. */
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "core/replay.h"

/* How many sequence numbers each save reserves for what is sent until the next one: more than an hour of the fastest adverts, so that a disk may
 * be full for as long. */
#define PERSIST_SEQUENCE_STEP (UINT64_C(1) << 20)

typedef struct Persist Persist;

/* The file holds more than was known, as whoever mounts the directory may come after us; the next save has kept it. Called from the loop. */
typedef void (*PersistFound)(void *userdata, const char *name, const ReplayState *state);

/* state_dir: NULL (vipd-ucarp): remembers nothing, and every save succeeds */
int persist_new(Persist **ret, sd_event *event, const char *state_dir, PersistFound found, void *userdata);
Persist *persist_free(Persist *p);

bool persist_is_disabled(const Persist *p, const char *name);
/* done: called once from the loop, or from here or persist_free(), with 0 or -errno */
void persist_set_disabled(Persist *p, const char *name, bool disabled, void (*done)(void *userdata, int error), void *userdata);

/* Reads what was saved, for a start; nothing of it if it cannot be read, which is logged. */
void persist_load_replay(const Persist *p, const char *name, ReplayState *ret);
/* clean: nothing will be sent any more, so no number need be reserved */
void persist_save_replay(Persist *p, const char *name, const ReplayState *state, bool clean);

/* Calls done once when all is written, or after the timeout. */
void persist_drain(Persist *p, uint64_t timeout_usec, void (*done)(void *userdata), void *userdata);
