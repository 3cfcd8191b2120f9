/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/netlink.h"

#include <errno.h>
#include <netlink/errno.h>

/* What link.c and address.c share: opening a socket, and reading libnl's errors, which are not errno (NLE_EXIST is 6, EEXIST 17). */

int netlink_errno(int nl_error) {
        if (nl_error >= 0)
                return nl_error;
        switch (-nl_error) {
        case NLE_INTR:
                return -EINTR;
        case NLE_AGAIN:
                return -EAGAIN;
        case NLE_EXIST:
                return -EEXIST;
        case NLE_NOADDR:
                return -EADDRNOTAVAIL;
        case NLE_NODEV:
        case NLE_OBJ_NOTFOUND:
                return -ENODEV;
        case NLE_NOMEM:
                return -ENOMEM;
        case NLE_PERM:
        case NLE_NOACCESS:
                return -EPERM;
        case NLE_INVAL:
                return -EINVAL;
        case NLE_BUSY:
                return -EBUSY;
        case NLE_AF_NOSUPPORT:
                return -EAFNOSUPPORT;
        default:
                return -EIO;
        }
}

int netlink_open(struct nl_sock **ret) {
        g_autoptr(nl_sock) s = nl_socket_alloc();
        int r;

        if (!s)
                return -ENOMEM;
        nl_socket_disable_seq_check(s);
        r = nl_connect(s, NETLINK_ROUTE);
        if (r >= 0)
                r = nl_socket_set_nonblocking(s);
        if (r < 0)
                return netlink_errno(r);
        *ret = g_steal_pointer(&s);
        return 0;
}
