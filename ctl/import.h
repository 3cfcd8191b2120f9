/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What was understood of another program's configuration: instances to write, and a note on every line that has no equivalent. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct ImportAt {
        const char *file; /* NULL: the command line */
        unsigned line;
} ImportAt;

typedef enum ImportKind {
        IMPORT_NOTE,    /* good to know; what vipd does is the same */
        IMPORT_CHANGED, /* converted to something that is not the same */
        IMPORT_LOST,    /* not converted, and it changes behaviour */
} ImportKind;

typedef struct ImportNote {
        char *file; /* NULL: the command line */
        unsigned line;
        ImportKind kind;
        char *sentence;
} ImportNote;

typedef struct ImportInstance {
        char *name;
        GString *vip, *carp, *announce, *takeover, *checks; /* the sections; the last with its headers */
        GString *up, *down;                                 /* scripts to write beside it; NULL: none */
        char *passphrase;                                   /* NULL: it had none, one is made up */
        char *passphrase_file;                              /* NULL: NAME.key beside it */
} ImportInstance;

typedef struct Import {
        char *head;           /* what stands on top of every file; lines */
        GPtrArray *instances; /* ImportInstance *, owned */
        GPtrArray *notes;     /* ImportNote *, owned, see import_sort_notes() */
} Import;

Import *import_new(const char *head);
Import *import_free(Import *i); /* wipes passphrases; returns NULL */

/* One and the same is kept once. */
void import_note(Import *i, ImportAt at, ImportKind kind, const char *format, ...) G_GNUC_PRINTF(4, 5);
void import_sort_notes(Import *i); /* by file and line */
/* A new instance; what may not stand in a name is replaced, and one that exists already gets a number. Borrowed from i. */
ImportInstance *import_add(Import *i, const char *name);
ImportInstance *import_find(const Import *i, const char *name);
void import_drop(Import *i, ImportInstance *v);
/* Turns a foreign word into one that may name an instance, a sync group or a check. The caller frees it. */
char *import_name(const char *word);
/* Whether text can stand behind a key as it is: one line of UTF-8, no comment inside, no spaces around. */
bool import_is_value(const char *text);
/* Whether this may be the name of an interface in a .vip file. */
bool import_is_interface(const char *name);
/* Key=value; a value that cannot be written is noted instead, and false returned. */
bool import_set(Import *i, GString *section, ImportAt at, const char *key, const char *value);
void import_set_number(GString *section, const char *key, unsigned value);
void import_set_time(GString *section, const char *key, uint64_t usec); /* whole seconds or milliseconds */
/* A comment of its own, above the key that follows. */
void import_comment(GString *section, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* A word for a shell or Command=: quoted if it must be. The caller frees it. */
char *import_quote(const char *word);

unsigned import_n_lost(const Import *i); /* notes of changed and lost */
/* The whole .vip file, for this directory. The caller frees it. */
char *import_render(const Import *i, const ImportInstance *v, const char *directory);
char *import_render_script(const ImportInstance *v, const GString *body);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Import, import_free)
