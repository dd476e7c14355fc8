// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The transport header: what is translated of it, planned before the packet is touched. */
#ifndef SIXLANE_L4_H
#define SIXLANE_L4_H

#include <linux/tcp.h>
#include <linux/udp.h>

#include "sixlane/mss.h"
#include "sixlane/receive.h"

struct port_change {
	bool is_due;
	__u8 offset; /* in the transport header */
	__be16 from;
	__be16 to;
};

/* What the rewrite does to the transport header. */
struct l4_change {
	__u64 delta;
	__u32 csum_offset; /* in the transport header; 0: no checksum */
	__u32 header_bytes;
	__u8 icmp_type;
	bool udp;
	bool echo;
	bool syn;
	struct port_change port;     /* of the node inside, or a query's identifier */
	struct port_change far_port; /* from inside to inside: of the other end, too */
};

/* What becomes of a packet beside its header. */
struct translation {
	struct mapping m;
	struct l4_change l4;
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
		l4->syn = tcp->syn;
		l4->delta = m->sum;
	} else if (p->proto == IPPROTO_UDP) {
		struct udphdr *udp = ctx_at(c, p->l4, sizeof(*udp));

		if (!udp || p->payload_bytes < sizeof(*udp))
			return DROP_TRUNCATED;
		if (!udp->check)
			return DROP_UDP_ZERO_CHECKSUM;
		l4->csum_offset = offsetof(struct udphdr, check);
		l4->header_bytes = sizeof(*udp);
		l4->udp = true;
		l4->delta = m->sum;
	} else if (p->proto == icmp_proto(p->family)) {
		struct icmp_header *icmp = ctx_at(c, p->l4, sizeof(*icmp));

		if (!icmp)
			return DROP_TRUNCATED;
		l4->csum_offset = offsetof(struct icmp_header, checksum);
		if (m->hairpin) {
			l4->delta = m->sum;
			return REASON_NONE;
		}
		l4->echo = true;
		l4->icmp_type = icmp_echo_type(icmp->type);
		l4->delta = csum_delta_pseudo(p, m, p->payload_bytes) +
			    csum_delta_type(icmp->type, l4->icmp_type);
	}
	return REASON_NONE;
}

/* Behind plan_l4(). XDP sees whole checksums, and updates them once for addresses and ports. */
static __always_inline void plan_port_change(struct ctx c, __u8 offset, __be16 from, __be16 to,
					     struct port_change *change, struct l4_change *l4)
{
	*change = (struct port_change){ true, offset, from, to };
	if (c.entry == ENTRY_XDP)
		l4->delta += (__u64)to + (__u16)~from;
}

/* The port that stateful translation changes: that of the node inside. */
static __always_inline void plan_port(struct ctx c, const struct pkt *p, const struct mapping *m,
				      struct l4_change *l4)
{
	const bool query = p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP;
	const bool from_inside = p->family == FAMILY_INET6;
	const __u8 offset = query	  ? offsetof(struct icmp_header, rest)
			    : from_inside ? offsetof(struct ports, src)
					  : offsetof(struct ports, dst);

	plan_port_change(c, offset, from_inside ? m->src_port : m->dst_port, m->new_port, &l4->port,
			 l4);
}

/* From inside to inside, the called port of TCP and UDP becomes `to`. */
static __always_inline void plan_far_port(struct ctx c, const struct mapping *m, __be16 to,
					  struct l4_change *l4)
{
	plan_port_change(c, offsetof(struct ports, dst), m->dst_port, to, &l4->far_port, l4);
}

/* Layer 3 bytes of one packet on the wire, behind a new header of `header_bytes`. */
static __always_inline __u32 wire_bytes(struct ctx c, const struct pkt *p,
					const struct l4_change *l4, __u32 header_bytes)
{
	__u32 segment = ctx_segment_bytes(c);

	return header_bytes + (segment ? l4->header_bytes + segment : p->payload_bytes);
}

static __always_inline int rewrite_port(struct ctx c, __u32 l4, __u32 csum_offset, bool udp,
					const struct port_change *port)
{
	if (!port->is_due)
		return 0;
	if (c.entry == ENTRY_XDP)
		return ctx_store(c, l4 + port->offset, &port->to, sizeof(port->to));
	return ctx_replace16(c, l4 + port->offset, l4 + csum_offset, port->from, port->to, false,
			     udp);
}

static __always_inline int rewrite_l4(struct ctx c, struct gateway *gw, const struct pkt *p,
				      const struct mapping *m, __u32 offset,
				      const struct l4_change *l4)
{
	if (!l4->csum_offset)
		return 0;
	if (l4->echo && ctx_store(c, offset, &l4->icmp_type, sizeof(l4->icmp_type)))
		return -1;
	if (ctx_csum_update(c, offset + l4->csum_offset, l4->delta, l4->udp))
		return -1;
	if (rewrite_port(c, offset, l4->csum_offset, l4->udp, &l4->port))
		return -1;

	__u32 most = l4->syn ? prefix_at(gw, m->prefix)->max_segment_bytes : 0;

	return most ? ctx_clamp_mss(c, offset, offset + min_u32(l4->header_bytes, p->payload_bytes),
				    most)
		    : 0;
}

#endif
