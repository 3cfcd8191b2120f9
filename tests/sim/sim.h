/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One random schedule: a few hosts on a simulated segment, a virtual clock, faults, and what must hold all the while. */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "instance.h"
#include "proto/carp-hmac.h"
#include "proto/carp.h"
#include "proto/ip-address.h"

#define SIM_N_HOSTS_MAX 7
#define SIM_N_FAULTS_MAX 48
#define SIM_N_FAMILIES 2
#define SIM_SEC UINT64_C(1000000)
#define SIM_NEVER UINT64_MAX

typedef enum HostKind {
        HOST_KIND_VIPD,
        HOST_KIND_UCARP,
        HOST_KIND_FREEBSD,
} HostKind;

typedef enum FaultType {
        /* the network */
        FAULT_LOSS,
        FAULT_ONE_WAY,
        FAULT_PARTITION,
        FAULT_DELAY,
        FAULT_DUPLICATE,
        FAULT_FAMILY,
        /* one host, for a while */
        FAULT_STALL,
        FAULT_SUSPEND,
        FAULT_RESTART, /* of the daemon, which hands its role to the next one */
        FAULT_CRASH,
        FAULT_STOP,
        FAULT_LINK,
        FAULT_SEND,
        FAULT_HOLD,
        FAULT_DISABLE,
        FAULT_DEMOTION,
        FAULT_HEALTH, /* a check fails that keeps it from being master */
        /* one host, at once */
        FAULT_DEMOTE,
        FAULT_PROMOTE,
        FAULT_ADDRESS,
        FAULT_RECONFIGURE,
        FAULT_CARRIER,
        FAULT_EARLY_TIMER,
} FaultType;
#define N_FAULT_TYPES 23

typedef struct Fault {
        FaultType type;
        unsigned host;      /* of the host faults */
        uint64_t begin, end;
        uint64_t value;     /* loss in 1/256, extra delay, masks of hosts, demotion, hold, reason */
        unsigned from, to;  /* masks of hosts whose packets are cut */
        bool lasting;       /* the host does not come back, the demotion stays */
        bool active;
} Fault;

typedef enum EventType {
        EVENT_DELIVER,
        EVENT_FAULT_BEGIN,
        EVENT_FAULT_END,
        EVENT_LINK_NEWS, /* netlink tells the daemon about its link */
        EVENT_CALM_END,  /* the next round of faults begins, or the end */
} EventType;

typedef struct Event {
        uint64_t usec;
        uint32_t sequence;
        uint16_t type;
        uint16_t host;
        uint32_t index; /* of the packet or the fault */
} Event;

typedef struct Packet {
        CarpAdvert advert;
        IpAddress source;
        unsigned from;
        uint64_t usec;   /* when it was sent */
        uint64_t number; /* among its sender's */
} Packet;

typedef struct Sim Sim;

typedef struct Host {
        Sim *sim;
        unsigned number;
        HostKind kind;
        IpAddress sources[SIM_N_FAMILIES];

        /* what the operator wrote; for vipd the instance has a copy */
        uint8_t advbase, advskew;
        uint32_t dead_ratio;
        bool preempt;
        uint64_t preempt_delay_usec, start_delay_usec, demote_hold_usec;
        ConfigLease lease;

        /* the machine */
        uint64_t clock_offset_usec;
        bool running;
        bool gone; /* will not come back */
        bool stalled;
        bool deaf; /* suspended: packets are lost, not queued */
        bool link_up, link_told;
        bool loss_untold; /* the link went, and the daemon has not read that yet */
        ElectionReason link_reason;
        bool link_news; /* waiting in the netlink socket of a stalled daemon */
        bool send_fails, hold_fails;
        uint64_t arrival_usec[SIM_N_HOSTS_MAX]; /* of the last advert of each, or when it would have come but for a fault */
        GArray *queue; /* uint32_t: packets waiting in the socket of a stalled daemon */
        bool held;
        uint64_t lease_end; /* when the kernel drops the address */

        /* vipd */
        Instance *instance; /* NULL while it restarts */
        InstanceMemory memory;
        uint64_t deadline; /* in simulation time, with the wake-up's lateness */
        ReplayState saved; /* for the next start */
        bool enabled, enabled_told;
        bool healthy, healthy_told;
        uint32_t demotion, demotion_told;
        CheckConfig *check;  /* the instance's, whose weight is our demotion */
        unsigned n_sends;    /* in a row that contradict send_demoted */
        bool send_demoted;
        uint64_t started_usec;
        uint64_t left_usec;     /* crashed, or frozen since */
        unsigned lease_sec;     /* of the last hold */
        uint64_t eligible_usec; /* not master before this, unless promoted */
        uint64_t return_usec;   /* and not excused after this, having given up over failed adverts */
        uint64_t preempt_usec;  /* no preemption before this */
        uint64_t timeout_usec;  /* no master-timeout before this */
        uint64_t promoted_usec; /* it may say 0/0 until here */
        uint64_t sent_usec;     /* last advert that left, or when it became master */
        bool unsaid;            /* it preempted, and no advert has left since */
        uint64_t attempted_usec; /* last advert tried */
        uint64_t n_tried, n_sent, n_bow_outs, n_sent_settled;
        uint8_t heard_advbase, heard_advskew, heard_demotion;
        uint8_t said_advbase, said_advskew;
        uint64_t contested_usec; /* when it last heard an advert and stayed master */

        /* all three */
        ElectionState state;

        /* the other two programs */
        uint64_t reaction_usec;
        uint64_t down_usec, poll_usec, advert_usec, counter;

        /* the call into the instance that is under way */
        bool resuming; /* the first pass of the loop after a stall */
        bool overslept; /* it was master and slept past its dead interval: the first thing must be to let go */
        struct {
                ElectionState before;
                unsigned n_effects, n_sent, n_releases, n_announces, n_holds_failed;
                bool became_master, first_is_release;
        } call;
} Host;

struct Sim {
        uint64_t seed;
        uint64_t random;
        bool trace;
        GString *failure; /* empty: none */

        uint64_t now;
        uint32_t sequence;
        GArray *events;  /* Event, a binary heap */
        GArray *packets; /* Packet */
        unsigned n_events;

        Host hosts[SIM_N_HOSTS_MAX];
        unsigned n_hosts;
        bool families[SIM_N_FAMILIES];
        bool strict, echo, foreign;
        bool demotion_byte; /* every host says its demotion in byte 4, and obeys the others' */
        uint64_t delay_min, delay_max, latency_max; /* of a healthy network and machine */
        IpPrefix vip;
        uint8_t vhid;
        CarpHmac *hmac;

        Fault faults[SIM_N_FAULTS_MAX];
        unsigned n_faults, first_fault;
        unsigned n_active;
        unsigned n_rounds, round;
        bool long_calm, done;

        /* what the checks remember */
        uint64_t last_delivery; /* of the packets that a fault held up */
        uint64_t calm_since;    /* valid while n_active is 0 */
        uint64_t settle_usec;   /* from here on nothing may change; SIM_NEVER: no promise */
        bool settled;           /* the counters below are taken */
        bool overlapping, masterless;
        uint64_t overlap_since, overlap_bound, masterless_since;
        uint64_t tie_usec; /* when a second master last came or went, however far away */
        uint64_t disturbed_usec;
        bool settled_before;     /* the last disturbance fell into peace */
        uint64_t handover_until; /* somebody must be master again by then; SIM_NEVER: no promise */
        bool handover_of_two;
        const Host *believed; /* the neighbours' caches: who announced the address last, */
        uint64_t believed_usec; /* and when */

        /* totals over all schedules */
        uint64_t total_events, total_transitions, total_adverts, total_settled, total_handovers;
};

/* sim.c */
uint64_t sim_random(Sim *s);
uint64_t sim_between(Sim *s, uint64_t low, uint64_t high); /* both included */
bool sim_chance(Sim *s, unsigned percent);
void sim_push(Sim *s, uint64_t usec, EventType type, unsigned host, uint32_t index);
void sim_trace(Sim *s, const Host *h, const char *format, ...) __attribute__((format(printf, 3, 4)));
void sim_fail(Sim *s, const Host *h, const char *format, ...) __attribute__((format(printf, 3, 4)));
void sim_new(Sim *s);
void sim_free(Sim *s);
/* One schedule. True: everything held. */
bool sim_run(Sim *s, uint64_t seed, bool trace);

/* schedule.c */
void schedule_draw_hosts(Sim *s);
void schedule_draw_round(Sim *s);
void schedule_fault_begin(Sim *s, Fault *f);
void schedule_fault_end(Sim *s, Fault *f);

/* network.c */
int network_send(Host *from, const uint8_t ipv4[CARP_PAYLOAD_BYTES], const uint8_t ipv6[CARP_PAYLOAD_BYTES]);
void network_deliver(Host *to, uint32_t packet);

/* host.c */
void host_start(Host *h);
void host_stop(Host *h);
void host_crash(Host *h);
void host_stall(Host *h, bool deaf);
void host_hand_over(Host *h);
void host_resume(Host *h);
void host_set_link(Host *h, bool up, ElectionReason reason);
void host_link_news(Host *h);
void host_receive(Host *h, const Packet *packet);
void host_set_enabled(Host *h, bool enabled);
void host_set_healthy(Host *h, bool healthy);
void host_set_demotion(Host *h, uint32_t demotion);
void host_demote(Host *h, uint64_t hold_usec);
void host_promote(Host *h);
void host_lose_address(Host *h);
void host_reconfigure(Host *h, uint8_t advskew, bool preempt);
void host_carrier(Host *h);
void host_early_timer(Host *h);
void host_timer(Host *h);
uint64_t host_next_usec(const Host *h);

/* peers.c */
void peer_start(Host *h);
void peer_crash(Host *h);
void peer_stall(Host *h);
void peer_resume(Host *h);
void peer_receive(Host *h, const Packet *packet);
void peer_timer(Host *h);
uint64_t peer_next_usec(const Host *h);

/* check.c: what hosts ought to do is computed here again, from carp(4), not asked of the core */
uint8_t host_advskew(const Host *h);       /* with demotion, as on the wire */
uint64_t host_interval_usec(const Host *h);
uint64_t host_dead_usec(const Host *h);
uint64_t sim_dead_max_usec(const Sim *s);
uint64_t sim_interval_max_usec(const Sim *s);
uint64_t wire_interval_usec(uint8_t advbase, uint8_t advskew);
void check_disturbed(Sim *s); /* something was done from outside: the promises start over */
void check_state(Host *h, ElectionState state, ElectionReason reason);
void check_advert(Host *h, const CarpAdvert *advert); /* vipd is about to send this */
void check_sends(Host *h);                            /* it has woken up */
void check_heard(Host *h, const CarpAdvert *advert);  /* vipd is about to hear this */
void check_call_begin(Host *h);
void check_call_end(Host *h);
void check_hand_over(const Host *h);    /* it is about to restart */
void check_restarted_backup(Host *h);   /* it has restarted, and heard nothing meanwhile */
bool check_stays_master(const Host *h); /* it has restarted: must it be what it was? */
void check_step(Sim *s);
void check_calm_end(Sim *s);
