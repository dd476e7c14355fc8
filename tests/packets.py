# SPDX-License-Identifier: Apache-2.0
"""Packets for tests, by scapy. TTL, class, flow label and ids are never at their defaults."""

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Packet, Raw

CLIENT = "192.31.196.10"
STRANGER = "192.31.196.200"
SERVICE = "192.175.48.10"
CLIENT6 = f"64:ff9b::{CLIENT}"
SERVICE6 = f"64:ff9b::{SERVICE}"


def ip4(**fields: Any) -> Packet:
    """An IPv4 header from client to service."""
    ends: dict[str, Any] = {"src": CLIENT, "dst": SERVICE}
    return IP(**(ends | {"tos": 0x2E, "ttl": 61, "id": 0x1234, "flags": "DF"} | fields))


def ip6(**fields: Any) -> Packet:
    """An IPv6 header from service to client."""
    ends: dict[str, Any] = {"src": SERVICE6, "dst": CLIENT6}
    return IPv6(**(ends | {"tc": 0x2E, "fl": 0x54321, "hlim": 61} | fields))


def udp(size: int = 32, **fields: Any) -> Packet:
    payload = (bytes(range(256)) * (size // 256 + 1))[:size]
    ports: dict[str, Any] = {"sport": 40000, "dport": 53}
    return UDP(**(ports | fields)) / Raw(payload)


def tcp(size: int = 0, **fields: Any) -> Packet:
    default: dict[str, Any] = {"sport": 40000, "dport": 80, "flags": "S"}
    return TCP(**(default | fields)) / Raw(b"x" * size)


def ping4(size: int = 32) -> Packet:
    return ICMP(id=7, seq=9) / Raw(b"p" * size)


def ping6(size: int = 32) -> Packet:
    return ICMPv6EchoRequest(id=7, seq=9, data=b"p" * size)
