/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The keys of [Check NAME] and what each type of check needs. */
#include "config-reader.h"

bool config_is_check(const char *section); /* "Check", or "Check NAME" */
const ConfigKey *config_check_key(size_t k); /* the k-th, or NULL */
/* The CheckConfig of this section, made when it is new; NULL: it cannot be one (said at its header). Borrowed. */
void *config_check_open(ConfigReader *r, const ConfigAssignment *at);
/* What is missing, and what is of no use. */
void config_checks_finish(ConfigReader *r, const GPtrArray *assignments);
