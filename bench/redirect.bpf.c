// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sends each frame on as it is: the least that a gateway can do. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 ifindex = 0;

SEC("xdp.frags")
int redirect(struct xdp_md *ctx)
{
	return bpf_redirect(ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
