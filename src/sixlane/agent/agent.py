# SPDX-License-Identifier: Apache-2.0
"""The agent: what is desired, what is in force, and the way from one to the other."""

import logging
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import sixlane
from sixlane.agent.applier import Applier
from sixlane.agent.backoff import Backoff
from sixlane.agent.drops import DropReader
from sixlane.agent.follow import Follower
from sixlane.agent.gateway import GatewayPart
from sixlane.agent.home import remember_home
from sixlane.agent.part import Part, PartPlan
from sixlane.agent.resolvers import ResolversPart
from sixlane.agent.settings import Settings
from sixlane.agent.store import Store, Stored
from sixlane.agent.transaction import Applied, Outcome, Transaction
from sixlane.dns64 import Place
from sixlane.errors import SixlaneError
from sixlane.model import AnyResource, Key, check_together

_log = logging.getLogger("sixlane.agent")

_FOR_THE_GATEWAY = {"link", "address", "rule", "route"}
_FOR_NEXT_HOPS = {"link", "route", "rule", "neighbour", "address"}


class Agent:
    """Open it, give it transactions, close it; closing leaves everything in force.

    `apply`, `teardown`, `status`, `resources` and `counters` may be called by any thread.
    """

    def __init__(self, store: Store, gateway: GatewayPart, resolvers: ResolversPart) -> None:
        self._store = store
        self._gateway = gateway
        self._resolvers = resolvers
        self._parts: tuple[Part, ...] = (gateway, resolvers)
        self._generation, self._objects = store.load()
        self._reached = {part.name: 0 for part in self._parts}  # the last generation in force
        self._problems: dict[str, str] = {}
        self._backoff = {part.name: Backoff() for part in self._parts}
        self._waiting: set[str] = set()  # parts that will be tried again
        self._since = time.time()
        self._applier = Applier()
        self._follower: Follower | None = None

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
            resolvers = ResolversPart(place)
            agent = cls(store, gateway, resolvers)
            gateway.try_again = lambda: agent._try_again(gateway)
            resolvers.try_again = lambda: agent._try_again(resolvers)
            stack.callback(agent._stop)
            agent._follower = Follower(agent._on_change)
            agent._applier.do(agent._reconcile)
            stack.pop_all()
        return agent

    def close(self) -> None:
        """Finish what is being applied, and let go."""
        self._stop()
        for part in self._parts:
            part.close()
        self._store.close()

    # ---- for the API ----

    def apply(self, transaction: Transaction, *, dry_run: bool = False) -> Applied:
        """Put it in force and store it, or change nothing and raise `SixlaneError`."""
        return self._applier.do(lambda: self._apply(transaction, dry_run))

    def check(self) -> None:
        """Raises `SixlaneError` if what is to be done does not get done."""
        self._applier.check()

    def teardown(self) -> list[str]:
        """Remove everything and restore what was changed; what could not be, one line each."""
        return self._applier.do(self._teardown)

    def resources(self) -> list[dict[str, Any]]:
        """What is desired, in the form that `apply` takes."""
        return [stored.resource.as_data() for _, stored in sorted(self._objects.items())]

    def status(self) -> dict[str, Any]:
        """Plain data; see docs for its keys. `problems` is empty if all is well."""
        objects = self._objects
        desired = _resources(objects)
        gateway = self._gateway.status(desired)
        resolvers = self._resolvers.status(desired)
        problems = [f"{part}: {problem}" for part, problem in sorted(self._problems.items())]
        problems += [f"gateway: {problem}" for problem in (gateway or {}).get("problems", ())]
        problems += [
            f"dns64: {one['name']} is {one['state']}" + (f" ({one['note']})" if one["note"] else "")
            for one in resolvers
            if one["state"] != "running" and "dns64" not in self._problems
        ]
        return {
            "version": sixlane.__version__,
            "pid": os.getpid(),
            "uptimeSeconds": round(time.time() - self._since),
            "generation": self._generation,
            "observedGeneration": min(self._reached.values()),
            "resources": [
                {"kind": key.kind, "name": key.name, "generation": stored.generation}
                for key, stored in sorted(objects.items())
            ],
            "gateway": gateway,
            "dns64": resolvers,
            "problems": problems,
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

    # ---- jobs of the applier ----

    def _apply(self, transaction: Transaction, dry_run: bool) -> Applied:
        old = self._objects
        new, outcomes = _merged(old, transaction, self._generation + 1)
        desired = _resources(new)
        check_together(desired)
        plans = [(part, part.plan(desired, _resources(old))) for part in self._parts]
        changes = [line for _, plan in plans for line in plan.summary()]
        changed = any(outcome != "unchanged" for outcome in outcomes.values())
        generation = self._generation + changed
        if dry_run:
            return Applied(generation, outcomes, changes, dry_run=True)
        try:
            self._apply_plans(plans)
            if changed:
                put = [one.resource for one in new.values() if one.generation == generation]
                self._store.save(generation, put, transaction.delete)
        except BaseException as error:
            _log.error("not applied: %s", error)
            self._put_back(old)
            raise
        self._generation, self._objects = generation, new
        self._settled()
        for line in changes:
            _log.info("generation %d: %s", generation, line)
        return Applied(generation, outcomes, changes)

    def _apply_plans(self, plans: Sequence[tuple[Part, PartPlan]]) -> None:
        for part, plan in plans:
            part.apply(plan)

    def _put_back(self, old: dict[Key, Stored]) -> None:
        """Bring back what was in force before an apply that failed half-way."""
        before = _resources(old)
        for part in self._parts:
            try:
                part.apply(part.plan(before, before))
            except Exception as error:
                self._note_failure(part, error)
        self._gateway.settled(before)

    def _reconcile(self) -> None:
        """Bring every part to what is desired, each by itself."""
        for part in self._parts:
            self._reconcile_part(part)

    def _reconcile_part(self, part: Part) -> None:
        desired = _resources(self._objects)
        try:
            plan = part.plan(desired, desired)
            part.apply(plan)
        except Exception as error:
            self._note_failure(part, error)
            return
        finally:
            self._gateway.settled(desired)
        for line in plan.summary():
            _log.info("%s", line)
        if self._problems.pop(part.name, None):
            _log.info("%s: well again", part.name)
        self._reached[part.name] = self._generation

    def _note_failure(self, part: Part, error: Exception) -> None:
        problem = str(error) or type(error).__name__
        if not isinstance(error, SixlaneError):
            _log.error("%s: a defect of sixlane", part.name, exc_info=error)
        elif self._problems.get(part.name) != problem:
            _log.error("%s: %s", part.name, problem)
        self._problems[part.name] = problem
        self._try_again(part)

    def _settled(self) -> None:
        self._problems.clear()
        self._reached = dict.fromkeys(self._reached, self._generation)
        self._gateway.settled(_resources(self._objects))

    def _teardown(self) -> list[str]:
        self._generation, self._objects = self._store.clear(), {}
        lost: list[str] = []
        failed: list[SixlaneError] = []
        for part in self._parts:
            try:
                lost += part.remove()
            except SixlaneError as error:
                failed.append(error)
        if failed:
            raise failed[0]
        self._settled()
        _log.info("torn down")
        return lost

    # ---- what happens by itself ----

    def _try_again(self, part: Part) -> None:
        if part.name in self._waiting:
            return
        self._waiting.add(part.name)

        def job() -> None:
            self._waiting.discard(part.name)
            self._reconcile_part(part)

        self._applier.after(self._backoff[part.name].next(), job)

    def _on_change(self, kinds: set[str]) -> None:
        """Called by the follower's thread."""
        if kinds & _FOR_NEXT_HOPS:
            self._gateway.forget_next_hops()
        if kinds & _FOR_THE_GATEWAY and self._gateway.has_drifted():
            self._applier.submit(lambda: self._reconcile_part(self._gateway))
        if "address" in kinds and self._resolvers.name in self._problems:
            self._applier.submit(lambda: self._reconcile_part(self._resolvers))

    def _stop(self) -> None:
        if self._follower is not None:
            self._follower.close()
        self._applier.close()


def _resources(objects: dict[Key, Stored]) -> list[AnyResource]:
    return [objects[key].resource for key in sorted(objects)]


def _merged(
    old: dict[Key, Stored], transaction: Transaction, generation: int
) -> tuple[dict[Key, Stored], dict[Key, Outcome]]:
    """What is desired after the transaction, and what it does to each resource that it names."""
    new = dict(old)
    outcomes: dict[Key, Outcome] = {}
    for key in transaction.delete:
        outcomes[key] = "deleted" if new.pop(key, None) else "unchanged"
    for resource in transaction.put:
        before = old.get(resource.key)
        if before is not None and before.resource == resource:
            outcomes[resource.key] = "unchanged"
            continue
        outcomes[resource.key] = "changed" if before is not None else "created"
        new[resource.key] = Stored(resource, generation)
    return new, outcomes
