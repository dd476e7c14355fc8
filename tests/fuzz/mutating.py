# SPDX-License-Identifier: Apache-2.0
"""One packet, or two, made into another: mostly still good enough to get far."""

import random
from collections.abc import Callable

from sixlane.rfc.checksum import checksum
from tests.diff.mutations import put

BYTES_MAX = 2200
"""No packet grows beyond: a test run takes a page, and ICMP errors end at 2,000 bytes."""

_BYTES = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    11,
    12,
    17,
    43,
    44,
    51,
    58,
    59,
    60,
    63,
    64,
    127,
    128,
    129,
    254,
    255,
)
_WORDS = (
    *(0, 1, 4, 7, 8, 16, 19, 20, 28, 32, 39, 40, 48, 68, 128, 576, 1240, 1252, 1260, 1279, 1280),
    *(
        1281,
        1480,
        1500,
        1501,
        0x1FFF,
        0x2000,
        0x3FFF,
        0x4000,
        0x7FFF,
        0x8000,
        0xFFF8,
        0xFFFE,
        0xFFFF,
    ),
)

# Where the fields of a header are, and how long.
_FIELDS4 = (
    (0, 1),
    (1, 1),
    (2, 2),
    (4, 2),
    (6, 2),
    (8, 1),
    (9, 1),
    *((at, 2) for at in range(10, 20, 2)),
)
_FIELDS6 = ((0, 1), (1, 1), (2, 2), (4, 2), (6, 1), (7, 1), *((at, 2) for at in range(8, 40, 2)))
_UPPER = ((0, 1), (1, 1), (2, 2), (4, 2), (5, 1), (6, 2), (12, 1), (13, 1), (16, 2), (20, 2))

Change = Callable[[random.Random, bytearray, bytes], None]


def _header_bytes(packet: bytes | bytearray) -> int:
    """Of the first header, as far as it can be told."""
    if not packet:
        return 0
    return 40 if packet[0] >> 4 == 6 else max(20, (packet[0] & 15) * 4)


def _flip(rng: random.Random, packet: bytearray, _: bytes) -> None:
    packet[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)


def _flip_early(rng: random.Random, packet: bytearray, _: bytes) -> None:
    packet[rng.randrange(min(len(packet), 96))] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, packet: bytearray, at: int, size: int) -> None:
    """A field at a boundary, or next to what it was."""
    if at + size > len(packet):
        return
    was = int.from_bytes(packet[at : at + size])
    chosen = rng.choice(_BYTES if size == 1 else _WORDS)
    value = was + rng.choice((-8, -4, -1, 1, 4, 8)) if rng.random() < 0.4 else chosen
    packet[at : at + size] = (value % (1 << 8 * size)).to_bytes(size)


def _set_header(rng: random.Random, packet: bytearray, _: bytes) -> None:
    fields = _FIELDS6 if packet[0] >> 4 == 6 else _FIELDS4
    _set(rng, packet, *rng.choice(fields))


def _set_upper(rng: random.Random, packet: bytearray, _: bytes) -> None:
    at, size = rng.choice(_UPPER)
    _set(rng, packet, _header_bytes(packet) + at, size)


def _set_quoted(rng: random.Random, packet: bytearray, _: bytes) -> None:
    """In the header that an ICMP error quotes, or in what is behind it."""
    quote = _header_bytes(packet) + 8
    if quote >= len(packet):
        return
    if rng.random() < 0.5:
        at, size = rng.choice(_FIELDS6 if packet[quote] >> 4 == 6 else _FIELDS4)
    else:
        at, size = rng.choice(_UPPER)
        at += _header_bytes(packet[quote:])
    _set(rng, packet, quote + at, size)


def _set_anywhere(rng: random.Random, packet: bytearray, _: bytes) -> None:
    size = rng.choice((1, 2))
    _set(rng, packet, rng.randrange(min(len(packet), 160)), size)


def _cut(rng: random.Random, packet: bytearray, _: bytes) -> None:
    del packet[rng.randrange(len(packet)) :]


def _take_out(rng: random.Random, packet: bytearray, _: bytes) -> None:
    at = rng.randrange(len(packet)) & ~3
    del packet[at : at + rng.choice((4, 8, 20, 40))]


def _put_in(rng: random.Random, packet: bytearray, _: bytes) -> None:
    """Options, extension headers, an RFC 4884 extension, or noise where they would be."""
    at = min(len(packet), rng.choice((20, 40, 48, _header_bytes(packet) + 8, len(packet))))
    packet[at:at] = rng.choice(
        (
            rng.randbytes(8),
            bytes(rng.choice((4, 8, 128, 600))),
            bytes((rng.choice((6, 17, 58, 60)), 0)) + rng.randbytes(6),
            bytes((44, 0, 0, 0)) + rng.randbytes(4),
            b"\x20\0\0\0\0\x08\x01\x01" + rng.randbytes(4),
        )
    )


def _splice(rng: random.Random, packet: bytearray, other: bytes) -> None:
    """This one's beginning, the other one's end."""
    at = rng.choice((_header_bytes(packet), _header_bytes(packet) + 8, rng.randrange(len(packet))))
    packet[at:] = other[rng.choice((at, _header_bytes(other), _header_bytes(other) + 8, 0)) :]


def _quote(rng: random.Random, packet: bytearray, other: bytes) -> None:
    """This one's header and the first 8 bytes behind it, then the other one as the quote."""
    packet[_header_bytes(packet) + 8 :] = other


def _turn(rng: random.Random, packet: bytearray, _: bytes) -> None:
    """Source and destination change places."""
    at, size = (8, 16) if packet[0] >> 4 == 6 else (12, 4)
    if len(packet) >= at + 2 * size:
        ends = packet[at : at + 2 * size]
        packet[at : at + 2 * size] = ends[size:] + ends[:size]


def _take_ends(rng: random.Random, packet: bytearray, other: bytes) -> None:
    """One of the other one's addresses."""
    if not other or other[0] >> 4 != packet[0] >> 4:
        return
    first, size = (8, 16) if packet[0] >> 4 == 6 else (12, 4)
    at = first + size * rng.randrange(2)
    if min(len(packet), len(other)) >= first + 2 * size:
        packet[at : at + size] = other[at : at + size]


_CHANGES: tuple[Change, ...] = (
    _flip,
    _flip_early,
    _set_header,
    _set_header,
    _set_header,
    _set_upper,
    _set_upper,
    _set_quoted,
    _set_quoted,
    _set_anywhere,
    _cut,
    _take_out,
    _put_in,
    _splice,
    _quote,
    _turn,
    _take_ends,
)


def mutant(rng: random.Random, packet: bytes, other: bytes) -> bytes:
    """Return `packet` changed in one to four ways, `other` being at hand; mostly mended."""
    changed = bytearray(packet)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        if not changed:
            break
        rng.choice(_CHANGES)(rng, changed, other)
    mended = bytes(changed[:BYTES_MAX])
    chance = rng.random()
    if chance < 0.7:
        mended = _true_length(mended)
    if chance < 0.9:
        mended = _true_header_checksum(mended)
    return _true_icmp_checksum(mended) if rng.random() < 0.3 else mended


def _true_length(packet: bytes) -> bytes:
    if len(packet) < 40 or packet[0] >> 4 not in (4, 6):
        return packet
    return put(packet, 2, len(packet)) if packet[0] >> 4 == 4 else put(packet, 4, len(packet) - 40)


def _true_header_checksum(packet: bytes) -> bytes:
    size = (packet[0] & 15) * 4 if packet and packet[0] >> 4 == 4 else 0
    if not 20 <= size <= len(packet):
        return packet
    return put(packet, 10, checksum(packet[:10] + b"\0\0" + packet[12:size]))


def _true_icmp_checksum(packet: bytes) -> bytes:
    """Of ICMPv4, which needs no pseudo-header; what else is wrong has to stay as wrong."""
    size = _header_bytes(packet)
    if len(packet) < size + 8 or packet[0] >> 4 != 4 or packet[9] != 1:
        return packet
    message = put(packet[size:], 2, 0)
    return packet[:size] + put(message, 2, checksum(message))
