# SPDX-License-Identifier: Apache-2.0
"""What services carry, read from the kernel beside what is known to be in force."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sixlane.datapath import Datapath
from sixlane.datapath.layout import BackendState
from sixlane.datapath.rings import entries_of
from sixlane.datapath.service_counters import ServiceCounters
from sixlane.datapath.services import ticks_of
from sixlane.lb import Balancer, ServiceUse, use_of
from sixlane.lb.observe import Present

_FLOWS_S = 1.0


@dataclass(frozen=True)
class Reading:
    """What was read of services, as of one moment. `entries`: of rings, as far as it was looked."""

    present: Mapping[str, Present]
    counters: ServiceCounters
    flows: Sequence[int]
    entries: Mapping[str, Mapping[int, int]]

    def uses(self) -> list[ServiceUse]:
        """By name. Takes 5 microseconds a backend, and needs no lock."""
        return [
            use_of(name, self.present[name], self.counters, self.flows, self.entries.get(name))
            for name in sorted(self.present)
        ]


class Reader:
    """Reads while nothing is being applied."""

    def __init__(self, datapath: Datapath, balancer: Balancer) -> None:
        self._datapath = datapath
        self._balancer = balancer
        self._flows_at: tuple[float, Sequence[int]] | None = None

    def states(self) -> tuple[int, Counter[BackendState]]:
        """How many services are in force, and how many backends in each state."""
        in_force = self._balancer.in_force()
        states: Counter[BackendState] = Counter()
        for one in in_force.values():
            states.update(held.state for held in one.backends.values())
        return len(in_force), states

    def read(self, name: str | None = None) -> Reading:
        """What one service carries; None: each of them."""
        in_force = self._balancer.in_force()
        wanted, entries = dict(in_force), dict[str, Mapping[int, int]]()
        if name is not None:
            one, rings = in_force.get(name), self._datapath.maps()["rings"]
            wanted = {name: one} if one else {}
            entries = {name: entries_of(rings, one.ring)} if one else {}
        counters, flows = self._datapath.service_counters(), self._flows(in_force)
        return Reading(wanted, counters, flows, entries)

    def _flows(self, in_force: Mapping[str, Present]) -> Sequence[int]:
        """That go on, by the ids of backends; at most a second ago."""
        counted = self._flows_at
        if counted is None or time.monotonic() - counted[0] > _FLOWS_S:
            affinity = {
                one.id: ticks_of(one.goal.entry.affinity_seconds)
                for one in in_force.values()
                if one.goal and one.goal.entry.affinity_seconds and not one.goal.entry.nat
            }
            flows = self._datapath.flows_by_backend(affinity).tolist()
            counted = self._flows_at = time.monotonic(), flows
        return counted[1]
