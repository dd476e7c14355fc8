# SPDX-License-Identifier: Apache-2.0
"""Both sides of edges that generated packets hardly ever meet, in data path and reference."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrRouting

from sixlane.net import route
from sixlane.rfc.checksum import checksum
from sixlane.rfc.outcome import Forward
from sixlane.rfc.rfc7915 import Eam, Translator
from tests import needs
from tests.diff.test_datapath import compare, identifications
from tests.fuzz.checking import check
from tests.unit.rfc.vectors import (
    EDGE,
    INSIDE4,
    INSIDE6,
    OUTSIDE4,
    OUTSIDE6,
    TRANSLATOR,
    forwarded,
    icmp4,
    icmp6,
    ip4,
    ip6,
    raw,
    udp,
)
from tests.world import Entry, World, raise_world

pytestmark = [pytest.mark.diff, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with raise_world() as raised:
        yield raised


def _options(data: bytes, *, right: bool = True) -> bytes:
    """A packet with these options; scapy would mend them."""
    packet = bytearray(ip4(udp()))
    packet[0] = 0x40 | 5 + len(data) // 4
    packet[2:4] = (len(packet) + len(data)).to_bytes(2)
    packet[10:12] = b"\0\0"
    packet[20:20] = data
    field = checksum(bytes(packet[: 20 + len(data)])) ^ (not right)
    packet[10:12] = field.to_bytes(2)
    return bytes(packet)


def _header_of(words: int) -> bytes:
    packet = bytearray(ip4(udp()))
    packet[0] = 0x40 | words
    packet[10:12] = b"\0\0"
    packet[10:12] = checksum(bytes(packet[: 4 * words])).to_bytes(2)
    return bytes(packet)


def _message4(message: bytes, src: str = OUTSIDE4, dst: str = INSIDE4) -> bytes:
    return ip4(message, src, dst, proto=1, flags="")


def _message6(message: bytes, src: str = INSIDE6, dst: str = OUTSIDE6) -> bytes:
    return ip6(message, src, dst, nh=58)


def _too_big(total: int) -> bytes:
    """Fragmentation Needed that tells no MTU, about a packet of `total` bytes."""
    quoted = ip4(udp(bytes(total - 28)), src=INSIDE4, dst=OUTSIDE4)
    return _message4(icmp4(3, 4, 0, quoted[:200]))


def _about_icmp(icmp_type: int) -> bytes:
    quoted = _message4(icmp4(icmp_type, 0, 0, bytes(8)), INSIDE4, OUTSIDE4)
    return _message4(icmp4(3, 1, 0, quoted))


def _about_icmp6(icmp_type: int) -> bytes:
    quoted = _message6(icmp6(icmp_type, 0, 0, bytes(8), OUTSIDE6, INSIDE6), OUTSIDE6, INSIDE6)
    return _message6(icmp6(1, 0, 0, quoted))


def _last_fragment(end: int) -> bytes:
    """Its last byte is the `end`th of the datagram, without the header."""
    size = 16 + (end & 7)
    return ip4(raw(bytes(size)), proto=17, frag=(end - size) // 8, flags="")


def _parameter_problem(pointer: int) -> bytes:
    quoted = ip4(udp(), src=INSIDE4, dst=OUTSIDE4)
    return _message4(icmp4(12, 0, pointer << 24, quoted))


def _parameter_problem6(pointer: int) -> bytes:
    return _message6(icmp6(4, 0, pointer, ip6(udp(), OUTSIDE6, INSIDE6)))


def _routed(next_header: int, behind: bytes) -> bytes:
    """A source route with addresses left, in front of something."""
    return ip6(IPv6ExtHdrRouting(nh=next_header, len=0, segleft=2) / raw(behind))


def _fragment(offset: int, more: int, size: int) -> bytes:
    return bytes(IPv6ExtHdrFragment(offset=offset, m=more, nh=17)) + bytes(size)


def _quote_with(header_words: int, total: int) -> bytes:
    """Time Exceeded about a packet whose header and length say this."""
    quoted = bytearray(SHORT_QUOTE)
    quoted[0] = 0x40 | header_words
    quoted[2:4] = total.to_bytes(2)
    return _message4(icmp4(11, 0, 0, bytes(quoted[:28])))


def _chain(count: int) -> bytes:
    packet = udp()
    for _ in range(count):
        packet = IPv6ExtHdrDestOpt() / packet
    return ip6(packet)


def _tcp_start4(size: int) -> bytes:
    return ip4(raw(bytes(TCP())[:size]), proto=6)


def _tcp_start6(size: int) -> bytes:
    return ip6(raw(bytes(TCP())[:size]), nh=6)


SHORT_QUOTE = ip4(udp(), src=INSIDE4, dst=OUTSIDE4)
SHORT_QUOTE6 = ip6(udp(), OUTSIDE6, INSIDE6)

PACKETS = {
    "loopback is no source": ip6(udp(), "::1", OUTSIDE6),
    "2 is": ip6(udp(), "::2", OUTSIDE6),
    "multicast is no source": ip6(udp(), "ff02::1", OUTSIDE6),
    "40 bytes of options": _options(b"\x01" * 36 + b"\x94\x04\x12\x34"),
    "40 bytes of options, wrong sum": _options(b"\x01" * 36 + b"\x94\x04\x12\x34", right=False),
    "header of 16 bytes": _header_of(4),
    "route at its end": _options(b"\x89\x07\x08" + bytes(4) + b"\0"),
    "route with its last address left": _options(b"\x89\x07\x04" + bytes(4) + b"\0"),
    "route pointer on its last byte": _options(b"\x89\x07\x07" + bytes(4) + b"\0"),
    "plateau 1492": _too_big(1492),
    "just above plateau 1492": _too_big(1493),
    "about a redirect": _about_icmp(5),
    "about a timestamp": _about_icmp(13),
    "about type 127": _about_icmp6(127),
    "about type 130": _about_icmp6(130),
    "fragment to the last byte": _last_fragment(65515),
    "fragment behind the last byte": _last_fragment(65536),
    "fragment to byte 65535": _last_fragment(65535),
    "pointer 15": _parameter_problem(15),
    "pointer 16": _parameter_problem(16),
    "pointer 39": _parameter_problem6(39),
    "pointer 40": _parameter_problem6(40),
    "eight extension headers": _chain(8),
    "nine extension headers": _chain(9),
    "256 bytes of extension headers": ip6(IPv6ExtHdrDestOpt(len=31, options=[]) / udp(bytes(300))),
    "264 bytes of extension headers": ip6(IPv6ExtHdrDestOpt(len=32, options=[]) / udp(bytes(300))),
    "quote shorter than its header": _quote_with(13, 35),
    "quote cut in its header": _quote_with(13, 60),
    "quote of a header": _message4(icmp4(11, 0, 0, SHORT_QUOTE[:20])),
    "quote of a header but a byte": _message4(icmp4(11, 0, 0, SHORT_QUOTE[:19])),
    "route before a fragment": _routed(44, _fragment(0, 1, 16)),
    "route before half a fragment": _routed(44, _fragment(0, 1, 15)),
    "route before a fragment too far": _routed(44, _fragment(8191, 0, 16)),
    "route before an echo": _routed(58, icmp6(128, 0, 0)),
    "route before an error": _routed(58, icmp6(1, 0, 0)),
    "route before nothing": _routed(58, b""),
    "route before nothing, padded": _routed(58, b"") + b"\x80" + bytes(7),
    # What is behind a packet in its frame is no part of it.
    **{f"{size} bytes of TCP, padded": _tcp_start4(size) + bytes(32) for size in (16, 19, 20)},
    **{f"{size} bytes of TCP, 6, padded": _tcp_start6(size) + bytes(32) for size in (16, 19, 20)},
    **{
        f"quote of {size} bytes, padded": _message4(icmp4(11, 0, 0, SHORT_QUOTE[:size])) + bytes(32)
        for size in (12, 19, 20)
    },
    **{
        f"quote of {size} bytes, 6, padded": _message6(icmp6(1, 0, 0, SHORT_QUOTE6[:size]))
        + bytes(32)
        for size in (32, 39, 40)
    },
}


@ENTRIES
@pytest.mark.parametrize("packet", PACKETS.values(), ids=PACKETS.keys())
def test_edge(world: World, entry: Entry, packet: bytes) -> None:
    world.configure(TRANSLATOR)
    compare(world, TRANSLATOR, packet, entry)


MTUS = (0, 1, 19, 20, 28, 68, 576, 1259, 1260, 1279, 1280, 1281, 1460, 1480, 1500, 1520, 65535)


def _messages4() -> Iterator[bytes]:
    """Each type and code, each pointer, each MTU of interest."""
    quote = ip4(udp(), INSIDE4, OUTSIDE4)
    for icmp_type in range(256):
        for code in range(18):
            yield _message4(icmp4(icmp_type, code, 0, quote))
    for value in range(64):
        yield _message4(icmp4(12, value & 1, value >> 1 << 24, quote))
    for mtu in MTUS:
        yield _message4(icmp4(3, 4, mtu, quote))


def _messages6() -> Iterator[bytes]:
    quote = ip6(udp(), OUTSIDE6, INSIDE6)
    for icmp_type in range(256):
        for code in range(10):
            yield _message6(icmp6(icmp_type, code, 0, quote))
    for value in range(128):
        yield _message6(icmp6(4, value & 1, value >> 1, quote))
    for mtu in (*MTUS, 65536, 2**32 - 1):
        yield _message6(icmp6(2, 0, mtu, quote))


@pytest.mark.parametrize("messages", [_messages4, _messages6])
def test_every_icmp_message(world: World, messages: Callable[[], Iterator[bytes]]) -> None:
    world.configure(TRANSLATOR)
    assert check(world, TRANSLATOR, list(messages())) is None


def _extended6(quoted: int, extension: int) -> bytes:
    """Time Exceeded with a quote of so many bytes and an extension (RFC 4884)."""
    quote = ip6(udp(bytes(300)), OUTSIDE6, INSIDE6)[:quoted]
    behind = bytes(range(4)) + bytes(extension - 4)
    return _message6(icmp6(3, 0, quoted // 8 << 24, quote + behind))


def _extended4(quoted: int, extension: int) -> bytes:
    quote = ip4(udp(bytes(300)), INSIDE4, OUTSIDE4)[:quoted]
    return _message4(
        icmp4(11, 0, quoted // 4 << 16, quote + bytes(range(4)) + bytes(extension - 4))
    )


def _long_error(size: int) -> bytes:
    quote = ip4(udp(bytes(range(256)) * 9), INSIDE4, OUTSIDE4)[: size - 28]
    return _message4(icmp4(11, 0, 0, quote))


ERRORS = {
    "128 bytes of quote": _extended4(128, 8),
    "124 bytes of quote": _extended4(124, 8),
    "128 bytes of quote, 6": _extended6(128, 8),
    "120 bytes of quote, 6": _extended6(120, 8),
    "quote of no whole words of 64 bits": _extended4(132, 8),
    "the longest extension that stays": _extended6(256, 420),
    "an extension that goes": _extended6(256, 424),
    "the longest that stays, 6": _extended4(128, 1280 - 48 - 128),
    "one that goes, 6": _extended4(128, 1280 - 48 - 124),
    "2,000 bytes": _long_error(2000),
    "2,001 bytes": _long_error(2001),
    "an odd number of bytes, cut": _long_error(1999),
}


@ENTRIES
@pytest.mark.parametrize("packet", ERRORS.values(), ids=ERRORS.keys())
def test_edge_of_an_error(world: World, entry: Entry, packet: bytes) -> None:
    world.configure(TRANSLATOR)
    compare(world, TRANSLATOR, packet, entry)


@ENTRIES
@pytest.mark.parametrize("mtu", [501, 502])
def test_errors_through_a_link_of_odd_size(world: World, entry: Entry, mtu: int) -> None:
    """What is cut begins at an odd byte then, in the middle of a word of the checksum."""
    world.configure(TRANSLATOR)
    quote = ip6(udp(bytes(range(256)) * 3), OUTSIDE6, INSIDE6)
    packet = _message6(icmp6(3, 0, 0, quote))
    client, via = IPv4Network(OUTSIDE4), IPv4Address("193.0.14.2")
    route.add(client, via=via, dev=world.wan.ifindex, mtu=mtu, mtu_lock=True, onlink=True)
    world.datapath.forget_next_hops()
    try:
        seen = world.run(packet, entry)
    finally:
        route.remove(client, dev=world.wan.ifindex)
        world.datapath.forget_next_hops()
    wanted = {
        TRANSLATOR.translate(packet, mtu4=mtu, identification=number)
        for number in identifications(seen)
    }
    assert Forward(seen.packet, 64, "edge") in wanted


def _bare(data: bytes, length: int | None = None) -> bytes:
    """UDP without a checksum."""
    datagram = UDP(sport=40000, dport=53, len=length or 8 + len(data), chksum=0) / data
    return ip4(datagram, flags="")


def _sums_to_zero() -> bytes:
    """Two bytes of data that bring the sum over everything to all ones."""
    filler = ip4(udp(b"\0\0"))[26:28]
    packet = _bare(filler)
    assert forwarded(packet, COMPUTE) == forwarded(ip4(udp(filler), flags=""), COMPUTE)
    return packet


COMPUTE = replace(TRANSLATOR, udp_compute=True)


@ENTRIES
@pytest.mark.parametrize(
    "packet",
    [
        *(_bare(bytes(range(1, 101)), length) for length in (7, 8, 9, 107, 108, 109)),
        *(_bare(b"\xa5" * size) for size in (0, 1, 247, 248, 249, 503, 504, 505)),
        _sums_to_zero(),
    ],
    ids=lambda packet: packet[24:28].hex(),
)
def test_edge_of_a_udp_checksum_that_is_computed(world: World, entry: Entry, packet: bytes) -> None:
    world.configure(COMPUTE)
    compare(world, COMPUTE, _bare(b"\xff" * 1000), entry)  # what was there before may not count
    compare(world, COMPUTE, packet, entry)


@ENTRIES
def test_a_mapping_across_bit_64(world: World, entry: Entry) -> None:
    """The suffix of such a mapping lies in both halves of the address."""
    eam = Eam(IPv4Network("198.51.100.0/24"), IPv6Network("2001:db8:0:60::/60"))
    translator = replace(TRANSLATOR, prefixes=(replace(EDGE, eam=(eam,)),))
    world.configure(translator)
    there = ip4(udp(), dst="198.51.100.167")
    assert forwarded(there, translator)[24:40] == bytes.fromhex("20010db80000006a7000000000000000")
    compare(world, translator, there, entry)
    compare(world, translator, ip6(udp(), "2001:db8:0:6a:7000::", OUTSIDE6), entry)


def _full_words(translator: Translator) -> bytes:
    """A fragment whose IPv4 header, in words of 32 bits, adds up to all ones and a carry."""
    for identification in range(1, 65536, 257):
        packet = ip6(
            IPv6ExtHdrFragment(offset=255, m=0, id=identification, nh=17) / raw(bytes(8)),
            dst="2001:db8:46::203.0.113.1",
        )
        header = forwarded(packet, translator)[:20]
        words = [int.from_bytes(header[at : at + 4], "little") for at in (0, 4, 8, 12)]
        words[2] &= 0xFFFF  # without the checksum
        total = sum(words)
        last = (2**32 - 1 - total) % 2**32
        destination = IPv4Address(last.to_bytes(4, "little"))
        if total + last > 2**32 and destination.is_global:
            return packet[:36] + destination.packed + packet[40:]
    raise AssertionError("no such header")


@ENTRIES
def test_no_carry_is_lost(world: World, entry: Entry) -> None:
    world.configure(TRANSLATOR)
    packet = _full_words(TRANSLATOR)
    header = forwarded(packet)[:20]
    words = [int.from_bytes(header[at : at + 4], "little") for at in (0, 4, 8, 12, 16)]
    words[2] &= 0xFFFF
    assert sum(words) % 2**32 == 2**32 - 1 and sum(words) > 2**32
    compare(world, TRANSLATOR, packet, entry)
