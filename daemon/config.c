/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>
#include <sys/socket.h>

/* The value that a .vip file becomes: its defaults, its end, and whether two are the same. Knows no file. */

static const char *const check_type_names[N_CHECK_TYPES] = {
        [CHECK_TYPE_UNIT] = "unit",
        [CHECK_TYPE_LINK] = "link",
        [CHECK_TYPE_COMMAND] = "command",
        [CHECK_TYPE_HTTP] = "http",
        [CHECK_TYPE_TCP] = "tcp",
};

const char *check_type_to_string(CheckType type) {
        return check_type_names[type];
}

CheckConfig *check_config_new_default(const char *name) {
        CheckConfig *c = g_new0(CheckConfig, 1);

        c->name = g_strdup(name);
        c->method = g_strdup("GET");
        c->expect_status = g_strdup("200-299");
        c->verify_tls = true;
        c->interval_usec = 2000000;
        c->timeout_usec = 1000000;
        c->rise = 2;
        c->fall = 3;
        c->weight = 100;
        return c;
}

static void check_config_free(void *config) {
        CheckConfig *c = config;

        g_free(c->name);
        g_free(c->unit);
        g_strfreev(c->command);
        g_free(c->url);
        g_free(c->method);
        g_free(c->expect_status);
        g_free(c->expect);
        g_free(c->ca_file);
        g_free(c->unix_socket);
        g_free(c->address);
        g_free(c);
}

static bool commands_equal(char *const *a, char *const *b) {
        if (!a || !b)
                return a == b;
        return g_strv_equal((const char *const *) a, (const char *const *) b);
}

bool check_config_equal(const CheckConfig *a, const CheckConfig *b) {
        return g_str_equal(a->name, b->name) && a->type == b->type && g_strcmp0(a->unit, b->unit) == 0 &&
               g_str_equal(a->interface, b->interface) && commands_equal(a->command, b->command) && g_strcmp0(a->url, b->url) == 0 &&
               g_str_equal(a->method, b->method) && g_str_equal(a->expect_status, b->expect_status) &&
               g_strcmp0(a->expect, b->expect) == 0 && g_strcmp0(a->ca_file, b->ca_file) == 0 &&
               g_strcmp0(a->unix_socket, b->unix_socket) == 0 && a->verify_tls == b->verify_tls &&
               a->follow_redirects == b->follow_redirects && g_strcmp0(a->address, b->address) == 0 &&
               a->interval_usec == b->interval_usec && a->timeout_usec == b->timeout_usec && a->rise == b->rise && a->fall == b->fall &&
               a->release == b->release && a->weight == b->weight;
}

/**
 * instance_config_new_default() - every key at its default; address, interface, VHID and key are still missing
 */
InstanceConfig *instance_config_new_default(const char *name) {
        InstanceConfig *c = g_new0(InstanceConfig, 1);

        c->name = g_strdup(name);
        c->description = g_strdup("");
        c->sync_group = g_strdup("");
        c->enabled = true;
        c->start_delay_usec = CONFIG_USEC_UNSET;
        c->carp.advbase = 1;
        c->carp.dead_ratio = 3;
        c->carp.multicast = true;
        c->announce = (AnnounceConfig) { .count = 5, .interval_usec = 200000, .refresh_usec = CONFIG_USEC_UNSET };
        c->takeover.demote_hold_usec = 3000000;
        c->takeover.unit_timeout_usec = 30000000;
        c->checks = g_ptr_array_new_with_free_func(check_config_free);
        return c;
}

InstanceConfig *instance_config_free(InstanceConfig *c) {
        if (!c)
                return NULL;
        explicit_bzero(c->carp.key, sizeof(c->carp.key));
        g_free(c->name);
        g_free(c->path);
        g_free(c->description);
        g_free(c->sync_group);
        g_free(c->addresses);
        g_free(c->carp.peers);
        g_free(c->takeover.up_script);
        g_free(c->takeover.down_script);
        g_free(c->takeover.script_parameter);
        g_ptr_array_unref(c->checks);
        g_free(c);
        return NULL;
}

static bool carp_equal(const CarpConfig *a, const CarpConfig *b) {
        if (a->n_peers != b->n_peers || a->n_key_bytes != b->n_key_bytes)
                return false;
        for (size_t k = 0; k < a->n_peers; k++)
                if (!ip_address_equal(&a->peers[k], &b->peers[k]))
                        return false;
        return a->vhid == b->vhid && a->advbase == b->advbase && a->advskew == b->advskew &&
               a->dead_ratio == b->dead_ratio && a->preempt == b->preempt &&
               a->preempt_delay_usec == b->preempt_delay_usec && memcmp(a->key, b->key, a->n_key_bytes) == 0 &&
               ip_address_equal(&a->source_ipv4, &b->source_ipv4) && ip_address_equal(&a->source_ipv6, &b->source_ipv6) &&
               a->multicast == b->multicast && ip_address_equal(&a->group_ipv4, &b->group_ipv4) &&
               a->strict_replay == b->strict_replay && a->demotion_byte == b->demotion_byte && a->digest_first == b->digest_first;
}

static bool takeover_equal(const TakeoverConfig *a, const TakeoverConfig *b) {
        return g_strcmp0(a->up_script, b->up_script) == 0 && g_strcmp0(a->down_script, b->down_script) == 0 &&
               g_strcmp0(a->script_parameter, b->script_parameter) == 0 && a->neutral == b->neutral &&
               a->demote_hold_usec == b->demote_hold_usec && a->units_before_address == b->units_before_address &&
               a->unit_timeout_usec == b->unit_timeout_usec && a->demote_on_unit_failure == b->demote_on_unit_failure;
}

static bool checks_equal(const GPtrArray *a, const GPtrArray *b) {
        if (a->len != b->len)
                return false;
        for (guint k = 0; k < a->len; k++)
                if (!check_config_equal(g_ptr_array_index(a, k), g_ptr_array_index(b, k)))
                        return false;
        return true;
}

/**
 * instance_config_equal() - would a reload from one to the other change anything?
 */
bool instance_config_equal(const InstanceConfig *a, const InstanceConfig *b) {
        if (a->n_addresses != b->n_addresses)
                return false;
        for (size_t k = 0; k < a->n_addresses; k++)
                if (a->addresses[k].prefix_length != b->addresses[k].prefix_length ||
                    !ip_address_equal(&a->addresses[k].address, &b->addresses[k].address))
                        return false;
        return g_str_equal(a->name, b->name) && g_str_equal(a->description, b->description) &&
               g_str_equal(a->interface, b->interface) && a->enabled == b->enabled &&
               g_str_equal(a->sync_group, b->sync_group) &&
               a->virtual_mac == b->virtual_mac && a->ignore_carrier == b->ignore_carrier && a->lease == b->lease && a->lease_sec == b->lease_sec &&
               a->start_delay_usec == b->start_delay_usec && carp_equal(&a->carp, &b->carp) &&
               a->announce.count == b->announce.count && a->announce.interval_usec == b->announce.interval_usec &&
               a->announce.refresh_usec == b->announce.refresh_usec && takeover_equal(&a->takeover, &b->takeover) &&
               checks_equal(a->checks, b->checks);
}

size_t instance_config_n_signed(const InstanceConfig *c) {
        return c->carp.digest_first ? 1 : c->n_addresses;
}

const char *instance_config_device(const InstanceConfig *c, char ret[IF_NAMESIZE]) {
        if (!c->virtual_mac)
                g_strlcpy(ret, c->interface, IF_NAMESIZE);
        else if (strlen("vip-") + strlen(c->name) < IF_NAMESIZE && !strchr(c->name, ':'))
                (void) g_snprintf(ret, IF_NAMESIZE, "vip-%s", c->name);
        else {
                g_autofree char *beginning = g_strdelimit(g_strndup(c->name, 4), ":", '_');

                /* too long for the kernel, or no name to it: the rest tells them apart */
                (void) g_snprintf(ret, IF_NAMESIZE, "vip-%s-%06x", beginning, g_str_hash(c->name) & 0xffffff);
        }
        return ret;
}

bool instance_config_address_collides(const InstanceConfig *a, size_t k, const InstanceConfig *b, size_t o) {
        const IpAddress *x = &a->addresses[k].address, *y = &b->addresses[o].address;
        bool on_other_link = x->family == AF_INET6 && ip_address_is_link_local(x) && !g_str_equal(a->interface, b->interface);

        return ip_address_equal(x, y) && !on_other_link;
}

bool instance_config_collides(const InstanceConfig *a, const InstanceConfig *b) {
        if (g_str_equal(a->interface, b->interface) && a->carp.vhid == b->carp.vhid)
                return true;
        for (size_t k = 0; k < a->n_addresses; k++)
                for (size_t o = 0; o < b->n_addresses; o++)
                        if (instance_config_address_collides(a, k, b, o))
                                return true;
        return false;
}

/**
 * instance_config_lease_sec() - the kernel lifetime of held addresses in seconds; 0: for ever
 */
uint32_t instance_config_lease_sec(const InstanceConfig *c) {
        uint64_t dead_sec;

        switch (c->lease) {
        case CONFIG_LEASE_NO:
                return 0;
        case CONFIG_LEASE_FIXED:
                return c->lease_sec;
        case CONFIG_LEASE_AUTO:
                break;
        }
        dead_sec = (uint64_t) c->carp.dead_ratio * c->carp.advbase;
        /* the kernel may be a second late; and a day is as good as for ever */
        return (uint32_t) CLAMP(dead_sec, 2, 86401) - 1;
}
