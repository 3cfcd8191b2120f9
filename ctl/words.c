/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/words.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/kernel.h"
#include "ctl/when.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define DIGEST_USEC (10 * USEC_PER_SEC) /* so long after the last one, somebody has corrected the mistake */
#define SILENCE_USEC (UINT64_C(86400) * USEC_PER_SEC)

/* Two tables: the reasons of the interface, explained; and conditions with the advice for each, the gravest first. Of an instance alone the
 * first that holds is told: one sentence, as whoever reads it has just been woken. In a list each is a note of a few words. */

typedef struct Reason {
        const char *word, *words;
} Reason;

static const Reason reasons[] = {
        { "startup", "vipd has started and listens first" },
        { "master-timeout", "no master was heard for a dead interval" },
        { "preempted", "a better master was heard" },
        { "preempting", "the master that was heard is worse than this host, and Preempt= is on" },
        { "bow-out", "the master said farewell" },
        { "demoted", "this host was told to give the address up" },
        { "promoted", "this host was told to take over" },
        { "health", "a check fails" },
        { "link-down", "the interface has no link" },
        { "link-up", "the interface can be used again" },
        { "interface-missing", "there is no such interface" },
        { "no-source-address", "the interface has no address to send from" },
        { "address-lost", "an address could not be held" },
        { "stalled", "this host stood still for longer than a dead interval" },
        { "disabled", "the instance is disabled" },
        { "enabled", "the instance was enabled" },
        { "send-failed", "adverts could not be sent" },
        { "sync", "its sync group goes together" },
        { "shutdown", "vipd is on its way out" },
        { "reload", "the configuration has changed" },
};

const char *words_reason(const char *reason) {
        for (size_t k = 0; k < G_N_ELEMENTS(reasons); k++)
                if (g_str_equal(reasons[k].word, reason))
                        return reasons[k].words;
        return NULL;
}

static bool is_state(const View *v, const char *state) {
        return g_str_equal(v->state, state);
}

static bool bowed_out(const ViewPeer *p) {
        return g_str_equal(p->role, "bowed-out");
}

static const ViewCheck *failing_check(const View *v) {
        for (guint k = 0; k < v->checks->len; k++) {
                const ViewCheck *c = g_ptr_array_index(v->checks, k);

                if (g_str_equal(c->result, "failing"))
                        return c;
        }
        return NULL;
}

/**
 * words_why() - a reason as a sentence, with the check that is behind it; the caller frees it
 */
char *words_why(const View *v) {
        const char *words = words_reason(v->reason);
        const ViewCheck *c = failing_check(v);

        /* a demoted host may have lost to a better one for that alone */
        if (c && v->demotion > 0 && g_str_equal(v->reason, "preempted"))
                return g_strdup_printf("%s: %s, while check %s fails here", v->reason, words, c->name);
        return g_strconcat(v->reason, words ? ": " : NULL, words, NULL);
}

/* Each returns its sentence if its condition holds. */

/* A host that keeps another passphrase is master beside us, and goes on sending; it may be in conflict with us for that. */
static char *advise_digest(const View *v, const GPtrArray *kernel) {
        uint64_t patience = MAX(DIGEST_USEC, (v->advbase + UINT64_C(1)) * 3 * USEC_PER_SEC);
        g_autofree char *ago = when_ago(v->digest_mismatch_realtime_usec);

        if (when_realtime_usec() > v->digest_mismatch_realtime_usec + patience)
                return NULL;
        return g_strdup_printf("An advert with a wrong digest came %s: compare passphrase and addresses with the other hosts; \"journalctl -u vipd\" "
                               "tells whose it was.", ago);
}

static char *advise_conflict(const View *v, const GPtrArray *kernel) {
        if (!*v->conflict)
                return NULL;
        return g_strdup_printf("Somebody else answers for an address of this instance (%s): find that host by its hardware address and "
                               "take the address from it.", v->conflict);
}

/* Two masters that hear each other are one within an advert. So whoever is heard longer after this host became master than that takes does not
 * hear it. */
static char *advise_second_master(const View *v, const GPtrArray *kernel) {
        uint64_t now = when_boottime_usec(), patience = (v->advbase + UINT64_C(1)) * 2 * USEC_PER_SEC;

        if (!kernel || !is_state(v, "master"))
                return NULL;
        for (guint k = 0; k < v->peers->len; k++) {
                const ViewPeer *p = g_ptr_array_index(v->peers, k);

                if (!bowed_out(p) && p->heard_usec > v->since_boottime_usec + patience && now < p->heard_usec + patience)
                        return g_strdup_printf("%s says that it is master, too: if that lasts, it does not hear this host; look at the "
                                               "network between the two.", p->address);
        }
        return NULL;
}

/* Silence is all that this host knows of a master that died, and of one that goes on without being heard. A backup is silent, too: whoever was
 * repaired since then cannot be told from either, so a day later nothing is said any more. */
static char *advise_silence(const View *v, const GPtrArray *kernel) {
        if (!is_state(v, "master") || !g_str_equal(v->reason, "master-timeout"))
                return NULL;
        for (guint k = 0; k < v->peers->len; k++) {
                const ViewPeer *p = g_ptr_array_index(v->peers, k);
                /* as long before this host became master, by the same clock on whichever host this is */
                uint64_t heard_usec = v->since_realtime_usec - (v->since_boottime_usec - p->heard_usec);
                g_autofree char *ago = when_ago(heard_usec);

                if (g_str_equal(p->role, "master") && p->heard_usec < v->since_boottime_usec && when_realtime_usec() < heard_usec + SILENCE_USEC)
                        return g_strdup_printf("%s was master until %s, and has not been heard since: either it died, or its adverts do not arrive, "
                                               "and both may be master; look at it (\"vipctl status\" there), and at cable, switch and firewall (IP "
                                               "protocol 112) between the two.", p->address, ago);
        }
        return NULL;
}

static char *advise_stray_address(const View *v, const GPtrArray *kernel) {
        for (guint k = 0; kernel && !is_state(v, "master") && k < v->addresses->len; k++) {
                const KernelAddress *a = kernel_find(kernel, g_ptr_array_index(v->addresses, k));

                if (a)
                        return g_strdup_printf("This host has %s on %s without being master: something else than vipd configured it; "
                                               "remove it there, and with \"ip address del %s dev %s\".", a->address, a->interface,
                                               a->address, a->interface);
        }
        return NULL;
}

static char *advise_missing_address(const View *v, const GPtrArray *kernel) {
        for (guint k = 0; kernel && is_state(v, "master") && k < v->addresses->len; k++) {
                const char *address = g_ptr_array_index(v->addresses, k);

                if (!kernel_find(kernel, address))
                        return g_strdup_printf("This host is master without holding %s: units may have to start first "
                                               "(UnitsBeforeAddress=), or the kernel refuses it; \"journalctl -u vipd\" tells.", address);
        }
        return NULL;
}

static char *advise_reason(const View *v, const GPtrArray *kernel) {
        if (!v->enabled)
                return g_strdup_printf("It takes no part because it is disabled: \"vipctl enable %s\" lets it, or Enabled= in its file.",
                                       v->name);
        if (g_str_equal(v->reason, "interface-missing"))
                return g_strdup_printf("There is no interface %s here: \"ip link\" shows what there is; correct Interface= or create it.",
                                       v->interface);
        if (g_str_equal(v->reason, "link-down"))
                return g_strdup_printf("%s has no link: look at cable, switch and \"ip link set %s up\".", v->interface, v->interface);
        if (g_str_equal(v->reason, "no-source-address"))
                return g_strdup_printf("%s has no address of its own to send adverts from: give it one, or set SourceAddress=.", v->interface);
        if (g_str_equal(v->reason, "send-failed"))
                return g_strdup_printf("Adverts cannot be sent on %s: a firewall or a broken link; \"journalctl -u vipd\" has the error.",
                                       v->interface);
        if (g_str_equal(v->reason, "address-lost"))
                return g_strdup("The kernel refuses an address: \"journalctl -u vipd\" has the error.");
        return NULL;
}

/* The one with the lowest advskew that it ever said, or NULL. */
static const ViewPeer *best_peer(const View *v) {
        const ViewPeer *best = NULL;

        for (guint k = 0; k < v->peers->len; k++) {
                const ViewPeer *p = g_ptr_array_index(v->peers, k);

                if (p->advskew < UINT8_MAX && (!best || p->advskew < best->advskew))
                        best = p;
        }
        return best;
}

/* What a demoted host advertises: carp(4) ends at 240. */
static unsigned demoted_advskew(const View *v) {
        return (unsigned) MAX(MIN(v->advskew + (uint64_t) v->demotion, 240), v->advskew);
}

static char *advise_check(const View *v, const GPtrArray *kernel) {
        const ViewCheck *c = failing_check(v);
        const ViewPeer *p = best_peer(v);

        if (!c)
                return NULL;
        if (is_state(v, "master") && v->demotion > 0 && p && demoted_advskew(v) <= p->advskew)
                return g_strdup_printf("The check %s fails, and this host stays master: it advertises AdvSkew %u now, and %s, the best of the others, was "
                                       "heard with %u; mend what the check looks at, and raise its Weight= above the difference of AdvSkew=.", c->name,
                                       demoted_advskew(v), p->address, p->advskew);
        return g_strdup_printf("The check %s fails: mend what it looks at, and the instance recovers by itself.", c->name);
}

static char *advise_unit(const View *v, const GPtrArray *kernel) {
        const ViewUnit *u;

        if (v->failed_units->len == 0)
                return NULL;
        u = g_ptr_array_index(v->failed_units, 0);
        return g_strdup_printf("The unit %s is not as it should be (%s): \"systemctl status %s\" tells why.", u->name, u->result, u->name);
}

static char *advise_problem(const View *v, const GPtrArray *kernel) {
        if (!*v->problem)
                return NULL;
        return g_strdup("A newer configuration is not in force because of a mistake: mend it (\"vipctl check\"), then \"vipctl reload\".");
}

static char *advise_no_master(const View *v, const GPtrArray *kernel) {
        if (!is_state(v, "backup") || *v->master)
                return NULL;
        if (g_str_equal(v->reason, "demoted"))
                return g_strdup_printf("No other host has taken over: \"vipctl promote %s\" takes the address back.", v->name);
        return g_strdup("No master is heard: this host takes over at the end of the dead interval, unless a check or its group keeps it from that.");
}

typedef struct Advice {
        const char *note; /* in a table; NULL: the reason, in words */
        char *(*advise)(const View *v, const GPtrArray *kernel);
} Advice;

static const Advice advices[] = {
        { "wrong digest", advise_digest },
        { "address conflict", advise_conflict },
        { "second master", advise_second_master },
        { "address without being master", advise_stray_address },
        { "address missing", advise_missing_address },
        { NULL, advise_reason },
        { "check fails", advise_check },
        { "unit failed", advise_unit },
        { "configuration not in force", advise_problem },
        { "no master heard", advise_no_master },
        { "peer silent", advise_silence },
};

char *words_advice(const View *v, const GPtrArray *kernel) {
        for (size_t k = 0; k < G_N_ELEMENTS(advices); k++) {
                char *sentence = advices[k].advise(v, kernel);

                if (sentence)
                        return sentence;
        }
        return NULL;
}

char *words_note(const View *v, const GPtrArray *kernel) {
        g_autoptr(GPtrArray) notes = g_ptr_array_new();
        g_autofree char *demoted = v->demotion > 0 ? g_strdup_printf("demoted by %" PRIu32, v->demotion) : NULL;

        for (size_t k = 0; k < G_N_ELEMENTS(advices); k++) {
                g_autofree char *sentence = advices[k].advise(v, kernel);

                if (sentence)
                        g_ptr_array_add(notes, (char *) (advices[k].note ?: words_reason(v->reason) ?: v->reason));
        }
        if (demoted)
                g_ptr_array_add(notes, demoted);
        if (notes->len == 0)
                return NULL;
        g_ptr_array_add(notes, NULL);
        return g_strjoinv(", ", (char **) notes->pdata);
}

Color words_color(const View *v) {
        if (g_str_equal(v->state, "master"))
                return COLOR_GOOD;
        if (g_str_equal(v->state, "init"))
                return v->enabled ? COLOR_BAD : COLOR_DIM;
        return COLOR_NONE;
}
