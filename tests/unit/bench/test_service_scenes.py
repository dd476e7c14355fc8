# SPDX-License-Identifier: Apache-2.0
"""What of services is measured, and under which names."""

from bench.called import Called
from bench.service_scenes import Scene, scenes


def test_each_thing_has_a_name_of_its_own() -> None:
    names = [name for one in scenes() for count in one.counts for name in one.names(count).values()]
    assert len(set(names)) == len(names)


def test_replies_are_measured_of_what_is_translated() -> None:
    known = Scene(Called(nat=True), (1,))
    assert set(known.names(1)) == {"call", "reply", "tc"}
    assert set(Scene(Called(nat=True), (1,), "new").names(1)) == {"call"}
    assert set(Scene(Called(), (1,)).names(1)) == {"call"}


def test_there_is_room_for_all_flows_that_come() -> None:
    assert all(one.called.flows >= max(one.counts) for one in scenes())


def test_services_are_numbered_from_one_and_have_a_frontend_each() -> None:
    entries = list(Called(services=3, backend=6, nat=True).entries())
    assert [one.id for one in entries] == [1, 2, 3]
    assert [[str(two.address) for two in one.frontends] for one in entries] == [
        ["193.128.0.0"],
        ["193.128.0.1"],
        ["193.128.0.2"],
    ]
    assert all(one.nat and one.pool6 and not one.pool4 for one in entries)
