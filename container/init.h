/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Process 1 of a container. */

/* Runs the program as the only task of this process, which is process 1: what a container's runtime sends goes on to the program, whatever else
 * ends here is fetched, and the end of the program is ours. Returns its exit status, 128 + N if signal N ended it, or -errno. */
int init_run(const char *path, char *const *argv);
