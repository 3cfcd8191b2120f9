/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Log lines that never block: to the journal by its native protocol, or to stderr when no journal listens. */
#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

typedef struct LogField {
        const char *name;  /* journal field name, e.g. "VIPD_INSTANCE" */
        const char *value; /* borrowed; NULL: the field is left out */
} LogField;

/* Where lines go. LOG_TARGET_AUTO: the journal when stderr is connected to it (JOURNAL_STREAM), else stderr. */
typedef enum LogTarget {
        LOG_TARGET_AUTO,
        LOG_TARGET_STDERR,
        LOG_TARGET_SYSLOG, /* /dev/log, and stderr unless that is the journal; for vipd-ucarp --facility */
        LOG_TARGET_NONE,
} LogTarget;

void log_open(const char *identifier, LogTarget target, int facility);
void log_close(void);
void log_set_max_level(int level);
int log_level_from_string(const char *text); /* "debug".."emerg" or 0..7; -EINVAL */
uint64_t log_n_dropped(void);

/* fields: array ended by {NULL, NULL}, or NULL. message_id: 32 hex digits, or NULL. errno_value: 0 or a positive
 * errno, adds ERRNO= and is what %m in the format prints. */
void log_write(int level, const char *message_id, const LogField *fields, int errno_value, const char *file,
               int line, const char *function, const char *format, ...) __attribute__((format(printf, 8, 9)));

#define log_full(level, error, ...) \
        log_write((level), NULL, NULL, (error), __FILE__, __LINE__, __func__, __VA_ARGS__)
#define log_error(...) log_full(LOG_ERR, 0, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, 0, __VA_ARGS__)
#define log_notice(...) log_full(LOG_NOTICE, 0, __VA_ARGS__)
#define log_info(...) log_full(LOG_INFO, 0, __VA_ARGS__)
#define log_debug(...) log_full(LOG_DEBUG, 0, __VA_ARGS__)
/* error: negative errno as our functions return it */
#define log_error_errno(error, ...) log_full(LOG_ERR, -(error), __VA_ARGS__)
#define log_warning_errno(error, ...) log_full(LOG_WARNING, -(error), __VA_ARGS__)
