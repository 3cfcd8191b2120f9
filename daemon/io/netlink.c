/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/netlink.h"

#include <errno.h>
#include <netlink/errno.h>
#include <sys/socket.h>

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

int netlink_request(struct nl_sock *s, struct nl_msg *m, struct nlmsghdr *reply, size_t n_bytes) {
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        struct nlmsghdr *h = nlmsg_hdr(m);
        union {
                struct nlmsghdr header;
                uint8_t bytes[1024];
        } buffer;
        struct nlmsghdr *answer = reply ?: &buffer.header;
        int fd = nl_socket_get_fd(s);

        h->nlmsg_seq = nl_socket_use_seq(s);
        h->nlmsg_pid = 0;
        h->nlmsg_flags |= NLM_F_REQUEST | (reply ? 0 : NLM_F_ACK);
        if (sendto(fd, h, h->nlmsg_len, 0, (struct sockaddr *) &kernel, sizeof(kernel)) < 0)
                return -errno;
        for (;;) {
                ssize_t n = recv(fd, answer, reply ? n_bytes : sizeof(buffer), MSG_DONTWAIT | MSG_TRUNC);

                if (n < 0)
                        /* the kernel was too short of memory to answer, not to act */
                        return (errno == EAGAIN || errno == ENOBUFS) && !reply ? 0 : -errno;
                if ((size_t) n < NLMSG_LENGTH(sizeof(struct nlmsgerr)) || answer->nlmsg_seq != h->nlmsg_seq)
                        continue;
                if (answer->nlmsg_type == NLMSG_ERROR)
                        return ((const struct nlmsgerr *) NLMSG_DATA(answer))->error;
                if (reply)
                        return (size_t) n <= n_bytes ? 0 : -EMSGSIZE;
        }
}
