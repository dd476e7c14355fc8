// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Out of the node. The kernel is asked for the way, so all its routes and policy rules hold, and
 * only a way out by an uplink is taken; the rest is the stack's.
 */
#ifndef SIXLANE_POD_OUT_H
#define SIXLANE_POD_OUT_H

#include "sixlane/pod_way.h"

static __always_inline void pod_question(const struct pkt *p, const struct pod_flow *flow,
					 struct bpf_fib_lookup *fib)
{
	fib->family = p->family;
	fib->ifindex = flow->device;
	fib->tot_len = 1; /* makes the kernel say the route's MTU; one byte always fits */
	/* Rules and several next hops may ask for the ports. */
	fib->l4_protocol = p->proto;
	fib->sport = flow->sport;
	fib->dport = flow->dport;
	if (p->family == FAMILY_INET) {
		fib->tos = p->tos;
		fib->ipv4_src = bpf_htonl(addr_to_v4(p->src));
		fib->ipv4_dst = bpf_htonl(addr_to_v4(p->dst));
		return;
	}
	fib->flowinfo = flow->label;
	__builtin_memcpy(fib->ipv6_src, &p->src, sizeof(p->src));
	__builtin_memcpy(fib->ipv6_dst, &p->dst, sizeof(p->dst));
}

/* POD_NONE: it may be sent. `mtu_bytes` becomes that of device and route, if the neighbour is
 * known: the kernel tells the route's only then. */
static __always_inline enum pod_reason pod_ask(struct ctx c, const struct pkt *p,
					       const struct pod_flow *flow, __u32 epoch,
					       struct bpf_fib_lookup *fib, __u32 *mtu_bytes)
{
	pod_question(p, flow, fib);

	long answer = bpf_fib_lookup(c.raw, fib, sizeof(*fib), 0);
	bool is_known = answer == BPF_FIB_LKUP_RET_SUCCESS;

	if (!is_known && answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return POD_PASS_ROUTE;
	if (!bpf_map_lookup_elem(&uplinks, &fib->ifindex))
		return POD_PASS_ROUTE;

	__u32 mtu = pod_fits(c, p, fib->ifindex, is_known ? fib->mtu_result : ~0U);

	if (!mtu)
		return POD_PASS_TOO_BIG;
	if (is_known)
		*mtu_bytes = mtu;
	return is_known || pod_finds_neighbour(flow, epoch) ? POD_NONE : POD_PASS_NEIGHBOUR;
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

/* POD_OUT, with the way in `fib`, and remembered as soon as it is all known; else why it is not
 * sent. */
static __always_inline enum pod_reason pod_way_out(struct ctx c, const struct pkt *p,
						   const struct pod_flow *flow, __u32 epoch,
						   struct bpf_fib_lookup *fib)
{
	enum pod_reason why = redirects_to_neighbour ? pod_check_hop(p) : POD_PASS_ASKED;
	__u32 mtu_bytes = 0;

	if (!why)
		why = pod_ask(c, p, flow, epoch, fib, &mtu_bytes);
	if (!why)
		why = hop_take(c, p) ? POD_DROP_FAILED : POD_OUT;
	if (why == POD_OUT && mtu_bytes)
		pod_way_remember(flow, epoch, POD_OUT, fib->ifindex, mtu_bytes, fib->dmac,
				 fib->smac);
	return why;
}

/* `silently`: whoever had the packet before has counted what is left to the stack. */
static __always_inline int pod_out(struct ctx c, const struct pkt *p, const struct pod_flow *flow,
				   __u32 epoch, const bool silently)
{
	struct bpf_fib_lookup fib = {};
	enum pod_reason why = pod_way_out(c, p, flow, epoch, &fib);

	if (why != POD_OUT)
		return silently ? ctx_pass(c) : pod_end(c, p, why);
	pod_count(c, p, POD_OUT);
	return pod_send(&fib);
}

#endif
