// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What runs on a backend whose answers go straight back: tunnels of gateways end at one of the two
 * entries, and SYNs of VIPs leave with an MSS that has room for the tunnel of what will come.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sixlane/decap.h"
#include "sixlane/mss.h"

SEC("xdp.frags")
int decap_xdp(struct xdp_md *ctx)
{
	return decap((struct ctx){ ctx, ENTRY_XDP });
}

SEC("tc")
int decap_tc(struct __sk_buff *ctx)
{
	return decap((struct ctx){ ctx, ENTRY_TC });
}

/* On the way out. */
SEC("tc")
int decap_answer(struct __sk_buff *ctx)
{
	struct ctx c = { ctx, ENTRY_TC };
	struct pkt p = {};
	__u32 zero = 0;

	ctx_pull(c, DECAP_PULL_BYTES);
	if (parse_link(c, &p) ||
	    (p.family == FAMILY_INET ? parse_ipv4(c, &p) : parse_ipv6(c, &p)) ||
	    p.proto != IPPROTO_TCP || !pkt_has_l4_header(&p))
		return ctx_pass(c);

	struct tcphdr *tcp = ctx_at(c, p.l4, sizeof(*tcp));

	if (!tcp || !tcp->syn)
		return ctx_pass(c);

	__u32 end = p.l4 + tcp->doff * 4;
	struct decap_setup *setup = bpf_map_lookup_elem(&decap_setups, &zero);

	if (!setup || !is_vip(&p.src, p.family))
		return ctx_pass(c);

	__u32 most =
		p.family == FAMILY_INET ? setup->max_segment4_bytes : setup->max_segment6_bytes;

	if (most)
		ctx_clamp_mss(c, p.l4, end, most);
	return ctx_pass(c);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
