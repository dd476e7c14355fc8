# SPDX-License-Identifier: Apache-2.0
"""What there is of the announcements of pool4 in the kernel: routes, and proxies of ARP."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from sixlane.net import neigh, route

PROTOCOL = 64
"""Of our routes and proxies, as `ip route` and BIRD's `krt_source` have it."""


@dataclass(frozen=True)
class Announced:
    """`routes`: networks, each with the index of the device that it leads to; None: unreachable.
    `proxies`: addresses that ARP is answered for, each with the index of the device."""

    routes: frozenset[tuple[IPv4Network, int | None]] = frozenset()
    proxies: frozenset[tuple[int, IPv4Address]] = frozenset()


NOTHING = Announced()


def observe_announced() -> Announced:
    """What there is of ours in the calling thread's network namespace."""
    routes = route.list_routes(version=4, proto=PROTOCOL)
    return Announced(
        frozenset(
            (one.dst, None if one.type == route.UNREACHABLE else one.ifindex)
            for one in routes
            if isinstance(one.dst, IPv4Network)
        ),
        frozenset(neigh.list_proxies(PROTOCOL)),
    )
