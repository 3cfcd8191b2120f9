/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Reads configuration directories into InstanceConfigs and a list of diagnostics: search path, drop-ins, masks. */
#include <glib.h>
#include <stdbool.h>

#include "config.h"

typedef struct ConfigDiagnostic {
        bool error;     /* false: a warning, the file is still used */
        char *instance; /* name, or NULL for vipd.conf and directories */
        char *file;     /* path as opened */
        unsigned line;  /* 0: the whole file */
        char *sentence; /* what is wrong, the value, what is allowed: one printable line without a secret */
} ConfigDiagnostic;

char *config_diagnostic_format(const ConfigDiagnostic *d); /* "FILE:LINE: error: SENTENCE" — caller frees */

typedef struct DaemonConfig { /* vipd.conf, [Daemon] */
        int log_level;        /* syslog level; LogLevel=, default info */
} DaemonConfig;

typedef struct ConfigPlace {
        char *file;
        unsigned line;
} ConfigPlace;

/* One .vip file with its drop-ins, or why not. */
typedef struct ConfigEntry {
        char *name;
        InstanceConfig *config; /* NULL: broken, see the diagnostics with this instance name */
        ConfigPlace vhid;       /* where it was set, for conflicts with others */
        ConfigPlace sync_group; /* the same; no file if it was not */
        GArray *addresses;      /* ConfigPlace, one per address of config */
} ConfigEntry;

typedef struct ConfigSet {
        GPtrArray *entries;     /* ConfigEntry *, sorted by name; owned */
        GPtrArray *diagnostics; /* ConfigDiagnostic *, in file order; owned */
        unsigned n_untold_errors;
        DaemonConfig daemon;
        bool incomplete; /* a directory could not be read: what is missing is not gone */
        const char *user; /* who must be able to read the files, too; NULL: nobody else. Borrowed */
} ConfigSet;

/* directories: NULL-terminated, highest precedence first; NULL: /etc/vipd, /run/vipd, /usr/lib/vipd. A missing directory is
 * empty. Conflicts between instances (one VHID twice on an interface, one address twice) break the later instance by name.
 * credentials: $CREDENTIALS_DIRECTORY or NULL; "vipd.NAME" in it is the passphrase when the file gives none.
 * Never fails: what went wrong is in the diagnostics. Caller frees. */
ConfigSet *config_load(const char *const *directories, const char *credentials);
/* The same for who checks what a daemon will read that runs as this user: what that one cannot read is an error, and that there
 * is no instance at all a warning. directories: as above, not empty. */
ConfigSet *config_load_for(const char *user, const char *const *directories, const char *credentials);
/* For whom vipd --check and vipctl check read this directory (NULL: all of the system's): a user, or NULL: for who calls. */
const char *config_daemon_user(const char *directory);
ConfigSet *config_set_free(ConfigSet *set);
unsigned config_set_n_errors(const ConfigSet *set);
/* The first error about this instance as one sentence with its place, or NULL; borrowed from a string owned by the caller. */
char *config_set_problem(const ConfigSet *set, const char *name);

/* Reads a passphrase: first line without LF, 1..CARP_PASSPHRASE_BYTES_MAX bytes, no NUL, not readable by others.
 * 0; -EINVAL and friends with *ret_sentence (caller frees) saying why in words. Used by vipd-ucarp -o too. */
int config_read_passphrase_file(const char *path, bool check_mode, uint8_t ret_key[CARP_KEY_BYTES_MAX], size_t *ret_n_bytes,
                                char **ret_sentence);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ConfigSet, config_set_free)
