# SPDX-License-Identifier: Apache-2.0
"""The log of sessions and of port blocks, by a real agent: in a file that others move away, over an
agent that is killed, and in the agent's own log."""

import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import Agent, eventually
from tests.netns.test_pool4 import MOST, SPEC, opened, shared_by, transfer

pytestmark = [pytest.mark.netns, needs.root]

INTERNET, POD = "192.31.196.53", "2001:db8:64::2"
_TIME = r"time=20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def logged(**log: Any) -> dict[str, Any]:
    return shared_by(SPEC, sessions={"max": MOST, "log": log})


def lines(path: Path) -> list[str]:
    """Without their times, which each one has."""
    found = path.read_text().splitlines() if path.exists() else []
    assert all(re.search(rf" {_TIME}$", line) for line in found), found
    return [line.rpartition(" time=")[0] for line in found]


@contextmanager
def connection(agent: Agent) -> Iterator[tuple[socket.socket, socket.socket, str]]:
    """A pod's, with a server's end of it; and what both lines of it say behind the event."""
    with (
        opened(agent.internet, socket.AF_INET, socket.SOCK_STREAM, INTERNET) as listener,
        opened(agent.pod, socket.AF_INET6, socket.SOCK_STREAM, POD) as pod,
    ):
        listener.listen()
        port = listener.getsockname()[1]
        pod.connect((f"64:ff9b::{INTERNET}", port))
        server, (address, pool_port) = listener.accept()
        with server:
            server.settimeout(10)
            inside = f"inside=[{POD}]:{pod.getsockname()[1]}"
            yield (
                pod,
                server,
                f"protocol=tcp {inside} pool={address}:{pool_port} remote={INTERNET}:{port}",
            )


def test_an_agent(tmp_path: Path) -> None:
    path = tmp_path / "sessions.log"
    both = {"blocks": True, "sessions": True, "to": str(path)}
    with agents.world(tmp_path) as (agent, internet, pod):
        netns.run(internet, ["ip", "route", "add", "192.31.197.8/30", "via", "192.31.196.1"])
        netns.run(pod, ["ip", "route", "add", "64:ff9b::/96", "via", "2001:db8:64::1"])
        agent.start()
        agent.apply(logged())
        with connection(agent):
            pass
        assert not path.exists()

        agent.apply(logged(**both))
        with connection(agent) as (inside, server, first):
            assert eventually(lambda: len(lines(path)) == 1)
            assert lines(path) == [f"event=session-made {first}"]
            assert path.stat().st_mode & 0o777 == 0o640

            _rotated(agent, path)
            _killed(agent, path)
            transfer(inside, server, 1 << 14)

            agent.apply(logged(blocks=True, to=str(path)))
            before = lines(path)
            with connection(agent):
                transfer(inside, server, 1 << 14)
            agent.apply(logged(sessions=True))
            with connection(agent) as (_, _, said):
                line = f"level=info msg=sessions event=session-made {said}"
                assert eventually(lambda: line in agent.log.read_text())
            assert lines(path) == before
            transfer(server, inside, 1 << 14)

        agent.apply(logged())
        told = agent.log.read_text().count("msg=sessions")
        with connection(agent):
            pass
        agent.apply(logged(**both))
        assert agent.log.read_text().count("msg=sessions") == told
        assert lines(path) == before
        _tables_made_anew(agent, path, both)
        _not_to_be_written(agent, tmp_path)
        reasons = json.loads(agent.sixlane("counters", "-o", "json"))["reasons"]
        assert reasons.get("session_log_lost", {"packets": 0})["packets"] == 0


def _rotated(agent: Agent, path: Path) -> None:
    moved = path.with_name("sessions.log.1")
    path.rename(moved)
    before = lines(moved)
    with connection(agent) as (_, _, said):
        assert eventually(lambda: lines(path) == [f"event=session-made {said}"])
    assert lines(moved) == before


def _killed(agent: Agent, path: Path) -> None:
    """What happens meanwhile is told by the next one, and nothing twice."""
    before = lines(path)
    agent.end(signal.SIGKILL)
    with connection(agent) as (_, _, one), connection(agent) as (_, _, another):
        assert lines(path) == before
    agent.start()
    expected = [*before, f"event=session-made {one}", f"event=session-made {another}"]
    assert eventually(lambda: len(lines(path)) >= len(expected))
    assert lines(path) == expected
    with connection(agent) as (_, _, said):
        assert eventually(lambda: lines(path) == [*expected, f"event=session-made {said}"])


def _tables_made_anew(agent: Agent, path: Path, log: dict[str, Any]) -> None:
    before = lines(path)
    more = {"max": {**MOST, "sessions": 8192}, "log": log}
    agent.apply(shared_by(SPEC, sessions=more))
    why = 'event=all-ended reason="they get another size"'
    assert eventually(lambda: lines(path) == [*before, why])
    with connection(agent) as (_, _, said):
        assert eventually(lambda: len(lines(path)) == len(before) + 3)
        _, block, made = lines(path)[-3:]
        assert made == f"event=session-made {said}"
        (address, port) = re.findall(r"pool=([\d.]+):(\d+)", said)[0]
        first = int(port) // 256 * 256
        client = "event=block-given client=2001:db8:64::/64"
        assert block == f"{client} pool={address} ports={first}-{first + 255}"


def _not_to_be_written(agent: Agent, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere" / "log"
    more = {
        "max": {**MOST, "sessions": 8192},
        "log": {"sessions": True, "to": str(nowhere)},
    }
    agent.apply(shared_by(SPEC, sessions=more))
    with connection(agent) as (inside, server, _):
        assert eventually(lambda: bool(agent.status()["problems"]))
        transfer(inside, server, 1 << 14)
    (problem,) = agent.status()["problems"]
    assert "the session log is not written" in problem and str(nowhere) in problem
    nowhere.parent.mkdir()
    with connection(agent) as (_, _, said):
        assert eventually(lambda: lines(nowhere) == [f"event=session-made {said}"])
    assert eventually(lambda: agent.status()["problems"] == [])
