# SPDX-License-Identifier: Apache-2.0
"""What the kernel has of services: numbers, backends, rings.

It is read once, and kept along with each change that is made, as there may be 100,000 backends. A
start finds all numbers again: services by their names, frontends and backends by what they are.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace

from sixlane.datapath import Datapath
from sixlane.datapath.backends import Backends, Found, Held, Ids
from sixlane.datapath.commit import services_in_force
from sixlane.datapath.rings import NOWHERE, Extent, Gaps, rings_in_force
from sixlane.datapath.rooms import ServiceRoom
from sixlane.datapath.services import ServiceEntry, ServicesInForce
from sixlane.lb.judge import Judged, Naming
from sixlane.model import Service


@dataclass(frozen=True)
class Goal:
    """What a service was last planned from, and what came of it. `failed`: backends, by checks."""

    service: Service
    failed: Set[Naming]
    judged: Judged
    entry: ServiceEntry


@dataclass(frozen=True)
class Present:
    """A service as the kernel has it. `frontends`: ids of their counters, by `FrontendList.ROW`;
    `backends`: by address and port; `ring` and `digest`: its ring, and what that was made of.

    `goal`: None: somebody else made it so, before a restart.
    """

    id: int
    frontends: Mapping[bytes, int] = field(default_factory=dict)
    backends: Mapping[bytes, Held] = field(default_factory=dict)
    ring: Extent = NOWHERE
    digest: int = 0
    goal: Goal | None = None


@dataclass
class Numbers:
    """That services, backends and frontends can get, and places for rings."""

    services: Ids
    backends: Ids
    frontends: Ids
    gaps: Gaps


@dataclass
class Observed:
    """By the names of services. `strays`: what is there and belongs to no name that is known."""

    room: ServiceRoom
    services: dict[str, Present]
    numbers: Numbers
    strays: tuple[Present, ...] = ()

    def emptied(self, room: ServiceRoom, gone: Set[str]) -> "Observed":
        """As if the tables of backends were new, of that size. Numbers in the tables of the
        generation stay, as far as there is room for them, but for those of who is `gone`."""
        kept = {
            name: replace(one, backends={}, ring=NOWHERE, digest=0, goal=None)
            for name, one in self.services.items()
            if name not in gone
            and one.id <= room.services
            and all(id <= room.frontends for id in one.frontends.values())
        }
        numbers = numbers_beside(room, kept.values())
        numbers.frontends = Ids(room.frontends, _frontends_of(kept.values()))
        return Observed(room, kept, numbers)


def observe_services(datapath: Datapath, backends: Backends) -> Observed:
    """Reads the kernel's maps."""
    in_force = services_in_force(datapath.maps())
    found = backends.read()
    rings = rings_in_force(datapath.maps()["service_rings"])
    services = _named(in_force, found, rings)
    known = {one.id for one in services.values()}
    strays = tuple(
        _present(id, {}, found, rings) for id in sorted((found.held.keys() | rings) - known)
    )
    room = datapath.service_room()
    numbers = numbers_beside(room, (*services.values(), *strays), found.freed)
    return Observed(room, services, numbers, strays)


def numbers_beside(
    room: ServiceRoom, present: Iterable[Present], freed: tuple[int, ...] = ()
) -> Numbers:
    """Those that are not in use. `freed`: of backends."""
    present = tuple(present)
    return Numbers(
        Ids(room.services, {one.id for one in present}),
        Ids(
            room.backends,
            {held.id for one in present for held in one.backends.values()},
            freed,
        ),
        Ids(room.frontends, _frontends_of(present), None),
        Gaps((one.ring for one in present if one.ring.size), room.ring_entries),
    )


def _frontends_of(present: Iterable[Present]) -> set[int]:
    return {id for one in present for id in one.frontends.values()}


def _named(
    in_force: ServicesInForce, found: Found, rings: Mapping[int, tuple[Extent, int]]
) -> dict[str, Present]:
    frontends: dict[int, dict[bytes, int]] = {}
    for key, (service, id) in in_force.frontends.items():
        frontends.setdefault(service, {})[key] = id
    return {
        name: _present(id, frontends.get(id, {}), found, rings)
        for name, id in in_force.names.items()
    }


def _present(
    id: int,
    frontends: Mapping[bytes, int],
    found: Found,
    rings: Mapping[int, tuple[Extent, int]],
) -> Present:
    ring, digest = rings.get(id, (NOWHERE, 0))
    return Present(id, frontends, found.held.get(id, {}), ring, digest)
