// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Static bindings (RFC 6146 3.1): they hold themselves, so they live without sessions. One caller
 * at a time, in the context of a process: a packet may come in between on the same CPU.
 */
#ifndef SIXLANE_STATIC_H
#define SIXLANE_STATIC_H

#include "sixlane/session.h"

/* Not that of packets, as one of them may come in between. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct binding_work);
} static_works SEC(".maps");

static __always_inline struct binding_work *static_work(const struct addr *inside,
							__be16 inside_port, __u8 protocol)
{
	__u32 zero = 0;
	struct binding_work *work = bpf_map_lookup_elem(&static_works, &zero);

	if (!work)
		return NULL;
	__builtin_memset(work, 0, sizeof(*work));
	work->key.inside = *inside;
	work->key.inside_port = inside_port;
	work->key.protocol = protocol;
	return work;
}

/* What sessions have bound already: it stays as it is, or it is in the way. */
static __always_inline enum bind_result static_keep(struct binding *b, __u32 slot,
						    const struct static_binding *wanted)
{
	if (b->pool != wanted->pool || b->pool_port != wanted->pool_port)
		return BIND_INSIDE_BOUND;
	if (!(b->flags & BINDING_STATIC) && !count_up(&b->sessions, 0, GONE))
		return BIND_INSIDE_BOUND; /* it is being removed */
	b->prefix = wanted->prefix;
	b->flags |= BINDING_STATIC;
	binding_lead_to(b, slot);
	return BIND_DONE;
}

/* Its client is counted like that of any other binding, and has its own address if it is new; the
 * port may lie in anybody's block, or in none. */
static __always_inline enum bind_result static_put(struct gateway *gw,
						   const struct static_binding *wanted)
{
	struct binding_work *work =
		static_work(&wanted->inside, wanted->inside_port, wanted->protocol);
	struct addr inside = wanted->inside, owner = client_of(&inside, gw->client_bits);
	struct pool *pool = pool_of(gw, &inside);
	__u32 address = address_index(gw, bpf_ntohl(wanted->pool));
	__u16 port = bpf_ntohs(wanted->pool_port);
	__u64 protocol = wanted->protocol;
	struct slot_ref ref = {};

	barrier_var(protocol); /* what is checked is what is used */
	if (!work || !pool || address == NO_SLOT || protocol >= SESSION_PROTOCOLS)
		return BIND_NOT_POOL4;

	struct port_wish *w = &work->w;
	struct binding *b = binding_find(&work->key, &ref);

	if (b)
		return static_keep(b, ref.slot, wanted);
	if (!take_one_port(address, protocol, port))
		return BIND_PORT_TAKEN;
	w->protocol = protocol;
	w->port = port;
	w->block_words = pool->block_words;
	w->ports = pool->ports[protocol];
	w->random = bpf_get_prandom_u32();

	struct client *client = client_get(gw, pool, work, &owner, NULL, address);

	if (!client || !count_up(&client->bindings, 0, GONE))
		goto no_client;
	w->address = address;
	work->prefix = wanted->prefix;
	work->flags = BINDING_STATIC | BINDING_OWN_PORT;
	if (binding_put(gw, work, port, &ref))
		return BIND_DONE;
	client_release(gw, client, &owner, client_pool(gw, client));
no_client:
	give_one_port(address, protocol, port);
	/* A packet of the inside end may have made its binding meanwhile. */
	b = binding_find(&work->key, &ref);
	return b ? static_keep(b, ref.slot, wanted) : BIND_NO_ROOM;
}

#define LOOPS_MAX (1U << 23) /* of bpf_loop() */

struct ending {
	__u32 first;
	__u32 binding; /* its slot */
};

static long end_if_of_binding(__u32 i, void *data)
{
	struct ending *ending = data;
	__u32 slot = ending->first + i;
	struct session *s = bpf_map_lookup_elem(&sessions, &slot);
	struct tables t;

	if (!s)
		return 1;
	if (s->binding == ending->binding && !tables_read(&t))
		session_end(t.gw, slot, ~0ULL);
	return 0;
}

/* It goes, and its sessions with it. First it is no longer found from outside, so that meanwhile
 * there are no new ones; those from inside keep it for as long as they live. */
static __always_inline enum bind_result static_remove(struct gateway *gw,
						      const struct static_binding *unwanted)
{
	struct binding_work *work =
		static_work(&unwanted->inside, unwanted->inside_port, unwanted->protocol);
	struct slot_ref ref = {};
	struct binding *b = work ? binding_find(&work->key, &ref) : NULL;

	struct ending ending = { .binding = ref.slot };

	if (!b || !(b->flags & BINDING_STATIC))
		return BIND_DONE;
	binding_lead_to(b, NO_SLOT);
	b->flags &= ~BINDING_STATIC;
	bpf_loop(LOOPS_MAX, end_if_of_binding, &ending, 0);
	ending.first = LOOPS_MAX;
	bpf_loop(LOOPS_MAX, end_if_of_binding, &ending, 0);
	binding_release(gw, ref.slot);
	return BIND_DONE;
}

#endif
