/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What outlives the process, in the state directory: that an instance is disabled, and strict mode's sequence. */
#include <stdbool.h>
#include <stdint.h>

/* How many sequence numbers one reservation holds: at 250 adverts a second more than an hour, at one a second twelve days. */
#define PERSIST_SEQUENCE_STEP (UINT64_C(1) << 20)

bool persist_is_disabled(const char *state_dir, const char *name);
int persist_set_disabled(const char *state_dir, const char *name, bool disabled); /* 0 or -errno */
/* The first sequence number never used before, 0 if none was; and reserves PERSIST_SEQUENCE_STEP from there. 0 or -errno with *ret set
 * all the same, as far as it could be read. */
int persist_reserve_sequence(const char *state_dir, const char *name, uint64_t *ret);
