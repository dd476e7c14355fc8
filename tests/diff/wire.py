# SPDX-License-Identifier: Apache-2.0
"""Packets of the stateful reference as bytes, of either family, and what of bytes is compared.

A packet and what it is translated to are written from two tuples and one `Shape`, so that all that
has to stay the same is the same.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from sixlane.rfc import icmp
from sixlane.rfc.checksum import checksum, verifies
from sixlane.rfc.rfc6146 import (
    Flags,
    Icmp4Error,
    Icmp6Error,
    Other4,
    Other6,
    OwnError,
    Packet4,
    Packet6,
    Protocol,
)

Any4 = Packet4 | Icmp4Error | Other4
Any6 = Packet6 | Icmp6Error | Other6

TCP, UDP, ICMP4, ICMP6, GRE = 6, 17, 1, 58, 47
_TOS, _LABEL, _ID = 0x2E, 0x54321, 0x1234
LIMIT: Final = 61
_NUMBERS = {Protocol.TCP: TCP, Protocol.UDP: UDP}
_ECHO = {4: (0, 8), 6: (129, 128)}


@dataclass(frozen=True)
class Shape:
    """What no session depends on: data, TCP flags of no meaning, the direction of an echo, which
    ICMP error (as IPv4 has it)."""

    data: bytes = b"data"
    more_flags: int = 0
    is_request: bool = True
    error: tuple[int, int] = (icmp.UNREACHABLE4, 1)


def write(packet: Any4 | Any6, shape: Shape, limit: int = LIMIT) -> bytes:
    """The packet as it is sent; `limit`: TTL or hop limit."""
    match packet:
        case Packet4() | Packet6():
            source, destination = packet.source.address, packet.destination.address
            number, upper = _transport(packet, shape)
        case Icmp4Error() | Icmp6Error():
            source, destination = packet.source, packet.destination
            number, upper = _error(packet, shape)
        case Other4() | Other6():
            source, destination = packet.source, packet.destination
            number, upper = GRE, b"\0\0\x08\0" + shape.data
    return _ip(source, destination, number, upper, limit)


def own_error(error: OwnError, about: bytes, source: IPv4Address | IPv6Address) -> bytes:
    """An error of the gateway's own from `source` about a packet that was sent as `about`."""
    four = about[0] >> 4 == 4
    sender = about[12:16] if four else about[8:24]
    destination = IPv4Address(sender) if four else IPv6Address(sender)
    upper = bytes((error.type, error.code)) + bytes(6) + about
    return _ip(source, destination, ICMP4 if four else ICMP6, upper, 64)


def probe(packet: Packet6) -> bytes:
    """A segment with that tuple, numbers and window of 0 and ACK alone."""
    ports = packet.source.port.to_bytes(2) + packet.destination.port.to_bytes(2)
    segment = ports + bytes(8) + b"\x50\x10" + bytes(6)
    return _ip(packet.source.address, packet.destination.address, TCP, segment, 64)


def canonical(packet: bytes) -> bytes:
    """What is compared. AssertionError for a checksum that is wrong.

    Left out are checksums, which may be either zero, identification, DF, and the flow label.
    """
    if packet[0] >> 4 == 4:
        total = int.from_bytes(packet[2:4])
        assert verifies(packet[:20]), f"checksum of the IPv4 header: {packet.hex()}"
        head = packet[:4] + b"...." + packet[8:10] + b".." + packet[12:20]
        number, upper, pseudo = packet[9], packet[20:total], packet[12:20]
    else:
        total = 40 + int.from_bytes(packet[4:6])
        # Traffic class and what follows the flow label.
        head = packet[:1] + bytes((packet[1] & 0xF0,)) + b".." + packet[4:40]
        number, upper, pseudo = packet[6], packet[40:total], packet[8:40]
    assert len(packet) >= total, f"cut short: {packet.hex()}"
    return head + _canonical_upper(number, upper, b"" if number == ICMP4 else pseudo)


def is_from(packet: bytes, source: IPv4Address | IPv6Address) -> bool:
    """Tell whether a packet of either family has this source."""
    return source.packed == (packet[12:16] if packet[0] >> 4 == 4 else packet[8:24])


def _canonical_upper(number: int, upper: bytes, pseudo: bytes) -> bytes:
    place = {TCP: 16, UDP: 6, ICMP4: 2, ICMP6: 2}.get(number)
    if place is None:
        return upper
    ends = pseudo and pseudo + len(upper).to_bytes(4) + number.to_bytes(4)
    assert verifies(ends + upper), f"checksum of {number}: {upper.hex()}"
    assert number != UDP or upper[6:8] != b"\0\0", "no UDP checksum"
    rest = upper[place + 2 :]
    is_error = icmp.is_error4 if number == ICMP4 else icmp.is_error6
    if number in (ICMP4, ICMP6) and is_error(upper[0]):
        rest = upper[4:8] + canonical(upper[8:])
    return upper[:place] + b".." + rest


def _ip(
    source: IPv4Address | IPv6Address,
    destination: IPv4Address | IPv6Address,
    number: int,
    upper: bytes,
    limit: int,
) -> bytes:
    ends = source.packed + destination.packed
    place = {TCP: 16, UDP: 6, ICMP4: 2, ICMP6: 2}.get(number)
    if place is not None:
        pseudo = b"" if number == ICMP4 else ends + len(upper).to_bytes(4) + number.to_bytes(4)
        total = checksum(pseudo + upper)
        if number == UDP and total == 0:
            total = 0xFFFF
        upper = upper[:place] + total.to_bytes(2) + upper[place + 2 :]
    if source.version == 6:
        tos = 0 if limit == 64 else _TOS
        word = 6 << 28 | tos << 20 | _LABEL
        return word.to_bytes(4) + len(upper).to_bytes(2) + bytes((number, limit)) + ends + upper
    tos = 0xC0 if limit == 64 else _TOS
    head = bytes((0x45, tos)) + (20 + len(upper)).to_bytes(2) + _ID.to_bytes(2)
    head += b"\x40\0" + bytes((limit, number))
    return head + checksum(head + b"\0\0" + ends).to_bytes(2) + ends + upper


def _transport(packet: Packet4 | Packet6, shape: Shape) -> tuple[int, bytes]:
    """Its number and the header with data; the checksum is left out."""
    ports = packet.source.port.to_bytes(2) + packet.destination.port.to_bytes(2)
    if packet.protocol is Protocol.ICMP:
        version = packet.source.address.version
        kind = _ECHO[version][shape.is_request]
        number = ICMP4 if version == 4 else ICMP6
        return number, bytes((kind, 0, 0, 0)) + ports[:2] + b"\0\x09" + shape.data
    if packet.protocol is Protocol.UDP:
        return UDP, ports + (8 + len(shape.data)).to_bytes(2) + b"\0\0" + shape.data
    flags = bytes((0x50, _tcp_flags(packet.flags) | shape.more_flags))
    return TCP, ports + b"\1\2\3\4\5\6\7\x08" + flags + b"\x20\0\0\0\0\0" + shape.data


def _tcp_flags(flags: Flags) -> int:
    return flags.fin | flags.syn << 1 | flags.rst << 2 | flags.ack << 4


def _error(packet: Icmp4Error | Icmp6Error, shape: Shape) -> tuple[int, bytes]:
    kind, code = shape.error
    if isinstance(packet, Icmp6Error):
        error = icmp.error_46(kind, code, 0)
        assert error is not None
        kind, code = error.type, error.code
    number = ICMP4 if isinstance(packet, Icmp4Error) else ICMP6
    if packet.quoted is not None:
        quoted = write(packet.quoted, shape, limit=3)
    else:  # another error
        address = packet.destination
        about = _ip(address, packet.source, GRE, shape.data + bytes(8), 3)
        nested = bytes((kind, code)) + bytes(6) + about
        quoted = _ip(address, packet.source, number, nested, 3)
    return number, bytes((kind, code)) + bytes(6) + quoted
