// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The MSS that a TCP SYN offers (RFC 9293 3.7.1), lowered to what the prefix allows. */
#ifndef SIXLANE_MSS_H
#define SIXLANE_MSS_H

#include <linux/tcp.h>

#include "sixlane/parse.h"

#define TCP_OPTION_END	0
#define TCP_OPTION_NOP	1
#define TCP_OPTION_MSS	2
#define TCP_MSS_BYTES	4
#define TCP_OPTIONS_MAX 40

/* Where the value of the first MSS option stands, or 0. Garbled options end the search. */
static __always_inline __u32 find_mss(struct ctx c, __u32 offset, __u32 end)
{
	for (__u32 i = 0; i < TCP_OPTIONS_MAX && offset < end; i++) {
		offset &= CTX_OFFSET_MAX;
		barrier_var(offset); /* alike in each round: the verifier walks one of them */

		__u8 *kind = ctx_at(c, offset, 1);

		if (!kind || *kind == TCP_OPTION_END)
			break;
		if (*kind == TCP_OPTION_NOP) {
			offset++;
			continue;
		}

		__u8 *option = ctx_at(c, offset, 2);

		if (!option || offset + 2 > end)
			break;

		__u32 length = option[1];

		if (length < 2 || offset + length > end)
			break;
		if (option[0] == TCP_OPTION_MSS && length == TCP_MSS_BYTES)
			return offset + 2;
		offset += length;
	}
	return 0;
}

/* `l4`: where the TCP header stands, `end`: the first offset behind its options. */
static __always_inline int clamp_mss(struct ctx c, __u32 l4, __u32 end, __u32 most)
{
	ctx_pull(c, end);

	__u32 offset = find_mss(c, l4 + sizeof(struct tcphdr), end);
	__be16 *at = offset ? ctx_at(c, offset, sizeof(*at)) : NULL;

	if (!at)
		return 0;

	__be16 offered = *at;

	if (bpf_ntohs(offered) <= most)
		return 0;
	return ctx_replace16(c, offset, l4 + offsetof(struct tcphdr, check), offered,
			     bpf_htons(most), (offset - l4) & 1, false);
}

__noinline int xdp_clamp_mss(struct xdp_md *raw, __u32 l4, __u32 end, __u32 most)
{
	return clamp_mss((struct ctx){ raw, ENTRY_XDP }, l4, end, most);
}

__noinline int tc_clamp_mss(struct __sk_buff *raw, __u32 l4, __u32 end, __u32 most)
{
	return clamp_mss((struct ctx){ raw, ENTRY_TC }, l4, end, most);
}

static __always_inline int ctx_clamp_mss(struct ctx c, __u32 l4, __u32 end, __u32 most)
{
	return c.entry == ENTRY_XDP ? xdp_clamp_mss(ctx_xdp(c), l4, end, most)
				    : tc_clamp_mss(ctx_skb(c), l4, end, most);
}

#endif
