// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which backend a flow goes to: the one that it went to before (`flow_cache`), else the one that
 * the service's ring names, which is the same on each gateway (Maglev, NSDI 2016, 3.4).
 *
 * A cell keeps no key but some bits of the flow's hash. Whoever is taken for another flow of the
 * same service goes to a backend of that service; a backend of another one counts for nothing.
 * Flows of which one packet was seen never take the place of others, so a flood of them takes none.
 */
#ifndef SIXLANE_FLOW_H
#define SIXLANE_FLOW_H

#include "sixlane/frontend.h"
#include "sixlane/slots.h"

/* The ends of a flow as the client has them. */
struct flow_ends {
	struct addr client;
	struct addr frontend;
	__be16 client_port;
	__be16 frontend_port;
	__u32 kind; /* protocol; of all flows of a client, `clients` and AFFINITY_KIND */
};

_Static_assert(sizeof(struct flow_ends) == 4 * FLOW_HASH_WORDS, "a word for each");

#define AFFINITY_KIND (1U << 31)

/* NH of UMAC (RFC 4418 5.2.2), with words that whoever knows them can choose flows by; then bits
 * are mixed, as each use takes some of them. */
static __always_inline __u64 flow_hash(const struct gateway *gw, const struct flow_ends *ends)
{
	const __u32 *words = (const __u32 *)ends;
	__u64 hash = 0;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < FLOW_HASH_WORDS; i += 2)
		hash += (__u64)(words[i] + gw->flow_words[i]) *
			(__u32)(words[i + 1] + gw->flow_words[i + 1]);
	hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15ULL;
	hash = (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9ULL;
	return hash ^ hash >> 32;
}

static __always_inline struct flow_set *flow_set(__u64 hash)
{
	__u32 set = hash & (((struct bpf_map *)(void *)&flow_cache)->max_entries - 1);

	return bpf_map_lookup_elem(&flow_cache, &set);
}

/* Fetches what is known of a flow, for whoever looks there after some other work: the processor
 * goes on with that meanwhile. */
static __always_inline void flow_expect(__u64 hash)
{
	const struct flow_set *set = flow_set(hash);

	if (set)
		(void)*(volatile __u64 *)&set->cells[0];
}

/* A cell has the lower bits of it. */
static __always_inline __u32 flow_tick(void)
{
	return now() >> flow_tick_shift;
}

/* Of flows that can be told apart at all; never that of a free cell. */
static __always_inline __u64 flow_tag(__u64 hash)
{
	return (hash >> 20 | 1) & FLOW_TAG_MASK;
}

static __always_inline __u64 flow_cell(__u64 tag, __u32 backend, __u32 tick, enum flow_state state)
{
	return tag << FLOW_TAG_SHIFT | (__u64)backend << FLOW_BACKEND_SHIFT |
	       (__u64)(tick & FLOW_TICK_MASK) << FLOW_TICK_SHIFT | state;
}

static __always_inline __u32 cell_backend(__u64 cell)
{
	return cell >> FLOW_BACKEND_SHIFT & FLOW_BACKEND_MASK;
}

static __always_inline enum flow_state cell_state(__u64 cell)
{
	return cell & FLOW_STATE_MASK;
}

/* Ticks since the flow's last packet; more than half of them all cannot be told from none. */
static __always_inline __u32 cell_age(__u64 cell, __u32 tick)
{
	return (tick - (cell >> FLOW_TICK_SHIFT)) & FLOW_TICK_MASK;
}

static __always_inline bool cell_is_over(const struct gateway *gw, __u64 cell, __u32 tick)
{
	__u64 state = cell_state(cell) & (FLOW_STATES - 1);

	barrier_var(state); /* as in prefix_at() */
	return cell_age(cell, tick) > gw->flow_ticks[state & (FLOW_STATES - 1)];
}

/* Numbers of the lowest bit of eight, 4 bits each, by the product of that bit and 0x17, whose bits
 * of any three in a row differ (de Bruijn). */
#define LOWEST_BITS 0x56374210U

/* The number of a cell with that tag, or FLOW_CELLS. No branches, as in index_tagged(), and nothing
 * that one cell would have to wait for another for. */
static __always_inline __u32 flow_tagged(const struct flow_set *set, __u64 tag)
{
	__u64 found = 0;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < FLOW_CELLS; i++) {
		__u64 differs = *(volatile __u64 *)&set->cells[i] >> FLOW_TAG_SHIFT ^ tag;

		found |= (differs - 1) >> 63 << i;
	}
	if (!found)
		return FLOW_CELLS;
	return LOWEST_BITS >> (((found & -found) * 0x17 & 0xff) >> 5) * 4 & 7;
}

/* What a packet says of its flow. */
enum flow_sign {
	FLOW_GOES_ON,
	FLOW_BEGINS, /* a SYN: maybe not of the flow that had these ends before */
	FLOW_ENDS,
};

/* May a packet go to a backend that its flow went to before? */
static __always_inline bool backend_keeps(const struct backend *b, __u32 service,
					  enum flow_sign sign)
{
	return b->service == service &&
	       (b->state == BACKEND_ACTIVE ||
		(sign != FLOW_BEGINS &&
		 (b->state == BACKEND_TERMINATING || b->state == BACKEND_MAINTENANCE)));
}

static __always_inline enum flow_state flow_goes_on(enum flow_state state, enum flow_sign sign,
						    bool tcp)
{
	if (state == FLOW_CLIENT)
		return state;
	if (sign == FLOW_ENDS)
		return FLOW_CLOSING;
	if (sign == FLOW_BEGINS) /* once more, or again */
		return state == FLOW_CLOSING ? FLOW_NEW : state;
	return state == FLOW_NEW ? (tcp ? FLOW_TCP : FLOW_UDP) : state;
}

/* Has the flow sent anything since this backend is there, and not only to whoever had its number
 * before? */
static __always_inline bool cell_is_of(const struct backend *b, __u64 cell, __u32 tick)
{
	return (__s32)cell_age(cell, tick) <= (__s32)(tick - b->since_tick);
}

/* What a packet asks for, and who is chosen. */
struct choice {
	__u64 hash; /* of the flow, or of its client */
	__u32 service;
	enum flow_sign sign;
	bool tcp;
	bool peek;	      /* nothing is remembered */
	__u32 affinity_ticks; /* of all flows of the client; 0: of each flow */
	bool is_new;	      /* out */
	__u32 id;	      /* out: of the backend */
};

static __always_inline bool choice_is_over(const struct gateway *gw, const struct choice *choice,
					   __u64 cell, __u32 tick)
{
	return choice->affinity_ticks ? cell_age(cell, tick) > choice->affinity_ticks
				      : cell_is_over(gw, cell, tick);
}

/* Where the flow went before. */
static __always_inline struct backend *flow_find(const struct gateway *gw, struct choice *choice)
{
	struct flow_set *set = flow_set(choice->hash);
	__u32 at = set ? flow_tagged(set, flow_tag(choice->hash)) : FLOW_CELLS;

	if (!set || at >= FLOW_CELLS)
		return NULL;

	__u64 *cell = &set->cells[at];
	__u64 seen = *(volatile __u64 *)cell;
	__u32 id = cell_backend(seen), tick = flow_tick();
	struct backend *b = bpf_map_lookup_elem(&backends, &id);

	if (!b || !backend_keeps(b, choice->service, choice->sign) || !cell_is_of(b, seen, tick) ||
	    choice_is_over(gw, choice, seen, tick))
		return NULL;

	__u64 after = flow_cell(flow_tag(choice->hash), id, tick,
				flow_goes_on(cell_state(seen), choice->sign, choice->tcp));

	if (after != seen && !dry_run && !choice->peek)
		swap64(cell, seen, after);
	choice->id = id;
	return b;
}

/* The number of a cell that may be overwritten, or FLOW_CELLS: of the same flow, else a free one,
 * else that of a flow of which one packet was seen. */
static __always_inline __u32 flow_room(const struct gateway *gw, const struct flow_set *set,
				       __u64 tag, __u32 tick)
{
	__u32 found = flow_tagged(set, tag), other = FLOW_CELLS;

	if (found < FLOW_CELLS)
		return found;
	for (__u32 i = 0; i < FLOW_CELLS; i++) {
		__u64 cell = *(volatile __u64 *)&set->cells[i];

		if (!cell || cell_is_over(gw, cell, tick))
			return i;
		if (cell_state(cell) == FLOW_NEW)
			other = i;
	}
	return other;
}

/* Remembers where a new flow goes. A function of its own, as few packets come here. */
__noinline int flow_keep(const struct gateway *gw, __u64 hash, __u32 id, __u32 state)
{
	if (!gw || dry_run)
		return -1;

	struct flow_set *set = flow_set(hash);
	__u64 tag = flow_tag(hash);
	__u32 tick = flow_tick(), at = set ? flow_room(gw, set, tag, tick) : FLOW_CELLS;

	if (!set || at >= FLOW_CELLS)
		return -1;
	*(volatile __u64 *)&set->cells[at] = flow_cell(tag, id, tick, state);
	return 0;
}

/* Whom the service's ring names. */
static __always_inline struct backend *ring_find(struct choice *choice)
{
	__u32 service = choice->service;
	struct service_ring *ring = bpf_map_lookup_elem(&service_rings, &service);
	__u64 place = ring ? *(volatile __u64 *)&ring->place : 0;
	__u32 size = place, at = (place >> 32) + ((choice->hash >> 32) * size >> 32);
	__u32 *entry = size ? bpf_map_lookup_elem(&rings, &at) : NULL;
	struct backend *b = entry ? bpf_map_lookup_elem(&backends, entry) : NULL;

	if (!b || b->service != service || b->state == BACKEND_FREE)
		return NULL;
	choice->id = *entry;
	return b;
}

/* Who answers; NULL: nobody. */
static __always_inline struct backend *choose(const struct gateway *gw, struct choice *choice)
{
	struct backend *b = flow_find(gw, choice);

	if (b)
		return b;
	choice->is_new = !choice->peek;
	return ring_find(choice);
}

/* Has it answer further packets, if this is the first one. */
static __always_inline void keep_choice(const struct gateway *gw, const struct choice *choice)
{
	if (choice->is_new)
		flow_keep(gw, choice->hash, choice->id,
			  choice->affinity_ticks ? FLOW_CLIENT : FLOW_NEW);
}

#endif
