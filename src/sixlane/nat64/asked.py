# SPDX-License-Identifier: Apache-2.0
"""Who asks for which addresses to be announced, and how: entries of pool4, and services."""

from collections.abc import Iterable, Iterator, Sequence, Set
from ipaddress import ip_network
from typing import Literal, NamedTuple

from sixlane.model import Pool4, Service
from sixlane.model.addresses import AnyAddress, AnyNetwork
from sixlane.model.packed import unpacked_address

_ADDRESS = 16
_SHOWN = 4


class Ask(NamedTuple):
    """`l2`: whoever asks the link is answered; `route`: there is one, for a routing daemon."""

    way: Literal["l2", "route"]
    network: AnyNetwork


def asks_of_pools(pools: Iterable[Pool4]) -> Iterator[Ask]:
    for pool in pools:
        if pool.announce != "none":
            yield from (Ask(pool.announce, network) for network in pool.ipv4)


def asks_of_services(
    services: Iterable[Service], local: Set[AnyAddress] = frozenset()
) -> Iterator[Ask]:
    """Each address of a service once. `local`: addresses of the host, which answers by itself."""
    for service in services:
        announce = service.spec.announce
        if announce == "none":
            continue
        rows = service.spec.frontends.rows
        for packed in dict.fromkeys(row[:_ADDRESS] for row in rows):
            address = unpacked_address(packed)
            if address not in local:
                yield Ask(announce, ip_network(address))


def shown(network: AnyNetwork) -> str:
    """An address without its length."""
    one = network.prefixlen == network.max_prefixlen
    return str(network.network_address if one else network)


def listed(networks: Sequence[AnyNetwork]) -> str:
    """The first few, and how many more."""
    more = f" and {len(networks) - _SHOWN} more" if len(networks) > _SHOWN else ""
    return ", ".join(map(shown, networks[:_SHOWN])) + more
