# SPDX-License-Identifier: Apache-2.0
"""Dropped packets, told to everybody who listens; nothing is collected while nobody does."""

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from sixlane.agent import threads
from sixlane.agent.log import fields
from sixlane.datapath.events import DropEvent, EventReader, Missed
from sixlane.errors import SixlaneError
from sixlane.net import link

_log = logging.getLogger("sixlane.drops")

Told = dict[str, Any]
"""An event as plain data, or {"lost": n, "limited": m}: events of which there is no more to say."""

_QUEUE = 2_000  # events that one listener may be behind
_BATCH = 1_000
_BETWEEN_BATCHES_MS = 50
_BETWEEN_COUNTS_MS = 500

_PROTOCOLS = {
    1: "icmp",
    4: "ipip",
    6: "tcp",
    17: "udp",
    33: "dccp",
    41: "ipv6",
    44: "ipv6-frag",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "icmpv6",
    60: "ipv6-opts",
    132: "sctp",
    136: "udplite",
}


class DropReader:
    """One listener's events, in order. A slow listener loses events, and is told how many."""

    def __init__(self) -> None:
        self._events: deque[Told] = deque()
        self._missed = Missed(0, 0)
        self._told_at = time.monotonic()
        self._changed = threading.Condition()

    def next(self, timeout_s: float) -> Told | None:
        """The next event, or how many were missed; None if there is nothing in that time."""
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._missed, timeout_s)
            overdue = time.monotonic() - self._told_at > 1
            if self._missed and (overdue or not self._events):
                missed, self._missed = self._missed, Missed(0, 0)
                self._told_at = time.monotonic()
                return {"lost": missed.lost, "limited": missed.limited}
            return self._events.popleft() if self._events else None

    def put(self, events: Sequence[Told], missed: Missed) -> None:
        """For the thread that collects; never waits."""
        with self._changed:
            room = max(0, _QUEUE - len(self._events))
            self._events.extend(events[:room])
            self._missed += missed + Missed(0, max(0, len(events) - room))
            self._changed.notify_all()


class Drops:
    """Collects while there is a data path and somebody listens. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Callable[[], EventReader] | None = None
        self._listeners: tuple[DropReader, ...] = ()
        self._collector: _Collector | None = None

    def offer(self, events: Callable[[], EventReader]) -> None:
        """There is a data path now; `events` opens its reader."""
        with self._lock:
            self._open = events
            if self._listeners:
                try:
                    self._start()
                except SixlaneError as error:
                    _log.error("no events of dropped packets", extra=fields(error=error))

    def withdraw(self) -> None:
        """The data path is about to go. Whoever listens goes on and may get another one's."""
        with self._lock:
            self._stop()
            self._open = None

    @contextmanager
    def listen(self) -> Iterator[DropReader]:
        """Events from now on. SixlaneError if they cannot be had."""
        reader = DropReader()
        with self._lock:
            self._start()
            self._listeners += (reader,)
        try:
            yield reader
        finally:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not reader)
                if not self._listeners:
                    self._stop()

    def _start(self) -> None:
        if self._collector is None and self._open is not None:
            self._collector = _Collector(self._open(), self._tell)

    def _stop(self) -> None:
        collector, self._collector = self._collector, None
        if collector is not None:
            collector.close()

    def _tell(self, events: Sequence[Told], missed: Missed) -> None:
        for listener in self._listeners:
            listener.put(events, missed)


class _Collector:
    """The thread that reads the ring. It takes batches: an event at a time would cost a wake-up
    each."""

    def __init__(self, reader: EventReader, tell: Callable[[Sequence[Told], Missed], None]) -> None:
        self._reader = reader
        self._tell = tell
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threads.start("drops", self._run)

    def close(self) -> None:
        """Switch the events off."""
        os.eventfd_write(self._end, 1)
        self._thread.join()
        os.close(self._end)

    def _run(self) -> None:
        either, end = select.poll(), select.poll()
        for poll in (either, end):
            poll.register(self._end, select.POLLIN)
        either.register(self._reader, select.POLLIN)
        try:
            with self._reader:
                while not end.poll(_BETWEEN_BATCHES_MS):
                    either.poll(_BETWEEN_COUNTS_MS)
                    events = [as_data(event) for event in self._reader.read(_BATCH)]
                    self._tell(events, self._reader.missed())
        except SixlaneError as error:
            _log.error("no more events of dropped packets", extra=fields(error=error))


def as_data(event: DropEvent) -> Told:
    """An event as the API tells it. Keys of what could not be read are None or not there."""
    data: Told = {
        "time": rfc3339(event.time_ns),
        "reason": event.reason.name.lower(),
        "device": link.name_or_number(event.ifindex),
        "entry": event.entry,
        "bytes": event.l3_bytes,
        "src": _text(event.src),
        "dst": _text(event.dst),
        "protocol": None if event.protocol is None else _protocol(event.protocol),
    }
    if event.ports:
        data["srcPort"], data["dstPort"] = event.ports
    if event.icmp:
        data["icmpType"], data["icmpCode"] = event.icmp
    if event.fragment:
        data["fragment"] = True
    return data | {"head": event.head.hex(), "summary": summary(event)}


def summary(event: DropEvent) -> str:
    """One line: "udp 192.0.2.1:4000 > 198.51.100.2:53, 60 bytes"."""
    size = f"{event.l3_bytes} bytes"
    if event.src is None or event.dst is None or event.protocol is None:
        return f"{f'IPv{event.family}' if event.family else 'a frame'}, not readable, {size}"
    what = _protocol(event.protocol)
    if event.icmp:
        what += " type {} code {}".format(*event.icmp)
    source, destination = (
        endpoint(address, event.ports[index] if event.ports else None)
        for index, address in enumerate((event.src, event.dst))
    )
    fragment = ", fragment" if event.fragment else ""
    return f"{what} {source} > {destination}, {size}{fragment}"


def endpoint(address: IPv4Address | IPv6Address, port: int | None) -> str:
    """As it is written in URLs; without a port, the address alone."""
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _protocol(number: int) -> str:
    return _PROTOCOLS.get(number, str(number))


def _text(address: IPv4Address | IPv6Address | None) -> str | None:
    return None if address is None else str(address)


def rfc3339(time_ns: int) -> str:
    seconds, rest_ns = divmod(time_ns, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
