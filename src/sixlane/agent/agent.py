# SPDX-License-Identifier: Apache-2.0
"""The agent: what is desired, what is in force, and the way from one to the other.

An apply is planned, prepared, made and committed:

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
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import sixlane
from sixlane.agent.applier import Applier
from sixlane.agent.conditions import UNKNOWN, rfc3339
from sixlane.agent.desired import Merged, State, Stored, merged
from sixlane.agent.drops import DropReader
from sixlane.agent.edits import delete, put
from sixlane.agent.follow import Follower
from sixlane.agent.gateway import GatewayPart
from sixlane.agent.home import remember_home
from sixlane.agent.log import fields
from sixlane.agent.metrics import Durations, Metrics
from sixlane.agent.part import Part
from sixlane.agent.problems import not_found
from sixlane.agent.reconcile import Reconciler
from sixlane.agent.resolvers import ResolversPart
from sixlane.agent.settings import Settings
from sixlane.agent.standings import Standings
from sixlane.agent.store import Store
from sixlane.agent.ticker import Ticker
from sixlane.agent.transaction import Applied, Transaction, View
from sixlane.agent.watch import Entry, Hub, Watch
from sixlane.dns64 import Direct, Place, Units
from sixlane.errors import SixlaneError
from sixlane.model import Key, ResourceError

_log = logging.getLogger("sixlane.agent")


class Agent:
    """Open it, give it transactions, close it; closing leaves everything in force.

    All public methods but `close` may be called by any thread.
    """

    def __init__(self, store: Store, gateway: GatewayPart, resolvers: ResolversPart) -> None:
        self.settings = Settings()
        self._store = store
        self._gateway = gateway
        self._resolvers = resolvers
        self._parts: tuple[Part, ...] = (gateway, resolvers)
        self._state = store.load()
        self._since = time.time()
        self._applies_ok, self._applies_failed, self._apply_s = 0, 0, Durations()
        self._hub = Hub()
        self._applier = Applier()
        self._reconciler = Reconciler(
            self._parts, self._applier, self._desired, lambda: self._standings.look()
        )
        self._standings = Standings(self._parts, self._desired, self._reconciler, self._hub)
        self._follower: Follower | None = None
        self._ticker: Ticker | None = None
        self._standings.look()

    @classmethod
    def open(cls, settings: Settings) -> "Agent":
        """Adopt what is in force, and bring it to what is stored.

        Raises `SixlaneError` for what no later try can mend. Whatever else does not succeed is in
        the status and tried again.
        """
        remember_home(settings.run_dir)
        with ExitStack() as stack:
            store = stack.enter_context(Store(settings.store))
            gateway = GatewayPart(settings.bpffs, store)
            stack.callback(gateway.close)
            gateway.open()
            place = Place(settings.run_dir, settings.state_dir)
            supervisor = Units(settings.dns64_unit) if settings.dns64_unit else Direct()
            resolvers = ResolversPart(place, supervisor)
            agent = cls(store, gateway, resolvers)
            agent.settings = settings
            gateway.try_again = lambda: agent._reconciler.try_again(gateway)
            resolvers.try_again = lambda: agent._reconciler.try_again(resolvers)
            stack.callback(agent._stop)
            agent._follower = Follower(gateway.heard, agent._on_change)
            agent._applier.do(agent._reconciler.reconcile)
            agent._ticker = Ticker(agent._look)
            stack.pop_all()
        return agent

    def close(self) -> None:
        """Finish what is being applied, and let go."""
        self._stop()
        for part in self._parts:
            part.close()
        self._store.close()

    # ---- changes ----

    def apply(self, transaction: Transaction, *, dry_run: bool = False) -> Applied:
        """Put it in force and store it, or change nothing and raise `SixlaneError`."""
        try:
            return self._applier.do(
                lambda: self._counted(lambda: self._apply(transaction, dry_run))
            )
        except ResourceError as error:
            raise transaction.placed(error) from error

    def rollback(self, revision: int | None = None, *, dry_run: bool = False) -> Applied:
        """What was desired in an earlier revision (None: the one before) becomes the next one.

        Raises `NotFound` if the store does not go back so far.
        """
        return self._applier.do(lambda: self._counted(lambda: self._rollback(revision, dry_run)))

    def check(self) -> None:
        """Raises `SixlaneError` if what is to be done does not get done."""
        self._applier.check()

    def teardown(self) -> list[str]:
        """Remove everything and restore what was changed; what could not be, one line each."""
        return self._applier.do(self._teardown)

    # ---- what there is ----

    def revision(self) -> int:
        """Of all that is desired; 0: nobody has asked for anything yet."""
        return self._state.revision

    def resources(self, kind: str | None = None) -> list[View]:
        """All views, or those of one kind."""
        entries = self._hub.snapshot.entries
        return [entries[key].as_view() for key in sorted(entries) if kind in (None, key.kind)]

    def resource(self, key: Key) -> View:
        """Raises `NotFound`."""
        return self._entry(key).as_view()

    def stored(self, key: Key) -> Stored:
        """The resource as it is desired, without making data of it. Raises `NotFound`."""
        return self._entry(key).stored

    def history(self) -> list[dict[str, Any]]:
        """The last revisions, the newest first."""
        return [
            {
                "revision": entry.revision,
                "time": rfc3339(entry.time_s),
                "summary": entry.summary,
            }
            for entry in self._store.history()
        ]

    @contextmanager
    def watch(self, since: int | None = None) -> Iterator[Watch]:
        """Events from now on. `since`: see `sixlane.agent.watch`."""
        with self._hub.watch(since) as watch:
            yield watch

    def status(self) -> dict[str, Any]:
        """Plain data; see docs for its keys. `problems` is empty if all is well."""
        state, snapshot = self._state, self._hub.snapshot
        desired = state.resources()
        gateway = self._gateway.status(desired)
        resolvers = self._resolvers.status(desired)
        return {
            "version": sixlane.__version__,
            "pid": os.getpid(),
            "uptimeSeconds": round(time.time() - self._since),
            "revision": state.revision,
            "resources": [
                {
                    "kind": key.kind,
                    "name": key.name,
                    "generation": entry.stored.generation,
                    "observedGeneration": entry.standing.observed_generation,
                    "ready": entry.standing.ready,
                }
                for key, entry in sorted(snapshot.entries.items())
            ],
            "gateway": gateway,
            "dns64": resolvers,
            "problems": self._problems(gateway or {}, resolvers),
        }

    def drops(self) -> AbstractContextManager[DropReader]:
        """Dropped packets from now on, while the context is open."""
        return self._gateway.drops.listen()

    def counters(self) -> dict[str, Any]:
        """Packets and bytes by reason, and by prefix and direction."""
        counters = self._gateway.counters()
        if counters is None:
            return {"reasons": {}, "prefixes": {}}
        return {
            "reasons": {
                reason: {"packets": count.packets, "bytes": count.bytes}
                for reason, count in counters.reasons.items()
            },
            "prefixes": {
                name: {
                    str(direction): {"packets": count.packets, "bytes": count.bytes}
                    for direction, count in directions.items()
                }
                for name, directions in counters.prefixes.items()
            },
        }

    def doctor(self) -> dict[str, Any]:
        """What this machine can do, what is in the way, and what it costs: see `agent.doctor`."""
        from sixlane.agent.doctor import diagnose  # not needed before
        from sixlane.agent.doctor.known import with_store

        problems = tuple(self.status()["problems"])
        subject = with_store(self.settings, self._store)
        return dict(diagnose(replace(subject, agent_pid=os.getpid(), problems=problems)))

    def metrics(self) -> Metrics:
        snapshot, desired = self._hub.snapshot, self._state.resources()
        gateway = self._gateway.status(desired) or {"generation": None, "devices": ()}
        return Metrics(
            snapshot.revision,
            gateway["generation"],
            {one["name"]: one["up"] and one["attached"] != "no" for one in gateway["devices"]},
            self._applies_ok,
            self._applies_failed,
            self._apply_s.seen(),
            len(snapshot.entries),
            sum(entry.standing.ready for entry in snapshot.entries.values()),
            self._gateway.fill(desired),
        )

    # ---- jobs of the applier ----

    def _counted(self, job: Callable[[], Applied]) -> Applied:
        start = time.monotonic()
        try:
            applied = job()
        except BaseException:
            self._applies_failed += 1
            raise
        if not applied.dry_run:
            self._applies_ok += 1
            self._apply_s.note(time.monotonic() - start)
        return applied

    def _apply(
        self, transaction: Transaction, dry_run: bool, note: tuple[str, ...] = ()
    ) -> Applied:
        old = self._state
        result = merged(old, transaction)
        kinds = {key.kind for key in result.outcomes}
        plans = self._reconciler.plan(kinds, result.state.resources(), old.resources())
        changes = [line for _, plan in plans for line in plan.summary()]
        if not dry_run:
            if result.state is not old:
                self._store.prepare(old, result.state, (*note, *result.summary()))
            self._state = self._in_force(plans, old, result.state)
            self._reconciler.settle(plans)
            self._tell(result, (*note, *changes))
        return Applied(
            result.state.revision,
            result.outcomes,
            changes,
            dry_run,
            result.versions,
            self._views_of(result),
        )

    def _in_force(self, plans: Any, old: State, new: State) -> State:
        """Apply the plans and commit; the state that is desired then. Or put back, and raise."""
        try:
            self._reconciler.apply(plans)
            if new is not old:
                self._store.commit(new.revision)
        except BaseException as error:
            _log.error("not applied", extra=fields(revision=old.revision, error=error))
            self._reconciler.put_back(plans)
            raise
        return new

    def _tell(self, result: Merged, changes: Iterable[str]) -> None:
        revision = result.state.revision
        for key, outcome in result.outcomes.items():
            told = fields(revision=revision, kind=key.kind, name=key.name, outcome=outcome)
            level = logging.DEBUG if outcome == "unchanged" else logging.INFO
            _log.log(level, "applied", extra=told)
        for line in changes:
            _log.info("changed", extra=fields(revision=revision, change=line))

    def _rollback(self, revision: int | None, dry_run: bool) -> Applied:
        if revision is None:
            revision = self._state.revision - 1
        then = self._store.earlier(revision, self._state)
        edits = [
            delete(key, missing_ok=True) if resource is None else put(resource)
            for key, resource in then.items()
        ]
        return self._apply(Transaction(edits), dry_run, (f"rolled back to revision {revision}",))

    def _teardown(self) -> list[str]:
        self._store.clear()
        self._state = self._store.load()
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

    # ---- what happens by itself ----

    def _look(self) -> None:
        """Called by the ticker's thread."""
        for part in self._parts:
            if self._state.revision and part.look():
                self._applier.submit(partial(self._reconciler.reconcile_part, part))
        self._standings.look()

    def _on_change(self, kinds: set[str]) -> None:
        """Called by the follower's thread."""
        for part in self._parts:
            if part.has_drifted(kinds):
                self._applier.submit(partial(self._reconciler.reconcile_part, part))

    def _stop(self) -> None:
        self._hub.close()
        if self._follower is not None:
            self._follower.close()
        if self._ticker is not None:
            self._ticker.close()
        self._applier.close()

    # ---- data ----

    def _desired(self) -> State:
        return self._state

    def _entry(self, key: Key) -> Entry:
        entries = self._hub.snapshot.entries
        if key not in entries:
            raise not_found(str(key), (one.name for one in entries if one.kind == key.kind))
        return entries[key]

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

    def _problems(self, gateway: dict[str, Any], resolvers: list[dict[str, Any]]) -> list[str]:
        problems = self._reconciler.problems
        told = [f"{part}: {problem}" for part, problem in sorted(problems.items())]
        told += [f"gateway: {problem}" for problem in gateway.get("problems", ())]
        told += [
            f"dns64: {one['name']} is {one['state']}" + (f" ({one['note']})" if one["note"] else "")
            for one in resolvers
            if one["state"] != "running" and self._resolvers.name not in problems
        ]
        if self._store.refusal is not None:
            told.append(f"store: no change is taken: {self._store.refusal}")
        return told
