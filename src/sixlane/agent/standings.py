# SPDX-License-Identifier: Apache-2.0
"""How each resource does, looked at after each apply and now and then, and published."""

import itertools
import logging
import threading
import time
from collections.abc import Sequence

from sixlane.agent.conditions import UNKNOWN, Condition, Standing, dated, readiness
from sixlane.agent.desired import Present, State
from sixlane.agent.log import fields
from sixlane.agent.part import Part
from sixlane.agent.reconcile import Reconciler
from sixlane.agent.watch import Hub
from sixlane.errors import SixlaneError
from sixlane.model import Key

_log = logging.getLogger("sixlane.agent")


class Standings:
    """May be used by any thread; looking may take as long as the slowest part."""

    def __init__(
        self, parts: Sequence[Part], present: Present, reconciler: Reconciler, hub: Hub
    ) -> None:
        self._parts = {part.kind: part for part in parts}
        self._present = present
        self._reconciler = reconciler
        self._hub = hub
        self._looks = itertools.count()
        self._published = -1  # the number of the look that was published last
        self._lock = threading.Lock()

    def look(self) -> None:
        """Look at all, and publish what moved."""
        look = next(self._looks)
        state = self._present.state
        problems, observed = self._reconciler.problems, self._reconciler.observed
        found = {}
        for key, stored in state.objects.items():
            part = self._parts[key.kind]
            seen = self._conditions(part, key, state) if key in observed else ()
            at = observed.get(key, 0)
            problem = problems.get(part.name)
            found[key] = at, (readiness(seen, stored.generation, at, problem), *seen)
        with self._lock:
            if look > self._published and state is self._present.state:
                self._published = look
                self._publish(state, found)

    def _publish(self, state: State, found: dict[Key, tuple[int, tuple[Condition, ...]]]) -> None:
        before, now_s = self._hub.snapshot, time.time()
        standings: dict[Key, Standing] = {}
        for key, (observed, conditions) in found.items():
            old = before.entries.get(key)
            standings[key] = dated(old.standing if old else UNKNOWN, conditions, observed, now_s)
        self._hub.publish(before.after(state, standings))

    def _conditions(self, part: Part, key: Key, state: State) -> tuple[Condition, ...]:
        try:
            return tuple(part.conditions(state.objects[key].resource))
        except Exception as error:
            if not isinstance(error, SixlaneError):
                _log.error("a defect of sixlane", exc_info=error, extra=fields(part=part.name))
            what = str(error) or type(error).__name__
            return (Condition("Observed", "Unknown", "LookFailed", what),)
