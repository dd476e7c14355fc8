// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What is remembered of packets between two addresses (`pairs`): the translation and the next hop.
 * Whatever depends on anything else, a packet decides for itself. Void with the generation, with
 * the next hop's epoch, and after a second.
 */
#ifndef SIXLANE_PAIR_H
#define SIXLANE_PAIR_H

#include "sixlane/fib.h"
#include "sixlane/xlat.h"

#define PAIR_SET_BITS 13
_Static_assert(PAIR_WAYS << PAIR_SET_BITS == PAIR_SLOTS, "a set for each hash");
_Static_assert(sizeof(struct pair) == 128, "two cache lines");

/* Index of the first slot of a set. Networks have addresses that follow each other, often on both
 * sides at once: the shift keeps steps of one from being those of the other. */
static __always_inline __u32 pair_set(const struct addr *src, const struct addr *dst)
{
	__u64 mixed =
		(bpf_be64_to_cpu(src->lo) + bpf_be64_to_cpu(src->hi) * 0xc2b2ae3d27d4eb4fULL) *
		0x9e3779b97f4a7c15ULL;

	mixed ^= mixed >> 32;
	mixed += bpf_be64_to_cpu(dst->lo) + bpf_be64_to_cpu(dst->hi) * 0xc2b2ae3d27d4eb4fULL;
	mixed *= 0x9e3779b97f4a7c15ULL;
	return bpf_get_smp_processor_id() * PAIR_SLOTS +
	       (mixed >> (64 - PAIR_SET_BITS)) * PAIR_WAYS;
}

static __always_inline bool pair_is(const struct pair *pair, const struct addr *src,
				    const struct addr *dst)
{
	return ((pair->src.hi ^ src->hi) | (pair->src.lo ^ src->lo) | (pair->dst.hi ^ dst->hi) |
		(pair->dst.lo ^ dst->lo)) == 0;
}

/* Whether a pair is what the tables and the FIB would say. */
static __always_inline bool pair_holds(const struct pair *pair, __u32 generation, __u32 epoch)
{
	return pair->expires_jiffies > bpf_jiffies64() && pair->generation == generation &&
	       pair->epoch == epoch;
}

static __always_inline struct pair *pair_find(const struct addr *src, const struct addr *dst,
					      __u32 generation)
{
	__u32 zero = 0, set = pair_set(src, dst);
	__u32 *epoch = bpf_map_lookup_elem(&next_hop_epoch, &zero);

	if (!epoch)
		return NULL;
#pragma clang loop unroll(full)
	for (__u32 way = 0; way < PAIR_WAYS; way++) {
		__u32 slot = set + way;
		struct pair *pair = bpf_map_lookup_elem(&pairs, &slot);

		if (pair && pair_is(pair, src, dst))
			return pair_holds(pair, generation, *epoch) ? pair : NULL;
	}
	return NULL;
}

/* The slot for a pair: its own, else a free one, else either. */
static __always_inline struct pair *pair_slot(const struct addr *src, const struct addr *dst,
					      __u64 now)
{
	__u32 slot = pair_set(src, dst), other = slot + 1;
	struct pair *first = bpf_map_lookup_elem(&pairs, &slot);
	struct pair *second = bpf_map_lookup_elem(&pairs, &other);

	if (!first || !second || pair_is(first, src, dst))
		return first;
	if (pair_is(second, src, dst) || second->expires_jiffies <= now)
		return second;
	return first->expires_jiffies <= now || now & 1 ? first : second;
}

/* A function of its own, as few packets come here. `own_mac`: of ctx_own_mac(). */
__noinline int remember(__u64 own_mac, __u32 generation, const struct pkt *p,
			const struct mapping *m, const struct next_hop *next)
{
	__u64 now = bpf_jiffies64();
	struct pair *pair = p ? pair_slot(&p->src, &p->dst, now) : NULL;

	if (!pair || !m || !next || next->expires_jiffies <= now)
		return -1;
	pair->src = p->src;
	pair->dst = p->dst;
	pair->expires_jiffies = next->expires_jiffies;
	pair->own_mac = own_mac;
	pair->generation = generation;
	pair->epoch = next->epoch;
	pair->sum = m->sum;
	pair->prefix = m->prefix;
	pair->ipv4_id = bpf_get_prandom_u32();
	pair->new_src = m->src;
	pair->new_dst = m->dst;
	pair->hop = next->hop;
	pair->hop.by_kernel = 0;
	pair->counter_prefix = p->counter_prefix;
	return 0;
}

#endif
