# SPDX-License-Identifier: Apache-2.0
"""Which IPv4 transport address a new binding may get (RFC 6146 sections 3.5.1.1 and 3.5.2.3).

A client keeps one address (RFC 4787 REQ-2), and its ports lie in blocks of its own. Within that
the choice is free but for preferences: `Candidates` judges it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Network
from itertools import product, takewhile
from typing import Final, NamedTuple

from sixlane.rfc.rfc6146.config import ALL_PORTS, Blocks, Pool4, PortRange
from sixlane.rfc.rfc6146.packets import Endpoint4, Protocol

WELL_KNOWN_PORTS: Final[PortRange] = (0, 1023)
OTHER_PORTS: Final[PortRange] = (1024, 65535)


@dataclass(frozen=True)
class Holding:
    """What a client holds while it has dynamic bindings: an address, and the first ports of its
    blocks there."""

    client: IPv6Network
    address: IPv4Address
    blocks: frozenset[int]


class Holdings:
    """What of pool4 belongs to which client.

    A block is given back with the last binding in it, the address with the client's last one.
    """

    def __init__(self, blocks: Blocks | None) -> None:
        self._blocks = blocks
        self._held: dict[IPv6Network, Holding] = {}
        self._bindings: dict[IPv6Network, int] = {}
        self._in_block: Counter[Endpoint4] = Counter()
        self._owners: dict[Endpoint4, IPv6Network] = {}

    def all(self) -> tuple[Holding, ...]:
        """Return what each client holds."""
        return tuple(self._held.values())

    def address_of(self, client: IPv6Network) -> IPv4Address | None:
        """Return the client's address, None as long as it has none."""
        return self._held[client].address if client in self._held else None

    def bindings_of(self, client: IPv6Network) -> int:
        """Return how many dynamic bindings it has, of all protocols."""
        return self._bindings.get(client, 0)

    def owns(self, client: IPv6Network, endpoint: Endpoint4) -> bool:
        """Tell whether `endpoint` is in a block of the client."""
        return self._blocks is not None and self._owners.get(self._block(endpoint)) == client

    def objection(self, client: IPv6Network, endpoint: Endpoint4) -> str | None:
        """Return why the client cannot get `endpoint`, though nobody may have bound it."""
        if self.address_of(client) not in (None, endpoint.address):
            return f"the client has the address {self.address_of(client)}"
        if self._blocks is None or self.owns(client, endpoint):
            return None
        if (owner := self._owners.get(self._block(endpoint))) is not None:
            return f"it is in a block of {owner}"
        if client in self._held and len(self._held[client].blocks) >= self._blocks.per_client:
            return "the client has all the blocks that it may have"
        return None

    def own_ranges(self, client: IPv6Network) -> Iterator[PortRange]:
        """Return the ports of the client's blocks, lowest first."""
        if self._blocks is not None and client in self._held:
            for first in sorted(self._held[client].blocks):
                yield first, first + self._blocks.size - 1

    def take(self, client: IPv6Network, endpoint: Endpoint4) -> None:
        """Count a binding, and the block that it begins, if any."""
        assert self.objection(client, endpoint) is None
        held = self._held.get(client, Holding(client, endpoint.address, frozenset()))
        if self._blocks is not None:
            block = self._block(endpoint)
            held = Holding(client, held.address, held.blocks | {block.port})
            self._in_block[block] += 1
        self.hold(held)
        self._bindings[client] = self.bindings_of(client) + 1

    def hold(self, holding: Holding) -> None:
        """Make `holding` the client's."""
        self._held[holding.client] = holding
        for first in holding.blocks:
            self._owners[Endpoint4(holding.address, first)] = holding.client

    def give_back(self, client: IPv6Network, endpoint: Endpoint4) -> None:
        """Count a binding less, and give back the block that it leaves without any."""
        if self._blocks is not None:
            self._leave(client, self._block(endpoint))
        self._bindings[client] -= 1
        if self._bindings[client] == 0:
            del self._bindings[client]
            held = self._held.pop(client)
            for first in held.blocks:
                del self._owners[Endpoint4(held.address, first)]

    def _leave(self, client: IPv6Network, block: Endpoint4) -> None:
        self._in_block[block] -= 1
        if self._in_block[block] == 0:
            held = self._held[client]
            self._held[client] = Holding(client, held.address, held.blocks - {block.port})
            del self._in_block[block], self._owners[block]

    def _block(self, endpoint: Endpoint4) -> Endpoint4:
        """The block of `endpoint`, by its first port."""
        assert self._blocks is not None
        return Endpoint4(endpoint.address, endpoint.port - endpoint.port % self._blocks.size)


class Rank(NamedTuple):
    """Why one endpoint goes before another: the greater tuple does.

    `stored_syn`: a SYN from the destination waits there (simultaneous open). `same_block`: it is
    in a block of the client. `same_node`: the node's static BIB entries have that address.
    `same_parity`, `same_class`: the port is as odd, and as well known, as the node's own;
    identifiers of ICMP have neither.
    """

    stored_syn: bool
    same_block: bool
    same_node: bool
    same_parity: bool
    same_class: bool


@dataclass(frozen=True)
class Candidates:
    """The endpoints that a binding for port (or identifier) `port` of `client` may get.

    `pools`: the entries of pool4 that serve the node. `is_free`: tells that no BIB entry of
    `protocol` has an endpoint. `stored_syns`: where SYNs of the destination wait.
    `node_addresses`: of the node's static BIB entries.
    """

    protocol: Protocol
    port: int
    client: IPv6Network
    pools: tuple[Pool4, ...]
    holdings: Holdings
    is_free: Callable[[Endpoint4], bool]
    stored_syns: frozenset[Endpoint4]
    node_addresses: frozenset[IPv4Address]

    def objection(self, endpoint: Endpoint4) -> str | None:
        """Return why the binding may not have `endpoint`; None: it may, preferred or not."""
        if not self.is_free(endpoint):
            return "another BIB entry has it"
        if not any(pool.holds(self.protocol, endpoint) for pool in self.pools):
            return "it is not in the client's pool4"
        return self.holdings.objection(self.client, endpoint)

    def rank(self, endpoint: Endpoint4) -> Rank:
        """Return how much a legal endpoint is preferred."""
        return Rank(
            stored_syn=endpoint in self.stored_syns,
            same_block=self.holdings.owns(self.client, endpoint),
            same_node=endpoint.address in self.node_addresses,
            same_parity=self._is_query or endpoint.port % 2 == self.port % 2,
            same_class=self._is_query or _is_well_known(endpoint.port) == self._is_well_known,
        )

    def legal(self) -> Iterator[Endpoint4]:
        """Return all that are allowed, the best rank first, in each the lowest port first."""
        waiting = (one for one in sorted(self.stored_syns) if self.objection(one) is None)
        yield from sorted(waiting, key=self.rank, reverse=True)
        # Rank by rank, as they are asked for: of millions, mostly the first alone is wanted.
        for flags in product((True, False), repeat=len(Rank._fields) - 1):
            rank = Rank(False, *flags)
            for endpoint in self._near(rank):
                if self.objection(endpoint) is None and self.rank(endpoint) == rank:
                    yield endpoint

    def lowest(self) -> Endpoint4 | None:
        """Return the lowest port of the best rank when first asked, None if nothing is left."""
        return self._lowest

    def best(self) -> frozenset[Endpoint4]:
        """Return all of the best rank."""
        legal = self.legal()
        first = next(legal, None)
        if first is None:
            return frozenset()
        rank = self.rank(first)
        return frozenset({first, *takewhile(lambda one: self.rank(one) == rank, legal)})

    @cached_property
    def _lowest(self) -> Endpoint4 | None:
        return next(self.legal(), None)

    @property
    def _is_query(self) -> bool:
        return self.protocol is Protocol.ICMP

    @property
    def _is_well_known(self) -> bool:
        return _is_well_known(self.port)

    def _near(self, rank: Rank) -> Iterator[Endpoint4]:
        """All in pool4 that have `rank`, and some that have not."""
        if self._is_query and not (rank.same_parity and rank.same_class):
            return
        own = tuple(self.holdings.own_ranges(self.client))
        blocks = own if rank.same_block else (ALL_PORTS,)
        if not blocks:
            return
        of_class = self._class_range(rank.same_class)
        for address, ranges in self._addresses(rank.same_node):
            for one, block in product(ranges, blocks):
                first, last = max(one[0], block[0], of_class[0]), min(one[1], block[1], of_class[1])
                for port in self._ports(first, last, rank.same_parity):
                    yield Endpoint4(address, port)

    def _addresses(self, same_node: bool) -> Iterator[tuple[IPv4Address, tuple[PortRange, ...]]]:
        held = self.holdings.address_of(self.client)
        for pool in self.pools:
            ranges = pool.ports.get(self.protocol, ())
            for network in pool.addresses:
                for address in network:
                    if held in (None, address) and (address in self.node_addresses) == same_node:
                        yield address, ranges

    def _class_range(self, same: bool) -> PortRange:
        if self._is_query:
            return ALL_PORTS
        return WELL_KNOWN_PORTS if self._is_well_known == same else OTHER_PORTS

    def _ports(self, first: int, last: int, same_parity: bool) -> range:
        if self._is_query:
            return range(first, last + 1)
        odd = self.port % 2 if same_parity else 1 - self.port % 2
        return range(first + (first % 2 != odd), last + 1, 2)


def lowest(candidates: Candidates) -> Endpoint4:
    """Choose what `Candidates.lowest` says; one is left."""
    endpoint = candidates.lowest()
    assert endpoint is not None, "else nobody is asked"
    return endpoint


def judge(candidates: Candidates, chosen: Endpoint4, *, strict: bool) -> None:
    """Raise IllegalChoice unless `chosen` is allowed and, if `strict`, of the best rank."""
    what = f"{chosen} for {candidates.protocol} port {candidates.port} of {candidates.client}"
    if (objection := candidates.objection(chosen)) is not None:
        raise IllegalChoice(f"{what}: {objection}")
    better = lowest(candidates)
    if strict and candidates.rank(chosen) != candidates.rank(better):
        raise IllegalChoice(f"{what}: {better} goes before it, {candidates.rank(better)}")


class IllegalChoice(Exception):
    """What was chosen for a new binding was not to be had. Nothing was changed."""


Choose = Callable[[Candidates], Endpoint4]


def _is_well_known(port: int) -> bool:
    return port <= WELL_KNOWN_PORTS[1]
