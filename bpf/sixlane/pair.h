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

/* The ends of a packet, as they stand in a pair: of a session with ports and protocol, else
 * without. */
struct ends {
	const struct addr *src;
	const struct addr *dst;
	__u64 to_and_from;
	__be16 dst_port;
	__u8 protocol;
};

static __always_inline struct ends ends_of(const struct pkt *p, __u64 own_mac)
{
	return (struct ends){ .src = &p->src, .dst = &p->dst, .to_and_from = own_mac };
}

static __always_inline struct ends ends_of_session(const struct pkt *p, __u64 own_mac,
						   __be16 src_port, __be16 dst_port)
{
	return (struct ends){ .src = &p->src,
			      .dst = &p->dst,
			      .to_and_from = own_mac | (__u64)src_port << 48,
			      .dst_port = dst_port,
			      .protocol = p->proto };
}

/* Where a pair may be: number of the set among those of a CPU, and what tells it there from most
 * others, never 0. */
struct pair_place {
	__u32 set;
	__u32 tag;
};

/* Networks have addresses that follow each other, often on both sides at once: the shift keeps
 * steps of one from being those of the other. */
static __always_inline struct pair_place pair_place(const struct ends *e)
{
	__u64 mixed = spread(addr_both(e->src));

	mixed ^= mixed >> 32;
	mixed += addr_both(e->dst);
	if (e->protocol)
		mixed += (__u64)e->dst_port << 16 | e->to_and_from >> 48;
	mixed = spread(mixed);
	return (struct pair_place){ .set = mixed >> (64 - PAIR_SET_BITS),
				    .tag = mixed >> (32 - PAIR_SET_BITS) | 1 };
}

/* Of this CPU. */
static __always_inline __u32 pair_set(const struct pair_place *place)
{
	return (bpf_get_smp_processor_id() << PAIR_SET_BITS) + place->set;
}

static __always_inline bool pair_is(const struct pair *pair, const struct ends *e)
{
	return ((pair->src.hi ^ e->src->hi) | (pair->src.lo ^ e->src->lo) |
		(pair->dst.hi ^ e->dst->hi) | (pair->dst.lo ^ e->dst->lo) |
		(pair->to_and_from ^ e->to_and_from) | (pair->dst_port ^ e->dst_port) |
		(pair->protocol ^ e->protocol)) == 0;
}

/* Whether a pair is what the tables and the FIB would say. */
static __always_inline bool pair_holds(const struct pair *pair, __u32 generation, __u32 epoch)
{
	return pair->expires_jiffies > bpf_jiffies64() && pair->generation == generation &&
	       pair->epoch == epoch;
}

static __always_inline struct pair *pair_find(const struct ends *e, __u32 generation)
{
	struct pair_place place = pair_place(e);
	__u32 zero = 0, set = pair_set(&place);
	struct pair_tags *tags = bpf_map_lookup_elem(&pair_tags, &set);
	__u32 *epoch = bpf_map_lookup_elem(&next_hop_epoch, &zero);

	if (!tags || !epoch)
		return NULL;
#pragma clang loop unroll(full)
	for (__u32 way = 0; way < PAIR_WAYS; way++) {
		__u32 slot = set * PAIR_WAYS + way;
		struct pair *pair =
			tags->tags[way] == place.tag ? bpf_map_lookup_elem(&pairs, &slot) : NULL;

		if (pair && pair_is(pair, e))
			return pair_holds(pair, generation, *epoch) ? pair : NULL;
	}
	return NULL;
}

/* How often others ask for a set that is full, before one of its pairs gives way: among more flows
 * than places, to write pairs that nobody finds again costs more than it gains. */
#define KNOCKS 8

/* The place for a pair in its set: its own, else a free one, else either; PAIR_WAYS: none. */
static __always_inline __u32 pair_way(struct pair_tags *tags, __u32 tag)
{
	if (tags->tags[0] == tag || !tags->tags[0])
		return 0;
	if (tags->tags[1] == tag || !tags->tags[1])
		return 1;
	tags->knocks++;
	return tags->knocks % KNOCKS ? PAIR_WAYS : tags->knocks / KNOCKS % PAIR_WAYS;
}

static __always_inline struct pair *pair_slot(const struct ends *e)
{
	struct pair_place place = pair_place(e);
	__u32 set = pair_set(&place);
	struct pair_tags *tags = bpf_map_lookup_elem(&pair_tags, &set);
	__u32 way = tags ? pair_way(tags, place.tag) : PAIR_WAYS, slot = set * PAIR_WAYS + way;

	if (!tags || way >= PAIR_WAYS)
		return NULL;
	tags->tags[way & (PAIR_WAYS - 1)] = place.tag;
	return bpf_map_lookup_elem(&pairs, &slot);
}

/* A function of its own, as few packets come here. `own_mac`: of ctx_own_mac(). */
__noinline int remember(__u64 own_mac, __u32 generation, const struct pkt *p,
			const struct mapping *m, const struct next_hop *next)
{
	__u64 now = bpf_jiffies64();

	if (!p || !m || !next || next->expires_jiffies <= now)
		return -1;

	struct ends e = m->stateful ? ends_of_session(p, own_mac, m->src_port, m->dst_port)
				    : ends_of(p, own_mac);
	struct pair *pair = pair_slot(&e);

	if (!pair)
		return -1;
	pair->src = p->src;
	pair->dst = p->dst;
	pair->to_and_from = e.to_and_from;
	pair->dst_port = e.dst_port;
	pair->protocol = e.protocol;
	pair->prefix = m->prefix;
	pair->generation = generation;
	pair->expires_jiffies = next->expires_jiffies;
	pair->new_src = m->src;
	pair->new_dst = m->dst;
	pair->hop = next->hop;
	pair->hop.by_kernel = 0;
	pair->epoch = next->epoch;
	pair->sum = csum_fold(m->sum);
	pair->counter_prefix = p->counter_prefix;
	pair->new_port = m->new_port;
	pair->ipv4_id = bpf_get_prandom_u32();
	return 0;
}

/* Of a session's flow in one direction; own values, as other frames read them. */
struct forgotten {
	struct addr src;
	struct addr dst;
	__u32 set; /* of each CPU's */
	__be16 src_port;
	__be16 dst_port;
};

static long pair_forget_on(__u32 cpu, void *data)
{
	const struct forgotten *f = data;

	for (__u32 way = 0; way < PAIR_WAYS; way++) {
		__u32 slot = cpu * PAIR_SLOTS + f->set * PAIR_WAYS + way;
		struct pair *pair = bpf_map_lookup_elem(&pairs, &slot);

		if (!pair)
			return 1; /* there are no more CPUs */
		if (pair->protocol == IPPROTO_TCP && pair->src.hi == f->src.hi &&
		    pair->src.lo == f->src.lo && pair->dst.hi == f->dst.hi &&
		    pair->dst.lo == f->dst.lo && pair->dst_port == f->dst_port &&
		    (__be16)(pair->to_and_from >> 48) == f->src_port)
			pair->expires_jiffies = 0;
	}
	return 0;
}

#define CPUS_MAX 8192

/* Has no CPU remember a flow of TCP, whichever device it comes in by. A function of its own, as it
 * is rare. */
__noinline int pair_forget(const struct addr *src, const struct addr *dst, __be16 src_port,
			   __be16 dst_port)
{
	if (!src || !dst)
		return -1;

	struct ends e = { .src = src,
			  .dst = dst,
			  .to_and_from = (__u64)src_port << 48,
			  .dst_port = dst_port,
			  .protocol = IPPROTO_TCP };
	struct forgotten f = { .src = *src,
			       .dst = *dst,
			       .set = pair_place(&e).set,
			       .src_port = src_port,
			       .dst_port = dst_port };

	bpf_loop(CPUS_MAX, pair_forget_on, &f, 0);
	return 0;
}

#endif
