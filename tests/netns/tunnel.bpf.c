// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* In a gateway's place: what leaves for a VIP goes in a tunnel to a backend, made by the data
 * path's own header. Of GSO packets, the whole one. */

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sixlane/encap.h"

const volatile struct addr backend;
const volatile struct addr vips[2];
const volatile struct tunnel_source from;

static __always_inline bool is(const struct addr *a, const volatile struct addr *b)
{
	return a->hi == b->hi && a->lo == b->lo;
}

SEC("tc")
int send_in_tunnel(struct __sk_buff *skb)
{
	struct ctx c = { skb, ENTRY_TC };
	const struct addr dst = { backend.hi, backend.lo };
	const struct tunnel_source source = { { from.addr.hi, from.addr.lo },
					      { from.host_mask.hi, from.host_mask.lo } };
	struct pkt p = {};

	ctx_pull(c, LINK_BYTES_MAX + sizeof(struct ipv6hdr));
	if (parse_link(c, &p) || (p.family == FAMILY_INET ? parse_ipv4(c, &p) : parse_ipv6(c, &p)))
		return TCX_CONTINUE;
	if (!is(&p.dst, &vips[0]) && !is(&p.dst, &vips[1]))
		return TCX_CONTINUE;

	__u64 hash = bpf_get_hash_recalc(skb) * 0x9e3779b97f4a7c15ULL;
	const struct addr src = tunnel_source(&source, hash);

	return (addr_is_v4(&dst) ? wrap(c, &p, &src, &dst, hash, FAMILY_INET)
				 : wrap(c, &p, &src, &dst, hash, FAMILY_INET6))
		       ? TC_ACT_SHOT
		       : TCX_CONTINUE;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
