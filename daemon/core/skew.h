/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* advbase, advskew and demotion to microseconds. */
#include <stdint.h>

#define CARP_DEMOTED_SKEW_MAX 240 /* demotion never raises advskew above this: carp(4) */

uint8_t skew_effective(uint8_t advskew, uint32_t demotion);
uint64_t skew_interval_usec(uint8_t advbase, uint8_t advskew);                         /* between two adverts */
uint64_t skew_dead_usec(uint8_t advbase, uint8_t advskew, uint32_t dead_ratio);        /* silence that means death */
