/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Why another host on the segment does not fit to one instance: the likely cause, in a sentence that names the sender. */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "proto/ip-frame.h"

typedef enum DiagnosisCause {
        DIAGNOSIS_SAME_SOURCE,       /* it sends from our own source address */
        DIAGNOSIS_PASSPHRASE,        /* another passphrase, or a list of addresses that we cannot guess */
        DIAGNOSIS_ADDRESSES,         /* our passphrase, another list of addresses */
        DIAGNOSIS_HASHED_MAC,        /* our passphrase and addresses, but it hashes its MAC too (OpenBSD with a hand-set lladdr) */
        DIAGNOSIS_REPLAY_PROTECTION, /* strict there and not here, or here and not there */
        DIAGNOSIS_VRRP,              /* our VHID is its virtual router ID */
        DIAGNOSIS_INTERVALS,         /* one of us never lets the other be master, who advertises too rarely for it */
        DIAGNOSIS_TTL,
} DiagnosisCause;
#define N_DIAGNOSIS_CAUSES 8

const char *diagnosis_cause_to_string(DiagnosisCause cause); /* "same-source", ... : also the statistics key suffix */

#define DIAGNOSIS_TEXT_BYTES 320

typedef struct Diagnosis {
        DiagnosisCause cause;
        IpAddress source;
        char mac[18];
        char text[DIAGNOSIS_TEXT_BYTES];
} Diagnosis;

/* Who we are. */
typedef struct DiagnosisSelf {
        const InstanceConfig *config;
        IpAddress ipv4, ipv6; /* our sources */
        uint8_t mac[MAC_BYTES];
} DiagnosisSelf;

/* A frame that was refused. False: no cause to name. Takes some 150 digests at most: not to be done for every frame. */
bool diagnosis_of_refused(const DiagnosisSelf *self, const uint8_t *frame, size_t n_bytes, CarpVerdict verdict, Diagnosis *ret);
/* An advert that was believed. Cheap as long as there is nothing to say. */
bool diagnosis_of_believed(const DiagnosisSelf *self, const IpFrame *frame, const CarpAdvert *advert, Diagnosis *ret);

/* What was found before: so that one spoilt or forged frame is not worth a word, and a lasting state is told now and then. */
#define DIAGNOSIS_SENDERS 16
#define DIAGNOSIS_CONFIRMED 3                     /* times, */
#define DIAGNOSIS_WINDOW_USEC UINT64_C(600000000) /* none longer than this after the one before */
#define DIAGNOSIS_REPEAT_USEC UINT64_C(3600000000)

typedef struct DiagnosisSender {
        DiagnosisCause cause;
        IpAddress source; /* AF_UNSPEC: free */
        unsigned n;
        bool told;
        uint64_t last_usec, told_usec;
} DiagnosisSender;

typedef struct DiagnosisHistory {
        DiagnosisSender senders[DIAGNOSIS_SENDERS]; /* who was found last longest ago makes room */
        uint64_t n_found[N_DIAGNOSIS_CAUSES];
} DiagnosisHistory;

bool diagnosis_history_note(DiagnosisHistory *h, const Diagnosis *d, uint64_t now_usec); /* true: tell it now */
void diagnosis_history_forget(DiagnosisHistory *h); /* the configuration is another; the counters go on */
