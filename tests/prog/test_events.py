# SPDX-License-Identifier: Apache-2.0
"""Events: one for each dropped packet, that says what the packet was; none for any other."""

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import NamedTuple

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrRouting,
)
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from sixlane.bpf import SkBuff, XdpMd, possible_cpus
from sixlane.datapath import layout
from sixlane.datapath.events import DropEvent, EventReader, Missed
from sixlane.datapath.layout import Reason
from sixlane.net import route, sysctl
from tests import needs
from tests.diff.strategies import build_packet
from tests.packets import CLIENT, CLIENT6, SERVICE, SERVICE6, STRANGER, ip4, ip6, ping4, tcp, udp
from tests.prog.test_pipeline import EDGE
from tests.world import WAN_MAC, WAN_PEER_MAC, Entry, World, tables_for

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
NOBODY6 = "2001:db8:dead::1"
MANY = 10_000_000


class Case(NamedTuple):
    """A packet, and what its event says beside the addresses that scapy reads from it."""

    reason: str
    packet: bytes
    protocol: int
    ports: tuple[int, int] | None = None
    icmp: tuple[int, int] | None = None
    fragment: bool = False


def _with_wrong_checksum() -> bytes:
    packet = bytearray(bytes(ip4() / udp()))
    packet[10] ^= 0xFF
    return bytes(packet)


def _options(count: int) -> Packet:
    chain = ip6()
    for _ in range(count):
        chain /= IPv6ExtHdrDestOpt()
    return chain


_LOOSE_ROUTE = b"\x83\x07\x04\xc0\x1f\xc4\x01\0"
_ERROR = ICMP(type=11) / IP(src=CLIENT, dst=SERVICE, ttl=9) / udp(0)
_UDP, _TCP, _ICMP, _ICMPV6, _SCTP = 17, 6, 1, 58, 132
CASES = [
    Case("TRUNCATED", bytes(ip4() / udp())[:-5], _UDP, (40000, 53)),
    Case("TRUNCATED", bytes(ip6() / tcp(4))[:-1], _TCP, (40000, 80)),
    Case("TRUNCATED", bytes(ip4(proto=6) / Raw(b"abc")), _TCP),
    Case("MALFORMED", bytes(ip4(frag=8190, flags=0, proto=17) / Raw(bytes(40))), 17, fragment=True),
    Case("BAD_HEADER_CHECKSUM", _with_wrong_checksum(), _UDP, (40000, 53)),
    Case("PROTOCOL", bytes(ip4(proto=2) / Raw(bytes(8))), 2),
    Case("PROTOCOL", bytes(ip6(nh=1) / Raw(bytes(8))), 1),
    Case("EXTENSION_HEADERS", bytes(_options(9) / udp()), 60),
    Case("SOURCE_ROUTE", bytes(ip4(options=_LOOSE_ROUTE) / udp()), _UDP, (40000, 53)),
    Case(
        "SOURCE_ROUTE",
        bytes(ip6() / IPv6ExtHdrRouting(segleft=1, addresses=[NOBODY6]) / tcp()),
        _TCP,
        (40000, 80),
    ),
    Case("ICMP_FRAGMENT", bytes(ip4(flags="MF") / ping4()), _ICMP, icmp=(8, 0), fragment=True),
    Case("ICMP_FRAGMENT", bytes(ip4(flags=0, frag=9, proto=1) / Raw(bytes(8))), 1, fragment=True),
    Case("ICMP_TYPE", bytes(ip4() / ICMP(type=13, code=7)), _ICMP, icmp=(13, 7)),
    Case(
        "ICMP_NESTED",
        bytes(ip4() / ICMP(type=3, code=1) / IP(src=SERVICE, dst=CLIENT, ttl=9) / _ERROR),
        _ICMP,
        icmp=(3, 1),
    ),
    Case("ILLEGAL_SOURCE", bytes(ip4(src="127.0.0.9") / tcp()), _TCP, (40000, 80)),
    Case("NOT_GLOBAL", bytes(ip4(src="10.1.2.3", dst="192.175.49.9") / tcp()), _TCP, (40000, 80)),
    Case("SOURCE_NOT_ALLOWED", bytes(ip4(src=STRANGER) / tcp()), _TCP, (40000, 80)),
    Case("SOURCE_NOT_MAPPABLE", bytes(ip6(src=NOBODY6) / udp()), _UDP, (40000, 53)),
    Case(
        "DESTINATION_NOT_MAPPABLE",
        bytes(
            ip6()
            / ICMPv6DestUnreach(code=4)
            / IPv6(src=CLIENT6, dst=NOBODY6, hlim=9)
            / udp(sport=9)
        ),
        _ICMPV6,
        icmp=(1, 4),
    ),
    Case("TTL_EXPIRED", bytes(ip4(ttl=1) / udp()), _UDP, (40000, 53)),
    Case("TTL_EXPIRED", bytes(ip6(hlim=1) / SCTP(sport=3868, dport=9899)), _SCTP, (3868, 9899)),
    Case(
        "TTL_EXPIRED",
        bytes(ip6(hlim=1) / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(m=1, id=7) / udp(24)),
        _UDP,
        (40000, 53),
        fragment=True,
    ),
    Case("UDP_ZERO_CHECKSUM", bytes(ip4() / udp(chksum=0)), _UDP, (40000, 53)),
    Case("TOO_BIG", bytes(ip4() / udp(1480)), _UDP, (40000, 53)),
]


@pytest.fixture(autouse=True)
def edge(world: World) -> None:
    world.configure(EDGE)


@pytest.fixture
def reader(world: World) -> Iterator[EventReader]:
    with world.datapath.events(MANY) as opened:
        yield opened


def _only(reader: EventReader) -> DropEvent:
    (event,) = reader.read(10)
    assert not reader.missed()
    return event


def _ends(packet: bytes) -> tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address]:
    if packet[0] >> 4 == 4:
        return IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    return IPv6Address(packet[8:24]), IPv6Address(packet[24:40])


@ENTRIES
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason.lower())
def test_what_an_event_says(world: World, reader: EventReader, entry: Entry, case: Case) -> None:
    seen = world.run(case.packet, entry)
    assert seen.reasons.get(f"drop_{case.reason.lower()}") == 1
    event = _only(reader)
    assert event.reason is Reason[f"DROP_{case.reason}"]
    assert (event.src, event.dst) == _ends(case.packet)
    assert event.family == case.packet[0] >> 4
    assert (event.protocol, event.ports, event.icmp) == (case.protocol, case.ports, case.icmp)
    assert event.fragment == case.fragment
    assert event.entry == entry
    assert event.ifindex == (world.wan if event.family == 4 else world.lan).ifindex
    assert event.head == case.packet[:64]
    assert abs(event.time_ns - time.time_ns()) < 60 * 10**9


@ENTRIES
def test_what_cannot_be_read_is_told_so(world: World, reader: EventReader, entry: Entry) -> None:
    """Version 5 in a frame that says IPv4."""
    packet = bytes([0x55]) + bytes(ip4() / udp(64))[1:]
    header = WAN_MAC + WAN_PEER_MAC + b"\x08\x00"
    assert world.run(packet, entry, link_header=header).reasons == {"drop_malformed": 1}
    event = _only(reader)
    assert (event.reason, event.family) == (Reason.DROP_MALFORMED, 4)
    assert (event.src, event.dst, event.protocol, event.ports) == (None, None, None, None)
    assert (event.l3_bytes, event.head) == (len(packet), packet[:64])


def test_tags_are_not_layer_3(world: World, reader: EventReader) -> None:
    packet = bytes(ip4(ttl=1) / udp())
    header = WAN_MAC + WAN_PEER_MAC + bytes.fromhex("810020648100306508 00")
    world.run(packet, "xdp", link_header=header)
    event = _only(reader)
    assert (event.reason, event.src) == (Reason.DROP_TTL_EXPIRED, IPv4Address(CLIENT))
    assert (event.l3_bytes, event.head) == (len(packet), packet)


@ENTRIES
@pytest.mark.parametrize(
    ("kind", "reason"),
    [(route.UNREACHABLE, Reason.DROP_NO_ROUTE), (route.BLACKHOLE, Reason.DROP_BLACKHOLE)],
)
def test_no_way(world: World, reader: EventReader, entry: Entry, kind: int, reason: Reason) -> None:
    """Whether it is answered or not: the event is of the packet, not of the answer."""
    route.add(IPv6Network(f"{SERVICE6}/128"), kind=kind)
    try:
        world.datapath.forget_next_hops()
        world.run(bytes(ip4() / udp()), entry)
    finally:
        route.remove(IPv6Network(f"{SERVICE6}/128"))
        world.datapath.forget_next_hops()
    event = _only(reader)
    assert (event.reason, event.src, event.dst) == (
        reason,
        IPv4Address(CLIENT),
        IPv4Address(SERVICE),
    )


def test_forwarding_switched_off(world: World, reader: EventReader) -> None:
    sysctl.set(("net", "ipv6", "conf", "wan0", "forwarding"), "0")
    try:
        world.datapath.forget_next_hops()
        world.run(bytes(ip4() / udp()), "tc")
    finally:
        sysctl.set(("net", "ipv6", "conf", "wan0", "forwarding"), "1")
    assert _only(reader).reason is Reason.DROP_FORWARDING_OFF


@ENTRIES
def test_no_slow_path(world: World, reader: EventReader, entry: Entry) -> None:
    world.commit(tables_for(EDGE, world.wan, world.lan, slow=False))
    world.run(bytes(ip4(flags=0) / udp(1400)), entry)
    assert _only(reader).reason is Reason.DROP_NO_SLOW_PATH


def test_what_the_slow_path_brought_back(world: World, reader: EventReader) -> None:
    """A finished frame for which there is no route any more."""
    tables = tables_for(EDGE, world.wan, world.lan)
    assert tables.slow is not None
    world.commit(replace(tables, slow=replace(tables.slow, ifindex=world.wan.ifindex)))
    packet = bytes(ip4(src=SERVICE, dst=CLIENT) / udp())
    sysctl.set(("net", "ipv4", "conf", "wan0", "forwarding"), "0")
    try:
        world.datapath.forget_next_hops()
        seen = world.run(packet, "tc")
    finally:
        sysctl.set(("net", "ipv4", "conf", "wan0", "forwarding"), "1")
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_forwarding_off": 1})
    event = _only(reader)
    assert (event.src, event.dst) == (IPv4Address(SERVICE), IPv4Address(CLIENT))


OF_SESSIONS = (
    "FROM_POOL6",
    "NO_SESSION_PROTOCOL",
    "NO_BINDING",
    "NO_SESSION",
    "FILTERED",
    "NO_PORT",
    "TOO_MANY_SESSIONS",
    "TABLE_FULL",
    "SYN_STORED",
    "SYN_REPEATED",
    "SYN_STORE_FULL",
)
OF_SERVICES = ("NO_FRONTEND", "NO_BACKEND", "NO_FLOW")  # test_lb.py, test_lb_nat.py
OF_THE_KERNEL = ("RESIZE_FAILED",)  # test_resize.py


def test_every_reason_has_an_event_here() -> None:
    tested = {f"DROP_{case.reason}" for case in CASES}
    tested |= {"DROP_NO_ROUTE", "DROP_BLACKHOLE", "DROP_FORWARDING_OFF", "DROP_NO_SLOW_PATH"}
    all_of_them = {reason.name for reason in Reason if reason.name.startswith("DROP_")}
    all_of_them -= {f"DROP_{name}" for name in OF_SESSIONS}  # test_sessions.py, test_session_tcp.py
    all_of_them -= {f"DROP_{name}" for name in (*OF_SERVICES, *OF_THE_KERNEL)}
    assert all_of_them - tested == set()


@ENTRIES
def test_an_event_for_each_drop_and_for_nothing_else(
    world: World, reader: EventReader, entry: Entry
) -> None:
    rng = random.Random(3)
    dropped = forwarded = 0
    for _ in range(2000):
        packet = build_packet(rng, EDGE)
        if len(packet) < 40:  # a test run of tc takes no header that is cut short
            continue
        seen = world.run(packet, entry)
        reasons = [reason for reason in seen.reasons if reason.startswith("drop_")]
        events = reader.read(10)
        assert [event.reason.name.lower() for event in events] == reasons
        dropped += len(events)
        forwarded += not events
        for event in events:
            assert (event.src is None) or (event.src, event.dst) == _ends(packet)
            assert event.head == packet[:64]
    assert dropped > 300, "or this test shows little"
    assert forwarded > 300, "or this test shows little"


# ---- on, off and too many ----


@ENTRIES
def test_none_while_nobody_reads(world: World, entry: Entry) -> None:
    expired = bytes(ip4(ttl=1) / udp())
    with world.datapath.events(MANY):
        pass
    seen = world.run(expired, entry)
    assert seen.reasons == {"drop_ttl_expired": 1, "icmp_error_sent": 1}
    with world.datapath.events(MANY) as reader:
        assert reader.read(10) == []
        assert not reader.missed()


def test_a_dead_readers_events_are_not_ours(world: World) -> None:
    """Killed, it could neither switch them off nor read what had come."""
    monitors = world.datapath._maps["monitors"]
    on = layout.Monitor(enabled=1, events_per_second=MANY)
    monitors.update(bytes(4), bytes(on))
    world.run(bytes(ip4(ttl=1) / udp(1)), "tc")
    with world.datapath.events(MANY) as reader:
        world.run(bytes(ip4(ttl=1) / udp(2)), "tc")
        assert _only(reader).l3_bytes == 30
    monitors.update(bytes(4), bytes(on))
    world.datapath.no_events()
    assert monitors.lookup(bytes(4)) == bytes(8)


def _flood(world: World, entry: Entry, packet: bytes, count: int) -> None:
    """The same packet `count` times; it must be one that is dropped in silence."""
    frame = WAN_MAC + WAN_PEER_MAC + b"\x08\x00" + packet
    if entry == "xdp":
        xdp = bytes(XdpMd.of(frame, ingress_ifindex=world.wan.ifindex))
        world.datapath.program("uplink_xdp").run(frame, ctx=xdp, repeat=count)
    else:
        skb = bytes(SkBuff(ifindex=world.wan.ifindex))
        world.datapath.program("uplink_tc").run(frame, ctx=skb, repeat=count)


def _read_all(reader: EventReader) -> tuple[int, Missed]:
    count = 0
    while events := reader.read(1000):
        count += len(events)
    return count, reader.missed()


@ENTRIES
def test_no_more_than_the_rate(world: World, entry: Entry) -> None:
    """A bucket of ten for each CPU; however long the flood takes, the rest is counted."""
    full = [bytes(layout.Bucket())] * possible_cpus()
    buckets = world.datapath._maps["buckets"]
    buckets.update_per_cpu(layout.BucketIndex.BUCKET_EVENTS.to_bytes(4, "little"), full)
    with world.datapath.events(10 * possible_cpus()) as reader:
        _flood(world, entry, bytes(ip4(src="127.0.0.9") / udp()), 5000)
        events, missed = _read_all(reader)
    assert missed.lost == 0
    assert events + missed.limited == 5000
    assert 10 <= events < 2500


@ENTRIES
def test_no_more_than_there_is_room(world: World, entry: Entry) -> None:
    with world.datapath.events(MANY * possible_cpus()) as reader:
        _flood(world, entry, bytes(ip4(src="127.0.0.9") / udp()), 20_000)
        assert len(reader.read(3)) == 3, "as many as were asked for"
        events, missed = _read_all(reader)
        assert missed.limited == 0
        assert missed.lost > 0
        assert 3 + events + missed.lost == 20_000
        world.run(bytes(ip4(ttl=1) / udp(2)), entry)
        assert _only(reader).reason is Reason.DROP_TTL_EXPIRED, "there is room again"
