// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Packets and bytes, counted by the CPU that has them. */
#ifndef SIXLANE_COUNTER_H
#define SIXLANE_COUNTER_H

#include <bpf/bpf_helpers.h>

#include "sixlane/types.h"

static __always_inline void count_in(struct counter *c, __u32 bytes)
{
	c->pkts++;
	c->bytes += bytes;
}

#endif
