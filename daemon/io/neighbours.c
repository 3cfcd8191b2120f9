/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/neighbours.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "io/listener.h"
#include "proto/arp-frame.h"
#include "proto/nd-frame.h"
#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/time-util.h"

/* Sockets that only listen. Anybody may fill them: the kernel's filter lets frames about watched addresses pass and nothing else, a full batch is
 * followed by a rest, and what does not fit into a small buffer meanwhile is lost. Knows ARP and neighbour discovery as claims; what a claim
 * means is decided above. */

#define BATCH 32
#define FRAME_BYTES_MAX 192 /* an advertisement with one option is 86 */
/* At most 3200 frames a second, whatever comes. */
#define REST_USEC (10 * USEC_PER_MSEC)
#define BUFFER_BYTES 32768
#define N_EMPTY 256
/* A filter names so many addresses, which is 512 of the 4096 instructions it may have; of more, all frames of the kind pass. */
#define FILTER_ADDRESSES_MAX 256
#define FILTER_MAX (2 * FILTER_ADDRESSES_MAX + 40)

typedef struct Port {
        Neighbours *neighbours;
        int ifindex, family;
        unsigned n_users;
        bool changed; /* the filter is not that of the addresses any more */
        AutoFd fd;
        Listener listener;
} Port;

struct NeighbourWatch {
        Neighbours *neighbours;
        int ifindex;
        Port *ipv4, *ipv6; /* NULL: no address of that family */
        IpAddress *addresses;
        size_t n_addresses;
        bool enabled;
        NeighbourHeard heard;
        void *userdata;
};

struct Neighbours {
        sd_event *event;
        const LinkTable *links;
        GPtrArray *ports, *watches;
        Listeners listeners;
        struct mmsghdr messages[BATCH];
        struct iovec vectors[BATCH];
        uint8_t frames[BATCH][FRAME_BYTES_MAX];
};

typedef struct Filter {
        struct sock_filter code[FILTER_MAX];
        unsigned short n;
} Filter;

#define DROP 0
#define TAKE 0xffffffff

static void emit(Filter *f, struct sock_filter instruction) {
        f->code[f->n++] = instruction;
}

#define LOAD(size, offset) (struct sock_filter) BPF_STMT(BPF_LD | (size) | BPF_ABS, (uint32_t) (offset))
#define IF(test, value, if_true, if_false) (struct sock_filter) BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), (if_true), (if_false))
#define RETURN(value) (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, (value))

static void emit_require(Filter *f, struct sock_filter load, uint32_t value) {
        emit(f, load);
        emit(f, IF(BPF_JEQ, value, 1, 0));
        emit(f, RETURN(DROP));
}

/* Not those of a VLAN, nor another host's; see io/transport.c. */
static void emit_for_us(Filter *f) {
        emit_require(f, LOAD(BPF_B, SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT), 0);
        emit(f, LOAD(BPF_B, SKF_AD_OFF + SKF_AD_PKTTYPE));
        emit(f, IF(BPF_JGT, PACKET_MULTICAST, 0, 1));
        emit(f, RETURN(DROP));
}

/* Leaves the sender's address in the accumulator, or, of a probe, the target's. */
static void emit_arp(Filter *f) {
        emit_for_us(f);
        emit(f, LOAD(BPF_W, 28));
        emit(f, IF(BPF_JEQ, 0, 0, 1));
        emit(f, LOAD(BPF_W, 38));
}

/* Leaves the end of the target's address. Of solicitations, which come from every host that looks for us, only those from nowhere. */
static void emit_nd(Filter *f) {
        emit_for_us(f);
        emit_require(f, LOAD(BPF_B, 20), 58); /* ICMPv6 */
        emit_require(f, LOAD(BPF_B, 21), 255);
        emit(f, LOAD(BPF_B, 54));
        emit(f, IF(BPF_JEQ, 136, 14, 0));
        emit(f, IF(BPF_JEQ, 135, 1, 0));
        emit(f, RETURN(DROP));
        for (unsigned k = 0; k < 4; k++)
                emit_require(f, LOAD(BPF_W, 22 + 4 * k), 0);
        emit(f, LOAD(BPF_W, 74));
}

static uint32_t last_word(const IpAddress *a) {
        const uint8_t *p = a->bytes + ip_address_n_bytes(a) - 4;

        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

/* False: they are too many. */
static bool emit_addresses(Filter *f, const Port *p) {
        unsigned n = 0;

        for (guint w = 0; w < p->neighbours->watches->len; w++) {
                const NeighbourWatch *watch = g_ptr_array_index(p->neighbours->watches, w);

                if (!watch->enabled || watch->ifindex != p->ifindex)
                        continue;
                for (size_t k = 0; k < watch->n_addresses; k++) {
                        if (watch->addresses[k].family != p->family)
                                continue;
                        if (++n > FILTER_ADDRESSES_MAX)
                                return false;
                        emit(f, IF(BPF_JEQ, last_word(&watch->addresses[k]), 0, 1));
                        emit(f, RETURN(TAKE));
                }
        }
        return true;
}

static int set_filter(const Port *p) {
        g_autofree Filter *f = g_new0(Filter, 1);
        struct sock_fprog program = { .filter = f->code };

        if (p->family == AF_INET)
                emit_arp(f);
        else
                emit_nd(f);
        emit(f, RETURN(emit_addresses(f, p) ? DROP : TAKE));
        program.len = f->n;
        return setsockopt(p->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/* Reads away what came by the filter before; the buffer holds less, and a flood no longer concerns us. */
static void empty(const Port *p) {
        uint8_t byte;

        for (unsigned k = 0; k < N_EMPTY && recv(p->fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0; k++)
                ;
}

static void handle(Neighbours *n, const Port *p, const uint8_t *frame, size_t n_bytes, uint64_t now_usec) {
        NeighbourClaim claim;

        if (!(p->family == AF_INET ? arp_frame_parse : nd_frame_parse)(frame, n_bytes, &claim) ||
            link_table_has_mac(n->links, claim.mac))
                return;
        for (guint w = 0; w < n->watches->len; w++) {
                const NeighbourWatch *watch = g_ptr_array_index(n->watches, w);

                for (size_t k = 0; watch->enabled && watch->ifindex == p->ifindex && k < watch->n_addresses; k++)
                        if (ip_address_equal(&watch->addresses[k], &claim.address))
                                watch->heard(watch->userdata, k, &claim, now_usec);
        }
}

static int on_frames(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Port *p = userdata;
        Neighbours *n = p->neighbours;
        uint64_t now_usec = 0;
        unsigned n_frames = listener_read(&p->listener, n->messages, BATCH);

        (void) sd_event_now(n->event, CLOCK_BOOTTIME, &now_usec);
        for (unsigned k = 0; k < n_frames; k++)
                handle(n, p, n->frames[k], n->messages[k].msg_len, now_usec);
        if (n_frames == BATCH)
                listeners_rest(&n->listeners, REST_USEC);
        return 0;
}

int neighbours_new(Neighbours **ret, sd_event *event, const LinkTable *links) {
        g_autoptr(Neighbours) n = g_new0(Neighbours, 1);
        int r;

        n->event = sd_event_ref(event);
        n->links = links;
        n->ports = g_ptr_array_new();
        n->watches = g_ptr_array_new();
        for (size_t k = 0; k < BATCH; k++) {
                n->vectors[k] = (struct iovec) { .iov_base = n->frames[k], .iov_len = FRAME_BYTES_MAX };
                n->messages[k].msg_hdr.msg_iov = &n->vectors[k];
                n->messages[k].msg_hdr.msg_iovlen = 1;
        }
        r = listeners_init(&n->listeners, event, EVENT_PRIORITY_NEIGHBOUR);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&n);
        return 0;
}

Neighbours *neighbours_free(Neighbours *n) {
        if (!n)
                return NULL;
        listeners_done(&n->listeners);
        g_ptr_array_unref(n->watches);
        g_ptr_array_unref(n->ports);
        sd_event_unref(n->event);
        g_free(n);
        return NULL;
}

static int open_socket(Port *p) {
        uint16_t protocol_be16 = htons(p->family == AF_INET ? ETH_P_ARP : ETH_P_IPV6);
        struct sockaddr_ll here = { .sll_family = AF_PACKET, .sll_protocol = protocol_be16, .sll_ifindex = p->ifindex };
        const int one = 1, buffer = BUFFER_BYTES;
        int r;

        /* protocol 0 until the filter is on: nothing is queued before */
        p->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (p->fd < 0)
                return -errno;
        r = set_filter(p);
        if (r < 0)
                return r;
        (void) setsockopt(p->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
        (void) setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
        return bind(p->fd, (struct sockaddr *) &here, sizeof(here)) < 0 ? -errno : 0;
}

static Port *port_release(Port *p) {
        if (!p || --p->n_users > 0)
                return NULL;
        g_ptr_array_remove_fast(p->neighbours->ports, p);
        listener_close(&p->listener);
        auto_fd_clear(&p->fd);
        g_free(p);
        return NULL;
}

static int port_acquire(Neighbours *n, int ifindex, int family, Port **ret) {
        Port *p;
        int r;

        for (guint k = 0; k < n->ports->len; k++) {
                p = g_ptr_array_index(n->ports, k);
                if (p->ifindex == ifindex && p->family == family) {
                        p->n_users++;
                        *ret = p;
                        return 0;
                }
        }
        p = g_new0(Port, 1);
        *p = (Port) { .neighbours = n, .ifindex = ifindex, .family = family, .n_users = 1, .fd = -1 };
        g_ptr_array_add(n->ports, p);
        r = open_socket(p);
        if (r >= 0)
                r = listener_open(&p->listener, &n->listeners, p->fd, ifindex, family == AF_INET ? "IPv4 neighbours" : "IPv6 neighbours", on_frames, p);
        if (r < 0) {
                port_release(p);
                return r;
        }
        *ret = p;
        return 0;
}

int neighbour_watch_new(NeighbourWatch **ret, Neighbours *n, int ifindex, const IpPrefix *addresses, size_t n_addresses,
                        NeighbourHeard heard, void *userdata) {
        NeighbourWatch *w = g_new0(NeighbourWatch, 1);
        int r = 0;

        *w = (NeighbourWatch) { .neighbours = n, .ifindex = ifindex, .n_addresses = n_addresses, .heard = heard, .userdata = userdata };
        w->addresses = g_new0(IpAddress, n_addresses);
        for (size_t k = 0; r >= 0 && k < n_addresses; k++) {
                Port **port = addresses[k].address.family == AF_INET ? &w->ipv4 : &w->ipv6;

                w->addresses[k] = addresses[k].address;
                if (!*port)
                        r = port_acquire(n, ifindex, w->addresses[k].family, port);
        }
        g_ptr_array_add(n->watches, w);
        if (r < 0) {
                neighbour_watch_free(w);
                return r;
        }
        *ret = w;
        return 0;
}

void neighbour_watch_enable(NeighbourWatch *w, bool enabled) {
        if (w->enabled == enabled)
                return;
        w->enabled = enabled;
        if (w->ipv4)
                w->ipv4->changed = true;
        if (w->ipv6)
                w->ipv6->changed = true;
}

void neighbours_commit(Neighbours *n) {
        for (guint k = 0; k < n->ports->len; k++) {
                Port *p = g_ptr_array_index(n->ports, k);

                if (!p->changed)
                        continue;
                /* for want of memory the filter is still the one before: the next commit tries again */
                p->changed = set_filter(p) < 0;
                empty(p);
        }
}

NeighbourWatch *neighbour_watch_free(NeighbourWatch *w) {
        if (!w)
                return NULL;
        neighbour_watch_enable(w, false);
        g_ptr_array_remove_fast(w->neighbours->watches, w);
        port_release(w->ipv4);
        port_release(w->ipv6);
        g_free(w->addresses);
        g_free(w);
        return NULL;
}
