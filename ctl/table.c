/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/table.h"

#include "ctl/text.h"

/* Arithmetic of widths. Where a table is too wide its widest columns are cut first, down to what can still be read;
 * then the columns that matter least are left out; and if even that is too wide, everything is cut. Knows nothing of
 * what stands in the cells. */

#define GAP 2 /* between columns */

typedef struct Cell {
        char *text;
        Color color;
} Cell;

struct Table {
        const TableColumn *columns;
        size_t n_columns;
        GArray *cells; /* Cell, row by row */
};

static void cell_clear(void *cell) {
        g_free(((Cell *) cell)->text);
}

Table *table_new(const TableColumn *columns, size_t n_columns) {
        Table *t = g_new0(Table, 1);

        t->columns = columns;
        t->n_columns = n_columns;
        t->cells = g_array_new(FALSE, FALSE, sizeof(Cell));
        g_array_set_clear_func(t->cells, cell_clear);
        return t;
}

Table *table_free(Table *t) {
        if (!t)
                return NULL;
        g_array_unref(t->cells);
        g_free(t);
        return NULL;
}

void table_cell(Table *t, const char *text, Color color) {
        Cell cell = { .text = text_clean(text), .color = color };

        g_array_append_val(t->cells, cell);
}

static const Cell *cell_at(const Table *t, size_t row, size_t column) {
        return &g_array_index(t->cells, Cell, row * t->n_columns + column);
}

static size_t n_rows(const Table *t) {
        return t->cells->len / t->n_columns;
}

/* What each column would like; 0: there is nothing in it. */
static void natural_widths(const Table *t, bool header, unsigned *widths) {
        for (size_t c = 0; c < t->n_columns; c++) {
                widths[c] = 0;
                for (size_t r = 0; r < n_rows(t); r++)
                        widths[c] = MAX(widths[c], text_width(cell_at(t, r, c)->text));
                if (header && widths[c] > 0)
                        widths[c] = MAX(widths[c], text_width(t->columns[c].header));
        }
}

static unsigned sum(const Table *t, const unsigned *widths) {
        unsigned total = 0;

        for (size_t c = 0; c < t->n_columns; c++)
                if (widths[c] > 0)
                        total += widths[c] + (total > 0 ? GAP : 0);
        return total;
}

/* Takes a column's width off the widest that may be cut; false: none may. */
static bool cut_one(const Table *t, unsigned *widths, bool desperate) {
        size_t widest = t->n_columns;

        for (size_t c = 0; c < t->n_columns; c++) {
                unsigned least = desperate ? 1 : t->columns[c].width_min > 0 ? t->columns[c].width_min : widths[c];

                if (widths[c] > least && (widest == t->n_columns || widths[c] > widths[widest]))
                        widest = c;
        }
        if (widest == t->n_columns)
                return false;
        widths[widest]--;
        return true;
}

/* Leaves out what matters least; false: all that is left matters. */
static bool drop_one(const Table *t, unsigned *widths) {
        size_t least = t->n_columns;

        for (size_t c = 0; c < t->n_columns; c++)
                if (widths[c] > 0 && t->columns[c].expendable > 0 &&
                    (least == t->n_columns || t->columns[c].expendable > t->columns[least].expendable))
                        least = c;
        if (least == t->n_columns)
                return false;
        widths[least] = 0;
        return true;
}

static void fit(const Table *t, unsigned columns, unsigned *widths) {
        g_autofree unsigned *wanted = g_memdup2(widths, t->n_columns * sizeof(unsigned));

        while (columns > 0 && sum(t, widths) > columns) {
                if (cut_one(t, widths, false))
                        continue;
                if (drop_one(t, wanted)) {
                        for (size_t c = 0; c < t->n_columns; c++)
                                widths[c] = wanted[c];
                        continue;
                }
                if (!cut_one(t, widths, true))
                        return;
        }
}

static void append_cell(GString *out, const char *text, Color color, unsigned width, bool right, bool last) {
        g_autofree char *shown = text_ellipsize(text, width);
        unsigned padding = width - text_width(shown);

        g_string_append_printf(out, "%*s%s%s%s", right ? (int) padding : 0, "", terminal_color(color), shown, terminal_color_end(color));
        if (!last)
                g_string_append_printf(out, "%*s", (int) ((right ? 0 : padding) + GAP), "");
}

void table_format(const Table *t, GString *out, unsigned columns, bool header) {
        g_autofree unsigned *widths = g_new0(unsigned, t->n_columns);
        size_t last = 0;

        natural_widths(t, header, widths);
        fit(t, columns, widths);
        for (size_t c = 0; c < t->n_columns; c++)
                if (widths[c] > 0)
                        last = c;
        for (size_t r = header ? 0 : 1; r <= n_rows(t); r++) {
                for (size_t c = 0; c < t->n_columns; c++) {
                        const TableColumn *column = &t->columns[c];
                        const Cell *cell = r > 0 ? cell_at(t, r - 1, c) : NULL;

                        if (widths[c] > 0)
                                append_cell(out, cell ? cell->text : column->header, cell ? cell->color : COLOR_HEADER, widths[c],
                                            column->right, c == last);
                }
                g_string_append_c(out, '\n');
        }
}
