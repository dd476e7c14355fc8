// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The log of port blocks and of sessions: one record each in the ring buffer `session_events`, for
 * the agent to write down. Who has what is told before others can see it, and that it ends before
 * another one can have it: records of one port are in the order of time.
 */
#ifndef SIXLANE_LOG_H
#define SIXLANE_LOG_H

#include "sixlane/drop.h"
#include "sixlane/pool4.h"

/* Not with `dry_run`. NULL: there is no room, which is counted. */
static __always_inline struct session_event *log_begin(enum session_event_kind kind)
{
	struct session_event *e = bpf_ringbuf_reserve(&session_events, sizeof(*e), 0);

	if (!e) {
		count(SESSION_LOG_LOST, 0);
		return NULL;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = bpf_ktime_get_ns();
	e->kind = kind;
	return e;
}

/* A function of its own, as the next ones: callers have little room on the stack. */
__noinline int log_session(const struct session *s, __u32 kind)
{
	struct session_event *e = s && !dry_run ? log_begin(kind) : NULL;

	if (!e)
		return 0;
	e->inside = s->inside;
	e->pool = s->pool;
	e->remote = s->remote;
	e->inside_port = s->inside_port;
	e->pool_port = s->pool_port;
	e->remote_port = s->remote_port;
	e->protocol = s->protocol;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

static __always_inline void log_block(const struct gateway *gw, const struct client *client,
				      const struct addr *inside, __u32 block, __be32 pool,
				      enum session_event_kind kind)
{
	struct session_event *e = block ? log_begin(kind) : NULL;
	__u32 first = (block - 1) * PORTS_OF_WORD;

	if (!e)
		return;
	e->inside = client_of(inside, gw->client_bits);
	e->client_bits = gw->client_bits;
	e->pool = pool;
	e->pool_port = bpf_htons(first);
	e->last_port = bpf_htons(first + client->block_words * PORTS_OF_WORD - 1);
	bpf_ringbuf_submit(e, 0);
}

static __always_inline __be32 client_pool(const struct gateway *gw, const struct client *client)
{
	return bpf_htonl(address_at(gw, client->address));
}

/* `inside`: any address of the client. `block`: number of its first word + 1. */
__noinline int log_block_given(const struct gateway *gw, const struct client *client,
			       const struct addr *inside, __u32 block)
{
	if (!dry_run && gw && client && inside && gw->flags & GATEWAY_LOG_BLOCKS)
		log_block(gw, client, inside, block, client_pool(gw, client),
			  SESSION_EVENT_BLOCK_GIVEN);
	return 0;
}

/* `pool`: the client's address, which may have left pool4 since. */
__noinline int log_block_back(const struct gateway *gw, const struct client *client,
			      const struct addr *inside, __u32 block, __be32 pool)
{
	if (!dry_run && gw && client && inside && gw->flags & GATEWAY_LOG_BLOCKS)
		log_block(gw, client, inside, block, pool, SESSION_EVENT_BLOCK_BACK);
	return 0;
}

#endif
