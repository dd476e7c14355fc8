// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Into a pod. */
#ifndef SIXLANE_POD_LOCAL_H
#define SIXLANE_POD_LOCAL_H

#include "sixlane/pod.h"

/*
 * From ingress of a device straight to the other end of the pod's, without its queue. A program
 * of netkit is still in the sender's hands, where the kernel knows no ingress: there, and where the
 * kernel has no such helper, the packet is sent by the end on the host.
 */
static __always_inline int pod_redirect(const struct pod *pod, const bool netkit)
{
	return netkit || !redirects_to_peer ? bpf_redirect(pod->ifindex, 0)
					    : bpf_redirect_peer(pod->ifindex, 0);
}

static __always_inline int pod_deliver(struct ctx c, const struct pkt *p, const struct pod *pod,
				       enum pod_reason sent, const bool netkit)
{
	enum pod_reason why = pod_check_hop(p);

	if (!why && !pod_fits(c, p, pod->ifindex, ~0U))
		why = POD_PASS_TOO_BIG;
	if (!why && (hop_take(c, p) || ctx_set_macs(c, pod->pod_mac, pod->host_mac)))
		why = POD_DROP_FAILED;
	if (why)
		return pod_end(c, p, why);
	pod_count(c, p, sent);
	return pod_redirect(pod, netkit);
}

#endif
