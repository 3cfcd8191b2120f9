/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* polkit's agent for the terminal, which asks for the password. */
#include "ctl/ctl.h"

typedef struct Agent Agent;

/* Starts it where somebody could answer it; NULL otherwise. */
Agent *agent_open(const Ctl *c);
void agent_close(Agent *a); /* NULL is fine */
