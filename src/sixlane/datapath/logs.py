# SPDX-License-Identifier: Apache-2.0
"""The log of sessions and of port blocks: one record for each that begins or ends.

The kernel's side is `bpf/sixlane/log.h`; flags in the tables say which of them there are. Records
come through the map `session_events`, which is pinned: they wait for a reader that is not there.
Those that it had no room for are in `counters`, as `session_log_lost`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from types import TracebackType
from typing import Self

from sixlane.bpf import Map, RingBuffer
from sixlane.datapath import layout
from sixlane.datapath.layout import SessionEventKind
from sixlane.datapath.sessions import PROTOCOL_NAMES, ProtocolName

_BLOCKS = (SessionEventKind.SESSION_EVENT_BLOCK_GIVEN, SessionEventKind.SESSION_EVENT_BLOCK_BACK)
_BEGINNINGS = (SessionEventKind.SESSION_EVENT_BLOCK_GIVEN, SessionEventKind.SESSION_EVENT_MADE)


@dataclass(frozen=True, slots=True)
class BlockEvent:
    """A client has got a block of ports, of all protocols, or has it no more. `time_ns`: since the
    epoch; `first` and `last`: ports."""

    time_ns: int
    given: bool
    client: IPv6Network
    pool: IPv4Address
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """A session was made, or has ended. Addresses with ports; of ICMP, `inside` and `pool` with
    their identifiers, `remote` with 0."""

    time_ns: int
    made: bool
    protocol: ProtocolName
    inside: tuple[IPv6Address, int]
    pool: tuple[IPv4Address, int]
    remote: tuple[IPv4Address, int]


class LogReader:
    """The one reader of a data path's log. What it does not read stays for the next one.

    Not for several threads at once. It may outlive the `Datapath`.
    """

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._ring = RingBuffer(maps["session_events"])

    def fileno(self) -> int:
        """Readable while there are records."""
        return self._ring.fileno()

    def read(self, limit: int) -> list[BlockEvent | SessionEvent]:
        """Up to `limit` records that are there now, the oldest first."""
        records = self._ring.read(limit)
        offset_ns = time.time_ns() - time.monotonic_ns()
        return [decode(record, offset_ns) for record in records]

    def close(self) -> None:
        self._ring.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def decode(record: bytes, offset_ns: int) -> BlockEvent | SessionEvent:
    """`offset_ns`: from the monotonic clock to the time since the epoch."""
    raw = layout.SessionEvent.from_buffer_copy(record)
    inside = raw.inside.hi << 64 | raw.inside.lo
    begins = raw.kind in _BEGINNINGS
    if raw.kind in _BLOCKS:
        return BlockEvent(
            raw.time_ns + offset_ns,
            begins,
            IPv6Network((inside, raw.client_bits)),
            IPv4Address(raw.pool),
            raw.pool_port,
            raw.last_port,
        )
    return SessionEvent(
        raw.time_ns + offset_ns,
        begins,
        PROTOCOL_NAMES[raw.protocol],
        (IPv6Address(inside), raw.inside_port),
        (IPv4Address(raw.pool), raw.pool_port),
        (IPv4Address(raw.remote), raw.remote_port),
    )
