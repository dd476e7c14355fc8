// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The gateway's data path: one pipeline, two entries. A packet is parsed, classified, checked and
 * mapped without being touched; then it is rewritten once and sent to its next hop. What is rarer
 * has functions of its own: extension headers (parse.h), hairpins (hairpin.h), ICMP errors to
 * translate (error.h), ICMP errors to send (reject.h), UDP checksums (udp_sum.h), events (event.h).
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sixlane/capture.h"
#include "sixlane/check.h"
#include "sixlane/error.h"
#include "sixlane/established.h"
#include "sixlane/event.h"
#include "sixlane/fragment.h"
#include "sixlane/hairpin.h"
#include "sixlane/import.h"
#include "sixlane/known.h"
#include "sixlane/nat.h"
#include "sixlane/maglev.h"
#include "sixlane/pass.h"
#include "sixlane/stateful.h"
#include "sixlane/static.h"
#include "sixlane/udp_sum.h"

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

/* All is known but where it goes. */
static __always_inline int forward_mapped(struct ctx c, const struct tables *t, struct pkt *p,
					  const struct translation *tr)
{
	const bool is_46 = p->family == FAMILY_INET;
	struct next_hop *next;
	enum reason why;

	p->tos = tos_of(t->gw, p);
	why = next_hop(c, t->gw, &tr->m.src, &tr->m.dst, is_46 ? FAMILY_INET6 : FAMILY_INET, p->tos,
		       &next);
	if (why)
		return leave(c, p, why, 0, pkt_l3_bytes(p));
	if (!dry_run && !tr->m.stateful)
		remember(ctx_own_mac(c), t->generation, p, &tr->m, next);
	if (c.entry == ENTRY_XDP)
		return is_46 ? xdp_forward_46(ctx_xdp(c), t->gw, p, tr, &next->hop)
			     : xdp_forward_64(ctx_xdp(c), t->gw, p, tr, &next->hop);
	return is_46 ? tc_forward_46(ctx_skb(c), t->gw, p, tr, &next->hop)
		     : tc_forward_64(ctx_skb(c), t->gw, p, tr, &next->hop);
}

static __always_inline int forward(struct ctx c)
{
	struct tables t;
	struct pkt p = {};
	struct translation tr = {};
	enum reason why = receive(c, &t, &p, &tr.m);

	if (why) /* not parsed, it is as long as its frame says */
		return leave_or_pass(c, t.gw, &p, why, p.pointer,
				     p.l4 ? pkt_l3_bytes(&p) : ctx_bytes(c) - p.l3);
	if (tr.m.hairpin)
		return VERDICT_HAIRPIN;

	enum icmp_class class;

	why = check_upper(c, &p, false, &class);
	if (why)
		return leave(c, &p, why, 0, pkt_l3_bytes(&p));
	if (class == ICMP_IS_ERROR)
		return VERDICT_ERROR;

	if (tr.m.stateful || (p.family == FAMILY_INET6 && tr.m.dst_word & RANGE_POOL4))
		return VERDICT_STATEFUL;
	why = map(c, &t, &p, &tr.m, false);
	/* A source in pool6 is dropped in silence there, whatever it stands for. */
	if ((why == DROP_SOURCE_NOT_MAPPABLE || why == DROP_NOT_GLOBAL) &&
	    p.family == FAMILY_INET6 && t.gw->flags & GATEWAY_STATEFUL)
		return VERDICT_STATEFUL;
	if (!why && p.family == FAMILY_INET && !is_allowed(&t, &tr.m, &p.src))
		why = DROP_SOURCE_NOT_ALLOWED;
	if (!why && p.ttl <= 1)
		why = DROP_TTL_EXPIRED;
	if (!why) {
		tr.m.sum = csum_to32(csum_delta_addresses(&p, &tr.m));
		why = plan_l4(c, &p, &tr.m, &tr.l4);
	}
	if (why == DROP_UDP_ZERO_CHECKSUM && may_sum_udp(c, t.gw, &p))
		return VERDICT_UDP_SUM;
	if (why)
		return leave(c, &p, why, 0, pkt_l3_bytes(&p));

	return forward_mapped(c, &t, &p, &tr);
}

/* All but the first of a packet. */
static __always_inline int other_fragment(struct ctx c, const struct tables *t,
					  struct stateful_work *work)
{
	struct pkt *p = &work->p;
	enum reason why = fragment_map(t, work);

	if (why)
		return leave_or_pass(c, t->gw, p, why, 0, pkt_l3_bytes(p));
	return work->tr.m.hairpin ? ctx_forward_66(c, t->gw, p, &work->tr)
				  : forward_mapped(c, t, p, &work->tr);
}

static __always_inline enum reason keep_syn(struct ctx c, const struct tables *t,
					    const struct stateful_work *work)
{
	__u32 seconds = t->gw->lifetimes_seconds[LIFETIME_TCP_INCOMING_SYN];

	return c.entry == ENTRY_XDP ? xdp_syn_store(ctx_xdp(c), &work->p, &work->key4, seconds)
				    : tc_syn_store(ctx_skb(c), &work->p, &work->key4, seconds);
}

/* What needs a session or makes one. `again`: behind make_room(). */
static __always_inline int stateful(struct ctx c, bool again)
{
	struct stateful_work *work = stateful_work();

	if (!work)
		return ctx_drop(c);

	work->again = again;

	struct tables tables = {}, *t = &tables; /* a map would keep no pointers */
	struct pkt *p = &work->p;
	struct translation *tr = &work->tr;
	enum icmp_class class;
	__be16 far_port = 0;
	bool hairpin = false;
	enum reason why = receive(c, t, p, &tr->m);

	if (!why && tr->m.hairpin)
		return VERDICT_HAIRPIN;
	if (!why)
		why = check_upper(c, p, false, &class);
	if (!why && p->family == FAMILY_INET && pkt_has_l4_header(p))
		why = claim_46(c, t, work);
	if (why == DROP_UDP_ZERO_CHECKSUM && may_sum_udp(c, t->gw, p))
		return VERDICT_UDP_SUM;
	if (!why && p->ttl <= 1)
		why = DROP_TTL_EXPIRED;
	/* The others of a packet that is not ours may have come before its first. */
	if ((!why || why == PASS_NOT_OURS) && p->is_fragment && !is_from_slow_path(c, t->gw))
		return slow_path_in_order(c, t->gw, p, SLOW_IN_ORDER);
	if (!why && !pkt_has_l4_header(p))
		return other_fragment(c, t, work);
	if (!why) {
		why = p->family == FAMILY_INET ? stateful_46(t, work) : stateful_64(c, t, work);
		hairpin = !why && is_hairpin(t, work);
	}
	/* Nobody puts fragments together to sum them up: they go in silence (RFC 6146 3.4). */
	p->no_error |= why == DROP_UDP_ZERO_CHECKSUM && p->is_fragment;
	if (!why && hairpin)
		why = stateful_66(t, work, &far_port);
	if (why && wants_room(t->gw, work, why))
		return VERDICT_ROOM;
	if (why == DROP_SYN_STORED)
		why = keep_syn(c, t, work);
	if ((!why || why == PASS_NOT_OURS) && p->is_fragment)
		fragment_note(t, work,
			      why	? FRAGMENT_NOT_OURS
			      : hairpin ? FRAGMENT_HAIRPIN
					: FRAGMENT_TRANSLATED);
	if (!why) {
		tr->m.sum = csum_to32(csum_delta_addresses(p, &tr->m));
		why = plan_l4(c, p, &tr->m, &tr->l4);
	}
	if (why)
		return leave_or_pass(c, t->gw, p, why, 0, pkt_l3_bytes(p));
	plan_port(c, p, &tr->m, &tr->l4);
	if (!hairpin)
		return forward_mapped(c, t, p, tr);
	if (work->f.protocol != SESSION_ICMP)
		plan_far_port(c, &tr->m, far_port, &tr->l4);
	return ctx_forward_66(c, t->gw, p, tr);
}

__noinline int xdp_stateful(struct xdp_md *ctx, __u32 again)
{
	return stateful((struct ctx){ ctx, ENTRY_XDP }, again);
}

__noinline int tc_stateful(struct __sk_buff *ctx, __u32 again)
{
	return stateful((struct ctx){ ctx, ENTRY_TC }, again);
}

__noinline int xdp_forward(struct xdp_md *ctx)
{
	return forward((struct ctx){ ctx, ENTRY_XDP });
}

__noinline int tc_forward(struct __sk_buff *ctx)
{
	return forward((struct ctx){ ctx, ENTRY_TC });
}

/* As far as a packet's own way is known, or what else is to be done first. */
static __always_inline int way_of_xdp(struct xdp_md *ctx)
{
	int verdict = xdp_known(ctx);

	if (verdict == VERDICT_SERVICE)
		verdict = xdp_service(ctx);
	if (verdict == VERDICT_NAT)
		verdict = xdp_nat(ctx);
	if (verdict == VERDICT_SESSION)
		verdict = xdp_established(ctx);
	if (verdict == VERDICT_LONG_WAY)
		verdict = xdp_forward(ctx);
	if (verdict == VERDICT_STATEFUL) {
		verdict = xdp_stateful(ctx, false);
		if (verdict == VERDICT_ROOM) {
			make_room();
			verdict = xdp_stateful(ctx, true);
		}
	}
	return verdict;
}

static __always_inline int handle_xdp(struct xdp_md *ctx)
{
	int verdict = way_of_xdp(ctx);

	if (verdict > 0 && verdict & VERDICT_PASS)
		verdict = xdp_pass(ctx, verdict_reason(verdict));
	else if (verdict == VERDICT_UDP_SUM) {
		verdict = xdp_add_udp_sum(ctx);
		if (!verdict) {
			verdict = way_of_xdp(ctx);
			if (verdict >= VERDICT_DROP)
				xdp_remove_udp_sum(ctx);
		}
	}
	if (verdict == VERDICT_HAIRPIN)
		verdict = xdp_hairpin(ctx);
	if (verdict == VERDICT_ERROR || verdict == VERDICT_CALL_ERROR)
		verdict = xdp_error(ctx, verdict == VERDICT_CALL_ERROR);
	if (verdict < VERDICT_DROP)
		return verdict;
	xdp_tell(ctx, verdict_reason(verdict)); /* while it is as it came in */
	return verdict & VERDICT_REJECT
		       ? xdp_reject(ctx, verdict_reason(verdict), verdict & VERDICT_REST_MASK)
		       : XDP_DROP;
}

/* As far as a packet's own way is known, or what else is to be done first. */
static __always_inline int way_of_tc(struct __sk_buff *ctx)
{
	int verdict = tc_known(ctx);

	if (verdict == VERDICT_SERVICE)
		verdict = tc_service(ctx);
	if (verdict == VERDICT_NAT)
		verdict = tc_nat(ctx);
	if (verdict == VERDICT_SESSION)
		verdict = tc_established(ctx);
	if (verdict == VERDICT_LONG_WAY)
		verdict = tc_forward(ctx);
	if (verdict == VERDICT_STATEFUL) {
		verdict = tc_stateful(ctx, false);
		if (verdict == VERDICT_ROOM) {
			make_room();
			verdict = tc_stateful(ctx, true);
		}
	}
	return verdict;
}

static __always_inline int handle_tc(struct __sk_buff *ctx)
{
	int verdict = way_of_tc(ctx);

	if (verdict > 0 && verdict & VERDICT_PASS)
		verdict = tc_pass(ctx, verdict_reason(verdict));
	else if (verdict == VERDICT_UDP_SUM) {
		verdict = tc_add_udp_sum(ctx);
		if (!verdict) {
			verdict = way_of_tc(ctx);
			if (verdict >= VERDICT_DROP)
				tc_remove_udp_sum(ctx);
		}
	}
	if (verdict == VERDICT_HAIRPIN)
		verdict = tc_hairpin(ctx);
	if (verdict == VERDICT_ERROR || verdict == VERDICT_CALL_ERROR)
		verdict = tc_error(ctx, verdict == VERDICT_CALL_ERROR);
	if (verdict < VERDICT_DROP)
		return verdict;
	tc_tell(ctx, verdict_reason(verdict)); /* while it is as it came in */
	return verdict & VERDICT_REJECT
		       ? tc_reject(ctx, verdict_reason(verdict), verdict & VERDICT_REST_MASK)
		       : TC_ACT_SHOT;
}

SEC("xdp.frags")
int uplink_xdp(struct xdp_md *ctx)
{
	if (capture)
		xdp_capture_before(ctx);

	int verdict = handle_xdp(ctx);

	if (capture)
		xdp_capture_after(ctx, verdict);
	return verdict;
}

SEC("tc")
int uplink_tc(struct __sk_buff *ctx)
{
	if (capture)
		tc_capture_before(ctx);

	int verdict = handle_tc(ctx);

	if (capture)
		tc_capture_after(ctx, verdict);
	return verdict;
}

static long sweep_slot(__u32 i, void *data)
{
	struct sweep *sweep = data;
	struct tables t;

	if (tables_read(&t))
		return 1;
	if (session_lapse(t.gw, sweep->first + i, sweep->now)) {
		sweep->probe.is_due = true;
		return 1;
	}
	sweep->ended += session_end(t.gw, sweep->first + i, sweep->now);
	return 0;
}

/* What the probe of a session looks like as it comes to the node inside (RFC 6146 3.5.2.2). */
static __always_inline void probe_write(struct probe *probe, __u32 slot)
{
	struct session *s = bpf_map_lookup_elem(&sessions, &slot);
	struct tables t;

	if (!s || tables_read(&t))
		return;

	__u32 prefix = t.gw->prefix_indices[s->prefix & (MAX_PREFIXES - 1)];

	if (prefix >= MAX_PREFIXES)
		return;
	probe->src = rfc6052_embed(prefix_at(t.gw, prefix), bpf_ntohl(s->remote));
	probe->dst = s->inside;
	probe->src_port = s->remote_port;
	probe->dst_port = s->inside_port;
	probe->is_due = true;
}

/*
 * Takes out sessions that have ended, of `count` slots from `first` on; `ended`: how many. For the
 * agent, which is noted to be there. It comes as far as `done` says, which is behind the first
 * session that has to be probed. Without any slots it tells what time it is, and no more.
 */
SEC("syscall")
int sweep_sessions(struct sweep *sweep)
{
	struct sweep work = { .first = sweep->first, .count = sweep->count, .now = now() };
	struct probe probe = {};
	__u32 zero = 0;
	struct sweeping *sweeping = bpf_map_lookup_elem(&sweepings, &zero);

	if (sweeping && work.count)
		sweeping->by_agent_jiffies = bpf_jiffies64();
	work.done = bpf_loop(work.count, sweep_slot, &work, 0);
	if (work.probe.is_due)
		probe_write(&probe, work.first + work.done - 1);
	sweep->ended = work.ended;
	sweep->now = work.now;
	sweep->done = work.done;
	sweep->probe = probe;
	return 0;
}

/* A SYN that nobody came to meet is answered (RFC 6146 3.5.2.2), as often as errors may be sent. */
static long sweep_syn(__u32 i, void *data)
{
	struct syn_sweep *sweep = data;
	__u32 slot = sweep->first + i;
	struct stored_syn *syn = bpf_map_lookup_elem(&syns, &slot);
	__u64 until = syn ? *(volatile __u64 *)&syn->until : 0;
	struct tables t;

	if (!until || until > sweep->syn.until)
		return 0;
	if (tables_read(&t))
		return 1;
	if (!swap64(&syn->until, until, SYN_BUSY))
		return 0;
	count(SYN_EXPIRED, syn->bytes);
	sweep->is_due = t.gw->flags & GATEWAY_ICMP_UNLIMITED ||
			bucket_take(BUCKET_ICMP_ERRORS, t.gw->icmp_errors_per_second);
	if (sweep->is_due) {
		count(ICMP_ERROR_SENT, syn->bytes);
		return 1;
	}
	count(ICMP_ERROR_LIMITED, syn->bytes);
	*(volatile __u64 *)&syn->until = 0;
	return 0;
}

/* Takes out SYNs whose time is over, of `count` slots from `first` on, up to one that the agent is
 * to answer, if any. */
SEC("syscall")
int sweep_syns(struct syn_sweep *sweep)
{
	struct syn_sweep work = { .first = sweep->first, .syn.until = now() };
	__u32 done = bpf_loop(sweep->count, sweep_syn, &work, 0), slot = work.first + done - 1;
	struct stored_syn *syn = work.is_due ? bpf_map_lookup_elem(&syns, &slot) : NULL;

	sweep->done = done;
	sweep->is_due = 0;
	if (!syn)
		return 0;
	sweep->syn = *syn;
	sweep->is_due = 1;
	*(volatile __u64 *)&syn->until = 0;
	return 0;
}

/* Puts or removes a static binding, while packets make and remove others. For the agent. */
SEC("syscall")
int bind_static(struct static_binding *asked)
{
	struct static_binding wanted = *asked;
	struct tables t;

	asked->result = tables_read(&t) ? BIND_NOT_POOL4
			: wanted.wanted ? static_put(t.gw, &wanted)
					: static_remove(t.gw, &wanted);
	return 0;
}

/* Makes sessions of another gateway, those in `imports`, while packets make and end others. For the
 * agent. */
SEC("syscall")
int import_sessions(struct import_batch *batch)
{
	bpf_loop(batch->count, import_next, NULL, 0);
	return 0;
}

/* Fills a ring with the members in `ring_members`, as far as `steps` reach, and puts it in force
 * when it is full. For the agent. */
SEC("syscall")
int build_ring(struct ring_build *asked)
{
	struct ring_build work = *asked;

	ring_build(&work);
	*asked = work;
	return 0;
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

/* On its way out of our own device for them: a health check to a frontend by a backend. */
SEC("tc")
int check_out(struct __sk_buff *ctx)
{
	return check(ctx);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
