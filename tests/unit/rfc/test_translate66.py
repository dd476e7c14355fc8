# SPDX-License-Identifier: Apache-2.0
"""RFC 7757 section 4: hairpins, by packets as each end sees them."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Literal

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Packet

from sixlane.rfc.rfc6052 import WELL_KNOWN
from sixlane.rfc.rfc7757 import Eam
from sixlane.rfc.rfc7915 import DropReason, Forward, Pass, PassReason, Prefix
from tests.unit.rfc.vectors import (
    EDGE,
    OUTSIDE4,
    TRANSLATOR,
    dropped,
    forwarded,
    fragment6,
    icmp4,
    icmp6,
    ip4,
    ip6,
    raw,
    refused,
    tcp,
    udp,
)

pytestmark = pytest.mark.conformance(71)

# Two entries: what is called by the one is answered by the other.
CALLERS = replace(EDGE, name="callers", eam=(), max_segment=None)
SERVERS = Prefix(
    name="servers",
    network=IPv6Network("2001:db8:64:6464::/64"),
    ipv4=(IPv4Network("203.0.113.0/24"),),
    sources=None,
    eam=(
        Eam(IPv4Network("203.0.113.80/32"), IPv6Network("2001:db8:f::80/128")),
        Eam(IPv4Network("192.0.2.0/28"), IPv6Network("2001:db8:e::/124"), remote=True),
    ),
    max_segment=1200,
)
BOTH = replace(TRANSLATOR, prefixes=(CALLERS, SERVERS))

CALLER4, CALLER6 = "198.51.100.7", "2001:db8:46::198.51.100.7"
SERVER6 = "2001:db8:f::80"  # 203.0.113.80 by its mapping
CALLED6 = "2001:db8:46::203.0.113.80"  # as the caller names it, by its own prefix
CALLER_SEEN6 = "2001:db8:64:6464:c6:3364:700:0"  # 198.51.100.7 behind /64: the u octet is skipped
ROUTER6 = "2001:db8:ffff::1"


def called(payload: Packet | bytes, **fields: Any) -> bytes:
    return ip6(payload, CALLER6, CALLED6, **fields)


def arrived(payload: Packet | bytes, **fields: Any) -> bytes:
    return ip6(payload, CALLER_SEEN6, SERVER6, **({"hlim": 56} | fields))


@pytest.mark.parametrize("upper", [tcp, udp, lambda: ICMPv6EchoRequest(id=1, data=b"ping")])
def test_addresses_and_the_hop_limit_change(upper: object) -> None:
    """Class and flow label stay: the expected bytes are scapy's own, checksums too."""
    assert callable(upper)
    assert forwarded(called(upper()), BOTH) == arrived(upper())


def test_the_entry_of_the_destination_counts() -> None:
    outcome = BOTH.translate(called(udp()))
    assert isinstance(outcome, Forward)
    assert (outcome.direction, outcome.prefix) == (66, "servers")


def test_the_answer_takes_the_same_way() -> None:
    answer = ip6(udp(), SERVER6, CALLER_SEEN6)
    native = BOTH.translate(answer)
    assert isinstance(native, Forward), "198.51.100.7 is not native under the other prefix"
    assert native.packet == ip6(udp(), "2001:db8:46::203.0.113.80", CALLER6, hlim=56)


def test_an_address_inside_that_is_native_is_none() -> None:
    assert BOTH.translate(ip6(udp(), SERVER6, CALLER6)) == Pass(PassReason.NATIVE)


def test_a_remote_mapping_is_none() -> None:
    """192.0.2.5 is outside: its packets leave in IPv4."""
    outcome = BOTH.translate(ip6(udp(), CALLER6, "2001:db8:e::5"))
    assert isinstance(outcome, Forward)
    assert outcome.direction == 64


@pytest.mark.parametrize("hop_limit", [0, 1])
def test_one_hop_is_counted(hop_limit: int) -> None:
    reason, error = refused(called(udp(), hlim=hop_limit), BOTH)
    assert reason == DropReason.TTL_EXPIRED
    assert error is not None and error[40:42] == bytes((3, 0))
    assert forwarded(called(udp(), hlim=2), BOTH)[7] == 1


def test_extension_headers_stay() -> None:
    chain = IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt()
    assert forwarded(called(chain / udp()), BOTH) == arrived(chain / udp())
    segments_left = IPv6ExtHdrRouting(segleft=1, addresses=[SERVER6]) / udp()
    reason, error = refused(called(segments_left), BOTH)
    assert (reason, error is not None) == (DropReason.SOURCE_ROUTE, True)


@pytest.mark.parametrize("protocol", [17, 58, 50])
def test_fragments_keep_all_of_their_header(protocol: int) -> None:
    """Also of ICMPv6: nothing but the pseudo-header changes, so a first fragment will do."""
    later = fragment6(185, 1, 0xDEADBEEF, protocol) / raw(bytes(range(64)))
    assert forwarded(called(later), BOTH) == arrived(later)


@pytest.mark.parametrize("upper", [udp, lambda: ICMPv6EchoRequest(data=bytes(152))])
def test_first_fragments_follow_with_the_whole_datagrams_checksum(upper: object) -> None:
    assert callable(upper)
    protocol = 17 if upper is udp else 58

    def first(packet: bytes) -> Packet:
        return fragment6(0, 1, 0xDEADBEEF, protocol) / raw(packet[40 : 40 + 64])

    assert forwarded(called(first(called(upper()))), BOTH) == arrived(first(arrived(upper())))


def test_first_fragments_of_errors_end_here() -> None:
    error = icmp6(3, 0, 0, bytes(56), CALLER6, CALLED6)
    assert dropped(called(fragment6(0, 1, 1, 58) / raw(error)), BOTH) == DropReason.ICMP_FRAGMENT


@pytest.mark.parametrize(
    ("protocol", "payload", "reason", "told"),
    [
        (1, bytes(8), DropReason.PROTOCOL, True),
        (17, bytes.fromhex("0005000600080000"), DropReason.UDP_ZERO_CHECKSUM, True),
        (58, bytes((130, 0)) + bytes(6), DropReason.ICMP_TYPE, False),
        (58, bytes((5, 0)) + bytes(6), DropReason.ICMP_TYPE, False),
        (58, bytes((128, 0)) + bytes(5), DropReason.TRUNCATED, False),
        (17, bytes(7), DropReason.TRUNCATED, False),
        (6, bytes(19), DropReason.TRUNCATED, False),
    ],
)
def test_what_is_refused_on_the_way_out_is_refused_here(
    protocol: int, payload: bytes, reason: DropReason, told: bool
) -> None:
    seen, error = refused(called(raw(payload), nh=protocol), BOTH)
    assert (seen, error is not None) == (reason, told)
    assert error is None or error[40:42] == bytes((1, 1))


@pytest.mark.parametrize("source", [ROUTER6, "2001:db8:46::8.8.8.8"])
def test_a_source_without_a_served_address(source: str) -> None:
    reason, error = refused(ip6(udp(), source, CALLED6), BOTH)
    assert reason == DropReason.SOURCE_NOT_MAPPABLE
    assert error is not None and error[40:42] == bytes((1, 1))


@pytest.mark.parametrize(
    ("listed", "let_in"), [("198.51.100.0/29", True), (f"{OUTSIDE4}/32", False)]
)
def test_the_source_list_of_the_destination_is_asked(listed: str, let_in: bool) -> None:
    servers = replace(SERVERS, sources=(IPv4Network(listed),))
    translator = replace(BOTH, prefixes=(replace(CALLERS, sources=()), servers))
    if let_in:
        assert forwarded(called(udp()), translator) == arrived(udp())
        return
    reason, error = refused(called(udp()), translator)
    assert reason == DropReason.SOURCE_NOT_ALLOWED
    assert error is not None and error[40:42] == bytes((1, 1))


@pytest.mark.conformance(67)
def test_a_private_source_is_not_called_by_the_well_known_prefix() -> None:
    private = replace(CALLERS, ipv4=(IPv4Network("10.0.0.0/24"),))
    public = Prefix("public", WELL_KNOWN, (IPv4Network("192.175.48.0/24"),), None, ())
    translator = replace(BOTH, prefixes=(private, public))
    packet = ip6(udp(), "2001:db8:46::10.0.0.1", "2001:db8:46::192.175.48.1")
    reason, error = refused(packet, translator)
    assert reason == DropReason.NOT_GLOBAL
    assert error is not None and error[40:42] == bytes((1, 1))


@pytest.mark.parametrize("mtu6", [1280, 1400, 9000])
def test_too_big_says_the_links_own_mtu(mtu6: int) -> None:
    fits = called(raw(bytes(mtu6 - 40)), nh=47)
    too_big = called(raw(bytes(mtu6 - 39)), nh=47)
    assert len(forwarded(fits, BOTH, mtu6=mtu6)) == mtu6
    reason, error = refused(too_big, BOTH, mtu6=mtu6)
    assert reason == DropReason.TOO_BIG
    assert error is not None and error[40:42] == bytes((2, 0))
    assert int.from_bytes(error[44:48]) == mtu6


def test_a_syn_is_clamped_by_the_entry_of_the_destination() -> None:
    def syn(most: int) -> Packet:
        return TCP(sport=1, dport=2, flags="S", options=[("MSS", most)])

    assert forwarded(called(syn(1440)), BOTH) == arrived(syn(1200))
    assert forwarded(called(syn(1199)), BOTH) == arrived(syn(1199))
    back = forwarded(ip6(syn(1440), SERVER6, CALLER_SEEN6), BOTH)
    assert back == ip6(syn(1440), "2001:db8:46::203.0.113.80", CALLER6, hlim=56)


def test_a_udp_checksum_never_becomes_zero() -> None:
    """The sum without it, as data, makes it zero: 0xffff is sent (RFC 768)."""
    filler = arrived(UDP(sport=5, dport=6) / raw(b"\0\0"))[46:48]
    packet = called(UDP(sport=5, dport=6) / raw(filler))
    assert forwarded(packet, BOTH)[46:48] == b"\xff\xff"


# ---- errors about hairpins ----


def about(payload: Packet | bytes, icmp_type: int, code: int, rest: int, source: str) -> bytes:
    """An error about what has arrived at the server, or nearly."""
    message = icmp6(icmp_type, code, rest, arrived(payload, hlim=1), source, CALLER_SEEN6)
    return ip6(message, source, CALLER_SEEN6, nh=58)


def told(payload: Packet | bytes, icmp_type: int, code: int, rest: int, source: str) -> bytes:
    """The same as the caller gets it: about what it has sent."""
    message = icmp6(icmp_type, code, rest, called(payload, hlim=1), source, CALLER6)
    return ip6(message, source, CALLER6, nh=58, hlim=56)


@pytest.mark.conformance(70)
@pytest.mark.parametrize(
    ("icmp_type", "code", "rest"),
    [(1, 4, 0), (1, 6, 0), (3, 0, 0), (3, 1, 0), (4, 1, 6), (4, 2, 40), (4, 0, 40)],
)
@pytest.mark.parametrize("upper", [tcp, udp, lambda: ICMPv6EchoRequest(id=1, data=b"ping")])
def test_type_and_code_stay(upper: object, icmp_type: int, code: int, rest: int) -> None:
    """There is no other family whose codes they would have to be."""
    assert callable(upper)
    error = about(upper(), icmp_type, code, rest, SERVER6)
    wanted = told(upper(), icmp_type, code, rest, "2001:db8:46::203.0.113.80")
    assert forwarded(error, BOTH) == wanted


def test_a_router_keeps_its_address() -> None:
    error = about(udp(), 3, 0, 0, ROUTER6)
    assert forwarded(error, BOTH) == told(udp(), 3, 0, 0, ROUTER6)


@pytest.mark.parametrize(
    ("mtu", "mtu6", "wanted"),
    [(1400, 1500, 1400), (9000, 1500, 1500), (1000, 1500, 1280), (2**32 - 1, 1500, 1500)],
)
def test_mtus(mtu: int, mtu6: int, wanted: int) -> None:
    error = about(udp(), 2, 0, mtu, ROUTER6)
    assert forwarded(error, BOTH, mtu6=mtu6) == told(udp(), 2, 0, wanted, ROUTER6)


def test_extensions_stay_where_they_are() -> None:
    """The quote is as long as before."""
    extension = b"\x20\0\x12\x34\0\x08\x01\x01\0\0\0\0"

    def extended(packet: bytes, source: str, destination: str) -> bytes:
        quote = packet[:128].ljust(128, b"\0") + extension
        return icmp6(1, 4, 16 << 24, quote, source, destination)

    error = extended(arrived(udp(), hlim=1), ROUTER6, CALLER_SEEN6)
    wanted = extended(called(udp(), hlim=1), ROUTER6, CALLER6)
    seen = forwarded(ip6(error, ROUTER6, CALLER_SEEN6, nh=58), BOTH)
    assert seen == ip6(wanted, ROUTER6, CALLER6, nh=58, hlim=56)


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        (ROUTER6, SERVER6, DropReason.SOURCE_NOT_MAPPABLE),
        (CALLER_SEEN6, ROUTER6, DropReason.DESTINATION_NOT_MAPPABLE),
        ("2001:db8:46::8.8.8.8", SERVER6, DropReason.SOURCE_NOT_MAPPABLE),
    ],
)
def test_quotes_of_what_cannot_have_been_a_hairpin(
    source: str, destination: str, reason: DropReason
) -> None:
    message = icmp6(3, 0, 0, ip6(udp(), source, destination), ROUTER6, CALLER_SEEN6)
    assert dropped(ip6(message, ROUTER6, CALLER_SEEN6, nh=58), BOTH) == reason


@pytest.mark.parametrize(
    ("listed", "let_in"), [("203.0.113.80/32", True), ("198.51.100.0/24", False)]
)
def test_errors_are_let_in_by_the_flow_that_they_quote(listed: str, let_in: bool) -> None:
    """Whoever sends them: the caller's list is asked for the server."""
    callers = replace(CALLERS, sources=(IPv4Network(listed),))
    translator = replace(BOTH, prefixes=(callers, SERVERS))
    error = about(udp(), 3, 0, 0, ROUTER6)
    if let_in:
        assert forwarded(error, translator) == told(udp(), 3, 0, 0, ROUTER6)
    else:
        assert dropped(error, translator) == DropReason.SOURCE_NOT_ALLOWED


def test_an_error_about_an_error_is_dropped() -> None:
    inner = raw(icmp6(3, 0, 0, called(udp()), CALLER_SEEN6, SERVER6))
    message = icmp6(3, 0, 0, arrived(inner, nh=58), ROUTER6, CALLER_SEEN6)
    error = ip6(message, ROUTER6, CALLER_SEEN6, nh=58)
    assert dropped(error, BOTH) == DropReason.ICMP_NESTED


def test_nobody_is_told_of_errors() -> None:
    error = bytearray(about(udp(), 3, 0, 0, ROUTER6))
    error[7] = 1
    assert dropped(bytes(error), BOTH) == DropReason.TTL_EXPIRED


# ---- what comes from the IPv4 side ----


@pytest.mark.parametrize(
    ("rules", "source"),
    [("simple", "2001:db8:46::cb00:7150"), ("intrinsic", SERVER6), (None, SERVER6)],
)
def test_sources_that_have_a_mapping(
    rules: Literal["simple", "intrinsic"] | None, source: str
) -> None:
    """203.0.113.80 = cb00:7150. By section 4.2.1 it is not called by its mapping."""
    translator = replace(BOTH, hairpin=rules)
    seen = forwarded(ip4(udp(), "203.0.113.80", CALLER4), translator)
    assert seen == ip6(udp(), source, CALLER6, fl=0, hlim=56)


def test_remote_mappings_are_always_used() -> None:
    seen = forwarded(ip4(udp(), "192.0.2.5", CALLER4), BOTH)
    assert seen == ip6(udp(), "2001:db8:e::5", CALLER6, fl=0, hlim=56)


@pytest.mark.conformance(70)
@pytest.mark.parametrize(
    ("rules", "peer"), [("simple", "2001:db8:46::cb00:7150"), ("intrinsic", SERVER6)]
)
def test_quoted_destinations_that_have_a_mapping(
    rules: Literal["simple", "intrinsic"], peer: str
) -> None:
    translator = replace(BOTH, hairpin=rules)
    quote = ip4(udp(), CALLER4, "203.0.113.80", ttl=1)
    message = icmp4(11, 0, 0, quote)
    seen = forwarded(ip4(raw(message), "203.0.113.80", CALLER4, proto=1), translator)
    assert seen[48:] == ip6(udp(), CALLER6, peer, fl=0, hlim=1)
    assert seen[8:24] == ip6(b"", SERVER6)[8:24], "who sends the error may be called by a mapping"
