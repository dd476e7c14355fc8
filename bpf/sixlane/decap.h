// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The backend's side of tunnels: the outer header goes, and the packet, whose destination is a VIP
 * that this machine has, goes up the stack. What was sent to another address, or is for no VIP, is
 * left to whoever else has tunnels here.
 */
#ifndef SIXLANE_DECAP_H
#define SIXLANE_DECAP_H

#include "sixlane/counter.h"
#include "sixlane/encap.h"

#define DECAP_PULL_BYTES (LINK_BYTES_MAX + 60 + sizeof(struct ipv6hdr))
#define SOURCE_BITS_MAX	 (32 + 128)
#define ECN_MASK	 3
#define ECN_NOT_ECT	 0
#define ECN_ECT_1	 1
#define ECN_ECT_0	 2
#define ECN_CE		 3

/* Own addresses that tunnels end at. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct addr);
	__type(value, __u32);
} tunnels SEC(".maps");

/* What is served here, and its enum vip_flag. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct addr);
	__type(value, __u32);
} vips SEC(".maps");

/* Whence gateways send. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct tunnel_source_key);
	__type(value, __u32);
} tunnel_sources SEC(".maps");

/* By enum decap_reason; bytes behind the outer header, by its word. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DECAP_REASONS);
	__type(key, __u32);
	__type(value, struct counter);
} decap_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct decap_setup);
} decap_setups SEC(".maps");

static __always_inline void decap_count(enum decap_reason why, __u32 bytes)
{
	__u32 index = why;
	struct counter *c = bpf_map_lookup_elem(&decap_counters, &index);

	if (c)
		count_in(c, bytes);
}

static __always_inline bool is_tunnel(const struct pkt *outer)
{
	return (outer->proto == PROTO_IPV4 || outer->proto == PROTO_IPV6) &&
	       !is_disguised(&outer->dst, outer->family) &&
	       bpf_map_lookup_elem(&tunnels, &outer->dst);
}

/* Anybody could else send packets that seem to come from anybody. */
static __always_inline bool is_from_gateway(const struct pkt *outer)
{
	struct tunnel_source_key key = { .bits = SOURCE_BITS_MAX, .addr = outer->src };
	__u64 found = bpf_map_lookup_elem(&tunnel_sources, &key) != NULL;

	barrier_var(found); /* clang would join two pointers by bits */
	return found && !is_disguised(&outer->src, outer->family);
}

static __always_inline bool is_vip(const struct addr *addr, __u8 family)
{
	__u64 found = bpf_map_lookup_elem(&vips, addr) != NULL;

	barrier_var(found);
	return found && !is_disguised(addr, family);
}

static __always_inline enum decap_reason decap_reason_of(enum reason why)
{
	switch (why) {
	case REASON_NONE:
		return DECAP_DONE;
	case DROP_TRUNCATED:
		return DECAP_DROP_TRUNCATED;
	case DROP_BAD_HEADER_CHECKSUM:
		return DECAP_DROP_CHECKSUM;
	default:
		return DECAP_DROP_MALFORMED;
	}
}

static __always_inline enum decap_reason check_outer(struct ctx c, const struct pkt *outer)
{
	if (outer->family == FAMILY_INET) {
		enum reason why = check_ipv4(c, outer);

		if (why)
			return decap_reason_of(why);
	} else if (!ctx_holds(c, outer->l4 + outer->payload_bytes)) {
		return DECAP_DROP_TRUNCATED;
	}
	return outer->is_fragment ? DECAP_DROP_FRAGMENT : DECAP_DONE;
}

/* The stack checks the rest. */
static __always_inline enum decap_reason parse_inner(struct ctx c, const struct pkt *outer,
						     struct pkt *inner)
{
	inner->l3 = outer->l4;
	inner->family = outer->proto == PROTO_IPV4 ? FAMILY_INET : FAMILY_INET6;

	enum reason why =
		inner->family == FAMILY_INET ? parse_ipv4(c, inner) : parse_ipv6(c, inner);

	if (why)
		return decap_reason_of(why);
	if (inner->family == FAMILY_INET && ipv4_is_shorter_than_its_header(inner))
		return DECAP_DROP_MALFORMED;
	return pkt_l3_bytes(inner) > outer->payload_bytes ? DECAP_DROP_TRUNCATED : DECAP_DONE;
}

/* RFC 6040 4.2: what the packet says of congestion from now on. */
static __always_inline __u8 ecn_merged(__u8 outer, __u8 inner)
{
	if (outer == ECN_CE)
		return ECN_CE;
	return outer == ECN_ECT_1 && inner == ECN_ECT_0 ? ECN_ECT_1 : inner;
}

static __always_inline int ecn_store(struct ctx c, const struct pkt *p, __u8 ecn)
{
	if ((p->tos & ECN_MASK) == ecn)
		return 0;
	if (p->family == FAMILY_INET6) {
		__u8 *at = ctx_at(c, p->l3 + 1, sizeof(*at));
		__u8 now = at ? (*at & ~(ECN_MASK << 4)) | ecn << 4 : 0;

		return at ? ctx_store(c, p->l3 + 1, &now, sizeof(now)) : -1;
	}

	struct iphdr *ip = ctx_at(c, p->l3, sizeof(*ip));

	if (!ip)
		return -1;

	__u8 tos = (ip->tos & ~ECN_MASK) | ecn;
	__u64 delta = bpf_htons(tos) + (__u16)~bpf_htons(ip->tos);

	ip->check = csum_updated(ip->check, delta, false);
	ip->tos = tos;
	return 0;
}

static __always_inline int unwrap(struct ctx c, const struct pkt *outer, const struct pkt *inner)
{
	__u32 l3 = outer->l3, gone = outer->l4 - outer->l3;

	if (outer->family == FAMILY_INET)
		return inner->family == FAMILY_INET
			       ? ctx_unwrap(c, l3, gone, FAMILY_INET, FAMILY_INET)
			       : ctx_unwrap(c, l3, gone, FAMILY_INET, FAMILY_INET6);
	return inner->family == FAMILY_INET ? ctx_unwrap(c, l3, gone, FAMILY_INET6, FAMILY_INET)
					    : ctx_unwrap(c, l3, gone, FAMILY_INET6, FAMILY_INET6);
}

/* Of a packet from a gateway to a VIP. */
static __always_inline enum decap_reason take_out(struct ctx c, const struct pkt *outer,
						  const struct pkt *inner)
{
	__u8 ecn = ecn_merged(outer->tos & ECN_MASK, inner->tos & ECN_MASK);

	if (inner->proto == PROTO_IPV4 || inner->proto == PROTO_IPV6)
		return DECAP_DROP_NESTED;
	if (ecn == ECN_CE && (inner->tos & ECN_MASK) == ECN_NOT_ECT)
		return DECAP_DROP_CONGESTED;
	return ecn_store(c, inner, ecn) || unwrap(c, outer, inner) ? DECAP_DROP_RESIZE_FAILED
								   : DECAP_DONE;
}

static __always_inline int decap(struct ctx c)
{
	struct pkt outer = {}, inner = {};

	ctx_pull(c, DECAP_PULL_BYTES);
	if (parse_link(c, &outer) ||
	    (outer.family == FAMILY_INET ? parse_ipv4(c, &outer) : parse_ipv6(c, &outer)))
		return ctx_pass(c);
	if (!is_tunnel(&outer))
		return ctx_pass(c);

	bool known = is_from_gateway(&outer);
	enum decap_reason why = check_outer(c, &outer);

	if (!why)
		why = parse_inner(c, &outer, &inner);
	/* Whose it is cannot be seen: a gateway's is ours. */
	if (why && !known)
		return ctx_pass(c);
	if (!why) {
		bool served = is_vip(&inner.dst, inner.family);

		if (!served && !known)
			return ctx_pass(c);
		why = !served  ? DECAP_PASS_NOT_SERVED
		      : !known ? DECAP_DROP_SOURCE
			       : take_out(c, &outer, &inner);
	}
	decap_count(why, ipv4_is_shorter_than_its_header(&outer) ? 0 : outer.payload_bytes);
	return why == DECAP_DONE || why == DECAP_PASS_NOT_SERVED ? ctx_pass(c) : ctx_drop(c);
}

#endif
