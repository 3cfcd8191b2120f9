/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What standard output is connected to, and what it can show. */
#include <stdbool.h>

typedef enum Color {
        COLOR_NONE,
        COLOR_GOOD,
        COLOR_WARNING,
        COLOR_BAD,
        COLOR_DIM,
        COLOR_HEADER,
} Color;

bool terminal_is_output(void);
unsigned terminal_columns(void); /* 0: no terminal, no limit */
const char *terminal_color(Color color); /* the sequence that begins it; "" where there are no colours */
const char *terminal_color_end(Color color);
const char *terminal_dot(void); /* a bullet */
