# SPDX-License-Identifier: Apache-2.0
"""How others find the addresses of pool4: nobody says, ARP is answered, or there is a route."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from sixlane.nat64.announced import PROTOCOL
from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import GATEWAY, Agent, changed, eventually
from tests.netns.spaces import ip

pytestmark = [pytest.mark.netns, needs.root]

ON_LINK = "192.31.196.128/31"
ELSEWHERE = "192.31.197.8/31"
ADDRESS = "192.31.196.128"
_PREFIXES = [{"name": "all", "prefix": "64:ff9b::/96", "ipv4": []}]
_MOST = {"sessions": 4096, "bindings": 4096, "clients": 256}


def gateway(announce: str, ipv4: str) -> dict[str, Any]:
    pool = {"name": "pods", "ipv4": [ipv4], "announce": announce}
    return changed(GATEWAY, prefixes=_PREFIXES, pool4=[pool], sessions={"max": _MOST})


def seen(agent: Agent, *argv: str) -> Sequence[Any]:
    with netns.inside(agent.namespace):
        return ip(*argv)


def routes(agent: Agent) -> list[tuple[str, str]]:
    """Ours: type and destination."""
    found = seen(agent, "route", "show", "proto", str(PROTOCOL))
    return [(one.get("type", "unicast"), one["dst"]) for one in found]


def proxies(agent: Agent) -> list[tuple[str, str]]:
    """Addresses that ARP is answered for, and where."""
    return sorted((one["dst"], one["dev"]) for one in seen(agent, "neighbour", "show", "proxy"))


def proxy_delay(agent: Agent) -> str:
    argv = ["cat", "/proc/sys/net/ipv4/neigh/wan0/proxy_delay"]
    return netns.run(agent.namespace, argv).stdout.strip()


def neighbour(agent: Agent, address: str) -> str | None:
    """What the host on the link believes; it asks if it does not know."""
    netns.run(agent.internet, ["ip", "neighbour", "flush", "dev", "up0"])
    netns.run(agent.internet, ["ping", "-c", "1", "-W", "1", address], check=False)
    with netns.inside(agent.internet):
        (found,) = ip("neighbour", "show", address)
    return found.get("lladdr")


def reaches(agent: Agent) -> None:
    """A session by way of pool4: three requests, three answers."""
    argv = ["ping", "-6", "-n", "-q", "-c", "3", "-i", "0.2", "64:ff9b::192.31.196.53"]
    out = netns.run(agent.pod, argv, check=False).stdout
    assert " 0% packet loss" in out, out


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with agents.world(tmp_path) as (started, _, pod):
        netns.run(pod, ["ip", "route", "add", "64:ff9b::/96", "via", "2001:db8:64::1"])
        started.start()
        yield started


def test_nobody_says(agent: Agent) -> None:
    agent.apply(gateway("none", ON_LINK))
    assert neighbour(agent, ADDRESS) is None
    assert (routes(agent), proxies(agent)) == ([], [])
    mac = seen(agent, "link", "show", "wan0")[0]["address"]
    entry = ["ip", "neighbour", "replace", ADDRESS, "lladdr", mac, "dev", "up0"]
    netns.run(agent.internet, entry)
    netns.run(agent.internet, [*entry[:3], "192.31.196.129", *entry[4:]])
    reaches(agent)


def test_arp(agent: Agent) -> None:
    """Of two addresses on the link; the host in the internet has no route to either."""
    before = proxy_delay(agent)
    text = yaml.safe_dump(gateway("l2", ON_LINK))
    assert f"would: announce {ON_LINK}: ARP on wan0" in agent.sixlane(
        "diff", "-f", "-", stdin=text, code=1
    )
    agent.sixlane("apply", "-f", "-", stdin=text)
    mac = seen(agent, "link", "show", "wan0")[0]["address"]
    assert neighbour(agent, ADDRESS) == mac
    assert proxies(agent) == [("192.31.196.128", "wan0"), ("192.31.196.129", "wan0")]
    assert proxy_delay(agent) == "0" != before
    reaches(agent)
    held = seen(agent, "address", "show")
    assert ADDRESS not in str(held)
    assert "l2" in agent.sixlane("status")

    netns.run(agent.namespace, ["ip", "route", "del", ON_LINK, "proto", str(PROTOCOL)])
    assert eventually(lambda: routes(agent) == [("unicast", ON_LINK)])
    argv = ["ip", "neighbour", "del", "proxy", ADDRESS, "dev", "wan0"]
    netns.run(agent.namespace, argv)
    assert eventually(lambda: len(proxies(agent)) == 2)
    assert neighbour(agent, ADDRESS) == mac

    told = agent.sixlane(
        "apply", "-o", "wide", "-f", "-", stdin=yaml.safe_dump(gateway("none", ON_LINK))
    )
    assert f"announce {ON_LINK} no longer" in told
    assert (routes(agent), proxies(agent)) == ([], [])
    assert proxy_delay(agent) == before


def test_arp_is_announced_when_it_begins(agent: Agent) -> None:
    """Who believed that somebody else had the address learns better, without asking."""
    agent.apply(gateway("none", ON_LINK))
    wrong = ["lladdr", "02:00:00:00:00:07", "nud", "stale", "dev", "up0"]
    netns.run(agent.internet, ["ip", "neighbour", "replace", ADDRESS, *wrong])
    agent.apply(gateway("l2", ON_LINK))
    mac = seen(agent, "link", "show", "wan0")[0]["address"]

    def known() -> str:
        with netns.inside(agent.internet):
            return str(ip("neighbour", "show", ADDRESS)[0]["lladdr"])

    assert eventually(lambda: known() == mac)


def test_a_route(agent: Agent) -> None:
    """For a routing daemon; it moves with pool4, and goes with the gateway."""
    netns.run(agent.internet, ["ip", "route", "add", ELSEWHERE, "via", "192.31.196.1"])
    text = yaml.safe_dump(gateway("route", ELSEWHERE))
    told = agent.sixlane("apply", "-o", "wide", "-f", "-", stdin=text)
    assert f"announce {ELSEWHERE}: a route" in told
    assert routes(agent) == [("unreachable", ELSEWHERE)]
    assert proxies(agent) == []
    reaches(agent)
    netns.run(agent.namespace, ["ip", "route", "del", "unreachable", ELSEWHERE])
    assert eventually(lambda: routes(agent) == [("unreachable", ELSEWHERE)])

    agent.apply(gateway("route", "192.31.197.10"))
    assert routes(agent) == [("unreachable", "192.31.197.10")]
    agent.sixlane("delete", "gateway", "edge")
    assert routes(agent) == []

    agent.apply(gateway("route", ELSEWHERE))
    assert routes(agent) == [("unreachable", ELSEWHERE)]
    agent.teardown()
    assert routes(agent) == []


def test_somebody_elses_route_stays(agent: Agent) -> None:
    netns.run(agent.namespace, ["ip", "route", "add", "blackhole", ELSEWHERE, "proto", "static"])
    agent.apply(gateway("route", ELSEWHERE))
    told = f"{ELSEWHERE} is not announced: somebody else has a route to it"
    assert told in agent.sixlane("status", code=0)
    assert routes(agent) == []
    netns.run(agent.namespace, ["ip", "route", "del", "blackhole", ELSEWHERE])
    assert eventually(lambda: routes(agent) == [("unreachable", ELSEWHERE)])
    assert eventually(lambda: told not in agent.sixlane("status"))
