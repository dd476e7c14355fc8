# SPDX-License-Identifier: Apache-2.0
"""RFC 791: the IPv4 header."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from sixlane.rfc.checksum import checksum, verifies
from sixlane.rfc.outcome import DropReason, Refused

HEADER_BYTES: Final = 20
LARGEST_DATAGRAM: Final = 65535

_LAYOUT: Final = struct.Struct("!BBHHHBBH4s4s")
_DONT_FRAGMENT: Final = 0x4000
_MORE_FRAGMENTS: Final = 0x2000
_OFFSET_MASK: Final = 0x1FFF

_END_OF_OPTIONS: Final = 0
_NO_OPERATION: Final = 1
_SOURCE_ROUTES: Final = frozenset({131, 137})  # loose, strict

_ILLEGAL_SOURCES: Final = frozenset({0, 127, *range(224, 256)})
"""First octets: this network, loopback, multicast, and reserved with the limited broadcast."""


@dataclass(frozen=True)
class Header:
    """The fields of one header, options aside. `offset_bytes` is the fragment offset in bytes."""

    tos: int
    total_length: int
    identification: int
    dont_fragment: bool
    more_fragments: bool
    offset_bytes: int
    ttl: int
    protocol: int
    source: IPv4Address
    destination: IPv4Address
    header_bytes: int = HEADER_BYTES

    @property
    def payload_bytes(self) -> int:
        """Bytes after header and options, by the header's own account."""
        return self.total_length - self.header_bytes

    @property
    def is_fragment(self) -> bool:
        """Tell whether this is any fragment of a larger datagram."""
        return self.more_fragments or self.offset_bytes > 0

    def pack(self) -> bytes:
        """Return the 20 bytes of a header without options, its checksum right."""
        flags = _DONT_FRAGMENT * self.dont_fragment | _MORE_FRAGMENTS * self.more_fragments
        without_checksum = _LAYOUT.pack(
            0x45,
            self.tos,
            self.total_length if self.total_length <= LARGEST_DATAGRAM else 0,  # BIG TCP
            self.identification,
            flags | self.offset_bytes // 8,
            self.ttl,
            self.protocol,
            0,
            self.source.packed,
            self.destination.packed,
        )
        return (
            without_checksum[:10] + checksum(without_checksum).to_bytes(2) + without_checksum[12:]
        )


def parse(packet: bytes) -> Header:
    """Read the fixed header at the start of `packet`. Refused: TRUNCATED, MALFORMED."""
    if len(packet) < HEADER_BYTES:
        raise Refused(DropReason.TRUNCATED)
    (
        version_ihl,
        tos,
        total_length,
        identification,
        flags_offset,
        ttl,
        protocol,
        _,
        source,
        destination,
    ) = _LAYOUT.unpack_from(packet)
    if version_ihl >> 4 != 4 or version_ihl & 15 < 5:
        raise Refused(DropReason.MALFORMED)
    return Header(
        tos=tos,
        total_length=total_length,
        identification=identification,
        dont_fragment=bool(flags_offset & _DONT_FRAGMENT),
        more_fragments=bool(flags_offset & _MORE_FRAGMENTS),
        offset_bytes=(flags_offset & _OFFSET_MASK) * 8,
        ttl=ttl,
        protocol=protocol,
        source=IPv4Address(source),
        destination=IPv4Address(destination),
        header_bytes=(version_ihl & 15) * 4,
    )


def check_packet(header: Header, packet: bytes) -> None:
    """Check lengths and header checksum of a received packet.

    Refused: MALFORMED, TRUNCATED, BAD_HEADER_CHECKSUM.
    """
    if header.total_length < header.header_bytes:
        raise Refused(DropReason.MALFORMED)
    if max(header.total_length, header.header_bytes) > len(packet):
        raise Refused(DropReason.TRUNCATED)
    if not verifies(packet[: header.header_bytes]):
        raise Refused(DropReason.BAD_HEADER_CHECKSUM)
    _check_end(header)


def check_quote(header: Header, quote: bytes) -> None:
    """Check lengths of a header quoted in an ICMP error; only the header need be whole.

    Its checksum is nobody's business: routers on the way have changed the TTL.
    Refused: MALFORMED, TRUNCATED.
    """
    if header.total_length < header.header_bytes:
        raise Refused(DropReason.MALFORMED)
    if header.header_bytes > len(quote):
        raise Refused(DropReason.TRUNCATED)
    _check_end(header)


def _check_end(header: Header) -> None:
    """Of fragments: a whole packet ends where its length says, or is BIG TCP and longer."""
    if header.offset_bytes and header.offset_bytes + header.payload_bytes > LARGEST_DATAGRAM:
        raise Refused(DropReason.MALFORMED)


def is_source_routed(options: bytes) -> bool:
    """Tell whether a loose or strict source route has addresses left to visit (section 3.1).

    Options that make no sense end the search: RFC 7915 section 4.1 ignores all others anyway.
    """
    while len(options) >= 3 and options[0] != _END_OF_OPTIONS:
        if options[0] == _NO_OPERATION:
            options = options[1:]
            continue
        kind, length, pointer = options[:3]
        if length < 2 or length > len(options):
            return False
        if kind in _SOURCE_ROUTES and length >= 3 and pointer <= length:
            return True
        options = options[length:]
    return False


def is_illegal_source(address: IPv4Address) -> bool:
    """Tell whether no node may send from `address` (RFC 1812 section 5.3.7)."""
    return address.packed[0] in _ILLEGAL_SOURCES
