# SPDX-License-Identifier: Apache-2.0
"""Nanoseconds a packet: the programs as they are, on one CPU, by test runs.

    python -m bench.packet [--rounds N] [--cpu N] [--only TEXT]

Each run begins with a packet as it came in: a program in front of ours puts it there. What that
costs, at its best, is measured with a program that does nothing, and taken off. Driver and redirect
are not in it; all else is: verdict, counters, next hop, 10 prefixes. `tc` is the mean of both ways.
Needs root.
"""

import argparse
import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.apart import take_turn
from bench.frames import FLOWS, KINDS, Frames, Kind, frames_of
from bench.rounds import Figures, measure
from bench.rows import Row, table
from bench.tables import Scene, scenes
from sixlane.bpf.btf import Section, Variable
from sixlane.bpf.context import SkBuff, XdpMd
from sixlane.bpf.object import Object
from sixlane.bpf.program import Program
from tests.netns.compiled import compile_bpf
from tests.world import World

_HERE = Path(__file__).parent
_HEADERS = _HERE.parent / "bpf"
_HEAD_BYTES = 128
_RUNS = 20_000
_WARM = 2 * FLOWS
_MISSED = 0.1  # of random flows, so many share a set with two others at most
_ABORTED = 0  # of XDP; TC_ACT_OK, which no program here returns
_SHORT = ("parse", "find", "check", "translate")
_LONG = ("classify", "map", "plan", "next_hop")


class _Use(ctypes.Structure):
    """The constants of packet.bpf.c."""

    _fields_ = tuple(
        (name, ctypes.c_uint32)
        for name in ("mask", "frame_bytes", "head_bytes4", "head_bytes6", "is_ipv6")
    )


@dataclass(frozen=True)
class Thing:
    """What is measured beside a program that does nothing, on the same packets."""

    name: str
    run: Callable[[], float]
    nothing: Callable[[], float]


class Compiled:
    """The benchmark's own programs."""

    def __init__(self, stack: ExitStack) -> None:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sixlane-bench-")))
        self.packet = compile_bpf(_HERE / "packet.bpf.c", directory)
        self.stages = compile_bpf(_HERE / "stages.bpf.c", directory, _HEADERS)


class Bench:
    """The program in front of one that is measured."""

    def __init__(
        self, stack: ExitStack, compiled: Path, world: World, kind: Kind, frames: Frames
    ) -> None:
        self._stack, self._compiled, self._world = stack, compiled, world
        self._kind, self._frames = kind, frames

    def thing(self, name: str, way: str, stage: Program | None = None) -> Thing:
        """`way`: `xdp 46`, `xdp 64` or `tc`. `stage`: in place of the data path's program, which
        then has seen the same packets right before."""
        entry = way.split()[0]
        whole = self._world.datapath.program(f"uplink_{entry}")
        run = self._run(way, stage, self._run(way, whole)) if stage else self._run(way, whole)
        return Thing(name, run, self._run(way, None))

    def _run(
        self, way: str, target: Program | None, before: Callable[[], float] | None = None
    ) -> Callable[[], float]:
        """Measures nanoseconds of one run, once a call; None: of a program that does nothing. What
        is remembered of flows for a second is there by then. `before`: is called each time."""
        entry, is_ipv6 = way.split()[0], way == "xdp 64"
        frames = self._frames.ipv6 if is_ipv6 else self._frames.ipv4
        loaded = self._load(len(frames[0]), is_ipv6)
        if entry == "tc":
            context = bytes(SkBuff(ifindex=self._world.wan.ifindex))
        else:
            device = self._world.lan if is_ipv6 else self._world.wan
            context = bytes(XdpMd.of(frames[0], ingress_ifindex=device.ifindex))
        called = loaded.programs[f"nothing_{entry}"] if target is None else target
        loaded.maps[f"{entry}_target"].update(bytes(4), called)
        program = loaded.programs[f"bench_{entry}"]

        def run() -> float:
            if before:
                before()
            ran = program.run(frames[0], ctx=context, repeat=_WARM)
            if ran.retval == _ABORTED:
                raise LookupError("a packet came to no end")
            return float(program.run(frames[0], ctx=context, repeat=_RUNS).duration_ns)

        return run

    def _load(self, frame_bytes: int, is_ipv6: bool) -> Object:
        loaded = Object.open(self._compiled)
        self._stack.callback(loaded.close)
        count = len(self._frames.ipv4)
        use = _Use(count - 1, frame_bytes, self._kind.head4, self._kind.head6, is_ipv6)
        loaded.maps[".rodata"].initial_value[: ctypes.sizeof(use)] = bytes(use)
        loaded.load()
        for start, frames in ((0, self._frames.ipv4), (FLOWS, self._frames.ipv6)):
            for number, frame in enumerate(frames):
                head = frame[:_HEAD_BYTES].ljust(_HEAD_BYTES, b"\0")
                loaded.maps["heads"].update((start + number).to_bytes(4, "little"), head)
        return loaded


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
    return [_row(one, figures[one.name], figures[f"-{one.name}"]) for one in things]


def _row(thing: Thing, figures: Figures, nothing: Figures) -> Row:
    """Noise only adds: what a program that does nothing takes is the least that it took."""
    net = tuple(value - nothing.least for value in figures.values)
    return Row(thing.name, "ns", "lower", None, net)


def _things(stack: ExitStack, compiled: Compiled, scene: Scene) -> Iterator[Thing]:
    for kind in KINDS if scene.all_kinds else KINDS[:1]:
        for flows in scene.flows:
            frames = frames_of(kind, scene.ends[:flows], scene.world)
            bench = Bench(stack, compiled.packet, scene.world, kind, frames)
            what = f"{scene.name or kind.name}, {flows:,} flow{'s' if flows > 1 else ''}"
            for way in ("xdp 46", "xdp 64", "tc"):
                yield bench.thing(f"{way:7}{what}", way)
            if scene.stages and kind is KINDS[0]:
                yield from _stages(stack, compiled, bench, scene.world, flows)


def _stages(
    stack: ExitStack, compiled: Compiled, bench: Bench, world: World, flows: int
) -> Iterator[Thing]:
    """Each with all that come before it. The short way is as uplink_xdp goes it for known
    addresses, the long way for others."""
    opened = stack.enter_context(Object.open(compiled.stages))
    for name, map in world.datapath.maps().items():
        if name in opened.maps:
            opened.maps[name].reuse(map)
    opened.load()
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
