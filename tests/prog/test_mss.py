# SPDX-License-Identifier: Apache-2.0
"""TCP SYNs offer no more than their prefix allows, nor what passes more than BIG TCP can bear."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from sixlane.rfc.rfc7915 import Prefix, Translator
from tests import needs
from tests.packets import ip4, ip6, tcp
from tests.world import Entry, World, tables_for

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
MOST = 1300

EDGE = Translator(
    (
        Prefix(
            "clamped",
            IPv6Network("64:ff9b::/96"),
            (IPv4Network("192.175.48.0/24"),),
            None,
            (),
        ),
    ),
    IPv4Address("192.31.196.1"),
    IPv6Address("2001:db8::1"),
)
NATIVE = {"src": "2001:db8:7::1", "dst": "2001:db8:8::1"}


@pytest.fixture(autouse=True)
def edge(world: World) -> None:
    tables = tables_for(EDGE, world.wan, world.lan)
    prefixes = [replace(prefix, max_segment_bytes=MOST) for prefix in tables.prefixes]
    world.commit(replace(tables, prefixes=prefixes))


def _translated(world: World, entry: Entry, size: int = 0, **fields: Any) -> tuple[TCP, TCP]:
    """The TCP header of a packet from either side, as it leaves."""
    seen4 = world.run(bytes(ip4() / tcp(size, **fields)), entry)
    seen6 = world.run(bytes(ip6() / tcp(size, **fields)), entry)
    assert (seen4.reasons, seen6.reasons) == ({"forward_46": 1}, {"forward_64": 1})
    return IPv6(seen4.packet)[TCP], IP(seen6.packet)[TCP]


def _assert_right(world: World, entry: Entry, packet: bytes, wanted: bytes) -> None:
    seen = world.run(packet, entry)
    assert seen.packet == wanted


@ENTRIES
@pytest.mark.parametrize(
    ("offered", "left"), [(MOST - 1, MOST - 1), (MOST, MOST), (MOST + 1, MOST), (65535, MOST)]
)
@pytest.mark.parametrize("flags", ["S", "SA"])
def test_both_sides_of_the_limit(
    world: World, entry: Entry, offered: int, left: int, flags: str
) -> None:
    for header in _translated(world, entry, flags=flags, options=[("MSS", offered)]):
        assert dict(header.options)["MSS"] == left


@ENTRIES
@pytest.mark.parametrize("before", [[], ["NOP"], ["NOP"] * 2, ["NOP"] * 3], ids=len)
@pytest.mark.parametrize("size", [0, 33])
def test_checksum_follows_wherever_the_option_lies(
    world: World, entry: Entry, before: list[str], size: int
) -> None:
    """On an odd byte the two bytes of the value belong to two words of the sum."""
    nops = [(kind, None) for kind in before]
    rest = [("SAckOK", b""), ("Timestamp", (3, 4)), ("WScale", 7)]
    packet = ip4() / tcp(size, options=[*nops, ("MSS", 8960), *rest])
    seen = world.run(bytes(packet), entry)
    wanted = IPv6(seen.packet)
    assert dict(wanted[TCP].options)["MSS"] == MOST
    checksum = wanted[TCP].chksum
    del wanted[TCP].chksum
    assert IPv6(bytes(wanted))[TCP].chksum == checksum


@pytest.mark.conformance(64)
@ENTRIES
def test_a_wrong_checksum_stays_as_wrong(world: World, entry: Entry) -> None:
    right = bytes(ip4() / tcp(options=[("MSS", 1460)]))
    wrong = bytearray(right)
    wrong[20 + 17] ^= 0x40
    sums = [IPv6(world.run(bytes(one), entry).packet)[TCP].chksum for one in (right, wrong)]
    assert (sums[0] - sums[1]) % 0xFFFF == (right[37] - wrong[37]) % 0xFFFF


@ENTRIES
@pytest.mark.parametrize(
    "options",
    [
        b"",
        b"\x00\x02\x04\x05\xb4\x00\x00\x00",  # behind the end of the list
        b"\x02\x03\x05\xb4",  # a length that MSS has not
        b"\x05\x00\x02\x04\x05\xb4\x00\x00",  # a length that no option has
        b"\x05\x09\x02\x04\x05\xb4\x00\x00",  # longer than the list
        b"\x01\x01\x02\x04",  # cut off: what follows is data
    ],
    ids=["none", "end", "short", "zero", "long", "cut"],
)
def test_garbled_lists_are_left_alone(world: World, entry: Entry, options: bytes) -> None:
    packet = bytearray(bytes(ip4() / tcp(8)))
    packet[20 + 12] = (20 + len(options)) // 4 << 4
    packet[40:40] = options
    packet[2:4] = len(packet).to_bytes(2)
    packet[10:12] = _header_checksum(bytes(packet[:20]))
    seen = world.run(bytes(packet), entry)
    assert seen.reasons == {"forward_46": 1}
    assert seen.packet[40 + 20 :] == bytes(packet[40:])


def _header_checksum(header: bytes) -> bytes:
    fields = IP(header)
    del fields.chksum
    return bytes(fields)[10:12]


@ENTRIES
def test_only_the_first_counts(world: World, entry: Entry) -> None:
    """As receivers read it; two are an error of the sender's."""
    options = [("MSS", 1400), ("MSS", 1450)]
    for header in _translated(world, entry, options=options):
        assert [value for kind, value in header.options if kind == "MSS"] == [MOST, 1450]


@ENTRIES
def test_only_syns_are_looked_at(world: World, entry: Entry) -> None:
    for header in _translated(world, entry, flags="A", options=[("MSS", 1460)]):
        assert dict(header.options)["MSS"] == 1460


@ENTRIES
def test_without_a_limit_nothing_changes(world: World, entry: Entry) -> None:
    world.configure(EDGE)
    for header in _translated(world, entry, options=[("MSS", 1460)]):
        assert dict(header.options)["MSS"] == 1460


@ENTRIES
def test_what_passes_is_untouched(world: World, entry: Entry) -> None:
    packet = bytes(ip6(**NATIVE) / tcp(options=[("MSS", 1440)]))
    _assert_right(world, entry, packet, packet)


@ENTRIES
def test_what_passes_is_clamped_for_big_tcp(world: World, entry: Entry) -> None:
    tables = tables_for(EDGE, world.wan, world.lan)
    world.commit(replace(tables, native_max_segment_bytes=1432))
    for offered, left in ((1431, 1431), (1432, 1432), (1433, 1432)):
        packet = ip6(**NATIVE) / tcp(7, options=[("NOP", None), ("MSS", offered)])
        wanted = ip6(**NATIVE) / tcp(7, options=[("NOP", None), ("MSS", left)])
        _assert_right(world, entry, bytes(packet), bytes(wanted))
    later = bytes(ip6(**NATIVE) / tcp(7, flags="A", options=[("MSS", 1460)]))
    _assert_right(world, entry, later, later)
    ipv4 = bytes(ip4(src="9.9.9.9", dst="8.8.8.8") / tcp(options=[("MSS", 1460)]))
    _assert_right(world, entry, ipv4, ipv4)
