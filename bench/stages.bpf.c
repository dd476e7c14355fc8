// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The ways through uplink_xdp, cut off behind each stage: what a stage costs is what a program
 * that ends behind it costs more than the one that ends before. Over the maps of a loaded data
 * path.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sixlane/established.h"
#include "sixlane/known.h"
#include "sixlane/receive.h"

/* What a stage found, so that the compiler keeps it. */
volatile __u64 found = 0;

/* How many came to their end, and how many pairs were not remembered: there are more of them than
 * places. */
__u64 ended = 0;
__u64 missed = 0;

static __always_inline int stop(__u64 value)
{
	found = value;
	ended++;
	return XDP_DROP;
}

enum stage {
	PARSE,
	FIND,
	CHECK,
	TRANSLATE,
};

static __always_inline int short_way(struct xdp_md *raw, const enum stage last)
{
	struct ctx c = { raw, ENTRY_XDP };
	struct tables t = {};
	struct pkt p = { .l3 = ETH_HLEN };
	struct ethhdr *eth = ctx_at(c, 0, ETH_HLEN);

	if (!eth || tables_read(&t))
		return XDP_ABORTED;

	const bool v4 = eth->h_proto == bpf_htons(ETH_P_IP);

	p.family = v4 ? FAMILY_INET : FAMILY_INET6;
	if (v4 ? parse_ipv4(c, &p) : parse_ipv6(c, &p))
		return XDP_ABORTED;
	if (last == PARSE)
		return stop(p.src.lo + p.dst.lo + p.payload_bytes + p.proto + p.tos);

	struct pair *pair = pair_of(c, &t, &p);

	if (!pair) {
		missed++;
		return XDP_DROP;
	}

	struct mapping m = pair_mapping(pair);

	p.counter_prefix = pair->counter_prefix;
	if (last == FIND)
		return stop(m.src.lo + m.dst.lo + m.sum + p.counter_prefix);

	struct l4_change l4 = {};
	__u32 fresh = v4 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);

	if (v4 ? check_ipv4(c, &p) : !ctx_holds(c, p.l4 + p.payload_bytes))
		return XDP_ABORTED;
	if (plan_l4(c, &p, &m, &l4) || wire_bytes(c, &p, &l4, fresh) > pair->hop.mtu_bytes)
		return XDP_ABORTED;
	p.tos = tos_of(t.gw, &p);
	if (last == CHECK)
		return stop(l4.delta + p.tos);

	__u32 size = wire_bytes(c, &p, &l4, fresh), bytes = pkt_l3_bytes(&p);

	if (v4 ? rewrite_46(c, t.gw, &p, &m, &l4)
	       : rewrite_64(c, t.gw, &p, &m, &l4, p.ttl - 1, size, pair->ipv4_id++))
		return XDP_ABORTED;
	count_packet(&p, v4 ? FORWARD_46 : FORWARD_64, bytes);
	return stop(bytes);
}

SEC("xdp.frags")
int short_parse(struct xdp_md *ctx)
{
	return short_way(ctx, PARSE);
}

SEC("xdp.frags")
int short_find(struct xdp_md *ctx)
{
	return short_way(ctx, FIND);
}

SEC("xdp.frags")
int short_check(struct xdp_md *ctx)
{
	return short_way(ctx, CHECK);
}

SEC("xdp.frags")
int short_translate(struct xdp_md *ctx)
{
	return short_way(ctx, TRANSLATE);
}

enum long_stage {
	CLASSIFY,
	MAP,
	PLAN,
	NEXT_HOP,
};

static __always_inline int long_way(struct xdp_md *raw, const enum long_stage last)
{
	struct ctx c = { raw, ENTRY_XDP };
	struct tables t = {};
	struct pkt p = {};
	struct mapping m = {};
	struct l4_change l4 = {};
	struct next_hop *next;
	enum icmp_class class;

	if (receive(c, &t, &p, &m) || check_upper(c, &p, false, &class))
		return XDP_ABORTED;
	if (last == CLASSIFY)
		return stop(m.dst_word + p.src.lo + p.dst.lo + p.payload_bytes);
	if (map(c, &t, &p, &m, false) || (p.family == FAMILY_INET && !is_allowed(&t, &m, &p.src)))
		return XDP_ABORTED;
	if (last == MAP)
		return stop(m.src.lo + m.dst.lo);
	m.sum = csum_to32(csum_delta_addresses(&p, &m));
	if (plan_l4(c, &p, &m, &l4))
		return XDP_ABORTED;
	if (last == PLAN)
		return stop(l4.delta);
	if (p.family == FAMILY_INET ? next_hop(c, t.gw, &m.src, &m.dst, FAMILY_INET6, p.tos, &next)
				    : next_hop(c, t.gw, &m.src, &m.dst, FAMILY_INET, p.tos, &next))
		return XDP_ABORTED;
	return stop(next->hop.ifindex);
}

SEC("xdp.frags")
int long_classify(struct xdp_md *ctx)
{
	return long_way(ctx, CLASSIFY);
}

SEC("xdp.frags")
int long_map(struct xdp_md *ctx)
{
	return long_way(ctx, MAP);
}

SEC("xdp.frags")
int long_plan(struct xdp_md *ctx)
{
	return long_way(ctx, PLAN);
}

SEC("xdp.frags")
int long_next_hop(struct xdp_md *ctx)
{
	return long_way(ctx, NEXT_HOP);
}

enum session_stage {
	FORGOTTEN,
	INDEX,
	RECORD,
	WAY_ON,
	KEPT,
};

/* Of packets that have a session, and are not remembered. */
static __always_inline int session_way(struct xdp_md *raw, const enum session_stage last)
{
	struct ctx c = { raw, ENTRY_XDP };
	struct tables t = {};
	struct pkt p = { .l3 = ETH_HLEN };
	struct ethhdr *eth = ctx_at(c, 0, ETH_HLEN);
	struct flow f = {};
	struct mapping m = {};
	struct next_hop *next;
	__u32 slot;

	if (!eth || tables_read(&t))
		return XDP_ABORTED;

	const bool v4 = eth->h_proto == bpf_htons(ETH_P_IP);

	p.family = v4 ? FAMILY_INET : FAMILY_INET6;
	if ((v4 ? parse_ipv4(c, &p) : parse_ipv6(c, &p)) || !session_flow(c, &p, &f))
		return XDP_ABORTED;
	if (pair_of(c, &t, &p)) {
		missed++;
		return XDP_DROP;
	}
	if (last == FORGOTTEN)
		return stop(p.src.lo);

	struct session4_key key4 = { .pool = bpf_htonl(addr_to_v4(p.dst)),
				     .remote = bpf_htonl(addr_to_v4(p.src)),
				     .pool_port = f.dst_port,
				     .remote_port = f.src_port,
				     .protocol = f.protocol };
	struct session6_key key6 = { .inside = p.src,
				     .inside_port = f.src_port,
				     .remote_port = f.dst_port,
				     .protocol = f.protocol };

	if (v4) {
		slot = session_slot4(&key4);
	} else {
		m.prefix = pool6_find(t.gw, &p.dst);
		if (m.prefix >= MAX_PREFIXES)
			return XDP_ABORTED;

		const struct prefix *px = prefix_at(t.gw, m.prefix);

		key6.remote = bpf_htonl(rfc6052_extract(px, &p.dst));
		key6.prefix = px->id;
		slot = session_slot6(&key6);
	}
	if (last == INDEX)
		return stop(slot);

	struct session *s = bpf_map_lookup_elem(&sessions, &slot);

	if (!s || !session_follow(t.gw, s, !v4, f.sign, now()))
		return XDP_ABORTED;
	if (last == RECORD)
		return stop(s->pool);
	m.src = addr_from_v4(bpf_ntohl(s->pool));
	m.dst = v4 ? s->inside : addr_from_v4(bpf_ntohl(s->remote));
	if (v4 ? next_hop(c, t.gw, &m.src, &m.dst, FAMILY_INET6, p.tos, &next)
	       : next_hop(c, t.gw, &m.src, &m.dst, FAMILY_INET, p.tos, &next))
		return XDP_ABORTED;
	if (last == KEPT) {
		map_ports(&m, f.src_port, f.dst_port, s->pool_port);
		remember(ctx_own_mac(c), t.generation, &p, &m, next);
	}
	return stop(next->hop.ifindex);
}

SEC("xdp.frags")
int session_forgotten(struct xdp_md *ctx)
{
	return session_way(ctx, FORGOTTEN);
}

SEC("xdp.frags")
int session_index(struct xdp_md *ctx)
{
	return session_way(ctx, INDEX);
}

SEC("xdp.frags")
int session_record(struct xdp_md *ctx)
{
	return session_way(ctx, RECORD);
}

SEC("xdp.frags")
int session_way_on(struct xdp_md *ctx)
{
	return session_way(ctx, WAY_ON);
}

SEC("xdp.frags")
int session_kept(struct xdp_md *ctx)
{
	return session_way(ctx, KEPT);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
