/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/source-syntax.h"

#include <string.h>

/* Takes files apart into lines for the grammars, which know what is on them. Bounded in files, depth and size, whatever it is fed. */

#define DEPTH_MAX 8
#define FILES_MAX 256
#define TEXT_BYTES_MAX (1 << 20)

/* The end of the line at text, with lines joined that end in a backslash; counts those. */
static char *end_of_line(char *text, unsigned *n_lines) {
        char *end = strchr(text, '\n');

        while (end && end > text && end[-1] == '\\') {
                end[-1] = *end = ' ';
                ++*n_lines;
                end = strchr(end, '\n');
        }
        return end;
}

void source_read(Source *s, const char *file) {
        g_autofree char *text = NULL;
        g_autoptr(GError) error = NULL;
        ImportAt including = s->at;
        gsize n_bytes = 0;
        unsigned n_lines = 0;
        char *line, *end;

        text = ++s->n_files > FILES_MAX ? NULL : s->read(file, &n_bytes, &error);
        if (!text || n_bytes > TEXT_BYTES_MAX || memchr(text, '\0', n_bytes)) {
                import_note(s->notes, (ImportAt) { file, 0 }, IMPORT_LOST, "was not read: %s", error ? error->message : "too long, too many files, or no text");
                return;
        }
        for (line = text; line; line = end) {
                s->at = (ImportAt) { file, ++n_lines };
                end = end_of_line(line, &n_lines);
                if (end)
                        *end++ = '\0';
                s->on_line(s->userdata, line);
        }
        s->at = including;
}

int source_include(Source *s, char **(*expand)(const char *pattern), const char *pattern) {
        g_autofree char *directory = g_path_get_dirname(s->at.file);
        g_autofree char *path = g_path_is_absolute(pattern) ? g_strdup(pattern) : g_build_filename(directory, pattern, NULL);
        g_auto(GStrv) files = NULL;
        int n = 0;

        if (!expand || s->depth == DEPTH_MAX)
                return -1;
        files = expand(path);
        s->depth++;
        for (; files && files[n]; n++)
                source_read(s, files[n]);
        s->depth--;
        return n;
}
