// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Fills a ring: Eisenbud et al., "Maglev", NSDI 2016, section 3.4; src/sixlane/rfc/maglev.py says
 * the same at length, weights among it. One caller at a time. The ring is an extent that no packet
 * looks at, until it is filled.
 */
#ifndef SIXLANE_MAGLEV_H
#define SIXLANE_MAGLEV_H

#include "sixlane/flow.h"

static __always_inline void ring_go_on(struct ring_build *b, __u32 member)
{
	b->member = member;
	if (member >= b->members)
		b->member = b->behind = 0; /* the next round */
}

/* Entries that a member looks at in a step, at most. With one, a ring takes three times as long. */
#define RING_LOOKS 4

/* The next entry that a member wants, in `at`, and the word that tells whether it is taken. */
static __always_inline __u64 *ring_next(struct ring_member *m, __u32 size, __u32 *at)
{
	__u32 next = m->at + m->skip, word = m->at / 64;

	*at = m->at;
	m->at = next < size ? next : next - size;
	return *at < size ? bpf_map_lookup_elem(&ring_taken, &word) : NULL;
}

/* One word is cleared, or the members of one weight have no turn, or one member looks for a free
 * entry. No more than that in a step: what a call takes is bounded by its steps. */
static long ring_step(__u32 i, void *data)
{
	struct ring_build *b = data;
	__u32 member = b->member, at = 0, place;
	__u64 *taken = NULL;

	if (b->cleared * 64 < b->size) {
		taken = bpf_map_lookup_elem(&ring_taken, &b->cleared);
		if (!taken)
			goto refused;
		*taken = 0;
		b->cleared++;
		return 0;
	}

	struct ring_member *m = bpf_map_lookup_elem(&ring_members, &member);

	if (!m)
		goto refused;
	if (member == b->behind) { /* the first of its weight */
		b->behind = m->behind;
		m->credit += m->weight;
		if (m->credit < b->largest_weight) {
			ring_go_on(b, m->behind);
			return 0;
		}
		m->credit -= b->largest_weight;
	}
#pragma clang loop unroll(full)
	for (__u32 looks = 1;; looks++) {
		taken = ring_next(m, b->size, &at);
		if (!taken)
			goto refused;
		if (!(*taken >> (at & 63) & 1))
			break;
		if (looks == RING_LOOKS)
			return 0;
	}
	place = b->first + at;

	__u32 *entry = bpf_map_lookup_elem(&rings, &place);

	if (!entry)
		goto refused;
	*taken |= 1ULL << (at & 63);
	*entry = m->backend;
	ring_go_on(b, member + 1);
	return ++b->filled == b->size;
refused:
	b->result = RING_REFUSED;
	return 1;
}

/* From now on flows may be its own: what is remembered of earlier ones is of whoever had its number
 * before. */
static long member_begins(__u32 i, void *data)
{
	struct ring_member *m = bpf_map_lookup_elem(&ring_members, &i);
	__u32 id = m ? m->backend : 0;
	struct backend *b = bpf_map_lookup_elem(&backends, &id);

	if (b && b->since_tick == BACKEND_NOT_YET)
		*(volatile __u32 *)&b->since_tick = flow_tick();
	return 0;
}

/* In force by a single store: packets see the former ring, or all of this one. */
static __always_inline void ring_publish(struct ring_build *b)
{
	struct service_ring *ring = bpf_map_lookup_elem(&service_rings, &b->service);

	if (!ring) {
		b->result = RING_REFUSED;
		return;
	}
	bpf_loop(b->members, member_begins, NULL, 0);
	*(volatile __u64 *)&ring->digest = b->digest;
	b->replaced = __sync_lock_test_and_set(&ring->place, (__u64)b->first << 32 | b->size);
}

static __always_inline void ring_build(struct ring_build *b)
{
	__s32 steps = 1; /* an error of a loop that the verifier has inlined has 32 bits */

	b->result = RING_UNFINISHED;
	if (b->first + b->size < b->first)
		steps = 0;
	else if (b->filled < b->size)
		steps = bpf_loop(b->steps, ring_step, b, 0);
	if (steps <= 0)
		b->result = RING_REFUSED;
	if (b->result || b->filled < b->size)
		return;
	b->result = RING_BUILT;
	if (b->publish)
		ring_publish(b);
}

#endif
