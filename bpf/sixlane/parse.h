// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From bytes to struct pkt: offsets and canonical addresses. Nothing here changes a packet. */
#ifndef SIXLANE_PARSE_H
#define SIXLANE_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "sixlane/canonical.h"
#include "sixlane/ctx.h"
#include "sixlane/icmp.h"

#define IP4_DF		      0x4000
#define IP4_MF		      0x2000
#define IP4_OFFSET	      0x1fff
#define IP6_MF		      1
#define IP6_OFFSET	      0xfff8
#define FRAGMENT_HEADER_BYTES 8
#define EXTENSIONS_MAX	      8
#define EXTENSIONS_BYTES_MAX  256

struct fragment_header {
	__u8 nexthdr;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

#define JUMBO_HEADER_BYTES                                                                      \
	8		    /* a Hop-by-Hop header with nothing but a jumbo option (RFC 2675 2) \
			     */
#define IP_BYTES_MAX 0xffff /* that a length field can say */

/* Offsets are from the start of the frame. `fragment` is as in a Fragment header: offset in bytes,
 * and IP6_MF. */
struct pkt {
	struct addr src;
	struct addr dst;
	__u32 l3;
	__u32 l4;
	__u32 payload_bytes; /* behind l4, by the IP header's word */
	__u32 fragment_id;
	__u16 counter_prefix; /* as in `prefix_counters` */
	__u16 pointer; /* a Routing header's segments left, if there are any; for Parameter Problem
			*/
	__u16 fragment;
	__u8 header_bytes; /* IPv4: with options */
	__u8 family;
	__u8 proto;
	__u8 tos;
	__u8 ttl;
	bool is_fragment;
	bool has_fragment_header; /* IPv6: also an atomic fragment's */
	bool may_fragment;	  /* IPv4: DF is 0 */
	bool is_jumbo;		  /* BIG TCP: longer than a length field can say, which is 0 */
	bool no_error;		  /* nobody is to be told of a drop */
};

/* What TCP, UDP and others begin with. */
struct ports {
	__be16 src;
	__be16 dst;
};

static __always_inline __u32 pkt_l3_bytes(const struct pkt *p)
{
	return p->l4 - p->l3 + p->payload_bytes;
}

/* The IPv6 header with its extension headers as it is in each packet sent: the jumbo header of BIG
 * TCP stays between kernel and driver. */
static __always_inline __u32 pkt_wire_header_bytes(const struct pkt *p)
{
	return p->l4 - p->l3 - (p->is_jumbo ? JUMBO_HEADER_BYTES : 0);
}

static __always_inline bool pkt_has_l4_header(const struct pkt *p)
{
	return !(p->fragment & IP6_OFFSET);
}

/* IPv6 that looks like IPv4 in canonical form is neither. */
static __always_inline bool is_disguised(const struct addr *addr, __u8 family)
{
	return family == FAMILY_INET6 && addr_is_v4(addr);
}

/* Link header, up to two VLAN tags. */
static __always_inline enum reason parse_link(struct ctx c, struct pkt *p)
{
	struct ethhdr *eth = ctx_at(c, 0, ETH_HLEN);

	if (!eth)
		return PASS_NOT_IP;

	__be16 type = eth->h_proto;

	p->l3 = ETH_HLEN;
	/* tc has the outer tag in the skb; a second one stays in the frame, and
	 * bpf_skb_change_proto refuses it. */
	for (__u32 i = 0; c.entry == ENTRY_XDP && i < VLAN_TAGS; i++) {
		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;

		__be16 *inner = ctx_at(c, p->l3 + 2, sizeof(*inner));

		if (!inner)
			return PASS_NOT_IP;
		type = *inner;
		p->l3 += 4;
	}
	p->family = type == bpf_htons(ETH_P_IP)	    ? FAMILY_INET
		    : type == bpf_htons(ETH_P_IPV6) ? FAMILY_INET6
						    : 0;
	return p->family ? REASON_NONE : PASS_NOT_IP;
}

/* The fixed IPv4 header at p->l3. */
static __always_inline enum reason parse_ipv4(struct ctx c, struct pkt *p)
{
	struct iphdr *ip = ctx_at(c, p->l3, sizeof(*ip));

	if (!ip)
		return DROP_TRUNCATED;
	if (ip->version != 4 || ip->ihl < 5)
		return DROP_MALFORMED;

	__u16 frag = bpf_ntohs(ip->frag_off);

	p->src = addr_from_v4(bpf_ntohl(ip->saddr));
	p->dst = addr_from_v4(bpf_ntohl(ip->daddr));
	p->header_bytes = ip->ihl * 4;
	p->l4 = p->l3 + p->header_bytes;
	/* Less than the header: check_ipv4() will say so. */
	p->payload_bytes = bpf_ntohs(ip->tot_len) - p->header_bytes;
	if (!ip->tot_len && ctx_segment_bytes(c)) {
		p->is_jumbo = true;
		p->payload_bytes = ctx_bytes(c) - p->l4;
	}
	p->proto = ip->protocol;
	p->tos = ip->tos;
	p->ttl = ip->ttl;
	p->may_fragment = !(frag & IP4_DF);
	p->is_fragment = frag & (IP4_MF | IP4_OFFSET);
	p->fragment = (frag & IP4_OFFSET) << 3 | (frag & IP4_MF ? IP6_MF : 0);
	p->fragment_id = bpf_ntohs(ip->id);
	return REASON_NONE;
}

/* `fragment` as in struct pkt. */
static __always_inline bool fragment_overflows(__u16 fragment, __u32 payload_bytes)
{
	return fragment && (fragment & IP6_OFFSET) + payload_bytes > IP_BYTES_MAX;
}

/* Options are read only to check the sum, RFC 1812 5.2.2: IPv6 will have no header checksum to
 * catch it later. */
static __always_inline bool ipv4_checksum_is_right(struct ctx c, const struct pkt *p)
{
	struct iphdr *ip = ctx_at(c, p->l3, sizeof(*ip));

	if (!ip)
		return false;

	__u64 sum = csum_words(ip, sizeof(*ip));

	for (__u32 i = 0; i < 10; i++) {
		if (sizeof(*ip) + 4 * i >= p->header_bytes)
			break;

		__u32 *option = ctx_at(c, p->l3 + sizeof(*ip) + 4 * i, sizeof(*option));

		if (!option)
			return false;
		sum += *option;
	}
	return csum_fold(sum) == 0xffff;
}

static __always_inline bool ipv4_is_shorter_than_its_header(const struct pkt *p)
{
	return (__s32)p->payload_bytes < 0;
}

/* What parse_ipv4() took on trust. */
static __always_inline enum reason check_ipv4(struct ctx c, const struct pkt *p)
{
	if (ipv4_is_shorter_than_its_header(p))
		return DROP_MALFORMED;
	if (!ctx_holds(c, p->l4 + p->payload_bytes))
		return DROP_TRUNCATED;
	if (!ipv4_checksum_is_right(c, p))
		return DROP_BAD_HEADER_CHECKSUM;
	if (fragment_overflows(p->fragment, p->payload_bytes))
		return DROP_MALFORMED;
	return REASON_NONE;
}

static __always_inline bool is_extension(__u8 proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS;
}

/* The fixed IPv6 header at p->l3; p->l4 is what follows it, extension headers included. */
static __always_inline enum reason parse_ipv6(struct ctx c, struct pkt *p)
{
	struct ipv6hdr *ip = ctx_at(c, p->l3, sizeof(*ip));

	if (!ip)
		return DROP_TRUNCATED;
	if (ip->version != 6)
		return DROP_MALFORMED;
	__builtin_memcpy(&p->src, &ip->saddr, sizeof(p->src));
	__builtin_memcpy(&p->dst, &ip->daddr, sizeof(p->dst));
	p->header_bytes = sizeof(*ip);
	p->l4 = p->l3 + sizeof(*ip);
	p->payload_bytes = bpf_ntohs(ip->payload_len);
	p->proto = ip->nexthdr;
	if (!ip->payload_len && ip->nexthdr == IPPROTO_HOPOPTS && ctx_segment_bytes(c)) {
		p->is_jumbo = true;
		p->payload_bytes = ctx_bytes(c) - p->l4;
	}
	p->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	p->ttl = ip->hop_limit;
	return REASON_NONE;
}

/* Where a walk over extension headers came to. */
struct extensions {
	__u32 l4;
	__u32 payload_bytes;
	__u32 fragment_id;
	__u32 pointer;
	__u16 fragment;
	__u8 proto;
	__u8 has_fragment_header;
	__u8 no_error;
	__u8 pad[3];
};

/*
 * Skips Hop-by-Hop, Destination Options and spent Routing headers, up to the upper layer or through
 * one Fragment header (RFC 7915 5.1). `end` is the first offset behind the packet.
 */
static __always_inline enum reason walk_extensions(struct ctx c, __u32 end, struct extensions *x)
{
	__u32 start = x->l4, l3 = x->l4 - sizeof(struct ipv6hdr);

	for (__u32 i = 0; i <= EXTENSIONS_MAX; i++) {
		if (x->proto == IPPROTO_FRAGMENT)
			break;
		if (!is_extension(x->proto))
			return REASON_NONE;
		if (i == EXTENSIONS_MAX)
			return DROP_EXTENSION_HEADERS;

		__u8 *header = ctx_at(c, x->l4, 8);

		if (!header || x->l4 + 8 > end || x->payload_bytes < 8)
			return DROP_TRUNCATED;

		__u32 bytes = 8 + 8 * (__u32)header[1];

		if (x->l4 + bytes - start > EXTENSIONS_BYTES_MAX)
			return DROP_EXTENSION_HEADERS;
		if (bytes > x->payload_bytes || x->l4 + bytes > end)
			return DROP_TRUNCATED;
		if (x->proto == IPPROTO_ROUTING && header[3] && !x->pointer)
			x->pointer = x->l4 + 3 - l3;
		x->proto = header[0];
		x->l4 += bytes;
		x->payload_bytes -= bytes;
	}

	struct fragment_header *fragment = ctx_at(c, x->l4, sizeof(*fragment));

	if (fragment && x->l4 + sizeof(*fragment) - start > EXTENSIONS_BYTES_MAX)
		return DROP_EXTENSION_HEADERS;
	if (!fragment || x->l4 + sizeof(*fragment) > end || x->payload_bytes < sizeof(*fragment))
		return DROP_TRUNCATED;
	x->has_fragment_header = 1;
	x->fragment = bpf_ntohs(fragment->offset) & (IP6_OFFSET | IP6_MF);
	x->fragment_id = bpf_ntohl(fragment->id);
	x->proto = fragment->nexthdr;
	x->l4 += sizeof(*fragment);
	x->payload_bytes -= sizeof(*fragment);
	if (is_extension(x->proto) || x->proto == IPPROTO_FRAGMENT || x->proto == IPPROTO_AH)
		return DROP_EXTENSION_HEADERS;
	return REASON_NONE;
}

/* What a Fragment header must not say (RFC 8200 4.5). */
static __always_inline enum reason check_fragment6(const struct extensions *x)
{
	if (x->fragment & IP6_MF && x->payload_bytes & 7)
		return DROP_MALFORMED;
	if (fragment_overflows(x->fragment, x->payload_bytes))
		return DROP_MALFORMED;
	return REASON_NONE;
}

/* A route that is not at its end is told of, if what it is wound around is known, and no ICMP
 * error. */
static __always_inline enum reason walk_chain(struct ctx c, __u32 end, struct extensions *x)
{
	enum reason why = walk_extensions(c, end, x);

	if (!why)
		why = check_fragment6(x);
	if (!x->pointer)
		return why;

	if (why) {
		x->no_error = 1;
	} else if (x->proto == IPPROTO_ICMPV6) {
		__u8 *type = ctx_at(c, x->l4, 1);

		x->no_error = !type || !x->payload_bytes || icmp_is_any_error(*type, FAMILY_INET6);
	}
	return DROP_SOURCE_ROUTE;
}

__noinline int xdp_extensions(struct xdp_md *raw, __u32 end, struct extensions *x)
{
	return x ? walk_chain((struct ctx){ raw, ENTRY_XDP }, end, x) : DROP_TRUNCATED;
}

__noinline int tc_extensions(struct __sk_buff *raw, __u32 end, struct extensions *x)
{
	return x ? walk_chain((struct ctx){ raw, ENTRY_TC }, end, x) : DROP_TRUNCATED;
}

/* Moves p->l4 to the upper layer. `end`: the first offset behind the packet. */
static __always_inline enum reason parse_extensions(struct ctx c, struct pkt *p, __u32 end)
{
	if (!is_extension(p->proto) && p->proto != IPPROTO_FRAGMENT)
		return REASON_NONE;

	struct extensions x = { .l4 = p->l4, .payload_bytes = p->payload_bytes, .proto = p->proto };

	ctx_pull(c, p->l4 + EXTENSIONS_BYTES_MAX + FRAGMENT_HEADER_BYTES + 64);

	int why = c.entry == ENTRY_XDP ? xdp_extensions(ctx_xdp(c), end, &x)
				       : tc_extensions(ctx_skb(c), end, &x);

	p->l4 = x.l4;
	p->payload_bytes = x.payload_bytes;
	p->proto = x.proto;
	p->pointer = x.pointer;
	p->fragment = x.fragment;
	p->fragment_id = x.fragment_id;
	p->has_fragment_header = x.has_fragment_header;
	p->is_fragment = x.fragment != 0;
	p->no_error = x.no_error;
	return why;
}

#define OPTION_END  0
#define OPTION_NOP  1
#define OPTION_LSRR 131
#define OPTION_SSRR 137

/* Type, length and the byte behind them of the option at `offset`, as a word; 0: there is none, or
 * it does not end before `end`. */
static __always_inline int option_at(struct ctx c, __u32 offset, __u32 end)
{
	__u8 *type = ctx_at(c, offset, 1);

	if (!type || *type == OPTION_END)
		return 0;
	if (*type == OPTION_NOP)
		return OPTION_NOP | 1 << 8;

	__u8 *option = ctx_at(c, offset, 3); /* behind the last option there is the payload */

	if (!option || option[1] < 2 || offset + option[1] > end)
		return 0;
	return option[0] | option[1] << 8 | option[2] << 16;
}

/* Functions of their own: the verifier follows their ways once, and not in each round of a loop. */
__noinline int xdp_option(struct xdp_md *raw, __u32 offset, __u32 end)
{
	return option_at((struct ctx){ raw, ENTRY_XDP }, offset, end);
}

__noinline int tc_option(struct __sk_buff *raw, __u32 offset, __u32 end)
{
	return option_at((struct ctx){ raw, ENTRY_TC }, offset, end);
}

/* Loose or strict source routes that have not come to their end (RFC 791 3.1). Garbled options end
 * the search. */
static __always_inline int walk_options(struct ctx c, __u32 offset, __u32 end)
{
	for (__u32 i = 0; i < 40 && offset < end; i++) {
		__u32 word = c.entry == ENTRY_XDP ? xdp_option(ctx_xdp(c), offset, end)
						  : tc_option(ctx_skb(c), offset, end);
		__u8 type = word, length = word >> 8, pointer = word >> 16;

		if (!word)
			break;
		if ((type == OPTION_LSRR || type == OPTION_SSRR) && length >= 3 &&
		    pointer <= length)
			return 1;
		offset += length;
	}
	return 0;
}

__noinline int xdp_source_routed(struct xdp_md *raw, __u32 offset, __u32 end)
{
	return walk_options((struct ctx){ raw, ENTRY_XDP }, offset, end);
}

__noinline int tc_source_routed(struct __sk_buff *raw, __u32 offset, __u32 end)
{
	return walk_options((struct ctx){ raw, ENTRY_TC }, offset, end);
}

static __always_inline bool ipv4_is_source_routed(struct ctx c, const struct pkt *p)
{
	__u32 options = p->l3 + sizeof(struct iphdr), end = p->l3 + p->header_bytes;

	if (options == end)
		return false;
	return c.entry == ENTRY_XDP ? xdp_source_routed(ctx_xdp(c), options, end)
				    : tc_source_routed(ctx_skb(c), options, end);
}

#endif
