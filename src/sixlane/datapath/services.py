# SPDX-License-Identifier: Apache-2.0
"""Services of one generation, typed, and their bytes in the kernel's maps.

Who answers is not here: backends and rings are outside of generations (sixlane.datapath.backends).
There may be 10,000 services, and a commit that changes one must not cost by all: what is made of an
entry is kept with it, so whoever plans hands in those that did not change as they were.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from ipaddress import IPv6Network
from itertools import chain

from sixlane.bpf import Map
from sixlane.datapath import layout
from sixlane.datapath.clock import flow_tick_shift, jiffies_per_second
from sixlane.datapath.digest import digest_of
from sixlane.datapath.frontends import FrontendRow, frontend_key, rows_in, sets_of
from sixlane.datapath.layout import (
    FlowCell,
    FlowState,
    FrontendFlag,
    Limit,
    ServiceFlag,
)
from sixlane.datapath.spreading import FACTOR, HIGH_FACTOR, both_halves, spread
from sixlane.model.addresses import AnyAddress, AnyNetwork
from sixlane.model.load_balancer import TUNNEL_SOURCES
from sixlane.model.packed import MAPPED, packed_address

_MAPPED_BITS = 8 * len(MAPPED)
_SERVICE_BITS = 32  # that a source's key begins with
_BITS_AN_ADDRESS = 16  # of the filter: one of 16 addresses that are nobody's costs a look-up
_WORD_BITS = 64
_LONGEST_TICKS = FlowCell.FLOW_TICK_MASK - 1  # an age that is beyond it can still be told


@dataclass(frozen=True)
class FrontendEntry:
    """`protocol` as in the IP header; `id` numbers its counters: not 0."""

    address: AnyAddress
    port: int
    protocol: int
    id: int

    @property
    def key(self) -> bytes:
        return frontend_key(packed_address(self.address), self.port, self.protocol)


@dataclass(frozen=True)
class Pool:
    """Addresses that clients are seen as: `count` from `first` on."""

    first: AnyAddress
    count: int


@dataclass(frozen=True)
class ServiceEntry:
    """One service. `id`: its number in the tables: not 0.

    `affinity_seconds`: how long a client keeps its backend, 0: each flow has its own.
    `source_ranges`: who is let in, None: everybody. With `nat`: `pool4` and `pool6`, or
    `mapped_by`, the id of the pool6 prefix; `max_segment_bytes`: what a TCP SYN may offer, 0:
    whatever it does; `nat_backends`: from whom answers come.
    """

    name: str
    id: int
    frontends: tuple[FrontendEntry, ...]
    nat: bool = False
    mapped_by: int | None = None
    affinity_seconds: int = 0
    source_ranges: tuple[AnyNetwork, ...] | None = None
    pool4: Pool | None = None
    pool6: Pool | None = None
    max_segment_bytes: int = 0
    nat_backends: tuple[AnyAddress, ...] = ()

    @cached_property
    def record(self) -> bytes:
        """struct service."""
        service = layout.Service(
            flags=self._flags,
            affinity_ticks=ticks_of(self.affinity_seconds),
            max_segment_bytes=self.max_segment_bytes,
            prefix=self.mapped_by or 0,
            clients=int.from_bytes(blake2b(self.name.encode(), digest_size=4).digest()),
        )
        for name, pool in (("pool4", self.pool4), ("pool6", self.pool6)):
            if pool:
                setattr(service, name, layout.Addr.from_buffer_copy(packed_address(pool.first)))
                setattr(service, f"{name}_count", pool.count)
        text = self.name.encode()
        if len(text) > Limit.SERVICE_NAME_BYTES:
            raise ValueError(f"{self.name}: {len(text)} bytes")
        service.name[: len(text)] = list(text)
        return bytes(service)

    @cached_property
    def frontend_rows(self) -> tuple[FrontendRow, ...]:
        flags = self._flags
        return tuple(FrontendRow(one.key, self.id, one.id, 0, flags) for one in self.frontends)

    @cached_property
    def addresses(self) -> frozenset[bytes]:
        """Of its frontends."""
        return frozenset(packed_address(one.address) for one in self.frontends)

    @cached_property
    def nat_addresses(self) -> frozenset[bytes]:
        """Those beside, of which packets come or to which they go."""
        return self.pool_addresses | frozenset(map(packed_address, self.nat_backends))

    @cached_property
    def pool_addresses(self) -> frozenset[bytes]:
        """What clients are seen as."""
        pools = [pool for pool in (self.pool4, self.pool6) if pool]
        return frozenset(
            packed_address(pool.first + at) for pool in pools for at in range(pool.count)
        )

    @cached_property
    def sources(self) -> tuple[bytes, bytes]:
        """Keys and values of `service_sources`: 1 is let in, and 0 is not.

        IPv4 is a part of IPv6 there: a range of IPv6 around it does not mean it.
        """
        given = {_source_key(self.id, one): True for one in self.source_ranges or ()}
        mapped = IPv6Network((MAPPED + bytes(4), _MAPPED_BITS))
        if any(one.version == 6 and one.supernet_of(mapped) for one in self.source_ranges or ()):
            given.setdefault(_source_key(self.id, mapped), False)
        return b"".join(given), b"".join(_number(value) for value in given.values())

    @cached_property
    def digest(self) -> bytes:
        """Names what is in `frontends`, `service_bits` and `services` of it."""
        return _named(
            _number(self.id),
            self.record,
            *(row.key + _number(row.id) + _number(row.service_flags) for row in self.frontend_rows),
            *sorted(self.nat_addresses),
        )

    @cached_property
    def sources_digest(self) -> bytes:
        """Names what is in `service_sources` of it: empty if that is nothing."""
        return _named(*self.sources) if self.sources[0] else b""

    @property
    def _flags(self) -> int:
        flags = {
            ServiceFlag.SERVICE_NAT: self.nat,
            ServiceFlag.SERVICE_MAPPED: self.mapped_by is not None,
            ServiceFlag.SERVICE_AFFINITY: self.affinity_seconds > 0,
            ServiceFlag.SERVICE_RESTRICTED: self.source_ranges is not None,
        }
        return sum(flag for flag, wanted in flags.items() if wanted)


_FAR = 0
_LOCAL = int(FrontendFlag.FRONTEND_LOCAL)
_POOL = int(FrontendFlag.FRONTEND_POOL)


@dataclass(frozen=True)
class FrontendTables:
    """The sets of `frontends`, and the words of `service_bits`."""

    sets: bytes
    bits: bytes


LIFETIMES: Mapping[FlowState, int] = {
    FlowState.FLOW_NEW: 64,
    FlowState.FLOW_TCP: 3 * 3600,
    FlowState.FLOW_UDP: 300,
    FlowState.FLOW_CLOSING: 120,
}
"""How long a flow is remembered without packets, in seconds."""


@dataclass(frozen=True)
class Services:
    """All services of a generation. `entries` in one order each time; ids differ.

    `tunnel4`, `tunnel6`: where tunnels come from; `seed`: of the hash that says which flow goes
    where; `lifetimes`: of flows, in seconds; `local`: the host's own addresses.
    """

    entries: tuple[ServiceEntry, ...] = ()
    tunnel4: AnyNetwork = TUNNEL_SOURCES[4]
    tunnel6: AnyNetwork = TUNNEL_SOURCES[6]
    seed: str = "sixlane"
    lifetimes: Mapping[FlowState, int] = field(default_factory=lambda: LIFETIMES)
    local: frozenset[AnyAddress] = frozenset()

    @cached_property
    def digest(self) -> int:
        """Of `frontends`, `service_bits` and `services`."""
        local = b"".join(sorted(self._local_in_use))
        return digest_of(b"services", b"".join([one.digest for one in self.entries]), local)

    @cached_property
    def sources_digest(self) -> int:
        """Of `service_sources`."""
        return digest_of(b"sources", b"".join([one.sources_digest for one in self.entries]))

    @cached_property
    def bits_words(self) -> int:
        """Words of the filter: a power of two."""
        wanted = len(self._addresses) * _BITS_AN_ADDRESS
        return 1 << (max(1, -(-wanted // _WORD_BITS)) - 1).bit_length()

    def frontend_rows(self) -> list[FrontendRow]:
        """Of all services, and of their addresses."""
        pools = chain.from_iterable(one.pool_addresses for one in self.entries if one.nat)
        called, local = self._called, self._local_in_use
        at = dict.fromkeys(pools, _POOL)
        at |= {address: _LOCAL if address in local else _FAR for address in called}
        rows = list(chain.from_iterable(one.frontend_rows for one in self.entries))
        rows += [
            FrontendRow(frontend_key(address, 0, 0), flags=flags) for address, flags in at.items()
        ]
        return rows

    def frontend_tables(self) -> FrontendTables:
        return FrontendTables(
            sets_of(self.frontend_rows()), _filter(self._addresses, self.bits_words)
        )

    def service_rows(self) -> bytes:
        """struct service of each id from 0 on; zero where there is none."""
        none = bytes(layout.Service())
        rows = [none] * (1 + max((one.id for one in self.entries), default=0))
        for one in self.entries:
            rows[one.id] = one.record
        return b"".join(rows)

    def source_rows(self) -> tuple[bytes, bytes]:
        """Keys and values of `service_sources`."""
        restricted = [one.sources for one in self.entries if one.source_ranges]
        return b"".join(key for key, _ in restricted), b"".join(value for _, value in restricted)

    @cached_property
    def _called(self) -> Mapping[bytes, None]:
        """Addresses that frontends have, each once."""
        return dict.fromkeys(chain.from_iterable(one.addresses for one in self.entries))

    @cached_property
    def _addresses(self) -> Mapping[bytes, None]:
        """All that the filter knows, each once."""
        more = chain.from_iterable(one.nat_addresses for one in self.entries if one.nat)
        return {**self._called, **dict.fromkeys(more)}

    @cached_property
    def _local_in_use(self) -> frozenset[bytes]:
        """The host's addresses that are frontends', too."""
        local = frozenset(map(packed_address, self.local))
        with_some = [one for one in self.entries if not local.isdisjoint(one.addresses)]
        return frozenset().union(*(local & one.addresses for one in with_some))


NO_SERVICES = Services()


@dataclass(frozen=True)
class ServicesInForce:
    """`names`: ids of services; `frontends`: id of the service and that of the counters, by
    `frontend_key`."""

    names: Mapping[str, int] = field(default_factory=dict)
    frontends: Mapping[bytes, tuple[int, int]] = field(default_factory=dict)


def services_of(services: Map, frontends: Map) -> ServicesInForce:
    """What is in the tables of a generation."""
    size, name_at = ctypes.sizeof(layout.Service), layout.Service.name.offset  # type: ignore[attr-defined]
    names: dict[str, int] = {}
    for keys, values in services.rows():
        for at in range(len(keys) // 4):
            name = values[at * size + name_at : (at + 1) * size].rstrip(b"\0")
            if name:
                names[name.decode()] = int.from_bytes(keys[at * 4 : at * 4 + 4], "little")
    found = {row.key: (row.service, row.id) for row in rows_in(frontends) if row.id}
    return ServicesInForce(names, found)


def put_services(gateway: layout.Gateway, services: Services) -> None:
    """Writes what is of all services into a struct gateway."""
    gateway.services_digest = services.digest
    gateway.service_sources_digest = services.sources_digest
    gateway.service_bits_mask = services.bits_words - 1
    for state, seconds in services.lifetimes.items():
        gateway.flow_ticks[state] = ticks_of(seconds)
    longest = max((one.affinity_seconds for one in services.entries), default=0)
    gateway.flow_ticks[FlowState.FLOW_CLIENT] = ticks_of(longest)
    for at, word in enumerate(flow_words(services.seed)):
        gateway.flow_words[at] = word
    gateway.tunnel4 = _tunnel_source(services.tunnel4)
    gateway.tunnel6 = _tunnel_source(services.tunnel6)


def flow_words(seed: str) -> list[int]:
    """The words of the flow hash: alike wherever the seed is."""
    whole = blake2b(seed.encode(), digest_size=4 * Limit.FLOW_HASH_WORDS).digest()
    return [int.from_bytes(whole[at : at + 4]) for at in range(0, len(whole), 4)]


def ticks_of(seconds: int) -> int:
    """As flows count time, rounded up; no longer than they can tell."""
    ticks = -(-seconds * jiffies_per_second() >> flow_tick_shift())
    return min(ticks, _LONGEST_TICKS)


def bit_of(address: bytes, words: int) -> tuple[int, int]:
    """Word and bit of the filter, as service_bit() in frontend.h has them."""
    high, low = int.from_bytes(address[:8]), int.from_bytes(address[8:])
    hash = spread(both_halves(high, low))
    return hash >> 38 & words - 1, hash >> 32 & 63


def _filter(addresses: Mapping[bytes, None], words: int) -> bytes:
    """The same of all addresses at once."""
    import numpy as np

    halves = np.frombuffer(b"".join(addresses), ">u8").reshape(-1, 2).astype(np.uint64)
    hash = (halves[:, 1] + halves[:, 0] * np.uint64(HIGH_FACTOR)) * np.uint64(FACTOR)
    bits = np.zeros(words, np.uint64)
    number = hash >> np.uint64(38) & np.uint64(words - 1)
    np.bitwise_or.at(bits, number, np.uint64(1) << (hash >> np.uint64(32) & np.uint64(63)))
    return bits.tobytes()


def _source_key(service: int, network: AnyNetwork) -> bytes:
    """struct service_source_key."""
    bits = network.prefixlen + (_MAPPED_BITS if network.version == 4 else 0)
    return (
        _number(_SERVICE_BITS + bits)
        + service.to_bytes(4)
        + packed_address(network.network_address)
    )


def _tunnel_source(network: AnyNetwork) -> layout.TunnelSource:
    mask = network.hostmask.packed.rjust(16, b"\0")
    return layout.TunnelSource(
        layout.Addr.from_buffer_copy(packed_address(network.network_address)),
        layout.Addr.from_buffer_copy(mask),
    )


def _named(*parts: bytes) -> bytes:
    whole = blake2b(digest_size=16)
    for part in parts:
        whole.update(_number(len(part)) + part)
    return whole.digest()


def _number(value: int) -> bytes:
    return int(value).to_bytes(4, "little")
