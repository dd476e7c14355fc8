// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From an uplink to a pod. All that is for nobody here is left alone, and not counted. */
#ifndef SIXLANE_POD_IN_H
#define SIXLANE_POD_IN_H

#include "sixlane/pod_local.h"

static __always_inline int pod_in(struct ctx c)
{
	struct pkt p = {};
	__u32 mtu;

	if (pod_parse(c, &p) || ctx_skb(c)->pkt_type != PACKET_HOST)
		return ctx_pass(c);

	const struct pod *to = pod_with(&p.dst, p.family);

	if (!to)
		return ctx_pass(c);
	if (pod_flags() & POD_STACK_IN)
		return pod_end(c, &p, POD_PASS_ASKED);
	if (!addr_is_routed(&p.src, p.family))
		return pod_end(c, &p, POD_PASS_SOURCE);
	return pod_deliver(c, &p, to, POD_IN, false, &mtu);
}

#endif
