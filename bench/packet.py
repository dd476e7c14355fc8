# SPDX-License-Identifier: Apache-2.0
"""Nanoseconds a packet: the programs as they are, on one CPU, by test runs.

    python -m bench.packet [--rounds N] [--cpu N] [--only TEXT]

Each run begins with a packet as it came in: a program in front of ours puts it there. What that
costs, at its best, is measured with a program that does nothing, and taken off. Driver and redirect
are not in it; all else is: verdict, counters, next hop, 10 prefixes. `tc` is the mean of both ways.
Beside them a look-up in a hash of the kernel, by which figures of two machines can be compared.
Needs root.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from bench.apart import take_turn
from bench.frames import KINDS, frames_of
from bench.rounds import measure
from bench.rows import Row, table
from bench.runs import Bench, Compiled, Thing, opened_stages, row_of
from bench.tables import Scene, scenes
from sixlane.bpf.btf import Section, Variable
from sixlane.bpf.object import Object
from tests.world import World

_MISSED = 0.1  # of random flows, so many share a set with two others at most
_SHORT = ("parse", "find", "check", "translate")
_LONG = ("classify", "map", "plan", "next_hop")


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)))
    options.add_argument("--only", default="", help="what has that text in its name")
    given = options.parse_args()
    take_turn()
    with ExitStack() as stack:
        measured = rows(stack, given.rounds, given.cpu, given.only)
    for line in table(measured):
        print(line)


def rows(stack: ExitStack, rounds: int, cpu: int, only: str = "") -> list[Row]:
    """Measures all on one CPU. What is made for it ends with `stack`. `only`: a part of names."""
    os.sched_setaffinity(0, {cpu})
    compiled = Compiled(stack)
    found = scenes(stack)
    things = [one for scene in found for one in _things(stack, compiled, scene) if only in one.name]
    for scene in found:
        scene.world.counted()
    figures = measure(
        {one.name: one.run for one in things} | {f"-{one.name}": one.nothing for one in things},
        rounds,
    )
    _check(found)
    return [row_of(one, figures[one.name], figures[f"-{one.name}"]) for one in things]


def _things(stack: ExitStack, compiled: Compiled, scene: Scene) -> Iterator[Thing]:
    for kind in KINDS if scene.all_kinds else KINDS[:1]:
        for flows in scene.flows:
            frames = frames_of(kind, scene.ends[:flows], scene.world)
            bench = Bench(stack, compiled.packet, scene.world, kind, frames)
            what = f"{scene.name or kind.name}, {flows:,} flow{'s' if flows > 1 else ''}"
            for way in ("xdp 46", "xdp 64", "tc"):
                yield bench.thing(f"{way:7}{what}", way)
            if scene.stages and kind is KINDS[0]:
                yield bench.yardstick()
                yield from _stages(stack, compiled, bench, scene.world, flows)


def _stages(
    stack: ExitStack, compiled: Compiled, bench: Bench, world: World, flows: int
) -> Iterator[Thing]:
    """Each with all that come before it. The short way is as uplink_xdp goes it for known
    addresses, the long way for others."""
    opened = stack.enter_context(opened_stages(compiled, world))
    stack.callback(_check_stages, opened)
    for way, names in (("short", _SHORT), ("long", _LONG)):
        for number, name in enumerate(names):
            upto = " + ".join(names[: number + 1]).replace("_", " ")
            for entry in ("xdp 46", "xdp 64"):
                title = f"{entry:7}{way} way, {flows:,}: {upto}"
                yield bench.thing(title, entry, opened.programs[f"{way}_{name}"])


def _check_stages(opened: Object) -> None:
    """Nearly all packets met what is remembered of them."""
    counted = opened.maps[".bss"].lookup(bytes(4)) or b""
    places = {
        one.type.name: one.offset
        for one in opened.btf.find(Section, ".bss").placed
        if isinstance(one.type, Variable)
    }
    ended, missed = (
        int.from_bytes(counted[places[name] : places[name] + 8], "little")
        for name in ("ended", "missed")
    )
    if missed > _MISSED * ended:
        sys.exit(f"bench.packet: of {ended + missed} packets, {missed} were not remembered")


def _check(found: Sequence[Scene]) -> None:
    """All packets fared as they must, but for a few that the kernel had to see (0004)."""
    for world in {id(scene.world): scene.world for scene in found}.values():
        meant = {reason for scene in found if scene.world is world for reason in scene.reasons}
        counted = world.counted()
        right = sum(counted.pop(name, 0) for name in meant)
        others = {name: count for name, count in counted.items() if count > right / 1_000}
        if others:
            sys.exit(f"bench.packet: counted as {others}, and {right} as meant")


if __name__ == "__main__":
    main()
