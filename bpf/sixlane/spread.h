// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Numbers and addresses as hashes. */
#ifndef SIXLANE_SPREAD_H
#define SIXLANE_SPREAD_H

#include <bpf/bpf_endian.h>

#include "sixlane/types.h"

/* For hashes: neighbouring addresses differ in the highest bits, those of neighbouring networks
 * mostly do (Knuth, The Art of Computer Programming 6.4, on multiplication by the golden ratio). */
static __always_inline __u64 addr_both(const struct addr *a)
{
	return bpf_be64_to_cpu(a->lo) + bpf_be64_to_cpu(a->hi) * 0xc2b2ae3d27d4eb4fULL;
}

static __always_inline __u64 spread(__u64 number)
{
	return number * 0x9e3779b97f4a7c15ULL;
}

#endif
