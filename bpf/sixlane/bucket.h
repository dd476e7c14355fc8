// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How often a second each CPU may do what costs more than a drop. */
#ifndef SIXLANE_BUCKET_H
#define SIXLANE_BUCKET_H

#include "sixlane/config.h"
#include "sixlane/maps.h"

/* Takes a token, if there is one: `rate` a second come in, and no more than that are kept. */
static __always_inline bool bucket_take(__u32 index, __u64 rate)
{
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &index);

	if (dry_run)
		return true;
	if (!bucket || !rate)
		return false;

	__u64 now = bpf_jiffies64();
	__u64 elapsed = now - bucket->filled_jiffies;

	if (elapsed >= jiffies_per_second) {
		bucket->tokens = rate;
		bucket->filled_jiffies = now;
	} else if (elapsed * rate >= jiffies_per_second) {
		__u64 tokens = bucket->tokens + elapsed * rate / jiffies_per_second;

		bucket->tokens = tokens < rate ? tokens : rate;
		bucket->filled_jiffies = now;
	}
	if (!bucket->tokens)
		return false;
	bucket->tokens--;
	return true;
}

#endif
