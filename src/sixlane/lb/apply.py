# SPDX-License-Identifier: Apache-2.0
"""A plan put into force around the flip: whatever the new tables name is there before it, and what
they do not name any more goes behind it.

Another weight or state is another ring beside the old one, and then one word: there is no flip.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sixlane.bpf import Map, Program
from sixlane.datapath import Datapath
from sixlane.datapath.backends import Backends, Held, Ids
from sixlane.datapath.commit import slot_key, wait_for_packets
from sixlane.datapath.layout import BackendState
from sixlane.datapath.rings import NOWHERE, Extent, Ring, RingBuilder
from sixlane.datapath.service_counters import clear_drops
from sixlane.datapath.services import Services
from sixlane.errors import ConfigError
from sixlane.lb.observe import Observed, Present, observe_services
from sixlane.lb.plan import Failed, Plan, Settings, Wanted, plan_services
from sixlane.model.backends import NEVER

_SHARE_LEFT = 8  # of all entries of rings


@dataclass
class _Left:
    """What nothing names any more, and packets that are under way may still have met."""

    rings: list[Extent] = field(default_factory=list)
    backends: list[int] = field(default_factory=list)
    entries: int = 0

    @property
    def any(self) -> bool:
        return bool(self.rings or self.backends)

    def leave(self, ring: Extent) -> None:
        if ring.size:
            self.rings.append(ring)
            self.entries += ring.size


class Balancer:
    """The tables of services in the kernel, and what is known to be in them.

    For one thread. Whatever fails half-way is read again before the next plan.
    """

    def __init__(self, datapath: Datapath) -> None:
        self._datapath = datapath
        self._observed: Observed | None = None
        self._opened: tuple[Map, Program] | None = None
        self._left = _Left()
        self._deadlines: dict[str, int] = {}  # of services that have one
        self.tables: Services | None = None
        """In force, as far as this knows."""
        self._open()

    @property
    def observed(self) -> Observed:
        if self._observed is None:
            self._left, self._deadlines = _Left(), {}
            self._wait()  # for whoever met what a failed apply has left
            self._observed = observe_services(self._datapath, self._backends)
        return self._observed

    def plan(self, wanted: Wanted, settings: Settings | None, failed: Failed, now_us: int) -> Plan:
        """See `plan_services`."""
        try:
            return plan_services(wanted, settings, self.observed, self.tables, failed, now_us)
        except ConfigError:
            if not self._left.any:
                raise
            self._give_back()
            return plan_services(wanted, settings, self.observed, self.tables, failed, now_us)

    @property
    def is_known(self) -> bool:
        """Whether what is in force is known; if not, the next plan finds out."""
        return self._observed is not None

    def present(self, name: str) -> Present | None:
        """A service as it is in force; None: it is not, as far as this knows."""
        return self._observed.services.get(name) if self._observed else None

    def in_force(self) -> Mapping[str, Present]:
        """All services as they are in force, as far as this knows; not to be kept."""
        return self._observed.services if self._observed else {}

    def until_us(self) -> int:
        """When a deadline changes something that time alone does, in microseconds since 1970."""
        return min(self._deadlines.values(), default=NEVER)

    def before_flip(self, plan: Plan) -> None:
        """Nobody knows of what is new yet; those that were there get their states and rings."""
        self._observed = self.tables = None
        self._open()
        if plan.room is None:
            self._write(plan)

    def fill(self, plan: Plan) -> None:
        """Writes tables that were made anew."""
        self._open()
        clear_drops(self._datapath.maps()["frontend_drops"])
        self._write(plan)

    def after_flip(self, plan: Plan) -> None:
        """Takes away what nothing names any more."""
        observed = plan.observed
        if plan.room:
            self._left = _Left()
        there = observed.services
        gone = [there[name] for name in plan.gone if name in there]
        if not plan.room:
            self._remove((*gone, *observed.strays))
            for one in plan.changes:
                for id in one.free:
                    self._backends.free(id)
        _note(observed, plan, self._left)
        self._note_deadlines(plan)
        self._observed, self.tables = observed, plan.services
        if gone or self._left.entries > observed.room.ring_entries // _SHARE_LEFT:
            self._give_back()

    def _note_deadlines(self, plan: Plan) -> None:
        for name in plan.gone:
            self._deadlines.pop(name, None)
        for one in plan.changes:
            until = one.after.goal.judged.until if one.after.goal else NEVER
            self._deadlines[one.name] = until
            if until == NEVER:
                del self._deadlines[one.name]

    def _open(self) -> None:
        """What may have been made anew meanwhile."""
        maps, program = self._datapath.maps(), self._datapath.program("build_ring")
        if self._opened == (maps["backends"], program):
            return
        self._opened = maps["backends"], program
        self._backends = Backends(maps["backends"])
        self._rings = RingBuilder(program, maps["ring_members"])

    def _write(self, plan: Plan) -> None:
        maps, numbers = self._datapath.maps(), plan.observed.numbers
        frontends, backends = numbers.frontends, numbers.backends
        given = {id for one in plan.changes for id in one.counters}
        if given:
            clear_drops(maps["frontend_drops"], given)
        _clear(maps["frontend_stats"], given, frontends)
        put = (held.id for one in plan.changes for _, held in one.put)
        _clear(maps["backend_stats"], put, backends)
        for one in plan.changes:
            for naming, held in one.put:
                self._backends.put(held.id, one.after.id, naming, held.state)
            # Whoever is to get flows may have them before the ring names it, and those that are to
            # get none when it names them no more.
            self._set_states(one.states, "up")
            if one.ring is not None:
                self._rings.build(one.ring)
            self._set_states(one.states, "down")

    def _set_states(self, states: Iterable[Held], which: Literal["up", "down"]) -> None:
        for held in states:
            if (held.state == BackendState.BACKEND_ACTIVE) == (which == "up"):
                self._backends.set_state(held.id, held.state)

    def _remove(self, gone: Iterable[Present]) -> None:
        for one in gone:
            if one.ring.size:
                self._rings.build(Ring(one.id, NOWHERE, (), ()))
            for held in one.backends.values():
                self._backends.free(held.id)

    def _give_back(self) -> None:
        """What was left can be used again."""
        self._wait()
        left, self._left = self._left, _Left()
        if self._observed:
            for id in left.backends:
                self._observed.numbers.backends.give(id)
            for extent in left.rings:
                self._observed.numbers.gaps.give(extent)

    def _wait(self) -> None:
        wait_for_packets(self._datapath.maps(), self._datapath.generation())


def _note(observed: Observed, plan: Plan, left: _Left) -> None:
    """What is there now; `left`: what packets may still have met."""
    numbers = observed.numbers
    for one in plan.changes:
        if one.name not in observed.services:
            numbers.services.take(one.after.id)
        for _, held in one.put:
            numbers.backends.take(held.id)
        for id in one.counters:
            numbers.frontends.take(id)
        if one.ring is not None:
            if one.ring.extent.size:
                numbers.gaps.take(one.ring.extent)
            left.leave(one.before.ring if one.before else NOWHERE)
    for one in plan.changes:
        left.backends += one.free
        before = one.before.frontends if one.before else {}
        for row in before.keys() - one.after.frontends.keys():
            numbers.frontends.give(before[row])
        observed.services[one.name] = one.after
    gone = [observed.services.pop(name) for name in plan.gone if name in observed.services]
    for present in (*gone, *observed.strays):
        numbers.services.give(present.id)
        left.backends += [held.id for held in present.backends.values()]
        left.leave(present.ring)
        for id in present.frontends.values():
            numbers.frontends.give(id)
    observed.strays = ()


def _clear(stats: Map, ids: Iterable[int], numbers: Ids) -> None:
    """Counters of somebody who had the number before."""
    stats.clear_per_cpu([slot_key(id) for id in ids if not numbers.is_fresh(id)])
