# SPDX-License-Identifier: Apache-2.0
"""RFC 4884: what is behind the quote of an ICMP error, and how long all of it may be.

The length of the quote stands in the ICMP header, in words of 32 bits in ICMPv4 and of 64 bits in
ICMPv6. The quote then has at least 128 bytes, and what follows is the extension.
"""

from dataclasses import dataclass
from typing import Final

from sixlane.rfc.outcome import DropReason, Refused

SHORTEST_QUOTE: Final = 128
SHORTEST_EXTENSION: Final = 4

UNIT4: Final = 4
UNIT6: Final = 8

LARGEST_RECEIVED: Final = 2000
"""Bytes of a whole ICMP error; RFC 1812 and RFC 4443 allow 576 and 1,280."""

_EXTENSIBLE4: Final = frozenset({3, 11, 12})
_EXTENSIBLE6: Final = frozenset({1, 3})
_HEADER_BYTES: Final = 8


@dataclass(frozen=True)
class Body:
    """What follows the 8 bytes of an ICMP header."""

    quote: bytes
    extension: bytes = b""


def is_extensible4(icmp_type: int, code: int | None = None) -> bool:
    """Tell whether an ICMPv4 message has a length; `code` where it has to go into ICMPv6 or come
    from there: Fragmentation Needed has no extensible counterpart."""
    return icmp_type in _EXTENSIBLE4 and (icmp_type, code) != (3, 4)


def is_extensible6(icmp_type: int) -> bool:
    """Tell whether an ICMPv6 message has a length."""
    return icmp_type in _EXTENSIBLE6


def split4(message: bytes) -> Body:
    """Take an ICMPv4 error apart. Refused: MALFORMED if its length cannot be."""
    extensible = message[0] in _EXTENSIBLE4
    return _split(message, message[5] * UNIT4 if extensible else 0)


def split6(message: bytes) -> Body:
    """Take an ICMPv6 error apart. Refused: MALFORMED if its length cannot be."""
    return _split(message, message[4] * UNIT6 if is_extensible6(message[0]) else 0)


def _split(message: bytes, length: int) -> Body:
    body = message[_HEADER_BYTES:]
    if length == 0:
        return Body(body)
    if length < SHORTEST_QUOTE or length + SHORTEST_EXTENSION > len(body):
        raise Refused(DropReason.MALFORMED)
    return Body(body[:length], body[length:])


def fit(body: Body, *, extensible: bool, room: int, unit: int) -> tuple[Body, int]:
    """Return what fits into `room` bytes, and the length for the ICMP header.

    An extension has a checksum of its own, so it is kept whole or not at all; the quote gives way
    down to 128 bytes, and is filled up with zeros to a multiple of `unit`.
    """
    extension = body.extension if extensible else b""
    if not extension or SHORTEST_QUOTE + len(extension) > room:
        return Body(body.quote[:room]), 0
    whole = max(SHORTEST_QUOTE, -(-len(body.quote) // unit) * unit)
    length = min(whole, (room - len(extension)) // unit * unit)
    return Body(body.quote[:length].ljust(length, b"\0"), extension), length // unit
