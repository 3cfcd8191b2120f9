/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the programs that are told by a table what is to go wrong, and how often, have in common. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Says what failed, with errno, and ends the program. */
void die(const char *what) __attribute__((noreturn));
/* The file at this path, which somebody else writes while it is read, as memory of so many bytes that is never given back. */
void *map_table(const char *path, size_t n_bytes);
/* 64 random bits, each time others; makes no system call but the first time. */
uint64_t draw(void);
/* True so many times of a thousand. */
bool happens(uint32_t permille);
