# SPDX-License-Identifier: Apache-2.0
"""Who wants to hear of changes is told of them, at his own pace.

A watcher has no queue. It remembers what it was told last, and compares that with what is published
now; whoever is slow misses what came between, and never what came of it. So it needs no more memory
than two snapshots that share what did not change, and the applier never waits for it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Literal

from sixlane.agent.conditions import Standing
from sixlane.agent.desired import KEPT_REVISIONS, State, Stored
from sixlane.model import API_VERSION, Key

EventType = Literal["put", "deleted", "synced"]


@dataclass(frozen=True)
class Entry:
    """One resource as it is published. `touched`: the revision in which `standing` last moved."""

    stored: Stored
    standing: Standing
    touched: int

    def as_view(self) -> dict[str, Any]:
        """What `apply` takes, with what the agent knows about it."""
        return {**self.stored.as_data(), "status": self.standing.as_data()}


@dataclass(frozen=True)
class Snapshot:
    """All that is desired, and how it does, at one moment."""

    revision: int = 0
    entries: Mapping[Key, Entry] = field(default_factory=dict)
    gone: Mapping[Key, int] = field(default_factory=dict)

    def after(
        self,
        state: State,
        standings: Mapping[Key, Standing],
        named: Collection[Key] | None = None,
    ) -> "Snapshot":
        """The next one; what did not change is carried over. `named`: nothing else has."""
        entries = {} if named is None else dict(self.entries)
        for key in state.objects if named is None else named:
            stored = state.objects.get(key)
            if stored is None:
                entries.pop(key, None)
                continue
            old = self.entries.get(key)
            standing = standings[key]
            if old is None or old.standing is not standing:
                entries[key] = Entry(stored, standing, state.revision)
            elif old.stored is not stored:
                entries[key] = replace(old, stored=stored)
            else:
                entries[key] = old
        if state.revision == self.revision and entries == dict(self.entries):
            return self
        return Snapshot(state.revision, entries, state.gone)


@dataclass(frozen=True)
class Event:
    """`resume`: what `watch(since)` takes to go on behind this event; None: it cannot yet."""

    type: EventType
    revision: int
    resume: int | None
    _make: Callable[[], Any] = field(repr=False, compare=False)

    @cached_property
    def data(self) -> dict[str, Any]:
        """Plain data: `resource` is the view; of a deleted one, only what names it.

        "synced" has `resources` instead, the names of all that there are: whoever knows of more
        has missed that they were deleted.
        """
        told = "resources" if self.type == "synced" else "resource"
        return {"type": self.type, "revision": self.revision, told: self._make()}


class Hub:
    """Holds the snapshot of now. May be used by any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._snapshot = Snapshot()
        self._closed = False

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    def publish(self, snapshot: Snapshot) -> None:
        with self._changed:
            if snapshot is not self._snapshot:
                self._snapshot = snapshot
                self._changed.notify_all()

    def close(self) -> None:
        """Watchers hear no more, and those that wait wake up."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @contextmanager
    def watch(self, since: int | None) -> Iterator["Watch"]:
        """`since`: the `resume` of the last event that was seen; None: begin with all there is."""
        yield Watch(self, since)

    def wait(self, seen: Snapshot | None, timeout_s: float) -> Snapshot | None:
        """A snapshot other than `seen`, as soon as there is one; None if not, or if closed."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._closed and self._snapshot is seen:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)
            return None if self._closed else self._snapshot

    @property
    def closed(self) -> bool:
        return self._closed


class Watch:
    """What one watcher was told. For one thread at a time."""

    def __init__(self, hub: Hub, since: int | None) -> None:
        self._hub = hub
        self._since = since
        self._told: Snapshot | None = None
        self._pending: deque[Event] = deque()

    @property
    def closed(self) -> bool:
        """The agent ends: there will be no more."""
        return self._hub.closed and not self._pending

    def next(self, timeout_s: float) -> Event | None:
        """The next event; None if there is none within the time, or the agent ends."""
        if not self._pending:
            now = self._hub.wait(self._told, timeout_s)
            if now is None:
                return None
            self._pending.extend(self._events(now))
            self._told = now
        return self._pending.popleft() if self._pending else None

    def _events(self, now: Snapshot) -> list[Event]:
        if self._told is None:
            return _first_events(now, self._since)
        return _numbered(_difference(self._told.entries, now), now, self._told.revision)


def _first_events(now: Snapshot, since: int | None) -> list[Event]:
    """What changed since then and, if that is too long ago, all there is; "synced" ends it."""
    known: Mapping[Key, Entry | None] = {}
    if since is not None and now.revision - KEPT_REVISIONS <= since <= now.revision:
        known = {
            **{
                key: entry
                for key, entry in now.entries.items()
                if entry.stored.revision <= since and entry.touched < since
            },
            **{key: None for key, at in now.gone.items() if at > since},
        }
    names = [{"kind": key.kind, "name": key.name} for key in sorted(now.entries)]
    synced = Event("synced", now.revision, now.revision, lambda: names)
    return _numbered([*_difference(known, now), synced], now, None)


def _difference(known: Mapping[Key, Entry | None], now: Snapshot) -> list[Event]:
    events = []
    for key in sorted(known.keys() - now.entries.keys()):
        name = {"apiVersion": API_VERSION, "kind": key.kind, "metadata": {"name": key.name}}
        events.append(Event("deleted", now.revision, None, partial(dict, name)))
    for key in sorted(now.entries):
        entry = now.entries[key]
        if known.get(key) is not entry:
            events.append(Event("put", now.revision, None, entry.as_view))
    return events


def _numbered(events: list[Event], now: Snapshot, before: int | None) -> list[Event]:
    """Only the last event of one change says that the change has been told."""
    if events:
        events = [
            *(replace(event, resume=before) for event in events[:-1]),
            replace(events[-1], resume=now.revision),
        ]
    return events
