// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ICMP errors, a packet in a packet (RFC 7915 4.3, 5.3): both are translated, the quoted one is on
 * its way back. Here is what becomes of their bytes; error.h knows whose they are. */
#ifndef SIXLANE_QUOTE_H
#define SIXLANE_QUOTE_H

#include "sixlane/extension.h"
#include "sixlane/fib.h"
#include "sixlane/receive.h"
#include "sixlane/session.h"

#define ERROR_BYTES_MAX	 2000 /* of layer 3; RFCs 1812 and 4443 allow 576 and 1,280 */
#define PULL_BYTES_ERROR (LINK_BYTES_MAX + ERROR_BYTES_MAX)

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
		if (ipv4_is_shorter_than_its_header(in))
			return DROP_MALFORMED;
		if (in->l4 > end)
			return DROP_TRUNCATED;
		if (fragment_overflows(in->fragment, in->payload_bytes))
			return DROP_MALFORMED;
		return REASON_NONE;
	}
	why = parse_ipv6(c, in);
	if (!why)
		why = parse_extensions(c, in, end);
	if (!why &&
	    sizeof(struct iphdr) + in->payload_bytes > 0xffff) /* no IPv4 packet is as long */
		why = DROP_MALFORMED;
	return why;
}

/* What happens to the quoted transport header: two bytes at `offset` become `value`, an echo
 * changes its type, the port or identifier of a session changes; of a hairpin, both ports. */
struct quote_change {
	__u64 delta; /* to the sum over the quote */
	__u32 offset;
	__u16 value;
	__u8 icmp_type;
	__u8 port_offset;
	__be16 old_port;
	__be16 new_port;
	__be16 old_far_port;
	__be16 new_far_port;
	bool has_value;
	bool has_type;
	bool has_port;
	bool has_far_port; /* of a flow or hairpin, and the quoted source */
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

/* The quoted checksum follows, where it is quoted whole. `same`: the family stays. */
static __always_inline void plan_quote_l4(struct ctx c, const struct pkt *in,
					  const struct mapping *m, __u32 end, bool same,
					  struct quote_change *q)
{
	__u64 port_delta = q->has_port ? (__u64)q->new_port + (__u16)~q->old_port : 0;
	__u64 delta;

	if (!pkt_has_l4_header(in))
		return;
	if (q->has_far_port)
		port_delta += (__u64)q->new_far_port + (__u16)~q->old_far_port;
	if (q->has_type && same) { /* ICMPv6 as before */
		q->has_type = false;
		q->offset = offsetof(struct icmp_header, checksum);
		q->delta = 0;
		delta = csum_delta_addresses(in, m);
	} else if (q->has_type) {
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

	q->delta += port_delta;
	if (!field || in->l4 + q->offset + sizeof(*field) > end ||
	    (in->proto == IPPROTO_UDP && !*field))
		return;
	q->has_value = true;
	q->value = csum_updated(*field, delta + port_delta, in->proto == IPPROTO_UDP);
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
	struct tail tail;
	__u32 end;	/* the first offset behind the packet */
	__u32 sent_as;	/* enum reason */
	__u32 frontend; /* of an error to a backend: ids of its counters */
	__u32 backend;
	__u16 old_check;
	__u8 family;		    /* of what leaves */
	bool from_pool;		    /* the source is one of `icmp_pool` */
	struct session4_key key4;   /* of a quoted packet that we sent outside */
	struct flow_in_key flow_in; /* of a quoted packet of a service */
	struct flow_back_key flow_back;
	struct ipv6_headers outer;
	struct error_start_46 start6;
	struct error_start_64 start4;
	__u8 extension[ICMP_EXTENSION_BYTES_MAX] __attribute__((aligned(8)));
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
	if (q->has_port && ctx_store(c, l4 + q->port_offset, &q->new_port, sizeof(q->new_port)))
		return -1;
	if (q->has_far_port && ctx_store(c, l4, &q->new_far_port, sizeof(q->new_far_port)))
		return -1;
	if (q->has_value && ctx_store(c, l4 + q->offset, &q->value, sizeof(q->value)))
		return -1;
	return 0;
}

/* What both directions do to the sum: the old start goes, the quoted transport header changes, what
 * is cut goes. An extension moves by words, and so adds what it added. */
static __always_inline int error_delta(struct ctx c, struct error_work *w, __u64 *delta)
{
	const struct tail *tail = &w->tail;
	int gone = ctx_csum_range(c, w->p.l4, w->in.l4 - w->p.l4);

	if (gone < 0)
		return -1;
	*delta = (__u16)~gone + (__u64)w->old_check + w->q.delta;
	if (tail->cut_bytes) {
		gone = ctx_csum_range(c, tail->quote_end - tail->cut_bytes, tail->cut_bytes);
		if (gone < 0)
			return -1;
		*delta += (__u16)~csum_placed(gone, tail->quote_end - tail->cut_bytes - w->p.l4);
	}
	if (tail->extension_bytes && !tail->keep_bytes) {
		gone = ctx_csum_range(c, tail->quote_end, tail->extension_bytes);
		if (gone < 0)
			return -1;
		*delta += (__u16)~gone;
	}
	if (w->from_pool && tail->keep_bytes) /* an extension of our own */
		*delta += csum_words(w->extension, sizeof(struct origin_extension));
	return 0;
}

/* Takes an extension out and cuts what is behind the quote, before the packet is changed. */
static __always_inline int tail_cut(struct ctx c, struct error_work *w)
{
	const struct tail *tail = &w->tail;

	if (!tail->cut_bytes && !tail->extension_bytes && !tail->keep_bytes)
		return 0;
	if (tail->keep_bytes && !w->from_pool &&
	    ctx_load(c, tail->quote_end, w->extension, tail->keep_bytes, sizeof(w->extension)))
		return -1;
	return ctx_resize(c, tail->quote_end - tail->cut_bytes);
}

/* Puts it behind the quote, whose field ends at `offset`. */
static __always_inline int tail_append(struct ctx c, struct error_work *w, __u32 offset)
{
	__u32 bytes = w->tail.keep_bytes;

	if (!bytes)
		return 0;
	return ctx_resize(c, offset + bytes) ||
	       ctx_store_all(c, offset, w->extension, bytes, sizeof(w->extension));
}

/* The MTU of the way that the packet in error was to take. */
static __always_inline __u32 mtu_of_quoted(struct ctx c, const struct tables *t,
					   const struct pkt *in)
{
	struct next_hop *next;

	return next_hop(c, t->gw, &in->src, &in->dst, in->family, 0, &next) ? 0xffff
									    : next->hop.mtu_bytes;
}

static __always_inline enum reason error_46(struct ctx c, struct error_work *w, __u32 mtu4,
					    const struct hop *hop)
{
	const struct pkt *p = &w->p, *in = &w->in;
	struct error_start_46 *start = &w->start6;
	__u32 quoted_header = header_46_bytes(in);
	__u32 fresh = sizeof(struct ipv6hdr) + ICMP_HEADER_BYTES + quoted_header;
	__u64 delta;

	if (w->icmp.type == ICMPV6_PKT_TOOBIG)
		w->icmp.rest = icmp_mtu_46(w->icmp.rest, in->header_bytes + in->payload_bytes, mtu4,
					   hop->mtu_bytes);
	plan_tail(&w->tail, in->l4, quoted_header,
		  min_u32(ERROR6_BYTES_MAX, hop->mtu_bytes) - ERROR6_HEADER_BYTES,
		  icmp_is_extensible(w->icmp.type, FAMILY_INET6), 8);
	if (w->tail.keep_bytes)
		w->icmp.rest |= w->tail.field_bytes / 8 << 24;
	if (error_delta(c, w, &delta))
		return DROP_TRUNCATED;

	__u32 l4_bytes = ICMP_HEADER_BYTES + w->tail.field_bytes + w->tail.keep_bytes;

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

	if (tail_cut(c, w))
		return DROP_RESIZE_FAILED;
	if (ctx_replace_l3(c, p->l3, in->l4 - p->l3, fresh, FAMILY_INET6))
		return DROP_RESIZE_FAILED;
	if (in->is_fragment ? ctx_store(c, p->l3, start, sizeof(*start))
			    : ctx_store(c, p->l3, start, sizeof(*start) - FRAGMENT_HEADER_BYTES))
		return DROP_RESIZE_FAILED;
	if (rewrite_quote_l4(c, p->l3 + fresh, &w->q))
		return DROP_RESIZE_FAILED;
	return tail_append(c, w, p->l3 + ERROR6_HEADER_BYTES + w->tail.field_bytes)
		       ? DROP_RESIZE_FAILED
		       : REASON_NONE;
}

static __always_inline enum reason error_64(struct ctx c, const struct tables *t,
					    struct error_work *w, __u32 mtu6, const struct hop *hop)
{
	const struct pkt *p = &w->p, *in = &w->in;
	struct error_start_64 *start = &w->start4;
	__u64 delta;

	if (w->icmp.type == ICMP_DEST_UNREACH && w->icmp.code == ICMP_FRAG_NEEDED)
		w->icmp.rest = icmp_mtu_64(
			w->icmp.rest, 20 + (in->has_fragment_header ? FRAGMENT_HEADER_BYTES : 0),
			hop->mtu_bytes, mtu6);

	bool extensible =
		!(w->icmp.type == ICMP_DEST_UNREACH && w->icmp.code == ICMP_FRAG_NEEDED) &&
		icmp_is_extensible(w->icmp.type, FAMILY_INET);

	if (w->from_pool && extensible && t->gw->flags & GATEWAY_ICMP_ORIGIN &&
	    !w->tail.extension_bytes)
		w->tail.own_bytes = origin_extension((struct origin_extension *)w->extension, p);
	else
		w->from_pool = false;
	plan_tail(&w->tail, in->l4, sizeof(struct iphdr),
		  min_u32(ERROR4_BYTES_MAX, hop->mtu_bytes) - ERROR4_HEADER_BYTES, extensible, 4);
	if (w->tail.keep_bytes)
		w->icmp.rest |= w->tail.field_bytes / 4 << 16;
	if (error_delta(c, w, &delta))
		return DROP_TRUNCATED;

	__u32 l4_bytes = ICMP_HEADER_BYTES + w->tail.field_bytes + w->tail.keep_bytes;
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

	if (tail_cut(c, w))
		return DROP_RESIZE_FAILED;
	if (ctx_replace_l3(c, p->l3, in->l4 - p->l3, sizeof(*start), FAMILY_INET) ||
	    ctx_store(c, p->l3, start, sizeof(*start)))
		return DROP_RESIZE_FAILED;
	if (rewrite_quote_l4(c, p->l3 + sizeof(*start), &w->q))
		return DROP_RESIZE_FAILED;
	return tail_append(c, w, p->l3 + ERROR4_HEADER_BYTES + w->tail.field_bytes)
		       ? DROP_RESIZE_FAILED
		       : REASON_NONE;
}

/* Within IPv6: addresses in both headers, and what follows from them. */
static __always_inline enum reason error_66(struct ctx c, struct error_work *w,
					    const struct hop *hop)
{
	const struct pkt *p = &w->p, *in = &w->in;
	__u32 rest = w->icmp.rest;

	if (pkt_l3_bytes(p) > hop->mtu_bytes)
		return DROP_TOO_BIG;
	if (w->icmp.type == ICMPV6_PKT_TOOBIG)
		w->icmp.rest = max_u32(IPV6_MTU_MIN, min_u32(rest, hop->mtu_bytes));

	__be32 was = bpf_htonl(rest), is = bpf_htonl(w->icmp.rest);
	__u64 delta = csum_delta_addresses(p, &w->m) + csum_delta_addresses(in, &w->mq) +
		      w->q.delta + csum_words_gone(&was, sizeof(was)) + is;
	struct icmp_header *icmp = &w->start6.icmp;

	*icmp = (struct icmp_header){ w->icmp.type, w->icmp.code,
				      csum_updated(w->old_check, delta, false), is };
	if (store_ends(c, p->l3, &w->m, p->ttl - 1) || ctx_store(c, p->l4, icmp, sizeof(*icmp)) ||
	    store_ends(c, in->l3, &w->mq, in->ttl))
		return DROP_RESIZE_FAILED;
	return rewrite_quote_l4(c, in->l4, &w->q) ? DROP_RESIZE_FAILED : REASON_NONE;
}

/* Within IPv4: no pseudo-header, and a quoted header adds up to the same with its own checksum. */
static __always_inline enum reason error_44(struct ctx c, struct error_work *w,
					    const struct hop *hop)
{
	const struct pkt *p = &w->p, *in = &w->in;
	__u16 check = csum_updated(w->old_check, w->q.delta, false);

	if (pkt_l3_bytes(p) > hop->mtu_bytes)
		return DROP_TOO_BIG;
	if (store_ends4(c, p, &w->m, p->ttl - 1) || store_ends4(c, in, &w->mq, in->ttl) ||
	    ctx_store(c, p->l4 + offsetof(struct icmp_header, checksum), &check, sizeof(check)))
		return DROP_RESIZE_FAILED;
	return rewrite_quote_l4(c, in->l4, &w->q) ? DROP_RESIZE_FAILED : REASON_NONE;
}

#endif
