// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* IPv4 datagrams without a UDP checksum, which IPv6 does not allow: it is computed (RFC 7915 4.5)
 * and put into the packet, which then is one like any other. */
#ifndef SIXLANE_UDP_SUM_H
#define SIXLANE_UDP_SUM_H

#include <linux/udp.h>

#include "sixlane/reject.h"

#define UDP_SUM_STRIDE	  256
#define UDP_SUM_BYTES_MAX 9216 /* a jumbo frame */

/* Is a datagram that lacks one to get a checksum, and can it? */
static __always_inline bool may_sum_udp(struct ctx c, const struct gateway *gw, const struct pkt *p)
{
	return gw->flags & GATEWAY_UDP_COMPUTE && p->family == FAMILY_INET && !p->is_fragment &&
	       !ctx_segment_bytes(c);
}

struct udp_sum_work {
	__u8 bytes[UDP_SUM_STRIDE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct udp_sum_work);
} udp_sum_works SEC(".maps");

/* The folded sum over bytes wherever they lie, the last one padded; -1 if they are not all there.
 */
static __always_inline int sum_bytes(struct ctx c, __u32 offset, __u32 bytes)
{
	__u32 zero = 0;
	struct udp_sum_work *w = bpf_map_lookup_elem(&udp_sum_works, &zero);
	__s64 sum = 0;

	if (!w)
		return -1;
	for (__u32 i = 0; i < UDP_SUM_BYTES_MAX / UDP_SUM_STRIDE && bytes >= UDP_SUM_STRIDE; i++) {
		if (ctx_load(c, offset, w->bytes, UDP_SUM_STRIDE, sizeof(w->bytes)))
			return -1;
		sum = bpf_csum_diff(NULL, 0, (void *)w->bytes, UDP_SUM_STRIDE, sum);
		offset += UDP_SUM_STRIDE;
		bytes -= UDP_SUM_STRIDE;
	}

	if (bytes) {
		__builtin_memset(w->bytes, 0, sizeof(w->bytes));
		if (ctx_load(c, offset, w->bytes, bytes, sizeof(w->bytes)))
			return -1;
		sum = bpf_csum_diff(NULL, 0, (void *)w->bytes, UDP_SUM_STRIDE, sum);
	}
	return csum_fold((__u32)sum);
}

/* Functions of their own: the verifier reads the loops once. */
__noinline int xdp_sum_bytes(struct xdp_md *raw, __u32 offset, __u32 bytes)
{
	return sum_bytes((struct ctx){ raw, ENTRY_XDP }, offset, bytes);
}

__noinline int tc_sum_bytes(struct __sk_buff *raw, __u32 offset, __u32 bytes)
{
	return sum_bytes((struct ctx){ raw, ENTRY_TC }, offset, bytes);
}

/* REASON_NONE: the packet has a checksum now. */
static __always_inline enum reason compute_udp_sum(struct ctx c, struct pkt *p)
{
	struct udphdr *udp = ctx_at(c, p->l4, sizeof(*udp));

	if (!udp)
		return DROP_TRUNCATED;

	__u32 bytes = bpf_ntohs(udp->len);

	if (bytes < sizeof(*udp) || bytes > p->payload_bytes)
		return DROP_MALFORMED;
	if (bytes > UDP_SUM_BYTES_MAX)
		return DROP_UDP_ZERO_CHECKSUM;

	int sum = c.entry == ENTRY_XDP ? xdp_sum_bytes(ctx_xdp(c), p->l4, bytes)
				       : tc_sum_bytes(ctx_skb(c), p->l4, bytes);

	if (sum < 0)
		return DROP_TRUNCATED;

	__be32 rest[2] = { bpf_htonl(bytes), bpf_htonl(IPPROTO_UDP) };
	__u64 total = (__u32)sum + csum_words(&p->src, sizeof(p->src)) +
		      csum_words(&p->dst, sizeof(p->dst)) + csum_words(rest, sizeof(rest));
	__u16 check = ~csum_fold(total);

	if (!check)
		check = 0xffff;
	return ctx_store(c, p->l4 + offsetof(struct udphdr, check), &check, sizeof(check))
		       ? DROP_RESIZE_FAILED
		       : REASON_NONE;
}

/* 0, or the verdict on a packet that got none. */
static __always_inline int add_udp_sum(struct ctx c)
{
	struct pkt p = {};

	if (parse_link(c, &p) || parse_ipv4(c, &p))
		return ctx_drop(c);

	enum reason why = compute_udp_sum(c, &p);

	return why ? leave(c, &p, why, 0, pkt_l3_bytes(&p)) : 0;
}

/* A packet that is dropped after all is told of as it came in. */
static __always_inline int remove_udp_sum(struct ctx c)
{
	const __u16 none = 0;
	struct pkt p = {};

	if (parse_link(c, &p) || parse_ipv4(c, &p))
		return -1;
	return ctx_store(c, p.l4 + offsetof(struct udphdr, check), &none, sizeof(none));
}

__noinline int xdp_add_udp_sum(struct xdp_md *raw)
{
	return add_udp_sum((struct ctx){ raw, ENTRY_XDP });
}

__noinline int tc_add_udp_sum(struct __sk_buff *raw)
{
	return add_udp_sum((struct ctx){ raw, ENTRY_TC });
}

__noinline int xdp_remove_udp_sum(struct xdp_md *raw)
{
	return remove_udp_sum((struct ctx){ raw, ENTRY_XDP });
}

__noinline int tc_remove_udp_sum(struct __sk_buff *raw)
{
	return remove_udp_sum((struct ctx){ raw, ENTRY_TC });
}

#endif
