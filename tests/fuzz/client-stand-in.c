/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/client.h"

/* vipctl's complaints, which a fuzzer does not read, without the rest of vipctl. */

void client_complain(const char *format, ...) {
}
