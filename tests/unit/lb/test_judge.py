# SPDX-License-Identifier: Apache-2.0
"""Who of a service's backends gets flows."""

from ipaddress import IPv6Address
from typing import Any

import pytest

from sixlane.lb.judge import judge
from sixlane.model import Service, parse_resource
from sixlane.model.backends import NEVER

NOW_US = 1_800_000_000_000_000
NOW, SOONER, LATER = "2027-01-15T08:00:00Z", "2027-01-15T07:59:59Z", "2027-01-15T08:00:01Z"


def service(*backends: dict[str, Any], **spec: Any) -> Service:
    nodes = [{"address": f"2001:db8::{at}", **one} for at, one in enumerate(backends, 1)]
    found = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {
                "frontends": [{"address": "192.175.48.200", "port": 80}],
                "backends": nodes,
                **spec,
            },
        }
    )
    assert isinstance(found, Service)
    return found


def naming(last: int) -> bytes:
    """Address, and no port of its own."""
    return IPv6Address(f"2001:db8::{last}").packed + bytes(2)


def told(found: Service, *failed: int) -> tuple[str, dict[int, int]]:
    """First letters of the states, in order, and weights of who gets new flows."""
    judged = judge(found, {naming(one) for one in failed}, NOW_US)
    letters = "".join(judged.states[row[:18]].name[8] for row in found.spec.backends.rows)
    return letters, {member.naming[15]: member.weight for member in judged.members}


DRAINS: dict[str, Any] = {"state": "terminating"}
RESTS: dict[str, Any] = {"state": "maintenance"}


@pytest.mark.parametrize(
    ("backends", "failed", "letters", "members"),
    [
        ([{}, {"weight": 7}], (), "AA", {1: 1, 2: 7}),
        ([{}, {"weight": 0}], (), "AA", {1: 1}),
        ([{}, DRAINS, RESTS], (), "ATM", {1: 1}),
        ([{}, {}, {}], (2,), "AQA", {1: 1, 3: 1}),
        ([{}, DRAINS, RESTS], (2, 3), "AQM", {1: 1}),
        ([{}], (1,), "Q", {}),
        ([DRAINS, RESTS, {"weight": 0}], (), "TMA", {}),
        ([], (), "", {}),
    ],
)
def test_states_and_members(
    backends: list[dict[str, Any]], failed: tuple[int, ...], letters: str, members: dict[int, int]
) -> None:
    assert told(service(*backends), *failed) == (letters, members)


@pytest.mark.parametrize(
    ("backends", "failed", "letters", "members"),
    [
        # somebody is up: as ever
        ([{}, DRAINS], (), "AT", {1: 1}),
        # who drains or fails takes them, in the shares that it has, and keeps what it gets
        ([{"weight": 2}, {"weight": 3, **DRAINS}], (1,), "TT", {1: 2, 2: 3}),
        # but for those that were never to get any
        ([{"weight": 0}, RESTS, {"weight": 0, **DRAINS}], (1,), "QMT", {}),
        ([{"drainUntil": NOW, **DRAINS}, DRAINS], (), "QT", {2: 1}),
        ([{"drainUntil": SOONER, **DRAINS}], (), "Q", {}),
    ],
)
def test_when_all_are_down(
    backends: list[dict[str, Any]], failed: tuple[int, ...], letters: str, members: dict[int, int]
) -> None:
    assert told(service(*backends, whenAllDown="terminating"), *failed) == (letters, members)


def test_who_makes_shift_is_not_up() -> None:
    judged = judge(service(DRAINS, whenAllDown="terminating"), frozenset(), NOW_US)
    assert (judged.makeshift, judged.up, len(judged.members)) == (True, 0, 1)
    assert judge(service({}, DRAINS), frozenset(), NOW_US).up == 1


@pytest.mark.parametrize(
    ("ends", "letter", "until"),
    [
        (SOONER, "Q", NEVER),
        (NOW, "Q", NEVER),
        (LATER, "T", NOW_US + 1_000_000),
        (None, "T", NEVER),
    ],
)
def test_a_drain_has_an_end(ends: str | None, letter: str, until: int) -> None:
    drains = DRAINS | ({"drainUntil": ends} if ends else {})
    found = service({}, drains)
    assert told(found) == (f"A{letter}", {1: 1})
    assert judge(found, frozenset(), NOW_US).until == until


def test_the_next_end_of_many() -> None:
    ends = [{"drainUntil": f"2027-01-15T08:00:0{at}Z", **DRAINS} for at in (7, 3, 0, 9)]
    assert judge(service(*ends), frozenset(), NOW_US).until == NOW_US + 3_000_000
