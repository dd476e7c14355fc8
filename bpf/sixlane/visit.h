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
