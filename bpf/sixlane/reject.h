// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ICMP errors of our own: which reason makes which, and the message. */
#ifndef SIXLANE_REJECT_H
#define SIXLANE_REJECT_H

#include <linux/tcp.h>
#include <linux/udp.h>

#include "sixlane/bucket.h"
#include "sixlane/drop.h"
#include "sixlane/extension.h"
#include "sixlane/fib.h"
#include "sixlane/frontend.h"

#define ERROR_TOS 0xc0 /* RFC 1812 4.3.2.5: internetwork control */
#define ERROR_TTL 64

struct error4 {
	struct iphdr ip;
	struct icmp_header icmp;
};

struct error6 {
	struct ipv6hdr ip;
	struct icmp_header icmp;
};

/* The error for a reason (RFC 7915 4.4, 5.4 and the sections that name one); false: dropped in
 * silence. */
static __always_inline bool error_for(enum reason why, const __u32 family, struct icmp_start *error)
{
	const bool v4 = family == FAMILY_INET;

	switch (why) {
	case DROP_TTL_EXPIRED:
		error->type = v4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEED;
		error->code = 0;
		return true;
	case DROP_NO_ROUTE:
		error->type = v4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH;
		error->code = v4 ? ICMP_NET_UNREACH : ICMPV6_NOROUTE;
		return true;
	case DROP_TOO_BIG:
		error->type = v4 ? ICMP_DEST_UNREACH : ICMPV6_PKT_TOOBIG;
		error->code = v4 ? ICMP_FRAG_NEEDED : 0;
		return true;
	case DROP_NO_PORT: /* RFC 6146 3.5.1.1 */
	case DROP_TOO_MANY_SESSIONS:
	case DROP_TABLE_FULL:
		error->type = v4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH;
		error->code = v4 ? ICMP_HOST_UNREACH : ICMPV6_ADDR_UNREACH;
		return true;
	case DROP_NO_FRONTEND:
	case DROP_NO_BACKEND:
		error->type = v4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH;
		error->code = v4 ? ICMP_PORT_UNREACH : ICMPV6_PORT_UNREACH;
		return true;
	case DROP_NO_SESSION_PROTOCOL: /* RFC 6146 3.4 */
		error->type = v4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH;
		error->code = v4 ? ICMP_PROT_UNREACH : ICMPV6_PORT_UNREACH;
		return true;
	case DROP_FILTERED: /* RFC 6146 3.5.1.2 */
	case DROP_PROTOCOL:
	case DROP_ICMP_FRAGMENT:
	case DROP_NOT_GLOBAL:
	case DROP_SOURCE_NOT_ALLOWED:
	case DROP_SOURCE_NOT_MAPPABLE:
	case DROP_UDP_ZERO_CHECKSUM:
		error->type = v4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH;
		error->code = v4 ? ICMP_PKT_FILTERED : ICMPV6_ADM_PROHIBITED;
		return true;
	case DROP_SOURCE_ROUTE:
		error->type = v4 ? ICMP_DEST_UNREACH : ICMPV6_PARAMPROB;
		error->code = v4 ? ICMP_SR_FAILED : ICMPV6_HDR_FIELD;
		return true;
	default:
		return false;
	}
}

/* The quote is in place behind the room for headers; `sum` is its checksum. */
static __always_inline int error4_write(struct ctx c, const struct addr *source,
					const struct pkt *p, const struct icmp_start *error,
					__u32 quoted, __u32 sum)
{
	struct error4 e = {
		.ip = { .version = 4,
			.ihl = 5,
			.tos = ERROR_TOS,
			.ttl = ERROR_TTL,
			.protocol = IPPROTO_ICMP },
		.icmp = { .type = error->type,
			  .code = error->code,
			  .rest = bpf_htonl(error->rest) },
	};

	e.ip.tot_len = bpf_htons(sizeof(e) + quoted);
	e.ip.frag_off = bpf_htons(IP4_DF);
	e.ip.saddr = bpf_htonl(addr_to_v4(*source));
	e.ip.daddr = bpf_htonl(addr_to_v4(p->src));
	e.ip.check = ~csum_fold(csum_words(&e.ip, sizeof(e.ip)));
	e.icmp.checksum = ~csum_fold(csum_words(&e.icmp, sizeof(e.icmp)) + sum);
	return ctx_store(c, p->l3, &e, sizeof(e));
}

static __always_inline int error6_write(struct ctx c, const struct addr *source,
					const struct pkt *p, const struct icmp_start *error,
					__u32 quoted, __u32 sum)
{
	struct error6 e = {
		.ip = { .version = 6, .nexthdr = IPPROTO_ICMPV6, .hop_limit = ERROR_TTL },
		.icmp = { .type = error->type,
			  .code = error->code,
			  .rest = bpf_htonl(error->rest) },
	};
	__be32 rest[2] = { bpf_htonl(sizeof(e.icmp) + quoted), bpf_htonl(IPPROTO_ICMPV6) };

	e.ip.payload_len = bpf_htons(sizeof(e.icmp) + quoted);
	__builtin_memcpy(&e.ip.saddr, source, sizeof(struct addr));
	__builtin_memcpy(&e.ip.daddr, &p->src, sizeof(struct addr));

	__u64 total = csum_words(&e.icmp, sizeof(e.icmp)) + sum + csum_words(rest, sizeof(rest)) +
		      csum_words(&e.ip.saddr, 2 * sizeof(struct addr));

	e.icmp.checksum = ~csum_fold(total);
	return ctx_store(c, p->l3, &e, sizeof(e));
}

/*
 * The sum over the quote. A local sender may have left a TCP or UDP checksum to the NIC: the field
 * holds but the pseudo-header's sum, and the skb a mark that leads into our quote. Whoever
 * completes it sets the field to the complement of all from the transport header on, so that all
 * this together adds up to the complement of what the field holds now: that is summed in its place.
 */
static __always_inline int quote_csum(struct ctx c, const struct pkt *p, __u32 quoted)
{
	__u32 offset = p->proto == IPPROTO_TCP ? offsetof(struct tcphdr, check)
					       : offsetof(struct udphdr, check);
	__be32 rest[2] = { bpf_htonl(p->payload_bytes), bpf_htonl(p->proto) };
	__u16 pseudo =
		csum_fold(csum_words(&p->src, sizeof(p->src)) +
			  csum_words(&p->dst, sizeof(p->dst)) + csum_words(rest, sizeof(rest)));
	__u16 *field = ctx_at(c, p->l4 + offset, sizeof(*field));

	if (c.entry == ENTRY_XDP || (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP) ||
	    !field || *field != pseudo)
		return ctx_csum_range(c, p->l3, quoted);

	int header = ctx_csum_range(c, p->l3, p->l4 - p->l3);

	return header < 0 ? header : csum_fold((__u64)header + (__u16)~pseudo);
}

/* Who complains: what was called, if that is a frontend, else the gateway. */
static __always_inline struct addr error_source(const struct tables *t, const struct pkt *p,
						const __u32 family)
{
	if (frontend_at(t, &p->dst))
		return p->dst;
	return family == FAMILY_INET ? t->gw->icmp_source4 : t->gw->icmp_source6;
}

/* Turns a packet into the error about it and sends it to where the packet came from. */
static __always_inline int error_send(struct ctx c, const struct tables *t, const struct pkt *p,
				      const struct icmp_start *error, __u32 packet_bytes,
				      const __u32 family)
{
	const __u32 head = family == FAMILY_INET ? sizeof(struct error4) : sizeof(struct error6);
	const __u32 most = family == FAMILY_INET ? ERROR4_BYTES_MAX : ERROR6_BYTES_MAX;
	struct addr source = error_source(t, p, family);
	__u32 quoted = min_u32(packet_bytes, most - head);
	struct next_hop *next;
	int sum;

	if (!source.lo || next_hop(c, t->gw, &source, &p->src, family, 0, &next))
		goto failed;
	if (ctx_resize(c, p->l3 + quoted))
		goto failed;
	ctx_pull(c, p->l3 + quoted);
	sum = quote_csum(c, p, quoted);
	if (sum < 0 || ctx_grow_front(c, p->l3, head))
		goto failed;
	if (family == FAMILY_INET ? error4_write(c, &source, p, error, quoted, sum)
				  : error6_write(c, &source, p, error, quoted, sum))
		goto failed;
	count(ICMP_ERROR_SENT, quoted + head);
	return send(c, t->gw, &next->hop);
failed:
	count(ICMP_ERROR_FAILED, packet_bytes);
	return ctx_drop(c);
}

/*
 * Sources that are nobody are not answered, and neither are ICMP errors (RFC 1122 3.2.2, RFC
 * 4443 2.4 e). Of IPv6 the first kind does not come as far, and what is behind extension headers
 * that cannot be read may be the second.
 */
static __always_inline bool may_be_told(struct ctx c, const struct tables *t, const struct pkt *p)
{
	struct pkt upper = *p;
	bool is_icmp;

	if (p->family == FAMILY_INET) {
		if (range_of(t->slot, addr_to_v4(p->src)) & RANGE_ILLEGAL_SOURCE)
			return false;
		is_icmp = p->proto == IPPROTO_ICMP;
	} else {
		if (parse_extensions(c, &upper, p->l4 + p->payload_bytes) && !upper.pointer)
			return false;
		is_icmp = upper.proto == IPPROTO_ICMPV6;
	}

	__u8 *type = is_icmp ? ctx_at(c, upper.l4, sizeof(*type)) : NULL;

	return !is_icmp || (type && upper.payload_bytes && !icmp_is_any_error(*type, p->family));
}

/* Drops an untouched packet for `why` and answers it where that is due. `rest`: MTU or pointer. */
static __always_inline int reject(struct ctx c, enum reason why, __u32 rest)
{
	struct tables t;
	struct pkt p = {};
	struct icmp_start error = { .rest = rest };

	if (tables_read(&t) || parse_link(c, &p))
		return ctx_drop(c);
	if (p.family == FAMILY_INET ? parse_ipv4(c, &p) : parse_ipv6(c, &p))
		return ctx_drop(c);

	__u32 bytes = pkt_l3_bytes(&p);

	if (!may_be_told(c, &t, &p))
		return ctx_drop(c);
	if (!(t.gw->flags & GATEWAY_ICMP_UNLIMITED) &&
	    !bucket_take(BUCKET_ICMP_ERRORS, t.gw->icmp_errors_per_second)) {
		count(ICMP_ERROR_LIMITED, bytes);
		return ctx_drop(c);
	}
	if (p.family == FAMILY_INET)
		return error_for(why, FAMILY_INET, &error)
			       ? error_send(c, &t, &p, &error, bytes, FAMILY_INET)
			       : ctx_drop(c);
	return error_for(why, FAMILY_INET6, &error)
		       ? error_send(c, &t, &p, &error, bytes, FAMILY_INET6)
		       : ctx_drop(c);
}

__noinline int xdp_reject(struct xdp_md *raw, __u32 why, __u32 rest)
{
	return reject((struct ctx){ raw, ENTRY_XDP }, why, rest);
}

__noinline int tc_reject(struct __sk_buff *raw, __u32 why, __u32 rest)
{
	return reject((struct ctx){ raw, ENTRY_TC }, why, rest);
}

/* Counts, and says what is to become of a packet that is dropped; walked once, as count_rare(). */
__noinline int leaving(const struct pkt *p, __u32 why, __u32 rest, __u32 bytes)
{
	struct icmp_start ignored;

	if (!p)
		return verdict_drop(why);
	count_packet(p, why, bytes);
	if (p->no_error || p->fragment & IP6_OFFSET || !error_for(why, p->family, &ignored))
		return verdict_drop(why);
	return VERDICT_REJECT | why << VERDICT_REASON_SHIFT | (rest & VERDICT_REST_MASK);
}

/* The end of each packet that is not sent on: counted once, answered if that is due. */
static __always_inline int leave(struct ctx c, const struct pkt *p, enum reason why, __u32 rest,
				 __u32 bytes)
{
	int verdict = leaving(p, why, rest, bytes);

	return is_pass(why) ? ctx_pass(c) : verdict;
}

#endif
