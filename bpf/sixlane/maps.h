// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * All maps. Configuration lives in inner maps of one generation: slot (generation & 1) of each
 * outer map. Whoever configures fills the other slot and then writes `generation`. Everything else
 * stands outside of generations.
 */
#ifndef SIXLANE_MAPS_H
#define SIXLANE_MAPS_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "sixlane/types.h"

/* The kernel's own, of which nothing else matters here. */
struct bpf_map {
	__u32 max_entries;
} __attribute__((preserve_access_index));

#define GENERATIONS 2

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} generation SEC(".maps");

/* clang writes no BTF for what only an inner map names: sizes, not types. */
struct gateways_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct gateway));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GENERATIONS);
	__type(key, __u32);
	__array(values, struct gateways_inner);
} gateways SEC(".maps");

struct ranges_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 256);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct range_block));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GENERATIONS);
	__type(key, __u32);
	__array(values, struct ranges_inner);
} ranges SEC(".maps");

struct sources_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct source_node));
};

/* Of each restricted prefix: index slot * MAX_PREFIXES + the prefix's. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GENERATIONS *MAX_PREFIXES);
	__type(key, __u32);
	__array(values, struct sources_inner);
} sources SEC(".maps");

struct eam4_inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct eam4_key));
	__uint(value_size, sizeof(struct eam));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GENERATIONS);
	__type(key, __u32);
	__array(values, struct eam4_inner);
} eam4 SEC(".maps");

struct eam6_inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct eam6_key));
	__uint(value_size, sizeof(struct eam));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GENERATIONS);
	__type(key, __u32);
	__array(values, struct eam6_inner);
} eam6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASON_COUNT);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

/* The same by whom a packet is for: index (prefix * DIRECTION_COUNT + direction) * PROTOCOL_COUNT +
 * protocol, where a prefix is its id + 1, and 0 stands for packets that are left before it is known
 * which one they are for. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, (MAX_PREFIXES + 1) * DIRECTION_COUNT * PROTOCOL_COUNT);
	__type(key, __u32);
	__type(value, struct prefix_counter);
} prefix_counters SEC(".maps");

/* No program writes these: they are what an upgrade took over of maps with another layout. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct past_reason);
	__type(value, struct counter);
} past_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct past_prefix);
	__type(value, struct counter);
} past_prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BUCKET_COUNT);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct monitor);
} monitors SEC(".maps");

/* Records of struct drop_event. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENT_RING_BYTES);
} events SEC(".maps");

/* Records of struct session_event; they wait for an agent that is not there. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SESSION_RING_BYTES);
} session_events SEC(".maps");

/*
 * Of each CPU NEXT_HOP_SLOTS; the loader makes room for as many CPUs as there may be. One array of
 * pages and not PERCPU_ARRAY, which would cost another cache miss and let values lie across lines.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NEXT_HOP_SLOTS);
	__type(key, __u32);
	__type(value, struct next_hop);
} next_hops SEC(".maps");

/* Of each CPU PAIR_SLOTS, in the same way. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PAIR_SLOTS);
	__type(key, __u32);
	__type(value, struct pair);
} pairs SEC(".maps");

/* Of each CPU one for each set of pairs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PAIR_SLOTS / PAIR_WAYS);
	__type(key, __u32);
	__type(value, struct pair_tags);
} pair_tags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NEIGHBOUR_SLOTS);
	__type(key, __u32);
	__type(value, struct neighbour_use);
} neighbours SEC(".maps");

/* Bumped when routes, neighbours or links change: what was remembered before is void. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next_hop_epoch SEC(".maps");

/*
 * Sessions and bindings of stateful NAT64: arrays of records, and what finds them. They stand
 * outside of generations; the loader gives them their sizes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* also for whole cache lines */
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct session);
} sessions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct index_set);
} sessions6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct index_set);
} sessions4 SEC(".maps");

/* What nobody outside knows of the places of keys in the three indices; the loader draws it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct index_secret);
} index_secrets SEC(".maps");

/* With address-dependent filtering: how many sessions each peer has. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, struct filter4_key);
	__type(value, __u32);
} filters4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct binding);
} bindings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct index_set);
} bindings6 SEC(".maps");

/* The binding of each port of pool4, its slot + 1: index (address * SESSION_PROTOCOLS + protocol)
 * * 65,536 + port. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, __u32);
} ports4 SEC(".maps");

/* Which ports are taken, 64 to a word: index (address * SESSION_PROTOCOLS + protocol) * PORT_WORDS
 * + port / 64. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, __u64);
} used4 SEC(".maps");

/* Blocks, each at its first word: index address * PORT_WORDS + word. How many of its ports are
 * taken, with BLOCK_GIVEN; 0: it is nobody's. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, __u32);
} blocks4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, struct addr);
	__type(value, struct client);
} clients SEC(".maps");

/* LRU, as a flood of first fragments must not keep others from passing. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

/* Of each endpoint outside SYN_WAYS; syn.h says where. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct stored_syn);
} syns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS_COUNT);
	__type(key, __u32);
	__type(value, struct slots);
} free_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sweeping);
} sweepings SEC(".maps");

/* What tests add to the clock, in jiffies. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} clock_offset SEC(".maps");

/* What the packet at hand met. Of each object its own, never pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct visit);
} visits SEC(".maps");

/* Of each capturing object its own, as `visits`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct capture_rule);
} capture_rules SEC(".maps");

/* The record of the packet at hand. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct capture);
} capture_works SEC(".maps");

/* Records of struct capture, as long as what is kept. The loader makes room in capturing objects.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 12);
} captures SEC(".maps");

/*
 * Services. Those that are configuration are of one generation.
 */
struct frontends_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE); /* so that sets are cache lines */
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct frontend_set));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GENERATIONS);
	__type(key, __u32);
	__array(values, struct frontends_inner);
} frontends SEC(".maps");

/* A filter: a bit for each address that something may be known of. */
struct service_bits_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u64));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GENERATIONS);
	__type(key, __u32);
	__array(values, struct service_bits_inner);
} service_bits SEC(".maps");

struct services_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct service));
};

/* By their ids. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GENERATIONS);
	__type(key, __u32);
	__array(values, struct services_inner);
} services SEC(".maps");

struct service_sources_inner {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct service_source_key));
	__uint(value_size, sizeof(__u32));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, GENERATIONS);
	__type(key, __u32);
	__array(values, struct service_sources_inner);
} service_sources SEC(".maps");

/* By their ids, of which 0 is nobody's; the loader makes room. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

/* As `fragments`. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_key);
	__type(value, struct part);
} parts SEC(".maps");

/* Flows that are translated, and what finds them, as sessions. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct nat_flow);
} nat_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct index_set);
} flows_in SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct index_set);
} flows_back SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct index_secret);
} flow_secrets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slots);
} flow_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sweeping);
} flow_sweeps SEC(".maps");

/* Maglev tables of all services: ids of backends. Whatever stands in no service's extent is free.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, __u32);
} rings SEC(".maps");

/* By the services' ids. Another weight is another ring, and no flip. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct service_ring);
} service_rings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* also for whole cache lines */
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct flow_set);
} flow_cache SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct frontend_counter);
} frontend_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ROOM_UNLESS_ASKED);
	__type(key, __u32);
	__type(value, struct backend_counter);
} backend_stats SEC(".maps");

/* Beside `frontend_stats`, by reason. What is over the room counts there alone. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__type(key, struct frontend_drop);
	__type(value, struct counter);
} frontend_drops SEC(".maps");
/* Of the ring that is being built. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RING_MEMBERS_MAX);
	__type(key, __u32);
	__type(value, struct ring_member);
} ring_members SEC(".maps");

/* Which of its entries are taken, 64 to a word: the ring itself would not fit into the caches. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RING_SIZE_MAX / 64);
	__type(key, __u32);
	__type(value, __u64);
} ring_taken SEC(".maps");

/* The tables that a packet works with, all of the generation it met first. */
struct tables {
	struct gateway *gw;
	__u32 slot;
	__u32 generation;
};

/* For functions of their own, to which nothing else can be handed over. */
static __always_inline struct tables tables_of(struct gateway *gw, __u32 generation)
{
	return (struct tables){ gw, generation & (GENERATIONS - 1), generation };
}

static __always_inline int tables_read(struct tables *t)
{
	__u32 zero = 0;
	__u32 *current = bpf_map_lookup_elem(&generation, &zero);

	if (!current)
		return -1;
	t->generation = *current;
	t->slot = t->generation & (GENERATIONS - 1);

	void *inner = bpf_map_lookup_elem(&gateways, &t->slot);

	if (!inner)
		return -1;
	t->gw = bpf_map_lookup_elem(inner, &zero);
	return t->gw ? 0 : -1;
}

#endif
