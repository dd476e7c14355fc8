// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Sessions of another gateway, made here with the ports that they have there: by what packets call,
 * but for the port, which is a certain one. One caller at a time, as in static.h.
 */
#ifndef SIXLANE_IMPORT_H
#define SIXLANE_IMPORT_H

#include "sixlane/static.h"

#define IMPORTS_MAX 4096 /* at a time */

/* What is to be imported, and what became of it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, IMPORTS_MAX);
	__type(key, __u32);
	__type(value, struct session_import);
} imports SEC(".maps");

struct block_owner {
	__u32 address;
	__u32 block;
	struct addr key; /* out */
	bool found;
};

static long is_block_owner(struct bpf_map *map, struct addr *key, struct client *client,
			   struct block_owner *owner)
{
	owner->found = client->address == owner->address && client_has_block(client, owner->block);
	if (owner->found)
		owner->key = *key;
	return owner->found;
}

/* Has a block that a client has and no port is taken of be nobody's; as in give_port(). */
__noinline int give_empty_block(const struct gateway *gw, struct client *client,
				const struct addr *key, __u32 block)
{
	__u32 *count = client && block ? block_count(client->address, block - 1) : NULL;

	if (!gw || !key || !count || !swap32(count, BLOCK_GIVEN, GONE))
		return false;
	if (!client_lose_block(client, block))
		return false;
	client_block_back(gw, client, key, block, client_pool(gw, client));
	return true;
}

/* A block for an import. Whoever is only called (static.h) has a first one, any one, and may have
 * got this: then it has to be content without, unless a port is taken there. */
__noinline int import_block(const struct gateway *gw, __u32 address, __u32 block)
{
	struct block_owner owner = { .address = address, .block = block };
	__u32 *count = block ? block_count(address, block - 1) : NULL;

	if (!gw || !count)
		return false;
	if (*(volatile __u32 *)count == BLOCK_GIVEN)
		bpf_for_each_map_elem(&clients, is_block_owner, &owner, 0);

	struct client *client = owner.found ? bpf_map_lookup_elem(&clients, &owner.key) : NULL;

	/* Held, it does not go, and give the block back, meanwhile. */
	if (client && count_up(&client->bindings, 0, GONE)) {
		give_empty_block(gw, client, &owner.key, block);
		client_release(gw, client, &owner.key, client_pool(gw, client));
	}
	return give_certain_block(address, block);
}

/* Why a client does not get a port of a block: it has as many others as it may have, or somebody
 * else has this one. */
static __always_inline enum import_result import_refusal(struct client *client,
							 const struct port_wish *w, __u32 port)
{
	__u32 block = block_of(port, w->block_words ? w->block_words : 1);
	__u32 *count = block_count(w->address, block - 1);

	return count && !*(volatile __u32 *)count && !client_has_block(client, block)
		       ? IMPORT_LIMITED
		       : IMPORT_CONFLICT;
}

/* The port, taken and counted, or NO_PORT. */
static __always_inline int import_port(const struct gateway *gw, struct client *client,
				       const struct addr *key, const struct binding_work *work,
				       __u32 port, __u32 most)
{
	const struct port_wish *w = &work->w;
	__u32 block = block_of(port, w->block_words ? w->block_words : 1);
	int taken;

	/* If it is to be had, it is not the client's yet. */
	if (!client_has_block(client, block) && import_block(gw, w->address, block))
		take_block_back(w->address, block);
	taken = take_certain_port(gw, client, work, port, most);
	for (__u32 i = 0; taken < 0 && i < CLIENT_BLOCKS; i++) {
		if (import_refusal(client, w, port) != IMPORT_LIMITED)
			break;
		if (give_empty_block(gw, client, key, client_block(client, i)))
			taken = take_certain_port(gw, client, work, port, most);
	}
	return taken;
}

/* A new binding with a certain port, for a session, held: IMPORT_MADE and *ref. */
static __always_inline enum import_result import_binding(struct gateway *gw,
							 struct binding_work *work,
							 const struct session_import *one,
							 struct slot_ref *ref)
{
	struct addr inside = one->inside, owner = client_of(&inside, gw->client_bits);
	struct pool *pool = pool_of(gw, &inside);
	__u32 address = address_index(gw, bpf_ntohl(one->pool));
	__u16 port = bpf_ntohs(one->pool_port);
	__u64 protocol = one->protocol;
	struct port_wish *w = &work->w;

	barrier_var(protocol); /* what is checked is what is used */
	if (!pool || !pool->block_words || address == NO_SLOT || protocol >= SESSION_PROTOCOLS ||
	    !pool_has(gw, pool, address) || port < pool->ports[protocol].first ||
	    port > pool->ports[protocol].last)
		return IMPORT_NOT_POOL4;
	w->address = address;
	w->protocol = protocol;
	w->port = bpf_ntohs(one->inside_port);
	w->block_words = pool->block_words;
	w->ports = pool->ports[protocol];
	w->random = 0;
	work->prefix = one->prefix;

	__u64 *used = used_word(address, protocol, port / PORTS_OF_WORD);
	struct client *client = bpf_map_lookup_elem(&clients, &owner);

	if (!used || *(volatile __u64 *)used >> (port & 63) & 1)
		return IMPORT_CONFLICT;
	if (!client) {
		__u32 block = block_of(port, pool->block_words);

		if (!import_block(gw, address, block))
			return IMPORT_CONFLICT;
		client = client_put(gw, pool, work, &owner, block);
	}
	if (!client || !count_up(&client->bindings, 0, GONE))
		return IMPORT_NO_ROOM;

	enum import_result result = IMPORT_CONFLICT; /* it keeps its address */
	int taken = NO_PORT;

	if (client->address == address) {
		w->block_words = client->block_words;
		taken = import_port(gw, client, &owner, work, port, pool->blocks);
		result = import_refusal(client, w, port);
	}
	if (taken >= 0 && binding_put(gw, work, port, ref))
		return IMPORT_MADE;
	if (taken >= 0) {
		client_give_port(gw, client, &owner, one->pool, address, protocol, port);
		result = IMPORT_NO_ROOM;
	}
	client_release(gw, client, &owner, client_pool(gw, client));
	return result;
}

/* The binding for a session, as it is or new, held: IMPORT_MADE and *ref. */
__noinline int import_bound(struct gateway *gw, const struct session_import *one,
			    struct slot_ref *ref)
{
	struct binding_work *work =
		one ? static_work(&one->inside, one->inside_port, one->protocol) : NULL;
	struct slot_ref found = {};

	if (!gw || !one || !ref || !work)
		return IMPORT_NO_ROOM;

	struct binding *b = binding_find(&work->key, &found);

	if (!b)
		return import_binding(gw, work, one, ref);
	*ref = found;
	if (b->pool != one->pool || b->pool_port != one->pool_port)
		return IMPORT_CONFLICT;
	return count_up(&b->sessions, 0, GONE) ? IMPORT_MADE : IMPORT_NO_ROOM;
}

static __always_inline __u64 import_word(const struct gateway *gw, const struct session_import *one,
					 __u64 when)
{
	__u64 most = lifetime(gw, lifetime_in(one->state, one->protocol));
	__u64 left = (__u64)one->left_ms * jiffies_per_second / 1000;

	return word_make(one->state, when + (left < most ? left ? left : 1 : most));
}

static __always_inline enum import_result import_one(struct gateway *gw,
						     const struct session_import *one, __u64 when)
{
	struct session6_key key6 = { .inside = one->inside,
				     .remote = one->remote,
				     .inside_port = one->inside_port,
				     .remote_port = one->remote_port,
				     .protocol = one->protocol,
				     .prefix = one->prefix };
	struct session4_key key4 = { .pool = one->pool,
				     .remote = one->remote,
				     .pool_port = one->pool_port,
				     .remote_port = one->remote_port,
				     .protocol = one->protocol };
	__u32 slot = session_slot6(&key6);
	struct session *s = bpf_map_lookup_elem(&sessions, &slot);
	struct slot_ref ref = {};

	if (s && session_is_wanted(gw, s, s->word, when))
		return s->pool == one->pool && s->pool_port == one->pool_port ? IMPORT_PRESENT
									      : IMPORT_CONFLICT;
	if (s)
		session_end(gw, slot, when);
	slot = session_slot4(&key4);
	s = bpf_map_lookup_elem(&sessions, &slot);
	if (s && session_is_wanted(gw, s, s->word, when))
		return IMPORT_CONFLICT;
	if (s)
		session_end(gw, slot, when);

	enum import_result result = import_bound(gw, one, &ref);

	if (result)
		return result;

	enum reason why = session_make(gw, &key6, &ref, import_word(gw, one, when));

	if (!why)
		return IMPORT_MADE;
	if (why == DROP_TOO_MANY_SESSIONS)
		return IMPORT_LIMITED;
	return session_find6(&key6) ? IMPORT_PRESENT : IMPORT_NO_ROOM;
}

static long import_next(__u32 i, void *data)
{
	struct session_import *one = bpf_map_lookup_elem(&imports, &i);
	struct tables t;

	if (!one || tables_read(&t))
		return 1;
	one->result = import_one(t.gw, one, now());
	return 0;
}

#endif
