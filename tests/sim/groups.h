/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One random schedule of sync groups: a few hosts, each with the same two or three instances on as many segments that fail on their own. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "instance.h"
#include "sync-group.h"

#define N_HOSTS_MAX 4
#define N_SIDES_MAX 3
#define SEC UINT64_C(1000000)
#define NEVER UINT64_MAX

typedef enum FaultType {
        /* one segment */
        FAULT_PARTITION,
        FAULT_LOSS,
        FAULT_ONE_WAY,
        /* one host on one segment */
        FAULT_LINK,
        FAULT_SEND,
        FAULT_HOLD,
        FAULT_DEMOTION,
        FAULT_REGROUP, /* the last side leaves the group, and comes back */
        /* one host */
        FAULT_STALL,
        FAULT_SUSPEND,
        FAULT_RESTART,
        FAULT_CRASH,
        FAULT_STOP,
        FAULT_DISABLE, /* one side; the verb */
        /* at once */
        FAULT_DEMOTE,
        FAULT_PROMOTE,
        FAULT_ADDRESS,
} FaultType;
#define N_FAULT_TYPES 17

typedef struct Fault {
        FaultType type;
        unsigned host, side;
        uint64_t value; /* masks, loss in 1/256, demotion, hold */
        uint64_t begin, end;
        bool standing; /* goes on while it is calm: everything else must come to rest around it */
        bool active;
} Fault;

typedef enum EventType {
        EVENT_DELIVER,
        EVENT_BEGIN,
        EVENT_END,
        EVENT_LINK_NEWS,
        EVENT_CALM_END,
} EventType;

typedef struct Event {
        uint64_t usec;
        EventType type;
        unsigned host;
        guint index;
} Event;

typedef struct Packet {
        CarpAdvert advert;
        IpAddress source;
        unsigned side, from;
} Packet;

typedef struct World World;
typedef struct Host Host;

/* One host on one segment. */
typedef struct Side {
        Host *host;
        unsigned number;
        Instance *instance;
        InstanceMemory memory;
        IpAddress source;
        uint8_t advskew;
        ElectionState state;
        bool link_up, link_told, send_fails, hold_fails, enabled, enabled_told, grouped;
        uint32_t demotion, demotion_told;
        CheckConfig *check; /* the instance's, whose weight is our demotion */
        bool held;
        uint64_t deadline, arrival_usec[N_HOSTS_MAX];
        /* what it may do, computed anew */
        uint64_t listened_usec; /* since when it heard nobody */
        uint64_t judged_usec;   /* its demotion or its group changed: what it heard before may not count */
        uint64_t heard_usec, heard_interval_usec, bow_out_usec, eligible_usec, return_usec, preempt_usec;
        unsigned heard_rank;
        /* the pass that is under way */
        uint32_t demotion_before;
        bool became_master;
} Side;

struct Host {
        World *world;
        unsigned number;
        Side sides[N_SIDES_MAX];
        SyncGroups *groups;
        bool preempt;
        uint64_t preempt_delay_usec, demote_hold_usec;
        bool running, gone, stalled, deaf, resuming;
        bool parted; /* the last side is to be in no group */
        GArray *queue;           /* guint: packets waiting for a stalled daemon */
        uint64_t left_usec;      /* stalled since */
        uint64_t bow_out_usec;   /* when it last heard one, on any segment */
        uint64_t promoted_usec;  /* it may take over without having waited */
        uint64_t joining_usec;   /* the side that came back to the group may be behind until here */
};

struct World {
        uint64_t seed, random, now;
        bool trace;
        GString *failure;
        GArray *events, *packets;
        unsigned n_events;

        Host hosts[N_HOSTS_MAX];
        unsigned n_hosts, n_sides;
        uint8_t advbase;
        uint32_t dead_ratio;
        bool crossed; /* hosts are better on different segments: who is master is left to chance */
        uint64_t delay_max, latency_max;

        Fault faults[64];
        unsigned n_faults, first_fault, n_active, round, n_rounds;
        bool done;

        bool peace;              /* the last disturbance came when everything had settled */
        uint64_t calm_since;
        uint64_t settle_usec;    /* from here on nothing may change; NEVER: no promise yet */
        uint64_t handover_until; /* somebody must have everything by then */
        uint64_t overlap_since;
        uint64_t totals[5];
};

/* groups.c */
uint64_t world_random(World *w);
uint64_t between(World *w, uint64_t low, uint64_t high);
bool chance(World *w, unsigned percent);
void world_push(World *w, uint64_t usec, EventType type, unsigned host, guint index);
void world_trace(World *w, const Side *s, const char *format, ...) __attribute__((format(printf, 3, 4)));
void world_fail(World *w, const Side *s, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool world_cut(World *w, unsigned side, unsigned from, unsigned to); /* by partitions and one-way faults in force */

/* groups-host.c */
void host_start(Host *h);
void host_stop(Host *h);
void host_crash(Host *h);
void host_stall(Host *h, bool deaf);
void host_hand_over(Host *h);
void host_resume(Host *h);
void host_receive(Host *h, guint packet);
void host_timer(Side *s);
void host_set_link(Side *s, bool up);
void host_link_news(Side *s);
void host_tell(Host *h); /* enabled and demotion, as they are */
void host_demote(Side *s, uint64_t hold_usec);
void host_promote(Side *s);
void host_lose_address(Side *s);
void host_regroup(Host *h, bool whole);

/* groups-check.c */
unsigned side_rank(const Side *s);
uint64_t side_interval_usec(const Side *s);
uint64_t side_dead_usec(const Side *s);
uint64_t world_dead_max_usec(const World *w);
uint64_t world_interval_max_usec(const World *w);
bool host_is_master(const Host *h); /* of everything */
void check_state(Side *s, ElectionState state, ElectionReason reason);
void check_pass_begin(Host *h);
void check_pass_end(Host *h);
void check_disturbed(World *w); /* before something is done from outside, and after */
void check_planned_leave(const Host *h, bool silent); /* in peace: another must have everything, at once or, over a link that is gone, within one advert */
void check_world(World *w);
