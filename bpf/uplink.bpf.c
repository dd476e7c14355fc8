// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The gateway's data path: one pipeline, two entries. A packet is parsed, classified, checked and
 * mapped without being touched; then it is rewritten once and sent to its next hop. What is rarer
 * has functions of its own: extension headers (parse.h), hairpins (hairpin.h), ICMP errors to
 * translate (quote.h), ICMP errors to send (reject.h), UDP checksums (udp_sum.h), events (event.h).
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sixlane/event.h"
#include "sixlane/hairpin.h"
#include "sixlane/known.h"
#include "sixlane/pass.h"
#include "sixlane/quote.h"
#include "sixlane/udp_sum.h"

/* What becomes of a packet beside its header. */
struct translation {
	struct mapping m;
	struct l4_change l4;
};

static __always_inline int forward_46(struct ctx c, struct gateway *gw, const struct pkt *p,
				      const struct translation *tr, struct hop *hop)
{
	__u32 size = wire_bytes(c, p, &tr->l4, header_46_bytes(p));

	if (p->payload_bytes > IP_BYTES_MAX)
		return slow_path_segments(c, gw, p);
	/* Fragments of ICMP are not translated (RFC 7915 1.2): whole or not at all. */
	if (p->may_fragment && p->proto != IPPROTO_ICMP && size > gw->lowest_ipv6_mtu_bytes)
		return slow_path(c, gw, p);
	if (size > hop->mtu_bytes)
		return leave(c, p, DROP_TOO_BIG,
			     hop->mtu_bytes - 20 - (p->is_fragment ? FRAGMENT_HEADER_BYTES : 0),
			     pkt_l3_bytes(p));
	return translate_46(c, gw, p, &tr->m, &tr->l4, hop);
}

static __always_inline int forward_64(struct ctx c, struct gateway *gw, const struct pkt *p,
				      const struct translation *tr, struct hop *hop)
{
	const struct mapping *m = &tr->m;
	__u32 size = wire_bytes(c, p, &tr->l4, sizeof(struct iphdr)), bytes = pkt_l3_bytes(p);
	__u16 id = bpf_get_prandom_u32();
	__u32 mtu = hop->mtu_bytes;

	if (size <= mtu)
		return translate_64(c, gw, p, m, &tr->l4, hop, size, id);

	/* IPv6 may always send 1,280 bytes; a smaller link gets fragments (RFC 7915 5.1). The slow
	 * path takes the hop from them. */
	if (wire_bytes(c, p, &tr->l4, pkt_wire_header_bytes(p)) > IPV6_MTU_MIN)
		return leave(c, p, DROP_TOO_BIG, max_u32(IPV6_MTU_MIN, mtu + 20), bytes);
	if (!has_slow_path(c, gw, p))
		return leave(c, p, DROP_NO_SLOW_PATH, 0, bytes);
	if (rewrite_64(c, gw, p, m, &tr->l4, p->ttl, size, id))
		return leave(c, p, DROP_RESIZE_FAILED, 0, bytes);
	return slow_path_64(c, gw, p, mtu, bytes);
}

/*
 * The second half of the way, a function for each direction: the verifier walks what is behind
 * once, not once for each way that leads there (Linux 6.1 needs that).
 */
__noinline int xdp_forward_46(struct xdp_md *raw, struct gateway *gw, const struct pkt *p,
			      const struct translation *tr, struct hop *hop)
{
	struct ctx c = { raw, ENTRY_XDP };

	return gw && p && tr && hop ? forward_46(c, gw, p, tr, hop) : ctx_drop(c);
}

__noinline int xdp_forward_64(struct xdp_md *raw, struct gateway *gw, const struct pkt *p,
			      const struct translation *tr, struct hop *hop)
{
	struct ctx c = { raw, ENTRY_XDP };

	return gw && p && tr && hop ? forward_64(c, gw, p, tr, hop) : ctx_drop(c);
}

__noinline int tc_forward_46(struct __sk_buff *raw, struct gateway *gw, const struct pkt *p,
			     const struct translation *tr, struct hop *hop)
{
	struct ctx c = { raw, ENTRY_TC };

	return gw && p && tr && hop ? forward_46(c, gw, p, tr, hop) : ctx_drop(c);
}

__noinline int tc_forward_64(struct __sk_buff *raw, struct gateway *gw, const struct pkt *p,
			     const struct translation *tr, struct hop *hop)
{
	struct ctx c = { raw, ENTRY_TC };

	return gw && p && tr && hop ? forward_64(c, gw, p, tr, hop) : ctx_drop(c);
}

static __always_inline int forward(struct ctx c)
{
	struct tables t;
	struct pkt p = {};
	struct translation tr = {};
	struct next_hop *next;
	enum reason why = receive(c, &t, &p, &tr.m);

	if ((why == PASS_NOT_OURS || why == PASS_NATIVE) && is_more_than_passed(c, t.gw))
		return VERDICT_PASS | why << VERDICT_REASON_SHIFT;
	if (why) /* not parsed, it is as long as its frame says */
		return leave(c, &p, why, p.pointer, p.l4 ? pkt_l3_bytes(&p) : ctx_bytes(c) - p.l3);
	if (tr.m.hairpin)
		return VERDICT_HAIRPIN;

	enum icmp_class class;

	why = check_upper(c, &p, false, &class);
	if (why)
		return leave(c, &p, why, 0, pkt_l3_bytes(&p));
	if (class == ICMP_IS_ERROR)
		return VERDICT_ERROR;

	why = map(c, &t, &p, &tr.m, false);
	if (!why && p.family == FAMILY_INET && !is_allowed(&t, &tr.m, &p.src))
		why = DROP_SOURCE_NOT_ALLOWED;
	if (!why && p.ttl <= 1)
		why = DROP_TTL_EXPIRED;
	if (!why) {
		tr.m.sum = csum_to32(csum_delta_addresses(&p, &tr.m));
		why = plan_l4(c, &p, &tr.m, &tr.l4);
	}
	if (why == DROP_UDP_ZERO_CHECKSUM && p.family == FAMILY_INET && !p.is_fragment &&
	    t.gw->flags & GATEWAY_UDP_COMPUTE && !ctx_segment_bytes(c))
		return VERDICT_UDP_SUM;
	if (why)
		return leave(c, &p, why, 0, pkt_l3_bytes(&p));

	p.tos = tos_of(t.gw, &p);

	const bool is_46 = p.family == FAMILY_INET;

	why = is_46 ? next_hop(c, t.gw, &tr.m.src, &tr.m.dst, FAMILY_INET6, p.tos, &next)
		    : next_hop(c, t.gw, &tr.m.src, &tr.m.dst, FAMILY_INET, p.tos, &next);
	if (why)
		return leave(c, &p, why, 0, pkt_l3_bytes(&p));
	if (!dry_run)
		remember(ctx_own_mac(c), t.generation, &p, &tr.m, next);
	if (c.entry == ENTRY_XDP)
		return is_46 ? xdp_forward_46(ctx_xdp(c), t.gw, &p, &tr, &next->hop)
			     : xdp_forward_64(ctx_xdp(c), t.gw, &p, &tr, &next->hop);
	return is_46 ? tc_forward_46(ctx_skb(c), t.gw, &p, &tr, &next->hop)
		     : tc_forward_64(ctx_skb(c), t.gw, &p, &tr, &next->hop);
}

__noinline int xdp_forward(struct xdp_md *ctx)
{
	return forward((struct ctx){ ctx, ENTRY_XDP });
}

__noinline int tc_forward(struct __sk_buff *ctx)
{
	return forward((struct ctx){ ctx, ENTRY_TC });
}

SEC("xdp.frags")
int uplink_xdp(struct xdp_md *ctx)
{
	int verdict = xdp_known(ctx);

	if (verdict == VERDICT_LONG_WAY)
		verdict = xdp_forward(ctx);
	if (verdict > 0 && verdict & VERDICT_PASS)
		verdict = xdp_pass(ctx, verdict_reason(verdict));
	else if (verdict == VERDICT_UDP_SUM) {
		verdict = xdp_add_udp_sum(ctx);
		if (!verdict) {
			verdict = xdp_forward(ctx);
			if (verdict >= VERDICT_DROP)
				xdp_remove_udp_sum(ctx);
		}
	}
	if (verdict == VERDICT_HAIRPIN)
		verdict = xdp_hairpin(ctx);
	if (verdict == VERDICT_ERROR)
		verdict = xdp_error(ctx);
	if (verdict < VERDICT_DROP)
		return verdict;
	xdp_tell(ctx, verdict_reason(verdict)); /* while it is as it came in */
	return verdict & VERDICT_REJECT
		       ? xdp_reject(ctx, verdict_reason(verdict), verdict & VERDICT_REST_MASK)
		       : XDP_DROP;
}

SEC("tc")
int uplink_tc(struct __sk_buff *ctx)
{
	int verdict = tc_known(ctx);

	if (verdict == VERDICT_LONG_WAY)
		verdict = tc_forward(ctx);
	if (verdict > 0 && verdict & VERDICT_PASS)
		verdict = tc_pass(ctx, verdict_reason(verdict));
	else if (verdict == VERDICT_UDP_SUM) {
		verdict = tc_add_udp_sum(ctx);
		if (!verdict) {
			verdict = tc_forward(ctx);
			if (verdict >= VERDICT_DROP)
				tc_remove_udp_sum(ctx);
		}
	}
	if (verdict == VERDICT_HAIRPIN)
		verdict = tc_hairpin(ctx);
	if (verdict == VERDICT_ERROR)
		verdict = tc_error(ctx);
	if (verdict < VERDICT_DROP)
		return verdict;
	tc_tell(ctx, verdict_reason(verdict)); /* while it is as it came in */
	return verdict & VERDICT_REJECT
		       ? tc_reject(ctx, verdict_reason(verdict), verdict & VERDICT_REST_MASK)
		       : TC_ACT_SHOT;
}

/*
 * At the far end of the slow path: a frame addressed to our own end was sent here only to turn
 * round. The stack of that namespace gets the others, with the mark that picks the routing table.
 */
SEC("tc")
int slow_turn(struct __sk_buff *ctx)
{
	if (ctx->pkt_type == PACKET_OTHERHOST)
		return bpf_redirect(ctx->ifindex, 0);
	ctx->mark = slow_mark((struct ctx){ ctx, ENTRY_TC });
	return TCX_CONTINUE;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
