// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The one seam between XDP and tc. `entry` is a constant in each program and everything here is
 * inlined, so that each program holds only its own half. A struct ctx is passed by value and its
 * address is never taken.
 */
#ifndef SIXLANE_CTX_H
#define SIXLANE_CTX_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sixlane/csum.h"

#define FAMILY_INET    2
#define FAMILY_INET6   10
#define VLAN_TAGS      2
#define LINK_BYTES_MAX (ETH_HLEN + 4 * VLAN_TAGS)
#define TCX_CONTINUE   -1

struct ctx {
	void *raw;
	enum entry entry;
};

#define ctx_xdp(c) ((struct xdp_md *)(c).raw)
#define ctx_skb(c) ((struct __sk_buff *)(c).raw)

/*
 * data and data_end are 32-bit fields that the verifier widens to pointers. Left to itself, clang
 * joins two loads of one and moves the result as 32 bits, and the pointer is lost.
 */
static __always_inline void *ctx_pointer(const void *raw, const __u32 field)
{
	void *pointer;

	asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(pointer) : "r"(raw), "i"(field));
	return pointer;
}

static __always_inline void *ctx_data(struct ctx c)
{
	return c.entry == ENTRY_XDP ? ctx_pointer(c.raw, offsetof(struct xdp_md, data))
				    : ctx_pointer(c.raw, offsetof(struct __sk_buff, data));
}

static __always_inline void *ctx_end(struct ctx c)
{
	return c.entry == ENTRY_XDP ? ctx_pointer(c.raw, offsetof(struct xdp_md, data_end))
				    : ctx_pointer(c.raw, offsetof(struct __sk_buff, data_end));
}

static __always_inline __u32 ctx_ifindex(struct ctx c)
{
	return c.entry == ENTRY_XDP ? ctx_xdp(c)->ingress_ifindex : ctx_skb(c)->ifindex;
}

static __always_inline __u32 ctx_bytes(struct ctx c)
{
	return c.entry == ENTRY_TC ? ctx_skb(c)->len : bpf_xdp_get_buff_len(ctx_xdp(c));
}

/* Whether the frame has as many bytes; most of them lie in one piece, where that is quick to see.
 */
static __always_inline bool ctx_holds(struct ctx c, __u32 bytes)
{
	if (c.entry == ENTRY_TC)
		return ctx_skb(c)->len >= bytes;

	__u64 linear = (__u64)ctx_end(c) - (__u64)ctx_data(c);

	barrier_var(linear); /* the verifier wants pointers subtracted in 64 bits */
	return linear >= bytes || ctx_bytes(c) >= bytes;
}

/* L4 payload bytes in one segment of a GSO packet, 0 for a plain one. */
static __always_inline __u32 ctx_segment_bytes(struct ctx c)
{
	return c.entry == ENTRY_XDP ? 0 : ctx_skb(c)->gso_size;
}

/* Makes the first `bytes` readable by pointer, or as many as there are. Pointers from before are
 * void. */
static __always_inline void ctx_pull(struct ctx c, __u32 bytes)
{
	if (c.entry == ENTRY_XDP)
		return;

	__u32 have = ctx_skb(c)->len;

	if (have < bytes)
		bytes = have;
	if (ctx_data(c) + bytes > ctx_end(c))
		bpf_skb_pull_data(ctx_skb(c), bytes);
}

#define CTX_OFFSET_MAX 0x7ff

/* A pointer to `bytes` at an offset of up to CTX_OFFSET_MAX, or NULL where the packet ends before.
 */
static __always_inline void *ctx_at(struct ctx c, __u32 offset, const __u32 bytes)
{
	void *end = ctx_end(c);
	void *at = ctx_data(c);

	if (__builtin_constant_p(offset)) {
		at += offset;
	} else {
		__u64 bounded = offset;

		/* What is checked is what is used, in one register: Linux 6.1 follows no copies. */
		barrier_var(bounded);
		if (bounded > CTX_OFFSET_MAX)
			return NULL;
		at += bounded;
	}
	barrier_var(at);
	return at + bytes > end ? NULL : at;
}

static __always_inline int ctx_pass(struct ctx c)
{
	return c.entry == ENTRY_XDP ? (int)XDP_PASS : TCX_CONTINUE;
}

static __always_inline int ctx_drop(struct ctx c)
{
	return c.entry == ENTRY_XDP ? (int)XDP_DROP : TC_ACT_SHOT;
}

/* XDP: whom a frame is for, as in struct gateway; tc: 0. -1 where there is none. */
static __always_inline __u64 ctx_own_mac(struct ctx c)
{
	if (c.entry == ENTRY_TC)
		return 0;

	__u8 *mac = ctx_at(c, 0, ETH_HLEN);

	return mac ? *(__u32 *)mac | (__u64) * (__u16 *)(mac + 4) << 32 : (__u64)-1;
}

/* A frame that the switch or the wire brought to us, but for somebody else. */
static __always_inline bool ctx_is_for_other_host(struct ctx c, const struct gateway *gw)
{
	if (c.entry == ENTRY_TC)
		return ctx_skb(c)->pkt_type != PACKET_HOST;

	__u64 dst = ctx_own_mac(c);
	bool ours = false;

	if (gw->macs[0] == dst || gw->macs[1] == dst) /* most have no others */
		return false;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < MAX_DEVICES; i++)
		ours |= gw->macs[i] == dst; /* no branch: the verifier would follow each */
	return !ours;
}

/* Cuts the frame behind `bytes`, or adds zeros up to there. A GSO packet becomes a plain one. */
static __always_inline int ctx_resize(struct ctx c, __u32 bytes)
{
	if (c.entry == ENTRY_XDP)
		return bpf_xdp_adjust_tail(ctx_xdp(c), (int)bytes - (int)ctx_bytes(c));
	return bpf_skb_change_tail(ctx_skb(c), bytes, 0);
}

/* VLAN tags of an XDP frame. tc has the tag in the skb, where it survives all by itself. */
struct vlan_tags {
	__be32 tag[VLAN_TAGS]; /* TPID and TCI */
	__u32 count;
};

static __always_inline int ctx_vlan_read(struct ctx c, __u32 l3, struct vlan_tags *tags)
{
	tags->count = 0;
	if (c.entry == ENTRY_TC)
		return 0;

	/* As many bytes are there in any case, and whoever reads both tags at once has read both.
	 */
	__be32 *tag = ctx_at(c, 2 * ETH_ALEN, sizeof(tags->tag));

	if (!tag)
		return -1;
	tags->tag[0] = tag[0];
	tags->tag[1] = tag[1];
	tags->count = (l3 - ETH_HLEN) / 4;
	return 0;
}

static __always_inline int ctx_link_write(struct ctx c, const struct vlan_tags *tags,
					  __be16 protocol)
{
	if (c.entry == ENTRY_TC) {
		__be16 *type = ctx_at(c, 2 * ETH_ALEN, sizeof(*type));

		if (!type)
			return -1;
		*type = protocol;
		return 0;
	}

	void *at = ctx_at(c, 0, LINK_BYTES_MAX);

	if (!at)
		return -1;
	at += 2 * ETH_ALEN;
	/* No loop: clang 19 would make a memcpy() of it. */
	if (tags->count > 0) {
		*(__be32 *)at = tags->tag[0];
		at += sizeof(__be32);
	}
	if (tags->count > 1) {
		*(__be32 *)at = tags->tag[1];
		at += sizeof(__be32);
	}
	*(__be16 *)at = protocol;
	return 0;
}

static __always_inline int ctx_set_macs(struct ctx c, const __u8 *dst, const __u8 *src)
{
	__u8 *eth = ctx_at(c, 0, ETH_HLEN);

	if (!eth)
		return -1;
	__builtin_memcpy(eth, dst, ETH_ALEN);
	__builtin_memcpy(eth + ETH_ALEN, src, ETH_ALEN);
	return 0;
}

/*
 * Opens (positive) or closes room between the link header and layer 3 and puts the link header back
 * in front, its addresses undefined. Layer 3 stays of its family: for ICMP errors, which carry what
 * they complain of.
 */
static __always_inline int ctx_grow_front(struct ctx c, __u32 l3, const __u32 bytes)
{
	struct vlan_tags tags;
	__be16 *type = ctx_at(c, l3 - 2, sizeof(*type));

	if (!type)
		return -1;

	__be16 protocol = *type;

	if (ctx_vlan_read(c, l3, &tags))
		return -1;
	if (c.entry == ENTRY_TC)
		return bpf_skb_adjust_room(ctx_skb(c), bytes, BPF_ADJ_ROOM_MAC,
					   BPF_F_ADJ_ROOM_FIXED_GSO);
	if (bpf_xdp_adjust_head(ctx_xdp(c), -(int)bytes))
		return -1;
	return ctx_link_write(c, &tags, protocol);
}

/*
 * Replaces the `gone` bytes of headers at `l3` by `fresh` bytes of the other family, contents
 * undefined. tc tells the skb what it has become, so that GSO and partial checksums go on working:
 * bpf_skb_change_proto turns a bare 20-byte IPv4 header into a bare 40-byte IPv6 header or back;
 * what is more or less than that is taken away from, or added, behind the bare header.
 */
static __always_inline int ctx_replace_l3(struct ctx c, __u32 l3, __u32 gone, __u32 fresh,
					  const __u32 family)
{
	const __be16 protocol =
		family == FAMILY_INET6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	const __u32 bare_gone = family == FAMILY_INET6 ? 20 : 40;
	const __u32 bare_fresh = 60 - bare_gone;
	const __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;

	if (c.entry == ENTRY_TC) {
		struct __sk_buff *skb = ctx_skb(c);

		if (gone > bare_gone &&
		    bpf_skb_adjust_room(skb, -(int)(gone - bare_gone), BPF_ADJ_ROOM_NET, flags))
			return -1;
		if (bpf_skb_change_proto(skb, protocol, 0))
			return -1;
		if (fresh > bare_fresh &&
		    bpf_skb_adjust_room(skb, fresh - bare_fresh, BPF_ADJ_ROOM_NET, flags))
			return -1;
		return ctx_link_write(c, NULL, protocol);
	}

	struct vlan_tags tags;

	if (ctx_vlan_read(c, l3, &tags))
		return -1;
	if (bpf_xdp_adjust_head(ctx_xdp(c), (int)gone - (int)fresh))
		return -1;
	return ctx_link_write(c, &tags, protocol);
}

/* Copies bytes out, wherever in the packet they are; -1 for none of them, or more than `room`. */
static __always_inline int ctx_load(struct ctx c, __u32 offset, void *to, __u32 bytes,
				    const __u32 room)
{
	__u64 last = (__u64)bytes - 1;

	/* Linux 6.1 learns from arithmetic that a size is not 0, not from a comparison with 0. */
	barrier_var(last);
	if (last >= room)
		return -1;
	return c.entry == ENTRY_XDP ? bpf_xdp_load_bytes(ctx_xdp(c), offset, to, last + 1)
				    : bpf_skb_load_bytes(ctx_skb(c), offset, to, last + 1);
}

/*
 * Opens room for an outer header of `bytes` in front of layer 3 and puts the link header in front
 * of that, its addresses undefined. `fixed`: segments stay as long as they are; else those of TCP
 * become shorter by what is added.
 */
static __always_inline int ctx_wrap(struct ctx c, __u32 l3, const __u32 bytes, const __u32 family,
				    bool fixed)
{
	const __be16 protocol =
		family == FAMILY_INET6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	const __u64 flags = family == FAMILY_INET6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6
						   : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	struct vlan_tags tags = {};

	if (c.entry == ENTRY_TC) {
		if (bpf_skb_adjust_room(ctx_skb(c), bytes, BPF_ADJ_ROOM_MAC,
					flags | (fixed ? BPF_F_ADJ_ROOM_FIXED_GSO : 0)))
			return -1;
		return ctx_link_write(c, NULL, protocol);
	}
	if (ctx_vlan_read(c, l3, &tags) || bpf_xdp_adjust_head(ctx_xdp(c), -(int)bytes))
		return -1;
	return ctx_link_write(c, &tags, protocol);
}

/*
 * Takes the `gone` bytes of an outer header at `l3` away. tc: where the families differ,
 * bpf_skb_change_proto tells the skb what it has become, on every kernel, and leaves a header of
 * zeros of the new family's length, which goes with the rest.
 */
static __always_inline int ctx_unwrap(struct ctx c, __u32 l3, __u32 gone, const __u32 from,
				      const __u32 to)
{
	const __be16 protocol = to == FAMILY_INET6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	const int longer = from == to ? 0 : to == FAMILY_INET6 ? 20 : -20;

	if (c.entry == ENTRY_TC) {
		if (from != to && bpf_skb_change_proto(ctx_skb(c), protocol, 0))
			return -1;
		if (bpf_skb_adjust_room(ctx_skb(c), -((int)gone + longer), BPF_ADJ_ROOM_MAC,
					BPF_F_ADJ_ROOM_FIXED_GSO))
			return -1;
		return ctx_link_write(c, NULL, protocol);
	}

	struct vlan_tags tags = {};
	__u8 macs[2 * ETH_ALEN];

	if (ctx_load(c, 0, macs, sizeof(macs), sizeof(macs)) || ctx_vlan_read(c, l3, &tags) ||
	    bpf_xdp_adjust_head(ctx_xdp(c), (int)gone) || ctx_link_write(c, &tags, protocol))
		return -1;
	return ctx_set_macs(c, macs, macs + ETH_ALEN);
}

/* Stores bytes; tc keeps a checksum that the NIC computed over the packet (CHECKSUM_COMPLETE) true.
 */
static __always_inline int ctx_store(struct ctx c, __u32 offset, const void *from,
				     const __u32 bytes)
{
	if (c.entry == ENTRY_TC)
		return bpf_skb_store_bytes(ctx_skb(c), offset, from, bytes, BPF_F_RECOMPUTE_CSUM);

	void *at = ctx_at(c, offset, bytes);

	if (!at)
		return -1;
	__builtin_memcpy(at, from, bytes);
	return 0;
}

/* Updates a transport checksum; in tc it may be partial, which the helper's pseudo-header flag
 * knows how to update. */
static __always_inline int ctx_csum_update(struct ctx c, __u32 offset, __u64 delta, bool udp)
{
	if (csum_is_neutral(delta))
		return 0;
	if (c.entry == ENTRY_TC)
		return bpf_l4_csum_replace(ctx_skb(c), offset, 0, csum_to32(delta),
					   BPF_F_PSEUDO_HDR | (udp ? BPF_F_MARK_MANGLED_0 : 0));

	__u16 *field = ctx_at(c, offset, sizeof(*field));

	if (!field)
		return -1;
	*field = csum_updated(*field, delta, udp);
	return 0;
}

/* The other way. */
static __always_inline int ctx_store_all(struct ctx c, __u32 offset, const void *from, __u32 bytes,
					 const __u32 room)
{
	__u64 last = (__u64)bytes - 1;

	barrier_var(last); /* as in ctx_load() */
	if (last >= room)
		return -1;
	return c.entry == ENTRY_XDP
		       ? bpf_xdp_store_bytes(ctx_xdp(c), offset, (void *)from, last + 1)
		       : bpf_skb_store_bytes(ctx_skb(c), offset, from, last + 1,
					     BPF_F_RECOMPUTE_CSUM);
}

/*
 * Changes two bytes that a transport checksum covers, and the checksum. `odd`: they lie across two
 * of its words. Bytes and checksum together change no sum that the NIC computed, and a partial
 * checksum is not concerned by what lies behind the pseudo-header.
 */
static __always_inline int ctx_replace16(struct ctx c, __u32 offset, __u32 csum_offset, __u16 from,
					 __u16 to, bool odd, bool udp)
{
	__u16 gone = odd ? __builtin_bswap16(from) : from;
	__u16 come = odd ? __builtin_bswap16(to) : to;

	if (c.entry == ENTRY_TC) {
		__u16 *at = ctx_at(c, offset, sizeof(*at));

		/* By pointer it is quicker, where the bytes are within reach. */
		if (at)
			*at = to;
		else if (bpf_skb_store_bytes(ctx_skb(c), offset, &to, sizeof(to), 0))
			return -1;
		return bpf_l4_csum_replace(ctx_skb(c), csum_offset, gone, come,
					   sizeof(come) | (udp ? BPF_F_MARK_MANGLED_0 : 0));
	}

	__u16 *field = ctx_at(c, csum_offset, sizeof(*field));

	if (!field || ctx_store(c, offset, &to, sizeof(to)))
		return -1;
	*field = csum_updated(*field, (__u64)come + (__u16)~gone, udp);
	return 0;
}

#define CSUM_STRIDE    32
#define CSUM_BYTES_MAX 2048

/* The folded sum over up to CSUM_BYTES_MAX bytes, the last odd one padded with zero; -1 if they are
 * not all there. */
static __always_inline int ctx_csum(struct ctx c, __u32 offset, __u32 bytes)
{
	__u64 sum = 0;

	for (__u32 i = 0; i < CSUM_BYTES_MAX / CSUM_STRIDE; i++) {
		if (bytes < CSUM_STRIDE)
			break;

		void *at = ctx_at(c, offset, CSUM_STRIDE);

		if (!at)
			return -1;
		sum += csum_words(at, CSUM_STRIDE);
		offset += CSUM_STRIDE;
		bytes -= CSUM_STRIDE;
	}
	if (bytes >= CSUM_STRIDE || (bytes && offset > CTX_OFFSET_MAX))
		return -1;
	for (__u32 i = 0; i < CSUM_STRIDE / 2; i++) {
		if (bytes < 2)
			break;

		__u16 *at = ctx_at(c, offset, sizeof(*at));

		if (!at)
			return -1;
		sum += *at;
		offset += 2;
		bytes -= 2;
	}
	if (bytes) {
		__u8 *last = ctx_at(c, offset, 1);

		if (!last)
			return -1;
		sum += bpf_htons((__u16)*last << 8);
	}
	return csum_fold(sum);
}

/* Functions of their own: the verifier reads the loops once. */
__noinline int xdp_csum(struct xdp_md *raw, __u32 offset, __u32 bytes)
{
	return ctx_csum((struct ctx){ raw, ENTRY_XDP }, offset, bytes);
}

__noinline int tc_csum(struct __sk_buff *raw, __u32 offset, __u32 bytes)
{
	return ctx_csum((struct ctx){ raw, ENTRY_TC }, offset, bytes);
}

static __always_inline int ctx_csum_range(struct ctx c, __u32 offset, __u32 bytes)
{
	return c.entry == ENTRY_XDP ? xdp_csum(ctx_xdp(c), offset, bytes)
				    : tc_csum(ctx_skb(c), offset, bytes);
}

#endif
