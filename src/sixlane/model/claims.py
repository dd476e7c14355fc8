# SPDX-License-Identifier: Apache-2.0
"""The addresses that `Service`s take for themselves: one service has each, and nobody else.

It is looked at with each change to any resource, so 10,000 services must take a few milliseconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from sixlane.model.addresses import AnyNetwork
from sixlane.model.dns64 import Dns64
from sixlane.model.frontends import PROTOCOLS, FrontendList
from sixlane.model.gateway import Gateway
from sixlane.model.load_balancer import MaxBalanced
from sixlane.model.network import Network
from sixlane.model.network_claims import ranges_of
from sixlane.model.packed import MAPPED, packed_address, unpacked_address
from sixlane.model.primes import usual_size
from sixlane.model.problem import Path, ResourceError
from sixlane.model.ranges import Spans
from sixlane.model.service import Service

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ADDRESS = 16
_ELSEWHERE = "a frontend has an address of its own"


def claims_alike(one: Service, other: Service) -> bool:
    """Whether `check_services` finds the same about both. Weights and states are no matter."""
    a, b = one.spec, other.spec
    return (
        a.frontends == b.frontends
        and (a.source, a.source_pool) == (b.source, b.source_pool)
        and (len(a.backends), a.ring_size) == (len(b.backends), b.ring_size)
    )


def check_services(
    services: Sequence[Service],
    gateway: Gateway | None,
    resolvers: Iterable[Dns64],
    network: Network | None,
) -> None:
    """Whether services go with each other, and with all else. Raises `ResourceError` about one."""
    frontends = _Frontends(services)
    _refuse_shared_frontends(frontends)
    _refuse_listeners(services, resolvers)
    blocks = _blocks_of(gateway) if gateway else []
    if network:
        blocks += _blocks_of_pods(network, blocks)
    blocks += _pools_of(services)
    blocks.sort(key=lambda block: block.first)
    _refuse_shared_pools(blocks)
    _refuse_frontends_in(blocks, frontends)
    if gateway:
        for prefix in gateway.spec.prefixes:
            for served in (prefix.ipv4.spans, prefix.eam.served):
                _refuse_served(blocks, frontends, served, prefix.name)
        _check_prefixes(services, gateway)
        balancer = gateway.spec.load_balancer
        _refuse_too_many(services, balancer.max if balancer else MaxBalanced())


@dataclass(frozen=True)
class _Block:
    """A range that somebody has: `what`, of a service or, if that is None, of `owner`."""

    network: AnyNetwork
    what: str
    owner: str = "the Gateway"
    service: Service | None = None
    order: int = -1  # of the service, among all

    @cached_property
    def first(self) -> bytes:
        return packed_address(self.network[0])

    @cached_property
    def last(self) -> bytes:
        return packed_address(self.network[-1])

    @property
    def whose(self) -> str:
        return f"{self.what} of {self.service.key if self.service else self.owner}"

    @property
    def path(self) -> Path:
        """In the service."""
        at = self.service.spec.source_pool.index(self.network) if self.service else 0
        return ("sourcePool", at)


class _Frontends:
    """Of all services: addresses in one array, which is quicker than one by one."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._lists = [service.spec.frontends for service in services]

    def shared(self) -> tuple[Service, Service, int] | None:
        """Two services that have the same one, and its index in the latter."""
        every = list(chain.from_iterable([one.rows for one in self._lists]))
        if len(set(every)) == len(every):
            return None
        owners: dict[bytes, Service] = {}
        return next(
            (owners[row], service, at)
            for service in self._services
            for at, row in enumerate(service.spec.frontends.rows)
            if owners.setdefault(row, service) is not service
        )

    @cached_property
    def addresses(self) -> "NDArray[np.bytes_]":
        import numpy as np

        size = FrontendList.ROW.size
        packed = b"".join([one.packed for one in self._lists])
        rows = np.frombuffer(packed, np.uint8).reshape(-1, size)[:, :_ADDRESS]
        return np.ascontiguousarray(rows).view(f"S{_ADDRESS}").ravel()

    @cached_property
    def ipv4(self) -> tuple["NDArray[np.intp]", "NDArray[np.uint64]"]:
        """Their indices, and as numbers."""
        import numpy as np

        rows = self.addresses.view(np.uint8).reshape(-1, _ADDRESS)
        of_ipv4 = (rows[:, :12] == np.frombuffer(MAPPED, np.uint8)).all(axis=1)
        numbers = np.ascontiguousarray(rows[of_ipv4, 12:]).view(">u4").ravel()
        return np.flatnonzero(of_ipv4), numbers.astype(np.uint64)

    def error(self, index: int, what: str, hint: str) -> ResourceError:
        """About the frontend of an index."""
        for service in self._services:
            if index < len(service.spec.frontends):
                break
            index -= len(service.spec.frontends)
        address = unpacked_address(service.spec.frontends.rows[index][:_ADDRESS])
        return _error(service, f"{address} {what}", ("frontends", index, "address"), hint)


def _error(service: Service, what: str, path: Path, hint: str) -> ResourceError:
    return ResourceError(what, ("spec", *path), hint, where=str(service.key))


def _refuse_shared_frontends(frontends: _Frontends) -> None:
    found = frontends.shared()
    if found:
        owner, service, at = found
        what = f"{owner.key} has {FrontendList.label(service.spec.frontends.rows[at])} already"
        raise _error(service, what, ("frontends", at), "a frontend belongs to one service")


def _refuse_listeners(services: Sequence[Service], resolvers: Iterable[Dns64]) -> None:
    listeners = {
        FrontendList.ROW.pack(packed_address(address), resolver.spec.port, protocol): resolver
        for resolver in resolvers
        for address in resolver.spec.listen
        for protocol in PROTOCOLS.values()
    }
    for service in services if listeners else ():
        for at, row in enumerate(service.spec.frontends.rows):
            if row in listeners:
                what = f"{listeners[row].key} listens on {FrontendList.label(row)}"
                raise _error(service, what, ("frontends", at), "another address or port")


def _pools_of(services: Sequence[Service]) -> list[_Block]:
    """Each `sourcePool` once: services may have the same one, but not parts of another's."""
    places = {id(service.spec.source_pool): at for at, service in enumerate(services)}
    first: dict[frozenset[AnyNetwork], int] = {}
    for at in places.values():
        first.setdefault(frozenset(services[at].spec.source_pool), at)
    return [
        _Block(network, "sourcePool", service=services[at], order=at)
        for at in first.values()
        for network in services[at].spec.source_pool
    ]


def _blocks_of(gateway: Gateway) -> list[_Block]:
    """What a Gateway has by ranges that do not overlap."""
    pool6: Iterable[IPv6Network] = (one.prefix for one in gateway.spec.prefixes)
    pool4: Iterable[IPv4Network] = (one for pool in gateway.spec.pool4 for one in pool.ipv4)
    return [
        *(_Block(network, "pool6") for network in collapse_addresses(pool6)),
        *(_Block(network, "pool4") for network in collapse_addresses(pool4)),
    ]


def _blocks_of_pods(network: Network, pool6: Sequence[_Block]) -> list[_Block]:
    """What pods may get. What lies in pool6 as a whole is nobody's for that reason already."""
    blocks = [_Block(one, what, str(network.key)) for what, one in ranges_of(network)]
    return [
        block
        for block in blocks
        if not any(one.first <= block.first and block.last <= one.last for one in pool6)
    ]


def _refuse_shared_pools(blocks: Sequence[_Block]) -> None:
    """Ranges are inside each other or apart, so neighbours tell."""
    for one, other in pairwise(blocks):
        if one.last < other.first:
            continue
        owner, block = sorted((one, other), key=lambda each: each.order)
        if block.service is None:  # of Gateway and Network, and they have been checked
            continue
        hint = "addresses that nothing else has"
        if owner.service:
            hint = f"the same list as there, or {hint}"
        what = f"{block.network} overlaps {owner.network}, {owner.whose}"
        raise _error(block.service, what, block.path, hint)


def _refuse_frontends_in(blocks: Sequence[_Block], frontends: _Frontends) -> None:
    if not blocks:
        return
    import numpy as np

    firsts = np.array([block.first for block in blocks], f"S{_ADDRESS}")
    lasts = np.array([block.last for block in blocks], f"S{_ADDRESS}")
    place = np.searchsorted(firsts, frontends.addresses, "right") - 1
    inside = (place >= 0) & (frontends.addresses <= lasts[np.maximum(place, 0)])
    for index in np.flatnonzero(inside)[:1].tolist():
        block = blocks[int(place[index])]
        raise frontends.error(index, f"is in {block.network}, {block.whose}", _ELSEWHERE)


def _refuse_served(
    blocks: Sequence[_Block], frontends: _Frontends, served: Spans, prefix: str
) -> None:
    """An address that stands for a node inside is not shared."""
    if not len(served.starts):
        return
    indices, numbers = frontends.ipv4
    for index in indices[served.holds(numbers)][:1].tolist():
        raise frontends.error(index, f"is served by prefix {prefix} of the Gateway", _ELSEWHERE)
    pools = [one for one in blocks if one.service and isinstance(one.network, IPv4Network)]
    if not _spans(pools).overlap(served):
        return
    block = next(one for one in pools if _spans([one]).overlap(served))
    if block.service:
        what = f"{block.network} is served by prefix {prefix} of the Gateway"
        raise _error(block.service, what, block.path, "addresses that nothing else has")


def _spans(blocks: Iterable[_Block]) -> Spans:
    blocks = tuple(blocks)
    return Spans.of(
        b"".join(block.first[12:] for block in blocks),
        bytes(block.network.prefixlen for block in blocks),
    )


def _check_prefixes(services: Iterable[Service], gateway: Gateway) -> None:
    if gateway.spec.prefixes:
        return
    for service in services:
        if service.spec.source == "mapped":
            hint = "a prefix in the Gateway, or source: pool"
            what = f"{gateway.key} has no prefix to map clients by"
            raise _error(service, what, ("source",), hint)


def _refuse_too_many(services: Sequence[Service], room: MaxBalanced) -> None:
    sizes = [len(service.spec.backends.data) for service in services]
    entries = [
        service.spec.table_size or usual_size(size)
        for service, size in zip(services, sizes, strict=True)
    ]
    for what, key, number, most in (
        ("services", "services", len(services), room.services),
        ("backends", "backends", sum(sizes), room.backends),
        ("table entries", "ringEntries", sum(entries), room.ring_entries),
    ):
        if number > most:
            hint = f"{most} at most: loadBalancer.max.{key} of the Gateway"
            raise _error(services[-1], f"with it there are {number} {what}", (), hint)
