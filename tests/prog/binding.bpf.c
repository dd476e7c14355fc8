// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the tests of the binding load: one of each thing that it handles. */

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct pair {
	__u32 first;
	__u16 second;
	__u16 flags : 4;
	__u16 padding : 12;
};

enum colour {
	RED = 1,
	GREEN = 7,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct pair);
	__type(value, __u64);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(max_entries, 8);
			__type(key, __u32);
			__type(value, __u32);
		});
} generations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u32);
} shared SEC(".maps");

const volatile __u32 verdict = XDP_PASS;
const volatile enum colour colour = GREEN;
__u32 seen;

SEC("xdp")
int answer(struct xdp_md *ctx)
{
	__u32 key = 1;
	__u32 *count = bpf_map_lookup_elem(&counters, &key);
	struct pair pair = {};

	if (count)
		++*count;
	pair.first = ctx->ingress_ifindex;
	if (colour == RED)
		return XDP_DROP;
	bpf_map_lookup_elem(&pairs, &pair);
	bpf_map_lookup_elem(&generations, &key);
	bpf_map_lookup_elem(&shared, &key);
	seen++;
	return verdict;
}

SEC("xdp")
int shrink(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, 14) ? XDP_ABORTED : XDP_TX;
}

SEC("tc")
int mark(struct __sk_buff *skb)
{
	skb->mark = skb->mark + 1;
	skb->cb[0] = skb->ifindex;
	return TC_ACT_UNSPEC;
}

struct numbers {
	__u32 a;
	__u32 b;
	__u32 sum;
};

SEC("syscall")
int add(struct numbers *numbers)
{
	numbers->sum = numbers->a + numbers->b;
	return numbers->a;
}

SEC("?xdp")
int reckless(struct xdp_md *ctx)
{
	return *(__u8 *)(long)ctx->data;
}

char _license[] SEC("license") = "Dual BSD/GPL";
