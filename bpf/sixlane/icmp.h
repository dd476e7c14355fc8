// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The ICMP tables of RFC 7915 4.2 and 5.2. */
#ifndef SIXLANE_ICMP_H
#define SIXLANE_ICMP_H

#include <linux/icmpv6.h>

#include "sixlane/ctx.h"

/* The common beginning of ICMP (RFC 792) and ICMPv6 (RFC 4443) messages. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 rest;
};

#define ICMP_HEADER_BYTES 8
#define IPV6_MTU_MIN	  1280

#define ICMPV6_SOLICITATION 135 /* of a neighbour (RFC 4861 4.3) */
#define ND_HOP_LIMIT	    255 /* no router has forwarded it (RFC 4861 7.1.1) */

#define ICMPV6_INFORMATIONAL 128 /* types from here on are no errors */

/* IPv4's types and codes. <linux/icmp.h> would bring the C library's headers along. */
enum icmp4_type {
	ICMP_ECHOREPLY = 0,
	ICMP_DEST_UNREACH = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_REDIRECT = 5,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETERPROB = 12,
};

/* Of Destination Unreachable (RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1). */
enum icmp4_unreachable {
	ICMP_NET_UNREACH = 0,
	ICMP_HOST_UNREACH = 1,
	ICMP_PROT_UNREACH = 2,
	ICMP_PORT_UNREACH = 3,
	ICMP_FRAG_NEEDED = 4,
	ICMP_SR_FAILED = 5,
	ICMP_NET_UNKNOWN = 6,
	ICMP_HOST_UNKNOWN = 7,
	ICMP_HOST_ISOLATED = 8,
	ICMP_NET_ANO = 9,
	ICMP_HOST_ANO = 10,
	ICMP_NET_UNR_TOS = 11,
	ICMP_HOST_UNR_TOS = 12,
	ICMP_PKT_FILTERED = 13,
	ICMP_PREC_CUTOFF = 15,
};

/* The first eight bytes of an ICMP message but its checksum; `rest` in host order. */
struct icmp_start {
	__u8 type;
	__u8 code;
	__u32 rest;
};

enum icmp_class {
	ICMP_IS_ECHO,
	ICMP_IS_ERROR,
	ICMP_IS_OTHER,
};

static __always_inline enum icmp_class icmp_classify(__u8 type, const __u32 family)
{
	if (family == FAMILY_INET) {
		if (type == ICMP_ECHO || type == ICMP_ECHOREPLY)
			return ICMP_IS_ECHO;
		if (type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
		    type == ICMP_PARAMETERPROB)
			return ICMP_IS_ERROR;
		return ICMP_IS_OTHER;
	}
	if (type == ICMPV6_ECHO_REQUEST || type == ICMPV6_ECHO_REPLY)
		return ICMP_IS_ECHO;
	if (type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB)
		return ICMP_IS_ERROR;
	return ICMP_IS_OTHER;
}

/* ICMP errors of either kind, translatable or not: they are never answered (RFC 1122 3.2.2, RFC
 * 4443 2.4 e). */
static __always_inline bool icmp_is_any_error(__u8 type, const __u32 family)
{
	if (family == FAMILY_INET6)
		return type < ICMPV6_INFORMATIONAL;
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

static __always_inline __u8 icmp_echo_type(__u8 type)
{
	switch (type) {
	case ICMP_ECHO:
		return ICMPV6_ECHO_REQUEST;
	case ICMP_ECHOREPLY:
		return ICMPV6_ECHO_REPLY;
	case ICMPV6_ECHO_REQUEST:
		return ICMP_ECHO;
	default:
		return ICMP_ECHOREPLY;
	}
}

static __always_inline __u32 min_u32(__u32 a, __u32 b)
{
	return a < b ? a : b;
}

static __always_inline __u32 max_u32(__u32 a, __u32 b)
{
	return a > b ? a : b;
}

/* RFC 1191 7.1, those that IPv6 can use: the largest below a packet's total length. */
static __always_inline __u32 mtu_plateau(__u32 total)
{
	static const __u16 plateaus[] = { 65535, 32000, 17914, 8166, 4352, 2002, 1492 };

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < sizeof(plateaus) / sizeof(*plateaus); i++)
		if (plateaus[i] < total)
			return plateaus[i];
	return IPV6_MTU_MIN;
}

/* Parameter Problem: which byte of the other header. -1: none. */
static __always_inline int icmp_pointer_46(__u32 pointer)
{
	switch (pointer) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
	case 3:
		return 4;
	case 8:
		return 7;
	case 9:
		return 6;
	case 12 ... 15:
		return 8;
	case 16 ... 19:
		return 24;
	default:
		return -1;
	}
}

static __always_inline int icmp_pointer_64(__u32 pointer)
{
	switch (pointer) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 4:
	case 5:
		return 2;
	case 6:
		return 9;
	case 7:
		return 8;
	case 8 ... 23:
		return 12;
	case 24 ... 39:
		return 16;
	default:
		return -1;
	}
}

/*
 * Packet Too Big from Fragmentation Needed (RFC 7915 4.2). `total`: of the packet in error; mtu4
 * and mtu6 are those of the next hops of either family.
 */
static __always_inline __u32 icmp_mtu_46(__u32 mtu, __u32 total, __u32 mtu4, __u32 mtu6)
{
	mtu = mtu ? mtu + 20 : mtu_plateau(total);
	return max_u32(IPV6_MTU_MIN, min_u32(mtu, min_u32(mtu6, mtu4 + 20)));
}

/* And back (RFC 7915 5.2). `overhead`: by how much the packet in error shrinks; no MTU is negative.
 */
static __always_inline __u32 icmp_mtu_64(__u32 mtu, __u32 overhead, __u32 mtu4, __u32 mtu6)
{
	mtu = min_u32(mtu, mtu6);
	return min_u32(mtu > overhead ? mtu - overhead : 0, mtu4);
}

/* RFC 7915 4.2. Fragmentation Needed keeps its MTU in `rest`, for icmp_mtu_46(). */
static __always_inline enum reason icmp_error_46(struct icmp_start *i)
{
	__u8 code = i->code;
	__u32 rest = i->rest;

	i->rest = 0;
	switch (i->type) {
	case ICMP_TIME_EXCEEDED:
		i->type = ICMPV6_TIME_EXCEED;
		return REASON_NONE;
	case ICMP_PARAMETERPROB: {
		int pointer = icmp_pointer_46(rest >> 24);

		if ((code != 0 && code != 2) || pointer < 0)
			return DROP_ICMP_TYPE;
		i->type = ICMPV6_PARAMPROB;
		i->code = ICMPV6_HDR_FIELD;
		i->rest = pointer;
		return REASON_NONE;
	}
	default:
		break;
	}

	i->type = ICMPV6_DEST_UNREACH;
	switch (code) {
	case ICMP_NET_UNREACH:
	case ICMP_HOST_UNREACH:
	case ICMP_SR_FAILED:
	case ICMP_NET_UNKNOWN:
	case ICMP_HOST_UNKNOWN:
	case ICMP_HOST_ISOLATED:
	case ICMP_NET_UNR_TOS:
	case ICMP_HOST_UNR_TOS:
		i->code = ICMPV6_NOROUTE;
		return REASON_NONE;
	case ICMP_PORT_UNREACH:
		i->code = ICMPV6_PORT_UNREACH;
		return REASON_NONE;
	case ICMP_NET_ANO:
	case ICMP_HOST_ANO:
	case ICMP_PKT_FILTERED:
	case ICMP_PREC_CUTOFF:
		i->code = ICMPV6_ADM_PROHIBITED;
		return REASON_NONE;
	case ICMP_PROT_UNREACH:
		i->type = ICMPV6_PARAMPROB;
		i->code = ICMPV6_UNK_NEXTHDR;
		i->rest = 6; /* where the Next Header field is */
		return REASON_NONE;
	case ICMP_FRAG_NEEDED:
		i->type = ICMPV6_PKT_TOOBIG;
		i->code = 0;
		i->rest = rest & 0xffff;
		return REASON_NONE;
	default:
		return DROP_ICMP_TYPE;
	}
}

/* RFC 7915 5.2. Packet Too Big keeps its MTU in `rest`, for icmp_mtu_64(). */
static __always_inline enum reason icmp_error_64(struct icmp_start *i)
{
	__u32 rest = i->rest;

	i->rest = 0;
	switch (i->type) {
	case ICMPV6_TIME_EXCEED:
		i->type = ICMP_TIME_EXCEEDED;
		return REASON_NONE;
	case ICMPV6_PKT_TOOBIG:
		i->type = ICMP_DEST_UNREACH;
		i->code = ICMP_FRAG_NEEDED;
		i->rest = rest;
		return REASON_NONE;
	case ICMPV6_PARAMPROB:
		if (i->code == ICMPV6_UNK_NEXTHDR) {
			i->type = ICMP_DEST_UNREACH;
			i->code = ICMP_PROT_UNREACH;
			return REASON_NONE;
		}
		if (i->code == ICMPV6_HDR_FIELD) {
			int pointer = icmp_pointer_64(rest);

			if (pointer < 0)
				return DROP_ICMP_TYPE;
			i->type = ICMP_PARAMETERPROB;
			i->rest = (__u32)pointer << 24;
			return REASON_NONE;
		}
		return DROP_ICMP_TYPE;
	default:
		break;
	}

	i->type = ICMP_DEST_UNREACH;
	switch (i->code) {
	case ICMPV6_NOROUTE:
	case ICMPV6_NOT_NEIGHBOUR: /* beyond scope of source address */
	case ICMPV6_ADDR_UNREACH:
		i->code = ICMP_HOST_UNREACH;
		return REASON_NONE;
	case ICMPV6_ADM_PROHIBITED:
		i->code = ICMP_HOST_ANO;
		return REASON_NONE;
	case ICMPV6_PORT_UNREACH:
		i->code = ICMP_PORT_UNREACH;
		return REASON_NONE;
	default:
		return DROP_ICMP_TYPE;
	}
}

#endif
