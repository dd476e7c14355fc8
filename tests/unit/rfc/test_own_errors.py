# SPDX-License-Identifier: Apache-2.0
"""RFC 7915 sections 4.4 and 5.4: whom the translator tells, and of what."""

from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from scapy.layers.inet import ICMP, IPOption
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6ExtHdrRouting

from sixlane.rfc.checksum import verifies
from sixlane.rfc.rfc6052 import WELL_KNOWN
from sixlane.rfc.rfc7915 import DropReason, Translator
from tests.unit.rfc.test_icmp_errors import error4, error6, quoted4, quoted6
from tests.unit.rfc.vectors import (
    DATA,
    EDGE,
    OUTSIDE6,
    TRANSLATOR,
    dropped,
    fragment6,
    icmp4,
    icmp6,
    ip4,
    ip6,
    raw,
    refused,
    udp,
)

NOBODY = replace(TRANSLATOR, prefixes=(replace(EDGE, sources=()),))
GLOBAL = replace(
    TRANSLATOR,
    prefixes=(replace(EDGE, network=WELL_KNOWN, ipv4=(IPv4Network("198.51.100.0/24"),)),),
)
NO_CHECKSUM = bytes.fromhex("9c40003500080000")
LONG = raw(bytes(2000))

ANSWERED4 = {
    "protocol": (ip4(raw(DATA), proto=60), TRANSLATOR, DropReason.PROTOCOL, (3, 13, 0)),
    "fragment of an echo": (
        *(ip4(ICMP() / DATA, flags="MF"), TRANSLATOR),
        *(DropReason.ICMP_FRAGMENT, (3, 13, 0)),
    ),
    "source list": (ip4(udp()), NOBODY, DropReason.SOURCE_NOT_ALLOWED, (3, 13, 0)),
    "private source": (
        *(ip4(udp(), "10.0.0.1"), GLOBAL),
        *(DropReason.NOT_GLOBAL, (3, 13, 0)),
    ),
    "no UDP checksum": (
        *(ip4(raw(NO_CHECKSUM), proto=17), TRANSLATOR),
        *(DropReason.UDP_ZERO_CHECKSUM, (3, 13, 0)),
    ),
    "source route": (
        *(ip4(udp(), options=[IPOption(b"\x83\x07\x04\x01\x02\x03\x04\x00")]), TRANSLATOR),
        *(DropReason.SOURCE_ROUTE, (3, 5, 0)),
    ),
    "TTL": (ip4(udp(), ttl=1), TRANSLATOR, DropReason.TTL_EXPIRED, (11, 0, 0)),
    "size": (ip4(LONG, proto=47), TRANSLATOR, DropReason.TOO_BIG, (3, 4, 1500 - 20)),
}

ANSWERED6 = {
    "protocol": (ip6(raw(DATA), nh=1), TRANSLATOR, DropReason.PROTOCOL, (1, 1, 0)),
    "fragment of an echo": (
        *(ip6(fragment6(0, 1, 1, 58) / ICMPv6EchoRequest(data=bytes(8))), TRANSLATOR),
        *(DropReason.ICMP_FRAGMENT, (1, 1, 0)),
    ),
    "no mapping": (
        *(ip6(udp(), "2001:db8:9::9"), TRANSLATOR),
        *(DropReason.SOURCE_NOT_MAPPABLE, (1, 1, 0)),
    ),
    "private destination": (
        *(ip6(udp(), "64:ff9b::192.31.196.1", "64:ff9b::10.0.0.1"), GLOBAL),
        *(DropReason.NOT_GLOBAL, (1, 1, 0)),
    ),
    "no UDP checksum": (
        *(ip6(raw(NO_CHECKSUM), nh=17), TRANSLATOR),
        *(DropReason.UDP_ZERO_CHECKSUM, (1, 1, 0)),
    ),
    "source route": (
        *(ip6(IPv6ExtHdrRouting(segleft=1, addresses=[OUTSIDE6]) / udp()), TRANSLATOR),
        *(DropReason.SOURCE_ROUTE, (4, 0, 40 + 3)),
    ),
    "hop limit": (ip6(udp(), hlim=1), TRANSLATOR, DropReason.TTL_EXPIRED, (3, 0, 0)),
    "size": (ip6(LONG, nh=47), TRANSLATOR, DropReason.TOO_BIG, (2, 0, 1500 + 20)),
}


@pytest.mark.conformance(58)
@pytest.mark.parametrize("case", ANSWERED4)
def test_what_senders_in_ipv4_are_told(case: str) -> None:
    packet, translator, reason, (icmp_type, code, rest) = ANSWERED4[case]
    seen, error = refused(packet, translator)
    assert seen == reason
    assert error is not None
    message = icmp4(icmp_type, code, rest, packet[: 576 - 28])
    assert error[20:] == message
    assert error[12:20] == translator.icmp_source4.packed + packet[12:16]
    assert verifies(error[:20])


@pytest.mark.conformance(58)
@pytest.mark.parametrize("case", ANSWERED6)
def test_what_senders_in_ipv6_are_told(case: str) -> None:
    packet, translator, reason, (icmp_type, code, rest) = ANSWERED6[case]
    seen, error = refused(packet, translator)
    assert seen == reason
    assert error is not None
    assert error[8:40] == translator.icmp_source6.packed + packet[8:24]
    assert error[40:42] == bytes((icmp_type, code))
    assert error[44:48] == rest.to_bytes(4)
    assert error[48:] == packet[: 1280 - 48]
    assert verifies(error[8:40] + (len(error) - 40).to_bytes(4) + (58).to_bytes(4) + error[40:])


QUOTE4, QUOTE6 = quoted4(udp()), quoted6(udp())

SILENT = {
    "IGMP": (ip4(raw(DATA), proto=2), DropReason.PROTOCOL),
    "no header": (ip4(udp())[:19], DropReason.TRUNCATED),
    "bad length": (ip4(udp(), len=19), DropReason.MALFORMED),
    "bad checksum": (ip4(udp(), chksum=1), DropReason.BAD_HEADER_CHECKSUM),
    "illegal source": (ip4(udp(), "127.0.0.1"), DropReason.ILLEGAL_SOURCE),
    "type": (ip4(ICMP(type=13) / DATA), DropReason.ICMP_TYPE),
    "fragment of an error": (
        ip4(ICMP(type=3) / DATA, flags="MF"),
        DropReason.ICMP_FRAGMENT,
    ),
    "later fragment of an echo": (
        ip4(ICMP() / DATA, flags="", frag=1),
        DropReason.ICMP_FRAGMENT,
    ),
    "later fragment": (ip4(raw(DATA), proto=17, frag=1, ttl=1), DropReason.TTL_EXPIRED),
    "error, TTL": (error4(QUOTE4, ttl=1), DropReason.TTL_EXPIRED),
    "error, size": (error4(quoted4(LONG, proto=47)), DropReason.TOO_BIG),
    "error, quoted protocol": (error4(quoted4(raw(DATA), proto=60)), DropReason.PROTOCOL),
    "no header6": (ip6(udp())[:39], DropReason.TRUNCATED),
    "illegal source6": (ip6(udp(), "ff02::1"), DropReason.ILLEGAL_SOURCE),
    "long chain6": (
        ip6(raw(bytes((17, 32)) + bytes(300)), nh=60),
        DropReason.EXTENSION_HEADERS,
    ),
    "type6": (ip6(raw(bytes((135, 0)) + bytes(22)), nh=58), DropReason.ICMP_TYPE),
    "fragment of an error6": (
        ip6(fragment6(0, 1, 1, 58) / raw(bytes((1, 0)) + bytes(14))),
        DropReason.ICMP_FRAGMENT,
    ),
    "later fragment6": (
        ip6(fragment6(1, 0, 1, 17) / raw(DATA), hlim=1),
        DropReason.TTL_EXPIRED,
    ),
    "error6, hop limit": (
        ip6(icmp6(1, 0, 0, QUOTE6), nh=58, hlim=1),
        DropReason.TTL_EXPIRED,
    ),
    "error6, size": (error6(quoted6(LONG, nh=47)), DropReason.TOO_BIG),
    "error6, quoted destination": (
        error6(ip6(udp(), OUTSIDE6, "2001:db8:9::9")),
        DropReason.DESTINATION_NOT_MAPPABLE,
    ),
    "error6, no mapping": (
        ip6(icmp6(1, 0, 0, QUOTE6, "2001:db8:9::9"), "2001:db8:9::9", nh=58),
        DropReason.SOURCE_NOT_MAPPABLE,
    ),
}


@pytest.mark.conformance(34, 45, 57)
@pytest.mark.parametrize("case", SILENT)
def test_of_what_nobody_is_told(case: str) -> None:
    packet, reason = SILENT[case]
    assert dropped(packet) == reason


@pytest.mark.conformance(57)
@pytest.mark.parametrize("icmp_type", [3, 4, 5, 11, 12])
def test_no_error_about_any_error_of_ipv4(icmp_type: int) -> None:
    """RFC 1122 section 3.2.2, whatever is wrong with it: here a source route is first."""
    message = raw(icmp4(icmp_type, 0, 0, QUOTE4))
    options = [IPOption(b"\x83\x07\x04\x01\x02\x03\x04\x00")]
    _, error = refused(ip4(message, proto=1, options=options, ttl=1))
    assert error is None


@pytest.mark.conformance(57)
@pytest.mark.parametrize("icmp_type", [0, 1, 2, 3, 4, 5, 100, 127])
def test_no_error_about_any_error_of_ipv6(icmp_type: int) -> None:
    """RFC 4443 section 2.4 (e.1); a Routing header in front makes no difference."""
    routing = bytes((58, 0, 0, 1, 0, 0, 0, 0))
    _, error = refused(ip6(raw(routing + icmp6(icmp_type, 0, 0, QUOTE6)), nh=43))
    assert error is None


@pytest.mark.conformance(56)
@pytest.mark.parametrize("padding", [b"", bytes(30)])
def test_errors_quote_the_packet_and_no_padding(padding: bytes) -> None:
    packet = ip4(raw(b"xy"), proto=47, ttl=1)
    error = refused(packet + padding)[1]
    assert error is not None and error[28:] == packet
    packet = ip6(raw(b"xy"), nh=47, hlim=1)
    error = refused(packet + padding)[1]
    assert error is not None and error[48:] == packet


@pytest.mark.conformance(3, 12)
def test_a_fixed_tos_is_not_that_of_own_errors() -> None:
    """RFC 1812 section 4.3.2.5 asks for Internetwork Control there."""
    fixed: Translator = replace(TRANSLATOR, tos=0x28, traffic_class=0x50)
    assert refused(ip4(udp(), ttl=1), fixed) == refused(ip4(udp(), ttl=1))
    assert refused(ip6(udp(), hlim=1), fixed) == refused(ip6(udp(), hlim=1))
