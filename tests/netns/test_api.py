# SPDX-License-Identifier: Apache-2.0
"""The API of a real sixlaned over its real socket; each test with both clients."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sixlane.client import Client, Conflict, Problem, Unreachable
from sixlane.datapath import Datapath
from sixlane.net import netns
from tests import clients, needs
from tests.netns import agents
from tests.netns.agents import GATEWAY, Agent

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("ip")]

PODS = GATEWAY["spec"]["prefixes"][0]
WRITERS, ROUNDS = 4, 5


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """With a gateway in force."""
    with agents.world(tmp_path) as (agent, _, _):
        agent.start()
        agent.apply(GATEWAY)
        yield agent


@pytest.fixture(params=clients.KINDS)
def client(request: pytest.FixtureRequest, agent: Agent) -> Iterator[Any]:
    with clients.client(request.param, socket_of(agent)) as client:
        yield client


def socket_of(agent: Agent) -> Path:
    return agent.place.run_dir / "api.sock"


def kernel(agent: Agent) -> int:
    """How often the tables were flipped."""
    with netns.inside(agent.namespace), Datapath.open(agent.bpffs) as datapath:
        return datapath.generation()


# ---- two writers ----


@pytest.mark.parametrize("part", ["resource", "prefix"])
def test_no_writer_loses_what_another_wrote(agent: Agent, part: str) -> None:
    """Each adds ranges of its own to one list, all at the same time."""
    failed: list[BaseException] = []

    def write(kind: str, address: str) -> None:
        def add(prefix: Any) -> None:
            prefix["loadBalancerSourceRanges"].append(address)

        with clients.client(kind, socket_of(agent)) as client:
            if part == "prefix":
                client.edit_prefix("edge", "pods", add)
            else:
                client.edit("Gateway", "edge", lambda edge: add(edge["spec"]["prefixes"][0]))

    def run(writer: int) -> None:
        try:
            for at in range(ROUNDS):
                write(clients.KINDS[writer % 2], f"192.31.{writer}.{at}/32")
        except BaseException as error:
            failed.append(error)

    before = kernel(agent)
    threads = [threading.Thread(target=run, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    wanted = {f"192.31.{writer}.{at}/32" for writer in range(WRITERS) for at in range(ROUNDS)}
    found = Client(str(socket_of(agent))).prefix("edge", "pods")["loadBalancerSourceRanges"]
    assert found is not None
    assert sorted(found) == sorted({*wanted, *PODS["loadBalancerSourceRanges"]})
    assert kernel(agent) == before + WRITERS * ROUNDS  # one flip each, and none for a conflict


def test_of_two_writers_that_do_not_ask_one_is_told(agent: Agent, client: Any) -> None:
    mine, his = client.get("Gateway", "edge"), client.get("Gateway", "edge")
    his["spec"]["lowestIPv6MTU"] = 1400
    client.put(his)
    before = kernel(agent)
    mine["spec"]["icmpErrors"] = {"rate": 7}
    with pytest.raises(Conflict) as conflict:
        client.put(mine)
    assert (
        conflict.value.resource_version
        == client.get("Gateway", "edge")["metadata"]["resourceVersion"]
    )
    assert kernel(agent) == before
    assert "icmpErrors" not in client.get("Gateway", "edge")["spec"]


# ---- dry runs and parts ----


def test_a_dry_run_plans_against_the_machine_and_changes_nothing(agent: Agent, client: Any) -> None:
    before = kernel(agent), client.get("Gateway", "edge"), client.history()
    would = client.patch_prefix("edge", "pods", {"loadBalancerSourceRanges": []}, dry_run=True)
    assert would["after"][0]["spec"]["prefixes"][0]["loadBalancerSourceRanges"] == []
    assert would["changes"]
    with pytest.raises(Problem, match="wan7") as refused:
        client.patch("Gateway", "edge", {"spec": {"devices": [{"name": "wan7"}]}}, dry_run=True)
    assert refused.value.status == 422
    assert (kernel(agent), client.get("Gateway", "edge"), client.history()) == before


def test_parts_of_a_gateway_are_in_force_with_one_flip_each(agent: Agent, client: Any) -> None:
    before = kernel(agent)
    second = {"name": "second", "prefix": "2001:db8:2::/96", "ipv4": ["192.175.49.0/24"]}
    eam = {"ipv4": "192.175.50.8/30", "ipv6": "2001:db8:65::8/126"}
    client.put_prefix("edge", second)
    client.put_eam("edge", "second", eam)
    client.put_eam("edge", "second", eam)  # is there already
    assert set(client.counters()["prefixes"]) == {"pods", "second"}
    client.delete_eam("edge", "second", eam["ipv4"])
    client.delete_prefix("edge", "second")
    assert kernel(agent) == before + 4
    assert client.get("Gateway", "edge")["spec"] == GATEWAY["spec"]
    assert client.status()["problems"] == []


# ---- watching ----


def test_a_watcher_sees_each_state_that_lasts_in_order(client: Any) -> None:
    rates = [10, 20, 30]
    with client.watch() as events:
        until(events, "synced")
        seen = []
        for rate in rates:
            client.patch("Gateway", "edge", {"spec": {"icmpErrors": {"rate": rate}}})
            put = until(events, "put")
            while put["resource"]["spec"].get("icmpErrors") != {"rate": rate}:
                put = until(events, "put")
            seen.append(put["revision"])
    assert seen == sorted(set(seen))


def test_a_watch_is_resumed_across_a_restart_of_the_agent(agent: Agent, client: Any) -> None:
    with client.watch() as events:
        resume = until(events, "synced")["resume"]
        agent.end()
        with pytest.raises(Unreachable):
            while True:
                next(events)
    assert "Cancel" not in agent.log.read_text()  # uvicorn's word for what would not end
    agent.start()
    client.delete("Gateway", "edge")
    with client.watch(since=resume) as events:
        assert until(events, "deleted")["resource"]["metadata"]["name"] == "edge"
        assert until(events, "synced")["resources"] == []


def test_who_was_away_for_too_long_is_told_all(client: Any) -> None:
    with client.watch(since=10_000) as events:
        first, synced = next(events), next(events)
    assert (first["type"], synced["type"]) == ("put", "synced")
    assert synced["resources"] == [{"kind": "Gateway", "name": "edge"}]


def until(events: Iterator[Any], kind: str) -> Any:
    return next(event for event in events if event["type"] == kind)


# ---- who may ask ----

_AS_SOMEBODY = """
import os, sys
import sixlane.client.unix  # while it can still be read
from sixlane.client import Client, Unreachable

uid, *groups = map(int, sys.argv[1:])
os.setgroups(groups)
os.setgid(uid)
os.setuid(uid)
try:
    print(Client("api.sock").status()["problems"])
except Unreachable as error:
    print(error.message)
"""


def ask_as(agent: Agent, uid: int, *groups: int) -> str:
    """What a process of that user and those groups is told.

    It stands beside the socket: whether others may pass /tmp/pytest-of-root is another matter.
    """
    done = subprocess.run(
        [sys.executable, "-c", _AS_SOMEBODY, *map(str, (uid, *groups))],
        cwd=agent.place.run_dir,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_only_root_and_the_group_of_the_socket_may_ask(agent: Agent) -> None:
    somebody, group = 64_123, 64_124  # in no /etc/passwd or /etc/group: numbers are enough
    path = socket_of(agent)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    os.chown(path, 0, group)  # as `listening` does, where there is a group sixlane
    assert ask_as(agent, somebody) == "no permission: api.sock"
    assert ask_as(agent, somebody, group) == "[]"
    assert ask_as(agent, 0) == "[]"


def test_nothing_listens_on_the_network(agent: Agent) -> None:
    listening = netns.run(agent.namespace, ["ss", "--no-header", "-tulnp"]).stdout
    assert str(agent.pid) not in listening
    assert listening == ""


def test_the_log_says_who_changed_what(agent: Agent) -> None:
    client = Client(str(socket_of(agent)))
    client.patch("Gateway", "edge", {"spec": {"lowestIPv6MTU": 1400}})
    lines = [line for line in agent.log.read_text().splitlines() if "revision=2" in line]
    assert lines
    assert all(f"who=root[{os.getpid()}]" in line for line in lines)
