// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Packets as they come and as they leave, copied into the ring buffer `captures`: only in objects
 * that are loaded with `capture`, and within a budget per CPU. A frame that is over the budget
 * costs no copy.
 */
#ifndef SIXLANE_CAPTURE_H
#define SIXLANE_CAPTURE_H

#include "sixlane/event.h"

#define CAPTURE_HEAD_BYTES offsetof(struct capture, frames)

/* Is it of the protocol and port that are asked for? What cannot be read is no match. */
static __always_inline bool capture_matches(struct ctx c, const struct capture_rule *rule)
{
	struct pkt p = {};

	if (rule->ifindex && rule->ifindex != ctx_ifindex(c))
		return false;
	if (!rule->protocol)
		return true;
	ctx_pull(c, PULL_BYTES);
	if (parse_link(c, &p) || (p.family == FAMILY_INET ? parse_ipv4(c, &p) : parse_ipv6(c, &p)))
		return false;
	if (p.family == FAMILY_INET6 && parse_extensions(c, &p, p.l4 + p.payload_bytes))
		return false;
	if (protocol_of(p.proto) + 1 != rule->protocol)
		return false;
	if (!rule->port)
		return true;

	struct ports *ports = pkt_has_l4_header(&p) ? ctx_at(c, p.l4, sizeof(*ports)) : NULL;
	__be16 port = bpf_htons(rule->port);

	return ports && (ports->src == port || ports->dst == port);
}

/* Copies a frame's first bytes behind `offset`; how many there are now. */
static __always_inline __u32 capture_frame(struct ctx c, struct capture *work, __u32 offset,
					   __u32 most)
{
	__u32 bytes = min_u32(ctx_bytes(c), most);

	if (offset > CAPTURE_BYTES_MAX)
		return 0;
	return ctx_load(c, 0, work->frames + offset, bytes, CAPTURE_BYTES_MAX) ? 0 : bytes;
}

/* Before anything is done to a packet. */
static __always_inline int capture_before(struct ctx c)
{
	__u32 zero = 0;
	struct capture_rule *rule = bpf_map_lookup_elem(&capture_rules, &zero);
	struct capture *work = bpf_map_lookup_elem(&capture_works, &zero);
	struct visit *visit = visit_of();

	if (!rule || !work || !visit)
		return 0;
	visit->reason_count = 0;
	work->armed = CAPTURE_UNWANTED;
	if (!rule->outcomes || !capture_matches(c, rule))
		return 0;
	if (!bucket_has(BUCKET_CAPTURES, rule->pkts_per_second)) {
		work->armed = CAPTURE_OVER_RATE;
		return 0;
	}
	work->armed = CAPTURE_READY;
	work->time_ns = bpf_ktime_get_ns();
	work->ifindex = ctx_ifindex(c);
	work->entry = c.entry;
	work->before_bytes = ctx_bytes(c);
	work->before_kept = capture_frame(c, work, 0, rule->frame_bytes);
	return 0;
}

static __always_inline __u32 capture_outcome(const struct visit *visit)
{
	__u32 why = visit->reasons[0];

	if (!visit->reason_count || is_pass(why))
		return CAPTURE_PASSED;
	return why < PASS_NOT_CONFIGURED ? CAPTURE_SENT : CAPTURE_DROPPED;
}

/* When all is done. `sent`: there is a frame that leaves. */
static __always_inline int capture_after(struct ctx c, bool sent)
{
	__u32 zero = 0;
	struct capture_rule *rule = bpf_map_lookup_elem(&capture_rules, &zero);
	struct capture *work = bpf_map_lookup_elem(&capture_works, &zero);
	struct visit *visit = visit_of();

	if (!rule || !work || !visit || work->armed == CAPTURE_UNWANTED)
		return 0;
	work->outcome = capture_outcome(visit);
	if (!(rule->outcomes & work->outcome))
		return 0;
	work->reason_count = min_u32(visit->reason_count, VISIT_REASONS);
	__builtin_memcpy(work->reasons, visit->reasons, sizeof(work->reasons));
	if (work->armed == CAPTURE_OVER_RATE ||
	    !bucket_take(BUCKET_CAPTURES, rule->pkts_per_second)) {
		count(CAPTURE_LIMITED, ctx_bytes(c));
		return 0;
	}
	work->after_bytes = sent ? ctx_bytes(c) : 0;
	work->after_kept = sent ? capture_frame(c, work, work->before_kept, rule->frame_bytes) : 0;

	__u64 more = (__u64)work->before_kept + work->after_kept;

	barrier_var(more);
	if (more > 2 * CAPTURE_BYTES_MAX)
		return 0;
	if (bpf_ringbuf_output(&captures, work, CAPTURE_HEAD_BYTES + more, 0))
		count(CAPTURE_LOST, work->before_bytes);
	return 0;
}

__noinline int xdp_capture_before(struct xdp_md *raw)
{
	return capture_before((struct ctx){ raw, ENTRY_XDP });
}

__noinline int tc_capture_before(struct __sk_buff *raw)
{
	return capture_before((struct ctx){ raw, ENTRY_TC });
}

__noinline int xdp_capture_after(struct xdp_md *raw, int verdict)
{
	return capture_after((struct ctx){ raw, ENTRY_XDP }, verdict == XDP_REDIRECT);
}

__noinline int tc_capture_after(struct __sk_buff *raw, int verdict)
{
	return capture_after((struct ctx){ raw, ENTRY_TC }, verdict == TC_ACT_REDIRECT);
}

#endif
