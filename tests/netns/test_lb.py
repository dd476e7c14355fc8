# SPDX-License-Identifier: Apache-2.0
"""Services end to end: real requests by a gateway with an agent to backends that serve VIPs."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from sixlane.lab import echo, programs
from sixlane.lab.pages import content
from sixlane.lab.topology import ETHERNET_MTU
from sixlane.net import netns
from tests import needs
from tests.netns.balanced import (
    BACKENDS4,
    BACKENDS6,
    CLIENT4,
    NAMES,
    POOL4,
    POOL6,
    UPLOAD_BYTES,
    VIP4,
    VIP6,
    Balanced,
    at,
    gateway,
    need_pages,
    need_upload,
    raise_balanced,
    service,
    url,
)
from tests.netns.frames import frames

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    *(needs.command(program) for program in ("curl", "ip", "ping", "traceroute")),
]

BOTH = ({"address": VIP4, "port": 80}, {"address": VIP6, "port": 80})
SLOWLY = f"/slowly/{UPLOAD_BYTES}"
ENTRIES = ("tc", "xdp")
DATAGRAM_BYTES = 6_000
TO = pytest.mark.parametrize("backends", [BACKENDS4, BACKENDS6], ids=["to4", "to6"])
VIPS = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["4", "6"])
_PREFIX = {"name": "mapped", "prefix": "64:ff9b::/96", "ipv4": []}


@contextmanager
def raised(directory: Path, attach: str) -> Iterator[Balanced]:
    with raise_balanced(directory, attach) as lab:
        lab.decap_up(VIP4, VIP6)
        lab.agent.apply(gateway(attach, prefixes=[_PREFIX]))
        yield lab


@pytest.fixture(scope="module", params=ENTRIES)
def lab(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balanced]:
    with raised(tmp_path_factory.mktemp("lb"), request.param) as lab:
        lab.serve_echo(VIP4, VIP6)
        yield lab


@pytest.fixture(params=ENTRIES)
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Balanced]:
    """A lab for one test."""
    with raised(tmp_path, request.param) as lab:
        yield lab


@VIPS
@TO
def test_dsr(lab: Balanced, vip: str, backends: dict[str, str], tmp_path: Path) -> None:
    lab.agent.apply(service("web", at(backends), BOTH))
    need_pages(lab, vip)
    with frames(lab.hosts["core"], "l0") as seen:
        need_upload(lab, vip, tmp_path)
    assert 1400 < seen.longest_segment <= ETHERNET_MTU  # with the tunnel's header
    if lab.attach == "tc":
        assert seen.longest > ETHERNET_MTU  # in one piece, as it was sent


@VIPS
@TO
def test_datagram_in_fragments(lab: Balanced, vip: str, backends: dict[str, str]) -> None:
    udp = [{"address": vip, "port": echo.PORT, "protocol": "UDP"} for vip in (VIP4, VIP6)]
    lab.agent.apply(service("web", at(backends), udp))
    argv = [*programs.python(echo.__file__), "ask", vip, str(DATAGRAM_BYTES)]
    told = netns.run(lab.hosts["client"], argv, check=False, timeout=20)
    assert told.returncode == 0, told.stdout + told.stderr + lab.told()


@VIPS
def test_ping(lab: Balanced, vip: str) -> None:
    """Answered by the gateway, also with nobody behind."""
    lab.agent.apply(service("web", [], BOTH))
    assert " 0% packet loss" in lab.run("client", "ping", "-nqc3", "-i0.2", "-W2", vip)


@VIPS
def test_traceroute(lab: Balanced, vip: str) -> None:
    """To a port that no service has it ends at the gateway; to one that is served, at a backend.
    The gateway speaks as the VIP, and the tunnel counts as one hop."""
    lab.agent.apply(service("web", at(BACKENDS6), BOTH))
    core = "192.31.196.1" if vip == VIP4 else "2001:db8:c::1"
    for options, hops in (((), [core, vip]), (("-T", "-p", "80"), [core, vip, vip])):
        told = lab.run("client", "traceroute", "-n", "-q1", "-w2", "-m6", *options, vip)
        assert [line.split()[1] for line in told.splitlines()[1:]] == hops, told


@VIPS
def test_other_port_is_refused(lab: Balanced, vip: str) -> None:
    lab.agent.apply(service("web", at(BACKENDS6), BOTH))
    told = lab.curl(url(vip).removesuffix("/") + ":81/", "-w", "%{time_total}", code=7)
    assert float(told) < 2  # not by waiting


@VIPS
def test_source_ranges(lab: Balanced, vip: str) -> None:
    others, own = ["192.31.197.0/24", "2001:db8:d::/64"], ["192.31.196.0/24", "2001:db8:c::/64"]
    lab.agent.apply(service("web", at(BACKENDS6), BOTH, loadBalancerSourceRanges=others))
    lab.curl(url(vip), code=7)
    lab.agent.apply(service("web", at(BACKENDS6), BOTH, loadBalancerSourceRanges=own))
    need_pages(lab, vip)


@VIPS
def test_all_down(lab: Balanced, vip: str) -> None:
    down = at(BACKENDS6, b1={"state": "terminating"}, b2={"state": "maintenance"})
    lab.agent.apply(service("web", down, BOTH))
    lab.curl(url(vip), code=7)
    lab.agent.apply(service("web", down, BOTH, whenAllDown="terminating"))
    assert {lab.curl(url(vip)).splitlines()[0] for _ in range(8)} == {"b1"}


MODES: dict[str, tuple[str, dict[str, str], dict[str, Any], str]] = {
    "pool46": (VIP4, BACKENDS6, {"sourcePool": [POOL6]}, POOL6),
    "pool44": (VIP4, BACKENDS4, {"sourcePool": [POOL4]}, POOL4),
    "pool66": (VIP6, BACKENDS6, {"sourcePool": [POOL6]}, POOL6),
    "pool64": (VIP6, BACKENDS4, {"sourcePool": [POOL4]}, POOL4),
    "mapped": (VIP4, BACKENDS6, {"source": "mapped"}, f"64:ff9b::{CLIENT4}/128"),
}
"""By name: the VIP, backends, more of the service, what backends see."""


@pytest.fixture(params=MODES)
def nat(lab: Balanced, request: pytest.FixtureRequest) -> tuple[str, str]:
    vip, backends, spec, seen = MODES[request.param]
    frontends = [{"address": vip, "port": 80}]
    lab.agent.apply(service("web", at(backends), frontends, mode="nat", **spec))
    return vip, seen


def test_nat(lab: Balanced, nat: tuple[str, str], tmp_path: Path) -> None:
    vip, seen = nat
    need_pages(lab, vip, {str(one) for one in ip_network(seen)})
    need_upload(lab, vip, tmp_path)


def test_downloads_outlive_the_agent(own: Balanced, tmp_path: Path) -> None:
    """One by a tunnel, and one that is translated."""
    own.agent.apply(
        service("six", at(BACKENDS6), BOTH[1:]),
        service("four", at(BACKENDS6), BOTH[:1], mode="nat", source="mapped"),
    )
    with own.downloading(url(VIP6, SLOWLY)) as one, own.downloading(url(VIP4, SLOWLY)) as other:
        own.agent.end(signal.SIGKILL)
        for vip in (VIP4, VIP6):
            own.curl(url(vip))  # new ones, too
        for download in (one, other):
            assert download.goes_on
        own.agent.start()
    assert one.received == other.received == content(UPLOAD_BYTES)


@pytest.mark.parametrize("mode", ["dsr", "mapped"])
def test_drained_under_load(lab: Balanced, mode: str) -> None:
    """Weights, and then one that goes away: not one request fails, nor does a connection move."""
    more: dict[str, Any] = {"mode": "nat", "source": "mapped"} if mode == "mapped" else {}

    def apply(**of: dict[str, Any]) -> None:
        lab.agent.apply(service("web", at(BACKENDS6, **of), **more))

    apply()
    with lab.loaded(VIP4, new=4, kept=12) as loaded:
        apply(b1={"weight": 9})
        apply(b1={"weight": 2}, b2={"weight": 5})
        apply(b1={"state": "terminating"})
        with lab.loaded(VIP4, new=4, kept=4) as afterwards:
            time.sleep(2)
    for count in (loaded.new, loaded.kept, afterwards.new, afterwards.kept):
        assert (count["failures"], count["moved"]) == ({}, 0)
    assert loaded.kept["answers"].keys() == set(NAMES)
    assert afterwards.new["answers"].keys() == afterwards.kept["answers"].keys() == {"b2"}
