// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hands packet after packet to another program: each run puts the next one's headers into the
 * frame, undoes what the program did to its size, and calls it. What that costs by itself is
 * measured with programs that do nothing.
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define HEAD_BYTES 128

/* The first bytes of a frame; those behind are never changed. */
struct head {
	__u64 words[HEAD_BYTES / 8];
};

/* The packets of IPv4 and then as many of IPv6; as large as they are many. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct head);
} heads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} xdp_target SEC(".maps"), tc_target SEC(".maps");

/* Set before the load. The other family's are for tc alone. */
const volatile struct {
	__u32 mask;	   /* how many packets of each family, minus 1 */
	__u32 frame_bytes; /* of XDP */
	__u32 head_bytes4; /* that a program may change, rounded up to 64, 80 or 128 */
	__u32 head_bytes6;
	__u32 is_ipv6; /* of XDP */
} use = {};

__u32 number = 0;

static __always_inline int put(void *data, void *data_end, const struct head *head,
			       const __u32 words)
{
	__u64 *to = data;

	if (data + words * 8 > data_end)
		return -1;
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < words; i++)
		to[i] = head->words[i];
	return 0;
}

/* The next packet's headers. */
static __always_inline int put_next(void *data, void *data_end, bool is_ipv6)
{
	__u32 bytes = is_ipv6 ? use.head_bytes6 : use.head_bytes4;
	__u32 key = (is_ipv6 ? use.mask + 1 : 0) + (number++ & use.mask);
	struct head *head = bpf_map_lookup_elem(&heads, &key);

	if (!head)
		return -1;
	if (bytes <= 64)
		return put(data, data_end, head, 8);
	if (bytes <= 80)
		return put(data, data_end, head, 10);
	return put(data, data_end, head, HEAD_BYTES / 8);
}

SEC("xdp.frags")
int bench_xdp(struct xdp_md *ctx)
{
	int longer = (int)(ctx->data_end - ctx->data) - (int)use.frame_bytes;

	if (longer && bpf_xdp_adjust_head(ctx, longer))
		return XDP_ABORTED;
	if (put_next((void *)(long)ctx->data, (void *)(long)ctx->data_end, use.is_ipv6))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &xdp_target, 0);
	return XDP_ABORTED;
}

/* There and back: what a packet was translated into is the next packet's frame. */
SEC("tc")
int bench_tc(struct __sk_buff *ctx)
{
	bool is_ipv6 = ctx->protocol == bpf_htons(ETH_P_IPV6);

	if (put_next((void *)(long)ctx->data, (void *)(long)ctx->data_end, is_ipv6))
		return TC_ACT_SHOT;
	bpf_tail_call(ctx, &tc_target, 0);
	return TC_ACT_SHOT;
}

SEC("xdp.frags")
int nothing_xdp(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("tc")
int nothing_tc(struct __sk_buff *ctx)
{
	return TC_ACT_STOLEN;
}

/* A yardstick: figures of two machines can be compared by what this takes on each. */
struct address {
	__u8 bytes[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct address);
	__type(value, __u64);
} destinations SEC(".maps");

SEC("xdp.frags")
int hash_xdp(struct xdp_md *ctx)
{
	struct ipv6hdr *ip = (void *)(long)ctx->data + ETH_HLEN;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	return bpf_map_lookup_elem(&destinations, &ip->daddr) ? XDP_DROP : XDP_ABORTED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
