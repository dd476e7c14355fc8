# SPDX-License-Identifier: Apache-2.0
"""Sessions, bindings and clients of stateful NAT64 (RFC 6146 3.1), read while packets change them.

`sessions`, `bindings`, `ports4` and `syns` are memory that is shared with the kernel; whatever can
be decided for many records at once is decided by numpy, so that a million of them take seconds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sixlane.datapath import layout
from sixlane.datapath.layout import (
    BindingFlag,
    CountMark,
    GatewayFlag,
    Lifetime,
    Limit,
    SessionProtocol,
    SessionState,
)
from sixlane.datapath.pools import PORTS_OF_WORD
from sixlane.datapath.records import (
    STATE_BITS,
    Memory,
    by_now,
    is_in,
    named,
    owned,
    state_of,
    texts,
    tuples,
)
from sixlane.datapath.tables import pool6_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sixlane.datapath.tables import Rows

_GONE = int(CountMark.GONE)
_PROTOCOLS = int(SessionProtocol.SESSION_PROTOCOLS)
_SYN_BUSY = (1 << 64) - 1

BLOCK = 1 << 14
"""Slots that are looked at at once: some megabytes."""

ProtocolName = Literal["tcp", "udp", "icmp"]
PROTOCOLS: dict[ProtocolName, SessionProtocol] = {
    "tcp": SessionProtocol.SESSION_TCP,
    "udp": SessionProtocol.SESSION_UDP,
    "icmp": SessionProtocol.SESSION_ICMP,
}

StateName = Literal[
    "OPEN",
    "V4 INIT",
    "V6 INIT",
    "ESTABLISHED",
    "V4 FIN RCV",
    "V6 FIN RCV",
    "V4 FIN + V6 FIN RCV",
    "TRANS",
]
STATES: dict[StateName, SessionState] = {
    "OPEN": SessionState.SESSION_OPEN,
    "V4 INIT": SessionState.SESSION_V4_INIT,
    "V6 INIT": SessionState.SESSION_V6_INIT,
    "ESTABLISHED": SessionState.SESSION_ESTABLISHED,
    "V4 FIN RCV": SessionState.SESSION_V4_FIN,
    "V6 FIN RCV": SessionState.SESSION_V6_FIN,
    "V4 FIN + V6 FIN RCV": SessionState.SESSION_BOTH_FIN,
    "TRANS": SessionState.SESSION_TRANS,
}
"""As RFC 6146 3.5.2.2 names them; sessions of UDP and ICMP have no states there, and are OPEN."""

PROTOCOL_NAMES = {int(number): name for name, number in PROTOCOLS.items()}
STATE_NAMES = {int(number): name for name, number in STATES.items()}

ClientOrder = Literal["sessions", "bindings"]


class Session(NamedTuple):
    """A session. Addresses are text; of ICMP queries, ports are identifiers and `remote_port` is 0.

    `pool`: address of pool4; `remote`: the IPv4 node; `prefix`: name of the pool6 prefix under
    which it is called, None if that is not in force any more. `remaining_s`: how long it lives
    without another packet. A tuple and not a dataclass, as there are millions.
    """

    protocol: ProtocolName
    inside: str
    inside_port: int
    pool: str
    pool_port: int
    remote: str
    remote_port: int
    prefix: str | None
    state: StateName
    remaining_s: float


class Binding(NamedTuple):
    """An entry of a BIB. `sessions`: that live now; `static`: it stays without any."""

    protocol: ProtocolName
    inside: str
    inside_port: int
    pool: str
    pool_port: int
    sessions: int
    static: bool


class StaticBinding(NamedTuple):
    """A binding that lives without sessions. `prefix`: id of that of pool6 under which the remote
    end of a session is called that is opened from outside."""

    protocol: ProtocolName
    inside: IPv6Address
    inside_port: int
    pool: IPv4Address
    pool_port: int
    prefix: int

    @property
    def ends(self) -> tuple[ProtocolName, IPv6Address, int, IPv4Address, int]:
        return self[:5]


class Client(NamedTuple):
    """Whoever shares the first bits of an inside address. `pool`: name of the entry of pool4.

    `blocks`: first and last port of each, for all protocols. `bindings` and `sessions` are what
    its limits are compared with: what has ended counts until it is swept.
    """

    prefix: str
    pool: str
    address: str
    blocks: tuple[tuple[int, int], ...]
    bindings: int
    sessions: int


class Use(NamedTuple):
    """Of what has a limit: how much is taken, and the limit."""

    used: int
    room: int


@dataclass(frozen=True)
class PoolUse:
    """An address of pool4: `ports` of each protocol that are taken, and `blocks` that are given."""

    address: IPv4Address
    ports: dict[ProtocolName, Use]
    blocks: Use


@dataclass(frozen=True)
class Wanted:
    """What is looked for; None: any. `port`: of the inside, of pool4 or of the remote end.

    Bindings have neither a remote end nor a state: one that is asked for is no matter there. Of
    clients, `inside` and `pool` matter.
    """

    protocol: ProtocolName | None = None
    inside: IPv6Network | None = None
    pool: IPv4Address | None = None
    remote: IPv4Network | None = None
    port: int | None = None
    state: StateName | None = None


ANY = Wanted()


class SessionRecords:
    """The records as of the jiffy `now`, for `gateway`, the tables in force.

    Packets go on meanwhile. A record that changes hands while it is read is left out, or is what
    it was just before; one that does not is always there.
    """

    def __init__(
        self,
        memory: Memory,
        gateway: layout.Gateway,
        prefixes: Mapping[int, str],
        now: int,
        jiffies_per_second: int,
        pool_names: Mapping[int, str],
    ) -> None:
        import numpy as np

        self._memory = memory
        self._gateway = gateway
        self._prefixes = prefixes
        self._now = now
        self._hz = jiffies_per_second
        self._pool_names = pool_names
        self._sessions: Rows = np.frombuffer(memory.sessions, np.dtype(layout.Session))
        self._bindings: Rows = np.frombuffer(memory.bindings, np.dtype(layout.Binding))
        self._syns: Rows = np.frombuffer(memory.syns, np.dtype(layout.StoredSyn))
        self._ports = np.frombuffer(memory.ports4, np.uint64)  # values of 4 bytes, 8 apart

    # ---- listing ----

    def sessions(self, wanted: Wanted = ANY, limit: int | None = None) -> Iterator[list[Session]]:
        """Those that live, in blocks, by slot."""
        left = limit
        for rows in self._live_sessions():
            rows = rows[self._session_mask(rows, wanted)][:left]
            if len(rows):
                yield self._session_tuples(rows, self._prefixes)
            if left is not None:
                left -= len(rows)
                if not left:
                    return

    def exported(self) -> Iterator[list[Session]]:
        """As `sessions`, for another gateway: `prefix` is the text of the prefix, as names may
        differ there. Sessions under one that is not in force any more are left out."""
        import numpy as np

        networks = {
            prefix.id: str(network)
            for prefix, (_, network) in zip(
                self._gateway.prefixes, pool6_of(self._gateway), strict=False
            )
        }
        for rows in self._live_sessions():
            rows = rows[np.isin(rows["prefix"], list(networks))]
            if len(rows):
                yield self._session_tuples(rows, networks)

    def bindings(self, wanted: Wanted = ANY, limit: int | None = None) -> Iterator[list[Binding]]:
        """Those that are static or have a session that lives, in blocks, by slot."""
        live, left = self._live_of_bindings, limit
        for first in range(0, self._bindings_end, BLOCK):
            rows, slots = self._present_bindings(first)
            kept = (live[slots] > 0) | is_static(rows)
            kept &= self._binding_mask(rows, wanted)
            rows, slots = rows[kept][:left], slots[kept][:left]
            if len(rows):
                yield self._binding_tuples(rows, live[slots].tolist())
            if left is not None:
                left -= len(rows)
                if not left:
                    return

    def static_bindings(self) -> frozenset[StaticBinding]:
        found = []
        for first in range(0, self._bindings_end, BLOCK):
            rows, _ = self._present_bindings(first)
            rows = rows[is_static(rows)]
            found += tuples(
                StaticBinding,
                named(rows["protocol"], PROTOCOL_NAMES),
                list(map(IPv6Address, texts(rows["inside"]))),
                rows["inside_port"].tolist(),
                list(map(IPv4Address, texts(rows["pool"]))),
                rows["pool_port"].tolist(),
                rows["prefix"].tolist(),
            )
        return frozenset(found)

    def clients(
        self,
        wanted: Wanted = ANY,
        limit: int | None = None,
        order: ClientOrder | None = None,
    ) -> Iterator[list[Client]]:
        """In blocks; `order`: those with the most first, else as the table has them."""
        import numpy as np

        keys, rows = self._client_rows
        kept = self._client_mask(keys, rows, wanted)
        if order is not None:
            # Stable, so that two looks at the same do not differ.
            kept = kept[np.argsort(-rows[order][kept].astype(np.int64), kind="stable")]
        kept = kept[:limit]
        for first in range(0, len(kept), BLOCK):
            part = kept[first : first + BLOCK]
            yield self._client_tuples(keys[part], rows[part])

    # ---- counting ----

    def count(self, wanted: Wanted = ANY) -> dict[tuple[ProtocolName, StateName], int]:
        """Sessions that live, by protocol and state; what there is none of is left out."""
        import numpy as np

        counts = np.zeros(256, np.int64)
        for rows in self._live_sessions():
            rows = rows[self._session_mask(rows, wanted)]
            kind = rows["protocol"].astype(np.int64) << STATE_BITS
            kind = (kind | state_of(rows)) & 0xFF
            counts += np.bincount(kind, minlength=256)
        found = {}
        for kind, number in enumerate(counts.tolist()):
            protocol, state = divmod(kind, 1 << STATE_BITS)
            if number and protocol in PROTOCOL_NAMES and state in STATE_NAMES:
                found[PROTOCOL_NAMES[protocol], STATE_NAMES[state]] = number
        return found

    def fill(self) -> dict[str, Use]:
        """Slots that are taken of each table: also by what has ended and is not swept yet, but for
        SYNs, and of what was counted when this was read."""
        import numpy as np

        taken = sum(
            int(np.count_nonzero(state_of(self._sessions[first : first + BLOCK])))
            for first in range(0, self._sessions_end, BLOCK)
        )
        bound = sum(
            len(self._present_bindings(first)[1]) for first in range(0, self._bindings_end, BLOCK)
        )
        return {
            "sessions": Use(taken, len(self._sessions)),
            "bindings": Use(bound, len(self._bindings)),
            "clients": Use(len(self._client_rows[0]), self._memory.client_room),
            "syns": Use(self._syns_waiting(), len(self._syns)),
            **{name: Use(*use) for name, use in self._memory.counted.items()},
        }

    def _syns_waiting(self) -> int:
        """From outside, for one from inside: in V4 INIT, without a session."""
        import numpy as np

        until = self._syns["until"]
        return int(np.count_nonzero((until > self._now) & (until != _SYN_BUSY)))

    def pool_use(self) -> list[PoolUse]:
        """Of each address of pool4, in the order of the tables."""
        import numpy as np

        bits = np.unpackbits(np.frombuffer(self._memory.used4, np.uint8))
        used = bits.reshape(-1, _PROTOCOLS, Limit.PORT_WORDS * PORTS_OF_WORD)
        ports = used.sum(axis=2, dtype=np.int64)
        given = np.frombuffer(self._memory.blocks4, np.uint32).reshape(-1, Limit.PORT_WORDS) != 0
        blocks = np.count_nonzero(given, axis=1)
        found = []
        for pool, first, count, index in self._pool_ranges():
            rooms = {
                name: pool.ports[number].last - pool.ports[number].first + 1
                for name, number in PROTOCOLS.items()
            }
            for n in range(count):
                if index + n < len(ports):
                    taken = ports[index + n]
                    found.append(
                        PoolUse(
                            IPv4Address(first + n),
                            {
                                name: Use(int(taken[number]), rooms[name])
                                for name, number in PROTOCOLS.items()
                            },
                            Use(int(blocks[index + n]), _blocks_of(pool)),
                        )
                    )
        return found

    # ---- sessions ----

    @property
    def _sessions_end(self) -> int:
        return min(self._memory.sessions_fresh, len(self._sessions))

    def _live_sessions(self) -> "Iterator[Rows]":
        for first in range(0, self._sessions_end, BLOCK):
            rows = self._owned_sessions(first)
            yield rows[(rows["word"] >> STATE_BITS) > self._now]

    def _owned_sessions(self, first: int) -> "Rows":
        """Those of a block that are somebody's, as of now."""
        rows = owned(self._sessions[first : min(first + BLOCK, self._sessions_end)])
        transitory_s = self._gateway.lifetimes_seconds[Lifetime.LIFETIME_TCP_TRANSITORY]
        return by_now(rows, self._now, transitory_s * self._hz)

    def _session_mask(self, rows: "Rows", wanted: Wanted) -> "NDArray[Any]":
        mask = self._common_mask(rows, wanted)
        if wanted.remote is not None:
            mask &= (rows["remote"] & int(wanted.remote.netmask)) == int(
                wanted.remote.network_address
            )
        if wanted.port is not None:
            mask &= (
                (rows["inside_port"] == wanted.port)
                | (rows["pool_port"] == wanted.port)
                | (rows["remote_port"] == wanted.port)
            )
        if wanted.state is not None:
            mask &= state_of(rows) == STATES[wanted.state]
        return mask

    def _session_tuples(self, rows: "Rows", prefixes: Mapping[int, str]) -> list[Session]:
        lives = (rows["word"] >> STATE_BITS) - self._now
        return tuples(
            Session,
            named(rows["protocol"], PROTOCOL_NAMES),
            texts(rows["inside"]),
            rows["inside_port"].tolist(),
            texts(rows["pool"]),
            rows["pool_port"].tolist(),
            texts(rows["remote"]),
            rows["remote_port"].tolist(),
            [prefixes.get(id) for id in rows["prefix"].tolist()],
            named(state_of(rows), STATE_NAMES),
            (lives / self._hz).round(1).tolist(),
        )

    # ---- bindings ----

    @property
    def _bindings_end(self) -> int:
        return min(self._memory.bindings_fresh, len(self._bindings))

    def _present_bindings(self, first: int) -> "tuple[Rows, NDArray[Any]]":
        """Those of a block that a port of pool4 leads to, and their slots.

        A slot that is free may look as if it were not: what counts is whether it is found.
        """
        import numpy as np

        part = self._bindings[first : min(first + BLOCK, self._bindings_end)]
        slots = np.arange(first, first + len(part))
        before = part["serial"].copy()
        places = self._places(part.copy())
        inside = places < len(self._ports)
        found = inside & (self._ports[np.where(inside, places, 0)] & 0xFFFFFFFF == slots + 1)
        # Found: all of it has been written. The same serial number: and it is that binding still.
        rows = part.copy()
        kept = found & (self._places(rows) == places) & (part["serial"] == before)
        kept &= (rows["sessions"] & _GONE) == 0
        return rows[kept], slots[kept]

    @staticmethod
    def _places(rows: "Rows") -> "NDArray[Any]":
        """Of their ports, in `ports4`."""
        import numpy as np

        tables = rows["address"].astype(np.int64) * _PROTOCOLS
        places: NDArray[Any] = ((tables + rows["protocol"]) << 16) + rows["pool_port"]
        return places

    @cached_property
    def _live_of_bindings(self) -> "NDArray[Any]":
        """By slot: how many sessions that live a binding has."""
        import numpy as np

        size = len(self._bindings)
        live = np.zeros(size, np.int64)
        for rows in self._live_sessions():
            np.add.at(live, rows["binding"][rows["binding"] < size], 1)
        return live

    def _binding_mask(self, rows: "Rows", wanted: Wanted) -> "NDArray[Any]":
        mask = self._common_mask(rows, wanted)
        if wanted.port is not None:
            mask &= (rows["inside_port"] == wanted.port) | (rows["pool_port"] == wanted.port)
        return mask

    @staticmethod
    def _binding_tuples(rows: "Rows", sessions: list[int]) -> list[Binding]:
        return tuples(
            Binding,
            named(rows["protocol"], PROTOCOL_NAMES),
            texts(rows["inside"]),
            rows["inside_port"].tolist(),
            texts(rows["pool"]),
            rows["pool_port"].tolist(),
            sessions,
            is_static(rows).tolist(),
        )

    # ---- clients ----

    @cached_property
    def _client_rows(self) -> "tuple[Rows, Rows]":
        import numpy as np

        keys: Rows = np.frombuffer(self._memory.clients[0], np.dtype(layout.Addr))
        rows: Rows = np.frombuffer(self._memory.clients[1], np.dtype(layout.Client))
        there = (rows["bindings"] & _GONE) == 0
        return keys[there], rows[there]

    def _client_mask(self, keys: "Rows", rows: "Rows", wanted: Wanted) -> "NDArray[Any]":
        """Indices of those that are wanted."""
        import numpy as np

        mask = np.ones(len(keys), bool)
        if wanted.inside is not None:
            length = min(wanted.inside.prefixlen, self._gateway.client_bits)
            mask &= is_in(keys, wanted.inside.supernet(new_prefix=length))
        if wanted.pool is not None:
            index = next((i for i, one in self._addresses.items() if one == wanted.pool), -1)
            mask &= rows["address"] == index if index >= 0 else False
        return np.flatnonzero(mask)

    def _client_tuples(self, keys: "Rows", rows: "Rows") -> list[Client]:
        bits = self._gateway.client_bits
        return [
            Client(
                f"{prefix}/{bits}",
                self._pool_names.get(pool, str(pool)),
                str(self._addresses.get(address, "")),
                port_ranges(blocks, words),
                bindings,
                sessions,
            )
            for prefix, pool, address, blocks, words, bindings, sessions in zip(
                texts(keys),
                rows["pool"].tolist(),
                rows["address"].tolist(),
                rows["blocks"].tolist(),
                rows["block_words"].tolist(),
                rows["bindings"].tolist(),
                rows["sessions"].tolist(),
                strict=True,
            )
        ]

    # ---- pool4 ----

    @cached_property
    def _addresses(self) -> dict[int, IPv4Address]:
        """By index."""
        return {
            index + n: IPv4Address(first + n)
            for _, first, count, index in self._pool_ranges()
            for n in range(count)
        }

    def _pool_ranges(self) -> Iterator[tuple[layout.Pool, int, int, int]]:
        """Each once, of the first pool that has it: first address, how many, index."""
        gateway, seen = self._gateway, set()
        for pool in gateway.pools[: gateway.pool_count]:
            for place in range(pool.first_range, pool.first_range + pool.range_count):
                one = gateway.pool_ranges[place]
                if one.index not in seen:
                    seen.add(one.index)
                    yield pool, one.first, one.count, one.index

    @staticmethod
    def _common_mask(rows: "Rows", wanted: Wanted) -> "NDArray[Any]":
        import numpy as np

        mask: NDArray[Any] = rows["protocol"] < len(PROTOCOLS)
        if wanted.protocol is not None:
            mask &= rows["protocol"] == PROTOCOLS[wanted.protocol]
        if wanted.inside is not None:
            mask &= is_in(rows["inside"], wanted.inside)
        if wanted.pool is not None:
            mask &= rows["pool"] == np.uint32(int(wanted.pool))
        return mask


def is_static(rows: "Rows") -> "NDArray[Any]":
    """Of bindings."""
    static: NDArray[Any] = (rows["flags"] & int(BindingFlag.BINDING_STATIC)) != 0
    return static


def is_stateful(gateway: layout.Gateway | None) -> bool:
    """Whether there is a pool4, and so anything to look at."""
    return gateway is not None and bool(gateway.flags & GatewayFlag.GATEWAY_STATEFUL)


def port_ranges(pairs: list[int], words: int) -> tuple[tuple[int, int], ...]:
    """Two blocks lie in each word: number of the first word + 1, 0: none."""
    firsts = [half - 1 for pair in pairs for half in (pair & 0xFFFF, pair >> 16) if half]
    return tuple(
        (first * PORTS_OF_WORD, (first + words) * PORTS_OF_WORD - 1) for first in sorted(firsts)
    )


def _blocks_of(pool: layout.Pool) -> int:
    """How many there are for clients: the ranges of protocols may differ, the widest counts."""
    size = pool.block_words * PORTS_OF_WORD
    used = {
        number
        for one in pool.ports
        for number in range(one.first // size, one.last // size + 1)
        if one.last
    }
    return len(used)
