/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sync-group.h"

#include "core/sync.h"

/* Instances that are master together or not at all. The rule is the core's (sync.c); here it is carried out, in the same pass of the loop and at
 * the same time for all members, so that their adverts stay in step. Each member tells its group after every step of its own; what the group
 * then does to others makes these tell it again, which is noted and looked at when it is done. Knows instances, and neither the loop nor where
 * they come from; allocates only when the configuration changes. */

typedef struct Member {
        Instance *instance;   /* borrowed */
        uint64_t joins_usec;  /* new among masters: until then it may listen before it follows them; 0: it counts as any other */
} Member;

typedef struct Group {
        GArray *members;            /* Member */
        const Election **elections; /* room for one each */
        bool judging, again;
} Group;

struct SyncGroups {
        GPtrArray *groups; /* Group *, of two members at least, but for those whose others were forgotten since */
};

static void group_free(void *data) {
        Group *g = data;

        g_array_unref(g->members);
        g_free(g->elections);
        g_free(g);
}

SyncGroups *sync_groups_new(void) {
        SyncGroups *s = g_new0(SyncGroups, 1);

        s->groups = g_ptr_array_new_with_free_func(group_free);
        return s;
}

SyncGroups *sync_groups_free(SyncGroups *s) {
        if (!s)
                return NULL;
        g_ptr_array_unref(s->groups);
        g_free(s);
        return NULL;
}

static Member *member(const Group *g, guint k) {
        return &g_array_index(g->members, Member, k);
}

static bool is_master(const Instance *i) {
        return instance_state(i) == ELECTION_STATE_MASTER;
}

static bool has_master(const Group *g) {
        for (guint k = 0; k < g->members->len; k++)
                if (is_master(member(g, k)->instance))
                        return true;
        return false;
}

/* The most demoted member counts for all, so that every segment has the same opinion of this host. */
static void share_demotion(Group *g, uint64_t now_usec) {
        uint32_t demotion = 0;

        for (guint k = 0; k < g->members->len; k++)
                demotion = MAX(demotion, instance_own_demotion(member(g, k)->instance));
        for (guint k = 0; k < g->members->len; k++)
                instance_set_group_demotion(member(g, k)->instance, demotion, now_usec);
}

/* A planned end of mastership, where units must be down before addresses are given up: all begin it together, and drop their addresses together,
 * when the units of the last are down. */
static void share_farewell(Group *g, uint64_t now_usec) {
        const Instance *cause = NULL;
        bool ready = true;

        for (guint k = 0; k < g->members->len; k++) {
                const Instance *i = member(g, k)->instance;

                if (instance_is_leaving(i) && !instance_leaves_with(i))
                        cause = i;
        }
        for (guint k = 0; k < g->members->len; k++) {
                Instance *i = member(g, k)->instance;

                if (!cause && instance_leaves_with(i))
                        instance_stay_with(i);
                if (cause && is_master(i) && !instance_is_leaving(i))
                        instance_leave_with(i, cause, now_usec);
                ready = ready && (!is_master(i) || instance_may_depart(i));
        }
        for (guint k = 0; cause && ready && k < g->members->len; k++)
                if (instance_is_leaving(member(g, k)->instance))
                        instance_depart(member(g, k)->instance, now_usec);
}

/* Addresses first: whom one of them cannot be held for would otherwise be told to yield to a host that then gives up. */
static bool prepare(Group *g, uint64_t now_usec) {
        guint n = 0;

        while (n < g->members->len && instance_prepare_takeover(member(g, n)->instance, now_usec))
                n++;
        if (n == g->members->len)
                return true;
        while (n > 0)
                instance_cancel_takeover(member(g, --n)->instance);
        return false;
}

/* The first who cannot tell whom it replaces is the last who tries: those of the others shall not yield for nothing. */
static void take_over(Group *g, uint64_t now_usec) {
        bool told = true;

        if (!prepare(g, now_usec))
                return;
        for (guint k = 0; k < g->members->len; k++) {
                Instance *i = member(g, k)->instance;

                if (told)
                        instance_sync(i, ELECTION_SYNC_TAKE_OVER, NULL, now_usec);
                instance_cancel_takeover(i);
                told = told && is_master(i);
        }
}

/* Who is the reason that the others must give up: the last that left by its own. */
static const Instance *find_cause(const Group *g) {
        const Instance *cause = NULL;

        for (guint k = 0; k < g->members->len; k++) {
                const Instance *i = member(g, k)->instance;

                if (is_master(i) || member(g, k)->joins_usec > 0)
                        continue;
                if (!cause || instance_reason(cause) == ELECTION_REASON_SYNC ||
                    (instance_reason(i) != ELECTION_REASON_SYNC && instance_state_change_usec(i) > instance_state_change_usec(cause)))
                        cause = i;
        }
        return cause;
}

/* Who yielded did so to a host that is master of all its group, or will not be one for long. */
static void leave(Group *g, uint64_t now_usec) {
        const Instance *cause = find_cause(g);
        ElectionSync sync = instance_reason(cause) == ELECTION_REASON_PREEMPTED ? ELECTION_SYNC_YIELD : ELECTION_SYNC_LEAVE;

        for (guint k = 0; k < g->members->len; k++)
                if (is_master(member(g, k)->instance))
                        instance_sync(member(g, k)->instance, sync, cause, now_usec);
}

/* A new member follows masters as soon as it wants to. If it does not when it should have come to it, somebody else is master there. */
static void follow(Group *g, uint64_t now_usec) {
        for (guint k = 0; k < g->members->len; k++) {
                Member *m = member(g, k);
                const Election *e = instance_election(m->instance);

                if (m->joins_usec == 0)
                        continue;
                if (is_master(m->instance) || (now_usec >= m->joins_usec && election_due_usec(e) > now_usec)) {
                        m->joins_usec = 0;
                        g->again = true;
                } else if (sync_judge(&e, 1, now_usec) == SYNC_VERDICT_TAKE_OVER) {
                        if (instance_prepare_takeover(m->instance, now_usec))
                                instance_sync(m->instance, ELECTION_SYNC_TAKE_OVER, NULL, now_usec);
                        instance_cancel_takeover(m->instance);
                }
        }
}

static void act(Group *g, uint64_t now_usec) {
        bool mastered = has_master(g);
        size_t n = 0;

        for (guint k = 0; k < g->members->len; k++) {
                if (!mastered)
                        member(g, k)->joins_usec = 0;
                if (member(g, k)->joins_usec == 0)
                        g->elections[n++] = instance_election(member(g, k)->instance);
        }
        switch (sync_judge(g->elections, n, now_usec)) {
        case SYNC_VERDICT_NONE:
                if (mastered)
                        follow(g, now_usec);
                return;
        case SYNC_VERDICT_TAKE_OVER:
                take_over(g, now_usec);
                return;
        case SYNC_VERDICT_LEAVE:
                leave(g, now_usec);
                return;
        }
}

static void judge(Group *g, uint64_t now_usec) {
        g->again = true;
        if (g->judging)
                return;
        g->judging = true;
        while (g->again) {
                g->again = false;
                /* a packet bears the time it came at, which may be before the last timer */
                for (guint k = 0; k < g->members->len; k++)
                        now_usec = MAX(now_usec, instance_election(member(g, k)->instance)->now_usec);
                share_demotion(g, now_usec);
                share_farewell(g, now_usec);
                act(g, now_usec);
        }
        g->judging = false;
}

static void on_stepped(void *userdata, Instance *i, uint64_t now_usec) {
        judge(userdata, now_usec);
}

static void on_bow_out_heard(void *userdata, Instance *i, uint64_t now_usec) {
        Group *g = userdata;

        for (guint k = 0; k < g->members->len; k++)
                if (member(g, k)->instance != i)
                        instance_sync(member(g, k)->instance, ELECTION_SYNC_BOW_OUT, NULL, now_usec);
}

static const InstanceGroup instance_group = { .stepped = on_stepped, .bow_out_heard = on_bow_out_heard };

static Member *find_member(const SyncGroups *s, const Instance *i, Group **ret_group) {
        for (guint k = 0; k < s->groups->len; k++) {
                Group *g = g_ptr_array_index(s->groups, k);

                for (guint o = 0; o < g->members->len; o++)
                        if (member(g, o)->instance == i) {
                                *ret_group = g;
                                return member(g, o);
                        }
        }
        *ret_group = NULL;
        return NULL;
}

static bool together(const Instance *a, const Instance *b) {
        const char *name = instance_config(a)->sync_group;

        return *name != '\0' && g_str_equal(name, instance_config(b)->sync_group);
}

static bool was_together(const SyncGroups *s, const Instance *a, const Instance *b) {
        Group *x, *y;

        return find_member(s, a, &x) && find_member(s, b, &y) && x == y;
}

/* When a member that is not master among masters should have found out whether it can be; 0: it is known, as it was one of them before, or has
 * been outdone. */
static uint64_t joins_usec(const SyncGroups *s, const Group *g, const Instance *i) {
        uint64_t due_usec = election_due_usec(instance_election(i));
        ElectionReason reason = instance_reason(i);
        Group *old;
        const Member *m = find_member(s, i, &old);

        if (due_usec == ELECTION_NEVER ||
            (reason != ELECTION_REASON_STARTUP && reason != ELECTION_REASON_LINK_UP && reason != ELECTION_REASON_ENABLED))
                return 0;
        for (guint k = 0; k < g->members->len; k++)
                if (member(g, k)->instance != i && was_together(s, member(g, k)->instance, i))
                        return m->joins_usec;
        return due_usec;
}

/* The group of which instances[first] is the first member, or NULL. */
static Group *make_group(const SyncGroups *s, Instance *const instances[], size_t n, size_t first) {
        Group *g;

        for (size_t k = 0; k < first; k++)
                if (together(instances[k], instances[first]))
                        return NULL;
        g = g_new0(Group, 1);
        g->members = g_array_new(false, false, sizeof(Member));
        for (size_t k = first; k < n; k++)
                if (k == first || together(instances[first], instances[k])) {
                        Member m = { .instance = instances[k] };

                        g_array_append_val(g->members, m);
                }
        if (g->members->len == 1) {
                group_free(g);
                return NULL;
        }
        g->elections = g_new0(const Election *, g->members->len);
        for (guint k = 0; k < g->members->len; k++)
                member(g, k)->joins_usec = joins_usec(s, g, member(g, k)->instance);
        return g;
}

static void bind_members(Group *g, uint64_t now_usec) {
        bool waits = false;

        for (guint k = 0; k < g->members->len; k++)
                waits = waits || instance_config(member(g, k)->instance)->takeover.units_before_address;
        for (guint k = 0; k < g->members->len; k++)
                instance_set_group(member(g, k)->instance, &instance_group, g, waits, now_usec);
}

/**
 * sync_groups_update() - make the groups that the configuration says
 *
 * Nothing is judged before all are made.
 */
void sync_groups_update(SyncGroups *s, Instance *const instances[], size_t n, uint64_t now_usec) {
        SyncGroups *made = sync_groups_new();
        GPtrArray *old = s->groups;

        for (size_t k = 0; k < n; k++) {
                Group *g = make_group(s, instances, n, k);

                if (g)
                        g_ptr_array_add(made->groups, g);
        }
        for (size_t k = 0; k < n; k++) {
                Group *g;

                if (!find_member(made, instances[k], &g))
                        instance_set_group(instances[k], NULL, NULL, false, now_usec);
        }
        s->groups = g_steal_pointer(&made->groups);
        g_free(made);
        for (guint k = 0; k < s->groups->len; k++)
                bind_members(g_ptr_array_index(s->groups, k), now_usec);
        g_ptr_array_unref(old);
        for (guint k = 0; k < s->groups->len; k++)
                judge(g_ptr_array_index(s->groups, k), now_usec);
}

void sync_groups_forget(SyncGroups *s, Instance *i, uint64_t now_usec) {
        Group *g;

        if (!find_member(s, i, &g))
                return;
        instance_set_group(i, NULL, NULL, false, now_usec);
        for (guint k = g->members->len; k > 0; k--)
                if (member(g, k - 1)->instance == i)
                        g_array_remove_index(g->members, k - 1);
}

InstanceVerbResult sync_groups_promote(SyncGroups *s, Instance *i, uint64_t now_usec) {
        InstanceVerbResult r = instance_may_promote(i);
        Group *g;

        if (r != INSTANCE_VERB_OK || !find_member(s, i, &g))
                return r == INSTANCE_VERB_OK ? instance_promote(i, now_usec) : r;
        for (guint k = 0; k < g->members->len; k++)
                if (instance_may_promote(member(g, k)->instance) != INSTANCE_VERB_OK)
                        return INSTANCE_VERB_BUSY;
        /* one after the other: they are not judged in between */
        g->judging = true;
        if (prepare(g, now_usec))
                for (guint k = 0; k < g->members->len; k++) {
                        (void) instance_promote(member(g, k)->instance, now_usec);
                        instance_cancel_takeover(member(g, k)->instance);
                }
        g->judging = false;
        judge(g, now_usec);
        return INSTANCE_VERB_OK;
}
