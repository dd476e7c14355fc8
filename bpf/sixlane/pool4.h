// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ports of pool4 for clients: each has one address for all protocols and gets blocks of ports there
 * as it needs them (RFC 6146 3.5.1.1, RFC 6888 REQ-2). A port is one of the client's blocks first,
 * then one of the same parity, then one of the same class.
 */
#ifndef SIXLANE_POOL4_H
#define SIXLANE_POOL4_H

#include "sixlane/addr.h"
#include "sixlane/slots.h"

#define PORTS_OF_WORD	 64
#define WELL_KNOWN_PORTS 1024
#define EVEN_PORTS	 0x5555555555555555ULL
#define NO_PORT		 (-1)

/* Whoever wants a port: the same for each step of the search. */
struct port_wish {
	__u32 address; /* index */
	__u32 protocol;
	__u16 port; /* inside, host order */
	__u16 block_words;
	struct port_range ports;
	__u32 random;
};

/* Whose address it is, where addresses with the same first `bits` are one client. */
static __always_inline struct addr client_of(const struct addr *inside, __u32 bits)
{
	__u32 high = bits < 64 ? bits : 64;

	return (struct addr){ .hi = inside->hi & bpf_cpu_to_be64(mask64(high)),
			      .lo = inside->lo & bpf_cpu_to_be64(mask64(bits - high)) };
}

/* Index of the entry for an inside address, or MAX_POOLS. */
__noinline int pool_index(const struct gateway *gw, const struct addr *inside)
{
	if (!gw || !inside)
		return MAX_POOLS;
	for (__u32 i = 0; i < MAX_POOLS; i++) {
		const struct pool *pool = &gw->pools[i];

		if (i >= gw->pool_count)
			break;
		if ((((inside->hi ^ pool->clients.hi) & pool->mask.hi) |
		     ((inside->lo ^ pool->clients.lo) & pool->mask.lo)) == 0)
			return i;
	}
	return MAX_POOLS;
}

static __always_inline struct pool *pool_of(struct gateway *gw, const struct addr *inside)
{
	__u32 index = pool_index(gw, inside);

	if (index >= MAX_POOLS)
		return NULL;
	barrier_var(index); /* as in prefix_at() */
	return &gw->pools[index & (MAX_POOLS - 1)];
}

/* Number of the range that an address is in, or MAX_POOL_RANGES. */
__noinline int pool_range_of(const struct gateway *gw, __u32 v4)
{
	if (!gw)
		return MAX_POOL_RANGES;
	for (__u32 i = 0; i < MAX_POOL_RANGES; i++) {
		const struct pool_range *range = &gw->pool_ranges[i];

		if (i >= gw->pool_range_count)
			break;
		if (v4 - range->first < range->count)
			return i;
	}
	return MAX_POOL_RANGES;
}

/* Index of an address of pool4 in the tables by address, or NO_SLOT. */
static __always_inline __u32 address_index(const struct gateway *gw, __u32 v4)
{
	__u32 number = pool_range_of(gw, v4);

	if (number >= MAX_POOL_RANGES)
		return NO_SLOT;
	barrier_var(number); /* as in prefix_at() */

	const struct pool_range *range = &gw->pool_ranges[number & (MAX_POOL_RANGES - 1)];

	return range->index + (v4 - range->first);
}

/* Do clients get this port of an address of pool4? `protocol`: enum session_protocol. */
__noinline int port_is_given(const struct gateway *gw, __u32 v4, __u32 protocol, __u32 port)
{
	__u32 number = pool_range_of(gw, v4);

	barrier_var(protocol); /* what is checked is what is used */
	if (!gw || protocol >= SESSION_PROTOCOLS)
		return false;
	for (__u32 i = 0; i < MAX_POOLS; i++) {
		const struct pool *pool = &gw->pools[i];

		if (i >= gw->pool_count)
			break;
		if (number - pool->first_range < pool->range_count)
			return port >= pool->ports[protocol].first &&
			       port <= pool->ports[protocol].last;
	}
	return false;
}

static __always_inline bool is_in_pool4(const struct gateway *gw, __be32 address)
{
	return address_index(gw, bpf_ntohl(address)) != NO_SLOT;
}

/* IPv4 address of an index; 0: it is not of pool4 any more. */
__noinline int address_at(const struct gateway *gw, __u32 index)
{
	if (!gw)
		return 0;
	for (__u32 i = 0; i < MAX_POOL_RANGES; i++) {
		const struct pool_range *range = &gw->pool_ranges[i];

		if (i >= gw->pool_range_count)
			break;
		if (index - range->index < range->count)
			return range->first + (index - range->index);
	}
	return 0;
}

/* Index of the n-th address of a pool. */
__noinline int pool_address(const struct gateway *gw, __u32 first_range, __u32 n)
{
	if (!gw)
		return 0;
	for (__u32 i = 0; i < MAX_POOL_RANGES; i++) {
		const struct pool_range *range = &gw->pool_ranges[i];

		if (i < first_range)
			continue;
		if (n < range->count)
			return range->index + n;
		n -= range->count;
	}
	return 0;
}

/* Has a pool this index among its addresses? */
__noinline int pool_has(const struct gateway *gw, const struct pool *pool, __u32 index)
{
	if (!gw || !pool)
		return false;
	for (__u32 i = 0; i < MAX_POOL_RANGES && i < pool->range_count; i++) {
		__u32 number = (pool->first_range + i) & (MAX_POOL_RANGES - 1);
		const struct pool_range *range = &gw->pool_ranges[number];

		if (index - range->index < range->count)
			return true;
	}
	return false;
}

/* The other way; NO_SLOT: it is none of the pool's. */
__noinline int pool_place(const struct gateway *gw, const struct pool *pool, __u32 address)
{
	__u32 before = 0;

	if (!gw || !pool)
		return NO_SLOT;
	for (__u32 i = 0; i < MAX_POOL_RANGES; i++) {
		const struct pool_range *range = &gw->pool_ranges[i];

		if (i < pool->first_range || i - pool->first_range >= pool->range_count)
			continue;
		if (address - range->index < range->count)
			return before + (address - range->index);
		before += range->count;
	}
	return NO_SLOT;
}

static __always_inline __u32 *port_cell(__u32 address, __u32 protocol, __u16 port)
{
	__u32 place = ((address * SESSION_PROTOCOLS + protocol) << 16) + port;

	return bpf_map_lookup_elem(&ports4, &place);
}

static __always_inline __u64 *used_word(__u32 address, __u32 protocol, __u32 word)
{
	__u32 place = (address * SESSION_PROTOCOLS + protocol) * PORT_WORDS + word;

	return bpf_map_lookup_elem(&used4, &place);
}

static __always_inline __u32 *block_count(__u32 address, __u32 word)
{
	__u32 place = address * PORT_WORDS + word;

	return bpf_map_lookup_elem(&blocks4, &place);
}

/* The bits of a word that lie within a range of ports. */
static __always_inline __u64 ports_in_word(const struct port_range *ports, __u32 word)
{
	__u32 first = word * PORTS_OF_WORD;
	__u64 bits = ~0ULL;

	if (ports->last < first || ports->first > first + PORTS_OF_WORD - 1)
		return 0;
	if (ports->first > first)
		bits &= ~0ULL << ((ports->first - first) & 63);
	if (ports->last < first + PORTS_OF_WORD - 1)
		bits &= ~0ULL >> ((63 - (ports->last - first)) & 63);
	return bits;
}

/* Number of one of the bits that are set, which one is at random (RFC 6056). */
static __always_inline __u32 any_bit(__u64 bits, __u32 random)
{
	__u64 above = bits & ~0ULL << (random & 63);
	__u64 from = above ? above : bits;

	return ones_in((from & -from) - 1);
}

/* A free port of one word, taken; or NO_PORT. */
__noinline int take_in_word(const struct port_wish *w, __u32 word, __u64 wanted)
{
	__u64 *used = w ? used_word(w->address, w->protocol, word) : NULL;

	if (!used)
		return NO_PORT;
	wanted &= ports_in_word(&w->ports, word);
	for (int i = 0; i < TRIES; i++) {
		__u64 seen = *(volatile __u64 *)used;
		__u64 free = ~seen & wanted;

		if (!free)
			return NO_PORT;

		__u32 bit = any_bit(free, w->random);

		if (dry_run || swap64(used, seen, seen | 1ULL << (bit & 63)))
			return word * PORTS_OF_WORD + bit;
	}
	return NO_PORT;
}

/* Of one block, which is counted up first: nobody takes it back meanwhile. */
__noinline int take_in_block(const struct port_wish *w, __u32 first_word, __u64 wanted)
{
	__u32 *count = w ? block_count(w->address, first_word) : NULL;

	if (!count || !count_up(count, BLOCK_GIVEN, BLOCK_GIVEN))
		return NO_PORT;
	for (__u32 i = 0; i < BLOCK_WORDS; i++) {
		if (i >= w->block_words)
			break;

		int port = take_in_word(w, first_word + i, wanted);

		if (port >= 0)
			return port;
	}
	if (!dry_run)
		__sync_fetch_and_sub(count, 1);
	return NO_PORT;
}

static __always_inline __u32 client_block(const struct client *client, __u32 i)
{
	return client->blocks[i / 2 & (CLIENT_BLOCKS / 2 - 1)] >> (i & 1) * 16 & 0xffff;
}

/* Puts one block in the place of another one; 0: of none. */
__noinline int client_swap_block(struct client *client, __u32 i, __u32 from, __u32 to)
{
	if (!client || dry_run)
		return client && dry_run;

	__u32 *pair = &client->blocks[i / 2 & (CLIENT_BLOCKS / 2 - 1)], shift = (i & 1) * 16;

	for (int try = 0; try < TRIES; try++) {
		__u32 seen = *(volatile __u32 *)pair;

		if ((seen >> shift & 0xffff) != from)
			return false;
		if (swap32(pair, seen, (seen & ~(0xffffU << shift)) | to << shift))
			return true;
	}
	return false;
}

/* The search for a block that is nobody's, from anywhere on and round the pool's ports. */
struct block_search {
	const struct port_wish *wish;
	__u32 first; /* word */
	__u32 count; /* of blocks */
	__u32 start;
	__u32 found; /* number of the first word + 1 */
};

static long try_block(__u32 i, void *data)
{
	struct block_search *search = data;
	__u32 n = search->start + i;
	__u32 word = search->first +
		     (n < search->count ? n : n - search->count) * search->wish->block_words;
	__u32 *count = block_count(search->wish->address, word);

	if (!count || *count || !(dry_run || swap32(count, 0, BLOCK_GIVEN)))
		return 0;
	search->found = word + 1;
	return 1;
}

/* Number of the first word of a block that was nobody's, + 1; 0: there is none between these words.
 */
static __always_inline __u32 find_block(const struct port_wish *w, __u32 first, __u32 end)
{
	struct block_search search = { .wish = w, .first = first };

	if (end <= first)
		return 0;
	search.count = (end - first) / w->block_words;
	if (!search.count)
		return 0;
	search.start = w->random % search.count;
	bpf_loop(search.count, try_block, &search, 0);
	return search.found;
}

/* A block of the wished port's class; with `any_class` of the other one if there is none. */
__noinline int give_block(const struct port_wish *w, bool any_class)
{
	if (!w || !w->block_words)
		return 0;

	__u32 first = w->ports.first / PORTS_OF_WORD / w->block_words * w->block_words;
	__u32 end =
		w->ports.last / PORTS_OF_WORD / w->block_words * w->block_words + w->block_words;
	__u32 border = WELL_KNOWN_PORTS / PORTS_OF_WORD;
	bool low = w->port < WELL_KNOWN_PORTS;
	__u32 middle = border < first ? first : border > end ? end : border;
	__u32 found = low ? find_block(w, first, middle) : find_block(w, middle, end);

	if (!found && any_class)
		found = low ? find_block(w, middle, end) : find_block(w, first, middle);
	return found;
}

static __always_inline void take_block_back(__u32 address, __u32 block)
{
	__u32 *count = block ? block_count(address, block - 1) : NULL;

	if (count && !dry_run)
		*(volatile __u32 *)count = 0;
}

static __always_inline __u64 ports_of_parity(__u16 port)
{
	return port & 1 ? ~EVEN_PORTS : EVEN_PORTS;
}

/* Blocks lie on one side of the border. */
static __always_inline bool block_is_of_class(__u32 block, __u16 port)
{
	return (block - 1 < WELL_KNOWN_PORTS / PORTS_OF_WORD) == (port < WELL_KNOWN_PORTS);
}

/* One port, whosever block it lies in; false: it is taken already. */
static __always_inline bool take_one_port(__u32 address, __u32 protocol, __u32 port)
{
	__u64 *used = used_word(address, protocol, port / PORTS_OF_WORD);
	__u64 bit = 1ULL << (port & 63);

	return used && !(__sync_fetch_and_or(used, bit) & bit);
}

static __always_inline void give_one_port(__u32 address, __u32 protocol, __u32 port)
{
	__u64 *used = used_word(address, protocol, port / PORTS_OF_WORD);

	if (used)
		__sync_fetch_and_and(used, ~(1ULL << (port & 63)));
}

static __always_inline bool give_up_port(__u32 address, __u32 protocol, __u32 port,
					 __u32 first_word)
{
	if (dry_run)
		return false;
	give_one_port(address, protocol, port);

	__u32 *count = block_count(address, first_word);

	return count && __sync_fetch_and_sub(count, 1) == BLOCK_GIVEN + 1 &&
	       swap32(count, BLOCK_GIVEN, GONE);
}

/* Of the client's own blocks, those that are of the wished port's class or those that are not; a
 * function of its own, as the verifier would walk all ways through all of these loops. */
__noinline int take_in_own(const struct client *client, const struct port_wish *w, __u64 wanted,
			   __u32 of_class)
{
	if (!client || !w)
		return NO_PORT;
	for (__u32 i = 0; i < CLIENT_BLOCKS; i++) {
		__u32 block = client_block(client, i);

		if (!block || block_is_of_class(block, w->port) != of_class)
			continue;

		int port = take_in_block(w, block - 1, wanted);

		if (port < 0)
			continue;
		if (client_block(client, i) == block)
			return port;
		/* Another CPU gave the block back before this one counted a port there. */
		give_up_port(w->address, w->protocol, port, block - 1);
	}
	return NO_PORT;
}

__noinline int client_has_block(const struct client *client, __u32 block)
{
	bool has = false;

#pragma clang loop unroll(disable) /* else it takes 64 bytes of the stack */
	for (__u32 i = 0; client && i < CLIENT_BLOCKS; i++)
		has |= client_block(client, i) == block;
	return has;
}

/* Number of the first word of a port's block, + 1. */
static __always_inline __u32 block_of(__u32 port, __u32 block_words)
{
	return port / PORTS_OF_WORD / block_words * block_words + 1;
}

static __always_inline bool give_certain_block(__u32 address, __u32 block)
{
	__u32 *count = block_count(address, block - 1);

	return count && (dry_run ? !*count : swap32(count, 0, BLOCK_GIVEN));
}

/* A client loses a block, whose count has ended; false: others change it all the time, and it keeps
 * the block. */
static __always_inline bool client_lose_block(struct client *client, __u32 block)
{
	for (__u32 i = 0; i < CLIENT_BLOCKS; i++)
		if (client_swap_block(client, i, block, 0))
			return true;

	__u32 *count = block_count(client->address, block - 1);

	if (count)
		swap32(count, GONE, BLOCK_GIVEN);
	return false;
}

/* The other way. A block without taken ports is the client's no more: its number, for the caller to
 * take back; 0: there is none. */
__noinline int give_port(struct client *client, __u32 address, __u32 protocol, __u32 port)
{
	if (!client || !client->block_words)
		return 0;

	__u32 block = block_of(port, client->block_words);

	if (!give_up_port(address, protocol, port, block - 1))
		return 0;
	return client_lose_block(client, block) ? block : 0;
}

#endif
