# SPDX-License-Identifier: Apache-2.0
"""From services and what is observed to what has to change. Pure, and costs by what has changed."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import pairwise

from sixlane.datapath.backends import Held
from sixlane.datapath.layout import FlowCell
from sixlane.datapath.rings import NOWHERE, Extent, Ring
from sixlane.datapath.rooms import ServiceRoom
from sixlane.datapath.services import FrontendEntry, Pool, ServiceEntry, Services
from sixlane.errors import ConfigError
from sixlane.lb.judge import Member, Naming, judge
from sixlane.lb.observe import Goal, Numbers, Observed, Present
from sixlane.model import FrontendList, LoadBalancer, ResourceError, Service
from sixlane.model.addresses import AnyAddress
from sixlane.model.backends import MAX_BACKENDS
from sixlane.model.frontends import MAX_FRONTENDS
from sixlane.model.gateway import MIN_IPV6_MTU
from sixlane.model.packed import unpacked_address
from sixlane.model.segments import Segments
from sixlane.rfc import maglev

_FRONTENDS_A_SERVICE = 4
_NONE: frozenset[Naming] = frozenset()
_TOLD = 20  # services that are named one by one

Failed = Mapping[str, Set[Naming]]
"""Backends that failed their checks, by the names of their services."""


@dataclass(frozen=True)
class Settings:
    """What holds for all services. `local`: the host's addresses; `mapped_by`: the id of the pool6
    prefix that IPv4 clients are mapped by, None: there is none; `segments`: what fits the devices.
    """

    balancer: LoadBalancer = field(default_factory=LoadBalancer)
    local: frozenset[AnyAddress] = frozenset()
    mapped_by: int | None = None
    segments: Segments = field(default_factory=lambda: Segments.within(MIN_IPV6_MTU))


@dataclass(frozen=True)
class Wanted:
    """`services`: that are to be; `gone`: names of those that are not, None: all others. With names
    there, whoever is in neither stays as it was last planned, with these very settings."""

    services: Sequence[Service]
    gone: Set[str] | None = None


@dataclass(frozen=True)
class Change:
    """Of one service. `put`: backends that are new; `states`: of those that were there; `free`:
    those that go; `ring`: None: it stays. `after`: what is then present; `counters`: ids of
    frontends that are new."""

    name: str
    after: Present
    put: tuple[tuple[Naming, Held], ...] = ()
    states: tuple[Held, ...] = ()
    free: tuple[int, ...] = ()
    ring: Ring | None = None
    counters: tuple[int, ...] = ()
    before: Present | None = None

    @property
    def empty(self) -> bool:
        """Whether only what is known changes, and nothing in the kernel's own tables."""
        return not (self.put or self.states or self.free or self.ring or self.counters)

    @property
    def announces(self) -> bool:
        """Whether the addresses that it has are to be announced in another way."""
        old, new = self.before.goal if self.before else None, self.after.goal
        return old is not None and new is not None and _announce(old) != _announce(new)

    @property
    def moves(self) -> bool:
        """Whether something else is in the tables of the next generation."""
        old, new = self.before.goal if self.before else None, self.after.goal
        return old is not None and new is not None and old.entry is not new.entry


@dataclass(frozen=True)
class Plan:
    """`services`: for the tables of the next generation, None: without services. `changes`: of
    those that stay or are new; `gone`: names. `room`: tables are made anew, of that size.
    `moved`: `services` are not the ones of before.
    """

    services: Services | None
    observed: Observed
    changes: tuple[Change, ...] = ()
    gone: tuple[str, ...] = ()
    room: ServiceRoom | None = None
    moved: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing has to change beside tables of the generation."""
        return not (self.gone or self.room or self.observed.strays) and all(
            one.empty for one in self.changes
        )

    def summary(self) -> list[str]:
        """One line for each change, and not too many."""
        lines = [
            *(
                f"balance {one.name}: {_told(one)}"
                for one in self.changes
                if one.moves or not one.empty
            ),
            *(f"balance {name} no more" for name in self.gone),
        ]
        if len(lines) > _TOLD:
            return [f"balance {len(lines)} services anew"]
        return lines


def room_for(balancer: LoadBalancer) -> ServiceRoom:
    """What is new is there before what it replaces goes, so there is room for more: all that one
    service can have."""
    most = balancer.max
    spare = min(most.backends, MAX_BACKENDS, FlowCell.FLOW_BACKEND_MASK - most.backends)
    frontends = _FRONTENDS_A_SERVICE * most.services
    return ServiceRoom(
        most.services,
        most.backends + spare,
        frontends + MAX_FRONTENDS,
        most.ring_entries,
        most.flows,
        most.nat_flows,
    )


def plan_services(
    wanted: Wanted,
    settings: Settings | None,
    observed: Observed,
    before: Services | None,
    failed: Failed,
    now_us: int,
) -> Plan:
    """`settings`: None: there is no Gateway, and no service is in force.

    `before`: the tables as last planned. ConfigError: there is no room, or a ring has no place.
    """
    desired, gone = wanted.services, wanted.gone
    if gone is None:
        gone = observed.services.keys() - {service.name for service in desired}
    gone &= observed.services.keys()
    if settings is None or not (desired or observed.services.keys() - gone):
        return Plan(None, observed, gone=tuple(observed.services), moved=before is not None)
    asked = room_for(settings.balancer)
    room = None if observed.room.holds(asked) else asked
    if room:
        observed = observed.emptied(room, gone)
    planner = _Planner(settings, observed.numbers)
    changes = []
    for service in desired:
        name = service.name
        present = observed.services.get(name)
        down = failed.get(name, _NONE)
        if present is None or not _holds(present, service, settings, down, now_us):
            changes.append(planner.plan(service, present, down, now_us))
    services = _tables(settings, observed, changes, gone, before)
    placed = tuple(_placed(changes, observed))
    return Plan(services, observed, placed, tuple(sorted(gone)), room, services is not before)


def _holds(
    present: Present, service: Service, settings: Settings, failed: Set[Naming], now_us: int
) -> bool:
    """Whether what it was planned from is as it was."""
    goal = present.goal
    return (
        goal is not None
        and (goal.service is service or goal.service == service)
        and now_us < goal.judged.until
        and goal.failed == failed
        and goal.entry.mapped_by == _mapped_by(service, settings)
        and goal.entry.max_segment_bytes == _max_segment(service, settings)
    )


def _mapped_by(service: Service, settings: Settings) -> int | None:
    spec = service.spec
    return settings.mapped_by if spec.source == "mapped" and spec.mode == "nat" else None


def _max_segment(service: Service, settings: Settings) -> int:
    spec = service.spec
    return settings.segments.of(spec.max_segment_size) if spec.mode == "nat" else 0


class _Planner:
    """Hands out numbers; those that are not used by an apply are free again."""

    def __init__(self, settings: Settings, numbers: Numbers) -> None:
        self._settings = settings
        self._services = _handed(numbers.services.free(), "services", "services")
        self._backends = _handed(numbers.backends.free(), "backends", "backends")
        self._frontends = _handed(numbers.frontends.free(), "frontends", "services")

    def plan(
        self, service: Service, present: Present | None, failed: Set[Naming], now_us: int
    ) -> Change:
        """Without a place for the ring."""
        before = present or Present(next(self._services))
        judged = judge(service, failed, now_us)
        there = before.frontends
        rows = service.spec.frontends.rows
        frontends = {row: there[row] if row in there else next(self._frontends) for row in rows}
        held, put, states = {}, [], []
        for naming, state in judged.states.items():
            old = before.backends.get(naming)
            held[naming] = new = Held(old.id if old else next(self._backends), state)
            if old is None:
                put.append((naming, new))
            elif old.state != state:
                states.append(new)
        size, members = service.spec.ring_size, judged.members
        digest = _ring_digest(size, members, held)
        ring = None
        if digest != before.digest:
            ring = Ring(
                before.id,
                Extent(0, size) if members else NOWHERE,
                [maglev.Member(*member) for member in members],
                [held[member.naming].id for member in members],
                digest,
            )
        entry = _entry(service, before.id, frontends, self._settings)
        if before.goal and before.goal.entry == entry:
            entry = before.goal.entry  # with what is made of it already
        return Change(
            service.name,
            Present(
                before.id,
                frontends,
                held,
                before.ring,
                digest,
                Goal(service, failed, judged, entry),
            ),
            tuple(put),
            tuple(states),
            tuple(one.id for naming, one in before.backends.items() if naming not in held),
            ring,
            tuple(id for row, id in frontends.items() if row not in there),
            present,
        )


def _handed(free: Iterator[int], what: str, key: str) -> Iterator[int]:
    yield from free
    raise ConfigError(f"there is no room for more {what}", f"loadBalancer.max.{key} of the Gateway")


def _placed(changes: Sequence[Change], observed: Observed) -> Iterator[Change]:
    """With a place for each ring, beside those that packets still use."""
    sizes = [one.ring.extent.size for one in changes if one.ring and one.ring.extent.size]
    places = iter(observed.numbers.gaps.fit(sizes))
    for one in changes:
        if one.ring is None:
            yield one
            continue
        extent = next(places) if one.ring.extent.size else NOWHERE
        after = replace(one.after, ring=extent)
        yield replace(one, after=after, ring=replace(one.ring, extent=extent))


def _tables(
    settings: Settings,
    observed: Observed,
    changes: Sequence[Change],
    gone: Set[str],
    before: Services | None,
) -> Services:
    """The same object as before if nothing of it changes."""
    entries = before.entries if before else ()
    made = {one.name: one.after.goal.entry for one in changes if one.after.goal}
    present = observed.services
    moved = any(
        (old := present.get(name)) is None or old.goal is None or old.goal.entry is not entry
        for name, entry in made.items()
    )
    if before is None or moved or gone:
        stay = (
            one.goal.entry
            for name, one in present.items()
            if one.goal and name not in made and name not in gone
        )
        entries = tuple(sorted((*stay, *made.values()), key=lambda entry: entry.id))
    tunnels = {version: settings.balancer.tunnel_source(version) for version in (4, 6)}
    tables = Services(
        entries,
        tunnels[4],
        tunnels[6],
        settings.balancer.hash_seed,
        local=settings.local,
    )
    if before is not None and entries is before.entries and tables == before:
        return before
    return tables


def _entry(
    service: Service, id: int, frontends: Mapping[bytes, int], settings: Settings
) -> ServiceEntry:
    spec = service.spec
    is_nat = spec.mode == "nat"
    return ServiceEntry(
        service.name,
        id,
        tuple(_frontend(row, counters) for row, counters in frontends.items()),
        nat=is_nat,
        mapped_by=_mapped_by(service, settings),
        affinity_seconds=spec.session_affinity_timeout_seconds
        if spec.session_affinity == "ClientIP"
        else 0,
        source_ranges=spec.load_balancer_source_ranges,
        pool4=_pool(service, 4),
        pool6=_pool(service, 6),
        max_segment_bytes=_max_segment(service, settings),
        nat_backends=tuple(unpacked_address(row[:16]) for row in spec.backends.canonical)
        if is_nat
        else (),
    )


def _frontend(row: bytes, id: int) -> FrontendEntry:
    address, port, protocol = FrontendList.ROW.unpack(row)
    return FrontendEntry(unpacked_address(address), port, protocol, id)


def _pool(service: Service, version: int) -> Pool | None:
    """Of one family: the data path takes them one behind the other."""
    ranges = sorted(one for one in service.spec.source_pool if one.version == version)
    if not ranges:
        return None
    for one, other in pairwise(ranges):
        if int(one[-1]) + 1 != int(other[0]):
            raise ResourceError(
                f"{one} and {other} have a gap between them",
                ("spec", "sourcePool", service.spec.source_pool.index(other)),
                "addresses that follow each other",
                where=str(service.key),
            )
    return Pool(ranges[0][0], sum(one.num_addresses for one in ranges))


def _ring_digest(size: int, members: Sequence[Member], held: Mapping[Naming, Held]) -> int:
    """64 bits that name what a ring is made of; 0: of nothing."""
    if not members:
        return 0
    whole = blake2b(size.to_bytes(4), digest_size=8)
    for naming, weight in sorted(members):
        whole.update(naming + weight.to_bytes(2) + held[naming].id.to_bytes(4))
    return int.from_bytes(whole.digest()) or 1


def _announce(goal: Goal) -> str:
    return goal.service.spec.announce


def _told(change: Change) -> str:
    judged = change.after.goal.judged if change.after.goal else None
    return f"{judged.up if judged else 0} of {len(change.after.backends)} backends get flows"
