# SPDX-License-Identifier: Apache-2.0
"""The data path with the `Gateway` and the `Service`s in it, as a part of the agent."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sixlane.agent.announcing import Announcing
from sixlane.agent.backoff import Backoff
from sixlane.agent.balanced import balanced_status
from sixlane.agent.captures import Asked, Capture, narrowed
from sixlane.agent.choice import Choice
from sixlane.agent.conditions import Condition, Truth
from sixlane.agent.drops import Drops
from sixlane.agent.health import Health
from sixlane.agent.log import fields
from sixlane.agent.natives import Natives
from sixlane.agent.pace import Pace
from sixlane.agent.part import Desired, Named
from sixlane.agent.services import (
    Balancing,
    Planned,
    beside,
    service_room_for,
    services_of,
)
from sixlane.agent.session_log import Keeper
from sixlane.bpf import Program
from sixlane.bpf.pcap import Filter
from sixlane.datapath import NOTHING_SWEPT, Counters, Datapath, Swept
from sixlane.datapath.imports import ImportName
from sixlane.datapath.layout import Limit
from sixlane.datapath.sessions import Session, SessionRecords
from sixlane.errors import ConfigError, KernelError, SixlaneError
from sixlane.lb import ServiceUse
from sixlane.lb.way import remove_way
from sixlane.model import AnyResource, Gateway, ResourceError, Service
from sixlane.nat64 import (
    Done,
    Network,
    Observed,
    Originals,
    Plan,
    Trouble,
    Use,
    apply_gateway,
    attached_one,
    bindings,
    choose_devices,
    device_troubles,
    gateway_status,
    namespace_name,
    observe_gateway,
    plan_gateway,
    plan_segments,
    remove_slow_path,
    restore_originals,
    room_for,
    trace,
    unsettled_troubles,
    withdraw,
)
from sixlane.net.monitor import KINDS, OF_WAYS

_log = logging.getLogger("sixlane.gateway")

_FOR_DEVICES = {"link", "address"}
_FOR_SETTINGS = {"link", "setting"}
_FOR_CHECKS = {"link", "route", "rule"}
_TRANSLATOR = "uplink_tc"
_REST = 20.0  # how many times as long as a look the pause behind it is
_NO_SLOW_PATH = Trouble("", "SlowPathAbsent", "it is not there: nothing can be fragmented")


class GatewayPart:
    """Opens the data path when it is first needed; closing it leaves it forwarding.

    It must hear of all changes of the network (`heard`) from before it makes its first plan.
    `try_again()` is called when a device could not be attached to; `on_translator(program)` with
    the program that translates, whenever it comes into force, and with None before it goes.
    """

    name = "gateway"
    kinds = reads = frozenset({"Gateway", "Service"})

    def __init__(self, pins: Path, originals: Originals) -> None:
        self.try_again: Callable[[], None] = lambda: None
        self.on_translator: Callable[[Program | None], None] = lambda _: None
        self._pins = pins
        self._originals = originals
        self.drops = Drops()
        self.session_log = Keeper()
        self.health = Health()
        self._capture: Capture | None = None
        self._datapath: Datapath | None = None
        self._balancing: Balancing | None = None  # with the data path
        self._lock = threading.RLock()
        self._gateway: Gateway | None = None
        self._planned_from: Observed | None = None
        self._alone = False  # whether the last plan was for services alone
        self._now: Observed | None = None  # at the last look
        self._used: tuple[Use, ...] = ()
        self._bound: dict[str, int] = {}  # as kept in the originals
        self._failed: list[Trouble] = []
        self._unsettled: list[Trouble] = []
        self._pool4: list[Trouble] = []
        self._announcing = Announcing()
        self._told: set[str] = set()  # troubles that are in the log
        self._seen: object = None
        self._choice = Choice()
        self._natives = Natives()
        self._native: tuple[Network, ...] = ()  # in force
        self._looks = Pace(_REST)
        self._resets = Backoff()
        self._next_reset = 0.0
        self._pool_names: dict[int, str] = {}  # of pool4's entries, by their ids
        self._closing = threading.Lock()  # held by who uses the data path without the other lock

    def open(self, desired: Desired) -> None:
        """Load the programs, or adopt what is pinned. Tables that are made now are as large as what
        is desired needs them."""
        self._open(desired)

    def plan(self, desired: Desired, before: Desired, named: Named | None = None) -> Planned:
        with self._lock:
            gateway = _gateway_of(desired)
            if gateway is None and self._datapath is None and not self._pins.exists():
                return Planned(Plan(None))  # after a teardown: nothing is there, or is to be
            datapath, balancing = self._open(desired)
            begun = None
            if named and desired is not before and gateway is self._gateway is not None:
                begun = balancing.plan_beside(named)
            self._alone = begun is not None and begun.is_alone
            if begun is not None and begun.is_alone:
                return begun
            self._planned_from = observe_gateway(
                datapath, self._choice.why(), self._natives.of(gateway)
            )
            self._bound = bindings(self._originals)
            of = self._planned_from, _gateway_of(before), self._bound
            with _told_as_of(gateway):
                segments = plan_segments(gateway, *of) if gateway else None
            services, settings = balancing.plan(desired, gateway, of[0], segments, begun)
            with _told_as_of(gateway):
                plan = plan_gateway(gateway, *of, beside(services, desired, settings))
            return Planned(plan, services, settings)

    def apply(self, plan: Planned) -> None:
        with self._lock:
            if plan.gateway and plan.gateway.tables is None and self._datapath is None:
                return
            for line in self._apply(plan):
                _log.warning("not put back", extra=fields(part=self.name, what=line))

    def judge_again(self, desired: Desired) -> Planned | None:
        """Put in force what checks have found out, without a flip, and say what that was; None: it
        takes more than that."""
        with self._lock:
            if self._datapath is None or self._balancing is None:
                return None
            plan = self._balancing.plan_again(desired)
            if plan is not None:
                self._apply(plan)
            return plan

    def settled(self, desired: Desired) -> None:
        """Remember what the machine was like when the last plan, for `desired`, was made."""
        with self._lock:
            if self._alone:
                return
            self._gateway = _gateway_of(desired)
            self._native = self._planned_from.native if self._planned_from else ()
            self._seen = self._look(self._planned_from)
            if self._datapath is not None:
                spec = self._gateway.spec if self._gateway else None
                wanted = spec.sessions.log if spec and spec.pool4 else None
                self.session_log.keep(wanted, self._datapath.session_log)

    def heard(self, kinds: Set[str]) -> None:
        """Of changes, as `net.monitor` names them; must not be held up by an apply."""
        self._choice.heard(kinds)
        self._natives.heard(kinds)
        if kinds & OF_WAYS:
            with self._closing:
                if self._datapath is not None:
                    self._datapath.forget_next_hops()

    def is_native(self, route: bytes) -> bool:
        """Whether the kernel tells of a route that may go before the translator."""
        return self._natives.is_meant(route)

    def has_drifted(self, kinds: Set[str]) -> bool:
        """Whether a device of ours, or another thing that the plan rests on, is not as it was.

        `kinds`: of the changes since the last question.
        """
        with self._lock:
            if self._datapath is None or self._gateway is None or self._planned_from is None:
                return False
            chose = self._planned_from.more_than_destination is not None
            return (
                (self._balancing is not None and self._balancing.is_due())
                or (bool(kinds & _FOR_DEVICES) and self._look() != self._seen)
                or (self._choice.why() is not None) != chose
                or self._natives.of(self._gateway) != self._planned_from.native
                or self._announcing.has_drifted(kinds)
                or (bool(kinds & _FOR_SETTINGS) and self._must_be_reset())
                or (
                    bool(kinds & _FOR_CHECKS)
                    and self._balancing is not None
                    and self._balancing.has_lost_way()
                )
            )

    def look(self) -> bool:
        if self._looks.left():
            return False
        with self._looks.work():
            return self.has_drifted(KINDS)

    def conditions(self, resource: AnyResource) -> Sequence[Condition]:
        """As of the last look."""
        with self._lock:
            if isinstance(resource, Service):
                if self._balancing is None:
                    return ()
                return self._balancing.conditions(resource, self._announcing.condition(resource))
            if self._now is None or not isinstance(resource, Gateway):
                return []
            chosen = choose_devices(resource, self._now, resource, self._bound)
            troubles = device_troubles(chosen, self._now, [*self._failed, *self._unsettled])
            slow = [] if self._now.slow_path else [_NO_SLOW_PATH]
            pool4 = self._pool4_troubles(resource)
            why = self._choice.why()
        not_attached = [one for one in troubles if one.unused]
        in_disorder = [one for one in troubles if not one.unused]
        return [
            _condition("DevicesAttached", not_attached),
            _condition("DevicesInOrder", in_disorder, needed=False),
            _condition("SlowPathReady", slow),
            _condition("Pool4InOrder", pool4, needed=False),
            _condition(
                "NextHopsRemembered",
                [Trouble("", "DependOnMore", why)] if why else [],
                needed=False,
            ),
            _condition(
                "MappingsApart",
                [Trouble("", "MappingsOverlap", warning) for warning in resource.warnings],
                needed=False,
            ),
        ]

    def fill(self, desired: Desired) -> dict[str, tuple[int, int]]:
        """How full the tables are: taken, and room."""
        gateway = _gateway_of(desired)
        devices = (len(gateway.spec.devices) if gateway else 0, int(Limit.MAX_DEVICES))
        with self._lock:
            in_force = self._datapath.fill() if self._datapath is not None else {}
        return {**in_force, "devices": devices}

    def counters(self) -> Counters | None:
        """None while there is no data path."""
        with self._lock:
            return self._datapath.counters() if self._datapath is not None else None

    def balanced(self) -> dict[str, Any] | None:
        """How many services and backends are in force; None: there is no data path."""
        with self._lock:
            return balanced_status(*self._balancing.reader.states()) if self._balancing else None

    def service_uses(self, name: str | None = None) -> list[ServiceUse]:
        """What one service carries, or each of them; those that are not in force are left out."""
        with self._lock:
            reading = self._balancing.reader.read(name) if self._balancing else None
        return reading.uses() if reading else []

    def session_records(
        self, *, clients: bool = False, pools: bool = False
    ) -> SessionRecords | None:
        """See `Datapath.session_records`; None while there is no data path, or no pool4."""
        with self._closing:  # an apply may take long
            if self._datapath is None:
                return None
            return self._datapath.session_records(self._pool_names, clients=clients, pools=pools)

    def import_sessions(self, sessions: Sequence[Session]) -> list[ImportName] | None:
        """See `Datapath.import_sessions`; None also while there is no data path."""
        with self._closing:
            return self._datapath.import_sessions(sessions) if self._datapath is not None else None

    def is_stateful(self) -> bool:
        """Whether there is a data path with a pool4."""
        with self._closing:
            return self._datapath is not None and self._datapath.is_stateful()

    def session_slots(self) -> int:
        """How many slots there are to sweep; 0 also while there is no data path."""
        with self._closing:
            return self._datapath.session_slots() if self._datapath is not None else 0

    def sweep_sessions(self, first: int, count: int) -> Swept:
        """See `Datapath.sweep_sessions`."""
        with self._closing:
            if self._datapath is None:
                return NOTHING_SWEPT
            return self._datapath.sweep_sessions(first, count)

    def sweep_syns(self) -> list[bytes]:
        """See `Datapath.sweep_syns`."""
        with self._closing:
            return self._datapath.sweep_syns() if self._datapath is not None else []

    @contextmanager
    def capture(self, asked: Asked) -> Iterator[Capture]:
        """Packets from now on, while the context is open. One at a time: a second one is refused.

        ConfigError: that, a filter that is none, no such device, or there is no data path.
        """
        rule = narrowed(asked.rule, asked.expression)
        filter = Filter(asked.expression) if asked.expression else None
        with ExitStack() as stack:
            if filter is not None:
                stack.callback(filter.close)
            with self._lock:
                if self._datapath is None:
                    raise ConfigError("there is no data path", "apply a Gateway first")
                if self._capture is not None and not self._capture.ended:
                    raise ConfigError("somebody captures already", "one at a time; wait, or end it")
                if asked.device is not None:
                    device = attached_one(self._datapath.attached(), asked.device)
                    rule = replace(rule, ifindex=device.ifindex)
                reader = self._datapath.begin_capture(rule)
                captured = self._capture = Capture(reader, filter, self._datapath.placed() or ())
            try:
                yield captured
            finally:
                with self._lock:
                    if self._capture is captured:
                        self._capture = None
                        if self._datapath is not None:
                            self._datapath.end_capture()

    def trace(self, packets: Sequence[Mapping[str, str]], device: str | None) -> list[Any]:
        """See `sixlane.nat64.trace`. ConfigError: there is no data path."""
        with self._lock:
            if self._datapath is None:
                raise ConfigError("there is no data path", "apply a Gateway first")
            return trace(self._datapath, packets, device)

    def is_in_force(self) -> bool:
        """Whether packets meet tables, whoever made them."""
        with self._lock:
            return self._datapath is not None and self._datapath.digest() is not None

    def status(self, desired: Desired) -> dict[str, Any] | None:
        """As nat64 tells it; None if there is neither a data path nor a Gateway."""
        with self._lock:
            gateway = _gateway_of(desired)
            if self._datapath is None or gateway is None:
                return None
            observed = observe_gateway(self._datapath, self._choice.why(), self._native)
            troubles = [*self._failed, *self._unsettled, *self._pool4_troubles(gateway)]
            return dict(gateway_status(observed, gateway, self._bound, troubles))

    def remove(self) -> list[str]:
        with self._lock:
            lost = []
            self.on_translator(None)
            try:
                if self._pins.exists() or self._datapath is not None:
                    lost += self._apply(self.plan((), ()))
            except SixlaneError as error:  # such as tables of another version
                told = fields(part=self.name, error=error)
                _log.warning("removed without being read", extra=told)
                lost += withdraw(self._originals)
                remove_slow_path(namespace_name(self._pins))
            self.close()
            remove_way()
            Datapath.remove(self._pins)
            lost += restore_originals(self._originals)
            self._gateway, self._planned_from, self._seen, self._now = None, None, None, None
            return lost

    def close(self) -> None:
        with self._lock, self._closing:
            if self._datapath is not None:
                self.drops.withdraw()
                self.session_log.close()
                self._balancing = None
                self._datapath.close()
                self._datapath = None

    def _open(self, desired: Desired = ()) -> tuple[Datapath, Balancing]:
        with self._lock:
            if self._datapath is None or self._balancing is None:
                gateway = _gateway_of(desired)
                room = room_for(gateway.spec) if gateway else None
                service_room = service_room_for(gateway, services_of(desired))
                try:
                    self._datapath = Datapath.open(self._pins, room, service_room)
                except OSError as error:
                    raise KernelError(error.errno or 0, f"open the pins in {self._pins}") from error
                self._balancing = Balancing(self._datapath, self.health)
                self._datapath.no_events()
                self.drops.offer(self._datapath.events)
                if not self._datapath.has_had_sessions():
                    self.session_log.all_ended(time.time_ns(), "the session tables are new")
            return self._datapath, self._balancing

    def _look(self, then: Observed | None = None) -> object:
        """All that the plan for the present gateway depends on, to compare with a later look.

        `then`: what that plan was made from. The apply behind it changed the attachments and the
        slow path; whatever else is different now has changed meanwhile, and must not be missed.
        """
        if self._gateway is None or self._datapath is None:
            return None
        now = self._now = observe_gateway(self._datapath)
        then = then or now
        return (
            choose_devices(self._gateway, then, self._gateway, self._bound),
            {held for device in then.devices.values() for held in device.addresses},
            now.attachments,
            now.slow_path,
        )

    def _pool4_troubles(self, gateway: Gateway) -> list[Trouble]:
        unlogged = self.session_log.trouble()
        return [
            *self._pool4,
            *self._announcing.troubles(gateway),
            *([Trouble("", "LogNotWritten", unlogged)] if unlogged else []),
        ]

    def _apply(self, plan: Planned) -> list[str]:
        """What could not be put back, one line each."""
        datapath, balancing = self._open()
        services, lost = plan.services, []
        if services:
            balancing.before_flip(services)
        fill = partial(balancing.fill, services) if services else lambda: None
        if plan.gateway:
            lost = self._apply_gateway(datapath, plan.gateway, fill).lost
        if services:
            balancing.after_flip(services, plan.settings)
        return lost

    def _apply_gateway(self, datapath: Datapath, plan: Plan, fill: Callable[[], None]) -> Done:
        if plan.ending:  # from before on: what comes later must not be taken for ended
            self.session_log.all_ended(time.time_ns(), plan.ending)
        if plan.tables is None:
            self.on_translator(None)
        done = apply_gateway(datapath, plan, self._originals, fill)
        if plan.tables is not None:
            self.on_translator(datapath.program(_TRANSLATOR))
        stateful = plan.tables.stateful if plan.tables else None
        self._pool_names = {pool.id: pool.name for pool in stateful.pools} if stateful else {}
        self._used = plan.used
        self._bound = bindings(self._originals)
        self._failed, self._unsettled = done.failed, []
        self._pool4 = done.pool4
        self._announcing.note(done.announcement)
        for line in done.settled:
            _log.info("settled", extra=fields(part=self.name, change=line))
        missing = self._announcing.missing()
        troubles = (*plan.troubles, *done.failed, *done.pool4)
        self._tell([*(one.message for one in troubles), *missing])
        if done.failed or done.pool4 or missing:
            self.try_again()
        return done

    def _must_be_reset(self) -> bool:
        """Whether somebody has changed a setting of a device, and it is time to set it again."""
        self._unsettled = [trouble for use in self._used for trouble in unsettled_troubles(use)]
        if not self._unsettled or time.monotonic() < self._next_reset:
            return False
        self._next_reset = time.monotonic() + self._resets.next()
        return True

    def _tell(self, troubles: Iterable[str]) -> None:
        """Each once, when it begins and when it ends."""
        now = set(troubles)
        for message in sorted(now - self._told):
            _log.warning("trouble", extra=fields(part=self.name, what=message))
        for message in sorted(self._told - now):
            _log.info("no longer", extra=fields(part=self.name, what=message))
        self._told = now


def _condition(type: str, troubles: list[Trouble], needed: bool = True) -> Condition:
    status: Truth = "False" if troubles else "True"
    reason = troubles[0].reason if troubles else type
    return Condition(type, status, reason, "; ".join(one.message for one in troubles), needed)


@contextmanager
def _told_as_of(gateway: Gateway | None) -> Iterator[None]:
    """What is wrong is wrong with this Gateway."""
    try:
        yield
    except ConfigError as error:
        if gateway is None or isinstance(error, ResourceError):
            raise
        raise ConfigError(f"{gateway.key}: {error.message}", error.hint) from error


def _gateway_of(desired: Desired) -> Gateway | None:
    return next((one for one in desired if isinstance(one, Gateway)), None)
