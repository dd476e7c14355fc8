# SPDX-License-Identifier: Apache-2.0
"""An agent killed at any step of an apply: packets meet the old or the new, a restart mends all."""

import contextlib
import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sixlane.client import Client, Unreachable
from sixlane.net import link, netns
from tests import needs
from tests.netns import agents, killing, spaces
from tests.netns.agents import GATEWAY, Agent, changed

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    needs.command("ip"),
    needs.command("strace"),
]

SERVICE = "192.175.48.10"
INTERNET = "192.31.196.53"
PORT = 4646

_numbers = itertools.count()

OLD = changed(
    GATEWAY,
    prefixes=[{"name": "pods", "prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/24"]}],
)
NEW = changed(
    GATEWAY,
    devices=[{"name": "wan0"}, {"name": "lan0"}, {"name": "dmz0"}],
    prefixes=[
        {
            "name": "legacy",
            "prefix": "2001:db8:46::/96",
            "eam": [{"ipv4": f"{SERVICE}/32", "ipv6": "2001:db8:65::2/128"}],
            "loadBalancerSourceRanges": [f"{INTERNET}/32"],
        }
    ],
)
# What a packet from INTERNET to SERVICE becomes: source and destination in IPv6.
BY_OLD = ("64:ff9b::c01f:c435", "64:ff9b::c0af:300a")
BY_NEW = ("2001:db8:46::c01f:c435", "2001:db8:65::2")


@dataclass
class Edge:
    """A gateway with an agent; `probe` tells how it translates."""

    agent: Agent
    sender: socket.socket
    receiver: socket.socket

    def probe(self, tries: int = 10) -> tuple[str, str] | None:
        """Source and destination of a translated datagram; None if none arrives."""
        for _ in range(tries):
            ours = str(next(_numbers)).encode()
            self.sender.sendto(ours, (SERVICE, PORT))
            found = self._receive(ours)
            if found:
                return found
        return None

    @property
    def client(self) -> Client:
        """Of the API: some hundred changes are quicker so than by as many commands."""
        return Client(str(self.agent.socket))

    def apply(self, resource: dict[str, Any]) -> None:
        self.client.transaction(put=[resource])

    def teardown(self) -> None:
        assert self.client.teardown() == []

    def tries(self, change: Callable[[], None]) -> bool:
        """Whether the agent said that it is done."""
        try:
            change()
        except Unreachable:
            return False
        return True

    def assert_settled(self, step: killing.Step) -> None:
        """What is stored is in force, and nothing else, and nothing is out of order."""
        stored = self.client.resources()["items"]
        prefixes = [prefix["name"] for one in stored for prefix in one["spec"]["prefixes"]]
        devices = {device["name"] for one in stored for device in one["spec"]["devices"]}
        attached = {path.name.rpartition("-")[2] for path in self._links()}
        with netns.inside(self.agent.namespace):
            wanted = {str(link.get(name).ifindex) for name in devices}
        assert self.client.status()["problems"] == [], step
        assert attached == wanted, step
        if prefixes:
            assert self.probe() == {"pods": BY_OLD, "legacy": BY_NEW}[prefixes[0]], step
        else:
            assert self.probe(tries=1) is None, step

    def settings(self) -> str:
        """Sysctls of devices, as lines of `sysctl`, and devices."""
        argv = ["sh", "-c", "sysctl -a -r 'conf[.](wan0|lan0|dmz0)[.]'; ip -br link"]
        return netns.run(self.agent.namespace, argv).stdout

    def _links(self) -> list[Path]:
        return list((self.agent.bpffs / "links").glob("*-[0-9]*"))

    def _receive(self, expected: bytes) -> tuple[str, str] | None:
        with contextlib.suppress(TimeoutError):
            while True:  # those of earlier probes may wait here
                got, ancillary, _, source = self.receiver.recvmsg(64, 256)
                if got == expected:
                    info = next(data for _, kind, data in ancillary if kind == socket.IPV6_PKTINFO)
                    return source[0], socket.inet_ntop(socket.AF_INET6, info[:16])
        return None


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with ExitStack() as stack:
        agent, internet, pod = stack.enter_context(agents.world(tmp_path))
        with netns.inside(agent.namespace):
            spaces.command("ip", "link", "add", "dmz0", "type", "veth", "peer", "name", "dmz1")
            for device in ("dmz0", "dmz1"):
                spaces.command("ip", "link", "set", device, "up")
            spaces.command("ip", "route", "add", "64:ff9b::192.175.48.0/120", "dev", "lan0")
        with netns.inside(internet):
            spaces.command("ip", "route", "add", "192.175.48.0/24", "via", "192.31.196.1")
            sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with netns.inside(pod):
            address = f"64:ff9b::{SERVICE}/128"
            spaces.command("ip", "address", "add", address, "dev", "up0", "nodad")
            receiver = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            receiver.bind(("::", PORT))
            receiver.settimeout(0.3)
        yield Edge(agent, sender, receiver)


def test_probe_tells_the_two_apart(edge: Edge) -> None:
    edge.agent.start()
    for config, expected in ((OLD, BY_OLD), (NEW, BY_NEW), (OLD, BY_OLD)):
        edge.apply(config)
        assert edge.probe() == expected


def test_killed_at_each_step_of_a_change(edge: Edge, tmp_path: Path) -> None:
    """Between any two steps the kernel has the old state or the new one; a restart has the
    desired one."""
    agent, scratch = edge.agent, tmp_path / "strace"
    agent.start()
    edge.apply(OLD)
    kills = 0
    steps = killing.steps(killing.applier(agent), lambda: edge.apply(NEW), scratch)
    steps = killing.some(steps, 4)
    for step in steps:
        edge.apply(OLD)
        with killing.killed_at(killing.applier(agent), step, scratch):
            answered = edge.tries(lambda: edge.apply(NEW))
        if answered:
            continue  # it took fewer steps this time
        agent.await_kill()
        kills += 1
        assert edge.probe() in (BY_OLD, BY_NEW), step
        agent.start()
        edge.assert_settled(step)
    assert kills > len(steps) // 2


def test_killed_at_each_step_of_the_first_apply(edge: Edge, tmp_path: Path) -> None:
    agent, scratch = edge.agent, tmp_path / "strace"
    agent.start()
    kills = 0
    steps = killing.steps(killing.applier(agent), lambda: edge.apply(NEW), scratch)
    steps = killing.some(steps, 30)
    for step in steps:
        edge.teardown()
        with killing.killed_at(killing.applier(agent), step, scratch):
            answered = edge.tries(lambda: edge.apply(NEW))
        if answered:
            continue
        agent.await_kill()
        kills += 1
        agent.start()
        edge.assert_settled(step)
        edge.apply(NEW)
        assert edge.probe() == BY_NEW, step
    assert kills > len(steps) // 2


def test_killed_at_each_step_of_a_teardown(edge: Edge, tmp_path: Path) -> None:
    agent, scratch = edge.agent, tmp_path / "strace"
    before = edge.settings()
    agent.start()
    edge.apply(OLD)
    kills = 0
    steps = killing.steps(killing.applier(agent), edge.teardown, scratch)
    steps = killing.some(steps, 30)
    for step in steps:
        edge.apply(OLD)
        with killing.killed_at(killing.applier(agent), step, scratch):
            answered = edge.tries(edge.teardown)
        if answered:
            continue
        agent.await_kill()
        kills += 1
        agent.start()
        edge.assert_settled(step)
        edge.teardown()
        assert edge.settings() == before, step
    assert kills > len(steps) // 2
