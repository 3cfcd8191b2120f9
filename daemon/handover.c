/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handover.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/log.h"

/* Writes and reads what a restart carries over: the role of each instance, and since when it is judged. A key file, so that a later version may
 * add keys; what a version cannot use makes it start afresh, which is always safe. Holds no secret. Knows neither the service manager's
 * protocol nor the manager: it is given values and gives values. */

#define HEADER "vipd handover"
#define VERSION 1
#define BYTES_MAX (4 << 20)

void handover_entry_free(void *entry) {
        HandoverEntry *e = entry;

        g_free(e->name);
        g_strfreev(e->failing);
        g_free(e);
}

static const char *const units_names[] = {
        [UNITS_ROLE_NONE] = "none",
        [UNITS_ROLE_BACKUP] = "backup",
        [UNITS_ROLE_MASTER] = "master",
};

/* The instants of an election's memory: all are written and read alike. */
static const struct {
        const char *key;
        size_t offset;
} instants[] = {
        { "EligibleUSec", offsetof(ElectionMemory, eligible_usec) },
        { "PreemptUSec", offsetof(ElectionMemory, preempt_usec) },
        { "MasterDownUSec", offsetof(ElectionMemory, master_down_usec) },
        { "AttemptedUSec", offsetof(ElectionMemory, attempted_usec) },
        { "SentUSec", offsetof(ElectionMemory, sent_usec) },
        { "PromotedUntilUSec", offsetof(ElectionMemory, promoted_until_usec) },
};

static void set_peers(GKeyFile *file, const HandoverEntry *e) {
        g_autoptr(GPtrArray) peers = g_ptr_array_new_with_free_func(g_free);

        for (size_t k = 0; k < e->memory.peers.n; k++) {
                const Peer *p = &e->memory.peers.list[k];
                char source[IP_ADDRESS_TEXT_BYTES];

                g_ptr_array_add(peers,
                                g_strdup_printf("%s %s %u %u %" G_GUINT64_FORMAT, ip_address_format(&p->source, source),
                                                peer_role_to_string(p->role), p->advbase, p->advskew, p->heard_usec));
        }
        g_key_file_set_string_list(file, e->name, "Peers", (const char *const *) peers->pdata, peers->len);
}

char *handover_format(GPtrArray *entries) {
        g_autoptr(GKeyFile) file = g_key_file_new();

        g_key_file_set_integer(file, HEADER, "Version", VERSION);
        for (guint k = 0; k < entries->len; k++) {
                const HandoverEntry *e = g_ptr_array_index(entries, k);
                const ElectionMemory *m = &e->memory.election;
                char master[IP_ADDRESS_TEXT_BYTES];

                g_key_file_set_string(file, e->name, "Interface", e->interface);
                g_key_file_set_integer(file, e->name, "VHID", e->vhid);
                g_key_file_set_string(file, e->name, "State", election_state_to_string(m->state));
                g_key_file_set_string(file, e->name, "Reason", election_reason_to_string(m->reason));
                g_key_file_set_string(file, e->name, "DownReason", election_reason_to_string(m->down_reason));
                for (size_t n = 0; n < G_N_ELEMENTS(instants); n++)
                        g_key_file_set_uint64(file, e->name, instants[n].key,
                                              *(const uint64_t *) (const void *) ((const char *) m + instants[n].offset));
                g_key_file_set_boolean(file, e->name, "Holds", e->memory.holds);
                g_key_file_set_string(file, e->name, "Master", ip_address_format(&e->memory.master, master));
                g_key_file_set_uint64(file, e->name, "ChangedUSec", e->memory.changed_usec);
                g_key_file_set_uint64(file, e->name, "ChangedRealtimeUSec", e->memory.changed_realtime_usec);
                g_key_file_set_uint64(file, e->name, "AnnounceUSec", e->memory.announce_usec);
                g_key_file_set_uint64(file, e->name, "Announcements", e->memory.n_announce);
                set_peers(file, e);
                if (e->failing)
                        g_key_file_set_string_list(file, e->name, "FailingChecks", (const char *const *) e->failing, g_strv_length(e->failing));
                if (e->script_pending)
                        g_key_file_set_string(file, e->name, "Script", e->script_up ? "up" : "down");
                if (e->units_certain)
                        g_key_file_set_string(file, e->name, "Units", units_names[e->units]);
        }
        return g_key_file_to_data(file, NULL, NULL);
}

/* The index of a word among those that to_string() gives; n: how many there are. -EINVAL. */
static int index_of(const char *word, const char *(*to_string)(int index), int n) {
        for (int k = 0; word && k < n; k++)
                if (g_str_equal(word, to_string(k)))
                        return k;
        return -EINVAL;
}

static const char *state_name(int index) {
        return election_state_to_string((ElectionState) index);
}

static const char *reason_name(int index) {
        return election_reason_to_string((ElectionReason) index);
}

static const char *role_name(int index) {
        return peer_role_to_string((PeerRole) index);
}

static const char *units_name(int index) {
        return units_names[index];
}

static int get_index(GKeyFile *file, const char *group, const char *key, const char *(*to_string)(int index), int n) {
        g_autofree char *word = g_key_file_get_string(file, group, key, NULL);

        return index_of(word, to_string, n);
}

static void get_address(const char *text, IpAddress *ret) {
        if (!text || ip_address_parse(text, ret) < 0)
                *ret = (IpAddress) { .family = AF_UNSPEC };
}

static void get_peers(GKeyFile *file, HandoverEntry *e) {
        g_auto(GStrv) peers = g_key_file_get_string_list(file, e->name, "Peers", NULL, NULL);

        for (size_t k = 0; peers && peers[k] && e->memory.peers.n < PEERS_MAX; k++) {
                g_auto(GStrv) words = g_strsplit(peers[k], " ", 0);
                Peer *p = &e->memory.peers.list[e->memory.peers.n];
                int role = words[0] ? index_of(words[1], role_name, N_PEER_ROLES) : -EINVAL;

                if (role < 0 || g_strv_length(words) != 5)
                        continue;
                get_address(words[0], &p->source);
                if (p->source.family == AF_UNSPEC)
                        continue;
                p->role = (PeerRole) role;
                p->advbase = (uint8_t) g_ascii_strtoull(words[2], NULL, 10);
                p->advskew = (uint8_t) g_ascii_strtoull(words[3], NULL, 10);
                p->heard_usec = g_ascii_strtoull(words[4], NULL, 10);
                e->memory.peers.n++;
        }
}

static HandoverEntry *parse_entry(GKeyFile *file, const char *group) {
        g_autofree char *interface = g_key_file_get_string(file, group, "Interface", NULL),
                        *script = g_key_file_get_string(file, group, "Script", NULL),
                        *master = g_key_file_get_string(file, group, "Master", NULL);
        int vhid = g_key_file_get_integer(file, group, "VHID", NULL);
        int state = get_index(file, group, "State", state_name, N_ELECTION_STATES);
        int reason = get_index(file, group, "Reason", reason_name, N_ELECTION_REASONS);
        int down_reason = get_index(file, group, "DownReason", reason_name, N_ELECTION_REASONS);
        int units = get_index(file, group, "Units", units_name, G_N_ELEMENTS(units_names));
        HandoverEntry *e;

        if (!interface || *interface == '\0' || strlen(interface) >= IF_NAMESIZE || vhid < 1 || vhid > 255 || state < 0 || reason < 0 || down_reason < 0)
                return NULL;
        e = g_new0(HandoverEntry, 1);
        e->name = g_strdup(group);
        g_strlcpy(e->interface, interface, sizeof(e->interface));
        e->vhid = (uint8_t) vhid;
        e->memory.election = (ElectionMemory) {
                .state = (ElectionState) state,
                .reason = (ElectionReason) reason,
                .down_reason = (ElectionReason) down_reason,
        };
        for (size_t n = 0; n < G_N_ELEMENTS(instants); n++)
                *(uint64_t *) (void *) ((char *) &e->memory.election + instants[n].offset) =
                        g_key_file_get_uint64(file, group, instants[n].key, NULL);
        e->memory.holds = g_key_file_get_boolean(file, group, "Holds", NULL);
        get_address(master, &e->memory.master);
        e->memory.changed_usec = g_key_file_get_uint64(file, group, "ChangedUSec", NULL);
        e->memory.changed_realtime_usec = g_key_file_get_uint64(file, group, "ChangedRealtimeUSec", NULL);
        e->memory.announce_usec = g_key_file_get_uint64(file, group, "AnnounceUSec", NULL);
        e->memory.n_announce = (uint32_t) g_key_file_get_uint64(file, group, "Announcements", NULL);
        get_peers(file, e);
        e->failing = g_key_file_get_string_list(file, group, "FailingChecks", NULL, NULL);
        e->script_up = g_strcmp0(script, "up") == 0;
        e->script_pending = e->script_up || g_strcmp0(script, "down") == 0;
        e->units_certain = units >= 0;
        e->units = units >= 0 ? (UnitsRole) units : UNITS_ROLE_NONE;
        return e;
}

GPtrArray *handover_parse(const char *text, size_t n_bytes) {
        g_autoptr(GKeyFile) file = g_key_file_new();
        g_auto(GStrv) groups = NULL;
        GPtrArray *entries;

        if (!g_key_file_load_from_data(file, text, n_bytes, G_KEY_FILE_NONE, NULL) ||
            g_key_file_get_integer(file, HEADER, "Version", NULL) != VERSION)
                return NULL;
        entries = g_ptr_array_new_with_free_func(handover_entry_free);
        groups = g_key_file_get_groups(file, NULL);
        for (size_t k = 0; groups[k]; k++) {
                HandoverEntry *e = g_str_equal(groups[k], HEADER) ? NULL : parse_entry(file, groups[k]);

                if (e)
                        g_ptr_array_add(entries, e);
        }
        return entries;
}

int handover_write(const char *text) {
        g_auto(AutoFd) fd = memfd_create(HANDOVER_FD_NAME, MFD_CLOEXEC);
        size_t n = strlen(text);

        if (fd < 0)
                return -errno;
        /* who would not read it shall not be left with roles that nobody knows of */
        if (n > BYTES_MAX)
                return -EFBIG;
        if (write(fd, text, n) != (ssize_t) n)
                return -EIO;
        return g_steal_fd(&fd);
}

static GPtrArray *read_fd(int fd) {
        g_autofree char *text = NULL;
        struct stat st;

        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > BYTES_MAX)
                return NULL;
        text = g_malloc((size_t) st.st_size);
        if (pread(fd, text, (size_t) st.st_size, 0) != st.st_size)
                return NULL;
        /* emptied, as the service manager may give the same file to the process after us, if we die */
        (void) !ftruncate(fd, 0);
        return handover_parse(text, (size_t) st.st_size);
}

GPtrArray *handover_take(void) {
        g_auto(GStrv) names = NULL;
        GPtrArray *entries = NULL;
        int n = sd_listen_fds_with_names(true, &names);

        for (int k = 0; k < n; k++) {
                g_auto(AutoFd) fd = SD_LISTEN_FDS_START + k;

                if (!entries && g_str_equal(names[k], HANDOVER_FD_NAME))
                        entries = read_fd(fd);
        }
        return entries;
}
