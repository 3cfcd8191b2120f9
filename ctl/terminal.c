/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/terminal.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "config-parse.h"

/* Facts about the terminal, by systemd's rules: $SYSTEMD_COLORS decides, else $NO_COLOR (no-color.org), else whether
 * there is a terminal that can. They are asked for before a pager takes standard output over. */

#define COLUMNS_DEFAULT 80
#define COLUMNS_MAX 4096

bool terminal_is_output(void) {
        return isatty(STDOUT_FILENO) > 0;
}

unsigned terminal_columns(void) {
        struct winsize size = { 0 };
        uint32_t columns;
        const char *asked;

        if (!terminal_is_output())
                return 0;
        asked = g_getenv("COLUMNS");
        if (asked && config_parse_uint(asked, 1, COLUMNS_MAX, &columns) >= 0)
                return columns;
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) >= 0 && size.ws_col > 0)
                return size.ws_col;
        return COLUMNS_DEFAULT;
}

static bool can_color(void) {
        const char *term = g_getenv("TERM");

        return terminal_is_output() && term && !g_str_equal(term, "dumb");
}

static bool find_colors(void) {
        const char *asked = g_getenv("SYSTEMD_COLORS"), *none = g_getenv("NO_COLOR");
        bool yes;

        if (asked && (g_str_equal(asked, "16") || g_str_equal(asked, "256")))
                return true;
        if (asked && config_parse_bool(asked, &yes) >= 0)
                return yes;
        if (none && *none)
                return false;
        return can_color();
}

static bool has_colors(void) {
        static int known = -1;

        if (known < 0)
                known = find_colors();
        return known > 0;
}

const char *terminal_color(Color color) {
        if (!has_colors())
                return "";
        switch (color) {
        case COLOR_NONE:
                return "";
        case COLOR_GOOD:
                return "\x1b[0;1;32m";
        case COLOR_WARNING:
                return "\x1b[0;1;33m";
        case COLOR_BAD:
                return "\x1b[0;1;31m";
        case COLOR_DIM:
                return "\x1b[0;90m";
        case COLOR_HEADER:
                return "\x1b[0;4m";
        }
        return "";
}

const char *terminal_color_end(Color color) {
        return color == COLOR_NONE || !has_colors() ? "" : "\x1b[0m";
}

const char *terminal_dot(void) {
        return g_get_charset(NULL) ? "\xe2\x97\x8f" : "*"; /* U+25CF */
}
