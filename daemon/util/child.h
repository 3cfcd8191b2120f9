/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Children: one that is watched from the start, and has nothing of ours but what it shall inherit. */
#include <stddef.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

/* fork(), and not posix_spawn() or vfork(): those hold the caller until the program has been read from a disk that may be slow. Return: 0 in the
 * child; its number in us, where ended is called by the loop, once, with the priority that the caller gives to *ret; or a negative errno, and then
 * nothing was begun, or is being killed. SIGCHLD must be blocked in the whole process (sd_event_add_child(3)). */
pid_t child_fork(sd_event *event, sd_event_source **ret, sd_event_child_handler_t ended, void *userdata);

/* stdin is empty; stdout, stderr and the environment are ours, without what a service manager told us alone; descriptors 3, 4, ... are copies of
 * fds, each of which is above those numbers; no other is inherited, no signal is blocked, no capability kept but root's. Own process group. Only what may be called after a fork. */
void child_settle(const int *fds, size_t n_fds);
