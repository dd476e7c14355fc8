// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Notes of what a packet meets, for trace and capture. Without those, the verifier takes all of it
 * away. */
#ifndef SIXLANE_VISIT_H
#define SIXLANE_VISIT_H

#include "sixlane/config.h"
#include "sixlane/maps.h"

static __always_inline struct visit *visit_of(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&visits, &zero);
}

static __always_inline void note_reason(enum reason why)
{
	struct visit *visit = visit_of();

	if (visit && visit->reason_count < VISIT_REASONS)
		visit->reasons[visit->reason_count++ & (VISIT_REASONS - 1)] = why;
}

static __always_inline void note_eam(const struct eam *eam)
{
	struct visit *visit = visit_of();

	if (visit && visit->eam_count < VISIT_EAMS)
		visit->eams[visit->eam_count++ & (VISIT_EAMS - 1)] = *eam;
}

static __always_inline void note_mapping(__u32 prefix, const struct addr *src,
					 const struct addr *dst)
{
	struct visit *visit = visit_of();

	if (!visit)
		return;
	visit->served = prefix + 1;
	visit->new_src = *src;
	visit->new_dst = *dst;
}

/* The flow that is spoken of last. */
static __always_inline struct visit_flow *visit_flow(void)
{
	struct visit *visit = visit_of();
	__u32 last = visit && visit->flow_count ? visit->flow_count - 1 : VISIT_FLOWS;

	return last < VISIT_FLOWS ? &visit->flows[last & (VISIT_FLOWS - 1)] : NULL;
}

static __always_inline void note_binding(enum flow_kind kind, const struct addr *inside,
					 __be16 port, __u8 client_bits)
{
	struct visit *visit = visit_of();

	if (!visit || visit->flow_count >= VISIT_FLOWS)
		return;
	visit->flow_count++;

	struct visit_flow *flow = visit_flow();

	if (!flow)
		return;
	flow->kind = kind;
	flow->inside = *inside;
	flow->inside_port = port;
	flow->client_bits = client_bits;
}

static __always_inline void note_pool(enum flow_kind kind, __be32 pool, __be16 port)
{
	struct visit_flow *flow = visit_flow();

	if (!flow)
		return;
	flow->kind = kind;
	flow->pool = pool;
	flow->pool_port = port;
}

static __always_inline void note_client(const struct client *client, __u16 blocks)
{
	struct visit_flow *flow = visit_flow();

	if (!flow || !client)
		return;
	flow->has_client = 1;
	flow->blocks = blocks;
	flow->client = *client;
}

static __always_inline void note_lifetime(enum session_state state, __u32 left_seconds)
{
	struct visit_flow *flow = visit_flow();

	if (!flow)
		return;
	flow->state = state;
	flow->left_seconds = left_seconds;
}

static __always_inline void note_backend(__u32 service, __u32 backend, bool is_new)
{
	struct visit *visit = visit_of();

	if (!visit)
		return;
	visit->service = service;
	visit->backend = backend;
	visit->is_new = is_new;
}

static __always_inline void note_hop(const struct addr *dst, const struct hop *hop)
{
	struct visit *visit = visit_of();

	if (!visit)
		return;
	visit->has_hop = 1;
	visit->hop_dst = *dst;
	visit->hop = *hop;
}

#endif
