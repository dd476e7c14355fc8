// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Addresses: RFC 6052 embedding, RFC 7757 mappings and what is known of each IPv4 address. IPv4
 * addresses on their own are host-order __u32.
 */
#ifndef SIXLANE_ADDR_H
#define SIXLANE_ADDR_H

#include "sixlane/canonical.h"
#include "sixlane/spread.h"
#include "sixlane/visit.h"

/*
 * RFC 6052 2.2. Bits 64 to 71 (the "u" octet) stay free: the address's high part ends at bit 63,
 * its low part begins at bit 72. /96 has it all at the end.
 */
#define BELOW_U 0x00ffffffffffffffULL

static __always_inline struct addr rfc6052_embed(const struct prefix *px, __u32 v4)
{
	if (px->len == 96)
		return (struct addr){ .hi = px->addr.hi, .lo = px->addr.lo | bpf_cpu_to_be64(v4) };

	__u32 shift = (px->len - 32) & 63;
	__u64 high = (__u64)v4 >> shift;
	__u64 low = ((__u64)v4 << ((56 - shift) & 63)) & BELOW_U;

	return (struct addr){ .hi = px->addr.hi | bpf_cpu_to_be64(high),
			      .lo = bpf_cpu_to_be64(low) };
}

static __always_inline __u32 rfc6052_extract(const struct prefix *px, const struct addr *a)
{
	__u64 hi = bpf_be64_to_cpu(a->hi), lo = bpf_be64_to_cpu(a->lo);

	if (px->len == 96)
		return (__u32)lo;

	__u32 shift = (px->len - 32) & 63;

	return (__u32)(hi << shift) | (__u32)((lo & BELOW_U) >> ((56 - shift) & 63));
}

/* What is known of an IPv4 address (enum range_word); 0: nothing. A function of its own, as are
 * those below, so that the verifier walks it once. */
__noinline int range_of(__u32 slot, __u32 v4)
{
	void *map = bpf_map_lookup_elem(&ranges, &slot);
	__u32 number = v4 >> 24;

	if (!map)
		return 0;

#pragma clang loop unroll(full)
	for (int shift = 16; shift >= 0; shift -= 8) {
		struct range_block *block = bpf_map_lookup_elem(map, &number);

		if (!block)
			return 0;

		__u32 word = block->words[(v4 >> shift) & 0xff];

		if (!(word & RANGE_BLOCK))
			return word;
		number = word & ~RANGE_BLOCK;
	}
	return 0;
}

/* Is an address's form under a pool6 prefix left to routing? */
static __always_inline bool range_is_native(__u32 slot, __u32 word, __u32 index)
{
	__u32 set = (word & RANGE_NATIVE_MASK) >> RANGE_NATIVE_SHIFT, number = RANGE_NATIVE_SETS;
	void *map = set ? bpf_map_lookup_elem(&ranges, &slot) : NULL;

	if (!map)
		return false;

	struct range_block *sets = bpf_map_lookup_elem(map, &number);
	__u32 place = set * 2 + (index >> 5 & 1);

	barrier_var(place); /* the mask, as in prefix_at() */
	return sets && sets->words[place & 0xff] >> (index & 31) & 1;
}

/* Index of the prefix that serves an address, or MAX_PREFIXES. */
static __always_inline __u32 range_server(__u32 word)
{
	__u32 served = word & RANGE_SERVED_MASK;

	return served && served <= MAX_PREFIXES ? served - 1 : MAX_PREFIXES;
}

static __always_inline struct prefix *prefix_at(struct gateway *gw, __u32 index)
{
	barrier_var(index); /* Linux 6.1 wants to see the mask, even where it can change nothing */
	return &gw->prefixes[index & (MAX_PREFIXES - 1)];
}

/* 64:ff9b::/96 stands for global addresses only (RFC 6052 3.1). */
static __always_inline bool range_breaks_well_known(const struct prefix *px, __u32 word)
{
	return px->flags & PREFIX_WELL_KNOWN && word & RANGE_NOT_GLOBAL;
}

/* How many bits are set. */
static __always_inline __u32 ones_in(__u64 bits)
{
	bits -= bits >> 1 & 0x5555555555555555ULL;
	bits = (bits & 0x3333333333333333ULL) + (bits >> 2 & 0x3333333333333333ULL);
	bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return bits * 0x0101010101010101ULL >> 56;
}

static __always_inline __u64 mask64(__u32 bits)
{
	return bits == 0 ? 0 : ~0ULL << ((64 - bits) & 63);
}

/* Does a restricted prefix let this source in? */
__noinline int source_is_in(__u32 slot, __u32 index, __u32 v4)
{
	__u32 place = slot * MAX_PREFIXES + index, number = 0;
	void *map = bpf_map_lookup_elem(&sources, &place);

	if (!map)
		return 0;
#pragma clang loop unroll(full)
	for (int shift = 24; shift >= 0; shift -= 8) {
		struct source_node *node = bpf_map_lookup_elem(map, &number);
		__u32 part = v4 >> shift & 0xff, word = part >> 6;
		__u64 bit = 1ULL << (part & 63);

		if (!node)
			return 0;
		if (!(node->child[word] & bit))
			return !!(node->let_in[word] & bit);
		number = node->first[word] + ones_in(node->child[word] & (bit - 1));
	}
	return 0;
}

/*
 * Explicit address mappings (RFC 7757 3.2, 3.3): the longest match; behind the prefixes the suffix
 * is copied, and zeros are padded or bits cut at its end. Functions of their own, so that the
 * verifier reads each loop once.
 */

enum eam_result {
	EAM_MISS,
	EAM_INSIDE_HIT,
	EAM_REMOTE_HIT,
};

/* IPv4 to IPv6: enum eam_result and, on a hit, *out. */
__noinline int eam4_map(const struct gateway *gw, __u32 slot, __u32 v4, struct addr *out)
{
	void *map = bpf_map_lookup_elem(&eam4, &slot);

	if (!gw || !map || !out)
		return EAM_MISS;
	for (__u32 i = 0; i < MAX_EAM_LENGTHS; i++) {
		if (i >= gw->eam4_lens_count)
			return EAM_MISS;

		__u32 len = gw->eam4_lens[i];
		struct eam4_key key = { .len = len, .addr = bpf_htonl(v4 & (mask64(len) >> 32)) };
		struct eam *eam = bpf_map_lookup_elem(map, &key);

		if (!eam)
			continue;

		if (dry_run)
			note_eam(eam);

		/* The suffix, its first bit as bit 63; a host mapping has none. */
		__u64 suffix = len < 32 ? (__u64)v4 << (32 + (len & 31)) : 0;
		__u32 len6 = eam->len6;
		__u64 hi = len6 < 64 ? suffix >> (len6 & 63) : 0;
		__u64 lo = len6 < 64 ? (len6 ? suffix << ((64 - len6) & 63) : 0)
				     : suffix >> (len6 & 63);

		if (len6 == 128)
			lo = 0;
		out->hi = eam->addr6.hi | bpf_cpu_to_be64(hi);
		out->lo = eam->addr6.lo | bpf_cpu_to_be64(lo);
		return eam->flags & EAM_REMOTE ? EAM_REMOTE_HIT : EAM_INSIDE_HIT;
	}
	return EAM_MISS;
}

/* What stands behind an address's first `len` bits, its first bit as bit 31. */
static __always_inline __u32 suffix_of(const struct addr *a, __u32 len)
{
	__u64 hi = bpf_be64_to_cpu(a->hi), lo = bpf_be64_to_cpu(a->lo);

	if (len >= 128)
		return 0;
	if (len >= 64)
		return lo << (len & 63) >> 32;
	return (hi << (len & 63) | (len ? lo >> ((64 - len) & 63) : 0)) >> 32;
}

/* IPv6 to IPv4: enum eam_result and, on a hit, *v4. */
__noinline int eam6_map(const struct gateway *gw, __u32 slot, const struct addr *a, __u32 *v4)
{
	void *map = bpf_map_lookup_elem(&eam6, &slot);

	if (!gw || !map || !a || !v4)
		return EAM_MISS;
	for (__u32 i = 0; i < MAX_EAM_LENGTHS; i++) {
		if (i >= gw->eam6_lens_count)
			return EAM_MISS;

		struct eam6_key key = { .len = gw->eam6_lens[i] };

		key.addr.hi = a->hi & bpf_cpu_to_be64(key.len < 64 ? mask64(key.len) : ~0ULL);
		key.addr.lo = a->lo & bpf_cpu_to_be64(key.len > 64 ? mask64(key.len - 64) : 0);

		struct eam *eam = bpf_map_lookup_elem(map, &key);

		if (!eam)
			continue;
		if (dry_run)
			note_eam(eam);
		*v4 = bpf_ntohl(eam->addr4);
		if (eam->len4 < 32)
			*v4 |= suffix_of(a, eam->len6) >> (eam->len4 & 31);
		return eam->flags & EAM_REMOTE ? EAM_REMOTE_HIT : EAM_INSIDE_HIT;
	}
	return EAM_MISS;
}

/* Index of the longest matching pool6 prefix, or MAX_PREFIXES. */
__noinline int pool6_find(const struct gateway *gw, const struct addr *a)
{
	if (!gw || !a)
		return MAX_PREFIXES;
	for (__u32 i = 0; i < MAX_PREFIXES; i++) {
		if (i >= gw->prefix_count)
			break;

		const struct prefix *px = &gw->prefixes[i];

		if ((((a->hi ^ px->addr.hi) & px->mask.hi) |
		     ((a->lo ^ px->addr.lo) & px->mask.lo)) == 0)
			return i;
	}
	return MAX_PREFIXES;
}

#endif
