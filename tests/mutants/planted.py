# SPDX-License-Identifier: Apache-2.0
"""Faults that a person could make, one line of the data path each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`file`: below bpf/sixlane; `old` stands there exactly once, and becomes `new`."""

    name: str
    file: str
    old: str
    new: str
    breaks: str


_ADDR = (
    Mutant(
        "embed-shift",
        "addr.h",
        "((__u64)v4 << ((56 - shift) & 63)) & BELOW_U",
        "((__u64)v4 << ((64 - shift) & 63)) & BELOW_U",
        "embedding forgets that bits 64 to 71 stay free",
    ),
    Mutant(
        "u-octet",
        "addr.h",
        "#define BELOW_U 0x00ffffffffffffffULL",
        "#define BELOW_U 0xffffffffffffffffULL",
        "bits 64 to 71 are read as address",
    ),
    Mutant("extract-high", "addr.h", "(__u32)(hi << shift) |", "(__u32)(hi >> shift) |", "shift"),
    Mutant(
        "loopback-source",
        "addr.h",
        "bpf_be64_to_cpu(a->lo) <= 1)",
        "bpf_be64_to_cpu(a->lo) < 1)",
        "::1 is a source like any other",
    ),
    Mutant("multicast-source", "addr.h", "hi >> 56 == 0xff", "hi >> 56 == 0xfe", "constant"),
    Mutant(
        "range-index",
        "addr.h",
        "block->words[(v4 >> shift) & 0xff]",
        "block->words[(v4 >> shift) & 0x7f]",
        "half of each block of ranges is never read",
    ),
    Mutant(
        "server-index",
        "addr.h",
        "served && served <= MAX_PREFIXES ? served - 1 : MAX_PREFIXES",
        "served && served <= MAX_PREFIXES ? served : MAX_PREFIXES",
        "the prefix behind the one that serves",
    ),
    Mutant(
        "well-known-flag",
        "addr.h",
        "px->flags & PREFIX_WELL_KNOWN && word & RANGE_NOT_GLOBAL",
        "px->flags & PREFIX_RESTRICTED && word & RANGE_NOT_GLOBAL",
        "the rule of 64:ff9b::/96 goes by another flag",
    ),
    Mutant(
        "source-rank",
        "addr.h",
        "ones_in(node->child[word] & (bit - 1))",
        "ones_in(node->child[word] & bit)",
        "the wrong child in a list of sources",
    ),
    Mutant(
        "source-slot",
        "addr.h",
        "slot * MAX_PREFIXES + index, number = 0",
        "slot + index, number = 0",
        "the list of another prefix",
    ),
    Mutant(
        "eam4-suffix",
        "addr.h",
        "(__u64)v4 << (32 + (len & 31))",
        "(__u64)v4 << 32",
        "a mapping's prefix counts into the suffix",
    ),
    Mutant(
        "eam4-low",
        "addr.h",
        "suffix << ((64 - len6) & 63)",
        "suffix << ((63 - len6) & 63)",
        "a suffix across bit 64 is off by one",
    ),
    Mutant(
        "eam6-cut",
        "addr.h",
        "suffix_of(a, eam->len6) >> (eam->len4 & 31)",
        "suffix_of(a, eam->len6)",
        "an IPv6 suffix is not cut",
    ),
    Mutant("eam6-suffix", "addr.h", "return lo << (len & 63) >> 32;", "return lo >> 32;", "shift"),
    Mutant(
        "pool6-mask",
        "addr.h",
        "((a->lo ^ px->addr.lo) & px->mask.lo)",
        "((a->lo ^ px->addr.lo) & px->mask.hi)",
        "the mask's other half",
    ),
)

_CSUM = (
    Mutant(
        "carry-64",
        "csum.h",
        "return (__u32)sum + (__u32)(sum >> 32);",
        "return (__u32)sum;",
        "the second carry is lost",
    ),
    Mutant(
        "fold-once",
        "csum.h",
        "\ts = (s & 0xffff) + (s >> 16);\n\ts = (s & 0xffff) + (s >> 16);\n",
        "\ts = (s & 0xffff) + (s >> 16);\n",
        "a sum is folded once",
    ),
    Mutant(
        "neutral",
        "csum.h",
        "return folded == 0 || folded == 0xffff;",
        "return folded == 0;",
        "a neutral mapping turns 0xffff into 0",
    ),
    Mutant(
        "zero-udp-only",
        "csum.h",
        "return udp && !updated ? 0xffff : updated;",
        "return !updated ? 0xffff : updated;",
        "TCP's and ICMP's zero is changed, too",
    ),
    Mutant(
        "zero-udp-never",
        "csum.h",
        "return udp && !updated ? 0xffff : updated;",
        "return updated;",
        "UDP's zero means no checksum",
    ),
)

_ICMP = (
    Mutant("param-problem", "icmp.h", "type <= ICMPV6_PARAMPROB", "type < ICMPV6_PARAMPROB", "<"),
    Mutant(
        "redirect-is-error",
        "icmp.h",
        "type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||",
        "type == ICMP_SOURCE_QUENCH ||",
        "a redirect is no error",
    ),
    Mutant(
        "informational",
        "icmp.h",
        "#define ICMPV6_INFORMATIONAL 128",
        "#define ICMPV6_INFORMATIONAL 127",
        "type 127 is no error",
    ),
    Mutant(
        "echo-type",
        "icmp.h",
        "return ICMPV6_ECHO_REQUEST;",
        "return ICMPV6_ECHO_REPLY;",
        "a request becomes a reply",
    ),
    Mutant("plateau", "icmp.h", "plateaus[i] < total", "plateaus[i] <= total", "not below"),
    Mutant("pointer-46-protocol", "icmp.h", "return 6;", "return 5;", "table"),
    Mutant("pointer-46-source", "icmp.h", "case 12 ... 15:", "case 12 ... 14:", "off by one"),
    Mutant("pointer-64-end", "icmp.h", "case 24 ... 39:", "case 24 ... 38:", "off by one"),
    Mutant("mtu-46", "icmp.h", "mtu ? mtu + 20 : mtu_plateau", "mtu ? mtu : mtu_plateau", "20"),
    Mutant(
        "mtu-64-other-link", "icmp.h", "\tmtu = min_u32(mtu, mtu6);\n", "", "a link is forgotten"
    ),
    Mutant(
        "mtu-64-negative",
        "icmp.h",
        "min_u32(mtu > overhead ? mtu - overhead : 0, mtu4)",
        "min_u32(mtu - overhead, mtu4)",
        "a small MTU becomes a huge one",
    ),
    Mutant(
        "parameter-code",
        "icmp.h",
        "(code != 0 && code != 2) || pointer < 0",
        "code != 0 || pointer < 0",
        "12/2 is dropped",
    ),
    Mutant("precedence-cutoff", "icmp.h", "\tcase ICMP_PREC_CUTOFF:\n", "", "3/15 is dropped"),
    Mutant("next-header-pointer", "icmp.h", "i->rest = 6; /*", "i->rest = 9; /*", "IPv4's place"),
    Mutant(
        "mtu-high-half",
        "icmp.h",
        "i->rest = rest & 0xffff;",
        "i->rest = rest;",
        "the unused half of 3/4 counts into the MTU",
    ),
    Mutant("pointer-byte", "icmp.h", "(__u32)pointer << 24", "(__u32)pointer << 16", "place"),
    Mutant("unreachable-code", "icmp.h", "i->code = ICMP_HOST_UNREACH;", "i->code = 0;", "3/0"),
    Mutant("beyond-scope", "icmp.h", "\tcase ICMPV6_NOT_NEIGHBOUR: /*", "\t/*", "1/2 is dropped"),
)

_PARSE = (
    Mutant("offset-mask", "parse.h", "0x1fff", "0x0fff", "the largest offsets are cut"),
    Mutant(
        "last-fragment",
        "parse.h",
        "p->is_fragment = frag & (IP4_MF | IP4_OFFSET);",
        "p->is_fragment = frag & IP4_MF;",
        "the last fragment is a whole packet",
    ),
    Mutant(
        "offset-unit", "parse.h", "(frag & IP4_OFFSET) << 3", "(frag & IP4_OFFSET) << 2", "words"
    ),
    Mutant("short-header", "parse.h", "ip->ihl < 5", "ip->ihl < 4", "16 bytes are a header"),
    Mutant(
        "options-sum",
        "parse.h",
        "for (__u32 i = 0; i < 10; i++)",
        "for (__u32 i = 0; i < 9; i++)",
        "the last four of 40 bytes of options are not summed",
    ),
    Mutant(
        "longest-fragment",
        "parse.h",
        "+ payload_bytes > IP_BYTES_MAX",
        "+ payload_bytes > IP_BYTES_MAX + 8",
        "fragments may end behind the longest packet",
    ),
    Mutant(
        "traffic-class",
        "parse.h",
        "p->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;",
        "p->tos = ip->priority << 4;",
        "ECN and two bits of DSCP are lost",
    ),
    Mutant(
        "extension-length",
        "parse.h",
        "8 + 8 * (__u32)header[1]",
        "8 * (__u32)header[1]",
        "the first 8 bytes do not count",
    ),
    Mutant(
        "segments-left",
        "parse.h",
        "IPPROTO_ROUTING && header[3] && !x->pointer",
        "IPPROTO_ROUTING && header[2] && !x->pointer",
        "the routing type is taken for segments left",
    ),
    Mutant("route-pointer", "parse.h", "x->l4 + 3 - l3", "x->l4 + 2 - l3", "off by one"),
    Mutant(
        "many-extensions",
        "parse.h",
        "#define EXTENSIONS_MAX	      8",
        "#define EXTENSIONS_MAX	      9",
        "one extension header more",
    ),
    Mutant(
        "long-extensions",
        "parse.h",
        "if (x->l4 + bytes - start > EXTENSIONS_BYTES_MAX)",
        "if (x->l4 + bytes - start >= EXTENSIONS_BYTES_MAX)",
        "256 bytes of them are too long",
    ),
    Mutant(
        "reserved-bits",
        "parse.h",
        "bpf_ntohs(fragment->offset) & (IP6_OFFSET | IP6_MF)",
        "bpf_ntohs(fragment->offset)",
        "reserved bits make a fragment",
    ),
    Mutant(
        "header-after-fragment",
        "parse.h",
        " || x->proto == IPPROTO_AH)",
        ")",
        "AH behind a Fragment header passes",
    ),
    Mutant(
        "expired-route",
        "parse.h",
        "option[2] <= length)",
        "option[2] >= length)",
        "routes at their end are refused, the others not",
    ),
    Mutant("strict-route", "parse.h", "#define OPTION_SSRR 137", "#define OPTION_SSRR 136", "type"),
    Mutant(
        "fragment-units",
        "parse.h",
        "x->fragment & IP6_MF && x->payload_bytes & 7",
        "x->fragment & IP6_MF && x->payload_bytes & 3",
        "fragments in units of 4 bytes",
    ),
    Mutant("vlan-tag", "parse.h", "\t\tp->l3 += 4;\n", "\t\tp->l3 += 2;\n", "a tag has 4 bytes"),
)

_XLAT = (
    Mutant(
        "dont-fragment", "xlat.h", "#define IPV4_MTU_NO_DF 1260", "#define IPV4_MTU_NO_DF 1280", ""
    ),
    Mutant(
        "dont-fragment-edge",
        "xlat.h",
        "segment_bytes > IPV4_MTU_NO_DF ? IP4_DF : 0",
        "segment_bytes >= IPV4_MTU_NO_DF ? IP4_DF : 0",
        "1,260 bytes are one too many",
    ),
    Mutant(
        "mapped-inside",
        "xlat.h",
        "(by == BY_EAM_INSIDE && index >= MAX_PREFIXES)",
        "(by == BY_EAM_REMOTE && index >= MAX_PREFIXES)",
        "nodes inside are outside",
    ),
    Mutant(
        "native",
        "xlat.h",
        "server >= MAX_PREFIXES || !same_pool6(prefix_at(t->gw, server), matched)",
        "server >= MAX_PREFIXES",
        "what another prefix serves is native here",
    ),
    Mutant(
        "well-known-entry",
        "xlat.h",
        "range_breaks_well_known(prefix_at(t->gw, m->dst_pool6), m->dst_word)",
        "range_breaks_well_known(prefix_at(t->gw, m->prefix), m->dst_word)",
        "the rule of another prefix",
    ),
    Mutant(
        "source-range",
        "xlat.h",
        "map_addr_46(t, px, addr_to_v4(p->src), m->src_word, src_peer, &m->src)",
        "map_addr_46(t, px, addr_to_v4(p->src), m->dst_word, src_peer, &m->src)",
        "the destination's range is asked for the source",
    ),
    Mutant("class-shift", "xlat.h", "(__u32)p->tos << 20", "(__u32)p->tos << 16", "shift"),
    Mutant(
        "fragment-length",
        "xlat.h",
        "bpf_htons(payload_bytes + (p->is_fragment ? FRAGMENT_HEADER_BYTES : 0))",
        "bpf_htons(payload_bytes)",
        "the Fragment header is not counted",
    ),
    Mutant(
        "fragment-id-order",
        "xlat.h",
        "h->fragment.id = bpf_htonl(p->fragment_id);",
        "h->fragment.id = p->fragment_id;",
        "host order",
    ),
    Mutant("fragment-id", "xlat.h", "\t\tid = p->fragment_id;\n", "", "the id is not kept"),
    Mutant(
        "more-fragments",
        "xlat.h",
        "(p->fragment & IP6_MF ? IP4_MF : 0)",
        "(p->fragment & IP6_MF ? IP4_DF : 0)",
        "wrong flag",
    ),
    Mutant(
        "source-4",
        "xlat.h",
        "h->saddr = bpf_htonl(addr_to_v4(m->src));",
        "h->saddr = bpf_htonl(addr_to_v4(m->dst));",
        "source and destination",
    ),
    Mutant(
        "protocol-58",
        "xlat.h",
        "p->proto == IPPROTO_ICMPV6 ? IPPROTO_ICMP : p->proto",
        "p->proto",
        "ICMPv6 in IPv4",
    ),
    Mutant(
        "delta-destination",
        "xlat.h",
        "csum_addresses_gone(&p->src, &p->dst) + csum_addresses(&m->src, &m->dst)",
        "csum_addresses_gone(&p->src, &p->src) + csum_addresses(&m->src, &m->dst)",
        "the old destination stays in the sum",
    ),
    Mutant("delta-type", "xlat.h", "bpf_htons((__u16)to << 8)", "bpf_htons((__u16)to)", "place"),
    Mutant(
        "pseudo-protocol",
        "xlat.h",
        "bpf_htonl(l4_bytes), bpf_htonl(IPPROTO_ICMPV6)",
        "bpf_htonl(l4_bytes), bpf_htonl(IPPROTO_ICMP)",
        "the pseudo-header's protocol",
    ),
)

_RECEIVE = (
    Mutant(
        "illegal-in-errors",
        "receive.h",
        "!is_error && m->src_word & RANGE_ILLEGAL_SOURCE",
        "m->src_word & RANGE_ILLEGAL_SOURCE",
        "errors from illegal sources are dropped",
    ),
    Mutant("igmp", "receive.h", " && proto != IPPROTO_IGMP &&", " &&", "IGMP passes"),
    Mutant(
        "icmp-in-ipv6",
        "receive.h",
        "return proto != IPPROTO_ICMP;",
        "return true;",
        "ICMPv4 in IPv6 passes",
    ),
    Mutant(
        "restricted",
        "receive.h",
        "flags & PREFIX_RESTRICTED) ||",
        "flags & PREFIX_WELL_KNOWN) ||",
        "lists are asked by another flag",
    ),
    Mutant(
        "direction",
        "receive.h",
        "why == FORWARD_64 ? DIRECTION_64 : DIRECTION_46",
        "why == FORWARD_46 ? DIRECTION_64 : DIRECTION_46",
        "a prefix counts the other direction",
    ),
)

_WAY = (
    Mutant(
        "epoch",
        "fib.h",
        "hop->expires_jiffies > bpf_jiffies64() && hop->epoch == *epoch &&",
        "hop->expires_jiffies > bpf_jiffies64() &&",
        "never void",
    ),
    Mutant(
        "cache-off",
        "fib.h",
        "hop->resolved && gw->flags & GATEWAY_NEXT_HOP_CACHE)",
        "hop->resolved)",
        "next hops are remembered where they must not be",
    ),
    Mutant("blackhole", "fib.h", "return DROP_BLACKHOLE;", "return DROP_NO_ROUTE;", "reason"),
    Mutant(
        "macs",
        "fib.h",
        "ctx_set_macs(c, hop->dst_mac, hop->src_mac)",
        "ctx_set_macs(c, hop->src_mac, hop->dst_mac)",
        "source and destination",
    ),
    Mutant(
        "lent-hop", "slow.h", "__u8 ttl = ip->ttl + 1;", "__u8 ttl = ip->ttl;", "no hop is lent"
    ),
    Mutant(
        "tagged",
        "slow.h",
        " && !ctx_is_tagged(c, p);",
        ";",
        "the slow path loses VLAN tags",
    ),
    Mutant("pass-native", "drop.h", "why <= PASS_NATIVE", "why < PASS_NATIVE", "off by one"),
    Mutant("token", "bucket.h", "\tbucket->tokens--;\n", "", "no limit"),
    Mutant("event-port", "event.h", "dst_port = ports->dst;", "dst_port = ports->src;", "swapped"),
    Mutant(
        "complete-sum",
        "ctx.h",
        "offset, from, bytes, BPF_F_RECOMPUTE_CSUM);\n\n\tvoid *at",
        "offset, from, bytes, 0);\n\n\tvoid *at",
        "the NIC's checksum is not kept true",
    ),
    Mutant(
        "mangled-zero",
        "ctx.h",
        "(udp ? BPF_F_MARK_MANGLED_0 : 0)",
        "0",
        "UDP's zero means no checksum, in tc",
    ),
    Mutant("odd-byte", "ctx.h", "bpf_htons((__u16)*last << 8)", "bpf_htons(*last)", "its place"),
    Mutant(
        "sum-bound", "ctx.h", "#define CSUM_BYTES_MAX 2048", "#define CSUM_BYTES_MAX 512", "bound"
    ),
    Mutant("tag-order", "ctx.h", "tags->tag[1];", "tags->tag[0];", "the outer tag twice"),
)

_REJECT = (
    Mutant("error-tos", "reject.h", "#define ERROR_TOS 0xc0", "#define ERROR_TOS 0x00", "constant"),
    Mutant(
        "no-route-code",
        "reject.h",
        "v4 ? ICMP_NET_UNREACH : ICMPV6_NOROUTE",
        "v4 ? ICMP_HOST_UNREACH : ICMPV6_NOROUTE",
        "code",
    ),
    Mutant(
        "source-route-code",
        "reject.h",
        "v4 ? ICMP_SR_FAILED : ICMPV6_HDR_FIELD",
        "v4 ? ICMP_SR_FAILED : ICMPV6_UNK_NEXTHDR",
        "code",
    ),
    Mutant(
        "not-allowed-silent", "reject.h", "\tcase DROP_SOURCE_NOT_ALLOWED:\n", "", "nobody is told"
    ),
    Mutant(
        "error6-sum",
        "reject.h",
        "sum + csum_words(rest, sizeof(rest)) +\n\t\t      csum_words(&e.ip.saddr",
        "sum +\n\t\t      csum_words(&e.ip.saddr",
        "length and next header are not summed",
    ),
    Mutant(
        "error4-length",
        "reject.h",
        "bpf_htons(sizeof(e) + quoted);",
        "bpf_htons(sizeof(e.icmp) + quoted);",
        "the total length is without the header",
    ),
    Mutant(
        "error-size", "extension.h", "ERROR4_BYTES_MAX	 576", "ERROR4_BYTES_MAX	 584", "bound"
    ),
    Mutant(
        "error-room",
        "reject.h",
        "min_u32(packet_bytes, most - head)",
        "min_u32(packet_bytes, most)",
        "errors are longer than allowed by their headers",
    ),
    Mutant(
        "later-fragments",
        "reject.h",
        "p->no_error || p->fragment & IP6_OFFSET ||",
        "p->no_error ||",
        "later fragments are answered",
    ),
    Mutant(
        "error-about-error",
        "reject.h",
        "p->no_error || p->fragment & IP6_OFFSET ||",
        "p->fragment & IP6_OFFSET ||",
        "errors are answered",
    ),
)

_QUOTE = (
    Mutant(
        "quote-end",
        "quote.h",
        "in->l3 + least > end",
        "in->l3 + least >= end + 8",
        "a quoted header may be cut short",
    ),
    Mutant(
        "quote-source",
        "quote.h",
        "\tm->src = addr_from_v4(v4);\n\tm->src_word = range_of(t->ranges, v4);",
        "\tm->dst = addr_from_v4(v4);\n\tm->src_word = range_of(t->ranges, v4);",
        "source and destination of the quote",
    ),
    Mutant(
        "quote-icmp-fragment",
        "quote.h",
        "\tif (in->is_fragment)\n\t\treturn DROP_ICMP_FRAGMENT;\n",
        "",
        "a quoted fragment of ICMP is taken for whole",
    ),
    Mutant(
        "quote-udp-zero",
        "quote.h",
        "(in->proto == IPPROTO_UDP && !*field)",
        "(in->proto == IPPROTO_TCP && !*field)",
        "a quoted UDP header without checksum gets one",
    ),
    Mutant(
        "quote-delta",
        "quote.h",
        "q->delta += q->value + (__u16) ~*field;",
        "q->delta += q->value;",
        "the old checksum stays in the sum",
    ),
    Mutant(
        "quote-fragment-sum",
        "quote.h",
        "delta += csum_words(&start->quoted.fragment, sizeof(start->quoted.fragment));",
        "delta += csum_words(&start->quoted.fragment, 4);",
        "the quoted id is not summed",
    ),
    Mutant(
        "quote-overhead",
        "quote.h",
        "20 + (in->has_fragment_header ? FRAGMENT_HEADER_BYTES : 0)",
        "20",
        "a quoted Fragment header is not counted",
    ),
    Mutant(
        "quote-ttl",
        "quote.h",
        "header_46(in, &w->mq, in->payload_bytes, in->ttl, &start->quoted);",
        "header_46(in, &w->mq, in->payload_bytes, in->ttl - 1, &start->quoted);",
        "the quoted TTL falls",
    ),
    Mutant(
        "quote-ttl-64",
        "quote.h",
        "csum_delta_pseudo(p, &w->m, p->payload_bytes);\n\tstart->icmp.checksum",
        "csum_delta_pseudo(p, &w->m, l4_bytes);\n\tstart->icmp.checksum",
        "the pseudo-header that goes is as long as what comes",
    ),
)

_PIPELINE = (
    Mutant(
        "icmp-slow-path",
        "../uplink.bpf.c",
        "p->may_fragment && p->proto != IPPROTO_ICMP && size",
        "p->may_fragment && size",
        "ICMP is fragmented",
    ),
    Mutant(
        "fits",
        "../uplink.bpf.c",
        "if (size > hop->mtu_bytes)",
        "if (size >= hop->mtu_bytes)",
        "what just fits is too big",
    ),
    Mutant(
        "mtu-told",
        "../uplink.bpf.c",
        "hop->mtu_bytes - 20 - (p->is_fragment ? FRAGMENT_HEADER_BYTES : 0)",
        "hop->mtu_bytes - 20",
        "the Fragment header is not counted",
    ),
    Mutant(
        "hop-46",
        "../uplink.bpf.c",
        "header_46(p, m, p->payload_bytes, p->ttl - 1, &h);",
        "header_46(p, m, p->payload_bytes, p->ttl, &h);",
        "no hop is counted",
    ),
    Mutant("last-hop", "../uplink.bpf.c", "p.ttl <= 1", "p.ttl < 1", "off by one"),
    Mutant(
        "segments",
        "l4.h",
        "(segment ? l4->header_bytes + segment : p->payload_bytes)",
        "(segment ? segment : p->payload_bytes)",
        "a segment's own header is not counted",
    ),
    Mutant(
        "udp-zero",
        "l4.h",
        "\t\tif (!udp->check)\n\t\t\treturn DROP_UDP_ZERO_CHECKSUM;\n",
        "",
        "UDP without checksum gets a wrong one",
    ),
    Mutant(
        "short-tcp",
        "l4.h",
        "p->payload_bytes < sizeof(*tcp)",
        "p->payload_bytes < sizeof(*tcp) - 4",
        "a header without its end",
    ),
)

_HAIRPIN = (
    Mutant(
        "hairpin-hop",
        "hairpin.h",
        "store_ends(c, p->l3, m, p->ttl - 1)",
        "store_ends(c, p->l3, m, p->ttl)",
        "no hop is counted",
    ),
    Mutant(
        "hairpin-client",
        "hairpin.h",
        "struct addr client = m.src;",
        "struct addr client = m.dst;",
        "the list is asked for the destination",
    ),
    Mutant("hairpin-last-hop", "hairpin.h", "p.ttl <= 1", "p.ttl < 1", "off by one"),
    Mutant(
        "hairpin-mtu",
        "hairpin.h",
        "max_u32(IPV6_MTU_MIN, hop->mtu_bytes), bytes)",
        "max_u32(IPV6_MTU_MIN, hop->mtu_bytes - 20), bytes)",
        "as if an IPv4 header became an IPv6 one",
    ),
    Mutant(
        "hairpin-icmp-sum",
        "l4.h",
        "\t\tif (m->hairpin) {\n\t\t\tl4->delta = csum_delta_addresses(p, m);",
        "\t\tif (m->hairpin) {\n\t\t\tl4->delta = csum_delta_pseudo(p, m, p->payload_bytes);",
        "ICMPv6 leaves its pseudo-header",
    ),
    Mutant(
        "hairpin-source",
        "xlat.h",
        "embed_46(px, src, m->src_word, &m->src)",
        "map_addr_46(t, px, src, m->src_word, false, &m->src)",
        "the source is called by its mapping",
    ),
    Mutant(
        "hairpin-prefix",
        "xlat.h",
        "\tm->prefix = range_server(m->dst_word);\n\n\tconst struct prefix *px",
        "\tm->prefix = range_server(m->src_word);\n\n\tconst struct prefix *px",
        "the prefix that serves the source",
    ),
    Mutant(
        "simple-remote",
        "xlat.h",
        "eam == EAM_REMOTE_HIT ||",
        "eam == EAM_INSIDE_HIT ||",
        "nodes outside are called by pool6, nodes inside are not",
    ),
    Mutant(
        "simple-intrinsic",
        "xlat.h",
        "!(peer && t->gw->flags & GATEWAY_HAIRPIN_SIMPLE)",
        "!(peer && t->gw->flags & GATEWAY_HAIRPIN)",
        "intrinsic hairpins are simple ones",
    ),
    Mutant(
        "hairpin-off",
        "xlat.h",
        "m->hairpin = t->gw->flags & GATEWAY_HAIRPIN && range",
        "m->hairpin = range",
        "hairpins cannot be switched off",
    ),
    Mutant(
        "hairpin-quote-source",
        "quote.h",
        "\tm->prefix = range_server(m->src_word);\n",
        "\tm->prefix = range_server(m->dst_word);\n",
        "the prefix that serves whom the quote went to",
    ),
    Mutant(
        "hairpin-quote-mtu",
        "quote.h",
        "max_u32(IPV6_MTU_MIN, min_u32(rest, (*hop)->mtu_bytes))",
        "max_u32(IPV6_MTU_MIN, rest)",
        "our own link is forgotten",
    ),
    Mutant(
        "hairpin-quote-hop",
        "quote.h",
        "store_ends(c, in->l3, &w->mq, in->ttl)",
        "store_ends(c, in->l3, &w->mq, in->ttl - 1)",
        "the quoted hop limit falls",
    ),
    Mutant(
        "hairpin-router",
        "quote.h",
        "\t\t\tm->src = w->p.src; /*",
        "\t\t\t/*",
        "a router inside loses its address",
    ),
    Mutant(
        "hairpin-quote-list",
        "quote.h",
        "FAMILY_INET ? w->in.dst : mq->dst;",
        "FAMILY_INET ? w->in.dst : mq->src;",
        "the list is asked for the wrong end of the quote",
    ),
    Mutant(
        "hairpin-delta",
        "quote.h",
        "csum_delta_addresses(p, &w->m) + csum_delta_addresses(in, &w->mq) +",
        "csum_delta_addresses(p, &w->m) +",
        "the quoted addresses are not summed",
    ),
)

_MSS = (
    Mutant("mss-end", "mss.h", "offset + length > end)", "offset + length >= end)", "off by one"),
    Mutant(
        "mss-odd",
        "mss.h",
        "(offset - l4) & 1)",
        "0)",
        "an option at an odd offset is summed at an even one",
    ),
    Mutant(
        "mss-length",
        "mss.h",
        "option[0] == TCP_OPTION_MSS && length == TCP_MSS_BYTES",
        "option[0] == TCP_OPTION_MSS",
        "an option of another length is taken for one",
    ),
    Mutant(
        "mss-raise", "mss.h", "bpf_ntohs(offered) <= most", "bpf_ntohs(offered) >= most", "raised"
    ),
    Mutant("mss-order", "mss.h", "bpf_htons(most), (", "most, (", "host order"),
    Mutant(
        "mss-kind", "mss.h", "#define TCP_OPTION_MSS\t2", "#define TCP_OPTION_MSS\t3", "constant"
    ),
    Mutant(
        "mss-all",
        "l4.h",
        "l4->syn = tcp->syn;",
        "l4->syn = true;",
        "segments without SYN are changed, too",
    ),
    Mutant(
        "mss-header",
        "l4.h",
        "l4->header_bytes = tcp->doff * 4;",
        "l4->header_bytes = sizeof(*tcp);",
        "there are no options",
    ),
)

_EXTENSION = (
    Mutant(
        "length-unit-6",
        "extension.h",
        "(rest >> 24) * 8;",
        "(rest >> 24) * 4;",
        "ICMPv6 counts in words of 64 bits",
    ),
    Mutant(
        "length-place-4",
        "extension.h",
        "(rest >> 16 & 0xff) * 4",
        "(rest >> 24 & 0xff) * 4",
        "a pointer is taken for a length",
    ),
    Mutant(
        "quote-least",
        "extension.h",
        "bytes < QUOTE_BYTES_MIN ||",
        "bytes <= QUOTE_BYTES_MIN ||",
        "128 bytes are too few",
    ),
    Mutant(
        "extension-least",
        "extension.h",
        "quote + bytes + ICMP_EXTENSION_BYTES_MIN > end",
        "quote + bytes > end",
        "an extension of no bytes",
    ),
    Mutant(
        "too-big-extensible",
        "extension.h",
        "type == ICMPV6_DEST_UNREACH || type == ICMPV6_TIME_EXCEED;",
        "type <= ICMPV6_TIME_EXCEED;",
        "Packet Too Big has a length",
    ),
    Mutant(
        "extension-whole",
        "extension.h",
        "\tif (QUOTE_BYTES_MIN + keep > room)\n\t\tkeep = 0;\n",
        "\tif (keep > room)\n\t\tkeep = 0;\n",
        "an extension leaves no room for 128 bytes of quote",
    ),
    Mutant(
        "field-up",
        "extension.h",
        "(quoted + unit - 1) & ~(unit - 1)",
        "quoted & ~(unit - 1)",
        "the quote is cut to whole words",
    ),
    Mutant(
        "cut-place",
        "extension.h",
        "return offset & 1 ? __builtin_bswap16(sum) : sum;",
        "return sum;",
        "what is cut at an odd offset is summed at an even one",
    ),
    Mutant(
        "origin-class",
        "extension.h",
        "#define INTERFACE_INFORMATION 2",
        "#define INTERFACE_INFORMATION 1",
        "constant",
    ),
    Mutant(
        "origin-length",
        "extension.h",
        "e->bytes = bpf_htons(sizeof(*e) - 4);",
        "e->bytes = bpf_htons(sizeof(*e));",
        "the extension's header counts into its object",
    ),
    Mutant(
        "origin-family",
        "extension.h",
        "#define AFI_IPV6\t      2",
        "#define AFI_IPV6\t      1",
        "IPv4",
    ),
    Mutant(
        "tail-unit-46",
        "quote.h",
        "w->tail.field_bytes / 8 << 24",
        "w->tail.field_bytes / 4 << 24",
        "the length is in words of 32 bits",
    ),
    Mutant(
        "tail-place-64",
        "quote.h",
        "w->tail.field_bytes / 4 << 16",
        "w->tail.field_bytes / 4 << 24",
        "the length is where the pointer is",
    ),
    Mutant(
        "tail-keep",
        "quote.h",
        "tail->extension_bytes && !tail->keep_bytes) {",
        "tail->extension_bytes && tail->keep_bytes) {",
        "what stays is taken out of the sum",
    ),
    Mutant(
        "error-longest",
        "quote.h",
        "#define ERROR_BYTES_MAX	 2000",
        "#define ERROR_BYTES_MAX	 2008",
        "bound",
    ),
    Mutant(
        "pool-place",
        "quote.h",
        "\t\tplace -= gw->icmp_pool[i].count;\n",
        "",
        "addresses behind the pool's second range",
    ),
    Mutant(
        "pool-prefix",
        "quote.h",
        "\t\tm->prefix = range_server(mq->dst_word);\n",
        "",
        "counted for the first prefix",
    ),
    Mutant(
        "origin-off",
        "quote.h",
        "extensible && t->gw->flags & GATEWAY_ICMP_ORIGIN &&",
        "extensible &&",
        "the origin cannot be kept to oneself",
    ),
)

_SETTINGS = (
    Mutant(
        "udp-sum-length",
        "udp_sum.h",
        "bpf_htonl(bytes), bpf_htonl(IPPROTO_UDP)",
        "bpf_htonl(p->payload_bytes), bpf_htonl(IPPROTO_UDP)",
        "IP's length instead of UDP's",
    ),
    Mutant(
        "udp-sum-zero",
        "udp_sum.h",
        "\tif (!check)\n\t\tcheck = 0xffff;\n",
        "",
        "a sum of zero is none",
    ),
    Mutant(
        "udp-sum-old-bytes",
        "udp_sum.h",
        "\t\t__builtin_memset(w->bytes, 0, sizeof(w->bytes));\n",
        "",
        "the bytes before count again",
    ),
    Mutant(
        "udp-sum-short",
        "udp_sum.h",
        "bytes < sizeof(*udp) || bytes > p->payload_bytes",
        "bytes > p->payload_bytes",
        "a datagram shorter than its header",
    ),
    Mutant(
        "udp-sum-fragment",
        "../uplink.bpf.c",
        " && !p.is_fragment &&\n",
        " &&\n",
        "a fragment gets a checksum of its own",
    ),
    Mutant(
        "fixed-tos",
        "receive.h",
        "v4 ? gw->traffic_class : gw->tos;",
        "v4 ? gw->tos : gw->traffic_class;",
        "the other direction's",
    ),
    Mutant(
        "fixed-class",
        "receive.h",
        "v4 ? GATEWAY_FIXED_TRAFFIC_CLASS : GATEWAY_FIXED_TOS;",
        "v4 ? GATEWAY_FIXED_TOS : GATEWAY_FIXED_TRAFFIC_CLASS;",
        "wrong flag",
    ),
    Mutant(
        "error-tos-fixed",
        "quote.h",
        "\tw->p.tos = tos_of(t->gw, &w->p);\n",
        "",
        "errors keep their TOS",
    ),
    Mutant(
        "igmp-told",
        "receive.h",
        "p->no_error = p->family == FAMILY_INET && p->proto == IPPROTO_IGMP;",
        "p->no_error = false;",
        "IGMP is answered",
    ),
    Mutant(
        "icmp-fragment-told",
        "receive.h",
        "!type || !p->payload_bytes || icmp_is_any_error(*type, p->family);",
        "!type || !p->payload_bytes;",
        "fragments of errors are answered",
    ),
    Mutant(
        "small-link",
        "../uplink.bpf.c",
        "wire_bytes(c, p, l4, p->l4 - p->l3) > IPV6_MTU_MIN",
        "wire_bytes(c, p, l4, p->l4 - p->l3) >= IPV6_MTU_MIN",
        "1,280 bytes are too many for a small link",
    ),
    Mutant(
        "small-link-hop",
        "../uplink.bpf.c",
        "p->ttl - !cut",
        "p->ttl - 1",
        "the slow path takes a second hop",
    ),
    Mutant("small-link-mtu", "slow.h", "mtu >= 508 ? 508", "mtu >= 296 ? 508", "the next plateau"),
    Mutant("small-link-mark", "slow.h", "bpf_ntohs(mac->mtu_bytes) : 0", "0 : 0", "no mark"),
    Mutant(
        "no-limit",
        "reject.h",
        "!(t.gw->flags & GATEWAY_ICMP_UNLIMITED) &&",
        "t.gw->flags & GATEWAY_ICMP_UNLIMITED &&",
        "what is unlimited is limited, and the other way round",
    ),
)

MUTANTS = (
    *_ADDR,
    *_CSUM,
    *_ICMP,
    *_PARSE,
    *_XLAT,
    *_RECEIVE,
    *_WAY,
    *_REJECT,
    *_QUOTE,
    *_PIPELINE,
    *_HAIRPIN,
    *_MSS,
    *_EXTENSION,
    *_SETTINGS,
)
