/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* An instance on a kernel that is a list of what was asked of it. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "instance.h"

#define SEC UINT64_C(1000000)

typedef struct Fixture {
        Instance *instance;
        uint64_t now_usec, deadline_usec, early_usec;
        uint64_t effort_usec; /* of each effect that was not looked at yet */
        int send_error, hold_error;
        unsigned advskew; /* as last sent, or tried */
        unsigned changes; /* InstanceChange, all so far */
        GString *effects; /* one letter each: a(dvert) b(ow-out) h(old) r(elease) n(announce) */
        GString *states;  /* "backup master ..." */
        bool units_before_address; /* for the test's own use */
} Fixture;

/* "web": 192.0.2.50 on eth0, VHID 1, passphrase "secret", announced once. */
InstanceConfig *fixture_config(bool units_before_address);
void fixture_set_up(Fixture *f); /* at 1000 s, without an instance */
void fixture_tear_down(Fixture *f, gconstpointer data);
void make_instance(Fixture *f, InstanceConfig *config); /* config is taken */

void link_up(Fixture *f); /* 192.0.2.1, no IPv6 */
void timer(Fixture *f);   /* comes as armed, or now if that is over */
void assert_effects(Fixture *f, const char *expected); /* since the last look */
