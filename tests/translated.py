# SPDX-License-Identifier: Apache-2.0
"""A service that is translated, in a world of one packet at a time, and what scapy makes of its
packets."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from sixlane.datapath.services import FrontendEntry, Pool, ServiceEntry
from sixlane.rfc.rfc7915 import Prefix, Translator
from tests.packets import CLIENT, ip4, ip6
from tests.services import Balanced
from tests.world import Entry, Seen, tables_for

TRANSLATOR = Translator(
    (Prefix("services", IPv6Network("64:ff9b::/96"), (IPv4Network("192.175.48.0/25"),), None, ()),),
    IPv4Address("193.0.14.1"),
    IPv6Address("2001:db8::1"),
)
VIPS = {4: "192.175.48.200", 6: "2001:db8:64::200"}
CLIENTS = {4: CLIENT, 6: "2001:db8:1::5"}
BACKENDS = {4: "10.0.0.1", 6: "2001:db8:64:1::7"}
SECOND = {4: "10.0.0.2", 6: "2001:db8:64:1::8"}
POOL: dict[int, IPv4Network | IPv6Network] = {
    4: IPv4Network("10.1.0.8/30"),
    6: IPv6Network("2001:db8:64:f::10/126"),
}
MAPPED_CLIENT = str(IPv6Address(f"64:ff9b::{CLIENT}"))
WEB, DNS, OTHER_WEB = 80, 53, 81
BACKEND_PORT = 8080
FAMILIES = [(4, 4), (4, 6), (6, 6), (6, 4)]
"""Of client and backend."""

NAT = ServiceEntry(
    "web",
    1,
    tuple(
        FrontendEntry(ip_address(VIPS[family]), port, protocol, family * 10 + number)
        for family in (4, 6)
        for number, (port, protocol) in enumerate(((WEB, 6), (DNS, 17), (OTHER_WEB, 6)))
    ),
    nat=True,
    pool4=Pool(POOL[4][0], 4),
    pool6=Pool(POOL[6][0], 4),
    nat_backends=tuple(map(ip_address, (*BACKENDS.values(), *SECOND.values()))),
)
IDS = {4: 1, 6: 2}
"""Of the first backend of each family; of the second, two more."""


def mapped(lb: Balanced) -> ServiceEntry:
    """The same, where an IPv4 client is seen as its pool6 address."""
    prefix = tables_for(TRANSLATOR, lb.world.wan, lb.world.lan).prefixes[0].id
    return replace(NAT, mapped_by=prefix, pool4=None, pool6=None)


def settle(lb: Balanced) -> None:
    """The service and its backends, which nothing has been sent to yet."""
    lb.forget()
    for family in (4, 6):
        for id, addresses in ((IDS[family], BACKENDS), (IDS[family] + 2, SECOND)):
            lb.backend(id, ip_address(addresses[family]), port=BACKEND_PORT)
    lb.ring([])
    lb.commit(NAT)


def headed(family: int, upper: Packet, **fields: Any) -> bytes:
    """A packet whose header has no field at its default."""
    return bytes((ip4(**fields) if family == 4 else ip6(**fields)) / upper)


def to_vip(family: int, upper: Packet, **fields: Any) -> bytes:
    ends = {"src": CLIENTS[family], "dst": VIPS[family]}
    return headed(family, upper, **(ends | fields))


def parsed(packet: bytes) -> Packet:
    return IPv6(packet) if packet[0] >> 4 == 6 else IP(packet)


def hop_of(packet: bytes) -> int:
    return packet[7] if packet[0] >> 4 == 6 else packet[8]


def upper_of(packet: bytes) -> Packet:
    whole = parsed(packet)
    found: Packet = whole[TCP] if TCP in whole else whole[UDP]
    return found


def changed(packet: bytes, src: str, dst: str, sport: int, dport: int) -> bytes:
    """A packet of TCP or UDP as it leaves: other ends, a hop less, maybe of the other family (RFC
    7915 4.1, 5.1); scapy sums it up. A UDP checksum of zero stays one. The id of what becomes IPv4
    is 0 here."""
    was = parsed(packet)
    upper = upper_of(packet).copy()
    upper.sport, upper.dport = sport, dport
    if not (UDP in was and was[UDP].chksum == 0):
        upper.chksum = None
    tos = was.tos if was.version == 4 else was.tc
    hop = (was.ttl if was.version == 4 else was.hlim) - 1
    if ":" in dst:
        flow = was.fl if was.version == 6 else 0
        return bytes(IPv6(src=src, dst=dst, tc=tos, fl=flow, hlim=hop) / upper)
    if was.version == 4:
        header = IP(packet[:20])
        header.src, header.dst, header.ttl, header.chksum = src, dst, hop, None
        return bytes(header / upper)
    flags = "DF" if 20 + len(bytes(was.payload)) > 1260 else 0
    return bytes(IP(src=src, dst=dst, tos=tos, ttl=hop, flags=flags, id=0) / upper)


def without_id(packet: bytes) -> bytes:
    """With an id of 0, if the checksum of its IPv4 header is right."""
    if packet[0] >> 4 == 6:
        return packet
    header = IP(packet[:20])
    sum, header.chksum = header.chksum, None
    assert IP(bytes(header)).chksum == sum
    header.id = 0
    return bytes(header) + packet[20:]


@dataclass(frozen=True)
class Flow:
    """What a packet to a frontend has become."""

    source: str
    source_port: int
    backend: str
    backend_port: int
    packet: bytes

    def answer(self, upper: Packet, **fields: Any) -> bytes:
        """A packet of its backend. `upper`: TCP or UDP, with whatever ports."""
        upper.sport, upper.dport = self.backend_port, self.source_port
        family = 6 if ":" in self.backend else 4
        return headed(family, upper, **({"src": self.backend, "dst": self.source} | fields))


def flow_of(seen: Seen) -> Flow:
    assert seen.verdict == "redirect"
    sent, upper = parsed(seen.packet), upper_of(seen.packet)
    return Flow(sent.src, upper.sport, sent.dst, upper.dport, seen.packet)


def call(lb: Balanced, packet: bytes, entry: Entry = "xdp") -> Flow:
    """Sends a packet to a frontend."""
    return flow_of(lb.world.send(packet, entry))
