# SPDX-License-Identifier: Apache-2.0
"""Sessions carried from one gateway to another by the command, while connections are open."""

import json
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sixlane.cli.errors import FAILED, REFUSED
from sixlane.client import Client
from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import Agent
from tests.netns.test_pool4 import POOL, SPEC, opened, shared_by, transfer

pytestmark = [pytest.mark.netns, needs.root]

INTERNET, POD = "192.31.196.53", "2001:db8:64::2"
WEB = {
    "protocol": "tcp",
    "inside": POD,
    "insidePort": 8443,
    "pool": "192.31.197.9",
    "poolPort": 443,
}


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[tuple[Agent, Agent]]:
    """Traffic comes by the first one."""
    with (
        agents.world(tmp_path) as (first, _, _),
        agents.another(first, tmp_path / "second") as second,
    ):
        for agent in (first, second):
            agent.start()
            agent.apply(shared_by(SPEC, bindings=[WEB]))
        lead_by(first, "192.31.196.1", "2001:db8:64::1")
        yield first, second


def lead_by(agent: Agent, outside: str, inside: str) -> None:
    netns.run(agent.internet, ["ip", "route", "replace", str(POOL), "via", outside])
    netns.run(agent.pod, ["ip", "route", "replace", "64:ff9b::/96", "via", inside])


def move(agent: Agent) -> None:
    """To the second gateway."""
    lead_by(agent, "192.31.198.1", "2001:db8:66::1")


def connect(agent: Agent, stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """The pod's end, and the one in the internet."""
    listener = stack.enter_context(
        opened(agent.internet, socket.AF_INET, socket.SOCK_STREAM, INTERNET)
    )
    inside = stack.enter_context(opened(agent.pod, socket.AF_INET6, socket.SOCK_STREAM, POD))
    listener.listen()
    inside.connect((f"64:ff9b::{INTERNET}", listener.getsockname()[1]))
    server, _ = listener.accept()
    server.settimeout(10)
    return inside, stack.enter_context(server)


def call(agent: Agent, stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """The same of a connection that comes from outside, by a static binding."""
    with netns.inside(agent.pod):
        listener = stack.enter_context(socket.create_server((POD, 8443), family=socket.AF_INET6))
    listener.settimeout(10)
    caller = stack.enter_context(
        opened(agent.internet, socket.AF_INET, socket.SOCK_STREAM, INTERNET)
    )
    caller.connect(("192.31.197.9", 443))
    inside, _ = listener.accept()
    inside.settimeout(10)
    return stack.enter_context(inside), caller


def test_connections_live_on(gateways: tuple[Agent, Agent], tmp_path: Path) -> None:
    first, second = gateways
    file = tmp_path / "edge.sessions"
    with ExitStack() as stack:
        pairs = [connect(first, stack), connect(first, stack), call(first, stack)]
        for inside, outside in pairs:
            transfer(inside, outside, 1 << 16)
        assert first.sixlane("session", "export", str(file)) == "3 sessions\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        told = second.sixlane("session", "import", "--dry-run", str(file))
        assert told == "no sessions\n" and not list(Client(str(second.socket)).sessions())
        told = second.sixlane("session", "import", str(file))
        assert told.splitlines()[1:] == ["made           3"]
        move(first)
        for inside, outside in pairs:
            transfer(outside, inside, 1 << 20)
            transfer(inside, outside, 1 << 20)
        counted = Client(str(second.socket)).counters()["reasons"]
        assert counted["forward_46"]["packets"] and counted["forward_64"]["packets"]
        told = second.sixlane("session", "import", "-o", "json", stdin=file.read_text())
        assert (json.loads(told)["made"], json.loads(told)["present"]) == (0, 3)
        assert {one["state"] for one in Client(str(second.socket)).sessions()} == {"ESTABLISHED"}


def test_without_import_they_do_not(gateways: tuple[Agent, Agent]) -> None:
    """So it is by the import that they live on."""
    first, _ = gateways
    with ExitStack() as stack:
        inside, outside = connect(first, stack)
        transfer(inside, outside, 1 << 10)
        move(first)
        outside.settimeout(2)
        inside.sendall(b"lost")
        with pytest.raises(TimeoutError):
            outside.recv(10)


def test_what_cannot_be_carried(gateways: tuple[Agent, Agent]) -> None:
    first, second = gateways
    with ExitStack() as stack:
        connect(first, stack)
        connect(first, stack)
        text = first.sixlane("session", "export").removesuffix("2 sessions\n")
        head, one, other, end = text.splitlines(keepends=True)
        broken = head + one + other.replace('"tcp"', '"sctp"') + end
        told = second.sixlane("session", "import", stdin=broken, code=REFUSED)
        assert told.startswith("sixlane: line 3: protocol: 'sctp' is none of tcp, udp, icmp (")
        assert not list(Client(str(second.socket)).sessions())
        moved = json.loads(other) | {"pool": "192.31.200.1"}
        told = second.sixlane(
            "session", "import", stdin=head + one + json.dumps(moved) + "\n" + end, code=FAILED
        )
        assert "made             1" in told and "notPool4         1" in told, told
        assert "1 sessions were not carried: 1 notPool4 (the first: line 3, notPool4)" in told
        second.sixlane("delete", "gateway", "edge")
        told = second.sixlane("session", "import", stdin=text, code=REFUSED)
        assert told.startswith("sixlane: no pool4 is in force (")
