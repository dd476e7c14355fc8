# SPDX-License-Identifier: Apache-2.0
"""What the pipeline does around the translation: frames, sizes, next hops, tables, counters."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Literal

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from sixlane.bpf import RunFlag
from sixlane.datapath.layout import Reason
from sixlane.net import neigh, route, sysctl
from sixlane.rfc.outcome import DropReason, PassReason
from sixlane.rfc.rfc7915 import Eam, Prefix, Translator
from tests import needs
from tests.cpus import on_one_cpu
from tests.packets import CLIENT, SERVICE, SERVICE6, STRANGER, ip4, ip6, ping4, tcp, udp
from tests.world import (
    FAR_MAC,
    LAN_PEER_MAC,
    NEAR_MAC,
    WAN_MAC,
    WAN_PEER_MAC,
    Entry,
    World,
    tables_for,
)

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])

EDGE = Translator(
    (
        Prefix(
            "services",
            IPv6Network("64:ff9b::/96"),
            (IPv4Network("192.175.48.0/25"),),
            (IPv4Network("192.31.196.0/25"), IPv4Network("8.8.8.8/32")),
            (Eam(IPv4Network("192.175.48.200/32"), IPv6Network("2001:db8:5::c8/128"), False),),
        ),
        Prefix("pods", IPv6Network("64:ff9b::/96"), (IPv4Network("192.175.49.0/24"),), None, ()),
    ),
    IPv4Address("192.31.196.1"),
    IPv6Address("2001:db8::1"),
)


@pytest.fixture(autouse=True)
def edge(world: World) -> Iterator[None]:
    """All on one CPU: each has neighbours and next hops of its own."""
    with on_one_cpu():
        world.configure(EDGE)
        yield


def _ethernet(dst: bytes, ethertype: int, *tags: int) -> bytes:
    """A link header with 802.1Q tags, outermost first."""
    tagged = b"".join(struct.pack("!HH", 0x8100, tag) for tag in tags)
    return dst + WAN_PEER_MAC + tagged + struct.pack("!H", ethertype)


# ---- frames ----


@ENTRIES
def test_frame_goes_to_the_next_hop(world: World, entry: Entry) -> None:
    world.run(bytes(ip4() / udp()), entry)  # the first goes by the kernel's neighbour (tc)
    seen = world.run(bytes(ip4() / udp()), entry)
    assert seen.verdict == "redirect"
    assert seen.frame[:14] == LAN_PEER_MAC + world.lan.mac + b"\x86\xdd"


@pytest.mark.parametrize("tags", [(0x2064,), (0x2064, 0x3065)])
def test_vlan_tags_are_kept(world: World, tags: tuple[int, ...]) -> None:
    """XDP has them in the frame. tc has the one of the skb beside it: tests/netns shows that."""
    plain = world.run(bytes(ip4() / udp()), "xdp")
    header = _ethernet(WAN_MAC, 0x0800, *tags)
    seen = world.run(bytes(ip4() / udp()), "xdp", link_header=header)
    assert seen.verdict == "redirect"
    assert seen.frame[12 : 14 + 4 * len(tags)] == _ethernet(WAN_MAC, 0x86DD, *tags)[12:]
    assert seen.frame[14 + 4 * len(tags) :] == plain.packet


def test_vlan_tags_are_kept_on_icmp_errors(world: World) -> None:
    header = _ethernet(WAN_MAC, 0x0800, 0x2064)
    seen = world.run(bytes(ip4(ttl=1) / udp()), "xdp", link_header=header)
    assert seen.reasons == {"drop_ttl_expired": 1, "icmp_error_sent": 1}
    assert seen.frame[12:18] == struct.pack("!HHH", 0x8100, 0x2064, 0x0800)
    assert IP(seen.frame[18:])["ICMP"].type == 11


def test_three_tags_are_not_ours(world: World) -> None:
    header = _ethernet(WAN_MAC, 0x0800, 1, 2, 3)
    seen = world.run(bytes(ip4() / udp()), "xdp", link_header=header)
    assert (seen.verdict, seen.reasons) == ("pass", {"pass_not_ip": 1})


@ENTRIES
@pytest.mark.parametrize("mac", ["02aa000000ff", "ffffffffffff", "01005e000001"])
def test_frames_for_others_pass_untouched(world: World, entry: Entry, mac: str) -> None:
    packet = bytes(ip4() / udp())
    header = _ethernet(bytes.fromhex(mac), 0x0800)
    seen = world.run(packet, entry, link_header=header)
    assert (seen.verdict, seen.reasons) == ("pass", {"pass_other_host": 1})
    assert seen.frame == header + packet


@ENTRIES
def test_what_is_not_ip_passes(world: World, entry: Entry) -> None:
    seen = world.run(bytes(28), entry, link_header=_ethernet(WAN_MAC, 0x0806))
    assert (seen.verdict, seen.reasons) == ("pass", {"pass_not_ip": 1})


@ENTRIES
@pytest.mark.parametrize(("ethertype", "first"), [(0x86DD, 0x45), (0x0800, 0x65)])
def test_version_must_be_that_of_the_ethertype(
    world: World, entry: Entry, ethertype: int, first: int
) -> None:
    packet = bytes([first]) + bytes(ip4() / udp(64))[1:]
    mac = world.lan.mac if first >> 4 == 6 else world.wan.mac
    seen = world.run(packet, entry, link_header=_ethernet(mac, ethertype))
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_malformed": 1})


@ENTRIES
def test_padding_stays_behind_the_packet(world: World, entry: Entry) -> None:
    padding = b"\0" * 5 + b"!"
    plain = world.run(bytes(ip4() / udp(1)), entry)
    assert world.run(bytes(ip4() / udp(1)) + padding, entry).packet == plain.packet + padding


@ENTRIES
def test_padding_is_not_quoted(world: World, entry: Entry) -> None:
    packet = bytes(ip4(ttl=1) / udp(1))
    assert world.run(packet + b"\0" * 17, entry).packet == world.run(packet, entry).packet


# ---- checksums ----


@pytest.mark.conformance(60)
@pytest.mark.parametrize("upper", [udp(33), tcp(1000), ping4(7)], ids=["udp", "tcp", "icmp"])
@pytest.mark.parametrize("options", [b"", b"\x01\x01\x01\x01\x94\x04\x00\x00"])
def test_checksum_of_the_nic_stays_true_46(world: World, upper: object, options: bytes) -> None:
    """CHECKSUM_COMPLETE: the kernel adds up the bytes and compares, after the program as before."""
    header = ip4(options=options) if options else ip4()
    packet = bytes(header / upper)
    seen = world.run(packet, "tc", flags=RunFlag.SKB_CHECKSUM_COMPLETE)
    assert seen.reasons == {"forward_46": 1}
    assert seen.packet == world.run(packet, "xdp").packet


@pytest.mark.conformance(60)
def test_checksum_of_the_nic_stays_true_64(world: World) -> None:
    packet = bytes(ip6() / udp(33))
    seen = world.run(packet, "tc", flags=RunFlag.SKB_CHECKSUM_COMPLETE)
    assert seen.reasons == {"forward_64": 1}
    assert seen.packet[20:] == world.run(packet, "xdp").packet[20:]


@ENTRIES
@pytest.mark.conformance(61)
def test_udp_checksum_that_comes_out_as_zero(world: World, entry: Entry) -> None:
    """The port is chosen so that the IPv6 checksum is 0, which would mean none."""
    checksum = UDP(world.run(bytes(ip4() / udp(8, sport=0)), entry).packet[40:]).chksum
    seen = world.run(bytes(ip4() / udp(8, sport=checksum)), entry)
    assert UDP(seen.packet[40:]).chksum == 0xFFFF


# ---- sizes ----


@pytest.mark.parametrize(("segment", "fits"), [(1440, True), (1441, False)])
def test_a_gso_packet_is_as_large_as_its_segments(world: World, segment: int, fits: bool) -> None:
    """40 + 20 + 1,440 is the MTU of lan0."""
    packet = bytes(ip4() / tcp(2 * segment, flags="A"))
    seen = world.run(packet, "tc", gso_bytes=segment)
    if fits:
        assert seen.reasons == {"forward_46": 1}
        assert len(seen.packet) == len(packet) + 20
    else:
        assert seen.reasons == {"drop_too_big": 1, "icmp_error_sent": 1}
        error = IP(seen.packet)["ICMP"]
        assert (error.type, error.code, error.nexthopmtu) == (3, 4, 1480)


@pytest.mark.parametrize(("segment", "flag"), [(1220, ""), (1221, "DF")])
@pytest.mark.conformance(13)
def test_df_goes_by_the_segment(world: World, segment: int, flag: str) -> None:
    packet = bytes(ip6() / tcp(2 * segment, flags="A"))
    seen = world.run(packet, "tc", gso_bytes=segment)
    assert str(IP(seen.packet).flags) == flag


def test_an_error_about_a_gso_packet_is_a_plain_packet(world: World) -> None:
    seen = world.run(bytes(ip4(ttl=1) / tcp(200, flags="A")), "tc", gso_bytes=100)
    assert seen.reasons == {"drop_ttl_expired": 1, "icmp_error_sent": 1}
    assert len(IP(seen.packet)) == len(seen.packet)


# ---- slow path and next hops ----


@pytest.mark.conformance(23)
@ENTRIES
def test_what_must_be_fragmented_takes_the_slow_path(world: World, entry: Entry) -> None:
    """TTL is lent one hop; a header checksum that is wrong would not survive the kernel there."""
    packet = bytes(ip4(flags=0) / udp(1240))
    seen = world.run(packet, entry)
    assert (seen.verdict, seen.reasons) == ("redirect", {"forward_slow_path": 1})
    assert seen.frame[:14] == FAR_MAC + NEAR_MAC + b"\x08\x00"
    assert seen.packet == bytes(ip4(flags=0, ttl=62) / udp(1240))


@pytest.mark.conformance(23, 24)
@ENTRIES
def test_the_longest_that_needs_no_slow_path(world: World, entry: Entry) -> None:
    assert world.run(bytes(ip4(flags=0) / udp(1232)), entry).reasons == {"forward_46": 1}
    assert world.run(bytes(ip4(flags=0) / udp(1233)), entry).reasons == {"forward_slow_path": 1}


@ENTRIES
def test_without_a_slow_path_it_is_dropped(world: World, entry: Entry) -> None:
    world.commit(tables_for(EDGE, world.wan, world.lan, slow=False))
    seen = world.run(bytes(ip4(flags=0) / udp(1400)), entry)
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_no_slow_path": 1})


def test_tagged_packets_can_not_take_the_slow_path(world: World) -> None:
    header = _ethernet(WAN_MAC, 0x0800, 0x2064)
    seen = world.run(bytes(ip4(flags=0) / udp(1400)), "xdp", link_header=header)
    assert seen.reasons == {"drop_no_slow_path": 1}


def test_nothing_takes_the_slow_path_twice(world: World) -> None:
    tables = tables_for(EDGE, world.wan, world.lan)
    assert tables.slow is not None
    world.commit(replace(tables, slow=replace(tables.slow, ifindex=world.wan.ifindex)))
    seen = world.run(bytes(ip4(flags=0) / udp(1400)), "tc")
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_no_slow_path": 1})


def test_finished_frames_from_the_slow_path_are_sent(world: World) -> None:
    """What comes back untranslatable is for the kernel to find the neighbour of."""
    tables = tables_for(EDGE, world.wan, world.lan)
    assert tables.slow is not None
    world.commit(replace(tables, slow=replace(tables.slow, ifindex=world.wan.ifindex)))
    packet = bytes(ip4(src=SERVICE, dst=CLIENT) / udp())
    seen = world.run(packet, "tc")
    assert (seen.verdict, seen.reasons) == ("redirect", {"forward_native": 1})
    assert seen.packet == packet, "the kernel writes the link header"


@ENTRIES
def test_the_kernel_sees_use_of_a_neighbour(world: World, entry: Entry) -> None:
    """It sends one packet in ten seconds, and so asks whether a stale neighbour is still there. XDP
    has that one turn round in the slow path."""
    packet = bytes(ip4() / udp())
    world.forget_neighbours()
    first, second = world.run(packet, entry), world.run(packet, entry)
    untouched = WAN_MAC + WAN_PEER_MAC
    assert first.frame[:12] == (NEAR_MAC + FAR_MAC if entry == "xdp" else untouched)
    assert second.frame[:6] == LAN_PEER_MAC
    assert first.packet == second.packet
    world.datapath.forget_next_hops()
    assert world.run(packet, entry).frame[:6] == LAN_PEER_MAC, "asked already"


@pytest.mark.parametrize(("entry", "dst"), [("xdp", NEAR_MAC), ("tc", None)])
def test_unknown_neighbour(world: World, entry: Entry, dst: bytes | None) -> None:
    """XDP turns the finished frame round in the slow path; tc lets the kernel ask for the MAC."""
    translated = world.run(bytes(ip4() / udp()), entry).packet
    route.add(
        IPv6Network(f"{SERVICE6}/128"),
        via=IPv6Address("2001:db8::99"),
        dev=world.lan.ifindex,
        onlink=True,
    )
    try:
        world.datapath.forget_next_hops()
        seen = world.run(bytes(ip4() / udp()), entry)
        assert (seen.verdict, seen.reasons) == ("redirect", {"forward_46": 1})
        assert seen.packet == translated
        if dst:
            assert seen.frame[:14] == dst + FAR_MAC + b"\x86\xdd"
    finally:
        route.remove(IPv6Network(f"{SERVICE6}/128"), dev=world.lan.ifindex)
        world.datapath.forget_next_hops()


@ENTRIES
def test_no_route(world: World, entry: Entry) -> None:
    route.add(IPv6Network(f"{SERVICE6}/128"), kind=route.UNREACHABLE)
    try:
        world.datapath.forget_next_hops()
        seen = world.run(bytes(ip4() / udp()), entry)
        assert seen.reasons == {"drop_no_route": 1, "icmp_error_sent": 1}
        assert (IP(seen.packet)["ICMP"].type, IP(seen.packet)["ICMP"].code) == (3, 0)
    finally:
        route.remove(IPv6Network(f"{SERVICE6}/128"))
        world.datapath.forget_next_hops()


@ENTRIES
def test_blackhole_is_silent(world: World, entry: Entry) -> None:
    route.add(IPv6Network(f"{SERVICE6}/128"), kind=route.BLACKHOLE)
    try:
        world.datapath.forget_next_hops()
        seen = world.run(bytes(ip4() / udp()), entry)
        assert (seen.verdict, seen.reasons) == ("drop", {"drop_blackhole": 1})
    finally:
        route.remove(IPv6Network(f"{SERVICE6}/128"))
        world.datapath.forget_next_hops()


@ENTRIES
def test_a_remembered_next_hop_is_forgotten_on_demand(world: World, entry: Entry) -> None:
    other = bytes.fromhex("02bb00000099")
    world.run(bytes(ip4() / udp()), entry)
    assert world.run(bytes(ip4() / udp()), entry).frame[:6] == LAN_PEER_MAC
    gateway = IPv6Address("2001:db8::2")
    neigh.add_permanent(world.lan.ifindex, gateway, other)
    try:
        assert world.run(bytes(ip4() / udp()), entry).frame[:6] == LAN_PEER_MAC, "not remembered"
        world.datapath.forget_next_hops()
        world.run(bytes(ip4() / udp()), entry)
        assert world.run(bytes(ip4() / udp()), entry).frame[:6] == other
    finally:
        neigh.add_permanent(world.lan.ifindex, gateway, LAN_PEER_MAC)
        world.datapath.forget_next_hops()


def test_next_hops_are_not_remembered_where_they_must_not_be(world: World) -> None:
    tables = tables_for(EDGE, world.wan, world.lan)
    world.commit(replace(tables, next_hop_cache=False))
    other = bytes.fromhex("02bb00000099")
    world.run(bytes(ip4() / udp()), "xdp")
    world.datapath.forget_next_hops()
    world.run(bytes(ip4() / udp()), "xdp")
    gateway = IPv6Address("2001:db8::2")
    neigh.add_permanent(world.lan.ifindex, gateway, other)
    try:
        world.run(bytes(ip4() / udp()), "xdp")  # the kernel's, for a neighbour new to it
        assert world.run(bytes(ip4() / udp()), "xdp").frame[:6] == other
    finally:
        neigh.add_permanent(world.lan.ifindex, gateway, LAN_PEER_MAC)


@ENTRIES
@pytest.mark.conformance(25)
def test_a_routes_mtu_counts(world: World, entry: Entry) -> None:
    route.add(
        IPv6Network(f"{SERVICE6}/128"),
        via=IPv6Address("2001:db8::2"),
        dev=world.lan.ifindex,
        mtu=1400,
        mtu_lock=True,  # without a lock a route's MTU is no matter of forwarding, as in the kernel
        onlink=True,
    )
    try:
        world.datapath.forget_next_hops()
        assert world.run(bytes(ip4() / udp(1352)), entry).reasons == {"forward_46": 1}
        seen = world.run(bytes(ip4() / udp(1353)), entry)
        assert IP(seen.packet)["ICMP"].nexthopmtu == 1380
    finally:
        route.remove(IPv6Network(f"{SERVICE6}/128"), dev=world.lan.ifindex)
        world.datapath.forget_next_hops()


def test_forwarding_switched_off_has_a_name(world: World) -> None:
    sysctl.set(("net", "ipv6", "conf", "wan0", "forwarding"), "0")
    try:
        world.datapath.forget_next_hops()
        assert world.run(bytes(ip4() / udp()), "tc").reasons == {"drop_forwarding_off": 1}
    finally:
        sysctl.set(("net", "ipv6", "conf", "wan0", "forwarding"), "1")


# ---- tables ----


@ENTRIES
def test_source_ranges(world: World, entry: Entry) -> None:
    """One on each side of each edge."""
    for source, allowed in {
        "192.31.195.255": False,
        "192.31.196.0": True,
        "192.31.196.127": True,
        "192.31.196.128": False,
        STRANGER: False,
        "8.8.8.7": False,
        "8.8.8.8": True,
        "8.8.8.9": False,
    }.items():
        seen = world.run(bytes(ip4(src=source) / udp()), entry)
        if allowed:
            assert seen.reasons == {"forward_46": 1}, source
        else:
            assert seen.reasons == {"drop_source_not_allowed": 1, "icmp_error_sent": 1}, source
            error = IP(seen.packet)
            assert (error.dst, error["ICMP"].type, error["ICMP"].code) == (source, 3, 13)


@ENTRIES
def test_a_list_is_that_of_its_prefix_alone(world: World, entry: Entry) -> None:
    seen = world.run(bytes(ip4(src=STRANGER, dst="192.175.49.9") / udp()), entry)
    assert seen.reasons == {"forward_46": 1}


@ENTRIES
def test_mapped_addresses_are_served_with_the_same_list(world: World, entry: Entry) -> None:
    seen = world.run(bytes(ip4(dst="192.175.48.200") / udp()), entry)
    assert IPv6(seen.packet).dst == "2001:db8:5::c8"
    refused = world.run(bytes(ip4(src=STRANGER, dst="192.175.48.200") / udp()), entry)
    assert refused.reasons == {"drop_source_not_allowed": 1, "icmp_error_sent": 1}


@ENTRIES
def test_nothing_is_done_without_tables(world: World, entry: Entry) -> None:
    world.datapath.clear()
    packet = bytes(ip4() / udp())
    seen = world.run(packet, entry)
    assert (seen.verdict, seen.packet) == ("pass", packet)
    assert seen.reasons == {"pass_not_configured": 1}


@ENTRIES
def test_many_generations(world: World, entry: Entry) -> None:
    before = world.datapath.generation()
    for flip in range(5):
        world.configure(EDGE)
        assert world.datapath.generation() == before + flip + 1
        assert world.run(bytes(ip4() / udp()), entry).reasons == {"forward_46": 1}


def test_counters_of_a_prefix(world: World) -> None:
    before = world.datapath.counters().prefixes
    world.run(bytes(ip4() / udp(72)), "xdp")
    world.run(bytes(ip6() / udp(72)), "tc")
    after = world.datapath.counters().prefixes
    sizes: dict[Literal[46, 64], int] = {46: 100, 64: 120}
    for direction, size in sizes.items():
        one, two = before["services"][direction], after["services"][direction]
        assert (two.packets - one.packets, two.bytes - one.bytes) == (1, size)
    assert before["pods"] == after["pods"]


# ---- ICMP errors of our own ----


def test_errors_are_limited(world: World) -> None:
    tables = tables_for(EDGE, world.wan, world.lan)
    world.commit(replace(tables, icmp_errors_per_second=3))
    expired = bytes(ip4(ttl=1) / udp())
    outcomes = [world.run(expired, "tc").reasons for _ in range(40)]
    sent = sum("icmp_error_sent" in reasons for reasons in outcomes)
    limited = sum("icmp_error_limited" in reasons for reasons in outcomes)
    assert sent + limited == 40
    assert 3 <= sent < 20, "a bucket of three a CPU, refilled by three a second"


def test_errors_can_be_switched_off(world: World) -> None:
    world.commit(replace(tables_for(EDGE, world.wan, world.lan), icmp_errors_per_second=0))
    seen = world.run(bytes(ip4(ttl=1) / udp()), "tc")
    assert (seen.verdict, seen.reasons) == (
        "drop",
        {"drop_ttl_expired": 1, "icmp_error_limited": 1},
    )


def test_no_error_without_an_address_of_our_own(world: World) -> None:
    tables = tables_for(EDGE, world.wan, world.lan)
    world.commit(replace(tables, icmp_source4=None))
    seen = world.run(bytes(ip4(ttl=1) / udp()), "tc")
    assert seen.verdict == "drop"
    assert seen.reasons == {"drop_ttl_expired": 1, "icmp_error_failed": 1}


# test_events.py and test_capture.py are about those.
BESIDE = {"EVENT_LIMITED", "EVENT_LOST", "CAPTURE_LIMITED", "CAPTURE_LOST"}


def test_every_reason_is_reached() -> None:
    """By the comparison with the reference (its own tests see to it that packets reach all of its
    reasons), or by a test of this directory that names it."""
    by_reference = {f"drop_{name.lower()}" for name in DropReason}
    by_reference |= {f"pass_{name.lower()}" for name in PassReason}
    by_reference |= {"forward_46", "forward_64"}
    here = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    missing = {
        reason.name
        for reason in Reason
        if (name := reason.name.lower()) not in by_reference and f'"{name}"' not in here
    }
    assert missing - {"REASON_NONE", "REASON_COUNT"} - BESIDE == set()
