# SPDX-License-Identifier: Apache-2.0
"""What one translation needs to know beside the packet and the addresses."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Path:
    """MTUs in bytes of the next hops of either family, and what a packet does not carry.

    `identification`: the next value of the IPv4 identification generator.
    `segment_bytes`: data in each segment of a super-packet, None for an ordinary packet.
    `pool_pick`: which address of RFC 6791's pool is drawn.
    """

    mtu4: int
    mtu6: int
    lowest_ipv6_mtu: int
    identification: int
    segment_bytes: int | None
    pool_pick: int = 0
