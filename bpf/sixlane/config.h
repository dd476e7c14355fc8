// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Constants set before load: the verifier removes what they switch off. */
#ifndef SIXLANE_CONFIG_H
#define SIXLANE_CONFIG_H

#include "sixlane/jiffies.h"

/* Flows of services count time in ticks of four seconds or more: 1 << so many jiffies. */
const volatile __u32 flow_tick_shift = 10;

/* For test runs that explain: nothing is counted, remembered, told or taken from a budget, and
 * `visits` says what was found on the way. */
const volatile __u32 dry_run = 0;

/* Packets are copied into `captures` as they come and as they leave. */
const volatile __u32 capture = 0;

#endif
