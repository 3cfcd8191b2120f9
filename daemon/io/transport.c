/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/transport.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "io/listener.h"
#include "util/cleanup.h"
#include "util/event-priority.h"
#include "util/log.h"
#include "util/ratelimit.h"
#include "util/time-util.h"

/* Sockets. A port is one interface and family: a packet socket that hears every advert there, whoever it is addressed to, and sends whole
 * frames; and beside it a raw socket that never receives, which holds the multicast memberships, sends unicast adverts by the kernel's
 * routes, and by being there keeps the kernel from answering adverts with "protocol unreachable". Knows bytes and file descriptors; what an
 * advert means is decided above. */

#define BATCH 32
#define FRAME_BYTES_MAX 256 /* an advert is 90 at most; what is cut off at the end is padding, or refused for its length */
/* Packets go before timers: enough of them, and there would be nothing else. So whoever has read for so long and so many, with no break worth
 * the name, rests a moment in which everybody has a turn. More than the socket holds (some 270), so that what came while we stood still is
 * heard before a timer judges silence; and short against the fastest dead interval, 12 ms. */
#define BUSY_USEC (3 * USEC_PER_MSEC)
#define BUSY_FRAMES 512
#define BREAK_USEC UINT64_C(100)
#define REST_USEC USEC_PER_MSEC
/* A master's adverts for many elections come one by one, and to be woken for each costs more than to hear it. From the third read on that follows so
 * soon upon another, what comes is let gather for so long; one alone, or the two families of one election, never waits. */
#define CROWD_USEC UINT64_C(250)
#define CROWD_READS 3
#define GATHER_USEC UINT64_C(500)
/* So many leave together; the first of them should not wait long for the last. */
#define OUTBOX_FRAMES 64
#define N_GROUPS 4
#define N_VHIDS 256

typedef struct Receiver {
        TransportReceive receive;
        TransportExamine examine;
        void *userdata;
} Receiver;

typedef struct Group {
        IpAddress address;
        unsigned n_joins;
} Group;

/* A frame that waits for others. */
typedef struct Waiting {
        TransportPort *port; /* NULL: it has left */
        size_t n_bytes;
        uint64_t until_usec;
        TransportSent sent; /* NULL: nobody is told */
        void *userdata;
        int error;
} Waiting;

/* What waits, in its order, and the room to send it in: see send_waiting(). */
typedef struct Outbox {
        Waiting waiting[OUTBOX_FRAMES];
        uint8_t frames[OUTBOX_FRAMES][FRAME_BYTES_MAX];
        struct mmsghdr messages[OUTBOX_FRAMES];
        struct iovec vectors[OUTBOX_FRAMES];
        struct sockaddr_ll to[OUTBOX_FRAMES];
        unsigned n;
        bool gathering;
} Outbox;

struct Transport {
        sd_event *event;
        Alarms *alarms; /* borrowed */
        GPtrArray *ports;
        Listeners listeners;
        uint64_t busy_since_usec, read_usec;
        unsigned n_read; /* since then */
        unsigned n_crowded; /* reads in a row, each soon after the other */
        struct mmsghdr messages[BATCH];
        struct iovec vectors[BATCH];
        uint8_t frames[BATCH][FRAME_BYTES_MAX];
        Outbox outbox;
};

struct TransportPort {
        Transport *transport; /* borrowed */
        int ifindex;
        int family;
        unsigned n_users;
        AutoFd packet_fd, raw_fd;
        Listener listener;
        Receiver receivers[N_VHIDS];
        Group groups[N_GROUPS];
        uint64_t rejected[N_CARP_VERDICTS];
        RateLimit foreign_limit, refused_limit; /* lines */
        RateLimit examine_limit;
};

#define DROP 0
#define TAKE 0xffffffff

/* Ethernet header is at 0. Only what is for us, a group or all: not our own outgoing frames, not another host's, and not those of a VLAN, whose
 * tag is gone by the time they reach a socket for one protocol, and which count as another host's then. */
static const struct sock_filter filter_ipv4[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t) (SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 7),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t) (SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, PACKET_MULTICAST, 5, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23), /* protocol */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CARP_PROTOCOL, 0, 3),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20), /* flags and fragment offset */
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, TAKE),
        BPF_STMT(BPF_RET | BPF_K, DROP),
};

static const struct sock_filter filter_ipv6[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t) (SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 5),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t) (SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, PACKET_MULTICAST, 3, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20), /* next header */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CARP_PROTOCOL, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, TAKE),
        BPF_STMT(BPF_RET | BPF_K, DROP),
};

static const struct sock_filter filter_nothing[] = { BPF_STMT(BPF_RET | BPF_K, DROP) };

static int attach(int fd, const struct sock_filter *filter, size_t n) {
        struct sock_fprog program = { .len = (unsigned short) n, .filter = (struct sock_filter *) filter };

        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

int transport_new(Transport **ret, sd_event *event, Alarms *alarms) {
        g_autoptr(Transport) t = g_new0(Transport, 1);
        int r;

        t->event = sd_event_ref(event);
        t->alarms = alarms;
        t->ports = g_ptr_array_new();
        for (size_t k = 0; k < BATCH; k++) {
                t->vectors[k] = (struct iovec) { .iov_base = t->frames[k], .iov_len = FRAME_BYTES_MAX };
                t->messages[k].msg_hdr.msg_iov = &t->vectors[k];
                t->messages[k].msg_hdr.msg_iovlen = 1;
        }
        r = listeners_init(&t->listeners, event, EVENT_PRIORITY_RECEIVE);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&t);
        return 0;
}

Transport *transport_free(Transport *t) {
        if (!t)
                return NULL;
        listeners_done(&t->listeners);
        g_ptr_array_unref(t->ports);
        sd_event_unref(t->event);
        g_free(t);
        return NULL;
}

/* VRRP and other groups share the segment legitimately: they are counted, and said only when one looks for them. */
static void log_rejected(TransportPort *p, const IpAddress *source, CarpVerdict verdict, uint64_t now_usec) {
        static const RateRule rule = { .interval_usec = 10 * USEC_PER_SEC, .burst = 3 };
        bool foreign = verdict == CARP_VERDICT_VHID || verdict == CARP_VERDICT_LENGTH ||
                       verdict == CARP_VERDICT_VERSION || verdict == CARP_VERDICT_TYPE;
        char text[IP_ADDRESS_TEXT_BYTES], more[RATELIMIT_TEXT_BYTES], name[IF_NAMESIZE] = "?";
        uint64_t n_suppressed;

        /* each with its own limit, or a busy neighbour would use up the lines about a forger */
        if (!ratelimit_pass(foreign ? &p->foreign_limit : &p->refused_limit, &rule, now_usec, &n_suppressed))
                return;
        (void) if_indextoname((unsigned) p->ifindex, name);
        log_full(foreign ? LOG_DEBUG : LOG_WARNING,
                 0,
                 "%s: refused an advert from %s: %s%s",
                 name,
                 source->family == AF_UNSPEC ? "an unreadable address" : ip_address_format(source, text),
                 carp_verdict_to_string(verdict),
                 ratelimit_format(n_suppressed, more));
}

/* Whether a cause can be found at all; a bad checksum is noise, and our own echo is known. */
static bool is_worth_a_look(CarpVerdict verdict) {
        return verdict == CARP_VERDICT_TTL || verdict == CARP_VERDICT_LENGTH || verdict == CARP_VERDICT_VERSION ||
               verdict == CARP_VERDICT_TYPE || verdict == CARP_VERDICT_HMAC || verdict == CARP_VERDICT_REPLAY;
}

static void examine(TransportPort *p, const uint8_t *frame, size_t n, CarpVerdict verdict, uint64_t now_usec) {
        static const RateRule rule = { .interval_usec = USEC_PER_SEC, .burst = TRANSPORT_EXAMINED_PER_SEC };
        uint64_t ignored;
        const Receiver *r;
        IpGlimpse g;

        if (!is_worth_a_look(verdict) || !ip_frame_peek(frame, n, &g) || g.n_present < 2)
                return;
        r = &p->receivers[g.payload[1]];
        if (r->examine && ratelimit_pass(&p->examine_limit, &rule, now_usec, &ignored))
                r->examine(r->userdata, frame, n, verdict, now_usec);
}

static void handle(TransportPort *p, const uint8_t *frame, size_t n, uint64_t now_usec) {
        Receiver *r = NULL;
        CarpAdvert advert;
        IpFrame ip;
        CarpVerdict verdict = ip_frame_parse(frame, n, &ip, &advert);

        if (verdict == CARP_VERDICT_OK) {
                r = &p->receivers[advert.vhid];
                if (!r->receive)
                        verdict = CARP_VERDICT_VHID;
        }
        if (verdict != CARP_VERDICT_OK)
                p->rejected[verdict]++;
        else
                verdict = r->receive(r->userdata, &ip, &advert, now_usec);
        if (verdict == CARP_VERDICT_OK)
                return;
        log_rejected(p, &ip.source, verdict, now_usec);
        examine(p, frame, n, verdict, now_usec);
}

/* Not where a read took all it can: more waits already, and it may be a flood, which is read as fast as can be until rest_when_tired() ends it. */
static void gather_a_crowd(Transport *t, uint64_t began_usec, unsigned n_frames) {
        bool gathered = t->n_crowded >= CROWD_READS && n_frames > 1; /* however long we slept */
        bool crowded = gathered || began_usec - t->read_usec < CROWD_USEC;

        t->n_crowded = n_frames == BATCH ? 0 : crowded ? t->n_crowded + 1 : 1;
        if (t->n_crowded >= CROWD_READS)
                alarms_linger(t->alarms, GATHER_USEC);
}

/* The loop's own time stands still during a pass; what a flood costs is measured by the clock. */
static void rest_when_tired(Transport *t, uint64_t began_usec, unsigned n_frames) {
        if (began_usec - t->read_usec > BREAK_USEC) {
                t->busy_since_usec = began_usec;
                t->n_read = 0;
        }
        t->read_usec = clock_usec();
        t->n_read += n_frames;
        if (t->read_usec - t->busy_since_usec < BUSY_USEC || t->n_read < BUSY_FRAMES)
                return;
        listeners_rest(&t->listeners, REST_USEC);
}

static int on_packets(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        TransportPort *p = userdata;
        Transport *t = p->transport;
        uint64_t began_usec = clock_usec(), now_usec = 0;
        unsigned n = listener_read(&p->listener, t->messages, BATCH);

        if (n == 0)
                return 0;
        (void) sd_event_now(t->event, CLOCK_BOOTTIME, &now_usec);
        /* a receiver may give up the port under our hands */
        p->n_users++;
        for (unsigned k = 0; k < n; k++)
                handle(p, t->frames[k], t->messages[k].msg_len, now_usec);
        transport_port_release(p);
        gather_a_crowd(t, began_usec, n);
        rest_when_tired(t, began_usec, n);
        return 0;
}

static int open_packet(TransportPort *p) {
        bool ipv4 = p->family == AF_INET;
        uint16_t protocol_be16 = htons(ipv4 ? ETH_P_IP : ETH_P_IPV6);
        struct sockaddr_ll here = { .sll_family = AF_PACKET, .sll_protocol = protocol_be16, .sll_ifindex = p->ifindex };
        /* protocol 0 until the filter is on: nothing is queued before */
        g_auto(AutoFd) fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int one = 1;
        int r;

        if (fd < 0)
                return -errno;
        r = ipv4 ? attach(fd, filter_ipv4, G_N_ELEMENTS(filter_ipv4)) : attach(fd, filter_ipv6, G_N_ELEMENTS(filter_ipv6));
        if (r < 0)
                return r;
        (void) setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
        if (bind(fd, (struct sockaddr *) &here, sizeof(here)) < 0)
                return -errno;
        p->packet_fd = g_steal_fd(&fd);
        return 0;
}

static int open_raw(TransportPort *p) {
        g_auto(AutoFd) fd = socket(p->family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, CARP_PROTOCOL);
        const int ttl = CARP_TTL, tos = 0x10;
        char name[IF_NAMESIZE];
        int r;

        if (fd < 0)
                return -errno;
        r = attach(fd, filter_nothing, G_N_ELEMENTS(filter_nothing));
        if (r < 0)
                return r;
        if (!if_indextoname((unsigned) p->ifindex, name))
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, sizeof(name)) < 0)
                return -errno;
        if (p->family == AF_INET) {
                if (setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)) < 0 ||
                    setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)) < 0)
                        return -errno;
        } else if (setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof(ttl)) < 0)
                return -errno;
        p->raw_fd = g_steal_fd(&fd);
        return 0;
}

static TransportPort *port_free(TransportPort *p) {
        listener_close(&p->listener);
        auto_fd_clear(&p->packet_fd);
        auto_fd_clear(&p->raw_fd);
        g_free(p);
        return NULL;
}

static int open_port(Transport *t, int ifindex, int family, TransportPort **ret) {
        TransportPort *p = g_new0(TransportPort, 1);
        int r;

        p->transport = t;
        p->ifindex = ifindex;
        p->family = family;
        p->packet_fd = p->raw_fd = -1;
        r = open_packet(p);
        if (r >= 0)
                r = open_raw(p);
        if (r >= 0)
                r = listener_open(&p->listener, &t->listeners, p->packet_fd, ifindex, family == AF_INET ? "IPv4 adverts" : "IPv6 adverts", on_packets, p);
        if (r < 0) {
                port_free(p);
                return r;
        }
        *ret = p;
        return 0;
}

int transport_port_acquire(Transport *t, int ifindex, int family, TransportPort **ret) {
        TransportPort *p;
        int r;

        for (guint k = 0; k < t->ports->len; k++) {
                p = g_ptr_array_index(t->ports, k);
                if (p->ifindex == ifindex && p->family == family) {
                        p->n_users++;
                        *ret = p;
                        return 0;
                }
        }
        r = open_port(t, ifindex, family, &p);
        if (r < 0)
                return r;
        p->n_users = 1;
        g_ptr_array_add(t->ports, p);
        *ret = p;
        return 0;
}

TransportPort *transport_port_release(TransportPort *p) {
        if (!p || --p->n_users > 0)
                return NULL;
        transport_push(p->transport);
        g_ptr_array_remove_fast(p->transport->ports, p);
        return port_free(p);
}

int transport_port_listen(TransportPort *p, uint8_t vhid, TransportReceive receive, TransportExamine examine_refused, void *userdata) {
        if (p->receivers[vhid].receive)
                return -EEXIST;
        p->receivers[vhid] = (Receiver) { .receive = receive, .examine = examine_refused, .userdata = userdata };
        return 0;
}

void transport_port_unlisten(TransportPort *p, uint8_t vhid) {
        p->receivers[vhid] = (Receiver) { 0 };
}

static int membership(const TransportPort *p, const IpAddress *group, bool join) {
        if (p->family == AF_INET) {
                struct ip_mreqn m = { .imr_ifindex = p->ifindex };

                memcpy(&m.imr_multiaddr, group->bytes, 4);
                return setsockopt(p->raw_fd, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &m, sizeof(m)) < 0
                               ? -errno
                               : 0;
        }
        struct ipv6_mreq m = { .ipv6mr_interface = (unsigned) p->ifindex };

        memcpy(&m.ipv6mr_multiaddr, group->bytes, 16);
        return setsockopt(p->raw_fd, IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &m, sizeof(m)) < 0 ? -errno : 0;
}

int transport_port_join(TransportPort *p, const IpAddress *group) {
        Group *free_slot = NULL;
        int r;

        for (size_t k = 0; k < N_GROUPS; k++) {
                if (p->groups[k].n_joins == 0)
                        free_slot = free_slot ?: &p->groups[k];
                else if (ip_address_equal(&p->groups[k].address, group)) {
                        p->groups[k].n_joins++;
                        return 0;
                }
        }
        if (!free_slot)
                return -ENOBUFS;
        r = membership(p, group, true);
        if (r < 0)
                return r;
        *free_slot = (Group) { .address = *group, .n_joins = 1 };
        return 0;
}

void transport_port_leave(TransportPort *p, const IpAddress *group) {
        for (size_t k = 0; k < N_GROUPS; k++)
                if (p->groups[k].n_joins > 0 && ip_address_equal(&p->groups[k].address, group) &&
                    --p->groups[k].n_joins == 0)
                        (void) membership(p, group, false);
}

void transport_port_rejoin(TransportPort *p) {
        for (size_t k = 0; k < N_GROUPS; k++) {
                if (p->groups[k].n_joins == 0)
                        continue;
                (void) membership(p, &p->groups[k].address, false);
                (void) membership(p, &p->groups[k].address, true);
        }
}

static void address_frame(const TransportPort *p, const uint8_t *frame, struct sockaddr_ll *ret) {
        *ret = (struct sockaddr_ll) { .sll_family = AF_PACKET, .sll_ifindex = p->ifindex, .sll_halen = MAC_BYTES };
        /* the EtherType is in network order where it stands */
        memcpy(&ret->sll_protocol, frame + ETHERTYPE_OFFSET, sizeof(ret->sll_protocol));
        memcpy(ret->sll_addr, frame, MAC_BYTES);
}

static int send_now(const TransportPort *p, const uint8_t *frame, size_t n_bytes) {
        struct sockaddr_ll to;

        address_frame(p, frame, &to);
        for (int k = 0; k < 2; k++) {
                if (sendto(p->packet_fd, frame, n_bytes, MSG_DONTWAIT, (struct sockaddr *) &to, sizeof(to)) >= 0)
                        return 0;
                /* the news of a link that was down, told late by an error that waited in the socket: once it is read, one sends again */
                if (errno != ENETDOWN)
                        break;
        }
        return -errno;
}

/* All that waits on the port of the first frame, in one system call. One that is refused is tried alone, and those behind it go on. */
static void send_waiting(Outbox *o, unsigned first) {
        TransportPort *p = o->waiting[first].port;
        unsigned order[OUTBOX_FRAMES], n = 0, n_sent = 0;

        for (unsigned k = first; k < o->n; k++) {
                if (o->waiting[k].port != p)
                        continue;
                address_frame(p, o->frames[k], &o->to[n]);
                o->vectors[n] = (struct iovec) { .iov_base = o->frames[k], .iov_len = o->waiting[k].n_bytes };
                o->messages[n].msg_hdr = (struct msghdr) {
                        .msg_name = &o->to[n], .msg_namelen = sizeof(o->to[n]), .msg_iov = &o->vectors[n], .msg_iovlen = 1
                };
                o->waiting[k].port = NULL;
                order[n++] = k;
        }
        while (n_sent < n) {
                int r = sendmmsg(p->packet_fd, o->messages + n_sent, n - n_sent, MSG_DONTWAIT);
                Waiting *w;

                if (r > 0) {
                        n_sent += (unsigned) r;
                        continue;
                }
                w = &o->waiting[order[n_sent]];
                w->error = send_now(p, o->frames[order[n_sent]], w->n_bytes);
                n_sent++;
        }
}

/* Who is told may send, at once or soon. */
static void tell(Waiting *waiting, unsigned n) {
        for (unsigned k = 0; k < n; k++)
                if (waiting[k].sent)
                        waiting[k].sent(waiting[k].userdata, waiting[k].error);
}

void transport_push(Transport *t) {
        Outbox *o = &t->outbox;
        Waiting told[OUTBOX_FRAMES];
        unsigned n = o->n;
        uint64_t now_usec;

        if (n == 0)
                return;
        now_usec = clock_usec();
        for (unsigned k = 0; k < n; k++) {
                if (now_usec <= o->waiting[k].until_usec)
                        continue;
                o->waiting[k].port = NULL;
                o->waiting[k].error = -ETIME;
        }
        for (unsigned k = 0; k < n; k++)
                if (o->waiting[k].port)
                        send_waiting(o, k);
        memcpy(told, o->waiting, n * sizeof(Waiting));
        o->n = 0;
        tell(told, n);
}

void transport_gather(Transport *t) {
        t->outbox.gathering = true;
}

void transport_flush(Transport *t) {
        t->outbox.gathering = false;
        transport_push(t);
}

void transport_forget(Transport *t, const void *userdata) {
        for (unsigned k = 0; k < t->outbox.n; k++)
                if (t->outbox.waiting[k].userdata == userdata)
                        t->outbox.waiting[k].sent = NULL;
}

int transport_port_send_frame(TransportPort *p, const uint8_t *frame, size_t n_bytes) {
        transport_push(p->transport);
        return send_now(p, frame, n_bytes);
}

int transport_port_send_soon(TransportPort *p, const uint8_t *frame, size_t n_bytes, uint64_t until_usec, TransportSent sent, void *userdata) {
        Outbox *o = &p->transport->outbox;

        if (!o->gathering || n_bytes > FRAME_BYTES_MAX)
                return transport_port_send_frame(p, frame, n_bytes);
        if (o->n == OUTBOX_FRAMES)
                transport_push(p->transport);
        o->waiting[o->n] = (Waiting) { .port = p, .n_bytes = n_bytes, .until_usec = until_usec, .sent = sent, .userdata = userdata };
        memcpy(o->frames[o->n++], frame, n_bytes);
        return -EINPROGRESS;
}

static void pin_source(struct msghdr *m, int ifindex, const IpAddress *source) {
        struct cmsghdr *c = CMSG_FIRSTHDR(m);

        if (source->family == AF_INET) {
                struct in_pktinfo info = { .ipi_ifindex = ifindex };

                memcpy(&info.ipi_spec_dst, source->bytes, 4);
                c->cmsg_level = IPPROTO_IP;
                c->cmsg_type = IP_PKTINFO;
                c->cmsg_len = CMSG_LEN(sizeof(info));
                memcpy(CMSG_DATA(c), &info, sizeof(info));
        } else {
                struct in6_pktinfo info = { .ipi6_ifindex = (unsigned) ifindex };

                memcpy(&info.ipi6_addr, source->bytes, 16);
                c->cmsg_level = IPPROTO_IPV6;
                c->cmsg_type = IPV6_PKTINFO;
                c->cmsg_len = CMSG_LEN(sizeof(info));
                memcpy(CMSG_DATA(c), &info, sizeof(info));
        }
        m->msg_controllen = CMSG_SPACE(source->family == AF_INET ? sizeof(struct in_pktinfo) : sizeof(struct in6_pktinfo));
}

int transport_port_send_unicast(TransportPort *p, const IpAddress *source, const IpAddress *peer,
                                const uint8_t payload[CARP_PAYLOAD_BYTES]) {
        union {
                struct sockaddr_in ipv4;
                struct sockaddr_in6 ipv6;
        } to = { 0 };
        union {
                struct cmsghdr header;
                uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        } control = { 0 };
        struct iovec v = { .iov_base = (void *) payload, .iov_len = CARP_PAYLOAD_BYTES };
        struct msghdr m = { .msg_name = &to,
                            .msg_iov = &v,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control) };

        if (peer->family == AF_INET) {
                to.ipv4.sin_family = AF_INET;
                memcpy(&to.ipv4.sin_addr, peer->bytes, 4);
                m.msg_namelen = sizeof(to.ipv4);
        } else {
                to.ipv6.sin6_family = AF_INET6;
                memcpy(&to.ipv6.sin6_addr, peer->bytes, 16);
                if (ip_address_is_link_local(peer))
                        to.ipv6.sin6_scope_id = (unsigned) p->ifindex;
                m.msg_namelen = sizeof(to.ipv6);
        }
        pin_source(&m, p->ifindex, source);
        return sendmsg(p->raw_fd, &m, MSG_DONTWAIT) < 0 ? -errno : 0;
}

const uint64_t *transport_port_rejected(const TransportPort *p) {
        return p->rejected;
}
