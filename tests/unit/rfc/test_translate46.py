# SPDX-License-Identifier: Apache-2.0
"""RFC 7915 section 4, ICMP errors aside."""

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IPOption
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest
from scapy.packet import Packet

from sixlane.rfc.rfc6052 import WELL_KNOWN
from sixlane.rfc.rfc7915 import DropReason, Forward, Pass, PassReason, SlowPath
from tests.unit.rfc.vectors import (
    DATA,
    EDGE,
    INSIDE4,
    INSIDE6,
    OUTSIDE4,
    OUTSIDE6,
    TRANSLATOR,
    dropped,
    forwarded,
    fragment6,
    icmp4,
    ip4,
    ip6,
    raw,
    refused,
    tcp,
    udp,
)


def expect6(payload: Packet | bytes, **fields: int) -> bytes:
    return ip6(payload, src=OUTSIDE6, dst=INSIDE6, **({"fl": 0, "hlim": 56} | fields))


def answer4(icmp_type: int, code: int, about: bytes, rest: int = 0) -> bytes:
    message = icmp4(icmp_type, code, rest, about[:548])
    return ip4(message, "198.51.100.1", OUTSIDE4, tos=0xC0, id=0, ttl=64, proto=1)


@pytest.mark.conformance(1, 2, 3, 4)
@pytest.mark.parametrize("upper", [tcp, udp])
def test_header_and_transport_checksum(upper: object) -> None:
    assert callable(upper)
    assert forwarded(ip4(upper())) == expect6(upper())


def test_result_says_direction_and_entry() -> None:
    outcome = TRANSLATOR.translate(ip4(udp()))
    assert isinstance(outcome, Forward)
    assert (outcome.direction, outcome.prefix) == (46, "edge")


def test_bytes_after_the_packet_are_ignored() -> None:
    assert forwarded(ip4(udp()) + b"padding") == expect6(udp())


@pytest.mark.conformance(2, 33)
def test_echo() -> None:
    assert forwarded(ip4(ICMP(type=8, id=7, seq=9) / DATA)) == expect6(
        ICMPv6EchoRequest(id=7, seq=9, data=DATA)
    )
    assert forwarded(ip4(ICMP(type=0, id=7, seq=9) / DATA)) == expect6(
        ICMPv6EchoReply(id=7, seq=9, data=DATA)
    )


@pytest.mark.conformance(4)
@pytest.mark.parametrize("ttl", [0, 1])
def test_expired_ttl(ttl: int) -> None:
    packet = ip4(udp(), ttl=ttl)
    assert refused(packet) == (DropReason.TTL_EXPIRED, answer4(11, 0, packet))
    assert forwarded(ip4(udp(), ttl=2))[7] == 1


@pytest.mark.conformance(5)
@pytest.mark.parametrize(
    "options",
    [
        b"\x94\x04\0\0",  # router alert
        b"\x83\x07\x08\xc0\x00\x02\x01\x00",  # loose source route that has ended
        b"\x07\x03\x04\x01",
        b"\x01\x44\x00\x83",  # makes no sense
    ],
)
def test_options_are_left_out(options: bytes) -> None:
    datagram = raw(ip4(udp())[20:])
    packet = ip4(datagram, proto=17, options=[IPOption(options)])
    assert forwarded(packet) == expect6(udp())


@pytest.mark.conformance(6)
@pytest.mark.parametrize("kind", [0x83, 0x89])
def test_source_route_with_addresses_left(kind: int) -> None:
    options = bytes((1, kind, 7, 4, 192, 0, 2, 1))
    packet = ip4(udp(), options=[IPOption(options)])
    assert refused(packet) == (DropReason.SOURCE_ROUTE, answer4(3, 5, packet))


@pytest.mark.conformance(7)
@pytest.mark.parametrize(
    "source", ["0.0.0.1", "127.0.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"]
)
def test_illegal_source(source: str) -> None:
    assert dropped(ip4(udp(), src=source)) == DropReason.ILLEGAL_SOURCE
    error = icmp4(3, 1, 0, ip4(udp(), INSIDE4, OUTSIDE4))
    assert forwarded(ip4(error, src=source, proto=1))


@pytest.mark.conformance(8)
@pytest.mark.parametrize("protocol", [4, 41, 47, 50, 51, 59, 132, 253])
def test_other_protocols_pass_as_they_are(protocol: int) -> None:
    assert forwarded(ip4(raw(DATA), proto=protocol)) == expect6(raw(DATA), nh=protocol)


@pytest.mark.conformance(34, 58)
@pytest.mark.parametrize("protocol", [0, 2, 43, 44, 58, 60])
def test_protocols_that_ipv6_would_misread(protocol: int) -> None:
    """The sender is told by default (section 4.4), but for IGMP (section 4.2)."""
    reason, error = refused(ip4(raw(DATA), proto=protocol))
    assert reason == DropReason.PROTOCOL
    assert (error is None) == (protocol == 2)
    assert error is None or error[20:22] == bytes((3, 13))


@pytest.mark.conformance(21, 22, 31)
@pytest.mark.parametrize(
    ("offset", "flags", "more"), [(0, "MF", 1), (185, "MF", 1), (185, "", 0), (3, "DF", 0)]
)
def test_fragments(offset: int, flags: str, more: int) -> None:
    datagram = bytes(ip4(udp(DATA[:96])))[20:]
    translated = bytes(ip6(udp(DATA[:96]), src=OUTSIDE6, dst=INSIDE6))[40:]
    expected = datagram if offset else translated  # only the first has a checksum
    assert forwarded(ip4(raw(datagram), frag=offset, flags=flags, proto=17)) == expect6(
        fragment6(offset, more, 0xBEEF, 17) / raw(expected)
    )


@pytest.mark.conformance(32, 58)
def test_icmp_fragments() -> None:
    reason, error = refused(ip4(ICMP() / DATA, flags="MF"))
    assert reason == DropReason.ICMP_FRAGMENT
    assert error is not None and error[20:22] == bytes((3, 13))
    assert dropped(ip4(ICMP() / DATA, flags="", frag=1)) == DropReason.ICMP_FRAGMENT
    assert dropped(ip4(ICMP(type=3) / DATA, flags="MF")) == DropReason.ICMP_FRAGMENT


def test_fragment_that_ends_after_the_largest_datagram() -> None:
    last: dict[str, Any] = {"flags": "", "frag": 8191, "proto": 17}
    assert forwarded(ip4(raw(bytes(7)), **last))
    assert dropped(ip4(raw(bytes(8)), **last)) == DropReason.MALFORMED


@pytest.mark.conformance(25)
@pytest.mark.parametrize(("flags", "offset", "overhead"), [("DF", 0, 20), ("DF+MF", 8, 28)])
def test_too_big_for_the_next_hop(flags: str, offset: int, overhead: int) -> None:
    fits = ip4(raw(bytes(1400 - 20 - overhead)), flags=flags, frag=offset, proto=47)
    too_big = ip4(raw(bytes(1401 - 20 - overhead)), flags=flags, frag=offset, proto=47)
    assert len(forwarded(fits, mtu6=1400)) == 1400
    reason, error = refused(too_big, mtu6=1400)
    assert reason == DropReason.TOO_BIG
    # RFC 1122: no errors about fragments other than the first
    assert error == (None if offset else answer4(3, 4, too_big, rest=1400 - overhead))


@pytest.mark.conformance(24)
@pytest.mark.parametrize("lowest", [1280, 1400])
def test_packet_that_may_be_fragmented(lowest: int) -> None:
    translator = replace(TRANSLATOR, lowest_ipv6_mtu=lowest)
    fits, too_big = (
        ip4(raw(bytes(size)), flags="", proto=47) for size in (lowest - 40, lowest - 39)
    )
    assert len(forwarded(fits, translator)) == lowest
    assert translator.translate(too_big) == SlowPath()
    fragment = ip4(raw(bytes(lowest - 47)), flags="MF", proto=47)
    assert translator.translate(fragment) == SlowPath()


def test_super_packet_is_as_big_as_its_segments() -> None:
    packet = ip4(tcp() / bytes(9000))
    assert len(forwarded(packet, segment_bytes=1436)) == len(packet) + 20  # 40 + 24 + 1436
    assert refused(packet, segment_bytes=1437)[0] == DropReason.TOO_BIG
    assert refused(packet)[0] == DropReason.TOO_BIG
    datagrams = ip4(udp() / bytes(9000), flags="")
    assert forwarded(datagrams, segment_bytes=1280 - 48)
    assert TRANSLATOR.translate(datagrams, segment_bytes=1280 - 47) == SlowPath()


def test_destination_that_is_not_served() -> None:
    assert TRANSLATOR.translate(ip4(udp(), dst="203.0.113.1")) == Pass(PassReason.NOT_OURS)


def test_header_lengths_and_checksum() -> None:
    packet = ip4(udp())
    for size in range(20):
        assert dropped(packet[:size]) == DropReason.TRUNCATED
    assert dropped(packet[:-1]) == DropReason.TRUNCATED
    assert dropped(b"\x44" + packet[1:]) == DropReason.MALFORMED
    assert dropped(b"\x55" + packet[1:]) == DropReason.MALFORMED
    assert dropped(ip4(udp(), len=19)) == DropReason.MALFORMED
    assert dropped(ip4(b"", ihl=15)[:20]) == DropReason.MALFORMED
    assert dropped(ip4(b"", ihl=15, len=60)) == DropReason.TRUNCATED
    assert dropped(ip4(udp(), chksum=0x1234)) == DropReason.BAD_HEADER_CHECKSUM


@pytest.mark.parametrize(("protocol", "shortest"), [(6, 20), (17, 8), (1, 8)])
def test_short_upper_layer(protocol: int, shortest: int) -> None:
    upper = bytes.fromhex("08000000 00000001") + bytes(range(1, 13))
    assert forwarded(ip4(raw(upper[:shortest]), proto=protocol))
    assert dropped(ip4(raw(upper[: shortest - 1]), proto=protocol)) == DropReason.TRUNCATED


@pytest.mark.conformance(62, 63)
def test_udp_without_checksum() -> None:
    datagram = bytes.fromhex("9c40003500080000")
    assert refused(ip4(raw(datagram), proto=17))[0] == DropReason.UDP_ZERO_CHECKSUM
    assert forwarded(ip4(raw(datagram), proto=17, frag=1))[48:] == datagram


@pytest.mark.conformance(61)
def test_udp_checksum_never_becomes_zero() -> None:
    # Data equal to the checksum without it makes the sum zero in IPv6: it is sent as 0xffff.
    filler = ip6(udp(b"\0\0"), OUTSIDE6, INSIDE6)[46:48]
    packet = ip4(udp(filler))
    assert forwarded(packet)[46:48] == b"\xff\xff"
    assert forwarded(packet) == expect6(udp(filler))


@pytest.mark.conformance(64)
def test_wrong_checksum_stays_wrong() -> None:
    good = ip4(udp())
    bad = good[:26] + (int.from_bytes(good[26:28]) ^ 1).to_bytes(2) + good[28:]
    good6, bad6 = forwarded(good), forwarded(bad)
    assert abs(int.from_bytes(good6[46:48]) - int.from_bytes(bad6[46:48])) == 1


def test_source_ranges() -> None:
    entry = replace(EDGE, sources=(IPv4Network("192.0.2.32/31"),))
    translator = replace(TRANSLATOR, prefixes=(entry,))
    assert forwarded(ip4(udp()), translator)
    stranger = ip4(udp(), src="192.0.2.34")
    message = icmp4(3, 13, 0, stranger)
    error = ip4(message, "198.51.100.1", "192.0.2.34", tos=0xC0, id=0, ttl=64, proto=1)
    assert refused(stranger, translator) == (DropReason.SOURCE_NOT_ALLOWED, error)
    nobody = replace(TRANSLATOR, prefixes=(replace(EDGE, sources=()),))
    assert refused(ip4(udp()), nobody)[0] == DropReason.SOURCE_NOT_ALLOWED


def test_icmp_errors_are_allowed_by_the_flow_that_they_quote() -> None:
    entry = replace(EDGE, sources=(IPv4Network("192.0.2.32/31"),))
    translator = replace(TRANSLATOR, prefixes=(entry,))
    of_friend = icmp4(11, 0, 0, ip4(udp(), INSIDE4, "192.0.2.33"))
    of_stranger = icmp4(11, 0, 0, ip4(udp(), INSIDE4, "192.0.2.34"))
    assert forwarded(ip4(of_friend, src="203.0.113.9", proto=1), translator)
    assert (
        dropped(ip4(of_stranger, src="192.0.2.33", proto=1), translator)
        == DropReason.SOURCE_NOT_ALLOWED
    )


@pytest.mark.conformance(67)
def test_well_known_prefix_carries_global_addresses_only() -> None:
    entry = replace(EDGE, network=WELL_KNOWN, ipv4=(IPv4Network("192.175.48.0/24"),))
    translator = replace(TRANSLATOR, prefixes=(entry,))
    assert forwarded(ip4(udp(), "192.31.196.9", "192.175.48.1"), translator)
    reason, error = refused(ip4(udp(), "10.0.0.1", "192.175.48.1"), translator)
    assert reason == DropReason.NOT_GLOBAL
    assert error is not None and error[20:22] == bytes((3, 13))


@pytest.mark.conformance(60)
def test_well_known_prefix_is_checksum_neutral() -> None:
    entry = replace(EDGE, network=WELL_KNOWN, ipv4=(IPv4Network("192.175.48.0/24"),))
    translator = replace(TRANSLATOR, prefixes=(entry,))
    packet = ip4(udp(), "192.31.196.9", "192.175.48.1")
    assert forwarded(packet, translator)[40:] == packet[20:]


@pytest.mark.parametrize("unanswerable", ["error", "fragment"])
def test_no_errors_about_errors_and_later_fragments(unanswerable: str) -> None:
    error = ip4(icmp4(3, 1, 0, ip4(udp(), INSIDE4, OUTSIDE4)), proto=1, ttl=1)
    fragment = ip4(raw(DATA), proto=17, frag=1, ttl=1)
    packet = {"error": error, "fragment": fragment}[unanswerable]
    assert dropped(packet) == DropReason.TTL_EXPIRED


def test_error_quotes_as_much_as_fits_into_576_bytes() -> None:
    packet = ip4(raw(bytes(1000)), proto=47, ttl=1)
    _, error = refused(packet + b"padding")
    assert error is not None and len(error) == 576
    short = ip4(raw(b"xy"), proto=47, ttl=1)
    assert refused(short + b"padding")[1] == answer4(11, 0, short)
