// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Tunnels to backends: IPv4 or IPv6 in either (RFC 2003, 2473, 4213). The outer source is drawn
 * from a prefix by the flow's hash, so that a backend's NIC spreads what comes over its queues.
 */
#ifndef SIXLANE_ENCAP_H
#define SIXLANE_ENCAP_H

#include "sixlane/parse.h"

#define TUNNEL_TTL	64
#define PROTO_IPV4	4 /* behind an outer header: what is inside (IANA) */
#define PROTO_IPV6	41
#define FLOW_LABEL_MASK 0xfffff

static __always_inline __u32 outer_bytes(const __u32 family)
{
	return family == FAMILY_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

static __always_inline struct addr tunnel_source(const struct tunnel_source *from, __u64 hash)
{
	return (struct addr){ .hi = from->addr.hi | (hash & from->host_mask.hi),
			      .lo = from->addr.lo | (hash & from->host_mask.lo) };
}

/* What is behind an outer header. */
static __always_inline __u8 inner_proto(const struct pkt *p)
{
	return p->family == FAMILY_INET ? PROTO_IPV4 : PROTO_IPV6;
}

/* RFC 2003 3.1; ECN as in RFC 6040 4.1, and so is the rest of the TOS. */
static __always_inline void outer4(const struct pkt *p, const struct addr *src,
				   const struct addr *dst, struct iphdr *h)
{
	*(__be32 *)h =
		bpf_htonl(0x45U << 24 | (__u32)p->tos << 16 | (sizeof(*h) + pkt_l3_bytes(p)));
	h->id = 0; /* of what is never cut (RFC 6864 4.1) */
	h->frag_off = bpf_htons(IP4_DF);
	h->ttl = TUNNEL_TTL;
	h->protocol = inner_proto(p);
	h->check = 0;
	h->saddr = bpf_htonl(addr_to_v4(*src));
	h->daddr = bpf_htonl(addr_to_v4(*dst));
	h->check = ~csum_fold(csum_words(h, sizeof(*h)));
}

/* RFC 2473 3.1; the flow label for those who spread by it (RFC 6438). */
static __always_inline void outer6(const struct pkt *p, const struct addr *src,
				   const struct addr *dst, __u64 hash, struct ipv6hdr *h)
{
	*(__be32 *)h = bpf_htonl(6U << 28 | (__u32)p->tos << 20 | (hash >> 32 & FLOW_LABEL_MASK));
	h->payload_len = bpf_htons(pkt_l3_bytes(p));
	h->nexthdr = inner_proto(p);
	h->hop_limit = TUNNEL_TTL;
	__builtin_memcpy(&h->saddr, src, sizeof(*src));
	__builtin_memcpy(&h->daddr, dst, sizeof(*dst));
}

/* Takes a hop from a packet that is sent on as it is. */
static __always_inline int hop_take(struct ctx c, const struct pkt *p)
{
	__u8 ttl = p->ttl - 1;

	if (p->family == FAMILY_INET6)
		return ctx_store(c, p->l3 + offsetof(struct ipv6hdr, hop_limit), &ttl, sizeof(ttl));

	struct iphdr *ip = ctx_at(c, p->l3, sizeof(*ip));

	if (!ip)
		return -1;

	ip->check = csum_hop_less(ip->check);
	ip->ttl = ttl;
	return 0;
}

static __always_inline int wrap(struct ctx c, const struct pkt *p, const struct addr *src,
				const struct addr *dst, __u64 hash, const __u32 family)
{
	/* The kernel shortens no segments but those of TCP. */
	const bool fixed = p->proto != IPPROTO_TCP;

	if (hop_take(c, p) || ctx_wrap(c, p->l3, outer_bytes(family), family, fixed))
		return -1;
	if (family == FAMILY_INET) {
		struct iphdr h;

		outer4(p, src, dst, &h);
		return ctx_store(c, p->l3, &h, sizeof(h));
	}

	struct ipv6hdr h;

	outer6(p, src, dst, hash, &h);
	return ctx_store(c, p->l3, &h, sizeof(h));
}

#endif
