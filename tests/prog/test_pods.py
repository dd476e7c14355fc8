# SPDX-License-Identifier: Apache-2.0
"""What becomes of one packet from a pod, or from an uplink to one: sent on, left to the stack, or
dropped, and counted."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any, Literal

import pytest
from scapy.layers.inet import TCP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import ARP
from scapy.packet import Packet, Raw

from sixlane.bpf import Map, MapType, Program, ProgramType, RunFlag, SkBuff
from sixlane.datapath.pods import By, Place, Pods
from sixlane.net import address, link, neigh, route, sysctl
from tests import needs
from tests.cpus import on_one_cpu
from tests.netns import spaces
from tests.packets import ip4, ip6, tcp, udp
from tests.world import stock

pytestmark = [pytest.mark.prog, needs.root, needs.bpf, needs.command("ip")]

Entry = Literal["from_pod", "from_netkit", "from_pod_out", "uplink_to_pod"]
FROM = pytest.mark.parametrize("entry", ["from_pod", "from_netkit"])
VERSIONS = pytest.mark.parametrize("version", [4, 6])
WAYS = pytest.mark.parametrize("way", ["local", "out", "in"])

OWN = {4: "192.0.2.5", 6: "2001:db8:64:1::5"}
EGRESS = "64:ff9b::192.175.48.5"
NEIGHBOUR = {4: "192.0.2.6", 6: "2001:db8:64:1::6"}
FAR = {4: "192.31.196.9", 6: "2001:db8:64:2::9"}
NODE = {4: "193.0.14.1", 6: "2001:db8::1"}
ROUTER = {4: "193.0.14.2", 6: "2001:db8::2"}
ROUTER_MAC = bytes.fromhex("02bb00000001")
OTHER_MAC = bytes.fromhex("02bb00000009")
POD_MTU, UPLINK_MTU, ROUTE_MTU = 1400, 1420, 1380
# By a route with an MTU of its own, which counts for routers if it is locked.
SLOW = {4: "192.31.196.10", 6: "2001:db8:64:2::10"}
TYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
VERDICTS = {0xFFFFFFFF: "pass", 2: "drop", 7: "redirect"}
EVERYTHING: dict[int, IPv4Network | IPv6Network] = {
    4: IPv4Network("0.0.0.0/0"),
    6: IPv6Network("::/0"),
}

_RETURN_2 = bytes.fromhex("b7000000020000009500000000000000")  # drop


@dataclass(frozen=True)
class Seen:
    """`counted`: packets and bytes by what came of them, of this run."""

    verdict: str
    frame: bytes
    counted: dict[str, tuple[int, int]]


class Node:
    """A namespace with two pods' devices, an uplink and another device."""

    def __init__(self, pods: Pods, devices: dict[str, link.Link]) -> None:
        self.pods = pods
        self.devices = devices
        self.places = {
            name: Place(devices[name].ifindex, _mac(name, 1), devices[name].mac)
            for name in ("pod1", "pod2")
        }

    def run(self, frame: bytes, entry: Entry, **more: Any) -> Seen:
        """What becomes of it, the first time as once its way is remembered. Whoever sends it puts
        the link header in front, or the program has."""
        self.pods.forget_ways()
        first, again = (self.once(frame, entry, **more) for _ in range(2))
        assert (again.verdict, again.counted) == (first.verdict, first.counted)
        assert again.frame[14:] == first.frame[14:]
        return first

    def once(
        self, frame: bytes, entry: Entry, *, device: str = "", gso_bytes: int = 0, flags: int = 0
    ) -> Seen:
        """By a remembered way, if there is one."""
        before = self.pods.counters()
        name = device or ("up0" if entry == "uplink_to_pod" else "pod1")
        ctx = bytes(SkBuff(ifindex=self.devices[name].ifindex, gso_size=gso_bytes))
        done = self.pods.program(entry).run(frame, ctx, flags=flags)
        counted = {
            name: (now.packets - before[name].packets, now.bytes - before[name].bytes)
            for name, now in self.pods.counters().items()
            if now != before[name]
        }
        return Seen(VERDICTS[done.retval], bytes(done.data), counted)

    def frame(self, packet: Any, device: str, dst: bytes = b"") -> bytes:
        """To the host, from whoever is on that device."""
        raw = bytes(packet)
        macs = (dst or self.devices[device].mac) + OTHER_MAC
        return macs + TYPES[raw[0] >> 4] + raw

    def pod(self, packet: Any, entry: Entry = "from_pod", **more: Any) -> Seen:
        return self.run(self.frame(packet, "pod1"), entry, **more)

    def uplink(self, packet: Any, **more: Any) -> Seen:
        return self.run(self.frame(packet, "up0"), "uplink_to_pod", **more)

    def way(self, way: str, version: int, payload: Any, **fields: Any) -> Seen:
        """A packet that would go that way, with `fields` in its header."""
        packet = header(version, **(ENDS[way](version) | fields)) / payload
        return self.uplink(packet) if way == "in" else self.pod(packet)


ENDS: dict[str, Any] = {
    "local": lambda version: {"src": OWN[version], "dst": NEIGHBOUR[version]},
    "out": lambda version: {"src": OWN[version], "dst": FAR[version]},
    "in": lambda version: {"src": FAR[version], "dst": NEIGHBOUR[version]},
}


def header(version: int, **fields: Any) -> Packet:
    return (ip4 if version == 4 else ip6)(**fields)


def hops(version: int, count: int) -> dict[str, int]:
    return {"ttl" if version == 4 else "hlim": count}


def version_of(packet: Any) -> int:
    return bytes(packet)[0] >> 4


def sized(version: int, size: int, way: str, **fields: Any) -> Packet:
    """A packet of UDP of so many bytes of layer 3."""
    payload = size - (20 if version == 4 else 40) - 8
    return header(version, **(ENDS[way](version) | fields)) / udp(payload)


def _mac(name: str, end: int) -> bytes:
    return bytes((2, 0xCC, 0, 0, int(name[-1]), end))


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    root = Path(f"/sys/fs/bpf/pods-{os.getpid()}")
    with spaces.inside_new():
        for name in ("pod1", "pod2", "up0", "by0"):
            mtu = POD_MTU if name.startswith("pod") else UPLINK_MTU
            link.create_veth(name, f"{name}p", mac_a=_mac(name, 0), mtu=mtu, up=True)
            for family in ("ipv4", "ipv6"):
                sysctl.set(("net", family, "conf", name, "forwarding"), 1)
        _route()
        try:
            with Pods.open(root) as pods:
                devices = {one.name: one for one in link.list_links()}
                raised = Node(pods, devices)
                pods.put(map(ip_address, (*OWN.values(), EGRESS)), raised.places["pod1"])
                pods.put(map(ip_address, NEIGHBOUR.values()), raised.places["pod2"])
                pods.set_uplinks([devices["up0"].ifindex])
                yield raised
        finally:
            shutil.rmtree(root, ignore_errors=True)


def _route() -> None:
    for version in (4, 6):
        address.add("up0", ip_interface(NODE[version]))
        for device in ("up0", "by0"):
            neigh.add_permanent(device, ip_address(ROUTER[version]), ROUTER_MAC)
        way: dict[str, Any] = {"via": ip_address(ROUTER[version]), "onlink": True}
        route.add(EVERYTHING[version], dev="up0", **way)
        route.add(ip_network(SLOW[version]), dev="up0", mtu=ROUTE_MTU, mtu_lock=True, **way)
        route.add(ip_network(NEIGHBOUR[version]), dev="pod2")


# ---- sent on ----


@FROM
@VERSIONS
@pytest.mark.parametrize("payload", [udp(), tcp(600), Raw(b"")], ids=["udp", "tcp", "nothing"])
def test_to_another_pod(node: Node, entry: Entry, version: int, payload: Packet) -> None:
    ends = ENDS["local"](version)
    packet = header(version, **ends) / payload
    seen = node.pod(packet, entry)
    place = node.places["pod2"]
    after = header(version, **ends, **hops(version, 60)) / payload
    assert seen.verdict == "redirect"
    assert seen.frame == place.pod_mac + place.host_mac + TYPES[version] + bytes(after)
    assert seen.counted == {"local": (1, len(packet))}


@FROM
@VERSIONS
def test_out_of_the_node(node: Node, entry: Entry, version: int) -> None:
    """The kernel puts the link header in front when it sends it."""
    ends = ENDS["out"](version)
    for payload in (udp(), tcp(100), Raw(b"")):
        packet = header(version, **ends) / payload
        seen = node.pod(packet, entry)
        after = header(version, **ends, **hops(version, 60)) / payload
        assert (seen.verdict, seen.frame[14:]) == ("redirect", bytes(after))
        assert seen.counted == {"out": (1, len(packet))}


def test_from_the_address_that_stands_for_ipv4(node: Node) -> None:
    assert list(node.pod(ip6(src=EGRESS, dst=FAR[6]) / udp()).counted) == ["out"]


@VERSIONS
def test_from_an_uplink(node: Node, version: int) -> None:
    ends = ENDS["in"](version)
    packet = header(version, **ends) / tcp(600)
    seen = node.uplink(packet)
    place = node.places["pod2"]
    after = header(version, **ends, **hops(version, 60)) / tcp(600)
    assert seen.verdict == "redirect"
    assert seen.frame == place.pod_mac + place.host_mac + TYPES[version] + bytes(after)
    assert seen.counted == {"in": (1, len(packet))}


@VERSIONS
@WAYS
def test_the_sum_that_the_nic_made_stays_true(node: Node, way: str, version: int) -> None:
    """CHECKSUM_COMPLETE: the kernel adds up the bytes and compares, after the program as before."""
    packet = header(version, **ENDS[way](version)) / tcp(700)
    run = node.uplink if way == "in" else node.pod
    seen = run(packet, flags=RunFlag.SKB_CHECKSUM_COMPLETE)
    assert seen.verdict == "redirect"


@VERSIONS
@WAYS
def test_fragments_go_as_they_are(node: Node, way: str, version: int) -> None:
    if version == 4:
        seen = node.way(way, 4, Raw(b"x" * 80), flags="MF", frag=100, proto=17)
    else:
        seen = node.way(way, 6, IPv6ExtHdrFragment(nh=17, offset=100, m=1) / Raw(b"x" * 80))
    assert list(seen.counted) == [way]


# ---- whom a pod is ----


@FROM
@pytest.mark.parametrize("dst", [NEIGHBOUR, FAR, NODE], ids=["pod", "far", "node"])
@pytest.mark.parametrize(
    "src",
    [
        NEIGHBOUR[6],
        NODE[6],
        FAR[6],
        f"::ffff:{OWN[4]}",
        f"::{OWN[4]}",
        "::1",
        "ff02::1",
        NEIGHBOUR[4],
        NODE[4],
        FAR[4],
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "169.254.1.1",
    ],
)
def test_only_from_its_own_addresses(
    node: Node, entry: Entry, src: str, dst: dict[int, str]
) -> None:
    version = ip_address(src).version
    packet = header(version, src=src, dst=dst[version]) / udp()
    frame = node.frame(packet, "pod1")
    seen = node.run(frame, entry)
    assert (seen.verdict, seen.frame) == ("drop", frame)
    assert seen.counted == {"drop_source": (1, len(packet))}


def test_another_device_is_another_pod(node: Node) -> None:
    for version in (4, 6):
        packet = header(version, src=OWN[version], dst=FAR[version]) / udp()
        seen = node.run(node.frame(packet, "pod2"), "from_pod", device="pod2")
        assert list(seen.counted) == ["drop_source"]


LINK_LOCAL, HOST_LINK_LOCAL = "fe80::cc:5", "fe80::1"


@FROM
@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (ip6(src=LINK_LOCAL, dst="ff02::1:ff00:1") / ICMPv6ND_NS(tgt="fe80::1"), "pass_link"),
        (ip6(src="::", dst="ff02::1:ff00:1") / ICMPv6ND_NS(tgt=LINK_LOCAL), "pass_link"),
        (ip6(src=LINK_LOCAL, dst=HOST_LINK_LOCAL) / ICMPv6ND_NA(tgt=LINK_LOCAL), "pass_link"),
        (ip6(src=LINK_LOCAL, dst="ff02::2") / ICMPv6ND_RS(), "pass_link"),
        (ip6(src="febf::1", dst="febf::2") / ICMPv6EchoRequest(), "pass_link"),
        (
            ip6(src="::", dst="ff02::16", hlim=1)
            / IPv6ExtHdrHopByHop(options=[RouterAlert()])
            / ICMPv6MLReport2(),
            "pass_link",
        ),
        (ip6(src=OWN[6], dst="ff02::1:ff00:1") / ICMPv6ND_NS(tgt="fe80::1"), "pass_link"),
        (ip6(src=OWN[6], dst=HOST_LINK_LOCAL) / udp(), "pass_link"),
        (ip6(src=OWN[6], dst="ff05::2") / udp(), "pass_link"),
        (ip4(src=OWN[4], dst="224.0.0.251") / udp(), "pass_link"),
        (ip4(src=OWN[4], dst="255.255.255.255") / udp(), "pass_link"),
        (ip6(src=LINK_LOCAL, dst="ff02::1") / ICMPv6ND_RA(), "drop_router"),
        (ip6(src=LINK_LOCAL, dst=HOST_LINK_LOCAL) / ICMPv6ND_Redirect(), "drop_router"),
        (ip6(src=LINK_LOCAL, dst=HOST_LINK_LOCAL) / udp(), "drop_source"),
        (ip6(src=LINK_LOCAL, dst=NODE[6]) / ICMPv6EchoRequest(), "drop_source"),
        (ip6(src=LINK_LOCAL, dst=NEIGHBOUR[6]) / ICMPv6ND_NS(tgt="fe80::1"), "drop_source"),
        (ip6(src="::", dst=NODE[6]) / ICMPv6EchoRequest(), "drop_source"),
        (ip6(src="fec0::1", dst="ff02::1") / ICMPv6ND_NS(tgt="fe80::1"), "drop_source"),
        (
            ip6(src=LINK_LOCAL, dst="ff02::1") / IPv6ExtHdrDestOpt() / ICMPv6ND_RA(),
            "drop_source",
        ),
        (ip6(src=LINK_LOCAL, dst="ff02::1", nh=58), "drop_source"),
    ],
)
def test_what_is_said_on_the_link(node: Node, entry: Entry, packet: Packet, reason: str) -> None:
    frame = node.frame(packet, "pod1")
    seen = node.run(frame, entry)
    verdict = "pass" if reason == "pass_link" else "drop"
    assert (seen.verdict, seen.frame) == (verdict, frame)
    assert seen.counted == {reason: (1, len(packet))}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "pass_link"),
        ({"op": 2}, "pass_link"),
        ({"psrc": "0.0.0.0"}, "pass_link"),
        ({"psrc": NEIGHBOUR[4]}, "drop_source"),
        ({"psrc": FAR[4]}, "drop_source"),
        ({"hwtype": 6}, "drop_malformed"),
        ({"ptype": 0x86DD}, "drop_malformed"),
        ({"hwlen": 7, "hwsrc": b"1234567", "hwdst": b"1234567"}, "drop_malformed"),
        ({"plen": 5}, "drop_malformed"),
    ],
)
def test_arp(node: Node, fields: dict[str, Any], reason: str) -> None:
    arp = ARP(**({"psrc": OWN[4], "pdst": NODE[4], "hwsrc": "02:00:00:00:00:01"} | fields))
    frame = b"\xff" * 6 + OTHER_MAC + b"\x08\x06" + bytes(arp)
    seen = node.run(frame, "from_pod")
    assert seen.verdict == ("pass" if reason == "pass_link" else "drop")
    assert list(seen.counted) == [reason]
    assert list(node.run(frame[: 14 + 27], "from_pod").counted) == ["drop_malformed"]


@pytest.mark.parametrize("ethertype", ["8100", "88a8", "88cc", "8847", "0004"])
def test_neither_ip_nor_arp(node: Node, ethertype: str) -> None:
    packet = bytes(header(6, **ENDS["local"](6)) / udp())
    frame = node.devices["pod1"].mac + OTHER_MAC + bytes.fromhex(ethertype) + packet
    seen = node.run(frame, "from_pod")
    assert (seen.verdict, list(seen.counted)) == ("drop", ["drop_protocol"])


@pytest.mark.parametrize(
    "packet",
    [
        bytes(ip6(**ENDS["local"](6), version=5) / udp()),
        bytes(ip4(**ENDS["local"](4), version=5) / udp()),
        bytes(ip4(**ENDS["local"](4), ihl=4) / udp()),
    ],
    ids=["ipv6", "ipv4", "ihl"],
)
def test_headers_that_are_none(node: Node, packet: bytes) -> None:
    kind = TYPES[4] if len(packet) < 80 else TYPES[6]
    frame = node.devices["pod1"].mac + OTHER_MAC + kind + packet
    assert list(node.run(frame, "from_pod").counted) == ["drop_malformed"]
    uplink = node.devices["up0"].mac + frame[6:]
    seen = node.run(uplink, "uplink_to_pod")
    assert (seen.verdict, seen.frame, seen.counted) == ("pass", uplink, {})


@VERSIONS
@pytest.mark.parametrize("dst", [OTHER_MAC, b"\xff" * 6, bytes.fromhex("333300000001")])
def test_frames_for_others(node: Node, version: int, dst: bytes) -> None:
    for way in ("local", "out"):
        frame = node.frame(header(version, **ENDS[way](version)) / udp(), "pod1", dst)
        seen = node.run(frame, "from_pod")
        assert (seen.verdict, list(seen.counted)) == ("drop", ["drop_other_host"])
    frame = node.frame(header(version, **ENDS["in"](version)) / udp(), "up0", dst)
    seen = node.run(frame, "uplink_to_pod")
    assert (seen.verdict, seen.frame, seen.counted) == ("pass", frame, {})


def test_what_is_said_to_others_on_the_link(node: Node) -> None:
    """There is nobody else."""
    for packet in (
        ip6(src=LINK_LOCAL, dst=HOST_LINK_LOCAL) / ICMPv6ND_NA(tgt=LINK_LOCAL),
        ip6(src=OWN[6], dst=HOST_LINK_LOCAL) / udp(),
        ip4(src=OWN[4], dst="224.0.0.251") / udp(),
    ):
        seen = node.run(node.frame(packet, "pod1", OTHER_MAC), "from_pod")
        assert (seen.verdict, list(seen.counted)) == ("drop", ["drop_other_host"])


# ---- left to the stack ----


def left(seen: Seen, reason: str) -> bool:
    return seen.verdict == "pass" and list(seen.counted) == [reason]


@VERSIONS
@WAYS
def test_hops(node: Node, way: str, version: int) -> None:
    assert left(node.way(way, version, udp(), **hops(version, 0)), "pass_hops")
    assert left(node.way(way, version, udp(), **hops(version, 1)), "pass_hops")
    seen = node.way(way, version, udp(), **hops(version, 2))
    assert list(seen.counted) == [way]
    ends = ENDS[way](version)
    assert seen.frame[14:] == bytes(header(version, **ends, **hops(version, 1)) / udp())


@WAYS
def test_options_are_for_each_router(node: Node, way: str) -> None:
    assert left(node.way(way, 4, udp(), options=b"\x01" * 4), "pass_options")
    by_hop = IPv6ExtHdrHopByHop(options=[RouterAlert()])
    assert left(node.way(way, 6, by_hop / udp()), "pass_options")
    assert list(node.way(way, 6, IPv6ExtHdrDestOpt() / udp()).counted) == [way]


@VERSIONS
@WAYS
def test_as_long_as_the_device_takes(node: Node, way: str, version: int) -> None:
    most = UPLINK_MTU if way == "out" else POD_MTU
    run = node.uplink if way == "in" else node.pod
    assert list(run(sized(version, most, way)).counted) == [way]
    assert left(run(sized(version, most + 1, way)), "pass_too_big")


@VERSIONS
def test_as_long_as_the_route_takes(node: Node, version: int) -> None:
    dst = {"dst": SLOW[version]}
    assert list(node.pod(sized(version, ROUTE_MTU, "out", **dst)).counted) == ["out"]
    assert left(node.pod(sized(version, ROUTE_MTU + 1, "out", **dst)), "pass_too_big")


@VERSIONS
def test_segments_are_as_long_as_the_route_takes(node: Node, version: int) -> None:
    """A test run's packet is GSO for the program alone, so the kernel sees a packet that fits."""
    ends = {"src": OWN[version], "dst": SLOW[version]}
    headers = (20 if version == 4 else 40) + 32
    options = [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]
    packet = header(version, **ends) / tcp(1200, options=options)
    assert len(packet) == headers + 1200
    for segment, reason in ((ROUTE_MTU, "out"), (ROUTE_MTU + 1, "pass_too_big")):
        seen = node.pod(packet, gso_bytes=segment - headers)
        assert list(seen.counted) == [reason]
    unknown = header(version, **ends) / udp(1200)
    assert left(node.pod(unknown, gso_bytes=600), "pass_too_big")
    near = header(version, src=OWN[version], dst=FAR[version]) / udp(1200)
    assert list(node.pod(near, gso_bytes=600).counted) == ["out"]


JUMBO = bytes.fromhex("06 00 c2 04 00 00 0b b8")


@WAYS
def test_big_tcp(node: Node, way: str) -> None:
    """The jumbo header is no segment's, and no router is to look at it."""
    most = UPLINK_MTU if way == "out" else POD_MTU
    segment = bytes(TCP(sport=40000, dport=80, flags="A")) + b"x" * 3000
    run = node.uplink if way == "in" else node.pod

    def sent(jumbo: bytes, gso_bytes: int) -> Seen:
        start = bytes(ip6(**ENDS[way](6), nh=0, plen=0))
        return run(start + jumbo + segment, gso_bytes=gso_bytes)

    seen = sent(JUMBO, most - 60)
    assert seen.counted == {way: (1, 40 + 8 + len(segment))}
    assert seen.frame[14 + 40 : 14 + 48] == JUMBO
    assert left(sent(JUMBO, most - 59), "pass_too_big")
    assert left(sent(JUMBO, 0), "pass_options")
    assert left(sent(bytes.fromhex("0600050200000100"), 1000), "pass_options")
    assert left(sent(bytes.fromhex("0600050400000bb8"), 1000), "pass_options")
    assert left(sent(bytes.fromhex("0600c20500000bb8"), 1000), "pass_options")
    assert left(sent(bytes.fromhex("0601c20400000bb8"), 1000), "pass_options")


@contextmanager
def routed(*argv: str) -> Iterator[None]:
    """A route or a rule, by `ip`."""
    spaces.command("ip", *argv)
    try:
        yield
    finally:
        spaces.command("ip", *("del" if part == "add" else part for part in argv))


def family(version: int) -> str:
    return f"-{version}"


@VERSIONS
@pytest.mark.parametrize("kind", ["unreachable", "prohibit", "blackhole"])
def test_where_no_way_leads(node: Node, version: int, kind: str) -> None:
    with routed(family(version), "route", "add", kind, FAR[version]):
        assert left(node.way("out", version, udp()), "pass_route")
    assert list(node.way("out", version, udp()).counted) == ["out"]


@VERSIONS
def test_to_the_node_itself(node: Node, version: int) -> None:
    assert left(node.way("out", version, udp(), dst=NODE[version]), "pass_route")


@VERSIONS
def test_by_another_device(node: Node, version: int) -> None:
    by = ("via", ROUTER[version], "dev", "by0", "onlink")
    with routed(family(version), "route", "add", FAR[version], *by):
        assert left(node.way("out", version, udp()), "pass_route")


@VERSIONS
def test_to_a_neighbour_that_is_not_known(node: Node, version: int) -> None:
    """The first packet of a flow has the kernel find it, the others are the stack's."""
    packets = [
        node.frame(header(version, **ENDS["out"](version)) / udp(sport=sport), "pod1")
        for sport in (40000, 40001)
    ]
    with on_one_cpu():
        for packet in packets:
            node.once(packet, "from_pod")  # its place has a way of before
        with routed(family(version), "route", "add", FAR[version], "dev", "up0"):
            for packet in packets:
                node.pods.forget_ways()
                first = node.once(packet, "from_pod")
                assert (first.verdict, list(first.counted)) == ("redirect", ["out"])
                for _ in range(2):
                    assert left(node.once(packet, "from_pod"), "pass_neighbour")
                    node.pods.forget_ways()


@VERSIONS
def test_a_neighbour_that_gets_known(node: Node, version: int) -> None:
    """Also of a flow whose first packet has asked for it."""
    frame = node.frame(header(version, **ENDS["out"](version)) / udp(sport=40002), "pod1")
    with on_one_cpu():
        node.pods.forget_ways()
        with routed(family(version), "route", "add", FAR[version], "dev", "up0"):
            assert list(node.once(frame, "from_pod").counted) == ["out"]
            assert list(node.once(frame, "from_pod").counted) == ["pass_neighbour"]
        for _ in range(2):
            assert list(node.once(frame, "from_pod").counted) == ["out"]


@VERSIONS
@pytest.mark.parametrize(
    ("selector", "meets"),
    [
        (["from", "{own}"], True),
        (["iif", "pod1"], True),
        (["tos", "0x10"], True),
        (["ipproto", "udp", "dport", "53"], True),
        (["ipproto", "udp", "sport", "40000"], True),
        (["from", "{other}"], False),
        (["iif", "pod2"], False),
        (["ipproto", "udp", "dport", "54"], False),
        (["ipproto", "tcp", "dport", "53"], False),
    ],
)
def test_policy_rules_hold(node: Node, version: int, selector: list[str], meets: bool) -> None:
    """Each leads by a device that is no uplink."""
    named = {"own": OWN[version], "other": NEIGHBOUR[version]}
    rule = [part.format(**named) for part in selector]
    by = ("default", "via", ROUTER[version], "dev", "by0", "onlink", "table", "77")
    with (
        routed(family(version), "route", "add", *by),
        routed(family(version), "rule", "add", "pref", "100", *rule, "lookup", "77"),
    ):
        seen = node.way("out", version, udp(), **{"tos" if version == 4 else "tc": 0x12})
    assert list(seen.counted) == ["pass_route" if meets else "out"]


@VERSIONS
def test_what_is_asked_to_go_by_the_stack(node: Node, version: int) -> None:
    ways = {"local": By.STACK_LOCAL, "out": By.STACK_OUT, "in": By.STACK_IN}
    try:
        for asked, by in ways.items():
            node.pods.set_up(7, by)
            for way in ways:
                seen = node.way(way, version, udp())
                assert list(seen.counted) == ["pass_asked" if way == asked else way]
            spoofed = header(version, src=FAR[version], dst=NEIGHBOUR[version]) / udp()
            assert list(node.pod(spoofed).counted) == ["drop_source"]
    finally:
        node.pods.set_up(0)


# ---- from an uplink ----


def test_what_is_for_nobody_here_is_left_alone(node: Node) -> None:
    for dst in (NODE[6], FAR[6], f"::ffff:{NEIGHBOUR[4]}", "ff02::1", NODE[4], FAR[4]):
        packet = header(ip_address(dst).version, src=ROUTER[ip_address(dst).version], dst=dst)
        frame = node.frame(packet / udp(), "up0")
        seen = node.run(frame, "uplink_to_pod")
        assert (seen.verdict, seen.frame, seen.counted) == ("pass", frame, {})


@pytest.mark.parametrize(
    "src", ["fe80::2", "::", "::1", "ff02::1", "0.0.0.0", "127.0.0.1", "224.0.0.1", "169.254.0.1"]
)
def test_what_no_router_sends_on(node: Node, src: str) -> None:
    version = ip_address(src).version
    packet = header(version, src=src, dst=NEIGHBOUR[version]) / udp()
    assert left(node.uplink(packet), "pass_source")


# ---- with a translator ----


@FROM
@VERSIONS
def test_a_translator_sees_what_leaves_the_node(node: Node, entry: Entry, version: int) -> None:
    """One that drops all that it sees; what is not the pod's own it never does."""
    with Program.load(ProgramType.SCHED_CLS, "uplink_tc", _RETURN_2) as translator:
        node.pods.translate(translator)
        try:
            out = node.pod(header(version, **ENDS["out"](version)) / udp(), entry)
            assert (out.verdict, out.counted) == ("drop", {})
            local = node.pod(header(version, **ENDS["local"](version)) / udp(), entry)
            assert list(local.counted) == ["local"]
            spoofed = header(version, src=FAR[version], dst=FAR[version]) / udp()
            assert list(node.pod(spoofed, entry).counted) == ["drop_source"]
        finally:
            node.pods.translate(None)
    assert list(node.way("out", version, udp()).counted) == ["out"]


@VERSIONS
def test_what_a_translator_leaves_alone(node: Node, version: int) -> None:
    """It is sent on behind it; what is not was counted before."""

    def run(packet: Any) -> Seen:
        return node.run(node.frame(packet, "pod1"), "from_pod_out")

    seen = run(header(version, **ENDS["out"](version)) / udp())
    after = header(version, **ENDS["out"](version), **hops(version, 60)) / udp()
    assert (seen.verdict, seen.frame[14:]) == ("redirect", bytes(after))
    assert seen.counted == {"out": (1, len(after))}
    ends = ENDS["out"](version)
    for packet in (
        header(version, **ends, **hops(version, 1)) / udp(),
        header(version, **(ends | {"dst": NODE[version]})) / udp(),
        header(version, **ENDS["local"](version)) / udp(),
        sized(version, UPLINK_MTU + 1, "out"),
    ):
        frame = node.frame(packet, "pod1")
        seen = node.run(frame, "from_pod_out")
        assert (seen.verdict, seen.frame, seen.counted) == ("pass", frame, {})
    said = node.frame(ip6(src=LINK_LOCAL, dst="ff02::2") / ICMPv6ND_RS(), "pod1")
    assert node.run(said, "from_pod_out").counted == {}


def test_a_gateways_program_is_such_a_translator(node: Node) -> None:
    """It has no configuration, and leaves all packets alone."""
    with stock.datapath((None, None)) as gateway:

        def passed() -> int:
            return gateway.counters().reasons["pass_not_configured"].packets

        before = passed()
        node.pods.translate(gateway.program("uplink_tc"))
        try:
            entries: tuple[Entry, ...] = ("from_pod", "from_netkit")
            for count, entry in enumerate(entries, 1):
                frame = node.frame(header(6, **ENDS["out"](6)) / udp(), "pod1")
                seen = node.once(frame, entry)
                assert (seen.verdict, seen.frame, seen.counted) == ("pass", frame, {})
                assert passed() == before + count
        finally:
            node.pods.translate(None)


# ---- tables ----


def test_what_is_put_is_there(node: Node) -> None:
    place = Place(77, b"\x02\x01\x02\x03\x04\x05", b"\x02\x0a\x0b\x0c\x0d\x0e")
    new = [ip_address("192.0.2.77"), ip_address("2001:db8::77")]
    before = node.pods.places()
    node.pods.put(new, place)
    assert node.pods.places() == before | dict.fromkeys(new, place)
    node.pods.forget([*new, ip_address("2001:db8::78")])
    assert node.pods.places() == before
    uplinks = node.pods.uplinks()
    node.pods.set_uplinks([3, 4])
    assert node.pods.uplinks() == {3, 4}
    node.pods.set_uplinks(uplinks)
    assert node.pods.uplinks() == uplinks
    node.pods.set_up(1 << 63, By.STACK)
    assert node.pods.setup() == (1 << 63, By.STACK)
    node.pods.set_up(0)


def test_tables_are_found_again(node: Node) -> None:
    with Pods.open(node.pods.root) as again:
        assert again.places() == node.pods.places()
        assert again.uplinks() == node.pods.uplinks()


def test_tables_of_other_layouts_go_at_last(node: Node) -> None:
    """Programs of another version use them until these take over."""
    other = node.pods.root / "maps" / "pods-00000000"
    with Map.create(MapType.HASH, "pods", key_size=16, value_size=4, max_entries=1) as map:
        map.pin(other)
    with Pods.open(node.pods.root) as again:
        assert other.exists()
        again.take_over()
    assert not other.exists()
    assert node.pods.places()


def test_a_kernel_without_the_helpers(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of them is in the programs that are loaded, and it is told."""
    for name in ("has_redirect_peer", "has_redirect_neigh"):
        monkeypatch.setattr(f"sixlane.bpf.features.{name}", lambda: False)
    with Pods.open(node.pods.root) as without:
        assert without.missing == ("bpf_redirect_peer", "bpf_redirect_neigh")
        lesser = Node(without, node.devices)
        for version in (4, 6):
            assert list(lesser.way("local", version, udp()).counted) == ["local"]
            assert list(lesser.way("in", version, udp()).counted) == ["in"]
            assert left(lesser.way("out", version, udp()), "pass_asked")
