// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Telling of dropped packets: one record each in the ring buffer `events`, for whoever monitors. A
 * forwarded packet never comes here; a dropped one pays a look-up while nobody listens.
 */
#ifndef SIXLANE_EVENT_H
#define SIXLANE_EVENT_H

#include "sixlane/bucket.h"
#include "sixlane/drop.h"
#include "sixlane/receive.h"

static __always_inline bool proto_has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_DCCP || proto == IPPROTO_UDPLITE;
}

/* Ports, or ICMP type and code, if they are there to be read. */
static __always_inline void event_l4(struct ctx c, const struct pkt *p, struct drop_event *e)
{
	if (!pkt_has_l4_header(p) || p->payload_bytes > 0xffff)
		return;
	if (proto_has_ports(p->proto) && p->payload_bytes >= sizeof(struct ports)) {
		struct ports *ports = ctx_at(c, p->l4, sizeof(*ports));

		if (!ports)
			return;
		e->flags |= EVENT_PORTS;
		e->src_port = ports->src;
		e->dst_port = ports->dst;
	} else if (p->proto == icmp_proto(p->family) && p->payload_bytes >= 2) {
		struct icmp_header *icmp = ctx_at(c, p->l4, 2);

		if (!icmp)
			return;
		e->flags |= EVENT_ICMP;
		e->icmp_type = icmp->type;
		e->icmp_code = icmp->code;
	}
}

static __always_inline void event_head(struct ctx c, const struct pkt *p, struct drop_event *e)
{
	__u32 bytes = min_u32(ctx_bytes(c) - p->l3, sizeof(e->head));

	if (!ctx_load(c, p->l3, e->head, bytes, sizeof(e->head)))
		e->head_bytes = bytes;
}

/* Reads the packet once more, as far as it goes. `why` is not looked at: what can be read, is. */
static __always_inline int tell(struct ctx c, enum reason why)
{
	__u32 zero = 0;
	struct monitor *monitor = bpf_map_lookup_elem(&monitors, &zero);

	if (dry_run || !monitor || !monitor->enabled)
		return 0;

	struct pkt p = {};
	bool parsed = false;

	if (!parse_link(c, &p))
		parsed = p.family == FAMILY_INET ? !parse_ipv4(c, &p) : !parse_ipv6(c, &p);
	if (parsed && p.family == FAMILY_INET6)
		parse_extensions(c, &p, p.l4 + p.payload_bytes);

	__u32 bytes = parsed ? pkt_l3_bytes(&p) : ctx_bytes(c) - p.l3;

	if (!bucket_take(BUCKET_EVENTS, monitor->events_per_second)) {
		count(EVENT_LIMITED, bytes);
		return 0;
	}

	struct drop_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count(EVENT_LOST, bytes);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = bpf_ktime_get_ns();
	e->reason = why;
	e->ifindex = ctx_ifindex(c);
	e->bytes = bytes;
	e->entry = c.entry;
	e->ethertype = p.family == FAMILY_INET	  ? bpf_htons(ETH_P_IP)
		       : p.family == FAMILY_INET6 ? bpf_htons(ETH_P_IPV6)
						  : 0;
	if (parsed) {
		e->flags = EVENT_ADDRESSES | (p.is_fragment ? EVENT_FRAGMENT : 0);
		e->src = p.src;
		e->dst = p.dst;
		e->protocol = p.proto;
		event_l4(c, &p, e);
	}
	event_head(c, &p, e);
	bpf_ringbuf_submit(e, 0);
	return 1;
}

__noinline int xdp_tell(struct xdp_md *raw, __u32 why)
{
	return tell((struct ctx){ raw, ENTRY_XDP }, why);
}

__noinline int tc_tell(struct __sk_buff *raw, __u32 why)
{
	return tell((struct ctx){ raw, ENTRY_TC }, why);
}

#endif
