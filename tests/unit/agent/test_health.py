# SPDX-License-Identifier: Apache-2.0
"""What the agent holds of checks: who is to be checked and how, and who gets flows by that."""

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixlane.agent.health import Health, Report, first_verdict
from sixlane.agent.targets import target_of
from sixlane.datapath.backends import Held
from sixlane.datapath.layout import BackendState
from sixlane.lb.observe import Present
from sixlane.model import BackendList, Service, parse_resource
from sixlane.model.addresses import parse_routed

VIP4, VIP6 = "192.175.48.200", "2001:db8:6::200"
ONE, TWO = "10.0.0.1", "10.0.0.2"
ACTIVE, TERMINATING, MAINTENANCE, QUARANTINED = (
    BackendState.BACKEND_ACTIVE,
    BackendState.BACKEND_TERMINATING,
    BackendState.BACKEND_MAINTENANCE,
    BackendState.BACKEND_QUARANTINED,
)


def service(*backends: str | dict[str, Any], check: Any = "tcp", **spec: Any) -> Service:
    listed = [{"address": one} if isinstance(one, str) else one for one in backends]
    made = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Service",
            "metadata": {"name": spec.pop("name", "web")},
            "spec": {
                "frontends": [{"address": VIP4, "port": 80}],
                "backends": listed,
                "healthCheck": {"type": check} if isinstance(check, str) else check,
                **spec,
            },
        }
    )
    assert isinstance(made, Service)
    return made


def row(of: Service, at: int = 0) -> bytes:
    return of.spec.backends.rows[at]


def naming(of: Service, at: int = 0) -> bytes:
    return row(of, at)[: BackendList.NAMING]


def present(of: Service, *states: BackendState) -> Present:
    """As the kernel has it: ids are 1 and up."""
    return Present(
        1, backends={naming(of, at): Held(at + 1, state) for at, state in enumerate(states)}
    )


def report(health: Health, id: str, verdict: Any, **given: Any) -> Report:
    fields: dict[str, Any] = {
        "since": 100.0,
        "damped": False,
        "penalty": 0.0,
        "changes": 1,
        "well": verdict == "well",
        "told": "HTTP 200",
        "latency_s": 0.01,
        "at": 200.0,
    }
    return Report(id, verdict, **{**fields, **given})


def settled(of: Service, *states: BackendState, before: Present | None = None) -> Health:
    health = Health()
    failed = health.failing(of, before)
    health.settle(of, failed, before, present(of, *states), frozenset())
    return health


def ids(health: Health) -> list[str]:
    return [one["id"] for one in health.tasks("", 0)["tasks"]]


# ---- before anything is known ----


@pytest.mark.parametrize(
    ("asked", "held", "word"),
    [
        ("active", None, "unknown"),
        ("active", ACTIVE, "well"),
        ("active", QUARANTINED, "quarantined"),
        ("active", TERMINATING, "quarantined"),  # flows go to it as there is nobody else
        ("active", MAINTENANCE, "unknown"),
        ("terminating", TERMINATING, "well"),
        ("terminating", ACTIVE, "well"),
        ("terminating", QUARANTINED, "quarantined"),
        ("maintenance", MAINTENANCE, "unknown"),
        ("maintenance", ACTIVE, "well"),
    ],
)
def test_what_is_in_the_kernel_holds(asked: str, held: BackendState | None, word: str) -> None:
    of = service({"address": ONE, "state": asked})
    there = present(of, held) if held is not None else Present(1)
    assert first_verdict(row(of), there) == word
    assert first_verdict(row(of), None) == "unknown"


def test_who_is_new_gets_no_flows_until_the_first_good_check() -> None:
    of = service(ONE, TWO)
    assert Health().failing(of, None) == {naming(of), naming(of, 1)}
    health = settled(of, QUARANTINED, QUARANTINED)
    one, _ = ids(health)
    told = []
    health.on_change = lambda: told.append(1)
    assert health.take(health.tasks("", 0)["version"], [report(health, one, "well")])
    assert told == [1]
    assert health.failing(of, None) == {naming(of, 1)}
    health.take(health.tasks("", 0)["version"], [report(health, one, "well")])
    assert told == [1], "nothing has changed"


def test_a_start_changes_nothing() -> None:
    of = service(ONE, TWO)
    health = settled(of, ACTIVE, QUARANTINED, before=present(of, ACTIVE, QUARANTINED))
    verdicts = [one["verdict"] for one in health.tasks("", 0)["tasks"]]
    assert verdicts == ["well", "quarantined"]
    assert health.failing(of, present(of, ACTIVE, QUARANTINED)) == {naming(of, 1)}


def test_tables_that_are_made_anew_are_no_reason_to_doubt() -> None:
    """The plan saw who was there; what it applies begins with nobody."""
    of = service(ONE)
    health = Health()
    failed = health.failing(of, present(of, ACTIVE))
    health.settle(of, failed, Present(1), present(of, ACTIVE), frozenset())
    assert health.failing(of, None) == frozenset()


def test_what_is_known_stays_when_a_service_changes() -> None:
    of = service(ONE)
    health = settled(of, QUARANTINED)
    health.take(health.tasks("", 0)["version"], [report(health, ids(health)[0], "well")])
    more = service(ONE, TWO, check="http")
    assert health.failing(more, present(of, ACTIVE)) == {naming(more, 1)}
    health.settle(more, {naming(more, 1)}, present(of, ACTIVE), present(more, *[ACTIVE] * 2), set())
    seen = health.backends("web")
    assert [one.verdict for one in seen.values()] == ["well", "unknown"]
    assert seen[naming(of)].result == "HTTP 200"


def test_without_checks_nobody_fails() -> None:
    health = settled(service(ONE), QUARANTINED)
    without = service(ONE, check=None)
    health.settle(without, set(), None, present(without, ACTIVE), set())
    assert health.backends("web") == {}
    assert ids(health) == []
    assert health.metrics().running is None


# ---- what whoever checks hears ----


def test_what_has_changed_behind_a_version() -> None:
    of = service(ONE, TWO)
    health = settled(of, ACTIVE, ACTIVE)
    first = health.tasks("", 0)
    assert (first["whole"], len(first["tasks"])) == (True, 2)
    again = health.tasks(first["version"], 0)
    assert again == {"version": first["version"], "whole": False, "tasks": [], "gone": []}
    less = service(TWO)
    health.settle(less, set(), None, Present(1, backends={naming(less): Held(2, ACTIVE)}), set())
    then = health.tasks(first["version"], 0)
    assert (then["whole"], then["tasks"]) == (False, [])
    assert then["gone"] == [first["tasks"][0]["id"]]
    health.settle(of, set(), None, present(of, ACTIVE, ACTIVE), set())
    back = health.tasks(first["version"], 0)
    assert [one["id"] for one in back["tasks"]] == [first["tasks"][0]["id"]]
    assert back["gone"] == [], "it is there again"


@pytest.mark.parametrize("version", ["", "x", "-", "-1", "0-0", "ffffffffffff-1", "\u0661"])
def test_a_version_of_another_agent(version: str) -> None:
    health = settled(service(ONE), ACTIVE)
    assert health.tasks(version, 0)["whole"]
    assert not health.take(version, [report(health, ids(health)[0], "well")])


def test_a_version_that_is_yet_to_come() -> None:
    health = settled(service(ONE), ACTIVE)
    epoch, _, number = health.tasks("", 0)["version"].partition("-")
    assert health.tasks(f"{epoch}-{int(number) + 1}", 0)["whole"]


def test_whoever_waits_hears_at_once() -> None:
    health = settled(service(ONE), ACTIVE)
    version = health.tasks("", 0)["version"]
    heard: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: heard.append(health.tasks(version, 60)))
    waiting.start()
    health.settle(service(TWO), set(), None, present(service(TWO), ACTIVE), set())
    waiting.join(20)
    assert [one["backend"] for one in heard[0]["tasks"]] == [TWO]


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "b"]), st.sets(st.integers(1, 4), min_size=1)),
        max_size=8,
    ),
    st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_whoever_follows_knows_what_there_is(
    states: list[dict[str, set[int]]], looks: list[bool]
) -> None:
    """By what has changed, told now and then, as by everything."""
    health, version = Health(), ""
    known: dict[str, Any] = {}
    for wanted, look in zip(states, looks, strict=False):
        for name in ("a", "b"):
            if name not in wanted:
                health.remove(name)
                continue
            of = service(*(f"10.0.0.{one}" for one in sorted(wanted[name])), name=name)
            health.settle(of, set(), None, present(of, *[ACTIVE] * len(wanted[name])), set())
        if not look:
            continue
        told = health.tasks(version, 0)
        if told["whole"]:
            known = {}
        for id in told["gone"]:
            known.pop(id, None)
        known |= {one["id"]: one for one in told["tasks"]}
        version = told["version"]
        assert known == {one["id"]: one for one in health.tasks("", 0)["tasks"]}


def test_results_of_who_is_gone_are_nobodys() -> None:
    health = settled(service(ONE), ACTIVE)
    version = health.tasks("", 0)["version"]
    assert health.take(version, [report(health, "web/00", "quarantined")])
    assert health.verdicts("web") == {"unknown": 1}


def test_what_is_counted() -> None:
    of = service(ONE)
    health = settled(of, ACTIVE)
    version, (id,) = health.tasks("", 0)["version"], ids(health)
    health.take(version, [report(health, id, "well", done=3, failed=1, seconds=0.5)])
    health.take(version, [report(health, id, "well", done=1, not_made=2, seconds=0.25)])
    metrics = health.metrics()
    counts = metrics.counts["web"]
    assert (counts.done, counts.failed, counts.not_made, counts.seconds) == (4, 1, 2, 0.75)
    assert metrics.running
    assert metrics.backends["web"][ONE].latency_s == 0.01


def test_a_check_that_was_not_made_is_told_until_one_is() -> None:
    """Also by a report that says nothing of new checks."""
    of = service(ONE)
    health = settled(of, ACTIVE)
    version, (id,) = health.tasks("", 0)["version"], ids(health)
    seen = []
    for made in ({"not_made": 1}, {}, {"done": 1, "failed": 1}, {}, {"done": 1, "not_made": 1}):
        health.take(version, [report(health, id, "well", **made)])
        seen.append(health.backends("web")[naming(of)].is_made)
    assert seen == [False, False, True, True, True]


# ---- where checks go ----


def where(of: Service, local: tuple[str, ...] = (), id: int = 7) -> tuple[str, int, int | None]:
    target = target_of(of, row(of), id, {parse_routed(one) for one in local})
    return str(target.address), target.port, target.mark


def test_by_the_tunnel_to_the_frontend() -> None:
    assert where(service(ONE)) == (VIP4, 80, 0x51500007)
    frontends = [
        {"address": VIP4, "port": 53, "protocol": "UDP"},
        {"address": VIP6, "port": 443},
        {"address": VIP4, "port": 80},
    ]
    assert where(service(ONE, frontends=frontends)) == (VIP6, 443, 0x51500007), "TCP comes first"
    assert where(service(ONE, frontends=frontends[:1])) == (VIP4, 53, 0x51500007)
    check = {"type": "tcp", "port": 9000}
    assert where(service(ONE, frontends=frontends, check=check)) == (VIP6, 9000, 0x51500007)


def test_not_to_a_frontend_that_the_host_has() -> None:
    frontends = [{"address": VIP4, "port": 80}, {"address": VIP6, "port": 443}]
    of = service(ONE, frontends=frontends)
    assert where(of, (VIP4,)) == (VIP6, 443, 0x51500007)
    assert where(of, (VIP4, VIP6)) == (ONE, 80, None)


def test_what_is_translated() -> None:
    nat = {"mode": "nat", "sourcePool": ["10.1.0.8/30"]}
    assert where(service(ONE, **nat)) == (ONE, 80, None)
    own = {"address": ONE, "port": 8080}
    assert where(service(own, **nat)) == (ONE, 8080, None)
    assert where(service(own, check={"type": "tcp", "port": 9}, **nat)) == (ONE, 9, None)


def test_which_host_is_asked_for() -> None:
    six = service(ONE, frontends=[{"address": VIP6, "port": 80}], check="http")
    assert target_of(six, row(six), 1, set()).host == f"[{VIP6}]"
    named = service(ONE, check={"type": "http", "host": "www.example.net"})
    assert target_of(named, row(named), 1, set()).host == "www.example.net"


def test_other_addresses_of_the_host() -> None:
    of = service(ONE)
    health = settled(of, ACTIVE)
    version = health.tasks("", 0)["version"]
    health.settle_all({parse_routed(VIP4)})
    (task,) = health.tasks(version, 0)["tasks"]
    assert (task["address"], task["mark"]) == (ONE, None)
    assert not health.has_tunnels()
    assert health.backends("web")[naming(of)].way == "direct"
