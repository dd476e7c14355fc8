# SPDX-License-Identifier: Apache-2.0
"""Packets a second that one CPU brings through: live frames by XDP, from an end of the gateway to
the other, redirects and veth drivers included.

    python -m bench.live [--rounds N] [--cpu N]

Frames are made by a test run in the sender's namespace and counted by a program at the other end.
Beside it, the same with a program that does nothing but redirect to the other device. Needs root.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.apart import go_apart
from bench.rounds import measure
from bench.rows import Row, table
from sixlane.bpf import AttachType, Link, Object, XdpFlag
from sixlane.net import link, netns
from tests.netns.compiled import compile_bpf
from tests.netns.edge import CLIENT6, SERVER6, Edge, raise_edge
from tests.netns.flood import End, compile_witness, flooding
from tests.packets import ip4, ip6, udp

_HERE = Path(__file__).parent
_SENDS = 16  # some thousand frames each
_FLOW = {"src": SERVER6, "dst": CLIENT6}


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)))
    given = options.parse_args()
    go_apart("bench.live")
    with ExitStack() as stack:
        for line in table(rows(stack, given.rounds, given.cpu)):
            print(line)


def rows(stack: ExitStack, rounds: int, cpu: int) -> list[Row]:
    """Both ways, and what a bare redirect brings through in the same rounds."""
    os.sched_setaffinity(0, {cpu})
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sixlane-bench-")))
    witness, redirect = compile_witness(directory), compile_bpf(_HERE / "redirect.bpf.c", directory)
    things: dict[str, Callable[[], float]] = {}
    for name in ("sixlane", "redirect"):
        edge = stack.enter_context(raise_edge("xdp"))
        flood = stack.enter_context(
            flooding(edge, witness, [ip4() / udp(22)], [ip6(**_FLOW) / udp(2)])
        )
        if name == "redirect":
            stack.enter_context(_only_redirected(edge, redirect))
        for way, sender, other in (
            ("46", flood.client, flood.server),
            ("64", flood.server, flood.client),
        ):
            things[f"{way} {name}"] = _rate(sender, other)
    found = measure(things, rounds)
    return [
        Row(
            f"live frames {way}: {what}",
            "kpackets/s",
            "higher",
            None if name == "redirect" else f"live frames {way}: a bare redirect",
            found[f"{way} {name}"].values,
        )
        for way in ("46", "64")
        for name, what in (("redirect", "a bare redirect"), ("sixlane", "sixlane xdp"))
    ]


def _rate(sender: End, other: End) -> Callable[[], float]:
    def run() -> float:
        before, began = _arrived(other), time.perf_counter()
        for _ in range(_SENDS):
            sender.send()
        seconds = time.perf_counter() - began
        return (_arrived(other) - before) / seconds / 1e3

    return run


def _arrived(end: End) -> int:
    return sum(end.arrived().values())


@contextmanager
def _only_redirected(edge: Edge, compiled: Path) -> Iterator[None]:
    """In place of the data path."""
    with netns.inside(edge.gateway), ExitStack() as stack:
        for one in edge.datapath.attachments():
            edge.datapath.detach(one)
        devices = [link.get(name) for name in ("wan0", "lan0")]
        for here, there in (devices, devices[::-1]):
            opened = stack.enter_context(Object.open(compiled))
            constants = opened.maps[".rodata"].initial_value
            constants[:4] = there.ifindex.to_bytes(4, "little")
            opened.load()
            program = opened.programs["redirect"]
            stack.enter_context(
                Link.create(program, here.ifindex, AttachType.XDP, XdpFlag.DRV_MODE)
            )
        yield


if __name__ == "__main__":
    main()
