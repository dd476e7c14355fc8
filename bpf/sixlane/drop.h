// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counting. Each packet is counted once under the reason it left for (enum reason). */
#ifndef SIXLANE_DROP_H
#define SIXLANE_DROP_H

#include "sixlane/maps.h"

static __always_inline void count_in(void *map, __u32 index, __u32 bytes)
{
	struct counter *c = bpf_map_lookup_elem(map, &index);

	if (c) {
		c->pkts++;
		c->bytes += bytes;
	}
}

static __always_inline void count(enum reason why, __u32 bytes)
{
	count_in(&counters, why, bytes);
}

static __always_inline bool is_pass(enum reason why)
{
	return why >= PASS_NOT_CONFIGURED && why <= PASS_NATIVE;
}

#endif
