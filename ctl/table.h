/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Rows and columns that fit a terminal. */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#include "ctl/terminal.h"

typedef struct TableColumn {
        const char *header;
        unsigned width_min;   /* it is cut down to this before others are left out; 0: not cut */
        unsigned expendable;  /* where all do not fit, the highest is left out first; 0: never */
        bool right;           /* numbers */
} TableColumn;

typedef struct Table Table;

Table *table_new(const TableColumn *columns, size_t n_columns); /* borrowed */
Table *table_free(Table *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)
/* The next cell, from left to right, row by row; copied. */
void table_cell(Table *t, const char *text, Color color);
/* Appends it. columns: of the terminal, 0: no limit. A column without a text in any row is left out. */
void table_format(const Table *t, GString *out, unsigned columns, bool header);
