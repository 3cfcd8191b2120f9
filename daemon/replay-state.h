/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What strict mode remembers, as the text of its file. */
#include <stddef.h>

#include "core/replay.h"

#define REPLAY_STATE_BYTES_MAX 4096

/* Caller frees. */
char *replay_state_format(const ReplayState *state);
/* 0; -EINVAL, with *ret untouched, for anything that replay_state_format() would not write. The text may hold NUL bytes. */
int replay_state_parse(const char *text, size_t n_bytes, ReplayState *ret);
