# SPDX-License-Identifier: Apache-2.0
"""Programs are swapped and tables are flipped under as much traffic as the machine makes.

Every packet is counted where it was sent, by the reason it left the gateway for, and where it
arrived.
"""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from sixlane.bpf import probe
from sixlane.datapath import Datapath, Tables
from sixlane.nat64 import observe_gateway, plan_gateway
from sixlane.net import netns, route
from sixlane.rfc import rfc6052
from tests import needs
from tests.netns.edge import CLIENT, CLIENT6, SERVER, SERVER6, Edge, gateway_of, raise_edge
from tests.netns.flood import Flood, compile_witness, flooding
from tests.packets import ip4, ip6, udp

pytestmark = [pytest.mark.netns, needs.root, needs.command("clang")]

SWAPS = 50
FLIPS_S = 4.0


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_witness(tmp_path_factory.mktemp("witness"))


@pytest.fixture(params=["tcx", "clsact", "xdp"])
def attach(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a Gateway says; without TCX, tc is a filter."""
    if request.param == "clsact":
        monkeypatch.setattr(probe, "has_tcx", lambda: False)
    return "xdp" if request.param == "xdp" else "tc"


@contextmanager
def all_counted(edge: Edge, flood: Flood) -> Iterator[dict[str, int]]:
    """Of what is sent in the block, each packet was translated or dropped, and the translated ones
    have arrived. Yields the reasons, filled in behind the block: of these packets alone.

    What the kernel finishes for XDP is counted once more on its way back (forward_native), and the
    ends' own neighbour discovery passes.
    """
    before = edge.reasons()
    reasons: dict[str, int] = {}
    yield reasons
    reasons |= {
        name: count - before.get(name, 0)
        for name, count in edge.reasons().items()
        if count != before.get(name, 0) and name.startswith(("forward_46", "forward_64", "drop_"))
    }
    sent = flood.client.sent + flood.server.sent
    assert sum(reasons.values()) == sent, reasons
    for reason, end in (("forward_46", flood.server), ("forward_64", flood.client)):
        assert reasons[reason] == sum(end.arrived().values()) + end.overrun(), reasons


def test_programs_are_swapped(attach: str, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_server = [ip4(src=CLIENT, dst=SERVER) / udp(22)]
    to_client = [ip6(src=SERVER6, dst=CLIENT6) / udp(2)]
    with raise_edge(attach) as edge, flooding(edge, compiled, to_server, to_client) as flood:
        monkeypatch.setattr("sixlane.datapath.loader.build_id", lambda *parts: "an0ther")
        with netns.inside(edge.gateway), Datapath.open(edge.datapath.root) as other:
            with all_counted(edge, flood) as reasons, flood.running():
                seen = set()
                for swap in range(SWAPS):
                    time.sleep(0.02)
                    assert (edge.datapath, other)[swap % 2]._replace_programs()
                    seen |= {one.program for one in other.attachments()}
            assert len(seen) == 2, "two builds took turns"
        assert reasons.keys() == {"forward_46", "forward_64"}
        assert min(reasons.values()) > SWAPS * 1_000, "there was traffic all the time"


PREFIX_A = IPv6Network("2001:db8:64:0:c0:1fc5::/96")
PREFIX_B = IPv6Network("2001:db8:64::/64")
SOURCE_A, SOURCE_B = "192.31.196.20", "192.31.196.30"
SERVICE_A, SERVICE_B = "2001:db8:1::a", "2001:db8:1::b"
INSIDE = "2001:db8:1::c"
INSIDE_A, INSIDE_B = "192.175.48.31", "192.175.48.32"
OUTSIDE = "2001:db8:64:0:c0:1fc5:c100:e81"
OUTSIDE_A, OUTSIDE_B = "193.0.14.129", "192.31.197.193"


def embedded(prefix: IPv6Network, address: str) -> str:
    return str(rfc6052.embed(prefix, IPv4Address(address)))


def spec_of(prefix: IPv6Network, source: str, service: str, inside: str) -> dict[str, object]:
    """Each of the four decides something else about the same packets, from another table."""
    return {
        "prefixes": [
            {
                "name": "all",
                "prefix": str(prefix),
                "ipv4": [],
                "eam": [
                    {"ipv4": f"{SERVER}/32", "ipv6": f"{service}/128"},
                    {"ipv4": f"{inside}/32", "ipv6": f"{INSIDE}/128"},
                ],
                "loadBalancerSourceRanges": [f"{source}/32"],
            }
        ]
    }


def test_flips_show_no_packet_a_mixture(attach: str, compiled: Path) -> None:
    """A and B let in different sources, give them different prefixes, map the service to different
    places, and read one IPv6 destination as different IPv4 addresses."""
    from_client = [ip4(src=source, dst=SERVER) / udp(22) for source in (SOURCE_A, SOURCE_B)]
    from_server = [ip6(src=INSIDE, dst=OUTSIDE) / udp(2)]
    with (
        raise_edge(attach) as edge,
        flooding(edge, compiled, from_client, from_server) as flood,
        netns.inside(edge.gateway),
    ):
        route.add(IPv6Network("2001:db8:1::/64"), via=IPv6Address("2001:db8::2"))
        route.add(IPv4Network("0.0.0.0/0"), via=IPv4Address(CLIENT))
        a = tables(edge, attach, spec_of(PREFIX_A, SOURCE_A, SERVICE_A, INSIDE_A))
        b = tables(edge, attach, spec_of(PREFIX_B, SOURCE_B, SERVICE_B, INSIDE_B))
        edge.datapath.commit(a)
        flips, deadline = 0, time.monotonic() + FLIPS_S
        with all_counted(edge, flood) as reasons, flood.running():
            while time.monotonic() < deadline:
                edge.datapath.commit((b, a)[flips % 2])
                flips += 1
        assert reasons.keys() == {"forward_46", "forward_64", "drop_source_not_allowed"}
        assert set(flood.server.arrived()) == {
            (embedded(PREFIX_A, SOURCE_A), SERVICE_A),
            (embedded(PREFIX_B, SOURCE_B), SERVICE_B),
        }
        assert set(flood.client.arrived()) == {(INSIDE_A, OUTSIDE_A), (INSIDE_B, OUTSIDE_B)}
        assert min(flood.client.arrived().values()) > 10 * flips, "each flip was under traffic"


def tables(edge: Edge, attach: str, spec: dict[str, object]) -> Tables:
    plan = plan_gateway(gateway_of(attach, **spec), observe_gateway(edge.datapath))
    assert plan.tables is not None
    slow = observe_gateway(edge.datapath).slow_path
    return dataclasses.replace(plan.tables, slow=slow)
