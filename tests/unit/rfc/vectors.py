# SPDX-License-Identifier: Apache-2.0
"""Packets made by scapy, for both sides of a translator with one network-specific prefix."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, in6_chksum
from scapy.packet import Packet, Raw
from scapy.utils import checksum

from sixlane.rfc.rfc7915 import Drop, DropReason, Forward, Prefix, Translator

INSIDE4, OUTSIDE4, ROUTER4 = "198.51.100.7", "192.0.2.33", "203.0.113.254"
INSIDE6, OUTSIDE6, ROUTER6 = (f"2001:db8:46::{address}" for address in (INSIDE4, OUTSIDE4, ROUTER4))
INSIDE_ROUTER4 = "198.51.100.254"
INSIDE_ROUTER6 = f"2001:db8:46::{INSIDE_ROUTER4}"

EDGE = Prefix(
    name="edge",
    network=IPv6Network("2001:db8:46::/96"),
    ipv4=(IPv4Network("198.51.100.0/24"),),
    sources=None,
    eam=(),
)
TRANSLATOR = Translator(
    prefixes=(EDGE,),
    icmp_source4=IPv4Address("198.51.100.1"),
    icmp_source6=IPv6Address("2001:db8::1"),
)

DATA = bytes(range(101))  # of an odd length, so that checksums need padding


def ip4(
    payload: Packet | bytes = b"", src: str = OUTSIDE4, dst: str = INSIDE4, **fields: Any
) -> bytes:
    """Return an IPv4 packet with fields that are not at their defaults."""
    default: dict[str, Any] = {"tos": 0xB9, "id": 0xBEEF, "ttl": 57, "flags": "DF"}
    return bytes(IP(src=src, dst=dst, **(default | fields)) / payload)


def ip6(
    payload: Packet | bytes = b"", src: str = INSIDE6, dst: str = OUTSIDE6, **fields: Any
) -> bytes:
    """Return an IPv6 packet with fields that are not at their defaults."""
    default: dict[str, Any] = {"tc": 0xB9, "fl": 0xABCDE, "hlim": 57}
    return bytes(IPv6(src=src, dst=dst, **(default | fields)) / payload)


def tcp() -> Packet:
    """Return a TCP segment with an option."""
    return TCP(sport=40000, dport=443, seq=0x01020304, flags="PA", options=[("NOP", None)]) / DATA


def udp(data: bytes = DATA) -> Packet:
    """Return a UDP datagram."""
    return UDP(sport=40000, dport=53) / data


def fragment6(offset: int, more: int, identification: int, nh: int) -> Packet:
    """Return a Fragment header; `offset` is in units of 8 bytes."""
    return IPv6ExtHdrFragment(offset=offset, m=more, id=identification, nh=nh)


def icmp4(icmp_type: int, code: int, rest: int, body: bytes = b"") -> bytes:
    """Return an ICMPv4 message; `rest` is the 32 bits after its checksum."""
    head, tail = bytes((icmp_type, code)), rest.to_bytes(4) + body
    field: int = checksum(head + b"\0\0" + tail)
    return head + field.to_bytes(2) + tail


def icmp6(
    icmp_type: int, code: int, rest: int, body: bytes = b"", src: str = INSIDE6, dst: str = OUTSIDE6
) -> bytes:
    """Return an ICMPv6 message between the two addresses."""
    head, tail = bytes((icmp_type, code)), rest.to_bytes(4) + body
    field: int = in6_chksum(58, IPv6(src=src, dst=dst), head + b"\0\0" + tail)
    return head + field.to_bytes(2) + tail


def forwarded(packet: bytes, translator: Translator = TRANSLATOR, **path: int) -> bytes:
    """Return the translated packet."""
    outcome = translator.translate(packet, **path)
    assert isinstance(outcome, Forward), outcome
    return outcome.packet


def dropped(packet: bytes, translator: Translator = TRANSLATOR, **path: int) -> DropReason:
    """Return the reason of a drop that nobody is told of."""
    reason, error = refused(packet, translator, **path)
    assert error is None
    return reason


def refused(
    packet: bytes, translator: Translator = TRANSLATOR, **path: int
) -> tuple[DropReason, bytes | None]:
    """Return the reason of a drop, and the ICMP error that goes back."""
    outcome = translator.translate(packet, **path)
    assert isinstance(outcome, Drop), outcome
    return outcome.reason, outcome.error


def raw(data: bytes) -> Packet:
    """Return bytes that scapy takes as they are."""
    return Raw(data)
