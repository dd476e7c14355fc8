// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Flows of services that are translated: found from either side by one look-up, as sessions are.
 * What has ended is taken out by those who make others; nobody else need come by.
 */
#ifndef SIXLANE_NAT_FLOW_H
#define SIXLANE_NAT_FLOW_H

#include "sixlane/flow.h"
#include "sixlane/session.h"

/* Ports that are tried for a flow: the client's, and then any. */
#define PORTS_TRIED 8

/* Slots that are looked at by whoever makes a flow, and when there is no other one. */
#define FLOWS_SWEPT	  2
#define FLOWS_SWEPT_AHEAD 64

static __always_inline struct nat_flow *flow_at(__u32 slot)
{
	return bpf_map_lookup_elem(&nat_flows, &slot);
}

static __always_inline struct flow_in_key flow_key_in(const struct nat_flow *f)
{
	return (struct flow_in_key){ .client = f->client,
				     .frontend = f->frontend,
				     .client_port = f->client_port };
}

static __always_inline struct flow_back_key flow_key_back(const struct nat_flow *f)
{
	return (struct flow_back_key){ .backend = f->backend,
				       .source = f->source,
				       .backend_port = f->backend_port,
				       .source_port = f->source_port,
				       .protocol = f->protocol };
}

/* Takes out what has ended by now; one CPU alone does. */
__noinline int flow_end(__u32 slot, __u64 when)
{
	struct nat_flow *f = flow_at(slot);
	__u64 seen = f ? *(volatile __u64 *)&f->word : 0;

	if (!f || dry_run || !seen || seen == SESSION_ADDED || word_is_alive(seen, when) ||
	    !swap64(&f->word, seen, SESSION_FREE))
		return 0;

	struct flow_in_key in = flow_key_in(f);
	struct flow_back_key back = flow_key_back(f);

	flow_remove_in(&in, slot);
	flow_remove_back(&back, slot);
	f->serial++;
	slot_give(SLOTS_FLOWS, slot, &f->next);
	return 1;
}

struct flow_sweep {
	__u64 first;
	__u64 fresh;
	__u64 when;
};

static long flow_sweep_slot(__u32 i, void *data)
{
	const struct flow_sweep *sweep = data;

	flow_end((sweep->first + i) % (sweep->fresh ? sweep->fresh : 1), sweep->when);
	return 0;
}

/* Looks at the next `count` slots. */
__noinline int flow_sweep(__u64 when, __u32 count)
{
	__u32 zero = 0;
	struct slots *slots = bpf_map_lookup_elem(&flow_slots, &zero);
	struct sweeping *sweeping = bpf_map_lookup_elem(&flow_sweeps, &zero);

	if (!slots || !sweeping || dry_run)
		return 0;

	struct flow_sweep sweep = { .fresh = slots->fresh, .when = when };

	sweep.first = __sync_fetch_and_add(&sweeping->next, count);
	bpf_loop(count, flow_sweep_slot, &sweep, 0);
	return 0;
}

/* Until when a flow lives that is in a state from now on: as long as others are remembered. */
static __always_inline __u64 flow_until(const struct gateway *gw, enum session_state state,
					__u32 protocol, bool first, __u64 when)
{
	const enum flow_state like = first || state == SESSION_V6_INIT ? FLOW_NEW
				     : protocol != SESSION_TCP	       ? FLOW_UDP
				     : lifetime_in(state, protocol) == LIFETIME_TCP_ESTABLISHED
					     ? FLOW_TCP
					     : FLOW_CLOSING;

	return when + ((__u64)gw->flow_ticks[like] << flow_tick_shift);
}

/* As of a session; but a client may call again from a port whose flow both ends have closed. */
static __always_inline struct transition flow_transition(enum session_state state, __u32 protocol,
							 bool in, enum tcp_sign sign)
{
	if (state == SESSION_BOTH_FIN && in && sign == TCP_SYN)
		return (struct transition){ .state = SESSION_V6_INIT };
	return transition_of(state, protocol, in, sign);
}

/* Follows a packet; false: the flow has ended. As session_follow(). `in`: from the client. */
static __always_inline bool flow_follow(const struct gateway *gw, struct nat_flow *f, bool in,
					enum tcp_sign sign, __u64 when)
{
	for (int i = 0; i < TRIES; i++) {
		__u64 seen = *(volatile __u64 *)&f->word;

		if (!word_is_alive(seen, when))
			return false;

		struct transition to = flow_transition(word_state(seen), f->protocol, in, sign);

		if (to.keep || dry_run)
			return true;

		__u64 until = flow_until(gw, to.state, f->protocol, false, when);
		__u64 after = word_make(to.state, until);

		if (to.state == word_state(seen) &&
		    word_until(after) - word_until(seen) < jiffies_per_second)
			return true;
		if (swap64(&f->word, seen, after))
			return true;
	}
	return true;
}

/* Has a flow end now: it is to go elsewhere. */
static __always_inline void flow_give_up(struct nat_flow *f)
{
	__u64 seen = *(volatile __u64 *)&f->word;

	if (!dry_run && seen && seen != SESSION_ADDED)
		swap64(&f->word, seen, word_make(SESSION_TRANS, 0));
}

/* A flow that is to be: all but its source's port, and what becomes of that. */
struct flow_wish {
	struct nat_flow flow;
	__u64 word;
	__u32 slot;  /* out */
	__u32 found; /* out: another CPU has made it meanwhile */
};

static __always_inline __be16 port_tried(__be16 client_port, int i)
{
	__u32 random = i ? bpf_get_prandom_u32() : 0;

	/* RFC 6056 3.3.2: any port but the well-known ones. */
	return i ? bpf_htons(1024 + (random & 0xffff) % 64512) : client_port;
}

/* Makes a flow; REASON_NONE also where another CPU has just done so for a packet of the same one.
 */
__noinline int flow_make(struct flow_wish *wish, __u64 when)
{
	if (!wish)
		return DROP_TABLE_FULL;

	__u32 slot = flow_slot_take();

	wish->found = false;
	if (slot == NO_SLOT) {
		flow_sweep(when, FLOWS_SWEPT_AHEAD);
		slot = flow_slot_take();
	}

	struct nat_flow *f = flow_at(slot);
	bool added = false;

	if (!f)
		return DROP_TABLE_FULL;
	if (dry_run)
		return REASON_NONE;

	__u32 serial = f->serial;

	*f = wish->flow;
	f->serial = serial;
	*(volatile __u64 *)&f->word = SESSION_ADDED;
	for (int i = 0; i < PORTS_TRIED && !added; i++) {
		f->source_port = port_tried(wish->flow.client_port, i);

		struct flow_back_key back = flow_key_back(f);

		added = flow_add_back(&back, slot);
	}

	struct flow_in_key in = flow_key_in(f);

	if (added && flow_add_in(&in, slot)) {
		*(volatile __u64 *)&f->word = wish->word;
		wish->slot = slot;
		return REASON_NONE;
	}

	struct flow_back_key back = flow_key_back(f);

	if (added)
		flow_remove_back(&back, slot);
	*(volatile __u64 *)&f->word = SESSION_FREE;
	f->serial++;
	slot_give(SLOTS_FLOWS, slot, &f->next);
	wish->slot = flow_slot_in(&in);
	wish->found = true;
	return wish->slot == NO_SLOT ? (added ? DROP_TABLE_FULL : DROP_NO_PORT) : REASON_NONE;
}

#endif
