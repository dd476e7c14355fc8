// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Addresses in canonical form: IPv4 is ::ffff:a.b.c.d, and on its own a host-order __u32. */
#ifndef SIXLANE_CANONICAL_H
#define SIXLANE_CANONICAL_H

#include <stdbool.h>

#include <linux/in6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sixlane/types.h"

#define V4_MAPPED 0x0000ffff00000000ULL

static __always_inline struct addr addr_from_v4(__u32 v4)
{
	return (struct addr){ .hi = 0, .lo = bpf_cpu_to_be64(V4_MAPPED | v4) };
}

static __always_inline __u32 addr_to_v4(struct addr a)
{
	return (__u32)bpf_be64_to_cpu(a.lo);
}

static __always_inline bool addr_is_v4(const struct addr *a)
{
	return !a->hi && bpf_be64_to_cpu(a->lo) >> 32 == V4_MAPPED >> 32;
}

/* 0/8, 127/8, multicast and what lies above (RFC 7915 4.1). The translator has them in a table that
 * it looks into anyway (known.py). */
static __always_inline bool v4_is_illegal_source(__u32 v4)
{
	__u32 first = v4 >> 24;

	return !first || first == 127 || first >= 224;
}

/* ::, ::1 and multicast (RFC 7915 5.1). */
static __always_inline bool addr_is_illegal_source6(const struct addr *a)
{
	__u64 hi = bpf_be64_to_cpu(a->hi);

	return hi >> 56 == 0xff || (hi == 0 && bpf_be64_to_cpu(a->lo) <= 1);
}

#endif
