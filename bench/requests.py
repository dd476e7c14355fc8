# SPDX-License-Identifier: Apache-2.0
"""Requests of a client to a VIP: sixlane's `mode: nat` beside nftables DNAT, with few and with many
backends.

    python -m bench.requests [--rounds N] [--seconds S] [--out FILE]

As in bench.forward, with an agent at each of sixlane's gateways. The backends are addresses of the
one server. nftables draws one at random for each connection, and leaves the client's address as it
is; sixlane chooses by Maglev, and the backend sees an address of `sourcePool`, so that it may stand
anywhere. Needs root and `packaging/install-deps bench`.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

from bench import alone
from bench.ends import compile_c
from bench.figure import Figure
from bench.gateways import forget_soon
from bench.network import Addresses, Network, raise_network, suit_xdp
from bench.rounds import measure_several
from bench.rows import Row
from sixlane.net import netns
from tests.netns import spaces
from tests.netns.agents import Agent
from tests.netns.balanced import gateway, service

_HERE = Path(__file__).parent
_VIP, _PORT = "192.175.48.200", 5600
_FIRST_BACKEND = IPv4Address("10.8.0.1")
_BACKENDS = "10.8.0.0/21"
_COUNTS = (10, 1_000)
_SLACK_S = 20.0  # behind the program's own time; for faults, not for speed
_PLAIN = "plain"
_ADDRESSES = Addresses(
    client=("192.31.196.2/24",),
    lan="192.31.196.1/24",
    wan="10.1.0.1/24",
    server="10.1.0.2/24",
    routes=(
        ("client", "default", "192.31.196.1"),
        ("gateway", "192.31.197.0/24", "192.31.196.2"),
        ("gateway", _BACKENDS, "10.1.0.2"),
        ("server", "default", "10.1.0.1"),
    ),
    called=_VIP,
    many=("192.31.197.0/24", "192.31.197.0"),
)
_DNAT = """
table ip nat {{
    chain prerouting {{
        type nat hook prerouting priority dstnat
        ip daddr {vip} tcp dport {port} dnat to numgen random mod {count} map {{ {backends} }}
    }}
}}
"""


@dataclass(frozen=True)
class _Load:
    """So many connections at once, and requests over each."""

    name: str
    at_once: int
    each: int

    @property
    def figures(self) -> tuple[Figure, ...]:
        return (
            Figure("rate", f"{self.name}, rate", "1/s", "higher"),
            Figure("p50", f"{self.name}, median", "us", "lower"),
            Figure("p99", f"{self.name}, P99", "us", "lower"),
        )


_LOADS = (
    _Load("requests, a connection each", 16, 1),
    _Load("requests over a connection", 1, 1_000),
)


@dataclass(frozen=True)
class _Variant:
    """`called`: whom the client asks."""

    name: str
    baseline: str | None
    called: str
    balance: Callable[[Network], None]
    suits_xdp: bool = False


def main() -> None:
    given = alone.options(__doc__, 10, 2).parse_args()
    alone.run("bench.requests", given, lambda stack: rows(stack, given.rounds, given.seconds))


def rows(stack: ExitStack, rounds: int, seconds: int) -> list[Row]:
    """Measures each load on each variant. What is made for it ends with `stack`; the process must
    be apart (`go_apart`)."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sixlane-bench-")))
    program = compile_c(_HERE / "requests.c", directory)
    variants = tuple(_variants())
    networks: dict[str, Network] = {}
    for number, variant in enumerate(variants):
        network = raise_network(stack, f"sl-r{os.getpid()}-{number}", _ADDRESSES)
        with netns.inside(network.hosts.server):
            spaces.command("ip", "route", "add", "local", _BACKENDS, "dev", "lo")
        if variant.suits_xdp:
            suit_xdp(network)
        variant.balance(network)
        network.serve(_PORT, str(program), "answer", str(_PORT))
        networks[variant.name] = network
    found = []
    for load in _LOADS:
        print(load.name, file=sys.stderr)
        measured = measure_several(
            {
                one.name: partial(_ask, networks[one.name], one.called, program, load, seconds)
                for one in variants
            },
            rounds,
        )
        found += [
            figure.row(variant, measured[variant.name][figure.key].values)
            for figure in load.figures
            for variant in variants
        ]
    return found


def _ask(
    network: Network, called: str, program: Path, load: _Load, seconds: int
) -> dict[str, float]:
    assert network.addresses.many is not None
    where = (called, str(_PORT), network.addresses.many[1], str(network.flows))
    how = (str(seconds), str(load.at_once), str(load.each))
    told = network.call(str(program), "ask", *where, *how, timeout_s=seconds + _SLACK_S)
    found = json.loads(told)
    network.flows = found["first"]
    return {
        "rate": found["requests"] / found["seconds"],
        "p50": found["p50"],
        "p99": found["p99"],
    }


def _variants() -> Sequence[_Variant]:
    found = [_Variant(_PLAIN, None, str(_FIRST_BACKEND), lambda network: None)]
    for count in _COUNTS:
        dnat = f"nftables DNAT, {count:,} backends"
        found.append(_Variant(dnat, _PLAIN, _VIP, partial(_dnat, count)))
        for attach in ("tc", "xdp"):
            name = f"sixlane {attach}, {count:,} backends"
            balance = partial(_sixlane, attach, count)
            found.append(_Variant(name, dnat, _VIP, balance, attach == "xdp"))
    return found


def _dnat(count: int, network: Network) -> None:
    forget_soon(network)
    backends = ", ".join(f"{number} : {_FIRST_BACKEND + number}" for number in range(count))
    rules = _DNAT.format(vip=_VIP, port=_PORT, count=count, backends=backends)
    netns.run(network.hosts.gateway, ("nft", "--file", "-"), input=rules)


def _sixlane(attach: str, count: int, network: Network) -> None:
    hosts, stack = network.hosts, network.stack
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sixlane-bench-")))
    agent = Agent(hosts.gateway, directory, internet=hosts.client, pod=hosts.server)
    stack.callback(agent.clean)
    agent.start()
    most = {"services": 16, "backends": 4096, "natFlows": 1 << 20}
    backends = [{"address": str(_FIRST_BACKEND + number)} for number in range(count)]
    frontends = [{"address": _VIP, "port": _PORT}]
    agent.apply(
        gateway(attach, loadBalancer={"max": most}),
        service("web", backends, frontends, mode="nat", sourcePool=["10.9.0.0/24"]),
    )


if __name__ == "__main__":
    main()
