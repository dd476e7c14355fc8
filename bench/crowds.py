# SPDX-License-Identifier: Apache-2.0
"""Sessions of many flows at once: a packet among a million of them, and one that makes a new one.

    python -m bench.crowds [--flows N ...] [--rounds N] [--cpu N] [--only TEXT]

As bench.packet measures. All flows come from 4,096 pods, four to a /64, and go to as many nodes;
each has a binding of its own. Packets come in an order that has nothing to do with where sessions
are kept. New sessions are those of all flows one after another, from tables without any but 4,096
others, by which next hops are known. Needs root.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.apart import take_turn
from bench.columns import (
    DESTINATION4,
    SOURCE4,
    SOURCE6,
    UDP_SUM,
    UPPER4,
    UPPER6,
    copies,
    frames_of,
    put,
    put_sums4,
    put_sums6,
    shuffled,
)
from bench.frames import FLOWS, KINDS, NODE_PORT, Ends, Frames, frame4, frame6
from bench.rounds import measure
from bench.rows import Row, table
from bench.runs import Bench, Compiled, Thing, opened_stages, row_of
from bench.tables import CLIENTS, LIFETIME_S, PODS, POOL, WELL_KNOWN, stateful_world
from sixlane.datapath import layout
from sixlane.datapath.pools import Room
from sixlane.rfc import rfc6052
from tests.prog.test_sessions import wait
from tests.world import World

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

USUAL = (FLOWS, 1 << 20)
_KIND = KINDS[0]
_POD_BITS = 12
_PODS_OF_CLIENT = 4
_FIRST_PORT = 1024
_BLOCK_PORTS = 1024
_BLOCKS_OF_ADDRESS = 63
_SWEPT_AT_ONCE = 1 << 16
_SEED = 1
_UDP = 17
_STAGES = ("forgotten", "index", "record", "way_on", "kept")


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--flows", type=int, nargs="+", default=USUAL, help="a power of two each")
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)))
    options.add_argument("--only", default="", help="what has that text in its name")
    given = options.parse_args()
    take_turn()
    with ExitStack() as stack:
        measured = rows(stack, given.rounds, given.cpu, given.flows, given.only)
    for line in table(measured):
        print(line)


def rows(
    stack: ExitStack, rounds: int, cpu: int, counts: Sequence[int] = USUAL, only: str = ""
) -> list[Row]:
    """Measures all on one CPU; `counts`: of flows. What is made for it ends with `stack`."""
    os.sched_setaffinity(0, {cpu})
    compiled = Compiled(stack)
    things = [
        thing
        for count in counts
        for make in (_new, _established)
        for thing in make(stack, compiled, count, only)
    ]
    figures = measure(
        {one.name: one.run for one in things} | {f"-{one.name}": one.nothing for one in things},
        rounds,
    )
    return [row_of(one, figures[one.name], figures[f"-{one.name}"]) for one in things]


def _established(stack: ExitStack, compiled: Compiled, count: int, only: str) -> Iterator[Thing]:
    what = f"among sessions, {count:,} flows"
    ways = [way for way in ("xdp 46", "xdp 64", "tc") if only in f"{way:7}{what}"]
    if count == FLOWS or not ways:  # so many are in bench.packet
        return
    world = _world(stack, count)
    frames6 = _frames6(count, world)
    before = Bench(stack, compiled.packet, world, _KIND, Frames(frames6, frames6))
    before.runner("xdp 64", world.datapath.program("uplink_xdp"))(count)
    _check(world, count)
    frames = Frames(_frames4(world, count), shuffled(frames6))
    bench = Bench(stack, compiled.packet, world, _KIND, frames)
    bench.runner("xdp 46", world.datapath.program("uplink_xdp"))(count)  # the first one back
    for way in ways:
        yield bench.thing(f"{way:7}{what}", way)
    opened = stack.enter_context(opened_stages(compiled, world))
    for number, stage in enumerate(_STAGES):
        upto = " + ".join(_STAGES[: number + 1]).replace("_", " ")
        for entry in ("xdp 46", "xdp 64"):
            title = f"{entry:7}session's way, {count:,}: {upto}"
            yield bench.thing(title, entry, opened.programs[f"session_{stage}"])


def _new(stack: ExitStack, compiled: Compiled, count: int, only: str) -> Iterator[Thing]:
    name = f"xdp 64 new sessions, {count:,} flows"
    if only not in name:
        return
    world = _world(stack, count)
    frames = _frames6(count + FLOWS, world)
    others, mine = frames[-FLOWS:], shuffled(frames[:-FLOWS])
    program = world.datapath.program("uplink_xdp")
    pass_others, pass_mine, pass_by = (
        Bench(stack, compiled.packet, world, _KIND, Frames(some, some)).runner("xdp 64", target)
        for some, target in ((others, program), (mine, program), (mine, None))
    )

    def run() -> float:
        _end_all(world)
        pass_others(FLOWS)
        took = pass_mine(count)
        _check(world, count + FLOWS)
        return took

    yield Thing(name, run, lambda: pass_by(count))


def _end_all(world: World) -> None:
    wait(world, LIFETIME_S + 10)
    slots = world.datapath.session_slots()
    for first in range(0, slots, _SWEPT_AT_ONCE):
        world.datapath.sweep_sessions(first, min(_SWEPT_AT_ONCE, slots - first))


def _check(world: World, count: int) -> None:
    records = world.datapath.session_records()
    there = records.fill()["sessions"].used if records else 0
    if there != count:
        raise LookupError(f"{there:,} sessions are there, of {count:,}")


def _world(stack: ExitStack, count: int) -> World:
    """With room for so many flows, and for `FLOWS` others."""
    most = count + 2 * FLOWS
    clients = max(FLOWS, most) // _PODS_OF_CLIENT
    blocks_of_client = -(-most * _PODS_OF_CLIENT // FLOWS // _BLOCK_PORTS) + 1
    blocks = FLOWS // _PODS_OF_CLIENT * blocks_of_client
    addresses = min(2 * blocks // _BLOCKS_OF_ADDRESS + 1, POOL.num_addresses)
    room = Room(sessions=most, bindings=most, clients=clients, addresses=addresses)
    return stateful_world(stack, room, block_ports=_BLOCK_PORTS, blocks=blocks_of_client)


def _frames6(count: int, world: World) -> list[bytes]:
    """Flow by flow: pods in turn, then each one's next port."""
    frames = _copies(frame6, count, world)
    number = np.arange(count)
    pod, port = number % FLOWS, number // FLOWS
    node = (port * 977 + pod) % FLOWS
    put(frames, SOURCE6 + 4, pod // _PODS_OF_CLIENT, 4)
    put(frames, SOURCE6 + 12, pod % _PODS_OF_CLIENT + 1, 4)
    put(frames, SOURCE6 + 28, int(CLIENTS[0]) + node, 4)
    put(frames, UPPER6, _FIRST_PORT + port, 2)
    put(frames, UPPER6 + 2, NODE_PORT, 2)
    put_sums6(frames, _UDP, UDP_SUM)
    return frames_of(frames)


def _frames4(world: World, count: int) -> list[bytes]:
    """What the nodes answer, in any order."""
    records = np.frombuffer(
        world.datapath.maps()["sessions"].mmap(writable=False), np.dtype(layout.Session)
    )
    records = np.random.default_rng(_SEED).permutation(records[records["word"] != 0])
    frames = _copies(frame4, count, world)
    put(frames, SOURCE4, records["remote"], 4)
    put(frames, DESTINATION4, records["pool"], 4)
    put(frames, UPPER4, records["remote_port"], 2)
    put(frames, UPPER4 + 2, records["pool_port"], 2)
    put_sums4(frames, _UDP, UDP_SUM)
    return frames_of(frames)


def _copies(frame: Any, count: int, world: World) -> "Bytes":
    """The usual frame, which differs from what is wanted in what is put into it."""
    ends = Ends(CLIENTS[0], POOL[0], rfc6052.embed(WELL_KNOWN, CLIENTS[0]), PODS[1])
    return copies(frame(_KIND, ends, world), count)


if __name__ == "__main__":
    main()
