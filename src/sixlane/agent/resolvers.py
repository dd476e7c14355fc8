# SPDX-License-Identifier: Apache-2.0
"""DNS64 as a part of the agent."""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from sixlane.agent.conditions import Condition
from sixlane.agent.log import fields
from sixlane.agent.part import Desired
from sixlane.dns64 import (
    Place,
    Plan,
    Watcher,
    apply_dns64,
    check_dns64,
    dns64_status,
    observe_dns64,
    plan_dns64,
)
from sixlane.model import AnyResource, Dns64

_log = logging.getLogger("sixlane.dns64")


class ResolversPart:
    """Starts, watches and reloads named; `try_again()` is called when one has ended unasked, by a
    thread that must not be held up.
    """

    name = "dns64"
    kind = "Dns64"

    def __init__(self, place: Place) -> None:
        self.try_again: Callable[[], None] = lambda: None
        self._place = place
        self._ended: Counter[str] = Counter()
        self._watcher: Watcher | None = None

    def plan(self, desired: Desired, before: Desired) -> Plan:
        plan = plan_dns64(_resolvers_of(desired), observe_dns64(self._place), self._place)
        check_dns64(plan)
        return plan

    def apply(self, plan: Plan) -> None:
        self._watch({})  # what ends now, ends because we say so
        try:
            apply_dns64(plan, self._place)
        finally:
            found = observe_dns64(self._place)
            self._watch({name: one.pid for name, one in found.items() if one.pid is not None})

    def settled(self, desired: Desired) -> None:
        """What is observed is observed anew each time."""

    def look(self) -> bool:
        return False

    def conditions(self, resource: AnyResource) -> list[Condition]:
        told = self.status([resource])
        state, note = (told[0]["state"], told[0]["note"]) if told else ("stopped", "")
        if state == "running":
            return [Condition("Answering", "True", "Running")]
        return [
            Condition("Answering", "False", "NotRunning", f"{state} ({note})" if note else state)
        ]

    def status(self, desired: Desired) -> list[dict[str, Any]]:
        return [
            {**one, "restarts": self._ended[str(one["name"])]}
            for one in dns64_status(_resolvers_of(desired), self._place)
        ]

    def remove(self) -> list[str]:
        self.apply(plan_dns64((), observe_dns64(self._place), self._place))
        return []

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None

    def _watch(self, pids: dict[str, int]) -> None:
        if self._watcher is None:
            if not pids:
                return
            self._watcher = Watcher(self._note_end)
        self._watcher.watch(pids)

    def _note_end(self, name: str, pid: int) -> None:
        _log.warning("named has ended", extra=fields(kind="Dns64", name=name, pid=pid))
        self._ended[name] += 1
        self.try_again()


def _resolvers_of(desired: Desired) -> list[Dns64]:
    return [one for one in desired if isinstance(one, Dns64)]
