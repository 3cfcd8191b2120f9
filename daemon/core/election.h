/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The election: CARP's three states as a pure function of (state, event, now). No I/O, clock, heap or log. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ElectionState {
        ELECTION_STATE_INIT,
        ELECTION_STATE_BACKUP,
        ELECTION_STATE_MASTER,
} ElectionState;
#define N_ELECTION_STATES 3

typedef enum ElectionReason {
        ELECTION_REASON_STARTUP,
        ELECTION_REASON_MASTER_TIMEOUT,
        ELECTION_REASON_PREEMPTED,
        ELECTION_REASON_PREEMPTING,
        ELECTION_REASON_BOW_OUT,
        ELECTION_REASON_DEMOTED,
        ELECTION_REASON_PROMOTED,
        ELECTION_REASON_HEALTH,
        ELECTION_REASON_LINK_DOWN,
        ELECTION_REASON_LINK_UP,
        ELECTION_REASON_INTERFACE_MISSING,
        ELECTION_REASON_NO_SOURCE_ADDRESS,
        ELECTION_REASON_ADDRESS_LOST,
        ELECTION_REASON_STALLED,
        ELECTION_REASON_DISABLED,
        ELECTION_REASON_ENABLED,
        ELECTION_REASON_SEND_FAILED,
        ELECTION_REASON_SYNC,
        ELECTION_REASON_SHUTDOWN,
        ELECTION_REASON_RELOAD,
} ElectionReason;
#define N_ELECTION_REASONS 20

const char *election_state_to_string(ElectionState state);    /* "init", "backup", "master" */
const char *election_reason_to_string(ElectionReason reason); /* "master-timeout", ... */

#define ELECTION_NEVER UINT64_MAX

/* A source address as bytes, for ties only. n_bytes: 4, 16, or 0 for none. */
typedef struct ElectionAddress {
        uint8_t n_bytes;
        uint8_t bytes[16];
} ElectionAddress;

typedef struct ElectionConfig {
        uint8_t advbase;
        uint8_t advskew;
        uint32_t dead_ratio;
        bool preempt;
        uint64_t preempt_delay_usec;
        uint64_t start_delay_usec; /* ELECTION_NEVER: one dead interval */
        bool demotion_byte; /* OpenBSD's: adverts carry the demotion, and who is less demoted is better whatever the interval */
} ElectionConfig;

typedef enum ElectionEventType {
        ELECTION_EVENT_ADVERT,      /* a believed advert: u.advert */
        ELECTION_EVENT_TIMER,       /* the deadline has come; harmless when early */
        ELECTION_EVENT_READVERTISE, /* a master's next advert, now */
        ELECTION_EVENT_BAR,         /* u.bar.reason: we may not take part (the link reasons, disabled) or not be master (health, sync) */
        ELECTION_EVENT_UNBAR,       /* u.bar.reason no longer holds */
        ELECTION_EVENT_DEMOTION,    /* u.demotion: the counter's new value */
        ELECTION_EVENT_DEMOTE,      /* u.hold_usec: give up now, stay out that long */
        ELECTION_EVENT_PROMOTE,     /* take over now */
        ELECTION_EVENT_SENT,        /* u.sent: did the last advert leave? */
        ELECTION_EVENT_ADDRESS_LOST,/* an address could not be held: give up; u.hold_usec */
        ELECTION_EVENT_UNTOLD,      /* it preempted, and the advert was refused: give it back */
        ELECTION_EVENT_SHUTDOWN,    /* leave for good; u.stop_reason: shutdown or reload */
        ELECTION_EVENT_CONFIGURE,   /* u.config: new timing, same election */
        ELECTION_EVENT_SOURCE,      /* u.source: our own addresses changed */
        ELECTION_EVENT_GROUP,       /* u.grouped: from now on we are master with others of this host or not at all, see core/sync.h */
        ELECTION_EVENT_SYNC,        /* u.sync: what became of the others */
} ElectionEventType;

/* What the others of our group have for us. */
typedef enum ElectionSync {
        ELECTION_SYNC_TAKE_OVER, /* all want to: now */
        ELECTION_SYNC_LEAVE,     /* one of them is not master: neither are we, and we say so */
        ELECTION_SYNC_YIELD,     /* one of them yielded to another host, which is master of ours as well: neither are we, in silence */
        ELECTION_SYNC_BOW_OUT,   /* one of them heard a master bow out, which leaves ours as well */
} ElectionSync;

typedef struct ElectionEvent {
        ElectionEventType type;
        union {
                struct {
                        uint8_t advbase, advskew, demotion;
                        ElectionAddress source;
                } advert;
                struct {
                        ElectionReason reason;
                } bar;
                uint32_t demotion;
                uint64_t hold_usec;
                bool sent;
                ElectionReason stop_reason;
                ElectionConfig config;
                bool grouped;
                ElectionSync sync;
                struct {
                        ElectionAddress ipv4, ipv6; /* n_bytes 0: that family is not spoken */
                } source;
        } u;
} ElectionEvent;

typedef enum ElectionSend {
        ELECTION_SEND_NONE,
        ELECTION_SEND_ADVERT,  /* with advbase and advskew below */
        ELECTION_SEND_BOW_OUT, /* 255/255; addresses are dropped before */
} ElectionSend;

/* What the caller must do now, in this order: when leaving master, drop the addresses; when entering it, hold them; send; announce. */
typedef struct ElectionUpdate {
        bool changed; /* from != to: a role change with this reason */
        ElectionState from, to;
        ElectionReason reason;
        ElectionSend send;
        uint8_t advbase, advskew; /* for ELECTION_SEND_ADVERT */
        uint8_t demotion;         /* byte 4 of what is sent */
        bool announce;            /* start a burst of gratuitous ARP and NA */
        bool contested;           /* who must yield to us was heard as master: announce once more when he has */
} ElectionUpdate;

typedef struct Election {
        ElectionConfig config;
        ElectionState state;
        ElectionReason reason;
        uint32_t barred;   /* bit per ElectionReason */
        uint32_t demotion;
        ElectionAddress ipv4, ipv6;
        uint64_t random;   /* xorshift state */
        bool started;      /* has left init once */
        bool grouped;      /* takes over by ELECTION_SYNC_TAKE_OVER or ELECTION_EVENT_PROMOTE only */
        uint64_t now_usec;            /* the latest time seen */
        uint64_t eligible_usec;       /* not master before this (start delay, demote hold) */
        uint64_t preempt_usec;        /* no preemption before this */
        uint64_t master_down_usec;    /* backup: silence until here means take over */
        ElectionReason down_reason;   /* why, when master_down_usec comes: master-timeout, bow-out or preempting */
        ElectionAddress respected;    /* who was last heard with an advert at least as good as our own, */
        uint64_t respected_usec;      /* and when */
        uint64_t heard_usec;          /* when a master last spoke, whoever it was, */
        uint64_t heard_interval_usec; /* and how long until it speaks again */
        uint64_t spread_usec;         /* how much longer we listen after a tie, */
        uint64_t spread_until_usec;   /* and until when what is heard still belongs to that tie */
        uint64_t next_advert_usec;    /* master */
        uint64_t attempted_usec;      /* master: last advert tried */
        uint64_t sent_usec;           /* master: last advert that left */
        uint64_t reasserted_usec;     /* master: last advert sent out of turn */
        uint64_t promoted_until_usec; /* master: our adverts and comparisons are 0/0 until here */
        unsigned n_ties;              /* equal adverts answered since we became master */
} Election;

/* What a later process needs to go on where this one stops: its role, and the instants that role is judged by. */
typedef struct ElectionMemory {
        ElectionState state;
        ElectionReason reason, down_reason;
        uint64_t eligible_usec, preempt_usec, master_down_usec; /* backup */
        uint64_t attempted_usec, sent_usec, promoted_until_usec; /* master */
} ElectionMemory;

/* barred from the start by ELECTION_REASON_INTERFACE_MISSING: the caller lifts it when the link is known to be usable.
 * seed: anything random; the same seed and events give the same results. */
void election_init(Election *e, const ElectionConfig *config, uint64_t seed);
void election_remember(const Election *e, ElectionMemory *ret);
/* Instead of the first steps: the role another process had, and no bar. A master's silence that began then counts on, so
 * that the first step finds out whether it is one still; what a backup did not hear meanwhile is no silence. Bars follow as events. */
void election_resume(Election *e, const ElectionMemory *memory, uint64_t now_usec);
/* Advances the election. now_usec: CLOCK_BOOTTIME µs; a step back is read as no step. */
void election_step(Election *e, const ElectionEvent *event, uint64_t now_usec, ElectionUpdate *ret);
uint64_t election_deadline_usec(const Election *e); /* when the next TIMER event is due; ELECTION_NEVER: not before another event */
uint64_t election_interval_usec(const Election *e); /* between two adverts of ours */
/* Backup: from when on we take over, or, grouped, want to; ELECTION_NEVER: nothing says that we will. */
uint64_t election_due_usec(const Election *e);
/* Whether that is so, and it has listened all the while: not if it is asked much later than it wanted to be woken. */
bool election_wants(const Election *e, uint64_t now_usec);
bool election_is_barred(const Election *e, ElectionReason reason);
uint8_t election_advskew(const Election *e); /* as on the wire: with demotion */
uint8_t election_demotion(const Election *e); /* byte 4 on the wire */
