// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Both ends of a flood: what sends frames, and what counts them where they arrive, before any
 * socket or queue could lose one. */

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Addresses as in the packet; those of IPv4 in the first word. */
struct seen {
	__be32 src[4];
	__be32 dst[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct seen);
	__type(value, __u64);
} arrived SEC(".maps");

static __always_inline int count(struct seen *seen)
{
	__u64 one = 1, *packets = bpf_map_lookup_elem(&arrived, seen);

	if (packets)
		__sync_fetch_and_add(packets, 1);
	else if (bpf_map_update_elem(&arrived, seen, &one, BPF_NOEXIST) &&
		 (packets = bpf_map_lookup_elem(&arrived, seen)))
		__sync_fetch_and_add(packets, 1);
	return XDP_DROP;
}

/* Counts UDP by its addresses and leaves all else to the host. */
SEC("xdp")
int witness(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip4 = (void *)(eth + 1);
	struct ipv6hdr *ip6 = (void *)(eth + 1);
	struct seen seen = {};

	if ((void *)(ip4 + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP) && ip4->protocol == IPPROTO_UDP) {
		seen.src[0] = ip4->saddr;
		seen.dst[0] = ip4->daddr;
		return count(&seen);
	}
	if ((void *)(ip6 + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IPV6) && ip6->nexthdr == IPPROTO_UDP) {
		__builtin_memcpy(seen.src, &ip6->saddr, sizeof(seen.src));
		__builtin_memcpy(seen.dst, &ip6->daddr, sizeof(seen.dst));
		return count(&seen);
	}
	return XDP_PASS;
}

/* What is sent, one after the other. */
struct frame {
	__u8 bytes[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct frame);
} frames SEC(".maps");

__u32 turn;

/* A test run with live frames sends them out of the device. The kernel uses their memory again as
 * it comes back, so that each has to be written. */
SEC("xdp")
int transmit(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 index = turn++;
	struct frame *frame = bpf_map_lookup_elem(&frames, &index);

	if (!frame) {
		index = 0;
		turn = 1;
		frame = bpf_map_lookup_elem(&frames, &index);
	}
	if (!frame || data + sizeof(*frame) > end)
		return XDP_ABORTED;
	__builtin_memcpy(data, frame, sizeof(*frame));
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
