# SPDX-License-Identifier: Apache-2.0
"""What a stateful NAT64 is told: Pref64s, pool4, static BIB entries, lifetimes and limits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from sixlane.rfc import rfc6052
from sixlane.rfc.longest_match import LongestMatch
from sixlane.rfc.rfc6146.packets import Endpoint4, Endpoint6, Protocol
from sixlane.rfc.rfc6146.tcp import Timer

PortRange = tuple[int, int]
"""First and last port, or ICMP identifier."""

ALL_PORTS: Final[PortRange] = (0, 65535)
EVERYBODY: Final = IPv6Network("::/0")


@dataclass(frozen=True)
class Lifetimes:
    """In seconds, with the defaults of RFC 6146 section 4.

    ValueError for less than is allowed: RFC 6146 section 4, for ICMP RFC 5508 section 3.2, for
    SYNs RFC 5382 section 5.
    """

    udp: float = 300
    tcp_est: float = 7200
    tcp_trans: float = 240
    tcp_incoming_syn: float = 6
    icmp: float = 60

    def __post_init__(self) -> None:
        for name, minimum in _MINIMA.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} is less than {minimum} seconds")

    def of_protocol(self, protocol: Protocol) -> float:
        """Return how long a session of UDP or of queries lives after a packet."""
        return self.icmp if protocol is Protocol.ICMP else self.udp

    def of_timer(self, timer: Timer) -> float | None:
        """Return how long a session lives after a segment, None: as long as before."""
        return {Timer.EST: self.tcp_est, Timer.TRANS: self.tcp_trans}.get(timer)


_MINIMA: Final = {"udp": 120, "tcp_est": 7200, "tcp_trans": 240, "tcp_incoming_syn": 6, "icmp": 60}


@dataclass(frozen=True)
class Pool4:
    """IPv4 transport addresses for IPv6 nodes in `sources`; protocols may be left out of `ports`.

    All entries with the longest matching one of `sources` together serve a node.
    """

    addresses: tuple[IPv4Network, ...]
    ports: Mapping[Protocol, tuple[PortRange, ...]]
    sources: IPv6Network = EVERYBODY

    def holds(self, protocol: Protocol, endpoint: Endpoint4) -> bool:
        """Tell whether `endpoint` is one of these."""
        return self.has(endpoint.address) and any(
            first <= endpoint.port <= last for first, last in self.ports.get(protocol, ())
        )

    def has(self, address: IPv4Address) -> bool:
        """Tell whether `address` is one of these, for some port."""
        return any(address in network for network in self.addresses)


@dataclass(frozen=True)
class Blocks:
    """Clients get ports by blocks of `size`, which begin at multiples of it.

    A block is one client's for all protocols, and a client has `per_client` of them at most.
    """

    size: int
    per_client: int

    def __post_init__(self) -> None:
        if self.size < 1 or self.per_client < 1:
            raise ValueError("blocks have a size of 1 or more, and clients 1 or more of them")


@dataclass(frozen=True)
class StaticEntry:
    """A static BIB entry. `pref64`: how those outside look to it; None: by the first of pool6."""

    protocol: Protocol
    ipv6: Endpoint6
    ipv4: Endpoint4
    pref64: IPv6Network | None = None


@dataclass(frozen=True)
class Limits:
    """None: no limit. None of them ends what lives.

    `bindings`, `client_bindings`: dynamic ones, of all protocols together. `sessions` and
    `client_sessions` do not count stored SYNs, which `stored_syns` bounds (section 5.3), and
    `peer_syns` for each endpoint outside that sends them.
    """

    bindings: int | None = None
    sessions: int | None = None
    stored_syns: int | None = None
    peer_syns: int | None = None
    client_bindings: int | None = None
    client_sessions: int | None = None


@dataclass(frozen=True)
class Config:
    """`client_length`: nodes that share an IPv6 prefix of that length are one client.

    `address_dependent_filtering`: section 3.5.1, `drop_external_syns`: section 3.5.2.2.
    `answer_strangers`: whether the ICMP errors are sent to the outside that the RFC leaves open.
    `refresh_from_outside`: whether packets from outside extend lifetimes (section 5.3).
    ValueError for what cannot be.
    """

    pool6: tuple[IPv6Network, ...]
    pool4: tuple[Pool4, ...]
    static: tuple[StaticEntry, ...] = ()
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    limits: Limits = field(default_factory=Limits)
    blocks: Blocks | None = None
    client_length: int = 64
    address_dependent_filtering: bool = False
    drop_external_syns: bool = False
    answer_strangers: bool = False
    refresh_from_outside: bool = True

    def __post_init__(self) -> None:
        if not self.pool6:
            raise ValueError("pool6 is empty")
        for network in self.pool6:
            if not rfc6052.is_valid_prefix(network):
                raise ValueError(f"{network} is no translation prefix of RFC 6052")
        for pool in self.pool4:
            if pool.sources.prefixlen > self.client_length:
                raise ValueError(f"{pool.sources} is a part of one client")
        _refuse_twice((entry.protocol, entry.ipv6) for entry in self.static)
        _refuse_twice((entry.protocol, entry.ipv4) for entry in self.static)
        for entry in self.static:
            if entry.pref64 is not None and entry.pref64 not in self.pool6:
                raise ValueError(f"{entry.pref64} is not in pool6")

    def pref64_of(self, address: IPv6Address) -> IPv6Network | None:
        """Return the longest prefix of pool6 that contains `address`."""
        return self._pool6.find(address)

    def pools_of(self, source: IPv6Address) -> tuple[Pool4, ...]:
        """Return the entries of pool4 that serve an IPv6 node."""
        sources = self._sources.find(source)
        return tuple(pool for pool in self.pool4 if pool.sources == sources)

    def serves(self, protocol: Protocol, destination: Endpoint4) -> bool:
        """Tell whether packets from IPv4 to `destination` are for the NAT64 (section 3.5)."""
        return (protocol, destination) in self._static4 or any(
            pool.holds(protocol, destination) for pool in self.pool4
        )

    def serves_address(self, address: IPv4Address) -> bool:
        """Tell whether `address` is in pool4, with whatever ports."""
        return any(pool.has(address) for pool in self.pool4) or any(
            entry.ipv4.address == address for entry in self.static
        )

    def client_of(self, address: IPv6Address) -> IPv6Network:
        """Return the client that a node belongs to."""
        return IPv6Network((address, self.client_length), strict=False)

    def static_addresses_of(self, node: IPv6Address) -> frozenset[IPv4Address]:
        """Return the addresses of pool4 that a node's static BIB entries have."""
        return frozenset(one.ipv4.address for one in self.static if one.ipv6.address == node)

    @cached_property
    def _pool6(self) -> LongestMatch[IPv6Network]:
        return LongestMatch((network, network) for network in self.pool6)

    @cached_property
    def _sources(self) -> LongestMatch[IPv6Network]:
        return LongestMatch((pool.sources, pool.sources) for pool in self.pool4)

    @cached_property
    def _static4(self) -> frozenset[tuple[Protocol, Endpoint4]]:
        return frozenset((entry.protocol, entry.ipv4) for entry in self.static)


def _refuse_twice(ends: Iterable[tuple[Protocol, Endpoint6 | Endpoint4]]) -> None:
    seen = set()
    for protocol, end in ends:
        if (protocol, end) in seen:
            raise ValueError(f"two static BIB entries have {protocol} {end}")
        seen.add((protocol, end))
