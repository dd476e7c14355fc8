# SPDX-License-Identifier: Apache-2.0
"""The internet checksum (RFC 1071) and its incremental update (RFC 1624).

A sum of 16-bit words with end-around carry is a sum modulo 0xffff, and 2**16 is 1 modulo
0xffff. So the bytes, read as one big-endian number, already are their own sum.
"""

from typing import Final

MODULUS: Final = 0xFFFF


def _number(data: bytes) -> int:
    """Bytes as one number, an odd last byte padded with a zero byte as RFC 1071 asks."""
    return int.from_bytes(data) << (8 * (len(data) % 2))


def fold(total: int) -> int:
    """Fold carries into 16 bits. Zero stays zero; a positive number folds into 1..0xffff."""
    return (total - 1) % MODULUS + 1 if total else 0


def checksum(data: bytes) -> int:
    """Return the internet checksum of `data`, whose own checksum field holds zero."""
    return MODULUS - fold(_number(data))


def verifies(data: bytes) -> bool:
    """Tell whether `data`, its checksum field included, has a right internet checksum."""
    return fold(_number(data)) == MODULUS


def update(field: int, old: bytes, new: bytes) -> int:
    """Return the checksum field after `old` bytes were replaced by `new` ones.

    RFC 1624 equation 3: HC' = ~(~HC + ~m + m'). The field stays exactly as it is when the two
    sums are equal modulo 0xffff (both zeros of ones' complement then remain what they were).
    A field that was wrong before is as wrong afterwards.
    """
    delta = (_number(new) - _number(old)) % MODULUS
    if delta == 0:
        return field
    return MODULUS - fold((MODULUS - field) + delta)
