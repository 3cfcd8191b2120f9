/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/import-keepalived.h"

#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "config-address.h"
#include "config-parse.h"
#include "config.h"

/* keepalived's words, and what they are in a .vip file. Every statement is either converted or noted with its line: what has no place in vipd and
 * changes nothing there is a remark, what somebody relies on is lost. Knows the tree, not the file. */

typedef enum Fate {
        CONVERTED, /* by a function below */
        HARMLESS,
        LOST,
} Fate;

typedef struct Keyword {
        const char *word;
        Fate fate;
        const char *why;
} Keyword;

#define WHY_LINK "vipd leaves the election without link, always"
#define WHY_ANNOUNCE "announcements are Count=, Interval= and Refresh= of [Announce]"
#define WHY_ROUTES "vipd holds addresses only; a unit of vipd-master@NAME.target can set routes and rules"
#define WHY_LVS "vipd does not balance load: IPVS needs a program of its own, hung on vipd-master@NAME.target"
#define WHY_MAIL "vipd sends no mail; vipctl monitor, the journal and units of vipd-master@NAME.target tell what happens"
#define WHY_PROTOCOL "is about VRRP's packets, of which CARP has none"
#define WHY_PROCESS "is about keepalived's own process"

static const Keyword instance_words[] = {
        { "interface", CONVERTED, NULL },
        { "virtual_router_id", CONVERTED, NULL },
        { "priority", CONVERTED, NULL },
        { "advert_int", CONVERTED, NULL },
        { "nopreempt", CONVERTED, NULL },
        { "preempt", CONVERTED, NULL },
        { "preempt_delay", CONVERTED, NULL },
        { "down_timer_adverts", CONVERTED, NULL },
        { "virtual_ipaddress", CONVERTED, NULL },
        { "virtual_ipaddress_excluded", CONVERTED, NULL },
        { "unicast_src_ip", CONVERTED, NULL },
        { "mcast_src_ip", CONVERTED, NULL },
        { "unicast_peer", CONVERTED, NULL },
        { "authentication", CONVERTED, NULL },
        { "garp_master_repeat", CONVERTED, NULL },
        { "garp_interval", CONVERTED, NULL },
        { "garp_master_refresh", CONVERTED, NULL },
        { "track_interface", CONVERTED, NULL },
        { "track_script", CONVERTED, NULL },
        { "track_process", CONVERTED, NULL },
        { "notify", CONVERTED, NULL },
        { "notify_master", CONVERTED, NULL },
        { "notify_backup", CONVERTED, NULL },
        { "notify_fault", CONVERTED, NULL },
        { "notify_stop", CONVERTED, NULL },
        { "state", HARMLESS, "every host begins as backup, and the election decides" },
        { "garp_master_delay", HARMLESS, WHY_ANNOUNCE },
        { "garp_master_refresh_repeat", HARMLESS, WHY_ANNOUNCE },
        { "gna_interval", HARMLESS, WHY_ANNOUNCE },
        { "garp_lower_prio_delay", HARMLESS, WHY_ANNOUNCE },
        { "garp_lower_prio_repeat", HARMLESS, WHY_ANNOUNCE },
        { "lower_prio_no_advert", HARMLESS, WHY_PROTOCOL },
        { "higher_prio_send_advert", HARMLESS, WHY_PROTOCOL },
        { "skip_check_adv_addr", HARMLESS, WHY_PROTOCOL },
        { "check_unicast_src", HARMLESS, WHY_PROTOCOL },
        { "strict_mode", HARMLESS, WHY_PROTOCOL },
        { "version", HARMLESS, WHY_PROTOCOL },
        { "native_ipv6", HARMLESS, WHY_PROTOCOL },
        { "old_unicast_checksum", HARMLESS, WHY_PROTOCOL },
        { "vmac_xmit_base", HARMLESS, WHY_PROTOCOL },
        { "accept", HARMLESS, "the addresses are the host's own while it is master" },
        { "debug", HARMLESS, WHY_PROCESS },
        { "kernel_rx_buf_size", HARMLESS, WHY_PROCESS },
        { "promote_secondaries", HARMLESS, "is a setting of the kernel" },
        { "dont_track_primary", LOST, WHY_LINK },
        { "linkbeat_use_polling", HARMLESS, "the kernel tells of the link" },
        { "use_vmac", CONVERTED, NULL },
        { "use_vmac_addr", LOST, "with MACAddress=virtual all addresses of an instance are at the virtual MAC of its interface" },
        { "use_ipvlan", LOST, "vipd has no ipvlan; MACAddress=virtual has a MAC of its own" },
        { "no_accept", LOST, "the addresses are the host's own while it is master" },
        { "smtp_alert", LOST, WHY_MAIL },
        { "virtual_routes", LOST, WHY_ROUTES },
        { "virtual_rules", LOST, WHY_ROUTES },
        { "lvs_sync_daemon_interface", LOST, WHY_LVS },
        { "track_file", LOST, "there is no check of a number in a file; Type=command can read one" },
        { "track_bfd", LOST, "vipd does not speak BFD" },
        { "track_group", LOST, "is a sync group by another way; SyncGroup= is for addresses that move together" },
        { "notify_master_rx_lower_pri", LOST, "vipd runs scripts on becoming master and on ceasing to be" },
        { "notify_deleted", LOST, "vipd runs scripts on becoming master and on ceasing to be" },
        { "notify_priority_changes", LOST, "vipd runs scripts on becoming master and on ceasing to be" },
        { NULL },
};

static const Keyword group_words[] = {
        { "group", CONVERTED, NULL },
        { "track_interface", CONVERTED, NULL },
        { "track_script", CONVERTED, NULL },
        { "track_process", CONVERTED, NULL },
        { "notify", CONVERTED, NULL },
        { "notify_master", CONVERTED, NULL },
        { "notify_backup", CONVERTED, NULL },
        { "notify_fault", CONVERTED, NULL },
        { "notify_stop", CONVERTED, NULL },
        { "global_tracking", HARMLESS, "a check of one counts for all" },
        { "sync_group_tracking_weight", HARMLESS, "weights count in sync groups, too" },
        { "smtp_alert", LOST, WHY_MAIL },
        { "track_file", LOST, "there is no check of a number in a file; Type=command can read one" },
        { "track_bfd", LOST, "vipd does not speak BFD" },
        { "notify_priority_changes", LOST, "vipd runs scripts on becoming master and on ceasing to be" },
        { NULL },
};

static const Keyword global_words[] = {
        { "default_interface", CONVERTED, NULL },
        { "vrrp_garp_master_repeat", CONVERTED, NULL },
        { "vrrp_garp_interval", CONVERTED, NULL },
        { "vrrp_garp_master_refresh", CONVERTED, NULL },
        { "script_user", CONVERTED, NULL },
        { "vrrp_mcast_group4", LOST, "the group is 224.0.0.18, always" },
        { "vrrp_mcast_group6", LOST, "the group is ff02::12, always" },
        { "vrrp_iptables", HARMLESS, "is about what keepalived's virtual MACs must not say or hear; those of vipd need no firewall for it" },
        { "smtp_alert", LOST, WHY_MAIL },
        { "smtp_alert_vrrp", LOST, WHY_MAIL },
        { "lvs_sync_daemon", LOST, WHY_LVS },
        { NULL }, /* all others are about keepalived itself */
};

static const Keyword top_words[] = {
        { "vrrp_instance", CONVERTED, NULL },
        { "vrrp_sync_group", CONVERTED, NULL },
        { "vrrp_script", CONVERTED, NULL },
        { "vrrp_track_process", CONVERTED, NULL },
        { "global_defs", CONVERTED, NULL },
        { "vrrp_track_file", HARMLESS, "counts where it is tracked" },
        { "track_file", HARMLESS, "counts where it is tracked" },
        { "virtual_server", LOST, WHY_LVS },
        { "virtual_server_group", LOST, WHY_LVS },
        { "static_ipaddress", LOST, "addresses of the host belong into its network configuration" },
        { "static_routes", LOST, "routes of the host belong into its network configuration" },
        { "static_rules", LOST, "rules of the host belong into its network configuration" },
        { "garp_group", HARMLESS, WHY_ANNOUNCE },
        { "bfd_instance", LOST, "vipd does not speak BFD" },
        { "net_namespace", LOST, "start a vipd of its own in the namespace" },
        { NULL },
};

typedef struct Context {
        Import *i;
        const KeepalivedNode *root;
        GHashTable *instances; /* keepalived's name → ImportInstance; borrowed */
        GHashTable *numbers;   /* "INTERFACE VHID": taken; keys owned */
        GHashTable *addresses; /* address: held by an instance; keys owned */
} Context;

/* One vrrp_instance on its way. */
typedef struct Vrrp {
        Context *c;
        const KeepalivedNode *node;
        ImportInstance *v;
        char interface[IF_NAMESIZE];
        bool has_ipv4, has_ipv6;
        unsigned n_addresses, prefer;
} Vrrp;

static void judge_statement(Import *i, const KeepalivedNode *n, const Keyword *words, const Keyword *otherwise) {
        const char *word = keepalived_word(n, 0);
        const Keyword *k = words;
        g_autofree char *to = n->children && n->last_line > n->line ? g_strdup_printf(" (to line %u)", n->last_line) : g_strdup("");

        while (k->word && !g_str_equal(k->word, word))
                k++;
        k = k->word ? k : otherwise;
        if (k->fate != CONVERTED)
                import_note(i, keepalived_at(n), k->fate == LOST ? IMPORT_LOST : IMPORT_NOTE, "%s%s: %s", *word ? word : "{", to, k->why);
}

static void judge(Import *i, const KeepalivedNode *node, const Keyword *words, const Keyword *otherwise) {
        for (guint k = 0; node->children && k < node->children->len; k++)
                judge_statement(i, g_ptr_array_index(node->children, k), words, otherwise);
}

static const KeepalivedNode *child(const KeepalivedNode *n, const char *word) {
        const KeepalivedNode *found = NULL;

        for (guint k = 0; n->children && k < n->children->len; k++)
                if (g_str_equal(keepalived_word(g_ptr_array_index(n->children, k), 0), word))
                        found = g_ptr_array_index(n->children, k);
        return found;
}

/* The last statement of this word in any global_defs. */
static const KeepalivedNode *global(const Context *c, const char *word) {
        const KeepalivedNode *found = NULL;

        for (guint k = 0; k < c->root->children->len; k++) {
                const KeepalivedNode *n = g_ptr_array_index(c->root->children, k);

                if (g_str_equal(keepalived_word(n, 0), "global_defs"))
                        found = child(n, word) ?: found;
        }
        return found;
}

static bool has_member(const KeepalivedNode *group, const char *name) {
        const KeepalivedNode *list = child(group, "group");

        for (guint k = 0; list && list->children && k < list->children->len; k++) {
                const KeepalivedNode *line = g_ptr_array_index(list->children, k);

                for (guint m = 0; m < line->words->len; m++)
                        if (g_str_equal(keepalived_word(line, m), name))
                                return true;
        }
        return false;
}

/* The sync group of an instance, or NULL. */
static const KeepalivedNode *group_of(const Context *c, const char *name) {
        for (guint k = 0; k < c->root->children->len; k++) {
                const KeepalivedNode *n = g_ptr_array_index(c->root->children, k);

                if (g_str_equal(keepalived_word(n, 0), "vrrp_sync_group") && has_member(n, name))
                        return n;
        }
        return NULL;
}

static bool read_interface(Vrrp *r) {
        const KeepalivedNode *n = child(r->node, "interface") ?: global(r->c, "default_interface");
        const char *name = n ? keepalived_word(n, 1) : "";

        if (!import_is_interface(name)) {
                import_note(r->c->i, keepalived_at(n ?: r->node), IMPORT_LOST, "%s: there is no interface, and so no instance of it",
                            keepalived_word(r->node, 1));
                return false;
        }
        (void) g_strlcpy(r->interface, name, sizeof(r->interface));
        return true;
}

static bool judge_flag(const char *word) {
        static const char *const flags[] = { "no_track", "nodad", "-nodad", "home", "mngtmpaddr", "noprefixroute", "use_vmac" };

        for (size_t m = 0; m < G_N_ELEMENTS(flags); m++)
                if (g_str_equal(word, flags[m]))
                        return true;
        return false;
}

static bool takes_value(const char *word) {
        static const char *const with_value[] = { "brd", "broadcast", "scope", "label", "preferred_lft", "track_group" };

        for (size_t m = 0; m < G_N_ELEMENTS(with_value); m++)
                if (g_str_equal(word, with_value[m]))
                        return true;
        return false;
}

/* Words behind an address, up to the next one. False: not this address. */
static bool judge_address_options(Vrrp *r, const KeepalivedNode *n, guint *k) {
        bool here = true;
        IpPrefix next;

        for (; *k < n->words->len && ip_prefix_parse(keepalived_word(n, *k), &next) < 0; (*k)++) {
                const char *word = keepalived_word(n, *k);

                if (g_str_equal(word, "dev")) {
                        word = keepalived_word(n, ++*k);
                        if (g_str_equal(word, r->interface))
                                continue;
                        import_note(r->c->i, keepalived_at(n), IMPORT_LOST,
                                    "dev %s: an instance holds its addresses on its own interface; write one more with Interface=%s, another VHID= there and "
                                    "the same SyncGroup=",
                                    word, word);
                        here = false;
                } else if (takes_value(word)) {
                        import_note(r->c->i, keepalived_at(n), IMPORT_NOTE, "%s: addresses have no such attribute here", word);
                        (*k)++;
                } else if (!judge_flag(word)) {
                        import_note(r->c->i, keepalived_at(n), IMPORT_LOST, "%s: addresses have no such attribute here", word);
                }
        }
        *k = MIN(*k, n->words->len);
        return here;
}

static void add_address(Vrrp *r, const KeepalivedNode *n, const char *word, GString *list) {
        char text[IP_PREFIX_TEXT_BYTES], key[IP_ADDRESS_TEXT_BYTES];
        IpPrefix p;

        if (ip_prefix_parse(word, &p) < 0 || config_prefix_problem(&p)) {
                import_note(r->c->i, keepalived_at(n), IMPORT_LOST, "%s: %s", word,
                            ip_prefix_parse(word, &p) < 0 ? "this is no address" : config_prefix_problem(&p));
                return;
        }
        if (r->n_addresses == CONFIG_ADDRESSES_MAX) {
                import_note(r->c->i, keepalived_at(n), IMPORT_LOST, "%s: an instance has at most %i addresses", word, CONFIG_ADDRESSES_MAX);
                return;
        }
        (void) ip_address_format(&p.address, key);
        if (g_hash_table_contains(r->c->addresses, key)) {
                import_note(r->c->i, keepalived_at(n), IMPORT_LOST, "%s: is there twice", word);
                return;
        }
        g_hash_table_add(r->c->addresses, g_strdup(key));
        /* the whole length is the default, and better not said */
        g_string_append_printf(list, "%s%s", list->len > 0 ? " " : "",
                               p.prefix_length == ip_address_n_bytes(&p.address) * 8 ? key : ip_prefix_format(&p, text));
        r->has_ipv4 = r->has_ipv4 || p.address.family == AF_INET;
        r->has_ipv6 = r->has_ipv6 || p.address.family == AF_INET6;
        r->n_addresses++;
}

static void read_address_block(Vrrp *r, const KeepalivedNode *block, GString *list) {
        for (guint m = 0; block->children && m < block->children->len; m++) {
                const KeepalivedNode *n = g_ptr_array_index(block->children, m);

                for (guint k = 0; k < n->words->len;) {
                        const char *word = keepalived_word(n, k++);

                        if (judge_address_options(r, n, &k))
                                add_address(r, n, word, list);
                }
        }
}

static bool read_addresses(Vrrp *r) {
        GString *list = g_string_new(NULL);

        for (guint k = 0; r->node->children && k < r->node->children->len; k++) {
                const KeepalivedNode *n = g_ptr_array_index(r->node->children, k);

                if (g_str_has_prefix(keepalived_word(n, 0), "virtual_ipaddress"))
                        read_address_block(r, n, list);
        }
        if (r->n_addresses > 0)
                g_string_append_printf(r->v->vip, "Address=%s\nInterface=%s\n", list->str, r->interface);
        else
                import_note(r->c->i, keepalived_at(r->node), IMPORT_LOST, "%s: there is no address left, and so no instance of it", keepalived_word(r->node, 1));
        g_string_free(list, TRUE);
        return r->n_addresses > 0;
}

/* The number of another instance, wherever it is. */
static bool is_given(const Context *c, unsigned number) {
        for (guint k = 0; k < c->root->children->len; k++) {
                const KeepalivedNode *n = child(g_ptr_array_index(c->root->children, k), "virtual_router_id");
                uint32_t given;

                if (n && config_parse_uint(keepalived_word(n, 1), 1, 255, &given) >= 0 && given == number)
                        return true;
        }
        return false;
}

static bool take_number(const Vrrp *r, unsigned number) {
        g_autofree char *key = g_strdup_printf("%s %u", r->interface, number);

        return g_hash_table_add(r->c->numbers, g_steal_pointer(&key));
}

/* VRRP counts IPv4 and IPv6 separately; CARP does not. */
static bool read_number(Vrrp *r) {
        const KeepalivedNode *n = child(r->node, "virtual_router_id");
        uint32_t number, given;

        if (!n || config_parse_uint(keepalived_word(n, 1), 1, 255, &given) < 0) {
                import_note(r->c->i, keepalived_at(n ?: r->node), IMPORT_LOST, "%s: there is no virtual_router_id from 1 to 255, and so no instance of it",
                            keepalived_word(r->node, 1));
                return false;
        }
        number = given;
        for (unsigned tries = 0; tries < 255 && ((number != given && is_given(r->c, number)) || !take_number(r, number)); tries++)
                number = number % 255 + 1;
        if (number != given) {
                import_comment(r->v->carp, "virtual_router_id %u is taken on %s: CARP has one number for IPv4 and IPv6.", given, r->interface);
                import_note(r->c->i, keepalived_at(n), IMPORT_NOTE,
                            "virtual_router_id %u: is taken on %s, as CARP has one number for both families; VHID=%u instead, the same on all hosts", given,
                            r->interface, number);
        }
        import_set_number(r->v->carp, "VHID", number);
        return true;
}

static void read_passphrase(Vrrp *r) {
        const KeepalivedNode *block = child(r->node, "authentication"), *n = block ? child(block, "auth_pass") : NULL;

        if (n && *keepalived_word(n, 1) != '\0') {
                /* keepalived takes as much of it; a longer one may differ between hosts */
                r->v->passphrase = g_strndup(keepalived_word(n, 1), 8);
                import_note(r->c->i, keepalived_at(n), IMPORT_NOTE,
                            "auth_pass: becomes the passphrase, but VRRP has shown it to everybody on the network: choose another, on all hosts");
        } else {
                import_note(r->c->i, keepalived_at(r->node), IMPORT_NOTE,
                            "%s: has no auth_pass, and CARP needs a passphrase: one was made up, copy the file %s.key to all hosts", keepalived_word(r->node, 1),
                            r->v->name);
        }
}

static void read_interval(Vrrp *r) {
        const KeepalivedNode *n = child(r->node, "advert_int");
        uint64_t usec = 1000000;

        if (n && (config_parse_usec(keepalived_word(n, 1), &usec) < 0 || usec == 0 || usec > UINT64_C(254000000))) {
                import_note(r->c->i, keepalived_at(n), IMPORT_LOST, "advert_int: AdvBase= is a number of seconds up to 254");
                usec = 1000000;
        }
        if (usec % 1000000 != 0)
                import_note(r->c->i, keepalived_at(n), IMPORT_CHANGED,
                            "advert_int: AdvBase= has whole seconds, and %u is taken; below a second there is AdvBase=0, whose interval is AdvSkew=/256 s",
                            (unsigned) ((usec + 999999) / 1000000));
        if (usec > 1000000 || usec % 1000000 != 0)
                import_set_number(r->v->carp, "AdvBase", (unsigned) ((usec + 999999) / 1000000));
}

static void read_priority(Vrrp *r) {
        const KeepalivedNode *n = child(r->node, "priority");
        uint32_t priority = 100;

        if (n && config_parse_uint(keepalived_word(n, 1), 1, 255, &priority) < 0)
                import_note(r->c->i, keepalived_at(n), IMPORT_CHANGED, "priority: is from 1 to 255; 100 is taken");
        if (r->prefer > 0)
                import_comment(r->v->carp, "priority %u, and %u more while all checks with a weight above 0 pass: 255 less that. The lower wins.", priority,
                               r->prefer);
        else
                import_comment(r->v->carp, "priority %u: 255 less that. The lower wins.", priority);
        if (priority + r->prefer > 255 && r->prefer > 0)
                import_note(r->c->i, keepalived_at(n ?: r->node), IMPORT_CHANGED, "priority: with its weights it is above 255, where AdvSkew= has no more steps");
        import_set_number(r->v->carp, "AdvSkew", MIN(254u, 255 - MIN(255u, priority + r->prefer)));
}

static void read_preemption(Vrrp *r) {
        const KeepalivedNode *no = child(r->node, "nopreempt"), *state = child(r->node, "state"), *delay = child(r->node, "preempt_delay");
        uint64_t usec;

        /* as keepalived has it */
        if (no && state && g_str_equal(keepalived_word(state, 1), "MASTER")) {
                import_note(r->c->i, keepalived_at(no), IMPORT_NOTE, "nopreempt: keepalived ignores it with state MASTER, and so it is here");
                no = NULL;
        }
        if (!no)
                g_string_append(r->v->carp, "Preempt=yes\n");
        if (!delay)
                return;
        if (config_parse_usec(keepalived_word(delay, 1), &usec) < 0)
                import_note(r->c->i, keepalived_at(delay), IMPORT_LOST, "preempt_delay: this is no number of seconds");
        else
                import_set_time(r->v->carp, "PreemptDelay", usec);
}

static void read_dead_ratio(Vrrp *r) {
        const KeepalivedNode *n = child(r->node, "down_timer_adverts");
        uint32_t ratio;

        if (!n)
                return;
        if (config_parse_uint(keepalived_word(n, 1), 1, 100, &ratio) < 0)
                import_note(r->c->i, keepalived_at(n), IMPORT_LOST, "down_timer_adverts: is from 1 to 100");
        else
                import_set_number(r->v->carp, "DeadRatio", ratio);
}

static bool is_host(const char *word, IpAddress *ret) {
        return ip_address_parse(word, ret) >= 0 && !config_address_problem(ret);
}

static bool has_family(const Vrrp *r, const IpAddress *a) {
        return a->family == AF_INET ? r->has_ipv4 : r->has_ipv6;
}

static void read_source(Vrrp *r) {
        const KeepalivedNode *n = child(r->node, "unicast_src_ip") ?: child(r->node, "mcast_src_ip");
        char text[IP_ADDRESS_TEXT_BYTES];
        IpAddress a;

        if (!n)
                return;
        if (is_host(keepalived_word(n, 1), &a))
                g_string_append_printf(r->v->carp, "SourceAddress=%s\n", ip_address_format(&a, text));
        else
                import_note(r->c->i, keepalived_at(n), IMPORT_LOST, "%s: this is no address of a host", keepalived_word(n, 0));
}

static void read_peers(Vrrp *r) {
        const KeepalivedNode *block = child(r->node, "unicast_peer");
        GString *list = g_string_new(NULL);
        unsigned n_peers = 0;

        for (guint k = 0; block && block->children && k < block->children->len; k++) {
                const KeepalivedNode *n = g_ptr_array_index(block->children, k);
                char text[IP_ADDRESS_TEXT_BYTES];
                IpAddress a;

                if (!is_host(keepalived_word(n, 0), &a) || !has_family(r, &a) || n_peers == CONFIG_PEERS_MAX ||
                    g_hash_table_contains(r->c->addresses, ip_address_format(&a, text))) {
                        import_note(r->c->i, keepalived_at(n), IMPORT_LOST,
                                    "unicast_peer: \"%s\" is no address of another host in the family of the virtual addresses, or one too many",
                                    keepalived_word(n, 0));
                        continue;
                }
                g_string_append_printf(list, " %s", ip_address_format(&a, text));
                n_peers++;
        }
        if (n_peers > 0)
                g_string_append_printf(r->v->carp, "Peers=%s\n", list->str + 1);
        else if (block)
                import_note(r->c->i, keepalived_at(block), IMPORT_CHANGED, "unicast_peer: is empty, and multicast is used");
        g_string_free(list, TRUE);
}

static void read_mac(Vrrp *r) {
        const KeepalivedNode *n = child(r->node, "use_vmac");

        if (!n)
                return;
        g_string_append(r->v->vip, "MACAddress=virtual\n");
        import_note(r->c->i, keepalived_at(n), IMPORT_NOTE,
                    "use_vmac: becomes MACAddress=virtual; its device is called after the instance, and IPv6 has the MAC of IPv4, 00:00:5e:00:01:VHID");
}

static void read_announcements(Vrrp *r) {
        const KeepalivedNode *repeat = child(r->node, "garp_master_repeat") ?: global(r->c, "vrrp_garp_master_repeat");
        const KeepalivedNode *pace = child(r->node, "garp_interval") ?: global(r->c, "vrrp_garp_interval");
        const KeepalivedNode *refresh = child(r->node, "garp_master_refresh") ?: global(r->c, "vrrp_garp_master_refresh");
        uint32_t count;
        uint64_t usec;

        if (repeat && config_parse_uint(keepalived_word(repeat, 1), 1, 100, &count) >= 0)
                import_set_number(r->v->announce, "Count", count);
        else if (repeat)
                import_note(r->c->i, keepalived_at(repeat), IMPORT_LOST, "%s: Count= is from 1 to 100", keepalived_word(repeat, 0));
        /* 0 is keepalived's default: all at once */
        if (pace && config_parse_usec(keepalived_word(pace, 1), &usec) >= 0 && usec >= 1000)
                import_set_time(r->v->announce, "Interval", usec);
        else if (pace)
                import_note(r->c->i, keepalived_at(pace), IMPORT_NOTE, "%s: announcements are 200 ms apart", keepalived_word(pace, 0));
        if (refresh && config_parse_usec(keepalived_word(refresh, 1), &usec) >= 0 && usec >= 1000)
                import_set_time(r->v->announce, "Refresh", usec);
}

/* The command of a notify statement, without the user that may follow it, as a line of a shell script. NULL: there is none, or not one that can
 * be written. The caller frees it. */
static char *notify_command(const KeepalivedNode *n) {
        g_auto(GStrv) argv = NULL;
        GString *out;

        if (!n || !g_shell_parse_argv(keepalived_word(n, 1), NULL, &argv, NULL))
                return NULL;
        out = g_string_new(NULL);
        for (char **word = argv; *word; word++) {
                g_autofree char *quoted = import_quote(*word);

                g_string_append_printf(out, "%s%s", word > argv ? " " : "", quoted);
        }
        return g_string_free(out, FALSE);
}

static void add_line(GString **script, const char *command, const char *arguments) {
        if (!*script)
                *script = g_string_new(NULL);
        g_string_append_printf(*script, "%s%s\n", command, arguments);
}

static void warn_of_notify(Context *c, const KeepalivedNode *n) {
        const KeepalivedNode *user = global(c, "script_user");
        bool root = !user || g_str_equal(keepalived_word(user, 1), "root");

        import_note(c->i, keepalived_at(n), root ? IMPORT_CHANGED : IMPORT_NOTE,
                    "%s: is called by a script beside the .vip file, but as the user of vipd, without privileges; what needs root is better a unit of "
                    "vipd-master@NAME.target",
                    keepalived_word(n, 0));
}

/* notify_master and notify become the up script, notify_backup and notify the down script. kind: INSTANCE or GROUP. */
static void read_notify(Context *c, const KeepalivedNode *node, ImportInstance *v, const char *kind) {
        static const char *const others[] = { "notify_fault", "notify_stop" };
        const KeepalivedNode *master = child(node, "notify_master"), *backup = child(node, "notify_backup"), *any = child(node, "notify");
        const KeepalivedNode *priority = child(node, "priority");
        g_autofree char *up = notify_command(master), *down = notify_command(backup), *all = notify_command(any);
        g_autofree char *name = import_quote(keepalived_word(node, 1)), *number = import_quote(priority ? keepalived_word(priority, 1) : "0");

        if (up)
                add_line(&v->up, up, "");
        if (down)
                add_line(&v->down, down, "");
        for (unsigned k = 0; all && k < 2; k++) {
                g_autofree char *arguments = g_strdup_printf(" %s %s %s %s", kind, name, k == 0 ? "MASTER" : "BACKUP", number);

                add_line(k == 0 ? &v->up : &v->down, all, arguments);
        }
        for (size_t k = 0; k < 3; k++) {
                const KeepalivedNode *n = k == 0 ? master : k == 1 ? backup : any;

                if (n)
                        warn_of_notify(c, n);
        }
        for (size_t k = 0; k < G_N_ELEMENTS(others); k++) {
                const KeepalivedNode *n = child(node, others[k]);
                g_autofree char *command = notify_command(n);

                if (n && g_strcmp0(command, down) != 0)
                        import_note(c->i, keepalived_at(n), IMPORT_LOST,
                                    "%s: there is one script for ceasing to be master, whatever the reason, and it does what notify_backup did", others[k]);
        }
}

static const Keyword unknown_word = { NULL, LOST, "vipctl does not know this word" };

static void convert_instance(Context *c, const KeepalivedNode *node) {
        Vrrp r = { .c = c, .node = node, .v = import_add(c->i, keepalived_word(node, 1)) };
        const KeepalivedNode *group = group_of(c, keepalived_word(node, 1));
        unsigned n_checks = 0;

        if (!node->children || !read_interface(&r) || !read_addresses(&r) || !read_number(&r)) {
                import_drop(c->i, r.v);
                return;
        }
        if (group) {
                g_autofree char *name = import_name(keepalived_word(group, 1));

                g_string_append_printf(r.v->vip, "SyncGroup=%s\n", name);
        }
        import_keepalived_checks(c->i, c->root, node, r.v, r.interface, &n_checks, &r.prefer);
        if (group && group->children)
                import_keepalived_checks(c->i, c->root, group, r.v, r.interface, &n_checks, &r.prefer);
        read_interval(&r);
        read_priority(&r);
        read_dead_ratio(&r);
        read_preemption(&r);
        read_source(&r);
        read_peers(&r);
        read_passphrase(&r);
        read_mac(&r);
        read_announcements(&r);
        read_notify(c, node, r.v, "INSTANCE");
        judge(c->i, node, instance_words, &unknown_word);
        g_hash_table_replace(c->instances, g_strdup(keepalived_word(node, 1)), r.v);
}

static void convert_group(Context *c, const KeepalivedNode *group) {
        const KeepalivedNode *list = child(group, "group");
        ImportInstance *first = NULL;

        for (guint k = 0; list && list->children && k < list->children->len; k++) {
                const KeepalivedNode *line = g_ptr_array_index(list->children, k);

                for (guint m = 0; m < line->words->len; m++) {
                        ImportInstance *v = g_hash_table_lookup(c->instances, keepalived_word(line, m));

                        if (!v)
                                import_note(c->i, keepalived_at(line), IMPORT_LOST, "group: there is no instance of %s", keepalived_word(line, m));
                        first = first ?: v;
                }
        }
        if (first)
                read_notify(c, group, first, "GROUP");
        judge(c->i, group, group_words, &unknown_word);
}

/**
 * import_keepalived() - convert what was read
 * @i: takes instances and notes
 *
 * Instances come in their order in the file, whose names they keep as far as letters allow.
 */
void import_keepalived(Import *i, const KeepalivedNode *root) {
        static const Keyword of_itself = { NULL, HARMLESS, WHY_PROCESS };
        Context c = { .i = i, .root = root };

        c.instances = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        c.numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        c.addresses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        judge(i, root, top_words, &unknown_word);
        for (guint k = 0; k < root->children->len; k++) {
                const KeepalivedNode *n = g_ptr_array_index(root->children, k);

                if (g_str_equal(keepalived_word(n, 0), "vrrp_instance"))
                        convert_instance(&c, n);
                else if (g_str_equal(keepalived_word(n, 0), "global_defs"))
                        judge(i, n, global_words, &of_itself);
        }
        for (guint k = 0; k < root->children->len; k++)
                if (g_str_equal(keepalived_word(g_ptr_array_index(root->children, k), 0), "vrrp_sync_group"))
                        convert_group(&c, g_ptr_array_index(root->children, k));
        g_hash_table_unref(c.instances);
        g_hash_table_unref(c.numbers);
        g_hash_table_unref(c.addresses);
}
