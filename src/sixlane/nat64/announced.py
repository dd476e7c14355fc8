# SPDX-License-Identifier: Apache-2.0
"""What there is of our announcements in the kernel: routes, and proxies of ARP and neighbour
discovery."""

from dataclasses import dataclass

from sixlane.model.addresses import AnyAddress, AnyNetwork
from sixlane.nat64.settings import EVERY, PROXY_NDP, read_setting
from sixlane.net import neigh, route

PROTOCOL = 64
"""Of our routes and proxies, as `ip route` and BIRD's `krt_source` have it."""


@dataclass(frozen=True)
class Announced:
    """`routes`: networks, each with the index of the device that it leads to; None: unreachable.
    `proxies`: addresses that the link is answered for, each with the index of the device; `mute`:
    devices of these, and EVERY, on which the kernel is told not to answer for IPv6."""

    routes: frozenset[tuple[AnyNetwork, int | None]] = frozenset()
    proxies: frozenset[tuple[int, AnyAddress]] = frozenset()
    mute: frozenset[int] = frozenset()


NOTHING = Announced()


def observe_announced() -> Announced:
    """What there is of ours in the calling thread's network namespace."""
    proxies = frozenset(neigh.list_proxies(PROTOCOL))
    devices = {ifindex for ifindex, address in proxies if address.version == 6}
    return Announced(
        frozenset(
            (one.dst, None if one.type == route.UNREACHABLE else one.ifindex)
            for one in route.list_routes(proto=PROTOCOL)
        ),
        proxies,
        frozenset(
            ifindex
            for ifindex in (*devices, *([EVERY] if devices else ()))
            if read_setting(ifindex, PROXY_NDP) == "0"
        ),
    )
