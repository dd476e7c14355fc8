# SPDX-License-Identifier: Apache-2.0
"""Rings: the tables by which the data path finds the backend of a flow, built in the kernel.

A ring is an extent of the map `rings`, and a service's word in `service_rings` says which. Another
ring is built beside it, and the word is written last: packets meet the one or the other.
"""

import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sixlane.bpf import Map, Program
from sixlane.datapath import layout
from sixlane.datapath.layout import Limit, RingResult
from sixlane.errors import ConfigError
from sixlane.rfc.maglev import Member, in_turn, permutation

STEPS = 1 << 20
"""Of a call, which takes some milliseconds then: nothing else runs meanwhile on that CPU."""

_MEMBER = struct.Struct("=QIIIIII")  # struct ring_member
assert _MEMBER.size == layout.MAPS["ring_members"].value_bytes
_SIZE_BITS = 32  # of a place
_ENTRY_MASK = (1 << 32) - 1


class Extent(NamedTuple):
    """Entries of `rings` that follow each other; of none, it is nowhere."""

    first: int
    size: int


NOWHERE = Extent(0, 0)


@dataclass(frozen=True)
class Ring:
    """What a service's ring is made of: `backends[n]` is the id of what `members[n]` is here.

    `extent`: where it is to be, as large as the table is to be; in use by nothing else. `digest`:
    kept beside it, for whoever asks later what it was made of.
    """

    service: int
    extent: Extent
    members: Sequence[Member]
    backends: Sequence[int]
    digest: int = 0


class RingBuilder:
    """One at a time, as the kernel has one place for the members of what is being built."""

    def __init__(self, program: Program, ring_members: Map, steps: int = STEPS) -> None:
        self._program = program
        self._memory = ring_members.mmap()
        self._steps = steps

    def build(self, ring: Ring, *, publish: bool = True) -> Extent:
        """Fills its extent and has it be the service's; returns the extent that was before.

        That may be used again when no packet is at work any more that was by now. If nobody has a
        weight, the service has an empty ring, which is nowhere. Without `publish` the ring is built
        and no more; NOWHERE is returned. ValueError: no such ring can be; what is in force stays.
        """
        order = in_turn(ring.members)
        largest_weight = self._write_members(ring, order) if order else 0
        asked = layout.RingBuild(
            service=ring.service,
            first=ring.extent.first if order else 0,
            size=ring.extent.size if order else 0,
            members=len(order),
            largest_weight=largest_weight,
            steps=self._steps,
            publish=publish,
            digest=ring.digest,
        )
        while asked.result == RingResult.RING_UNFINISHED:
            _, told = self._program.call(asked)
            asked = layout.RingBuild.from_buffer_copy(told)
            if asked.result == RingResult.RING_BUILT:
                return _extent(asked.replaced)
        first, size = ring.extent
        raise ValueError(
            f"the kernel has no service {ring.service}, or no {size} entries from {first} on"
        )

    def _write_members(self, ring: Ring, order: Sequence[int]) -> int:
        """Has the program find them; returns the largest weight."""
        if len(order) > Limit.RING_MEMBERS_MAX:
            raise ValueError(f"{len(order)} members of a ring, of {Limit.RING_MEMBERS_MAX}")
        if len(ring.backends) != len(ring.members) or 0 in ring.backends:
            raise ValueError("each member of a ring has a backend's id, which is not 0")
        size, behind = ring.extent.size, _behind([ring.members[which].weight for which in order])
        for place, which in enumerate(order):
            member = ring.members[which]
            offset, skip = permutation(member, size)
            fields = (0, offset, skip, member.weight, ring.backends[which], behind[place], 0)
            _MEMBER.pack_into(self._memory, place * _MEMBER.size, *fields)
        return ring.members[order[0]].weight


def rings_in_force(service_rings: Map) -> dict[int, tuple[Extent, int]]:
    """Extents and digests by the ids of services; those without are left out."""
    import numpy as np

    values = b"".join(values for _, values in service_rings.rows())
    rows = np.frombuffer(values, np.dtype(layout.ServiceRing))
    used = np.flatnonzero(rows["place"])
    places, digests = rows["place"][used].tolist(), rows["digest"][used].tolist()
    return {
        service: (_extent(place), digest)
        for service, place, digest in zip(used.tolist(), places, digests, strict=True)
    }


def entries_of(rings: Map, extent: Extent) -> Counter[int]:
    """How many entries of a ring each backend has, by its id."""
    entries = memoryview(rings.mmap(writable=False)).cast("Q")  # values of 4 bytes, 8 apart
    return Counter(one & _ENTRY_MASK for one in entries[extent.first : extent.first + extent.size])


class Gaps:
    """Entries that are in no ring, from the front on."""

    def __init__(self, used: Iterable[Extent], room: int) -> None:
        """`room`: entries that there are."""
        self._room = room
        self._gaps, end = [], 0
        for first, size in sorted(used):
            until = min(first, room)  # whatever is beyond is nobody's
            if until > end:
                self._gaps.append(Extent(end, until - end))
            end = max(end, first + size)
        if room > end:
            self._gaps.append(Extent(end, room - end))

    def fit(self, sizes: Iterable[int]) -> list[Extent]:
        """Extents of these sizes, each as far in front as it fits beside the others; they are not
        taken yet. ConfigError: there is no place for one of them."""
        gaps, found = list(self._gaps), []
        for size in sizes:
            number = next((number for number, gap in enumerate(gaps) if gap.size >= size), None)
            if number is None:
                raise self._no_place(size, gaps)
            found.append(Extent(gaps[number].first, size))
            _cut(gaps, number, found[-1])
        return found

    def take(self, extent: Extent) -> None:
        """All of it is in a gap."""
        _cut(self._gaps, bisect_right(self._gaps, extent.first, key=_first) - 1, extent)

    def give(self, extent: Extent) -> None:
        """None of it is in a gap."""
        first, end = extent.first, extent.first + extent.size
        at = bisect_right(self._gaps, first, key=_first)
        before = self._gaps[at - 1] if at else NOWHERE
        behind = self._gaps[at] if at < len(self._gaps) else Extent(self._room + 1, 0)
        start, stop = at, at
        if before.size and before.first + before.size == first:
            first, start = before.first, at - 1
        if end == behind.first:
            end, stop = behind.first + behind.size, at + 1
        self._gaps[start:stop] = [Extent(first, end - first)]

    def _no_place(self, size: int, gaps: Sequence[Extent]) -> ConfigError:
        free, longest = sum(gap.size for gap in gaps), max((gap.size for gap in gaps), default=0)
        return ConfigError(
            f"the tables of services: no place for {size:,} entries; of {self._room:,} in all,"
            f" {free:,} are free, {longest:,} of them in a row",
            "ask for more room, or for smaller tables",
        )


def _cut(gaps: list[Extent], number: int, taken: Extent) -> None:
    """Without `taken`, which is in the gap of that number."""
    first, size = gaps[number]
    end, behind = first + size, taken.first + taken.size
    left = (Extent(first, taken.first - first), Extent(behind, end - behind))
    gaps[number : number + 1] = [one for one in left if one.size]


def _first(extent: Extent) -> int:
    return extent.first


def _behind(weights: Sequence[int]) -> list[int]:
    """For each of these falling weights the place of the first one that is less."""
    behind = [len(weights)] * len(weights)
    for place in range(len(weights) - 2, -1, -1):
        alike = weights[place] == weights[place + 1]
        behind[place] = behind[place + 1] if alike else place + 1
    return behind


def _extent(place: int) -> Extent:
    extent = Extent(place >> _SIZE_BITS, place & (1 << _SIZE_BITS) - 1)
    return extent if extent.size else NOWHERE
