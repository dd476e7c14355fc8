// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * ICMP errors about what a service has translated. Each side hears of them from whom it talks to: a
 * client from the frontend (RFC 5508 5, REQ-5), a backend from what the client is seen as. A router
 * on the other side may have no address here, and none that would get through.
 */
#ifndef SIXLANE_FLOW_ERROR_H
#define SIXLANE_FLOW_ERROR_H

#include "sixlane/call.h"
#include "sixlane/quote.h"

/* What service() has read and checked. */
static __always_inline enum reason receive_called(struct tables *t, struct pkt *p)
{
	const struct service_work *work = service_work();

	if (!work || tables_read(t))
		return PASS_NOT_CONFIGURED;
	*p = work->p;
	return REASON_NONE;
}

/* The slot of the flow that a quoted packet was of. `frontend`: what a reply to a client comes
 * from, or NULL. */
static __always_inline __u32 quoted_flow(struct error_work *w, const struct ports *ports,
					 const struct frontend *frontend)
{
	const struct pkt *in = &w->in;

	if (frontend) {
		w->flow_in.client = in->dst;
		w->flow_in.frontend = frontend->id;
		w->flow_in.client_port = ports->dst;
		return flow_slot_in(&w->flow_in);
	}
	w->flow_back.backend = in->dst;
	w->flow_back.source = in->src;
	w->flow_back.backend_port = ports->dst;
	w->flow_back.source_port = ports->src;
	w->flow_back.protocol = in->proto == IPPROTO_TCP ? SESSION_TCP : SESSION_UDP;
	return flow_slot_back(&w->flow_back);
}

/* Who called becomes who was called by, and so on: `src`, `dst` of the quoted packet. */
static __always_inline void map_quoted_flow(struct error_work *w, const struct addr *src,
					    const struct addr *dst, __be16 src_port,
					    __be16 dst_port)
{
	w->mq.src = w->m.dst = *src;
	w->mq.dst = w->m.src = *dst;
	w->q.new_far_port = src_port;
	w->q.new_port = dst_port;
}

/* Both pairs of addresses, and both quoted ports; false: no flow. Its state is not touched. */
static __always_inline bool map_flow_error(struct ctx c, const struct tables *t,
					   struct error_work *w)
{
	const struct pkt *in = &w->in;
	struct ports *quoted = ctx_at(c, in->l4, sizeof(*quoted));

	if (!(t->gw->flags & GATEWAY_NAT) || !quoted || !pkt_has_l4_header(in) ||
	    in->l4 + sizeof(*quoted) > w->tail.quote_end ||
	    (in->proto != IPPROTO_TCP && in->proto != IPPROTO_UDP))
		return false;
	/* An error is for whom it quotes, and for nobody else. */
	if (in->src.hi != w->p.dst.hi || in->src.lo != w->p.dst.lo)
		return false;

	const struct ports ports = *quoted;
	const struct frontend *called = frontend_find(t, &in->src, ports.src, in->proto);
	struct nat_flow *f = flow_at(quoted_flow(w, &ports, called));

	if (!f || !word_is_alive(f->word, now()))
		return false;
	w->q.has_port = w->q.has_far_port = true;
	w->q.port_offset = offsetof(struct ports, dst);
	w->q.old_far_port = ports.src;
	w->q.old_port = ports.dst;
	if (called)
		map_quoted_flow(w, &f->backend, &f->source, f->backend_port, f->source_port);
	else
		map_quoted_flow(w, &f->client, &f->called, f->client_port, f->called_port);
	w->m.hairpin = false;
	w->family = addr_is_v4(&w->m.dst) ? FAMILY_INET : FAMILY_INET6;
	w->sent_as = called ? FORWARD_SERVICE : FORWARD_REPLY;
	w->frontend = f->frontend;
	w->backend = f->backend_id;
	return true;
}

#endif
