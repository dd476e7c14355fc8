// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Time, counts that end, and free slots of arrays: what several CPUs do to one word at once. No
 * lock; a few tries, and then it is as if there was no room. What is given back needs one alone.
 */
#ifndef SIXLANE_SLOTS_H
#define SIXLANE_SLOTS_H

#include "sixlane/config.h"
#include "sixlane/maps.h"

#define TRIES 4

/* Jiffies, and what tests add. */
static __always_inline __u64 now(void)
{
	__u32 zero = 0;
	__u64 *offset = bpf_map_lookup_elem(&clock_offset, &zero);

	return bpf_jiffies64() + (offset ? *offset : 0);
}

static __always_inline bool swap32(__u32 *word, __u32 from, __u32 to)
{
	return __sync_val_compare_and_swap(word, from, to) == from;
}

static __always_inline bool swap64(__u64 *word, __u64 from, __u64 to)
{
	return __sync_val_compare_and_swap(word, from, to) == from;
}

/* One more, unless the count has ended, lacks the mark `given`, or is `most`. A function of its
 * own, as are those below: the verifier walks each way out of a loop to the end. With `dry_run`
 * nothing is taken, here and below; the answer is what it would be. */
__noinline int count_up(__u32 *word, __u32 given, __u32 most)
{
	if (!word)
		return false;
	for (int i = 0; i < TRIES; i++) {
		__u32 seen = *(volatile __u32 *)word;

		if (seen & GONE || (seen & ~given) >= most)
			return false;
		if (dry_run)
			return true;
		if ((seen & given) != given)
			return false;
		if (swap32(word, seen, seen + 1))
			return true;
	}
	return false;
}

/* One less; true: it was the last one and the count has ended, so that who asks removes what it
 * counts. */
static __always_inline bool count_down(__u32 *word)
{
	return __sync_fetch_and_sub(word, 1) == 1 && swap32(word, 0, GONE);
}

#define NO_SLOT 0xffffffffU

static __always_inline __u32 *slot_next(void *records, __u32 slot, const __u32 next_offset)
{
	void *record = bpf_map_lookup_elem(records, &slot);

	return record ? record + next_offset : NULL;
}

/* The beginning of a list. Its number tells it from one that had the same beginning before. */
static __always_inline __u64 slots_begin(struct slots *slots, __u32 link)
{
	return __sync_fetch_and_add(&slots->changes, 1) << 32 | link;
}

static __always_inline struct slots *slots_of(__u32 which)
{
	__u32 zero = 0;

	return which == SLOTS_FLOWS ? bpf_map_lookup_elem(&flow_slots, &zero)
				    : bpf_map_lookup_elem(&free_slots, &which);
}

/* A free slot of an array, or NO_SLOT. `next_offset`: of that field in its records. */
static __always_inline __u32 slot_take(void *records, __u32 which, const __u32 next_offset)
{
	struct slots *slots = slots_of(which);

	if (!slots)
		return NO_SLOT;
	for (int i = 0; i < TRIES; i++) {
		__u64 seen = *(volatile __u64 *)&slots->freed;
		__u32 slot = (__u32)seen - 1;
		__u32 *next = (__u32)seen ? slot_next(records, slot, next_offset) : NULL;
		__u32 link = next ? *(volatile __u32 *)next : NO_SLOT;

		if (link == NO_SLOT)
			break;
		if (dry_run || swap64(&slots->freed, seen, slots_begin(slots, link)))
			return slot;
	}
	__u32 slot = *(volatile __u64 *)&slots->fresh;

	if (!slot_next(records, slot, next_offset))
		return NO_SLOT;
	if (!dry_run)
		slot = __sync_fetch_and_add(&slots->fresh, 1);

	return slot_next(records, slot, next_offset) ? slot : NO_SLOT;
}

/* The other way. The slot is put before whatever is there, which cannot fail, and linked with it
 * then: until that is done, nobody takes it. */
static __always_inline void slot_put(__u32 which, __u32 slot, __u32 *next)
{
	struct slots *slots = slots_of(which);

	if (!slots || !next)
		return;
	*(volatile __u32 *)next = NO_SLOT;
	*(volatile __u32 *)next =
		(__u32)__sync_lock_test_and_set(&slots->freed, slots_begin(slots, slot + 1));
}

__noinline int session_slot_take(void)
{
	return slot_take(&sessions, SLOTS_SESSIONS, offsetof(struct session, next));
}

__noinline int binding_slot_take(void)
{
	return slot_take(&bindings, SLOTS_BINDINGS, offsetof(struct binding, next));
}

__noinline int flow_slot_take(void)
{
	return slot_take(&nat_flows, SLOTS_FLOWS, offsetof(struct nat_flow, next));
}

__noinline int slot_give(__u32 which, __u32 slot, __u32 *next)
{
	slot_put(which, slot, next);
	return 0;
}

#endif
