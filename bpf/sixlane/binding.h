// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Bindings of an inside address and port to one of pool4 (RFC 6146 3.1), and the clients that they
 * are counted for. Whoever adds to what is being removed finds its count ended, and begins anew.
 */
#ifndef SIXLANE_BINDING_H
#define SIXLANE_BINDING_H

#include "sixlane/pool4.h"

/* Whose address it is, where addresses with the same first `bits` are one client. */
static __always_inline struct addr client_of(const struct addr *inside, __u32 bits)
{
	__u32 high = bits < 64 ? bits : 64;

	return (struct addr){ .hi = inside->hi & bpf_cpu_to_be64(mask64(high)),
			      .lo = inside->lo & bpf_cpu_to_be64(mask64(bits - high)) };
}

#define ADDRESSES_TRIED 16

/* Beside the frames of those who call and are called there is little room on the stack. */
struct binding_work {
	struct port_wish w;
	struct client fresh;
	struct binding6_key key;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct binding_work);
} binding_works SEC(".maps");

/* The client, with an address and a first block there if it is new. It keeps its address. */
static __always_inline struct client *client_get(const struct gateway *gw, const struct pool *pool,
						 struct binding_work *work, const struct addr *key)
{
	struct client *client = bpf_map_lookup_elem(&clients, key), *fresh = &work->fresh;
	__u32 hash = spread(addr_both(key)) >> 32;
	__u32 n = hash % (pool->addresses ? pool->addresses : 1), block = 0;

	if (client)
		return client;
	for (__u32 i = 0; i < ADDRESSES_TRIED && !block; i++) {
		if (i >= pool->addresses)
			break;
		work->w.address = pool_address(gw, pool->first_range, (n + i) % pool->addresses);
		block = give_block(&work->w);
	}
	if (!block)
		return NULL;
	__builtin_memset(fresh, 0, sizeof(*fresh));
	fresh->block_words = pool->block_words;
	fresh->pool = pool->id;
	fresh->address = work->w.address;
	fresh->blocks[0] = block;
	if (bpf_map_update_elem(&clients, key, fresh, BPF_NOEXIST))
		take_block_back(work->w.address, block);
	return bpf_map_lookup_elem(&clients, key);
}

static __always_inline void client_release(struct client *client, const struct addr *key)
{
	if (!count_down(&client->bindings))
		return;
	for (__u32 i = 0; i < CLIENT_BLOCKS; i++)
		take_block_back(client->address, client_block(client, i));
	bpf_map_delete_elem(&clients, key);
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

/* False: all sessions have ended, and it only waits to be taken out. */
static __always_inline bool binding_is_alive(const struct binding *b, __u64 when)
{
	return b->until_seconds >= seconds_of(when);
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
	struct slot_ref *found = bpf_map_lookup_elem(&bindings6, key);

	if (!found)
		return NULL;
	*ref = *found;
	return binding_at(ref);
}

/* By the port of pool4. `protocol`: enum session_protocol. */
static __always_inline struct binding *binding_of_port(__u32 address, __u32 protocol, __u16 port,
						       __u32 *slot)
{
	__u32 *cell = port_cell(address, protocol, port);

	*slot = cell ? *cell - 1 : NO_SLOT;
	return cell && *cell ? bpf_map_lookup_elem(&bindings, slot) : NULL;
}

/*
 * Makes the binding for an inside address and port, held once: REASON_NONE and *ref. If another CPU
 * was faster, DROP_TABLE_FULL: its packet and this one are of one flow, and the next will find it.
 */
__noinline int binding_make(struct gateway *gw, const struct binding6_key *key, __u32 prefix,
			    struct slot_ref *ref)
{
	__u32 zero = 0;
	struct binding_work *work = bpf_map_lookup_elem(&binding_works, &zero);

	if (!gw || !key || !ref || !work)
		return DROP_TABLE_FULL;

	struct addr inside = key->inside, owner = client_of(&inside, gw->client_bits);
	struct pool *pool = pool_of(gw, &inside);
	struct port_wish *w = &work->w;
	struct slot_ref to = {};

	work->key = *key; /* Linux 6.1 takes no keys that a caller points to */

	__u64 protocol = work->key.protocol;

	barrier_var(protocol); /* what is checked is what is used */
	if (!pool || protocol >= SESSION_PROTOCOLS)
		return DROP_NO_PORT;
	w->protocol = protocol;
	w->port = bpf_ntohs(work->key.inside_port);
	w->block_words = pool->block_words;
	w->ports = pool->ports[protocol];
	w->random = bpf_get_prandom_u32();

	struct client *client = client_get(gw, pool, work, &owner);

	if (!client)
		return DROP_NO_PORT;
	w->address = client->address;
	w->block_words = client->block_words;

	__u32 pool_v4 = address_at(gw, w->address);

	if (!pool_v4)
		return DROP_NO_PORT; /* not of pool4 any more, and other bindings hold the client */
	if (!count_up(&client->bindings, 0, GONE))
		return DROP_TABLE_FULL;

	int port = take_port(client, w, pool->blocks);
	__u32 slot = NO_SLOT;
	struct binding *b = NULL;
	__u32 *cell = NULL;

	if (port < 0)
		goto no_port;
	slot = binding_slot_take();
	b = bpf_map_lookup_elem(&bindings, &slot);
	cell = port_cell(w->address, w->protocol, port);
	if (!b || !cell)
		goto no_slot;
	b->inside = inside;
	b->pool = bpf_htonl(pool_v4);
	b->inside_port = key->inside_port;
	b->pool_port = bpf_htons(port);
	b->protocol = key->protocol;
	b->prefix = prefix;
	b->address = w->address;
	b->client_bits = gw->client_bits;
	b->until_seconds = 0;
	*(volatile __u32 *)&b->sessions = 1;
	to.slot = slot;
	to.serial = b->serial;
	if (bpf_map_update_elem(&bindings6, &work->key, &to, BPF_NOEXIST))
		goto taken;
	*ref = to;
	*(volatile __u32 *)cell = slot + 1;
	return REASON_NONE;
taken:
	b->serial++;
	slot_give(SLOTS_BINDINGS, slot, &b->next);
no_slot:
	give_port(client, w->address, w->protocol, port);
no_port:
	client_release(client, &owner);
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
	__u32 *cell = port_cell(b->address, b->protocol, port);

	bpf_map_delete_elem(&bindings6, &key);
	if (cell)
		*(volatile __u32 *)cell = 0;
	if (client) {
		give_port(client, b->address, b->protocol, port);
		client_release(client, &owner);
	}
	b->serial++;
	slot_give(SLOTS_BINDINGS, slot, &b->next);
	return 0;
}

#endif
