// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The one place where a packet becomes one of the other family: all is decided, and its size fits.
 */
#ifndef SIXLANE_TRANSLATE_H
#define SIXLANE_TRANSLATE_H

#include "sixlane/fib.h"
#include "sixlane/l4.h"
#include "sixlane/reject.h"

static __always_inline int rewrite_46(struct ctx c, struct gateway *gw, const struct pkt *p,
				      const struct mapping *m, const struct l4_change *l4)
{
	const __u32 fresh = header_46_bytes(p);
	struct ipv6_headers h;

	header_46(p, m, p->payload_bytes, p->ttl - 1, &h);
	if (ctx_replace_l3(c, p->l3, p->l4 - p->l3, fresh, FAMILY_INET6))
		return -1;
	if (p->is_fragment ? ctx_store(c, p->l3, &h, sizeof(h))
			   : ctx_store(c, p->l3, &h.ip, sizeof(h.ip)))
		return -1;
	return rewrite_l4(c, gw, p, m, p->l3 + fresh, l4);
}

/* `size`, `id`: as header_64() takes them. */
static __always_inline int rewrite_64(struct ctx c, struct gateway *gw, const struct pkt *p,
				      const struct mapping *m, const struct l4_change *l4, __u8 ttl,
				      __u32 size, __u16 id)
{
	struct iphdr h;

	header_64(p, m, p->payload_bytes, ttl, size, id, &h);
	if (ctx_replace_l3(c, p->l3, p->l4 - p->l3, sizeof(h), FAMILY_INET) ||
	    ctx_store(c, p->l3, &h, sizeof(h)))
		return -1;
	return rewrite_l4(c, gw, p, m, p->l3 + sizeof(h), l4);
}

/* The end of a packet that is translated: sent, or lost for want of room. */
static __always_inline int translated(struct ctx c, struct gateway *gw, const struct pkt *p,
				      struct hop *hop, int failed, enum reason why, __u32 bytes)
{
	count_packet(p, failed ? DROP_RESIZE_FAILED : why, bytes);
	if (failed)
		return verdict_drop(DROP_RESIZE_FAILED);
	return send(c, gw, hop);
}

static __always_inline int translate_46(struct ctx c, struct gateway *gw, const struct pkt *p,
					const struct mapping *m, const struct l4_change *l4,
					struct hop *hop)
{
	__u32 bytes = pkt_l3_bytes(p);

	return translated(c, gw, p, hop, rewrite_46(c, gw, p, m, l4), FORWARD_46, bytes);
}

static __always_inline int translate_64(struct ctx c, struct gateway *gw, const struct pkt *p,
					const struct mapping *m, const struct l4_change *l4,
					struct hop *hop, __u32 size, __u16 id)
{
	__u32 bytes = pkt_l3_bytes(p);
	int failed = rewrite_64(c, gw, p, m, l4, p->ttl - 1, size, id);

	return translated(c, gw, p, hop, failed, FORWARD_64, bytes);
}

#endif
