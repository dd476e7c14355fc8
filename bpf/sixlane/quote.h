// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ICMP errors, a packet in a packet (RFC 7915 4.3, 5.3): both are translated, the quoted one is on
 * its way back. */
#ifndef SIXLANE_QUOTE_H
#define SIXLANE_QUOTE_H

#include "sixlane/fib.h"
#include "sixlane/receive.h"

#define PULL_BYTES_ERROR 1024

/* The quoted packet, which may end early but must have its whole header. `end`: the first offset
 * behind the quote. */
static __always_inline enum reason parse_quote(struct ctx c, struct pkt *in, __u32 end)
{
	const __u32 least =
		in->family == FAMILY_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	enum reason why;

	if (in->l3 + least > end)
		return DROP_TRUNCATED;
	if (in->family == FAMILY_INET) {
		why = parse_ipv4(c, in);
		if (why)
			return why;
		if (in->l4 > end)
			return DROP_TRUNCATED;
		if (in->payload_bytes > 0xffff || fragment_overflows(in))
			return DROP_MALFORMED;
		return REASON_NONE;
	}
	why = parse_ipv6(c, in);
	if (!why)
		why = parse_extensions(c, in, end);
	if (!why)
		why = check_fragment6(in);
	if (!why &&
	    sizeof(struct iphdr) + in->payload_bytes > 0xffff) /* no IPv4 packet is as long */
		why = DROP_MALFORMED;
	return why;
}

static __always_inline enum reason map_quote(const struct tables *t, const struct pkt *in,
					     const struct mapping *outer, struct mapping *m)
{
	__u32 v4 = 0, index;

	if (in->family == FAMILY_INET) {
		m->src_word = range_of(t->ranges, addr_to_v4(in->src));
		m->dst_word = range_of(t->ranges, addr_to_v4(in->dst));
		m->prefix = outer->prefix;
		return map_46(t, in, m);
	}

	enum mapped_by src_by = map_addr_64(t, in->src, &v4, &index);

	m->src = addr_from_v4(v4);
	if (src_by == BY_PREFIX &&
	    range_breaks_well_known(prefix_at(t->gw, index), range_of(t->ranges, v4)))
		return DROP_NOT_GLOBAL;

	enum mapped_by dst_by = map_addr_64(t, in->dst, &v4, &index);

	m->dst = addr_from_v4(v4);
	if (dst_by == BY_PREFIX &&
	    range_breaks_well_known(prefix_at(t->gw, index), range_of(t->ranges, v4)))
		return DROP_NOT_GLOBAL;
	if (src_by == BY_NOTHING)
		return DROP_SOURCE_NOT_MAPPABLE;
	return dst_by == BY_NOTHING ? DROP_DESTINATION_NOT_MAPPABLE : REASON_NONE;
}

/* What happens to the quoted transport header: two bytes at `offset` become `value`, an echo
 * changes its type. */
struct quote_change {
	__u64 delta; /* to the sum over the quote */
	__u32 offset;
	__u16 value;
	__u8 icmp_type;
	bool has_value;
	bool has_type;
};

/* Quotes that no translator could have sent out. An echo is noted in *q. */
static __always_inline enum reason check_quote_l4(struct ctx c, const struct pkt *in, __u32 end,
						  struct quote_change *q)
{
	if (!proto_is_translatable(in->proto, in->family))
		return DROP_PROTOCOL;
	if (in->proto != icmp_proto(in->family) || !pkt_has_l4_header(in))
		return REASON_NONE;
	if (in->is_fragment)
		return DROP_ICMP_FRAGMENT;

	__u8 *type = ctx_at(c, in->l4, 1);

	if (!type || in->l4 + 1 > end)
		return DROP_ICMP_TYPE;
	if (icmp_is_any_error(*type, in->family))
		return DROP_ICMP_NESTED;
	if (icmp_classify(*type, in->family) != ICMP_IS_ECHO)
		return DROP_ICMP_TYPE;
	q->has_type = true;
	q->icmp_type = icmp_echo_type(*type);
	q->delta = csum_delta_type(*type, q->icmp_type);
	return REASON_NONE;
}

/* The quoted checksum follows, where it is quoted whole. */
static __always_inline void plan_quote_l4(struct ctx c, const struct pkt *in,
					  const struct mapping *m, __u32 end,
					  struct quote_change *q)
{
	__u64 delta;

	if (!pkt_has_l4_header(in))
		return;
	if (q->has_type) {
		q->offset = offsetof(struct icmp_header, checksum);
		delta = csum_delta_pseudo(in, m, in->payload_bytes) + q->delta;
	} else if (in->proto == IPPROTO_TCP || in->proto == IPPROTO_UDP) {
		q->offset = in->proto == IPPROTO_TCP ? offsetof(struct tcphdr, check)
						     : offsetof(struct udphdr, check);
		delta = csum_delta_addresses(in, m);
	} else {
		return;
	}

	__u16 *field = ctx_at(c, in->l4 + q->offset, sizeof(*field));

	if (!field || in->l4 + q->offset + sizeof(*field) > end ||
	    (in->proto == IPPROTO_UDP && !*field))
		return;
	q->has_value = true;
	q->value = csum_updated(*field, delta, in->proto == IPPROTO_UDP);
	q->delta += q->value + (__u16) ~*field;
}

/* The packet's new beginning, up to and with the quoted header. */
struct error_start_46 {
	struct ipv6hdr ip;
	struct icmp_header icmp;
	struct ipv6_headers quoted;
};

struct error_start_64 {
	struct iphdr ip;
	struct icmp_header icmp;
	struct iphdr quoted;
};

/* Two packets do not fit on the stack beside the caller's. */
struct error_work {
	struct pkt p;
	struct pkt in;
	struct mapping m;
	struct mapping mq;
	struct quote_change q;
	struct icmp_start icmp;
	__u32 end; /* the first offset behind the packet */
	__u16 old_check;
	struct ipv6_headers outer;
	struct error_start_46 start6;
	struct error_start_64 start4;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct error_work);
} error_works SEC(".maps");

static __always_inline int rewrite_quote_l4(struct ctx c, __u32 l4, const struct quote_change *q)
{
	if (q->has_type && ctx_store(c, l4, &q->icmp_type, sizeof(q->icmp_type)))
		return -1;
	if (q->has_value && ctx_store(c, l4 + q->offset, &q->value, sizeof(q->value)))
		return -1;
	return 0;
}

/* What both directions do to the sum: the old start goes, the quoted transport header changes. */
static __always_inline int error_delta(struct ctx c, const struct error_work *w, __u64 *delta)
{
	int gone = ctx_csum_range(c, w->p.l4, w->in.l4 - w->p.l4);

	if (gone < 0)
		return -1;
	*delta = (__u16)~gone + (__u64)w->old_check + w->q.delta;
	return 0;
}

static __always_inline enum reason error_46(struct ctx c, const struct tables *t,
					    struct error_work *w, struct next_hop **hop)
{
	const struct pkt *p = &w->p, *in = &w->in;
	struct error_start_46 *start = &w->start6;
	__u32 quoted_header =
		sizeof(struct ipv6hdr) + (in->is_fragment ? FRAGMENT_HEADER_BYTES : 0);
	__u32 fresh = sizeof(struct ipv6hdr) + ICMP_HEADER_BYTES + quoted_header;
	__u32 l4_bytes = ICMP_HEADER_BYTES + quoted_header + w->end - in->l4;
	__u32 mtu4 = 0xffff;
	__u64 delta;
	enum reason why;

	/* The link that the packet in error was to take, then the way of the error itself. */
	if (!next_hop(c, t->gw, &in->src, &in->dst, FAMILY_INET, 0, hop))
		mtu4 = (*hop)->mtu_bytes;
	why = next_hop(c, t->gw, &w->m.src, &w->m.dst, FAMILY_INET6, p->tos, hop);
	if (why)
		return why;
	if (w->icmp.type == ICMPV6_PKT_TOOBIG)
		w->icmp.rest = icmp_mtu_46(w->icmp.rest, in->header_bytes + in->payload_bytes, mtu4,
					   (*hop)->mtu_bytes);
	if (sizeof(struct ipv6hdr) + l4_bytes > (*hop)->mtu_bytes)
		return DROP_TOO_BIG;
	if (error_delta(c, w, &delta))
		return DROP_TRUNCATED;

	header_46(p, &w->m, l4_bytes, p->ttl - 1, &w->outer);
	start->ip = w->outer.ip;
	header_46(in, &w->mq, in->payload_bytes, in->ttl, &start->quoted);
	start->icmp =
		(struct icmp_header){ w->icmp.type, w->icmp.code, 0, bpf_htonl(w->icmp.rest) };
	delta += csum_words(&start->icmp, sizeof(start->icmp)) +
		 csum_delta_pseudo(p, &w->m, l4_bytes) +
		 csum_words(&start->quoted.ip, sizeof(start->quoted.ip));
	if (in->is_fragment)
		delta += csum_words(&start->quoted.fragment, sizeof(start->quoted.fragment));
	start->icmp.checksum = csum_updated(w->old_check, delta, false);

	if (ctx_replace_l3(c, p->l3, in->l4 - p->l3, fresh, FAMILY_INET6))
		return DROP_RESIZE_FAILED;
	if (in->is_fragment ? ctx_store(c, p->l3, start, sizeof(*start))
			    : ctx_store(c, p->l3, start, sizeof(*start) - FRAGMENT_HEADER_BYTES))
		return DROP_RESIZE_FAILED;
	return rewrite_quote_l4(c, p->l3 + fresh, &w->q) ? DROP_RESIZE_FAILED : REASON_NONE;
}

static __always_inline enum reason error_64(struct ctx c, const struct tables *t,
					    struct error_work *w, struct next_hop **hop)
{
	const struct pkt *p = &w->p, *in = &w->in;
	struct error_start_64 *start = &w->start4;
	const __u32 fresh = sizeof(*start);
	__u32 l4_bytes = ICMP_HEADER_BYTES + sizeof(struct iphdr) + w->end - in->l4;
	__u32 mtu6 = 0xffff;
	__u64 delta;
	enum reason why;

	if (!next_hop(c, t->gw, &in->src, &in->dst, FAMILY_INET6, 0, hop))
		mtu6 = (*hop)->mtu_bytes;
	why = next_hop(c, t->gw, &w->m.src, &w->m.dst, FAMILY_INET, p->tos, hop);
	if (why)
		return why;
	if (w->icmp.type == ICMP_DEST_UNREACH && w->icmp.code == ICMP_FRAG_NEEDED)
		w->icmp.rest = icmp_mtu_64(
			w->icmp.rest, 20 + (in->has_fragment_header ? FRAGMENT_HEADER_BYTES : 0),
			(*hop)->mtu_bytes, mtu6);
	if (sizeof(struct iphdr) + l4_bytes > (*hop)->mtu_bytes)
		return DROP_TOO_BIG;
	if (error_delta(c, w, &delta))
		return DROP_TRUNCATED;

	__u16 id = bpf_get_prandom_u32();

	header_64(p, &w->m, l4_bytes, p->ttl - 1, sizeof(struct iphdr) + l4_bytes, id, &start->ip);
	header_64(in, &w->mq, in->payload_bytes, in->ttl, sizeof(struct iphdr) + in->payload_bytes,
		  id, &start->quoted);
	start->icmp =
		(struct icmp_header){ w->icmp.type, w->icmp.code, 0, bpf_htonl(w->icmp.rest) };
	delta += csum_words(&start->icmp, sizeof(start->icmp)) +
		 csum_words(&start->quoted, sizeof(start->quoted)) +
		 csum_delta_pseudo(p, &w->m, p->payload_bytes);
	start->icmp.checksum = csum_updated(w->old_check, delta, false);

	if (ctx_replace_l3(c, p->l3, in->l4 - p->l3, fresh, FAMILY_INET) ||
	    ctx_store(c, p->l3, start, sizeof(*start)))
		return DROP_RESIZE_FAILED;
	return rewrite_quote_l4(c, p->l3 + fresh, &w->q) ? DROP_RESIZE_FAILED : REASON_NONE;
}

/* Everything that is decided before the packet is touched. */
static __always_inline enum reason plan_error(struct ctx c, struct tables *t, struct error_work *w)
{
	enum reason why = receive(c, t, &w->p, &w->m);

	if (why)
		return why;

	struct icmp_header *icmp = ctx_at(c, w->p.l4, sizeof(*icmp));

	if (!icmp)
		return DROP_TRUNCATED;
	w->icmp = (struct icmp_start){ icmp->type, icmp->code, bpf_ntohl(icmp->rest) };
	w->old_check = icmp->checksum;
	w->end = w->p.l4 + w->p.payload_bytes;
	why = w->p.family == FAMILY_INET ? icmp_error_46(&w->icmp) : icmp_error_64(&w->icmp);
	if (why)
		return why;
	w->in.family = w->p.family;
	w->in.l3 = w->p.l4 + ICMP_HEADER_BYTES;
	why = parse_quote(c, &w->in, w->end);
	if (!why)
		why = check_quote_l4(c, &w->in, w->end, &w->q);
	if (!why)
		why = map(c, t, &w->p, &w->m, true);
	if (!why)
		why = map_quote(t, &w->in, &w->m, &w->mq);
	if (why)
		return why;
	/* An error belongs to the flow that it quotes: the client is whom that packet went to. */
	if (w->p.family == FAMILY_INET && !is_allowed(t, &w->m, &w->in.dst))
		return DROP_SOURCE_NOT_ALLOWED;
	if (w->p.ttl <= 1)
		return DROP_TTL_EXPIRED;
	plan_quote_l4(c, &w->in, &w->mq, w->end, &w->q);
	return REASON_NONE;
}

/* Errors are never answered, so each exit but the last drops in silence. */
static __always_inline int translate_error(struct ctx c)
{
	__u32 zero = 0;
	struct error_work *w = bpf_map_lookup_elem(&error_works, &zero);
	struct next_hop *hop;
	struct tables t;

	if (!w)
		return ctx_drop(c);
	__builtin_memset(&w->p, 0, sizeof(w->p));
	__builtin_memset(&w->in, 0, sizeof(w->in));
	__builtin_memset(&w->q, 0, sizeof(w->q));
	ctx_pull(c, PULL_BYTES_ERROR);

	enum reason why = plan_error(c, &t, w);
	__u32 bytes = pkt_l3_bytes(&w->p);

	if (!why)
		why = w->p.family == FAMILY_INET ? error_46(c, &t, w, &hop)
						 : error_64(c, &t, w, &hop);
	if (why) {
		int verdict = drop(why, bytes);

		return is_pass(why) ? ctx_pass(c) : verdict; /* other tables than forward() met */
	}
	count_forward(&t, &w->m, w->p.family == FAMILY_INET ? DIRECTION_46 : DIRECTION_64, bytes);
	return send(c, t.gw, hop);
}

__noinline int xdp_error(struct xdp_md *raw)
{
	return translate_error((struct ctx){ raw, ENTRY_XDP });
}

__noinline int tc_error(struct __sk_buff *raw)
{
	return translate_error((struct ctx){ raw, ENTRY_TC });
}

#endif
