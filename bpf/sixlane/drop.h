// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counting, and dropping. Each packet is counted once under the reason it left for (enum reason).
 */
#ifndef SIXLANE_DROP_H
#define SIXLANE_DROP_H

#include <linux/in.h>

#include "sixlane/counter.h"
#include "sixlane/parse.h"
#include "sixlane/visit.h"

/* What is beside a packet's end. */
static __always_inline void count(enum reason why, __u32 bytes)
{
	__u32 index = why;
	struct counter *c = bpf_map_lookup_elem(&counters, &index);

	if (dry_run || capture)
		note_reason(why);
	if (c && !dry_run)
		count_in(c, bytes);
}

static __always_inline enum protocol protocol_of(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return PROTOCOL_TCP;
	case IPPROTO_UDP:
		return PROTOCOL_UDP;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return PROTOCOL_ICMP;
	default:
		return PROTOCOL_OTHER;
	}
}

/* The end of a packet. */
static __always_inline void count_packet(const struct pkt *p, enum reason why, __u32 bytes)
{
	__u32 direction = p->family == FAMILY_INET6 ? DIRECTION_64 : DIRECTION_46;
	__u32 index = (p->counter_prefix * DIRECTION_COUNT + direction) * PROTOCOL_COUNT +
		      protocol_of(p->proto);
	struct prefix_counter *c = bpf_map_lookup_elem(&prefix_counters, &index);
	__u64 place = why;

	count(why, bytes);
	barrier_var(place); /* what is checked is what is used */
	if (c && place < REASON_COUNT && !dry_run)
		count_in(&c->reasons[place], bytes);
}

static __always_inline bool is_pass(enum reason why)
{
	return why >= PASS_NOT_CONFIGURED && why <= PASS_NATIVE;
}

/* The same where it need not be quick: the verifier walks it once. */
__noinline int count_rare(const struct pkt *p, __u32 why, __u32 bytes)
{
	if (!p)
		return -1;
	count_packet(p, why, bytes);
	return 0;
}

/*
 * What the pipeline returns beside the kernel's verdicts, all of which are smaller: a cold path
 * goes on. Functions that call each other share 512 bytes of stack, so they come back to the entry
 * instead.
 */
enum verdict {
	VERDICT_CALL_ERROR = 1 << 18, /* an ICMP error about what a service has translated */
	VERDICT_LONG_WAY = 1 << 19,   /* more is to be looked at */
	VERDICT_SERVICE = 1 << 20,    /* maybe to a frontend */
	VERDICT_NAT = 1 << 21,	      /* of a service that is translated */
	VERDICT_ROOM = 1 << 22,	      /* what has ended is to be taken out first */
	VERDICT_SESSION = 1 << 23,    /* there may be a session */
	VERDICT_STATEFUL = 1 << 24,   /* by a session */
	VERDICT_HAIRPIN = 1 << 25,    /* from inside to inside */
	VERDICT_UDP_SUM = 1 << 26,    /* a datagram that needs a checksum first */
	VERDICT_ERROR = 1 << 27,      /* an ICMP error, to be translated */
	VERDICT_PASS = 1 << 28,	      /* and the reason: not ours, but there is something to do */
	VERDICT_DROP = 1 << 29,	      /* and the reason */
	VERDICT_REJECT = 1 << 30,     /* and the reason and `rest`: dropped, and answered */
	VERDICT_REASON_SHIFT = 18,
	VERDICT_REASON_MASK = 0x7f,
	VERDICT_REST_MASK = 0x3ffff,
};

static __always_inline enum reason verdict_reason(int verdict)
{
	return verdict >> VERDICT_REASON_SHIFT & VERDICT_REASON_MASK;
}

static __always_inline int verdict_drop(enum reason why)
{
	return VERDICT_DROP | why << VERDICT_REASON_SHIFT;
}

/* The end of a packet in silence. */
static __always_inline int drop(const struct pkt *p, enum reason why, __u32 bytes)
{
	count_rare(p, why, bytes);
	return verdict_drop(why);
}

#endif
