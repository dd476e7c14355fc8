// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Bindings of an inside address and port to one of pool4 (RFC 6146 3.1), and the clients that they
 * are counted for. Whoever adds to what is being removed finds its count ended, and begins anew.
 */
#ifndef SIXLANE_BINDING_H
#define SIXLANE_BINDING_H

#include "sixlane/index.h"
#include "sixlane/log.h"
#include "sixlane/pool4.h"
#include "sixlane/syn.h"

#define ADDRESSES_TRIED 16

/* Beside the frames of those who call and are called there is little room on the stack. */
struct binding_work {
	struct port_wish w;
	__u32 waited_address; /* index; see find_waited() */
	int waited_port;
	struct client fresh;
	struct binding6_key key;
	__u32 prefix; /* id */
	__u32 flags;  /* enum binding_flag */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct binding_work);
} binding_works SEC(".maps");

/* How well a port of w->address suits a wish, where a SYN waits for whoever gets it; 0: it is not
 * to be had. The client has one address; NULL: it is new. */
__noinline int waited_rank(const struct gateway *gw, const struct pool *pool,
			   const struct client *client, const struct port_wish *w, __u32 port)
{
	if (!gw || !pool || !w || !pool->block_words || !pool_has(gw, pool, w->address))
		return 0;

	__u32 words = client ? client->block_words : pool->block_words;
	__u32 block = block_of(port, words ? words : 1);
	__u32 *given = block_count(w->address, block - 1);
	__u64 *used = used_word(w->address, w->protocol, port / PORTS_OF_WORD);
	const bool has = client && client_has_block(client, block);

	if (!given || !used || *used >> (port & 63) & 1)
		return 0;
	if (port < w->ports.first || port > w->ports.last)
		return 0;
	if (client && client->address != w->address)
		return 0;
	if (!has && *given)
		return 0;
	return 1 + has * 4 + ((port ^ w->port) & 1 ? 0 : 2) +
	       ((port < WELL_KNOWN_PORTS) == (w->port < WELL_KNOWN_PORTS));
}

/*
 * Where a SYN of the endpoint called waits (RFC 6146 3.5.2.3, simultaneous open): the endpoint of
 * pool4 that suits best, into `work`. False: there is none.
 */
__noinline int find_waited(struct gateway *gw, struct binding_work *work,
			   const struct client *client, const struct session6_key *key)
{
	__u64 when = now();
	int best = 0;

	if (!gw || !work || !key || key->protocol != SESSION_TCP || !any_syn_waits(when))
		return false;

	__u32 slot = syn_set(key->remote, key->remote_port);
	struct addr inside = key->inside;
	const struct pool *pool = pool_of(gw, &inside);

	if (!pool)
		return false;
	for (int way = 0; way < SYN_WAYS; way++, slot++) {
		struct stored_syn *syn = bpf_map_lookup_elem(&syns, &slot);

		if (!syn)
			break;
		if (!syn_is_alive(syn->until, when) || syn->remote != key->remote ||
		    syn->remote_port != key->remote_port)
			continue;
		work->w.address = address_index(gw, bpf_ntohl(syn->pool));

		__u32 port = bpf_ntohs(syn->pool_port);
		int rank = waited_rank(gw, pool, client, &work->w, port);

		if (rank <= best)
			continue;
		best = rank;
		work->waited_address = work->w.address;
		work->waited_port = port;
	}
	return best;
}

/* A block at the first address from place `n` of the pool on that has one, w->address; 0: none has.
 */
__noinline int give_first_block(const struct gateway *gw, const struct pool *pool,
				struct binding_work *work, __u32 n, bool any_class)
{
	__u32 block = 0;

	if (!gw || !pool || !work || !pool->addresses)
		return 0;
	for (__u32 i = 0; i < ADDRESSES_TRIED && !block; i++) {
		if (i >= pool->addresses)
			break;
		work->w.address = pool_address(gw, pool->first_range, (n + i) % pool->addresses);
		block = give_block(&work->w, any_class);
	}
	return block;
}

/* A block that a client does not have any more, if it ever had, is for others. `inside`: any
 * address of the client; `pool`: as in log_block_back(). */
static __always_inline void client_block_back(const struct gateway *gw, const struct client *client,
					      const struct addr *inside, __u32 block, __be32 pool)
{
	log_block_back(gw, client, inside, block, pool);
	take_block_back(client->address, block);
}

/* A new client with an address, w->address, and a first block there; or, if another CPU was faster,
 * whatever that has made. */
static __always_inline struct client *client_put(const struct gateway *gw, const struct pool *pool,
						 struct binding_work *work, const struct addr *key,
						 __u32 block)
{
	struct client *fresh = &work->fresh;

	__builtin_memset(fresh, 0, sizeof(*fresh));
	fresh->block_words = pool->block_words;
	fresh->pool = pool->id;
	fresh->address = work->w.address;
	fresh->blocks[0] = block;
	if (dry_run)
		return fresh;
	log_block_given(gw, fresh, key, block);
	if (bpf_map_update_elem(&clients, key, fresh, BPF_NOEXIST))
		client_block_back(gw, fresh, key, block, client_pool(gw, fresh));
	return bpf_map_lookup_elem(&clients, key);
}

/* The client, with an address and a first block there if it is new: if it can be, on the address
 * `near`, which is an index. It keeps its address. `session`: for whose sake, or NULL. */
static __always_inline struct client *client_get(struct gateway *gw, const struct pool *pool,
						 struct binding_work *work, const struct addr *key,
						 const struct session6_key *session, __u32 near)
{
	struct client *client = bpf_map_lookup_elem(&clients, key);
	__u32 hash = spread(addr_both(key)) >> 32;
	__u32 n = near == NO_SLOT ? NO_SLOT : pool_place(gw, pool, near), block = 0;

	work->waited_port = NO_PORT;
	find_waited(gw, work, client, session);
	if (client)
		return client;
	if (work->waited_port >= 0) {
		work->w.address = work->waited_address;
		block = block_of(work->waited_port, pool->block_words ? pool->block_words : 1);
		if (!give_certain_block(work->w.address, block))
			block = 0;
	}
	if (n == NO_SLOT)
		n = hash % (pool->addresses ? pool->addresses : 1);
	/* An address with a block of the wished class goes before one that has others alone. */
	if (!block)
		block = give_first_block(gw, pool, work, n, false);
	if (!block)
		block = give_first_block(gw, pool, work, n, true);
	if (!block)
		return NULL;
	return client_put(gw, pool, work, key, block);
}

/* All that it has, once it has no binding any more. `pool`: its address. */
__noinline int client_end(const struct gateway *gw, struct client *client, const struct addr *key,
			  __be32 pool)
{
	if (!gw || !client || !key)
		return -1;
	for (__u32 i = 0; i < CLIENT_BLOCKS; i++) {
		__u32 block = client_block(client, i);

		if (!block)
			continue;
		if (gw->flags & GATEWAY_LOG_BLOCKS) /* here, as it is deep in the stack already */
			log_block(gw, client, key, block, pool, SESSION_EVENT_BLOCK_BACK);
		take_block_back(client->address, block);
	}
	return 0;
}

static __always_inline void client_release(const struct gateway *gw, struct client *client,
					   const struct addr *key, __be32 pool)
{
	if (dry_run || !count_down(&client->bindings))
		return;
	client_end(gw, client, key, pool);
	bpf_map_delete_elem(&clients, key);
}

/* A port that was the client's, and its block if that was the last one there. */
static __always_inline void client_give_port(const struct gateway *gw, struct client *client,
					     const struct addr *key, __be32 pool, __u32 address,
					     __u32 protocol, __u32 port)
{
	__u32 block = give_port(client, address, protocol, port);

	if (block)
		client_block_back(gw, client, key, block, pool);
}

/* Of a block that becomes the client's. `most`: blocks that it may have. */
__noinline int take_in_new(const struct gateway *gw, struct client *client,
			   const struct binding_work *work, __u32 most)
{
	if (!gw || !client || !work)
		return NO_PORT;

	const struct port_wish *w = &work->w;

	for (__u32 i = 0; i < CLIENT_BLOCKS; i++) {
		if (i >= most)
			break;
		if (client_block(client, i))
			continue;

		__u32 block = give_block(w, true);

		if (!block)
			return NO_PORT;
		log_block_given(gw, client, &work->key.inside, block);
		if (!client_swap_block(client, i, 0, block)) {
			client_block_back(gw, client, &work->key.inside, block,
					  client_pool(gw, client));
			continue;
		}

		int port = take_in_block(w, block - 1, ports_of_parity(w->port));

		return port >= 0 ? port : take_in_block(w, block - 1, ~0ULL);
	}
	return NO_PORT;
}

/* A port for a client, taken and counted, or NO_PORT. Parity goes before class. */
static __always_inline int take_port(const struct gateway *gw, struct client *client,
				     const struct binding_work *work, __u32 most)
{
	for (__u32 rank = 0; rank < 4; rank++) {
		__u64 wanted = rank < 2 ? ports_of_parity(work->w.port) : ~0ULL;
		int port = take_in_own(client, &work->w, wanted, !(rank & 1));

		if (port >= 0)
			return port;
	}
	return take_in_new(gw, client, work, most);
}

/* A function of its own: Linux 6.1 refuses a loop right behind a call. */
__noinline int client_add_block(struct client *client, __u32 block, __u32 most)
{
	bool added = false;

	for (__u32 i = 0; client && i < CLIENT_BLOCKS && i < most && !added; i++)
		added = client_swap_block(client, i, 0, block);
	return added;
}

/* One certain port, taken and counted, or NO_PORT: of a block that the client has, or that nobody
 * has. */
__noinline int take_certain_port(const struct gateway *gw, struct client *client,
				 const struct binding_work *work, __u32 port, __u32 most)
{
	if (!gw || !client || !work || !work->w.block_words || port > 0xffff)
		return NO_PORT;

	const struct port_wish *w = &work->w;
	__u32 block = block_of(port, w->block_words);

	if (!client_has_block(client, block)) {
		if (!give_certain_block(w->address, block))
			return NO_PORT;
		if (dry_run)
			return port;
		log_block_given(gw, client, &work->key.inside, block);
		if (!client_add_block(client, block, most)) {
			client_block_back(gw, client, &work->key.inside, block,
					  client_pool(gw, client));
			return NO_PORT;
		}
	}

	__u32 *count = block_count(w->address, block - 1);

	if (!count || !count_up(count, BLOCK_GIVEN, BLOCK_GIVEN))
		return NO_PORT;

	int taken = take_in_word(w, port / PORTS_OF_WORD, 1ULL << (port & 63));

	if (dry_run)
		return taken;
	if (taken < 0)
		__sync_fetch_and_sub(count, 1);
	else if (!client_has_block(client, block)) { /* as in take_in_own() */
		give_up_port(w->address, w->protocol, port, block - 1);
		return NO_PORT;
	}
	return taken;
}

static __always_inline __u32 seconds_of(__u64 jiffies)
{
	return jiffies / jiffies_per_second;
}

/* A session of it lives until then. */
static __always_inline void binding_keep(struct binding *b, __u64 until)
{
	__u32 seconds = seconds_of(until);

	if (*(volatile __u32 *)&b->until_seconds < seconds)
		*(volatile __u32 *)&b->until_seconds = seconds;
}

/* A session of it lives only until then, which is sooner than it would have. */
static __always_inline void binding_shorten(struct binding *b, __u64 until)
{
	__u32 seen = *(volatile __u32 *)&b->until_seconds;

	if (*(volatile __u32 *)&b->sessions != 1 ||
	    !swap32(&b->until_seconds, seen, seconds_of(until)))
		b->doubtful = true;
}

/* False: all sessions have ended, and it only waits to be taken out. */
static __always_inline bool binding_is_alive(const struct binding *b, __u64 when)
{
	return b->flags & BINDING_STATIC || b->until_seconds >= seconds_of(when);
}

static __always_inline struct binding *binding_at(const struct slot_ref *ref)
{
	__u32 slot = ref->slot;
	struct binding *b = bpf_map_lookup_elem(&bindings, &slot);

	return b && b->serial == ref->serial ? b : NULL;
}

/* *ref: where it was found. */
static __always_inline struct binding *binding_find(const struct binding6_key *key,
						    struct slot_ref *ref)
{
	__u32 slot = binding_slot6(key);
	struct binding *b = bpf_map_lookup_elem(&bindings, &slot);

	if (!b)
		return NULL;
	ref->slot = slot;
	ref->serial = b->serial;
	return b;
}

/* Holds a binding that another CPU has just made, or is making. */
__noinline int binding_hold(const struct binding6_key *key, struct slot_ref *ref)
{
	for (int i = 0; key && ref && i < INDEX_WAITS; i++) {
		struct binding *b = binding_find(key, ref);

		if (!b)
			return false;
		if (count_up(&b->sessions, 0, GONE))
			return true;
	}
	return false;
}

/* By the port of pool4. `protocol`: enum session_protocol. */
static __always_inline struct binding *binding_of_port(__u32 address, __u32 protocol, __u16 port,
						       __u32 *slot)
{
	__u32 *cell = port_cell(address, protocol, port);

	*slot = cell ? *cell - 1 : NO_SLOT;
	return cell && *cell ? bpf_map_lookup_elem(&bindings, slot) : NULL;
}

/* Is this port of an address of pool4 one that clients get, or that was got when they did? All
 * others are left to whoever else has the address (RFC 6146 3.5). */
static __always_inline bool port_is_ours(const struct gateway *gw, __be32 pool, __u32 protocol,
					 __be16 pool_port)
{
	__u32 v4 = bpf_ntohl(pool), port = bpf_ntohs(pool_port), address, slot;

	if (port_is_given(gw, v4, protocol, port))
		return true;
	address = address_index(gw, v4);
	return address != NO_SLOT && binding_of_port(address, protocol, port, &slot);
}

/* What packets to its port of pool4 find: a binding's slot, or none. */
static __always_inline void binding_lead_to(const struct binding *b, __u32 slot)
{
	__u32 *cell = port_cell(b->address, b->protocol, bpf_ntohs(b->pool_port));

	if (cell)
		*(volatile __u32 *)cell = slot + 1;
}

/* Puts a binding for a port that is taken where both sides find it, held once: *ref. False: there
 * is no room, or another CPU was faster. A function of its own, as its caller calls deep. */
__noinline int binding_put(const struct gateway *gw, const struct binding_work *work, __u32 port,
			   struct slot_ref *ref)
{
	if (!gw || !work || !ref)
		return false;

	struct binding6_key key = work->key; /* as in session_make() */
	const struct port_wish *w = &work->w;
	__u32 slot = binding_slot_take();
	struct binding *b = bpf_map_lookup_elem(&bindings, &slot);
	struct slot_ref to = {};

	if (!b)
		return false;
	if (dry_run) {
		note_pool(FLOW_NEW_BINDING, bpf_htonl(address_at(gw, w->address)), bpf_htons(port));
		return true;
	}
	*(volatile __u32 *)&b->sessions = ADDED; /* until it is known to be the only one */
	b->inside = key.inside;
	b->pool = bpf_htonl(address_at(gw, w->address));
	b->inside_port = key.inside_port;
	b->pool_port = bpf_htons(port);
	b->protocol = key.protocol;
	b->prefix = work->prefix;
	b->address = w->address;
	b->client_bits = gw->client_bits;
	b->until_seconds = 0;
	b->doubtful = false;
	b->flags = work->flags;
	to.slot = slot;
	to.serial = b->serial;
	if (!binding_add6(&key, slot)) {
		*(volatile __u32 *)&b->sessions = GONE;
		b->serial++;
		slot_give(SLOTS_BINDINGS, slot, &b->next);
		return false;
	}
	*ref = to;
	*(volatile __u32 *)&b->sessions = 1;
	binding_lead_to(b, slot);
	return true;
}

/*
 * Makes the binding for the inside end of a session, held once: REASON_NONE and *ref. If another
 * CPU was faster, DROP_TABLE_FULL: its packet and this one are of one flow, and the next will find
 * it.
 */
__noinline int binding_make(struct gateway *gw, const struct session6_key *key,
			    struct slot_ref *ref)
{
	__u32 zero = 0;
	struct binding_work *work = bpf_map_lookup_elem(&binding_works, &zero);

	if (!gw || !key || !ref || !work)
		return DROP_TABLE_FULL;

	struct addr inside = key->inside, owner = client_of(&inside, gw->client_bits);
	struct pool *pool = pool_of(gw, &inside);
	struct port_wish *w = &work->w;

	work->key.inside = inside;
	work->key.inside_port = key->inside_port;
	work->key.protocol = key->protocol;
	work->prefix = key->prefix;
	work->flags = 0;

	__u64 protocol = work->key.protocol;

	barrier_var(protocol); /* what is checked is what is used */
	if (!pool || protocol >= SESSION_PROTOCOLS)
		return DROP_NO_PORT;
	w->protocol = protocol;
	w->port = bpf_ntohs(work->key.inside_port);
	w->block_words = pool->block_words;
	w->ports = pool->ports[protocol];
	w->random = bpf_get_prandom_u32();
	if (dry_run)
		note_binding(FLOW_NO_BINDING, &inside, key->inside_port, gw->client_bits);

	struct client *client = client_get(gw, pool, work, &owner, key, NO_SLOT);

	if (!client)
		return DROP_NO_PORT;
	w->address = client->address;
	w->block_words = client->block_words;
	if (dry_run)
		note_client(client, pool->blocks);

	if (!address_at(gw, w->address))
		return DROP_NO_PORT; /* not of pool4 any more, and other bindings hold the client */
	if (!count_up(&client->bindings, 0, GONE))
		return DROP_TABLE_FULL;

	int port = NO_PORT;

	if (work->waited_port >= 0 && work->waited_address == w->address)
		port = take_certain_port(gw, client, work, work->waited_port, pool->blocks);
	if (port < 0)
		port = take_port(gw, client, work, pool->blocks);
	if (port >= 0 && binding_put(gw, work, port, ref))
		return REASON_NONE;
	if (port >= 0 && !dry_run)
		client_give_port(gw, client, &owner, client_pool(gw, client), w->address,
				 w->protocol, port);
	client_release(gw, client, &owner, client_pool(gw, client));
	return port < 0 ? DROP_NO_PORT : DROP_TABLE_FULL;
}

/* One session less; with the last one, a dynamic binding goes. */
__noinline int binding_release(const struct gateway *gw, __u32 slot)
{
	struct binding *b = bpf_map_lookup_elem(&bindings, &slot);

	if (!gw || !b || !count_down(&b->sessions))
		return 0;

	struct binding6_key key = { .inside = b->inside,
				    .inside_port = b->inside_port,
				    .protocol = b->protocol };
	struct addr owner = client_of(&key.inside, b->client_bits);
	struct client *client = bpf_map_lookup_elem(&clients, &owner);
	__u16 port = bpf_ntohs(b->pool_port);

	binding_remove6(&key, slot);
	binding_lead_to(b, NO_SLOT);
	if (b->flags & BINDING_OWN_PORT)
		give_one_port(b->address, b->protocol, port);
	else if (client)
		client_give_port(gw, client, &owner, b->pool, b->address, b->protocol, port);
	if (client)
		client_release(gw, client, &owner,
			       client->address == b->address ? b->pool : client_pool(gw, client));
	b->serial++;
	slot_give(SLOTS_BINDINGS, slot, &b->next);
	return 0;
}

#endif
