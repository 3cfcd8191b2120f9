/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/journal.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "config-parse.h"

/* Reads the journal of this host. The field VIPD_INSTANCE alone proves nothing, as every local user may write it: only
 * lines of vipd's own user count, which journald itself has put down. */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_journal, sd_journal_close)

static void line_free(void *data) {
        JournalLine *l = data;

        g_free(l->message);
        g_free(l);
}

static char *read_field(sd_journal *j, const char *name) {
        size_t n, skip = strlen(name) + 1;
        const void *data;

        if (sd_journal_get_data(j, name, &data, &n) < 0 || n < skip)
                return NULL;
        return g_strndup((const char *) data + skip, n - skip);
}

static JournalLine *read_line(sd_journal *j) {
        g_autofree char *priority = read_field(j, "PRIORITY");
        JournalLine *l = g_new0(JournalLine, 1);
        uint32_t level = LOG_INFO;

        (void) sd_journal_get_realtime_usec(j, &l->realtime_usec);
        if (priority)
                (void) config_parse_uint(priority, LOG_EMERG, LOG_DEBUG, &level);
        l->priority = (int) level;
        l->message = read_field(j, "MESSAGE") ?: g_strdup("");
        return l;
}

/* sd-journal leaves files out that it may not open, without a word: whether system.journal is one of them is seen from
 * outside. */
static int why_nothing(void) {
        static const char *const places[] = { "/var/log/journal", "/run/log/journal" };
        char id[SD_ID128_STRING_MAX];
        sd_id128_t machine;
        int r = sd_id128_get_machine(&machine);

        if (r < 0)
                return r;
        (void) sd_id128_to_string(machine, id);
        r = -ENOENT;
        for (size_t k = 0; k < G_N_ELEMENTS(places); k++) {
                g_autofree char *path = g_strdup_printf("%s/%s/system.journal", places[k], id);

                if (access(path, R_OK) == 0)
                        return 0;
                if (errno == EACCES)
                        r = -EACCES;
        }
        return r;
}

int journal_tail(const char *instance, uid_t uid, unsigned n, GPtrArray **ret) {
        g_autofree char *match = g_strdup_printf("VIPD_INSTANCE=%s", instance), *writer = g_strdup_printf("_UID=%u", uid);
        g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(line_free);
        g_autoptr(sd_journal) j = NULL;
        int r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY);

        if (r >= 0)
                r = sd_journal_add_match(j, match, 0);
        if (r >= 0)
                r = sd_journal_add_match(j, writer, 0);
        if (r >= 0)
                r = sd_journal_seek_tail(j);
        while (r >= 0 && lines->len < n && (r = sd_journal_previous(j)) > 0)
                g_ptr_array_insert(lines, 0, read_line(j));
        if (r >= 0 && lines->len == 0)
                r = why_nothing();
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&lines);
        return 0;
}
