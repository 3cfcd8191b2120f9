/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One election with its addresses: feeds the core, and carries out its updates in order through InstanceOps. Knows no socket, no
 * loop, no bus: the daemon and the simulator link the same object. */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "check/check-state.h"
#include "config.h"
#include "core/election.h"
#include "core/replay.h"
#include "latency.h"
#include "peers.h"
#include "proto/carp.h"
#include "proto/ip-address.h"

typedef struct Instance Instance;

/* What an instance needs done. None may block, or call back into the instance but by instance_on_sent(). */
typedef struct InstanceOps {
        /* to every peer, by each family that is spoken, its payload; 0 or -errno. -EINPROGRESS, never with at_once: it leaves when this pass of
         * the loop is over, but not after until_usec, and instance_on_sent() is called then. */
        int (*send)(void *userdata, const uint8_t ipv4[CARP_PAYLOAD_BYTES], const uint8_t ipv6[CARP_PAYLOAD_BYTES], uint64_t until_usec,
                    bool at_once);
        int (*hold)(void *userdata);      /* add what is missing and renew the lease of the rest; idempotent; 0 or -errno */
        /* Renew the lease of what is held, with others', when this pass is over but not after until_usec; 0 or -errno, and what is refused later
         * is told to instance_on_lease_refused(). */
        int (*renew)(void *userdata, uint64_t until_usec);
        void (*release)(void *userdata);  /* drop what we hold */
        void (*announce)(void *userdata, uint64_t until_usec); /* one round of gratuitous ARP and NA for every address; as late as send may be */
        /* Call instance_on_timer() then; UINT64_MAX: not. From early_usec on it may be called, when the timer of another instance is due. */
        void (*arm)(void *userdata, uint64_t deadline_usec, uint64_t early_usec);
        uint64_t (*now)(void *userdata); /* CLOCK_BOOTTIME at this very moment: to measure by, never to decide by */
} InstanceOps;

/* Properties that an observer may have to tell others about. */
typedef enum InstanceChange {
        INSTANCE_CHANGE_STATE = 1 << 0, /* state, reason, timestamps, transitions */
        INSTANCE_CHANGE_MASTER = 1 << 1,
        INSTANCE_CHANGE_PEERS = 1 << 2, /* a peer came, went, or changed role or advskew; not its last-heard time */
        INSTANCE_CHANGE_CONFIG = 1 << 3,
        INSTANCE_CHANGE_DEMOTION = 1 << 4,
        INSTANCE_CHANGE_ENABLED = 1 << 5,
        INSTANCE_CHANGE_PROBLEM = 1 << 6,
        INSTANCE_CHANGE_UNITS = 1 << 7, /* failed units, or which units are wanted */
        INSTANCE_CHANGE_CHECKS = 1 << 8,
        INSTANCE_CHANGE_CONFLICT = 1 << 9,
} InstanceChange;

typedef struct InstanceTransition {
        ElectionState from, to;
        ElectionReason reason;
} InstanceTransition;

/* What went wrong without being a change of any property; somebody should hear of it. */
typedef enum InstanceNotice {
        INSTANCE_NOTICE_ADDRESS_RESTORED, /* somebody else removed an address of ours; it is back */
        INSTANCE_NOTICE_ADDRESS_NOT_HELD, /* the kernel refused an address */
        INSTANCE_NOTICE_SEND_FAILED,      /* an advert could not be sent */
        INSTANCE_NOTICE_CONFLICT,         /* another host claims an address of ours: instance_conflict() */
        INSTANCE_NOTICE_CONFLICT_OVER,
} InstanceNotice;
#define N_INSTANCE_NOTICES 5

typedef struct InstanceObserver {
        /* changes: mask of InstanceChange. transition: the role change, or NULL. Called after the effects. */
        void (*changed)(void *userdata, Instance *i, unsigned changes, const InstanceTransition *transition);
        /* error: negative errno, or 0. Called between the effects, so it may do no more than note it. NULL: nobody listens. */
        void (*noticed)(void *userdata, Instance *i, InstanceNotice notice, int error);
        void *userdata;
} InstanceObserver;

/* The group that an instance is one of (sync-group.c): it is asked after every step, and may call into this and the other instances. */
typedef struct InstanceGroup {
        void (*stepped)(void *userdata, Instance *i, uint64_t now_usec);
        void (*bow_out_heard)(void *userdata, Instance *i, uint64_t now_usec);
} InstanceGroup;

/* A unit that hangs on the instance's role and did not do its job. */
typedef struct InstanceUnitFailure {
        char *unit;
        char *result; /* systemd's word for the job's result, or "hanging" */
} InstanceUnitFailure;

/* What is known of a check, which config->checks describes. */
typedef struct InstanceCheck {
        char *name;
        CheckState state;
        bool failed; /* it counts as failed: what is unknown may or may not */
        char *output; /* one line, "" if there was none */
} InstanceCheck;

/* What another process needs to go on with this instance as if nothing had happened. */
typedef struct InstanceMemory {
        ElectionMemory election;
        bool holds; /* a master that has its addresses */
        IpAddress master;
        Peers peers;
        uint64_t changed_usec, changed_realtime_usec;
        uint64_t announce_usec; /* when the next round of announcements is due, */
        uint32_t n_announce;    /* and how many are left */
} InstanceMemory;

typedef struct InstanceStatistics {
        uint64_t adverts_sent, adverts_received, send_errors, bow_outs_sent, bow_outs_received;
        uint64_t announcements, lease_renewals, addresses_restored, hold_errors, transitions, stalls;
        uint64_t rejected[N_CARP_VERDICTS]; /* by verdict, those this instance decides: hmac, loop, replay */
        uint64_t transitions_by[N_ELECTION_REASONS];
        Latency takeovers; /* see finish_takeover() in instance.c */
} InstanceStatistics;

/* config is taken. ops and its userdata are borrowed and must outlive the instance; observer is copied. seed: random.
 * The instance starts in init, barred by interface-missing; see instance_set_link(). */
Instance *instance_new(InstanceConfig *config, const InstanceOps *ops, void *ops_userdata, const InstanceObserver *observer,
                       uint64_t seed);
Instance *instance_free(Instance *i); /* does not send: instance_stop() first */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Instance, instance_free)

/* A master renews its lease and advertises once more, so that lease and patience of the peers last as long as can be. With AdvBase=0 that is not
 * long enough for a restart: it leaves as for a stop. */
void instance_prepare_handover(Instance *i, uint64_t now_usec);
void instance_remember(const Instance *i, InstanceMemory *ret);
/* Before the first fact from below: goes on with the role another process had. The addresses are there already. */
void instance_resume(Instance *i, const InstanceMemory *memory, uint64_t now_usec);

/* ReplayProtection=strict: what the next life of this instance must know, and that life before its link is usable, or before it becomes strict. */
void instance_replay_export(const Instance *i, ReplayState *ret);
void instance_replay_import(Instance *i, const ReplayState *state);

/* Facts from below. now_usec: CLOCK_BOOTTIME. */
/* reason: LINK_UP when usable, else LINK_DOWN, INTERFACE_MISSING or NO_SOURCE_ADDRESS. Sources: AF_UNSPEC if that family is not spoken. */
void instance_set_link(Instance *i, ElectionReason reason, const IpAddress *ipv4, const IpAddress *ipv6, uint64_t now_usec);
CarpVerdict instance_on_advert(Instance *i, const IpAddress *source, const CarpAdvert *advert, uint64_t now_usec);
void instance_on_timer(Instance *i, uint64_t now_usec);
void instance_on_sent(Instance *i, int error, uint64_t now_usec);          /* of an advert that waited; 0 or -errno */
void instance_on_lease_refused(Instance *i, int error, uint64_t now_usec); /* of a renewal that waited */
void instance_on_address_missing(Instance *i, uint64_t now_usec); /* somebody else removed one of ours: put it back at once */
void instance_on_carrier_back(Instance *i, uint64_t now_usec);    /* or the MAC changed: announce again if master */

/* Verbs. Outcomes, not errors: */
typedef enum InstanceVerbResult {
        INSTANCE_VERB_OK,
        INSTANCE_VERB_NOT_MASTER,
        INSTANCE_VERB_NOT_ENABLED,
        INSTANCE_VERB_BUSY, /* cannot now: no usable link */
} InstanceVerbResult;
InstanceVerbResult instance_demote(Instance *i, uint64_t hold_usec, uint64_t now_usec); /* CONFIG_USEC_UNSET: DemoteHold= */
InstanceVerbResult instance_may_promote(const Instance *i);
InstanceVerbResult instance_promote(Instance *i, uint64_t now_usec); /* alone; see sync_groups_promote() */
void instance_set_enabled(Instance *i, bool enabled, uint64_t now_usec);
/* Of a check in the configuration: failed ones demote us, or keep us from being master. */
void instance_set_check(Instance *i, const char *name, CheckState state, bool failed, const char *output, uint64_t now_usec);
/* Shutdown or reload: release, bow out. wait_for_units: with UnitsBeforeAddress=, stop the units first, see instance_on_units_settled(). */
void instance_stop(Instance *i, ElectionReason reason, bool wait_for_units, uint64_t now_usec);
/* Same interface and VHID, anything else may differ: a master stays master. config is taken. The caller has already told its ops
 * about new addresses; `hold` is called if master. */
void instance_reconfigure(Instance *i, InstanceConfig *config, uint64_t now_usec);
void instance_set_problem(Instance *i, const char *problem); /* why a newer configuration is not in force; NULL: none */
/* Who else claims addresses of ours, in words, and the first one's MAC; "": nobody. Not from within an op. */
void instance_set_conflict(Instance *i, const char *conflict, const char *mac);

/* One of a group, which keeps its members together; NULL: of none. waits: some member has UnitsBeforeAddress=, so that a planned end of mastership
 * is the group's to carry out, see instance_may_depart(). */
void instance_set_group(Instance *i, const InstanceGroup *group, void *userdata, bool waits, uint64_t now_usec);
/* The addresses before a takeover of the group, so that none advertises what another cannot hold. False: they cannot be held, and we stay out for
 * DemoteHold=. */
bool instance_prepare_takeover(Instance *i, uint64_t now_usec);
void instance_cancel_takeover(Instance *i); /* if it did not become master */
/* What the group's other members have for this one. cause: which of them, for ELECTION_SYNC_LEAVE and _YIELD; else NULL. */
void instance_sync(Instance *i, ElectionSync sync, const Instance *cause, uint64_t now_usec);
void instance_leave_with(Instance *i, const Instance *cause, uint64_t now_usec); /* another begins a planned end of mastership */
void instance_stay_with(Instance *i);                                            /* and thinks better of it */
bool instance_leaves_with(const Instance *i); /* it is leaving for no reason but that */
bool instance_may_depart(const Instance *i);  /* leaving, and its own units are down */
void instance_depart(Instance *i, uint64_t now_usec);
void instance_set_group_demotion(Instance *i, uint32_t demotion, uint64_t now_usec); /* of the most demoted member */

/* The units that hang on the role (targets.c). Which are wanted: those of the state; none while leaving. */
bool instance_is_leaving(const Instance *i); /* still master, until its units are down */
/* up: those of the master are up, or will not be; else: they are down, or will not be. Ends the waits of UnitsBeforeAddress=. */
void instance_on_units_settled(Instance *i, bool up, uint64_t now_usec);
/* result: why the unit failed, or NULL: it is well. */
void instance_on_unit_result(Instance *i, const char *unit, const char *result, uint64_t now_usec);

/* What it is now; pointers are borrowed until the next call into the instance. */
const InstanceConfig *instance_config(const Instance *i);
ElectionState instance_state(const Instance *i);
ElectionReason instance_reason(const Instance *i);
bool instance_holds(const Instance *i); /* the addresses: master, and not waiting for units */
bool instance_enabled(const Instance *i);
uint32_t instance_demotion(const Instance *i);     /* as it counts, with that of its group */
uint32_t instance_own_demotion(const Instance *i); /* without */
const Election *instance_election(const Instance *i);
/* ELECTION_REASON_SYNC: the name of the member that caused it, and why it did; "" if unknown. */
const char *instance_sync_cause(const Instance *i, ElectionReason *ret_reason);
const char *instance_problem(const Instance *i); /* "" if none */
const char *instance_conflict(const Instance *i); /* "" if nobody, and while we are not master */
const char *instance_conflict_mac(const Instance *i);
const IpAddress *instance_master(const Instance *i); /* family AF_UNSPEC: unknown */
const Peers *instance_peers(const Instance *i);
const GPtrArray *instance_checks(const Instance *i); /* InstanceCheck *, as in the configuration; those never told of are missing */
const GPtrArray *instance_unit_failures(const Instance *i); /* InstanceUnitFailure * */
uint64_t instance_state_change_usec(const Instance *i);          /* CLOCK_BOOTTIME */
uint64_t instance_state_change_realtime_usec(const Instance *i);
uint64_t instance_digest_mismatch_realtime_usec(const Instance *i); /* when an advert with a wrong digest last came; 0: none did */
const InstanceStatistics *instance_statistics(const Instance *i);
