// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Plain packets of TCP and UDP that have a session, and are not remembered (known.h): one look-up.
 * What tells the state machine more, or makes a session, takes the long way (stateful.h).
 */
#ifndef SIXLANE_ESTABLISHED_H
#define SIXLANE_ESTABLISHED_H

#include "sixlane/pair.h"
#include "sixlane/stateful.h"
#include "sixlane/translate.h"

/* Plain packets of TCP and UDP that a session may be there for. */
static __always_inline bool session_flow(struct ctx c, const struct pkt *p, struct flow *f)
{
	return !p->is_jumbo && p->ttl > 1 && (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP) &&
	       !flow_of(c, p, f) && f->sign == TCP_OTHER;
}

/* Both addresses are known, and the port; false: the long way. */
static __always_inline bool plan_established(struct ctx c, const struct tables *t,
					     struct stateful_work *work)
{
	struct pkt *p = &work->p;
	struct mapping *m = &work->tr.m;

	p->counter_prefix = prefix_at(t->gw, m->prefix)->id + 1;
	m->sum = csum_to32(csum_delta_addresses(p, m));
	if (plan_l4(c, p, m, &work->tr.l4))
		return false;
	plan_port(c, p, m, &work->tr.l4);
	p->tos = tos_of(t->gw, p);
	return true;
}

static __always_inline int session_46(struct ctx c, const struct tables *t,
				      struct stateful_work *work)
{
	struct pkt *p = &work->p;
	struct mapping *m = &work->tr.m;
	struct l4_change *l4 = &work->tr.l4;
	struct flow f = {};
	struct next_hop *next;

	if (parse_ipv4(c, p) || p->header_bytes != sizeof(struct iphdr) || p->is_fragment ||
	    !session_flow(c, p, &f) || check_ipv4(c, p))
		return VERDICT_LONG_WAY;

	struct session4_key key = { .pool = bpf_htonl(addr_to_v4(p->dst)),
				    .remote = bpf_htonl(addr_to_v4(p->src)),
				    .pool_port = f.dst_port,
				    .remote_port = f.src_port,
				    .protocol = f.protocol };
	struct session *s = session_find4(&key);

	if (!s || s->generation4 != t->generation ||
	    !session_follow(t->gw, s, false, f.sign, now()))
		return VERDICT_LONG_WAY;
	m->prefix = t->gw->prefix_indices[s->prefix & (MAX_PREFIXES - 1)];
	if (m->prefix >= MAX_PREFIXES)
		return VERDICT_LONG_WAY;
	m->src = rfc6052_embed(prefix_at(t->gw, m->prefix), addr_to_v4(p->src));
	m->dst = s->inside;
	map_ports(m, f.src_port, f.dst_port, s->inside_port);
	if (!plan_established(c, t, work))
		return VERDICT_LONG_WAY;
	if (next_hop(c, t->gw, &m->src, &m->dst, FAMILY_INET6, p->tos, &next))
		return VERDICT_LONG_WAY;

	__u32 size = wire_bytes(c, p, l4, sizeof(struct ipv6hdr));

	if (size > next->hop.mtu_bytes || (p->may_fragment && size > t->gw->lowest_ipv6_mtu_bytes))
		return VERDICT_LONG_WAY;
	remember(ctx_own_mac(c), t->generation, p, m, next);
	return translate_46(c, t->gw, p, m, l4, &next->hop);
}

/* Is it what we would call that address: are the bits that stand for nothing zero? */
static __always_inline bool is_canonical(const struct prefix *px, const struct addr *a, __u32 v4)
{
	struct addr own = rfc6052_embed(px, v4);

	return own.hi == a->hi && own.lo == a->lo;
}

/* Where a packet from inside goes that has no session: no address of its source's own stands for an
 * IPv4 one, so the long way would only find that it needs one. */
static __always_inline int without_session_64(const struct tables *t, const struct pkt *p)
{
	if (t->gw->eam6_lens_count || pool6_find(t->gw, &p->src) < MAX_PREFIXES)
		return VERDICT_LONG_WAY;
	return VERDICT_STATEFUL;
}

static __always_inline int session_64(struct ctx c, const struct tables *t,
				      struct stateful_work *work)
{
	struct pkt *p = &work->p;
	struct mapping *m = &work->tr.m;
	struct l4_change *l4 = &work->tr.l4;
	struct flow f = {};
	struct next_hop *next;

	if (parse_ipv6(c, p) || !ctx_holds(c, p->l4 + p->payload_bytes))
		return VERDICT_LONG_WAY;
	m->prefix = pool6_find(t->gw, &p->dst);
	if (m->prefix >= MAX_PREFIXES)
		return VERDICT_LONG_WAY;
	if (!session_flow(c, p, &f))
		return f.sign == TCP_SYN ? without_session_64(t, p) : VERDICT_LONG_WAY;

	const struct prefix *px = prefix_at(t->gw, m->prefix);
	__u32 remote = rfc6052_extract(px, &p->dst);
	struct session6_key key = { .inside = p->src,
				    .remote = bpf_htonl(remote),
				    .inside_port = f.src_port,
				    .remote_port = f.dst_port,
				    .protocol = f.protocol,
				    .prefix = px->id };
	struct session *s = session_find6(&key);

	if (!s)
		return without_session_64(t, p);
	if (s->generation6 != t->generation || !session_follow(t->gw, s, true, f.sign, now()))
		return VERDICT_LONG_WAY;
	m->src = addr_from_v4(bpf_ntohl(s->pool));
	m->dst = addr_from_v4(remote);
	map_ports(m, f.src_port, f.dst_port, s->pool_port);
	if (!plan_established(c, t, work))
		return VERDICT_LONG_WAY;
	if (next_hop(c, t->gw, &m->src, &m->dst, FAMILY_INET, p->tos, &next))
		return VERDICT_LONG_WAY;

	__u32 size = wire_bytes(c, p, l4, sizeof(struct iphdr));

	if (size > next->hop.mtu_bytes)
		return VERDICT_LONG_WAY;
	if (is_canonical(px, &p->dst, remote)) /* else session_forget() would not find it */
		remember(ctx_own_mac(c), t->generation, p, m, next);
	return translate_64(c, t->gw, p, m, l4, &next->hop, size, bpf_get_prandom_u32());
}

static __always_inline int established(struct ctx c)
{
	struct tables t = {};
	struct stateful_work *work = stateful_work();

	if (!work || tables_read(&t) || ctx_is_for_other_host(c, t.gw))
		return VERDICT_LONG_WAY;

	struct ethhdr *eth = ctx_at(c, 0, ETH_HLEN); /* as known.h has pulled it */

	if (!eth)
		return VERDICT_LONG_WAY;
	work->p.l3 = ETH_HLEN;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		work->p.family = FAMILY_INET;
		return session_46(c, &t, work);
	}
	work->p.family = FAMILY_INET6;
	return session_64(c, &t, work);
}

__noinline int xdp_established(struct xdp_md *raw)
{
	return established((struct ctx){ raw, ENTRY_XDP });
}

__noinline int tc_established(struct __sk_buff *raw)
{
	return established((struct ctx){ raw, ENTRY_TC });
}

#endif
