# SPDX-License-Identifier: Apache-2.0
"""Frames of each kind that is measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6TimeExceeded, IPv6
from scapy.packet import Packet, Raw

from tests.world import LAN_PEER_MAC, WAN_PEER_MAC, World

FLOWS = 4_096
"""As many as packet.bpf.c has room for, of each family."""


@dataclass(frozen=True)
class Ends:
    """The two ends of a flow, by either family's addresses."""

    client4: IPv4Address
    node4: IPv4Address
    client6: IPv6Address
    node6: IPv6Address


@dataclass(frozen=True)
class Kind:
    """A kind of packet: what is behind the IP header. `head4`, `head6`: how much of a frame a
    program may change, in bytes."""

    name: str
    upper4: Callable[[IPv4Address, IPv4Address], Packet]
    upper6: Callable[[IPv6Address, IPv6Address], Packet]
    head4: int
    head6: int


@dataclass(frozen=True)
class Frames:
    """IPv4 from clients to nodes, and IPv6 back."""

    ipv4: list[bytes]
    ipv6: list[bytes]


def _udp(size: int) -> Packet:
    return UDP(sport=40_000, dport=443) / Raw(bytes(size))


def _tcp(size: int) -> Packet:
    return TCP(sport=40_000, dport=443, flags="A") / Raw(bytes(size))


def _error4(source: IPv4Address, destination: IPv4Address) -> Packet:
    quote = IP(src=str(destination), dst=str(source), ttl=1) / _udp(64)
    return ICMP(type=11, code=0) / quote


def _error6(source: IPv6Address, destination: IPv6Address) -> Packet:
    return ICMPv6TimeExceeded() / IPv6(src=str(destination), dst=str(source), hlim=1) / _udp(64)


# Frames of 64 bytes of IPv4, without the check sequence, and what they are in IPv6.
KINDS = (
    Kind("UDP, 64 bytes", lambda *_: _udp(22), lambda *_: _udp(22), 64, 64),
    Kind("TCP, 64 bytes", lambda *_: _tcp(10), lambda *_: _tcp(10), 64, 80),
    Kind("TCP, 1,500 bytes", lambda *_: _tcp(1420), lambda *_: _tcp(1420), 64, 80),
    Kind("ICMP error", _error4, _error6, 128, 128),
)


def frames_of(kind: Kind, flows: Sequence[Ends], world: World) -> Frames:
    """A frame of that kind for each flow and family."""
    frames = Frames([], [])
    for ends in flows:
        upper4 = kind.upper4(ends.client4, ends.node4)
        upper6 = kind.upper6(ends.node6, ends.client6)
        ip4 = IP(src=str(ends.client4), dst=str(ends.node4), flags="DF") / upper4
        ip6 = IPv6(src=str(ends.node6), dst=str(ends.client6)) / upper6
        frames.ipv4.append(world.wan.mac + WAN_PEER_MAC + b"\x08\x00" + bytes(ip4))
        frames.ipv6.append(world.lan.mac + LAN_PEER_MAC + b"\x86\xdd" + bytes(ip6))
    return frames
