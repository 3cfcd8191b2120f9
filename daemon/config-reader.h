/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the readers of keys share: where they are in the file, how they tell a mistake, and the kinds of value that many keys have. */
#include "config-file.h"

typedef struct ConfigReader {
        ConfigSet *set;
        InstanceConfig *config;
        const char *name, *path;
        const ConfigAssignment *at;
        GArray *addresses;       /* IpPrefix */
        GPtrArray *addresses_at; /* const ConfigAssignment *, one per address */
        GArray *peers;           /* IpAddress */
        GPtrArray *secrets;      /* what the file or a file it names gives as passphrase, right or wrong; wiped when freed */
        const ConfigAssignment *vhid_at, *sync_group_at, *lease_at, *demotion_byte_at, *peers_at, *list_at;
        char *passphrase, *passphrase_file;
        const ConfigAssignment *passphrase_at;
        bool failed;
        bool passphrase_refused; /* told already */
        bool unclaimed;          /* there is no passphrase anywhere: it may stand behind any wrong key */
} ConfigReader;

/* A key of a file: where it stands, and who reads its value into the field at this offset. */
typedef struct ConfigKey {
        const char *section, *name;
        void (*read)(ConfigReader *r, const char *value, void *field);
        size_t offset;  /* in the struct that the section fills */
        unsigned types; /* [Check]: mask of the types that have it; 0: all */
} ConfigKey;

void config_secret_free(void *secret);                                   /* wiped */
char *config_reader_show(const ConfigReader *r, const char *value);      /* a value as a diagnostic may repeat it; caller frees */
bool config_is_near(const char *word, const char *name);                 /* so near that it was meant */
void config_error_at(ConfigReader *r, const ConfigAssignment *at, const char *sentence);  /* at: NULL: the whole file */
void config_refuse_word(ConfigReader *r, const char *word, const char *sentence);         /* "KEY=WORD: SENTENCE", where the reader is */
void config_refuse(ConfigReader *r, const char *allowed);                                 /* "KEY=VALUE: allowed is ALLOWED" */

/* Kinds of value. What is wrong is refused and leaves the field as it is. */
void config_read_bool(ConfigReader *r, const char *value, void *field);
void config_read_number(ConfigReader *r, const char *value, uint32_t minimum, uint32_t maximum, uint32_t *ret);
void config_read_usec(ConfigReader *r, const char *value, void *field);
void config_read_interval(ConfigReader *r, const char *value, void *field);
void config_read_text(ConfigReader *r, const char *value, void *field);
void config_read_parameter(ConfigReader *r, const char *value, void *field); /* empty: NULL */
void config_read_interface(ConfigReader *r, const char *value, void *field);
