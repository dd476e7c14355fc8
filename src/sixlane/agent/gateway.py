# SPDX-License-Identifier: Apache-2.0
"""The data path and the `Gateway` in it, as a part of the agent."""

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sixlane.agent.conditions import Condition, Truth
from sixlane.agent.drops import Drops
from sixlane.agent.part import Desired
from sixlane.datapath import Counters, Datapath
from sixlane.datapath.layout import Limit
from sixlane.errors import ConfigError, KernelError, SixlaneError
from sixlane.model import AnyResource, Gateway, ResourceError
from sixlane.nat64 import (
    Chosen,
    Observed,
    Originals,
    Plan,
    Trouble,
    apply_gateway,
    bindings,
    choose_devices,
    gateway_status,
    namespace_name,
    observe_gateway,
    plan_gateway,
    remove_slow_path,
    restore_originals,
)

_log = logging.getLogger("sixlane.gateway")


class GatewayPart:
    """Opens the data path when it is first needed; closing it leaves it forwarding.

    `try_again()` is called when a device could not be attached to.
    """

    name = "gateway"
    kind = "Gateway"

    def __init__(self, pins: Path, originals: Originals) -> None:
        self.try_again: Callable[[], None] = lambda: None
        self._pins = pins
        self._originals = originals
        self.drops = Drops()
        self._datapath: Datapath | None = None
        self._lock = threading.RLock()
        self._gateway: Gateway | None = None
        self._planned_from: Observed | None = None
        self._bound: dict[str, int] = {}  # as kept in the originals
        self._failed: list[Trouble] = []
        self._told: set[str] = set()  # troubles that are in the log
        self._seen: object = None

    def open(self) -> None:
        """Load the programs, or adopt what is pinned."""
        self._open()

    def plan(self, desired: Desired, before: Desired) -> Plan:
        with self._lock:
            gateway = _gateway_of(desired)
            if gateway is None and self._datapath is None and not self._pins.exists():
                return Plan(None)  # after a teardown: nothing is there, and nothing is to be
            self._planned_from = observe_gateway(self._open())
            self._bound = bindings(self._originals)
            try:
                return plan_gateway(gateway, self._planned_from, _gateway_of(before), self._bound)
            except ConfigError as error:
                if gateway is None or isinstance(error, ResourceError):
                    raise
                raise ConfigError(f"{gateway.key}: {error.message}", error.hint) from error

    def apply(self, plan: Plan) -> None:
        with self._lock:
            if plan.tables is None and self._datapath is None:
                return
            done = apply_gateway(self._open(), plan, self._originals)
            self._bound = bindings(self._originals)
            self._failed = done.failed
            for line in done.settled:
                _log.info("%s", line)
            for line in done.lost:
                _log.warning("not put back: %s", line)
            self._tell([*plan.troubles, *done.failed])
            if done.failed:
                self.try_again()

    def settled(self, desired: Desired) -> None:
        """Remember what the machine was like when the last plan, for `desired`, was made."""
        with self._lock:
            self._gateway = _gateway_of(desired)
            self._seen = self._look(self._planned_from)

    def has_drifted(self) -> bool:
        """Whether a device of ours, or another thing that the plan rests on, is not as it was."""
        with self._lock:
            return self._datapath is not None and self._look() != self._seen

    def look(self) -> bool:
        return self.has_drifted()

    def conditions(self, resource: AnyResource) -> list[Condition]:
        told = self.status([resource]) or {"devices": (), "problems": ()}
        without = [one["name"] for one in told["devices"] if one["attached"] == "no"]
        slow = [one for one in told["problems"] if one.startswith("the slow path")]
        forgotten = [one for one in told["problems"] if one.startswith("next hops")]
        return [
            _condition("DevicesAttached", [f"no program on {name}" for name in without]),
            _condition("SlowPathReady", slow),
            _condition("NextHopsRemembered", forgotten, needed=False),
        ]

    def fill(self, desired: Desired) -> dict[str, tuple[int, int]]:
        """How full the tables are: taken, and room."""
        gateway = _gateway_of(desired)
        return {
            "prefixes": (len(gateway.spec.prefixes) if gateway else 0, int(Limit.MAX_PREFIXES)),
            "devices": (len(gateway.spec.devices) if gateway else 0, int(Limit.MAX_DEVICES)),
        }

    def forget_next_hops(self) -> None:
        with self._lock:
            if self._datapath is not None:
                self._datapath.forget_next_hops()

    def counters(self) -> Counters | None:
        """None while there is no data path."""
        with self._lock:
            return self._datapath.counters() if self._datapath is not None else None

    def status(self, desired: Desired) -> dict[str, Any] | None:
        """As nat64 tells it; None if there is neither a data path nor a Gateway."""
        with self._lock:
            gateway = _gateway_of(desired)
            if self._datapath is None or gateway is None:
                return None
            return dict(gateway_status(self._datapath, gateway, self._bound, self._failed))

    def remove(self) -> list[str]:
        with self._lock:
            lost = []
            try:
                if self._pins.exists() or self._datapath is not None:
                    self.apply(self.plan((), ()))
            except SixlaneError as error:  # such as tables of another version
                _log.warning("the data path is removed without being read: %s", error)
                remove_slow_path(namespace_name(self._pins))
            self.close()
            Datapath.remove(self._pins)
            lost += restore_originals(self._originals)
            self._gateway, self._planned_from, self._seen = None, None, None
            return lost

    def close(self) -> None:
        with self._lock:
            if self._datapath is not None:
                self.drops.withdraw()
                self._datapath.close()
                self._datapath = None

    def _open(self) -> Datapath:
        with self._lock:
            if self._datapath is None:
                try:
                    self._datapath = Datapath.open(self._pins)
                except OSError as error:
                    raise KernelError(error.errno or 0, f"open the pins in {self._pins}") from error
                self._datapath.no_events()
                self.drops.offer(self._datapath.events)
            return self._datapath

    def _look(self, then: Observed | None = None) -> object:
        """All that the plan for the present gateway depends on, to compare with a later look.

        `then`: what that plan was made from. The apply behind it changed the attachments and the
        slow path; whatever else is different now has changed meanwhile, and must not be missed.
        """
        if self._gateway is None or self._datapath is None:
            return None
        now = observe_gateway(self._datapath)
        then = then or now
        return (
            self._choose(then),
            {held for device in then.devices.values() for held in device.addresses},
            then.more_than_destination,
            now.attachments,
            now.slow_path,
        )

    def _choose(self, observed: Observed) -> Chosen:
        if self._gateway is None:
            return Chosen()
        return choose_devices(self._gateway, observed, self._gateway, self._bound)

    def _tell(self, troubles: Iterable[Trouble]) -> None:
        """Each once, when it begins and when it ends."""
        now = {trouble.message for trouble in troubles}
        for message in sorted(now - self._told):
            _log.warning("%s", message)
        for message in sorted(self._told - now):
            _log.info("no longer: %s", message)
        self._told = now


def _condition(type: str, problems: list[str], needed: bool = True) -> Condition:
    status: Truth = "False" if problems else "True"
    return Condition(type, status, f"Not{type}" if problems else type, "; ".join(problems), needed)


def _gateway_of(desired: Desired) -> Gateway | None:
    return next((one for one in desired if isinstance(one, Gateway)), None)
