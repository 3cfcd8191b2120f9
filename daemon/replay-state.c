/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "replay-state.h"

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/ip-address.h"

/* The saved state of strict mode, a text that an administrator can read:
 *
 *     vipd-replay 1
 *     next 1048576
 *     peer 192.0.2.2 73211
 *     end
 *
 * next: the first sequence of ours that was never used; peer: the highest one heard from that source. The last line tells a whole file from
 * what a dying disk left of one. Whatever is not exactly of this form is refused as a whole: half a memory would look like a good one. */

#define VERSION_LINE "vipd-replay 1"

static void format_peer(GString *text, const ReplayPeer *p) {
        IpAddress a = { .family = p->source.n_bytes == 4 ? AF_INET : AF_INET6 };
        char buffer[IP_ADDRESS_TEXT_BYTES];

        memcpy(a.bytes, p->source.bytes, p->source.n_bytes);
        g_string_append_printf(text, "peer %s %" PRIu64 "\n", ip_address_format(&a, buffer), p->highest);
}

char *replay_state_format(const ReplayState *state) {
        GString *text = g_string_new(VERSION_LINE "\n");

        g_string_append_printf(text, "next %" PRIu64 "\n", state->next);
        for (unsigned k = 0; k < state->n_peers; k++)
                format_peer(text, &state->peers[k]);
        g_string_append(text, "end\n");
        return g_string_free(text, FALSE);
}

/* At most 13 digits, none of them a leading zero that we would not write. */
static bool parse_sequence(const char *text, uint64_t *ret) {
        uint64_t value = 0;

        if (*text == '\0' || strlen(text) > 13 || (*text == '0' && text[1] != '\0'))
                return false;
        for (; *text; text++) {
                if (!g_ascii_isdigit(*text))
                        return false;
                value = value * 10 + (uint64_t) (*text - '0');
        }
        *ret = value;
        return value <= REPLAY_SEQUENCE_MAX;
}

static bool parse_peer(const char *text, ReplayState *s) {
        const char *space = strchr(text, ' ');
        char address[IP_ADDRESS_TEXT_BYTES];
        ReplayPeer p = { 0 };
        IpAddress a;

        if (!space || (size_t) (space - text) >= sizeof(address) || s->n_peers == REPLAY_N_PEERS)
                return false;
        memcpy(address, text, (size_t) (space - text));
        address[space - text] = '\0';
        if (ip_address_parse(address, &a) < 0 || !parse_sequence(space + 1, &p.highest))
                return false;
        p.source.n_bytes = (uint8_t) ip_address_n_bytes(&a);
        memcpy(p.source.bytes, a.bytes, p.source.n_bytes);
        for (unsigned k = 0; k < s->n_peers; k++)
                if (s->peers[k].source.n_bytes == p.source.n_bytes &&
                    memcmp(s->peers[k].source.bytes, p.source.bytes, p.source.n_bytes) == 0)
                        return false;
        s->peers[s->n_peers++] = p;
        return true;
}

int replay_state_parse(const char *text, size_t n_bytes, ReplayState *ret) {
        g_autofree char *copy = g_strndup(text, n_bytes);
        g_auto(GStrv) lines = NULL;
        ReplayState s = { 0 };
        unsigned n;

        if (n_bytes > REPLAY_STATE_BYTES_MAX || strlen(copy) != n_bytes)
                return -EINVAL;
        lines = g_strsplit(copy, "\n", -1);
        n = g_strv_length(lines);
        if (n < 4 || !g_str_equal(lines[0], VERSION_LINE) || !g_str_has_prefix(lines[1], "next ") ||
            !parse_sequence(lines[1] + strlen("next "), &s.next) || !g_str_equal(lines[n - 2], "end") || *lines[n - 1] != '\0')
                return -EINVAL;
        for (unsigned k = 2; k < n - 2; k++)
                if (!g_str_has_prefix(lines[k], "peer ") || !parse_peer(lines[k] + strlen("peer "), &s))
                        return -EINVAL;
        *ret = s;
        return 0;
}
