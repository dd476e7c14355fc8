// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Sessions (RFC 6146 3.1, 3.5): found from either side by one look-up, kept alive by packets, ended
 * by time. State and deadline are one word.
 */
#ifndef SIXLANE_SESSION_H
#define SIXLANE_SESSION_H

#include "sixlane/binding.h"
#include "sixlane/pair.h"

static __always_inline struct session *session_find6(const struct session6_key *key)
{
	__u32 slot = session_slot6(key);

	return bpf_map_lookup_elem(&sessions, &slot);
}

static __always_inline struct session *session_find4(const struct session4_key *key)
{
	__u32 slot = session_slot4(key);

	return bpf_map_lookup_elem(&sessions, &slot);
}

static __always_inline enum session_state word_state(__u64 word)
{
	return word & SESSION_STATE_MASK;
}

static __always_inline __u64 word_until(__u64 word)
{
	return word >> SESSION_STATE_BITS;
}

static __always_inline __u64 word_make(enum session_state state, __u64 until)
{
	return until << SESSION_STATE_BITS | state;
}

static __always_inline bool word_is_alive(__u64 word, __u64 when)
{
	return word_until(word) > when;
}

/* A second more for a deadline that is not written for less, and one for packets that pass by what
 * is remembered: no session ends early. */
#define UNSEEN_SECONDS 2

static __always_inline __u64 lifetime(const struct gateway *gw, enum lifetime which)
{
	return ((__u64)gw->lifetimes_seconds[which] + UNSEEN_SECONDS) * jiffies_per_second;
}

/* How much longer a session lives that was established until its time was over: in TRANS (RFC 6146
 * 3.5.2.2). An agent probes it meanwhile. */
static __always_inline __u64 after_established(const struct gateway *gw)
{
	return (__u64)gw->lifetimes_seconds[LIFETIME_TCP_TRANSITORY] * jiffies_per_second;
}

/* What a word says by now, whether or not somebody has noted it. */
static __always_inline __u64 word_by_now(const struct gateway *gw, __u64 word, __u64 when)
{
	if (word_is_alive(word, when) || word_state(word) != SESSION_ESTABLISHED)
		return word;
	return word_make(SESSION_TRANS, word_until(word) + after_established(gw));
}

/* When a session with that word ends, if nothing more comes. */
static __always_inline __u64 word_end(const struct gateway *gw, __u64 word)
{
	return word_until(word) +
	       (word_state(word) == SESSION_ESTABLISHED ? after_established(gw) : 0);
}

/* What a packet of TCP says to the state machine. */
enum tcp_sign {
	TCP_OTHER,
	TCP_SYN,
	TCP_FIN,
	TCP_RST,
};

/* What becomes of a session, and for how long; `keep`: neither state nor deadline changes. */
struct transition {
	enum session_state state;
	enum lifetime lifetime;
	bool keep;
};

/* RFC 6146 3.5.2.2, for sessions that exist. `v6`: the packet comes from inside. */
static __always_inline struct transition tcp_transition(enum session_state state, bool v6,
							enum tcp_sign sign)
{
	struct transition keep = { .state = state, .keep = true };
	struct transition open = { .state = state, .lifetime = LIFETIME_TCP_ESTABLISHED };
	struct transition closing = { .state = state, .lifetime = LIFETIME_TCP_TRANSITORY };

	switch (state) {
	case SESSION_V4_INIT:
		if (!v6 || sign != TCP_SYN)
			return keep;
		open.state = SESSION_ESTABLISHED;
		return open;
	case SESSION_V6_INIT:
		if (sign != TCP_SYN)
			return keep;
		if (v6)
			return closing;
		open.state = SESSION_ESTABLISHED;
		return open;
	case SESSION_ESTABLISHED:
		if (sign == TCP_RST) {
			closing.state = SESSION_TRANS;
			return closing;
		}
		if (sign == TCP_FIN)
			open.state = v6 ? SESSION_V6_FIN : SESSION_V4_FIN;
		return open;
	case SESSION_V4_FIN:
	case SESSION_V6_FIN:
		if (sign != TCP_FIN || v6 == (state == SESSION_V6_FIN))
			return open;
		closing.state = SESSION_BOTH_FIN;
		return closing;
	case SESSION_TRANS:
		if (sign == TCP_RST)
			return keep;
		open.state = SESSION_ESTABLISHED;
		return open;
	default:
		return keep;
	}
}

static __always_inline struct transition transition_of(enum session_state state, __u32 protocol,
						       bool v6, enum tcp_sign sign)
{
	if (protocol == SESSION_TCP)
		return tcp_transition(state, v6, sign);
	return (struct transition){ .state = SESSION_OPEN,
				    .lifetime = protocol == SESSION_UDP ? LIFETIME_UDP
									: LIFETIME_ICMP };
}

/* How long a session lives in a state. */
static __always_inline enum lifetime lifetime_in(enum session_state state, __u32 protocol)
{
	if (protocol != SESSION_TCP)
		return protocol == SESSION_UDP ? LIFETIME_UDP : LIFETIME_ICMP;
	return state == SESSION_ESTABLISHED || state == SESSION_V4_FIN || state == SESSION_V6_FIN
		       ? LIFETIME_TCP_ESTABLISHED
		       : LIFETIME_TCP_TRANSITORY;
}

/* Has no packet pass by what is remembered of a flow: each of them matters from now on. A packet
 * that another CPU follows at this moment may be remembered right behind it, for a second. */
static __always_inline void session_forget(struct gateway *gw, const struct session *s)
{
	const struct prefix *px = prefix_at(gw, gw->prefix_indices[s->prefix & (MAX_PREFIXES - 1)]);
	struct addr inside = s->inside, remote = rfc6052_embed(px, bpf_ntohl(s->remote));
	struct addr outside = addr_from_v4(bpf_ntohl(s->remote));
	struct addr pool = addr_from_v4(bpf_ntohl(s->pool));

	pair_forget(&inside, &remote, s->inside_port, s->remote_port);
	pair_forget(&outside, &pool, s->remote_port, s->pool_port);
}

/* What follows from another word of a session, once it is there. A function of its own, as most
 * packets change none. */
__noinline int session_changed(struct gateway *gw, const struct session *s, __u64 from, __u64 to)
{
	if (!gw || !s)
		return -1;

	__u32 slot = s->binding;
	struct binding *b = bpf_map_lookup_elem(&bindings, &slot);

	if (b && word_end(gw, to) < word_end(gw, from))
		binding_shorten(b, word_end(gw, to));
	else if (b)
		binding_keep(b, word_end(gw, to));
	if (word_state(to) == SESSION_TRANS)
		session_forget(gw, s);
	return 0;
}

/*
 * Follows a packet; false: the session has ended. The deadline is written when it moves by a second
 * or more. Another CPU that changed the word meanwhile did so for a packet of the same flow: tried
 * again, as the state may be another one.
 */
static __always_inline bool session_follow(struct gateway *gw, struct session *s, bool v6,
					   enum tcp_sign sign, __u64 when)
{
	for (int i = 0; i < TRIES; i++) {
		__u64 seen = *(volatile __u64 *)&s->word, before = word_by_now(gw, seen, when);

		if (!word_is_alive(before, when))
			return false;

		struct transition to = transition_of(word_state(before), s->protocol, v6, sign);

		if (to.keep || dry_run)
			return true;

		__u64 after = word_make(to.state, when + lifetime(gw, to.lifetime));

		if (to.state == word_state(seen) &&
		    word_until(after) - word_until(seen) < jiffies_per_second)
			return true;
		if (!swap64(&s->word, seen, after))
			continue;
		session_changed(gw, s, seen, after);
		return true;
	}
	return true;
}

static __always_inline struct session6_key session_key6(const struct session *s)
{
	return (struct session6_key){ .inside = s->inside,
				      .remote = s->remote,
				      .inside_port = s->inside_port,
				      .remote_port = s->remote_port,
				      .protocol = s->protocol,
				      .prefix = s->prefix };
}

static __always_inline struct session4_key session_key4(const struct session *s)
{
	return (struct session4_key){ .pool = s->pool,
				      .remote = s->remote,
				      .pool_port = s->pool_port,
				      .remote_port = s->remote_port,
				      .protocol = s->protocol };
}

/* Of a binding's client; `slot`: the binding's. */
static __always_inline void session_count_down(__u32 slot, const struct addr *inside)
{
	struct binding *b = bpf_map_lookup_elem(&bindings, &slot);
	struct addr owner = client_of(inside, b ? b->client_bits : 0);
	struct client *client = b ? bpf_map_lookup_elem(&clients, &owner) : NULL;

	if (client)
		__sync_fetch_and_sub(&client->sessions, 1);
}

/* One more of a client, unless it has all that it may have. */
static __always_inline bool session_count_up(struct gateway *gw, const struct binding *b,
					     const struct addr *inside)
{
	struct addr owner = client_of(inside, b->client_bits);
	struct client *client = bpf_map_lookup_elem(&clients, &owner);
	struct pool *pool = pool_of(gw, inside);

	return client && pool &&
	       count_up(&client->sessions, 0, pool->max_sessions ? pool->max_sessions : GONE);
}

/* Could a session be made for an inside address now? A function of its own, as is the next one: the
 * callers' stack is for others. */
__noinline int session_dry(struct gateway *gw, const struct addr *inside, __u32 client_bits)
{
	if (!gw || !inside)
		return DROP_TABLE_FULL;

	struct addr owner = client_of(inside, client_bits);
	struct client *client = bpf_map_lookup_elem(&clients, &owner);
	struct pool *pool = pool_of(gw, inside);

	note_client(client, pool ? pool->blocks : 0);
	if (client && pool && pool->max_sessions &&
	    !count_up(&client->sessions, 0, pool->max_sessions))
		return DROP_TOO_MANY_SESSIONS;
	return (__u32)session_slot_take() == NO_SLOT ? DROP_TABLE_FULL : REASON_NONE;
}

__noinline int note_session(const struct session *s, __u64 when)
{
	if (!s)
		return 0;

	__u64 word = *(volatile __u64 *)&s->word;
	__u32 slot = s->binding;
	struct binding *b = bpf_map_lookup_elem(&bindings, &slot);

	note_binding(FLOW_SESSION, &s->inside, s->inside_port, b ? b->client_bits : 0);
	note_pool(FLOW_SESSION, s->pool, s->pool_port);
	note_lifetime(word_state(word), seconds_of(word_until(word) - when));
	return 0;
}

static __always_inline struct filter4_key session_filter(const struct session4_key *key)
{
	return (struct filter4_key){ .pool = key->pool,
				     .remote = key->remote,
				     .pool_port = key->pool_port,
				     .protocol = key->protocol };
}

/* Has the node behind this port talked to that address (RFC 6146 3.5.1.2)? */
static __always_inline bool filter_lets_in(const struct session4_key *key)
{
	struct filter4_key filter = session_filter(key);
	__u32 *count = bpf_map_lookup_elem(&filters4, &filter);

	return count && !(*count & GONE);
}

/* Counts a session's peer; false: it cannot be, and will not count when others are asked. */
static __always_inline bool filter_add(const struct session4_key *key)
{
	struct filter4_key filter = session_filter(key);
	__u32 one = 1, *count = bpf_map_lookup_elem(&filters4, &filter);

	if (!count && !bpf_map_update_elem(&filters4, &filter, &one, BPF_NOEXIST))
		return true;
	if (!count)
		count = bpf_map_lookup_elem(&filters4, &filter);
	return count && count_up(count, 0, GONE);
}

static __always_inline void filter_remove(const struct session4_key *key)
{
	struct filter4_key filter = session_filter(key);
	__u32 *count = bpf_map_lookup_elem(&filters4, &filter);

	if (count && count_down(count))
		bpf_map_delete_elem(&filters4, &filter);
}

/* Has the session's time not come yet, and is its address still one of pool4? */
static __always_inline bool session_is_wanted(const struct gateway *gw, const struct session *s,
					      __u64 word, __u64 when)
{
	return word_end(gw, word) > when && is_in_pool4(gw, s->pool);
}

/* Takes out what has ended by now; one CPU alone does. */
__noinline int session_end(struct gateway *gw, __u32 slot, __u64 when)
{
	struct session *s = bpf_map_lookup_elem(&sessions, &slot);

	if (!gw || !s)
		return 0;

	__u64 seen = *(volatile __u64 *)&s->word;

	if (dry_run || !seen || seen == SESSION_ADDED || session_is_wanted(gw, s, seen, when) ||
	    !swap64(&s->word, seen, SESSION_FREE))
		return 0;
	if (gw->flags & GATEWAY_LOG_SESSIONS)
		log_session(s, SESSION_EVENT_ENDED);

	struct session6_key key6 = session_key6(s);
	struct session4_key key4 = session_key4(s);

	session_remove6(&key6, slot);
	session_remove4(&key4, slot);
	if (s->filtered)
		filter_remove(&key4);
	session_count_down(s->binding, &key6.inside);
	binding_release(gw, s->binding);
	s->serial++;
	slot_give(SLOTS_SESSIONS, slot, &s->next);
	return 1;
}

/* Notes that a session that was established is in TRANS by now, for whoever is to probe it: one
 * alone. */
__noinline int session_lapse(struct gateway *gw, __u32 slot, __u64 when)
{
	struct session *s = bpf_map_lookup_elem(&sessions, &slot);

	if (!gw || !s)
		return false;

	__u64 seen = *(volatile __u64 *)&s->word, by_now = word_by_now(gw, seen, when);

	return by_now != seen && session_is_wanted(gw, s, by_now, when) &&
	       swap64(&s->word, seen, by_now);
}

#define AGENT_AWAY_SECONDS 5
#define SWEPT_AT_ONCE	   4

/* While no agent looks for ended sessions, whoever makes one looks at some: slots and ports come
 * back as fast as they are asked for. */
__noinline int session_sweep(struct gateway *gw, __u64 when)
{
	__u32 zero = 0, which = SLOTS_SESSIONS;
	struct sweeping *sweeping = bpf_map_lookup_elem(&sweepings, &zero);
	struct slots *slots = bpf_map_lookup_elem(&free_slots, &which);

	if (!gw || !sweeping || !slots || !slots->fresh ||
	    bpf_jiffies64() - sweeping->by_agent_jiffies < AGENT_AWAY_SECONDS * jiffies_per_second)
		return 0;

	__u64 next = __sync_fetch_and_add(&sweeping->next, SWEPT_AT_ONCE);

	for (int i = 0; i < SWEPT_AT_ONCE; i++)
		session_end(gw, (next + i) % slots->fresh, when);
	return 0;
}

/* Slots that are looked at when something lacks room, and how often at most: a hundredth of a CPU's
 * time, whoever asks. */
#define SWEPT_AHEAD		4096
#define SWEEPS_AHEAD_PER_SECOND 250

struct sweep_ahead {
	struct gateway *gw;
	__u64 when;
	__u64 first;
	__u64 fresh;
};

static long sweep_ahead_slot(__u32 i, void *data)
{
	struct sweep_ahead *sweep = data;
	__u64 fresh = sweep->fresh ? sweep->fresh : 1;

	session_end(sweep->gw, (sweep->first + i) % fresh, sweep->when);
	return 0;
}

static __always_inline bool is_due_again(__u64 last, __u64 when)
{
	return last != when && (when - last) * SWEEPS_AHEAD_PER_SECOND >= jiffies_per_second;
}

static __always_inline bool sweep_ahead_is_due(__u64 when)
{
	__u32 zero = 0;
	struct sweeping *sweeping = bpf_map_lookup_elem(&sweepings, &zero);

	return !dry_run && sweeping &&
	       is_due_again(*(volatile __u64 *)&sweeping->ahead_jiffies, when);
}

/* Takes out what has ended, before something is refused because of it. */
static __always_inline void session_sweep_ahead(struct gateway *gw, __u64 when)
{
	__u32 zero = 0, which = SLOTS_SESSIONS;
	struct sweeping *sweeping = bpf_map_lookup_elem(&sweepings, &zero);
	struct slots *slots = bpf_map_lookup_elem(&free_slots, &which);

	if (!sweeping || !slots)
		return;

	__u64 seen = *(volatile __u64 *)&sweeping->ahead_jiffies;

	if (!is_due_again(seen, when) || !swap64(&sweeping->ahead_jiffies, seen, when))
		return;

	struct sweep_ahead sweep = { .gw = gw, .when = when, .fresh = slots->fresh };
	__u32 count = sweep.fresh < SWEPT_AHEAD ? sweep.fresh : SWEPT_AHEAD;

	sweep.first = __sync_fetch_and_add(&sweeping->next, count);
	bpf_loop(count, sweep_ahead_slot, &sweep, 0);
}

/* A session for a binding that is held for it; what holds it is given back if there is none. */
__noinline int session_make(struct gateway *gw, const struct session6_key *key,
			    const struct slot_ref *ref, __u64 word)
{
	if (!gw || !key || !ref)
		return DROP_TABLE_FULL;

	struct binding *b = binding_at(ref);
	struct addr inside = key->inside;
	enum reason why = DROP_TOO_MANY_SESSIONS;
	__u32 slot;

	if (!b)
		return DROP_TABLE_FULL;
	if (!session_count_up(gw, b, &inside))
		goto no_session;
	why = DROP_TABLE_FULL;
	slot = session_slot_take();

	struct session *s = bpf_map_lookup_elem(&sessions, &slot);

	if (!s)
		goto no_slot;
	s->inside = inside;
	s->pool = b->pool;
	s->remote = key->remote;
	s->inside_port = key->inside_port;
	s->pool_port = b->pool_port;
	s->remote_port = key->remote_port;
	s->protocol = key->protocol;
	s->prefix = key->prefix;
	s->binding = ref->slot;
	s->generation6 = 0;
	s->generation4 = 0;
	*(volatile __u64 *)&s->word = SESSION_ADDED;
	binding_keep(b, word_end(gw, word));

	struct session4_key key4 = session_key4(s);

	if (!session_add4(&key4, slot))
		goto taken;
	if (session_add6(key, slot)) {
		s->filtered = gw->flags & GATEWAY_FILTER_ADDRESS && filter_add(&key4);
		if (gw->flags & GATEWAY_LOG_SESSIONS)
			log_session(s, SESSION_EVENT_MADE);
		*(volatile __u64 *)&s->word = word;
		return REASON_NONE;
	}
	session_remove4(&key4, slot);
taken: /* by another CPU, for a packet of the same flow; or there is no room */
	*(volatile __u64 *)&s->word = SESSION_FREE;
	s->serial++;
	slot_give(SLOTS_SESSIONS, slot, &s->next);
no_slot:
	session_count_down(ref->slot, &inside);
no_session:
	binding_release(gw, ref->slot);
	return why;
}

#endif
