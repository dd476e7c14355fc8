// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The slow path: a namespace of ours behind a veth pair, where the kernel routes a packet straight
 * back to us. Its route's MTU makes it fragment what must be fragmented. Frames addressed to our
 * own end are only turned round there, so that a tc entry gets them (fib.h says why).
 */
#ifndef SIXLANE_SLOW_H
#define SIXLANE_SLOW_H

#include "sixlane/fib.h"
#include "sixlane/reject.h"

/* The source of frames that ask for more than to be cut for us to translate: a MAC of local scope.
 */
struct slow_mac {
	__be32 magic;
	__be16 mark; /* enum slow_mark, or how large fragments may be, in bytes */
} __attribute__((packed));

#define SLOW_MAC_MAGIC 0x06360064

static __always_inline struct slow_mac slow_mac_of(__u32 mark)
{
	barrier_var(mark); /* beside a copy of a constant, clang 14 forgets the one before it */
	return (struct slow_mac){ .magic = bpf_htonl(SLOW_MAC_MAGIC), .mark = bpf_htons(mark) };
}

static __always_inline bool is_from_slow_path(struct ctx c, const struct gateway *gw)
{
	return gw->slow.ifindex && ctx_ifindex(c) == gw->slow.ifindex;
}

static __always_inline bool ctx_is_tagged(struct ctx c, const struct pkt *p)
{
	return c.entry == ENTRY_XDP ? p->l3 != ETH_HLEN : ctx_skb(c)->vlan_present;
}

static __always_inline int ttl_lend(struct ctx c, const struct pkt *p)
{
	struct iphdr *ip = ctx_at(c, p->l3, sizeof(*ip));

	if (!ip)
		return -1;
	if (ip->ttl == 255)
		return 0;

	__u8 ttl = ip->ttl + 1;
	__u64 delta = bpf_htons((__u16)ttl << 8) + (__u16)~bpf_htons((__u16)ip->ttl << 8);
	__u16 check = csum_updated(ip->check, delta, false);

	if (ctx_store(c, p->l3 + offsetof(struct iphdr, ttl), &ttl, sizeof(ttl)))
		return -1;
	return ctx_store(c, p->l3 + offsetof(struct iphdr, check), &check, sizeof(check));
}

static __always_inline int hop_limit_lend(struct ctx c, const struct pkt *p)
{
	__u8 limit = p->ttl + (p->ttl < 255);

	return ctx_store(c, p->l3 + offsetof(struct ipv6hdr, hop_limit), &limit, sizeof(limit));
}

/* Lends a packet the hop that the detour will take from it. */
static __always_inline int hop_lend(struct ctx c, const struct pkt *p)
{
	return p->family == FAMILY_INET ? ttl_lend(c, p) : hop_limit_lend(c, p);
}
/* Nothing goes there twice, and it would lose a VLAN tag. */
static __always_inline bool has_slow_path(struct ctx c, const struct gateway *gw,
					  const struct pkt *p)
{
	return gw->slow.ifindex && !is_from_slow_path(c, gw) && !ctx_is_tagged(c, p);
}

static __always_inline int slow_path_from(struct ctx c, const struct gateway *gw,
					  const struct pkt *p, const __u8 *source)
{
	__u32 bytes = pkt_l3_bytes(p);

	if (!has_slow_path(c, gw, p))
		return leave(c, p, DROP_NO_SLOW_PATH, 0, bytes);
	if (hop_lend(c, p) || ctx_set_macs(c, gw->slow.far_mac, source))
		return leave(c, p, DROP_RESIZE_FAILED, 0, bytes);
	count_rare(p, FORWARD_SLOW_PATH, bytes);
	return bpf_redirect(gw->slow.ifindex, 0);
}

/* Has the kernel cut an IPv4 packet into fragments; each of them comes back and is translated. */
static __always_inline int slow_path(struct ctx c, const struct gateway *gw, const struct pkt *p)
{
	return slow_path_from(c, gw, p, gw->slow.near_mac);
}

/* The same for fragments of sessions and services, and in order. All of a packet must go there: of
 * others, those that need not be cut do not, and the kernel would wait for them. */
static __always_inline int slow_path_in_order(struct ctx c, const struct gateway *gw,
					      const struct pkt *p, enum slow_mark mark)
{
	struct slow_mac mac = slow_mac_of(mark);

	return slow_path_from(c, gw, p, (__u8 *)&mac);
}

/*
 * BIG TCP: what is longer than an IPv6 length field can say would need a jumbo header. The kernel
 * takes it from packets that BPF has resized (SKB_GSO_DODGY, ipv6_gso_segment()) and hands them on
 * without. On its way to our own veth it cuts such a packet into segments, and GRO makes packets of
 * at most 64 KiB of them, which turn round and come back.
 */
static __always_inline int slow_path_segments(struct ctx c, const struct gateway *gw,
					      const struct pkt *p)
{
	__u32 bytes = pkt_l3_bytes(p);

	if (!has_slow_path(c, gw, p))
		return leave(c, p, DROP_NO_SLOW_PATH, 0, bytes);
	if (ctx_set_macs(c, gw->slow.near_mac, gw->slow.far_mac))
		return leave(c, p, DROP_RESIZE_FAILED, 0, bytes);
	count_rare(p, FORWARD_SLOW_PATH, bytes);
	return bpf_redirect(gw->slow.ifindex, 0);
}

/*
 * IPv4 links too small for what IPv6 may always send: RFC 1191's plateaus, each a mark and a
 * routing table in the slow path's namespace. The largest that fits; frames tell it by their
 * source.
 */
static __always_inline __u32 slow_mtu(__u32 mtu)
{
	return mtu >= 1006 ? 1006 : mtu >= 508 ? 508 : mtu >= 296 ? 296 : 68;
}

/* Has a translated packet cut into fragments for such a link. */
static __always_inline int slow_path_64(struct ctx c, const struct gateway *gw, const struct pkt *p,
					__u32 mtu, __u32 bytes)
{
	struct slow_mac mac = slow_mac_of(slow_mtu(mtu));

	if (ctx_set_macs(c, gw->slow.far_mac, (__u8 *)&mac))
		return ctx_drop(c);
	count_rare(p, FORWARD_SLOW_PATH, bytes);
	return bpf_redirect(gw->slow.ifindex, 0);
}

/* At the far end: the mark that a frame asks for; 0: fragments for us to translate. */
static __always_inline __u32 slow_mark(struct ctx c)
{
	struct slow_mac *mac = ctx_at(c, ETH_ALEN, sizeof(*mac));

	return mac && mac->magic == bpf_htonl(SLOW_MAC_MAGIC) ? bpf_ntohs(mac->mark) : 0;
}

/* What the slow path returns untranslatable is a finished frame whose neighbour the kernel sees to,
 * or for the host itself. */
static __always_inline int forward_native(struct ctx c, const struct tables *t, const struct pkt *p,
					  enum reason not_ours)
{
	__u32 bytes = pkt_l3_bytes(p);
	struct next_hop *next;
	enum reason why = next_hop(c, t->gw, &p->src, &p->dst, p->family, p->tos, &next);

	if (why == DROP_NO_ROUTE) { /* that is what the FIB says of our own addresses */
		count_rare(p, not_ours, bytes);
		return ctx_pass(c);
	}
	if (why)
		return drop(p, why, bytes);
	count_rare(p, FORWARD_NATIVE, bytes);
	return bpf_redirect_neigh(next->hop.ifindex, NULL, 0, 0);
}

#endif
