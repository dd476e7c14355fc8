// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The pods of a node: what they send, from the end of their device on the host, and what an uplink
 * brings them. An object of its own, as a node has pods with a Gateway or without, and either is
 * upgraded, attached and taken down without the other.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sixlane/pod_in.h"
#include "sixlane/pod_local.h"
#include "sixlane/pod_out.h"
#include "sixlane/pod_source.h"

static __always_inline __u32 epoch_now(void)
{
	const struct pod_setup *setup = pod_setup();

	return setup ? setup->epoch : 0;
}

static __always_inline int deliver(struct ctx c, const struct pkt *p, const struct pod *to,
				   const struct pod_flow *flow, __u32 epoch, const bool netkit)
{
	__u32 mtu_bytes = 0;
	int verdict = pod_deliver(c, p, to, POD_LOCAL, netkit, &mtu_bytes);

	if (mtu_bytes)
		pod_way_remember(flow, epoch, POD_LOCAL, to->ifindex, mtu_bytes, to->pod_mac,
				 to->host_mac);
	return verdict;
}

static __always_inline int from(struct ctx c, const bool netkit)
{
	__u32 epoch = epoch_now();
	struct pod_flow flow;
	struct pkt p = {};
	enum pod_reason why = pod_receive(c, &p);

	if (why)
		return pod_end(c, &p, why);
	pod_flow_of(c, &p, false, &flow);

	if (ctx_skb(c)->pkt_type == PACKET_HOST) {
		const struct pod_way *way = pod_way_known(c, &p, &flow, epoch);

		if (way)
			return pod_go(c, &p, way, netkit);
	}
	why = pod_check_source(c, &p);
	if (why)
		return pod_end(c, &p, why);

	const struct pod *to = pod_with(&p.dst, p.family);

	if (to)
		return pod_flags() & POD_STACK_LOCAL ? pod_end(c, &p, POD_PASS_ASKED)
						     : deliver(c, &p, to, &flow, epoch, netkit);
	/* A translator, if there is one. What it leaves alone comes to from_pod_out(). */
	bpf_tail_call(c.raw, &translators, 0);
	return pod_flags() & POD_STACK_OUT ? pod_end(c, &p, POD_PASS_ASKED)
					   : pod_out(c, &p, &flow, epoch, false);
}

/* TCX or clsact, ingress of the host's end of a veth pair. */
SEC("tc")
int from_pod(struct __sk_buff *ctx)
{
	return from((struct ctx){ ctx, ENTRY_TC }, false);
}

/* The same of netkit, within the pod's sending: what is not said there is as in TCX. */
SEC("tc")
int from_netkit(struct __sk_buff *ctx)
{
	return from((struct ctx){ ctx, ENTRY_TC }, true);
}

/* Behind either, where there is a translator: what neither it nor they have sent on. Whatever they
 * have left to the stack would be left to it here as well, and is counted there. */
SEC("tc")
int from_pod_out(struct __sk_buff *ctx)
{
	struct ctx c = { ctx, ENTRY_TC };
	__u32 epoch = epoch_now();
	struct pod_flow flow;
	struct pkt p = {};

	if (pod_parse(c, &p) || ctx_skb(c)->pkt_type != PACKET_HOST ||
	    !addr_is_routed(&p.src, p.family) || !addr_is_routed(&p.dst, p.family) ||
	    pod_flags() & POD_STACK_OUT)
		return ctx_pass(c);
	pod_flow_of(c, &p, true, &flow);

	const struct pod_way *way = pod_way_known(c, &p, &flow, epoch);

	return way ? pod_go(c, &p, way, false) : pod_out(c, &p, &flow, epoch, true);
}

/* TCX or clsact, ingress of an uplink. */
SEC("tc")
int uplink_to_pod(struct __sk_buff *ctx)
{
	return pod_in((struct ctx){ ctx, ENTRY_TC });
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
