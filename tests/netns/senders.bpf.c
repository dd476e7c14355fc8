// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counts packets by whether the kernel knows whose socket they come from. */

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Of unknown senders, and of known ones. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

SEC("tc")
int look(struct __sk_buff *skb)
{
	__u32 known = bpf_get_socket_cookie(skb) != 0;
	__u64 *count = bpf_map_lookup_elem(&seen, &known);

	if (count)
		__sync_fetch_and_add(count, 1);
	return -1; /* TCX_NEXT */
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
