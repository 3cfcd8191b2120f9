/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the kernel says about interfaces and their addresses, watched by netlink; facts only, no judgement. */
#include <glib.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "proto/ip-address.h"
#include "proto/ip-frame.h"

typedef struct LinkTable LinkTable;

typedef struct LinkAddress {
        IpPrefix prefix;
        bool permanent;  /* infinite valid lifetime: somebody's configuration */
        bool tentative;  /* IPv6 DAD still running or failed */
        bool deprecated;
        bool secondary;
        uint8_t scope;    /* RT_SCOPE_* */
        uint8_t protocol; /* IFA_PROTO, 0 if the kernel does not say: who put it there */
        bool unseen;      /* the table's own, while it asks the kernel again */
} LinkAddress;

#define LINK_ALIAS_BYTES 96

typedef struct Link {
        int ifindex;
        char name[IF_NAMESIZE];
        uint8_t mac[MAC_BYTES];
        bool ethernet; /* ARPHRD_ETHER with a 6-byte MAC */
        bool macvlan;
        int lower_ifindex; /* of the interface that it is made on; 0: none, or one of another namespace */
        char alias[LINK_ALIAS_BYTES]; /* "" if it has none; cut off */
        bool up;       /* IFF_UP */
        bool carrier;  /* IFF_LOWER_UP, and operational state not down */
        GArray *addresses; /* LinkAddress */
} Link;

typedef enum LinkChange {
        LINK_CHANGE_NEW = 1 << 0,     /* appeared, or got this name */
        LINK_CHANGE_GONE = 1 << 1,    /* deleted, or lost this name; the Link is still readable in the callback */
        LINK_CHANGE_STATE = 1 << 2,   /* up or carrier */
        LINK_CHANGE_MAC = 1 << 3,
        LINK_CHANGE_ADDRESSES = 1 << 4, /* any came, went, or changed lifetime/flags */
} LinkChange;

/* Called from the loop for each changed link. A renamed link is GONE under its old name and NEW under the new one. */
typedef void (*LinkCallback)(void *userdata, const Link *link, unsigned changes);

/* Opens a socket, subscribes, and dumps links and addresses before it returns (the one synchronous dump; at start only).
 * After ENOBUFS it dumps again without blocking and reports what differs. */
int link_table_new(LinkTable **ret, sd_event *event, LinkCallback callback, void *userdata);
LinkTable *link_table_free(LinkTable *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LinkTable, link_table_free)
const Link *link_table_find(const LinkTable *t, const char *name); /* borrowed until the next dispatch; NULL */
bool link_table_has_mac(const LinkTable *t, const uint8_t mac[MAC_BYTES]); /* of any interface */
/* Does the link have this address with this prefix length? Borrowed; NULL. */
const LinkAddress *link_find_address(const Link *link, const IpPrefix *prefix);
/* The best address to send adverts from: not one of the excluded (VIPs), not one that we hold, not tentative; IPv4: a host's own address
 * before others, IPv6: link-local first. False: there is none. */
bool link_choose_source(const Link *link, int family, const IpPrefix *exclude, size_t n_exclude, IpAddress *ret);
