/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance-log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "util/log.h"
#include "util/message-ids.h"
#include "util/time-util.h"

/* The lines about an instance that an operator may alert on. A peer, or another program on this host, can cause each of them as often as it
 * likes, so each has a limit, and the line after a gap says how many are missing. Knows an instance's facts, and nothing of who else hears
 * of them; the manager calls it. */

/* No election in its right mind changes its role so often; two that fight may do it a hundred times a second. */
static const RateRule transitions_rule = { .interval_usec = 10 * USEC_PER_SEC, .burst = 100 };
static const RateRule notices_rule = { .interval_usec = 60 * USEC_PER_SEC, .burst = 3 };
/* Senders can be forged: of one cause so many are named. */
static const RateRule diagnoses_rule = { .interval_usec = 600 * USEC_PER_SEC, .burst = 4 };
static const RateRule checks_rule = { .interval_usec = 60 * USEC_PER_SEC, .burst = 20 };

#define N_FIELDS 10
#define EXPLANATION_BYTES 160

typedef struct Facts {
        char vhid[4], master[IP_ADDRESS_TEXT_BYTES];
        LogField fields[N_FIELDS];
} Facts;

/* What every line carries; previous: NULL unless the role changes. */
static LogField *facts(Facts *f, const Instance *i, ElectionState state, const char *previous, ElectionReason reason) {
        const InstanceConfig *c = instance_config(i);
        const LogField fields[N_FIELDS] = {
                { "VIPD_INSTANCE", c->name },
                { "VIPD_INTERFACE", c->interface },
                { "VIPD_VHID", f->vhid },
                { "VIPD_STATE", election_state_to_string(state) },
                { "VIPD_REASON", election_reason_to_string(reason) },
                { "VIPD_PEER", ip_address_format(instance_master(i), f->master) },
                { "VIPD_PREVIOUS_STATE", previous },
                { NULL, NULL }, /* two more, of an event */
                { NULL, NULL },
                { NULL, NULL },
        };

        (void) g_snprintf(f->vhid, sizeof(f->vhid), "%u", c->carp.vhid);
        memcpy(f->fields, fields, sizeof(fields));
        return f->fields;
}

void instance_log_done(InstanceLog *l) {
        if (l->failing)
                g_hash_table_unref(l->failing);
}

static const CheckConfig *find_config(const Instance *i, const char *name) {
        const GPtrArray *configs = instance_config(i)->checks;

        for (guint k = 0; k < configs->len; k++)
                if (g_str_equal(((CheckConfig *) g_ptr_array_index(configs, k))->name, name))
                        return g_ptr_array_index(configs, k);
        return NULL;
}

/* The first check that fails with this effect, or NULL. */
static const char *failing_check(const Instance *i, bool release) {
        for (guint k = 0; k < instance_checks(i)->len; k++) {
                const InstanceCheck *check = g_ptr_array_index(instance_checks(i), k);
                const CheckConfig *c = find_config(i, check->name);

                if (c && check->failed && c->release == release)
                        return check->name;
        }
        return NULL;
}

/* What is behind a reason: of a role that was lost for another of the group, which one, and why; of one that went elsewhere, the check
 * that fails here. */
static const char *explain(const Instance *i, ElectionReason reason, char text[EXPLANATION_BYTES]) {
        const char *check = failing_check(i, reason == ELECTION_REASON_HEALTH), *name;
        ElectionReason cause;

        *text = '\0';
        if (check && reason == ELECTION_REASON_HEALTH)
                (void) g_snprintf(text, EXPLANATION_BYTES, ", as check %s fails", check);
        /* it may have been better without, too */
        else if (check && reason == ELECTION_REASON_PREEMPTED)
                (void) g_snprintf(text, EXPLANATION_BYTES, ", while check %s fails", check);
        name = instance_sync_cause(i, &cause);
        if (reason == ELECTION_REASON_SYNC)
                (void) g_snprintf(text, EXPLANATION_BYTES, ", as %s of its group is not master any more (%s)", name,
                                  election_reason_to_string(cause));
        return text;
}

/**
 * instance_log_transition() - one line per role change; a second one if the reason needs an explanation
 */
void instance_log_transition(InstanceLog *l, const Instance *i, const InstanceTransition *t, uint64_t now_usec) {
        const char *name = instance_config(i)->name, *from = election_state_to_string(t->from);
        char more[RATELIMIT_TEXT_BYTES], why[EXPLANATION_BYTES];
        const LogField *fields;
        uint64_t n_suppressed;
        Facts f;

        if (!ratelimit_pass(&l->transitions, &transitions_rule, now_usec, &n_suppressed))
                return;
        fields = facts(&f, i, t->to, from, t->reason);
        log_write(LOG_NOTICE, MESSAGE_ID_STATE_CHANGE_STR, fields, 0, __FILE__, __LINE__, __func__, "%s: %s -> %s (%s)%s%s",
                  name, from, election_state_to_string(t->to), election_reason_to_string(t->reason), explain(i, t->reason, why),
                  ratelimit_format(n_suppressed, more));
        if (t->reason == ELECTION_REASON_STALLED)
                log_write(LOG_WARNING, MESSAGE_ID_STALLED_STR, fields, 0, __FILE__, __LINE__, __func__,
                          "%s: stood still for a dead interval, suspended, frozen or starved; others may have taken over", name);
}

/* One that waited for its fellows until it was too late: that lasts no longer than a pass of the loop, which began at now_usec. */
static void log_send_failed(const InstanceConfig *c, const LogField *fields, int error, uint64_t now_usec, const char *more) {
        if (error == -ETIME)
                log_write(LOG_WARNING, MESSAGE_ID_SEND_FAILED_STR, fields, -error, __FILE__, __LINE__, __func__,
                          "%s: an advert was not sent on %s, as it was too late for it: stood still for %" PRIu64
                          " ms, suspended, frozen or starved%s",
                          c->name, c->interface, (clock_usec() - now_usec) / USEC_PER_MSEC, more);
        else
                log_write(LOG_WARNING, MESSAGE_ID_SEND_FAILED_STR, fields, -error, __FILE__, __LINE__, __func__,
                          "%s: an advert could not be sent on %s: %m%s", c->name, c->interface, more);
}

/**
 * instance_log_notice() - a line about what went wrong without a role change
 * @error: negative errno, or 0
 */
void instance_log_notice(InstanceLog *l, const Instance *i, InstanceNotice notice, int error, uint64_t now_usec) {
        const InstanceConfig *c = instance_config(i);
        char more[RATELIMIT_TEXT_BYTES];
        LogField *fields;
        uint64_t n_suppressed;
        Facts f;

        /* once is enough: it is put back each time, and the statistics count */
        if (notice == INSTANCE_NOTICE_ADDRESS_RESTORED && l->restored_told)
                return;
        if (!ratelimit_pass(&l->notices[notice], &notices_rule, now_usec, &n_suppressed))
                return;
        (void) ratelimit_format(n_suppressed, more);
        fields = facts(&f, i, instance_state(i), NULL, instance_reason(i));
        switch (notice) {
        case INSTANCE_NOTICE_ADDRESS_RESTORED:
                l->restored_told = true;
                log_write(LOG_WARNING, MESSAGE_ID_ADDRESS_RESTORED_STR, fields, 0, __FILE__, __LINE__, __func__,
                          "%s: another program removed an address of ours from %s; it is put back, this time and whenever it happens "
                          "again, without another word. A network manager may be set to remove what it did not configure",
                          c->name, c->interface);
                break;
        case INSTANCE_NOTICE_ADDRESS_NOT_HELD:
                log_write(LOG_ERR, MESSAGE_ID_ADDRESS_NOT_HELD_STR, fields, -error, __FILE__, __LINE__, __func__,
                          "%s: the kernel refused an address on %s: %m%s", c->name, c->interface, more);
                break;
        case INSTANCE_NOTICE_SEND_FAILED:
                log_send_failed(c, fields, error, now_usec, more);
                break;
        case INSTANCE_NOTICE_CONFLICT:
                fields[N_FIELDS - 3] = (LogField) { "VIPD_MAC", instance_conflict_mac(i) };
                log_write(LOG_WARNING, MESSAGE_ID_CONFLICT_STR, fields, 0, __FILE__, __LINE__, __func__,
                          "%s: %s, who is no peer; the address is kept, and announced anew at most every 10 s%s", c->name,
                          instance_conflict(i), more);
                break;
        case INSTANCE_NOTICE_CONFLICT_OVER:
                log_write(LOG_INFO, NULL, fields, 0, __FILE__, __LINE__, __func__, "%s: nobody else claims an address of ours any more%s",
                          c->name, more);
                break;
        }
}

static const InstanceCheck *find_check(const Instance *i, const char *name) {
        const GPtrArray *checks = instance_checks(i);

        for (guint k = 0; k < checks->len; k++)
                if (g_str_equal(((InstanceCheck *) g_ptr_array_index(checks, k))->name, name))
                        return g_ptr_array_index(checks, k);
        return NULL;
}

/* False: that has been said. */
static bool note_failing(InstanceLog *l, const char *name) {
        if (!l->failing)
                l->failing = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        return g_hash_table_add(l->failing, g_strdup(name));
}

void instance_log_check_known(InstanceLog *l, const char *name) {
        (void) note_failing(l, name);
}

/* Is there anything to say of what a check says now? What failed, fell silent and fails again is no news, nor what another process has said. */
static bool is_news(InstanceLog *l, const InstanceCheck *check, const InstanceCheck *before) {
        if (l->failing && (!check->failed || !before->name))
                (void) g_hash_table_remove(l->failing, check->name);
        if (check->state == CHECK_STATE_FAILING)
                return note_failing(l, check->name);
        /* what is new and unknown has said nothing yet */
        return check->failed != before->failed && (before->name || check->state != CHECK_STATE_UNKNOWN);
}

/**
 * instance_log_check() - a line when the verdict of a check changed, or was first heard and bad
 * @name: of a check of ours
 * @before: what it said before
 */
void instance_log_check(InstanceLog *l, const Instance *i, const char *name, const InstanceCheck *before, uint64_t now_usec) {
        const InstanceCheck *check = find_check(i, name);
        const CheckConfig *c = find_config(i, name);
        const char *instance = instance_config(i)->name;
        char demotion[16], counts[40] = "", more[RATELIMIT_TEXT_BYTES];
        const LogField fields[] = {
                { "VIPD_INSTANCE", instance },
                { "VIPD_CHECK", name },
                { "VIPD_OUTPUT", check->output },
                { "VIPD_DEMOTION", demotion },
                { NULL, NULL },
        };
        uint64_t n_suppressed;

        if (!is_news(l, check, before) || !ratelimit_pass(&l->checks, &checks_rule, now_usec, &n_suppressed))
                return;
        (void) g_snprintf(demotion, sizeof(demotion), "%u", instance_demotion(i));
        /* one that decides alone says nothing of what others add up to */
        if (c && !c->release)
                (void) g_snprintf(counts, sizeof(counts), "; demotion is %s", demotion);
        (void) ratelimit_format(n_suppressed, more);
        log_write(check->failed ? LOG_WARNING : LOG_NOTICE, check->failed ? MESSAGE_ID_CHECK_FAILED_STR : MESSAGE_ID_CHECK_PASSED_STR, fields, 0,
                  __FILE__, __LINE__, __func__, "%s: check %s %s%s%s%s%s", instance, name,
                  !check->failed                             ? "passes"
                  : check->state == CHECK_STATE_UNKNOWN      ? "has not answered for so long that it counts as failed"
                                                             : "fails",
                  *check->output != '\0' ? ": " : "", check->output, counts, more);
}

/**
 * instance_log_diagnosis() - a line about a host that does not fit; its source is the line's peer
 */
void instance_log_diagnosis(InstanceLog *l, const Instance *i, const Diagnosis *d, uint64_t now_usec) {
        char more[RATELIMIT_TEXT_BYTES], source[IP_ADDRESS_TEXT_BYTES];
        LogField *fields;
        uint64_t n_suppressed;
        Facts f;

        if (!ratelimit_pass(&l->diagnoses[d->cause], &diagnoses_rule, now_usec, &n_suppressed))
                return;
        fields = facts(&f, i, instance_state(i), NULL, instance_reason(i));
        for (size_t k = 0; k < N_FIELDS && fields[k].name; k++)
                if (g_str_equal(fields[k].name, "VIPD_PEER"))
                        fields[k].value = ip_address_format(&d->source, source);
        fields[N_FIELDS - 3] = (LogField) { "VIPD_MAC", d->mac };
        fields[N_FIELDS - 2] = (LogField) { "VIPD_CAUSE", diagnosis_cause_to_string(d->cause) };
        log_write(LOG_WARNING, MESSAGE_ID_MISFIT_STR, fields, 0, __FILE__, __LINE__, __func__, "%s: %s%s", instance_config(i)->name, d->text,
                  ratelimit_format(n_suppressed, more));
}

void instance_log_reloaded(InstanceLog *l) {
        l->restored_told = false;
}
