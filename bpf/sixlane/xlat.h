// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * RFC 7915 for one header: whose packet it is, what its addresses become, and the header of the
 * other family. Pure over struct pkt: the packet is not touched.
 */
#ifndef SIXLANE_XLAT_H
#define SIXLANE_XLAT_H

#include "sixlane/addr.h"
#include "sixlane/drop.h"
#include "sixlane/parse.h"

#define IPV4_MTU_NO_DF 1260 /* RFC 7915 5.1: up to here the result may be fragmented */

/* A packet's addresses in the other family, and what is known of the IPv4 ones. */
struct mapping {
	struct addr src;
	struct addr dst;
	__u32 prefix;	/* index of the entry that serves the inside address */
	__u32 sum;	/* csum_delta_addresses(), once both are known */
	__u32 src_word; /* enum range_word */
	__u32 dst_word;
	__u32 dst_pool6; /* 64: the pool6 prefix that the destination is in, or MAX_PREFIXES */
	bool dst_by_eam;
	bool hairpin;  /* IPv6 to IPv6: the destination is inside, too */
	bool stateful; /* by a session, between these ports; the inside's becomes new_port */
	__be16 src_port;
	__be16 dst_port;
	__be16 new_port;
};

/* Is this IPv4 packet ours? Its destination is served by a prefix, or in pool4. */
static __always_inline enum reason classify_46(const struct tables *t, const struct pkt *p,
					       struct mapping *m)
{
	m->dst_word = range_of(t->slot, addr_to_v4(p->dst));
	m->prefix = range_server(m->dst_word);
	m->stateful = m->dst_word & RANGE_POOL4;
	return m->prefix < MAX_PREFIXES || m->stateful ? REASON_NONE : PASS_NOT_OURS;
}

/* One IPv4 address to IPv6 by RFC 6052. */
static __always_inline enum reason embed_46(const struct prefix *px, __u32 v4, __u32 word,
					    struct addr *out)
{
	*out = rfc6052_embed(px, v4);
	return range_breaks_well_known(px, word) ? DROP_NOT_GLOBAL : REASON_NONE;
}

/* RFC 7757 before RFC 6052. `peer`: the other end of a flow that may be a hairpin. Nodes inside
 * then are called by pool6 (RFC 7757 4.2.1). */
static __always_inline enum reason map_addr_46(const struct tables *t, const struct prefix *px,
					       __u32 v4, __u32 word, const bool peer,
					       struct addr *out)
{
	struct addr mapped;

	if (t->gw->eam4_lens_count) {
		int eam = eam4_map(t->gw, t->slot, v4, &mapped);

		if (eam == EAM_REMOTE_HIT ||
		    (eam && !(peer && t->gw->flags & GATEWAY_HAIRPIN_SIMPLE))) {
			*out = mapped;
			return REASON_NONE;
		}
	}
	return embed_46(px, v4, word, out);
}

static __always_inline enum reason map_46(const struct tables *t, const struct pkt *p,
					  struct mapping *m, const bool src_peer,
					  const bool dst_peer)
{
	const struct prefix *px = prefix_at(t->gw, m->prefix);
	enum reason why = map_addr_46(t, px, addr_to_v4(p->dst), m->dst_word, dst_peer, &m->dst);

	if (why)
		return why;
	return map_addr_46(t, px, addr_to_v4(p->src), m->src_word, src_peer, &m->src);
}

enum mapped_by {
	BY_NOTHING,
	BY_PREFIX,
	BY_EAM_INSIDE,
	BY_EAM_REMOTE,
};

/* One IPv6 address to IPv4. *index: the pool6 prefix that matched, or MAX_PREFIXES. */
static __always_inline enum mapped_by map_addr_64(const struct tables *t, struct addr a, __u32 *v4,
						  __u32 *index)
{
	*index = (__u32)pool6_find(t->gw, &a);
	if (t->gw->eam6_lens_count) {
		int eam = eam6_map(t->gw, t->slot, &a, v4);

		if (eam == EAM_INSIDE_HIT)
			return BY_EAM_INSIDE;
		if (eam == EAM_REMOTE_HIT)
			return BY_EAM_REMOTE;
	}
	if (*index >= MAX_PREFIXES)
		return BY_NOTHING;
	*v4 = rfc6052_extract(prefix_at(t->gw, *index), &a);
	return BY_PREFIX;
}

/*
 * Is this IPv6 packet ours? Its destination is in pool6 or a mapping's outer side, and routing has
 * nothing better for it. Native under pool6 are nodes inside by their own addresses, and what has
 * a route of its own.
 */
static __always_inline enum reason classify_64(const struct tables *t, const struct pkt *p,
					       struct mapping *m)
{
	__u32 v4 = 0, index;
	enum mapped_by by = map_addr_64(t, p->dst, &v4, &index);

	if (by == BY_NOTHING || (by == BY_EAM_INSIDE && index >= MAX_PREFIXES))
		return PASS_NOT_OURS;
	m->dst = addr_from_v4(v4);
	m->dst_word = range_of(t->slot, v4);
	m->dst_by_eam = by != BY_PREFIX;
	m->dst_pool6 = index;
	m->hairpin = t->gw->flags & GATEWAY_HAIRPIN && range_server(m->dst_word) < MAX_PREFIXES;
	if (index >= MAX_PREFIXES)
		return REASON_NONE;

	__u32 word = m->dst_word;

	if (m->dst_by_eam)
		word = range_of(t->slot, rfc6052_extract(prefix_at(t->gw, index), &p->dst));
	return range_is_native(t->slot, word, index) ? PASS_NATIVE : REASON_NONE;
}

/* The source, which a prefix must serve, and what RFC 6052 3.1 says of both. */
static __always_inline enum reason map_64(const struct tables *t, const struct pkt *p,
					  struct mapping *m)
{
	__u32 v4 = 0, index;

	if (!m->dst_by_eam && range_breaks_well_known(prefix_at(t->gw, m->dst_pool6), m->dst_word))
		return DROP_NOT_GLOBAL;

	enum mapped_by by = map_addr_64(t, p->src, &v4, &index);

	if (by == BY_NOTHING)
		return DROP_SOURCE_NOT_MAPPABLE;
	m->src = addr_from_v4(v4);
	m->src_word = range_of(t->slot, v4);
	if (by == BY_PREFIX && range_breaks_well_known(prefix_at(t->gw, index), m->src_word))
		return DROP_NOT_GLOBAL;
	m->prefix = range_server(m->src_word);
	return m->prefix < MAX_PREFIXES ? REASON_NONE : DROP_SOURCE_NOT_MAPPABLE;
}

/*
 * From inside to inside (RFC 7757 4): both addresses, in IPv4, once more, by the prefix that serves
 * the destination. The source becomes what the destination's answer can find back from.
 */
static __always_inline enum reason map_hairpin(const struct tables *t, struct mapping *m)
{
	__u32 src = addr_to_v4(m->src), dst = addr_to_v4(m->dst);

	m->prefix = range_server(m->dst_word);

	const struct prefix *px = prefix_at(t->gw, m->prefix);
	enum reason why = map_addr_46(t, px, dst, m->dst_word, false, &m->dst);

	return why ? why : embed_46(px, src, m->src_word, &m->src);
}

/* IPv6 header and Fragment header, as they lie in the packet. */
struct ipv6_headers {
	struct ipv6hdr ip;
	struct fragment_header fragment;
};

/* What header_46() writes. */
static __always_inline __u32 header_46_bytes(const struct pkt *p)
{
	return sizeof(struct ipv6hdr) + (p->is_fragment ? FRAGMENT_HEADER_BYTES : 0);
}

/* RFC 7915 4.1. `fragment.nexthdr` is valid for fragments only. */
static __always_inline void header_46(const struct pkt *p, const struct mapping *m,
				      __u32 payload_bytes, __u8 ttl, struct ipv6_headers *h)
{
	__u8 proto = p->proto == IPPROTO_ICMP ? IPPROTO_ICMPV6 : p->proto;

	*(__be32 *)h = bpf_htonl(6U << 28 | (__u32)p->tos << 20);
	h->ip.payload_len = bpf_htons(payload_bytes + (p->is_fragment ? FRAGMENT_HEADER_BYTES : 0));
	h->ip.nexthdr = p->is_fragment ? IPPROTO_FRAGMENT : proto;
	h->ip.hop_limit = ttl;
	__builtin_memcpy(&h->ip.saddr, &m->src, sizeof(m->src));
	__builtin_memcpy(&h->ip.daddr, &m->dst, sizeof(m->dst));
	h->fragment.nexthdr = proto;
	h->fragment.reserved = 0;
	h->fragment.offset = bpf_htons(p->fragment);
	h->fragment.id = bpf_htonl(p->fragment_id);
}

/* RFC 7915 5.1 and 5.1.1. `segment_bytes`: layer 3 of one packet on the wire; `id`: ours, where the
 * packet has none. */
static __always_inline void header_64(const struct pkt *p, const struct mapping *m,
				      __u32 payload_bytes, __u8 ttl, __u32 segment_bytes, __u16 id,
				      struct iphdr *h)
{
	__u16 frag = segment_bytes > IPV4_MTU_NO_DF ? IP4_DF : 0;

	if (p->has_fragment_header) {
		frag = (p->fragment & IP6_OFFSET) >> 3 | (p->fragment & IP6_MF ? IP4_MF : 0);
		id = p->fragment_id;
	}

	__u32 bytes = sizeof(*h) + payload_bytes;

	if (bytes > IP_BYTES_MAX) /* BIG TCP */
		bytes = 0;
	*(__be32 *)h = bpf_htonl(0x45U << 24 | (__u32)p->tos << 16 | bytes);
	h->id = bpf_htons(id);
	h->frag_off = bpf_htons(frag);
	h->ttl = ttl;
	h->protocol = p->proto == IPPROTO_ICMPV6 ? IPPROTO_ICMP : p->proto;
	h->check = 0;
	h->saddr = bpf_htonl(addr_to_v4(m->src));
	h->daddr = bpf_htonl(addr_to_v4(m->dst));
	h->check = ~csum_fold(csum_words(h, sizeof(*h)));
}

/* Both addresses and the hop limit of the IPv6 header at `l3`. */
static __always_inline int store_ends(struct ctx c, __u32 l3, const struct mapping *m, __u8 ttl)
{
	return ctx_store(c, l3 + offsetof(struct ipv6hdr, hop_limit), &ttl, sizeof(ttl)) ||
	       ctx_store(c, l3 + offsetof(struct ipv6hdr, saddr), &m->src, sizeof(m->src)) ||
	       ctx_store(c, l3 + offsetof(struct ipv6hdr, daddr), &m->dst, sizeof(m->dst));
}

/* The same of an IPv4 header, and its checksum. */
static __always_inline int store_ends4(struct ctx c, const struct pkt *p, const struct mapping *m,
				       __u8 ttl)
{
	struct iphdr *ip = ctx_at(c, p->l3, sizeof(*ip));

	if (!ip)
		return -1;

	struct {
		__u8 ttl;
		__u8 protocol;
		__u16 check;
		__be32 ends[2];
	} h = { .ttl = ttl,
		.protocol = p->proto,
		.ends = { bpf_htonl(addr_to_v4(m->src)), bpf_htonl(addr_to_v4(m->dst)) } };
	__u64 delta = csum_words(h.ends, sizeof(h.ends)) +
		      csum_words_gone(&ip->saddr, sizeof(h.ends)) + bpf_htons((__u16)h.ttl << 8) +
		      (__u16)~bpf_htons((__u16)p->ttl << 8);

	h.check = csum_updated(ip->check, delta, false);
	return ctx_store(c, p->l3 + offsetof(struct iphdr, ttl), &h, sizeof(h));
}

/* What the new addresses add to a pseudo-header's sum. The ::ffff: of a canonical IPv4 address adds
 * nothing. */
static __always_inline __u64 csum_addresses(const struct addr *src, const struct addr *dst)
{
	return csum_words(src, sizeof(*src)) + csum_words(dst, sizeof(*dst));
}

static __always_inline __u64 csum_addresses_gone(const struct addr *src, const struct addr *dst)
{
	return csum_words_gone(src, sizeof(*src)) + csum_words_gone(dst, sizeof(*dst));
}

static __always_inline __u64 csum_delta_addresses(const struct pkt *p, const struct mapping *m)
{
	return csum_addresses_gone(&p->src, &p->dst) + csum_addresses(&m->src, &m->dst);
}

/* An ICMP type becomes another, the code stays. */
static __always_inline __u64 csum_delta_type(__u8 from, __u8 to)
{
	return (__u64)bpf_htons((__u16)to << 8) + (__u16)~bpf_htons((__u16)from << 8);
}

/* ICMPv6 sums a pseudo-header (RFC 4443 2.3), ICMPv4 does not: enter or leave it, `l4_bytes` being
 * its length. */
static __always_inline __u64 csum_delta_pseudo(const struct pkt *p, const struct mapping *m,
					       __u32 l4_bytes)
{
	__be32 rest[2] = { bpf_htonl(l4_bytes), bpf_htonl(IPPROTO_ICMPV6) };

	if (p->family == FAMILY_INET)
		return csum_addresses(&m->src, &m->dst) + csum_words(rest, sizeof(rest));
	return csum_addresses_gone(&p->src, &p->dst) + csum_words_gone(rest, sizeof(rest));
}

#endif
