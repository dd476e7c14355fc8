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

CLIENT_PORT, NODE_PORT = 40_000, 443


@dataclass(frozen=True)
class Ends:
    """The two ends of a flow, by either family's addresses."""

    client4: IPv4Address
    node4: IPv4Address
    client6: IPv6Address
    node6: IPv6Address
    node_port: int = NODE_PORT
    """The node's, as the client knows it."""


_Upper = Callable[[Ends], Packet]


@dataclass(frozen=True)
class Kind:
    """A kind of packet: what is behind the IP header. `head4`, `head6`: how much of a frame a
    program may change, in bytes."""

    name: str
    upper4: _Upper
    upper6: _Upper
    head4: int
    head6: int


@dataclass(frozen=True)
class Frames:
    """IPv4 from clients to nodes, and IPv6 back."""

    ipv4: list[bytes]
    ipv6: list[bytes]


def _udp(size: int, source: int = CLIENT_PORT, destination: int = NODE_PORT) -> Packet:
    return UDP(sport=source, dport=destination) / Raw(bytes(size))


def _tcp(size: int, source: int = CLIENT_PORT, destination: int = NODE_PORT) -> Packet:
    return TCP(sport=source, dport=destination, flags="A") / Raw(bytes(size))


def _error4(ends: Ends) -> Packet:
    quote = IP(src=str(ends.node4), dst=str(ends.client4), ttl=1) / _udp(64)
    return ICMP(type=11, code=0) / quote


def _error6(ends: Ends) -> Packet:
    quote = IPv6(src=str(ends.client6), dst=str(ends.node6), hlim=1) / _udp(64)
    return ICMPv6TimeExceeded() / quote


def _plain(layer: Callable[[int, int, int], Packet], size: int) -> tuple[_Upper, _Upper]:
    """From client to node, and back."""
    return (
        lambda ends: layer(size, CLIENT_PORT, ends.node_port),
        lambda ends: layer(size, NODE_PORT, CLIENT_PORT),
    )


# Frames of 64 bytes of IPv4, without the check sequence, and what they are in IPv6.
KINDS = (
    Kind("UDP, 64 bytes", *_plain(_udp, 22), 64, 64),
    Kind("TCP, 64 bytes", *_plain(_tcp, 10), 64, 80),
    Kind("TCP, 1,500 bytes", *_plain(_tcp, 1420), 64, 80),
    Kind("ICMP error", _error4, _error6, 128, 128),
)


def frames_of(kind: Kind, flows: Sequence[Ends], world: World) -> Frames:
    """A frame of that kind for each flow and family."""
    frames = Frames([], [])
    for ends in flows:
        frames.ipv4.append(frame4(kind, ends, world))
        frames.ipv6.append(frame6(kind, ends, world))
    return frames


def frame4(kind: Kind, ends: Ends, world: World) -> bytes:
    packet = IP(src=str(ends.client4), dst=str(ends.node4), flags="DF") / kind.upper4(ends)
    return world.wan.mac + WAN_PEER_MAC + b"\x08\x00" + bytes(packet)


def frame6(kind: Kind, ends: Ends, world: World) -> bytes:
    packet = IPv6(src=str(ends.node6), dst=str(ends.client6)) / kind.upper6(ends)
    return world.lan.mac + LAN_PEER_MAC + b"\x86\xdd" + bytes(packet)
