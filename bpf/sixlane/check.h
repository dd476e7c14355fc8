// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Health checks of backends that are reached by a tunnel: what the host sends to a frontend with a
 * backend's mark goes to that backend, as its flows do. Whatever comes back comes by itself.
 */
#ifndef SIXLANE_CHECK_H
#define SIXLANE_CHECK_H

#include "sixlane/lb.h"

/* Ports as far as there are any: packets of one check have one outer source. */
static __always_inline __u64 check_hash(struct ctx c, const struct gateway *gw, const struct pkt *p)
{
	struct flow_ends ends = { .client = p->src, .frontend = p->dst, .kind = p->proto };
	struct ports *ports = p->proto == IPPROTO_TCP ? ctx_at(c, p->l4, sizeof(*ports)) : NULL;

	if (ports) {
		ends.client_port = ports->src;
		ends.frontend_port = ports->dst;
	}
	return flow_hash(gw, &ends);
}

static __always_inline int check_leave(const struct pkt *p, enum reason why)
{
	count_rare(p, why, pkt_l3_bytes(p));
	return TC_ACT_SHOT;
}

static __always_inline int check_send(struct ctx c, const struct tables *t, struct pkt *p,
				      const struct backend *b, const __u32 family)
{
	__u64 hash = check_hash(c, t->gw, p);
	const struct addr src =
		tunnel_source(family == FAMILY_INET ? &t->gw->tunnel4 : &t->gw->tunnel6, hash);
	struct addr dst = b->addr;
	__u32 bytes = pkt_l3_bytes(p);
	struct next_hop *next;
	enum reason why = next_hop(c, t->gw, &src, &dst, family, p->tos, &next);

	if (why)
		return check_leave(p, why);
	if (bytes + outer_bytes(family) > next->hop.mtu_bytes)
		return check_leave(p, DROP_TOO_BIG);
	if (wrap(c, p, &src, &dst, hash, family))
		return check_leave(p, DROP_RESIZE_FAILED);
	count_rare(p, FORWARD_CHECK, bytes);
	/* A neighbour that nothing is sent to but checks is one for the kernel to see to. */
	return bpf_redirect_neigh(next->hop.ifindex, NULL, 0, 0);
}

/* Functions of their own, as those of tunnels: each family is verified once. */
__noinline int check_send4(struct __sk_buff *raw, struct gateway *gw, struct pkt *p,
			   const struct backend *b)
{
	struct tables t = { .gw = gw };

	return gw && p && b ? check_send((struct ctx){ raw, ENTRY_TC }, &t, p, b, FAMILY_INET)
			    : TC_ACT_SHOT;
}

__noinline int check_send6(struct __sk_buff *raw, struct gateway *gw, struct pkt *p,
			   const struct backend *b)
{
	struct tables t = { .gw = gw };

	return gw && p && b ? check_send((struct ctx){ raw, ENTRY_TC }, &t, p, b, FAMILY_INET6)
			    : TC_ACT_SHOT;
}

/* What leaves by our own device and has no mark, such as a router solicitation, is nobody's. */
static __always_inline int check(struct __sk_buff *skb)
{
	struct ctx c = { skb, ENTRY_TC };
	__u32 id = skb->mark & ~(__u32)CHECK_MARK_MASK;
	struct pkt p = {};
	struct tables t;

	if ((skb->mark & CHECK_MARK_MASK) != CHECK_MARK || tables_read(&t))
		return TC_ACT_SHOT;
	ctx_pull(c, PULL_BYTES);
	if (parse_link(c, &p) || (p.family == FAMILY_INET ? parse_ipv4(c, &p) : parse_ipv6(c, &p)))
		return TC_ACT_SHOT;

	const struct backend *b = bpf_map_lookup_elem(&backends, &id);

	if (!b || b->state == BACKEND_FREE)
		return check_leave(&p, DROP_NO_BACKEND);
	skb->mark = 0; /* of the tunnel: it is routed as any other */
	return addr_is_v4(&b->addr) ? check_send4(skb, t.gw, &p, b) : check_send6(skb, t.gw, &p, b);
}

#endif
