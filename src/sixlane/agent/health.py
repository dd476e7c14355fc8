# SPDX-License-Identifier: Apache-2.0
"""What is to be checked of services, and what is known of their backends by it.

Checks are made by another process (`sixlane-health`), which asks here what to do and tells what
came of it. What it last said holds, also while it is away. Whom it has said nothing of yet, is as
the kernel has it, so that neither its start nor the agent's changes anything: a backend that is in
the tables keeps its state, and one that comes anew gets no flows until its first good check.
"""

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from sixlane.agent.targets import Target, target_of
from sixlane.datapath.layout import BackendState
from sixlane.lb.judge import ACTIVE, TERMINATING, Naming
from sixlane.lb.observe import Present
from sixlane.model import BackendList, Service
from sixlane.model.addresses import AnyAddress

Word = Literal["unknown", "well", "quarantined"]

SILENT_S = 15.0
"""Whoever checks says something more often than that."""

_NAMING = BackendList.NAMING
_MOST_GONE = 10_000


class Report(NamedTuple):
    """What is told of one backend; times in seconds since 1970. `told`: the last result in words;
    `done`, `failed`, `not_made`: checks since the last report, `seconds`: of their answers."""

    id: str
    verdict: Word
    since: float
    damped: bool
    penalty: float
    changes: int
    well: bool
    told: str
    latency_s: float | None
    at: float | None
    done: int = 0
    failed: int = 0
    not_made: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class BackendHealth:
    """What is known of a backend by its checks. Times are in seconds since 1970.

    `verdict`: what holds, since `since`; `damped`: it stays quarantined for a time, as it flapped:
    `penalty` says how much. `result`: the last one in words, "" none yet; `latency_s`: how long its
    answer took, None: there was none; `checked_at`: when. `way`: "tunnel", as flows go; "direct",
    to the backend's own address. `is_made`: whether the last one was, or this machine lacked what
    `result` tells.
    """

    verdict: Word
    since: float
    way: Literal["tunnel", "direct"]
    result: str = ""
    is_well: bool | None = None
    latency_s: float | None = None
    checked_at: float | None = None
    damped: bool = False
    penalty: float = 0.0
    changes: int = 0
    is_made: bool = True


@dataclass
class ServiceCounts:
    """Of all checks of a service since the agent started."""

    done: int = 0
    failed: int = 0
    not_made: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class HealthMetrics:
    """`running`: somebody checks, None: nothing is to be checked. `backends`: by service, and by
    address and port as they are written; `counts`: by service."""

    running: bool | None = None
    backends: Mapping[str, Mapping[str, BackendHealth]] = field(default_factory=dict)
    counts: Mapping[str, ServiceCounts] = field(default_factory=dict)


@dataclass
class _Checked:
    """A service with checks, as it is in force. `version`: of its verdicts."""

    service: Service
    backends: dict[Naming, BackendHealth]
    targets: dict[Naming, Target]
    version: int = 0
    counts: ServiceCounts = field(default_factory=ServiceCounts)


class _Failing(NamedTuple):
    """What was worked out, and what from."""

    service: Service
    version: int
    present: Present | None
    failed: Set[Naming]


class Health:
    """For any thread. `on_change()` is called when backends are to get flows, or none, by their
    checks."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self.on_change = on_change
        self._lock = threading.Condition()
        self._epoch = os.urandom(6).hex()
        self._revision = 0
        self._checked: dict[str, _Checked] = {}
        self._tasks: dict[str, tuple[int, Target, tuple[str, Naming]]] = {}
        self._gone: deque[tuple[int, str]] = deque(maxlen=_MOST_GONE)
        self._failing: dict[str, _Failing] = {}
        self._heard: float | None = None

    # ---- what is planned by it ----

    def failing(self, service: Service, present: Present | None) -> Set[Naming]:
        """Backends that get no flows by their checks; the same object as long as it is the same.
        `present`: the service as the kernel has it."""
        with self._lock:
            checked = self._checked.get(service.name)
            version = checked.version if checked else -1
            before = self._failing.get(service.name)
            if (
                before
                and before.service is service
                and before.version == version
                and before.present is present
            ):
                return before.failed
            known = checked.backends if checked else {}
            failed: Set[Naming] = frozenset(
                row[:_NAMING]
                for row in service.spec.backends.rows
                if (
                    known[row[:_NAMING]].verdict
                    if row[:_NAMING] in known
                    else first_verdict(row, present)
                )
                != "well"
            )
            if before and before.failed == failed:
                failed = before.failed
            self._failing[service.name] = _Failing(service, version, present, failed)
            return failed

    def settle(
        self,
        service: Service,
        failed: Set[Naming],
        before: Present | None,
        after: Present,
        local: Set[AnyAddress],
    ) -> None:
        """A service is in force now; `failed`: what it was planned with; `before`: as it was;
        `local`: the host's addresses."""
        with self._lock:
            if service.spec.health_check is None:
                self._forget(service.name)
                return
            old = self._checked.get(service.name)
            known = old.backends if old else {}
            backends, targets, now = {}, {}, time.time()
            for row in service.spec.backends.rows:
                naming = row[:_NAMING]
                target = target_of(service, row, after.backends[naming].id, local)
                health = known.get(naming)
                if health is None:
                    word: Word = "well"
                    if naming in failed:
                        word = first_verdict(row, before)
                        word = "unknown" if word == "well" else word
                    health = BackendHealth(word, now, target.way)
                backends[naming] = replace(health, way=target.way)
                targets[naming] = target
            version = old.version + 1 if old else 0
            counts = old.counts if old else ServiceCounts()
            self._checked[service.name] = _Checked(service, backends, targets, version, counts)
            self._renew(service.name, old.targets if old else {}, targets)

    def settle_all(self, local: Set[AnyAddress]) -> None:
        """The host has other addresses now."""
        with self._lock:
            for name, one in self._checked.items():
                old = one.targets
                ids = {naming: target.id for naming, target in old.items()}
                one.targets = {
                    row[:_NAMING]: target_of(one.service, row, ids[row[:_NAMING]], local)
                    for row in one.service.spec.backends.rows
                }
                for naming, target in one.targets.items():
                    one.backends[naming] = replace(one.backends[naming], way=target.way)
                self._renew(name, old, one.targets)

    def remove(self, name: str) -> None:
        """A service is in force no more."""
        with self._lock:
            self._forget(name)

    def has_tunnels(self) -> bool:
        """Whether any check goes by a tunnel."""
        with self._lock:
            return any(
                target.mark is not None
                for one in self._checked.values()
                for target in one.targets.values()
            )

    # ---- who checks ----

    def tasks(self, after: str, wait_s: float) -> dict[str, Any]:
        """What is to be done: everything, or what has changed behind a version, as soon as there is
        any such thing, but for at most `wait_s` seconds."""
        with self._lock:
            self._heard = time.monotonic()
            known = self._revision_of(after)
            if known is not None and known == self._revision:
                self._lock.wait(wait_s)
                self._heard = time.monotonic()
            if known == self._revision:
                return {"version": after, "whole": False, "tasks": [], "gone": []}
            whole = known is None or bool(
                len(self._gone) == _MOST_GONE and known < self._gone[0][0]
            )
            since = -1 if whole or known is None else known
            return {
                "version": f"{self._epoch}-{self._revision}",
                "whole": whole,
                "tasks": [
                    self._task(id, target, where)
                    for id, (revision, target, where) in self._tasks.items()
                    if revision > since
                ],
                "gone": sorted(
                    {id for revision, id in self._gone if revision > since and not whole}
                    - self._tasks.keys()
                ),
            }

    def take(self, version: str, reports: Iterable[Report]) -> bool:
        """What came of checks; whether whoever tells it knows of this agent at all."""
        with self._lock:
            self._heard = time.monotonic()
            if self._revision_of(version) is None:
                return False
            changed = [self._take(report) for report in reports]
        if any(changed):
            self.on_change()
        return True

    @property
    def is_running(self) -> bool:
        """Whether anybody checks, as far as that can be known."""
        return self._heard is not None and time.monotonic() - self._heard < SILENT_S

    # ---- what there is to see ----

    def backends(self, name: str) -> Mapping[Naming, BackendHealth]:
        """Of a service, by address and port; none without checks."""
        with self._lock:
            checked = self._checked.get(name)
            return dict(checked.backends) if checked else {}

    def verdicts(self, name: str) -> Counter[Word] | None:
        """How many backends of a service there are of each; None: it has no checks."""
        with self._lock:
            checked = self._checked.get(name)
            if checked is None:
                return None
            return Counter(one.verdict for one in checked.backends.values())

    def metrics(self) -> HealthMetrics:
        with self._lock:
            backends = {
                name: {
                    BackendList.label(row): one.backends[row[:_NAMING]]
                    for row in one.service.spec.backends.rows
                }
                for name, one in self._checked.items()
            }
            counts = {name: replace(one.counts) for name, one in self._checked.items()}
        return HealthMetrics(self.is_running if backends else None, backends, counts)

    def _take(self, report: Report) -> bool:
        task = self._tasks.get(report.id)
        if task is None:
            return False
        name, naming = task[2]
        checked = self._checked[name]
        before = checked.backends[naming]
        counts = checked.counts
        counts.done += report.done
        counts.failed += report.failed
        counts.not_made += report.not_made
        counts.seconds += report.seconds
        same = (before.verdict, before.changes) == (report.verdict, report.changes)
        checked.backends[naming] = replace(
            before,
            verdict=report.verdict,
            since=before.since if same else report.since,
            result=report.told,
            is_well=report.well,
            latency_s=report.latency_s,
            checked_at=report.at,
            damped=report.damped,
            penalty=report.penalty,
            changes=report.changes,
            is_made=report.done > 0 or (before.is_made and not report.not_made),
        )
        moved = (before.verdict == "well") != (report.verdict == "well")
        checked.version += moved
        return moved

    def _task(self, id: str, target: Target, where: tuple[str, Naming]) -> dict[str, Any]:
        name, naming = where
        return {**target.data(id), "verdict": self._checked[name].backends[naming].verdict}

    def _renew(self, name: str, old: Mapping[Naming, Target], new: Mapping[Naming, Target]) -> None:
        changed = [naming for naming, target in new.items() if old.get(naming) != target]
        gone = old.keys() - new.keys()
        if not changed and not gone:
            return
        self._revision += 1
        for naming in changed:
            where = (name, naming)
            self._tasks[_id(name, naming)] = (self._revision, new[naming], where)
        for naming in gone:
            del self._tasks[_id(name, naming)]
            self._gone.append((self._revision, _id(name, naming)))
        self._lock.notify_all()

    def _forget(self, name: str) -> None:
        self._failing.pop(name, None)
        checked = self._checked.pop(name, None)
        if checked is not None:
            self._renew(name, checked.targets, {})

    def _revision_of(self, version: str) -> int | None:
        """None: of another agent, or of none."""
        epoch, _, revision = version.partition("-")
        known = epoch == self._epoch and revision.isascii() and revision.isdecimal()
        return int(revision) if known and int(revision) <= self._revision else None


def first_verdict(row: bytes, present: Present | None) -> Word:
    """Of a backend that nobody has told of yet: `row` of `BackendList`."""
    held = present.backends.get(row[:_NAMING]) if present else None
    asked = BackendList.ROW.unpack(row)[3]
    if held is None or held.state == BackendState.BACKEND_MAINTENANCE:
        return "unknown"
    as_asked = {
        ACTIVE: BackendState.BACKEND_ACTIVE,
        TERMINATING: BackendState.BACKEND_TERMINATING,
    }
    was_well = held.state in (BackendState.BACKEND_ACTIVE, as_asked.get(asked))
    return "well" if was_well else "quarantined"


def _id(name: str, naming: Naming) -> str:
    return f"{name}/{naming.hex()}"
