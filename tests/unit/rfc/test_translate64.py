# SPDX-License-Identifier: Apache-2.0
"""RFC 7915 section 5, ICMP errors aside."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.packet import Packet

from sixlane.rfc.rfc6052 import WELL_KNOWN
from sixlane.rfc.rfc7915 import (
    Drop,
    DropReason,
    Eam,
    Forward,
    Pass,
    PassReason,
    SlowPath,
)
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
    icmp6,
    ip4,
    ip6,
    raw,
    refused,
    tcp,
    udp,
)

GENERATED = 0x5EED


def expect4(payload: Packet | bytes, **fields: Any) -> bytes:
    small: dict[str, Any] = {"ttl": 56, "flags": "", "id": GENERATED}
    return ip4(payload, src=INSIDE4, dst=OUTSIDE4, **(small | fields))


def translated(packet: bytes, **path: Any) -> bytes:
    return forwarded(packet, identification=GENERATED, **path)


def answer6(icmp_type: int, code: int, about: bytes, rest: int = 0, to: str = INSIDE6) -> bytes:
    message = icmp6(icmp_type, code, rest, about[:1232], "2001:db8::1", to)
    return ip6(message, "2001:db8::1", to, tc=0, fl=0, hlim=64, nh=58)


@pytest.mark.conformance(11, 12, 13, 15)
@pytest.mark.parametrize("upper", [tcp, udp])
def test_header_and_transport_checksum(upper: object) -> None:
    assert callable(upper)
    assert translated(ip6(upper())) == expect4(upper())


def test_result_says_direction_and_entry() -> None:
    outcome = TRANSLATOR.translate(ip6(udp()))
    assert isinstance(outcome, Forward)
    assert (outcome.direction, outcome.prefix) == (64, "edge")


def test_bytes_after_the_packet_are_ignored() -> None:
    assert translated(ip6(udp()) + b"padding") == expect4(udp())


@pytest.mark.conformance(14, 44)
def test_echo() -> None:
    assert translated(ip6(ICMPv6EchoRequest(id=7, seq=9, data=DATA))) == expect4(
        ICMP(type=8, id=7, seq=9) / DATA
    )
    assert translated(ip6(ICMPv6EchoReply(id=7, seq=9, data=DATA))) == expect4(
        ICMP(type=0, id=7, seq=9) / DATA
    )


@pytest.mark.conformance(13)
def test_dont_fragment_above_1260_bytes() -> None:
    payload = raw(bytes(1240))
    assert translated(ip6(payload, nh=47)) == expect4(payload, proto=47)
    payload = raw(bytes(1241))
    assert translated(ip6(payload, nh=47)) == expect4(payload, proto=47, flags="DF")


@pytest.mark.conformance(15)
@pytest.mark.parametrize("hop_limit", [0, 1])
def test_expired_hop_limit(hop_limit: int) -> None:
    packet = ip6(udp(), hlim=hop_limit)
    assert refused(packet) == (DropReason.TTL_EXPIRED, answer6(3, 0, packet))
    assert translated(ip6(udp(), hlim=2))[8] == 1


@pytest.mark.conformance(11, 14, 16)
def test_extension_headers_are_left_out() -> None:
    chain = (
        IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(12))])
        / IPv6ExtHdrDestOpt()
        / IPv6ExtHdrRouting(segleft=0, addresses=[OUTSIDE6])
        / IPv6ExtHdrDestOpt()
    )
    datagram = raw(ip6(udp())[40:])
    chain.lastlayer().nh = 17
    assert translated(ip6(chain / datagram)) == expect4(udp())


@pytest.mark.conformance(17)
@pytest.mark.parametrize("before", [0, 1])
def test_source_route_with_segments_left(before: int) -> None:
    pad = [IPv6ExtHdrDestOpt()] * before
    chain: Packet = IPv6ExtHdrRouting(segleft=1, addresses=[OUTSIDE6])
    for header in pad:
        chain = header / chain
    packet = ip6(chain / udp())
    pointer = 40 + 8 * before + 3
    assert packet[pointer] == 1
    assert refused(packet) == (DropReason.SOURCE_ROUTE, answer6(4, 0, packet, rest=pointer))


def test_source_route_of_an_icmp_error_is_not_answered() -> None:
    routing = bytes((58, 0, 0, 1, 0, 0, 0, 0))
    error = icmp6(1, 0, 0, ip6(udp(), OUTSIDE6, INSIDE6))
    assert dropped(ip6(raw(routing + error), nh=43)) == DropReason.SOURCE_ROUTE


def test_source_route_before_a_chain_that_is_cut_short_is_not_answered() -> None:
    # It might hide an ICMPv6 error.
    routing = bytes((60, 0, 0, 1, 0, 0, 0, 0))
    assert dropped(ip6(raw(routing + bytes(7)), nh=43)) == DropReason.SOURCE_ROUTE


def chain_of(count: int, units: int) -> bytes:
    """Return `count` Destination Options headers of `units` times 8 bytes, and UDP."""
    kinds = [60] * (count - 1) + [17]
    headers = (bytes((kind, units - 1)) + bytes(units * 8 - 2) for kind in kinds)
    return b"".join(headers) + ip6(udp())[40:]


@pytest.mark.parametrize(("count", "units"), [(8, 4), (1, 32), (8, 1)])
def test_longest_chains(count: int, units: int) -> None:
    assert translated(ip6(raw(chain_of(count, units)), nh=60)) == expect4(udp())


@pytest.mark.parametrize(("count", "units"), [(9, 1), (1, 33), (2, 17)])
def test_chains_that_are_too_long(count: int, units: int) -> None:
    packet = ip6(raw(chain_of(count, units)), nh=60)
    assert dropped(packet) == DropReason.EXTENSION_HEADERS


def test_chain_that_is_cut_short() -> None:
    for size in range(32):
        packet = ip6(raw(chain_of(2, 2)[:size]), nh=60)
        assert dropped(packet) == DropReason.TRUNCATED


@pytest.mark.conformance(18)
@pytest.mark.parametrize("source", ["::", "::1", "ff02::1", "ffff::1"])
def test_illegal_source(source: str) -> None:
    assert dropped(ip6(udp(), src=source)) == DropReason.ILLEGAL_SOURCE


@pytest.mark.conformance(19)
@pytest.mark.parametrize("source", ["2001:db8:1::1", f"2001:db8:46::{OUTSIDE4}"])
def test_source_that_is_not_inside(source: str) -> None:
    packet = ip6(udp(), src=source)
    assert refused(packet) == (DropReason.SOURCE_NOT_MAPPABLE, answer6(1, 1, packet, to=source))


@pytest.mark.conformance(20)
@pytest.mark.parametrize("protocol", [2, 4, 41, 47, 50, 51, 59, 132, 253])
def test_other_protocols_pass_as_they_are(protocol: int) -> None:
    assert translated(ip6(raw(DATA), nh=protocol)) == expect4(raw(DATA), proto=protocol)


@pytest.mark.conformance(58)
def test_icmpv4_in_ipv6() -> None:
    reason, error = refused(ip6(raw(DATA), nh=1))
    assert reason == DropReason.PROTOCOL
    assert error is not None and error[40:42] == bytes((1, 1))


@pytest.mark.conformance(26, 31)
@pytest.mark.parametrize(("offset", "more"), [(0, 1), (185, 1), (185, 0)])
def test_fragments(offset: int, more: int) -> None:
    datagram = ip6(udp(DATA[:96]))[40:]
    translated_datagram = ip4(udp(DATA[:96]), INSIDE4, OUTSIDE4)[20:]
    packet = ip6(fragment6(offset, more, 0xDEADBEEF, 17) / raw(datagram))
    expected = raw(datagram if offset else translated_datagram)
    fields = {"id": 0xBEEF, "frag": offset, "flags": "MF" if more else ""}
    assert translated(packet) == expect4(expected, proto=17, **fields)


@pytest.mark.conformance(27)
def test_atomic_fragments() -> None:
    packet = ip6(fragment6(0, 0, 0xDEADBEEF, 17) / raw(ip6(udp())[40:]))
    assert translated(packet) == expect4(udp(), id=0xBEEF)
    big = raw(bytes(1400))
    packet = ip6(fragment6(0, 0, 0xDEADBEEF, 47) / big)
    assert translated(packet) == expect4(big, proto=47, id=0xBEEF)
    echo = raw(ip6(ICMPv6EchoRequest(id=7, seq=9, data=DATA))[40:])
    packet = ip6(fragment6(0, 0, 0xDEADBEEF, 58) / echo)
    assert translated(packet) == expect4(ICMP(type=8, id=7, seq=9) / DATA, id=0xBEEF)


@pytest.mark.conformance(28)
@pytest.mark.parametrize("protocol", [0, 43, 44, 51, 60])
@pytest.mark.parametrize("offset", [0, 8])
def test_extension_header_after_a_fragment_header(protocol: int, offset: int) -> None:
    packet = ip6(fragment6(offset, 0, 1, protocol) / raw(bytes((17, 0)) + bytes(22)))
    assert dropped(packet) == DropReason.EXTENSION_HEADERS


@pytest.mark.conformance(28)
def test_esp_after_a_fragment_header() -> None:
    packet = ip6(fragment6(0, 1, 1, 50) / raw(bytes(24)))
    assert translated(packet) == expect4(raw(bytes(24)), proto=50, id=1, flags="MF")


@pytest.mark.conformance(32)
def test_icmp_fragments() -> None:
    for offset, more in ((0, 1), (1, 0), (1, 1)):
        packet = ip6(fragment6(offset, more, 1, 58) / raw(bytes(16)))
        assert dropped(packet) == DropReason.ICMP_FRAGMENT


def test_malformed_fragments() -> None:
    def fragment(offset: int, more: int, size: int) -> bytes:
        return ip6(fragment6(offset, more, 1, 17) / raw(bytes(size)))

    assert dropped(fragment(1, 1, 20)) == DropReason.MALFORMED
    assert translated(fragment(1, 0, 20))
    assert dropped(fragment(8191, 0, 8)) == DropReason.MALFORMED
    assert translated(fragment(8191, 0, 7))


@pytest.mark.conformance(30)
def test_too_big_for_the_next_hop() -> None:
    assert len(translated(ip6(raw(bytes(1380)), nh=47), mtu4=1400)) == 1400
    packet = ip6(raw(bytes(1381)), nh=47)
    answer = answer6(2, 0, packet, rest=1420)
    assert refused(packet, mtu4=1400) == (DropReason.TOO_BIG, answer)
    assert answer6(2, 0, packet, rest=1280) == refused(packet, mtu4=1000)[1]
    assert len(answer) == 1280


@pytest.mark.conformance(29)
def test_small_packet_that_is_too_big_for_the_next_hop() -> None:
    packet = ip6(raw(bytes(1240)), nh=47)
    assert TRANSLATOR.translate(packet, mtu4=1259) == SlowPath()
    assert TRANSLATOR.translate(packet, mtu4=1260) != SlowPath()
    packet = ip6(raw(bytes(1241)), nh=47)
    assert refused(packet, mtu4=1259)[0] == DropReason.TOO_BIG


def test_super_packet_is_as_big_as_its_segments() -> None:
    packet = ip6(tcp() / bytes(9000))
    fields: dict[str, Any] = {"flags": "DF"}
    assert translated(packet, segment_bytes=1456) == expect4(tcp() / bytes(9000), **fields)
    assert refused(packet, segment_bytes=1457)[0] == DropReason.TOO_BIG
    assert refused(packet)[0] == DropReason.TOO_BIG
    datagrams = udp() / bytes(9000)
    assert translated(ip6(datagrams), segment_bytes=1260 - 28) == expect4(datagrams)
    assert translated(ip6(datagrams), segment_bytes=1260 - 27) == expect4(datagrams, **fields)


def test_longer_than_any_ipv4_packet() -> None:
    packet = ip6(tcp() / bytes(65535 - 24 - 101))
    assert refused(packet, mtu4=70_000)[0] == DropReason.TOO_BIG
    assert forwarded(packet, segment_bytes=1000)[2:4] == b"\0\0", "BIG TCP"


@pytest.mark.conformance(10)
def test_destinations() -> None:
    elsewhere = ip6(udp(), dst="2001:db8:47::1")
    assert TRANSLATOR.translate(elsewhere) == Pass(PassReason.NOT_OURS)
    inside = ip6(udp(), dst="2001:db8:46::198.51.100.9")
    assert TRANSLATOR.translate(inside) == Pass(PassReason.NATIVE)


def test_lengths() -> None:
    packet = ip6(udp())
    for size in range(1, 40):
        assert dropped(packet[:size]) == DropReason.TRUNCATED
    assert dropped(packet[:-1]) == DropReason.TRUNCATED


@pytest.mark.parametrize(("protocol", "shortest"), [(6, 20), (17, 8), (58, 8)])
def test_short_upper_layer(protocol: int, shortest: int) -> None:
    upper = bytes.fromhex("80000000 00000001") + bytes(range(1, 13))
    assert translated(ip6(raw(upper[:shortest]), nh=protocol))
    assert dropped(ip6(raw(upper[: shortest - 1]), nh=protocol)) == DropReason.TRUNCATED


def test_udp_without_checksum() -> None:
    datagram = bytes.fromhex("9c40003500080000")
    assert refused(ip6(raw(datagram), nh=17))[0] == DropReason.UDP_ZERO_CHECKSUM


@pytest.mark.conformance(67)
def test_well_known_prefix_carries_global_addresses_only() -> None:
    entry = replace(EDGE, network=WELL_KNOWN, ipv4=(IPv4Network("192.175.48.0/24"),))
    translator = replace(TRANSLATOR, prefixes=(entry,))
    source, private = "64:ff9b::192.175.48.1", "64:ff9b::10.0.0.1"
    assert forwarded(ip6(udp(), source, "64:ff9b::192.31.196.9"), translator)
    packet = ip6(udp(), source, private)
    assert refused(packet, translator) == (
        DropReason.NOT_GLOBAL,
        answer6(1, 1, packet, to=source),
    )
    packet = ip6(udp(), private, "64:ff9b::192.31.196.9")
    assert refused(packet, translator)[0] == DropReason.NOT_GLOBAL


@pytest.mark.conformance(70)
def test_explicit_mappings_come_first() -> None:
    inside = Eam(IPv4Network("10.9.0.0/24"), IPv6Network("2001:db8:9::/120"))
    outside = Eam(IPv4Network("172.16.0.0/24"), IPv6Network("2001:db8:8::/120"), remote=True)
    entry = replace(EDGE, network=WELL_KNOWN, eam=(inside, outside))
    translator = replace(TRANSLATOR, prefixes=(entry,))
    packet6 = ip6(udp(), "2001:db8:9::5", "2001:db8:8::7")
    assert forwarded(packet6, translator) == ip4(
        udp(), "10.9.0.5", "172.16.0.7", ttl=56, flags="", id=0
    )
    packet4 = ip4(udp(), "172.16.0.7", "10.9.0.5")
    assert forwarded(packet4, translator) == ip6(
        udp(), "2001:db8:8::7", "2001:db8:9::5", fl=0, hlim=56
    )
    to_inside = ip6(udp(), "2001:db8:9::5", "2001:db8:9::6")
    assert translator.translate(to_inside) == Pass(PassReason.NOT_OURS)
    to_remote4 = ip4(udp(), "192.31.196.1", "172.16.0.7")
    assert translator.translate(to_remote4) == Pass(PassReason.NOT_OURS)


def test_no_errors_about_errors_and_later_fragments() -> None:
    error = icmp6(1, 0, 0, ip6(udp(), OUTSIDE6, INSIDE6))
    assert dropped(ip6(error, nh=58, hlim=1)) == DropReason.TTL_EXPIRED
    later = ip6(fragment6(1, 0, 1, 17) / raw(bytes(8)), hlim=1)
    assert dropped(later) == DropReason.TTL_EXPIRED
    first = ip6(fragment6(0, 1, 1, 17) / raw(bytes(8)), hlim=1)
    assert isinstance(TRANSLATOR.translate(first), Drop)
    assert refused(first)[1] == answer6(3, 0, first)


def test_prefix_that_rfc6052_does_not_know() -> None:
    with pytest.raises(ValueError, match="RFC 6052"):
        replace(EDGE, network=IPv6Network("2001:db8::/80"))
