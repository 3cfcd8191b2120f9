/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/log.h"

/* A namespace belongs to this process and its sockets and is gone with them. Commands are real ones and are awaited, so what they changed
 * has been announced by the kernel when they return. */

bool lab_init(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        log_open("test", LOG_TARGET_STDERR, LOG_DAEMON);
        return unshare(CLONE_NEWNET) == 0;
}

int lab_skip(void) {
        puts("1..0 # SKIP not root");
        return 0;
}

void lab_enter(void) {
        g_assert_cmpint(unshare(CLONE_NEWNET), ==, 0);
        ip("link set lo up");
}

static int here(void) {
        int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

        g_assert_cmpint(fd, >=, 0);
        return fd;
}

int lab_move(int namespace_fd) {
        int before = here();

        g_assert_cmpint(setns(namespace_fd, CLONE_NEWNET), ==, 0);
        return before;
}

void lab_move_back(int namespace_fd) {
        g_assert_cmpint(setns(namespace_fd, CLONE_NEWNET), ==, 0);
        (void) close(namespace_fd);
}

static void run(char **argv, const char *input) {
        g_autofree char *command = g_strjoinv(" ", argv);
        g_auto(AutoFd) from = memfd_create("input", MFD_CLOEXEC);
        int status;
        pid_t pid;

        g_assert_cmpint(write(from, input, strlen(input)), ==, (ssize_t) strlen(input));
        g_assert_cmpint(lseek(from, 0, SEEK_SET), ==, 0);
        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                (void) dup2(from, STDIN_FILENO);
                (void) dup2(STDERR_FILENO, STDOUT_FILENO);
                (void) execvp(argv[0], argv);
                _exit(127);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        if (status != 0)
                g_error("%s: %d", command, status);
}

void ip(const char *format, ...) {
        g_autofree char *arguments = NULL, *command = NULL;
        g_auto(GStrv) argv = NULL;
        va_list list;

        va_start(list, format);
        arguments = g_strdup_vprintf(format, list);
        va_end(list);
        command = g_strconcat("ip ", arguments, NULL);
        argv = g_strsplit(command, " ", -1);
        run(argv, "");
}

void ip_many(const char *command, unsigned first, unsigned last) {
        char *argv[] = { (char *) "ip", (char *) "-batch", (char *) "-", NULL };
        g_autoptr(GString) input = g_string_new(NULL);

        for (unsigned k = first; k <= last; k++) {
                g_autofree char *octets = g_strdup_printf("%u.%u", k / 256, k % 256);
                g_auto(GStrv) parts = g_strsplit(command, "@", -1);
                g_autofree char *line = g_strjoinv(octets, parts);

                g_string_append_printf(input, "%s\n", line);
        }
        run(argv, input->str);
}

void lab_sysctl(const char *path, const char *value) {
        g_autofree char *full = g_strconcat("/proc/sys/", path, NULL);
        g_auto(AutoFd) fd = open(full, O_WRONLY | O_CLOEXEC);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(write(fd, value, strlen(value)), ==, (ssize_t) strlen(value));
}

IpPrefix lab_prefix(const char *text) {
        IpPrefix p;

        g_assert_cmpint(ip_prefix_parse(text, &p), ==, 0);
        return p;
}

IpAddress lab_address(const char *text) {
        return lab_prefix(text).address;
}

int lab_ifindex(const char *name) {
        int ifindex = (int) if_nametoindex(name);

        g_assert_cmpint(ifindex, >, 0);
        return ifindex;
}

void lab_await_running(const char *name) {
        g_auto(AutoFd) fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        uint64_t end_usec = lab_now_usec() + DEADLINE_USEC;
        struct ifreq request = { 0 };

        g_strlcpy(request.ifr_name, name, sizeof(request.ifr_name));
        for (;;) {
                g_assert_cmpint(ioctl(fd, SIOCGIFFLAGS, &request), ==, 0);
                if (request.ifr_flags & IFF_RUNNING)
                        return;
                g_assert_cmpuint(lab_now_usec(), <, end_usec);
                g_usleep(1000);
        }
}

int lab_enter_with_peer(void) {
        int there, home;

        lab_enter();
        there = here();
        lab_enter();
        ip("link add eth0 type veth peer name peer0 netns /proc/%d/fd/%d", getpid(), there);
        ip("link set eth0 up addrgenmode none");
        home = lab_move(there);
        ip("link set peer0 up addrgenmode none");
        lab_await_running("peer0");
        lab_move_back(home);
        lab_await_running("eth0");
        return there;
}

int lab_find_socket(int domain, int except) {
        DIR *d = opendir("/proc/self/fd");
        int found = -1;

        g_assert_nonnull(d);
        for (struct dirent *e = readdir(d); e; e = readdir(d)) {
                int fd = atoi(e->d_name), value;
                socklen_t length = sizeof(value);

                if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &length) < 0 || value != domain || fd == except)
                        continue;
                g_assert_cmpint(found, ==, -1);
                found = fd;
        }
        (void) closedir(d);
        return found;
}

bool lab_is_awaited(sd_event *event, int fd) {
        g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", sd_event_get_fd(event)), *text = NULL;
        g_auto(GStrv) lines = NULL;
        bool found = false;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        lines = g_strsplit(text, "\n", 0);
        for (unsigned k = 0; lines[k]; k++)
                found |= g_str_has_prefix(lines[k], "tfd:") && atoi(lines[k] + strlen("tfd:")) == fd;
        return found;
}

int lab_spoil(int fd) {
        g_auto(AutoFd) file = memfd_create("file", MFD_CLOEXEC);
        int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);

        g_assert_cmpint(kept, >=, 0);
        g_assert_cmpint(dup2(file, fd), ==, fd);
        return kept;
}

void lab_mend(int fd, int kept) {
        g_assert_cmpint(dup2(kept, fd), ==, fd);
        (void) close(kept);
}

uint64_t lab_now_usec(void) {
        struct timespec now;

        g_assert_cmpint(clock_gettime(CLOCK_BOOTTIME, &now), ==, 0);
        return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

void lab_run_until(sd_event *event, const unsigned *what, unsigned n) {
        uint64_t end_usec = lab_now_usec() + DEADLINE_USEC;

        while (*what < n) {
                g_assert_cmpuint(lab_now_usec(), <, end_usec);
                g_assert_cmpint(sd_event_run(event, 100000), >=, 0);
        }
}

void address_watch_open(AddressWatch *w, const IpAddress *address) {
        struct sockaddr_nl here_nl = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
        const int n_bytes = 16 << 20;

        *w = (AddressWatch) { .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), .address = *address };
        g_assert_cmpint(w->fd, >=, 0);
        (void) setsockopt(w->fd, SOL_SOCKET, SO_RCVBUFFORCE, &n_bytes, sizeof(n_bytes));
        g_assert_cmpint(bind(w->fd, (struct sockaddr *) &here_nl, sizeof(here_nl)), ==, 0);
}

static void note(AddressWatch *w, struct nlmsghdr *h) {
        const struct ifaddrmsg *info = NLMSG_DATA(h);
        AddressWatch now = *w;
        bool is_ours = false;
        int rest = (int) IFA_PAYLOAD(h);

        memset(&now.last, 0, sizeof(now.last));
        for (struct rtattr *a = IFA_RTA(info); RTA_OK(a, rest); a = RTA_NEXT(a, rest)) {
                if (a->rta_type == IFA_ADDRESS)
                        is_ours = info->ifa_family == w->address.family &&
                                  memcmp(RTA_DATA(a), w->address.bytes, ip_address_n_bytes(&w->address)) == 0;
                if (a->rta_type == IFA_FLAGS)
                        now.last.flags = *(const uint32_t *) RTA_DATA(a);
                if (a->rta_type == IFA_PROTO)
                        now.last.protocol = *(const uint8_t *) RTA_DATA(a);
                if (a->rta_type == IFA_CACHEINFO) {
                        now.last.valid_sec = ((const struct ifa_cacheinfo *) RTA_DATA(a))->ifa_valid;
                        now.last.preferred_sec = ((const struct ifa_cacheinfo *) RTA_DATA(a))->ifa_prefered;
                }
        }
        if (!is_ours)
                return;
        if (h->nlmsg_type == RTM_DELADDR) {
                w->n_gone++;
                return;
        }
        *w = now;
        w->n_new++;
        w->flags_ever |= w->last.flags;
}

void address_watch_read(AddressWatch *w) {
        union {
                struct nlmsghdr header;
                uint8_t bytes[4096];
        } buffer;

        for (;;) {
                ssize_t n = recv(w->fd, &buffer, sizeof(buffer), MSG_DONTWAIT);

                if (n < 0) {
                        g_assert_cmpint(errno, ==, EAGAIN);
                        return;
                }
                if (buffer.header.nlmsg_type == RTM_NEWADDR || buffer.header.nlmsg_type == RTM_DELADDR)
                        note(w, &buffer.header);
        }
}

void address_watch_await(AddressWatch *w, const unsigned *what, unsigned n) {
        struct pollfd p = { .fd = w->fd, .events = POLLIN };

        for (address_watch_read(w); *what < n; address_watch_read(w))
                g_assert_cmpint(poll(&p, 1, (int) (DEADLINE_USEC / 1000)), ==, 1);
}
