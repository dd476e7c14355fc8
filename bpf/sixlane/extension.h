// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What is behind the quoted header of an ICMP error: as much of the packet as there is, and perhaps
 * an extension (RFC 4884). The quote then fills a field of a length that is told in words of 32
 * bits in IPv4, of 64 bits in IPv6, at least 128 bytes.
 */
#ifndef SIXLANE_EXTENSION_H
#define SIXLANE_EXTENSION_H

#include "sixlane/icmp.h"
#include "sixlane/parse.h"

#define ERROR4_BYTES_MAX	 576  /* RFC 1812 4.3.2.3 */
#define ERROR6_BYTES_MAX	 1280 /* RFC 4443 2.4 c */
#define ERROR4_HEADER_BYTES	 (sizeof(struct iphdr) + ICMP_HEADER_BYTES)
#define ERROR6_HEADER_BYTES	 (sizeof(struct ipv6hdr) + ICMP_HEADER_BYTES)
#define QUOTE_BYTES_MIN		 128 /* in front of an extension: RFC 4884 3 */
#define ICMP_EXTENSION_BYTES_MIN 4
#define ICMP_EXTENSION_BYTES_MAX (ERROR6_BYTES_MAX - ERROR6_HEADER_BYTES - QUOTE_BYTES_MIN)

/* Which messages have a length: Destination Unreachable, Time Exceeded, and IPv4's Parameter
 * Problem. */
static __always_inline bool icmp_is_extensible(__u8 type, const __u32 family)
{
	if (family == FAMILY_INET)
		return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
		       type == ICMP_PARAMETERPROB;
	return type == ICMPV6_DEST_UNREACH || type == ICMPV6_TIME_EXCEED;
}

struct tail {
	__u32 quote_end;       /* the first offset behind the quote that was received */
	__u32 extension_bytes; /* what was received there */
	__u32 own_bytes;       /* what we have to add instead */
	/* of the result */
	__u32 cut_bytes;   /* of the quote's end that go */
	__u32 field_bytes; /* of the quote, with zeros to fill it up */
	__u32 keep_bytes;  /* of the extension: all or nothing, as it has a checksum of its own */
};

/* `rest`: the second word of the ICMP header. */
static __always_inline enum reason find_tail(struct tail *tail, __u32 quote, __u32 end,
					     bool extensible, __u32 rest, const __u32 family)
{
	__u32 bytes = family == FAMILY_INET ? (rest >> 16 & 0xff) * 4 : (rest >> 24) * 8;

	tail->quote_end = end;
	if (!extensible || !bytes)
		return REASON_NONE;
	if (bytes < QUOTE_BYTES_MIN || quote + bytes + ICMP_EXTENSION_BYTES_MIN > end)
		return DROP_MALFORMED;
	tail->quote_end = quote + bytes;
	tail->extension_bytes = end - tail->quote_end;
	return REASON_NONE;
}

/* `l4`: where the quoted packet's payload starts now, `header_bytes`: what will be in front of it,
 * `room`: for quote and extension, `unit`: of the length. */
static __always_inline void plan_tail(struct tail *tail, __u32 l4, __u32 header_bytes, __u32 room,
				      bool extensible, const __u32 unit)
{
	__u32 quoted = header_bytes + tail->quote_end - l4;
	__u32 keep = extensible ? tail->extension_bytes + tail->own_bytes : 0;

	if (QUOTE_BYTES_MIN + keep > room)
		keep = 0;
	if (keep) {
		__u32 field = (quoted + unit - 1) & ~(unit - 1);

		tail->field_bytes =
			min_u32(max_u32(field, QUOTE_BYTES_MIN), (room - keep) & ~(unit - 1));
	} else {
		tail->field_bytes = min_u32(quoted, room);
	}
	tail->keep_bytes = keep;
	tail->cut_bytes = quoted > tail->field_bytes ? quoted - tail->field_bytes : 0;
}

/* A sum over bytes that start at `offset`: an odd one starts in the middle of a word. */
static __always_inline __u16 csum_placed(__u16 sum, __u32 offset)
{
	return offset & 1 ? __builtin_bswap16(sum) : sum;
}

/* Who the message came from, where IPv4 has no name for it (RFC 5837, for RFC 6791 3): one
 * Interface Information Object with an address and nothing else. */
struct origin_extension {
	__u8 version;
	__u8 reserved;
	__u16 checksum;
	__be16 bytes; /* of the object, and these four */
	__u8 class;
	__u8 ctype;
	__be16 family; /* an AFI */
	__be16 pad;
	__u8 addr[sizeof(struct addr)];
};

_Static_assert(sizeof(struct origin_extension) == 28, "as it lies in the packet");

#define EXTENSION_VERSION     0x20
#define INTERFACE_INFORMATION 2
#define INTERFACE_ADDRESS     0x04
#define AFI_IPV6	      2

static __always_inline __u32 origin_extension(struct origin_extension *e, const struct pkt *p)
{
	__builtin_memset(e, 0, sizeof(*e));
	e->version = EXTENSION_VERSION;
	e->bytes = bpf_htons(sizeof(*e) - 4);
	e->class = INTERFACE_INFORMATION;
	e->ctype = INTERFACE_ADDRESS;
	e->family = bpf_htons(AFI_IPV6);
	__builtin_memcpy(e->addr, &p->src, sizeof(e->addr));
	e->checksum = ~csum_fold(csum_words(e, sizeof(*e)));
	return sizeof(*e);
}

#endif
