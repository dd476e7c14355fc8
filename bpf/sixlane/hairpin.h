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

static __always_inline int forward_66(struct ctx c, const struct tables *t, const struct pkt *p,
				      const struct mapping *m, const struct l4_change *l4)
{
	__u32 size = wire_bytes(c, p, l4, pkt_wire_header_bytes(p)), bytes = pkt_l3_bytes(p);
	struct next_hop *next;
	enum reason why = next_hop(c, t->gw, &m->src, &m->dst, FAMILY_INET6, p->tos, &next);

	if (why)
		return leave(c, p, why, 0, bytes);
	if (size > next->hop.mtu_bytes)
		return leave(c, p, DROP_TOO_BIG, max_u32(IPV6_MTU_MIN, next->hop.mtu_bytes), bytes);
	if (store_ends(c, p->l3, m, p->ttl - 1) || rewrite_l4(c, t->gw, p, m, p->l4, l4) ||
	    rewrite_port(c, p->l4, l4->csum_offset, l4->udp, &l4->far_port))
		return leave(c, p, DROP_RESIZE_FAILED, 0, bytes);
	count_rare(p, FORWARD_HAIRPIN, bytes);
	return send(c, t->gw, &next->hop);
}

static __always_inline int hairpin(struct ctx c)
{
	struct tables t;
	struct pkt p = {};
	struct mapping m = {};
	struct l4_change l4 = {};
	enum icmp_class class = ICMP_IS_ECHO;
	enum reason why = receive(c, &t, &p, &m);

	if (!why)
		why = check_upper(c, &p, true, &class);
	if (!why && class == ICMP_IS_ERROR)
		return VERDICT_ERROR;
	if (!why)
		why = map_64(&t, &p, &m);

	struct addr client = m.src;

	if (!why) {
		why = map_hairpin(&t, &m);
		count_for(t.gw, &p, &m);
	}
	if (!why && !is_allowed(&t, &m, &client))
		why = DROP_SOURCE_NOT_ALLOWED;
	if (!why && p.ttl <= 1)
		why = DROP_TTL_EXPIRED;
	if (!why) {
		m.sum = csum_to32(csum_delta_addresses(&p, &m));
		why = plan_l4(c, &p, &m, &l4);
	}
	return why ? leave(c, &p, why, 0, pkt_l3_bytes(&p)) : forward_66(c, &t, &p, &m, &l4);
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
