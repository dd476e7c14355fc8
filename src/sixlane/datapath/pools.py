# SPDX-License-Identifier: Apache-2.0
"""pool4 and what else stateful NAT64 is told, typed, and its bytes in struct gateway.

Also the size of its tables, and how much of pool4 clients have.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network
from typing import ClassVar

from sixlane.bpf import Map
from sixlane.datapath import layout
from sixlane.datapath.layout import CountMark, Lifetime, Limit, SessionProtocol

SESSION_TABLES = tuple(
    name for name, digest in layout.DIGESTS.items() if digest == layout.DIGESTS["sessions"]
)
"""Maps that are made anew together: each has numbers of places in others."""

PORTS_OF_WORD = 64
_RECORDS_OF_SET = 3
_PORTS_OF_ADDRESS = SessionProtocol.SESSION_PROTOCOLS * 65536
_NO_PREFIX = 0xFF
_FRAGMENTS = 4096  # packets that are under way in fragments at a time
_LEAST_SYNS = 1024
_SESSIONS_A_SYN = 16


@dataclass(frozen=True)
class Room:
    """How many sessions, bindings and clients there is room for, and IPv4 addresses of pool4."""

    TABLES: ClassVar = ("sessions", "bindings", "clients", "ports4", "filters4")
    """Those whose sizes tell."""

    sessions: int
    bindings: int
    clients: int
    addresses: int
    filters: int = 1
    """Peers that address-dependent filtering counts."""

    @classmethod
    def of(cls, maps: Mapping[str, Map]) -> "Room":
        """As these tables have it."""

        def size(name: str) -> int:
            return maps[name].info.max_entries

        addresses = size("ports4") // _PORTS_OF_ADDRESS
        return cls(size("sessions"), size("bindings"), size("clients"), addresses, size("filters4"))

    def holds(self, other: "Room") -> bool:
        """Whether what asks for `other` can do with this: as much as was asked for of what has a
        number in the configuration, at least as much of what follows from the rest of it."""
        return (
            (self.sessions, self.bindings, self.clients)
            == (other.sessions, other.bindings, other.clients)
            and self.addresses >= other.addresses
            and self.filters >= other.filters
        )

    @property
    def syns(self) -> int:
        """How many may wait that came from outside, and that nobody inside is known to expect."""
        return max(_LEAST_SYNS, self.sessions // _SESSIONS_A_SYN) if self.addresses else 0

    def entries(self) -> dict[str, int]:
        """Of each table by its name."""
        protocols = SessionProtocol.SESSION_PROTOCOLS
        wanted = {
            "sessions": self.sessions,
            "sessions6": index_sets(self.sessions),
            "sessions4": index_sets(self.sessions),
            "bindings": self.bindings,
            "bindings6": index_sets(self.bindings),
            "clients": self.clients,
            "filters4": self.filters,
            "fragments": _FRAGMENTS,
            "syns": self.syns,
            "ports4": self.addresses * protocols * 65536,
            "used4": self.addresses * protocols * Limit.PORT_WORDS,
            "blocks4": self.addresses * Limit.PORT_WORDS,
        }
        return {name: max(1, entries) for name, entries in wanted.items()}


def index_sets(records: int) -> int:
    """Of seven cells each (bpf/sixlane/index.h): a power of two, and three records to a set at
    most, so that no two sets that a key may be in are full."""
    return 1 << (-(-records // _RECORDS_OF_SET) - 1).bit_length()


NO_ROOM = Room(1, 1, 1, 0)
"""As tables are made for a gateway without pool4: a map has at least one element."""


@dataclass(frozen=True)
class PoolRange:
    """`count` IPv4 addresses from `first` on; the first one is number `index` in the tables."""

    first: IPv4Address
    count: int
    index: int


@dataclass(frozen=True)
class PoolEntry:
    """One entry of pool4: who is translated by it, and to what.

    `ports`: first and last port (ICMP: identifier) of each protocol. `block_ports`: a power of two
    from 64 to 1,024; `blocks`: at most so many for each client. `max_sessions`: of each client,
    0: any number.
    """

    name: str
    id: int
    clients: IPv6Network
    ranges: Sequence[PoolRange]
    ports: Mapping[SessionProtocol, tuple[int, int]]
    block_ports: int
    blocks: int
    max_sessions: int = 0


@dataclass(frozen=True)
class Stateful:
    """`pools` by falling length of their clients' networks; those that share the first
    `client_bits` bits of their addresses are one client. `lifetimes` in seconds.
    `filter_address`: address-dependent filtering; `no_syn_46`: TCP is not opened from outside.
    `log_blocks`, `log_sessions`: what is told of in `session_events`.
    """

    pools: Sequence[PoolEntry]
    lifetimes: Mapping[Lifetime, int]
    client_bits: int = 64
    filter_address: bool = False
    no_syn_46: bool = False
    log_blocks: bool = False
    log_sessions: bool = False


def put_stateful(gateway: layout.Gateway, stateful: Stateful) -> None:
    """Writes it into a struct gateway. ValueError: more than the tables hold.

    Pools with the same ranges share them.
    """
    places: dict[tuple[PoolRange, ...], int] = {}
    ranges: list[PoolRange] = []
    for pool in stateful.pools:
        if tuple(pool.ranges) not in places:
            places[tuple(pool.ranges)] = len(ranges)
            ranges += pool.ranges
    if len(stateful.pools) > Limit.MAX_POOLS or len(ranges) > Limit.MAX_POOL_RANGES:
        raise ValueError(f"{len(stateful.pools)} pools of {len(ranges)} ranges")
    gateway.pool_count = len(stateful.pools)
    gateway.pool_range_count = len(ranges)
    gateway.client_bits = stateful.client_bits
    for which, seconds in stateful.lifetimes.items():
        gateway.lifetimes_seconds[which] = seconds
    for number, one in enumerate(ranges):
        gateway.pool_ranges[number] = layout.PoolRange(int(one.first), one.count, one.index)
    for number, pool in enumerate(stateful.pools):
        gateway.pools[number] = _pool(pool, places[tuple(pool.ranges)])


@dataclass(frozen=True)
class Placed:
    """What makes sense of the session tables: which addresses have which indices, how many ports
    their blocks have, and how many bits clients share."""

    ranges: Sequence[tuple[PoolRange, int]]
    client_bits: int

    def __contains__(self, address: object) -> bool:
        """Is it an address of pool4?"""
        return isinstance(address, IPv4Address) and any(
            0 <= int(address) - int(one.first) < one.count for one, _ in self.ranges
        )

    @classmethod
    def of(
        cls,
        pools: Iterable[tuple[int, int, int]],
        ranges: Sequence[tuple[int, int, int]],
        client_bits: int,
    ) -> "Placed | None":
        """From the numbers in a struct gateway. `pools`: first range, how many, words of a block;
        `ranges`: first address, how many, first index. None: there is no pool4."""
        found = {
            PoolRange(IPv4Address(first), count, index): words * PORTS_OF_WORD
            for place, many, words in pools
            for first, count, index in ranges[place : place + many]
        }
        return cls(tuple(found.items()), client_bits) if found else None

    @classmethod
    def in_force(cls, gateway: layout.Gateway) -> "Placed | None":
        return cls.of(
            [
                (pool.first_range, pool.range_count, pool.block_words)
                for pool in gateway.pools[: gateway.pool_count]
            ],
            [
                (one.first, one.count, one.index)
                for one in gateway.pool_ranges[: gateway.pool_range_count]
            ],
            gateway.client_bits,
        )


@dataclass(frozen=True)
class Taken:
    """Of one IPv4 address: blocks that clients have, and ports in them that have a binding."""

    blocks: int
    ports: int


def taken(blocks4: Map) -> dict[int, Taken]:
    """By the index of the address; those of which nobody has a block are left out."""
    import numpy as np

    counts = np.frombuffer(b"".join(values for _, values in blocks4.rows()), np.uint32)
    whole = counts[: len(counts) // Limit.PORT_WORDS * Limit.PORT_WORDS]
    by_address = whole.reshape(-1, Limit.PORT_WORDS)
    blocks = (by_address != 0).sum(axis=1)
    ports = (by_address % CountMark.BLOCK_GIVEN).sum(axis=1)
    return {
        int(address): Taken(int(blocks[address]), int(ports[address]))
        for address in np.flatnonzero(blocks)
    }


def put_prefix_indices(gateway: layout.Gateway) -> None:
    """Where each prefix is, by its id."""
    for id in range(Limit.MAX_PREFIXES):
        gateway.prefix_indices[id] = _NO_PREFIX
    for index in range(gateway.prefix_count):
        gateway.prefix_indices[gateway.prefixes[index].id] = index


def _pool(pool: PoolEntry, first_range: int) -> layout.Pool:
    found = layout.Pool(
        clients=_addr(int(pool.clients.network_address)),
        mask=_addr(int(pool.clients.netmask)),
        first_range=first_range,
        range_count=len(pool.ranges),
        addresses=sum(one.count for one in pool.ranges),
        block_words=pool.block_ports // PORTS_OF_WORD,
        blocks=pool.blocks,
        max_sessions=pool.max_sessions,
        id=pool.id,
    )
    for protocol, (low, high) in pool.ports.items():
        found.ports[protocol] = layout.PortRange(low, high)
    return found


def _addr(number: int) -> layout.Addr:
    return layout.Addr(number >> 64, number & (1 << 64) - 1)
