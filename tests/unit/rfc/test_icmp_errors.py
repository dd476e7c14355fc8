# SPDX-License-Identifier: Apache-2.0
"""RFC 7915 sections 4.3 and 5.3: ICMP errors with the packets that they quote."""

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IPOption
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6ExtHdrDestOpt
from scapy.packet import Packet

from sixlane.rfc.rfc6052 import WELL_KNOWN
from sixlane.rfc.rfc7915 import DropReason
from tests.unit.rfc.vectors import (
    DATA,
    EDGE,
    INSIDE4,
    INSIDE6,
    INSIDE_ROUTER4,
    INSIDE_ROUTER6,
    OUTSIDE4,
    OUTSIDE6,
    ROUTER4,
    ROUTER6,
    TRANSLATOR,
    dropped,
    forwarded,
    fragment6,
    icmp4,
    icmp6,
    ip4,
    ip6,
    raw,
    tcp,
    udp,
)

GENERATED = 0x5EED


def error4(quote: bytes, icmp_type: int = 3, code: int = 1, rest: int = 0, **fields: Any) -> bytes:
    """Return an error of a router outside about a packet from inside."""
    return ip4(icmp4(icmp_type, code, rest, quote), src=ROUTER4, proto=1, **fields)


def expect6(quote: bytes, icmp_type: int = 1, code: int = 0, rest: int = 0) -> bytes:
    message = icmp6(icmp_type, code, rest, quote, ROUTER6, INSIDE6)
    return ip6(message, ROUTER6, INSIDE6, fl=0, hlim=56, nh=58)


def error6(quote: bytes, icmp_type: int = 1, code: int = 0, rest: int = 0) -> bytes:
    """Return an error of a router inside about a packet from outside."""
    message = icmp6(icmp_type, code, rest, quote, INSIDE_ROUTER6, OUTSIDE6)
    return ip6(message, INSIDE_ROUTER6, OUTSIDE6, nh=58)


def expect4(quote: bytes, icmp_type: int = 3, code: int = 1, rest: int = 0, **fields: Any) -> bytes:
    message = icmp4(icmp_type, code, rest, quote)
    small: dict[str, Any] = {"ttl": 56, "flags": "", "id": GENERATED, "proto": 1}
    return ip4(message, INSIDE_ROUTER4, OUTSIDE4, **(small | fields))


def quoted4(payload: Packet | bytes, **fields: Any) -> bytes:
    """Return a packet as it left for outside: from the inside node, its TTL nearly used up."""
    return ip4(payload, INSIDE4, OUTSIDE4, **({"ttl": 1} | fields))


def quoted4_as6(payload: Packet | bytes, **fields: Any) -> bytes:
    return ip6(payload, INSIDE6, OUTSIDE6, **({"fl": 0, "hlim": 1} | fields))


def quoted6(payload: Packet | bytes, **fields: Any) -> bytes:
    """Return a packet as it came inside: from the outside node."""
    return ip6(payload, OUTSIDE6, INSIDE6, **({"hlim": 1} | fields))


def quoted6_as4(payload: Packet | bytes, **fields: Any) -> bytes:
    small: dict[str, Any] = {"ttl": 1, "flags": "", "id": GENERATED}
    return ip4(payload, OUTSIDE4, INSIDE4, **(small | fields))


def translated(packet: bytes, **path: Any) -> bytes:
    return forwarded(packet, identification=GENERATED, **path)


@pytest.mark.conformance(51, 52, 53)
@pytest.mark.parametrize("upper", [tcp, udp])
def test_quoted_transport(upper: object) -> None:
    assert callable(upper)
    assert translated(error4(quoted4(upper()))) == expect6(quoted4_as6(upper()))
    assert translated(error6(quoted6(upper()))) == expect4(quoted6_as4(upper()))


@pytest.mark.conformance(51, 52)
def test_quoted_echo() -> None:
    echo4, echo6 = ICMP(type=8, id=7, seq=9) / DATA, ICMPv6EchoRequest(id=7, seq=9, data=DATA)
    assert translated(error4(quoted4(echo4))) == expect6(quoted4_as6(echo6))
    assert translated(error6(quoted6(echo6))) == expect4(quoted6_as4(echo4))


@pytest.mark.conformance(52)
@pytest.mark.parametrize("upper", [tcp, udp])
@pytest.mark.parametrize("size", [0, 1, 5, 6, 7, 8, 15, 16, 17, 18, 19, 33])
def test_truncated_quote(upper: object, size: int) -> None:
    # The checksum follows if it is there whole: bytes 6 and 7 of UDP, 16 and 17 of TCP.
    assert callable(upper)
    whole = {udp: 8, tcp: 18}[upper] <= size
    before4, after6 = quoted4(upper()), quoted4_as6(upper())
    before6, after4 = quoted6(upper()), quoted6_as4(upper())
    expected6 = after6[: 40 + size] if whole else after6[:40] + before4[20 : 20 + size]
    expected4 = after4[: 20 + size] if whole else after4[:20] + before6[40 : 40 + size]
    assert translated(error4(before4[: 20 + size])) == expect6(expected6)
    assert translated(error6(before6[: 40 + size])) == expect4(expected4)


@pytest.mark.parametrize("size", [1, 3, 4, 9])
def test_truncated_echo(size: int) -> None:
    echo4, echo6 = ICMP(type=8, id=7, seq=9) / DATA, ICMPv6EchoRequest(id=7, seq=9, data=DATA)
    before4, after6 = quoted4(echo4), quoted4_as6(echo6)
    expected = after6[:40] + (after6 if size >= 4 else b"\0" * 40 + b"\x80" + before4[21:])[40:]
    assert translated(error4(before4[: 20 + size])) == expect6(expected[: 40 + size])
    before6, after4 = quoted6(echo6), quoted6_as4(echo4)
    expected = after4[:20] + (after4 if size >= 4 else b"\0" * 20 + b"\x08" + before6[41:])[20:]
    assert translated(error6(before6[: 40 + size])) == expect4(expected[: 20 + size])


def test_bytes_after_the_quoted_packet_are_kept() -> None:
    assert translated(error4(quoted4(udp()) + b"more")) == expect6(quoted4_as6(udp()) + b"more")
    assert translated(error6(quoted6(udp()) + b"more")) == expect4(quoted6_as4(udp()) + b"more")


def test_quoted_udp_without_checksum() -> None:
    datagram = raw(bytes.fromhex("9c40003500080000"))
    before, after = quoted4(datagram, proto=17), quoted4_as6(datagram, nh=17)
    assert translated(error4(before)) == expect6(after)


@pytest.mark.conformance(51)
def test_quoted_options_and_extension_headers_are_left_out() -> None:
    options = [IPOption(b"\x94\x04\0\0")]
    assert translated(error4(quoted4(udp(), options=options))) == expect6(quoted4_as6(udp()))
    before = quoted6(IPv6ExtHdrDestOpt() / udp())
    assert translated(error6(before)) == expect4(quoted6_as4(udp()))


@pytest.mark.conformance(51)
@pytest.mark.parametrize(("offset", "more"), [(0, 1), (3, 1), (3, 0)])
@pytest.mark.parametrize("protocol", [17, 1])
def test_quoted_fragments(protocol: int, offset: int, more: int) -> None:
    if (protocol, offset) == (1, 0):
        return
    upper4 = quoted4(udp(DATA[:96]))[20:]
    upper6 = quoted4_as6(udp(DATA[:96]))[40:] if offset == 0 else upper4
    protocol6 = 58 if protocol == 1 else protocol
    fields = {"proto": protocol, "frag": offset, "flags": "MF" if more else ""}
    before = quoted4(raw(upper4), **fields)
    after = quoted4_as6(fragment6(offset, more, 0xBEEF, protocol6) / raw(upper6))
    assert translated(error4(before)) == expect6(after)

    upper6 = quoted6(udp(DATA[:96]))[40:]
    upper4 = quoted6_as4(udp(DATA[:96]))[20:] if offset == 0 else upper6
    before = quoted6(fragment6(offset, more, 0xDEADBEEF, protocol6) / raw(upper6))
    after = quoted6_as4(raw(upper4), id=0xBEEF, **fields)
    assert translated(error6(before)) == expect4(after)


def test_quoted_first_icmp_fragment() -> None:
    echo = raw(bytes(ICMP(type=8) / bytes(8)))
    before = quoted4(echo, proto=1, flags="MF")
    assert dropped(error4(before)) == DropReason.ICMP_FRAGMENT
    before = quoted6(fragment6(0, 1, 1, 58) / raw(bytes((128,)) + bytes(15)))
    assert dropped(error6(before)) == DropReason.ICMP_FRAGMENT


def test_quoted_header_of_a_big_packet() -> None:
    before = quoted6(raw(bytes(1460)), nh=47)[:200]
    after = quoted6_as4(raw(bytes(1460)), proto=47, flags="DF")[:180]
    assert translated(error6(before)) == expect4(after)


def test_checksum_of_a_quoted_ipv4_header_does_not_matter() -> None:
    wrong = quoted4(udp(), chksum=0x1234)
    assert translated(error4(wrong)) == expect6(quoted4_as6(udp()))


@pytest.mark.conformance(54)
def test_more_than_one_quoted_packet() -> None:
    inner4 = quoted4(raw(icmp4(3, 1, 0, ip4(udp()))), proto=1)
    assert dropped(error4(inner4)) == DropReason.ICMP_NESTED
    inner6 = quoted6(raw(icmp6(1, 0, 0, ip6(udp()))), nh=58)
    assert dropped(error6(inner6)) == DropReason.ICMP_NESTED


@pytest.mark.parametrize("inner_type", [b"", b"\x0d", b"\x80"])
def test_quoted_icmp_that_is_never_translated(inner_type: bytes) -> None:
    assert dropped(error4(quoted4(raw(inner_type), proto=1))) == DropReason.ICMP_TYPE


@pytest.mark.parametrize("inner_type", [b"", b"\x87", b"\x82"])
def test_quoted_icmpv6_that_is_never_translated(inner_type: bytes) -> None:
    assert dropped(error6(quoted6(raw(inner_type), nh=58))) == DropReason.ICMP_TYPE


def test_quotes_that_are_no_packets() -> None:
    before4, before6 = quoted4(udp()), quoted6(udp())
    assert dropped(error4(before4[:19])) == DropReason.TRUNCATED
    assert dropped(error6(before6[:39])) == DropReason.TRUNCATED
    assert dropped(error4(before6)) == DropReason.MALFORMED
    assert dropped(error6(before4)) == DropReason.MALFORMED
    assert dropped(error4(quoted4(udp(), ihl=6)[:23])) == DropReason.TRUNCATED
    assert dropped(error4(quoted4(udp(), len=19))) == DropReason.MALFORMED
    assert dropped(error6(quoted6(IPv6ExtHdrDestOpt() / udp())[:47])) == DropReason.TRUNCATED
    assert dropped(error6(quoted6(udp(), plen=65516))) == DropReason.MALFORMED
    assert translated(error6(quoted6(udp(), plen=65515)))


def test_quoted_protocols_that_are_never_translated() -> None:
    assert dropped(error4(quoted4(raw(DATA), proto=58))) == DropReason.PROTOCOL
    assert dropped(error6(quoted6(raw(DATA), nh=1))) == DropReason.PROTOCOL


@pytest.mark.conformance(19)
def test_quoted_addresses_without_mapping() -> None:
    stranger = "2001:db8:1::1"
    from_stranger = ip6(udp(), stranger, INSIDE6)
    to_stranger = ip6(udp(), OUTSIDE6, stranger)
    assert dropped(error6(from_stranger)) == DropReason.SOURCE_NOT_MAPPABLE
    assert dropped(error6(to_stranger)) == DropReason.DESTINATION_NOT_MAPPABLE


def test_quoted_addresses_under_the_well_known_prefix() -> None:
    entry = replace(EDGE, network=WELL_KNOWN, ipv4=(IPv4Network("192.175.48.0/24"),))
    translator = replace(TRANSLATOR, prefixes=(entry,))
    quote = ip4(udp(), "192.175.48.1", "10.0.0.1")
    error = ip4(icmp4(3, 1, 0, quote), "192.31.196.1", "192.175.48.1", proto=1)
    assert dropped(error, translator) == DropReason.NOT_GLOBAL
    router, outside = "64:ff9b::192.175.48.9", "64:ff9b::192.31.196.1"
    quote = ip6(udp(), "64:ff9b::10.0.0.1", "64:ff9b::192.175.48.1")
    error = ip6(icmp6(1, 0, 0, quote, router, outside), router, outside, nh=58)
    assert dropped(error, translator) == DropReason.NOT_GLOBAL


@pytest.mark.conformance(35, 36, 37, 38, 39, 41, 42)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((3, 2, 0), (4, 1, 6)),
        ((3, 3, 0), (1, 4, 0)),
        ((3, 4, 1400), (2, 0, 1420)),
        ((3, 4, 0), (2, 0, 1280)),
        ((3, 13, 0), (1, 1, 0)),
        ((11, 1, 0), (3, 1, 0)),
        ((12, 0, 16 << 24), (4, 0, 24)),
        ((12, 2, 8 << 24), (4, 0, 7)),
    ],
)
def test_whole_errors_46(before: tuple[int, int, int], after: tuple[int, int, int]) -> None:
    assert translated(error4(quoted4(udp()), *before)) == expect6(quoted4_as6(udp()), *after)


@pytest.mark.conformance(40)
def test_plateau_of_the_quoted_length() -> None:
    quote = quoted4(raw(bytes(1473)), proto=47)
    assert translated(error4(quote[:48], 3, 4, 0)) == expect6(
        quoted4_as6(raw(bytes(1473)), nh=47)[:68], 2, 0, 1492
    )


@pytest.mark.conformance(46, 47, 48, 49, 50)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1, 1, 0), (3, 10, 0)),
        ((1, 4, 0), (3, 3, 0)),
        ((2, 0, 1400), (3, 4, 1380)),
        ((3, 1, 0), (11, 1, 0)),
        ((4, 0, 24), (12, 0, 16 << 24)),
        ((4, 1, 6), (3, 2, 0)),
    ],
)
def test_whole_errors_64(before: tuple[int, int, int], after: tuple[int, int, int]) -> None:
    assert translated(error6(quoted6(udp()), *before)) == expect4(quoted6_as4(udp()), *after)


@pytest.mark.conformance(47)
def test_mtu_for_a_quoted_fragment() -> None:
    before = quoted6(fragment6(3, 0, 0xDEADBEEF, 17) / raw(DATA))
    after = quoted6_as4(raw(DATA), proto=17, frag=3, id=0xBEEF)
    assert translated(error6(before, 2, 0, 1400)) == expect4(after, 3, 4, 1372)


@pytest.mark.conformance(34, 43)
@pytest.mark.parametrize(
    ("icmp_type", "code", "rest"),
    [(3, 14, 0), (3, 16, 0), (12, 1, 0), (12, 0, 4 << 24), (5, 0, 0), (4, 0, 0), (13, 0, 0)],
)
def test_errors_without_counterpart_46(icmp_type: int, code: int, rest: int) -> None:
    assert dropped(error4(quoted4(udp()), icmp_type, code, rest)) == DropReason.ICMP_TYPE


@pytest.mark.conformance(45, 46, 49, 50)
@pytest.mark.parametrize(
    ("icmp_type", "code", "rest"),
    [(1, 5, 0), (4, 0, 2), (4, 0, 40), (4, 2, 0), (100, 0, 0), (130, 0, 0), (135, 0, 0)],
)
def test_errors_without_counterpart_64(icmp_type: int, code: int, rest: int) -> None:
    assert dropped(error6(quoted6(udp()), icmp_type, code, rest)) == DropReason.ICMP_TYPE
