# SPDX-License-Identifier: Apache-2.0
"""What an apply does, step by step.

It is planned, prepared, made and committed:

1. *Plan*: the transaction is merged with what is desired, and each part that it touches looks at
   the machine and says what has to change. Nothing has changed yet; most refusals end here.
2. *Prepare*: the new revision is written to the store, and does not count yet. A full disk or a
   file system that cannot be written ends here, before any packet could notice.
3. *Apply*: the parts, one after the other. The gateway's tables are written aside and come into
   force with the one write of the flip.
4. *Commit*: one number in the store says that the new revision counts. Only then is the apply
   acknowledged, so that what was acknowledged is on the disk.

Whatever fails in 3 or 4 is put back by planning for the old state. A kill before 4 leaves the old
or the new state in the kernel, and a start finds the old one in the store and ends in it: nobody
was told of the new one. The store is committed behind the flip and not before it, so that a start
never insists on what the machine has refused.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sixlane.agent.conditions import UNKNOWN
from sixlane.agent.desired import Merged, Present, State, merged
from sixlane.agent.edits import delete, put
from sixlane.agent.log import fields
from sixlane.agent.metrics import Durations
from sixlane.agent.part import Named, Part
from sixlane.agent.reconcile import Plans, Reconciler
from sixlane.agent.store import Store
from sixlane.agent.transaction import Applied, Transaction, View
from sixlane.agent.watch import Entry, Hub
from sixlane.errors import SixlaneError
from sixlane.model import Key

_log = logging.getLogger("sixlane.agent")

_TOLD = 100  # resources of a kind that the log names: of 10,000 lines, journald drops the rest


class Changes:
    """Jobs of the applier. `ok`, `failed`: how many there were; `took`: how long."""

    def __init__(
        self,
        parts: Sequence[Part],
        present: Present,
        store: Store,
        reconciler: Reconciler,
        hub: Hub,
    ) -> None:
        self._parts = parts
        self._present = present
        self._store = store
        self._reconciler = reconciler
        self._hub = hub
        self.ok, self.failed, self.took = 0, 0, Durations()

    def apply(self, transaction: Transaction, dry_run: bool) -> Applied:
        """All of it, or nothing and `SixlaneError`."""
        return self._counted(lambda: self._apply(transaction, dry_run))

    def rollback(self, revision: int | None, dry_run: bool) -> Applied:
        """What was desired in `revision` becomes the next one; None: in the one before."""
        if revision is None:
            revision = self._present.state.revision - 1
        note = f"rolled back to revision {revision}"
        return self._counted(lambda: self._apply(self._back_to(revision), dry_run, note))

    def teardown(self) -> list[str]:
        """Nothing is desired, and nothing in force; what could not be restored, one line each."""
        try:
            self._store.clear()
        except SixlaneError as error:
            raise SixlaneError(
                f"not torn down: {error.message}",
                "without an agent it can be: stop sixlaned, then sixlane teardown",
            ) from error
        self._present.state = self._store.load()
        lost: list[str] = []
        failed: list[SixlaneError] = []
        for part in self._parts:
            try:
                lost += part.remove()
            except SixlaneError as error:
                failed.append(error)
        if failed:
            raise failed[0]
        self._reconciler.forget()
        _log.info("torn down")
        return lost

    def _apply(self, transaction: Transaction, dry_run: bool, note: str = "") -> Applied:
        old = self._present.state
        result = merged(old, transaction)
        named = {
            key: stored.resource if (stored := result.state.objects.get(key)) else None
            for key in result.outcomes
        }
        plans = self._reconciler.plan(named, result.state.resources(), old.resources())
        changes = [line for _, plan in plans for line in plan.summary()]
        revision = result.state.revision
        if not dry_run:
            notes = [note] if note else []
            if result.state is not old:
                self._store.prepare(old, result.state, [*notes, *result.summary(), *changes], named)
            self._put_in_force(plans, result.state, named)
            _tell(result, [*notes, *changes])
        views = self._views_of(result)
        warnings = [*result.warnings, *(line for _, plan in plans for line in plan.warnings())]
        return Applied(
            revision, result.outcomes, changes, dry_run, result.versions, warnings, views
        )

    def _put_in_force(self, plans: Plans, new: State, named: Named) -> None:
        try:
            self._reconciler.apply(plans)
            if new is not self._present.state:
                self._store.commit(new.revision)
        except BaseException as error:
            revision = self._present.state.revision
            _log.error("not applied", extra=fields(revision=revision, error=error))
            self._reconciler.put_back(plans)
            raise
        self._present.state = new
        self._reconciler.settle(plans, named)

    def _back_to(self, revision: int) -> Transaction:
        then = self._store.earlier(revision, self._present.state)
        return Transaction(
            [
                delete(key, missing_ok=True) if resource is None else put(resource)
                for key, resource in then.items()
            ]
        )

    def _views_of(self, result: Merged) -> Callable[[], dict[Key, View | None]]:
        snapshot = self._hub.snapshot

        def view(key: Key) -> View | None:
            stored = result.state.objects.get(key)
            if stored is None:
                return None
            entry = snapshot.entries.get(key)
            standing = entry.standing if entry else UNKNOWN
            return Entry(stored, standing, result.state.revision).as_view()

        return lambda: {key: view(key) for key in result.outcomes}

    def _counted(self, job: Callable[[], Applied]) -> Applied:
        start = time.monotonic()
        try:
            applied = job()
        except BaseException:
            self.failed += 1
            raise
        if not applied.dry_run:
            self.ok += 1
            self.took.note(time.monotonic() - start)
        return applied


def _tell(result: Merged, changes: Iterable[str]) -> None:
    revision = result.state.revision
    outcomes = Counter((key.kind, outcome) for key, outcome in result.outcomes.items())
    many = {one for one, count in outcomes.items() if count > _TOLD}
    for kind, outcome in many:
        told = fields(revision=revision, kind=kind, count=outcomes[kind, outcome], outcome=outcome)
        _log.info("applied", extra=told)
    for key, outcome in result.outcomes.items():
        told = fields(revision=revision, kind=key.kind, name=key.name, outcome=outcome)
        quiet = outcome == "unchanged" or (key.kind, outcome) in many
        _log.log(logging.DEBUG if quiet else logging.INFO, "applied", extra=told)
    for line in changes:
        _log.info("changed", extra=fields(revision=revision, change=line))
