// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The next hop. bpf_fib_lookup() costs 100 ns for IPv4 and 220 ns for IPv6, so its answers are
 * remembered per CPU and destination, until `next_hop_epoch` moves or a second has passed: right
 * again by itself while no agent runs.
 */
#ifndef SIXLANE_FIB_H
#define SIXLANE_FIB_H

#include "sixlane/addr.h"
#include "sixlane/config.h"
#include "sixlane/drop.h"
#include "sixlane/parse.h"

#define NEXT_HOP_SLOT_BITS 14
_Static_assert(1 << NEXT_HOP_SLOT_BITS == NEXT_HOP_SLOTS, "a slot for each hash");

/* Beside the caller's frame there is little room on the stack. */
struct fib_work {
	struct bpf_fib_lookup fib;
	struct next_hop next; /* of a dry run */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fib_work);
} fib_works SEC(".maps");

static __always_inline struct next_hop *dry_next_hop(void)
{
	__u32 zero = 0;
	struct fib_work *work = bpf_map_lookup_elem(&fib_works, &zero);

	return work ? &work->next : NULL;
}

/* Neighbouring addresses, which are what a network has, never share a slot. */
static __always_inline struct next_hop *next_hop_slot(const struct addr *dst)
{
	__u32 slot = (bpf_get_smp_processor_id() << NEXT_HOP_SLOT_BITS) +
		     (spread(addr_both(dst)) >> (64 - NEXT_HOP_SLOT_BITS));

	return dry_run ? dry_next_hop() : bpf_map_lookup_elem(&next_hops, &slot);
}

static __always_inline long fib_look(struct ctx c, const struct addr *src, const struct addr *dst,
				     __u32 family, __u8 tos, __u32 flags,
				     struct bpf_fib_lookup *fib)
{
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->family = family;
	fib->ifindex = ctx_ifindex(c);
	fib->tot_len = 1; /* makes the kernel say the route's MTU; one byte always fits */
	if (family == FAMILY_INET) {
		fib->tos = tos;
		fib->ipv4_src = bpf_htonl(addr_to_v4(*src));
		fib->ipv4_dst = bpf_htonl(addr_to_v4(*dst));
	} else {
		fib->flowinfo = bpf_htonl((__u32)tos << 20);
		__builtin_memcpy(fib->ipv6_src, src, sizeof(*src));
		__builtin_memcpy(fib->ipv6_dst, dst, sizeof(*dst));
	}
	return bpf_fib_lookup(c.raw, fib, sizeof(*fib), flags);
}

static __always_inline __u32 device_mtu(struct ctx c, __u32 ifindex)
{
	__u32 mtu = 1; /* in: a length that fits */

	return bpf_check_mtu(c.raw, ifindex, &mtu, 0, 0) < 0 ? 0 : mtu;
}

/*
 * The kernel asks whether a stale neighbour is still there only when it sends to it itself, which
 * bpf_redirect() never does: one packet in ten seconds is left to it.
 */
#define NEIGHBOUR_SECONDS 10

static __always_inline bool neighbour_is_due(const struct hop *hop, __u64 now)
{
	__u64 id = *(__u32 *)hop->dst_mac | (__u64) * (__u16 *)(hop->dst_mac + 4) << 32 |
		   (__u64)hop->ifindex << 48;
	__u32 slot = spread(id) >> 56;
	struct neighbour_use *use = bpf_map_lookup_elem(&neighbours, &slot);

	if (dry_run || !use ||
	    (use->neighbour == id &&
	     now - use->asked_jiffies < NEIGHBOUR_SECONDS * jiffies_per_second))
		return false;
	use->neighbour = id;
	use->asked_jiffies = now;
	return true;
}

/* Asks the kernel, and remembers the answer in the slot of `dst`. */
static __always_inline enum reason ask_next_hop(struct ctx c, const struct gateway *gw,
						const struct addr *src, const struct addr *dst,
						__u32 family, __u8 tos)
{
	__u32 zero = 0;
	struct next_hop *slot = dst ? next_hop_slot(dst) : NULL;
	__u32 *epoch = bpf_map_lookup_elem(&next_hop_epoch, &zero);
	struct fib_work *work = bpf_map_lookup_elem(&fib_works, &zero);

	if (!gw || !src || !dst || !slot || !epoch || !work)
		return DROP_NO_ROUTE;

	struct bpf_fib_lookup *fib = &work->fib;
	struct hop *hop = &slot->hop;

	/* From before the question: an answer that is outdated meanwhile is not kept. */
	__u32 asked = *epoch;

	slot->expires_jiffies = 0;

	long answer = fib_look(c, src, dst, family, tos, 0, fib);

	switch (answer) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		break;
	case BPF_FIB_LKUP_RET_BLACKHOLE:
		return DROP_BLACKHOLE;
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		return DROP_FORWARDING_OFF;
	default:
		return DROP_NO_ROUTE;
	}
	slot->dst = *dst;
	hop->ifindex = fib->ifindex;
	hop->resolved = answer == BPF_FIB_LKUP_RET_SUCCESS;
	__builtin_memcpy(hop->dst_mac, fib->dmac, ETH_ALEN);
	__builtin_memcpy(hop->src_mac, fib->smac, ETH_ALEN);
	/* The route's MTU is told together with a neighbour, or where none is asked for (not before
	 * Linux 6.3). */
	if (!hop->resolved)
		answer = fib_look(c, src, dst, family, tos, BPF_FIB_LOOKUP_SKIP_NEIGH, fib);
	hop->mtu_bytes =
		answer == BPF_FIB_LKUP_RET_SUCCESS ? fib->mtu_result : device_mtu(c, hop->ifindex);
	if (hop->mtu_bytes == 0) /* the device has gone meanwhile */
		return DROP_NO_ROUTE;
	if (c.entry == ENTRY_XDP && !hop->resolved && !gw->slow.ifindex)
		return DROP_NO_SLOW_PATH;

	if (dry_run)
		note_hop(dst, hop);

	__u64 now = bpf_jiffies64();

	hop->by_kernel = hop->resolved && neighbour_is_due(hop, now);
	if (hop->resolved && gw->flags & GATEWAY_NEXT_HOP_CACHE && !dry_run) {
		slot->epoch = asked;
		slot->expires_jiffies = now + jiffies_per_second;
	}
	return REASON_NONE;
}

/* Functions of their own, as few packets come here. `how`: family, and TOS from bit 8 on. */
__noinline int xdp_ask_next_hop(struct xdp_md *raw, const struct gateway *gw,
				const struct addr *src, const struct addr *dst, __u32 how)
{
	return ask_next_hop((struct ctx){ raw, ENTRY_XDP }, gw, src, dst, how & 0xff, how >> 8);
}

__noinline int tc_ask_next_hop(struct __sk_buff *raw, const struct gateway *gw,
			       const struct addr *src, const struct addr *dst, __u32 how)
{
	return ask_next_hop((struct ctx){ raw, ENTRY_TC }, gw, src, dst, how & 0xff, how >> 8);
}

static __always_inline bool next_hop_is_known(const struct gateway *gw, const struct next_hop *slot,
					      const struct addr *dst)
{
	__u32 zero = 0;
	__u32 *epoch = bpf_map_lookup_elem(&next_hop_epoch, &zero);

	return epoch && gw->flags & GATEWAY_NEXT_HOP_CACHE &&
	       slot->expires_jiffies > bpf_jiffies64() && slot->epoch == *epoch &&
	       slot->dst.hi == dst->hi && slot->dst.lo == dst->lo;
}

/* The way to dst, if it is remembered. */
static __always_inline struct next_hop *next_hop_known(const struct gateway *gw,
						       const struct addr *dst)
{
	struct next_hop *slot = next_hop_slot(dst);

	return slot && next_hop_is_known(gw, slot, dst) ? slot : NULL;
}

/* The way to dst. *found stays valid and unchanged while this packet is handled and no other way is
 * asked for. */
static __always_inline enum reason next_hop(struct ctx c, const struct gateway *gw,
					    const struct addr *src, const struct addr *dst,
					    __u32 family, __u8 tos, struct next_hop **found)
{
	__u32 how = family | (__u32)tos << 8;
	struct next_hop *slot = next_hop_slot(dst);

	if (!slot)
		return DROP_NO_ROUTE;
	*found = slot;
	if (next_hop_is_known(gw, slot, dst))
		return REASON_NONE;
	return c.entry == ENTRY_XDP ? xdp_ask_next_hop(ctx_xdp(c), gw, src, dst, how)
				    : tc_ask_next_hop(ctx_skb(c), gw, src, dst, how);
}

/*
 * Sends a finished frame, mostly by itself. Where the kernel must see to the neighbour, tc asks it
 * to; XDP has no way to, so the frame turns round in the slow path's namespace and comes back to a
 * tc entry.
 */
static __always_inline int send(struct ctx c, const struct gateway *gw, struct hop *hop)
{
	bool by_kernel =
		!hop->resolved || (hop->by_kernel && (c.entry == ENTRY_TC || gw->slow.ifindex));

	hop->by_kernel = 0;
	if (c.entry == ENTRY_TC && by_kernel)
		return bpf_redirect_neigh(hop->ifindex, NULL, 0, 0);
	if (by_kernel ? ctx_set_macs(c, gw->slow.near_mac, gw->slow.far_mac)
		      : ctx_set_macs(c, hop->dst_mac, hop->src_mac))
		return ctx_drop(c); /* a frame without room for its own link header: cannot be */
	return bpf_redirect(by_kernel ? gw->slow.ifindex : hop->ifindex, 0);
}

#endif
