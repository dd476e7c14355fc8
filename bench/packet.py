# SPDX-License-Identifier: Apache-2.0
"""Nanoseconds a packet: the programs as they are, on one CPU, by test runs.

    python -m bench.packet [--rounds N] [--cpu N]

Each run begins with a packet as it came in: a program in front of ours puts it there. What that
costs is measured in turn with a program that does nothing, and taken off. Driver and redirect are
not in it. Needs root.
"""

import argparse
import ctypes
import itertools
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6TimeExceeded, IPv6
from scapy.packet import Packet, Raw

from bench.apart import take_turn
from bench.rounds import Figures, measure
from sixlane.bpf.context import SkBuff, XdpMd
from sixlane.bpf.object import Object
from sixlane.rfc import rfc6052
from sixlane.rfc.rfc7915 import Prefix, Translator
from tests.netns.compiled import compile_bpf
from tests.world import LAN_PEER_MAC, WAN_PEER_MAC, World, raise_world

_SOURCE = Path(__file__).with_name("packet.bpf.c")
_HEAD_BYTES = 128
_HALF = 4_096
_RUNS = 50_000
_WELL_KNOWN = IPv6Network("64:ff9b::/96")
_CLIENTS = IPv4Network("192.31.192.0/20")
_NODES = IPv4Network("192.52.176.0/20")


class _Use(ctypes.Structure):
    """The constants of packet.bpf.c."""

    _fields_ = tuple(
        (name, ctypes.c_uint32)
        for name in ("mask", "frame_bytes", "head_bytes4", "head_bytes6", "is_ipv6")
    )


@dataclass(frozen=True)
class Kind:
    """A kind of packet: what is behind the IP header. `head4`, `head6`: how much of a frame a
    program may change, in bytes."""

    name: str
    upper4: Callable[[IPv4Address, IPv4Address], Packet]
    upper6: Callable[[IPv6Address, IPv6Address], Packet]
    head4: int
    head6: int


def _udp(size: int) -> Packet:
    return UDP(sport=40_000, dport=443) / Raw(bytes(size))


def _tcp(size: int) -> Packet:
    return TCP(sport=40_000, dport=443, flags="A") / Raw(bytes(size))


def _error4(source: IPv4Address, destination: IPv4Address) -> Packet:
    quote = IP(src=str(destination), dst=str(source), ttl=1) / _udp(64)
    return ICMP(type=11, code=0) / quote


def _error6(source: IPv6Address, destination: IPv6Address) -> Packet:
    return ICMPv6TimeExceeded() / IPv6(src=str(destination), dst=str(source), hlim=1) / _udp(64)


# Frames of 64 bytes of IPv4, without the check sequence, and what they are in IPv6.
KINDS = (
    Kind("UDP, 64 bytes", lambda *_: _udp(22), lambda *_: _udp(22), 64, 64),
    Kind("TCP, 64 bytes", lambda *_: _tcp(10), lambda *_: _tcp(10), 64, 80),
    Kind("TCP, 1,500 bytes", lambda *_: _tcp(1420), lambda *_: _tcp(1420), 64, 80),
    Kind("ICMP error", _error4, _error6, 128, 128),
)


def frames(kind: Kind, count: int, world: World) -> tuple[list[bytes], list[bytes]]:
    """IPv4 from as many clients to as many nodes, and IPv6 back."""
    packets4, packets6 = [], []
    for client, node in itertools.islice(zip(_CLIENTS, _NODES, strict=True), count):
        client6, node6 = (rfc6052.embed(_WELL_KNOWN, one) for one in (client, node))
        ip4 = IP(src=str(client), dst=str(node), flags="DF") / kind.upper4(client, node)
        ip6 = IPv6(src=str(node6), dst=str(client6)) / kind.upper6(node6, client6)
        packets4.append(world.wan.mac + WAN_PEER_MAC + b"\x08\x00" + bytes(ip4))
        packets6.append(world.lan.mac + LAN_PEER_MAC + b"\x86\xdd" + bytes(ip6))
    return packets4, packets6


class Bench:
    """The program in front of one that is measured."""

    def __init__(
        self, stack: ExitStack, compiled: Path, kind: Kind, frames: tuple[list[bytes], list[bytes]]
    ) -> None:
        self._stack, self._compiled, self._kind = stack, compiled, kind
        self._frames4, self._frames6 = frames

    def of(self, world: World, way: str, *, ours: bool) -> Callable[[], float]:
        """Measures nanoseconds of one run, once a call; not `ours`: of a program that does nothing.

        `way`: `xdp 46`, `xdp 64`, or `tc`, the mean of both directions.
        """
        entry = way.split()[0]
        frames = self._frames6 if way == "xdp 64" else self._frames4
        loaded = self._load(len(frames[0]), way == "xdp 64")
        if entry == "tc":
            context = bytes(SkBuff(ifindex=world.wan.ifindex))
        else:
            device = world.lan if way == "xdp 64" else world.wan
            context = bytes(XdpMd.of(frames[0], ingress_ifindex=device.ifindex))
        target = world.datapath.program(f"uplink_{entry}")
        if not ours:
            target = loaded.programs[f"nothing_{entry}"]
        loaded.maps[f"{entry}_target"].update(bytes(4), target)
        program = loaded.programs[f"bench_{entry}"]
        return lambda: float(program.run(frames[0], ctx=context, repeat=_RUNS).duration_ns)

    def _load(self, frame_bytes: int, is_ipv6: bool) -> Object:
        loaded = Object.open(self._compiled)
        self._stack.callback(loaded.close)
        use = _Use(len(self._frames4) - 1, frame_bytes, self._kind.head4, self._kind.head6, is_ipv6)
        loaded.maps[".rodata"].initial_value[: ctypes.sizeof(use)] = bytes(use)
        loaded.load()
        for start, frames in ((0, self._frames4), (_HALF, self._frames6)):
            for number, frame in enumerate(frames):
                head = frame[:_HEAD_BYTES].ljust(_HEAD_BYTES, b"\0")
                loaded.maps["heads"].update((start + number).to_bytes(4, "little"), head)
        return loaded


def translator(prefixes: int) -> Translator:
    """The nodes in as many ranges of as many prefixes."""
    ranges = list(_NODES.subnets(new_prefix=28))
    share = -(-len(ranges) // prefixes)
    return Translator(
        tuple(
            Prefix(f"p{number}", _WELL_KNOWN, tuple(ranges[start : start + share]), None, ())
            for number, start in enumerate(range(0, len(ranges), share))
        ),
        IPv4Address("193.0.14.1"),
        IPv6Address("2001:db8::1"),
    )


@dataclass(frozen=True)
class Row:
    """One line of the table: what is measured beside what it costs without our program."""

    name: str
    with_it: str
    without: str


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)))
    given = options.parse_args()
    take_turn()
    os.sched_setaffinity(0, {given.cpu})
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="sixlane-bench-"))
        world = stack.enter_context(raise_world())
        world.configure(translator(10))
        things, rows = _things(stack, compile_bpf(_SOURCE, Path(directory)), world)
        world.counted()
        found = measure(things, given.rounds)
        counted = world.counted()
    _check(counted)
    print(f"{'ns a packet, net':44} {'min':>6} {'median':>7}")
    for row in rows:
        net = _net(found[row.with_it], found[row.without])
        print(f"{row.name:44} {net.least:6.0f} {net.median:7.0f}")


def _things(
    stack: ExitStack, compiled: Path, world: World
) -> tuple[dict[str, Callable[[], float]], list[Row]]:
    things: dict[str, Callable[[], float]] = {}
    rows = []
    for kind in KINDS:
        for flows in (1, _HALF):
            bench = Bench(stack, compiled, kind, frames(kind, flows, world))
            where = f"{kind.name}, {flows} flow{'s' if flows > 1 else ''}"
            for way in ("xdp 46", "xdp 64", "tc"):
                row = Row(f"{way:7}{where}", f"{way} {where}", f"{way} {where}, nothing")
                things[row.with_it] = bench.of(world, way, ours=True)
                things[row.without] = bench.of(world, way, ours=False)
                rows.append(row)
    return things, rows


def _check(counted: dict[str, int]) -> None:
    """All packets were translated, but for a few that the kernel had to see (0004)."""
    translated = sum(counted.pop(name, 0) for name in ("forward_46", "forward_64"))
    others = {name: count for name, count in counted.items() if count > translated / 10_000}
    if others or not translated:
        sys.exit(f"bench.packet: not all packets were translated: {others}")


def _net(with_it: Figures, without: Figures) -> Figures:
    return Figures(
        tuple(one - other for one, other in zip(with_it.values, without.values, strict=True))
    )


if __name__ == "__main__":
    main()
