# SPDX-License-Identifier: Apache-2.0
"""Events: one record for each dropped packet, while somebody asks for them.

The kernel's side is `bpf/sixlane/event.h`. Records come through the map `events`; `monitors` says
whether there are any, and how many a second each CPU may send. What was not sent is in `counters`:
`event_limited` (over that rate) and `event_lost` (the ring was full).
"""

import ctypes
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from types import TracebackType
from typing import Literal, Self

from sixlane.bpf import Map, RingBuffer, possible_cpus
from sixlane.datapath import layout
from sixlane.datapath.counters import read_reasons
from sixlane.datapath.layout import Reason

EVENTS_PER_SECOND = 5_000
"""Of all CPUs together: what a reader keeps up with beside its other work."""

_ETH_P_IP = 0x0800
_ZERO = bytes(4)


@dataclass(frozen=True, slots=True)
class DropEvent:
    """A dropped packet.

    `time_ns`: since the epoch. `l3_bytes`: as in the counters. `family`: 4, 6, or None if
    the frame ends before that. What follows is None where the packet could not be read so far;
    `protocol` is the one behind IPv6's extension headers. `head`: the first bytes of layer 3.
    """

    time_ns: int
    reason: Reason
    ifindex: int
    entry: Literal["xdp", "tc"]
    l3_bytes: int
    family: Literal[4, 6] | None
    src: IPv4Address | IPv6Address | None
    dst: IPv4Address | IPv6Address | None
    protocol: int | None
    ports: tuple[int, int] | None
    icmp: tuple[int, int] | None
    fragment: bool
    head: bytes


@dataclass(frozen=True, slots=True)
class Missed:
    """Events that there were no records of: over the rate, and for want of room in the ring."""

    limited: int
    lost: int

    def __add__(self, other: "Missed") -> "Missed":
        return Missed(self.limited + other.limited, self.lost + other.lost)

    def __sub__(self, other: "Missed") -> "Missed":
        return Missed(self.limited - other.limited, self.lost - other.lost)

    def __bool__(self) -> bool:
        return bool(self.limited or self.lost)


class EventReader:
    """The one reader of a data path's events: opening it switches them on, closing it off.

    Not for several threads at once. It has descriptors of its own and may outlive the `Datapath`.
    """

    def __init__(self, maps: Mapping[str, Map], events_per_second: int = EVENTS_PER_SECOND) -> None:
        """`events_per_second`: of all CPUs together, spread evenly."""
        self._monitors = Map.from_id(maps["monitors"].info.id)
        self._counters = Map.from_id(maps["counters"].info.id)
        self._ring = RingBuffer(maps["events"])
        while self._ring.read(1000):  # of somebody before us
            pass
        self._missed = self._read_missed()
        each = max(1, events_per_second // possible_cpus())
        switch(self._monitors, layout.Monitor(enabled=1, events_per_second=each))

    def fileno(self) -> int:
        """Readable while there are events."""
        return self._ring.fileno()

    def read(self, limit: int) -> list[DropEvent]:
        """Up to `limit` events that are there now, the oldest first."""
        records = self._ring.read(limit)
        offset_ns = time.time_ns() - time.monotonic_ns()
        return [decode(record, offset_ns) for record in records]

    def missed(self) -> Missed:
        """Events that were not sent since the last call of this method."""
        now = self._read_missed()
        since, self._missed = now - self._missed, now
        return since

    def close(self) -> None:
        switch(self._monitors, layout.Monitor())
        self._ring.close()
        self._monitors.close()
        self._counters.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read_missed(self) -> Missed:
        reasons = read_reasons(self._counters)
        return Missed(
            reasons[Reason.EVENT_LIMITED].packets,
            reasons[Reason.EVENT_LOST].packets,
        )


def switch(monitors: Map, monitor: layout.Monitor) -> None:
    """Says whether there are events; `layout.Monitor()`: none."""
    monitors.update(_ZERO, bytes(monitor))


def decode(record: bytes, offset_ns: int) -> DropEvent:
    """`offset_ns`: from the monotonic clock to the time since the epoch."""
    raw = layout.DropEvent.from_buffer_copy(record)
    addresses = bool(raw.flags & layout.EventFlag.EVENT_ADDRESSES)
    is_v4 = raw.ethertype == _ETH_P_IP
    return DropEvent(
        time_ns=raw.time_ns + offset_ns,
        reason=Reason(raw.reason),
        ifindex=raw.ifindex,
        entry="xdp" if raw.entry == layout.Entry.ENTRY_XDP else "tc",
        l3_bytes=raw.bytes,
        family=(4 if is_v4 else 6) if raw.ethertype else None,
        src=_address(raw.src, is_v4) if addresses else None,
        dst=_address(raw.dst, is_v4) if addresses else None,
        protocol=raw.protocol if addresses else None,
        ports=(raw.src_port, raw.dst_port) if raw.flags & layout.EventFlag.EVENT_PORTS else None,
        icmp=(raw.icmp_type, raw.icmp_code) if raw.flags & layout.EventFlag.EVENT_ICMP else None,
        fragment=bool(raw.flags & layout.EventFlag.EVENT_FRAGMENT),
        head=ctypes.string_at(raw.head, raw.head_bytes),
    )


def _address(canonical: layout.Addr, is_v4: bool) -> IPv4Address | IPv6Address:
    if is_v4:
        return IPv4Address(canonical.lo & 0xFFFFFFFF)
    return IPv6Address(canonical.hi << 64 | canonical.lo)
