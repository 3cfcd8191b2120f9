/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What one .vip file says, as a validated immutable value; and what was wrong with it. */
#include <glib.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/carp.h"
#include "proto/ip-address.h"

#define CONFIG_NAME_BYTES_MAX 64
#define CONFIG_USEC_UNSET UINT64_MAX /* StartDelay=: one dead interval; Refresh=: never */
#define CONFIG_PEERS_MAX 32
#define CONFIG_ADDRESSES_MAX 64
#define CONFIG_CHECKS_MAX 16

typedef enum ConfigLease {
        CONFIG_LEASE_AUTO,
        CONFIG_LEASE_NO,
        CONFIG_LEASE_FIXED, /* lease_sec */
} ConfigLease;

typedef struct CarpConfig {
        uint8_t vhid; /* 1..255 */
        uint8_t advbase;
        uint8_t advskew;
        uint32_t dead_ratio; /* 1..255 from a file */
        bool preempt;
        uint64_t preempt_delay_usec;
        uint8_t key[CARP_KEY_BYTES_MAX];
        size_t n_key_bytes;
        IpAddress source_ipv4, source_ipv6; /* SourceAddress=; AF_UNSPEC: choose */
        bool multicast;                     /* false: Ethernet broadcast */
        IpAddress group_ipv4;               /* AF_UNSPEC: 224.0.0.18; only vipd-ucarp sets another */
        IpAddress *peers;                   /* unicast to these instead */
        size_t n_peers;
        bool strict_replay;
        bool demotion_byte; /* DemotionByte=: byte 4 says the demotion, as OpenBSD's does */
        bool digest_first;  /* the digest covers the first address alone: as many as a ucarp knows */
} CarpConfig;

typedef struct AnnounceConfig {
        uint32_t count;
        uint64_t interval_usec;
        uint64_t refresh_usec; /* CONFIG_USEC_UNSET: never */
} AnnounceConfig;

typedef struct TakeoverConfig {
        char *up_script, *down_script, *script_parameter; /* NULL: none */
        bool neutral;                                     /* vipd-ucarp -n: no down script for the first step to backup */
        uint64_t demote_hold_usec;
        bool units_before_address; /* hold only once the units of the master target are up; stop them before releasing */
        uint64_t unit_timeout_usec;
        bool demote_on_unit_failure;
} TakeoverConfig;

typedef enum CheckType {
        CHECK_TYPE_UNIT,    /* a systemd unit is active */
        CHECK_TYPE_LINK,    /* another interface has its link */
        CHECK_TYPE_COMMAND, /* a program exits with 0 */
        CHECK_TYPE_HTTP,
        CHECK_TYPE_TCP,
} CheckType;
#define N_CHECK_TYPES 5

/* One [Check NAME]. What belongs to another type is at its default. */
typedef struct CheckConfig {
        char *name;
        CheckType type;
        char *unit;
        char interface[IF_NAMESIZE];
        char **command; /* argv */
        char *url, *method, *expect_status, *expect; /* expect: regular expression, NULL: any body */
        char *ca_file, *unix_socket;                 /* NULL: the system's; none */
        bool verify_tls, follow_redirects;
        char *address; /* HOST:PORT */
        uint64_t interval_usec, timeout_usec;
        uint32_t rise, fall;
        bool release;    /* while failing: not master at all; else `weight` more demotion */
        uint32_t weight; /* 1..254 */
} CheckConfig;

typedef struct InstanceConfig {
        char *name;        /* "web" */
        char *path;        /* main file; NULL for vipd-ucarp */
        char *description; /* "" if none */
        IpPrefix *addresses;
        size_t n_addresses;
        char interface[IF_NAMESIZE];
        bool enabled;
        char *sync_group; /* "": none */
        bool virtual_mac;    /* MACAddress=virtual */
        bool ignore_carrier; /* vipd-ucarp -S only */
        ConfigLease lease;
        uint32_t lease_sec;
        uint64_t start_delay_usec;
        CarpConfig carp;
        AnnounceConfig announce;
        TakeoverConfig takeover;
        GPtrArray *checks; /* CheckConfig *, as in the file */
} InstanceConfig;

const char *check_type_to_string(CheckType type); /* "unit", ... */
CheckConfig *check_config_new_default(const char *name);
bool check_config_equal(const CheckConfig *a, const CheckConfig *b);
InstanceConfig *instance_config_new_default(const char *name); /* every key at its default; no address, interface, key */
InstanceConfig *instance_config_free(InstanceConfig *c);       /* wipes the key */
bool instance_config_equal(const InstanceConfig *a, const InstanceConfig *b);
size_t instance_config_n_signed(const InstanceConfig *c); /* how many of the addresses, from the first on, the digest covers */
/* The interface that bears the addresses: the configured one, or, with a virtual MAC, one of our own on top of it: "vip-" and the instance's name. */
const char *instance_config_device(const InstanceConfig *c, char ret[IF_NAMESIZE]);
/* Whether address k of a and address o of b cannot both be held on this host; a link-local IPv6 one may be, on another link. */
bool instance_config_address_collides(const InstanceConfig *a, size_t k, const InstanceConfig *b, size_t o);
/* Whether they cannot both run on this host: the same VHID on the same interface, or such an address. */
bool instance_config_collides(const InstanceConfig *a, const InstanceConfig *b);
/* The lease in whole seconds this configuration asks for: 0 = none. auto = as long as possible without outliving the dead
 * interval (the kernel removes an address up to 1 s late), at least 1 s. */
uint32_t instance_config_lease_sec(const InstanceConfig *c);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(InstanceConfig, instance_config_free)
