# SPDX-License-Identifier: Apache-2.0
"""What is remembered between two addresses: that it is used, and when it is not."""

import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from scapy.layers.inet import IP, IPOption_Router_Alert
from scapy.packet import Packet, Raw

from sixlane.datapath import Kind, layout
from sixlane.net import neigh
from sixlane.rfc.rfc7915 import Prefix, Translator
from tests import needs
from tests.cpus import on_one_cpu
from tests.packets import ip4, ip6, ping4, ping6, tcp, udp
from tests.world import LAN_PEER_MAC, WAN_PEER_MAC, Entry, Seen, World, tables_for

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
POOL6 = IPv6Network("64:ff9b::/96")
OTHER_MAC = bytes.fromhex("02dd00000001")


def edge(
    sources: tuple[IPv4Network, ...] | None = None, max_segment: int | None = None
) -> Translator:
    prefix = Prefix(
        "services", POOL6, (IPv4Network("192.175.48.0/24"),), sources, (), max_segment=max_segment
    )
    return Translator(
        (prefix,), IPv4Address("193.0.14.1"), IPv6Address("2001:db8::1"), udp_compute=True
    )


@pytest.fixture
def ready(world: World) -> Iterator[World]:
    """Nothing is remembered yet, no neighbour is due to be asked, and all is on one CPU: each
    remembers for itself."""
    with on_one_cpu():
        world.configure(edge())
        for packet in (ip4() / udp(), ip6() / udp()):
            world.send(bytes(packet), "tc")
        world.configure(edge())
        yield world


def pairs(world: World) -> Iterator[tuple[bytes, layout.Pair]]:
    """All that hold."""
    epoch = world.datapath._maps["next_hop_epoch"].lookup(bytes(4)) or b""
    for key, value in world.datapath._maps["pairs"].items():
        pair = layout.Pair.from_buffer_copy(value)
        if pair.generation == world.datapath.generation() and pair.epoch == int.from_bytes(
            epoch, "little"
        ):
            yield key, pair


def plain(packet: bytes) -> bytes:
    """Of the same addresses, and with nothing else about it."""
    first = IP(packet) if packet[0] >> 4 == 4 else None
    return bytes(ip4(src=first.src, dst=first.dst) / udp() if first else ip6() / udp())


@ENTRIES
@pytest.mark.parametrize("packet", [ip4() / udp(), ip4() / tcp(), ip6() / udp(), ip6() / tcp()])
def test_the_second_packet_goes_by_what_is_remembered(
    ready: World, entry: Entry, packet: Packet
) -> None:
    first = ready.run(bytes(packet), entry)
    [(key, pair)] = pairs(ready)
    pair.hop.dst_mac[:] = list(OTHER_MAC)
    pair.expires_jiffies += 1_000_000
    ready.datapath._maps["pairs"].update(key, bytes(pair))
    second = ready.run(bytes(packet), entry)
    assert second.frame[:6] == OTHER_MAC
    assert second.reasons == first.reasons
    ready.datapath.forget_next_hops()
    ready.run(bytes(packet), entry)  # one in ten seconds is the kernel's to send
    assert ready.run(bytes(packet), entry).frame[:6] in (WAN_PEER_MAC, LAN_PEER_MAC)


@ENTRIES
@pytest.mark.parametrize(
    "end", ["src.hi", "src.lo", "dst.hi", "dst.lo", "to_and_from", "dst_port", "protocol"]
)
def test_what_is_remembered_of_another_flow_with_the_same_tag(
    ready: World, entry: Entry, end: str
) -> None:
    packet = bytes(ip6() / udp())
    ready.run(packet, entry)
    [(key, pair)] = pairs(ready)
    pair.hop.dst_mac[:] = list(OTHER_MAC)
    pair.expires_jiffies += 1_000_000
    part, _, field = end.rpartition(".")
    whole = getattr(pair, part) if part else pair
    setattr(whole, field, getattr(whole, field) ^ 1)
    ready.datapath._maps["pairs"].update(key, bytes(pair))
    assert ready.run(packet, entry).frame[:6] != OTHER_MAC


@ENTRIES
def test_what_the_tables_say_now(ready: World, entry: Entry) -> None:
    packet = bytes(ip4() / udp())
    assert ready.run(packet, entry).verdict == "redirect"
    ready.configure(edge(sources=(IPv4Network("8.0.0.0/8"),)))
    assert ready.run(packet, entry).reasons.keys() >= {"drop_source_not_allowed"}
    ready.configure(edge())
    assert ready.run(packet, entry).verdict == "redirect"


@ENTRIES
@pytest.mark.parametrize("told", [True, False])
def test_what_the_neighbours_say_now(ready: World, entry: Entry, told: bool) -> None:
    """At once if the agent tells of it, in a second by itself."""
    packet, via = bytes(ip6() / udp()), IPv4Address("193.0.14.2")
    assert ready.run(packet, entry).verdict == "redirect"
    neigh.add_permanent(ready.wan.ifindex, via, OTHER_MAC)
    try:
        if told:
            ready.datapath.forget_next_hops()
        else:
            time.sleep(1.1)
        ready.run(packet, entry)  # by the kernel
        assert ready.run(packet, entry).frame[:6] == OTHER_MAC
    finally:
        neigh.add_permanent(ready.wan.ifindex, via, WAN_PEER_MAC)


@ENTRIES
def test_a_frame_for_somebody_else(ready: World, entry: Entry) -> None:
    packet = bytes(ip4() / udp())
    assert ready.run(packet, entry).verdict == "redirect"
    foreign = OTHER_MAC + WAN_PEER_MAC + b"\x08\x00"
    seen = ready.run(packet, entry, link_header=foreign)
    assert (seen.verdict, seen.reasons) == ("pass", {"pass_other_host": 1})


@ENTRIES
def test_nothing_is_remembered_where_next_hops_depend_on_more(ready: World, entry: Entry) -> None:
    ready.commit(replace(tables_for(edge(), ready.wan, ready.lan), next_hop_cache=False))
    assert ready.run(bytes(ip4() / udp()), entry).verdict == "redirect"
    assert not list(pairs(ready))


@ENTRIES
def test_it_counts_for_its_prefix_and_protocol(ready: World, entry: Entry) -> None:
    before = ready.datapath.counters().traffic
    for packet in (ip4() / udp(), ip4() / tcp(), ip6() / udp(), ip6() / tcp()):
        for _ in range(3):
            ready.send(bytes(packet), entry)
    after = ready.datapath.counters().traffic
    for protocol in ("udp", "tcp"):
        for kind in (
            Kind("services", 46, protocol, "forward_46"),
            Kind("services", 64, protocol, "forward_64"),
        ):
            was = before[kind].packets if kind in before else 0
            assert after[kind].packets - was == 3


def _odd() -> Iterator[tuple[str, bytes]]:
    """Packets that are not plain, or not to be sent on as they are."""
    long = bytes(900)
    for name, of in (("4", ip4), ("6", ip6)):
        hop = "ttl" if of is ip4 else "hlim"
        yield f"last hop {name}", bytes(of(**{hop: 1}) / udp())
        yield f"last but one {name}", bytes(of(**{hop: 2}) / udp())
        yield f"truncated {name}", bytes(of() / udp(200))[:-1]
        yield f"too large {name}", bytes(of() / udp(1480))
        yield f"short udp {name}", bytes(of() / Raw(b"\0\1\0\2\0\7\0"))[:-1]
        yield f"no checksum {name}", bytes(of() / udp(chksum=0))
        yield f"syn {name}", bytes(of() / tcp(options=[("MSS", 8960)]))
        yield f"other protocol {name}", bytes(of(**{"proto" if hop == "ttl" else "nh": 47}) / long)
    yield "ping 4", bytes(ip4() / ping4())
    yield "ping 6", bytes(ip6() / ping6())
    yield "options", bytes(ip4(options=[IPOption_Router_Alert()]) / udp())
    yield "first fragment", bytes(ip4(flags="MF") / udp(64))
    yield "last fragment", bytes(ip4(flags="", frag=8) / udp(64))
    yield "header checksum", bytes(ip4(chksum=0x1234) / udp())
    yield "may be fragmented", bytes(ip4(flags="") / udp(1400))
    yield "may be fragmented, small", bytes(ip4(flags="") / udp(400))
    yield "atomic fragment", bytes(ip6(nh=44) / Raw(bytes([17, 0, 0, 0, 0, 0, 0, 9])) / udp())
    yield "hop-by-hop", bytes(ip6(nh=0) / Raw(bytes([17, 0, 1, 4, 0, 0, 0, 0])) / udp())
    yield "class", bytes(ip6(tc=0xFF) / udp())
    yield "tos", bytes(ip4(tos=0xFF) / udp())


ODD = dict(_odd())


@ENTRIES
@pytest.mark.parametrize("name", ODD)
def test_an_odd_packet_fares_alike_between_known_addresses(
    ready: World, entry: Entry, name: str
) -> None:
    ready.configure(edge(max_segment=1300))
    unknown = ready.run(ODD[name], entry)
    ready.configure(edge(max_segment=1300))
    assert ready.run(plain(ODD[name]), entry).verdict == "redirect"
    assert list(pairs(ready))
    known = ready.run(ODD[name], entry)
    assert _comparable(known) == _comparable(unknown)


def _comparable(seen: Seen) -> tuple[str, bytes, dict[str, int]]:
    """Without MACs, as one in ten seconds is the kernel's to send; and without what is drawn: the
    identification of IPv4, and the header checksum with it."""
    packet = bytearray(seen.frame[12:])
    if seen.verdict == "redirect" and packet[:2] == b"\x08\x00":
        packet[6:8] = packet[12:14] = bytes(2)
    return seen.verdict, bytes(packet), seen.reasons


def test_a_tag_is_kept_between_known_addresses(ready: World) -> None:
    """In XDP's frames; tc has it in the skb."""
    ready.run(bytes(ip4() / udp()), "xdp")
    tagged = ready.wan.mac + WAN_PEER_MAC + b"\x81\x00\x20\x2a\x08\x00"
    seen = ready.run(bytes(ip4() / udp()), "xdp", link_header=tagged)
    assert seen.frame[:18] == LAN_PEER_MAC + ready.lan.mac + b"\x81\x00\x20\x2a\x86\xdd"


@ENTRIES
def test_more_pairs_than_there_is_room_for(ready: World, entry: Entry) -> None:
    """Each finds its own translation, whoever was in its place."""
    for step in range(2):
        for number in range(0, 60_000, 7):
            client = str(IPv4Address("192.52.0.0") + number)
            packet = _patched(number)
            seen = ready.send(packet, entry)
            assert seen.verdict == "redirect"
            assert seen.packet[8:24] == IPv6Address(f"64:ff9b::{client}").packed, step


@ENTRIES
def test_a_full_set_gives_way_to_one_of_eight(ready: World, entry: Entry) -> None:
    """Whoever is in a set for longer is not put out by each packet that passes by."""
    full = layout.PairTags()
    full.tags[:] = [0x11111111, 0x33333333]
    tags = ready.datapath._maps["pair_tags"]
    for number in range(tags.info.max_entries):
        tags.update(number.to_bytes(4, "little"), bytes(full))
    packet = bytes(ip4() / udp())
    there = []
    for _ in range(9):
        assert ready.send(packet, entry).verdict == "redirect"
        there.append(len(list(pairs(ready))))
    assert there == [0] * 7 + [1] * 2
    other = bytes(ip4(src="192.52.0.1") / udp())
    assert ready.send(other, entry).verdict == "redirect"
    [(_, kept)] = pairs(ready)
    assert kept.src.lo.to_bytes(8, "big")[-4:] == packet[12:16]


@ENTRIES
def test_more_destinations_than_there_are_sets(ready: World, entry: Entry) -> None:
    """From one source: a destination that shares a set with another one is not taken for it."""
    base = bytes(ip6() / udp())
    for number in range(0, 60_000, 6):
        destination = IPv4Address("192.52.0.0") + number
        seen = ready.send(base[:36] + destination.packed + base[40:], entry)
        assert seen.verdict == "redirect"
        assert seen.packet[16:20] == destination.packed


_BASE = bytes(ip4(src="192.52.0.0") / udp())


def _patched(number: int) -> bytes:
    """From the client of that number to the service, made quickly."""
    header = bytearray(_BASE[:20])
    header[12:16] = (IPv4Address("192.52.0.0") + number).packed
    header[10:12] = bytes(2)
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    header[10:12] = (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
    return bytes(header) + _BASE[20:]
