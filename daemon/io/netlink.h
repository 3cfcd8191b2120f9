/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The border to libnl: its types adopted, its error numbers turned into errno. */
#include <glib.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/socket.h>

typedef struct nl_sock nl_sock;
typedef struct nl_msg nl_msg;
typedef struct nl_addr nl_addr;
typedef struct rtnl_addr rtnl_addr;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(nl_sock, nl_socket_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(nl_msg, nlmsg_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(nl_addr, nl_addr_put)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(rtnl_addr, rtnl_addr_put)

/* -NLE_* as libnl returns it to a negative errno; 0 and positive values as they are. */
int netlink_errno(int nl_error);
/* A connected rtnetlink socket whose reads do not wait. */
int netlink_open(struct nl_sock **ret);
/* Sends a request, and reads what the kernel has answered before that returns. reply: its message, if one was asked for; NULL: only whether it
 * did it. 0 or -errno. */
int netlink_request(struct nl_sock *s, struct nl_msg *m, struct nlmsghdr *reply, size_t n_bytes);
