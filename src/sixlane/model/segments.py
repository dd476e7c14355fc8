# SPDX-License-Identifier: Apache-2.0
"""What `maxSegmentSize` comes to with the devices there are, whoever has the key."""

from dataclasses import dataclass
from typing import Literal

MIN_SEGMENT, MAX_SEGMENT = 88, 65495

MaxSegment = int | Literal["auto"] | None
"""As a resource has it."""


@dataclass(frozen=True)
class Segments:
    """The MSS that TCP SYNs may offer, in bytes. `auto`: what fits the devices; `unasked`: where
    nothing is said; 0: whatever they do."""

    auto: int
    unasked: int = 0

    @classmethod
    def within(cls, mtu: int, *, big_tcp: bool = False) -> "Segments":
        """`mtu`: of the narrowest device, in bytes; `big_tcp`: one has packets of IPv6 above
        64 KiB."""
        fits = largest_for_big_tcp(mtu)
        return cls(fits, fits if big_tcp else 0)

    def of(self, asked: MaxSegment) -> int:
        """0: no limit."""
        if asked is None:
            return self.unasked
        return self.auto if asked == "auto" else asked


def largest_for_big_tcp(mtu: int) -> int:
    """The MSS with which BIG TCP of IPv6 passes kernels that forward it, in bytes.

    They count the jumbo header (RFC 2675 section 2), 8 bytes, into each segment. On a link so small
    that nothing is left, it is the least that senders obey.
    """
    ipv6_header, tcp_header, jumbo_header = 40, 20, 8
    return min(max(mtu - ipv6_header - tcp_header - jumbo_header, MIN_SEGMENT), MAX_SEGMENT)
