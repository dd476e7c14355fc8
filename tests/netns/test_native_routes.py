# SPDX-License-Identifier: Apache-2.0
"""A more specific route goes before translation, and the agent follows it (RFC 7915 4.6, 5.6)."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import GATEWAY, Agent, changed, eventually

pytestmark = [
    pytest.mark.netns,
    pytest.mark.conformance(10),
    needs.root,
    needs.bpf,
    needs.command("ip"),
]

POD = "192.175.48.70"
ROUTES4 = ["192.175.48.0/24", "192.175.48.64/26", "192.175.49.0/24", "0.0.0.0/0"]
ROUTES6 = ["64:ff9b::/96", "64:ff9b::8.8.8.0/120", "2001:db8:77::/64"]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with agents.world(tmp_path) as (agent, _, _):
        agent.start()
        yield agent


def ip(agent: Agent, *argv: str) -> None:
    netns.run(agent.namespace, ["ip", *argv])


def native(agent: Agent) -> list[str]:
    routes: dict[str, Any] = agent.status()["gateway"]["nativeRoutes"]
    assert routes["count"] == len(routes["first"])
    return list(routes["first"])


def reasons(agent: Agent) -> dict[str, int]:
    counted = json.loads(agent.sixlane("counters", "-o", "json"))["reasons"]
    return {name: one["packets"] for name, one in counted.items()}


def send(namespace: str, source: str, destination: str) -> None:
    """One datagram to port 9, whether or not anybody wants it."""
    with netns.inside(namespace):
        family = socket.AF_INET6 if ":" in destination else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.bind((source, 0))
            sender.sendto(b"x", (destination, 9))


def counts(agent: Agent, reason: str, *ends: str) -> bool:
    """Whether a datagram is counted so: each of five is, with no regard to others' packets."""
    before = reasons(agent)[reason]
    for _ in range(5):
        send(*ends)
    return reasons(agent)[reason] >= before + 5


@pytest.fixture
def wired(agent: Agent) -> Agent:
    """Both ends send their packets to the gateway, which has a route to the pods."""
    ip(agent, "route", "add", f"64:ff9b::{POD}/128", "via", "2001:db8:64::2")
    for namespace, argv in (
        (agent.internet, ["route", "add", "192.175.48.0/24", "via", "192.31.196.1"]),
        (agent.pod, ["route", "add", "64:ff9b::/96", "via", "2001:db8:64::1"]),
        (agent.pod, ["address", "add", f"64:ff9b::{POD}/128", "dev", "up0", "nodad"]),
    ):
        netns.run(namespace, ["ip", *argv])
    agent.apply(GATEWAY)
    return agent


IPV4 = ("192.175.48.64/26", "192.31.196.53", "forward_46", "pass_not_ours")
IPV6 = ("64:ff9b::c01f:c400/120", "2001:db8:64::2", "forward_64", "pass_native")


@pytest.mark.parametrize(("network", "via", "translated", "passed"), [IPV4, IPV6])
def test_packets_go_where_the_route_leads(
    wired: Agent, network: str, via: str, translated: str, passed: str
) -> None:
    ends = (wired.internet, "192.31.196.53", POD)
    if ":" in network:
        ends = (wired.pod, f"64:ff9b::{POD}", "64:ff9b::192.31.196.53")
    assert counts(wired, translated, *ends)
    ip(wired, "route", "add", network, "via", via)
    assert eventually(lambda: network in native(wired))
    assert counts(wired, passed, *ends)
    ip(wired, "route", "del", network)
    assert eventually(lambda: network not in native(wired))
    assert counts(wired, translated, *ends)


def test_a_route_inside_of_what_a_remote_mapping_translates(wired: Agent) -> None:
    (prefix,) = GATEWAY["spec"]["prefixes"]
    eam = [{"ipv4": "192.31.196.0/24", "ipv6": "2001:db8:46::/120", "remote": True}]
    wired.apply(changed(GATEWAY, prefixes=[prefix | {"eam": eam}]))
    netns.run(wired.pod, ["ip", "route", "add", "2001:db8:46::/120", "via", "2001:db8:64::1"])
    ends = (wired.pod, f"64:ff9b::{POD}", "2001:db8:46::35")
    assert counts(wired, "forward_64", *ends)
    ip(wired, "route", "add", "2001:db8:46::30/124", "via", "2001:db8:64::2")
    assert eventually(lambda: "2001:db8:46::30/124" in native(wired))
    assert counts(wired, "pass_not_ours", *ends)
    assert counts(wired, "forward_64", wired.pod, f"64:ff9b::{POD}", "2001:db8:46::45")


def test_routes_that_are_there_before_the_gateway(agent: Agent) -> None:
    for route in (*ROUTES4, *ROUTES6):
        ip(
            agent,
            "route",
            "replace",
            route,
            "via",
            "2001:db8:64::2" if ":" in route else "192.31.196.53",
        )
    agent.apply(GATEWAY)
    assert native(agent) == ["192.175.48.64/26", "64:ff9b::808:800/120"]
    assert "native routes: 192.175.48.64/26, 64:ff9b::808:800/120" in agent.sixlane("status")
    prefixes = [GATEWAY["spec"]["prefixes"][0] | {"ipv4": ["192.175.48.0/23"]}]
    agent.apply(changed(GATEWAY, prefixes=prefixes))
    assert native(agent) == [
        "192.175.48.0/24",
        "192.175.48.64/26",
        "192.175.49.0/24",
        "64:ff9b::808:800/120",
    ]


def test_routes_that_change_while_no_agent_runs(agent: Agent) -> None:
    agent.apply(GATEWAY)
    agent.end()
    ip(agent, "route", "add", "192.175.48.64/26", "via", "192.31.196.53")
    agent.start()
    assert native(agent) == ["192.175.48.64/26"]


def test_routes_go_with_their_device(agent: Agent) -> None:
    """The kernel tells of the device alone."""
    ip(agent, "link", "add", "side0", "type", "veth", "peer", "name", "side1")
    ip(agent, "link", "set", "side1", "up")
    ip(agent, "link", "set", "side0", "up")
    ip(agent, "route", "add", "192.175.48.64/26", "dev", "side0")
    agent.apply(GATEWAY)
    assert native(agent) == ["192.175.48.64/26"]
    ip(agent, "link", "set", "side0", "down")
    assert eventually(lambda: native(agent) == [])


def test_other_routes_flip_nothing(agent: Agent) -> None:
    agent.apply(GATEWAY)
    before = agent.status()["gateway"]["generation"]
    for last in range(40):
        ip(agent, "route", "add", f"198.18.{last}.0/24", "via", "192.31.196.53")
    ip(agent, "route", "add", "192.175.48.64/26", "via", "192.31.196.53")
    assert eventually(lambda: native(agent) == ["192.175.48.64/26"])
    assert agent.status()["gateway"]["generation"] == before + 1
