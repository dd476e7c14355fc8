// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A packet to a frontend goes to a backend as it is, in a tunnel. */
#ifndef SIXLANE_TUNNEL_H
#define SIXLANE_TUNNEL_H

#include "sixlane/call.h"
#include "sixlane/encap.h"

/* Layer 3 bytes of what goes through a tunnel; segments of TCP become shorter where it begins. */
static __always_inline __u32 tunnel_bytes(struct ctx c, const struct pkt *p, __u32 outer)
{
	__u32 segment = ctx_segment_bytes(c);

	if (!segment)
		return pkt_l3_bytes(p) + outer;
	if (p->proto != IPPROTO_TCP)
		return pkt_wire_header_bytes(p) + sizeof(struct udphdr) + segment + outer;

	struct tcphdr *tcp = ctx_at(c, p->l4, sizeof(*tcp));

	return pkt_wire_header_bytes(p) + (tcp ? tcp->doff * 4 : 0) + segment;
}

/*
 * What may be cut and does not fit is cut before it is wrapped: no backend has to put outer packets
 * together. Pieces go into any tunnel by a link of 1,280 bytes; by a smaller one they are dropped,
 * and the first of a packet is answered.
 */
static __always_inline bool tunnel_may_cut(struct ctx c, const struct tables *t,
					   const struct pkt *p)
{
	return p->may_fragment && has_slow_path(c, t->gw, p);
}

static __always_inline struct addr tunnel_source_of(const struct gateway *gw,
						    const struct call *call, const __u32 family)
{
	return tunnel_source(family == FAMILY_INET ? &gw->tunnel4 : &gw->tunnel6, call->flow);
}

/* All is known: it is wrapped, and counted. */
static __always_inline int tunnel_wrap(struct ctx c, const struct pkt *p, const struct call *call,
				       const struct addr *src, const struct addr *dst,
				       const __u32 family)
{
	__u32 bytes = pkt_l3_bytes(p);

	if (wrap(c, p, src, dst, call->flow, family))
		return -1;
	call_count(call, bytes);
	count_packet(p, FORWARD_SERVICE, bytes);
	return 0;
}

static __always_inline int tunnel_on(struct ctx c, const struct tables *t, const struct pkt *p,
				     const struct call *call, const struct backend *b,
				     const __u32 family)
{
	const struct addr src = tunnel_source_of(t->gw, call, family);
	struct addr dst = b->addr;
	__u32 outer = outer_bytes(family);
	struct next_hop *next;
	enum reason why = next_hop(c, t->gw, &src, &dst, family, p->tos, &next);

	if (why)
		return call_leave(c, p, call, why, 0);
	if (pkt_l3_bytes(p) + outer > IP_BYTES_MAX)
		return slow_path_segments(c, t->gw, p);
	if (tunnel_bytes(c, p, outer) > next->hop.mtu_bytes && tunnel_may_cut(c, t, p))
		return slow_path_in_order(c, t->gw, p, SLOW_CALLED);
	if (tunnel_bytes(c, p, outer) > next->hop.mtu_bytes)
		return call_leave(c, p, call, DROP_TOO_BIG, next->hop.mtu_bytes - outer);
	if (tunnel_wrap(c, p, call, &src, &dst, family))
		return call_leave(c, p, call, DROP_RESIZE_FAILED, 0);
	return send(c, t->gw, &next->hop);
}

/* To a backend, as it is. A function for each family: each is verified once. */
__noinline int xdp_tunnel4(struct xdp_md *raw, struct gateway *gw, const struct pkt *p,
			   const struct call *call, const struct backend *b)
{
	struct ctx c = { raw, ENTRY_XDP };
	struct tables t = { .gw = gw };

	return gw && p && call && b ? tunnel_on(c, &t, p, call, b, FAMILY_INET) : ctx_drop(c);
}

__noinline int xdp_tunnel6(struct xdp_md *raw, struct gateway *gw, const struct pkt *p,
			   const struct call *call, const struct backend *b)
{
	struct ctx c = { raw, ENTRY_XDP };
	struct tables t = { .gw = gw };

	return gw && p && call && b ? tunnel_on(c, &t, p, call, b, FAMILY_INET6) : ctx_drop(c);
}

__noinline int tc_tunnel4(struct __sk_buff *raw, struct gateway *gw, const struct pkt *p,
			  const struct call *call, const struct backend *b)
{
	struct ctx c = { raw, ENTRY_TC };
	struct tables t = { .gw = gw };

	return gw && p && call && b ? tunnel_on(c, &t, p, call, b, FAMILY_INET) : ctx_drop(c);
}

__noinline int tc_tunnel6(struct __sk_buff *raw, struct gateway *gw, const struct pkt *p,
			  const struct call *call, const struct backend *b)
{
	struct ctx c = { raw, ENTRY_TC };
	struct tables t = { .gw = gw };

	return gw && p && call && b ? tunnel_on(c, &t, p, call, b, FAMILY_INET6) : ctx_drop(c);
}

static __always_inline int tunnel(struct ctx c, struct gateway *gw, const struct pkt *p,
				  const struct call *call, const struct backend *b)
{
	if (c.entry == ENTRY_XDP)
		return addr_is_v4(&b->addr) ? xdp_tunnel4(ctx_xdp(c), gw, p, call, b)
					    : xdp_tunnel6(ctx_xdp(c), gw, p, call, b);
	return addr_is_v4(&b->addr) ? tc_tunnel4(ctx_skb(c), gw, p, call, b)
				    : tc_tunnel6(ctx_skb(c), gw, p, call, b);
}

/* Where the way is remembered and nothing is to be told: else as if it had not been tried. */
static __always_inline int tunnel_known(struct ctx c, const struct tables *t, const struct pkt *p,
					const struct call *call, const struct backend *b,
					const __u32 family)
{
	const struct addr src = tunnel_source_of(t->gw, call, family);
	const struct addr dst = b->addr;
	struct next_hop *next = next_hop_known(t->gw, &dst);
	__u32 outer = outer_bytes(family);

	if (!next || pkt_l3_bytes(p) + outer > IP_BYTES_MAX ||
	    tunnel_bytes(c, p, outer) > next->hop.mtu_bytes)
		return VERDICT_SERVICE;
	keep_choice(t->gw, &call->choice);
	if (tunnel_wrap(c, p, call, &src, &dst, family))
		return VERDICT_SERVICE;
	return send(c, t->gw, &next->hop);
}

#endif
