# SPDX-License-Identifier: Apache-2.0
"""Runs of the data path's programs, packet after packet, by a program in front of them."""

import ctypes
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.frames import FLOWS, Frames, Kind
from bench.rounds import Figures
from bench.rows import Row
from sixlane.bpf import Map
from sixlane.bpf.context import SkBuff, XdpMd
from sixlane.bpf.object import Object
from sixlane.bpf.program import Program
from tests.netns.compiled import compile_bpf
from tests.world import World

_HERE = Path(__file__).parent
_HEADERS = _HERE.parent / "bpf"
_HEAD_BYTES = 128
_DESTINATION_AT, _DESTINATION_BYTES = 14 + 24, 16
_RUNS = 20_000
_WARM = 2 * FLOWS
_ABORTED = 0  # of XDP; TC_ACT_OK, which no program here returns


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
        self._heads: Map | None = None  # one for all its programs: they may be a million

    def thing(self, name: str, way: str, stage: Program | None = None) -> Thing:
        """`way`: `xdp 46`, `xdp 64` or `tc`. `stage`: in place of the data path's program, which
        then has seen the same packets right before."""
        entry = way.split()[0]
        whole = self._world.datapath.program(f"uplink_{entry}")
        run = self._run(way, stage, self._run(way, whole)) if stage else self._run(way, whole)
        return Thing(name, run, self._run(way, None))

    def yardstick(self) -> Thing:
        """What a look-up in a hash of the kernel takes, of 16 bytes, the IPv6 destination."""
        loaded = self._load(len(self._frames.ipv6[0]), True)
        found = {frame[_DESTINATION_AT:][:_DESTINATION_BYTES] for frame in self._frames.ipv6}
        loaded.maps["destinations"].update_batch((one, bytes(8)) for one in sorted(found))
        name = f"a look-up in the kernel's hash, {len(found):,} of 16 bytes"
        program = loaded.programs["hash_xdp"]
        return Thing(name, self._run("xdp 64", program), self._run("xdp 64", None))

    def _run(
        self, way: str, target: Program | None, before: Callable[[], float] | None = None
    ) -> Callable[[], float]:
        """Measures nanoseconds of one run, once a call. What is remembered of flows for a second is
        there by then. `before`: is called each time."""
        packets = self.runner(way, target)

        def run() -> float:
            if before:
                before()
            packets(_WARM)
            return packets(_RUNS)

        return run

    def runner(self, way: str, target: Program | None) -> Callable[[int], float]:
        """To be called for so many further packets; returns nanoseconds of one. None: a program
        that does nothing."""
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

        def run(count: int) -> float:
            ran = program.run(frames[0], ctx=context, repeat=count)
            if ran.retval == _ABORTED:
                raise LookupError("a packet came to no end")
            return float(ran.duration_ns)

        return run

    def _load(self, frame_bytes: int, is_ipv6: bool) -> Object:
        loaded = Object.open(self._compiled)
        self._stack.callback(loaded.close)
        count = len(self._frames.ipv4)
        use = _Use(count - 1, frame_bytes, self._kind.head4, self._kind.head6, is_ipv6)
        loaded.maps[".rodata"].initial_value[: ctypes.sizeof(use)] = bytes(use)
        if self._heads is not None:
            loaded.maps["heads"].reuse(self._heads)
            loaded.load()
            return loaded
        loaded.maps["heads"].resize(2 * count)
        loaded.load()
        self._heads = loaded.maps["heads"]
        heads = self._heads.mmap()
        for number, frame in enumerate((*self._frames.ipv4, *self._frames.ipv6)):
            head, at = frame[:_HEAD_BYTES], number * _HEAD_BYTES
            heads[at : at + len(head)] = head
        return loaded


def opened_stages(compiled: Compiled, world: World) -> Object:
    """The programs that are cut off, over the maps of that data path."""
    opened = Object.open(compiled.stages)
    for name, map in world.datapath.maps().items():
        if name in opened.maps:
            opened.maps[name].reuse(map)
    opened.load()
    return opened


def row_of(thing: Thing, figures: Figures, nothing: Figures) -> Row:
    """Noise only adds: what a program that does nothing takes is the least that it took."""
    net = tuple(value - nothing.least for value in figures.values)
    return Row(thing.name, "ns", "lower", None, net)
