// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Fragments of a session's packets (RFC 6146 3.4). Only the first has ports. The kernel behind the
 * slow path puts fragments in order, so the first one comes first and leaves a note for the others.
 */
#ifndef SIXLANE_FRAGMENT_H
#define SIXLANE_FRAGMENT_H

#include "sixlane/stateful.h"

#define FRAGMENTS_SECONDS 2 /* the others are right behind */

static __always_inline void fragment_key(const struct pkt *p, struct fragment_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->src = p->src;
	key->dst = p->dst;
	key->id = p->fragment_id;
	key->protocol = p->proto;
}

/* What is left to others has neither prefix nor addresses. */
static __always_inline void fragment_note(const struct tables *t, struct stateful_work *work,
					  enum fragment_kind kind)
{
	const struct mapping *m = &work->tr.m;
	struct fragment note = { .new_src = m->src,
				 .new_dst = m->dst,
				 .prefix = prefix_at(t->gw, m->prefix)->id,
				 .kind = kind,
				 .until_jiffies = now() + FRAGMENTS_SECONDS * jiffies_per_second };

	if (dry_run)
		return;
	fragment_key(&work->p, &work->fragment);
	bpf_map_update_elem(&fragments, &work->fragment, &note, BPF_ANY);
}

static __always_inline enum reason fragment_map(const struct tables *t, struct stateful_work *work)
{
	struct mapping *m = &work->tr.m;

	fragment_key(&work->p, &work->fragment);

	struct fragment *note = bpf_map_lookup_elem(&fragments, &work->fragment);

	if (!note || note->until_jiffies < now())
		return DROP_NO_SESSION;
	if (note->kind == FRAGMENT_NOT_OURS)
		return PASS_NOT_OURS;
	m->prefix = t->gw->prefix_indices[note->prefix & (MAX_PREFIXES - 1)];
	if (m->prefix >= MAX_PREFIXES)
		return DROP_NO_SESSION;
	m->src = note->new_src;
	m->dst = note->new_dst;
	m->hairpin = note->kind == FRAGMENT_HAIRPIN;
	m->stateful = true;
	count_for(t->gw, &work->p, m);
	return REASON_NONE;
}

#endif
