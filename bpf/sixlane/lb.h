// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Services: a packet to a frontend goes to the backend of its flow. By a tunnel (direct server
 * return: the backend answers the client by itself), or translated (nat.h).
 */
#ifndef SIXLANE_LB_H
#define SIXLANE_LB_H

#include "sixlane/called.h"

/* An echo request to a frontend's address: what is asked for is that, not a backend. */
static __always_inline int echo(struct ctx c, const struct tables *t, const struct pkt *p,
				const __u32 family)
{
	const __u8 reply = family == FAMILY_INET ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY;
	const __u8 request = family == FAMILY_INET ? ICMP_ECHO : ICMPV6_ECHO_REQUEST;
	const __u32 ends = family == FAMILY_INET ? offsetof(struct iphdr, saddr)
						 : offsetof(struct ipv6hdr, saddr);
	__u32 bytes = pkt_l3_bytes(p);
	struct next_hop *next;
	enum reason why = next_hop(c, t->gw, &p->dst, &p->src, family, p->tos, &next);
	int failed;

	if (why)
		return leave(c, p, why, 0, bytes);
	if (family == FAMILY_INET) {
		__be32 swapped[2] = { bpf_htonl(addr_to_v4(p->dst)),
				      bpf_htonl(addr_to_v4(p->src)) };

		failed = ctx_store(c, p->l3 + ends, swapped, sizeof(swapped));
	} else {
		struct addr swapped[2] = { p->dst, p->src };

		failed = ctx_store(c, p->l3 + ends, swapped, sizeof(swapped));
	}
	failed = failed || ctx_store(c, p->l4, &reply, sizeof(reply)) ||
		 ctx_csum_update(c, p->l4 + offsetof(struct icmp_header, checksum),
				 csum_delta_type(request, reply), false);
	if (failed)
		return leave(c, p, DROP_RESIZE_FAILED, 0, bytes);
	count_rare(p, ECHO_ANSWERED, bytes);
	return send(c, t->gw, &next->hop);
}

/* The flow that an ICMP error to a frontend's address quotes a packet of, as its client has it: one
 * that a backend has sent. False: none. */
static __always_inline bool read_quoted(struct ctx c, const struct pkt *p, struct flow_ends *ends)
{
	__u32 at = p->l4 + ICMP_HEADER_BYTES, l4;

	ctx_pull(c, at + sizeof(struct ipv6hdr) + sizeof(struct ports));
	if (p->family == FAMILY_INET) {
		struct iphdr *ip = ctx_at(c, at, sizeof(*ip));

		if (!ip || ip->ihl < 5 || bpf_ntohs(ip->frag_off) & IP4_OFFSET)
			return false;
		ends->client = addr_from_v4(bpf_ntohl(ip->daddr));
		ends->frontend = addr_from_v4(bpf_ntohl(ip->saddr));
		ends->kind = ip->protocol;
		l4 = at + ip->ihl * 4;
	} else {
		struct ipv6hdr *ip = ctx_at(c, at, sizeof(*ip));

		if (!ip)
			return false;
		__builtin_memcpy(&ends->client, &ip->daddr, sizeof(ends->client));
		__builtin_memcpy(&ends->frontend, &ip->saddr, sizeof(ends->frontend));
		ends->kind = ip->nexthdr;
		l4 = at + sizeof(*ip);
	}

	struct ports *ports = ctx_at(c, l4, sizeof(*ports));

	if (!ports || l4 + sizeof(*ports) > p->l4 + p->payload_bytes)
		return false;
	ends->client_port = ports->dst;
	ends->frontend_port = ports->src;
	return (ends->kind == IPPROTO_TCP || ends->kind == IPPROTO_UDP) &&
	       ends->frontend.hi == p->dst.hi && ends->frontend.lo == p->dst.lo;
}

/* What no service has of a frontend's address: the host's own, or nobody's. */
static __always_inline int not_called(struct ctx c, const struct tables *t, const struct pkt *p,
				      const struct frontend *at, enum reason why)
{
	__u32 bytes = pkt_l3_bytes(p);

	return at->flags & FRONTEND_LOCAL ? leave_or_pass(c, t->gw, p, PASS_NOT_OURS, 0, bytes)
					  : leave(c, p, why, 0, bytes);
}

/* An ICMP error to a frontend's address is for the backend that it tells of. */
static __always_inline int error_called(struct ctx c, const struct tables *t,
					struct service_work *work, const struct frontend *at)
{
	const struct pkt *p = &work->p;
	struct call *call = &work->call;
	struct frontend *frontend =
		read_quoted(c, p, &work->ends)
			? frontend_find(t, &p->dst, work->ends.frontend_port, work->ends.kind)
			: NULL;
	const struct service *service = frontend ? service_of(t, frontend->service) : NULL;

	if (!service)
		return not_called(c, t, p, at, DROP_NO_FLOW);
	if (service->flags & SERVICE_NAT)
		return VERDICT_CALL_ERROR;
	call_begin(call, frontend);
	call->choice.peek = true;
	if (p->ttl <= 1)
		return call_leave(c, p, call, DROP_TTL_EXPIRED, 0);
	read_flow(t, service, &work->ends, call);

	const struct backend *b = choose(t->gw, &call->choice);

	return b ? tunnel(c, t->gw, p, call, b) : call_leave(c, p, call, DROP_NO_BACKEND, 0);
}

/* Does a host of the link ask whether the address is still here? It is the kernel that answers, if
 * it is told to announce it. */
static __always_inline bool is_solicitation(const struct pkt *p, const struct icmp_header *icmp)
{
	return p->family == FAMILY_INET6 && icmp->type == ICMPV6_SOLICITATION &&
	       p->ttl == ND_HOP_LIMIT;
}

static __always_inline int icmp_called(struct ctx c, const struct tables *t,
				       struct service_work *work, const struct frontend *at)
{
	const struct pkt *p = &work->p;
	struct icmp_header *icmp = ctx_at(c, p->l4, sizeof(*icmp));

	if (!icmp || p->payload_bytes < sizeof(*icmp))
		return not_called(c, t, p, at, DROP_TRUNCATED);
	if (p->is_fragment)
		return not_called(c, t, p, at, DROP_ICMP_FRAGMENT);
	if (icmp_is_any_error(icmp->type, p->family))
		return at->flags & FRONTEND_POOL ? VERDICT_CALL_ERROR
						 : error_called(c, t, work, at);
	if (at->flags & FRONTEND_POOL)
		return leave(c, p, DROP_NO_FLOW, 0, pkt_l3_bytes(p));
	if (is_solicitation(p, icmp))
		return leave_or_pass(c, t->gw, p, PASS_NOT_OURS, 0, pkt_l3_bytes(p));
	if (at->flags & FRONTEND_LOCAL || icmp_classify(icmp->type, p->family) != ICMP_IS_ECHO ||
	    icmp->type == ICMP_ECHOREPLY || icmp->type == ICMPV6_ECHO_REPLY)
		return not_called(c, t, p, at, DROP_ICMP_TYPE);
	return p->family == FAMILY_INET ? echo(c, t, p, FAMILY_INET) : echo(c, t, p, FAMILY_INET6);
}

/* To a frontend's address, and to no port that a service has; or to what clients are seen as. */
static __always_inline int uncalled(struct ctx c, const struct tables *t, struct service_work *work)
{
	const struct pkt *p = &work->p;
	struct frontend *at = frontend_find(t, &p->dst, 0, 0);

	if (!at)
		return VERDICT_LONG_WAY;
	if (p->proto == icmp_proto(p->family))
		return icmp_called(c, t, work, at);
	if (at->flags & FRONTEND_POOL)
		return leave(c, p, DROP_NO_FLOW, 0, pkt_l3_bytes(p));
	return not_called(c, t, p, at, DROP_NO_FRONTEND);
}

/* The rest is nat.h's. */
static __always_inline int nat_next(struct service_work *work, bool is_reply)
{
	work->is_reply = is_reply;
	return VERDICT_NAT;
}

/* A packet that a frontend has. */
static __always_inline int called(struct ctx c, const struct tables *t, struct service_work *work)
{
	const struct pkt *p = &work->p;
	struct call *call = &work->call;
	const struct service *service = service_of(t, call->choice.service);

	if (!service)
		return call_leave(c, p, call, DROP_NO_BACKEND, 0);
	if (!read_sign(c, p, &call->choice))
		return call_leave(c, p, call, DROP_TRUNCATED, 0);
	if (service->flags & SERVICE_RESTRICTED &&
	    !service_lets_in(t, call->choice.service, &p->src))
		return call_leave(c, p, call, DROP_SOURCE_NOT_ALLOWED, 0);
	if (p->ttl <= 1)
		return call_leave(c, p, call, DROP_TTL_EXPIRED, 0);
	read_flow(t, service, &work->ends, call);
	if (service->flags & SERVICE_NAT)
		return nat_next(work, false);

	const struct backend *b = choose(t->gw, &call->choice);

	if (!b)
		return call_leave(c, p, call, DROP_NO_BACKEND, 0);
	keep_choice(t->gw, &call->choice);
	if (p->is_fragment)
		part_note(p, NULL, PART_TUNNEL, call);
	return tunnel(c, t->gw, p, call, b);
}

/* All but the first fragment of a packet. */
static __always_inline int part(struct ctx c, const struct tables *t, struct service_work *work)
{
	const struct pkt *p = &work->p;
	struct call *call = &work->call;
	struct fragment_key key;

	fragment_key(p, &key);

	const struct part *note = bpf_map_lookup_elem(&parts, &key);

	if (!note || note->until_jiffies < now())
		return frontend_find(t, &p->dst, 0, 0)
			       ? leave(c, p, DROP_NO_FLOW, 0, pkt_l3_bytes(p))
			       : VERDICT_LONG_WAY;
	if (p->ttl <= 1)
		return leave(c, p, DROP_TTL_EXPIRED, 0, pkt_l3_bytes(p));
	call->frontend = note->frontend;
	call->choice.id = note->backend;
	call->flow = note->flow;
	if (note->kind == PART_TUNNEL) {
		const struct backend *b = bpf_map_lookup_elem(&backends, &note->backend);

		return b ? tunnel(c, t->gw, p, call, b)
			 : leave(c, p, DROP_NO_BACKEND, 0, pkt_l3_bytes(p));
	}
	work->ends.client = note->new_src;
	work->ends.frontend = note->new_dst;
	return nat_next(work, note->kind == PART_REPLY);
}

/* Has all fragments of a packet put in order that may be of a service. */
static __always_inline int call_in_parts(struct ctx c, const struct tables *t, const struct pkt *p)
{
	if (frontend_find(t, &p->dst, 0, 0))
		return slow_path_in_order(c, t->gw, p, SLOW_CALLED);
	return t->gw->flags & GATEWAY_NAT && service_bit(t, &p->src)
		       ? slow_path_in_order(c, t->gw, p, SLOW_IN_ORDER)
		       : VERDICT_LONG_WAY;
}

/* As far as the upper layer of a packet whose destination is maybe a frontend's address. */
static __always_inline enum reason receive_call(struct ctx c, struct pkt *p)
{
	if (p->family == FAMILY_INET) {
		if (p->header_bytes > sizeof(struct iphdr))
			ctx_pull(c, PULL_BYTES + 40);

		enum reason why = check_ipv4(c, p);

		if (why)
			return why;
		if (v4_is_illegal_source(addr_to_v4(p->src)))
			return DROP_ILLEGAL_SOURCE;
		return ipv4_is_source_routed(c, p) ? DROP_SOURCE_ROUTE : REASON_NONE;
	}
	if (!ctx_holds(c, p->l4 + p->payload_bytes))
		return DROP_TRUNCATED;
	if (addr_is_illegal_source6(&p->src))
		return DROP_ILLEGAL_SOURCE;
	return parse_extensions(c, p, p->l4 + p->payload_bytes);
}

/* VERDICT_LONG_WAY: it is not for a service. */
static __always_inline int service(struct ctx c)
{
	struct service_work *work = service_work();
	struct tables t;

	if (!work || tables_read(&t))
		return VERDICT_LONG_WAY;
	__builtin_memset(work, 0, offsetof(struct service_work, tr));

	struct pkt *p = &work->p;

	ctx_pull(c, PULL_BYTES);
	if (parse_link(c, p) || ctx_is_for_other_host(c, t.gw))
		return VERDICT_LONG_WAY;
	if (p->family == FAMILY_INET ? parse_ipv4(c, p) : parse_ipv6(c, p))
		return VERDICT_LONG_WAY;
	if (!is_maybe_of_service(&t, &p->src, &p->dst))
		return VERDICT_LONG_WAY;

	enum reason why = receive_call(c, p);

	if (why)
		return frontend_find(&t, &p->dst, 0, 0) ? leave(c, p, why, 0, pkt_l3_bytes(p))
							: VERDICT_LONG_WAY;
	if (p->is_fragment && !is_from_slow_path(c, t.gw))
		return call_in_parts(c, &t, p);
	if (!pkt_has_l4_header(p))
		return part(c, &t, work);

	struct ports *ports = p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP
				      ? ctx_at(c, p->l4, sizeof(*ports))
				      : NULL;

	if (!ports)
		return uncalled(c, &t, work);

	struct frontend *frontend = frontend_find(&t, &p->dst, ports->dst, p->proto);

	work->ends = (struct flow_ends){ .client = p->src,
					 .frontend = p->dst,
					 .client_port = ports->src,
					 .frontend_port = ports->dst,
					 .kind = p->proto };
	if (!frontend)
		return t.gw->flags & GATEWAY_NAT ? nat_next(work, true) : uncalled(c, &t, work);
	call_begin(&work->call, frontend);
	return called(c, &t, work);
}

__noinline int xdp_service(struct xdp_md *raw)
{
	return service((struct ctx){ raw, ENTRY_XDP });
}

__noinline int tc_service(struct __sk_buff *raw)
{
	return service((struct ctx){ raw, ENTRY_TC });
}

#endif
