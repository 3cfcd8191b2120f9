/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Child processes, each the head of a session of its own, and the orphans that come from them: all of them can be killed, and are. */
#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

typedef struct Children Children;
typedef struct Child Child;

int children_new(Children **ret, sd_event *event);
Children *children_free(Children *c); /* kills what is left of them */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Children, children_free)

/* What a child does; it never returns. */
typedef void (*ChildMain)(void *userdata) __attribute__((noreturn));
typedef void (*ChildEnded)(const siginfo_t *si, void *userdata);

int child_start(Children *c, Child **ret, const void *owner, ChildMain child_main, ChildEnded ended, void *userdata);
Child *child_drop(Child *child); /* kills it with its process group, without waiting; nothing more is heard of it; may be NULL */
bool children_has(const Children *c, const void *owner); /* one that was started for this owner is not gone yet */
