// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counting, and dropping. Each packet is counted once under the reason it left for (enum reason).
 */
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

/*
 * What the pipeline returns beside the kernel's verdicts, all of which are smaller: a cold path
 * goes on. Functions that call each other share 512 bytes of stack, so they come back to the entry
 * instead.
 */
enum verdict {
	VERDICT_HAIRPIN = 1 << 25, /* from inside to inside */
	VERDICT_UDP_SUM = 1 << 26, /* a datagram that needs a checksum first */
	VERDICT_ERROR = 1 << 27,   /* an ICMP error, to be translated */
	VERDICT_PASS = 1 << 28,	   /* and the reason: not ours, but there is something to do */
	VERDICT_DROP = 1 << 29,	   /* and the reason */
	VERDICT_REJECT = 1 << 30,  /* and the reason and `rest`: dropped, and answered */
	VERDICT_REASON_SHIFT = 18,
	VERDICT_REASON_MASK = 0x7f,
	VERDICT_REST_MASK = 0x3ffff,
};

static __always_inline enum reason verdict_reason(int verdict)
{
	return verdict >> VERDICT_REASON_SHIFT & VERDICT_REASON_MASK;
}

/* The end of a packet in silence. */
static __always_inline int drop(enum reason why, __u32 bytes)
{
	count(why, bytes);
	return VERDICT_DROP | why << VERDICT_REASON_SHIFT;
}

#endif
