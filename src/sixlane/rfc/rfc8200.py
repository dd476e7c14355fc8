# SPDX-License-Identifier: Apache-2.0
"""RFC 8200: the IPv6 header and the chain of extension headers after it."""

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from sixlane.rfc import protocol as proto
from sixlane.rfc.outcome import Answer, DropReason, Refused

HEADER_BYTES: Final = 40
FRAGMENT_BYTES: Final = 8
LARGEST_PAYLOAD: Final = 65535
MINIMUM_MTU: Final = 1280

MAX_SKIPPED_HEADERS: Final = 8
MAX_EXTENSION_BYTES: Final = 256
"""Longer chains than these two are dropped; no RFC sets a limit, RFC 9098 tells why all do."""

_LAYOUT: Final = struct.Struct("!IHBB16s16s")
_FRAGMENT_LAYOUT: Final = struct.Struct("!BxHI")
_SEGMENTS_LEFT: Final = 3  # offset in a Routing header

_SKIPPED: Final = frozenset({proto.HOP_BY_HOP, proto.ROUTING, proto.DESTINATION_OPTIONS})
_NOT_AFTER_FRAGMENT: Final = _SKIPPED | {proto.FRAGMENT, proto.AUTHENTICATION}

_NOBODY: Final = (IPv6Address("::"), IPv6Address("::1"))  # unspecified, loopback
_MULTICAST: Final = 0xFF  # the first octet


@dataclass(frozen=True)
class Header:
    """The fields of one header. `payload_length` counts extension headers too."""

    traffic_class: int
    payload_length: int
    next_header: int
    hop_limit: int
    source: IPv6Address
    destination: IPv6Address
    flow_label: int = 0

    def pack(self) -> bytes:
        """Return the 40 bytes of the header."""
        return _LAYOUT.pack(
            6 << 28 | self.traffic_class << 20 | self.flow_label,
            self.payload_length,
            self.next_header,
            self.hop_limit,
            self.source.packed,
            self.destination.packed,
        )


@dataclass(frozen=True)
class Fragment:
    """The fields of a Fragment header; `offset_bytes` is the offset in bytes (section 4.5)."""

    offset_bytes: int
    more: bool
    identification: int

    def pack(self, next_header: int) -> bytes:
        """Return the 8 bytes of the header; the offset is a multiple of 8."""
        return _FRAGMENT_LAYOUT.pack(
            next_header, self.offset_bytes | self.more, self.identification
        )


@dataclass(frozen=True)
class Chain:
    """What the extension headers lead to.

    `extension_bytes` counts all of them, so the upper layer starts 40 bytes later;
    `upper_bytes` is its length by the IPv6 header's account.
    """

    protocol: int
    fragment: Fragment | None
    extension_bytes: int
    upper_bytes: int

    @property
    def is_fragment(self) -> bool:
        """Tell whether the packet is a part of a larger one: an atomic fragment is not."""
        return self.fragment is not None and (self.fragment.more or self.fragment.offset_bytes > 0)

    @property
    def has_upper_header(self) -> bool:
        """Tell whether the upper-layer header is in this packet, not in an earlier fragment."""
        return self.fragment is None or self.fragment.offset_bytes == 0


def parse(packet: bytes) -> Header:
    """Read the header at the start of `packet`. Refused: TRUNCATED, MALFORMED."""
    if len(packet) < HEADER_BYTES:
        raise Refused(DropReason.TRUNCATED)
    first, payload_length, next_header, hop_limit, source, destination = _LAYOUT.unpack_from(packet)
    if first >> 28 != 6:
        raise Refused(DropReason.MALFORMED)
    return Header(
        traffic_class=first >> 20 & 0xFF,
        flow_label=first & 0xFFFFF,
        payload_length=payload_length,
        next_header=next_header,
        hop_limit=hop_limit,
        source=IPv6Address(source),
        destination=IPv6Address(destination),
    )


def walk(header: Header, packet: bytes, *, through_source_route: bool = False) -> Chain:
    """Follow the extension headers of `packet`, which may be a quote that was cut short.

    Hop-by-Hop, Routing and Destination Options are skipped (RFC 7915 section 5.1), a Fragment
    header is read, anything else is the upper layer. `through_source_route` reads on where a
    Routing header has segments left. Refused: EXTENSION_HEADERS, TRUNCATED, SOURCE_ROUTE
    (answered with a pointer to Segments Left), MALFORMED.
    """
    end = min(len(packet), HEADER_BYTES + header.payload_length)
    protocol, offset, skipped = header.next_header, HEADER_BYTES, 0
    fragment = None

    while fragment is None and (protocol in _SKIPPED or protocol == proto.FRAGMENT):
        skipped += protocol in _SKIPPED
        if skipped > MAX_SKIPPED_HEADERS:
            raise Refused(DropReason.EXTENSION_HEADERS)
        if offset + 8 > end:  # no extension header is shorter
            raise Refused(DropReason.TRUNCATED)
        length = FRAGMENT_BYTES if protocol == proto.FRAGMENT else 8 + 8 * packet[offset + 1]
        if offset + length - HEADER_BYTES > MAX_EXTENSION_BYTES:
            raise Refused(DropReason.EXTENSION_HEADERS)
        if offset + length > end:
            raise Refused(DropReason.TRUNCATED)
        if protocol == proto.FRAGMENT:
            fragment = _parse_fragment(packet, offset)
        elif protocol == proto.ROUTING and not through_source_route:
            _check_source_route(packet, offset)
        protocol, offset = packet[offset], offset + length

    extension_bytes = offset - HEADER_BYTES
    upper_bytes = header.payload_length - extension_bytes
    if fragment is not None:
        if protocol in _NOT_AFTER_FRAGMENT:
            raise Refused(DropReason.EXTENSION_HEADERS)
        if fragment.more and upper_bytes % 8:
            raise Refused(DropReason.MALFORMED)
        if fragment.offset_bytes + upper_bytes > LARGEST_PAYLOAD:
            raise Refused(DropReason.MALFORMED)
    return Chain(protocol, fragment, extension_bytes, upper_bytes)


def _check_source_route(packet: bytes, offset: int) -> None:
    pointer = offset + _SEGMENTS_LEFT
    if packet[pointer] != 0:
        raise Refused(DropReason.SOURCE_ROUTE, Answer(type=4, code=0, rest=pointer))


def _parse_fragment(packet: bytes, offset: int) -> Fragment:
    _, offset_flags, identification = _FRAGMENT_LAYOUT.unpack_from(packet, offset)
    return Fragment(offset_flags & 0xFFF8, bool(offset_flags & 1), identification)


def is_illegal_source(address: IPv6Address) -> bool:
    """Tell whether no forwarded packet may come from `address` (RFC 7915 section 5.1)."""
    return address in _NOBODY or address.packed[0] == _MULTICAST
