// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * From a node inside to a node inside, by its IPv4 address (RFC 7757 4): what 46 after 64 would
 * make, but that nothing is lost on the way. The packet is an IPv6 packet all along, so only its
 * addresses change.
 */
#ifndef SIXLANE_HAIRPIN_H
#define SIXLANE_HAIRPIN_H

#include "sixlane/l4.h"
#include "sixlane/reject.h"

static __always_inline int forward_66(struct ctx c, struct gateway *gw, const struct pkt *p,
				      const struct translation *tr)
{
	const struct mapping *m = &tr->m;
	const struct l4_change *l4 = &tr->l4;
	__u32 size = wire_bytes(c, p, l4, pkt_wire_header_bytes(p)), bytes = pkt_l3_bytes(p);
	struct next_hop *next;
	enum reason why = next_hop(c, gw, &m->src, &m->dst, FAMILY_INET6, p->tos, &next);

	if (why)
		return leave(c, p, why, 0, bytes);
	if (size > next->hop.mtu_bytes)
		return leave(c, p, DROP_TOO_BIG, max_u32(IPV6_MTU_MIN, next->hop.mtu_bytes), bytes);
	if (store_ends(c, p->l3, m, p->ttl - 1) || rewrite_l4(c, gw, p, m, p->l4, l4) ||
	    rewrite_port(c, p->l4, l4->csum_offset, l4->udp, &l4->far_port))
		return leave(c, p, DROP_RESIZE_FAILED, 0, bytes);
	count_rare(p, FORWARD_HAIRPIN, bytes);
	return send(c, gw, &next->hop);
}

/* The second half of the way, as xdp_forward_46(). */
__noinline int xdp_forward_66(struct xdp_md *raw, struct gateway *gw, const struct pkt *p,
			      const struct translation *tr)
{
	struct ctx c = { raw, ENTRY_XDP };

	return gw && p && tr ? forward_66(c, gw, p, tr) : ctx_drop(c);
}

__noinline int tc_forward_66(struct __sk_buff *raw, struct gateway *gw, const struct pkt *p,
			     const struct translation *tr)
{
	struct ctx c = { raw, ENTRY_TC };

	return gw && p && tr ? forward_66(c, gw, p, tr) : ctx_drop(c);
}

static __always_inline int ctx_forward_66(struct ctx c, struct gateway *gw, const struct pkt *p,
					  const struct translation *tr)
{
	return c.entry == ENTRY_XDP ? xdp_forward_66(ctx_xdp(c), gw, p, tr)
				    : tc_forward_66(ctx_skb(c), gw, p, tr);
}

/* Both addresses, by the prefixes that serve both ends; walked once. */
__noinline int hairpin_map(struct gateway *gw, __u32 generation, struct pkt *p, struct mapping *m)
{
	struct tables t = tables_of(gw, generation);

	if (!gw || !p || !m)
		return DROP_SOURCE_NOT_MAPPABLE;

	enum reason why = map_64(&t, p, m);
	struct addr client = m->src;

	if (why)
		return why;
	why = map_hairpin(&t, m);
	count_for(gw, p, m);
	return !why && !is_allowed(&t, m, &client) ? DROP_SOURCE_NOT_ALLOWED : why;
}

static __always_inline int hairpin(struct ctx c)
{
	struct tables t;
	struct pkt p = {};
	struct translation tr = {};
	enum icmp_class class = ICMP_IS_ECHO;
	enum reason why = receive(c, &t, &p, &tr.m);

	if (!why)
		why = check_upper(c, &p, true, &class);
	if (!why && class == ICMP_IS_ERROR)
		return VERDICT_ERROR;
	if (!why)
		why = hairpin_map(t.gw, t.generation, &p, &tr.m);
	if (!why && p.ttl <= 1)
		why = DROP_TTL_EXPIRED;
	if (!why) {
		tr.m.sum = csum_to32(csum_delta_addresses(&p, &tr.m));
		why = plan_l4(c, &p, &tr.m, &tr.l4);
	}
	return why ? leave(c, &p, why, 0, pkt_l3_bytes(&p)) : ctx_forward_66(c, t.gw, &p, &tr);
}

__noinline int xdp_hairpin(struct xdp_md *raw)
{
	return hairpin((struct ctx){ raw, ENTRY_XDP });
}

__noinline int tc_hairpin(struct __sk_buff *raw)
{
	return hairpin((struct ctx){ raw, ENTRY_TC });
}

#endif
