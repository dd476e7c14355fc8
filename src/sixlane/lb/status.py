# SPDX-License-Identifier: Apache-2.0
"""How services do, and what their backends carry: plain values for people and programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sixlane.datapath.counters import Counter
from sixlane.datapath.layout import BackendState
from sixlane.datapath.service_counters import (
    NOTHING,
    BackendCount,
    FrontendCount,
    ServiceCounters,
)
from sixlane.lb.judge import Naming
from sixlane.lb.observe import Present
from sixlane.model import BackendList, FrontendList
from sixlane.model.addresses import AnyAddress
from sixlane.model.frontends import PROTOCOL_NAMES
from sixlane.model.packed import unpacked_address

StateName = Literal["active", "terminating", "maintenance", "quarantined"]
STATE_NAMES: Mapping[BackendState, StateName] = {
    BackendState.BACKEND_ACTIVE: "active",
    BackendState.BACKEND_TERMINATING: "terminating",
    BackendState.BACKEND_MAINTENANCE: "maintenance",
    BackendState.BACKEND_QUARANTINED: "quarantined",
}


@dataclass(frozen=True)
class Standing:
    """Whether a service's backends are as they should be. `needed`: somebody must be."""

    well: bool
    reason: str
    message: str
    needed: bool


def standing_of(present: Present) -> Standing:
    """`present`: with what it was planned from."""
    goal = present.goal
    if goal is None:
        return Standing(False, "Pending", "it is about to be put in force", True)
    judged, every = goal.judged, len(present.backends)
    told = f"{judged.up} of {every} get new flows"
    if not every:
        return Standing(False, "NoBackends", "there are no backends: all flows are refused", True)
    if judged.makeshift:
        what = "flows go to those that drain or fail their checks"
        return Standing(False, "NoneIsUp", f"{told}: {what}", True)
    if not judged.up:
        return Standing(False, "NoneIsUp", f"{told}: all are refused", True)
    failed = sum(naming in goal.failed for naming in present.backends)
    if failed:
        return Standing(False, "ChecksFail", f"{told}: {failed} fail their checks", False)
    return Standing(True, "BackendsReady", told, False)


@dataclass(frozen=True)
class FrontendUse:
    """A frontend, and what came to it."""

    address: AnyAddress
    port: int
    protocol: str
    count: FrontendCount


@dataclass(frozen=True)
class BackendUse:
    """A backend as it is in force, and what it got. `port`: of its own; 0: none. `active_flows`:
    see `sixlane.datapath.flows`. `share`: of the ring's entries; None: not looked at."""

    naming: Naming
    address: AnyAddress
    port: int
    weight: int
    state: StateName
    count: BackendCount
    active_flows: int
    share: float | None = None


@dataclass(frozen=True)
class ServiceUse:
    """A service in force, and what it carries."""

    name: str
    frontends: Sequence[FrontendUse]
    backends: Sequence[BackendUse]

    @property
    def forwarded(self) -> Counter:
        return sum((one.count.forwarded for one in self.frontends), NOTHING)

    @property
    def dropped(self) -> Counter:
        return sum((one.count.dropped for one in self.frontends), NOTHING)

    @property
    def flows(self) -> int:
        """That were new."""
        return sum(one.count.flows for one in self.frontends)

    @property
    def active_flows(self) -> int:
        return sum(one.active_flows for one in self.backends)

    @property
    def drops(self) -> dict[str, Counter]:
        """By reason, of all frontends."""
        found: dict[str, Counter] = {}
        for one in self.frontends:
            for reason, count in one.count.drops.items():
                found[reason] = found.get(reason, NOTHING) + count
        return found


def use_of(
    name: str,
    present: Present,
    counters: ServiceCounters,
    flows: Sequence[int],
    entries: Mapping[int, int] | None = None,
) -> ServiceUse:
    """`flows`: that go on, by the backend's id; `entries`: of the service's ring, by the same."""
    goal = present.goal
    rows = goal.service.spec.backends.rows if goal else ()
    states = goal.judged.states if goal else {}
    backends = []
    for row in rows:
        naming = row[: BackendList.NAMING]
        held = present.backends[naming]
        packed, port, weight, _, _ = BackendList.ROW.unpack(row)
        share = None
        if entries is not None:
            share = entries.get(held.id, 0) / present.ring.size if present.ring.size else 0.0
        backends.append(
            BackendUse(
                naming,
                unpacked_address(packed),
                port,
                weight,
                STATE_NAMES[states[naming]],
                counters.backend(held.id),
                flows[held.id] if held.id < len(flows) else 0,
                share,
            )
        )
    return ServiceUse(
        name,
        [_frontend_use(row, counters.frontend(id)) for row, id in present.frontends.items()],
        backends,
    )


def _frontend_use(row: bytes, count: FrontendCount) -> FrontendUse:
    packed, port, protocol = FrontendList.ROW.unpack(row)
    return FrontendUse(unpacked_address(packed), port, PROTOCOL_NAMES[protocol], count)
