# SPDX-License-Identifier: Apache-2.0
"""The agent: what is desired, what is in force, and the way from one to the other."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from sixlane.agent.applier import Applier
from sixlane.agent.backend_edits import backend_of
from sixlane.agent.balanced import (
    backend_data,
    backends_data,
    service_count,
    service_counters,
)
from sixlane.agent.captures import Asked, Capture
from sixlane.agent.changes import Changes
from sixlane.agent.conditions import rfc3339
from sixlane.agent.desired import Present, Stored
from sixlane.agent.drops import DropReader
from sixlane.agent.follow import Follower
from sixlane.agent.gateway import GatewayPart
from sixlane.agent.health import BackendHealth, Report
from sixlane.agent.home import remember_home
from sixlane.agent.log import fields
from sixlane.agent.metrics import Metrics
from sixlane.agent.originals import GatewaysOriginals, PodsOriginals
from sixlane.agent.part import Part
from sixlane.agent.pod_service import PodService, pods_data
from sixlane.agent.pods import PodsPart
from sixlane.agent.problems import not_found
from sixlane.agent.reconcile import Reconciler
from sixlane.agent.report import counters_data, session_count_data, status_data
from sixlane.agent.resolvers import ResolversPart
from sixlane.agent.settings import Settings
from sixlane.agent.standings import Standings
from sixlane.agent.store import Store
from sixlane.agent.sweeper import Sweeper
from sixlane.agent.ticker import Ticker
from sixlane.agent.transaction import Applied, Transaction, View
from sixlane.agent.watch import Entry, Hub, Watch
from sixlane.datapath.imports import ImportName
from sixlane.datapath.sessions import ANY, Binding, Client, ClientOrder, Session, Wanted
from sixlane.dns64 import Direct, Place, Units
from sixlane.errors import ConfigError, SixlaneError
from sixlane.lb import ServiceUse
from sixlane.model import Key, ResourceError, Service

_log = logging.getLogger("sixlane.agent")


class Agent:
    """Open it, give it transactions, close it; closing leaves everything in force.

    All public methods but `close` may be called by any thread.
    """

    def __init__(
        self, store: Store, gateway: GatewayPart, resolvers: ResolversPart, pods: PodsPart
    ) -> None:
        self.settings = Settings()
        self._store = store
        self._gateway = gateway
        self._resolvers = resolvers
        self._pods = pods
        self._parts: tuple[Part, ...] = (gateway, resolvers, pods)
        self._present = Present(store.load())
        self._hub = Hub()
        self._applier = Applier()
        self._reconciler = Reconciler(
            self._parts, self._applier, self._present, lambda named: self._standings.look(named)
        )
        self._standings = Standings(self._parts, self._present, self._reconciler, self._hub)
        self._changes = Changes(
            self._parts, self._present, self._store, self._reconciler, self._hub
        )
        self._judging = False
        self._follower: Follower | None = None
        self._ticker: Ticker | None = None
        self._sweeper: Sweeper | None = None
        self._standings.look()

    @classmethod
    def open(cls, settings: Settings) -> "Agent":
        """Adopt what is in force, and bring it to what is stored.

        Raises `SixlaneError` for what no later try can mend. Whatever else does not succeed is in
        the status and tried again.
        """
        try:
            remember_home(settings.run_dir)
        except OSError as error:  # a full disk; only a teardown without an agent would need it
            _log.error("not written down", extra=fields(what="the network namespace", error=error))
        with ExitStack() as stack:
            store = stack.enter_context(Store(settings.store))
            gateway = GatewayPart(settings.bpffs, GatewaysOriginals(store))
            stack.callback(gateway.close)
            gateway.open(store.load().resources())
            place = Place(settings.run_dir, settings.state_dir)
            supervisor = Units(settings.dns64_unit) if settings.dns64_unit else Direct()
            resolvers = ResolversPart(place, supervisor)
            pods = PodsPart(settings.pods_bpffs, settings.leases, PodsOriginals(store))
            stack.callback(pods.close)
            gateway.on_translator = pods.translate
            agent = cls(store, gateway, resolvers, pods)
            agent.settings = settings
            pods.try_again = lambda: agent._reconciler.try_again(pods)
            gateway.try_again = lambda: agent._reconciler.try_again(gateway)
            pods.on_sizes = lambda: agent._on_sizes()
            resolvers.try_again = lambda: agent._reconciler.try_again(resolvers)
            gateway.health.on_change = lambda: agent._on_verdicts()
            stack.callback(agent._stop)
            agent._follower = Follower(agent._heard, agent._on_change, gateway.is_native)
            agent._applier.do(agent._reconciler.reconcile)
            agent._ticker = Ticker(agent._look)
            agent._sweeper = Sweeper(gateway)
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
            return self._applier.do(lambda: self._changes.apply(transaction, dry_run))
        except ResourceError as error:
            raise transaction.placed(error) from error

    def rollback(self, revision: int | None = None, *, dry_run: bool = False) -> Applied:
        """What was desired in an earlier revision (None: the one before) becomes the next one.

        Raises `NotFound` if the store does not go back so far.
        """
        return self._applier.do(lambda: self._changes.rollback(revision, dry_run))

    def check(self) -> None:
        """Raises `SixlaneError` if what is to be done does not get done."""
        self._applier.check()

    def teardown(self) -> list[str]:
        """Remove everything and restore what was changed; what could not be, one line each."""
        return self._applier.do(self._changes.teardown)

    # ---- what there is ----

    def revision(self) -> int:
        """Of all that is desired; 0: nobody has asked for anything yet."""
        return self._present.state.revision

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
        state = self._present.state
        desired = state.resources()
        has_services = any(isinstance(one, Service) for one in desired)
        return status_data(
            self._hub.snapshot,
            self._gateway.status(desired),
            self._resolvers.status(desired),
            self._pods.status(desired),
            self._reconciler.problems,
            self._store.refusal,
            self._gateway.balanced() if has_services else None,
            orphaned=state.revision == 0 and self._gateway.is_in_force(),
        )

    @property
    def pods(self) -> PodService:
        """What container runtimes ask is asked of this."""
        return self._pods.service

    def pods_data(self) -> list[dict[str, Any]]:
        """What each pod of this node has, by its attachment."""
        return pods_data(self._pods.service.all())

    def big_tcp_data(self) -> list[dict[str, Any]]:
        """How large the packets of each device of pods, and of uplinks, may be, and why."""
        return self._pods.big_tcp()

    def drops(self) -> AbstractContextManager[DropReader]:
        """Dropped packets from now on, while the context is open."""
        return self._gateway.drops.listen()

    def capture(self, asked: Asked) -> AbstractContextManager[Capture]:
        """Packets as they come and as they leave: see `sixlane.agent.captures`."""
        return self._gateway.capture(asked)

    def counters(self) -> dict[str, Any]:
        """Packets and bytes by reason, and by prefix and direction."""
        return counters_data(self._gateway.counters())

    def backends(self, service: str) -> dict[str, Any]:
        """Of a service, as desired, each with how it does and what it gets. Raises `NotFound`."""
        stored, resource = self._service(service)
        use = next(iter(self._gateway.service_uses(service)), None)
        items = backends_data(resource, use, self.backend_health(service))
        return {"resourceVersion": stored.version, "items": items}

    def backend(self, service: str, naming: bytes) -> dict[str, Any]:
        """One of them. Raises `NotFound`."""
        _, resource = self._service(service)
        backend = backend_of(resource, naming)
        uses = (one for use in self._gateway.service_uses(service) for one in use.backends)
        use = next((one for one in uses if one.naming == naming), None)
        return backend_data(backend, use, self.backend_health(service).get(naming))

    def service_counts(self) -> list[dict[str, Any]]:
        """What each service in force carries, by name."""
        return list(map(service_count, self._gateway.service_uses()))

    def service_counters(self, service: str) -> dict[str, Any]:
        """What one carries, with its frontends and backends. Raises `NotFound`."""
        self._service(service)
        nothing = ServiceUse(service, (), ())
        return service_counters(next(iter(self._gateway.service_uses(service)), nothing))

    def sessions(self, wanted: Wanted = ANY, limit: int | None = None) -> Iterator[list[Session]]:
        """Those that live, in blocks, as they are read; none without a pool4."""
        records = self._gateway.session_records()
        return records.sessions(wanted, limit) if records else iter(())

    def exported_sessions(self) -> Iterator[list[Session]]:
        """As `sessions`, for another gateway."""
        records = self._gateway.session_records()
        return records.exported() if records else iter(())

    def import_sessions(self, sessions: Sequence[Session]) -> list[ImportName]:
        """Make sessions of another gateway here; what became of each.

        ConfigError: there is no pool4.
        """
        results = self._gateway.import_sessions(sessions)
        if results is None:
            raise ConfigError("no pool4 is in force", "apply a Gateway that has the same one first")
        return results

    def bindings(self, wanted: Wanted = ANY, limit: int | None = None) -> Iterator[list[Binding]]:
        """As `sessions`."""
        records = self._gateway.session_records()
        return records.bindings(wanted, limit) if records else iter(())

    def clients(
        self, wanted: Wanted = ANY, limit: int | None = None, order: ClientOrder | None = None
    ) -> Iterator[list[Client]]:
        """As `sessions`; `order`: those with the most first."""
        records = self._gateway.session_records(clients=True)
        return records.clients(wanted, limit, order) if records else iter(())

    def session_count(self, wanted: Wanted = ANY) -> dict[str, Any]:
        """How many sessions live, and how full the tables and pool4 are."""
        return session_count_data(self._gateway.session_records(clients=True, pools=True), wanted)

    def trace(self, packets: Sequence[Mapping[str, str]], device: str | None) -> list[Any]:
        """What would become of packets: see `sixlane.nat64.trace`."""
        return self._gateway.trace(packets, device)

    def doctor(self) -> dict[str, Any]:
        """What this machine can do, what is in the way, and what it costs: see `agent.doctor`."""
        from sixlane.agent.doctor import diagnose  # not needed before
        from sixlane.agent.doctor.known import with_store

        problems = tuple(self.status()["problems"])
        subject = with_store(self.settings, self._store)
        leases = tuple(self._pods.service.all())
        known = replace(
            subject,
            agent_pid=os.getpid(),
            problems=problems,
            leases=leases,
            health=self._gateway.health.metrics(),
        )
        return dict(diagnose(known))

    def health_tasks(self, after: str, wait_s: float) -> dict[str, Any]:
        """What is to be checked: see `sixlane.agent.health`."""
        return self._gateway.health.tasks(after, wait_s)

    def take_health(self, version: str, reports: Sequence[Report]) -> bool:
        """What came of checks; whether whoever tells it has its tasks from this agent."""
        return self._gateway.health.take(version, reports)

    def backend_health(self, service: str) -> Mapping[bytes, BackendHealth]:
        """What is known of a service's backends by checks, by address and port."""
        return self._gateway.health.backends(service)

    def metrics(self) -> Metrics:
        snapshot, desired = self._hub.snapshot, self._present.state.resources()
        gateway = self._gateway.status(desired) or {"generation": None, "devices": ()}
        records = self._gateway.session_records(clients=True, pools=True)
        return Metrics(
            snapshot.revision,
            gateway["generation"],
            {one["name"]: one["up"] and one["attached"] != "no" for one in gateway["devices"]},
            self._changes.ok,
            self._changes.failed,
            self._changes.took.seen(),
            len(snapshot.entries),
            sum(entry.standing.ready for entry in snapshot.entries.values()),
            {**self._gateway.fill(desired), **(records.fill() if records else {})},
            records.count() if records else {},
            records.pool_use() if records else [],
            self._gateway.session_log.lost,
            self._gateway.health.metrics(),
            self._gateway.service_uses(),
            self._pods.metrics(),
            self._pods.service.requests.results(),
            self._pods.service.requests.took(),
        )

    # ---- what happens by itself ----

    def _look(self) -> None:
        """Called by the ticker's thread."""
        for part in self._parts:
            try:
                drifted = bool(self._present.state.revision) and part.look()
            except SixlaneError as error:  # the other parts are looked at all the same
                _log.error("cannot look", extra=fields(part=part.name, error=error))
                continue
            if drifted:
                self._applier.submit(partial(self._reconciler.reconcile_part, part))
        self._standings.look()

    def _heard(self, kinds: set[str]) -> None:
        """Called by the follower's thread that hears: packets take their old ways until this."""
        self._gateway.heard(kinds)
        self._pods.heard(kinds)

    def _on_change(self, kinds: set[str]) -> None:
        """Called by the follower's thread."""
        for part in self._parts:
            if part.has_drifted(kinds):
                self._applier.submit(partial(self._reconciler.reconcile_part, part))

    def _on_sizes(self) -> None:
        """Called by the applier's thread: what a Gateway offers depends on what its devices do."""

        def job() -> None:
            if self._gateway.has_drifted({"link"}):
                self._reconciler.reconcile_part(self._gateway)

        self._applier.submit(job)

    def _on_verdicts(self) -> None:
        """Called by any thread: what checks found out comes together as long as it waits."""
        if not self._judging:
            self._judging = True
            self._applier.submit(self._judge_again)

    def _judge_again(self) -> None:
        """Called by the applier's thread."""
        self._judging = False
        state = self._present.state
        if state.revision == 0:
            return
        try:
            plan = self._gateway.judge_again(state.resources())
        except SixlaneError as error:
            _log.error("not in force", extra=fields(part=self._gateway.name, error=error))
            plan = None
        if plan is None:
            self._reconciler.reconcile_part(self._gateway)
            return
        for line in plan.summary():
            _log.info("changed by checks", extra=fields(part=self._gateway.name, change=line))
        self._standings.look()

    def _stop(self) -> None:
        self._hub.close()
        if self._follower is not None:
            self._follower.close()
        if self._ticker is not None:
            self._ticker.close()
        if self._sweeper is not None:
            self._sweeper.close()
        self._applier.close()

    # ---- data ----

    def _service(self, name: str) -> tuple[Stored, Service]:
        stored = self.stored(Key("Service", name))
        assert isinstance(stored.resource, Service)
        return stored, stored.resource

    def _entry(self, key: Key) -> Entry:
        entries = self._hub.snapshot.entries
        if key not in entries:
            raise not_found(str(key), (one.name for one in entries if one.kind == key.kind))
        return entries[key]
