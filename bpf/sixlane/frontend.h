// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is called: frontends, by address, port and protocol, behind a filter that costs others next
 * to nothing. */
#ifndef SIXLANE_FRONTEND_H
#define SIXLANE_FRONTEND_H

#include "sixlane/addr.h"
#include "sixlane/maps.h"

/* May something be known of an address? A bit that two addresses share costs a look-up. */
static __always_inline bool service_bit(const struct tables *t, const struct addr *a)
{
	void *bits = bpf_map_lookup_elem(&service_bits, &t->slot);
	__u64 hash = spread(addr_both(a));
	__u32 number = hash >> 38 & t->gw->service_bits_mask;
	__u64 *word = bits ? bpf_map_lookup_elem(bits, &number) : NULL;

	return word && *word >> (hash >> 32 & 63) & 1;
}

/* To a frontend, or from a backend that answers to it. */
static __always_inline bool is_maybe_of_service(const struct tables *t, const struct addr *src,
						const struct addr *dst)
{
	return t->gw->flags & GATEWAY_SERVICES &&
	       (service_bit(t, dst) || (t->gw->flags & GATEWAY_NAT && service_bit(t, src)));
}

#define FRONTEND_SET_SHIFT 40

/* sixlane.datapath.frontends places each where this leads to. */
static __always_inline __u64 frontend_hash(const struct addr *a, __be16 port, __u8 protocol)
{
	return spread(addr_both(a) +
		      ((__u64)bpf_ntohs(port) << 8 | protocol) * 0xd6e8feb86659fd93ULL);
}

static __always_inline bool frontend_is(const struct frontend *f, const struct addr *a, __be16 port,
					__u8 protocol)
{
	return ((f->addr.hi ^ a->hi) | (f->addr.lo ^ a->lo) | (f->port ^ port) |
		(f->protocol ^ protocol) | (f->is_there ^ 1)) == 0;
}

static __always_inline struct frontend *frontend_in(struct frontend_set *set, const struct addr *a,
						    __be16 port, __u8 protocol)
{
	if (!set)
		return NULL;
	if (frontend_is(&set->ways[0], a, port, protocol))
		return &set->ways[0];
	return frontend_is(&set->ways[1], a, port, protocol) ? &set->ways[1] : NULL;
}

static __always_inline struct frontend *frontend_find(const struct tables *t, const struct addr *a,
						      __be16 port, __u8 protocol)
{
	struct bpf_map *map = bpf_map_lookup_elem(&frontends, &t->slot);

	if (!map)
		return NULL;

	__u64 hash = frontend_hash(a, port, protocol);
	__u32 mask = map->max_entries - 1, first = hash >> FRONTEND_SET_SHIFT & mask;
	struct frontend_set *set = bpf_map_lookup_elem(map, &first);
	struct frontend *found = frontend_in(set, a, port, protocol);

	if (found || !set || !set->ways[0].elsewhere)
		return found;

	__u32 second = spread(hash ^ hash >> 32) >> FRONTEND_SET_SHIFT & mask;

	return frontend_in(bpf_map_lookup_elem(map, &second), a, port, protocol);
}

/* The entry of an address that frontends have. */
static __always_inline struct frontend *frontend_at(const struct tables *t, const struct addr *a)
{
	return t->gw->flags & GATEWAY_SERVICES && service_bit(t, a) ? frontend_find(t, a, 0, 0)
								    : NULL;
}

static __always_inline struct service *service_of(const struct tables *t, __u32 id)
{
	void *map = bpf_map_lookup_elem(&services, &t->slot);

	return map ? bpf_map_lookup_elem(map, &id) : NULL;
}

/* Is a client one of loadBalancerSourceRanges? */
static __always_inline bool service_lets_in(const struct tables *t, __u32 id,
					    const struct addr *client)
{
	void *map = bpf_map_lookup_elem(&service_sources, &t->slot);
	struct service_source_key key = { .bits = 8 * (sizeof(key.service) + sizeof(key.addr)),
					  .service = bpf_htonl(id),
					  .addr = *client };

	__u32 *is_in = map ? bpf_map_lookup_elem(map, &key) : NULL;

	return is_in && *is_in;
}

#endif
