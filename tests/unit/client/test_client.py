# SPDX-License-Identifier: Apache-2.0
"""The client against an agent over fakes."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sixlane.client import Client, Problem, Unreachable
from tests.unit.agent.fakes import DNS64, GATEWAY, World
from tests.unit.agent.serving import serving


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    world = World(tmp_path)
    path = tmp_path / "api.sock"
    with serving(world.agent, path):
        yield Client(str(path))
    world.close()


def test_a_transaction_and_what_it_leaves(client: Client) -> None:
    applied = client.transaction(put=[GATEWAY, DNS64])
    assert applied["revision"] == 1
    assert [one["outcome"] for one in applied["resources"]] == ["created", "created"]
    client.transaction(delete=[{"kind": "Gateway", "name": "edge"}])
    assert [view["kind"] for view in client.resources()["items"]] == ["Dns64"]


def test_a_refusal_says_which_resource_and_where(client: Client) -> None:
    wrong = {**DNS64, "spec": {**DNS64["spec"], "port": 0}}
    with pytest.raises(Problem) as refused:
        client.transaction(put=[GATEWAY, wrong])
    problem = refused.value
    assert (problem.status, problem.kind) == (422, "refused")
    assert (problem.resource, problem.path) == (1, ("spec", "port"))
    assert client.resources()["items"] == []


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="nobody listens") as none:
        Client(str(tmp_path / "no.sock")).status()
    assert none.value.absent


def test_a_socket_without_a_listener(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        with pytest.raises(Unreachable) as none:
            Client(str(path)).status()
        assert none.value.absent
