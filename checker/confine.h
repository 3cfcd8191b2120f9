/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What this process gives up before it reads anything. */

int confine(char **argv); /* 0, or -errno after a log line */
