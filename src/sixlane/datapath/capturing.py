# SPDX-License-Identifier: Apache-2.0
"""Packets as they come and as they leave, by programs that take the place of the usual ones for a
while: the same object over the same tables, with `capture`."""

import ctypes
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sixlane.bpf import Map, Object, ObjectProgram, RingBuffer, possible_cpus
from sixlane.datapath import layout
from sixlane.datapath.counters import read_reasons
from sixlane.datapath.layout import CaptureOutcome, Limit, Protocol, Reason
from sixlane.datapath.simulate import set_constants

Outcome = Literal["sent", "dropped", "passed"]
OUTCOMES: dict[Outcome, CaptureOutcome] = {
    "sent": CaptureOutcome.CAPTURE_SENT,
    "dropped": CaptureOutcome.CAPTURE_DROPPED,
    "passed": CaptureOutcome.CAPTURE_PASSED,
}
FRAME_BYTES = int(Limit.CAPTURE_BYTES_MAX)
_HEAD_BYTES = ctypes.sizeof(layout.Capture) - 2 * FRAME_BYTES


@dataclass(frozen=True)
class Rule:
    """Which packets, as they come in. None narrows nothing. `frame_bytes`: kept of each frame;
    `protocol`: "tcp", "udp" or "icmp" of either family; `port`: of either end of those two."""

    outcomes: frozenset[Outcome] = frozenset(OUTCOMES)
    packets_per_second: int = 10_000
    frame_bytes: int = FRAME_BYTES
    ifindex: int | None = None
    protocol: str | None = None
    port: int | None = None


@dataclass(frozen=True)
class Captured:
    """One packet. `time_ns` since the epoch; frames from the link header on, as much of them as was
    kept, with their whole lengths; `after`: what was sent in its place, None: nothing."""

    time_ns: int
    ifindex: int
    entry: Literal["xdp", "tc"]
    outcome: Outcome
    reasons: tuple[Reason, ...]
    before: bytes
    before_bytes: int
    after: bytes | None
    after_bytes: int


class CaptureReader:
    """What is captured, until it is closed; for any thread."""

    def __init__(self, opened: Object, counters: Map) -> None:
        self._lock = threading.Lock()
        self._ring: RingBuffer | None = RingBuffer(opened.maps["captures"])
        self._counters = counters
        self._missed = self._read_missed()

    def read(self, limit: int) -> list[Captured]:
        """Up to `limit` packets that are there now, the oldest first; none once it is closed."""
        with self._lock:
            records = self._ring.read(limit) if self._ring else []
        offset_ns = time.time_ns() - time.monotonic_ns()
        return [_decoded(record, offset_ns) for record in records]

    def missed(self) -> tuple[int, int]:
        """How many there were beside, since this was last asked: over the rate, and lost as
        nobody had read the ones before."""
        with self._lock:
            if self._ring is None:
                return 0, 0
            now = self._read_missed()
            before, self._missed = self._missed, now
        return now[0] - before[0], now[1] - before[1]

    @property
    def closed(self) -> bool:
        return self._ring is None

    def close(self) -> None:
        with self._lock:
            if self._ring is not None:
                self._ring.close()
                self._ring = None

    def _read_missed(self) -> tuple[int, int]:
        reasons = read_reasons(self._counters)
        return (
            reasons[Reason.CAPTURE_LIMITED].packets,
            reasons[Reason.CAPTURE_LOST].packets,
        )


@contextmanager
def capturing(
    path: Path, maps: Mapping[str, Map], constants: Mapping[str, int], rule: Rule
) -> Iterator[tuple[CaptureReader, Mapping[str, ObjectProgram]]]:
    """The object at `path` over `maps`, capturing; its programs are to be put in their places."""
    with Object.open(path) as opened:
        for name, map in maps.items():
            opened.maps[name].reuse(map)
        opened.maps["captures"].resize(Limit.CAPTURE_RING_BYTES)
        set_constants(opened, {**constants, "capture": 1})
        opened.load()
        opened.maps["capture_rules"].update(bytes(4), bytes(_layout(rule)))
        reader = CaptureReader(opened, maps["counters"])
        try:
            yield reader, opened.programs
        finally:
            reader.close()


def _layout(rule: Rule) -> layout.CaptureRule:
    return layout.CaptureRule(
        sum(OUTCOMES[one] for one in rule.outcomes),
        max(1, rule.packets_per_second // possible_cpus()),
        min(rule.frame_bytes, FRAME_BYTES),
        rule.ifindex or 0,
        0 if rule.protocol is None else Protocol[f"PROTOCOL_{rule.protocol.upper()}"] + 1,
        rule.port or 0,
    )


def _decoded(record: bytes, offset_ns: int) -> Captured:
    head = layout.Capture.from_buffer_copy(record.ljust(_SIZE, b"\0"))
    frames = record[_HEAD_BYTES:]
    sent = head.outcome != CaptureOutcome.CAPTURE_PASSED and head.after_bytes
    return Captured(
        head.time_ns + offset_ns,
        head.ifindex,
        "xdp" if head.entry == layout.Entry.ENTRY_XDP else "tc",
        next(name for name, value in OUTCOMES.items() if value == head.outcome),
        tuple(Reason(head.reasons[number]) for number in range(head.reason_count)),
        frames[: head.before_kept],
        head.before_bytes,
        frames[head.before_kept : head.before_kept + head.after_kept] if sent else None,
        head.after_bytes,
    )


_SIZE = ctypes.sizeof(layout.Capture)
