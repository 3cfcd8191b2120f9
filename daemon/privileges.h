/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The daemon never has root's powers: it keeps CAP_NET_ADMIN and CAP_NET_RAW and nothing else. */

/* As root: becomes the user, with these two capabilities. As another user, and as a root who may not become one: keeps these two of what it
 * has. 0, or -errno after a log line that says what to do. */
int privileges_reduce(const char *user);
