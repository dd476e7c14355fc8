# SPDX-License-Identifier: Apache-2.0
"""A network namespace with two devices and the real data path, for one packet at a time.

wan0 leads to the IPv4 side, lan0 to the IPv6 side; each has a default route to a neighbour that is
known for good, so that the FIB answers and frames are finished.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any, Literal

from sixlane.bpf import SkBuff, XdpMd
from sixlane.datapath import Datapath, SlowPath, Written
from sixlane.datapath.clock import jiffies_per_second
from sixlane.datapath.counters import read_reasons
from sixlane.datapath.layout import Reason
from sixlane.datapath.pools import Room
from sixlane.datapath.rooms import ServiceRoom
from sixlane.datapath.tables import Tables
from sixlane.model import Gateway, parse_resource
from sixlane.nat64.observe import Device, Observed
from sixlane.nat64.plan import plan_gateway
from sixlane.net import address, ethtool, link, neigh, netns, route, sysctl
from sixlane.rfc.rfc7915 import Translator
from tests.stock import Stock

Entry = Literal["xdp", "tc"]

OWN4, OWN6 = IPv4Address("193.0.14.1"), IPv6Address("2001:db8::1")
WAN_MAC = bytes.fromhex("02aa00000001")
LAN_MAC = bytes.fromhex("02aa00000002")
WAN_PEER_MAC = bytes.fromhex("02bb00000001")
LAN_PEER_MAC = bytes.fromhex("02bb00000002")
NEAR_MAC = bytes.fromhex("02cc00000001")
FAR_MAC = bytes.fromhex("02cc00000002")

stock = Stock()
"""What tests use again; nothing, unless a session of pytest has it keep some."""

_numbers = itertools.count()

_VERDICTS = {
    "xdp": {1: "drop", 2: "pass", 4: "redirect"},
    "tc": {0xFFFFFFFF: "pass", 2: "drop", 7: "redirect"},
}


@dataclass(frozen=True)
class Seen:
    """What became of a frame: the verdict, the frame as it is now, what was counted."""

    verdict: str
    frame: bytes
    reasons: dict[str, int]

    @property
    def packet(self) -> bytes:
        """Layer 3, with what lies behind it."""
        return self.frame[14:]


class World:
    """The data path in its namespace; `run` sends a frame into it."""

    def __init__(self, datapath: Datapath, wan: link.Link, lan: link.Link) -> None:
        self.datapath = datapath
        self.wan = wan
        self.lan = lan
        self._counted: dict[str, int] = {}

    def configure(self, translator: Translator) -> None:
        self.commit(tables_for(translator, self.wan, self.lan))

    def commit(self, tables: Tables) -> Written:
        written = self.datapath.commit(tables)
        self._counted = self._count()
        return written

    def run(
        self,
        packet: bytes,
        entry: Entry,
        *,
        link_header: bytes | None = None,
        gso_bytes: int = 0,
        meta_bytes: int = 0,
        flags: int = 0,
    ) -> Seen:
        """Sends a layer-3 packet in by the device that it would come from."""
        seen = self.send(
            packet,
            entry,
            link_header=link_header,
            gso_bytes=gso_bytes,
            meta_bytes=meta_bytes,
            flags=flags,
        )
        return replace(seen, reasons=self.counted())

    def send(
        self,
        packet: bytes,
        entry: Entry,
        *,
        link_header: bytes | None = None,
        gso_bytes: int = 0,
        meta_bytes: int = 0,
        flags: int = 0,
    ) -> Seen:
        """As `run`, but `reasons` is empty: to read all counters takes longer than all the rest."""
        v6 = packet[:1] and packet[0] >> 4 == 6
        device = self.lan if v6 else self.wan
        if link_header is None:
            peer = LAN_PEER_MAC if v6 else WAN_PEER_MAC
            link_header = device.mac + peer + (b"\x86\xdd" if v6 else b"\x08\x00")
        frame = bytes(meta_bytes) + link_header + packet
        if entry == "xdp":
            program = self.datapath.program("uplink_xdp")
            context = bytes(XdpMd.of(frame, device.ifindex, meta_bytes=meta_bytes))
        else:
            program = self.datapath.program("uplink_tc")
            segments = 2 if gso_bytes else 0
            context = bytes(SkBuff(ifindex=device.ifindex, gso_size=gso_bytes, gso_segs=segments))
        result = program.run(frame, ctx=context, data_out_size=len(frame) + 256, flags=flags)
        verdict = _VERDICTS[entry].get(result.retval, f"verdict {result.retval}")
        return Seen(verdict, bytes(result.data[meta_bytes:]), {})

    def later(self, seconds: float) -> None:
        """Has the data path's clock go on, and what is remembered for a second be forgotten."""
        self.datapath.forget_next_hops()
        clock = self.datapath.maps()["clock_offset"]
        offset = int.from_bytes(clock.lookup(bytes(4)) or b"", "little")
        offset += round(seconds * jiffies_per_second())
        clock.update(bytes(4), offset.to_bytes(8, "little"))

    def forget_neighbours(self) -> None:
        """As if the kernel had sent to none of them for long."""
        self.datapath.forget_next_hops()
        uses = self.datapath._maps["neighbours"]
        uses.clear_per_cpu([key for key, _ in uses.items_per_cpu()])

    def counted(self) -> dict[str, int]:
        """By reason: how many packets, since this was last asked."""
        before, self._counted = self._counted, self._count()
        return {
            name: count - before.get(name, 0)
            for name, count in self._counted.items()
            if count != before.get(name, 0)
        }

    def _count(self) -> dict[str, int]:
        """Of the present maps alone, and not by prefix: that takes longer than all the rest."""
        reasons = read_reasons(self.datapath.maps()["counters"])
        return {reason.name.lower(): reasons[reason].packets for reason in Reason}


@contextmanager
def raise_world(
    room: Room | None = None, service_room: ServiceRoom | None = None
) -> Iterator[World]:
    """Namespace, devices, data path; afterwards all gone, or the data path in `stock`."""
    name = f"sl-world-{os.getpid()}-{next(_numbers)}"
    netns.create(name)
    try:
        with netns.inside(name):
            wan = _device("wan0", WAN_MAC)
            lan = _device("lan0", LAN_MAC)
            # Host addresses: a subnet would bring broadcast addresses, to which there is no route.
            _route(wan, IPv4Interface(OWN4), IPv4Address("193.0.14.2"), WAN_PEER_MAC)
            _route(lan, IPv6Interface(OWN6), IPv6Address("2001:db8::2"), LAN_PEER_MAC)
            with stock.datapath((room, service_room)) as datapath:
                yield World(datapath, wan, lan)
    finally:
        netns.remove(name)


def _device(name: str, mac: bytes) -> link.Link:
    peer = f"{name}p"
    link.create_veth(name, peer, mac_a=mac, up=True)
    ethtool.set_feature(name, "rx-gro", True)  # a test run takes a veth only with NAPI
    for family in ("ipv4", "ipv6"):
        sysctl.set(("net", family, "conf", name, "forwarding"), "1")
    return link.get(name)


def _route(
    device: link.Link,
    own: IPv4Interface | IPv6Interface,
    gateway: IPv4Address | IPv6Address,
    mac: bytes,
) -> None:
    address.add(device.ifindex, own)
    neigh.add_permanent(device.ifindex, gateway, mac)
    everything = IPv4Network("0.0.0.0/0") if own.version == 4 else IPv6Network("::/0")
    route.add(everything, via=gateway, dev=device.ifindex, onlink=True)


def prefixes_of(translator: Translator) -> list[dict[str, Any]]:
    """As a Gateway has them."""
    return [
        {
            "name": prefix.name,
            "prefix": str(prefix.network),
            "ipv4": [str(network) for network in prefix.ipv4],
            "eam": [
                {"ipv4": str(eam.ipv4), "ipv6": str(eam.ipv6), "remote": eam.remote}
                for eam in prefix.eam
            ],
        }
        | (
            {}
            if prefix.sources is None
            else {"loadBalancerSourceRanges": [str(source) for source in prefix.sources]}
        )
        for prefix in translator.prefixes
    ]


def tables_for(
    translator: Translator, wan: link.Link, lan: link.Link, *, slow: bool = True, **more: Any
) -> Tables:
    """The tables that a Gateway of the same meaning gets, with `more` in its spec."""
    spec = {
        "devices": [{"name": "wan0"}, {"name": "lan0"}],
        "prefixes": prefixes_of(translator),
        "icmpErrors": {"rate": 1_000_000},
        "icmpSource": {
            "ipv4": str(translator.icmp_source4),
            "ipv6": str(translator.icmp_source6),
        },
        "lowestIPv6MTU": translator.lowest_ipv6_mtu,
    } | more
    gateway = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Gateway",
            "metadata": {"name": "test"},
            "spec": spec,
        }
    )
    assert isinstance(gateway, Gateway)
    devices = {
        found.name: Device(found.name, found.ifindex, "veth", True, found.mac, found.mtu, True, ())
        for found in (wan, lan)
    }
    near = SlowPath(wan.ifindex + 1000, NEAR_MAC, FAR_MAC) if slow else None
    observed = Observed(devices, (), near, 0, None, {}, None, translator.native)
    tables = plan_gateway(gateway, observed).tables
    assert tables is not None
    limits = {prefix.name: prefix.max_segment or 0 for prefix in translator.prefixes}
    return replace(
        tables,
        slow=near,
        prefixes=[
            replace(prefix, max_segment_bytes=limits[prefix.name]) for prefix in tables.prefixes
        ],
        tos=translator.tos,
        traffic_class=translator.traffic_class,
        udp_compute=translator.udp_compute,
        hairpin=translator.hairpin,
        icmp_pool=[(part[0], part.num_addresses) for part in translator.icmp_pool],
        icmp_origin=translator.icmp_origin,
    )
