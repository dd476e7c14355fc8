// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ICMP errors: whose they are, by what they quote. What becomes of their bytes is quote.h's. */
#ifndef SIXLANE_ERROR_H
#define SIXLANE_ERROR_H

#include "sixlane/flow_error.h"

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

/* Functions of their own: whatever is behind them is walked once for all the ways through. */
__noinline int xdp_map_error(struct xdp_md *raw, struct gateway *gw, __u32 generation,
			     struct error_work *w)
{
	struct tables t = tables_of(gw, generation);

	return gw && w ? map_error((struct ctx){ raw, ENTRY_XDP }, &t, w) : DROP_NO_SESSION;
}

__noinline int tc_map_error(struct __sk_buff *raw, struct gateway *gw, __u32 generation,
			    struct error_work *w)
{
	struct tables t = tables_of(gw, generation);

	return gw && w ? map_error((struct ctx){ raw, ENTRY_TC }, &t, w) : DROP_NO_SESSION;
}

static __always_inline enum reason ctx_map_error(struct ctx c, const struct tables *t,
						 struct error_work *w)
{
	return c.entry == ENTRY_XDP ? xdp_map_error(ctx_xdp(c), t->gw, t->generation, w)
				    : tc_map_error(ctx_skb(c), t->gw, t->generation, w);
}

/* What leaves, and as what; behind map_error(), which knows the hairpins of sessions. */
static __always_inline void error_leaves(struct error_work *w)
{
	const struct mapping *m = &w->m;

	w->family = w->p.family == FAMILY_INET || m->hairpin ? FAMILY_INET6 : FAMILY_INET;
	w->sent_as = m->hairpin			  ? FORWARD_HAIRPIN
		     : w->p.family == FAMILY_INET ? FORWARD_46
						  : FORWARD_64;
}

/* Everything that is decided before the packet is touched. `called`: it is for a service, as
 * service() has found. */
static __always_inline enum reason plan_error(struct ctx c, struct tables *t, struct error_work *w,
					      bool called)
{
	enum reason why = called ? receive_called(t, &w->p) : receive(c, t, &w->p, &w->m);

	if (why)
		return why;

	struct icmp_header *icmp = ctx_at(c, w->p.l4, sizeof(*icmp));

	if (!icmp)
		return DROP_TRUNCATED;
	if (called && icmp_classify(icmp->type, w->p.family) != ICMP_IS_ERROR)
		return DROP_ICMP_TYPE; /* of a link, such as a redirect */

	__u32 rest = bpf_ntohl(icmp->rest);
	bool extensible = icmp_is_extensible(icmp->type, w->p.family);

	w->icmp = (struct icmp_start){ icmp->type, icmp->code, rest };
	w->old_check = icmp->checksum;
	w->end = w->p.l4 + w->p.payload_bytes;
	if (pkt_l3_bytes(&w->p) > ERROR_BYTES_MAX)
		return DROP_TOO_BIG;

	const struct icmp_start sent = w->icmp;
	enum reason type =
		w->p.family == FAMILY_INET ? icmp_error_46(&w->icmp) : icmp_error_64(&w->icmp);

	/* What goes on as it is, of sessions' hairpins and of services, is known by its quote
	 * alone.
	 */
	if (type && !w->m.hairpin && !(t->gw->flags & (GATEWAY_STATEFUL | GATEWAY_NAT)))
		return type;
	w->in.family = w->p.family;
	w->in.l3 = w->p.l4 + ICMP_HEADER_BYTES;
	why = find_tail(&w->tail, w->in.l3, w->end, extensible, rest, w->p.family);
	if (!why)
		why = parse_quote(c, &w->in, w->tail.quote_end);
	if (!why)
		why = check_quote_l4(c, &w->in, w->tail.quote_end, &w->q);
	if (!why && !map_flow_error(c, t, w)) {
		why = called ? DROP_NO_FLOW : ctx_map_error(c, t, w);
		error_leaves(w);
	}

	const bool same = w->family == w->p.family;

	if (!why && !same)
		why = type;
	if (why)
		return why;
	if (same)
		w->icmp = sent;
	if (w->p.ttl <= 1)
		return DROP_TTL_EXPIRED;
	plan_quote_l4(c, &w->in, &w->mq, w->tail.quote_end, same, &w->q);
	w->p.tos = tos_of(t->gw, &w->p);
	return REASON_NONE;
}

/* Errors are never answered, so each exit but the last drops in silence. */
static __always_inline int translate_error(struct ctx c, bool called)
{
	__u32 zero = 0, mtu = 0;
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
	__builtin_memset(&w->flow_in, 0, sizeof(w->flow_in));
	w->family = 0;
	w->from_pool = false;
	ctx_pull(c, PULL_BYTES_ERROR);

	enum reason why = plan_error(c, &t, w, called);
	__u32 bytes = pkt_l3_bytes(&w->p);

	if (!why) { /* the other way first, as only the last one stays */
		mtu = w->family == w->p.family ? 0 : mtu_of_quoted(c, &t, &w->in);
		why = next_hop(c, t.gw, &w->m.src, &w->m.dst, w->family, w->p.tos, &next);
	}
	if (!why)
		why = w->p.family == FAMILY_INET
			      ? (w->family == FAMILY_INET ? error_44(c, w, &next->hop)
							  : error_46(c, w, mtu, &next->hop))
			      : (w->family == FAMILY_INET ? error_64(c, &t, w, mtu, &next->hop)
							  : error_66(c, w, &next->hop));
	if (why) {
		int verdict = drop(&w->p, why, bytes);

		return is_pass(why) ? ctx_pass(c) : verdict; /* other tables than forward() met */
	}
	count_rare(&w->p, w->sent_as, bytes);
	if (w->sent_as == FORWARD_SERVICE)
		count_forwarded(w->frontend, w->backend, false, bytes);
	return send(c, t.gw, &next->hop);
}

__noinline int xdp_error(struct xdp_md *raw, __u32 called)
{
	return translate_error((struct ctx){ raw, ENTRY_XDP }, called);
}

__noinline int tc_error(struct __sk_buff *raw, __u32 called)
{
	return translate_error((struct ctx){ raw, ENTRY_TC }, called);
}

#endif
