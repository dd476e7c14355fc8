// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Out of the node. The kernel is asked for the way, so all its routes and policy rules hold, and
 * only a way out by an uplink, to a neighbour that it knows, is taken; the rest is the stack's.
 */
#ifndef SIXLANE_POD_OUT_H
#define SIXLANE_POD_OUT_H

#include "sixlane/pod.h"

#define FLOW_INFO_MASK 0x0fffffff /* traffic class and flow label */

static __always_inline void pod_question(struct ctx c, const struct pkt *p,
					 struct bpf_fib_lookup *fib)
{
	struct ports ports = {};

	fib->family = p->family;
	fib->ifindex = ctx_ifindex(c);
	fib->tot_len = 1; /* makes the kernel say the route's MTU; one byte always fits */
	/* Rules and several next hops may ask for the ports. */
	fib->l4_protocol = p->proto;
	if ((p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP) && !p->is_fragment &&
	    !ctx_load(c, p->l4, &ports, sizeof(ports), sizeof(ports))) {
		fib->sport = ports.src;
		fib->dport = ports.dst;
	}
	if (p->family == FAMILY_INET) {
		fib->tos = p->tos;
		fib->ipv4_src = bpf_htonl(addr_to_v4(p->src));
		fib->ipv4_dst = bpf_htonl(addr_to_v4(p->dst));
		return;
	}

	__be32 *first = ctx_at(c, p->l3, sizeof(*first));

	fib->flowinfo = first ? *first & bpf_htonl(FLOW_INFO_MASK) : 0;
	__builtin_memcpy(fib->ipv6_src, &p->src, sizeof(p->src));
	__builtin_memcpy(fib->ipv6_dst, &p->dst, sizeof(p->dst));
}

static __always_inline enum pod_reason pod_ask(struct ctx c, const struct pkt *p,
					       struct bpf_fib_lookup *fib)
{
	pod_question(c, p, fib);
	switch (bpf_fib_lookup(c.raw, fib, sizeof(*fib), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		break;
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		return POD_PASS_NEIGHBOUR;
	default:
		return POD_PASS_ROUTE;
	}
	if (!bpf_map_lookup_elem(&uplinks, &fib->ifindex))
		return POD_PASS_ROUTE;
	return pod_fits(c, p, fib->ifindex, fib->mtu_result) ? POD_NONE : POD_PASS_TOO_BIG;
}

/* The kernel has put the gateway, if there is one, in the place of the destination, and its family.
 * It is told that, or it would look for a route once more, and maybe find another. */
static __always_inline int pod_send(const struct bpf_fib_lookup *fib)
{
	struct bpf_redir_neigh next = { .nh_family = fib->family };

	if (fib->family == FAMILY_INET)
		next.ipv4_nh = fib->ipv4_dst;
	else
		__builtin_memcpy(next.ipv6_nh, fib->ipv6_dst, sizeof(next.ipv6_nh));
	return bpf_redirect_neigh(fib->ifindex, &next, sizeof(next), 0);
}

/* POD_OUT, with the way in `fib`; else why it is not sent. */
static __always_inline enum pod_reason pod_way_out(struct ctx c, const struct pkt *p,
						   struct bpf_fib_lookup *fib)
{
	enum pod_reason why = redirects_to_neighbour ? pod_check_hop(p) : POD_PASS_ASKED;

	if (!why)
		why = pod_ask(c, p, fib);
	if (!why)
		why = hop_take(c, p) ? POD_DROP_FAILED : POD_OUT;
	return why;
}

static __always_inline int pod_out(struct ctx c, const struct pkt *p)
{
	struct bpf_fib_lookup fib = {};
	enum pod_reason why = pod_way_out(c, p, &fib);

	if (why != POD_OUT)
		return pod_end(c, p, why);
	pod_count(c, p, POD_OUT);
	return pod_send(&fib);
}

/* The same, where whoever had the packet before has counted what is left to the stack. */
static __always_inline int pod_out_silently(struct ctx c, const struct pkt *p)
{
	struct bpf_fib_lookup fib = {};

	if (pod_way_out(c, p, &fib) != POD_OUT)
		return ctx_pass(c);
	pod_count(c, p, POD_OUT);
	return pod_send(&fib);
}

#endif
