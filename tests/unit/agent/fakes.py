# SPDX-License-Identifier: Apache-2.0
"""Parts of an agent that remember what was asked of them, in place of a kernel and of named."""

import collections
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sixlane.agent.agent import Agent
from sixlane.agent.backend_edits import naming_of
from sixlane.agent.balanced import balanced_status
from sixlane.agent.conditions import Condition, Truth
from sixlane.agent.desired import State, merged
from sixlane.agent.gateway import GatewayPart
from sixlane.agent.health import Health
from sixlane.agent.part import Desired, Named
from sixlane.agent.pod_service import PodService
from sixlane.agent.pods import PodsPart
from sixlane.agent.resolvers import ResolversPart
from sixlane.agent.session_log import Keeper
from sixlane.agent.store import Store
from sixlane.agent.transaction import Edit, Transaction
from sixlane.datapath import Counter, Counters, Kind
from sixlane.datapath.service_counters import BackendCount, FrontendCount
from sixlane.datapath.sessions import SessionRecords
from sixlane.lb import BackendUse, FrontendUse, ServiceUse
from sixlane.lb.status import STATE_NAMES
from sixlane.model import AnyResource, parse_resource

GATEWAY: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Gateway",
    "metadata": {"name": "edge"},
    "spec": {
        "devices": [{"name": "wan0"}],
        "prefixes": [{"name": "pods", "prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/24"]}],
    },
}
DNS64: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Dns64",
    "metadata": {"name": "cluster"},
    "spec": {
        "listen": ["2001:db8:64::1"],
        "clients": ["2001:db8:64::/48"],
        "prefixes": [{"prefix": "64:ff9b::/96"}],
    },
}
SERVICE: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {
        "frontends": [{"address": "192.175.50.1", "port": 80}],
        "backends": [{"address": "2001:db8:64:1::7", "weight": 2}, {"address": "10.0.0.8"}],
    },
}


def gateway(**spec: Any) -> AnyResource:
    return parse_resource({**GATEWAY, "spec": {**GATEWAY["spec"], **spec}})


def service(**spec: Any) -> AnyResource:
    return parse_resource({**SERVICE, "spec": {**SERVICE["spec"], **spec}})


def used(**backends: BackendUse) -> ServiceUse:
    """SERVICE in force, where one backend of two has flows."""
    seven = BackendUse(
        naming_of("2001:db8:64:1::7", None),
        IPv6Address("2001:db8:64:1::7"),
        0,
        2,
        "active",
        BackendCount(Counter(90, 9000), 30),
        12,
        0.6667,
    )
    eight = BackendUse(
        naming_of("10.0.0.8", None),
        IPv4Address("10.0.0.8"),
        0,
        1,
        "active",
        BackendCount(Counter(10, 1000), 10),
        0,
        0.3333,
    )
    drops = {"drop_no_backend": Counter(3, 180), "drop_ttl_expired": Counter(1, 60)}
    front = FrontendUse(
        IPv4Address("192.175.50.1"),
        80,
        "TCP",
        FrontendCount(Counter(100, 10000), Counter(4, 240), 40, drops),
    )
    both = {"seven": seven, "eight": eight} | backends
    return ServiceUse("web", [front], list(both.values()))


def dns64(**spec: Any) -> AnyResource:
    return parse_resource({**DNS64, "spec": {**DNS64["spec"], **spec}})


def save(store: Store, *edits: Edit) -> State:
    """One revision with these changes, as the agent stores it."""
    before = store.load()
    result = merged(before, Transaction(edits))
    store.prepare(before, result.state, result.summary())
    store.commit(result.state.revision)
    return result.state


_STATES = {name: state for state, name in STATE_NAMES.items()}


@dataclass
class FakePlan:
    wanted: list[AnyResource]
    lines: list[str]

    @property
    def empty(self) -> bool:
        return not self.lines

    def summary(self) -> list[str]:
        return self.lines

    def warnings(self) -> list[str]:
        return []


@dataclass
class FakePart:
    """`in_force` is what it was given last. `fail` may hold what `plan` or `apply` raises."""

    name: str
    kind: str
    in_force: list[AnyResource] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    fail: dict[str, Callable[[Desired], None]] = field(default_factory=dict)
    removed: bool = False
    drifted: bool = False
    attached: tuple[Truth, str] = ("True", "Attached")
    records: SessionRecords | None = None

    if TYPE_CHECKING:
        kinds: ClassVar[frozenset[str]]  # the real part's

    def plan(self, desired: Desired, before: Desired, named: Named | None = None) -> Any:
        self._may_fail("plan", desired)
        wanted = [one for one in desired if one.kind in self.kinds]
        return FakePlan(wanted, [f"set {one.name}" for one in wanted if one not in self.in_force])

    def apply(self, plan: Any) -> None:
        self.in_force = plan.wanted  # what fails has half been done
        self.done += plan.lines
        self._may_fail("apply", plan.wanted)

    def status(self, desired: Desired) -> Any:
        return [] if self.kind == "Dns64" else None

    def remove(self) -> list[str]:
        self.in_force, self.removed = [], True
        return [f"{self.name} lost something"]

    def close(self) -> None: ...
    def open(self, desired: Desired) -> None: ...

    def settled(self, desired: Desired) -> None:
        self._may_fail("settled", desired)

    def look(self) -> bool:
        self._may_fail("look", self.in_force)
        return self.drifted

    def conditions(self, resource: AnyResource) -> list[Condition]:
        self._may_fail("conditions", [resource])
        return [Condition("Attached", *self.attached)]

    def fill(self, desired: Desired) -> dict[str, tuple[int, int]]:
        return {"prefixes": (1, 64)}

    def has_drifted(self, kinds: Set[str]) -> bool:
        return False

    def is_in_force(self) -> bool:
        return bool(self.in_force)

    def heard(self, kinds: Set[str]) -> None: ...

    def counters(self) -> Counters:
        two = Counter(2, 80)
        traffic = {Kind("pods", 46, "udp", "forward_46"): two}
        return Counters({"forward_46": two}, {"pods": {46: two}}, traffic)

    def session_records(
        self, *, clients: bool = False, pools: bool = False
    ) -> SessionRecords | None:
        return self.records

    def _may_fail(self, where: str, desired: Desired) -> None:
        if where in self.fail:
            self.fail[where](desired)


class FakeGateway(FakePart, GatewayPart):
    def __init__(self) -> None:
        FakePart.__init__(self, "gateway", "Gateway")
        self.session_log = Keeper()
        self.health = Health()
        self.uses: list[ServiceUse] = []

    def service_uses(self, name: str | None = None) -> list[ServiceUse]:
        return [one for one in self.uses if name in (None, one.name)]

    def balanced(self) -> dict[str, Any] | None:
        states = collections.Counter(
            _STATES[one.state] for use in self.uses for one in use.backends
        )
        return balanced_status(len(self.uses), states)


class FakeResolvers(FakePart, ResolversPart):
    def __init__(self) -> None:
        FakePart.__init__(self, "dns64", "Dns64")


class FakePods(FakePart, PodsPart):
    """Its leases are real."""

    def __init__(self, leases: Path) -> None:
        FakePart.__init__(self, "pods", "Network")
        self.service = PodService(leases)
        self.sizes: list[dict[str, Any]] = []

    def big_tcp(self) -> list[dict[str, Any]]:
        return self.sizes

    def metrics(self) -> None:
        return None

    def close(self) -> None:
        self.service.close()


class World:
    """An agent over fakes and a real store."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "store.db"
        self.gateway, self.resolvers = FakeGateway(), FakeResolvers()
        self.pods = FakePods(directory / "leases.db")
        self.agent = Agent(Store(self.path), self.gateway, self.resolvers, self.pods)

    def close(self) -> None:
        self.agent.close()
