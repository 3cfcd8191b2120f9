/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What libFuzzer and run-corpus.c call with one input; aborts if a promise was broken, else 0. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
