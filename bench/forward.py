# SPDX-License-Identifier: Apache-2.0
"""Traffic from client through gateway to server: sixlane, and others, beside plain forwarding.

    python -m bench.forward [--rounds N] [--seconds S] [--only TEXT] [--out FILE]

Each kind of gateway has three network namespaces to itself, all at the same time. Each load is put
on all of them once a round, for some seconds each, in another order each round; ratios are of the
same round. The server's programs run on one CPU, the client's on another one, where the kernel also
does most of the gateway's work; Tayga runs where it likes. Needs root and
`packaging/install-deps bench`.

CPU time is that of the program which sends, and of Tayga; it ends where the server's socket has the
packet. It holds what the kernel does for the packet at the gateway: on veth that happens within the
sender's calls, and counts as its time unless the kernel was built with CONFIG_IRQ_TIME_ACCOUNTING.
Whatever else runs on the machine is not in it.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import alone, loads, netperf
from bench.ends import compile_c
from bench.figure import Figure
from bench.gateways import BIG_VARIANTS, MASQUERADE, VARIANTS, raise_variant
from bench.loads import Tools
from bench.network import Network
from bench.rounds import measure_several
from bench.rows import Row

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Load:
    """`big`: it is also of interest with BIG TCP; `many`: only if the client has many addresses."""

    run: Callable[[Network, Tools, int], Mapping[str, float]]
    figures: tuple[Figure, ...]
    big: bool = False
    many: bool = False


def _stream(network: Network, _: Tools, seconds: int) -> dict[str, float]:
    return {"gbps": loads.stream(network, seconds)}


def _stream_back(network: Network, _: Tools, seconds: int) -> dict[str, float]:
    return {"gbps": loads.stream(network, seconds, back=True)}


def _transactions(network: Network, tools: Tools, seconds: int) -> dict[str, float]:
    return loads.transactions(network, tools.netperf, seconds)


def _flood(network: Network, tools: Tools, seconds: int) -> dict[str, float]:
    return {"kpps": loads.datagrams(network, tools, seconds).received_pps / 1e3}


def _paced(network: Network, tools: Tools, seconds: int) -> dict[str, float]:
    found = loads.datagrams(network, tools, seconds, loads.PACED_PPS)
    return {"cpu_us": found.cpu_seconds * 1e6 / found.received}


def _connections(network: Network, tools: Tools, seconds: int) -> dict[str, float]:
    return {"rate": loads.connections(network, tools, seconds)}


def _first_datagrams(network: Network, tools: Tools, _: int) -> dict[str, float]:
    return {"rate": loads.first_datagrams(network, tools) / 1e3}


_KB = f"{loads.TRANSACTION_BYTES // 1000} kB there and back"
LOADS = (
    Load(_stream, (Figure("gbps", "one TCP flow", "Gbit/s", "higher"),), big=True),
    Load(
        _stream_back,
        (Figure("gbps", "one TCP flow to the client", "Gbit/s", "higher"),),
        big=True,
    ),
    Load(_flood, (Figure("kpps", "UDP, 64 bytes, received", "kpackets/s", "higher"),)),
    Load(
        _transactions,
        (
            Figure("rate", f"{_KB}, rate", "1/s", "higher"),
            Figure("min_latency", f"{_KB}, least", "us", "lower"),
            Figure("p90_latency", f"{_KB}, P90", "us", "lower"),
            Figure("p99_latency", f"{_KB}, P99", "us", "lower"),
        ),
        big=True,
    ),
    Load(
        _paced,
        (Figure("cpu_us", f"CPU a packet at {loads.PACED_PPS:,}/s", "us", "lower"),),
    ),
    Load(
        _connections,
        (Figure("rate", "new TCP connections", "1/s", "higher", MASQUERADE),),
        many=True,
    ),
    Load(
        _first_datagrams,
        (Figure("rate", "new UDP flows", "k/s", "higher", MASQUERADE),),
        many=True,
    ),
)


def main() -> None:
    parser = alone.options(__doc__, 10, 2)
    parser.add_argument("--only", default="", help="figures with that text in their names")
    given = parser.parse_args()
    alone.run(
        "bench.forward",
        given,
        lambda stack: rows(stack, given.rounds, given.seconds, given.only),
        netperf.get,
    )


def rows(stack: ExitStack, rounds: int, seconds: int, only: str = "") -> list[Row]:
    """Measures each load on each variant. `only`: the loads with a figure of which that text is in
    the name. What is made for it ends with `stack`; the process must be apart (`go_apart`)."""
    tools = _tools(stack)
    networks: dict[str, Network] = {}
    for number, variant in enumerate((*VARIANTS, *BIG_VARIANTS)):
        networks[variant.name] = raise_variant(stack, number, variant)
        loads.serve(networks[variant.name], tools)
    found = []
    for load in LOADS:
        if any(only in figure.name for figure in load.figures):
            found += _rows(load, networks, tools, rounds, seconds)
    return found


def _tools(stack: ExitStack) -> Tools:
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="sixlane-bench-"))
    ours = {name: compile_c(_HERE / f"{name}.c", Path(directory)) for name in ("udp", "flows")}
    return Tools(**netperf.get(), **ours)


def _rows(
    load: Load, networks: Mapping[str, Network], tools: Tools, rounds: int, seconds: int
) -> list[Row]:
    variants = VARIANTS + (BIG_VARIANTS if load.big else ())
    if load.many:
        variants = tuple(one for one in variants if one.addresses.many is not None)
    print(load.figures[0].name, file=sys.stderr)
    found = measure_several(
        {one.name: partial(load.run, networks[one.name], tools, seconds) for one in variants},
        rounds,
    )
    return [
        figure.row(variant, found[variant.name][figure.key].values)
        for figure in load.figures
        for variant in variants
    ]


if __name__ == "__main__":
    main()
