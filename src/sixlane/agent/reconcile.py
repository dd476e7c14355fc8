# SPDX-License-Identifier: Apache-2.0
"""The parts brought to what is desired, each by itself, and again when that did not succeed."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from sixlane.agent.applier import Applier
from sixlane.agent.backoff import Backoff
from sixlane.agent.desired import Present
from sixlane.agent.log import fields
from sixlane.agent.part import Desired, Named, Part, PartPlan
from sixlane.errors import SixlaneError
from sixlane.model import Key, ResourceError

_log = logging.getLogger("sixlane.agent")

Plans = Sequence[tuple[Part, PartPlan]]


class Reconciler:
    """Works in the applier's thread; `on_end()` hears of each end of an attempt, and what it was
    about; None: everything."""

    def __init__(
        self,
        parts: Sequence[Part],
        applier: Applier,
        present: Present,
        on_end: Callable[[Collection[Key] | None], None],
    ) -> None:
        self._parts = parts
        self._applier = applier
        self._present = present
        self._on_end = on_end
        self._problems: dict[str, str] = {}
        self._observed: dict[Key, int] = {}
        self._backoff = {part.name: Backoff() for part in parts}
        self._waiting: set[str] = set()  # parts that will be tried again

    @property
    def problems(self) -> Mapping[str, str]:
        """By the part's name: why it is not as it should be."""
        return dict(self._problems)

    @property
    def observed(self) -> Mapping[Key, int]:
        """The generation of each resource that was last put in force."""
        return dict(self._observed)

    # ---- an apply ----

    def plan(self, named: Named, desired: Desired, before: Desired) -> Plans:
        """What has to change for the parts of what is named. Raises `ResourceError` about what no
        part puts in force."""
        _refuse_without_part(named, self._parts)
        kinds = {key.kind for key in named}
        parts = [part for part in self._parts if not part.reads.isdisjoint(kinds)]
        return [(part, part.plan(desired, before, named)) for part in parts]

    def apply(self, plans: Plans) -> None:
        for part, plan in plans:
            part.apply(plan)

    def settle(self, plans: Plans, named: Collection[Key]) -> None:
        """What is desired now is what was applied. Raises nothing: that cannot be undone."""
        desired = self._present.state.resources()
        were_well = not any(part.name in self._problems for part, _ in plans)
        for part, _ in plans:
            self._well(part, named)
            self._look_back(part, desired)
        self._on_end(named if were_well else None)

    def put_back(self, plans: Plans) -> None:
        """Bring back what is desired, after an apply of something else that failed half-way."""
        desired = self._present.state.resources()
        for part, _ in plans:
            try:
                part.apply(part.plan(desired, desired))
            except Exception as error:
                self._note_failure(part, error)
            self._look_back(part, desired)
        self._on_end(None)

    # ---- by itself ----

    def reconcile(self) -> None:
        for part in self._parts:
            self.reconcile_part(part)

    def reconcile_part(self, part: Part) -> None:
        """In revision 0 nobody has asked for anything, and what is in force is left alone: a store
        that was lost must not stop what forwards.
        """
        state = self._present.state
        if state.revision == 0:
            return
        desired = state.resources()
        try:
            plan = part.plan(desired, desired)
            part.apply(plan)
        except Exception as error:
            self._note_failure(part, error)
        else:
            for line in plan.summary():
                _log.info("changed by itself", extra=fields(part=part.name, change=line))
            self._well(part)
        self._look_back(part, desired)
        self._on_end(None)

    def try_again(self, part: Part) -> None:
        """Some time later; may be called by any thread."""
        if part.name in self._waiting:
            return
        self._waiting.add(part.name)

        def job() -> None:
            self._waiting.discard(part.name)
            self.reconcile_part(part)

        self._applier.after(self._backoff[part.name].next(), job)

    def forget(self) -> None:
        """After a teardown: nothing is in force."""
        self._problems.clear()
        self._observed.clear()
        self._on_end(None)

    def _look_back(self, part: Part, desired: Desired) -> None:
        """A part that cannot even look, for want of descriptors or memory, is tried again."""
        try:
            part.settled(desired)
        except Exception as error:
            defect = None if isinstance(error, SixlaneError) else error
            told = fields(part=part.name, error=error)
            _log.error("cannot look at what was done", exc_info=defect, extra=told)
            self.try_again(part)

    def _well(self, part: Part, named: Collection[Key] | None = None) -> None:
        """All of the part is in force; `named`: the rest of it was before."""
        objects = self._present.state.objects
        if self._problems.pop(part.name, None):
            _log.info("well again", extra=fields(part=part.name))
            named = None
        observed = dict(self._observed)
        for key in {*observed, *objects} if named is None else named:
            if key.kind in part.kinds:
                observed.pop(key, None)
                if key in objects:
                    observed[key] = objects[key].generation
        self._observed = observed

    def _note_failure(self, part: Part, error: Exception) -> None:
        problem = str(error) or type(error).__name__
        if not isinstance(error, SixlaneError):
            _log.error("a defect of sixlane", exc_info=error, extra=fields(part=part.name))
        elif self._problems.get(part.name) != problem:
            _log.error("not in force", extra=fields(part=part.name, error=problem))
        self._problems[part.name] = problem
        self.try_again(part)


def _refuse_without_part(named: Named, parts: Iterable[Part]) -> None:
    known = frozenset().union(*(part.kinds for part in parts))
    for key, resource in named.items():
        if resource is not None and key.kind not in known:
            what = f"this agent cannot put a {key.kind} in force"
            raise ResourceError(what, ("kind",), "it is of a later version", where=str(key))
