# SPDX-License-Identifier: Apache-2.0
"""BIG TCP through the gateway: packets of more than 64 KiB, and nothing that no wire could carry.

What is asserted is how large packets are where they arrive, not how fast: a flow that collapses
arrives segment by segment.
"""

from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path

import pytest

from sixlane.net import address, gso, netns, route, sysctl
from tests import needs
from tests.netns.compiled import compile_bpf
from tests.netns.edge import SERVER, SERVER6, Edge, raise_edge
from tests.netns.looking import Seen, carried

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.tcx,
    needs.big_tcp,
    needs.command("clang"),
    needs.command("gcc"),
]

BIG = 196_608
MTU = 1500
SENT = bytes(range(251)) * 250_000  # 62 MB
NATIVE_CLIENT, NATIVE_SERVER = "2001:db8:1::10", "2001:db8::2"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_bpf(
        Path(__file__).with_name("segments.bpf.c"), tmp_path_factory.mktemp("segments")
    )


@pytest.fixture
def edge() -> Iterator[Edge]:
    """All four devices do BIG TCP; client and server also have native IPv6 addresses."""
    with raise_edge("tc") as raised:
        for namespace, device in _devices(raised):
            with netns.inside(namespace):
                gso.set_sizes(device, BIG)
        _add_native_ipv6(raised)
        raised.apply("tc")
        yield raised


def _devices(edge: Edge) -> list[tuple[str, str]]:
    return [
        (edge.client, "eth0"),
        (edge.server, "eth0"),
        (edge.gateway, "wan0"),
        (edge.gateway, "lan0"),
    ]


def _add_native_ipv6(edge: Edge) -> None:
    client_side, server_side = IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8::/64")
    with netns.inside(edge.client):
        address.add("eth0", IPv6Interface(f"{NATIVE_CLIENT}/64"))
        route.add(server_side, via=IPv6Address("2001:db8:1::1"))
    with netns.inside(edge.gateway):
        address.add("wan0", IPv6Interface("2001:db8:1::1/64"))
        sysctl.set("net.ipv6.conf.all.forwarding", "1")
    with netns.inside(edge.server):
        route.add(client_side, via=IPv6Address("2001:db8::1"))


def _transfer(edge: Edge, program: Path, at: str, to: str, *, back: bool) -> Seen:
    """SENT from the client to the server, or `back`."""
    return carried(program, edge.client, edge.server, at, to, back=back, sent=SENT)


def test_64_stays_big(edge: Edge, program: Path) -> None:
    sizes = _transfer(edge, program, SERVER6, SERVER, back=True)
    assert sizes.longest > 65_536
    assert sizes.longest_segment <= MTU
    assert sizes.mean > 20_000


def test_46_is_as_big_as_ipv6_can_say(edge: Edge, program: Path) -> None:
    """What is longer is cut by our own veth: the kernel would lose the jumbo header."""
    before = edge.reasons().get("forward_slow_path", 0)
    sizes = _transfer(edge, program, SERVER6, SERVER, back=False)
    assert edge.reasons()["forward_slow_path"] > before, "more than 64 KiB came in"
    assert sizes.longest <= 40 + 65_535
    assert sizes.longest_segment <= MTU
    assert sizes.mean > 20_000


@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_ipv6_that_is_only_forwarded_stays_big(edge: Edge, program: Path, back: bool) -> None:
    """The kernel counts a jumbo header into each segment: SYNs offer 8 bytes less."""
    before = _too_big(edge)
    sizes = _transfer(edge, program, NATIVE_SERVER, NATIVE_SERVER, back=back)
    assert sizes.longest > 65_536
    assert sizes.longest_segment <= MTU - 8
    assert sizes.mean > 20_000
    assert _too_big(edge) == before


def _too_big(edge: Edge) -> int:
    """How often the gateway's kernel has answered Packet Too Big."""
    with netns.inside(edge.gateway):
        text = Path("/proc/thread-self/net/snmp6").read_text()
    counts = dict(line.split() for line in text.splitlines())
    return int(counts.get("Icmp6OutPktTooBigs", 0))


def test_without_big_tcp_nothing_is_clamped(program: Path) -> None:
    with raise_edge("tc") as plain:
        _add_native_ipv6(plain)
        sizes = _transfer(plain, program, NATIVE_SERVER, NATIVE_SERVER, back=False)
        assert sizes.longest_segment == MTU
        there = _transfer(plain, program, SERVER6, SERVER, back=True)
        assert there.longest_segment <= MTU
