// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The two kinds of packets that are not ours, and yet more than let by. */
#ifndef SIXLANE_PASS_H
#define SIXLANE_PASS_H

#include "sixlane/mss.h"
#include "sixlane/slow.h"

/*
 * IPv6 with BIG TCP on our devices. The kernel counts the 8 bytes of a jumbo header into each
 * segment, which has none on the wire, and refuses to forward full ones with Packet Too Big: the
 * flow then creeps. Segments 8 bytes shorter pass. A packet that BPF has resized would lose its
 * jumbo header (slow.h says why), so the SYN is all that can be changed.
 */
static __always_inline void clamp_native(struct ctx c, const struct gateway *gw,
					 const struct pkt *p)
{
	if (p->family != FAMILY_INET6 || p->proto != IPPROTO_TCP)
		return;

	struct tcphdr *tcp = ctx_at(c, p->l4, sizeof(*tcp));

	if (tcp && tcp->syn)
		ctx_clamp_mss(c, p->l4, p->l4 + min_u32(tcp->doff * 4, p->payload_bytes),
			      gw->native_max_segment_bytes);
}

/* A packet that is not ours: is there more to do than to let it by? */
static __always_inline bool is_more_than_passed(struct ctx c, const struct gateway *gw)
{
	return gw->native_max_segment_bytes || (c.entry == ENTRY_TC && is_from_slow_path(c, gw));
}

/* The end of each packet that is not sent on, where that may be because it is not ours. */
static __always_inline int leave_or_pass(struct ctx c, const struct gateway *gw,
					 const struct pkt *p, enum reason why, __u32 rest,
					 __u32 bytes)
{
	if ((why == PASS_NOT_OURS || why == PASS_NATIVE) && is_more_than_passed(c, gw))
		return VERDICT_PASS | why << VERDICT_REASON_SHIFT;
	return leave(c, p, why, rest, bytes);
}

static __always_inline int pass(struct ctx c, enum reason why)
{
	struct tables t;
	struct pkt p = {};

	if (tables_read(&t) || parse_link(c, &p))
		return ctx_pass(c);
	if (p.family == FAMILY_INET ? parse_ipv4(c, &p) : parse_ipv6(c, &p))
		return ctx_pass(c);
	if (c.entry == ENTRY_TC && is_from_slow_path(c, t.gw))
		return forward_native(c, &t, &p, why);
	count_rare(&p, why, pkt_l3_bytes(&p));
	if (t.gw->native_max_segment_bytes)
		clamp_native(c, t.gw, &p);
	return ctx_pass(c);
}

__noinline int xdp_pass(struct xdp_md *raw, __u32 why)
{
	return pass((struct ctx){ raw, ENTRY_XDP }, why);
}

__noinline int tc_pass(struct __sk_buff *raw, __u32 why)
{
	return pass((struct ctx){ raw, ENTRY_TC }, why);
}

#endif
