# SPDX-License-Identifier: Apache-2.0
"""Where the RFCs leave a choice: what a translator was told."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal


@dataclass(frozen=True)
class Policy:
    """`tos`, `traffic_class`: of all translated packets, None: copied (RFC 7915 4.1, 5.1).

    `udp_compute`: IPv4 datagrams without a checksum get one, else they are dropped (4.5).
    `hairpin`: by the simple or the intrinsic rules of RFC 7757 section 4.2, None: not at all.
    `icmp_pool`: sources for ICMP errors from routers without an IPv4 address (RFC 6791), and
    `icmp_origin`: whether their IPv6 address is told (RFC 5837).
    """

    tos: int | None = None
    traffic_class: int | None = None
    udp_compute: bool = False
    hairpin: Literal["simple", "intrinsic"] | None = "simple"
    icmp_pool: tuple[IPv4Network, ...] = ()
    icmp_origin: bool = True
