/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <systemd/sd-event.h>

#include "util/cleanup.h"
#include "util/log.h"
#include "util/time-util.h"

/* NAME.held in the runtime directory: on the first line the interface that bears the addresses, which may be the device of a virtual MAC, an address
 * with its prefix length on each other. It says what may be held,
 * not what is: it is written when an instance starts or is configured anew, so that a takeover writes nothing. Whoever cleans up looks at the kernel,
 * and leaves alone what somebody configured for ever. Whose records these are says a lock, which dies with its process: a second vipd, which
 * does not start, and an untimely cleanup take nothing from the first. */

#define SUFFIX ".held"
#define ARP_SUFFIX ".arp"
#define LOCK "lock"
#define LOCK_USEC USEC_PER_SEC
#define LOCK_AGAIN_MSEC 10

static char *path_of(const char *runtime_dir, const char *name) {
        return g_strdup_printf("%s/%s" SUFFIX, runtime_dir, name);
}

/* The file is the owner's alone: whoever can open it can keep others from locking it. */
static int lock(const char *runtime_dir, int flags) {
        g_autofree char *path = g_build_filename(runtime_dir, LOCK, NULL);
        g_auto(AutoFd) fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);

        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
                return -errno;
        return g_steal_fd(&fd);
}

int record_lock(const char *runtime_dir) {
        uint64_t end_usec = clock_usec() + LOCK_USEC;
        int r;

        while ((r = lock(runtime_dir, O_CREAT)) == -EWOULDBLOCK && clock_usec() < end_usec)
                (void) poll(NULL, 0, LOCK_AGAIN_MSEC);
        return r;
}

/* GLib's word for it is lost on those who look up an errno. */
static int errno_of(const GError *error) {
        static const struct {
                int code, number;
        } codes[] = {
                { G_FILE_ERROR_ACCES, EACCES }, { G_FILE_ERROR_PERM, EPERM }, { G_FILE_ERROR_NOENT, ENOENT }, { G_FILE_ERROR_NOTDIR, ENOTDIR },
                { G_FILE_ERROR_ISDIR, EISDIR }, { G_FILE_ERROR_ROFS, EROFS }, { G_FILE_ERROR_NOSPC, ENOSPC }, { G_FILE_ERROR_LOOP, ELOOP },
                { G_FILE_ERROR_NAMETOOLONG, ENAMETOOLONG }, { G_FILE_ERROR_MFILE, EMFILE }, { G_FILE_ERROR_NFILE, ENFILE },
        };

        for (size_t k = 0; error->domain == G_FILE_ERROR && k < G_N_ELEMENTS(codes); k++)
                if (codes[k].code == error->code)
                        return codes[k].number;
        return EIO;
}

int record_write(const char *runtime_dir, const InstanceConfig *config) {
        g_autofree char *path = path_of(runtime_dir, config->name);
        char device[IF_NAMESIZE];
        g_autoptr(GString) text = g_string_new(instance_config_device(config, device));
        g_autoptr(GError) error = NULL;

        g_string_append_c(text, '\n');
        for (size_t k = 0; k < config->n_addresses; k++) {
                char prefix[IP_PREFIX_TEXT_BYTES];

                g_string_append_printf(text, "%s\n", ip_prefix_format(&config->addresses[k], prefix));
        }
        return g_file_set_contents_full(path, text->str, (gssize) text->len, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error) ? 0 : -errno_of(error);
}

void record_remove(const char *runtime_dir, const char *name) {
        g_autofree char *path = path_of(runtime_dir, name);

        (void) g_unlink(path);
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

typedef struct Sweep {
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

int record_note_arp(const char *runtime_dir, int ifindex, const ArpSettings *before) {
        g_autofree char *path = g_strdup_printf("%s/%d" ARP_SUFFIX, runtime_dir, ifindex), *text = NULL;

        if (!before)
                return g_unlink(path) < 0 && errno != ENOENT ? -errno : 0;
        text = g_strdup_printf("arp_ignore %u\narp_announce %u\n", before->ignore, before->announce);
        return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL) ? 0 : -EIO;
}

static bool read_number(const char *text, const char *prefix, unsigned *ret) {
        guint64 n = 0;

        if (!text || !g_str_has_prefix(text, prefix) || !g_ascii_string_to_unsigned(text + strlen(prefix), 10, 0, G_MAXINT, &n, NULL))
                return false;
        *ret = (unsigned) n;
        return true;
}

/* It stays until it has been put back: arp_scope's owner forgets it. */
static void inherit_arp(const char *path, const char *file, ArpScope *scope) {
        g_autofree char *number = g_strndup(file, strlen(file) - strlen(ARP_SUFFIX)), *text = NULL;
        g_auto(GStrv) lines = NULL;
        ArpSettings before;
        unsigned ifindex;

        if (!read_number(number, "", &ifindex) || !g_file_get_contents(path, &text, NULL, NULL))
                return;
        lines = g_strsplit(text, "\n", 0);
        if (read_number(lines[0], "arp_ignore ", &before.ignore) && read_number(lines[1], "arp_announce ", &before.announce))
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

unsigned record_sweep(const char *runtime_dir, const RecordTools *tools, RecordKeep keep, void *userdata) {
        Sweep sweep = { .tools = tools, .keep = keep, .userdata = userdata };
        g_autoptr(GDir) dir = g_dir_open(runtime_dir, 0, NULL);
        const char *file;

        macvlan_gather(tools->macvlans);
        while (dir && (file = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(runtime_dir, file, NULL), *text = NULL,
                                *name = g_strndup(file, strlen(file) - MIN(strlen(file), strlen(SUFFIX)));

                if (g_str_has_suffix(file, ARP_SUFFIX))
                        inherit_arp(path, file, tools->arp_scope);
                if (!g_str_has_suffix(file, SUFFIX) || !g_file_get_contents(path, &text, NULL, NULL))
                        continue;
                sweep.name = name;
                sweep.link = NULL;
                sweep.kept = false;
                record_parse(text, sweep_address, &sweep);
                if (sweep.link && !sweep.kept)
                        remove_device(tools, sweep.link, name);
                (void) g_unlink(path);
        }
        macvlan_flush(tools->macvlans);
        return sweep.n;
}

static void ignore_change(void *userdata, const Link *link, unsigned changes) {
}

static void note_arp(void *userdata, int ifindex, const ArpSettings *before) {
        (void) record_note_arp(userdata, ifindex, before);
}

int record_clean_up(const char *runtime_dir) {
        /* not made here: it would be that of whoever cleans up; and where there is none, no vipd has been */
        g_auto(AutoFd) fd = lock(runtime_dir, 0);
        g_autoptr(AddressSocket) addresses = NULL;
        g_autoptr(MacvlanControl) macvlans = NULL;
        g_autoptr(ArpScope) arp_scope = NULL;
        g_autoptr(LinkTable) links = NULL;
        g_autoptr(sd_event) event = NULL;
        int r;

        if (fd == -EWOULDBLOCK)
                return fd;
        r = sd_event_new(&event);
        if (r >= 0)
                r = address_socket_new(&addresses);
        if (r >= 0)
                r = macvlan_control_new(&macvlans, event);
        if (r >= 0)
                r = arp_scope_new(&arp_scope, note_arp, (void *) runtime_dir);
        if (r >= 0)
                r = link_table_new(&links, event, ignore_change, NULL);
        if (r < 0)
                return r;
        (void) record_sweep(runtime_dir,
                            &(RecordTools) { .links = links, .addresses = addresses, .macvlans = macvlans, .arp_scope = arp_scope },
                            NULL, NULL);
        arp_scope_settle(arp_scope);
        return 0;
}
