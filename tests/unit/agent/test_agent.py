# SPDX-License-Identifier: Apache-2.0
"""A transaction is in force and stored as a whole, or leaves everything as it was."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from sixlane.agent import Transaction
from sixlane.agent.agent import Agent
from sixlane.agent.edits import delete, put
from sixlane.agent.part import Desired
from sixlane.agent.store import Store
from sixlane.errors import ConfigError, KernelError
from sixlane.model import AnyResource, Key, ResourceError, parse_resource
from tests.unit.agent.fakes import GATEWAY, World, dns64, gateway, save


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def puts(*resources: AnyResource) -> Transaction:
    return Transaction([put(one) for one in resources])


def stored(world: World) -> list[str]:
    world.agent.close()
    with Store(world.path) as store:
        return [str(key) for key in store.load().objects]


def observed(world: World) -> dict[str, int]:
    return {one["name"]: one["observedGeneration"] for one in world.agent.status()["resources"]}


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def failing(error: Exception) -> Callable[[Desired], None]:
    """Fails whatever puts something in force, and not what takes everything away."""

    def fail(desired: Desired) -> None:
        if desired:
            raise error

    return fail


def test_created_changed_unchanged_deleted(world: World) -> None:
    applied = world.agent.apply(puts(gateway(), dns64()))
    assert applied.revision == 1
    assert list(applied.outcomes.values()) == ["created", "created"]
    assert applied.changes == ["set edge", "set cluster"]

    applied = world.agent.apply(puts(gateway(), dns64(dnssecValidation="no")))
    assert applied.revision == 2
    assert list(applied.outcomes.values()) == ["unchanged", "changed"]
    assert applied.changes == ["set cluster"]

    applied = world.agent.apply(puts(gateway()))
    assert (applied.revision, applied.changes) == (2, [])

    applied = world.agent.apply(Transaction([delete(Key("Dns64", "cluster"))]))
    assert applied.outcomes == {Key("Dns64", "cluster"): "deleted"}
    assert world.resolvers.in_force == []
    assert stored(world) == ["Gateway edge"]


def test_resources_are_what_was_applied(world: World) -> None:
    world.agent.apply(puts(gateway()))
    [view] = world.agent.resources()
    status = view.pop("status")
    version = {"generation": 1, "resourceVersion": "1"}
    assert view == {**GATEWAY, "metadata": {"name": "edge", **version}}
    assert [(one["type"], one["status"]) for one in status["conditions"]] == [
        ("Ready", "True"),
        ("Attached", "True"),
    ]


def test_a_dry_run_does_nothing(world: World) -> None:
    applied = world.agent.apply(puts(gateway()), dry_run=True)
    assert (applied.revision, applied.changes, applied.dry_run) == (1, ["set edge"], True)
    assert world.gateway.done == []
    assert stored(world) == []


def test_a_second_gateway_is_refused(world: World) -> None:
    world.agent.apply(puts(gateway()))
    second = parse_resource({**GATEWAY, "metadata": {"name": "core"}})
    with pytest.raises(ResourceError, match="one Gateway, and here are core and edge"):
        world.agent.apply(puts(second))
    assert stored(world) == ["Gateway edge"]


def test_a_refused_plan_changes_nothing(world: World) -> None:
    world.resolvers.fail["plan"] = failing(ConfigError("no"))
    with pytest.raises(ConfigError):
        world.agent.apply(puts(gateway(), dns64()))
    assert world.gateway.done == []
    assert stored(world) == []


@pytest.mark.parametrize("error", [KernelError(5, "attach"), ZeroDivisionError()])
def test_a_failed_apply_is_taken_back(world: World, error: Exception) -> None:
    old = gateway()
    world.agent.apply(puts(old))
    world.resolvers.fail["apply"] = failing(error)
    with pytest.raises(type(error)):
        world.agent.apply(puts(gateway(lowestIPv6MTU=1400), dns64()))
    assert world.gateway.in_force == [old]
    assert world.resolvers.in_force == []
    assert world.agent.status()["problems"] == []
    assert stored(world) == ["Gateway edge"]


def test_what_cannot_be_stored_is_taken_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise KernelError(28, "write")

    monkeypatch.setattr(Store, "prepare", full)
    with pytest.raises(KernelError, match="ENOSPC"):
        world.agent.apply(puts(gateway()))
    assert world.gateway.in_force == []


def test_what_cannot_be_taken_back_is_told_and_tried_again(world: World) -> None:
    world.agent.apply(puts(gateway()))
    world.gateway.fail["apply"] = failing(KernelError(5, "attach"))
    with pytest.raises(KernelError):
        world.agent.apply(puts(gateway(lowestIPv6MTU=1400)))
    assert "gateway: attach: EIO" in world.agent.status()["problems"][0]
    world.gateway.fail.clear()
    assert eventually(lambda: world.agent.status()["problems"] == [])
    assert world.gateway.in_force == [gateway()]


def test_a_start_brings_back_what_is_stored(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        save(store, put(gateway()), put(dns64()))
    world = World(tmp_path)
    world.resolvers.fail["plan"] = failing(ConfigError("not yet"))
    world.agent._applier.do(world.agent._reconciler.reconcile)
    status, before = world.agent.status(), observed(world)
    world.resolvers.fail.clear()
    again = eventually(lambda: observed(world) == {"edge": 1, "cluster": 1})
    world.close()
    assert status["revision"] == 1
    assert before == {"edge": 1, "cluster": 0}
    assert status["problems"] == ["dns64: not yet"]
    assert again
    assert world.gateway.in_force == [gateway()]
    assert world.resolvers.in_force == [dns64()]


def test_teardown_forgets_all(world: World) -> None:
    world.agent.apply(puts(gateway(), dns64()))
    assert world.agent.teardown() == ["gateway lost something", "dns64 lost something"]
    assert world.gateway.removed
    assert world.resolvers.removed
    assert world.agent.status()["resources"] == []
    assert world.agent.status()["revision"] == 2
    assert stored(world) == []


def test_teardown_goes_on_behind_a_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy() -> list[str]:
        raise KernelError(16, "detach")

    monkeypatch.setattr(world.gateway, "remove", busy)
    with pytest.raises(KernelError, match="EBUSY"):
        world.agent.teardown()
    assert world.resolvers.removed


def test_after_the_end_nothing_is_taken_on(world: World) -> None:
    agent: Agent = world.agent
    agent.close()
    with pytest.raises(CancelledError):
        agent.apply(puts(gateway()))
