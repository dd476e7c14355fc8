# SPDX-License-Identifier: Apache-2.0
"""A store that cannot be written or read: changes are refused in one line, no packet is lost."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sixlane.datapath import Datapath
from sixlane.net import netns
from tests import needs, small_disk
from tests.netns import agents, spaces
from tests.netns.agents import GATEWAY, Agent, changed

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    *(needs.command(program) for program in ("ip", "mount", "ping")),
]

OTHER = changed(GATEWAY, lowestIPv6MTU=1400)
POD = "192.175.48.2"


@pytest.fixture
def resting(tmp_path: Path) -> Iterator[Agent]:
    """Not started; its state is on a file system of one megabyte."""
    state = tmp_path / "state"
    state.mkdir()
    with small_disk.mounted(state), agents.world(tmp_path) as (agent, internet, pod):
        with netns.inside(internet):
            spaces.command("ip", "route", "add", "default", "via", "192.31.196.1")
        with netns.inside(pod):
            spaces.command("ip", "address", "add", f"64:ff9b::{POD}/128", "dev", "up0", "nodad")
            spaces.command("ip", "route", "add", "default", "via", "2001:db8:64::1")
        with netns.inside(agent.namespace):
            way = [f"64:ff9b::{POD}/128", "via", "2001:db8:64::2"]
            spaces.command("ip", "route", "add", *way)
        yield agent
        remount(agent, "rw")


@pytest.fixture
def agent(resting: Agent) -> Iterator[Agent]:
    """Started, with GATEWAY in force; no packet is lost from then on to the end of the test."""
    resting.start()
    resting.apply(GATEWAY)
    netns.run(resting.internet, ["ping", "-q", "-c1", "-W2", POD])
    argv = ["ping", "-n", "-q", "-i", "0.01", "-W", "1", POD]
    with netns.popen(resting.internet, argv, stdout=subprocess.PIPE, text=True) as ping:
        try:
            yield resting
        finally:
            ping.send_signal(signal.SIGINT)  # it prints how many came back
            out, _ = ping.communicate(timeout=5)
    assert " 0% packet loss" in out, out


def remount(agent: Agent, mode: str) -> None:
    small_disk.remount(agent.place.state_dir, mode)


def fill(agent: Agent) -> Path:
    return small_disk.fill(agent.place.state_dir)


def in_force(agent: Agent) -> dict[str, Any]:
    """What packets meet: flips, tables, and what is attached."""
    with Datapath.open(agent.bpffs) as datapath:
        return {
            "generation": datapath.generation(),
            "digest": datapath.digest(),
            "links": sorted(path.name for path in (agent.bpffs / "links").iterdir()),
        }


def refused(agent: Agent, resource: dict[str, Any]) -> str:
    """The one line that says why."""
    said = agent.apply(resource, code=1)
    assert said.startswith("sixlane: ")
    assert said.count("\n") == 1
    return said


def test_a_full_disk(agent: Agent) -> None:
    before = in_force(agent)
    filler = fill(agent)
    large = changed(GATEWAY, prefixes=[{**GATEWAY["spec"]["prefixes"][0], "eam": mappings(2000)}])
    assert "the disk is full; what is in force stays" in refused(agent, large)
    assert in_force(agent) == before  # not even for a moment
    assert agent.status()["problems"] == []
    filler.unlink()
    agent.apply(OTHER)
    assert agent.status()["revision"] == 2


def test_a_start_on_a_full_disk(agent: Agent) -> None:
    agent.end()
    before = in_force(agent)
    filler = fill(agent)
    agent.start()
    assert in_force(agent) == before
    assert agent.status()["revision"] == 1
    large = changed(GATEWAY, prefixes=[{**GATEWAY["spec"]["prefixes"][0], "eam": mappings(2000)}])
    refused(agent, large)
    assert in_force(agent) == before
    filler.unlink()
    agent.apply(large)


def test_a_file_system_that_becomes_read_only(agent: Agent) -> None:
    agent.end()
    before = in_force(agent)
    remount(agent, "ro")
    agent.start()
    assert in_force(agent) == before
    status = agent.status()
    assert status["revision"] == 1
    [problem] = status["problems"]
    assert problem.startswith("store: no change is taken: open ")
    assert "EROFS" in problem
    assert [one["metadata"]["name"] for one in agent.resources()] == ["edge"]
    assert "EROFS" in refused(agent, OTHER)
    assert in_force(agent) == before
    remount(agent, "rw")
    agent.apply(OTHER)  # and the same agent goes on
    assert agent.status()["problems"] == []
    agent.end()
    agent.start()
    assert agent.status()["revision"] == 2


def test_a_first_start_on_a_read_only_file_system(resting: Agent) -> None:
    remount(resting, "ro")
    resting.start()
    assert resting.status()["revision"] == 0
    assert "EROFS" in refused(resting, GATEWAY)
    remount(resting, "rw")
    resting.apply(GATEWAY)
    assert resting.status()["problems"] == []


def test_a_teardown_on_a_read_only_file_system(resting: Agent) -> None:
    resting.start()
    resting.apply(GATEWAY)
    resting.end()
    remount(resting, "ro")
    resting.start()
    before = in_force(resting)
    said = resting.sixlane("teardown", code=1)
    assert said.startswith("sixlane: not torn down: open ") and said.count("\n") == 1
    assert "stop sixlaned, then sixlane teardown" in said
    assert in_force(resting) == before
    resting.end()
    said = resting.sixlane("teardown", code=1)
    assert said.startswith("sixlane: nothing of sixlane is in force, but all is still stored: open")
    assert said.count("\n") == 1
    assert not resting.bpffs.exists()
    remount(resting, "rw")
    resting.teardown()
    resting.start()
    assert resting.status()["revision"] == 2
    assert resting.resources() == []


def test_a_store_that_is_damaged_under_a_running_agent(agent: Agent) -> None:
    before = in_force(agent)
    for path in agent.place.state_dir.glob("store.db*"):
        with path.open("r+b") as file:
            file.write(b"\xa5" * path.stat().st_size)
    said = refused(agent, OTHER)
    assert "store.db" in said and "what is in force stays" in said
    assert in_force(agent) == before
    assert agent.status()["revision"] == 1
    agent.end()
    ended = agent.daemon()
    assert ended.returncode == 1
    assert "move it away and apply again" in ended.stderr.splitlines()[-1]
    assert in_force(agent) == before
    for path in agent.place.state_dir.glob("store.db*"):
        path.unlink()


def test_a_store_that_is_lost_stops_nothing(agent: Agent) -> None:
    agent.end()
    before = in_force(agent)
    for path in agent.place.state_dir.glob("store.db*"):
        path.unlink()
    agent.start()
    assert in_force(agent) == before
    [problem] = agent.status()["problems"]
    assert "nothing is stored: they are left alone" in problem
    agent.apply(GATEWAY)
    assert agent.status()["problems"] == []
    assert in_force(agent) == before


def mappings(count: int) -> list[dict[str, str]]:
    return [
        {"ipv4": f"11.0.{number >> 8}.{number & 255}/32", "ipv6": f"2001:db8:77::{number:x}/128"}
        for number in range(count)
    ]
