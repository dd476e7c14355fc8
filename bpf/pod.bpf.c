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

static __always_inline int leave(struct ctx c, const struct pkt *p)
{
	return pod_flags() & POD_STACK_OUT ? pod_end(c, p, POD_PASS_ASKED) : pod_out(c, p);
}

static __always_inline int from(struct ctx c, const bool netkit)
{
	struct pkt p = {};
	enum pod_reason why = pod_receive(c, &p);

	if (why)
		return pod_end(c, &p, why);

	const struct pod *to = pod_with(&p.dst, p.family);

	if (to)
		return pod_flags() & POD_STACK_LOCAL ? pod_end(c, &p, POD_PASS_ASKED)
						     : pod_deliver(c, &p, to, POD_LOCAL, netkit);
	/* A translator, if there is one. What it leaves alone comes to from_pod_out(). */
	bpf_tail_call(c.raw, &translators, 0);
	return leave(c, &p);
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
	struct pkt p = {};

	if (pod_parse(c, &p) || ctx_skb(c)->pkt_type != PACKET_HOST ||
	    !addr_is_routed(&p.src, p.family) || !addr_is_routed(&p.dst, p.family) ||
	    pod_flags() & POD_STACK_OUT)
		return ctx_pass(c);
	return pod_out_silently(c, &p);
}

/* TCX or clsact, ingress of an uplink. */
SEC("tc")
int uplink_to_pod(struct __sk_buff *ctx)
{
	return pod_in((struct ctx){ ctx, ENTRY_TC });
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
