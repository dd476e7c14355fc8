# SPDX-License-Identifier: Apache-2.0
"""Static bindings by a real agent: put in force by apply, whatever happens to the tables."""

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import Agent, eventually
from tests.netns.test_pool4 import MOST, SPEC, opened, shared_by, transfer

pytestmark = [pytest.mark.netns, needs.root]

INTERNET, POD = "192.31.196.53", "2001:db8:64::2"
WEB = {
    "protocol": "tcp",
    "inside": POD,
    "insidePort": 8443,
    "pool": "192.31.197.9",
    "poolPort": 443,
}
LINE = "tcp 192.31.197.9:443 to [2001:db8:64::2]:8443"


def listed(agent: Agent) -> list[tuple[str, int, str, int]]:
    """The static ones: inside, and of pool4."""
    rows = map(json.loads, agent.sixlane("bib", "list", "-o", "ndjson").splitlines())
    return [
        (one["inside"], one["insidePort"], one["pool"], one["poolPort"])
        for one in rows
        if one["static"]
    ]


def called(agent: Agent, inside_port: int = 8443) -> None:
    """Somebody in the internet opens a connection to the pod."""
    with netns.inside(agent.pod):
        listener = socket.create_server((POD, inside_port), family=socket.AF_INET6)
    listener.settimeout(10)
    with (
        listener,
        opened(agent.internet, socket.AF_INET, socket.SOCK_STREAM, INTERNET) as caller,
    ):
        caller.connect(("192.31.197.9", 443))
        server, peer = listener.accept()
        with server:
            server.settimeout(10)
            assert peer[0] == "64:ff9b::c01f:c435"
            transfer(caller, server, 1 << 14)


@pytest.mark.conformance(82)
def test_an_agent(tmp_path: Path) -> None:
    with agents.world(tmp_path) as (agent, internet, pod):
        netns.run(internet, ["ip", "route", "add", "192.31.197.8/30", "via", "192.31.196.1"])
        netns.run(pod, ["ip", "route", "add", "64:ff9b::/96", "via", "2001:db8:64::1"])
        agent.start()
        agent.apply(shared_by(SPEC))
        with (
            opened(internet, socket.AF_INET, socket.SOCK_STREAM, INTERNET) as listener,
            opened(pod, socket.AF_INET6, socket.SOCK_STREAM, POD) as inside,
        ):
            listener.listen()
            inside.connect(("64:ff9b::192.31.196.53", listener.getsockname()[1]))
            server, outside = listener.accept()
            with server:
                bound = shared_by(SPEC, bindings=[WEB])
                wide = ("apply", "-o", "wide", "-f", "-")
                assert f"bind {LINE}" in agent.sixlane(*wide, stdin=yaml.safe_dump(bound))
                assert agent.status()["problems"] == []
                called(agent)
                transfer(inside, server, 1 << 14)

                agent.end(signal.SIGKILL)
                called(agent)
                agent.start()
                assert listed(agent) == [(POD, 8443, "192.31.197.9", 443)]
                called(agent)
                assert "static" in agent.sixlane("bib", "list")

                moved = shared_by(SPEC, bindings=[WEB | {"insidePort": 9443}])
                told = agent.sixlane(*wide, stdin=yaml.safe_dump(moved))
                assert f"remove the binding of {LINE}" in told
                called(agent, 9443)
                transfer(server, inside, 1 << 14)

                taken = WEB | {"pool": outside[0], "poolPort": outside[1], "insidePort": 1}
                agent.apply(shared_by(SPEC, bindings=[taken]))
                (problem,) = agent.status()["problems"]
                assert problem.endswith(f"[{POD}]:1 is not in force: another binding has that port")
                transfer(server, inside, 1 << 14)

        _tables_made_anew(agent)
        agent.apply(shared_by(SPEC))
        assert eventually(lambda: agent.status()["problems"] == [])
        assert listed(agent) == []


def _tables_made_anew(agent: Agent) -> None:
    more: dict[str, Any] = {"max": {**MOST, "sessions": 8192}}
    agent.apply(shared_by(SPEC, bindings=[WEB], sessions=more))
    assert listed(agent) == [(POD, 8443, "192.31.197.9", 443)]
    called(agent)
    agent.sixlane("delete", "gateway", "edge")
    agent.apply(shared_by(SPEC, bindings=[WEB]))
    assert listed(agent) == [(POD, 8443, "192.31.197.9", 443)]
    called(agent)
