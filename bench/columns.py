# SPDX-License-Identifier: Apache-2.0
"""Frames by the million: copies of one, and what differs as a column of numbers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

# Where fields are in a frame: IPv4's and IPv6's addresses, then the transport header, and in there
# UDP's and TCP's checksums.
SUM4, SOURCE4, DESTINATION4, UPPER4 = 24, 26, 30, 34
SOURCE6, DESTINATION6, UPPER6 = 22, 38, 54
UDP_SUM, TCP_FLAGS, TCP_SUM = 6, 13, 16
_HEADER4 = slice(14, UPPER4)
_SEED = 2


def copies(frame: bytes, count: int) -> "Bytes":
    return np.tile(np.frombuffer(frame, np.uint8), (count, 1))


def put(frames: "Bytes", at: int, values: Any, size: int) -> None:
    """A number of that many bytes into each frame."""
    column = np.broadcast_to(np.asarray(values), (len(frames),)).astype(f">u{size}")
    frames[:, at : at + size] = column.view(np.uint8).reshape(-1, size)


def put_sums4(frames: "Bytes", protocol: int, upper_sum: int) -> None:
    """Checksums of IPv4, and of what is behind: an even number of bytes, with it at `upper_sum`."""
    _put_sum(frames, SUM4, _HEADER4, 0)
    upper_bytes = frames.shape[1] - UPPER4
    _put_sum(frames, UPPER4 + upper_sum, slice(SOURCE4, None), protocol + upper_bytes)


def put_sums6(frames: "Bytes", protocol: int, upper_sum: int) -> None:
    """The checksum behind IPv6."""
    upper_bytes = frames.shape[1] - UPPER6
    _put_sum(frames, UPPER6 + upper_sum, slice(SOURCE6, None), protocol + upper_bytes)


def frames_of(frames: "Bytes") -> list[bytes]:
    return [frame.tobytes() for frame in frames]


def shuffled(frames: Sequence[bytes]) -> list[bytes]:
    order = np.random.default_rng(_SEED).permutation(len(frames))
    return [frames[number] for number in order]


def _put_sum(frames: "Bytes", at: int, of: slice, more: int) -> None:
    """The checksum (RFC 1071) of that part, and of `more`."""
    frames[:, at : at + 2] = 0
    part = np.ascontiguousarray(frames[:, of])
    total = part.view(">u2").sum(axis=1, dtype=np.uint64) + more
    for _ in range(3):
        total = (total & 0xFFFF) + (total >> 16)
    put(frames, at, 0xFFFF - total, 2)
