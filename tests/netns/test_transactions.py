# SPDX-License-Identifier: Apache-2.0
"""Transactions on a real data path: many writers, rollbacks, prunes, dry runs."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sixlane.agent import Agent, Settings, Transaction, edits
from sixlane.agent.problems import Conflict, NotFound
from sixlane.datapath import Datapath
from sixlane.model import Key, parse_resource
from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import GATEWAY, changed

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("ip")]

EDGE = Key("Gateway", "edge")


class Gateway:
    """An agent in this process, and in the calling thread's namespace."""

    def __init__(self, world: agents.Agent) -> None:
        world.place.run_dir.mkdir(parents=True)
        world.place.state_dir.mkdir(parents=True)
        self._settings = Settings(world.bpffs, world.place.state_dir, world.place.run_dir)
        self.agent = self._open()

    def _open(self) -> Agent:
        return Agent.open(self._settings)

    def start_again(self) -> None:
        self.agent.close()
        self.agent = self._open()

    def put(self, data: dict[str, Any], version: str | None = None) -> None:
        self.agent.apply(Transaction([edits.put(parse_resource(data), version)]))

    def prefixes(self) -> set[str]:
        """Those that packets meet."""
        with Datapath.open(self._settings.bpffs) as datapath:
            return set(datapath.prefix_ids())

    def flips(self) -> int:
        with Datapath.open(self._settings.bpffs) as datapath:
            return datapath.generation()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with agents.world(tmp_path) as (world, _, _), netns.inside(world.namespace):
        gateway = Gateway(world)
        try:
            yield gateway
        finally:
            gateway.agent.close()


def prefix(number: int) -> dict[str, Any]:
    return {
        "name": f"p{number}",
        "prefix": f"2001:db8:{number:x}::/96",
        "ipv4": [f"192.175.49.{number}"],
    }


def at_once(*jobs: Callable[[], None]) -> None:
    """Run them in threads that begin together."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], None]) -> None:
        barrier.wait(5)
        job()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_of_two_writers_one_is_told(gateway: Gateway) -> None:
    gateway.put(GATEWAY)
    version = gateway.agent.stored(EDGE).version
    won: list[str] = []
    lost: list[str | None] = []

    def write(name: str) -> None:
        prefixes = [{**GATEWAY["spec"]["prefixes"][0], "name": name}]
        try:
            gateway.put(changed(GATEWAY, prefixes=prefixes), version)
            won.append(name)
        except Conflict as conflict:
            lost.append(conflict.resource_version)

    at_once(lambda: write("one"), lambda: write("two"))
    assert lost == ["2"]
    assert gateway.prefixes() == set(won)


def test_writers_of_different_prefixes_all_survive(gateway: Gateway) -> None:
    gateway.put(GATEWAY)

    def write(number: int) -> Callable[[], None]:
        def job() -> None:
            gateway.agent.apply(Transaction([edits.put_prefix("edge", prefix(number))]))

        return job

    at_once(*(write(number) for number in range(1, 9)))
    assert gateway.prefixes() == {"pods", *(f"p{number}" for number in range(1, 9))}
    gateway.start_again()
    assert gateway.agent.stored(EDGE).generation == 9
    assert gateway.agent.status()["problems"] == []


def test_rolling_back_and_forth(gateway: Gateway) -> None:
    gateway.put(GATEWAY)
    gateway.agent.apply(Transaction([edits.put_prefix("edge", prefix(1))]))
    gateway.agent.apply(Transaction([edits.delete_prefix("edge", "pods")]))
    assert gateway.prefixes() == {"p1"}
    gateway.start_again()  # the history is in the store
    gateway.agent.rollback(1)
    assert gateway.prefixes() == {"pods"}
    gateway.agent.rollback()
    assert gateway.prefixes() == {"p1"}
    gateway.agent.rollback(0)
    assert gateway.prefixes() == set()
    assert [one["revision"] for one in gateway.agent.history()] == [6, 5, 4, 3, 2, 1]
    assert gateway.agent.history()[0]["summary"][:2] == [
        "rolled back to revision 0",
        "Gateway edge deleted",
    ]


def test_a_prune_takes_away_what_is_not_named(gateway: Gateway) -> None:
    gateway.put(GATEWAY)
    other = parse_resource({**GATEWAY, "metadata": {"name": "core"}})
    gateway.agent.apply(Transaction([edits.put(other)], prune=True))
    assert [one["metadata"]["name"] for one in gateway.agent.resources()] == ["core"]
    gateway.agent.apply(Transaction([], prune=True))
    assert gateway.prefixes() == set()


def test_a_dry_run_changes_nothing(gateway: Gateway) -> None:
    gateway.put(GATEWAY)
    flips, history = gateway.flips(), gateway.agent.history()
    edit = edits.put_prefix("edge", prefix(1))
    tried = gateway.agent.apply(Transaction([edit]), dry_run=True)
    assert tried.changes == ["add prefix p1: 2001:db8:1::/96"]
    view = tried.views[EDGE]
    assert view is not None
    assert [one["name"] for one in view["spec"]["prefixes"]] == ["pods", "p1"]
    gateway.agent.rollback(0, dry_run=True)
    assert (gateway.flips(), gateway.agent.history()) == (flips, history)
    assert gateway.prefixes() == {"pods"}
    assert gateway.agent.apply(Transaction([edit])).changes == tried.changes


def test_all_of_a_transaction_or_nothing(gateway: Gateway) -> None:
    gateway.put(GATEWAY)
    flips = gateway.flips()
    with pytest.raises(NotFound, match="no prefix nodes"):
        gateway.agent.apply(
            Transaction([edits.put_prefix("edge", prefix(1)), edits.delete_prefix("edge", "nodes")])
        )
    assert gateway.flips() == flips
    assert gateway.agent.revision() == 1


def test_a_watch_tells_how_it_does(gateway: Gateway) -> None:
    with gateway.agent.watch() as watch:
        first = watch.next(5)
        assert first is not None and first.type == "synced"
        gateway.put(GATEWAY)
        event = watch.next(5)
        assert event is not None
        conditions = event.data["resource"]["status"]["conditions"]
        told = {one["type"]: one["status"] for one in conditions}
        assert told["Ready"] == told["DevicesAttached"] == told["SlowPathReady"] == "True"


@pytest.mark.conformance(72)
def test_mappings_that_overlap_are_a_condition(gateway: Gateway) -> None:
    def apart() -> dict[str, Any]:
        conditions = gateway.agent.resource(EDGE)["status"]["conditions"]
        (found,) = [one for one in conditions if one["type"] == "MappingsApart"]
        return dict(found)

    wide = {"ipv4": "198.51.100.0/24", "ipv6": "2001:db8:a::/120"}
    narrow = {"ipv4": "198.51.100.7", "ipv6": "2001:db8:b::7"}
    gateway.put(changed(GATEWAY, prefixes=[{**prefix(1), "eam": [wide]}]))
    assert apart()["status"] == "True"
    gateway.put(changed(GATEWAY, prefixes=[{**prefix(1), "eam": [wide, narrow]}]))
    assert (apart()["status"], apart()["reason"]) == ("False", "MappingsOverlap")
    assert apart()["message"].startswith("198.51.100.7/32 in spec.prefixes[0].eam[1] is a part of")
    view = gateway.agent.resource(EDGE)
    (ready,) = [one for one in view["status"]["conditions"] if one["type"] == "Ready"]
    assert ready["status"] == "True", "it is allowed"
    assert gateway.agent.status()["problems"] == []
