// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The pipeline's first half, shared by packets and ICMP errors: from the frame to a checked packet
 * and its mapping. */
#ifndef SIXLANE_RECEIVE_H
#define SIXLANE_RECEIVE_H

#include <linux/tcp.h>
#include <linux/udp.h>

#include "sixlane/icmp.h"
#include "sixlane/xlat.h"

/* What must be readable by pointer: link header, the longest bare headers, the transport header. */
#define PULL_BYTES (LINK_BYTES_MAX + sizeof(struct ipv6hdr) + sizeof(struct tcphdr))

/* The prefix that serves a packet is known. */
static __always_inline void count_for(struct gateway *gw, struct pkt *p, const struct mapping *m)
{
	p->counter_prefix = prefix_at(gw, m->prefix)->id + 1;
	if (dry_run)
		note_mapping(m->prefix, &m->src, &m->dst);
}

/* From the wire to the upper layer of a packet that is ours. Who it is for and what it is comes
 * before what is wrong. */
static __always_inline enum reason receive(struct ctx c, struct tables *t, struct pkt *p,
					   struct mapping *m)
{
	enum reason why;

	if (tables_read(t))
		return PASS_NOT_CONFIGURED;
	ctx_pull(c, PULL_BYTES);
	why = parse_link(c, p);
	if (why)
		return why;
	if (ctx_is_for_other_host(c, t->gw))
		return PASS_OTHER_HOST;

	if (p->family == FAMILY_INET) {
		why = parse_ipv4(c, p);
		if (!why)
			why = classify_46(t, p, m);
		if (!why) {
			if (!m->stateful)
				count_for(t->gw, p, m);
			if (p->header_bytes > sizeof(struct iphdr))
				ctx_pull(c, PULL_BYTES + 40);
			why = check_ipv4(c, p);
		}
		return why;
	}

	why = parse_ipv6(c, p);
	if (!why)
		why = classify_64(t, p, m);
	if (why)
		return why;
	if (!ctx_holds(c, p->l4 + p->payload_bytes))
		return DROP_TRUNCATED;
	if (addr_is_illegal_source6(&p->src))
		return DROP_ILLEGAL_SOURCE;
	return parse_extensions(c, p, p->l4 + p->payload_bytes);
}

/* Protocol numbers that would mean something else in the other family. */
static __always_inline bool proto_is_translatable(__u8 proto, const __u32 family)
{
	if (family == FAMILY_INET6)
		return proto != IPPROTO_ICMP;
	return !is_extension(proto) && proto != IPPROTO_FRAGMENT && proto != IPPROTO_IGMP &&
	       proto != IPPROTO_ICMPV6;
}

static __always_inline __u8 icmp_proto(const __u32 family)
{
	return family == FAMILY_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
}

/* What of ICMP is translated. Fragments are not (RFC 7915 1.2), but for hairpins, where the message
 * stays what it is. */
static __always_inline enum reason check_icmp(struct ctx c, const struct pkt *p, const bool hairpin,
					      enum icmp_class *class)
{
	struct icmp_header *icmp = ctx_at(c, p->l4, sizeof(*icmp));

	if (p->is_fragment && !hairpin)
		return DROP_ICMP_FRAGMENT;
	if (!pkt_has_l4_header(p))
		return REASON_NONE;
	if (!icmp || p->payload_bytes < sizeof(*icmp))
		return DROP_TRUNCATED;
	*class = icmp_classify(icmp->type, p->family);
	if (*class == ICMP_IS_ERROR && p->is_fragment)
		return DROP_ICMP_FRAGMENT;
	return *class == ICMP_IS_OTHER ? DROP_ICMP_TYPE : REASON_NONE;
}

/* The upper layer's protocol, and what ICMP says of itself. */
static __always_inline enum reason check_upper(struct ctx c, struct pkt *p, const bool hairpin,
					       enum icmp_class *class)
{
	*class = ICMP_IS_ECHO;
	if (!proto_is_translatable(p->proto, p->family)) {
		p->no_error = p->family == FAMILY_INET && p->proto == IPPROTO_IGMP;
		return DROP_PROTOCOL;
	}
	return p->proto == icmp_proto(p->family) ? check_icmp(c, p, hairpin, class) : REASON_NONE;
}

/* Addresses in the other family. RFC 7915 4.1: an illegal source is let through in ICMP errors
 * only. */
static __always_inline enum reason map(struct ctx c, const struct tables *t, struct pkt *p,
				       struct mapping *m, const bool is_error)
{
	if (p->family == FAMILY_INET6) {
		enum reason why = map_64(t, p, m);

		if (!why)
			count_for(t->gw, p, m);
		return why;
	}
	m->src_word = range_of(t->slot, addr_to_v4(p->src));
	if (!is_error && m->src_word & RANGE_ILLEGAL_SOURCE)
		return DROP_ILLEGAL_SOURCE;
	if (ipv4_is_source_routed(c, p))
		return DROP_SOURCE_ROUTE;

	enum reason why = map_46(t, p, m, !is_error, false);

	if (dry_run && !why)
		note_mapping(m->prefix, &m->src, &m->dst);
	return why;
}

/* The TOS or traffic class of what the packet becomes (RFC 7915 4.1, 5.1). */
static __always_inline __u8 tos_of(const struct gateway *gw, const struct pkt *p)
{
	const bool v4 = p->family == FAMILY_INET;
	__u8 set = v4 ? gw->traffic_class : gw->tos;
	__u32 flag = v4 ? GATEWAY_FIXED_TRAFFIC_CLASS : GATEWAY_FIXED_TOS;
	__u8 mask = -(__u8) !!(gw->flags & flag); /* no branch: the verifier would follow each */

	return (set & mask) | (p->tos & ~mask);
}

/* May this IPv4 client reach the prefix? */
static __always_inline bool is_allowed(const struct tables *t, const struct mapping *m,
				       const struct addr *client)
{
	return !(prefix_at(t->gw, m->prefix)->flags & PREFIX_RESTRICTED) ||
	       source_is_in(t->slot, m->prefix, addr_to_v4(*client));
}

#endif
