// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ICMP errors, a packet in a packet (RFC 7915 4.3, 5.3): both are translated, the quoted one is on
 * its way back. */
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

static __always_inline enum reason map_quote(const struct tables *t, const struct pkt *in,
					     const struct mapping *outer, struct mapping *m)
{
	__u32 v4 = 0, index;

	if (in->family == FAMILY_INET) {
		m->src_word = range_of(t->slot, addr_to_v4(in->src));
		m->dst_word = range_of(t->slot, addr_to_v4(in->dst));
		m->prefix = outer->prefix;
		return map_46(t, in, m, false, true);
	}

	enum mapped_by src_by = map_addr_64(t, in->src, &v4, &index);

	m->src = addr_from_v4(v4);
	m->src_word = range_of(t->slot, v4);
	if (src_by == BY_PREFIX && range_breaks_well_known(prefix_at(t->gw, index), m->src_word))
		return DROP_NOT_GLOBAL;

	enum mapped_by dst_by = map_addr_64(t, in->dst, &v4, &index);

	m->dst = addr_from_v4(v4);
	m->dst_word = range_of(t->slot, v4);
	if (dst_by == BY_PREFIX && range_breaks_well_known(prefix_at(t->gw, index), m->dst_word))
		return DROP_NOT_GLOBAL;
	if (src_by == BY_NOTHING)
		return DROP_SOURCE_NOT_MAPPABLE;
	return dst_by == BY_NOTHING ? DROP_DESTINATION_NOT_MAPPABLE : REASON_NONE;
}

/* What a hairpin's answer quotes goes back the way it came (RFC 7757 4.2.2): the source is a node
 * inside, and knows the destination by the prefix that serves itself. */
static __always_inline enum reason map_hairpin_quote(const struct tables *t, struct mapping *m)
{
	__u32 src = addr_to_v4(m->src), dst = addr_to_v4(m->dst);

	m->prefix = range_server(m->src_word);
	if (m->prefix >= MAX_PREFIXES)
		return DROP_SOURCE_NOT_MAPPABLE;

	const struct prefix *px = prefix_at(t->gw, m->prefix);
	enum reason why = map_addr_46(t, px, src, m->src_word, false, &m->src);

	return why ? why : embed_46(px, dst, m->dst_word, &m->dst);
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
	bool has_far_port; /* it is the quoted source */
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
					  const struct mapping *m, __u32 end, bool hairpin,
					  struct quote_change *q)
{
	__u64 port_delta = q->has_port ? (__u64)q->new_port + (__u16)~q->old_port : 0;
	__u64 delta;

	if (!pkt_has_l4_header(in))
		return;
	if (q->has_far_port)
		port_delta += (__u64)q->new_far_port + (__u16)~q->old_far_port;
	if (q->has_type && hairpin) { /* ICMPv6 as before */
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
	__u32 end; /* the first offset behind the packet */
	__u16 old_check;
	bool from_pool;		  /* the source is one of `icmp_pool` */
	struct session4_key key4; /* of a quoted packet that we sent outside */
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
					   const struct pkt *in, const __u32 family)
{
	struct next_hop *next;

	return next_hop(c, t->gw, &in->src, &in->dst, family, 0, &next) ? 0xffff
									: next->hop.mtu_bytes;
}

static __always_inline enum reason error_46(struct ctx c, const struct tables *t,
					    struct error_work *w, struct next_hop **next)
{
	const struct pkt *p = &w->p, *in = &w->in;
	struct error_start_46 *start = &w->start6;
	__u32 quoted_header = header_46_bytes(in);
	__u32 fresh = sizeof(struct ipv6hdr) + ICMP_HEADER_BYTES + quoted_header;
	__u32 mtu4 = mtu_of_quoted(c, t, in, FAMILY_INET);
	__u64 delta;
	enum reason why = next_hop(c, t->gw, &w->m.src, &w->m.dst, FAMILY_INET6, p->tos, next);

	if (why)
		return why;
	if (w->icmp.type == ICMPV6_PKT_TOOBIG)
		w->icmp.rest = icmp_mtu_46(w->icmp.rest, in->header_bytes + in->payload_bytes, mtu4,
					   (*next)->hop.mtu_bytes);
	plan_tail(&w->tail, in->l4, quoted_header,
		  min_u32(ERROR6_BYTES_MAX, (*next)->hop.mtu_bytes) - ERROR6_HEADER_BYTES,
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
					    struct error_work *w, struct next_hop **next)
{
	const struct pkt *p = &w->p, *in = &w->in;
	struct error_start_64 *start = &w->start4;
	__u32 mtu6 = mtu_of_quoted(c, t, in, FAMILY_INET6);
	__u64 delta;
	enum reason why = next_hop(c, t->gw, &w->m.src, &w->m.dst, FAMILY_INET, p->tos, next);

	if (why)
		return why;
	if (w->icmp.type == ICMP_DEST_UNREACH && w->icmp.code == ICMP_FRAG_NEEDED)
		w->icmp.rest = icmp_mtu_64(
			w->icmp.rest, 20 + (in->has_fragment_header ? FRAGMENT_HEADER_BYTES : 0),
			(*next)->hop.mtu_bytes, mtu6);

	bool extensible =
		!(w->icmp.type == ICMP_DEST_UNREACH && w->icmp.code == ICMP_FRAG_NEEDED) &&
		icmp_is_extensible(w->icmp.type, FAMILY_INET);

	if (w->from_pool && extensible && t->gw->flags & GATEWAY_ICMP_ORIGIN &&
	    !w->tail.extension_bytes)
		w->tail.own_bytes = origin_extension((struct origin_extension *)w->extension, p);
	else
		w->from_pool = false;
	plan_tail(&w->tail, in->l4, sizeof(struct iphdr),
		  min_u32(ERROR4_BYTES_MAX, (*next)->hop.mtu_bytes) - ERROR4_HEADER_BYTES,
		  extensible, 4);
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

/* From inside to inside: addresses in both headers, and what follows from them. */
static __always_inline enum reason error_66(struct ctx c, const struct tables *t,
					    struct error_work *w, struct next_hop **next)
{
	const struct pkt *p = &w->p, *in = &w->in;
	enum reason why = next_hop(c, t->gw, &w->m.src, &w->m.dst, FAMILY_INET6, p->tos, next);
	__u32 rest = w->icmp.rest;

	if (why)
		return why;
	if (pkt_l3_bytes(p) > (*next)->hop.mtu_bytes)
		return DROP_TOO_BIG;
	if (w->icmp.type == ICMPV6_PKT_TOOBIG)
		w->icmp.rest = max_u32(IPV6_MTU_MIN, min_u32(rest, (*next)->hop.mtu_bytes));

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

/* A router that has no IPv4 address of its own is given one (RFC 6791 3). */
static __always_inline struct addr pick_source(const struct gateway *gw)
{
	__u32 place = bpf_get_prandom_u32();

	if (gw->icmp_pool_addresses)
		place %= gw->icmp_pool_addresses;
	for (__u32 i = 0; i < MAX_ICMP_POOL; i++) {
		if (i >= gw->icmp_pool_count)
			break;
		if (place < gw->icmp_pool[i].count)
			return addr_from_v4(gw->icmp_pool[i].first + place);
		place -= gw->icmp_pool[i].count;
	}
	return addr_from_v4(0);
}

/* The session of a quoted packet, which had passed us on its way (RFC 6146 3.4, 3.6.1); NULL: it
 * has none. Its state is not touched. */
static __always_inline struct session *quote_session(struct ctx c, const struct tables *t,
						     struct error_work *w)
{
	const struct pkt *in = &w->in;
	const bool v4 = in->family == FAMILY_INET;
	const bool query = in->proto == icmp_proto(in->family);
	__u32 bytes = query ? ICMP_HEADER_BYTES : sizeof(struct ports);
	__be16 *half = ctx_at(c, in->l4, ICMP_HEADER_BYTES); /* a quote has as much (RFC 792) */
	__u32 protocol = protocol_of(in->proto), index;

	if (protocol == PROTOCOL_OTHER || !pkt_has_l4_header(in) || !half ||
	    in->l4 + bytes > w->tail.quote_end)
		return NULL;

	/* As the quoted packet names them: its source is inside if it is of IPv4. */
	__be16 source = query ? half[2] : half[0], destination = query ? 0 : half[1];
	struct session *s;

	w->q.port_offset = query ? offsetof(struct icmp_header, rest) : v4 ? 0 : sizeof(__be16);
	if (v4) {
		w->key4.pool = bpf_htonl(addr_to_v4(in->src));
		w->key4.remote = bpf_htonl(addr_to_v4(in->dst));
		w->key4.pool_port = source;
		w->key4.remote_port = destination;
		w->key4.protocol = protocol - PROTOCOL_TCP;
		s = session_find4(&w->key4);
	} else {
		index = pool6_find(t->gw, &in->src);
		if (index >= MAX_PREFIXES)
			return NULL;

		const struct prefix *px = prefix_at(t->gw, index);
		struct session6_key key = { .inside = in->dst,
					    .remote = bpf_htonl(rfc6052_extract(px, &in->src)),
					    .inside_port = query ? source : destination,
					    .remote_port = query ? 0 : source,
					    .protocol = protocol - PROTOCOL_TCP,
					    .prefix = px->id };

		s = session_find6(&key);
	}
	return s && word_end(t->gw, s->word) > now() ? s : NULL;
}

/* Behind quote_session(), from outside: might the quoted packet have been ours? */
static __always_inline bool quote_is_ours(const struct tables *t, const struct error_work *w)
{
	const struct session4_key *key = &w->key4;

	return key->pool != bpf_htonl(addr_to_v4(w->p.dst)) ||
	       port_is_ours(t->gw, key->pool, key->protocol, key->pool_port);
}

/*
 * An error of who was called in a hairpin, by `s`. Its packet went by two sessions, and to the
 * other one the error belongs (RFC 6146 3.8): 46 after 64. PASS_NOT_OURS: it was no hairpin.
 */
static __always_inline enum reason map_session_hairpin(struct tables *t, struct error_work *w,
						       const struct session *s)
{
	struct mapping *m = &w->m, *mq = &w->mq;
	struct session4_key *key = &w->key4;
	const bool query = s->protocol == SESSION_ICMP;

	key->pool = s->remote;
	key->remote = s->pool;
	key->pool_port = query ? s->pool_port : s->remote_port;
	key->remote_port = query ? 0 : s->pool_port;
	key->protocol = s->protocol;
	if (!port_is_ours(t->gw, key->pool, key->protocol, key->pool_port))
		return PASS_NOT_OURS;

	const struct session *caller = session_find4(key);

	if (!caller || !word_is_alive(caller->word, now()))
		return DROP_NO_SESSION;
	m->prefix = t->gw->prefix_indices[caller->prefix & (MAX_PREFIXES - 1)];
	if (m->prefix >= MAX_PREFIXES)
		return DROP_NO_SESSION;
	m->hairpin = true;
	m->src = rfc6052_embed(prefix_at(t->gw, m->prefix), bpf_ntohl(s->pool));
	m->dst = caller->inside;
	mq->src = m->dst;
	mq->dst = m->src;
	w->q.has_port = true;
	w->q.old_port = s->inside_port;
	w->q.new_port = query ? caller->inside_port : s->pool_port;
	w->q.has_far_port = !query;
	w->q.old_far_port = s->remote_port;
	w->q.new_far_port = caller->inside_port;
	count_for(t->gw, &w->p, m);
	return REASON_NONE;
}

/* Both pairs of addresses of an error about a session's packet, and the quoted port. Who sent it
 * has no binding of its own: to the outside it is the session's address that tells. */
static __always_inline enum reason map_session_error(struct tables *t, struct error_work *w,
						     const struct session *s)
{
	struct mapping *m = &w->m, *mq = &w->mq;
	const bool v4 = w->p.family == FAMILY_INET;
	struct addr pool = addr_from_v4(bpf_ntohl(s->pool));

	m->prefix = t->gw->prefix_indices[s->prefix & (MAX_PREFIXES - 1)];
	if (m->prefix >= MAX_PREFIXES)
		return DROP_NO_SESSION;

	const struct prefix *px = prefix_at(t->gw, m->prefix);

	/* An error is for whom it quotes, and for nobody else (RFC 6146 3.4). */
	if (addr_to_v4(v4 ? w->p.dst : m->dst) != bpf_ntohl(v4 ? s->pool : s->remote))
		return DROP_NO_SESSION;
	if (v4) {
		m->dst = s->inside;
		m->src = rfc6052_embed(px, addr_to_v4(w->p.src));
		if (range_breaks_well_known(px, range_of(t->slot, addr_to_v4(w->p.src))))
			return DROP_NOT_GLOBAL;
		mq->src = s->inside;
		mq->dst = rfc6052_embed(px, bpf_ntohl(s->remote));
	} else {
		enum reason why = map_session_hairpin(t, w, s);

		if (why != PASS_NOT_OURS)
			return why;
		m->src = pool;
		mq->src = addr_from_v4(bpf_ntohl(s->remote));
		mq->dst = pool;
	}
	w->q.has_port = true;
	w->q.old_port = v4 ? s->pool_port : s->inside_port;
	w->q.new_port = v4 ? s->inside_port : s->pool_port;
	count_for(t->gw, &w->p, m);
	return REASON_NONE;
}

/* Both pairs of addresses. */
static __always_inline enum reason map_error(struct ctx c, struct tables *t, struct error_work *w)
{
	struct mapping *m = &w->m, *mq = &w->mq;

	if (t->gw->flags & GATEWAY_STATEFUL && !m->hairpin) {
		struct session *s = quote_session(c, t, w);

		if (s)
			return map_session_error(t, w, s);
		if (m->stateful)
			return quote_is_ours(t, w) ? DROP_NO_SESSION : PASS_NOT_OURS;
	}

	enum reason why = map(c, t, &w->p, m, true);
	bool foreign = why == DROP_SOURCE_NOT_MAPPABLE && (m->hairpin || t->gw->icmp_pool_count);

	if (why && !foreign)
		return why;
	why = map_quote(t, &w->in, m, mq);
	if (why)
		return why;
	if (foreign && !m->hairpin) {
		m->src = pick_source(t->gw);
		m->prefix = range_server(mq->dst_word);
		w->from_pool = true;
		if (m->prefix >= MAX_PREFIXES)
			return DROP_SOURCE_NOT_MAPPABLE;
		count_for(t->gw, &w->p, m);
	}
	/* An error belongs to the flow that it quotes: the client is whom that packet went to. */
	struct addr client = w->p.family == FAMILY_INET ? w->in.dst : mq->dst;

	if (m->hairpin) {
		why = map_hairpin(t, m);
		count_for(t->gw, &w->p, m);
		if (foreign) {
			m->src = w->p.src; /* a router inside, which everybody inside can name */
			why = why == DROP_NOT_GLOBAL ? REASON_NONE : why;
		}
		if (!why)
			why = map_hairpin_quote(t, mq);
		if (why)
			return why;
	}
	return (w->p.family == FAMILY_INET || m->hairpin) && !is_allowed(t, m, &client)
		       ? DROP_SOURCE_NOT_ALLOWED
		       : REASON_NONE;
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

	__u32 rest = bpf_ntohl(icmp->rest);
	bool extensible = icmp_is_extensible(icmp->type, w->p.family);

	w->icmp = (struct icmp_start){ icmp->type, icmp->code, rest };
	w->old_check = icmp->checksum;
	w->end = w->p.l4 + w->p.payload_bytes;
	if (pkt_l3_bytes(&w->p) > ERROR_BYTES_MAX)
		return DROP_TOO_BIG;

	const struct icmp_start sent = w->icmp;
	enum reason type = REASON_NONE;

	if (!w->m.hairpin)
		type = w->p.family == FAMILY_INET ? icmp_error_46(&w->icmp)
						  : icmp_error_64(&w->icmp);
	/* Hairpins of sessions, which go on as they are, are known by their quotes alone. */
	if (type && !(t->gw->flags & GATEWAY_STATEFUL))
		return type;
	w->in.family = w->p.family;
	w->in.l3 = w->p.l4 + ICMP_HEADER_BYTES;
	why = find_tail(&w->tail, w->in.l3, w->end, extensible, rest, w->p.family);
	if (!why)
		why = parse_quote(c, &w->in, w->tail.quote_end);
	if (!why)
		why = check_quote_l4(c, &w->in, w->tail.quote_end, &w->q);
	if (!why)
		why = map_error(c, t, w);
	if (!why && !w->m.hairpin)
		why = type;
	if (why)
		return why;
	if (w->m.hairpin)
		w->icmp = sent;
	if (w->p.ttl <= 1)
		return DROP_TTL_EXPIRED;
	plan_quote_l4(c, &w->in, &w->mq, w->tail.quote_end, w->m.hairpin, &w->q);
	w->p.tos = tos_of(t->gw, &w->p);
	return REASON_NONE;
}

/* Errors are never answered, so each exit but the last drops in silence. */
static __always_inline int translate_error(struct ctx c)
{
	__u32 zero = 0;
	struct error_work *w = bpf_map_lookup_elem(&error_works, &zero);
	struct next_hop *next;
	struct tables t;

	if (!w)
		return ctx_drop(c);
	__builtin_memset(&w->p, 0, sizeof(w->p));
	__builtin_memset(&w->in, 0, sizeof(w->in));
	__builtin_memset(&w->m, 0, sizeof(w->m));
	__builtin_memset(&w->mq, 0, sizeof(w->mq));
	__builtin_memset(&w->q, 0, sizeof(w->q));
	__builtin_memset(&w->tail, 0, sizeof(w->tail));
	__builtin_memset(&w->key4, 0, sizeof(w->key4));
	w->from_pool = false;
	ctx_pull(c, PULL_BYTES_ERROR);

	enum reason why = plan_error(c, &t, w);
	__u32 bytes = pkt_l3_bytes(&w->p);

	if (!why)
		why = w->m.hairpin		   ? error_66(c, &t, w, &next)
		      : w->p.family == FAMILY_INET ? error_46(c, &t, w, &next)
						   : error_64(c, &t, w, &next);
	if (why) {
		int verdict = drop(&w->p, why, bytes);

		return is_pass(why) ? ctx_pass(c) : verdict; /* other tables than forward() met */
	}
	count_rare(&w->p,
		   w->m.hairpin			? FORWARD_HAIRPIN
		   : w->p.family == FAMILY_INET ? FORWARD_46
						: FORWARD_64,
		   bytes);
	return send(c, t.gw, &next->hop);
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
