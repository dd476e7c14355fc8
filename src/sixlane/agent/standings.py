# SPDX-License-Identifier: Apache-2.0
"""How each resource does, looked at after each apply and now and then, and published."""

import itertools
import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sixlane.agent.conditions import UNKNOWN, Condition, Standing, dated, readiness
from sixlane.agent.desired import Present, State, Stored
from sixlane.agent.log import fields
from sixlane.agent.part import Part
from sixlane.agent.reconcile import Reconciler
from sixlane.agent.watch import Hub
from sixlane.errors import SixlaneError
from sixlane.model import Key

_log = logging.getLogger("sixlane.agent")


_MANY = {"Service"}
"""Kinds of which there may be thousands; a change to one of these is no matter for the others."""


@dataclass(frozen=True)
class _Seen:
    """What was found about a resource. `observed`: the generation that is in force; `problem`: why
    its part could not put it in force."""

    stored: Stored
    conditions: tuple[Condition, ...]
    observed: int
    problem: str | None

    def unless_same(self, before: "_Seen | None") -> "_Seen":
        """The object of before if nothing moved."""
        same = (
            before is not None
            and self.stored is before.stored
            and self.conditions is before.conditions
            and (self.observed, self.problem) == (before.observed, before.problem)
        )
        return before if before is not None and same else self

    def with_readiness(self) -> tuple[Condition, ...]:
        found = self.conditions
        return readiness(found, self.stored.generation, self.observed, self.problem), *found


class Standings:
    """May be used by any thread; looking may take as long as the slowest part."""

    def __init__(
        self, parts: Sequence[Part], present: Present, reconciler: Reconciler, hub: Hub
    ) -> None:
        self._parts = {kind: part for part in parts for kind in part.kinds}
        self._present = present
        self._reconciler = reconciler
        self._hub = hub
        self._looks = itertools.count()
        self._published = -1  # the number of the look that was published last
        self._seen: dict[Key, _Seen] = {}  # as of the last look
        self._told: dict[Key, _Seen] = {}  # as published
        self._lock = threading.Lock()

    def look(self, named: Collection[Key] | None = None) -> None:
        """Look at what is named, None: at all, and publish what moved."""
        look = next(self._looks)
        state = self._present.state
        problems, observed = self._reconciler.problems, self._reconciler.observed
        if named is not None and not _MANY.issuperset(key.kind for key in named):
            named = None
        if named is None:
            for gone in (*(self._seen.keys() - state.objects.keys()),):
                self._seen.pop(gone, None)
                self._told.pop(gone, None)
        found = {}
        for key in state.objects if named is None else named:
            stored = state.objects.get(key)
            if stored is None:
                continue
            part = self._parts[key.kind]
            seen = self._conditions(part, key, state) if key in observed else ()
            now = _Seen(stored, seen, observed.get(key, 0), problems.get(part.name))
            found[key] = self._seen[key] = now.unless_same(self._seen.get(key))
        with self._lock:
            if look > self._published and state is self._present.state:
                self._published = look
                self._publish(state, found, named)

    def _publish(
        self, state: State, found: Mapping[Key, "_Seen"], named: Collection[Key] | None
    ) -> None:
        before, now_s = self._hub.snapshot, time.time()
        standings: dict[Key, Standing] = {}
        for key, seen in found.items():
            old = before.entries.get(key)
            if old is not None and seen is self._told.get(key):
                standings[key] = old.standing
                continue
            standing = old.standing if old else UNKNOWN
            standings[key] = dated(standing, seen.with_readiness(), seen.observed, now_s)
            self._told[key] = seen
        self._hub.publish(before.after(state, standings, named))

    def _conditions(self, part: Part, key: Key, state: State) -> tuple[Condition, ...]:
        try:
            return tuple(part.conditions(state.objects[key].resource))
        except Exception as error:
            if not isinstance(error, SixlaneError):
                _log.error("a defect of sixlane", exc_info=error, extra=fields(part=part.name))
            what = str(error) or type(error).__name__
            return (Condition("Observed", "Unknown", "LookFailed", what),)
