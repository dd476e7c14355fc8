// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What all programs of pods share: tables, counting, parsing, and what has to hold of a packet
 * before it is sent on past the host's stack. Whatever does not hold is the stack's, which answers
 * as a router does.
 */
#ifndef SIXLANE_POD_H
#define SIXLANE_POD_H

#include <linux/tcp.h>

#include "sixlane/counter.h"
#include "sixlane/encap.h"
#include "sixlane/jiffies.h"

/* Whether the kernel has the helpers; set before load. */
const volatile __u32 redirects_to_peer = 1;
const volatile __u32 redirects_to_neighbour = 1;

/* All addresses that pods of this node have, canonical. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct addr);
	__type(value, struct pod);
} pods SEC(".maps");

/* Devices that lead out of the node, by their index. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_DEVICES);
	__type(key, __u32);
	__type(value, __u32);
} uplinks SEC(".maps");

/* uplink_tc of the Gateway on this node, if pods are its clients. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} translators SEC(".maps");

/* By enum pod_reason; bytes of layer 3, as received. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, POD_REASONS);
	__type(key, __u32);
	__type(value, struct counter);
} pod_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pod_setup);
} pod_setups SEC(".maps");

static __always_inline const struct pod_setup *pod_setup(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&pod_setups, &zero);
}

static __always_inline __u32 pod_flags(void)
{
	const struct pod_setup *setup = pod_setup();

	return setup ? setup->flags : 0;
}

static __always_inline const struct pod *pod_with(const struct addr *addr, __u8 family)
{
	return is_disguised(addr, family) ? NULL : bpf_map_lookup_elem(&pods, addr);
}

static __always_inline void pod_count(struct ctx c, const struct pkt *p, enum pod_reason why)
{
	__u32 index = why;
	struct counter *counter = bpf_map_lookup_elem(&pod_counters, &index);

	if (counter)
		count_in(counter, ctx_bytes(c) - p->l3);
}

/* The end of a packet that is not sent on. */
static __always_inline int pod_end(struct ctx c, const struct pkt *p, enum pod_reason why)
{
	pod_count(c, p, why);
	return why >= POD_DROP_PROTOCOL ? ctx_drop(c) : ctx_pass(c);
}

#define JUMBO_OPTION 0xc2 /* RFC 2675 2 */

/* BIG TCP's header, which no wire carries and no router is to look at. */
static __always_inline void pod_skip_jumbo(struct ctx c, struct pkt *p)
{
	__u8 header[4]; /* next, length, option, its length */

	if (ctx_load(c, p->l4, header, sizeof(header), sizeof(header)) || header[1] ||
	    header[2] != JUMBO_OPTION || header[3] != 4) {
		p->is_jumbo = false;
		return;
	}
	p->proto = header[0];
	p->l4 += JUMBO_HEADER_BYTES;
}

/* Layer 3, up to the upper layer where no extension headers are in between. What the lengths say is
 * for whoever gets the packet to check, and so is the header's sum. */
static __always_inline enum pod_reason pod_parse(struct ctx c, struct pkt *p)
{
	ctx_pull(c, ETH_HLEN + sizeof(struct ipv6hdr));
	p->l3 = ETH_HLEN;
	if (ctx_skb(c)->vlan_present || parse_link(c, p))
		return POD_DROP_PROTOCOL;
	if (p->family == FAMILY_INET ? parse_ipv4(c, p) : parse_ipv6(c, p))
		return POD_DROP_MALFORMED;
	if (p->is_jumbo && p->family == FAMILY_INET6)
		pod_skip_jumbo(c, p);
	return POD_NONE;
}

static __always_inline bool addr_is_link_local6(const struct addr *a)
{
	return bpf_be64_to_cpu(a->hi) >> 54 == 0xfe80 >> 6;
}

/*
 * Whether routers send on what is from or to such an address. Not: unspecified, loopback, of one
 * link, multicast, broadcast (RFC 4291 2.5, RFC 6890, RFC 3927 2.7).
 */
static __always_inline bool addr_is_routed(const struct addr *a, __u8 family)
{
	if (family == FAMILY_INET6)
		return !addr_is_illegal_source6(a) && !addr_is_link_local6(a);

	__u32 v4 = addr_to_v4(*a);

	return !v4_is_illegal_source(v4) && v4 >> 16 != 0xa9fe;
}

/* Whether a router may send it on without another look. */
static __always_inline enum pod_reason pod_check_hop(const struct pkt *p)
{
	if (p->ttl <= 1)
		return POD_PASS_HOPS;
	if (p->family == FAMILY_INET ? p->header_bytes > sizeof(struct iphdr)
				     : p->proto == IPPROTO_HOPOPTS)
		return POD_PASS_OPTIONS;
	return POD_NONE;
}

/* Layer 3 of a segment on the wire, of TCP; 0: of something else. */
static __always_inline __u32 pod_segment_bytes(struct ctx c, const struct pkt *p)
{
	__u8 offset;

	if (p->proto != IPPROTO_TCP ||
	    ctx_load(c, p->l4 + 12, &offset, sizeof(offset), sizeof(offset)))
		return 0;
	return pkt_wire_header_bytes(p) + (offset >> 4) * 4 + ctx_segment_bytes(c);
}

/*
 * Whether the packet, or each of its segments, is short enough for a device and a route: the MTU of
 * both, or 0. The kernel looks at segments itself, but counts the jumbo header of BIG TCP into
 * them, and does not know of the route: those segments are computed, which can be done for TCP.
 */
static __always_inline __u32 pod_fits(struct ctx c, const struct pkt *p, __u32 ifindex,
				      __u32 route_bytes)
{
	__u32 whole = ctx_bytes(c) - p->l3, gso = ctx_segment_bytes(c);
	__u32 segment = gso ? pod_segment_bytes(c, p) : whole;
	/* In: a length, of which one byte always fits; 0: the packet's. Out: the device's MTU. */
	__u32 mtu = p->is_jumbo ? 1 : gso ? 0 : whole;

	if (bpf_check_mtu(c.raw, ifindex, &mtu, 0, mtu ? 0 : BPF_MTU_CHK_SEGS))
		return 0;
	if (route_bytes >= mtu && !p->is_jumbo)
		return mtu;
	if (mtu > route_bytes)
		mtu = route_bytes;
	return segment && segment <= mtu ? mtu : 0;
}

#endif
