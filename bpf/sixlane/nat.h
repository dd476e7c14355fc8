// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Services that are translated: from a client to a backend and back, either in its own family. The
 * backend answers to a source of ours, or to the client's pool6 address, which leads here as well.
 */
#ifndef SIXLANE_NAT_H
#define SIXLANE_NAT_H

#include "sixlane/lb.h"
#include "sixlane/translate.h"

static __always_inline __u32 nat_protocol(const struct pkt *p)
{
	return p->proto == IPPROTO_TCP ? SESSION_TCP : SESSION_UDP;
}

static __always_inline enum tcp_sign nat_sign(struct ctx c, const struct pkt *p)
{
	struct tcphdr *tcp = p->proto == IPPROTO_TCP ? ctx_at(c, p->l4, sizeof(*tcp)) : NULL;

	return !tcp	  ? TCP_OTHER
	       : tcp->rst ? TCP_RST
	       : tcp->syn ? TCP_SYN
	       : tcp->fin ? TCP_FIN
			  : TCP_OTHER;
}

static __always_inline bool nat_has_no_sum(struct ctx c, const struct pkt *p)
{
	struct udphdr *udp = p->proto == IPPROTO_UDP ? ctx_at(c, p->l4, sizeof(*udp)) : NULL;

	return udp && !udp->check;
}

/* What of the transport header changes; a UDP checksum of zero stays one within IPv4. */
static __always_inline enum reason nat_plan_l4(struct ctx c, struct service_work *work,
					       const __u32 family)
{
	struct pkt *p = &work->p;
	struct mapping *m = &work->tr.m;
	struct l4_change *l4 = &work->tr.l4;

	m->sum = csum_to32(csum_delta_addresses(p, m));

	enum reason why = plan_l4(c, p, m, l4);

	if (why == DROP_UDP_ZERO_CHECKSUM && p->family == family && family == FAMILY_INET) {
		l4->header_bytes = sizeof(struct udphdr);
		l4->udp = true;
		return REASON_NONE;
	}
	return why;
}

/* Both ports; behind nat_plan_l4(). */
static __always_inline void nat_plan_ports(struct ctx c, struct service_work *work, __be16 src,
					   __be16 dst)
{
	struct l4_change *l4 = &work->tr.l4;
	const struct mapping *m = &work->tr.m;

	plan_port_change(c, offsetof(struct ports, src), m->src_port, src, &l4->port, l4);
	plan_port_change(c, offsetof(struct ports, dst), m->dst_port, dst, &l4->far_port, l4);
}

static __always_inline int nat_rewrite_l4(struct ctx c, struct service_work *work, __u32 offset)
{
	const struct pkt *p = &work->p;
	const struct l4_change *l4 = &work->tr.l4;

	if (!pkt_has_l4_header(p))
		return 0;
	if (l4->csum_offset && ctx_csum_update(c, offset + l4->csum_offset, l4->delta, l4->udp))
		return -1;

	__u32 check = l4->udp ? offsetof(struct udphdr, check) : offsetof(struct tcphdr, check);

	if (rewrite_port(c, offset, check, l4->udp, &l4->port) ||
	    rewrite_port(c, offset, check, l4->udp, &l4->far_port))
		return -1;
	return l4->syn && work->max_segment_bytes
		       ? ctx_clamp_mss(c, offset,
				       offset + min_u32(l4->header_bytes, p->payload_bytes),
				       work->max_segment_bytes)
		       : 0;
}

/* The whole packet; `size`: layer 3 bytes of what leaves. */
static __always_inline int nat_rewrite(struct ctx c, struct service_work *work, __u8 ttl,
				       __u32 size, const __u32 family)
{
	const struct pkt *p = &work->p;
	const struct mapping *m = &work->tr.m;

	if (p->family == family) {
		if (family == FAMILY_INET ? store_ends4(c, p, m, ttl)
					  : store_ends(c, p->l3, m, ttl))
			return -1;
		return nat_rewrite_l4(c, work, p->l4);
	}
	if (family == FAMILY_INET6) {
		const __u32 fresh = header_46_bytes(p);
		struct ipv6_headers h;

		header_46(p, m, p->payload_bytes, ttl, &h);
		if (ctx_replace_l3(c, p->l3, p->l4 - p->l3, fresh, FAMILY_INET6))
			return -1;
		if (p->is_fragment ? ctx_store(c, p->l3, &h, sizeof(h))
				   : ctx_store(c, p->l3, &h.ip, sizeof(h.ip)))
			return -1;
		return nat_rewrite_l4(c, work, p->l3 + fresh);
	}

	struct iphdr h;

	header_64(p, m, p->payload_bytes, ttl, size, bpf_get_prandom_u32(), &h);
	if (ctx_replace_l3(c, p->l3, p->l4 - p->l3, sizeof(h), FAMILY_INET) ||
	    ctx_store(c, p->l3, &h, sizeof(h)))
		return -1;
	return nat_rewrite_l4(c, work, p->l3 + sizeof(h));
}

/* The MTU that a sender is told of, of its own family. */
static __always_inline __u32 nat_mtu(const struct pkt *p, __u32 mtu, const __u32 family)
{
	if (p->family == family)
		return mtu;
	return p->family == FAMILY_INET ? mtu - 20 - (p->is_fragment ? FRAGMENT_HEADER_BYTES : 0)
					: max_u32(IPV6_MTU_MIN, mtu + 20);
}

/* What goes nowhere; `why`: what it would have been counted as. */
static __always_inline int nat_leave(struct ctx c, const struct service_work *work, enum reason why,
				     enum reason refused, __u32 rest)
{
	if (why == FORWARD_SERVICE)
		return call_leave(c, &work->p, &work->call, refused, rest);
	return leave(c, &work->p, refused, rest, pkt_l3_bytes(&work->p));
}

/* What does not fit. */
static __always_inline int nat_too_big(struct ctx c, const struct tables *t,
				       struct service_work *work, enum reason why, __u32 size,
				       __u32 mtu, const __u32 family)
{
	const struct pkt *p = &work->p;

	if (p->family == FAMILY_INET && p->may_fragment)
		return slow_path(c, t->gw, p);
	/* As forward_64() does: IPv6 may always send as much. */
	if (p->family == FAMILY_INET6 && family == FAMILY_INET && has_slow_path(c, t->gw, p) &&
	    wire_bytes(c, p, &work->tr.l4, pkt_wire_header_bytes(p)) <= IPV6_MTU_MIN) {
		__u32 bytes = pkt_l3_bytes(p);

		return nat_rewrite(c, work, p->ttl, size, family)
			       ? nat_leave(c, work, why, DROP_RESIZE_FAILED, 0)
			       : slow_path_64(c, t->gw, p, mtu, bytes);
	}
	return nat_leave(c, work, why, DROP_TOO_BIG, nat_mtu(p, mtu, family));
}

/* All is known but where it goes. `why`: what it is counted as. */
static __always_inline int nat_on(struct ctx c, const struct tables *t, struct service_work *work,
				  enum reason why, const __u32 family)
{
	struct pkt *p = &work->p;
	struct mapping *m = &work->tr.m;
	__u32 bytes = pkt_l3_bytes(p);
	struct next_hop *next;
	enum reason refused;

	if (p->family != family)
		p->tos = tos_of(t->gw, p);
	refused = next_hop(c, t->gw, &m->src, &m->dst, family, p->tos, &next);
	if (refused)
		return nat_leave(c, work, why, refused, 0);

	const __u32 header = p->family == family     ? pkt_wire_header_bytes(p)
			     : family == FAMILY_INET ? sizeof(struct iphdr)
						     : header_46_bytes(p);
	__u32 size = wire_bytes(c, p, &work->tr.l4, header);

	if (p->family != family && p->payload_bytes > IP_BYTES_MAX)
		return slow_path_segments(c, t->gw, p);
	if (size > next->hop.mtu_bytes || (p->family == FAMILY_INET && family == FAMILY_INET6 &&
					   p->may_fragment && size > t->gw->lowest_ipv6_mtu_bytes))
		return nat_too_big(c, t, work, why, size, next->hop.mtu_bytes, family);
	if (nat_rewrite(c, work, p->ttl - 1, size, family))
		return nat_leave(c, work, why, DROP_RESIZE_FAILED, 0);
	if (why == FORWARD_SERVICE)
		call_count(&work->call, bytes);
	count_packet(p, why, bytes);
	return send(c, t->gw, &next->hop);
}

/* A function for each family of what leaves: each is verified once. */
__noinline int xdp_nat4(struct xdp_md *raw, struct gateway *gw, struct service_work *work,
			__u32 why)
{
	struct ctx c = { raw, ENTRY_XDP };
	struct tables t = { .gw = gw };

	return gw && work ? nat_on(c, &t, work, why, FAMILY_INET) : ctx_drop(c);
}

__noinline int xdp_nat6(struct xdp_md *raw, struct gateway *gw, struct service_work *work,
			__u32 why)
{
	struct ctx c = { raw, ENTRY_XDP };
	struct tables t = { .gw = gw };

	return gw && work ? nat_on(c, &t, work, why, FAMILY_INET6) : ctx_drop(c);
}

__noinline int tc_nat4(struct __sk_buff *raw, struct gateway *gw, struct service_work *work,
		       __u32 why)
{
	struct ctx c = { raw, ENTRY_TC };
	struct tables t = { .gw = gw };

	return gw && work ? nat_on(c, &t, work, why, FAMILY_INET) : ctx_drop(c);
}

__noinline int tc_nat6(struct __sk_buff *raw, struct gateway *gw, struct service_work *work,
		       __u32 why)
{
	struct ctx c = { raw, ENTRY_TC };
	struct tables t = { .gw = gw };

	return gw && work ? nat_on(c, &t, work, why, FAMILY_INET6) : ctx_drop(c);
}

/* Plans the transport header and sends. `src`, `dst`: ports as they leave. */
static __always_inline int nat_send(struct ctx c, const struct tables *t, struct service_work *work,
				    __be16 src, __be16 dst, enum reason why)
{
	struct pkt *p = &work->p;
	const bool v4 = addr_is_v4(&work->tr.m.dst);
	enum reason refused =
		v4 ? nat_plan_l4(c, work, FAMILY_INET) : nat_plan_l4(c, work, FAMILY_INET6);

	if (refused)
		return nat_leave(c, work, why, refused, 0);
	if (pkt_has_l4_header(p)) {
		nat_plan_ports(c, work, src, dst);
		if (p->is_fragment)
			part_note(p, &work->tr.m, why == FORWARD_SERVICE ? PART_CALL : PART_REPLY,
				  &work->call);
	}
	if (c.entry == ENTRY_XDP)
		return v4 ? xdp_nat4(ctx_xdp(c), t->gw, work, why)
			  : xdp_nat6(ctx_xdp(c), t->gw, work, why);
	return v4 ? tc_nat4(ctx_skb(c), t->gw, work, why) : tc_nat6(ctx_skb(c), t->gw, work, why);
}

/* Is it a datagram without a checksum that needs one to get to that address? */
static __always_inline bool nat_lacks_sum(const struct service_work *work,
					  const struct addr *backend)
{
	return work->no_sum && !(work->p.family == FAMILY_INET && addr_is_v4(backend));
}

/* What a client is seen as by a backend; false: the service has nothing for that family. */
static __always_inline bool source_of(const struct tables *t, const struct service *service,
				      const struct addr *client, const struct addr *backend,
				      struct addr *source)
{
	const bool v4 = addr_is_v4(backend);
	__u32 count = v4 ? service->pool4_count : service->pool6_count;
	__u64 place = spread(addr_both(client)) >> 32;

	if (service->flags & SERVICE_MAPPED) {
		__u32 index = t->gw->prefix_indices[service->prefix & (MAX_PREFIXES - 1)];

		if (v4 || !addr_is_v4(client) || index >= MAX_PREFIXES)
			return false;
		*source = rfc6052_embed(prefix_at(t->gw, index), addr_to_v4(*client));
		return true;
	}
	if (!count)
		return false;
	*source = v4 ? service->pool4 : service->pool6;
	source->lo = bpf_cpu_to_be64(bpf_be64_to_cpu(source->lo) + place % count);
	return true;
}

/* The state of a flow's first packet. One of TCP that is no SYN goes on where it was, on whichever
 * gateway: possible where the source is known without having been kept. */
static __always_inline enum session_state nat_first_state(const struct service_work *work,
							  const struct service *service)
{
	if (work->p.proto != IPPROTO_TCP)
		return SESSION_OPEN;
	if (work->sign == TCP_SYN)
		return SESSION_V6_INIT;
	return service->flags & SERVICE_MAPPED && work->sign != TCP_RST ? SESSION_TRANS
									: SESSION_FREE;
}

/* Does a packet go where its flow went before? */
static __always_inline bool nat_is_kept(const struct nat_flow *f, const struct call *call)
{
	__u32 id = f->backend_id;
	struct backend *b = bpf_map_lookup_elem(&backends, &id);

	return b && b->addr.hi == f->backend.hi && b->addr.lo == f->backend.lo &&
	       backend_keeps(b, f->service, call->choice.sign);
}

static __always_inline struct backend *nat_choose(const struct tables *t, struct choice *choice)
{
	struct backend *b = choice->affinity_ticks ? choose(t->gw, choice) : ring_find(choice);

	if (b && choice->affinity_ticks)
		keep_choice(t->gw, choice);
	choice->is_new = true;
	return b;
}

static __always_inline enum reason nat_open(const struct tables *t, struct service_work *work,
					    const struct service *service, __u64 when)
{
	struct call *call = &work->call;
	struct nat_flow *f = &work->wish.flow;
	const struct flow_ends *ends = &work->ends;
	enum session_state state = nat_first_state(work, service);

	work->wish.slot = NO_SLOT;
	/* Answers to a frontend are calls: they would go round for as long as anybody answers. */
	if (service_bit(t, &ends->client) &&
	    frontend_find(t, &ends->client, ends->client_port, ends->kind))
		return DROP_ILLEGAL_SOURCE;
	if (!state)
		return DROP_NO_FLOW;

	const struct backend *b = nat_choose(t, &call->choice);

	if (!b)
		return DROP_NO_BACKEND;
	if (nat_lacks_sum(work, &b->addr))
		return DROP_UDP_ZERO_CHECKSUM;
	__builtin_memset(f, 0, sizeof(*f));
	f->word = SESSION_ADDED;
	f->client = ends->client;
	f->called = ends->frontend;
	f->backend = b->addr;
	f->client_port = ends->client_port;
	f->called_port = ends->frontend_port;
	f->backend_port = b->port ? b->port : ends->frontend_port;
	f->protocol = nat_protocol(&work->p);
	f->service = call->choice.service;
	f->frontend = call->frontend;
	f->backend_id = call->choice.id;
	if (!source_of(t, service, &f->client, &f->backend, &f->source))
		return DROP_SOURCE_NOT_MAPPABLE;
	work->wish.word = word_make(state, flow_until(t->gw, state, f->protocol, true, when));
	flow_sweep(when, FLOWS_SWEPT);
	return flow_make(&work->wish, when);
}

/* The flow of a packet from a client, alive after it: wish.slot. */
static __always_inline enum reason nat_flow_in(const struct tables *t, struct service_work *work,
					       const struct service *service)
{
	__u64 when = now();
	struct flow_in_key *key = &work->in;

	key->client = work->ends.client;
	key->frontend = work->call.frontend;
	key->client_port = work->ends.client_port;
	key->pad = 0;

	__u32 slot = flow_slot_in(key);
	struct nat_flow *f = flow_at(slot);

	work->wish.slot = slot;
	work->call.choice.id = f ? f->backend_id : 0;
	if (f && nat_is_kept(f, &work->call)) {
		if (flow_follow(t->gw, f, true, work->sign, when))
			return REASON_NONE;
	} else if (f) {
		flow_give_up(f);
	}
	if (f)
		flow_end(slot, when);
	return nat_open(t, work, service, when);
}

static __always_inline void nat_map(struct service_work *work, const struct addr *src,
				    const struct addr *dst)
{
	struct mapping *m = &work->tr.m;

	m->src = *src;
	m->dst = *dst;
	m->src_port = work->ends.client_port;
	m->dst_port = work->ends.frontend_port;
}

/* From a client. */
static __always_inline int nat_call(struct ctx c, const struct tables *t, struct service_work *work)
{
	struct pkt *p = &work->p;
	const struct service *service = service_of(t, work->call.choice.service);

	if (!service)
		return call_leave(c, p, &work->call, DROP_NO_BACKEND, 0);
	work->max_segment_bytes = service->max_segment_bytes;

	enum reason why = nat_flow_in(t, work, service);

	if (why)
		return call_leave(c, p, &work->call, why, 0);
	if (dry_run && work->wish.slot == NO_SLOT) { /* as it would be */
		nat_map(work, &work->wish.flow.source, &work->wish.flow.backend);
		return nat_send(c, t, work, work->ends.client_port, work->wish.flow.backend_port,
				FORWARD_SERVICE);
	}

	struct nat_flow *f = flow_at(work->wish.slot);

	if (!f)
		return call_leave(c, p, &work->call, DROP_TABLE_FULL, 0);
	work->call.choice.id = f->backend_id;
	work->call.choice.is_new &= !work->wish.found;
	nat_map(work, &f->source, &f->backend);
	return nat_send(c, t, work, f->source_port, f->backend_port, FORWARD_SERVICE);
}

/* From a backend, maybe: VERDICT_LONG_WAY if there is no such flow. */
static __always_inline int nat_reply(struct ctx c, const struct tables *t,
				     struct service_work *work)
{
	struct pkt *p = &work->p;
	struct flow_back_key *key = &work->back;
	__u64 when = now();

	key->backend = p->src;
	key->source = p->dst;
	key->backend_port = work->ends.client_port;
	key->source_port = work->ends.frontend_port;
	key->protocol = nat_protocol(p);

	__u32 slot = flow_slot_back(key);
	struct nat_flow *f = flow_at(slot);

	if (!f || !word_is_alive(f->word, when))
		return uncalled(c, t, work);
	if (p->ttl <= 1)
		return leave(c, p, DROP_TTL_EXPIRED, 0, pkt_l3_bytes(p));
	if (!flow_follow(t->gw, f, false, work->sign, when))
		return uncalled(c, t, work);

	const struct service *service = service_of(t, f->service);

	work->max_segment_bytes = service ? service->max_segment_bytes : 0;
	nat_map(work, &f->called, &f->client);
	return nat_send(c, t, work, f->called_port, f->client_port, FORWARD_REPLY);
}

/* What service() has left in its work. */
static __always_inline int nat(struct ctx c)
{
	struct service_work *work = service_work();
	struct tables t;

	if (!work || tables_read(&t))
		return ctx_drop(c);
	__builtin_memset(&work->tr, 0, sizeof(work->tr));
	work->sign = nat_sign(c, &work->p);
	work->no_sum = nat_has_no_sum(c, &work->p);
	if (!pkt_has_l4_header(&work->p)) { /* part() has found what becomes of it */
		work->tr.m.src = work->ends.client;
		work->tr.m.dst = work->ends.frontend;
		return nat_send(c, &t, work, 0, 0,
				work->is_reply ? FORWARD_REPLY : FORWARD_SERVICE);
	}
	return work->is_reply ? nat_reply(c, &t, work) : nat_call(c, &t, work);
}

__noinline int xdp_nat(struct xdp_md *raw)
{
	return nat((struct ctx){ raw, ENTRY_XDP });
}

__noinline int tc_nat(struct __sk_buff *raw)
{
	return nat((struct ctx){ raw, ENTRY_TC });
}

#endif
