# SPDX-License-Identifier: Apache-2.0
"""DNS64 as a part of the agent."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Set
from typing import Any

from sixlane.agent.conditions import Condition, Truth
from sixlane.agent.log import fields
from sixlane.agent.part import Desired, Named
from sixlane.dns64 import (
    Asking,
    Direct,
    Observed,
    Place,
    Plan,
    Supervisor,
    Watcher,
    apply_dns64,
    check_dns64,
    dns64_status,
    listeners,
    observe_dns64,
    plan_dns64,
)
from sixlane.model import AnyResource, Dns64

_log = logging.getLogger("sixlane.dns64")


class ResolversPart:
    """Starts, watches and reloads named. `try_again()` is called when one has ended unasked, or
    could not be started, by a thread that must not be held up.
    """

    name = "dns64"
    kinds = reads = frozenset({"Dns64"})

    def __init__(self, place: Place, supervisor: Supervisor | None = None) -> None:
        self.try_again: Callable[[], None] = lambda: None
        self._place = place
        self._supervisor = supervisor or Direct()
        self._ended: Counter[str] = Counter()
        self._failed: dict[str, str] = {}  # by name: why it could not be put in force
        self._watcher: Watcher | None = None
        self._asking = Asking()
        self._running: dict[str, Observed] = {}
        self._lock = threading.Lock()  # of what runs

    def plan(self, desired: Desired, before: Desired, named: Named | None = None) -> Plan:
        observed = observe_dns64(self._place)
        plan = plan_dns64(_resolvers_of(desired), observed, self._place, _resolvers_of(before))
        return check_dns64(plan)

    def apply(self, plan: Plan) -> None:
        self._watch({})  # what ends now, ends because we say so
        try:
            failed = {**plan.refused, **apply_dns64(plan, self._place, self._supervisor)}
        finally:
            self._watch(observe_dns64(self._place))
        self._tell(failed)
        if failed:
            self.try_again()

    def settled(self, desired: Desired) -> None:
        """What is observed is observed anew each time."""

    def has_drifted(self, kinds: Set[str]) -> bool:
        """Whether one that could not be started may be by now. `kinds`: as of `net.monitor`."""
        return "address" in kinds and bool(self._failed)

    def look(self) -> bool:
        """Ends those that do not answer any more; they are started again as if they had crashed."""
        with self._lock:
            running = dict(self._running)
        asked = {
            name: (one.pid, listeners(one.text))
            for name, one in running.items()
            if one.pid is not None
        }
        for wedged in self._asking.round(asked):
            with self._lock:
                if self._running.get(wedged.name) is not running[wedged.name]:
                    continue  # it is being changed just now
                told = fields(kind="Dns64", name=wedged.name, pid=wedged.pid, why=wedged)
                _log.error("named is killed", extra=told)
                self._supervisor.kill(wedged.name, wedged.pid)
        return False

    def conditions(self, resource: AnyResource) -> list[Condition]:
        (told,) = self.status([resource])
        state, note = str(told["state"]), str(told["note"])
        answering: Truth = "True" if state == "running" else "False"
        message = "" if answering == "True" else f"named is {state}" + (f": {note}" if note else "")
        return [Condition("Answering", answering, state.capitalize(), message)]

    def status(self, desired: Desired) -> list[dict[str, Any]]:
        return [
            {
                **one,
                "note": "; ".join(
                    note for note in (self._failed.get(str(one["name"])), str(one["note"])) if note
                ),
                "restarts": self._ended[str(one["name"])],
            }
            for one in dns64_status(_resolvers_of(desired), self._place)
        ]

    def remove(self) -> list[str]:
        self.apply(plan_dns64((), observe_dns64(self._place), self._place))
        self._ended.clear()
        return []

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None

    def _watch(self, found: dict[str, Observed]) -> None:
        pids = {name: one.pid for name, one in found.items() if one.pid is not None}
        with self._lock:
            self._running = {name: found[name] for name in pids if found[name].here}
        if self._watcher is None:
            if not pids:
                return
            self._watcher = Watcher(self._note_end)
        self._watcher.watch(pids)

    def _note_end(self, name: str, pid: int) -> None:
        _log.warning("named has ended", extra=fields(kind="Dns64", name=name, pid=pid))
        self._ended[name] += 1
        self.try_again()

    def _tell(self, failed: dict[str, str]) -> None:
        """Each once, when it begins and when it ends."""
        before, self._failed = self._failed, failed
        for name, why in failed.items():
            if before.get(name) != why:
                _log.error("not in force", extra=fields(kind="Dns64", name=name, error=why))
        for name in before.keys() - failed.keys():
            _log.info("well again", extra=fields(kind="Dns64", name=name))


def _resolvers_of(desired: Desired) -> list[Dns64]:
    return [one for one in desired if isinstance(one, Dns64)]
