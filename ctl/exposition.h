/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Metrics as text, in one of two formats that name a counter's family differently. */
#include <glib.h>
#include <stdint.h>

#include "ctl/ctl.h"

typedef struct Exposition {
        GString *out; /* borrowed */
        MetricsFormat format;
} Exposition;

typedef enum ExpositionType {
        EXPOSITION_GAUGE,
        EXPOSITION_COUNTER, /* its samples end in _total */
        EXPOSITION_HISTOGRAM,
} ExpositionType;

typedef struct ExpositionLabel {
        const char *name, *value;
} ExpositionLabel;

/* The head of a family; its samples follow, without another family between them. name: without _total, and with the unit at its end, if it
 * has one; else unit is NULL. */
void exposition_family(Exposition *e, const char *name, ExpositionType type, const char *unit, const char *help);
/* suffix: "", "_total", "_bucket", "_count" or "_sum". labels: up to the first without a name. */
void exposition_sample(Exposition *e, const char *name, const char *suffix, const ExpositionLabel *labels, uint64_t value);
void exposition_sample_usec(Exposition *e, const char *name, const char *suffix, const ExpositionLabel *labels, uint64_t usec); /* in seconds */
void exposition_end(Exposition *e);
/* Seconds with as few digits as say it: "0.0025", "1.0". The caller frees it. */
char *exposition_format_usec(uint64_t usec);
