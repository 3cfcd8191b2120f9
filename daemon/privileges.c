/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/log.h"

/* Called once, before anything foreign is read. Under systemd the unit has done all of this already and nothing changes. */

#define WANTED ((UINT32_C(1) << CAP_NET_ADMIN) | (UINT32_C(1) << CAP_NET_RAW))

static int set_capabilities(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct wanted[_LINUX_CAPABILITY_U32S_3] = { { .effective = WANTED, .permitted = WANTED } },
                                      data[_LINUX_CAPABILITY_U32S_3] = { 0 };

        /* under systemd they are these already, and to set them is not among the calls that the unit allows */
        if (syscall(SYS_capget, &header, data) >= 0 && data[0].effective == WANTED && data[0].permitted == WANTED &&
            data[1].effective == 0 && data[1].permitted == 0)
                return 0;
        return syscall(SYS_capset, &header, wanted) < 0 ? -errno : 0;
}

/* A container that was given our two capabilities and no others cannot leave root, which then is but a name without power. */
static bool may_become_another(void) {
        const uint32_t needed = (UINT32_C(1) << CAP_SETUID) | (UINT32_C(1) << CAP_SETGID);
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

        return syscall(SYS_capget, &header, data) < 0 || (data[0].effective & needed) == needed;
}

static int become(const char *user) {
        const struct passwd *p;

        errno = 0;
        p = getpwnam(user);
        if (!p) {
                log_error("There is no user \"%s\" to run as; create it (systemd-sysusers vipd.conf), or start "
                          "vipd.service, or start vipd as any other user with CAP_NET_ADMIN and CAP_NET_RAW",
                          user);
                return -ENOENT;
        }
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
            setresgid(p->pw_gid, p->pw_gid, p->pw_gid) < 0 || setresuid(p->pw_uid, p->pw_uid, p->pw_uid) < 0) {
                int error = errno;

                log_error_errno(-error, "Cannot become user \"%s\": %m", user);
                return -error;
        }
        return 0;
}

int privileges_reduce(const char *user) {
        int r;

        if (geteuid() == 0 && may_become_another()) {
                r = become(user);
                if (r < 0)
                        return r;
        }
        (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        r = set_capabilities();
        if (r < 0)
                log_error("CAP_NET_ADMIN and CAP_NET_RAW are needed to hold addresses and to send adverts; start vipd.service, "
                          "or grant both (container: --cap-add=NET_ADMIN --cap-add=NET_RAW)");
        /* no core file may carry a passphrase (invariant 9) */
        (void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        return r;
}
