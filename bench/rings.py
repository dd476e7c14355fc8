# SPDX-License-Identifier: Apache-2.0
"""How long Maglev tables take: to be built, by the kernel alone too, and to be changed by a weight.

    python -m bench.rings [--rounds N] [--cpu N]

On one CPU. Needs root.
"""

import argparse
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from bench.apart import take_turn
from bench.called import BACKENDS
from bench.rounds import measure
from bench.rows import Row, table
from sixlane.bpf import Program
from sixlane.datapath.rings import Extent, Ring, RingBuilder
from sixlane.datapath.rooms import ServiceRoom
from sixlane.rfc.maglev import member_of
from tests.world import raise_world

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_LARGE, _SMALL = (65_537, 1_000), (1_021, 10)
"""Entries and members."""
_UPDATES = 50  # a round


class _Timed:
    """A program's calls, and how long they took together."""

    def __init__(self, program: Program) -> None:
        self._program, self.seconds = program, 0.0

    def call(self, context: "Buffer") -> tuple[int, bytes]:
        began = time.perf_counter()
        try:
            return self._program.call(context)
        finally:
            self.seconds += time.perf_counter() - began


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)))
    given = options.parse_args()
    take_turn()
    with ExitStack() as stack:
        measured = rows(stack, given.rounds, given.cpu)
    for line in table(measured):
        print(line)


def rows(stack: ExitStack, rounds: int, cpu: int) -> list[Row]:
    """Measures all on one CPU. What is made for it ends with `stack`."""
    os.sched_setaffinity(0, {cpu})
    room = ServiceRoom(1, _LARGE[1], 1, 2 * _LARGE[0], 1)
    world = stack.enter_context(raise_world(service_room=room))
    timed = _Timed(world.datapath.program("build_ring"))
    builder = RingBuilder(cast("Program", timed), world.datapath.maps()["ring_members"])
    large, small = _ring(*_LARGE), _ring(*_SMALL)
    size, members = _LARGE
    name = f"table of {size:,} entries, {members:,} backends"
    units = {
        f"{name}: built": "ms",
        f"{name}: in the kernel": "ms",
        f"{_SMALL[0]:,} entries, {_SMALL[1]} backends: a weight changed": "updates/s",
    }
    things: list[Callable[[], float]] = [
        lambda: _built_ms(builder, large),
        lambda: _kernel_ms(builder, large, timed),
        lambda: _updates(builder, small),
    ]
    figures = measure(dict(zip(units, things, strict=True)), rounds)
    return [
        Row(one, unit, "lower" if unit == "ms" else "higher", None, figures[one].values)
        for one, unit in units.items()
    ]


def _ring(size: int, count: int) -> Ring:
    members = [member_of(BACKENDS[4] + number, 0) for number in range(count)]
    return Ring(1, Extent(0, size), members, range(1, count + 1))


def _built_ms(builder: RingBuilder, ring: Ring) -> float:
    began = time.perf_counter()
    builder.build(ring)
    return (time.perf_counter() - began) * 1e3


def _kernel_ms(builder: RingBuilder, ring: Ring, timed: _Timed) -> float:
    timed.seconds = 0
    builder.build(ring)
    return timed.seconds * 1e3


def _updates(builder: RingBuilder, ring: Ring) -> float:
    """Each beside the one in force, which then is free."""
    size, first = ring.extent.size, ring.members[0]
    began = time.perf_counter()
    for number in range(_UPDATES):
        members = [replace(first, weight=number % 7 + 1), *ring.members[1:]]
        extent = Extent(number % 2 * size, size)
        builder.build(replace(ring, extent=extent, members=members))
    return _UPDATES / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
