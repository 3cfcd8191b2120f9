/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Between fork and exec: a child that has nothing of ours but what it shall inherit. */
#include <stddef.h>

/* stdin is empty; stdout, stderr and the environment are ours, without what a service manager told us alone; descriptors 3, 4, ... are copies of
 * fds, each of which is above those numbers; no other is inherited, no signal is blocked, no capability kept but root's. Own process group. Only what may be called after a fork. */
void child_settle(const int *fds, size_t n_fds);
