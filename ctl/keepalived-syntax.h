/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* keepalived.conf as a tree: each line is a node of words, with a block of further nodes or without. */
#include <glib.h>

#include "ctl/import.h"

typedef struct KeepalivedNode {
        GPtrArray *words;    /* char *, owned; quotes gone, variables replaced */
        GPtrArray *children; /* KeepalivedNode *, owned; NULL: no block */
        char *file;
        unsigned line, last_line;
} KeepalivedNode;

/* The text of a file; NULL with an error. Patterns of `include` are expanded by the caller of the real one. */
typedef struct KeepalivedReader {
        char *(*read)(const char *path, gsize *ret_n_bytes, GError **ret_error);
        char **(*expand)(const char *pattern); /* paths, sorted; the caller frees them */
        const char *config_id;                 /* what lines that begin with @ are compared with */
} KeepalivedReader;

/* Never fails: what was not understood is noted. The caller frees the root with keepalived_node_free(). */
KeepalivedNode *keepalived_parse(Import *notes, const KeepalivedReader *reader, const char *file);
void keepalived_node_free(void *node);
const char *keepalived_word(const KeepalivedNode *n, guint k); /* "" if there are fewer */
ImportAt keepalived_at(const KeepalivedNode *n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(KeepalivedNode, keepalived_node_free)
