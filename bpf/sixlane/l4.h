// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The transport header: what is translated of it, planned before the packet is touched. */
#ifndef SIXLANE_L4_H
#define SIXLANE_L4_H

#include <linux/tcp.h>
#include <linux/udp.h>

#include "sixlane/mss.h"
#include "sixlane/receive.h"

/* What the rewrite does to the transport header. */
struct l4_change {
	__u64 delta;
	__u32 csum_offset; /* in the transport header; 0: no checksum */
	__u32 header_bytes;
	__u8 icmp_type;
	bool udp;
	bool echo;
	bool syn;
	bool has_port;	   /* that changes, as does the identifier of an ICMP query */
	bool has_far_port; /* from inside to inside, the other end's does, too */
	__u8 port_offset;
	__be16 old_port;
	__be16 new_port;
	__be16 old_far_port;
	__be16 new_far_port;
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

/* Where the port lies that stateful translation changes: that of the node inside. */
static __always_inline __u32 port_offset(const struct pkt *p, const bool from_inside)
{
	if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP)
		return offsetof(struct icmp_header, rest);
	return from_inside ? 0 : sizeof(__be16); /* source, destination */
}

/* Behind plan_l4(). XDP sees whole checksums, and updates them once for addresses and port. */
static __always_inline void plan_port(struct ctx c, const struct pkt *p, const struct mapping *m,
				      struct l4_change *l4)
{
	const bool from_inside = p->family == FAMILY_INET6;

	l4->has_port = true;
	l4->port_offset = port_offset(p, from_inside);
	l4->old_port = from_inside ? m->src_port : m->dst_port;
	l4->new_port = m->new_port;
	if (c.entry == ENTRY_XDP)
		l4->delta += (__u64)l4->new_port + (__u16)~l4->old_port;
}

/* Layer 3 bytes of one packet on the wire, behind a new header of `header_bytes`. */
static __always_inline __u32 wire_bytes(struct ctx c, const struct pkt *p,
					const struct l4_change *l4, __u32 header_bytes)
{
	__u32 segment = ctx_segment_bytes(c);

	return header_bytes + (segment ? l4->header_bytes + segment : p->payload_bytes);
}

/* Behind plan_port(): the destination's port of a packet of TCP or UDP. */
static __always_inline void plan_far_port(struct ctx c, __be16 old_port, __be16 new_port,
					  struct l4_change *l4)
{
	l4->has_far_port = true;
	l4->old_far_port = old_port;
	l4->new_far_port = new_port;
	if (c.entry == ENTRY_XDP)
		l4->delta += (__u64)new_port + (__u16)~old_port;
}

static __always_inline int rewrite_far_port(struct ctx c, __u32 offset, const struct l4_change *l4)
{
	const __u32 at = offset + offsetof(struct ports, dst);

	if (c.entry == ENTRY_XDP)
		return ctx_store(c, at, &l4->new_far_port, sizeof(l4->new_far_port));
	return ctx_replace16(c, at, offset + l4->csum_offset, l4->old_far_port, l4->new_far_port,
			     false, l4->udp);
}

static __always_inline int rewrite_port(struct ctx c, __u32 offset, const struct l4_change *l4)
{
	if (c.entry == ENTRY_XDP)
		return ctx_store(c, offset + l4->port_offset, &l4->new_port, sizeof(l4->new_port));
	return ctx_replace16(c, offset + l4->port_offset, offset + l4->csum_offset, l4->old_port,
			     l4->new_port, false, l4->udp);
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
	if (l4->has_port && rewrite_port(c, offset, l4))
		return -1;

	__u32 most = l4->syn ? prefix_at(gw, m->prefix)->max_segment_bytes : 0;

	return most ? ctx_clamp_mss(c, offset, offset + min_u32(l4->header_bytes, p->payload_bytes),
				    most)
		    : 0;
}

#endif
