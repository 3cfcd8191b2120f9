/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One election with its addresses: feeds the core, and carries out its updates in order through InstanceOps. Knows no socket, no
 * loop, no bus: the daemon and the simulator link the same object. */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "core/election.h"
#include "core/replay.h"
#include "proto/carp.h"
#include "proto/ip-address.h"

typedef struct Instance Instance;

/* What an instance needs done. None may block or call back into the instance. */
typedef struct InstanceOps {
        int (*send)(void *userdata, const uint8_t payload[CARP_PAYLOAD_BYTES]); /* every family and peer; 0 or -errno */
        int (*hold)(void *userdata);      /* add what is missing and renew the lease of the rest; idempotent; 0 or -errno */
        void (*release)(void *userdata);  /* drop what we hold */
        void (*announce)(void *userdata); /* one round of gratuitous ARP and NA for every address */
        void (*arm)(void *userdata, uint64_t deadline_usec); /* call instance_on_timer() then; UINT64_MAX: not */
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
} InstanceChange;

typedef struct InstanceTransition {
        ElectionState from, to;
        ElectionReason reason;
} InstanceTransition;

typedef struct InstanceObserver {
        /* changes: mask of InstanceChange. transition: the role change, or NULL. Called after the effects. */
        void (*changed)(void *userdata, Instance *i, unsigned changes, const InstanceTransition *transition);
        void *userdata;
} InstanceObserver;

typedef enum InstancePeerRole {
        INSTANCE_PEER_MASTER,
        INSTANCE_PEER_BACKUP, /* advertised once, and has since been outdone or bowed out */
} InstancePeerRole;
const char *instance_peer_role_to_string(InstancePeerRole role);

typedef struct InstancePeer {
        IpAddress source;
        InstancePeerRole role;
        uint8_t advbase, advskew;
        uint64_t heard_usec; /* CLOCK_BOOTTIME */
} InstancePeer;
#define INSTANCE_N_PEERS 16

typedef struct InstanceStatistics {
        uint64_t adverts_sent, adverts_received, send_errors, bow_outs_sent, bow_outs_received;
        uint64_t announcements, lease_renewals, addresses_restored, hold_errors, transitions, stalls;
        uint64_t rejected[N_CARP_VERDICTS]; /* by verdict, those this instance decides: hmac, loop, replay */
} InstanceStatistics;

/* config is taken. ops and its userdata are borrowed and must outlive the instance; observer is copied. seed: random.
 * sequence: replay_init(). The instance starts in init, barred by interface-missing; see instance_set_link(). */
Instance *instance_new(InstanceConfig *config, const InstanceOps *ops, void *ops_userdata, const InstanceObserver *observer,
                       uint64_t seed, uint64_t sequence);
Instance *instance_free(Instance *i); /* does not send: instance_stop() first */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Instance, instance_free)

/* Facts from below. now_usec: CLOCK_BOOTTIME. */
/* reason: LINK_UP when usable, else LINK_DOWN, INTERFACE_MISSING or NO_SOURCE_ADDRESS. Sources: AF_UNSPEC if that family is not spoken. */
void instance_set_link(Instance *i, ElectionReason reason, const IpAddress *ipv4, const IpAddress *ipv6, uint64_t now_usec);
CarpVerdict instance_on_advert(Instance *i, const IpAddress *source, const CarpAdvert *advert, uint64_t now_usec);
void instance_on_timer(Instance *i, uint64_t now_usec);
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
InstanceVerbResult instance_promote(Instance *i, uint64_t now_usec);
void instance_set_enabled(Instance *i, bool enabled, uint64_t now_usec);
void instance_set_demotion(Instance *i, uint32_t demotion, uint64_t now_usec);
void instance_stop(Instance *i, ElectionReason reason, uint64_t now_usec); /* shutdown or reload: release, bow out */
/* Same interface and VHID, anything else may differ: a master stays master. config is taken. The caller has already told its ops
 * about new addresses; `hold` is called if master. */
void instance_reconfigure(Instance *i, InstanceConfig *config, uint64_t now_usec);
void instance_set_problem(Instance *i, const char *problem); /* why a newer configuration is not in force; NULL: none */

/* What it is now; pointers are borrowed until the next call into the instance. */
const InstanceConfig *instance_config(const Instance *i);
ElectionState instance_state(const Instance *i);
ElectionReason instance_reason(const Instance *i);
bool instance_enabled(const Instance *i);
uint32_t instance_demotion(const Instance *i);
const char *instance_problem(const Instance *i); /* "" if none */
const IpAddress *instance_master(const Instance *i); /* family AF_UNSPEC: unknown */
size_t instance_peers(const Instance *i, const InstancePeer **ret);
uint64_t instance_state_change_usec(const Instance *i);          /* CLOCK_BOOTTIME */
uint64_t instance_state_change_realtime_usec(const Instance *i);
const InstanceStatistics *instance_statistics(const Instance *i);
