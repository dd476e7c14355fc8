# SPDX-License-Identifier: Apache-2.0
"""Translated services end to end: datagrams in fragments, and paths whose MTU has to be found."""

import contextlib
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sixlane.lab import echo, programs
from sixlane.lab.pages import content
from sixlane.net import link, netns
from tests import needs
from tests.netns.agents import eventually
from tests.netns.balanced import (
    BACKENDS4,
    BACKENDS6,
    CLIENT4,
    CLIENT6,
    NAMES,
    Balanced,
    at,
    gateway,
    raise_balanced,
    service,
    url,
)
from tests.netns.test_lb import MODES

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    *(needs.command(program) for program in ("curl", "ip", "nft")),
]

DATAGRAM_BYTES = 6_000
TRANSFER_BYTES = 1_000_000
SMALL_MTU = 1300
_PREFIX = {"name": "mapped", "prefix": "64:ff9b::/96", "ipv4": []}


@pytest.fixture(scope="module", params=["tc", "xdp"])
def lab(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balanced]:
    with raise_balanced(tmp_path_factory.mktemp("nat"), request.param) as lab:
        lab.agent.apply(gateway(request.param, prefixes=[_PREFIX]))
        with contextlib.ExitStack() as stack:
            for name in NAMES:
                for addresses in (BACKENDS4, BACKENDS6):
                    argv = [*programs.python(echo.__file__), "serve", addresses[name]]
                    server = netns.popen(lab.hosts[name], argv)
                    stack.callback(server.wait)
                    stack.callback(server.kill)
            yield lab


@pytest.fixture(params=MODES)
def vip(lab: Balanced, request: pytest.FixtureRequest) -> str:
    vip, backends, spec, _ = MODES[request.param]
    frontends = [
        {"address": vip, "port": 80},
        {"address": vip, "port": echo.PORT, "protocol": "UDP"},
    ]
    lab.agent.apply(service("web", at(backends), frontends, mode="nat", **spec))
    for name in ("client", *NAMES):
        lab.run(name, "ip", "-4", "route", "flush", "cache")
        lab.run(name, "ip", "-6", "route", "flush", "cache")
    return vip


def ask(lab: Balanced, vip: str, size: int) -> str:
    """Empty if the same came back."""
    argv = [*programs.python(echo.__file__), "ask", vip, str(size)]
    told = netns.run(lab.hosts["client"], argv, check=False, timeout=30)
    return "" if told.returncode == 0 else told.stdout + told.stderr + lab.told()


def test_datagram_in_fragments(lab: Balanced, vip: str) -> None:
    assert eventually(lambda: not ask(lab, vip, 1)), "the servers have not come up"
    assert not ask(lab, vip, DATAGRAM_BYTES)


def segment_of(lab: Balanced, vip: str) -> int:
    """What a new connection of the client puts into one: what the backend's SYN offers, less the
    timestamps (RFC 7323)."""
    with netns.inside(lab.hosts["client"]):
        connection = socket.create_connection((vip, 80), 10)
    with connection:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) + 12


@pytest.mark.parametrize("mode", ["pool44", "pool66"])
def test_segments_that_fit_the_devices(lab: Balanced, mode: str) -> None:
    """Less 40 of IPv6, 20 of TCP, and 8 of a jumbo header; also when a device changes."""
    vip, backends, spec, _ = MODES[mode]
    offered = 1460 if mode == "pool44" else 1440

    def apply(**more: object) -> None:
        ends = [{"address": vip, "port": 80}]
        lab.agent.apply(service("web", at(backends), ends, mode="nat", **spec, **more))

    apply()
    assert segment_of(lab, vip) == offered
    apply(maxSegmentSize="auto")
    assert segment_of(lab, vip) == 1432
    with netns.inside(lab.hosts["gateway"]):
        link.set_mtu("wan0", 1400)
    try:
        assert eventually(lambda: segment_of(lab, vip) == 1332)
    finally:
        with netns.inside(lab.hosts["gateway"]):
            link.set_mtu("wan0", 1500)
    assert eventually(lambda: segment_of(lab, vip) == 1432)
    apply(maxSegmentSize=1300)
    assert segment_of(lab, vip) == 1300


@contextlib.contextmanager
def small_paths(lab: Balanced, *to: str) -> Iterator[None]:
    """Packets to those addresses have a path with a smaller link behind core."""
    routes = []
    for address in to:
        found = lab.run("core", "ip", "-o", "route", "get", address).split()
        device = found[found.index("dev") + 1]
        routes.append([address, "dev", device, "mtu", "lock", str(SMALL_MTU)])
    for route in routes:
        lab.run("core", "ip", "route", "add", *route)
    try:
        yield
    finally:
        for route in routes:
            lab.run("core", "ip", "route", "del", *route[:3])


def test_a_smaller_link_to_the_backends(lab: Balanced, vip: str, tmp_path: Path) -> None:
    """The client is told of it, from the VIP, and sends less."""
    sent = content(TRANSFER_BYTES)
    file = tmp_path / "upload"
    file.write_bytes(sent)
    with small_paths(lab, *BACKENDS4.values(), *BACKENDS6.values()):
        got = lab.curl(url(vip), "-T", str(file)).strip()
    assert got == hashlib.sha256(sent).hexdigest()


def test_a_smaller_link_to_the_client(lab: Balanced, vip: str, tmp_path: Path) -> None:
    """The backend is told of it, from what it knows the client as."""
    file = tmp_path / "download"
    with small_paths(lab, CLIENT4, CLIENT6):
        lab.curl(url(vip, f"/bytes/{TRANSFER_BYTES}"), "-o", str(file))
    assert file.read_bytes() == content(TRANSFER_BYTES)
