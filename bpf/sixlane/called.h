// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The short way of services: plain packets of TCP and UDP that go to a backend by a tunnel, or as
 * far as nat.h. As in known.h, a packet with anything else about it takes the long one (lb.h), as
 * does each that is not to be sent on.
 */
#ifndef SIXLANE_CALLED_H
#define SIXLANE_CALLED_H

#include "sixlane/tunnel.h"

static __always_inline bool is_plain_call(struct ctx c, const struct tables *t, const struct pkt *p)
{
	if (p->is_jumbo || p->ttl <= 1 || (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP))
		return false;
	if (p->family == FAMILY_INET
		    ? p->header_bytes != sizeof(struct iphdr) || p->is_fragment ||
			      v4_is_illegal_source(addr_to_v4(p->src)) || check_ipv4(c, p)
		    : !ctx_holds(c, p->l4 + p->payload_bytes) || addr_is_illegal_source6(&p->src))
		return false;
	return c.entry == ENTRY_TC || !ctx_is_for_other_host(c, t->gw);
}

/* To a service that is translated, or, with no `frontend`, maybe an answer of its backend. */
static __always_inline int called_for_nat(const struct tables *t, const struct pkt *p,
					  const struct flow_ends *ends, const struct call *call,
					  const struct frontend *frontend)
{
	struct service_work *work = service_work();
	const struct service *service = frontend ? service_of(t, frontend->service) : NULL;

	if (!work || (frontend && !service))
		return VERDICT_SERVICE;
	work->p = *p;
	work->ends = *ends;
	work->call = *call;
	work->is_reply = !frontend;
	if (frontend) {
		call_begin(&work->call, frontend);
		read_flow(t, service, ends, &work->call);
	}
	return VERDICT_NAT;
}

/* A parsed packet that is maybe of a service. */
static __always_inline int called_plainly(struct ctx c, const struct tables *t, const struct pkt *p)
{
	if (!is_plain_call(c, t, p))
		return VERDICT_SERVICE;

	struct ports *ports = ctx_at(c, p->l4, sizeof(*ports));
	struct call call = {};

	if (!ports || !read_sign(c, p, &call.choice))
		return VERDICT_SERVICE;

	struct flow_ends ends = { .client = p->src,
				  .frontend = p->dst,
				  .client_port = ports->src,
				  .frontend_port = ports->dst,
				  .kind = p->proto };

	const bool nat = t->gw->flags & GATEWAY_NAT;

	call.flow = flow_hash(t->gw, &ends);
	if (!nat)
		flow_expect(call.flow);

	struct frontend *frontend = frontend_find(t, &ends.frontend, ends.frontend_port, p->proto);

	if (nat && (!frontend || frontend->service_flags == SERVICE_NAT ||
		    frontend->service_flags == (SERVICE_NAT | SERVICE_MAPPED)))
		return called_for_nat(t, p, &ends, &call, frontend);
	if (!frontend || frontend->service_flags)
		return VERDICT_SERVICE;
	call_begin(&call, frontend);
	call.choice.hash = call.flow;

	const struct backend *b = choose(t->gw, &call.choice);

	if (!b)
		return VERDICT_SERVICE;
	return addr_is_v4(&b->addr) ? tunnel_known(c, t, p, &call, b, FAMILY_INET)
				    : tunnel_known(c, t, p, &call, b, FAMILY_INET6);
}

#endif
