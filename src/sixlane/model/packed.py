# SPDX-License-Identifier: Apache-2.0
"""Addresses of both families as 16 bytes."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from sixlane.model.addresses import NEVER_A_SOURCE, AnyAddress, AnyNetwork

MAPPED = b"\0" * 10 + b"\xff\xff"
"""What stands before an IPv4 address where addresses of both families are 16 bytes."""

NEVER_FIRST = frozenset(
    octet
    for block in NEVER_A_SOURCE
    for octet in range(block[0].packed[0], block[-1].packed[0] + 1)
)
"""First octets of IPv4 addresses that no node has."""


def packed_address(address: AnyAddress) -> bytes:
    """Its 16 bytes."""
    return MAPPED + address.packed if address.version == 4 else address.packed


def unpacked_address(packed: bytes) -> AnyAddress:
    """Of 16 bytes."""
    return IPv4Address(packed[12:]) if packed[:12] == MAPPED else IPv6Address(packed)


def overlapping(networks: Iterable[AnyNetwork]) -> tuple[int, int] | None:
    """The indices of two of which the latter lies in the former, or None."""
    ordered = sorted(
        enumerate(networks), key=lambda one: (packed_address(one[1][0]), one[1].prefixlen, one[0])
    )
    # In this order, what lies in a range stands right behind it.
    for (other, outer), (at, inner) in pairwise(ordered):
        if inner.version == outer.version and inner[0] in outer:
            return other, at
    return None


def read_routed(text: object) -> tuple[str, bytes]:
    """What `parse_routed` takes, in 2 microseconds: as text, and its 16 bytes.

    ValueError or OSError if it is unusual, or wrong: which, and why, is for `parse_routed` to tell.
    """
    if type(text) is not str:
        raise ValueError(text)
    if ":" in text:
        packed = inet_pton(AF_INET6, text)
        if packed[0] >= 0xFE or not any(packed[:10]):  # link-local, multicast; ::/80
            raise ValueError(text)
        return inet_ntop(AF_INET6, packed), packed
    packed = inet_pton(AF_INET, text)
    if packed[0] in NEVER_FIRST or packed[:2] == b"\xa9\xfe":
        raise ValueError(text)
    return text, MAPPED + packed
