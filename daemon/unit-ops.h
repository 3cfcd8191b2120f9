/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What targets.c needs of the service manager, without knowing how it is spoken to. */
#include <glib.h>

typedef enum UnitsRole {
        UNITS_ROLE_NONE,   /* neither target */
        UNITS_ROLE_BACKUP, /* vipd-backup@NAME.target */
        UNITS_ROLE_MASTER, /* vipd-master@NAME.target */
} UnitsRole;

/* The target of a role; UNITS_ROLE_NONE has none, and answers as for the master's, which is the one to be stopped. Caller frees. */
static inline char *units_target(UnitsRole role, const char *name) {
        return g_strdup_printf("vipd-%s@%s.target", role == UNITS_ROLE_BACKUP ? "backup" : "master", name);
}

typedef struct UnitOps {
        /* Makes the units of this instance those of the role. 0: it will be answered by UnitObserver.accepted(), and later, unless another
         * request for this name came meanwhile, by .settled(). -ENOTCONN: cannot be asked now; .connected() will tell when.
         * Another error: for want of memory, and nobody will tell when that is over. */
        int (*request)(void *userdata, const char *name, UnitsRole role);
        /* Asks for nothing, and hears from now on of the jobs of the role's units; of those that have failed already, as of a job. */
        void (*follow)(void *userdata, const char *name, UnitsRole role);
        GPtrArray *(*pending)(void *userdata, const char *name); /* char *: units whose jobs are not over; caller unrefs */
        void (*forget)(void *userdata, const char *name); /* no further answer about this instance is wanted */
} UnitOps;

/* Answers: always from the loop, never from inside a request. */
typedef struct UnitObserver {
        void (*connected)(void *userdata); /* the service manager can be asked, perhaps not for the first time */
        void (*accepted)(void *userdata, const char *name, int error); /* the jobs are queued, or -errno: they are not */
        void (*settled)(void *userdata, const char *name);             /* the target's job, and those of all units that belong to it, are over */
        /* A job of a unit that belongs to the instance's targets has ended; result: as systemd names it ("done", "failed", ...). */
        void (*job)(void *userdata, const char *name, const char *unit, const char *result);
        void *userdata;
} UnitObserver;
