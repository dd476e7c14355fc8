// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * From a key to the record that has it: sets of seven cells, a cache line each, and two sets for
 * each key. A cell is the key's tag and the record's slot + 1; the key itself is in the record, so
 * to find one costs two lines of memory and no call.
 *
 * No lock. Who adds a record puts its cell first and then looks for another of the same key; of two
 * that do so at once, each sees the other, or one sees the other alone. A record that is being
 * added is not alive yet, which is how they tell who was first.
 */
#ifndef SIXLANE_INDEX_H
#define SIXLANE_INDEX_H

#include "sixlane/slots.h"

/* Free cells of a set below which a key's other one is looked at: most keys are in their first. */
#define INDEX_ROOM 3

/* How often a CPU looks whether another one that adds the same key has made up its mind. */
#define INDEX_WAITS 64

enum index {
	INDEX_SESSIONS6,
	INDEX_SESSIONS4,
	INDEX_BINDINGS6,
	INDEX_FLOWS_IN,
	INDEX_FLOWS_BACK,
};

/* Of services, whose tables are made anew by themselves. */
static __always_inline bool index_is_of_flows(const enum index which)
{
	return which == INDEX_FLOWS_IN || which == INDEX_FLOWS_BACK;
}

/* Where a key may be. */
struct index_place {
	__u32 sets[2];
	__u32 tag;
};

static __always_inline void *index_map(const enum index which)
{
	return which == INDEX_SESSIONS6	  ? (void *)&sessions6
	       : which == INDEX_SESSIONS4 ? (void *)&sessions4
	       : which == INDEX_BINDINGS6 ? (void *)&bindings6
	       : which == INDEX_FLOWS_IN  ? (void *)&flows_in
					  : (void *)&flows_back;
}

/*
 * NH of UMAC (RFC 4418 5.2.2), which nobody can choose keys for who does not know the secret; then
 * bits are mixed, as a set's number is made of some of them.
 */
static __always_inline bool index_place(const enum index which, const void *key, const __u32 bytes,
					struct index_place *place)
{
	const __u32 *words = key;
	__u32 zero = 0, mask = ((struct bpf_map *)index_map(which))->max_entries - 1;
	struct index_secret *secret = bpf_map_lookup_elem(
		index_is_of_flows(which) ? (void *)&flow_secrets : (void *)&index_secrets, &zero);
	__u64 hash = 0;

	if (!secret)
		return false;
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < bytes / 4; i += 2)
		hash += (__u64)(words[i] + secret->words[i]) *
			(__u32)(words[i + 1] + secret->words[i + 1]);
	hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15ULL;
	hash = (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9ULL;
	place->tag = hash >> 32;
	place->sets[0] = hash & mask;
	place->sets[1] = (place->sets[0] ^ (place->tag * 0x5bd1e995U >> 7 | 1)) & mask;
	return true;
}

static __always_inline __u64 index_cell(const struct index_place *place, __u32 slot)
{
	return (__u64)place->tag << 32 | (slot + 1);
}

static __always_inline bool session_is6(const struct session *s, const struct session6_key *key)
{
	return ((s->inside.hi ^ key->inside.hi) | (s->inside.lo ^ key->inside.lo) |
		(s->remote ^ key->remote) | (s->inside_port ^ key->inside_port) |
		(s->remote_port ^ key->remote_port) | (s->protocol ^ key->protocol) |
		(s->prefix ^ key->prefix)) == 0;
}

static __always_inline bool session_is4(const struct session *s, const struct session4_key *key)
{
	return ((s->pool ^ key->pool) | (s->remote ^ key->remote) |
		(s->pool_port ^ key->pool_port) | (s->remote_port ^ key->remote_port) |
		(s->protocol ^ key->protocol)) == 0;
}

static __always_inline bool binding_is6(const struct binding *b, const struct binding6_key *key)
{
	return ((b->inside.hi ^ key->inside.hi) | (b->inside.lo ^ key->inside.lo) |
		(b->inside_port ^ key->inside_port) | (b->protocol ^ key->protocol)) == 0;
}

static __always_inline bool flow_is_in(const struct nat_flow *f, const struct flow_in_key *key)
{
	return ((f->client.hi ^ key->client.hi) | (f->client.lo ^ key->client.lo) |
		(f->frontend ^ key->frontend) | (f->client_port ^ key->client_port)) == 0;
}

static __always_inline bool flow_is_back(const struct nat_flow *f, const struct flow_back_key *key)
{
	return ((f->backend.hi ^ key->backend.hi) | (f->backend.lo ^ key->backend.lo) |
		(f->source.hi ^ key->source.hi) | (f->source.lo ^ key->source.lo) |
		(f->backend_port ^ key->backend_port) | (f->source_port ^ key->source_port) |
		(f->protocol ^ key->protocol)) == 0;
}

enum index_match {
	INDEX_OTHER,
	INDEX_ADDED, /* it has the key, and is not alive yet */
	INDEX_ALIVE,
};

static __always_inline enum index_match index_match_word(__u64 word)
{
	return word == SESSION_ADDED ? INDEX_ADDED : word ? INDEX_ALIVE : INDEX_OTHER;
}

/* What a record is to a key. One that is being taken out is nothing to it any more: who adds the
 * key need not wait. */
static __always_inline enum index_match index_match(const enum index which, __u32 slot,
						    const void *key)
{
	if (which == INDEX_BINDINGS6) {
		struct binding *b = bpf_map_lookup_elem(&bindings, &slot);

		if (!b || !binding_is6(b, key))
			return INDEX_OTHER;

		__u32 count = *(volatile __u32 *)&b->sessions;

		return count == (__u32)ADDED ? INDEX_ADDED
		       : count & GONE	     ? INDEX_OTHER
					     : INDEX_ALIVE;
	}

	if (index_is_of_flows(which)) {
		struct nat_flow *f = bpf_map_lookup_elem(&nat_flows, &slot);

		if (!f || !(which == INDEX_FLOWS_IN ? flow_is_in(f, key) : flow_is_back(f, key)))
			return INDEX_OTHER;
		return index_match_word(*(volatile __u64 *)&f->word);
	}

	struct session *s = bpf_map_lookup_elem(&sessions, &slot);

	if (!s || !(which == INDEX_SESSIONS6 ? session_is6(s, key) : session_is4(s, key)))
		return INDEX_OTHER;
	return index_match_word(*(volatile __u64 *)&s->word);
}

static __always_inline struct index_set *index_set(const enum index which, __u32 set)
{
	return bpf_map_lookup_elem(index_map(which), &set);
}

/* Which cells have that tag, and which are free, a bit each. No branches: the verifier would follow
 * each way through them. */
static __always_inline __u32 index_tagged(const struct index_set *set, __u32 tag)
{
	__u32 mask = 0;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < INDEX_CELLS; i++) {
		__u64 differs = *(volatile __u64 *)&set->cells[i] >> 32 ^ tag;

		mask |= (differs - 1) >> 63 << i;
	}
	return mask;
}

static __always_inline __u32 index_free(const struct index_set *set)
{
	__u32 mask = 0;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < INDEX_CELLS; i++) {
		__u64 slot = (__u32) * (volatile __u64 *)&set->cells[i];

		mask |= (slot - 1) >> 63 << i;
	}
	return mask;
}

static __always_inline __u32 bits_of_8(__u32 mask)
{
	mask = (mask & 0x55) + (mask >> 1 & 0x55);
	mask = (mask & 0x33) + (mask >> 2 & 0x33);
	return (mask & 0xf) + (mask >> 4);
}

/* Number of the lowest of eight bits that is set. */
static __always_inline __u32 lowest_of_8(__u32 mask)
{
	__u32 number = bits_of_8((mask & -mask) - 1);

	return number < INDEX_CELLS ? number : 0;
}

/* The slot of the record with that key, or NO_SLOT. */
static __always_inline __u32 index_find(const enum index which, const void *key, const __u32 bytes)
{
	struct index_place place;

	if (!index_place(which, key, bytes, &place))
		return NO_SLOT;
	for (int n = 0; n < 2; n++) {
		struct index_set *set = index_set(which, place.sets[n & 1]);
		__u32 mask = set ? index_tagged(set, place.tag) : 0;

		for (int i = 0; set && mask && i < INDEX_CELLS; i++, mask &= mask - 1) {
			__u32 slot = (__u32)set->cells[lowest_of_8(mask)] - 1;

			if (index_match(which, slot, key))
				return slot;
		}
		if (!set || !*(volatile __u64 *)&set->elsewhere)
			break;
	}
	return NO_SLOT;
}

static __always_inline bool index_claim(struct index_set *set, __u64 cell)
{
	for (int i = 0; i < TRIES; i++) {
		__u32 mask = index_free(set);

		if (!mask)
			return false;
		if (swap64(&set->cells[lowest_of_8(mask)], 0, cell))
			return true;
	}
	return false;
}

static __always_inline bool index_clear(struct index_set *set, __u64 cell)
{
	__u32 mask = set ? index_tagged(set, cell >> 32) : 0;

	for (int i = 0; set && mask && i < INDEX_CELLS; i++, mask &= mask - 1)
		if (swap64(&set->cells[lowest_of_8(mask)], cell, 0))
			return true;
	return false;
}

/* Takes a record's cell out, wherever it is. */
static __always_inline void index_remove(const enum index which, const void *key, const __u32 bytes,
					 __u32 slot)
{
	struct index_place place;

	if (!index_place(which, key, bytes, &place))
		return;

	__u64 cell = index_cell(&place, slot);
	struct index_set *first = index_set(which, place.sets[0]);

	if (!index_clear(first, cell) && index_clear(index_set(which, place.sets[1]), cell) &&
	    first)
		__sync_fetch_and_sub(&first->elsewhere, 1);
}

enum index_rival {
	INDEX_FIRST,	 /* no other record has the key */
	INDEX_SECOND,	 /* one does that is alive, or is being added from a lower slot */
	INDEX_UNDECIDED, /* one is being added from a higher slot: it goes, or becomes alive */
};

/* Who else has the key of the record in `slot`. */
static __always_inline enum index_rival index_rival(const enum index which, const void *key,
						    const __u32 bytes, __u32 slot)
{
	struct index_place place;
	enum index_rival found = INDEX_FIRST;

	if (!index_place(which, key, bytes, &place))
		return INDEX_SECOND;
	for (int n = 0; n < 2; n++) {
		struct index_set *set = index_set(which, place.sets[n & 1]);
		__u32 mask = set ? index_tagged(set, place.tag) : 0;

		for (int i = 0; set && mask && i < INDEX_CELLS; i++, mask &= mask - 1) {
			__u32 other = (__u32)set->cells[lowest_of_8(mask)] - 1;

			if (other == slot)
				continue;

			enum index_match match = index_match(which, other, key);

			if (match == INDEX_ALIVE || (match == INDEX_ADDED && other < slot))
				return INDEX_SECOND;
			if (match == INDEX_ADDED)
				found = INDEX_UNDECIDED;
		}
		if (!set || !*(volatile __u64 *)&set->elsewhere)
			break;
	}
	return found;
}

/* Puts a record's cell; false: there is no room. */
static __always_inline bool index_put(const enum index which, const void *key, const __u32 bytes,
				      __u32 slot)
{
	struct index_place place;

	if (!index_place(which, key, bytes, &place))
		return false;

	struct index_set *first = index_set(which, place.sets[0]);
	__u64 cell = index_cell(&place, slot);

	if (!first)
		return false;
	if (bits_of_8(index_free(first)) >= INDEX_ROOM && index_claim(first, cell))
		return true;

	struct index_set *second = index_set(which, place.sets[1]);

	if (!second)
		return false;
	if (bits_of_8(index_free(first)) >= bits_of_8(index_free(second)) &&
	    index_claim(first, cell))
		return true;
	/* Before it is there, so that whoever adds the same key looks for it. */
	__sync_fetch_and_add(&first->elsewhere, 1);
	if (index_claim(second, cell))
		return true;
	__sync_fetch_and_sub(&first->elsewhere, 1);
	return index_claim(first, cell);
}

/* Functions of their own: each is verified once. */
__noinline int session_slot6(const struct session6_key *key)
{
	return key ? index_find(INDEX_SESSIONS6, key, sizeof(*key)) : NO_SLOT;
}

__noinline int session_slot4(const struct session4_key *key)
{
	return key ? index_find(INDEX_SESSIONS4, key, sizeof(*key)) : NO_SLOT;
}

__noinline int binding_slot6(const struct binding6_key *key)
{
	return key ? index_find(INDEX_BINDINGS6, key, sizeof(*key)) : NO_SLOT;
}

__noinline int session_rival6(const struct session6_key *key, __u32 slot)
{
	return key ? index_rival(INDEX_SESSIONS6, key, sizeof(*key), slot) : INDEX_SECOND;
}

__noinline int session_put6(const struct session6_key *key, __u32 slot)
{
	return key && index_put(INDEX_SESSIONS6, key, sizeof(*key), slot);
}

__noinline int session_rival4(const struct session4_key *key, __u32 slot)
{
	return key ? index_rival(INDEX_SESSIONS4, key, sizeof(*key), slot) : INDEX_SECOND;
}

__noinline int session_put4(const struct session4_key *key, __u32 slot)
{
	return key && index_put(INDEX_SESSIONS4, key, sizeof(*key), slot);
}

__noinline int binding_rival6(const struct binding6_key *key, __u32 slot)
{
	return key ? index_rival(INDEX_BINDINGS6, key, sizeof(*key), slot) : INDEX_SECOND;
}

__noinline int binding_put6(const struct binding6_key *key, __u32 slot)
{
	return key && index_put(INDEX_BINDINGS6, key, sizeof(*key), slot);
}

__noinline int session_remove6(const struct session6_key *key, __u32 slot)
{
	if (key)
		index_remove(INDEX_SESSIONS6, key, sizeof(*key), slot);
	return 0;
}

__noinline int session_remove4(const struct session4_key *key, __u32 slot)
{
	if (key)
		index_remove(INDEX_SESSIONS4, key, sizeof(*key), slot);
	return 0;
}

__noinline int binding_remove6(const struct binding6_key *key, __u32 slot)
{
	if (key)
		index_remove(INDEX_BINDINGS6, key, sizeof(*key), slot);
	return 0;
}

/*
 * Adds a record to an index; false: there is no room, or another CPU adds or has added the same
 * key. The record has all that its key is made of, and must not be alive before this was true of
 * all indices that it belongs to.
 */
static __always_inline bool session_add6(const struct session6_key *key, __u32 slot)
{
	int rival = INDEX_UNDECIDED;

	if (!session_put6(key, slot))
		return false;
	for (int i = 0; i < INDEX_WAITS && rival == INDEX_UNDECIDED; i++)
		rival = session_rival6(key, slot);
	if (rival != INDEX_FIRST)
		session_remove6(key, slot);
	return rival == INDEX_FIRST;
}

static __always_inline bool session_add4(const struct session4_key *key, __u32 slot)
{
	int rival = INDEX_UNDECIDED;

	if (!session_put4(key, slot))
		return false;
	for (int i = 0; i < INDEX_WAITS && rival == INDEX_UNDECIDED; i++)
		rival = session_rival4(key, slot);
	if (rival != INDEX_FIRST)
		session_remove4(key, slot);
	return rival == INDEX_FIRST;
}

static __always_inline bool binding_add6(const struct binding6_key *key, __u32 slot)
{
	int rival = INDEX_UNDECIDED;

	if (!binding_put6(key, slot))
		return false;
	for (int i = 0; i < INDEX_WAITS && rival == INDEX_UNDECIDED; i++)
		rival = binding_rival6(key, slot);
	if (rival != INDEX_FIRST)
		binding_remove6(key, slot);
	return rival == INDEX_FIRST;
}

__noinline int flow_slot_in(const struct flow_in_key *key)
{
	return key ? index_find(INDEX_FLOWS_IN, key, sizeof(*key)) : NO_SLOT;
}

__noinline int flow_slot_back(const struct flow_back_key *key)
{
	return key ? index_find(INDEX_FLOWS_BACK, key, sizeof(*key)) : NO_SLOT;
}

__noinline int flow_rival_in(const struct flow_in_key *key, __u32 slot)
{
	return key ? index_rival(INDEX_FLOWS_IN, key, sizeof(*key), slot) : INDEX_SECOND;
}

__noinline int flow_put_in(const struct flow_in_key *key, __u32 slot)
{
	return key && index_put(INDEX_FLOWS_IN, key, sizeof(*key), slot);
}

__noinline int flow_remove_in(const struct flow_in_key *key, __u32 slot)
{
	if (key)
		index_remove(INDEX_FLOWS_IN, key, sizeof(*key), slot);
	return 0;
}

__noinline int flow_rival_back(const struct flow_back_key *key, __u32 slot)
{
	return key ? index_rival(INDEX_FLOWS_BACK, key, sizeof(*key), slot) : INDEX_SECOND;
}

__noinline int flow_put_back(const struct flow_back_key *key, __u32 slot)
{
	return key && index_put(INDEX_FLOWS_BACK, key, sizeof(*key), slot);
}

__noinline int flow_remove_back(const struct flow_back_key *key, __u32 slot)
{
	if (key)
		index_remove(INDEX_FLOWS_BACK, key, sizeof(*key), slot);
	return 0;
}

/* Functions of their own, as a flow tries several ports: the verifier walks the waiting once. */
__noinline int flow_add_in(const struct flow_in_key *key, __u32 slot)
{
	int rival = INDEX_UNDECIDED;

	if (!flow_put_in(key, slot))
		return false;
	for (int i = 0; i < INDEX_WAITS && rival == INDEX_UNDECIDED; i++)
		rival = flow_rival_in(key, slot);
	if (rival != INDEX_FIRST)
		flow_remove_in(key, slot);
	return rival == INDEX_FIRST;
}

__noinline int flow_add_back(const struct flow_back_key *key, __u32 slot)
{
	int rival = INDEX_UNDECIDED;

	if (!flow_put_back(key, slot))
		return false;
	for (int i = 0; i < INDEX_WAITS && rival == INDEX_UNDECIDED; i++)
		rival = flow_rival_back(key, slot);
	if (rival != INDEX_FIRST)
		flow_remove_back(key, slot);
	return rival == INDEX_FIRST;
}

#endif
