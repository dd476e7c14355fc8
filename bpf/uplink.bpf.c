// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The gateway's data path: one pipeline, two entries. A packet is parsed, classified, checked and
 * mapped without being touched; then it is rewritten once and sent to its next hop. Cold paths are
 * functions of their own: extension headers (parse.h), ICMP errors to translate (quote.h), ICMP
 * errors to send (reject.h), events (event.h).
 */
#include <linux/bpf.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sixlane/event.h"
#include "sixlane/quote.h"
#include "sixlane/receive.h"
#include "sixlane/slow.h"

/* What the rewrite does to the transport header. */
struct l4_change {
	__u64 delta;
	__u32 csum_offset; /* in the transport header; 0: no checksum */
	__u32 header_bytes;
	__u8 icmp_type;
	bool udp;
	bool echo;
};

static __always_inline enum reason plan_l4(struct ctx c, const struct pkt *p,
					   const struct mapping *m, struct l4_change *l4)
{
	if (!pkt_has_l4_header(p))
		return REASON_NONE;

	if (p->proto == IPPROTO_TCP) {
		struct tcphdr *tcp = ctx_at(c, p->l4, sizeof(*tcp));

		if (!tcp || p->payload_bytes < sizeof(*tcp))
			return DROP_TRUNCATED;
		l4->csum_offset = offsetof(struct tcphdr, check);
		l4->header_bytes = tcp->doff * 4;
		l4->delta = csum_delta_addresses(p, m);
	} else if (p->proto == IPPROTO_UDP) {
		struct udphdr *udp = ctx_at(c, p->l4, sizeof(*udp));

		if (!udp || p->payload_bytes < sizeof(*udp))
			return DROP_TRUNCATED;
		if (!udp->check)
			return DROP_UDP_ZERO_CHECKSUM;
		l4->csum_offset = offsetof(struct udphdr, check);
		l4->header_bytes = sizeof(*udp);
		l4->udp = true;
		l4->delta = csum_delta_addresses(p, m);
	} else if (p->proto == icmp_proto(p->family)) {
		struct icmp_header *icmp = ctx_at(c, p->l4, sizeof(*icmp));

		if (!icmp)
			return DROP_TRUNCATED;
		l4->echo = true;
		l4->icmp_type = icmp_echo_type(icmp->type);
		l4->csum_offset = offsetof(struct icmp_header, checksum);
		l4->delta = csum_delta_pseudo(p, m, p->payload_bytes) +
			    csum_delta_type(icmp->type, l4->icmp_type);
	}
	return REASON_NONE;
}

/* Layer 3 bytes of one packet on the wire, behind a new header of `header_bytes`. */
static __always_inline __u32 wire_bytes(struct ctx c, const struct pkt *p,
					const struct l4_change *l4, __u32 header_bytes)
{
	__u32 segment = ctx_segment_bytes(c);

	return header_bytes + (segment ? l4->header_bytes + segment : p->payload_bytes);
}

static __always_inline int rewrite_l4(struct ctx c, __u32 offset, const struct l4_change *l4)
{
	if (!l4->csum_offset)
		return 0;
	if (l4->echo && ctx_store(c, offset, &l4->icmp_type, sizeof(l4->icmp_type)))
		return -1;
	return ctx_csum_update(c, offset + l4->csum_offset, l4->delta, l4->udp);
}

static __always_inline int forward_46(struct ctx c, const struct tables *t, const struct pkt *p,
				      const struct mapping *m, const struct l4_change *l4)
{
	const __u32 fresh = sizeof(struct ipv6hdr) + (p->is_fragment ? FRAGMENT_HEADER_BYTES : 0);
	__u32 size = wire_bytes(c, p, l4, fresh), bytes = pkt_l3_bytes(p);
	struct ipv6_headers h;
	struct next_hop *hop;

	/* Fragments of ICMP are not translated (RFC 7915 1.2): whole or not at all. */
	if (p->may_fragment && p->proto != IPPROTO_ICMP && size > t->gw->lowest_ipv6_mtu_bytes)
		return slow_path(c, t->gw, p);

	enum reason why = next_hop(c, t->gw, &m->src, &m->dst, FAMILY_INET6, p->tos, &hop);

	if (why)
		return leave(c, p, why, 0, bytes);
	if (size > hop->mtu_bytes)
		return leave(c, p, DROP_TOO_BIG,
			     hop->mtu_bytes - 20 - (p->is_fragment ? FRAGMENT_HEADER_BYTES : 0),
			     bytes);

	header_46(p, m, p->payload_bytes, p->ttl - 1, &h);
	if (ctx_replace_l3(c, p->l3, p->l4 - p->l3, fresh, FAMILY_INET6))
		return leave(c, p, DROP_RESIZE_FAILED, 0, bytes);
	if (p->is_fragment ? ctx_store(c, p->l3, &h, sizeof(h))
			   : ctx_store(c, p->l3, &h.ip, sizeof(h.ip)))
		return leave(c, p, DROP_RESIZE_FAILED, 0, bytes);
	if (rewrite_l4(c, p->l3 + fresh, l4))
		return leave(c, p, DROP_RESIZE_FAILED, 0, bytes);
	count_forward(t, m, DIRECTION_46, bytes);
	return send(c, t->gw, hop);
}

static __always_inline int forward_64(struct ctx c, const struct tables *t, const struct pkt *p,
				      const struct mapping *m, const struct l4_change *l4)
{
	__u32 size = wire_bytes(c, p, l4, sizeof(struct iphdr)), bytes = pkt_l3_bytes(p);
	struct next_hop *hop;
	struct iphdr h;
	enum reason why = next_hop(c, t->gw, &m->src, &m->dst, FAMILY_INET, p->tos, &hop);

	if (why)
		return leave(c, p, why, 0, bytes);
	if (size > hop->mtu_bytes)
		return leave(c, p, DROP_TOO_BIG, max_u32(IPV6_MTU_MIN, hop->mtu_bytes + 20), bytes);

	header_64(p, m, p->payload_bytes, p->ttl - 1, size, bpf_get_prandom_u32(), &h);
	if (ctx_replace_l3(c, p->l3, p->l4 - p->l3, sizeof(h), FAMILY_INET))
		return leave(c, p, DROP_RESIZE_FAILED, 0, bytes);
	if (ctx_store(c, p->l3, &h, sizeof(h)) || rewrite_l4(c, p->l3 + sizeof(h), l4))
		return leave(c, p, DROP_RESIZE_FAILED, 0, bytes);
	count_forward(t, m, DIRECTION_64, bytes);
	return send(c, t->gw, hop);
}

static __always_inline int forward(struct ctx c)
{
	struct tables t;
	struct pkt p = {};
	struct mapping m = {};
	struct l4_change l4 = {};
	enum reason why = receive(c, &t, &p, &m);

	if (c.entry == ENTRY_TC && (why == PASS_NOT_OURS || why == PASS_NATIVE) &&
	    is_from_slow_path(c, t.gw))
		return forward_native(c, &t, &p);
	if (why) /* not parsed, it is as long as its frame says */
		return leave(c, &p, why, p.pointer, p.l4 ? pkt_l3_bytes(&p) : ctx_bytes(c) - p.l3);
	if (!proto_is_translatable(p.proto, p.family))
		return leave(c, &p, DROP_PROTOCOL, 0, pkt_l3_bytes(&p));

	if (p.proto == icmp_proto(p.family)) {
		struct icmp_header *icmp = ctx_at(c, p.l4, sizeof(*icmp));

		if (p.is_fragment)
			return leave(c, &p, DROP_ICMP_FRAGMENT, 0, pkt_l3_bytes(&p));
		if (!icmp || p.payload_bytes < sizeof(*icmp))
			return leave(c, &p, DROP_TRUNCATED, 0, pkt_l3_bytes(&p));

		enum icmp_class class = icmp_classify(icmp->type, p.family);

		if (class == ICMP_IS_ERROR)
			return VERDICT_ERROR;
		if (class != ICMP_IS_ECHO)
			return leave(c, &p, DROP_ICMP_TYPE, 0, pkt_l3_bytes(&p));
	}

	why = map(c, &t, &p, &m, false);
	if (!why && p.family == FAMILY_INET && !is_allowed(&t, &m, &p.src))
		why = DROP_SOURCE_NOT_ALLOWED;
	if (!why && p.ttl <= 1)
		why = DROP_TTL_EXPIRED;
	if (!why)
		why = plan_l4(c, &p, &m, &l4);
	if (why)
		return leave(c, &p, why, 0, pkt_l3_bytes(&p));

	return p.family == FAMILY_INET ? forward_46(c, &t, &p, &m, &l4)
				       : forward_64(c, &t, &p, &m, &l4);
}

__noinline int xdp_forward(struct xdp_md *ctx)
{
	return forward((struct ctx){ ctx, ENTRY_XDP });
}

__noinline int tc_forward(struct __sk_buff *ctx)
{
	return forward((struct ctx){ ctx, ENTRY_TC });
}

SEC("xdp")
int uplink_xdp(struct xdp_md *ctx)
{
	int verdict = xdp_forward(ctx);

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
	int verdict = tc_forward(ctx);

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
 * round. The stack of that namespace gets the others.
 */
SEC("tc")
int slow_turn(struct __sk_buff *ctx)
{
	return ctx->pkt_type == PACKET_OTHERHOST ? bpf_redirect(ctx->ifindex, 0) : TCX_CONTINUE;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
