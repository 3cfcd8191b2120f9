/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/keepalived-syntax.h"

#include <string.h>

#include "ctl/source-syntax.h"

/* keepalived's grammar: words on lines, blocks in braces, comments behind # and !, quotes, include, lines for one host behind @ID or @^ID, and
 * $VARIABLES. Knows no keyword but include. Bounded in depth, whatever it is fed. */

#define DEPTH_MAX 16
#define VALUE_BYTES_MAX 4096

typedef struct Parser {
        Source source;
        const KeepalivedReader *reader;
        KeepalivedNode *stack[DEPTH_MAX]; /* [0]: the root; borrowed */
        unsigned depth, too_deep;         /* too_deep: blocks open beyond the bound */
        GHashTable *variables;
} Parser;

static KeepalivedNode *node_new(ImportAt at) {
        KeepalivedNode *n = g_new0(KeepalivedNode, 1);

        n->words = g_ptr_array_new_with_free_func(g_free);
        n->file = g_strdup(at.file);
        n->line = n->last_line = at.line;
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

static void note_lost(const Parser *p, const char *what) {
        import_note(p->source.notes, p->source.at, IMPORT_LOST, "%s", what);
}

static void open_block(Parser *p) {
        KeepalivedNode *top = p->stack[p->depth], *last;

        if (p->depth + 1 == DEPTH_MAX || p->too_deep > 0) {
                if (p->too_deep++ == 0)
                        note_lost(p, "blocks are nested too deeply, and what is in this one was not read");
                return;
        }
        if (top->children->len == 0 || ((KeepalivedNode *) g_ptr_array_index(top->children, top->children->len - 1))->children)
                g_ptr_array_add(top->children, node_new(p->source.at));
        last = g_ptr_array_index(top->children, top->children->len - 1);
        last->children = g_ptr_array_new_with_free_func(keepalived_node_free);
        p->stack[++p->depth] = last;
}

static void close_block(Parser *p) {
        if (p->too_deep > 0)
                p->too_deep--;
        else if (p->depth > 0)
                p->stack[p->depth--]->last_line = p->source.at.line;
        else
                note_lost(p, "a \"}\" that closes nothing");
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
                import_note(p->source.notes, p->source.at, IMPORT_LOST, "$%s is not defined above, or is one of keepalived's own", key);
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
                note_lost(p, "a quote that is not closed on its line");
        if (word->len >= VALUE_BYTES_MAX) {
                note_lost(p, "a word that is longer than a line should be, and was cut");
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
                note_lost(p, "a variable that spans lines, or has a block in it, is not understood");
        else
                g_hash_table_replace(p->variables, g_strndup(text + 1, (gsize) (end - text - 1)), g_steal_pointer(&value));
        return true;
}

static bool is_include(const char *word) {
        return g_str_has_prefix(word, "include") && strspn(word + strlen("include"), "rmwbac") == strlen(word + strlen("include"));
}

static void include(Parser *p, const KeepalivedNode *n) {
        const char *pattern = keepalived_word(n, 1);
        int n_files = source_include(&p->source, p->reader->expand, pattern);

        if (n_files < 0)
                note_lost(p, "what it includes was not read: files include each other too deeply");
        else if (n_files == 0)
                import_note(p->source.notes, p->source.at, IMPORT_LOST, "there is no file %s to include", pattern);
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

static void parse_line(void *userdata, char *line) {
        KeepalivedNode *statement = NULL;
        const char *text = line;
        Parser *p = userdata;

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
                        statement = node_new(p->source.at);
                g_ptr_array_add(statement->words, read_word(p, &text));
        }
        end_statement(p, &statement);
}

/**
 * keepalived_parse() - read a file and what it includes
 * @notes: takes the notes
 *
 * The root of the tree has no words.
 */
KeepalivedNode *keepalived_parse(Import *notes, const KeepalivedReader *reader, const char *file) {
        Parser p = { .reader = reader };
        KeepalivedNode *root = node_new((ImportAt) { file, 0 });

        p.source = (Source) { .notes = notes, .read = reader->read, .on_line = parse_line, .userdata = &p };
        root->children = g_ptr_array_new_with_free_func(keepalived_node_free);
        p.stack[0] = root;
        p.variables = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        source_read(&p.source, file);
        if (p.depth > 0)
                import_note(notes, keepalived_at(p.stack[p.depth]), IMPORT_LOST, "this block is not closed");
        g_hash_table_unref(p.variables);
        return root;
}
