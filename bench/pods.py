# SPDX-License-Identifier: Apache-2.0
"""Pod to pod, on one node and across two, and pod to a server of IPv4: sixlane beside the reference
plugins `bridge` and `ptp`, and host to host.

    python -m bench.pods [--rounds N] [--seconds S] [--only TEXT] [--out FILE]

All are raised at the same time, with addresses of IPv6, and are taken in turn as in bench.forward
(bench/nodes.py says what they are made of). Host to host is one veth pair: what is between two
nodes, and as many turns of the kernel's queues as sixlane needs between two pods of one node; the
plugins need two there, and one more everywhere for each node that is passed.

What goes there and back is asked and answered on one CPU, so it tells what packets cost and not how
quickly CPUs wake each other; a stream has a CPU at each end. BIG TCP is compared with the same
without it. Needs root and `packaging/install-deps bench`.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import alone, loads, netperf, nodes
from bench.ends import CLIENT_CPU, Ends
from bench.figure import Figure
from bench.gateways import BIG_BYTES
from bench.rounds import measure_several
from bench.rows import Row

HOSTS = "host to host"
SECONDS = 1  # for each single run: there are many
_BIG = ", BIG TCP"
_NEAR, _FAR = "on one node", "across two"
_SIXLANE, _BESIDE = "sixlane", "bridge"
_TO_IPV4 = f"{_SIXLANE} to IPv4"


@dataclass(frozen=True)
class _Variant:
    """`baseline`: the variant that it is compared with; `beside`: another one, as well."""

    name: str
    ends: Ends
    baseline: str | None
    beside: str | None = None


@dataclass(frozen=True)
class _Load:
    run: Callable[[Ends, Path, int], Mapping[str, float]]
    figures: tuple[Figure, ...]
    big: bool


def _transactions(size: int, ends: Ends, netperf: Path, seconds: int) -> dict[str, float]:
    return loads.transactions(ends, netperf, seconds, size, (CLIENT_CPU, CLIENT_CPU))


def _stream(ends: Ends, _: Path, seconds: int) -> dict[str, float]:
    return {"gbps": loads.stream(ends, seconds)}


def _latencies(name: str) -> tuple[Figure, ...]:
    return (
        Figure("rate", f"{name}, rate", "1/s", "higher"),
        Figure("min_latency", f"{name}, least", "us", "lower"),
        Figure("p90_latency", f"{name}, P90", "us", "lower"),
        Figure("p99_latency", f"{name}, P99", "us", "lower"),
    )


_KB = f"pods, {loads.TRANSACTION_BYTES // 1000} kB there and back"
_LOADS = (
    _Load(partial(_transactions, 1), _latencies("pods, 1 byte there and back"), big=False),
    _Load(_stream, (Figure("gbps", "pods, one TCP flow", "Gbit/s", "higher"),), big=True),
    _Load(partial(_transactions, loads.TRANSACTION_BYTES), _latencies(_KB), big=True),
)


def main() -> None:
    parser = alone.options(__doc__, 15, SECONDS)
    parser.add_argument("--only", default="", help="figures with that text in their names")
    given = parser.parse_args()
    alone.run(
        "bench.pods",
        given,
        lambda stack: rows(stack, given.rounds, given.seconds, given.only),
        netperf.get,
    )


def rows(stack: ExitStack, rounds: int, seconds: int, only: str = "") -> list[Row]:
    """Measures each load on each variant. `only`: the loads with a figure of which that text is in
    the name. What is made for it ends with `stack`; the process must be apart (`go_apart`)."""
    tools = netperf.get()
    variants = tuple(_raise_all(stack, f"sl-p{os.getpid()}"))
    for one in variants:
        loads.serve_flows(one.ends, tools["netserver"])
    found: list[Row] = []
    for load in _LOADS:
        if any(only in figure.name for figure in load.figures):
            print(load.figures[0].name, file=sys.stderr)
            taken = [one for one in variants if load.big or not one.name.endswith(_BIG)]
            measured = measure_several(
                {one.name: partial(load.run, one.ends, tools["netperf"], seconds) for one in taken},
                rounds,
            )
            for figure in load.figures:
                for one in taken:
                    found += _rows(figure, one, measured[one.name][figure.key].values)
    return found


def _rows(figure: Figure, variant: _Variant, values: tuple[float, ...]) -> Iterator[Row]:
    """The same values once more, beside another variant."""
    row = figure.row(variant, values)
    yield row
    if variant.beside is not None:
        name = f"{row.name}, beside {variant.beside}"
        yield Row(name, row.unit, row.better, f"{figure.name}: {variant.beside}", values)


def _raise_all(stack: ExitStack, prefix: str) -> Iterator[_Variant]:
    yield _Variant(HOSTS, nodes.raise_hosts(stack, f"{prefix}-h"), None)
    ways = {"bridge": nodes.bridge, "ptp": nodes.ptp, _SIXLANE: nodes.sixlane(0)}
    for name, attach in ways.items():
        near, far = nodes.raise_nodes(stack, f"{prefix}-{name}", attach)
        for where, ends in ((_NEAR, near), (_FAR, far)):
            beside = f"{_BESIDE} {where}" if name == _SIXLANE else None
            yield _Variant(f"{name} {where}", ends, HOSTS, beside)
    yield _Variant(_TO_IPV4, nodes.raise_translated(stack, f"{prefix}-t"), HOSTS)
    hosts = nodes.raise_hosts(stack, f"{prefix}-H", BIG_BYTES)
    near, far = nodes.raise_nodes(stack, f"{prefix}-S", nodes.sixlane(BIG_BYTES))
    translated = nodes.raise_translated(stack, f"{prefix}-T", BIG_BYTES)
    for name, ends in (
        (HOSTS, hosts),
        (f"{_SIXLANE} {_NEAR}", near),
        (f"{_SIXLANE} {_FAR}", far),
        (_TO_IPV4, translated),
    ):
        yield _Variant(f"{name}{_BIG}", ends, name)


if __name__ == "__main__":
    main()
