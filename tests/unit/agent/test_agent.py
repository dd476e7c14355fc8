# SPDX-License-Identifier: Apache-2.0
"""A transaction is in force and stored as a whole, or leaves everything as it was."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from sixlane.agent import Transaction
from sixlane.agent.agent import Agent
from sixlane.agent.edits import delete, put, put_prefix
from sixlane.agent.part import Desired
from sixlane.agent.problems import Conflict, NotFound
from sixlane.agent.store import Store
from sixlane.errors import ConfigError, KernelError
from sixlane.model import AnyResource, Key, ResourceError, parse_resource
from tests.unit.agent.fakes import GATEWAY, SERVICE, World, dns64, gateway, save


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


def stored_resources(world: World) -> list[AnyResource]:
    world.agent.close()
    with Store(world.path) as store:
        return store.load().resources()


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


def test_a_kind_that_no_part_puts_in_force_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.pods, "kinds", frozenset())
    pools = [{"name": "default", "ranges": ["2001:db8:64:1::/64"]}]
    network = {**GATEWAY, "kind": "Network", "metadata": {"name": "pods"}, "spec": {"pools": pools}}
    transaction = puts(gateway(), parse_resource(network))
    for dry_run in (True, False):
        with pytest.raises(ResourceError, match="this agent cannot put a Network in force") as told:
            world.agent.apply(transaction, dry_run=dry_run)
        assert (told.value.path, told.value.index) == (("kind",), 1)
    assert world.agent.revision() == 0
    with pytest.raises(NotFound, match="no Network pods"):
        world.agent.apply(Transaction([delete(Key("Network", "pods"))]))
    world.agent.apply(Transaction([delete(Key("Network", "pods"), missing_ok=True)]))
    world.agent.apply(puts(gateway()))
    assert stored(world) == ["Gateway edge"]


def test_a_second_gateway_is_refused(world: World) -> None:
    world.agent.apply(puts(gateway()))
    second = parse_resource({**GATEWAY, "metadata": {"name": "core"}})
    with pytest.raises(ResourceError, match="one Gateway, and here are edge and core") as refused:
        world.agent.apply(puts(dns64(), second))
    assert (refused.value.index, refused.value.path) == (1, ("metadata", "name"))
    assert stored(world) == ["Gateway edge"]


def test_what_a_part_finds_wrong_is_placed_in_the_transaction(world: World) -> None:
    """A part knows a resource by its name only."""
    wrong = ResourceError("no device wan7", ("spec", "devices", 0), where="Gateway edge")
    world.gateway.fail["plan"] = failing(wrong)
    with pytest.raises(ResourceError) as refused:
        world.agent.apply(puts(dns64(), gateway()))
    assert refused.value.index == 1
    assert str(refused.value) == "no device wan7: Gateway edge:spec.devices[0]"
    world.resolvers.fail["plan"] = failing(wrong)
    with pytest.raises(ResourceError) as refused:
        world.agent.apply(puts(dns64()))
    assert refused.value.index is None


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
    lost = [f"{part} lost something" for part in ("gateway", "dns64", "pods")]
    assert world.agent.teardown() == lost
    assert world.gateway.removed
    assert world.resolvers.removed
    assert world.pods.removed
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


# ---- many writers ----

EDGE, CLUSTER = Key("Gateway", "edge"), Key("Dns64", "cluster")


def prefix(number: int) -> dict[str, Any]:
    return {
        "name": f"p{number}",
        "prefix": f"2001:db8:{number:x}::/96",
        "ipv4": [f"192.175.49.{number}"],
    }


def test_of_two_writers_of_one_version_one_is_told(world: World) -> None:
    world.agent.apply(puts(gateway()))
    version = world.agent.stored(EDGE).version
    barrier = threading.Barrier(2)
    outcomes: list[str] = []

    def write(mtu: int) -> None:
        barrier.wait(5)
        try:
            world.agent.apply(Transaction([put(gateway(lowestIPv6MTU=mtu), version)]))
            outcomes.append("applied")
        except Conflict as conflict:
            outcomes.append(f"conflict with {conflict.resource_version}")

    writers = [threading.Thread(target=write, args=(mtu,)) for mtu in (1400, 1500)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(5)
    assert sorted(outcomes) == ["applied", "conflict with 2"]


def test_writers_of_different_prefixes_all_survive(world: World) -> None:
    world.agent.apply(puts(gateway()))
    writers = [
        threading.Thread(
            target=lambda number=number: world.agent.apply(
                Transaction([put_prefix("edge", prefix(number))])
            )
        )
        for number in range(1, 20)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(10)
    names = {one["name"] for one in world.agent.resource(EDGE)["spec"]["prefixes"]}
    assert names == {"pods", *(f"p{number}" for number in range(1, 20))}
    assert world.agent.revision() == 20
    assert world.agent.stored(EDGE).generation == 20


# ---- what it was before ----


def test_rolling_back(world: World) -> None:
    world.agent.apply(puts(gateway()))
    world.agent.apply(puts(gateway(lowestIPv6MTU=1400), dns64()))
    world.agent.apply(Transaction([delete(EDGE)]))
    applied = world.agent.rollback(1)
    assert applied.revision == 4
    assert applied.outcomes == {EDGE: "created", CLUSTER: "deleted"}
    assert world.gateway.in_force == [gateway()]
    assert world.resolvers.in_force == []
    assert world.agent.history()[0]["summary"][:3] == [
        "rolled back to revision 1",
        "Dns64 cluster deleted",
        "Gateway edge created",
    ]
    back = world.agent.rollback()
    assert back.outcomes == {EDGE: "deleted", CLUSTER: "created"}
    assert [one["revision"] for one in world.agent.history()] == [5, 4, 3, 2, 1]
    with pytest.raises(NotFound, match="no revision 6"):
        world.agent.rollback(6)


def test_a_rollback_may_be_tried_first(world: World) -> None:
    world.agent.apply(puts(gateway()))
    applied = world.agent.rollback(dry_run=True)
    assert applied.outcomes == {EDGE: "deleted"}
    assert applied.views == {EDGE: None}
    assert world.gateway.in_force == [gateway()]
    assert world.agent.revision() == 1


def test_there_is_nothing_to_go_back_to(world: World) -> None:
    with pytest.raises(NotFound):
        world.agent.rollback()
    world.agent.apply(puts(gateway()))
    world.agent.teardown()
    assert world.agent.rollback().outcomes == {EDGE: "created"}


def test_a_rollback_that_fails_changes_nothing(world: World) -> None:
    world.agent.apply(puts(gateway()))
    world.agent.apply(puts(gateway(lowestIPv6MTU=1400)))
    world.gateway.fail["plan"] = failing(ConfigError("no device wan0"))
    with pytest.raises(ConfigError, match="no device wan0"):
        world.agent.rollback()
    assert world.agent.revision() == 2


# ---- the order of an apply ----


def test_prune(world: World) -> None:
    world.agent.apply(puts(gateway(), dns64()))
    applied = world.agent.apply(Transaction([put(gateway())], prune=True))
    assert applied.outcomes == {EDGE: "unchanged", CLUSTER: "deleted"}
    assert world.resolvers.in_force == []


def test_only_the_parts_that_are_named_are_planned(world: World) -> None:
    world.agent.apply(puts(gateway(), dns64()))
    world.gateway.fail["plan"] = failing(ConfigError("no device wan0"))
    world.agent.apply(puts(dns64(dnssecValidation="no")))
    with pytest.raises(ConfigError):
        world.agent.apply(puts(gateway(), dns64()))


def test_what_cannot_be_stored_does_not_reach_the_kernel(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.agent.apply(puts(gateway()))
    done = list(world.gateway.done)

    def full(*_: object) -> None:
        raise KernelError(28, "write")

    monkeypatch.setattr(Store, "prepare", full)
    with pytest.raises(KernelError, match="ENOSPC"):
        world.agent.apply(puts(gateway(lowestIPv6MTU=1400)))
    assert world.gateway.done == done


def test_what_is_not_committed_is_taken_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.agent.apply(puts(gateway()))

    def full(*_: object) -> None:
        raise KernelError(28, "write")

    monkeypatch.setattr(Store, "commit", full)
    with pytest.raises(KernelError, match="ENOSPC"):
        world.agent.apply(puts(gateway(lowestIPv6MTU=1400)))
    assert world.gateway.in_force == [gateway()]
    assert world.agent.revision() == 1
    assert stored_resources(world) == [gateway()]


def test_where_nobody_asked_for_anything_nothing_is_touched(world: World) -> None:
    """A store that was lost must not stop what forwards."""
    world.gateway.in_force = [gateway()]
    world.agent._applier.do(world.agent._reconciler.reconcile)
    assert world.gateway.in_force == [gateway()]
    assert "nothing is stored: they are left alone" in world.agent.status()["problems"][0]
    world.agent.apply(puts(dns64()))
    assert world.agent.status()["problems"] == []
    world.agent._applier.do(world.agent._reconciler.reconcile)
    assert world.gateway.in_force == []


# ---- how it does ----


def conditions(world: World, key: Key) -> dict[str, str]:
    told = world.agent.resource(key)["status"]["conditions"]
    return {one["type"]: one["status"] for one in told}


def test_conditions_follow_what_the_parts_find(world: World) -> None:
    world.agent.apply(puts(gateway(), dns64()))
    assert conditions(world, EDGE) == {"Ready": "True", "Attached": "True"}
    world.gateway.attached = ("False", "Absent")
    world.agent._look()
    assert conditions(world, EDGE) == {"Ready": "False", "Attached": "False"}
    assert conditions(world, CLUSTER) == {"Ready": "True", "Attached": "True"}
    assert [one["ready"] for one in world.agent.status()["resources"]] == [True, False]
    world.gateway.attached = ("True", "Attached")
    world.agent._look()
    assert conditions(world, EDGE)["Ready"] == "True"


def test_a_part_that_asks_for_it_is_put_right(world: World) -> None:
    world.agent.apply(puts(gateway()))
    world.gateway.in_force = []
    world.gateway.drifted = True
    world.agent._look()
    assert eventually(lambda: world.gateway.in_force == [gateway()])


def test_a_part_that_cannot_look_is_no_end_of_it(world: World) -> None:
    world.agent.apply(puts(gateway()))
    world.gateway.fail["conditions"] = failing(KernelError(5, "look"))
    world.agent._look()
    assert conditions(world, EDGE) == {"Ready": "Unknown", "Observed": "Unknown"}


def test_a_look_that_fails_does_not_keep_from_the_others(world: World) -> None:
    world.agent.apply(puts(gateway(), dns64()))
    world.gateway.fail["look"] = failing(KernelError(24, "netlink"))
    world.resolvers.in_force, world.resolvers.drifted = [], True
    world.agent._look()
    assert eventually(lambda: world.resolvers.in_force == [dns64()])


def test_watching(world: World) -> None:
    with world.agent.watch() as watch:
        assert watch.next(1) is not None
        world.agent.apply(puts(gateway()))
        event = watch.next(5)
        assert event is not None
        assert event.data["resource"] == world.agent.resource(EDGE)
        world.agent.close()
        assert watch.next(5) is None
        assert watch.closed


def test_what_is_not_there(world: World) -> None:
    world.agent.apply(puts(gateway()))
    with pytest.raises(NotFound, match=r"no Gateway core \(there are: edge\)"):
        world.agent.resource(Key("Gateway", "core"))
    with pytest.raises(NotFound, match=r"no Dns64 cluster \(there are none\)"):
        world.agent.resource(CLUSTER)
    assert world.agent.resources("Dns64") == []
    assert [one["kind"] for one in world.agent.resources()] == ["Gateway"]


def test_a_view_can_be_applied(world: World) -> None:
    world.agent.apply(puts(gateway(), dns64()))
    views = [parse_resource(view) for view in world.agent.resources()]
    assert set(world.agent.apply(puts(*views)).outcomes.values()) == {"unchanged"}


def test_views_of_an_apply(world: World) -> None:
    tried = world.agent.apply(puts(gateway()), dry_run=True)
    view = tried.views[EDGE]
    assert view is not None
    assert view["metadata"] == {"name": "edge", "generation": 1, "resourceVersion": "1"}
    assert view["status"] == {"observedGeneration": 0, "conditions": []}
    applied = world.agent.apply(puts(gateway()))
    assert applied.views[EDGE] == world.agent.resource(EDGE)


def test_numbers(world: World) -> None:
    world.agent.apply(puts(gateway()))
    world.agent.apply(puts(gateway(lowestIPv6MTU=1400)), dry_run=True)
    with pytest.raises(NotFound):
        world.agent.apply(Transaction([delete(CLUSTER)]))
    told = world.agent.metrics()
    assert (told.revision, told.applies_ok, told.applies_failed) == (1, 1, 1)
    assert (told.resources, told.ready, told.fill) == (1, 1, {"prefixes": (1, 64)})
    assert told.apply_s.sum_s > 0


@pytest.mark.parametrize("where", ["settled", "conditions"])
@pytest.mark.parametrize("error", [KernelError(24, "netlink"), ZeroDivisionError()])
def test_what_fails_behind_the_commit_does_not_make_the_apply_fail(
    world: World, where: str, error: Exception
) -> None:
    """It is in force and stored by then: whoever is told that it failed would be misled."""
    world.gateway.fail[where] = failing(error)
    applied = world.agent.apply(puts(gateway(), dns64()))
    assert applied.revision == 1
    assert world.agent.revision() == 1
    assert observed(world) == {"edge": 1, "cluster": 1}
    assert eventually(lambda: len(world.agent.resources()) == 2)


def test_a_part_that_cannot_look_back_does_not_hide_why_an_apply_failed(world: World) -> None:
    world.agent.apply(puts(gateway(), dns64()))
    world.resolvers.fail["apply"] = failing(KernelError(5, "attach"))
    world.gateway.fail["settled"] = failing(KernelError(24, "netlink"))
    with pytest.raises(KernelError, match="attach"):
        world.agent.apply(puts(gateway(lowestIPv6MTU=1400), dns64(dnssecValidation="no")))
    assert world.gateway.in_force == [gateway()]
    assert world.resolvers.in_force == [dns64()]


def test_a_start_with_a_part_that_cannot_look(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        save(store, put(gateway()), put(dns64()))
    world = World(tmp_path)
    try:
        world.gateway.fail |= {
            "settled": failing(KernelError(24, "netlink")),
            "conditions": failing(ZeroDivisionError()),
        }
        world.agent._applier.do(world.agent._reconciler.reconcile)
        assert world.gateway.in_force == [gateway()]
        assert world.resolvers.in_force == [dns64()]
    finally:
        world.close()


@pytest.mark.parametrize("count", [100, 101])
def test_the_log_names_what_changed_unless_it_is_many(
    world: World, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    caplog.set_level("INFO", "sixlane.agent")
    world.agent.apply(
        puts(
            *(
                parse_resource(
                    {
                        **SERVICE,
                        "metadata": {"name": f"n{number}"},
                        "spec": {"frontends": [{"address": "192.175.48.1", "port": number + 1}]},
                    }
                )
                for number in range(count)
            )
        )
    )
    lines: list[Any] = [one for one in caplog.records if one.message == "applied"]
    if count == 100:
        assert {line.fields["name"] for line in lines} == {f"n{number}" for number in range(100)}
    else:
        assert [line.fields["count"] for line in lines] == [101]
