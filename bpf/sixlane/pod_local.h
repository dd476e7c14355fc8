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
static __always_inline int pod_redirect(__u32 ifindex, const bool netkit)
{
	return netkit || !redirects_to_peer ? bpf_redirect(ifindex, 0)
					    : bpf_redirect_peer(ifindex, 0);
}

#define POD_MTU_MIN 1280 /* of links with IPv6 (RFC 8200 5), and of pods' devices */

/* The MTU of a pod's device, or as much as is known of it without asking; 0: too little. */
static __always_inline __u32 pod_device_fits(struct ctx c, const struct pkt *p, __u32 ifindex)
{
	if (!ctx_segment_bytes(c) && ctx_bytes(c) - p->l3 <= POD_MTU_MIN)
		return POD_MTU_MIN;
	return pod_fits(c, p, ifindex, ~0U);
}

/* `mtu_bytes` becomes what pod_device_fits() says, if the packet is sent. */
static __always_inline int pod_deliver(struct ctx c, const struct pkt *p, const struct pod *pod,
				       enum pod_reason sent, const bool netkit, __u32 *mtu_bytes)
{
	enum pod_reason why = pod_check_hop(p);
	__u32 mtu = why ? 0 : pod_device_fits(c, p, pod->ifindex);

	if (!why && !mtu)
		why = POD_PASS_TOO_BIG;
	if (!why && (hop_take(c, p) || ctx_set_macs(c, pod->pod_mac, pod->host_mac)))
		why = POD_DROP_FAILED;
	if (why)
		return pod_end(c, p, why);
	*mtu_bytes = mtu;
	pod_count(c, p, sent);
	return pod_redirect(pod->ifindex, netkit);
}

#endif
