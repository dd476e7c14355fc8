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
	bool again;    /* make_room() was called for the packet at hand */
	bool in_doubt; /* and is to be: a binding may be one of sessions that have ended */
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

/* What plan_l4() would refuse is refused here: it makes no session. */
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
		return udp->check ? REASON_NONE : DROP_UDP_ZERO_CHECKSUM;
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
	return word_make(state, when + lifetime(gw, lifetime_in(state, f->protocol)));
}

/* What a new session would be, and why there would be none; `b`: its binding, if there is one. */
static __always_inline enum reason open_dry(struct gateway *gw, const struct session6_key *key,
					    const struct binding *b, struct slot_ref *ref,
					    __be32 *pool, __be16 *port)
{
	if (b) {
		note_binding(FLOW_NEW_SESSION, &key->inside, key->inside_port, b->client_bits);
		note_pool(FLOW_NEW_SESSION, b->pool, b->pool_port);
		*pool = b->pool;
		*port = b->pool_port;
		return session_dry(gw, &key->inside, b->client_bits);
	}

	enum reason why = binding_make(gw, key, ref);
	struct visit_flow *flow = visit_flow();

	if (why || !flow)
		return why;
	*pool = flow->pool;
	*port = flow->pool_port;
	return session_dry(gw, &key->inside, gw->client_bits);
}

/* Is there a session for these ends, as found from either side? */
static __always_inline bool session_is_made(const struct session6_key *key6,
					    const struct session4_key *key4)
{
	struct session *s = session_find4(key4);

	return (s && s->prefix == key6->prefix) || session_find6(key6);
}

/* Is a binding maybe one of sessions that have ended? They are to be taken out first. */
static __always_inline bool is_in_doubt(struct stateful_work *work, const struct binding *b,
					__u64 when)
{
	work->in_doubt = b && b->doubtful && !work->again && sweep_ahead_is_due(when);
	return work->in_doubt;
}

/* From inside, without a session: a new one, on a new binding if there is none. *pool and *port are
 * what the source becomes. */
static __always_inline enum reason open_64(struct gateway *gw, struct stateful_work *work,
					   __u64 when, __be32 *pool, __be16 *port)
{
	const struct session6_key *key = &work->key6;
	struct session4_key *key4 = &work->key4;
	const struct flow *f = &work->f;
	struct binding6_key *bkey = &work->binding_key;

	bkey->inside = key->inside;
	bkey->inside_port = key->inside_port;
	bkey->protocol = key->protocol;

	enum session_state state = first_state(f, true);
	struct slot_ref ref = {};
	struct binding *b = binding_find(bkey, &ref);

	if (is_in_doubt(work, b, when))
		return DROP_NO_SESSION;
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
		return open_dry(gw, key, b, &ref, pool, port);
	session_sweep(gw, when);
	if (!b || !count_up(&b->sessions, 0, GONE)) {
		enum reason why = binding_make(gw, key, &ref);

		if (why && why != DROP_TABLE_FULL)
			return why;
		if (why && !binding_hold(bkey, &ref))
			return DROP_TABLE_FULL;
		b = binding_at(&ref);
		if (!b)
			return DROP_TABLE_FULL;
	}
	*pool = b->pool;
	*port = b->pool_port;

	key4->pool = *pool;
	key4->remote = key->remote;
	key4->pool_port = *port;
	key4->remote_port = key->remote_port;
	key4->protocol = key->protocol;

	const bool both = syn_waits(key4, when, false); /* simultaneous open */

	if (both)
		state = SESSION_ESTABLISHED;

	enum reason why = session_make(gw, key, &ref, first_word(gw, f, state, when));

	if (!why && both)
		syn_waits(key4, when, true);
	/* Another CPU has just made it, or is about to: it is in `sessions4` first. */
	return why == DROP_TABLE_FULL && session_is_made(key, key4) ? REASON_NONE : why;
}

/* The session of a packet from inside, alive after it; made if there is none. */
static __always_inline enum reason
map_session_64(const struct tables *t, struct stateful_work *work, __be32 *pool, __be16 *port)
{
	struct gateway *gw = t->gw;
	__u32 slot = session_slot6(&work->key6);
	struct session *s = bpf_map_lookup_elem(&sessions, &slot);
	__u64 when = now();

	if (s && session_is_wanted(gw, s, s->word, when) &&
	    session_follow(gw, s, true, work->f.sign, when)) {
		*pool = s->pool;
		*port = s->pool_port;
		if (dry_run)
			note_session(s, when);
		else if (!(work->tr.m.dst_word & RANGE_POOL4)) /* a hairpin is more than one */
			s->generation6 = t->generation;
		return REASON_NONE;
	}
	if (s)
		session_end(gw, slot, when);
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

/* From outside, without a session: a new one if there is a binding. DROP_SYN_STORED: it is to be
 * kept. */
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

	if (dry_run) {
		note_binding(FLOW_NEW_SESSION, &key6->inside, key6->inside_port, b->client_bits);
		note_pool(FLOW_NEW_SESSION, key->pool, key->pool_port);
	}
	/* RFC 6146 3.5.2.2 lets a SYN wait here, even one from an address that is known. */
	if (state == SESSION_V4_INIT &&
	    (gw->flags & GATEWAY_FILTER_ADDRESS || syn_waits(key, when, false)))
		return DROP_SYN_STORED;
	if (gw->flags & GATEWAY_FILTER_ADDRESS && !filter_lets_in(key))
		return DROP_FILTERED;
	if (!state)
		return REASON_NONE;
	if (dry_run)
		return session_dry(gw, &key6->inside, b->client_bits);
	if (!count_up(&b->sessions, 0, GONE))
		return DROP_NO_BINDING;

	enum reason why = session_make(gw, key6, &ref, first_word(gw, f, state, when));

	return why == DROP_TABLE_FULL && session_find4(key) ? REASON_NONE : why;
}

/* The binding of an endpoint of pool4, if a session of it lives. */
static __always_inline struct binding *
binding_of_end(struct gateway *gw, struct stateful_work *work, __u64 when, __u32 *slot)
{
	const struct session4_key *key = &work->key4;
	__u32 address = address_index(gw, bpf_ntohl(key->pool));
	__u16 port = bpf_ntohs(key->pool_port);

	if (address == NO_SLOT)
		return NULL;

	struct binding *b = binding_of_port(address, key->protocol, port, slot);

	if (is_in_doubt(work, b, when))
		return NULL;
	/* What is left of a binding may be of the address that had this index before. */
	return b && b->pool == key->pool && binding_is_alive(b, when) ? b : NULL;
}

/* The remote end, called by the prefix with this id. */
static __always_inline enum reason map_remote(const struct tables *t, struct mapping *m, __u32 id,
					      __be32 remote)
{
	m->prefix = t->gw->prefix_indices[id & (MAX_PREFIXES - 1)];
	if (m->prefix >= MAX_PREFIXES)
		return DROP_NO_SESSION;
	return embed_46(prefix_at(t->gw, m->prefix), bpf_ntohl(remote), m->src_word, &m->src);
}

/* Both addresses of a packet from outside, and the inside *port. What is refused makes no session.
 */
static __always_inline enum reason map_session_46(const struct tables *t,
						  struct stateful_work *work, __be16 *port)
{
	struct mapping *m = &work->tr.m;
	struct gateway *gw = t->gw;
	const struct session4_key *key = &work->key4;
	__u32 slot = session_slot4(key);
	struct session *s = bpf_map_lookup_elem(&sessions, &slot);
	__u64 when = now();

	if (s && session_follow(gw, s, false, work->f.sign, when)) {
		m->dst = s->inside;
		*port = s->inside_port;
		if (dry_run)
			note_session(s, when);
		else
			s->generation4 = t->generation;
		return map_remote(t, m, s->prefix, key->remote);
	}
	if (s)
		session_end(gw, slot, when);
	/* A SYN may come from inside and meet this one (RFC 6146 3.5.2.2): nothing is told. */
	work->p.no_error = work->f.sign == TCP_SYN;
	if (work->f.sign == TCP_SYN && gw->flags & GATEWAY_NO_SYN_46)
		return DROP_FILTERED;

	struct binding *b = binding_of_end(gw, work, when, &slot);

	if (!b)
		return work->f.sign == TCP_SYN ? DROP_SYN_STORED : DROP_NO_BINDING;
	m->dst = b->inside;
	*port = b->inside_port;

	enum reason why = map_remote(t, m, b->prefix, key->remote);

	return why ? why : open_46(gw, work, when, b, slot);
}

/* Who sends what to which port, from outside, and whether that is ours: it goes before what is
 * wrong. */
static __always_inline enum reason claim_46(struct ctx c, const struct tables *t,
					    struct stateful_work *work)
{
	const struct pkt *p = &work->p;
	struct flow *f = &work->f;
	struct session4_key *key = &work->key4;
	enum reason why = flow_of(c, p, f);

	if (why && why != DROP_UDP_ZERO_CHECKSUM)
		return why;
	/* A query's identifier is that of the node inside, in whichever direction. */
	key->pool = bpf_htonl(addr_to_v4(p->dst));
	key->remote = bpf_htonl(addr_to_v4(p->src));
	key->pool_port = f->protocol == SESSION_ICMP ? f->src_port : f->dst_port;
	key->remote_port = f->protocol == SESSION_ICMP ? 0 : f->src_port;
	key->protocol = f->protocol;
	return port_is_ours(t->gw, key->pool, key->protocol, key->pool_port) ? why : PASS_NOT_OURS;
}

/* Behind claim_46(). */
static __always_inline enum reason stateful_46(const struct tables *t, struct stateful_work *work)
{
	struct pkt *p = &work->p;
	struct mapping *m = &work->tr.m;
	struct flow *f = &work->f;
	struct session4_key *key = &work->key4;
	__be16 port = 0;
	enum reason why;

	m->src_word = range_of(t->slot, addr_to_v4(p->src));
	if (m->src_word & RANGE_ILLEGAL_SOURCE)
		return DROP_ILLEGAL_SOURCE;
	why = map_session_46(t, work, &port);
	/* Another SYN may come from inside and meet this one (RFC 6146 3.5.2.2): nothing is told.
	 */
	p->no_error |= why == DROP_FILTERED && f->protocol == SESSION_TCP;
	if (why)
		return why;
	count_for(t->gw, p, m);
	map_ports(m, key->remote_port, key->pool_port, port);
	return REASON_NONE;
}

static __always_inline bool session_has_ended(const struct gateway *gw,
					      const struct session4_key *key, __u64 when)
{
	struct session *s = session_find4(key);

	return s && !session_is_wanted(gw, s, s->word, when);
}

/* Was a packet refused because of what may have ended? It is to be tried again, behind make_room().
 */
static __always_inline bool wants_room(const struct gateway *gw, const struct stateful_work *work,
				       enum reason why)
{
	if (work->again)
		return false;
	if (work->in_doubt)
		return true;
	if (why != DROP_NO_PORT && why != DROP_TOO_MANY_SESSIONS && why != DROP_TABLE_FULL)
		return false;

	__u64 when = now();

	return sweep_ahead_is_due(when) || session_has_ended(gw, &work->key4, when);
}

/* Takes out what has ended: what has the ends of the packet at hand, under another prefix of pool6,
 * and whatever a look ahead finds. Called by the entry: it calls deep. */
__noinline int make_room(void)
{
	__u32 zero = 0;
	struct stateful_work *work = bpf_map_lookup_elem(&stateful_works, &zero);
	__u64 when = now();
	struct tables t;

	if (!work || tables_read(&t))
		return -1;

	session_end(t.gw, session_slot4(&work->key4), when);
	session_sweep_ahead(t.gw, when);
	return 0;
}

/* Behind stateful_64(): is a packet for a port of pool4, and so for somebody inside? */
static __always_inline bool is_hairpin(const struct tables *t, struct stateful_work *work)
{
	const struct mapping *m = &work->tr.m;
	struct session4_key *key = &work->key4;

	if (work->p.family != FAMILY_INET6 || !(m->dst_word & RANGE_POOL4))
		return false;
	key->pool = bpf_htonl(addr_to_v4(m->dst));
	key->remote = bpf_htonl(addr_to_v4(m->src));
	key->pool_port = work->f.protocol == SESSION_ICMP ? m->new_port : m->dst_port;
	key->remote_port = work->f.protocol == SESSION_ICMP ? 0 : m->new_port;
	key->protocol = work->f.protocol;
	return port_is_ours(t->gw, key->pool, key->protocol, key->pool_port);
}

/*
 * From inside to inside by an address of pool4 (RFC 6146 3.8): 46 after 64. The destination sees
 * where the packet would have come from outside.
 */
static __always_inline enum reason stateful_66(const struct tables *t, struct stateful_work *work,
					       __be16 *far_port)
{
	struct mapping *m = &work->tr.m;
	enum reason why = map_session_46(t, work, far_port);

	if (why)
		return why;
	m->hairpin = true;
	if (work->f.protocol == SESSION_ICMP)
		m->new_port = *far_port; /* a query has one identifier */
	return REASON_NONE;
}

#endif
