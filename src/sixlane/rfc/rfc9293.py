# SPDX-License-Identifier: Apache-2.0
"""RFC 9293 section 3.7.1: the maximum segment size that a SYN offers, lowered by the translator."""

from typing import Final

from sixlane.rfc.checksum import update

_HEADER_BYTES: Final = 20
_FLAGS, _SYN = 13, 0x02
_CHECKSUM = slice(16, 18)
_END, _NOP, _MSS = 0, 1, 2
_MSS_BYTES: Final = 4


def clamp(segment: bytes, most: int | None) -> bytes:
    """Return a TCP segment whose first MSS option offers `most` bytes or less; None: as it is.

    Only SYNs offer one. A list of options that is garbled is not read further. The checksum
    follows; a wrong one stays as wrong.
    """
    if most is None or not segment[_FLAGS] & _SYN:
        return segment
    at = _find_mss(segment)
    if at is None or int.from_bytes(segment[at : at + 2]) <= most:
        return segment
    clamped = segment[:at] + most.to_bytes(2) + segment[at + 2 :]
    field = update(int.from_bytes(segment[_CHECKSUM]), segment, clamped)
    return clamped[: _CHECKSUM.start] + field.to_bytes(2) + clamped[_CHECKSUM.stop :]


def _find_mss(segment: bytes) -> int | None:
    """Where the value of the first MSS option stands."""
    at, end = _HEADER_BYTES, min((segment[12] >> 4) * 4, len(segment))
    while at < end and segment[at] != _END:
        if segment[at] == _NOP:
            at += 1
            continue
        if at + 2 > end:
            return None
        length = segment[at + 1]
        if length < 2 or at + length > end:
            return None
        if segment[at] == _MSS and length == _MSS_BYTES:
            return at + 2
        at += length
    return None
