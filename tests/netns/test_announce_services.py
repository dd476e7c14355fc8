# SPDX-License-Identifier: Apache-2.0
"""How others find the addresses of services: nobody says, the link is answered, or there is a
route. The host on the link is core, which has no route to them but that of the link itself."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from sixlane.nat64.announced import PROTOCOL
from sixlane.net import netns
from tests import needs
from tests.netns.agents import eventually
from tests.netns.balanced import (
    BACKENDS6,
    NAMES,
    POOL6,
    VIP4,
    VIP6,
    Balanced,
    at,
    gateway,
    raise_balanced,
    service,
)
from tests.netns.spaces import ip

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    *(needs.command(program) for program in ("curl", "ip", "ping")),
]

ON4, ON6 = "10.0.0.200", "2001:db8:a::200"
"""Of the networks between core and the gateway's wan0."""
_ETH_P_ALL = 3
_ALL_NODES = IPv6Address("ff02::1").packed
WRONG = "02:00:00:00:00:07"
SETTINGS = (
    "ipv4/neigh/wan0/proxy_delay",
    "ipv4/neigh/lan0/proxy_delay",
    "ipv6/neigh/wan0/proxy_delay",
    "ipv6/neigh/lan0/proxy_delay",
    "ipv6/conf/wan0/proxy_ndp",
    "ipv6/conf/lan0/proxy_ndp",
    "ipv6/conf/all/proxy_ndp",
)
BEFORE = ["80", "80", "80", "80", "0", "0", "0"]  # the kernel's defaults
ANSWERING = ["0", "0", "0", "0", "1", "1", "1"]


def web(
    announce: str | None, *addresses: str, name: str = "web", port: int = 80, **spec: Any
) -> dict[str, Any]:
    frontends = [{"address": one, "port": port} for one in addresses or (ON4, ON6)]
    given = {"announce": announce} if announce else {}
    return service(name, at(BACKENDS6), frontends, **given, **spec)


@pytest.fixture(scope="module")
def raised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balanced]:
    with raise_balanced(tmp_path_factory.mktemp("announced"), "tc") as lab:
        yield lab


@pytest.fixture
def lab(raised: Balanced) -> Iterator[Balanced]:
    """With a gateway, and no service yet."""
    raised.agent.apply(gateway("tc"))
    yield raised
    raised.agent.teardown()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Balanced]:
    """The same, with an agent that a test may kill."""
    with raise_balanced(tmp_path, "tc") as lab:
        lab.agent.apply(gateway("tc"))
        yield lab


def seen(lab: Balanced, host: str, *argv: str) -> list[dict[str, Any]]:
    with netns.inside(lab.hosts[host]):
        return ip(*argv)


def mac(lab: Balanced) -> str:
    return str(seen(lab, "gateway", "link", "show", "wan0")[0]["address"])


def routes(lab: Balanced) -> list[tuple[str, str]]:
    """Ours: type and destination."""
    return [
        (one.get("type", "unicast"), one["dst"])
        for version in ("-4", "-6")
        for one in seen(lab, "gateway", version, "route", "show", "proto", str(PROTOCOL))
    ]


def proxies(lab: Balanced) -> list[tuple[str, str]]:
    """Addresses that the link is answered for, and where."""
    found = seen(lab, "gateway", "neighbour", "show", "proxy")
    return sorted((one["dst"], one["dev"]) for one in found)


def settings(lab: Balanced) -> list[str]:
    return lab.run("gateway", "cat", *(f"/proc/sys/net/{one}" for one in SETTINGS)).split()


def neighbour(lab: Balanced, address: str) -> dict[str, Any]:
    """What core believes."""
    (found,) = seen(lab, "core", "neighbour", "show", address, "dev", "w0")
    return found


def asks(lab: Balanced, address: str) -> str | None:
    """What the link tells core, which knows nothing yet."""
    lab.run("core", "ip", "neighbour", "flush", "dev", "w0", "to", address, check=False)
    lab.run("core", "ping", "-c", "1", "-W", "1", address, check=False)
    told = neighbour(lab, address).get("lladdr")
    return str(told) if told else None


def announced(lab: Balanced, name: str = "web") -> tuple[str, str, str] | None:
    told = json.loads(lab.agent.sixlane("get", "service", name, "-o", "json"))
    conditions = {one["type"]: one for one in told["status"]["conditions"]}
    one = conditions.get("Announced")
    return (one["status"], one["reason"], one["message"]) if one else None


EVERYWHERE = [(ON4, "lan0"), (ON4, "wan0"), (ON6, "lan0"), (ON6, "wan0")]
BOTH_ROUTES = [("unicast", ON4), ("unicast", ON6)]


@pytest.mark.parametrize("attach", ["tc", "xdp"])
@pytest.mark.parametrize("mode", ["dsr", "nat"])
def test_a_service_on_the_link(tmp_path: Path, attach: str, mode: str) -> None:
    spec: dict[str, Any] = {"mode": "nat", "sourcePool": [POOL6]} if mode == "nat" else {}
    with raise_balanced(tmp_path, attach) as lab:
        lab.decap_up(ON4, ON6)
        lab.agent.apply(gateway(attach), web(None, **spec))
        assert (asks(lab, ON4), asks(lab, ON6)) == (None, None)
        assert (routes(lab), proxies(lab), settings(lab)) == ([], [], BEFORE)
        assert announced(lab) is None

        lab.agent.apply(web("l2", **spec))
        assert (asks(lab, ON4), asks(lab, ON6)) == (mac(lab), mac(lab))
        for address, url in ((ON4, f"http://{ON4}/"), (ON6, f"http://[{ON6}]/")):
            assert " 0% packet loss" in lab.run("core", "ping", "-c", "2", "-i", "0.2", address)
            assert lab.curl(url).splitlines()[0] in NAMES
        assert (routes(lab), proxies(lab), settings(lab)) == (BOTH_ROUTES, EVERYWHERE, ANSWERING)
        assert announced(lab) == ("True", "Announced", "others find its addresses")
        held = seen(lab, "gateway", "address", "show")
        assert ON4 not in str(held) and ON6 not in str(held)

        # A host that sees whether its neighbour is still there asks that one alone.
        for address in (ON4, ON6):
            entry = ["lladdr", mac(lab), "nud", "probe", "dev", "w0"]
            lab.run("core", "ip", "neighbour", "replace", address, *entry)
            assert eventually(lambda: neighbour(lab, address)["state"] != ["PROBE"])  # noqa: B023
            assert neighbour(lab, address)["state"] == ["REACHABLE"]


def test_the_link_is_told_when_it_begins(lab: Balanced) -> None:
    """Who believed that somebody else had the addresses learns better, without asking."""
    lab.agent.apply(web("none"))
    for address in (ON4, ON6):
        entry = ["lladdr", WRONG, "nud", "stale", "dev", "w0"]
        lab.run("core", "ip", "neighbour", "replace", address, *entry)
    generation = lab.agent.status()["gateway"]["generation"]
    told = lab.agent.sixlane("service", "set", "web", "--announce", "l2", "-o", "wide")
    assert f"announce {ON4}: ARP on wan0, lan0" in told
    assert f"announce {ON6}: neighbour discovery on wan0, lan0" in told
    for address in (ON4, ON6):
        assert eventually(lambda: neighbour(lab, address)["lladdr"] == mac(lab))  # noqa: B023
    assert lab.agent.status()["gateway"]["generation"] == generation, "and no packet is"


def test_what_others_take_away_is_put_back(lab: Balanced) -> None:
    lab.agent.apply(web("l2"))
    whole = (BOTH_ROUTES, EVERYWHERE, ANSWERING)
    for argv in (
        ("ip", "route", "del", ON4),
        ("ip", "route", "del", ON6),
        ("ip", "neighbour", "del", "proxy", ON4, "dev", "wan0"),
        ("ip", "neighbour", "del", "proxy", ON6, "dev", "wan0"),
        ("sysctl", "-qw", "net.ipv6.conf.wan0.proxy_ndp=0"),
        ("sysctl", "-qw", "net.ipv6.conf.all.proxy_ndp=0"),
    ):
        lab.run("gateway", *argv)
        assert eventually(lambda: (routes(lab), proxies(lab), settings(lab)) == whole), argv
    assert asks(lab, ON6) == mac(lab)


def test_it_follows_services_and_devices(lab: Balanced) -> None:
    lab.agent.apply(web("l2"), web("l2", ON4, name="more", port=81))
    assert (routes(lab), proxies(lab)) == (BOTH_ROUTES, EVERYWHERE)
    lab.agent.sixlane("service", "set", "web", "--frontend", "10.0.0.201:80")
    both = [("10.0.0.201", "unicast"), (ON4, "unicast")]
    assert sorted((to, kind) for kind, to in routes(lab)) == sorted(both)
    assert {to for to, _ in proxies(lab)} == {"10.0.0.201", ON4}
    assert settings(lab) == [*ANSWERING[:2], *BEFORE[2:]]
    lab.agent.apply(web("none", "10.0.0.201"))
    assert (routes(lab), proxies(lab)) == ([("unicast", ON4)], [(ON4, "lan0"), (ON4, "wan0")])
    lab.agent.apply(web("l2"))
    lab.agent.sixlane("delete", "service", "more")
    assert (routes(lab), proxies(lab)) == (BOTH_ROUTES, EVERYWHERE), "web has it, too"

    lab.agent.apply(gateway("tc", devices=[{"name": "wan0", "attach": "tc"}]))
    assert proxies(lab) == [(ON4, "wan0"), (ON6, "wan0")]
    assert settings(lab) == ["0", "80", "0", "80", "1", "0", "1"]
    lab.agent.sixlane("delete", "service", "web")
    assert (routes(lab), proxies(lab), settings(lab)) == ([], [], BEFORE)


@contextmanager
def changes(lab: Balanced) -> Iterator[list[str]]:
    """Lines of `ip monitor` in the gateway's namespace, once the block has ended."""
    lines: list[str] = []
    argv = ["ip", "monitor", "route", "neigh"]
    with netns.popen(lab.hosts["gateway"], argv, stdout=subprocess.PIPE, text=True) as monitor:
        try:
            # Something that is to be seen, first and last: it listens, and has told of all before.
            assert monitor.stdout is not None
            mark(lab, "192.0.2.1")
            while "192.0.2.1" not in monitor.stdout.readline():
                mark(lab, "192.0.2.1")
            yield lines
            mark(lab, "192.0.2.2")
            while "192.0.2.2" not in (line := monitor.stdout.readline()):
                lines.append(line)
        finally:
            monitor.send_signal(signal.SIGTERM)


def mark(lab: Balanced, address: str) -> None:
    for verb in ("add", "del"):
        lab.run("gateway", "ip", "route", verb, "blackhole", address)


@contextmanager
def unasked(lab: Balanced) -> Iterator[set[str]]:
    """Addresses that core was told of without asking, once the block has ended: by ARP for one's
    own address (RFC 5227 2.3), by advertisements to all nodes (RFC 4861 7.2.6)."""
    heard: set[str] = set()
    with netns.inside(lab.hosts["core"]):
        link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    with link:
        link.bind(("w0", _ETH_P_ALL))
        link.setblocking(False)
        yield heard
        with suppress(BlockingIOError):
            while frame := link.recv(2048):
                kind, packet = frame[12:14], frame[14:]
                if kind == b"\x08\x06" and packet[14:18] == packet[24:28]:
                    heard.add(str(IPv4Address(packet[14:18])))
                if kind == b"\x86\xdd" and packet[24:40] == _ALL_NODES and packet[40] == 136:
                    heard.add(str(IPv6Address(packet[48:64])))


def test_another_agent_finds_all_of_it(alone: Balanced) -> None:
    """And changes none of it, and tells nobody anew; the end of one neither."""
    with unasked(alone) as heard:
        alone.agent.apply(web("l2"), web("route", VIP4, VIP6, name="far"))
    assert heard == {ON4, ON6}
    with changes(alone) as lines, unasked(alone) as heard:
        alone.agent.end(signal.SIGKILL)
        alone.agent.start()
        assert eventually(lambda: announced(alone) is not None)
    assert [line for line in lines if f"proto {PROTOCOL}" in line] == []
    assert heard == set()
    with changes(alone) as lines:
        alone.agent.sixlane("delete", "service", "web")
    assert [line for line in lines if f"proto {PROTOCOL}" in line] != []


def test_a_route(lab: Balanced) -> None:
    """For a routing daemon."""
    told = lab.agent.apply(web("route", VIP4, VIP6), web("l2", name="near"))
    wanted = [*BOTH_ROUTES, ("unreachable", VIP4), ("unreachable", VIP6)]
    assert sorted(routes(lab)) == sorted(wanted), told
    assert proxies(lab) == EVERYWHERE
    for vip in (VIP4, VIP6):
        lab.run("gateway", "ip", "route", "del", "unreachable", vip)
        assert eventually(lambda: sorted(routes(lab)) == sorted(wanted))
    lab.decap_up(VIP4, VIP6)
    assert lab.curl(f"http://{VIP4}/").splitlines()[0] in NAMES
    assert lab.curl(f"http://[{VIP6}]/").splitlines()[0] in NAMES
    for name in NAMES:
        lab.decap(name, "down")
    lab.agent.sixlane("delete", "gateway", "edge")
    assert (routes(lab), proxies(lab), settings(lab)) == ([], [], BEFORE)


def test_what_cannot_be_announced(lab: Balanced) -> None:
    lab.run("gateway", "ip", "route", "add", "blackhole", VIP6, "proto", "static")
    lab.agent.apply(web("route", VIP4, VIP6), web("l2", name="near"))
    told = ("False", "NotAnnounced", f"{VIP6} is not announced: somebody else has a route to it")
    assert announced(lab) == told
    assert announced(lab, "near") == ("True", "Announced", "others find its addresses")
    assert lab.agent.status()["problems"] == [], "it is no matter of the gateway's"
    ready = json.loads(lab.agent.sixlane("get", "service", "web", "-o", "json"))["status"]
    assert ready["conditions"][0]["status"] == "True"
    lab.run("gateway", "ip", "route", "del", "blackhole", VIP6)
    assert eventually(lambda: ("unreachable", VIP6) in routes(lab))
    assert eventually(lambda: announced(lab) == ("True", "Announced", "others find its addresses"))

    # One address, two ways: who wants to be answered for on the link has it.
    lab.agent.apply(web("route", ON4, name="other", port=81))
    told = ("False", "NotAnnounced", f"{ON4} is not announced by a route: l2 is asked for as well")
    assert announced(lab, "other") == told
    assert announced(lab, "near") == ("True", "Announced", "others find its addresses")
    assert ("unicast", ON4) in routes(lab)


def test_an_address_of_the_host_is_left_to_it(lab: Balanced) -> None:
    lab.agent.apply(web("l2"))
    lab.run("gateway", "ip", "address", "add", f"{ON4}/32", "dev", "wan0")
    only6 = ([("unicast", ON6)], [(ON6, "lan0"), (ON6, "wan0")])
    assert eventually(lambda: (routes(lab), proxies(lab)) == only6)
    assert asks(lab, ON4) == mac(lab)
    lab.run("gateway", "ip", "address", "del", f"{ON4}/32", "dev", "wan0")
    assert eventually(lambda: (routes(lab), proxies(lab)) == (BOTH_ROUTES, EVERYWHERE))


def test_a_teardown_leaves_nothing(lab: Balanced) -> None:
    lab.agent.apply(web("l2"), web("route", VIP4, VIP6, name="far"))
    assert settings(lab) == ANSWERING
    lab.agent.teardown()
    assert (routes(lab), proxies(lab), settings(lab)) == ([], [], BEFORE)


def test_a_teardown_without_an_agent(alone: Balanced) -> None:
    alone.agent.apply(web("l2"), web("route", VIP4, VIP6, name="far"))
    alone.agent.end(signal.SIGKILL)
    alone.agent.teardown()
    assert (routes(alone), proxies(alone), settings(alone)) == ([], [], BEFORE)
