// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * SYNs from outside that nobody inside is known to wait for: kept for some seconds, in case one
 * from inside is under way (RFC 6146 3.5.2.2). A table of sets, one for each endpoint outside:
 * whoever sends many fills but its own, and what a node inside calls is found by the endpoint
 * called.
 */
#ifndef SIXLANE_SYN_H
#define SIXLANE_SYN_H

#include "sixlane/addr.h"
#include "sixlane/drop.h"
#include "sixlane/slots.h"

#define SYN_BUSY ~0ULL /* in place of a time: somebody writes or reads it */

/* Number of the first slot of an endpoint's set. */
static __always_inline __u32 syn_set(__be32 remote, __be16 remote_port)
{
	__u64 sets = ((struct bpf_map *)&syns)->max_entries / SYN_WAYS;
	__u64 mixed = spread((__u64)remote << 16 | remote_port) >> 32;

	return (mixed * sets >> 32) * SYN_WAYS;
}

static __always_inline bool syn_is_alive(__u64 until, __u64 when)
{
	return until > when && until != SYN_BUSY;
}

static __always_inline bool syn_is(const struct stored_syn *syn, const struct session4_key *key)
{
	return syn->pool == key->pool && syn->remote == key->remote &&
	       syn->pool_port == key->pool_port && syn->remote_port == key->remote_port;
}

static __always_inline struct sweeping *syn_sweeping(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sweepings, &zero);
}

/* Does any SYN wait at all? Mostly none does, and a set is many cache lines. */
static __always_inline bool any_syn_waits(__u64 when)
{
	struct sweeping *sweeping = syn_sweeping();

	return sweeping && *(volatile __u64 *)&sweeping->syns_until > when;
}

/* Does a SYN of that connection wait? `take`: not any more; true for one CPU alone. */
__noinline int syn_waits(const struct session4_key *key, __u64 when, __u32 take)
{
	bool found = false;

	if (!key || key->protocol != SESSION_TCP || !any_syn_waits(when))
		return false;

	__u32 slot = syn_set(key->remote, key->remote_port);

	for (int way = 0; way < SYN_WAYS; way++, slot++) {
		struct stored_syn *syn = bpf_map_lookup_elem(&syns, &slot);

		if (!syn)
			break;

		__u64 until = *(volatile __u64 *)&syn->until;

		if (!syn_is_alive(until, when) || !syn_is(syn, key))
			continue;
		if (!take || swap64(&syn->until, until, 0))
			found = true;
	}
	return found;
}

/* A slot of the set, or NO_SLOT: all wait. */
__noinline int syn_claim(const struct session4_key *key, __u64 when)
{
	if (!key)
		return NO_SLOT;

	__u32 slot = syn_set(key->remote, key->remote_port);

	for (int way = 0; way < SYN_WAYS; way++, slot++) {
		struct stored_syn *syn = bpf_map_lookup_elem(&syns, &slot);

		if (!syn)
			break;

		__u64 until = *(volatile __u64 *)&syn->until;

		if (until > when || !swap64(&syn->until, until, SYN_BUSY))
			continue;
		if (until) /* there is no agent that would answer it */
			count(SYN_EXPIRED, syn->bytes);
		return slot;
	}
	return NO_SLOT;
}

/* Keeps a packet for `seconds`, unless it is one more of a connection of which one is kept. */
static __always_inline enum reason syn_store(struct ctx c, const struct pkt *p,
					     const struct session4_key *key, __u64 when,
					     __u32 seconds)
{
	if (syn_waits(key, when, false))
		return DROP_SYN_REPEATED;
	if (dry_run)
		return DROP_SYN_STORED;

	__u32 slot = syn_claim(key, when);
	struct stored_syn *syn = bpf_map_lookup_elem(&syns, &slot);
	__u32 bytes = min_u32(pkt_l3_bytes(p), SYN_HEAD_BYTES);

	if (!syn)
		return DROP_SYN_STORE_FULL;
	syn->pool = key->pool;
	syn->remote = key->remote;
	syn->pool_port = key->pool_port;
	syn->remote_port = key->remote_port;
	syn->bytes = bytes;
	if (ctx_load(c, p->l3, syn->head, bytes, SYN_HEAD_BYTES)) {
		*(volatile __u64 *)&syn->until = 0;
		return DROP_TRUNCATED;
	}

	struct sweeping *sweeping = syn_sweeping();
	__u64 until = when + (__u64)seconds * jiffies_per_second;

	if (sweeping && sweeping->syns_until < until)
		*(volatile __u64 *)&sweeping->syns_until = until;
	*(volatile __u64 *)&syn->until = until;
	return DROP_SYN_STORED;
}

/* As the verifier walks it once. */
__noinline int xdp_syn_store(struct xdp_md *raw, const struct pkt *p,
			     const struct session4_key *key, __u32 seconds)
{
	return p && key ? syn_store((struct ctx){ raw, ENTRY_XDP }, p, key, now(), seconds)
			: DROP_SYN_STORE_FULL;
}

__noinline int tc_syn_store(struct __sk_buff *raw, const struct pkt *p,
			    const struct session4_key *key, __u32 seconds)
{
	return p && key ? syn_store((struct ctx){ raw, ENTRY_TC }, p, key, now(), seconds)
			: DROP_SYN_STORE_FULL;
}

#endif
