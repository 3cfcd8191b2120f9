/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A daemon that the service manager has started in real time shall not wait for a disk either. */

/* Locks all memory of this process, also what it will have, if its scheduling is real time and the limit of what it may lock is infinity: with any
 * other, memory would run out one day. Otherwise, and if the kernel refuses, a line in the log, and all goes on without. Nothing at all in ordinary scheduling. */
void real_time_lock_memory(void);
