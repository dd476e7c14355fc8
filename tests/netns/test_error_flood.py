# SPDX-License-Identifier: Apache-2.0
"""A flood of packets that ask for ICMP errors: they stay limited, and errors get no errors."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6TimeExceeded
from scapy.packet import Packet, Raw

from tests import needs
from tests.netns.edge import CLIENT, SERVER, Edge, raise_edge
from tests.netns.flood import compile_witness, flooding
from tests.packets import ip4, ip6, udp

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.xdp_link,
    needs.command("clang"),
    needs.command("gcc"),
    pytest.mark.conformance(57),
]

RATE = 100
ROUNDS = 10


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_witness(tmp_path_factory.mktemp("witness"))


@pytest.fixture(params=["tc", "xdp"])
def edge(request: pytest.FixtureRequest) -> Iterator[Edge]:
    with raise_edge(request.param, icmpErrors={"rate": RATE}) as raised:
        yield raised


def _flood(edge: Edge, compiled: Path, from_client: Packet, from_server: Packet) -> float:
    """Seconds that it took."""
    with flooding(edge, compiled, [from_client], [from_server]) as flood:
        started = time.monotonic()
        for _ in range(ROUNDS):
            flood.one_round()
        return time.monotonic() - started


def _padded(packet: Packet) -> Packet:
    """The flood's frames are all of one size."""
    return packet / udp(50 - len(bytes(packet)) - 8)


def test_errors_stay_limited(edge: Edge, compiled: Path) -> None:
    """A bucket of one second's share for each CPU, and its refill; each drop is accounted for."""
    before = edge.reasons()
    seconds = _flood(edge, compiled, _padded(ip4(ttl=1)), _padded(ip6(hlim=1)))
    counted = {name: count - before.get(name, 0) for name, count in edge.reasons().items()}
    sent, limited = counted["icmp_error_sent"], counted["icmp_error_limited"]
    assert sent + limited == counted["drop_ttl_expired"]
    share = -(-RATE // (os.cpu_count() or 1))
    most = share * (os.cpu_count() or 1) * (1 + seconds)
    assert 0 < sent <= most
    assert limited > sent


def test_errors_about_errors_are_never_sent(edge: Edge, compiled: Path) -> None:
    error4 = ip4(ttl=1) / ICMP(type=11) / Raw(bytes(ip4(src=SERVER, dst=CLIENT)) + b"..")
    error6 = ip6(hlim=1, nh=58) / Raw(bytes(ICMPv6TimeExceeded()) + b"..")
    before = edge.reasons()
    _flood(edge, compiled, error4, error6)
    counted = {name: count - before.get(name, 0) for name, count in edge.reasons().items()}
    drops = sum(count for name, count in counted.items() if name.startswith("drop_"))
    assert drops > 0
    assert counted.get("icmp_error_sent", 0) == counted.get("icmp_error_limited", 0) == 0
