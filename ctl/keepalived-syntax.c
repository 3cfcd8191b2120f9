/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/keepalived-syntax.h"

#include <string.h>

/* keepalived's grammar: words on lines, blocks in braces, comments behind # and !, quotes, include, lines for one host behind @ID or @^ID, and
 * $VARIABLES. Knows no keyword but include. Bounded in depth, files and size, whatever it is fed. */

#define DEPTH_MAX 16
#define INCLUDE_DEPTH_MAX 8
#define FILES_MAX 256
#define TEXT_BYTES_MAX (1 << 20)
#define VALUE_BYTES_MAX 4096

typedef struct Parser {
        Import *notes;
        const KeepalivedReader *reader;
        KeepalivedNode *stack[DEPTH_MAX]; /* [0]: the root; borrowed */
        unsigned depth, too_deep;         /* too_deep: blocks open beyond the bound */
        GHashTable *variables;
        unsigned n_files, include_depth;
        const char *file;
        unsigned line;
} Parser;

static KeepalivedNode *node_new(const char *file, unsigned line) {
        KeepalivedNode *n = g_new0(KeepalivedNode, 1);

        n->words = g_ptr_array_new_with_free_func(g_free);
        n->file = g_strdup(file);
        n->line = n->last_line = line;
        return n;
}

void keepalived_node_free(void *node) {
        KeepalivedNode *n = node;

        g_ptr_array_unref(n->words);
        if (n->children)
                g_ptr_array_unref(n->children);
        g_free(n->file);
        g_free(n);
}

const char *keepalived_word(const KeepalivedNode *n, guint k) {
        return k < n->words->len ? g_ptr_array_index(n->words, k) : "";
}

ImportAt keepalived_at(const KeepalivedNode *n) {
        return (ImportAt) { n->file, n->line };
}

static ImportAt here(const Parser *p) {
        return (ImportAt) { p->file, p->line };
}

static void open_block(Parser *p) {
        KeepalivedNode *top = p->stack[p->depth], *last;

        if (p->depth + 1 == DEPTH_MAX || p->too_deep > 0) {
                if (p->too_deep++ == 0)
                        import_note(p->notes, here(p), IMPORT_LOST, "blocks are nested too deeply, and what is in this one was not read");
                return;
        }
        if (top->children->len == 0 || ((KeepalivedNode *) g_ptr_array_index(top->children, top->children->len - 1))->children)
                g_ptr_array_add(top->children, node_new(p->file, p->line));
        last = g_ptr_array_index(top->children, top->children->len - 1);
        last->children = g_ptr_array_new_with_free_func(keepalived_node_free);
        p->stack[++p->depth] = last;
}

static void close_block(Parser *p) {
        if (p->too_deep > 0)
                p->too_deep--;
        else if (p->depth > 0)
                p->stack[p->depth--]->last_line = p->line;
        else
                import_note(p->notes, here(p), IMPORT_LOST, "a \"}\" that closes nothing");
}

/* Appends the value of $NAME or ${NAME} at *text, and steps behind it. */
static void append_variable(Parser *p, GString *word, const char **text) {
        const char *name = *text + 1, *end, *value;
        g_autofree char *key = NULL;
        bool braces = *name == '{';

        name += braces ? 1 : 0;
        for (end = name; g_ascii_isalnum(*end) || *end == '_'; end++)
                ;
        if (end == name || (braces && *end != '}')) {
                g_string_append_c(word, *(*text)++);
                return;
        }
        key = g_strndup(name, (gsize) (end - name));
        value = g_hash_table_lookup(p->variables, key);
        if (value)
                g_string_append(word, value);
        else
                import_note(p->notes, here(p), IMPORT_LOST, "$%s is not defined above, or is one of keepalived's own", key);
        *text = end + (braces ? 1 : 0);
}

/* The word at *text, which is not empty there. */
static char *read_word(Parser *p, const char **text) {
        GString *word = g_string_new(NULL);
        const char *c = *text;
        char quote = '\0';

        while (*c && word->len < VALUE_BYTES_MAX && (quote || (!g_ascii_isspace(*c) && !strchr("{}#!", *c)))) {
                if (quote && *c == quote) {
                        quote = '\0';
                        c++;
                } else if (!quote && (*c == '"' || *c == '\'')) {
                        quote = *c++;
                } else if (*c == '\\' && c[1] != '\0' && quote == '"') {
                        g_string_append_c(word, c[1]);
                        c += 2;
                } else if (*c == '$' && quote != '\'') {
                        append_variable(p, word, &c);
                } else {
                        g_string_append_c(word, *c++);
                }
        }
        if (quote)
                import_note(p->notes, here(p), IMPORT_LOST, "a quote that is not closed on its line");
        if (word->len >= VALUE_BYTES_MAX) {
                import_note(p->notes, here(p), IMPORT_LOST, "a word that is longer than a line should be, and was cut");
                c += strlen(c);
        }
        *text = c;
        return g_string_free(word, FALSE);
}

/* @ID and @^ID before a line: is it for us? Steps behind it. */
static bool is_for_us(const Parser *p, const char **text) {
        const char *c = *text, *id;
        bool inverted, same;
        gsize n;

        if (*c != '@')
                return true;
        inverted = c[1] == '^';
        id = c + (inverted ? 2 : 1);
        n = strcspn(id, " \t{}");
        same = strlen(p->reader->config_id) == n && strncmp(id, p->reader->config_id, n) == 0;
        *text = id + n + strspn(id + n, " \t");
        return same != inverted;
}

/* $NAME=VALUE on a line of its own. */
static bool read_definition(Parser *p, const char *text) {
        const char *end = text + 1;
        g_autofree char *value = NULL;

        if (*text != '$')
                return false;
        while (g_ascii_isalnum(*end) || *end == '_')
                end++;
        if (end == text + 1 || *end != '=')
                return false;
        value = g_strstrip(g_strdup(end + 1));
        if (strlen(value) > VALUE_BYTES_MAX || strpbrk(value, "\\{}"))
                import_note(p->notes, here(p), IMPORT_LOST, "a variable that spans lines, or has a block in it, is not understood");
        else
                g_hash_table_replace(p->variables, g_strndup(text + 1, (gsize) (end - text - 1)), g_steal_pointer(&value));
        return true;
}

static void parse_file(Parser *p, const char *file);

static char *beside(const char *file, const char *path) {
        g_autofree char *directory = g_path_get_dirname(file);

        return g_path_is_absolute(path) ? g_strdup(path) : g_build_filename(directory, path, NULL);
}

static bool is_include(const char *word) {
        return g_str_has_prefix(word, "include") && strspn(word + strlen("include"), "rmwbac") == strlen(word + strlen("include"));
}

static void include(Parser *p, const KeepalivedNode *n) {
        g_autofree char *pattern = beside(p->file, keepalived_word(n, 1));
        g_auto(GStrv) paths = NULL;
        const char *file = p->file;
        unsigned line = p->line;

        if (!p->reader->expand || p->include_depth == INCLUDE_DEPTH_MAX) {
                import_note(p->notes, here(p), IMPORT_LOST, "what it includes was not read: files include each other too deeply");
                return;
        }
        paths = p->reader->expand(pattern);
        if (!paths || !paths[0])
                import_note(p->notes, here(p), IMPORT_LOST, "there is no file %s to include", pattern);
        p->include_depth++;
        for (char **path = paths; path && *path; path++)
                parse_file(p, *path);
        p->include_depth--;
        p->file = file;
        p->line = line;
}

/* The statement that was read; a block may still follow it. Taken. */
static void end_statement(Parser *p, KeepalivedNode **statement) {
        KeepalivedNode *n = g_steal_pointer(statement);

        if (!n)
                return;
        if (is_include(keepalived_word(n, 0))) {
                include(p, n);
                keepalived_node_free(n);
        } else if (p->too_deep > 0) {
                keepalived_node_free(n);
        } else {
                g_ptr_array_add(p->stack[p->depth]->children, n);
        }
}

static void parse_line(Parser *p, const char *text) {
        KeepalivedNode *statement = NULL;

        text += strspn(text, " \t\r");
        if (!is_for_us(p, &text) || read_definition(p, text))
                return;
        for (;;) {
                text += strspn(text, " \t\r\v\f");
                if (*text == '\0' || *text == '#' || *text == '!')
                        break;
                if (*text == '{' || *text == '}') {
                        end_statement(p, &statement);
                        if (*text++ == '{')
                                open_block(p);
                        else
                                close_block(p);
                        continue;
                }
                if (!statement)
                        statement = node_new(p->file, p->line);
                g_ptr_array_add(statement->words, read_word(p, &text));
        }
        end_statement(p, &statement);
}

/* The end of the line at text, with lines joined that end in a backslash. */
static char *end_of_line(Parser *p, char *text) {
        char *end = strchr(text, '\n');

        while (end && end > text && end[-1] == '\\') {
                end[-1] = *end = ' ';
                p->line++;
                end = strchr(end, '\n');
        }
        return end;
}

static void parse_file(Parser *p, const char *file) {
        g_autofree char *text = NULL;
        g_autoptr(GError) error = NULL;
        gsize n_bytes = 0;
        char *line, *end;

        p->file = file;
        p->line = 0;
        text = ++p->n_files > FILES_MAX ? NULL : p->reader->read(file, &n_bytes, &error);
        if (!text || n_bytes > TEXT_BYTES_MAX || memchr(text, '\0', n_bytes)) {
                import_note(p->notes, here(p), IMPORT_LOST, "was not read: %s", error ? error->message : "too long, too many files, or no text");
                return;
        }
        for (line = text; line; line = end) {
                unsigned first = ++p->line, last;

                end = end_of_line(p, line);
                if (end)
                        *end++ = '\0';
                last = p->line;
                p->line = first;
                parse_line(p, line);
                p->line = last;
        }
}

/**
 * keepalived_parse() - read a file and what it includes
 * @notes: takes the notes
 *
 * The root of the tree has no words.
 */
KeepalivedNode *keepalived_parse(Import *notes, const KeepalivedReader *reader, const char *file) {
        Parser p = { .notes = notes, .reader = reader };
        KeepalivedNode *root = node_new(file, 0);

        root->children = g_ptr_array_new_with_free_func(keepalived_node_free);
        p.stack[0] = root;
        p.variables = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        parse_file(&p, file);
        if (p.depth > 0)
                import_note(notes, keepalived_at(p.stack[p.depth]), IMPORT_LOST, "this block is not closed");
        g_hash_table_unref(p.variables);
        return root;
}
