/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "record.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "util/cleanup.h"
#include "util/log.h"

/* NAME.held: on the first line the interface that bears the addresses, which may be the device of a virtual MAC, an address with its prefix length on
 * each other. It says what may be held, not what is: it is written when an instance starts or is configured anew, so that a takeover writes nothing.
 * Whoever cleans up looks at the kernel, and leaves alone what somebody configured for ever. */

#define SUFFIX ".held"
#define ARP_SUFFIX ".arp"

static char *file_of(const char *name) {
        return g_strdup_printf("%s" SUFFIX, name);
}

void record_write(Notes *notes, const InstanceConfig *config) {
        g_autofree char *file = file_of(config->name);
        char device[IF_NAMESIZE];
        g_autoptr(GString) text = g_string_new(instance_config_device(config, device));

        g_string_append_c(text, '\n');
        for (size_t k = 0; k < config->n_addresses; k++) {
                char prefix[IP_PREFIX_TEXT_BYTES];

                g_string_append_printf(text, "%s\n", ip_prefix_format(&config->addresses[k], prefix));
        }
        notes_set(notes, file, text->str);
}

void record_remove(Notes *notes, const char *name) {
        g_autofree char *file = file_of(name);

        notes_set(notes, file, NULL);
}

/* Ours, for all that the kernel knows: marked as ours, or with a lifetime, which no configuration has. */
static bool is_ours(const LinkAddress *a) {
        return a->protocol == ADDRESS_PROTOCOL || !a->permanent;
}

static bool drop(const Link *link, AddressSocket *addresses, const char *name, const char *text, const IpPrefix *prefix) {
        const LinkAddress *a = link_find_address(link, prefix);
        g_autoptr(Address) address = NULL;
        int r;

        if (!a || !is_ours(a))
                return false;
        r = address_new(&address, addresses, link->ifindex, prefix, 0, 0);
        if (r >= 0)
                r = address_drop(address);
        if (r < 0)
                log_warning_errno(r, "%s: %s, left on %s by a vipd that is gone, could not be dropped: %m", name, text, link->name);
        else
                log_notice("%s: dropped %s, left on %s by a vipd that is gone", name, text, link->name);
        return r >= 0;
}

void record_parse(const char *text, RecordEach each, void *userdata) {
        g_auto(GStrv) lines = g_strsplit(text, "\n", 0);
        IpPrefix prefix;

        for (size_t k = 1; lines[0] && lines[k]; k++)
                if (ip_prefix_parse(lines[k], &prefix) >= 0)
                        each(userdata, lines[0], lines[k], &prefix);
}

static bool read_number(const char *text, const char *prefix, unsigned *ret) {
        guint64 n = 0;

        if (!text || !g_str_has_prefix(text, prefix) || !g_ascii_string_to_unsigned(text + strlen(prefix), 10, 0, G_MAXINT, &n, NULL))
                return false;
        *ret = (unsigned) n;
        return true;
}

bool record_parse_arp(const char *text, ArpSettings *ret) {
        g_auto(GStrv) lines = g_strsplit(text, "\n", 0);

        return read_number(lines[0], "arp_ignore ", &ret->ignore) && read_number(lines[1], "arp_announce ", &ret->announce);
}

typedef struct Sweep {
        Notes *notes;
        const RecordTools *tools;
        const char *name;
        const Link *link;
        bool kept;
        RecordKeep keep;
        void *userdata;
        unsigned n;
} Sweep;

static void sweep_address(void *userdata, const char *interface, const char *text, const IpPrefix *prefix) {
        Sweep *s = userdata;

        s->link = link_table_find(s->tools->links, interface);
        if (!s->link)
                return;
        if (s->keep && s->keep(s->userdata, s->name, interface, prefix))
                s->kept = true;
        else
                s->n += drop(s->link, s->tools->addresses, s->name, text, prefix);
}

void record_note_arp(Notes *notes, int ifindex, const ArpSettings *before) {
        g_autofree char *file = g_strdup_printf("%d" ARP_SUFFIX, ifindex),
                        *text = before ? g_strdup_printf("arp_ignore %u\narp_announce %u\n", before->ignore, before->announce) : NULL;

        notes_set(notes, file, text);
}

/* It stays until it has been put back: arp_scope's owner forgets it. */
static void inherit_arp(ArpScope *scope, const char *file, const char *text) {
        g_autofree char *number = g_strndup(file, strlen(file) - strlen(ARP_SUFFIX));
        ArpSettings before;
        unsigned ifindex;

        if (read_number(number, "", &ifindex) && record_parse_arp(text, &before))
                arp_scope_inherit(scope, (int) ifindex, &before);
}

static void remove_device(const RecordTools *tools, const Link *link, const char *name) {
        int r;

        if (!macvlan_is_marked(link, name))
                return;
        r = macvlan_delete(tools->macvlans, link->ifindex);
        if (r < 0)
                log_warning_errno(r, "%s: %s, left by a vipd that is gone, could not be removed: %m", name, link->name);
        else
                log_notice("%s: removed %s, left by a vipd that is gone", name, link->name);
}

static void sweep_note(void *userdata, const char *file, const char *text) {
        Sweep *s = userdata;
        g_autofree char *name = NULL;

        if (g_str_has_suffix(file, ARP_SUFFIX)) {
                inherit_arp(s->tools->arp_scope, file, text);
                return;
        }
        s->name = name = g_strndup(file, strlen(file) - strlen(SUFFIX));
        s->link = NULL;
        s->kept = false;
        record_parse(text, sweep_address, s);
        if (s->link && !s->kept)
                remove_device(s->tools, s->link, name);
        notes_set(s->notes, file, NULL);
}

unsigned record_sweep(Notes *notes, const RecordTools *tools, RecordKeep keep, void *userdata) {
        Sweep sweep = { .notes = notes, .tools = tools, .keep = keep, .userdata = userdata };

        macvlan_gather(tools->macvlans);
        notes_each(notes, (const char *const[]) { SUFFIX, ARP_SUFFIX, NULL }, sweep_note, &sweep);
        macvlan_flush(tools->macvlans);
        return sweep.n;
}

static void ignore_change(void *userdata, const Link *link, unsigned changes) {
}

static void note_arp(void *userdata, int ifindex, const ArpSettings *before) {
        record_note_arp(userdata, ifindex, before);
}

int record_clean_up(const char *runtime_dir) {
        g_autoptr(AddressSocket) addresses = NULL;
        g_autoptr(MacvlanControl) macvlans = NULL;
        g_autoptr(ArpScope) arp_scope = NULL;
        g_autoptr(LinkTable) links = NULL;
        g_autoptr(sd_event) event = NULL;
        g_autoptr(Notes) notes = NULL;
        int r = sd_event_new(&event);

        if (r >= 0)
                r = notes_new(&notes, event, runtime_dir);
        if (r >= 0)
                r = notes_lock_for_cleanup(notes);
        if (r >= 0)
                r = address_socket_new(&addresses);
        if (r >= 0)
                r = macvlan_control_new(&macvlans, event);
        if (r >= 0)
                r = arp_scope_new(&arp_scope, note_arp, notes);
        if (r >= 0)
                r = link_table_new(&links, event, ignore_change, NULL);
        if (r < 0)
                return r;
        (void) record_sweep(notes, &(RecordTools) { .links = links, .addresses = addresses, .macvlans = macvlans, .arp_scope = arp_scope },
                            NULL, NULL);
        arp_scope_settle(arp_scope);
        return 0;
}
