# SPDX-License-Identifier: Apache-2.0
"""Which change calls for what."""

from pathlib import Path
from typing import Any

from sixlane.dns64.conf import named_conf, server_id
from sixlane.dns64.place import Place
from sixlane.dns64.plan import Observed, plan_dns64
from sixlane.model import Dns64
from tests.unit.dns64.test_conf import resolver

PLACE = Place(Path("/run/x"), Path("/var/lib/x"))


def text_of(resource: Dns64) -> str:
    name = resource.name
    return named_conf(resource, str(PLACE.state(name)), str(PLACE.log(name)))


def running(resource: Dns64, **other: Any) -> Observed:
    text = text_of(resource)
    found = {"text": text, "pid": 7, "here": True, "in_force": server_id(text)}
    return Observed(**{**found, **other})


def changes(desired: list[Dns64], observed: dict[str, Observed]) -> list[str]:
    return plan_dns64(desired, observed, PLACE).summary()


def test_nothing_to_do() -> None:
    plan = plan_dns64([resolver()], {"cluster": running(resolver())}, PLACE)
    assert plan.empty
    assert plan.held == {("2001:db8:64::1", 53)}


def test_start() -> None:
    assert changes([resolver()], {}) == ["Dns64 cluster: start named: new"]


def test_start_again() -> None:
    dead = running(resolver(), pid=None, here=False, in_force=None)
    assert changes([resolver()], {"cluster": dead}) == ["Dns64 cluster: start named: not running"]
    assert plan_dns64([resolver()], {"cluster": dead}, PLACE).held == frozenset()


def test_reload_for_a_change() -> None:
    plan = plan_dns64([resolver(dnssecValidation="no")], {"cluster": running(resolver())}, PLACE)
    assert plan.summary() == ["Dns64 cluster: reload named: changed"]
    assert "dnssec-validation no;" in plan.changes[0].text


def test_reload_if_the_last_one_was_missed() -> None:
    (line,) = changes([resolver()], {"cluster": running(resolver(), in_force="sixlane-old")})
    assert line.startswith("Dns64 cluster: reload named")


def test_one_that_does_not_answer_is_left_alone() -> None:
    assert changes([resolver()], {"cluster": running(resolver(), in_force=None)}) == []


def test_restart_for_other_addresses() -> None:
    for spec in ({"listen": ["2001:db8:64::2"]}, {"port": 5353}):
        (line,) = changes([resolver(**spec)], {"cluster": running(resolver())})
        assert line == "Dns64 cluster: restart named: other addresses to listen on"


def test_restart_in_this_namespace() -> None:
    (line,) = changes([resolver()], {"cluster": running(resolver(), here=False, in_force=None)})
    assert line == "Dns64 cluster: restart named: it runs in another network namespace"


def test_stop_first() -> None:
    observed = {"old": running(resolver("old"))}
    plan = plan_dns64([resolver("new")], observed, PLACE)
    assert plan.summary() == [
        "Dns64 old: stop named: no longer wanted",
        "Dns64 new: start named: new",
    ]
    assert plan.held == plan.changes[1].listeners  # so its port is not taken by a stranger
