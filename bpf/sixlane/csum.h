// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Internet checksums (RFC 1071), updated incrementally (RFC 1624 eqn. 3): a sum is a 64-bit
 * accumulator of 32-bit words as they lie in memory, so byte order does not matter and no carry is
 * lost.
 */
#ifndef SIXLANE_CSUM_H
#define SIXLANE_CSUM_H

#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>

#include "sixlane/types.h"

static __always_inline __u64 csum_words(const void *from, const __u32 bytes)
{
	const __u32 *word = from;
	__u64 sum = 0;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < bytes / 4; i++)
		sum += word[i];
	return sum;
}

/* The same words, each complemented: what an update takes away. */
static __always_inline __u64 csum_words_gone(const void *from, const __u32 bytes)
{
	return (__u64)(bytes / 4) * 0xffffffff - csum_words(from, bytes);
}

static __always_inline __u32 csum_to32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (__u32)sum + (__u32)(sum >> 32);
}

static __always_inline __u16 csum_fold(__u64 sum)
{
	__u32 s = csum_to32(sum);

	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return s;
}

/* True if the update changes nothing: a checksum-neutral mapping leaves the field alone. */
static __always_inline bool csum_is_neutral(__u64 delta)
{
	__u16 folded = csum_fold(delta);

	return folded == 0 || folded == 0xffff;
}

/* The checksum of an IPv4 header whose TTL becomes one less. */
static __always_inline __u16 csum_hop_less(__u16 field)
{
	__u32 sum = field + (__u32)bpf_htons(0x0100); /* the header's sum is as much less */

	return sum + (sum >= 0xffff);
}

/* RFC 768: a UDP checksum that comes out as zero is sent as 0xffff. */
static __always_inline __u16 csum_updated(__u16 field, __u64 delta, bool udp)
{
	if (csum_is_neutral(delta))
		return field;

	__u16 updated = ~csum_fold((__u16)~field + delta);

	return udp && !updated ? 0xffff : updated;
}

#endif
