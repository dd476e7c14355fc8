// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Stateful NAT64 (RFC 6146): what becomes of a packet's addresses and its inside port, by session,
 * by binding, or by a new one of either. The rest of the way is that of any other packet.
 */
#ifndef SIXLANE_STATEFUL_H
#define SIXLANE_STATEFUL_H

#include "sixlane/l4.h"
#include "sixlane/session.h"

/* Both ends as the transport header names them, and what TCP says. */
struct flow {
	__be16 src_port;
	__be16 dst_port;
	__u32 protocol; /* enum session_protocol */
	enum tcp_sign sign;
};

/* Making a session calls deep: what the entry needs is not on its stack. */
struct stateful_work {
	struct pkt p;
	struct translation tr;
	struct flow f;
	struct session6_key key6;
	struct session4_key key4;
	struct binding6_key binding_key;
	struct fragment_key fragment;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stateful_work);
} stateful_works SEC(".maps");

static __always_inline struct stateful_work *stateful_work(void)
{
	__u32 zero = 0;
	struct stateful_work *work = bpf_map_lookup_elem(&stateful_works, &zero);

	if (work)
		__builtin_memset(work, 0, sizeof(*work));
	return work;
}

static __always_inline enum reason flow_of(struct ctx c, const struct pkt *p, struct flow *f)
{
	if (p->proto == IPPROTO_TCP) {
		struct tcphdr *tcp = ctx_at(c, p->l4, sizeof(*tcp));

		if (!tcp || p->payload_bytes < sizeof(*tcp))
			return DROP_TRUNCATED;
		f->protocol = SESSION_TCP;
		f->src_port = tcp->source;
		f->dst_port = tcp->dest;
		f->sign = tcp->rst ? TCP_RST : tcp->syn ? TCP_SYN : tcp->fin ? TCP_FIN : TCP_OTHER;
		return REASON_NONE;
	}
	if (p->proto == IPPROTO_UDP) {
		struct udphdr *udp = ctx_at(c, p->l4, sizeof(*udp));

		if (!udp || p->payload_bytes < sizeof(*udp))
			return DROP_TRUNCATED;
		f->protocol = SESSION_UDP;
		f->src_port = udp->source;
		f->dst_port = udp->dest;
		return REASON_NONE;
	}

	struct icmp_header *icmp = ctx_at(c, p->l4, sizeof(*icmp));

	if (p->proto != icmp_proto(p->family))
		return DROP_NO_SESSION_PROTOCOL;
	if (!icmp || p->payload_bytes < sizeof(*icmp))
		return DROP_TRUNCATED;
	f->protocol = SESSION_ICMP;
	f->src_port = *(__be16 *)&icmp->rest;
	f->dst_port = 0;
	return REASON_NONE;
}

static __always_inline void map_ports(struct mapping *m, __be16 src_port, __be16 dst_port,
				      __be16 new_port)
{
	m->stateful = true;
	m->src_port = src_port;
	m->dst_port = dst_port;
	m->new_port = new_port;
}

/* The state of a session's first packet; SESSION_FREE: it makes none (RFC 6146 3.5.2.2). */
static __always_inline enum session_state first_state(const struct flow *f, bool v6)
{
	if (f->protocol != SESSION_TCP)
		return SESSION_OPEN;
	if (f->sign != TCP_SYN)
		return SESSION_FREE;
	return v6 ? SESSION_V6_INIT : SESSION_V4_INIT;
}

static __always_inline __u64 first_word(const struct gateway *gw, const struct flow *f,
					enum session_state state, __u64 when)
{
	enum lifetime which = f->protocol == SESSION_UDP    ? LIFETIME_UDP
			      : f->protocol == SESSION_ICMP ? LIFETIME_ICMP
							    : LIFETIME_TCP_TRANSITORY;

	return word_make(state, when + lifetime(gw, which));
}

/* What a new session might look like: ports are drawn, so a new binding's is that of the inside. */
static __always_inline enum reason open_dry(struct gateway *gw, const struct session6_key *key,
					    const struct binding *b, __be32 *pool, __be16 *port)
{
	struct pool *entry = pool_of(gw, &key->inside);
	struct addr owner = client_of(&key->inside, gw->client_bits);
	struct client *client = bpf_map_lookup_elem(&clients, &owner);

	if (!entry)
		return DROP_NO_PORT;

	__u32 address = client ? client->address : pool_address(gw, entry->first_range, 0);

	*pool = b ? b->pool : bpf_htonl(address_at(gw, address));
	*port = b ? b->pool_port : key->inside_port;
	return REASON_NONE;
}

/* Is there a session for these ends, as found from either side? */
static __always_inline bool session_is_made(const struct session6_key *key, __be32 pool,
					    __be16 port)
{
	struct session4_key key4 = { .pool = pool,
				     .remote = key->remote,
				     .pool_port = port,
				     .remote_port = key->remote_port,
				     .protocol = key->protocol };
	struct session *s = session_find4(&key4);

	return (s && s->prefix == key->prefix) || session_find6(key);
}

/* From inside, without a session: a new one, on a new binding if there is none. *pool and *port are
 * what the source becomes. */
static __always_inline enum reason open_64(struct gateway *gw, struct stateful_work *work,
					   __u64 when, __be32 *pool, __be16 *port)
{
	const struct session6_key *key = &work->key6;
	const struct flow *f = &work->f;
	struct binding6_key *bkey = &work->binding_key;

	bkey->inside = key->inside;
	bkey->inside_port = key->inside_port;
	bkey->protocol = key->protocol;

	enum session_state state = first_state(f, true);
	struct slot_ref ref = {};
	struct binding *b = binding_find(bkey, &ref);

	if (!state && !(b && binding_is_alive(b, when)))
		return DROP_NO_SESSION;
	if (b && !is_in_pool4(gw, b->pool))
		return DROP_NO_PORT; /* it is not of pool4 any more, and other sessions hold it */
	if (!state) {
		*pool = b->pool;
		*port = b->pool_port;
		return REASON_NONE;
	}
	if (dry_run)
		return open_dry(gw, key, b, pool, port);
	session_sweep(gw, when);
	if (!b || !count_up(&b->sessions, 0, GONE)) {
		enum reason why = binding_make(gw, bkey, key->prefix, &ref);

		if (why && why != DROP_TABLE_FULL)
			return why;
		b = why ? binding_find(bkey, &ref) : binding_at(&ref);
		/* It is held once, or another CPU has just made it. */
		if (!b || (why && !count_up(&b->sessions, 0, GONE)))
			return DROP_TABLE_FULL;
	}
	*pool = b->pool;
	*port = b->pool_port;

	enum reason why = session_make(gw, key, &ref, first_word(gw, f, state, when));

	/* Another CPU has just made it, or is about to: it is in `sessions4` first. */
	return why == DROP_TABLE_FULL && session_is_made(key, *pool, *port) ? REASON_NONE : why;
}

/* The session of a packet from inside, alive after it; made if there is none. */
static __always_inline enum reason
map_session_64(const struct tables *t, struct stateful_work *work, __be32 *pool, __be16 *port)
{
	struct gateway *gw = t->gw;
	struct slot_ref *ref = bpf_map_lookup_elem(&sessions6, &work->key6);
	struct session *s = ref ? session_at(ref) : NULL;
	__u64 when = now();

	if (s && session_is_wanted(gw, s, s->word, when) &&
	    session_follow(gw, s, true, work->f.sign, when)) {
		*pool = s->pool;
		*port = s->pool_port;
		if (!(work->tr.m.dst_word & RANGE_POOL4)) /* a hairpin is more than a session */
			s->generation6 = t->generation;
		return REASON_NONE;
	}
	if (s)
		session_end(gw, ref->slot, when);
	return open_64(gw, work, when, pool, port);
}

static __always_inline enum reason stateful_64(struct ctx c, const struct tables *t,
					       struct stateful_work *work)
{
	struct pkt *p = &work->p;
	struct mapping *m = &work->tr.m;
	struct flow *f = &work->f;
	const struct prefix *px = prefix_at(t->gw, m->dst_pool6);
	__be32 pool = 0;
	__be16 port = 0;
	enum reason why;

	if (m->dst_by_eam || m->dst_pool6 >= MAX_PREFIXES)
		return DROP_SOURCE_NOT_MAPPABLE;
	m->prefix = m->dst_pool6;
	count_for(t->gw, p, m);
	if (pool6_find(t->gw, &p->src) < MAX_PREFIXES)
		return DROP_FROM_POOL6;
	if (range_breaks_well_known(px, m->dst_word))
		return DROP_NOT_GLOBAL;
	why = flow_of(c, p, f);
	if (why)
		return why;
	work->key6.inside = p->src;
	work->key6.prefix = px->id;
	work->key6.remote = bpf_htonl(addr_to_v4(m->dst));
	work->key6.inside_port = f->src_port;
	work->key6.remote_port = f->dst_port;
	work->key6.protocol = f->protocol;
	why = map_session_64(t, work, &pool, &port);
	if (why)
		return why;
	m->src = addr_from_v4(bpf_ntohl(pool));
	map_ports(m, f->src_port, f->dst_port, port);
	return REASON_NONE;
}

/* From outside, without a session: a new one if there is a binding. */
static __always_inline enum reason open_46(struct gateway *gw, struct stateful_work *work,
					   __u64 when, struct binding *b, __u32 slot)
{
	const struct session4_key *key = &work->key4;
	const struct flow *f = &work->f;
	enum session_state state = first_state(f, false);
	struct slot_ref ref = { .slot = slot, .serial = b->serial };
	struct session6_key *key6 = &work->key6;

	key6->inside = b->inside;
	key6->remote = key->remote;
	key6->inside_port = b->inside_port;
	key6->remote_port = key->remote_port;
	key6->protocol = key->protocol;
	key6->prefix = b->prefix;

	if (gw->flags & GATEWAY_FILTER_ADDRESS && !filter_lets_in(key))
		return DROP_FILTERED;
	if (!state)
		return REASON_NONE;
	if (f->protocol == SESSION_TCP && gw->flags & GATEWAY_NO_SYN_46)
		return DROP_FILTERED;
	if (dry_run)
		return REASON_NONE;
	if (!count_up(&b->sessions, 0, GONE))
		return DROP_NO_BINDING;

	enum reason why = session_make(gw, key6, &ref, first_word(gw, f, state, when));

	return why == DROP_TABLE_FULL && session_find4(key) ? REASON_NONE : why;
}

/* What a packet from outside is for: *inside, *port and the pool6 prefix under which the remote end
 * is called. */
static __always_inline enum reason map_session_46(const struct tables *t,
						  struct stateful_work *work, struct addr *inside,
						  __be16 *port, __u32 *prefix)
{
	struct gateway *gw = t->gw;
	const struct session4_key *key = &work->key4;
	struct slot_ref *ref = bpf_map_lookup_elem(&sessions4, key);
	struct session *s = ref ? session_at(ref) : NULL;
	__u64 when = now();
	__u32 slot;

	if (s && session_follow(gw, s, false, work->f.sign, when)) {
		*inside = s->inside;
		*port = s->inside_port;
		*prefix = s->prefix;
		s->generation4 = t->generation;
		return REASON_NONE;
	}
	if (s)
		session_end(gw, ref->slot, when);
	/* A SYN may come from inside and meet this one (RFC 6146 3.5.2.2): nothing is told. */
	work->p.no_error = work->f.sign == TCP_SYN;

	__u32 address = address_index(gw, bpf_ntohl(key->pool));
	struct binding *b = address == NO_SLOT ? NULL
					       : binding_of_port(address, key->protocol,
								 bpf_ntohs(key->pool_port), &slot);

	if (!b || !binding_is_alive(b, when))
		return DROP_NO_BINDING;
	*inside = b->inside;
	*port = b->inside_port;
	*prefix = b->prefix;
	return open_46(gw, work, when, b, slot);
}

static __always_inline enum reason stateful_46(struct ctx c, const struct tables *t,
					       struct stateful_work *work)
{
	struct pkt *p = &work->p;
	struct mapping *m = &work->tr.m;
	struct flow *f = &work->f;
	struct session4_key *key = &work->key4;
	__be16 port = 0;
	__u32 id = 0;
	enum reason why = flow_of(c, p, f);

	if (why)
		return why;
	m->src_word = range_of(t->slot, addr_to_v4(p->src));
	if (m->src_word & RANGE_ILLEGAL_SOURCE)
		return DROP_ILLEGAL_SOURCE;
	/* A query's identifier is that of the node inside, in whichever direction. */
	key->pool = bpf_htonl(addr_to_v4(p->dst));
	key->remote = bpf_htonl(addr_to_v4(p->src));
	key->pool_port = f->protocol == SESSION_ICMP ? f->src_port : f->dst_port;
	key->remote_port = f->protocol == SESSION_ICMP ? 0 : f->src_port;
	key->protocol = f->protocol;
	why = map_session_46(t, work, &m->dst, &port, &id);
	/* Another SYN may come from inside and meet this one (RFC 6146 3.5.2.2): nothing is told.
	 */
	p->no_error |= why == DROP_FILTERED && f->protocol == SESSION_TCP;
	if (why)
		return why;
	m->prefix = t->gw->prefix_indices[id & (MAX_PREFIXES - 1)];
	if (m->prefix >= MAX_PREFIXES)
		return DROP_NO_SESSION;
	if (range_breaks_well_known(prefix_at(t->gw, m->prefix), m->src_word))
		return DROP_NOT_GLOBAL;
	m->src = rfc6052_embed(prefix_at(t->gw, m->prefix), addr_to_v4(p->src));
	count_for(t->gw, p, m);
	map_ports(m, key->remote_port, key->pool_port, port);
	return REASON_NONE;
}

/*
 * From inside to inside by an address of pool4 (RFC 6146 3.8): 46 after 64. The destination sees
 * where the packet would have come from outside.
 */
static __always_inline enum reason stateful_66(const struct tables *t, struct stateful_work *work,
					       __be16 *far_port)
{
	struct mapping *m = &work->tr.m;
	struct session4_key *key = &work->key4;
	__u32 pool = addr_to_v4(m->src), id = 0;

	key->pool = bpf_htonl(addr_to_v4(m->dst));
	key->remote = bpf_htonl(pool);
	key->pool_port = work->f.protocol == SESSION_ICMP ? m->new_port : m->dst_port;
	key->remote_port = work->f.protocol == SESSION_ICMP ? 0 : m->new_port;
	key->protocol = work->f.protocol;

	enum reason why = map_session_46(t, work, &m->dst, far_port, &id);

	if (why)
		return why;
	m->prefix = t->gw->prefix_indices[id & (MAX_PREFIXES - 1)];
	if (m->prefix >= MAX_PREFIXES)
		return DROP_NO_SESSION;
	m->src = rfc6052_embed(prefix_at(t->gw, m->prefix), pool);
	m->hairpin = true;
	if (work->f.protocol == SESSION_ICMP)
		m->new_port = *far_port; /* a query has one identifier */
	return REASON_NONE;
}

#endif
