// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ways that are remembered. Whose packet it is, where it goes and whether it fits are questions to
 * two tables, the routes and the device, 500 ns a packet; the answers are kept by flow and CPU,
 * for a second, or until `epoch` moves. The key is all that the kernel looks at, so rules and
 * several next hops do not matter. Whatever is not quite like the packet before is asked for again.
 *
 * Once a second a packet of each flow takes the long way, and so the kernel is asked to send it,
 * which is how it knows that a neighbour is in use and has to be there still.
 */
#ifndef SIXLANE_POD_WAY_H
#define SIXLANE_POD_WAY_H

#include "sixlane/pod_local.h"
#include "sixlane/spread.h"

#define POD_WAY_BITS 12
_Static_assert(1 << POD_WAY_BITS == POD_WAYS, "a way for each hash");

#define FLOW_INFO_MASK 0x0fffffff /* traffic class and flow label */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, POD_WAYS);
	__type(key, __u32);
	__type(value, struct pod_way);
} pod_ways SEC(".maps");

static __always_inline bool pkt_has_ports(const struct pkt *p)
{
	return (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP) && !p->is_fragment;
}

static __always_inline void pod_flow_of(struct ctx c, const struct pkt *p, const bool is_behind,
					struct pod_flow *flow)
{
	*flow = (struct pod_flow){
		.src = p->src,
		.dst = p->dst,
		.device = ctx_ifindex(c),
		.label = bpf_htonl((__u32)p->tos << 20),
		.family = p->family,
		.proto = p->proto,
		.is_behind = is_behind,
	};
	if (p->family == FAMILY_INET6) {
		__be32 *first = ctx_at(c, p->l3, sizeof(*first));

		flow->label = first ? *first & bpf_htonl(FLOW_INFO_MASK) : 0;
	}
	if (pkt_has_ports(p)) {
		struct ports ports = {}, *at = ctx_at(c, p->l4, sizeof(*at));

		if (at)
			ports = *at;
		else
			ctx_load(c, p->l4, &ports, sizeof(ports), sizeof(ports));
		flow->sport = ports.src;
		flow->dport = ports.dst;
	}
}

static __always_inline struct pod_way *pod_way_slot(const struct pod_flow *flow)
{
	__u64 from = addr_both(&flow->src) + ((__u32)flow->sport << 16 | flow->dport);
	__u32 slot = spread(addr_both(&flow->dst) + spread(from)) >> (64 - POD_WAY_BITS);

	return bpf_map_lookup_elem(&pod_ways, &slot);
}

static __always_inline bool pod_flow_is(const struct pod_flow *one, const struct pod_flow *other)
{
	const __u64 *a = (const __u64 *)one, *b = (const __u64 *)other;
	__u64 differs = 0;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < sizeof(*one) / sizeof(*a); i++)
		differs |= a[i] ^ b[i];
	return !differs;
}

static __always_inline bool pod_way_fits(struct ctx c, const struct pkt *p,
					 const struct pod_way *way)
{
	__u32 bytes = ctx_segment_bytes(c) ? pod_segment_bytes(c, p) : ctx_bytes(c) - p->l3;

	return bytes && bytes <= way->mtu_bytes;
}

/* The way of a packet for the host, if it is remembered and the packet may take it. */
static __always_inline const struct pod_way *pod_way_known(struct ctx c, const struct pkt *p,
							   const struct pod_flow *flow, __u32 epoch)
{
	const struct pod_way *way = pod_way_slot(flow);
	bool is_known = way && way->epoch == epoch && way->expires_jiffies > bpf_jiffies64() &&
			pod_flow_is(&way->flow, flow);

	return is_known && !pod_check_hop(p) && pod_way_fits(c, p, way) ? way : NULL;
}

/* `epoch`: as it was before anybody was asked. */
static __always_inline void pod_way_remember(const struct pod_flow *flow, __u32 epoch,
					     enum pod_reason sent, __u32 ifindex, __u32 mtu_bytes,
					     const __u8 *dst_mac, const __u8 *src_mac)
{
	struct pod_way *way = pod_way_slot(flow);

	if (!way)
		return;
	way->flow = *flow;
	way->expires_jiffies = bpf_jiffies64() + jiffies_per_second;
	way->epoch = epoch;
	way->ifindex = ifindex;
	way->mtu_bytes = mtu_bytes;
	__builtin_memcpy(way->dst_mac, dst_mac, ETH_ALEN);
	__builtin_memcpy(way->src_mac, src_mac, ETH_ALEN);
	way->sent = sent;
}

#define FINDING_SECONDS 4 /* the kernel asks three times, one second apart */

/*
 * Is the packet the first of its flow to a neighbour that the kernel does not know? It is sent, and
 * the kernel finds the neighbour, whatever a firewall has to say of what the stack forwards. Those
 * behind it are the stack's, which tells the sender if nobody is there.
 */
static __always_inline bool pod_finds_neighbour(const struct pod_flow *flow, __u32 epoch)
{
	struct pod_way *way = pod_way_slot(flow);

	if (!way || (way->sent == POD_PASS_NEIGHBOUR && way->expires_jiffies > bpf_jiffies64() &&
		     pod_flow_is(&way->flow, flow)))
		return false;
	way->flow = *flow;
	way->expires_jiffies = bpf_jiffies64() + FINDING_SECONDS * jiffies_per_second;
	way->epoch = epoch - 1; /* no way */
	way->sent = POD_PASS_NEIGHBOUR;
	return true;
}

static __always_inline int pod_go(struct ctx c, const struct pkt *p, const struct pod_way *way,
				  const bool netkit)
{
	if (hop_take(c, p) || ctx_set_macs(c, way->dst_mac, way->src_mac))
		return pod_end(c, p, POD_DROP_FAILED);
	pod_count(c, p, way->sent);
	return way->sent == POD_LOCAL ? pod_redirect(way->ifindex, netkit)
				      : bpf_redirect(way->ifindex, 0);
}

#endif
