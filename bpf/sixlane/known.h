// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The short way: plain packets of TCP and UDP between two addresses that are remembered, or between
 * two ports of a session. A packet with anything else about it, and each that is not to be sent on,
 * takes the long way: the short one knows no reasons.
 */
#ifndef SIXLANE_KNOWN_H
#define SIXLANE_KNOWN_H

#include "sixlane/called.h"
#include "sixlane/pair.h"
#include "sixlane/translate.h"

/* The pair of a parsed packet, if its frame is for us and nothing but its transport header is left
 * to be looked at. */
static __always_inline struct pair *pair_of(struct ctx c, const struct tables *t,
					    const struct pkt *p)
{
	__u64 own_mac = ctx_own_mac(c);
	struct pair *pair = NULL;

	if (p->is_jumbo || p->ttl <= 1 || (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP))
		return NULL;
	if (t->gw->flags & GATEWAY_STATEFUL) {
		struct ports *ports = ctx_at(c, p->l4, sizeof(*ports));

		if (!ports)
			return NULL;

		struct ends e = ends_of_session(p, own_mac, ports->src, ports->dst);

		pair = pair_find(&e, t->generation);
	}
	if (!pair) {
		struct ends e = ends_of(p, own_mac);

		pair = pair_find(&e, t->generation);
	}
	return pair;
}

/* Whether a packet tells the state machine nothing that it does not know. */
static __always_inline bool is_plain_tcp(struct ctx c, const struct pkt *p)
{
	struct tcphdr *tcp = ctx_at(c, p->l4, sizeof(*tcp));

	return tcp && !(tcp->syn | tcp->fin | tcp->rst);
}

/* What becomes of the transport header; false: the long way. */
static __always_inline bool plan_known(struct ctx c, const struct pkt *p, const struct pair *pair,
				       struct mapping *m, struct l4_change *l4)
{
	if (pair->protocol == IPPROTO_TCP && !is_plain_tcp(c, p))
		return false;
	if (plan_l4(c, p, m, l4))
		return false;
	if (pair->protocol) {
		m->src_port = pair->to_and_from >> 48;
		m->dst_port = pair->dst_port;
		m->new_port = pair->new_port;
		plan_port(c, p, m, l4);
	}
	return true;
}

static __always_inline struct mapping pair_mapping(const struct pair *pair)
{
	return (struct mapping){
		.src = pair->new_src, .dst = pair->new_dst, .prefix = pair->prefix, .sum = pair->sum
	};
}

static __always_inline int no_pair(const struct tables *t)
{
	return t->gw->flags & GATEWAY_STATEFUL ? VERDICT_SESSION : VERDICT_LONG_WAY;
}

/* Is there nothing that could be translated? */
static __always_inline bool gateway_only_balances(const struct gateway *gw)
{
	return !gw->prefix_count && !(gw->flags & GATEWAY_STATEFUL);
}

/* What then is of no service, as forward() would find out. */
static __always_inline int not_ours(struct ctx c, const struct tables *t, const struct pkt *p)
{
	if (c.entry == ENTRY_XDP && ctx_is_for_other_host(c, t->gw))
		return VERDICT_LONG_WAY;
	if (is_more_than_passed(c, t->gw))
		return VERDICT_PASS | PASS_NOT_OURS << VERDICT_REASON_SHIFT;
	count_packet(p, PASS_NOT_OURS, pkt_l3_bytes(p));
	return ctx_pass(c);
}

static __always_inline int known_46(struct ctx c, const struct tables *t, struct pkt *p)
{
	if (parse_ipv4(c, p))
		return VERDICT_LONG_WAY;
	if (is_maybe_of_service(t, &p->src, &p->dst))
		return called_plainly(c, t, p);
	if (gateway_only_balances(t->gw))
		return not_ours(c, t, p);
	if (p->header_bytes != sizeof(struct iphdr) || p->is_fragment)
		return VERDICT_LONG_WAY;

	struct pair *pair = pair_of(c, t, p);

	if (!pair)
		return no_pair(t);
	if (check_ipv4(c, p))
		return VERDICT_LONG_WAY;

	struct mapping m = pair_mapping(pair);

	p->counter_prefix = pair->counter_prefix;
	struct l4_change l4 = {};

	if (!plan_known(c, p, pair, &m, &l4))
		return VERDICT_LONG_WAY;

	__u32 size = wire_bytes(c, p, &l4, sizeof(struct ipv6hdr));

	if (size > pair->hop.mtu_bytes || (p->may_fragment && size > t->gw->lowest_ipv6_mtu_bytes))
		return VERDICT_LONG_WAY;
	p->tos = tos_of(t->gw, p);
	return translate_46(c, t->gw, p, &m, &l4, &pair->hop);
}

static __always_inline int known_64(struct ctx c, const struct tables *t, struct pkt *p)
{
	if (parse_ipv6(c, p))
		return VERDICT_LONG_WAY;
	if (is_maybe_of_service(t, &p->src, &p->dst))
		return called_plainly(c, t, p);
	if (gateway_only_balances(t->gw))
		return not_ours(c, t, p);

	struct pair *pair = pair_of(c, t, p);

	if (!pair)
		return no_pair(t);
	if (!ctx_holds(c, p->l4 + p->payload_bytes))
		return VERDICT_LONG_WAY;

	struct mapping m = pair_mapping(pair);

	p->counter_prefix = pair->counter_prefix;
	struct l4_change l4 = {};

	if (!plan_known(c, p, pair, &m, &l4))
		return VERDICT_LONG_WAY;

	__u32 size = wire_bytes(c, p, &l4, sizeof(struct iphdr));

	if (size > pair->hop.mtu_bytes)
		return VERDICT_LONG_WAY;
	p->tos = tos_of(t->gw, p);
	return translate_64(c, t->gw, p, &m, &l4, &pair->hop, size, pair->ipv4_id++);
}

/* Of what is not looked at here, such as frames with VLAN tags. */
static __always_inline int not_known(const struct tables *t)
{
	return t->gw->flags & GATEWAY_SERVICES ? VERDICT_SERVICE : VERDICT_LONG_WAY;
}

static __always_inline int forward_known(struct ctx c)
{
	struct tables t = {};
	struct pkt p = { .l3 = ETH_HLEN };

	if (tables_read(&t))
		return VERDICT_LONG_WAY;
	if (dry_run)
		return not_known(&t);
	if (c.entry == ENTRY_TC && ctx_is_for_other_host(c, t.gw))
		return VERDICT_LONG_WAY;
	ctx_pull(c, PULL_BYTES);

	struct ethhdr *eth = ctx_at(c, 0, ETH_HLEN);

	if (!eth)
		return VERDICT_LONG_WAY;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		p.family = FAMILY_INET;
		return known_46(c, &t, &p);
	}
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		p.family = FAMILY_INET6;
		return known_64(c, &t, &p);
	}
	return not_known(&t);
}

__noinline int xdp_known(struct xdp_md *raw)
{
	return forward_known((struct ctx){ raw, ENTRY_XDP });
}

__noinline int tc_known(struct __sk_buff *raw)
{
	return forward_known((struct ctx){ raw, ENTRY_TC });
}

#endif
