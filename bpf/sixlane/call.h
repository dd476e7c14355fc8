// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A packet to a frontend, on whichever way: what it says of its flow, what is counted, and what its
 * fragments are told. */
#ifndef SIXLANE_CALL_H
#define SIXLANE_CALL_H

#include "sixlane/flow.h"
#include "sixlane/fragment.h"
#include "sixlane/nat_flow.h"
#include "sixlane/pass.h"

/* A packet to a frontend, from the look-up of that on. */
struct call {
	__u32 frontend; /* id of its counters */
	struct choice choice;
	__u32 service_flags;
	__u64 flow; /* its hash: of the client's alone only the choice is made by */
};

static __always_inline void call_begin(struct call *call, const struct frontend *frontend)
{
	call->frontend = frontend->id;
	call->choice.service = frontend->service;
}

static __always_inline void note_call(const struct call *call)
{
	note_backend(call->choice.service, call->choice.id, call->choice.is_new);
}

/* Counts what goes nowhere: a function of its own, as little does. */
__noinline int call_drop(const struct call *call, __u32 why, __u32 bytes)
{
	if (!call)
		return -1;
	if (dry_run) {
		note_call(call);
		return 0;
	}

	struct frontend_drop key = { .frontend = call->frontend, .reason = why };
	struct frontend_counter *f = bpf_map_lookup_elem(&frontend_stats, &key.frontend);
	struct counter *found = bpf_map_lookup_elem(&frontend_drops, &key);

	if (f)
		count_in(&f->dropped, bytes);
	if (found) {
		count_in(found, bytes);
	} else {
		struct counter first = { .pkts = 1, .bytes = bytes };

		bpf_map_update_elem(&frontend_drops, &key, &first, BPF_NOEXIST);
	}
	return 0;
}

/* By the ids of their counters. */
static __always_inline void count_forwarded(__u32 frontend, __u32 backend, bool is_new, __u32 bytes)
{
	struct frontend_counter *f = bpf_map_lookup_elem(&frontend_stats, &frontend);
	struct backend_counter *b = bpf_map_lookup_elem(&backend_stats, &backend);

	if (!f || !b || dry_run)
		return;
	count_in(&f->forwarded, bytes);
	count_in(&b->forwarded, bytes);
	if (is_new) {
		f->flows++;
		b->flows++;
	}
}

static __always_inline void call_count(const struct call *call, __u32 bytes)
{
	if (dry_run)
		note_call(call);
	count_forwarded(call->frontend, call->choice.id, call->choice.is_new, bytes);
}

/* What is sent to a frontend and goes nowhere. */
static __always_inline int call_leave(struct ctx c, const struct pkt *p, const struct call *call,
				      enum reason why, __u32 rest)
{
	__u32 bytes = pkt_l3_bytes(p);

	call_drop(call, why, bytes);
	return leave(c, p, why, rest, bytes);
}

/* What a packet says of its flow; false: its header is not all there. */
static __always_inline bool read_sign(struct ctx c, const struct pkt *p, struct choice *choice)
{
	choice->tcp = p->proto == IPPROTO_TCP;
	if (!choice->tcp)
		return p->payload_bytes >= sizeof(struct udphdr);

	struct tcphdr *tcp = ctx_at(c, p->l4, sizeof(*tcp));

	if (!tcp || p->payload_bytes < sizeof(*tcp))
		return false;
	choice->sign = tcp->rst || tcp->fin    ? FLOW_ENDS
		       : tcp->syn && !tcp->ack ? FLOW_BEGINS
					       : FLOW_GOES_ON;
	return true;
}

/* Whose flow it is, and of which service. */
static __always_inline void read_flow(const struct tables *t, const struct service *service,
				      const struct flow_ends *ends, struct call *call)
{
	call->flow = flow_hash(t->gw, ends);
	call->choice.hash = call->flow;
	call->service_flags = service->flags;
	if (!(service->flags & SERVICE_AFFINITY))
		return;

	struct flow_ends client = { .client = ends->client,
				    .kind = service->clients | AFFINITY_KIND };

	call->choice.affinity_ticks = service->affinity_ticks;
	call->choice.hash = flow_hash(t->gw, &client);
}

/* The ways of a service call deep: what they need is not on the stack. */
struct service_work {
	struct pkt p;
	struct call call;
	struct flow_ends ends; /* of a reply: the backend's in the client's place */
	/* of nat.h alone */
	struct translation tr;
	struct flow_wish wish;
	struct flow_in_key in;
	struct flow_back_key back;
	enum tcp_sign sign;
	__u16 max_segment_bytes;
	bool no_sum; /* a datagram without a checksum */
	bool is_reply;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct service_work);
} service_works SEC(".maps");

static __always_inline struct service_work *service_work(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&service_works, &zero);
}

/* Leaves a note for the others of a packet in fragments: a function of its own, as few are. `m`:
 * what is translated, or NULL. */
__noinline int part_note(const struct pkt *p, const struct mapping *m, __u32 kind,
			 const struct call *call)
{
	struct fragment_key key;
	struct part note = { .kind = kind,
			     .until_jiffies = now() + FRAGMENTS_SECONDS * jiffies_per_second };

	if (!p || !call || dry_run)
		return -1;
	if (m) {
		note.new_src = m->src;
		note.new_dst = m->dst;
	}
	note.backend = call->choice.id;
	note.frontend = call->frontend;
	note.flow = call->flow;
	fragment_key(p, &key);
	bpf_map_update_elem(&parts, &key, &note, BPF_ANY);
	return 0;
}

#endif
