# SPDX-License-Identifier: Apache-2.0
"""Services beside the Gateway: they share its data path, and its flip."""

import logging
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass

from sixlane.agent.conditions import Condition
from sixlane.agent.health import Health
from sixlane.agent.log import fields
from sixlane.agent.part import Desired, Named
from sixlane.agent.reading import Reader
from sixlane.datapath import Datapath
from sixlane.datapath.rooms import ServiceRoom
from sixlane.errors import SixlaneError
from sixlane.lb import Balancer, Settings, Wanted, room_for, standing_of
from sixlane.lb import Plan as ServicesPlan
from sixlane.lb.observe import Present
from sixlane.lb.way import apply_way, observe_way, plan_way
from sixlane.model import Gateway, LoadBalancer, Service
from sixlane.model.addresses import AnyAddress
from sixlane.model.segments import Segments
from sixlane.nat64 import Beside, Observed, Plan, asks_of_services, prefix_ids

_log = logging.getLogger("sixlane.gateway")

_NO_GATEWAY = (
    Condition("Balanced", "False", "NoGateway", "no Gateway, which has the devices, is in force"),
)


@dataclass(frozen=True)
class Planned:
    """What has to change for a Gateway and the services; `gateway`: None: nothing of it, and the
    tables stay. `settings`: of services, as planned with."""

    gateway: Plan | None
    services: ServicesPlan | None = None
    settings: Settings | None = None

    @property
    def is_alone(self) -> bool:
        """Whether it can do without tables that change, and others are told of no more than now."""
        services = self.services
        return services is not None and not (
            services.moved or services.room or any(one.announces for one in services.changes)
        )

    @property
    def empty(self) -> bool:
        return all(one is None or one.empty for one in (self.gateway, self.services))

    def summary(self) -> list[str]:
        return [
            *(self.gateway.summary() if self.gateway else ()),
            *(self.services.summary() if self.services else ()),
        ]

    def warnings(self) -> list[str]:
        return self.gateway.warnings() if self.gateway else []


_CHECKED = Condition("ChecksRun", "True", "ChecksRun", "backends are checked", False)
_NOT_CHECKED = Condition(
    "ChecksRun",
    "False",
    "NobodyChecks",
    "sixlane-health has not been heard of: backends stay as they were last seen, and new ones get "
    "no flows",
    False,
)


class Balancing:
    """What services are in force. `health`: what is known of their backends by checks."""

    def __init__(self, datapath: Datapath, health: Health) -> None:
        self._datapath = datapath
        self._balancer = Balancer(datapath)
        self.reader = Reader(datapath, self._balancer)
        self._health = health
        self._way: bool | None = None  # whether that of checks is there; None: to be looked at
        self._way_problem = ""
        self._settings: Settings | None = None  # of what is in force
        self._local: Set[AnyAddress] = frozenset()
        self._told: dict[str, tuple[Present, Sequence[Condition], Sequence[Condition]]] = {}

    def plan_beside(self, named: Named) -> Planned | None:
        """A plan beside a Gateway that stays as it is; None: there is more to it.

        If tables must change, too, it is not one yet, and may be handed to `plan`.
        """
        if self._settings is None or any(key.kind != "Service" for key in named):
            return None
        there = [one for one in named.values() if isinstance(one, Service)]
        gone = {key.name for key, one in named.items() if one is None}
        return Planned(None, self._plan(Wanted(there, gone), self._settings), self._settings)

    def plan_again(self, desired: Desired) -> Planned | None:
        """What is planned of all services beside a Gateway that stays as it is; None: as above."""
        if self._settings is None:
            return None
        plan = Planned(
            None, self._plan(Wanted(services_of(desired)), self._settings), self._settings
        )
        return plan if plan.is_alone else None

    def plan(
        self,
        desired: Desired,
        gateway: Gateway | None,
        observed: Observed,
        segments: Segments | None = None,
        begun: Planned | None = None,
    ) -> tuple[ServicesPlan, Settings | None]:
        """Of all services. `segments`: None: there is no Gateway."""
        self._way = None
        settings = settings_of(gateway, observed, segments) if gateway and segments else None
        if begun and begun.services and begun.settings == settings:
            return begun.services, settings
        return self._plan(Wanted(services_of(desired)), settings), settings

    def before_flip(self, plan: ServicesPlan) -> None:
        self._settings = None  # until all has come to its end
        self._balancer.before_flip(plan)

    def fill(self, plan: ServicesPlan) -> None:
        self._balancer.fill(plan)

    def after_flip(self, plan: ServicesPlan, settings: Settings | None) -> None:
        self._balancer.after_flip(plan)
        self._settings = settings
        for name in plan.gone:
            self._told.pop(name, None)
            self._health.remove(name)
        local = settings.local if settings else frozenset[AnyAddress]()
        for one in plan.changes:
            goal = one.after.goal
            if goal:
                self._health.settle(goal.service, goal.failed, one.before, one.after, local)
        if local != self._local:
            self._health.settle_all(local)
            self._local = local
        self._see_to_way()

    def is_due(self) -> bool:
        """Whether a deadline has passed since the last plan."""
        return _now_us() >= self._balancer.until_us()

    def has_lost_way(self) -> bool:
        """Whether that of checks is not as it should be."""
        return self._health.has_tunnels() and not observe_way(self._datapath).is_whole

    def _see_to_way(self) -> None:
        """Checks have theirs, or none if none need it. Flows do without: what is in the way of it
        is told, and it is tried again."""
        wanted = self._health.has_tunnels()
        if wanted == self._way:
            return
        try:
            apply_way(self._datapath, plan_way(wanted, observe_way(self._datapath)))
        except SixlaneError as error:
            if self._way_problem != str(error):
                _log.error("no way for checks", extra=fields(part="gateway", error=error))
            self._way, self._way_problem = None, str(error)
        else:
            self._way, self._way_problem = wanted, ""

    def conditions(self, service: Service, announced: Condition | None) -> Sequence[Condition]:
        """The same object as long as nothing changes. `announced`: whether its addresses are; None:
        they need not be."""
        present = self._balancer.present(service.name)
        if present is None:
            return _NO_GATEWAY if self._balancer.is_known else ()
        beside = tuple(one for one in (announced, self._checked(service)) if one)
        told = self._told.get(service.name)
        if told is None or told[0] is not present or told[1] != beside:
            standing = standing_of(present)
            condition = Condition(
                "BackendsReady",
                "True" if standing.well else "False",
                standing.reason,
                standing.message,
                standing.needed,
            )
            told = self._told[service.name] = present, beside, (condition, *beside)
        return told[2]

    def _checked(self, service: Service) -> Condition | None:
        """Whether its backends are checked at all; None: they need not be."""
        if service.spec.health_check is None:
            return None
        if not self._health.is_running:
            return _NOT_CHECKED
        if self._way_problem and service.spec.mode == "dsr":
            return Condition("ChecksRun", "False", "NoWay", self._way_problem, False)
        return _CHECKED

    def _plan(self, wanted: Wanted, settings: Settings | None) -> ServicesPlan:
        failed = {}
        if settings is not None:
            present = self._balancer.observed.services
            failed = {
                one.name: self._health.failing(one, present.get(one.name))
                for one in wanted.services
                if one.spec.health_check is not None
            }
        return self._balancer.plan(wanted, settings, failed, _now_us())


def beside(plan: ServicesPlan, desired: Desired, settings: Settings | None) -> Beside:
    """What of it goes into the Gateway's flip, and is announced with it."""
    local = settings.local if settings else frozenset[AnyAddress]()
    asks = asks_of_services(services_of(desired), local)
    return Beside(plan.services, plan.room, plan.moved, tuple(asks))


def settings_of(gateway: Gateway, observed: Observed, segments: Segments) -> Settings:
    """What the Gateway and the machine say about all services. IPv4 clients are mapped by the first
    prefix."""
    prefixes = gateway.spec.prefixes
    return Settings(
        gateway.spec.load_balancer or LoadBalancer(),
        frozenset(held for device in observed.devices.values() for held in device.addresses),
        prefix_ids(gateway, observed)[prefixes[0].name] if prefixes else None,
        segments,
    )


def service_room_for(gateway: Gateway | None, services: Sequence[Service]) -> ServiceRoom | None:
    """How large tables are to be that are made now; None: as small as can be."""
    return room_for(gateway.spec.load_balancer or LoadBalancer()) if gateway and services else None


def services_of(desired: Desired) -> list[Service]:
    return [one for one in desired if isinstance(one, Service)]


def _now_us() -> int:
    return time.time_ns() // 1000
