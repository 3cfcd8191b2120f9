/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Network namespaces of the test's own, changed by ip(8) as any other program would change them. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "proto/ip-address.h"
#include "util/cleanup.h"

#define DEADLINE_USEC UINT64_C(20000000)

/* g_test_init(), and whether namespaces can be made, which takes root; if not, main() returns lab_skip(). */
bool lab_init(int argc, char **argv);
int lab_skip(void);

/* This process moves to a new, empty namespace with lo up. Sockets that are open stay where they are. */
void lab_enter(void);
/* The same, and eth0 there is a cable to peer0 in another namespace, a descriptor of which is returned. Both are up, without addresses. */
int lab_enter_with_peer(void);
/* Moves this process, and returns a descriptor of where it was, for the way back. */
int lab_move(int namespace_fd);
void lab_move_back(int namespace_fd);

/* ip(8) with these arguments, which must succeed. */
void ip(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same command many times in one process: each @ in it is the two octets of a number that runs from first to last. */
void ip_many(const char *command, unsigned first, unsigned last);

/* sysctl(8) of the namespace: a path below /proc/sys. */
void lab_sysctl(const char *path, const char *value);

IpPrefix lab_prefix(const char *text);
IpAddress lab_address(const char *text);
int lab_ifindex(const char *name);
/* The kernel takes up to a second to tell itself that a link has its carrier. */
void lab_await_running(const char *name);
/* The process's only socket of this domain but for one that is known (or -1). -1: there is none. */
int lab_find_socket(int domain, int except);
/* Whether the loop waits for it, by what the kernel says of its epoll. */
bool lab_is_awaited(sd_event *event, int fd);
/* Between the two the kernel refuses to wait for it, as it does when it has no memory: the descriptor is a file's. While the loop waits for it
 * already, it may not be done. */
int lab_spoil(int fd);
void lab_mend(int fd, int kept);

uint64_t lab_now_usec(void);
/* Runs the loop until *what is at least n. */
void lab_run_until(sd_event *event, const unsigned *what, unsigned n);

/* What the kernel says about one address while one does other things. */
typedef struct AddressWatch {
        AutoFd fd;
        IpAddress address;
        unsigned n_new, n_gone;
        struct {
                uint32_t flags, valid_sec, preferred_sec;
                uint8_t protocol;
        } last; /* that was new or changed */
        uint32_t flags_ever;
} AddressWatch;
void address_watch_open(AddressWatch *w, const IpAddress *address);
void address_watch_read(AddressWatch *w); /* all that has been said by now */
/* Until a count of it is at least n. IPv6 tells of a new address a moment after it is there. */
void address_watch_await(AddressWatch *w, const unsigned *what, unsigned n);
