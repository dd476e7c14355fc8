# SPDX-License-Identifier: Apache-2.0
"""What the RFCs ask of a translator, a resolver and a client, one testable line each.

`@pytest.mark.conformance(25)` names a line by its number, so numbers stay.
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal["M", "S", "O"]


@dataclass(frozen=True)
class Line:
    """`level`: MUST, SHOULD, MAY; what an RFC describes without such a word is a MUST.

    `section`: of RFC 7915 where it begins with a section sign. `setting`: the key with which a user
    chooses, where the RFC leaves a choice.
    """

    number: int
    level: Level
    section: str
    text: str
    setting: str = ""


@dataclass(frozen=True)
class Chapter:
    """`later`: not built yet, as a whole."""

    title: str
    lines: tuple[Line, ...]
    later: bool = False


_HEADER_46 = (
    Line(1, "M", "§4.1", "version 6, flow label 0; payload length: what follows the IPv6 header"),
    Line(2, "M", "§4.1", "the protocol stays, but ICMP becomes ICMPv6"),
    Line(3, "M", "§4.1", "traffic class: all 8 bits of TOS, or fixed", "spec.trafficClass"),
    Line(4, "M", "§4.1", "TTL falls by one; used up: ICMPv4 11/0, and nothing is sent on"),
    Line(5, "M", "§4.1", "options are left out"),
    Line(6, "M", "§4.1", "a source route that has addresses left: dropped with ICMPv4 3/5"),
    Line(7, "S", "§4.1", "an illegal source: dropped in silence, but translated in ICMPv4 errors"),
    Line(8, "M", "§4.5, 5.5", "transport other than TCP, UDP and ICMP passes as it is"),
    Line(9, "S", "§4, 5", "packets of a flow stay in order"),
    Line(10, "M", "§4.6, 5.6", "a more specific native route goes before translation"),
)

_HEADER_64 = (
    Line(
        11, "M", "§5.1", "20 bytes of header, its checksum right; total length without extensions"
    ),
    Line(12, "M", "§5.1", "TOS: the traffic class, or fixed", "spec.tos"),
    Line(
        13, "M", "§5.1", "without Fragment header: an id of our own; DF 0 up to 1,260 bytes, else 1"
    ),
    Line(14, "M", "§5.1", "protocol: the first that is no skipped header; ICMPv6 becomes ICMP"),
    Line(15, "M", "§5.1", "hop limit falls by one; used up: ICMPv6 3/0"),
    Line(16, "M", "§5.1", "Hop-by-Hop, Destination Options and spent Routing headers are skipped"),
    Line(17, "M", "§5.1", "a Routing header with segments left: ICMPv6 4/0 that points at them"),
    Line(18, "S", "§5.1", "an illegal source: dropped in silence"),
    Line(19, "M", "§5.1, 5.4", "an address without IPv4 address: not sent on; ICMPv6 1/1"),
    Line(20, "M", "§5.1", "next header 59, or one that is not known, passes with its number"),
)

_SIZES = (
    Line(21, "M", "§4; RFC 8021", "a Fragment header on fragments only, never on a whole packet"),
    Line(22, "M", "§4.1", "fragments: offset, more and the 16 bits of id are kept, with DF too"),
    Line(23, "M", "§4", "DF 0, too large: fragments no larger than that", "spec.lowestIPv6MTU"),
    Line(24, "M", "§4, 4.1", "that size may be raised, and is not for DF 1", "spec.lowestIPv6MTU"),
    Line(25, "M", "§4", "DF 1, larger than the next hop's MTU: ICMPv4 3/4 that says 20 less"),
    Line(26, "M", "§5.1.1", "fragments: lower half of the id, offset and more; DF 0"),
    Line(27, "M", "§5.1.1", "an atomic fragment becomes a whole packet with that id, DF 0"),
    Line(28, "S", "§5.1.1", "an extension header behind a Fragment header: dropped and told of"),
    Line(29, "M", "§5", "at most 1,280 bytes of IPv6, larger than the IPv4 link: cut for it"),
    Line(
        30,
        "M",
        "§1.4, 5",
        "larger than that: ICMPv6 2/0 with 20 more than the link, 1,280 at least",
    ),
    Line(31, "M", "§4, 5", "first fragments get their checksum updated, later ones nothing"),
    Line(32, "M", "§1.2", "fragments of ICMP are not translated"),
)

_ICMP_46 = (
    Line(
        33, "M", "§4.2", "echo: types 128 and 129; id and sequence stay; a pseudo-header is summed"
    ),
    Line(34, "M", "§4.2", "other messages, unknown ones and IGMP: dropped in silence"),
    Line(35, "M", "§4.2", "3/0, 1, 5, 6, 7, 8, 11, 12 become 1/0"),
    Line(36, "M", "§4.2", "3/2 becomes 4/1 that points at Next Header"),
    Line(37, "M", "§4.2", "3/3 becomes 1/4"),
    Line(38, "M", "§4.2", "3/9, 10, 13, 15 become 1/1; other codes are dropped"),
    Line(39, "M", "§4.2", "3/4 becomes 2/0, its MTU by both next hops, 1,280 at least"),
    Line(40, "M", "§4.2", "3/4 without MTU: the next plateau below the packet, 1,280 at least"),
    Line(41, "M", "§4.2", "11 becomes 3, the code stays"),
    Line(42, "M", "§4.2", "12/0 and 12/2 become 4/0, pointers by the table; others are dropped"),
    Line(43, "M", "§4.2", "12/1 and other codes of 12 are dropped"),
)

_ICMP_64 = (
    Line(44, "M", "§5.2", "echo: types 8 and 0, without pseudo-header"),
    Line(45, "M", "§5.2", "other messages and unknown ones: dropped in silence"),
    Line(46, "M", "§5.2", "1/0, 2, 3 become 3/1; 1/1 3/10; 1/4 3/3; other codes are dropped"),
    Line(47, "M", "§5.2", "2 becomes 3/4, its MTU by both next hops and the quoted headers"),
    Line(48, "M", "§5.2", "3 becomes 11, the code stays"),
    Line(49, "M", "§5.2", "4/0 becomes 12/0, pointers by the table; others are dropped"),
    Line(50, "M", "§5.2", "4/1 becomes 3/2; 4/2 is dropped"),
)

_ICMP_ERRORS = (
    Line(51, "M", "§4.3, 5.3", "the quoted header is translated like a packet's; its TTL stays"),
    Line(52, "M", "§4.3, 5.3", "the quoted addresses are mapped in reverse, the checksum follows"),
    Line(53, "M", "§4.3, 5.3", "length and checksum outside are those of the new size"),
    Line(54, "M", "§4.3, 5.3", "a quote inside of a quote: dropped"),
    Line(55, "M", "§4.2, 5.2; RFC 4884", "length in the other words, quote of 128 bytes at least"),
    Line(56, "M", "RFC 4443, 1812", "no larger than 1,280 bytes of IPv6, 576 of IPv4"),
    Line(57, "S", "§4.4, 5.4", "no errors about errors; so many a second", "spec.icmpErrors.rate"),
    Line(58, "S", "§4.4, 5.4", "what has no error of its own: ICMPv4 3/13, ICMPv6 1/1"),
    Line(
        59, "S", "RFC 6791, 5837", "a router without IPv4 address: one of the pool", "spec.icmpPool"
    ),
)

_TRANSPORT = (
    Line(
        60, "M", "§4.5, 5.5", "checksums of TCP, UDP and ICMP follow; neutral mappings leave them"
    ),
    Line(61, "M", "RFC 768, 8200", "a UDP checksum that comes out as 0 is sent as 0xffff"),
    Line(
        62, "S", "§4.5", "whole UDP without checksum: dropped or computed", "spec.udpZeroChecksum"
    ),
    Line(63, "S", "§4.5", "first fragments of UDP without checksum: dropped and told of"),
    Line(64, "M", "§5", "a wrong checksum stays as wrong as it was"),
)

_ADDRESSES = (
    Line(
        65, "M", "RFC 6052 2.2", "embedding at /32, 40, 48, 56, 64, 96; other lengths are refused"
    ),
    Line(66, "M", "RFC 6052 2.2", "bits 64 to 71 are zero; what stands there or behind is ignored"),
    Line(67, "M", "RFC 6052 3.1", "64:ff9b::/96 with an IPv4 address that is not global: dropped"),
    Line(68, "M", "RFC 8215", "64:ff9b:1::/48 has no such limit"),
    Line(69, "M", "RFC 7757 3", "explicit mappings: the longest prefix, suffixes padded or cut"),
    Line(70, "M", "RFC 7757 3.2", "they are for each address by itself, quoted ones too"),
    Line(71, "S", "RFC 7757 4.2", "hairpins, with one hop counted", "spec.hairpin"),
    Line(72, "O", "RFC 7757 5", "mappings that overlap: warned of; the same twice: refused"),
)

_STATEFUL = (
    Line(73, "M", "RFC 6146 3.5", "only IPv6 to pool6 and IPv4 to pool4 is handled"),
    Line(74, "M", "RFC 6146 3.5, 5.4", "an IPv6 source in pool6: dropped in silence"),
    Line(75, "M", "RFC 6146 5.2", "mappings do not depend on the other end"),
    Line(76, "M", "RFC 6146 3.5.1.1", "an IPv4 transport address is used once a protocol"),
    Line(
        77,
        "S",
        "RFC 6146 3.5.1.1",
        "ports stay below or above 1024; UDP's odd or even: of the client's blocks first "
        "(`spec.pool4.portBlocks`), then of the same parity, then of the same class",
    ),
    Line(78, "S", "RFC 6146 3.5.1.1", "no port left: ICMPv6 1/3"),
    Line(79, "M", "RFC 6146 3.5.1", "UDP from inside makes state; from outside it needs some"),
    Line(80, "O", "RFC 6146 3.5.1", "filtering by address: from strangers nothing gets in"),
    Line(81, "M", "RFC 6146 4", "a UDP session lives for 2 minutes at least"),
    Line(
        82, "M", "RFC 6146 3.1", "a dynamic mapping goes with its last session, a static one stays"
    ),
    Line(83, "M", "RFC 6146 3.5.2.2", "a SYN from inside opens a session, for 4 minutes at least"),
    Line(84, "M", "RFC 6146 3.5.2.2", "its answer establishes it, for 2 hours at least"),
    Line(85, "M", "RFC 6146 3.5.2.2", "a SYN from outside without mapping is kept for 6 seconds"),
    Line(86, "M", "RFC 6146 3.5.2.2", "then ICMPv4 3/3, but a SYN from inside before establishes"),
    Line(87, "M", "RFC 6146 3.5.2.2", "a SYN from outside with a mapping is translated, 4 minutes"),
    Line(88, "O", "RFC 6146 3.5.2.2", "SYNs from outside can be dropped in silence"),
    Line(
        89, "S", "RFC 6146 3.5.2.2", "no SYN and no session: translated by the mapping, or dropped"
    ),
    Line(90, "M", "RFC 6146 3.5.2.2", "after FIN of both ends: 4 minutes"),
    Line(91, "M", "RFC 6146 3.5.2.2", "after RST: 4 minutes, unless more packets come"),
    Line(92, "S", "RFC 6146 3.5.2.2", "a session that runs out is probed first"),
    Line(
        93, "M", "RFC 6146 3.5.3", "ICMP queries have sessions by their identifier, for 60 seconds"
    ),
    Line(94, "M", "RFC 6146 3.4", "ICMP errors change no state"),
    Line(95, "M", "RFC 6146 3.4", "fragments out of order wait for 2 seconds, in bounded memory"),
    Line(96, "M", "RFC 6146 3.4", "UDP fragments without checksum: put together, or dropped"),
    Line(97, "S", "RFC 6146 3.4", "other protocols: ICMPv6 1/4, ICMPv4 3/2"),
    Line(98, "M", "RFC 6146 3.6, 3.8", "hairpins, ICMP errors too"),
    Line(99, "M", "RFC 6146 5.3", "state and kept SYNs are bounded"),
    Line(100, "M", "RFC 6146 3.7", "quoted ports follow the session"),
)

_DNS64 = (
    Line(101, "M", "RFC 6147 5.1", "classes other than IN: untouched"),
    Line(102, "M", "RFC 6147 5.1.1", "where there are AAAA records, none are made"),
    Line(103, "M", "RFC 6147 5.1.2", "NXDOMAIN passes; other errors count as no AAAA record"),
    Line(104, "M", "RFC 6147 5.1.3", "no answer in time: as SERVFAIL"),
    Line(105, "M", "RFC 6147 5.1.4", "excluded AAAA records count as none", "prefixes[].exclude"),
    Line(106, "M", "RFC 6147 5.1.5", "CNAME and DNAME are followed, and stay in the answer"),
    Line(107, "M", "RFC 6147 5.1.6, 5.4", "no A record either: that result"),
    Line(108, "M", "RFC 6147 5.4", "A records that AAAA records were made of are left out"),
    Line(109, "M", "RFC 6147 5.1.7", "TTL: that of A, no more than that of the negative answer"),
    Line(110, "M", "RFC 6147 5.2", "a prefix for each IPv4 range", "prefixes[].mapped"),
    Line(111, "M", "RFC 6052 3.1", "64:ff9b::/96 makes none of addresses that are not global"),
    Line(112, "M", "RFC 6147 5.3.1", "PTR under a prefix: answered here, or by CNAME"),
    Line(113, "M", "RFC 6147 5.3.2, 5.3.3", "additional records and other types: untouched"),
    Line(114, "M", "RFC 6147 5.5", "without CD: validated first", "spec.dnssecValidation"),
    Line(115, "M", "RFC 6147 5.5", "with CD and DO: nothing is made"),
    Line(116, "M", "RFC 6147 5.4", "truncation and EDNS as without DNS64"),
    Line(117, "M", "RFC 8880 7", "ipv4only.arpa is answered here"),
)

_DISCOVERY = (
    Line(118, "M", "RFC 7050 3", "the prefix is found by ipv4only.arpa, at each allowed length"),
    Line(119, "M", "RFC 8781 4", "the PREF64 option of router advertisements"),
    Line(120, "M", "RFC 6877, 7335", "CLAT: one /128 or /64, 192.0.0.0/29 inside"),
)

CHAPTERS = (
    Chapter("Header, IPv4 to IPv6", _HEADER_46),
    Chapter("Header, IPv6 to IPv4", _HEADER_64),
    Chapter("Fragments and sizes", _SIZES),
    Chapter("ICMPv4 to ICMPv6", _ICMP_46),
    Chapter("ICMPv6 to ICMPv4", _ICMP_64),
    Chapter("ICMP errors", _ICMP_ERRORS),
    Chapter("Transport", _TRANSPORT),
    Chapter("Addresses", _ADDRESSES),
    Chapter("Stateful NAT64", _STATEFUL, later=True),
    Chapter("DNS64", _DNS64),
    Chapter("Discovery and CLAT", _DISCOVERY, later=True),
)

STATELESS = range(1, 73)
"""Of these, each MUST and SHOULD has a test."""
