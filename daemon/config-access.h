/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What another user would find of a file. */

/* Runs ask(path) as this user, in a process of its own. What ask() returned, with its sentence (caller frees) if that is negative;
 * 0 if it cannot be asked: there is no such user, or we may not become it. user: NULL: we are who counts, and nothing is asked. Waits. */
int config_ask_as(const char *user, int (*ask)(const char *path, char **ret_sentence), const char *path, char **ret_sentence);
