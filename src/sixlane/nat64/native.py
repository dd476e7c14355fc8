# SPDX-License-Identifier: Apache-2.0
"""Routes that are more specific than what translates their addresses (RFC 7915 4.6, 5.6).

Packets to them are forwarded as they are. The kernel knows the routes, and the data path looks at
its own tables only, so that the two are brought together here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from struct import Struct

from sixlane.model import Gateway, Prefix
from sixlane.model.eam import ROW
from sixlane.net import unicast
from sixlane.net.unicast import Destination
from sixlane.rfc import rfc6052
from sixlane.rfc.rfc7757 import Eam

Network = IPv4Network | IPv6Network

_ADDRESS4 = Struct("!I")


@dataclass(eq=False)
class Reach:
    """Which routes matter to a Gateway: those inside of what it translates.

    `digest` tells it from others without being built.
    """

    digest: bytes = b""
    nets4: "_Nets" = field(default_factory=lambda: _Nets(32))
    nets6: "_Nets" = field(default_factory=lambda: _Nets(128))

    @classmethod
    def of(cls, gateway: Gateway | None) -> "Reach":
        reach = cls(cls.digest_of(gateway))
        for prefix in gateway.spec.prefixes if gateway else ():
            reach.nets6.add(int(prefix.prefix.network_address), prefix.prefix.prefixlen)
            for (address,), length in zip(
                _ADDRESS4.iter_unpack(prefix.ipv4.packed), prefix.ipv4.lengths, strict=True
            ):
                reach.nets4.add(address, length)
            for ipv6, ipv4, length4, length6, remote in ROW.iter_unpack(prefix.eam.packed):
                if remote:
                    reach.nets6.add(int.from_bytes(ipv6), length6)
                else:
                    reach.nets4.add(int.from_bytes(ipv4), length4)
        return reach

    @staticmethod
    def digest_of(gateway: Gateway | None) -> bytes:
        parts = [
            str(prefix.prefix).encode() + prefix.ipv4.digest + prefix.eam.digest
            for prefix in (gateway.spec.prefixes if gateway else ())
        ]
        return b" ".join(parts)

    def has(self, one: Destination) -> bool:
        """Whether it lies in a network that is translated, and is smaller than that."""
        return (self.nets4 if one.version == 4 else self.nets6).hold(one.address, one.length)

    def has_route(self, message: bytes) -> bool:
        """The same of a route as the kernel tells of it."""
        one = unicast.destination_of(message)
        return one is not None and self.has(one)


def native_routes(reach: Reach) -> tuple[Network, ...]:
    """Where the kernel has a route for smaller networks than are translated, rising."""
    return tuple(
        IPv4Network((one.address, one.length))
        if one.version == 4
        else IPv6Network((one.address, one.length))
        for one in unicast.destinations(reach.has)
    )


def only_native_by_route(prefixes: Sequence[Prefix], native: Iterable[Network]) -> list[Network]:
    """Without the routes to nodes inside by their own addresses, which nobody would translate."""
    return [
        one
        for one in native
        if not (
            isinstance(one, IPv6Network)
            and any(_leads_to_nodes(one, prefix) for prefix in prefixes)
        )
    ]


def _leads_to_nodes(route: IPv6Network, prefix: Prefix) -> bool:
    if not route.subnet_of(prefix.prefix):
        return False
    ipv4 = embedded(route, prefix.prefix)
    return ipv4 is not None and prefix.ipv4.spans.cover(ipv4)


def embedded(route: IPv6Network, pool6: IPv6Network) -> IPv4Network | None:
    """The IPv4 addresses whose form under `pool6` a route inside of it leads to; None: no form is
    like that."""
    ipv4 = rfc6052.extract(pool6, route.network_address)
    if rfc6052.embed(pool6, ipv4) != route.network_address:
        return None
    u_octet = min(max(route.prefixlen - 64, 0), 8) if pool6.prefixlen <= 64 else 0
    length = min(32, route.prefixlen - pool6.prefixlen - u_octet)
    return IPv4Network((ipv4, length), strict=False)


def holes(prefixes: Sequence[Prefix], native: Iterable[Network]) -> list[Eam]:
    """Routes inside of what remote mappings translate, as mappings of nodes inside.

    That is what they are: packets to them pass, and whatever they send means the same as before.
    """
    inside = [one for one in native if isinstance(one, IPv6Network) and _is_outside(one, prefixes)]
    if not inside:
        return []
    by_ipv6 = {
        (ipv6, length6): Eam(IPv4Network((ipv4, length4)), IPv6Network((ipv6, length6)), remote)
        for prefix in prefixes
        for ipv6, ipv4, length4, length6, remote in ROW.iter_unpack(prefix.eam.packed)
    }
    found = []
    for route in inside:
        around = (route.supernet(new_prefix=bits) for bits in range(route.prefixlen, 0, -1))
        keys = ((one.network_address.packed, one.prefixlen) for one in around)
        eam = next((by_ipv6[key] for key in keys if key in by_ipv6), None)
        if eam and eam.remote and eam.ipv6 != route:
            length4 = min(32, eam.ipv4.prefixlen + route.prefixlen - eam.ipv6.prefixlen)
            ipv4 = eam.to_ipv4(route.network_address)
            found.append(Eam(IPv4Network((ipv4, length4)), route))
    return found


def _is_outside(route: IPv6Network, prefixes: Sequence[Prefix]) -> bool:
    return not any(route.subnet_of(prefix.prefix) for prefix in prefixes)


@dataclass(eq=False)
class _Nets:
    """Networks of one family, by number."""

    bits: int
    by_length: dict[int, set[int]] = field(default_factory=dict)

    def add(self, address: int, length: int) -> None:
        self.by_length.setdefault(length, set()).add(address >> (self.bits - length))

    def hold(self, address: int, length: int) -> bool:
        """Whether one holds a smaller one."""
        return any(
            own < length and address >> (self.bits - own) in numbers
            for own, numbers in self.by_length.items()
        )
