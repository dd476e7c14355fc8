# SPDX-License-Identifier: Apache-2.0
"""Rings as the kernel fills them, against the reference."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import TYPE_CHECKING, cast

import pytest

from sixlane.bpf import Object, Program
from sixlane.datapath import layout
from sixlane.datapath.layout import Limit, RingResult
from sixlane.datapath.objects import UPLINK, object_path
from sixlane.datapath.rings import NOWHERE, Extent, Ring, RingBuilder, rings_in_force
from sixlane.errors import KernelError
from sixlane.rfc.maglev import Member, member_of, table
from tests import needs

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

pytestmark = [pytest.mark.prog, needs.root]

ROOM = 10_000
LARGE = 131071 + 100
SERVICES = 4
BESIDE = 7  # what stands in entries that no build is about


@contextmanager
def loaded(room: int) -> Iterator[Object]:
    """The one program."""
    with Object.open(object_path(UPLINK)) as opened:
        opened.choose({"build_ring"})
        opened.maps["rings"].resize(room)
        opened.maps["service_rings"].resize(SERVICES)
        opened.load()
        yield opened


@pytest.fixture(scope="module")
def once() -> Iterator[Object]:
    with loaded(ROOM) as opened:
        yield opened


@pytest.fixture
def kernel(once: Object) -> Object:
    """No service has a ring, and all entries are somebody's."""
    fill(once, BESIDE)
    for service in range(SERVICES):
        once.maps["service_rings"].update(service.to_bytes(4, "little"), bytes(16))
    return once


def fill(kernel: Object, backend: int) -> None:
    rings = kernel.maps["rings"]
    keys = b"".join(number.to_bytes(4, "little") for number in range(rings.info.max_entries))
    rings.update_rows(keys, backend.to_bytes(4, "little") * rings.info.max_entries)


def entries(kernel: Object) -> list[int]:
    return memoryview(b"".join(one for _, one in kernel.maps["rings"].rows())).cast("I").tolist()


def builder(kernel: Object, **options: int) -> RingBuilder:
    return RingBuilder(kernel.programs["build_ring"], kernel.maps["ring_members"], **options)


def ring_of(weights: Sequence[int], size: int, first: int = 0, service: int = 1) -> Ring:
    """Of both families, with ids that tell nothing of the order."""
    members = [
        member_of(IPv4Address(0xC0000201 + number), number % 3, weight)
        if number % 2
        else member_of(IPv6Address(f"2001:db8::{number:x}"), 80, weight)
        for number, weight in enumerate(weights)
    ]
    backends = [1 + number * 7 % 99991 for number in range(5, 5 + len(weights))]
    return Ring(service, Extent(first, size), members, backends, digest=size << 40 | len(weights))


def expected(ring: Ring) -> list[int]:
    return [ring.backends[owner] for owner in table(ring.members, ring.extent.size)]


def check(kernel: Object, ring: Ring, **options: int) -> None:
    """It is built, entry by entry, and nothing beside it is touched."""
    assert builder(kernel, **options).build(ring) == NOWHERE
    first, size = ring.extent
    found = entries(kernel)
    assert found[first : first + size] == expected(ring)
    assert set(found[:first] + found[first + size :]) <= {BESIDE}
    assert rings_in_force(kernel.maps["service_rings"]) == {
        ring.service: (ring.extent, ring.digest)
    }


def names(value: object) -> str:
    return f"{len(value)} of {max(value)}" if isinstance(value, list) else str(value)


@pytest.mark.parametrize(
    ("weights", "size"),
    [
        ([1], 2),
        ([1], 251),
        ([5, 5], 251),
        ([1, 0, 0], 251),
        ([3, 2, 1], 509),
        ([1, 2, 3, 2, 1, 0, 2], 1021),
        ([1, 1000], 4093),
        ([1000, 999, 1], 4093),
        ([1] * 10, 1021),
        (list(range(1, 41)), 4093),
        ([1000] + [1] * 60, 8191),
        ([1, 2, 1], 3),
        ([1] * 10, 7),
    ],
    ids=names,
)
def test_it_is_as_the_reference_s(kernel: Object, weights: list[int], size: int) -> None:
    check(kernel, ring_of(weights, size, first=5))


@pytest.mark.parametrize(
    ("weights", "size"),
    [
        ([1, 1000], 131071),
        ([1] * 1000, 65537),
        ([7, 3] * 500, 131071),
        ([1] * Limit.RING_MEMBERS_MAX, 131071),
    ],
    ids=names,
)
def test_large_ones(weights: list[int], size: int) -> None:
    with loaded(LARGE) as kernel:
        fill(kernel, BESIDE)
        check(kernel, ring_of(weights, size, first=5))


@pytest.mark.parametrize("seed", range(12))
def test_random_ones(kernel: Object, seed: int) -> None:
    random = Random(seed)
    size = random.choice([251, 509, 1021, 2039, 4093, 8191])
    most = random.choice([1, 2, 10, 1000])
    weights = [random.randint(0, most) for _ in range(random.randint(0, size // 20))]
    ring = ring_of([*weights, most], size, random.randrange(ROOM - size), random.randrange(1, 4))
    check(kernel, ring)


@pytest.mark.parametrize("steps", [1, 2, 3, 1000])
def test_in_pieces(kernel: Object, steps: int) -> None:
    """Wherever a call ends, the next one goes on there."""
    check(kernel, ring_of([3, 1, 3, 2, 1, 1], 251, first=1000), steps=steps)


def test_another_ring_in_its_place(kernel: Object) -> None:
    build = builder(kernel).build
    ring = ring_of([1, 2, 3], 509)
    other = replace(ring_of([1, 2, 4], 1021, first=509), digest=5)
    assert build(ring) == NOWHERE
    assert build(other) == ring.extent
    assert build(replace(ring, digest=6)) == other.extent
    assert rings_in_force(kernel.maps["service_rings"]) == {1: (ring.extent, 6)}
    assert entries(kernel)[: 509 + 1021] == expected(ring) + expected(other)


def test_a_ring_that_is_only_built(kernel: Object) -> None:
    ring = ring_of([1, 2, 3], 509)
    assert builder(kernel).build(ring, publish=False) == NOWHERE
    assert rings_in_force(kernel.maps["service_rings"]) == {}
    assert entries(kernel)[:509] == expected(ring)


@pytest.mark.parametrize("weights", [[], [0, 0]])
def test_nobody(kernel: Object, weights: list[int]) -> None:
    ring = ring_of([1, 2], 251)
    builder(kernel).build(ring)
    before = entries(kernel)
    assert builder(kernel).build(ring_of(weights, 251, first=251)) == ring.extent
    assert rings_in_force(kernel.maps["service_rings"]) == {}
    assert entries(kernel) == before


class Cut:
    """The program, until it is called once more than so often."""

    def __init__(self, program: Program, calls: int) -> None:
        self._program = program
        self._calls = calls

    def call(self, ctx: "Buffer") -> tuple[int, bytes]:
        self._calls -= 1
        if self._calls < 0:
            raise KernelError(1, "call the program")
        return self._program.call(ctx)


def untouched(kernel: Object, ring: Ring) -> None:
    """What is in force is what it was."""
    assert rings_in_force(kernel.maps["service_rings"]) == {1: (ring.extent, ring.digest)}
    assert entries(kernel)[: ring.extent.size] == expected(ring)


@pytest.mark.parametrize("calls", [0, 1, 2, 4, 10])
def test_a_build_that_is_cut_short(kernel: Object, calls: int) -> None:
    ring = ring_of([1, 2], 251)
    builder(kernel).build(ring)
    cut = cast(Program, Cut(kernel.programs["build_ring"], calls))
    other = ring_of([2, 1, 7], 509, first=251)
    with pytest.raises(KernelError):
        RingBuilder(cut, kernel.maps["ring_members"], 100).build(other)
    untouched(kernel, ring)
    assert set(entries(kernel)[251 + 509 :]) == {BESIDE}
    assert builder(kernel).build(other) == ring.extent
    assert entries(kernel)[251 : 251 + 509] == expected(other)


@pytest.mark.parametrize(
    ("service", "extent"),
    [
        (SERVICES, Extent(251, 251)),
        ((1 << 32) - 1, Extent(251, 251)),
        (1, Extent(ROOM, 251)),
        (1, Extent(ROOM - 250, 251)),
        (1, Extent((1 << 32) - 2, 251)),
    ],
)
def test_what_there_is_no_room_for(kernel: Object, service: int, extent: Extent) -> None:
    ring = ring_of([1, 2], 251)
    builder(kernel).build(ring)
    with pytest.raises(ValueError, match=f"no service {service}, or no 251 entries from"):
        builder(kernel).build(replace(ring, service=service, extent=extent))
    untouched(kernel, ring)


def test_what_is_no_ring(kernel: Object) -> None:
    ring = ring_of([1, 2], 251)
    builder(kernel).build(ring)
    many = [Member(number.to_bytes(2, "big")) for number in range(Limit.RING_MEMBERS_MAX + 1)]
    wrong = {
        "1025 members of a ring, of 1024": replace(ring, members=many, backends=range(1, 1026)),
        "each member": replace(ring, backends=[3]),
        "not 0": replace(ring, backends=[3, 0]),
        "prime": replace(ring, extent=Extent(251, 252)),
        "named twice": replace(ring, members=[ring.members[0]] * 2),
    }
    for message, each in wrong.items():
        with pytest.raises(ValueError, match=message):
            builder(kernel).build(each)
    untouched(kernel, ring)


@pytest.mark.parametrize(
    "damage", [{"at": 251}, {"at": 1 << 31}, {"skip": 503}, {"skip": (1 << 32) - 1}]
)
def test_members_that_want_others_entries(kernel: Object, damage: dict[str, int]) -> None:
    """Whatever stands in the map, entries of others stay."""
    ring = ring_of([1, 1], 251)
    builder(kernel).build(ring)
    good = {"at": 3, "skip": 5, "weight": 1, "backend": 9, "behind": 1}
    kernel.maps["ring_members"].update(bytes(4), layout.RingMember(**(good | damage)))
    asked = layout.RingBuild(
        service=1, first=251, size=251, members=1, largest_weight=1, steps=5000, publish=1
    )
    _, told = kernel.programs["build_ring"].call(asked)
    assert layout.RingBuild.from_buffer_copy(told).result == RingResult.RING_REFUSED
    untouched(kernel, ring)
    assert set(entries(kernel)[502:]) == {BESIDE}


@pytest.mark.parametrize("steps", [0, (1 << 23) + 1])
def test_steps_that_cannot_be(kernel: Object, steps: int) -> None:
    with pytest.raises(ValueError, match="no service"):
        builder(kernel, steps=steps).build(ring_of([1], 251))
    assert rings_in_force(kernel.maps["service_rings"]) == {}
