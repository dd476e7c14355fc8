// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a pod may send at all: from addresses of its own, and to its end of the link what neighbours
 * say to each other. */
#ifndef SIXLANE_POD_SOURCE_H
#define SIXLANE_POD_SOURCE_H

#include "sixlane/pod.h"

#define ND_ROUTER_ADVERTISEMENT 134
#define ND_REDIRECT		137

static __always_inline bool pod_has(struct ctx c, const struct addr *addr, __u8 family)
{
	const struct pod *pod = pod_with(addr, family);

	return pod && pod->ifindex == ctx_ifindex(c);
}

/* RFC 826, of Ethernet and IPv4. */
struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_bytes;
	__u8 protocol_bytes;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target[4];
};

/* Whoever looks whether an address is free has none (RFC 5227 2.1.1). */
static __always_inline enum pod_reason pod_check_arp(struct ctx c)
{
	struct arp arp;

	if (ctx_load(c, ETH_HLEN, &arp, sizeof(arp), sizeof(arp)) || arp.hardware != bpf_htons(1) ||
	    arp.protocol != bpf_htons(ETH_P_IP) || arp.hardware_bytes != ETH_ALEN ||
	    arp.protocol_bytes != sizeof(arp.sender))
		return POD_DROP_MALFORMED;

	__u32 sender = (__u32)arp.sender[0] << 24 | arp.sender[1] << 16 | arp.sender[2] << 8 |
		       arp.sender[3];
	struct addr addr = addr_from_v4(sender);

	return !sender || pod_has(c, &addr, FAMILY_INET) ? POD_PASS_LINK : POD_DROP_SOURCE;
}

/*
 * From an address of the link, or from none: ICMPv6 to the link, behind a Hop-by-Hop header if
 * there is one (MLD, RFC 3810 5). Not what a router says (RFC 4861 4.2, 4.5).
 */
static __always_inline enum pod_reason pod_check_link(struct ctx c, const struct pkt *p)
{
	__u8 header[2], type;
	__u32 at = p->l4;
	__u8 proto = p->proto;

	if (bpf_be64_to_cpu(p->dst.hi) >> 56 != 0xff && !addr_is_link_local6(&p->dst))
		return POD_DROP_SOURCE;
	if (proto == IPPROTO_HOPOPTS && !ctx_load(c, at, header, sizeof(header), sizeof(header))) {
		proto = header[0];
		at += 8 + 8 * (__u32)header[1];
	}
	if (proto != IPPROTO_ICMPV6 || ctx_load(c, at, &type, sizeof(type), sizeof(type)))
		return POD_DROP_SOURCE;
	return type == ND_ROUTER_ADVERTISEMENT || type == ND_REDIRECT ? POD_DROP_ROUTER
								      : POD_PASS_LINK;
}

static __always_inline bool pod_has_link_source(const struct pkt *p)
{
	return p->family == FAMILY_INET6 &&
	       (addr_is_link_local6(&p->src) || (!p->src.hi && !p->src.lo));
}

/* A frame from a pod. POD_NONE: of IP, not for somebody else. */
static __always_inline enum pod_reason pod_receive(struct ctx c, struct pkt *p)
{
	enum pod_reason why = pod_parse(c, p);

	if (why == POD_DROP_PROTOCOL && ctx_skb(c)->protocol == bpf_htons(ETH_P_ARP) &&
	    !ctx_skb(c)->vlan_present)
		return pod_check_arp(c);
	if (!why && ctx_skb(c)->pkt_type == PACKET_OTHERHOST)
		return POD_DROP_OTHER_HOST;
	return why;
}

/* POD_NONE, if it is from the pod's own address to one that routers know. */
static __always_inline enum pod_reason pod_check_source(struct ctx c, const struct pkt *p)
{
	if (pod_has_link_source(p))
		return pod_check_link(c, p);
	if (!pod_has(c, &p->src, p->family))
		return POD_DROP_SOURCE;
	if (!addr_is_routed(&p->dst, p->family))
		return POD_PASS_LINK;
	return ctx_skb(c)->pkt_type == PACKET_HOST ? POD_NONE : POD_DROP_OTHER_HOST;
}

#endif
