# SPDX-License-Identifier: Apache-2.0
"""Nanoseconds a packet to a service: to a backend by a tunnel (dsr), translated (nat), or not ours.

    python -m bench.services [--rounds N] [--cpu N] [--only TEXT]

As bench.packet measures. Flows come from 4,096 clients and go to all services alike, each of which
has one frontend. Known flows are confirmed in the cache, or have a record (nat). Without room in
the cache, where all cells are others', each packet goes by the Maglev table. New flows are those of
all, one after another, from tables without any. Needs root.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np

from bench.apart import take_turn
from bench.called import array, raise_called
from bench.calls import ACK, SYN, SYN_ACK, frames_back, frames_by, frames_to
from bench.columns import shuffled
from bench.frames import Frames
from bench.rounds import measure
from bench.rows import Row, table
from bench.runs import Bench, Compiled, Thing, row_of
from bench.service_scenes import Scene, scenes
from sixlane.datapath import layout
from sixlane.datapath.commit import slot_key
from sixlane.datapath.layout import FlowCell, FlowState

_CACHE = ("flow_cache",)
_ETHER_BYTES = 14
_STRAY = 0.02
"""Of a million known flows, so many find no room in the cache at most."""


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
    staged = [_Stage(stack, compiled, scene) for scene in scenes() if _is_wanted(scene, only)]
    things = [thing for stage in staged for thing in stage.things() if only in thing.name]
    for stage in staged:
        stage.begin()
    figures = measure(
        {one.name: one.run for one in things} | {f"-{one.name}": one.nothing for one in things},
        rounds,
    )
    for stage in staged:
        stage.check()
    return [row_of(one, figures[one.name], figures[f"-{one.name}"]) for one in things]


def _is_wanted(scene: Scene, only: str) -> bool:
    return any(only in name for count in scene.counts for name in scene.names(count).values())


class _Stage:
    """A scene in a world of its own."""

    def __init__(self, stack: ExitStack, compiled: Compiled, scene: Scene) -> None:
        self._stack, self._compiled, self._scene = stack, compiled, scene
        self._world = raise_called(stack, scene.called)
        self._program = self._world.datapath.program("uplink_xdp")
        self._before = (0, 0)

    def things(self) -> Iterator[Thing]:
        scene, called = self._scene, self._scene.called
        if scene.state == "known" and called.nat:
            self._open(max(scene.counts))
        if scene.state == "no room":
            self._fill()
        for count in scene.counts:
            names = scene.names(count)
            calls = self._calls(count)
            back = frames_back(called, self._world)[:count] if "reply" in names else calls
            for what, name in names.items():
                frames = {"call": (calls, calls), "reply": (back, back), "tc": (calls, back)}[what]
                way = {"call": called.way, "reply": called.way_back, "tc": "tc"}[what]
                bench = self._bench(*frames)
                if scene.state == "known" and not called.nat:
                    bench.runner(way, self._program)(2 * count)  # once is not enough
                yield (
                    self._new(bench, name, count)
                    if scene.state == "new"
                    else bench.thing(name, way)
                )

    def begin(self) -> None:
        """All is there: what is counted from now on is measured."""
        self._world.counted()
        self._before = self._counted()

    def check(self) -> None:
        """All packets fared as they must, but for a few that the kernel had to see (0004)."""
        state, counted = self._scene.state, self._world.counted()
        right = sum(counted.pop(name, 0) for name in self._scene.reasons)
        others = {name: count for name, count in counted.items() if count > right / 1_000}
        forwarded, new = (
            now - before for now, before in zip(self._counted(), self._before, strict=True)
        )
        strays = new if state == "known" else forwarded - new
        if others or strays > _STRAY * right:
            sys.exit(
                f"bench.services: {self._scene.called}, {state}: {right} as meant,"
                f" {others}; of {forwarded} to backends {new} of new flows"
            )

    def _calls(self, count: int) -> list[bytes]:
        make = frames_by if self._scene.state == "not ours" else frames_to
        flags = SYN if self._scene.state == "new" else ACK
        return make(self._scene.called, self._world, count, flags)

    def _bench(self, ipv4: list[bytes], ipv6: list[bytes]) -> Bench:
        kind = self._scene.called.kind
        return Bench(self._stack, self._compiled.packet, self._world, kind, Frames(ipv4, ipv6))

    def _new(self, bench: Bench, name: str, count: int) -> Thing:
        way = self._scene.called.way
        pass_them, pass_by = (bench.runner(way, target) for target in (self._program, None))

        def run() -> float:
            self._forget()
            return pass_them(count)

        return Thing(name, run, lambda: pass_by(count))

    def _open(self, count: int) -> None:
        """Flows that are translated, with a packet from either side."""
        called, world = self._scene.called, self._world
        # In another order than they come in later, as their records lie in this one.
        calls = shuffled(frames_to(called, world, count, SYN))
        self._bench(calls, calls).runner(called.way, self._program)(count)
        back = frames_back(called, world, SYN_ACK)
        if len(back) != count:
            raise LookupError(f"{len(back):,} flows are there, of {count:,}")
        self._bench(back, back).runner(called.way_back, self._program)(count)

    def _fill(self) -> None:
        """The cache, with flows that are none of those that come: their tags are odd."""
        self._world.send(self._calls(1)[0][_ETHER_BYTES:], "xdp")
        cells = array(self._world, "flow_cache")["cells"]
        tick = int(cells.max()) & FlowCell.FLOW_TICK_MASK << FlowCell.FLOW_TICK_SHIFT
        cells[:] = 2 << FlowCell.FLOW_TAG_SHIFT | tick | FlowState.FLOW_TCP

    def _forget(self) -> None:
        """As if no flow had ever come."""
        tables = ("nat_flows", "flows_in", "flows_back") if self._scene.called.nat else _CACHE
        for name in tables:
            array(self._world, name).view(np.uint8)[:] = 0
        if self._scene.called.nat:
            slots = self._world.datapath.maps()["flow_slots"]
            slots.update(slot_key(0), bytes(layout.Slots()))

    def _counted(self) -> tuple[int, int]:
        """Packets to backends, and how many were of new flows."""
        found = [
            layout.FrontendCounter.from_buffer_copy(value)
            for _, values in self._world.datapath.maps()["frontend_stats"].items_per_cpu()
            for value in values
        ]
        return sum(one.forwarded.pkts for one in found), sum(one.flows for one in found)


if __name__ == "__main__":
    main()
