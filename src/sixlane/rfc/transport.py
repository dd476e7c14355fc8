# SPDX-License-Identifier: Apache-2.0
"""What translation changes in the upper layer: checksums, and the type of ICMP echoes.

RFC 7915 sections 4.5 and 5.5; the pseudo-headers are those of RFC 9293 section 3.1 and
RFC 8200 section 8.1. All other bytes, and all other protocols, stay as they are.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from sixlane.rfc import protocol as proto
from sixlane.rfc.checksum import checksum, update
from sixlane.rfc.outcome import Answer, DropReason, Refused

TCP_HEADER_BYTES: Final = 20
UDP_HEADER_BYTES: Final = 8

_HEADER_BYTES: Final = {proto.TCP: TCP_HEADER_BYTES, proto.UDP: UDP_HEADER_BYTES}
_CHECKSUM_OFFSET: Final = {proto.TCP: 16, proto.UDP: 6}
_ICMP_CHECKSUM_OFFSET: Final = 2


def pseudo_header(
    source: IPv4Address | IPv6Address,
    destination: IPv4Address | IPv6Address,
    length: int,
    protocol: int,
) -> bytes:
    """Return what the checksum covers beside the message itself.

    The layout is that of IPv6; an IPv4 pseudo-header has the same sum.
    """
    return source.packed + destination.packed + length.to_bytes(4) + protocol.to_bytes(4)


def check_header(protocol: int, payload: bytes, prohibited: Answer) -> None:
    """Check the start of a TCP segment or UDP datagram. Refused: TRUNCATED, UDP_ZERO_CHECKSUM.

    A UDP checksum of zero is none at all: IPv6 forbids it, and a stateless translator does not
    see enough of a fragmented datagram to make one (RFC 7915 section 4.5). `prohibited`: how the
    sender is told.
    """
    if len(payload) < _HEADER_BYTES.get(protocol, 0):
        raise Refused(DropReason.TRUNCATED)
    if protocol == proto.UDP and payload[6:8] == b"\0\0":
        raise Refused(DropReason.UDP_ZERO_CHECKSUM, prohibited)


_LARGEST_COMPUTED: Final = 9216
"""Bytes of a datagram; a jumbo frame carries no longer one."""


def add_udp_checksum(datagram: bytes, source: IPv4Address, destination: IPv4Address) -> bytes:
    """Return an IPv4 datagram with its checksum, which IPv6 needs (RFC 7915 section 4.5).

    One that has a checksum, or is too long for that, comes back as it is. Refused: MALFORMED if
    its length cannot be.
    """
    if datagram[6:8] != b"\0\0":
        return datagram
    length = int.from_bytes(datagram[4:6])
    if not UDP_HEADER_BYTES <= length <= len(datagram):
        raise Refused(DropReason.MALFORMED)
    if length > _LARGEST_COMPUTED:
        return datagram
    field = checksum(pseudo_header(source, destination, length, proto.UDP) + datagram[:length])
    return _replace_field(datagram, 6, field or 0xFFFF)


def segment_bytes(protocol: int, payload: bytes, data_bytes: int | None) -> int:
    """Return the length of the largest upper-layer packet that `payload` becomes on the wire.

    `data_bytes` is the data in each segment of a super-packet, None for an ordinary packet.
    """
    if data_bytes is None or protocol not in _HEADER_BYTES:
        return len(payload)
    header_bytes = (payload[12] >> 4) * 4 if protocol == proto.TCP else UDP_HEADER_BYTES
    return header_bytes + data_bytes


def follow_addresses(protocol: int, payload: bytes, old: bytes, new: bytes) -> bytes:
    """Return `payload` with its checksum moved from pseudo-header `old` to `new`.

    `payload` may be a quote: a field that is not there whole is left alone. A UDP checksum of
    zero stays zero, and no other one becomes zero (RFC 768).
    """
    at = _CHECKSUM_OFFSET.get(protocol)
    if at is None or len(payload) < at + 2:
        return payload
    field = int.from_bytes(payload[at : at + 2])
    if protocol == proto.UDP:
        field = (update(field, old, new) or 0xFFFF) if field else 0
    else:
        field = update(field, old, new)
    return _replace_field(payload, at, field)


def translate_icmp(message: bytes, translated: bytes, old: bytes, new: bytes) -> bytes:
    """Return `translated` with the checksum that follows from `message`'s.

    `translated` still holds the checksum of `message`; `old` and `new` are the pseudo-headers
    (empty for ICMPv4). A quoted message without the whole field has nothing to correct.
    """
    at = _ICMP_CHECKSUM_OFFSET
    if len(message) < at + 2:
        return translated
    field = update(int.from_bytes(message[at : at + 2]), old + message, new + translated)
    return _replace_field(translated, at, field)


def translate_echo(message: bytes, types: Mapping[int, int], old: bytes, new: bytes) -> bytes:
    """Return an ICMP echo or echo reply, at least its first byte, in the other family."""
    return translate_icmp(message, bytes((types[message[0]],)) + message[1:], old, new)


def _replace_field(message: bytes, at: int, field: int) -> bytes:
    return message[:at] + field.to_bytes(2) + message[at + 2 :]
