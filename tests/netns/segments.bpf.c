// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Looks at the TCP that comes in at a receiver: how large the packets are, and how large their
 * segments are on a wire. A veth carries what no wire would. */

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct sizes {
	__u64 pkts;
	__u64 bytes;
	__u64 longest_bytes;	     /* of layer 3 */
	__u64 longest_segment_bytes; /* of layer 3, without a jumbo header, which no wire carries */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sizes);
} seen SEC(".maps");

const volatile __u32 link_header_bytes = ETH_HLEN; /* 0: netkit without a link header */

/* Bytes of the IP and TCP headers of one segment, 0 if it is not TCP. */
static __always_inline __u32 headers_of(struct __sk_buff *skb)
{
	struct iphdr ip4;
	struct ipv6hdr ip6;
	struct tcphdr tcp;
	__u32 at = link_header_bytes, bytes;
	__u8 jumbo[8];

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, at, &ip4, sizeof(ip4)) || ip4.protocol != IPPROTO_TCP)
			return 0;
		bytes = ip4.ihl * 4;
		at += bytes;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, at, &ip6, sizeof(ip6)))
			return 0;
		bytes = sizeof(ip6);
		at += sizeof(ip6);
		if (ip6.nexthdr == IPPROTO_HOPOPTS) {
			if (bpf_skb_load_bytes(skb, at, jumbo, sizeof(jumbo)))
				return 0;
			ip6.nexthdr = jumbo[0];
			at += sizeof(jumbo);
		}
		if (ip6.nexthdr != IPPROTO_TCP)
			return 0;
	} else {
		return 0;
	}
	return bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)) ? 0 : bytes + tcp.doff * 4;
}

SEC("tc")
int look(struct __sk_buff *skb)
{
	__u32 zero = 0, headers = headers_of(skb), bytes = skb->len - link_header_bytes;
	struct sizes *sizes = bpf_map_lookup_elem(&seen, &zero);

	if (!sizes || !headers)
		return -1; /* TCX_NEXT */

	__u64 segment = skb->gso_size ? headers + skb->gso_size : bytes;

	__sync_fetch_and_add(&sizes->pkts, 1);
	__sync_fetch_and_add(&sizes->bytes, bytes);
	if (bytes > sizes->longest_bytes)
		sizes->longest_bytes = bytes;
	if (segment > sizes->longest_segment_bytes)
		sizes->longest_segment_bytes = segment;
	return -1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
