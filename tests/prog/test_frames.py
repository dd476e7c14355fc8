# SPDX-License-Identifier: Apache-2.0
"""Frames of unusual size: jumbo frames in pieces (xdp.frags), links that are too small."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.packet import Raw

from sixlane.bpf import SkBuff
from sixlane.net import link, route
from sixlane.rfc.rfc7915 import Prefix, Translator
from tests import needs
from tests.packets import CLIENT, ip4, ip6, ping6, tcp, udp
from tests.world import FAR_MAC, Entry, World, tables_for

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
JUMBO = 9000

EDGE = Translator(
    (
        Prefix(
            "services",
            IPv6Network("64:ff9b::/96"),
            (IPv4Network("192.175.48.0/24"),),
            None,
            (),
        ),
    ),
    IPv4Address("192.31.196.1"),
    IPv6Address("2001:db8::1"),
)


@pytest.fixture(autouse=True)
def edge(world: World) -> None:
    world.configure(EDGE)


@pytest.fixture
def jumbo(world: World) -> Iterator[None]:
    """Both devices carry 9,000 bytes."""
    for device in (world.wan, world.lan):
        link.set_mtu(device.ifindex, JUMBO)
    world.datapath.forget_next_hops()
    yield
    for device in (world.wan, world.lan):
        link.set_mtu(device.ifindex, 1500)
    world.datapath.forget_next_hops()


# tc takes no such frame from a test run; tests/netns has them on a wire.


@pytest.mark.parametrize("size", [JUMBO - 40 - 8, 3500, 5000])
@pytest.mark.parametrize("upper", [udp, tcp])
def test_jumbo_frames_46(world: World, jumbo: None, size: int, upper: object) -> None:
    payload = udp(size) if upper is udp else tcp(size - 12, flags="A")
    seen = world.run(bytes(ip4() / payload), "xdp")
    assert seen.reasons == {"forward_46": 1}
    sent = IPv6(seen.packet)
    assert sent.plen == len(bytes(payload))
    wanted = IPv6(src=sent.src, dst=sent.dst, tc=0x2E, hlim=60) / payload
    assert seen.packet == bytes(wanted)


def test_jumbo_frames_64(world: World, jumbo: None) -> None:
    payload = udp(JUMBO - 40 - 8)
    seen = world.run(bytes(ip6() / payload), "xdp")
    assert seen.reasons == {"forward_64": 1}
    assert seen.packet[20:] == bytes(IP(src=IP(seen.packet).src, dst=CLIENT) / payload)[20:]


def test_a_jumbo_frame_that_is_too_big_is_told_of(world: World) -> None:
    seen = world.run(bytes(ip4() / udp(8000)), "xdp")
    assert seen.reasons == {"drop_too_big": 1, "icmp_error_sent": 1}
    error = IP(seen.packet)
    assert (error[ICMP].nexthopmtu, len(error)) == (1480, 576)
    assert len(seen.packet) == 576, "what was behind is cut off"


def test_a_jumbo_frame_that_is_shorter_than_it_says(world: World, jumbo: None) -> None:
    packet = bytes(ip4() / udp(5000))
    assert world.run(packet[:-1], "xdp").reasons == {"drop_truncated": 1}


@pytest.mark.conformance(62)
@pytest.mark.parametrize("size", [0, 1, 247, 248, 249, 255, 256, 505, 1000])
@ENTRIES
def test_computed_udp_checksums(world: World, entry: Entry, size: int) -> None:
    """Around the stride in which the sum is made, odd and even."""
    world.commit(replace(tables_for(EDGE, world.wan, world.lan), udp_compute=True))
    data = (bytes(range(1, 252)) * 4)[:size]
    bare = UDP(sport=5, dport=53, chksum=0) / Raw(data)
    seen = world.run(bytes(ip4() / bare), entry)
    sent = IPv6(seen.packet)
    wanted = IPv6(src=sent.src, dst=sent.dst, tc=0x2E, hlim=60) / UDP(sport=5, dport=53) / Raw(data)
    assert seen.packet[: len(bytes(wanted))] == bytes(wanted)


@pytest.mark.conformance(62)
def test_computed_in_a_jumbo_frame(world: World, jumbo: None) -> None:
    world.commit(replace(tables_for(EDGE, world.wan, world.lan), udp_compute=True))
    data = (bytes(range(1, 252)) * 40)[: JUMBO - 40 - 8]
    seen = world.run(bytes(ip4() / UDP(sport=5, dport=53, chksum=0) / Raw(data)), "xdp")
    sent = IPv6(seen.packet)
    wanted = IPv6(src=sent.src, dst=sent.dst, tc=0x2E, hlim=60) / UDP(sport=5, dport=53) / Raw(data)
    assert seen.packet == bytes(wanted)


# ---- IPv4 links too small for what IPv6 may always send ----


@contextmanager
def _small_link(world: World, mtu: int) -> Iterator[None]:
    client = IPv4Network(f"{CLIENT}/32")
    via = IPv4Address("193.0.14.2")
    route.add(client, via=via, dev=world.wan.ifindex, mtu=mtu, mtu_lock=True, onlink=True)
    world.datapath.forget_next_hops()
    try:
        yield
    finally:
        route.remove(client, dev=world.wan.ifindex)
        world.datapath.forget_next_hops()


@ENTRIES
@pytest.mark.conformance(29)
@pytest.mark.parametrize(
    ("mtu", "cut_to"),
    [(1259, 1006), (1006, 1006), (1005, 508), (508, 508), (507, 296), (296, 296), (295, 68)],
)
def test_what_ipv6_may_always_send_is_cut(
    world: World, entry: Entry, mtu: int, cut_to: int
) -> None:
    """1,280 bytes become 1,260, DF 0; the frame's source tells how large pieces may be."""
    packet = bytes(ip6() / udp(1280 - 40 - 8))
    with _small_link(world, mtu):
        seen = world.run(packet, entry)
    assert (seen.verdict, seen.reasons) == ("redirect", {"forward_slow_path": 1})
    assert seen.frame[:6] == FAR_MAC
    assert seen.frame[6:14] == bytes.fromhex("06360064") + cut_to.to_bytes(2) + b"\x08\x00"
    translated = IP(seen.packet)
    assert (translated.len, str(translated.flags), translated.ttl) == (1260, "", 61), "one hop lent"


@ENTRIES
@pytest.mark.conformance(29, 30)
def test_on_both_sides_of_1280_bytes(world: World, entry: Entry) -> None:
    with _small_link(world, 1000):
        fits = world.run(bytes(ip6() / udp(1280 - 48)), entry)
        over = world.run(bytes(ip6() / udp(1281 - 48)), entry)
    assert fits.reasons == {"forward_slow_path": 1}
    assert over.reasons == {"drop_too_big": 1, "icmp_error_sent": 1}
    assert IPv6(over.packet)[ICMPv6PacketTooBig].mtu == 1280


@ENTRIES
def test_what_fits_the_small_link_goes_straight(world: World, entry: Entry) -> None:
    with _small_link(world, 1000):
        assert world.run(bytes(ip6() / udp(1000 - 28)), entry).reasons == {"forward_64": 1}
        assert world.run(bytes(ip6() / udp(1001 - 28)), entry).reasons == {"forward_slow_path": 1}
        assert world.run(bytes(ip6() / ping6(1000)), entry).reasons == {"forward_slow_path": 1}


@pytest.mark.parametrize(
    ("source", "mark"),
    [("0636006401fc", 508), ("0636006403ee", 1006), ("0636006501fc", 0), ("02aa00000001", 0)],
)
def test_the_far_end_marks_what_a_small_link_gets(world: World, source: str, mark: int) -> None:
    frame = world.wan.mac + bytes.fromhex(source) + b"\x08\x00" + bytes(ip4() / udp(64))
    context = bytes(SkBuff(ifindex=world.wan.ifindex, mark=7))
    ran = world.datapath.program("slow_turn").run(frame, ctx=context)
    assert SkBuff.from_buffer_copy(ran.ctx).mark == mark


@ENTRIES
def test_without_a_slow_path_a_small_link_is_closed(world: World, entry: Entry) -> None:
    world.commit(tables_for(EDGE, world.wan, world.lan, slow=False))
    with _small_link(world, 1000):
        seen = world.run(bytes(ip6() / udp(1200)), entry)
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_no_slow_path": 1})


# ---- BIG TCP: lengths of zero ----


def test_a_length_of_zero_is_for_super_packets_only(world: World) -> None:
    """Then what there is counts; in an ordinary packet it is an error as ever."""
    plain = bytes(ip4() / tcp(1400, flags="A"))
    packet = bytearray(plain)
    packet[2:4] = packet[10:12] = b"\0\0"
    packet[10:12] = _checksum(bytes(packet[:20]))
    big = world.run(bytes(packet), "tc", gso_bytes=700)
    assert big.reasons == {"forward_46": 1}
    assert big.packet == world.run(plain, "tc").packet
    assert world.run(bytes(packet), "tc").reasons == {"drop_malformed": 1}


def _checksum(header: bytes) -> bytes:
    total = sum(int.from_bytes(header[at : at + 2]) for at in range(0, 20, 2))
    return (0xFFFF - (total % 0xFFFF or 0xFFFF)).to_bytes(2)
